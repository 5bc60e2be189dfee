//! A client that finds its host through an introducer.

use core::net::{SocketAddr, SocketAddrV4};

use rift::paths::{Agent, CandidateKind, Candidates, Step, StunClient, Via};
use rift::wire::relay::{ENVELOPE_LEN, Envelope};
use rift::wire::signal::Signal;
use rift::wire::{Kind, stun};
use rift::{Callee, Config, Identity, Instant, PublicKey};

use super::{Introducer, Port};
use crate::network::Host;
use crate::packet::{NodeId, Packet};
use crate::peer::{ClientPeer, Typist, earlier};
use crate::random::Random;

/// A lease's binding, and the NATs before the relay, are kept awake this often.
const KEEP_US: u64 = 10_000_000;
/// A host that is not there yet is asked for again after this long.
const AGAIN_US: u64 = 500_000;

/// A client and its choice of paths; see [`super`].
#[derive(Debug)]
pub struct Caller {
    port: Port,
    gateway: SocketAddrV4,
    config: Config,
    identity: Identity,
    host: PublicKey,
    random: Random,
    counter: u64,
    stun: StunClient,
    candidates: Candidates,
    agent: Agent,
    relay: Option<(SocketAddr, [u8; 8])>,
    keep_at: Option<Instant>,
    again_at: Option<Instant>,
    client: Option<Box<ClientPeer>>,
    typist: Option<Typist>,
    is_established: bool,
    events_seen: usize,
    requests: u16,
    /// When each way came into use.
    pub ways: Vec<(Instant, Via)>,
}

impl Caller {
    /// A client behind `port` that looks for `host` at `gateway` from `now` on.
    #[must_use]
    pub fn new(
        port: Port,
        gateway: SocketAddrV4,
        config: Config,
        identity: Identity,
        host: PublicKey,
        now: Instant,
        mut random: Random,
    ) -> Self {
        let id = core::array::from_fn(|_| random.next_u64().to_be_bytes()[0]);
        let mut candidates = Candidates::new();
        candidates.push(CandidateKind::Host, port.address().into()).expect("an address of its own");
        Self {
            stun: StunClient::new(now, gateway.into(), id),
            port,
            gateway,
            config,
            identity,
            host,
            random,
            counter: 0,
            candidates,
            agent: Agent::new(),
            relay: None,
            keep_at: None,
            again_at: None,
            client: None,
            typist: None,
            is_established: false,
            events_seen: 0,
            requests: 0,
            ways: Vec::new(),
        }
    }

    /// Its session's client, once it called.
    #[must_use]
    pub fn client(&self) -> Option<&ClientPeer> {
        self.client.as_deref()
    }

    /// Its choice of paths.
    #[must_use]
    pub const fn agent(&self) -> &Agent {
        &self.agent
    }

    /// Who types once there is a session.
    pub fn set_typist(&mut self, typist: Typist) {
        match &mut self.client {
            Some(client) => client.typist = Some(typist),
            None => self.typist = Some(typist),
        }
    }

    fn introduce(&mut self) {
        self.requests += 1;
        let candidates = self.candidates.clone();
        let signal = Signal::Introduce { request: self.requests, peer: self.host, candidates };
        self.port.send(self.gateway.into(), &Introducer::message(&self.identity.public(), &signal));
    }

    fn on_signal(&mut self, now: Instant, signal: Signal) {
        match signal {
            Signal::Lease(lease) => {
                self.relay = Some((lease.relay, lease.tag));
                self.keep_at = Some(now);
            }
            Signal::Introduction(met) => {
                self.agent.meet(now, &met.secret, &self.candidates, &met.candidates, met.has_lease);
            }
            Signal::Enrol { .. }
            | Signal::Present { .. }
            | Signal::LookUp { .. }
            | Signal::Introduce { .. }
            | Signal::Grant { .. }
            | Signal::Welcome { .. }
            | Signal::Found { .. }
            | Signal::Path { .. }
            | Signal::Measured(_)
            | Signal::Beat(_)
            | Signal::Grants(_)
            | Signal::Relays(_)
            | Signal::LeaseKeys(_) => {}
            Signal::Refused { .. } => self.again_at = Some(now.plus_micros(AGAIN_US)),
        }
    }

    /// The name of the way by which a path leads, as the client knows it.
    fn name(&self, via: Via) -> NodeId {
        let address = match via {
            Via::Direct(address) => address,
            Via::Relay => self.relay.expect("a relay is used with a lease").0,
        };
        let SocketAddr::V4(address) = address else { panic!("no IPv6 here") };
        NodeId::of_address(address)
    }

    fn call(&mut self, now: Instant, via: Via) {
        self.counter += 1;
        let callee = Callee { host: self.host, counter: self.counter, token: None };
        let name = self.name(via);
        let (config, identity) = (&self.config, &self.identity);
        let client = ClientPeer::calling(config, identity, &callee, name, &mut self.random, now);
        match &mut self.client {
            Some(before) => before.go_on_as(client),
            None => self.client.insert(Box::new(client)).typist = self.typist.take(),
        }
        self.is_established = false;
    }

