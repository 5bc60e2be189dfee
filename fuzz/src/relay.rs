//! Anything to a relay (SPEC §18.6, §18.8): honest peers of two leases, whose messages somebody records, changes and sends
//! from elsewhere, and envelopes from anywhere.
//!
//! What has to hold: only a message that a peer's key has signed over the relay's own nonce binds, and only where it came
//! from; a packet goes on only from one bound peer of its lease to the other; no answer is longer than what it answers;
//! what is kept is bounded, and so is what passes in a time.

use core::net::SocketAddr;

use rift::limits::LEASE_TOKEN_MAX;
use rift::paths::relay::{Lease, LeaseTerms};
use rift::paths::{Binding, BindingEvent};
use rift::wire::bind::{BIND_LEN_MAX, BindBody, BindMessage, LeaseSide};
use rift::wire::relay::{ENVELOPE_LEN, Envelope};
use rift::{Ecn, Identity, Instant};
use wavry_relay::state::{Cause, Limits, PACKET_LEN_MAX, Relay, Tokens, Verdict};

use crate::bytes::{Bytes, Script};
use crate::pair::START;
use crate::seeds::Seed;

const UNIX: u64 = 1_900_000_000;
const LEASE_S: u64 = 600;
/// Two leases; of each two peers.
const LEASES: usize = 2;
const LIMITS: Limits = Limits { leases: 2, packets: 16, bitrate_bps_max: 4_000_000, tokens_per_s: 1_000 };
/// What may pass at once: a bucket's smallest depth.
const BURST: u64 = 64 * 1_500;
const RECORDED_MAX: usize = 32;
/// Real key agreements cost: no story needs more conversations.
const PATIENCE: usize = 64;

/// Tokens are their tags here, and good until their end.
struct Known([LeaseTerms; LEASES]);

impl Tokens for Known {
    fn verify(&self, token: &[u8], unix_s: u64) -> Option<LeaseTerms> {
        self.0.iter().find(|terms| terms.tag[..] == *token && terms.expires_s > unix_s).copied()
    }
}

fn lease(relay: &Identity, number: u8) -> (LeaseTerms, [Lease; 2]) {
    let (tag, expires_s) = ([number; 8], UNIX + LEASE_S);
    let secrets = [[number; 32], [number + 100; 32]];
    let peers = secrets.map(|secret| Identity::from_secret(secret).public());
    let terms = LeaseTerms { relay: [0; 16], tag, peers, bitrate_bps: u32::MAX, expires_s };
    let shares = secrets.map(|secret| {
        let token: heapless::Vec<u8, LEASE_TOKEN_MAX> = tag.iter().copied().collect();
        Lease { relay: address(0), relay_key: relay.public(), tag, secret, expires_s, token }
    });
    (terms, shares)
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, last % 8], 4000))
}

struct Play {
    relay: Relay,
    tokens: Known,
    now: Instant,
    unix_s: u64,
    /// The peers: lease by lease, caller before callee.
    peers: Vec<Binding>,
    /// Where the relay has to believe each is.
    at: [Option<SocketAddr>; 2 * LEASES],
    /// Every place where it ever had to.
    was: [Vec<SocketAddr>; 2 * LEASES],
    passed: [u64; 2 * LEASES],
    recorded: Vec<(SocketAddr, Vec<u8>)>,
    patience: usize,
}

/// Does what the bytes say; see the module.
pub fn run(data: &[u8]) {
    let identity = Identity::from_secret([9; 32]);
    let leases = [lease(&identity, 1), lease(&identity, 2)];
    let terms = leases.each_ref().map(|(terms, _)| *terms);
    let peers = leases.into_iter().flat_map(|(_, shares)| shares.into_iter().zip(SIDES));
    let mut play = Play {
        relay: Relay::new(identity, [5; 32], LIMITS),
        tokens: Known(terms),
        now: START,
        unix_s: UNIX,
        peers: peers
            .map(|(share, side)| Binding::new(share, side, START).expect("the relay has a key"))
            .collect(),
        at: [None; 2 * LEASES],
        was: Default::default(),
        passed: [0; 2 * LEASES],
        recorded: vec![(address(0), Vec::new())],
        patience: PATIENCE,
    };
    let mut bytes = Bytes::new(data);
    while !bytes.is_empty() {
        play.step(&mut bytes);
        assert!(play.relay.len() <= LIMITS.leases, "{} leases", play.relay.len());
        assert!(play.relay.waiting() <= LIMITS.packets, "{} packets wait", play.relay.waiting());
    }
}

const SIDES: [LeaseSide; 2] = [LeaseSide::Caller, LeaseSide::Callee];

