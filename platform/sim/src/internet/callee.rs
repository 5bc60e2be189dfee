//! A host that those reach whom an introducer sends.

use core::net::{SocketAddr, SocketAddrV4};

use rift::crypto::Side;
use rift::paths::{CandidateKind, Candidates, Punch, StunClient};
use rift::wire::relay::{ENVELOPE_LEN, Envelope};
use rift::wire::signal::Signal;
use rift::wire::{Kind, stun};
use rift::{Instant, PublicKey};

use super::{Introducer, Port};
use crate::network::Host;
use crate::packet::{NodeId, Packet};
use crate::peer::{HostPeer, earlier};
use crate::random::Random;

/// The gateway is told again so often that the host is there, which keeps the NAT before it awake.
const PRESENT_US: u64 = 10_000_000;

/// A host with its candidates, introductions and lease; see [`super`].
#[derive(Debug)]
pub struct Callee {
    port: Port,
    gateway: SocketAddrV4,
    key: PublicKey,
    stun: StunClient,
    candidates: Candidates,
    present_at: Option<Instant>,
    /// The newest introduction, and the one before, whose checks may still be under way.
    punches: [Option<Punch>; 2],
    relays: Vec<(SocketAddr, [u8; 8])>,
    host: HostPeer,
}

impl Callee {
    /// `host`, of this key, behind `port`, which announces itself at `gateway` from `now` on.
    #[must_use]
    pub fn new(
        port: Port,
        gateway: SocketAddrV4,
        key: PublicKey,
        host: HostPeer,
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
            key,
            candidates,
            present_at: None,
            punches: [None, None],
            relays: Vec::new(),
            host,
        }
    }

    /// The host itself.
    #[must_use]
    pub const fn host(&self) -> &HostPeer {
        &self.host
    }

    fn on_signal(&mut self, now: Instant, signal: Signal) {
        if let Signal::Lease(lease) = signal {
            // The name of the way does not change with the lease: what was under way under the old tag goes on.
            self.relays.retain(|(relay, _)| *relay != lease.relay);
            self.relays.push((lease.relay, lease.tag));
            self.port.send(lease.relay, &Envelope::head(lease.tag));
        } else if let Signal::Introduction(met) = signal {
            self.punches.swap(0, 1);
            let punch = Punch::new(now, Side::Responder, &met.secret, &self.candidates, &met.candidates);
            self.punches[0] = Some(punch);
        }
    }

    fn work(&mut self, now: Instant) {
        if let Some(address) = self.stun.address()
            && self.present_at.is_none()
        {
            let _ = self.candidates.push(CandidateKind::Reflexive, address);
            self.present_at = Some(now);
        }
        if self.present_at.is_some_and(|at| at <= now) {
            let signal = Signal::Present { is_host: true, candidates: self.candidates.clone() };
            self.port.send(self.gateway.into(), &Introducer::message(&self.key, &signal));
            for &(relay, tag) in &self.relays {
                self.port.send(relay, &Envelope::head(tag));
            }
            self.present_at = Some(now.plus_micros(PRESENT_US));
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
                for punch in self.punches.iter_mut().flatten() {
                    let _ = punch.handle_datagram(now, from.into(), &packet.bytes);
                }
                return;
            }
            Some(Kind::Relayed) => {
                packet.bytes.drain(..ENVELOPE_LEN);
            }
            _ => {}
        }
        packet.from = NodeId::of_address(from);
        self.host.handle_packet(now, packet);
    }
}

impl Host for Callee {
    fn handle_packet(&mut self, now: Instant, packet: &mut Packet) {
        let Some(from) = self.port.receive(packet) else { return };
        self.take(now, from, packet);
        self.work(now);
    }

    fn poll_packet(&mut self, now: Instant, packet: &mut Packet) -> bool {
        self.work(now);
        let mut out = [0; 64];
        if let Some((len, to)) = self.stun.poll_transmit(now, &mut out[..stun::REQUEST_LEN]) {
            self.port.send(to, &out[..len]);
        }
        for punch in self.punches.iter_mut().flatten() {
            while let Some((len, to)) = punch.poll_transmit(now, &mut out) {
                self.port.send(to, &out[..len]);
            }
        }
        if self.port.poll(packet) {
            return true;
        }
        if !self.host.poll_packet(now, packet) {
            return false;
        }
        let to = packet.to.address().expect("clients are named by addresses");
        if let Some((_, tag)) = self.relays.iter().find(|(relay, _)| *relay == SocketAddr::V4(to)) {
            packet.bytes.splice(..0, Envelope::head(*tag));
        }
        self.port.post(packet, to);
        true
    }

    fn next_wake(&mut self) -> Option<Instant> {
        let punches = self.punches.iter().flatten().filter_map(Punch::poll_timeout).min();
        let own = earlier(self.stun.poll_timeout(), self.present_at);
        earlier(earlier(self.host.next_wake(), punches), own)
    }

    fn handle_wake(&mut self, now: Instant) {
        for punch in self.punches.iter_mut().flatten() {
            punch.handle_timeout(now);
        }
        self.host.handle_wake(now);
        self.work(now);
    }
}
