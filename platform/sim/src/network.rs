//! Hosts, the links between them, and the heap of what happens next.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use rift::{Ecn, Instant};

use crate::clock::Clock;
use crate::event::{Event, Line, What};
use crate::hash::TraceHash;
use crate::link::{Link, LinkConfig, LinkId, LinkStats};
use crate::packet::{Captured, Fate, NodeId, NodeStats, Packet, Pool};
use crate::random::Random;
use crate::time::Time;

/// Packets or wakes at one instant after which a host is taken to be stuck in a loop.
const SPIN_MAX: u32 = 100_000;

/// A sans-I/O program on the network. Times are those of its own [`Clock`].
///
/// After each call of [`Self::handle_packet`] or [`Self::handle_wake`] the network calls [`Self::poll_packet`]
/// until it returns `false`, then asks [`Self::next_wake`].
pub trait Host {
    /// A packet arrived. Its buffer may be changed in place; it is recycled afterwards.
    fn handle_packet(&mut self, now: Instant, packet: &mut Packet);

    /// Writes the next packet to send into `packet` (bytes, ecn, to; `bytes` comes empty) and returns `true`,
    /// or returns `false` when there is none now.
    fn poll_packet(&mut self, now: Instant, packet: &mut Packet) -> bool;

    /// When [`Self::handle_wake`] wants to be called next.
    fn next_wake(&mut self) -> Option<Instant>;

    /// The time it asked for has come. May be spurious.
    fn handle_wake(&mut self, now: Instant);
}

impl<H: Host + ?Sized> Host for Box<H> {
    fn handle_packet(&mut self, now: Instant, packet: &mut Packet) {
        (**self).handle_packet(now, packet);
    }

    fn poll_packet(&mut self, now: Instant, packet: &mut Packet) -> bool {
        (**self).poll_packet(now, packet)
    }

    fn next_wake(&mut self) -> Option<Instant> {
        (**self).next_wake()
    }

    fn handle_wake(&mut self, now: Instant) {
        (**self).handle_wake(now);
    }
}

/// Addresses beside the nodes' own begin here.
const FIRST_ALIAS: usize = 1 << 16;

type Tamper = Box<dyn FnMut(Time, &mut Packet) -> Fate>;

/// A network of hosts in virtual time.
pub struct Network<H> {
    now: Time,
    counter: u64,
    events: BinaryHeap<Event>,
    nodes: Vec<Node<H>>,
    links: Vec<Link>,
    /// What is on its way over each of them.
    lines: Vec<Line>,
    routes: BTreeMap<(NodeId, NodeId), Box<[LinkId]>>,
    /// Further addresses and whose they are.
    aliases: BTreeMap<NodeId, NodeId>,
    /// Addresses at which nobody is any more.
    dead: BTreeSet<NodeId>,
    random: Random,
    pool: Pool,
    hash: TraceHash,
    traced: bool,
    tap: Option<Vec<Captured>>,
    tamper: Option<Tamper>,
}

struct Node<H> {
    host: H,
    /// What its packets come from unless it says otherwise.
    address: NodeId,
    clock: Clock,
    stats: NodeStats,
    /// The wake that counts; others in the heap are stale.
    wake_at: Option<Time>,
    started: bool,
    spins: (Time, u32),
}