impl Play {
    fn step(&mut self, bytes: &mut Bytes<'_>) {
        match bytes.u8() % 9 {
            0 => self.converse(bytes),
            1 => self.replay(bytes),
            2 => self.forge(bytes),
            3 => {
                let from = address(bytes.u8());
                let datagram = bytes.run(BIND_LEN_MAX).to_vec();
                self.strange(from, &datagram);
            }
            4 | 5 => self.forward(bytes),
            6 => self.wait(bytes),
            7 => self.drain_queue(),
            _ => {
                let peer = bytes.below(self.peers.len());
                match bytes.u8() {
                    renewal @ 0..=63 => self.renew(peer, usize::from(renewal % 4)),
                    255 => self.relay.drain(),
                    _ => self.peers[peer].rebind(self.now),
                }
            }
        }
    }

    /// A peer speaks with the relay from somewhere, for as long as it has something to say.
    fn converse(&mut self, bytes: &mut Bytes<'_>) {
        let (peer, from) = (bytes.below(self.peers.len()), address(bytes.u8()));
        let mut out = [0; BIND_LEN_MAX];
        while self.patience > 0
            && let Some(len) = self.peers[peer].poll_transmit(self.now, &mut out)
        {
            self.patience -= 1;
            if self.recorded.len() < RECORDED_MAX {
                self.recorded.push((from, out[..len].to_vec()));
            }
            let Ok(reply) = self.bind(from, &out[..len]) else { continue };
            let is_bound = BindMessage::parse(&reply)
                .is_some_and(|message| matches!(message.body, BindBody::Bound { .. }));
            if is_bound {
                self.at[peer] = Some(from);
                self.was[peer].push(from);
            }
            let event = self.peers[peer].handle_datagram(self.now, &reply);
            assert!(!matches!(event, Some(BindingEvent::Bound { .. })) || is_bound, "bound by nobody");
        }
    }

    /// A peer goes on with another lease: only with one of the same name.
    fn renew(&mut self, peer: usize, of: usize) {
        let binding = &mut self.peers[peer];
        let before = (binding.tag(), binding.relay(), binding.is_bound());
        let (_, shares) =
            lease(&Identity::from_secret([9; 32]), u8::try_from(of / 2 + 1).expect("two leases"));
        let [caller, callee] = shares;
        binding.renew(self.now, if of.is_multiple_of(2) { caller } else { callee });
        assert_eq!(before, (binding.tag(), binding.relay(), binding.is_bound()), "a lease goes on as it was");
        assert!(
            before.0 != [u8::try_from(of / 2 + 1).expect("two leases"); 8]
                || binding.poll_timeout() <= self.now
        );
    }

    /// What was said once is said again, perhaps from elsewhere, where it binds nothing.
    fn replay(&mut self, bytes: &mut Bytes<'_>) {
        let (from, datagram) = self.recorded[bytes.below(self.recorded.len())].clone();
        let elsewhere = address(bytes.u8());
        if elsewhere != from {
            return self.strange(elsewhere, &datagram);
        }
        // From the same place it says what is true there, once more.
        if let Ok(reply) = self.bind(from, &datagram)
            && let Some(BindMessage { tag, body: BindBody::Bound { side, .. } }) = BindMessage::parse(&reply)
        {
            let peer = usize::from(tag[0] - 1) * 2 + usize::from(side.code());
            self.at[peer] = Some(from);
            self.was[peer].push(from);
        }
    }

    /// One bit of what was said is another.
    fn forge(&mut self, bytes: &mut Bytes<'_>) {
        let (from, mut datagram) = self.recorded[bytes.below(self.recorded.len())].clone();
        let bit = usize::from(bytes.u16());
        if let Some(byte) = datagram.get_mut(bit / 8) {
            *byte ^= 1 << (bit % 8);
            self.strange(from, &datagram);
        }
    }

    /// What no peer has said binds nothing.
    fn strange(&mut self, from: SocketAddr, datagram: &[u8]) {
        if let Ok(reply) = self.bind(from, datagram) {
            let body = BindMessage::parse(&reply).map(|message| message.body);
            assert!(!matches!(body, Some(BindBody::Bound { .. })), "{from} bound by {datagram:02x?}");
        }
    }

    fn bind(&mut self, from: SocketAddr, datagram: &[u8]) -> Result<Vec<u8>, Cause> {
        let mut reply = [0; BIND_LEN_MAX];
        let place = (from, None);
        let (now, unix_s) = (self.now, self.unix_s);
        let len = self.relay.handle_bind(now, unix_s, place, datagram, &self.tokens, &mut reply)?;
        assert!(len <= datagram.len(), "{len} bytes answer {}", datagram.len());
        Ok(reply[..len].to_vec())
    }

