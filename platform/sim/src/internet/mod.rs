//! An internet between nodes: addresses, NATs, and the four that meet over it.
//!
//! [`Internet`] is a host of a [`Network`](crate::Network) to which every other node has one link each way; it carries
//! their datagrams by address and lets each NAT on the way have its say. Nodes speak through a [`Port`], which puts
//! addresses before their datagrams. [`Caller`] and [`Callee`] are a client and a host that find each other by
//! [`rift::paths`]; [`Introducer`] and [`Forwarder`] are models of a gateway and a relay, without sessions or leases
//! that anybody verifies. [`World`] is one of each.

mod callee;
mod caller;
mod forwarder;
mod introducer;
mod member;
mod nat;
mod port;
mod world;

pub use callee::Callee;
pub use caller::Caller;
pub use forwarder::Forwarder;
pub use introducer::Introducer;
pub use member::Member;
pub use nat::{Dependence, Nat, NatConfig};
pub use port::Port;
pub use world::{World, WorldConfig};

use core::net::{Ipv4Addr, SocketAddrV4};
use std::collections::VecDeque;

use rift::Instant;

use crate::network::Host;
use crate::packet::{NodeId, Packet};
use crate::random::Random;

/// Bytes of the addresses before a datagram.
pub const HEAD_LEN: usize = 12;

/// Which NAT of an internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NatId(usize);

/// What became of packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InternetStats {
    /// They reached a node.
    pub delivered: u64,
    /// A NAT let them not in.
    pub filtered: u64,
    /// A NAT had no port for them.
    pub without_port: u64,
    /// Nobody has the address.
    pub unroutable: u64,
    /// The way was cut.
    pub cut: u64,
}

#[derive(Debug)]
struct Place {
    node: NodeId,
    ip: Ipv4Addr,
    behind: Option<NatId>,
}

#[derive(Debug)]
struct Router {
    nat: Nat,
    behind: Option<NatId>,
}

enum Lost {
    Filtered,
    WithoutPort,
    Unroutable,
}

/// Carries datagrams between addresses; see the module.
#[derive(Debug, Default)]
pub struct Internet {
    places: Vec<Place>,
    routers: Vec<Router>,
    cuts: Vec<(NodeId, NodeId)>,
    outbox: VecDeque<(NodeId, Vec<u8>)>,
    /// What became of packets so far.
    pub stats: InternetStats,
}

impl Internet {
    /// Nobody is on it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a NAT, itself behind another one if `behind` says so: a carrier's.
    pub fn add_nat(
        &mut self,
        config: NatConfig,
        outside: Ipv4Addr,
        behind: Option<NatId>,
        random: Random,
    ) -> NatId {
        self.routers.push(Router { nat: Nat::new(config, outside, random), behind });
        NatId(self.routers.len() - 1)
    }

    /// Gives a node its address: a public one, or one behind a NAT.
    pub fn place(&mut self, node: NodeId, ip: Ipv4Addr, behind: Option<NatId>) {
        self.places.push(Place { node, ip, behind });
    }

    /// A NAT.
    #[must_use]
    pub fn nat(&self, id: NatId) -> &Nat {
        &self.routers[id.0].nat
    }

    /// Nothing passes between these two nodes any more, either way.
    pub fn cut(&mut self, one: NodeId, other: NodeId) {
        self.cuts.push((one, other));
    }

    /// Everything passes again.
    pub fn mend(&mut self) {
        self.cuts.clear();
    }

