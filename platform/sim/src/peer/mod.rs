//! Real sessions on the simulated network: a client and a host as their programs would drive them.
//!
//! [`ClientPeer`] connects, shows pictures to a [`Decoder`](crate::picture::Decoder) and lets a [`Typist`] work;
//! [`HostPeer`] answers through an [`Endpoint`](rift::Endpoint), admits whom it knows, and sends what a screen and
//! an [`Encoder`](crate::picture::Encoder) make. Both keep a log for tests to look at. [`Pair`] joins one of each.

mod client;
mod host;
mod outbox;
mod pair;
mod parcel;
mod typist;

use rift::Instant;

pub use client::{ClientPeer, Shown};
pub use host::{Camera, Guest, GuestMemory, HostPeer, Log};
pub use pair::{Pair, PairConfig};
pub use parcel::Parcel;
pub use typist::{Repertoire, Typist};

use crate::network::Host;
use crate::packet::Packet;

/// Either side of a session, so that one network holds both.
#[derive(Debug)]
pub enum Peer {
    /// A client.
    Client(Box<ClientPeer>),
    /// A host.
    Host(Box<HostPeer>),
}

impl Peer {
    /// The client.
    ///
    /// # Panics
    /// When it is a host.
    #[must_use]
    pub fn client(&self) -> &ClientPeer {
        match self {
            Self::Client(client) => client,
            Self::Host(_) => panic!("this node is a host"),
        }
    }

    /// The client, to act on.
    ///
    /// # Panics
    /// When it is a host.
    pub fn client_mut(&mut self) -> &mut ClientPeer {
        match self {
            Self::Client(client) => client,
            Self::Host(_) => panic!("this node is a host"),
        }
    }

    /// The host.
    ///
    /// # Panics
    /// When it is a client.
    #[must_use]
    pub fn host(&self) -> &HostPeer {
        match self {
            Self::Host(host) => host,
            Self::Client(_) => panic!("this node is a client"),
        }
    }

    /// The host, to act on.
    ///
    /// # Panics
    /// When it is a client.
    pub fn host_mut(&mut self) -> &mut HostPeer {
        match self {
            Self::Host(host) => host,
            Self::Client(_) => panic!("this node is a client"),
        }
    }
}

impl Host for Peer {
    fn handle_packet(&mut self, now: Instant, packet: &mut Packet) {
        match self {
            Self::Client(client) => client.handle_packet(now, packet),
            Self::Host(host) => host.handle_packet(now, packet),
        }
    }

    fn poll_packet(&mut self, now: Instant, packet: &mut Packet) -> bool {
        match self {
            Self::Client(client) => client.poll_packet(now, packet),
            Self::Host(host) => host.poll_packet(now, packet),
        }
    }

    fn next_wake(&mut self) -> Option<Instant> {
        match self {
            Self::Client(client) => client.next_wake(),
            Self::Host(host) => host.next_wake(),
        }
    }

    fn handle_wake(&mut self, now: Instant) {
        match self {
            Self::Client(client) => client.handle_wake(now),
            Self::Host(host) => host.handle_wake(now),
        }
    }
}

/// The earlier of two times.
pub(crate) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