    fn forward(&mut self, bytes: &mut Bytes<'_>) {
        let from = address(bytes.u8());
        let (tag, stride, count) = (bytes.below(4), usize::from(bytes.u8()) * 10 + 1, bytes.below(4) + 1);
        let mut run = Vec::new();
        for _ in 0..count {
            let head = Envelope::head([tag as u8; 8]);
            let start = run.len();
            run.extend_from_slice(&head[..head.len().min(stride)]);
            run.resize(start + stride, 0x5a);
        }
        match self.relay.forward(self.now, from, Ecn::Ect1, &run, stride) {
            Verdict::Forward(onward) => {
                assert!(stride >= ENVELOPE_LEN, "half an envelope went on");
                let lease = (tag.checked_sub(1)).filter(|&lease| lease < LEASES).expect("a lease is known");
                let side = (0..2)
                    .find(|side| {
                        self.at[lease * 2 + side] == Some(from)
                            && self.at[lease * 2 + 1 - side] == Some(onward.to)
                    })
                    .unwrap_or_else(|| panic!("{from} to {} under lease {tag}: {:?}", onward.to, self.at));
                self.pass(lease * 2 + side, run.len());
            }
            Verdict::Kept => assert!(self.at.contains(&Some(from)), "a stranger's packet is kept"),
            Verdict::Drop(_) => {}
        }
    }

    fn drain_queue(&mut self) {
        let mut out = [0; PACKET_LEN_MAX];
        while let Some(departure) = self.relay.poll_transmit(self.now, &mut out) {
            let tag = usize::from(out[1]);
            let lease = (tag.checked_sub(1)).filter(|&lease| lease < LEASES).expect("a lease is known");
            let side = (0..2).find(|side| self.was[lease * 2 + 1 - side].contains(&departure.onward.to));
            let side = side.unwrap_or_else(|| panic!("{departure:?} goes where nobody asked for it"));
            self.pass(lease * 2 + side, departure.len);
        }
    }

    /// Both peers of a lease together pass no more than their rates and what may pass at once.
    fn pass(&mut self, peer: usize, len: usize) {
        self.passed[peer] += len as u64;
        let lease = peer / 2 * 2;
        let both = self.passed[lease] + self.passed[lease + 1];
        let elapsed_us = self.now.micros_since(START);
        let most = 2 * (BURST + u64::from(LIMITS.bitrate_bps_max / 8) * (elapsed_us + 1_000_000) / 1_000_000);
        // A lease that ended and came again begins with a full bucket: once for each conversation, at most.
        let again = 2 * BURST * (PATIENCE - self.patience) as u64;
        assert!(both <= most + again, "{both} bytes in {elapsed_us} µs");
    }

    fn wait(&mut self, bytes: &mut Bytes<'_>) {
        let millis = u64::from(bytes.u16());
        self.now = self.now.plus_micros(millis * 1_000);
        self.unix_s = UNIX + self.now.micros_since(START) / 1_000_000;
        self.relay.sweep(self.unix_s, |_| ());
        if self.relay.is_empty() {
            self.at = [None; 2 * LEASES];
        }
    }
}

/// Inputs for a fuzzer to start from.
#[must_use]
pub fn seeds() -> Vec<Seed> {
    let met = Script::default().u8(0).u8(0).u8(1).u8(0).u8(1).u8(2).u8(0).u8(2).u8(3).u8(0).u8(3).u8(4);
    let mut busy = met.clone();
    for round in 0..20 {
        busy = busy.u8(4).u8(1 + round % 4).u8(1 + round % 2).u8(120).u8(3).u8(7).u8(6).u8(0).u8(3);
    }
    let hostile = (0..24).fold(met.clone(), |script, round| match round % 4 {
        0 => script.u8(1).u8(round).u8(round),
        1 => script.u8(2).u8(round).u8(0).u8(round * 9),
        2 => script.u8(3).u8(round).run(&[0x33; 60]),
        _ => script.u8(8).u8(round).u8(round * 11).u8(0).u8(round).u8(6).u8(6),
    });
    let ended = met.clone().u8(8).u8(0).u8(255);
    let ended = (0..10).fold(ended, |script, _| script.u8(6).u8(255).u8(255).u8(0).u8(0).u8(1));
    [("met", met), ("busy", busy), ("hostile", hostile), ("ended", ended)]
        .map(|(name, script)| ("relay", name.into(), script.into_bytes()))
        .into()
}