    /// Tells the agent what the session did, and does what the agent wants.
    fn work(&mut self, now: Instant) {
        if let Some(address) = self.stun.address().filter(|_| self.requests == 0) {
            let _ = self.candidates.push(CandidateKind::Reflexive, address);
            self.introduce();
        }
        if self.again_at.take_if(|at| *at <= now).is_some() {
            self.introduce();
        }
        if let Some(client) = &self.client {
            let session = client.session();
            if session.is_established() && !self.is_established {
                self.is_established = true;
                self.agent.on_established(now);
            }
            for (_, event) in &client.events[self.events_seen..] {
                self.agent.on_event(now, event, session.path());
            }
            self.events_seen = client.events.len();
        }
        while let Some(step) = self.agent.poll_step(now) {
            match step {
                Step::Introduce => self.introduce(),
                Step::Begin(via) => self.call(now, via),
                Step::Open { path, via } => {
                    let name = self.name(via);
                    let client = self.client.as_mut().expect("a path is opened in a session");
                    if client.open_path(now, path, name).is_err() {
                        self.agent.on_not_opened(now, path);
                    }
                }
                Step::Use(path) => {
                    let client = self.client.as_mut().expect("a path is used in a session");
                    client.session_mut().use_path(now, path).expect("it was proven");
                }
                Step::Close(path) => {
                    let client = self.client.as_mut().expect("a path is closed in a session");
                    client.session_mut().close_path(path);
                }
            }
        }
        if let Some(via) = self.agent.in_use()
            && self.ways.last().is_none_or(|&(_, last)| last != via)
        {
            self.ways.push((now, via));
        }
        if self.keep_at.is_some_and(|at| at <= now)
            && let Some((relay, tag)) = self.relay
        {
            self.port.send(relay, &Envelope::head(tag));
            self.keep_at = Some(now.plus_micros(KEEP_US));
        }
    }

    fn take(&mut self, now: Instant, from: SocketAddrV4, packet: &mut Packet) {
        if let Some((_, signal)) = Introducer::parse(&packet.bytes) {
            return self.on_signal(now, signal);
        }
        match packet.bytes.first().and_then(|&first| Kind::of(first)) {
            Some(Kind::Stun) => {
                self.stun.handle_datagram(from.into(), &packet.bytes);
                return;
            }
            Some(Kind::Probe) => {
                let _ = self.agent.handle_datagram(now, from.into(), &packet.bytes);
                return;
            }
            Some(Kind::Relayed) => {
                packet.bytes.drain(..ENVELOPE_LEN);
            }
            _ => {}
        }
        packet.to = NodeId::of_address(from);
        if let Some(client) = &mut self.client {
            client.handle_packet(now, packet);
        }
    }

    /// Where what the client writes goes: it names the way as its own address, but for the first path.
    fn address(&self, packet: &mut Packet) {
        let name = packet.from.address().map_or(packet.to, NodeId::of_address);
        let to = name.address().expect("ways are named by addresses");
        packet.from = NodeId::default();
        if let Some((_, tag)) = self.relay.filter(|(relay, _)| *relay == SocketAddr::V4(to)) {
            packet.bytes.splice(..0, Envelope::head(tag));
        }
        self.port.post(packet, to);
    }
}

impl Host for Caller {
    fn handle_packet(&mut self, now: Instant, packet: &mut Packet) {
        let Some(from) = self.port.receive(packet) else { return };
        self.take(now, from, packet);
        self.work(now);
    }

    fn poll_packet(&mut self, now: Instant, packet: &mut Packet) -> bool {
        let node = packet.from;
        self.work(now);
        let mut out = [0; 64];
        if let Some((len, to)) = self.stun.poll_transmit(now, &mut out[..stun::REQUEST_LEN]) {
            self.port.send(to, &out[..len]);
        }
        while let Some((len, to)) = self.agent.poll_transmit(now, &mut out) {
            self.port.send(to, &out[..len]);
        }
        if self.port.poll(packet) {
            return true;
        }
        let is_sent = self.client.as_mut().is_some_and(|client| client.poll_packet(now, packet));
        if is_sent {
            self.address(packet);
            packet.from = node;
        }
        is_sent
    }

    fn next_wake(&mut self) -> Option<Instant> {
        let client = self.client.as_mut().and_then(|client| client.next_wake());
        let paths = earlier(earlier(self.stun.poll_timeout(), self.keep_at), self.again_at);
        earlier(earlier(client, paths), self.agent.poll_timeout())
    }

    fn handle_wake(&mut self, now: Instant) {
        if let Some(client) = &mut self.client {
            client.handle_wake(now);
        }
        self.work(now);
    }
}