    /// Where a datagram ends, and the addresses that its receiver sees.
    fn carry(
        &mut self,
        now: Instant,
        from: NodeId,
        source: SocketAddrV4,
        target: SocketAddrV4,
    ) -> Result<(NodeId, SocketAddrV4, SocketAddrV4), Lost> {
        let place = self.places.iter().find(|place| place.node == from).ok_or(Lost::Unroutable)?;
        let (mut source, mut realm) = (source, place.behind);
        loop {
            match self.deliver(now, realm, source, target) {
                Err(Lost::Unroutable) => {}
                outcome => return outcome,
            }
            let NatId(at) = realm.ok_or(Lost::Unroutable)?;
            let router = &mut self.routers[at];
            let is_hairpin = router.nat.outside() == *target.ip();
            if is_hairpin && !router.nat.config().hairpin {
                return Err(Lost::Filtered);
            }
            source = router.nat.outward(now, source, target).ok_or(Lost::WithoutPort)?;
            realm = router.behind;
        }
    }

    /// Within a realm and the NATs that stand in it.
    fn deliver(
        &mut self,
        now: Instant,
        realm: Option<NatId>,
        source: SocketAddrV4,
        target: SocketAddrV4,
    ) -> Result<(NodeId, SocketAddrV4, SocketAddrV4), Lost> {
        let (mut realm, mut target) = (realm, target);
        loop {
            let is_it = |place: &&Place| place.behind == realm && place.ip == *target.ip();
            if let Some(place) = self.places.iter().find(is_it) {
                return Ok((place.node, source, target));
            }
            let is_it = |router: &Router| router.behind == realm && router.nat.outside() == *target.ip();
            let at = self.routers.iter().position(is_it).ok_or(Lost::Unroutable)?;
            target = self.routers[at].nat.inward(now, target.port(), source).ok_or(Lost::Filtered)?;
            realm = Some(NatId(at));
        }
    }
}

impl Host for Internet {
    fn handle_packet(&mut self, now: Instant, packet: &mut Packet) {
        let Some((source, target)) = addresses(&packet.bytes) else { return };
        match self.carry(now, packet.from, source, target) {
            Ok((node, source, target)) => {
                let between = |&(one, other): &(NodeId, NodeId)| {
                    [(one, other), (other, one)].contains(&(packet.from, node))
                };
                if self.cuts.iter().any(between) {
                    self.stats.cut += 1;
                    return;
                }
                self.stats.delivered += 1;
                let mut bytes = head(source, target).to_vec();
                bytes.extend_from_slice(&packet.bytes[HEAD_LEN..]);
                self.outbox.push_back((node, bytes));
            }
            Err(Lost::Filtered) => self.stats.filtered += 1,
            Err(Lost::WithoutPort) => self.stats.without_port += 1,
            Err(Lost::Unroutable) => self.stats.unroutable += 1,
        }
    }

    fn poll_packet(&mut self, _now: Instant, packet: &mut Packet) -> bool {
        let Some((to, bytes)) = self.outbox.pop_front() else { return false };
        packet.to = to;
        packet.bytes.extend_from_slice(&bytes);
        true
    }

    fn next_wake(&mut self) -> Option<Instant> {
        None
    }

    fn handle_wake(&mut self, _now: Instant) {}
}

/// The addresses before a datagram, as bytes.
#[must_use]
pub fn head(source: SocketAddrV4, target: SocketAddrV4) -> [u8; HEAD_LEN] {
    let [source, target] = [source, target].map(|end| (end.ip().octets(), end.port().to_be_bytes()));
    let mut head = [0; HEAD_LEN];
    head[..4].copy_from_slice(&source.0);
    head[4..6].copy_from_slice(&source.1);
    head[6..10].copy_from_slice(&target.0);
    head[10..].copy_from_slice(&target.1);
    head
}

/// The addresses before a datagram: from where, and where to.
#[must_use]
pub fn addresses(bytes: &[u8]) -> Option<(SocketAddrV4, SocketAddrV4)> {
    let (head, _) = bytes.split_first_chunk::<HEAD_LEN>()?;
    let end = |at: usize| {
        let ip = Ipv4Addr::new(head[at], head[at + 1], head[at + 2], head[at + 3]);
        SocketAddrV4::new(ip, u16::from_be_bytes([head[at + 4], head[at + 5]]))
    };
    Some((end(0), end(6)))
}