impl<H: Host> Network<H> {
    /// An empty network; `seed` decides everything that is left to chance.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            now: Time::ZERO,
            counter: 0,
            events: BinaryHeap::new(),
            nodes: Vec::new(),
            links: Vec::new(),
            lines: Vec::new(),
            routes: BTreeMap::new(),
            aliases: BTreeMap::new(),
            dead: BTreeSet::new(),
            random: Random::new(seed),
            pool: Pool::default(),
            hash: TraceHash::new(),
            traced: true,
            tap: None,
            tamper: None,
        }
    }

    /// Adds a host with its clock. It is first polled by the next [`Self::run_until`].
    pub fn add_host(&mut self, host: H, clock: Clock) -> NodeId {
        let node = Node {
            host,
            address: NodeId(self.nodes.len()),
            clock,
            stats: NodeStats::default(),
            wake_at: None,
            started: false,
            spins: (Time::ZERO, 0),
        };
        self.nodes.push(node);
        NodeId(self.nodes.len() - 1)
    }

    /// Adds one direction of a link, with chances of its own.
    pub fn add_link(&mut self, config: LinkConfig) -> LinkId {
        let random = self.random.fork(self.links.len() as u64);
        self.links.push(Link::new(config, random));
        self.lines.push(Line::default());
        LinkId(self.links.len() - 1)
    }

    /// Gives `node` another address, over the same links. Packets it sends with it as their `from` come from there.
    pub fn add_address(&mut self, node: NodeId) -> NodeId {
        let address = NodeId(FIRST_ALIAS + self.aliases.len());
        let like = self.nodes[node.0].address;
        self.aliases.insert(address, node);
        for ((from, to), links) in self.routes.clone() {
            let swap = |end: NodeId| if end == like { address } else { end };
            self.routes.insert((swap(from), swap(to)), links);
        }
        address
    }

    /// Changes the address of `node`, as a NAT does that has forgotten it: nothing reaches the old one any more.
    pub fn rebind(&mut self, node: NodeId) -> NodeId {
        let (before, address) = (self.nodes[node.0].address, self.add_address(node));
        self.nodes[node.0].address = address;
        self.kill_address(before);
        address
    }

    /// What packets of `node` come from unless it says otherwise.
    #[must_use]
    pub fn address(&self, node: NodeId) -> NodeId {
        self.nodes[node.0].address
    }

    /// Packets of `node` come from this address of its own from now on. The one before stays alive.
    pub fn set_address(&mut self, node: NodeId, address: NodeId) {
        self.nodes[node.0].address = address;
    }

    /// Nothing leaves or reaches this address any more.
    pub fn kill_address(&mut self, address: NodeId) {
        self.dead.insert(address);
    }

    /// Brings an address back.
    pub fn revive_address(&mut self, address: NodeId) {
        self.dead.remove(&address);
    }

    /// Packets from `from` to `to` take these links in this order. Routes may share links: a bottleneck.
    pub fn route(&mut self, from: NodeId, to: NodeId, links: &[LinkId]) {
        self.routes.insert((from, to), links.into());
    }

    /// Joins two hosts by a link each way; returns `a` → `b` and `b` → `a`.
    pub fn connect(&mut self, a: NodeId, b: NodeId, there: LinkConfig, back: LinkConfig) -> (LinkId, LinkId) {
        let links = (self.add_link(there), self.add_link(back));
        self.route(a, b, &[links.0]);
        self.route(b, a, &[links.1]);
        links
    }

    /// The present.
    #[must_use]
    pub const fn now(&self) -> Time {
        self.now
    }

    /// What the host's clock shows now.
    #[must_use]
    pub fn local(&self, node: NodeId) -> Instant {
        self.nodes[node.0].clock.local(self.now)
    }

    /// A host.
    #[must_use]
    pub fn host(&self, node: NodeId) -> &H {
        &self.nodes[node.0].host
    }

    /// A host, to set it up before the start: it is not polled afterwards, as [`Self::act`] does.
    pub fn host_mut(&mut self, node: NodeId) -> &mut H {
        &mut self.nodes[node.0].host
    }

    /// Does something to a host at the present time, then lets it send and set its wake.
    pub fn act<R>(&mut self, node: NodeId, action: impl FnOnce(&mut H, Instant) -> R) -> R {
        let local = self.local(node);
        let result = action(&mut self.nodes[node.0].host, local);
        self.drain(node);
        result
    }

    /// What a host sent and received so far.
    #[must_use]
    pub fn node_stats(&self, node: NodeId) -> NodeStats {
        self.nodes[node.0].stats
    }

    /// What a link did so far.
    #[must_use]
    pub fn link_stats(&self, link: LinkId) -> &LinkStats {
        &self.links[link.0].stats
    }

    /// The same, to take what it recorded.
    pub fn link_stats_mut(&mut self, link: LinkId) -> &mut LinkStats {
        &mut self.links[link.0].stats
    }

    /// Payload and overhead bytes that wait in a link's queue now.
    #[must_use]
    pub fn queued_bytes(&self, link: LinkId) -> u64 {
        self.links[link.0].queued_bytes()
    }

    /// A link's properties, to change them now; a new rate counts from the next packet's transmission.
    pub fn link_mut(&mut self, link: LinkId) -> &mut LinkConfig {
        &mut self.links[link.0].config
    }

    /// Keeps a copy of every packet from now on, as sent, before any link.
    pub fn record(&mut self) {
        self.tap.get_or_insert_default();
    }

    /// Everything recorded so far.
    #[must_use]
    pub fn captured(&self) -> &[Captured] {
        self.tap.as_deref().unwrap_or_default()
    }

    /// Shows every packet to `tamper` as it is sent, after the tap; it may also change it.
    pub fn set_tamper(&mut self, tamper: impl FnMut(Time, &mut Packet) -> Fate + 'static) {
        self.tamper = Some(Box::new(tamper));
    }

    /// Lets the tamperer go.
    pub fn clear_tamper(&mut self) {
        self.tamper = None;
    }

    /// An attacker's packet reaches `to` after `delay`, as if `from` had sent it. It takes no link.
    pub fn inject(&mut self, delay: Duration, from: NodeId, to: NodeId, bytes: &[u8]) {
        let mut buffer = self.pool.take();
        buffer.extend_from_slice(bytes);
        let packet = Packet { bytes: buffer, ecn: Ecn::NotEct, from, to, sent_at: self.now, hop: usize::MAX };
        self.push(self.now + delay, What::Arrive(packet));
    }

    /// Stops the running hash: [`Self::trace_hash`] stays as it is, and large runs cost less.
    pub fn stop_tracing(&mut self) {
        self.traced = false;
    }

    /// One number for everything sent and received so far, and when: same seed, same hosts, same number.
    #[must_use]
    pub const fn trace_hash(&self) -> u64 {
        self.hash.value()
    }

    /// Runs everything up to and including `end`; it is `end` afterwards.
    pub fn run_until(&mut self, end: Time) {
        for index in 0..self.nodes.len() {
            if !self.nodes[index].started {
                self.nodes[index].started = true;
                self.drain(NodeId(index));
            }
        }
        while self.events.peek().is_some_and(|event| event.at <= end) {
            let event = self.events.pop().expect("it was just peeked at");
            debug_assert!(event.at >= self.now, "nothing happens in the past");
            self.now = event.at;
            self.happen(event.what);
        }
        self.now = self.now.max(end);
    }

    /// Runs for this long.
    pub fn run_for(&mut self, span: Duration) {
        self.run_until(self.now + span);
    }

    /// Runs in steps of `step` until `done`, at most until `end`. Returns whether it was done.
    pub fn run_while(&mut self, end: Time, step: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        while !done(self) {
            if self.now >= end {
                return false;
            }
            self.run_until((self.now + step).min(end));
        }
        true
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Arrive(packet) => self.advance(packet),
            What::Land(link) => {
                let (packet, next) = self.lines[link.0].land();
                if let Some((at, counter)) = next {
                    self.events.push(Event { at, counter, what: What::Land(link) });
                }
                if let Some(packet) = packet {
                    self.advance(packet);
                }
            }
            What::Sent(link) => {
                let departure = self.links[link.0].depart(self.now, &mut self.pool);
                if let Some(at) = departure.next_done {
                    self.push(at, What::Sent(link));
                }
                for (at, mut packet) in departure.arrivals.into_iter().flatten() {
                    packet.hop += 1;
                    self.travel(at, link, packet);
                }
            }
            What::Wake(id) => {
                let node = &mut self.nodes[id.0];
                if node.wake_at == Some(self.now) {
                    node.wake_at = None;
                    node.host.handle_wake(node.clock.local(self.now));
                    self.drain(id);
                }
            }
        }
    }

    fn travel(&mut self, at: Time, link: LinkId, packet: Packet) {
        match self.lines[link.0].join(at, self.counter + 1, packet) {
            Ok(true) => self.push(at, What::Land(link)),
            Ok(false) => self.counter += 1,
            Err(overtakes) => self.push(at, What::Arrive(overtakes)),
        }
    }

    fn advance(&mut self, mut packet: Packet) {
        if self.dead.contains(&packet.from) || self.dead.contains(&packet.to) {
            self.pool.give(packet.bytes);
            return;
        }
        let links = self.routes.get(&(packet.from, packet.to)).map_or(&[][..], |links| links);
        if let Some(&link) = links.get(packet.hop) {
            match self.links[link.0].offer(self.now, packet) {
                Ok(Some(at)) => self.push(at, What::Sent(link)),
                Ok(None) => {}
                Err(refused) => self.pool.give(refused.bytes),
            }
            return;
        }
        self.write_trace(1, &packet);
        let to = self.aliases.get(&packet.to).copied().unwrap_or(packet.to);
        let node = &mut self.nodes[to.0];
        node.stats.received += 1;
        node.stats.received_bytes += packet.bytes.len() as u64;
        node.host.handle_packet(node.clock.local(self.now), &mut packet);
        self.pool.give(packet.bytes);
        self.drain(to);
    }

    /// Takes what a host wants to send now, then its wake.
    fn drain(&mut self, id: NodeId) {
        for round in 0.. {
            assert!(round < SPIN_MAX, "host {} never stops sending at {:?}", id.0, self.now);
            let node = &mut self.nodes[id.0];
            let mut packet = Packet {
                bytes: self.pool.take(),
                from: node.address,
                sent_at: self.now,
                ..Packet::default()
            };
            if !node.host.poll_packet(node.clock.local(self.now), &mut packet) {
                self.pool.give(packet.bytes);
                break;
            }
            let is_own = packet.from == node.address || self.aliases.get(&packet.from) == Some(&id);
            assert!(is_own, "{:?} is no address of host {}", packet.from, id.0);
            (packet.sent_at, packet.hop) = (self.now, 0);
            self.send(packet);
        }
        self.set_wake(id);
    }

    fn set_wake(&mut self, id: NodeId) {
        let node = &mut self.nodes[id.0];
        let wake_at = node.host.next_wake().map(|local| node.clock.global(local).max(self.now));
        if wake_at == node.wake_at {
            return;
        }
        node.wake_at = wake_at;
        let Some(at) = wake_at else { return };
        if at == self.now {
            let spins = if node.spins.0 == self.now { node.spins.1 + 1 } else { 0 };
            assert!(spins < SPIN_MAX, "host {} wakes again and again at {:?}", id.0, self.now);
            node.spins = (self.now, spins);
        }
        self.push(at, What::Wake(id));
    }

    fn send(&mut self, mut packet: Packet) {
        let owner = self.aliases.get(&packet.from).copied().unwrap_or(packet.from);
        let stats = &mut self.nodes[owner.0].stats;
        stats.sent += 1;
        stats.sent_bytes += packet.bytes.len() as u64;
        let routable = self.routes.contains_key(&(packet.from, packet.to));
        stats.unroutable += u64::from(!routable);
        self.write_trace(0, &packet);
        if let Some(tap) = &mut self.tap {
            let Packet { ref bytes, ecn, from, to, .. } = packet;
            tap.push(Captured { at: self.now, from, to, ecn, bytes: bytes.clone() });
        }
        let fate = match &mut self.tamper {
            Some(tamper) => tamper(self.now, &mut packet),
            None => Fate::Pass,
        };
        if !routable || fate == Fate::Drop {
            self.pool.give(packet.bytes);
            return;
        }
        let mut delay = Duration::ZERO;
        if let Fate::Duplicate(later) = fate {
            self.push(self.now + later, What::Arrive(packet.clone()));
        } else if let Fate::Delay(by) = fate {
            delay = by;
        }
        if delay.is_zero() {
            self.advance(packet);
        } else {
            self.push(self.now + delay, What::Arrive(packet));
        }
    }

    fn push(&mut self, at: Time, what: What) {
        self.counter += 1;
        self.events.push(Event { at, counter: self.counter, what });
    }

    fn write_trace(&mut self, kind: u64, packet: &Packet) {
        if !self.traced {
            return;
        }
        self.hash.write_u64(self.now.as_nanos());
        let ends = (packet.from.0 as u64) << 32 | packet.to.0 as u64;
        self.hash.write_u64(ends);
        self.hash.write_u64(kind << 8 | u64::from(packet.ecn.bits()));
        self.hash.write(&packet.bytes);
    }
}

impl<H> core::fmt::Debug for Network<H> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Network")
            .field("now", &self.now)
            .field("nodes", &self.nodes.len())
            .finish_non_exhaustive()
    }
}
