//! A model of a gateway: answers STUN, remembers who is where, and introduces whoever asks. Its messages are those of
//! SPEC §18.3, each in a datagram of its own behind the sender's key, where a real gateway has sessions.

use core::net::{SocketAddr, SocketAddrV4};
use std::collections::BTreeMap;

use rift::limits::SIGNAL_LEN_MAX;
use rift::paths::relay::Lease;
use rift::paths::{Candidates, MeetingSecret};
use rift::wire::signal::{Introduction, SIGNAL_HEAD_LEN, Signal, SignalReason};
use rift::wire::{Kind, stun};
use rift::{Instant, PublicKey};

use super::Port;
use crate::network::Host;
use crate::packet::Packet;
use crate::random::Random;

/// What is no RIFT begins so.
const FIRST: u8 = 0xfe;

/// A gateway that believes everybody; see the module.
#[derive(Debug)]
pub struct Introducer {
    port: Port,
    random: Random,
    /// The relay it has leases for, if any.
    relay: Option<SocketAddrV4>,
    present: BTreeMap<PublicKey, (SocketAddrV4, Candidates)>,
    /// Introductions made.
    pub introductions: u64,
}

impl Introducer {
    /// A gateway behind this socket; with a `relay`, every introduction comes with leases for it.
    #[must_use]
    pub const fn new(port: Port, relay: Option<SocketAddrV4>, random: Random) -> Self {
        Self { port, random, relay, present: BTreeMap::new(), introductions: 0 }
    }

    /// A message to a gateway.
    pub(super) fn message(sender: &PublicKey, signal: &Signal) -> Vec<u8> {
        let mut out = [0; SIGNAL_LEN_MAX];
        let len = signal.emit(&mut out).expect("every message fits");
        [&[FIRST], &sender.as_bytes()[..], &out[..len]].concat()
    }

    /// A message from a device or a gateway.
    pub(super) fn parse(datagram: &[u8]) -> Option<(PublicKey, Signal)> {
        let (&key, rest) = datagram.strip_prefix(&[FIRST])?.split_first_chunk::<32>()?;
        let (head, body) = rest.split_at_checked(SIGNAL_HEAD_LEN)?;
        Some((PublicKey::from_bytes(key), Signal::parse(head[0], body)?))
    }

    fn on_introduce(
        &mut self,
        caller: PublicKey,
        from: SocketAddrV4,
        request: u16,
        callee: PublicKey,
        candidates: Candidates,
    ) {
        let Some((to, theirs)) = self.present.get(&callee).cloned() else {
            let refused = Signal::Refused { request, reason: SignalReason::NotFound };
            return self.port.send(from.into(), &Self::message(&callee, &refused));
        };
        self.introductions += 1;
        let (secret, tag) = (self.random.bytes32(), self.random.next_u64().to_be_bytes());
        for (to, request, calls, peer, candidates) in
            [(from, request, true, callee, theirs), (to, 0, false, caller, candidates)]
        {
            let introduction = Introduction {
                request,
                calls,
                peer,
                secret: MeetingSecret::from_bytes(secret),
                candidates,
                has_lease: self.relay.is_some(),
            };
            // The lease comes first here, so that whoever is introduced has it.
            if let Some(relay) = self.relay {
                let lease = Lease {
                    relay: relay.into(),
                    relay_key: callee,
                    tag,
                    secret: [0; 32],
                    expires_s: 0,
                    token: Default::default(),
                };
                self.port.send(to.into(), &Self::message(&peer, &Signal::Lease(lease)));
            }
            self.port.send(to.into(), &Self::message(&peer, &Signal::Introduction(introduction)));
        }
    }
}

impl Host for Introducer {
    fn handle_packet(&mut self, _now: Instant, packet: &mut Packet) {
        let Some(from) = self.port.receive(packet) else { return };
        if packet.bytes.first().and_then(|&first| Kind::of(first)) == Some(Kind::Stun) {
            let mut out = [0; stun::ANSWER_LEN_MAX];
            if let Some(len) = stun::answer(&packet.bytes, SocketAddr::V4(from), &mut out) {
                self.port.send(from.into(), &out[..len]);
            }
            return;
        }
        let Some((sender, signal)) = Self::parse(&packet.bytes) else { return };
        if let Signal::Present { candidates, .. } = signal {
            self.present.insert(sender, (from, candidates));
        } else if let Signal::Introduce { request, peer, candidates } = signal {
            self.on_introduce(sender, from, request, peer, candidates);
        }
    }

    fn poll_packet(&mut self, _now: Instant, packet: &mut Packet) -> bool {
        self.port.poll(packet)
    }

    fn next_wake(&mut self) -> Option<Instant> {
        None
    }

    fn handle_wake(&mut self, _now: Instant) {}
}
