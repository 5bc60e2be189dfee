//! Whoever stands on the network of a world.

use rift::Instant;

use super::{Callee, Caller, Forwarder, Internet, Introducer};
use crate::network::Host;
use crate::packet::Packet;

/// One node.
#[derive(Debug)]
pub enum Member {
    /// What joins the others.
    Internet(Box<Internet>),
    /// The client.
    Caller(Box<Caller>),
    /// The host.
    Callee(Box<Callee>),
    /// The gateway.
    Introducer(Box<Introducer>),
    /// The relay.
    Forwarder(Box<Forwarder>),
}

impl Member {
    fn host(&mut self) -> &mut dyn Host {
        match self {
            Self::Internet(member) => &mut **member,
            Self::Caller(member) => &mut **member,
            Self::Callee(member) => &mut **member,
            Self::Introducer(member) => &mut **member,
            Self::Forwarder(member) => &mut **member,
        }
    }
}

impl Host for Member {
    fn handle_packet(&mut self, now: Instant, packet: &mut Packet) {
        self.host().handle_packet(now, packet);
    }

    fn poll_packet(&mut self, now: Instant, packet: &mut Packet) -> bool {
        self.host().poll_packet(now, packet)
    }

    fn next_wake(&mut self) -> Option<Instant> {
        self.host().next_wake()
    }

    fn handle_wake(&mut self, now: Instant) {
        self.host().handle_wake(now);
    }
}
