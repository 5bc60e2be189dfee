//! Which of the ways to open a port is taken: see [`Opener`].

use core::net::{Ipv4Addr, SocketAddrV4};

use rift::Instant;

use crate::upnp::{Call, Upnp, UpnpTransmit};
use crate::{MESSAGE_MAX, Mapper};

/// PCP and NAT-PMP are alone for this long: a router that knows them answers at once, and needs neither a search nor XML.
const HEAD_START_US: u64 = 2_000_000;

/// What is to be sent, and whereto.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transmit {
    /// So many bytes of the buffer, to the router's [`PORT`](crate::PORT).
    Router(usize),
    /// A datagram for [`SEARCH_ADDRESS`](crate::SEARCH_ADDRESS), from the address towards the router.
    Search(Vec<u8>),
    /// A request over TCP; what comes of it goes to [`Opener::handle_response`] or [`Opener::handle_failure`].
    Call(Call),
}

/// How a router was told to open a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Way {
    /// RFC 6887.
    Pcp,
    /// RFC 6886.
    NatPmp,
    /// UPnP-IGD.
    Upnp,
}

/// Keeps a UDP port open at one router: by PCP, else NAT-PMP, else UPnP. Who has opened it keeps it; the others are not asked
/// meanwhile. After any call: [`Self::poll_transmit`] until `None`, then wait for [`Self::poll_timeout`] or an answer.
#[derive(Clone, Debug)]
pub struct Opener {
    mapper: Mapper,
    upnp: Upnp,
    upnp_from: Instant,
}

impl Opener {
    /// Opens `port` of this machine, whose address towards `router` is `client`, from `now` on. `nonce` is 12 bytes that nobody
    /// can guess.
    #[must_use]
    pub fn new(router: Ipv4Addr, client: Ipv4Addr, port: u16, nonce: [u8; 12], now: Instant) -> Self {
        let seed = u16::from_be_bytes([nonce[0], nonce[1]]);
        Self {
            mapper: Mapper::new(client, port, nonce, now),
            upnp: Upnp::new(router, client, port, seed, now),
            upnp_from: now.plus_micros(HEAD_START_US),
        }
    }

    /// Where the port is open, as the router says, if that is an address of the internet's; and who says so.
    #[must_use]
    pub fn opened(&self) -> Option<(SocketAddrV4, Way)> {
        let by_mapper = if self.mapper.is_pmp() { Way::NatPmp } else { Way::Pcp };
        let mapped = self.mapper.address().map(|address| (address, by_mapper));
        mapped.or_else(|| self.upnp.address().map(|address| (address, Way::Upnp)))
    }

    /// Whether datagrams are awaited: from the router's port, or to where a search was sent from.
    #[must_use]
    pub fn is_asking(&self) -> bool {
        (self.mapper.is_asking() && !self.upnp.is_mapped()) || self.is_searching()
    }

    /// Whether answers to a search are awaited.
    #[must_use]
    pub fn is_searching(&self) -> bool {
        self.upnp.is_searching() && !self.mapper.is_mapped()
    }

    /// Takes a datagram that came from the router's [`PORT`](crate::PORT).
    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        // While UPnP opens the port, it is not to be opened twice.
        if !self.upnp.is_mapped() && !self.upnp.is_calling() {
            self.mapper.handle_datagram(now, datagram);
        }
    }

    /// Takes a datagram that came from `from` to where a search was sent from.
    pub fn handle_found(&mut self, now: Instant, from: SocketAddrV4, datagram: &[u8]) {
        if self.is_searching() {
            self.upnp.handle_found(now, from, datagram);
        }
    }

    /// Takes what came back for the last call: all of it, up to where [`is_whole`](crate::is_whole) says so or the connection ended.
    pub fn handle_response(&mut self, now: Instant, bytes: &[u8]) {
        self.upnp.handle_response(now, bytes);
    }

    /// The last call brought nothing: nobody was there, or it took too long.
    pub fn handle_failure(&mut self, now: Instant) {
        self.upnp.handle_failure(now);
    }

    /// What is to be sent now, if anything is.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut [u8; MESSAGE_MAX]) -> Option<Transmit> {
        if !self.upnp.is_mapped()
            && let Some(len) = self.mapper.poll_transmit(now, out)
        {
            return Some(Transmit::Router(len));
        }
        if self.mapper.is_mapped() || !self.is_upnp_due(now) {
            return None;
        }
        self.upnp.poll_transmit(now).map(|transmit| match transmit {
            UpnpTransmit::Search(datagram) => Transmit::Search(datagram),
            UpnpTransmit::Call(call) => Transmit::Call(call),
        })
    }

    /// When [`Self::poll_transmit`] has something to say or to forget.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        if self.upnp.is_mapped() {
            return self.upnp.poll_timeout();
        }
        let mapper = self.mapper.poll_timeout();
        if self.mapper.is_mapped() {
            return mapper;
        }
        let upnp = self.upnp.poll_timeout();
        mapper.min(if self.mapper.has_given_up() { upnp } else { upnp.max(self.upnp_from) })
    }

    /// The port is needed no more: the router is told once, if it has opened it.
    pub fn close(&mut self, now: Instant) {
        self.mapper.close(now);
        self.upnp.close(now);
        self.upnp_from = now;
    }

    fn is_upnp_due(&self, now: Instant) -> bool {
        now >= self.upnp_from || self.mapper.has_given_up()
    }
}
