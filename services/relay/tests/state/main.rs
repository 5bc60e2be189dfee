//! A relay in virtual time: who may bind, what goes on, what waits and what is dropped.

mod abuse;

use core::net::SocketAddr;

use rift::crypto::Identity;
use rift::limits::LEASE_TOKEN_MAX;
use rift::paths::relay::{Lease, LeaseTerms};
use rift::paths::{Binding, BindingEvent};
use rift::wire::bind::{BIND_LEN_MAX, BindReason, LeaseSide};
use rift::wire::relay::Envelope;
use rift::{Ecn, Instant};
use wavry_relay::state::{Cause, Limits, Onward, PACKET_LEN_MAX, Relay, Tokens, Verdict};

const START: Instant = Instant::from_millis(1000);
const UNIX: u64 = 1_900_000_000;
const END: u64 = UNIX + 600;

/// Tokens that are their tag: what a signature would prove is taken for granted here.
struct Known {
    terms: Vec<LeaseTerms>,
}

impl Tokens for Known {
    fn verify(&self, token: &[u8], unix_s: u64) -> Option<LeaseTerms> {
        self.terms.iter().find(|terms| terms.tag[..] == *token && terms.expires_s > unix_s).copied()
    }
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, last], 4000))
}

fn key(seed: u8) -> Identity {
    Identity::from_secret([seed; 32])
}

struct World {
    relay: Relay,
    tokens: Known,
    now: Instant,
    unix: u64,
}

/// A lease and both shares of it.
fn lease(relay: &Identity, number: u8, bps: u32) -> (LeaseTerms, [Lease; 2]) {
    let tag = [number; 8];
    let secrets = [[number; 32], [number + 100; 32]];
    let peers = secrets.map(|secret| Identity::from_secret(secret).public());
    let terms = LeaseTerms { relay: [0; 16], tag, peers, bitrate_bps: bps, expires_s: END };
    let shares = secrets.map(|secret| {
        let token: heapless::Vec<u8, LEASE_TOKEN_MAX> = tag.iter().copied().collect();
        Lease { relay: address(1), relay_key: relay.public(), tag, secret, expires_s: END, token }
    });
    (terms, shares)
}

impl World {
    fn new(limits: Limits, leases: &[LeaseTerms]) -> Self {
        let tokens = Known { terms: leases.to_vec() };
        Self { relay: Relay::new(key(9), [5; 32], limits), tokens, now: START, unix: UNIX }
    }

    fn bind(&mut self, from: SocketAddr, datagram: &[u8]) -> Result<Vec<u8>, Cause> {
        let mut reply = [0; BIND_LEN_MAX];
        let len =
            self.relay.handle_bind(self.now, self.unix, (from, None), datagram, &self.tokens, &mut reply)?;
        assert!(len <= datagram.len(), "{len} bytes answer {}", datagram.len());
        Ok(reply[..len].to_vec())
    }

    /// Lets a peer ask and bind until it has nothing to say; what it was told.
    fn converse(&mut self, binding: &mut Binding, from: SocketAddr) -> Vec<BindingEvent> {
        let mut out = [0; BIND_LEN_MAX];
        let mut events = Vec::new();
        while let Some(len) = binding.poll_transmit(self.now, &mut out) {
            if let Ok(reply) = self.bind(from, &out[..len]) {
                events.extend(binding.handle_datagram(self.now, &reply));
            }
        }
        events
    }

    /// A caller at the address 2 that was given a nonce, and the bind that it sends then.
    fn asked(&mut self, caller: Lease) -> (Binding, Vec<u8>) {
        let mut binding = Binding::new(caller, LeaseSide::Caller, self.now).expect("a key");
        let mut out = [0; BIND_LEN_MAX];
        let len = binding.poll_transmit(self.now, &mut out).expect("an ask");
        let nonce = self.bind(address(2), &out[..len]).expect("a nonce");
        binding.handle_datagram(self.now, &nonce);
        let len = binding.poll_transmit(self.now, &mut out).expect("a bind");
        (binding, out[..len].to_vec())
    }

    /// Both peers bound at these addresses.
    fn met(&mut self, shares: [Lease; 2], at: [SocketAddr; 2]) {
        for ((share, side), from) in shares.into_iter().zip([LeaseSide::Caller, LeaseSide::Callee]).zip(at) {
            let mut binding = Binding::new(share, side, self.now).expect("the relay has a key");
            let events = self.converse(&mut binding, from);
            assert_eq!(events, [BindingEvent::Bound { left_s: 600 }]);
        }
    }

    fn forward(&mut self, from: SocketAddr, packet: &[u8]) -> Verdict {
        self.relay.forward(self.now, from, Ecn::Ect1, packet, packet.len())
    }
}

fn packet(tag: u8, len: usize, content: u8) -> Vec<u8> {
    let mut packet = Envelope::head([tag; 8]).to_vec();
    packet.resize(len, content);
    packet
}

fn to(last: u8) -> Verdict {
    Verdict::Forward(Onward { to: address(last), source: None })
}

#[test]
fn peers_of_a_lease_reach_each_other_and_nobody_else() {
    let (terms, shares) = lease(&key(9), 1, 20_000_000);
    let mut world = World::new(Limits::default(), &[terms]);
    let hello = packet(1, 100, 7);
    assert_eq!(world.forward(address(2), &hello), Verdict::Drop(Cause::NoLease));
    let [caller, callee] = shares;
    let mut binding = Binding::new(caller.clone(), LeaseSide::Caller, START).expect("a key");
    assert_eq!(world.converse(&mut binding, address(2)).len(), 1);
    assert_eq!(world.forward(address(2), &hello), Verdict::Drop(Cause::Alone));
    world.met([caller, callee], [address(2), address(3)]);
    assert_eq!(world.forward(address(2), &hello), to(3));
    assert_eq!(world.forward(address(3), &hello), to(2));
    assert_eq!(world.forward(address(4), &hello), Verdict::Drop(Cause::Stranger));
    assert_eq!(world.forward(address(2), &packet(2, 100, 7)), Verdict::Drop(Cause::NoLease));
    assert_eq!(world.forward(address(2), &hello[..5]), Verdict::Drop(Cause::Malformed));
}

#[test]
fn peer_that_moves_binds_anew_without_its_token() {
    let (terms, shares) = lease(&key(9), 1, 20_000_000);
    let mut world = World::new(Limits::default(), &[terms]);
    let [caller, callee] = shares;
    let mut moving = Binding::new(caller, LeaseSide::Caller, START).expect("a key");
    let mut staying = Binding::new(callee, LeaseSide::Callee, START).expect("a key");
    world.converse(&mut moving, address(2));
    world.converse(&mut staying, address(3));
    // From now on no token would verify.
    world.tokens.terms.clear();
    moving.rebind(world.now);
    world.converse(&mut moving, address(7));
    assert!(moving.is_bound());
    assert_eq!(world.forward(address(3), &packet(1, 60, 0)), to(7));
    assert_eq!(world.forward(address(2), &packet(1, 60, 0)), Verdict::Drop(Cause::Stranger));
}

#[test]
fn relay_that_forgot_is_shown_the_token_again() {
    let (terms, [caller, _]) = lease(&key(9), 1, 20_000_000);
    let mut world = World::new(Limits::default(), &[terms]);
    let mut binding = Binding::new(caller, LeaseSide::Caller, START).expect("a key");
    world.converse(&mut binding, address(2));
    let mut world = World::new(Limits::default(), &[terms]);
    world.now = binding.poll_timeout();
    world.converse(&mut binding, address(2));
    assert!(binding.is_bound());
    assert_eq!(world.relay.len(), 1);
}

/// A thief has the token, sees everything on the wire and comes first; he lacks the key.
#[test]
fn stolen_token_binds_nothing_even_if_it_comes_first() {
    let (terms, [caller, callee]) = lease(&key(9), 1, 20_000_000);
    let mut world = World::new(Limits::default(), &[terms]);
    let mut stolen = caller.clone();
    stolen.secret = [77; 32];
    let mut thief = Binding::new(stolen, LeaseSide::Caller, START).expect("a key");
    assert_eq!(world.converse(&mut thief, address(66)), []);
    assert!(!thief.is_bound());
    // Honest messages, recorded and sent from elsewhere.
    let mut honest = Binding::new(caller, LeaseSide::Caller, START).expect("a key");
    let mut out = [0; BIND_LEN_MAX];
    let mut seen = Vec::new();
    while let Some(len) = honest.poll_transmit(world.now, &mut out) {
        seen.push(out[..len].to_vec());
        let reply = world.bind(address(2), &out[..len]).expect("an answer");
        honest.handle_datagram(world.now, &reply);
    }
    assert!(honest.is_bound());
    for message in &seen[1..] {
        assert_eq!(world.bind(address(66), message), Err(Cause::Unproven));
    }
    let mut other = Binding::new(callee, LeaseSide::Callee, START).expect("a key");
    world.converse(&mut other, address(3));
    assert_eq!(world.forward(address(3), &packet(1, 60, 0)), to(2));
    assert_eq!(world.forward(address(66), &packet(1, 60, 0)), Verdict::Drop(Cause::Stranger));
}

#[test]
fn every_flipped_bit_of_a_bind_is_refused() {
    let (terms, [caller, _]) = lease(&key(9), 1, 20_000_000);
    let mut world = World::new(Limits::default(), &[terms]);
    let (mut binding, bind) = world.asked(caller);
    for bit in 0..bind.len() * 8 {
        let mut changed = bind.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        // A hint may come back, a binding may not.
        if let Ok(reply) = world.bind(address(2), &changed) {
            let event = binding.handle_datagram(world.now, &reply);
            assert!(!matches!(event, Some(BindingEvent::Bound { .. })), "bit {bit}");
        }
        assert_ne!(world.forward(address(2), &packet(1, 60, 0)), Verdict::Drop(Cause::Alone), "bit {bit}");
    }
    assert!(world.bind(address(2), &bind).is_ok());
    assert_eq!(world.forward(address(2), &packet(1, 60, 0)), Verdict::Drop(Cause::Alone));
}

/// SPEC §18.8/1, §18.8/2.
#[test]
fn nonce_is_good_where_and_while_it_was_given() {
    let (terms, [caller, _]) = lease(&key(9), 1, 20_000_000);
    let mut world = World::new(Limits::default(), &[terms]);
    let (_, bind) = world.asked(caller);
    let elsewhere = SocketAddr::from(([203, 0, 113, 2], 4001));
    assert_eq!(world.bind(elsewhere, &bind), Err(Cause::Unproven));
    world.unix += 61;
    assert_eq!(world.bind(address(2), &bind), Err(Cause::Unproven));
    assert!(world.relay.is_empty());
}

#[test]
fn lease_ends_and_a_longer_one_goes_on() {
    let (terms, shares) = lease(&key(9), 1, 20_000_000);
    let mut world = World::new(Limits::default(), &[terms]);
    let [caller, callee] = shares;
    let mut binding = Binding::new(caller.clone(), LeaseSide::Caller, START).expect("a key");
    world.converse(&mut binding, address(2));
    world.tokens.terms.push(LeaseTerms { tag: [1; 8], expires_s: END + 600, ..terms });
    world.tokens.terms.remove(0);
    let mut longer = caller;
    longer.expires_s = END + 600;
    binding.renew(world.now, longer);
    world.converse(&mut binding, address(2));
    world.unix = END + 1;
    world.relay.sweep(world.unix, |_| ());
    assert_eq!(world.relay.len(), 1, "it was lengthened");
    world.unix = END + 601;
    world.relay.sweep(world.unix, |_| ());
    assert!(world.relay.is_empty());
    let mut late = Binding::new(callee, LeaseSide::Callee, START).expect("a key");
    assert_eq!(
        world.converse(&mut late, address(3)).first(),
        Some(&BindingEvent::Refused(BindReason::Token))
    );
}

#[test]
fn full_or_draining_relay_takes_no_new_lease() {
    let leases: Vec<_> = (1..=3).map(|number| lease(&key(9), number, 1_000_000)).collect();
    let terms: Vec<LeaseTerms> = leases.iter().map(|(terms, _)| *terms).collect();
    let mut world = World::new(Limits { leases: 2, ..Limits::default() }, &terms);
    let bind = |world: &mut World, number: usize| {
        let share = leases[number].1[0].clone();
        let mut binding = Binding::new(share, LeaseSide::Caller, START).expect("a key");
        world.converse(&mut binding, address(2)).first().copied()
    };
    assert_eq!(bind(&mut world, 0), Some(BindingEvent::Bound { left_s: 600 }));
    world.relay.drain();
    assert_eq!(bind(&mut world, 1), Some(BindingEvent::Refused(BindReason::Full)));
    assert_eq!(bind(&mut world, 0), Some(BindingEvent::Bound { left_s: 600 }), "what is there goes on");
    let mut world = World::new(Limits { leases: 2, ..Limits::default() }, &terms);
    let bound: Vec<_> = (0..3).map(|number| bind(&mut world, number)).collect();
    assert_eq!(bound[2], Some(BindingEvent::Refused(BindReason::Full)));
}

/// One sends four times what its lease allows; what waits goes on in the end, the small first, and never faster.
#[test]
fn over_its_rate_small_packets_go_first_and_the_oldest_large_are_lost() {
    let (terms, shares) = lease(&key(9), 1, 8_000_000);
    let (other, other_shares) = lease(&key(9), 2, 8_000_000);
    let mut world = World::new(Limits { packets: 256, ..Limits::default() }, &[terms, other]);
    world.met(shares, [address(2), address(3)]);
    world.met(other_shares, [address(4), address(5)]);
    let mut out = [0; PACKET_LEN_MAX];
    let (mut passed, mut small_sent, mut small_passed) = (0, 0, 0);
    for step in 0..4000_u64 {
        world.now = START.plus_micros(step * 250);
        let mut kinds = vec![packet(1, 1200, 1)];
        if step % 20 == 0 {
            kinds.push(packet(1, 80, 2));
            small_sent += 1;
        }
        for kind in kinds {
            match world.forward(address(2), &kind) {
                Verdict::Forward(_) => {
                    passed += kind.len();
                    small_passed += usize::from(kind.len() == 80);
                }
                Verdict::Kept => {}
                Verdict::Drop(cause) => assert_eq!((cause, kind.len()), (Cause::OverRate, 1200)),
            }
        }
        // The neighbour within its rate notices nothing.
        assert_eq!(world.forward(address(4), &packet(2, 200, 3)), to(5));
        while let Some(departure) = world.relay.poll_transmit(world.now, &mut out) {
            assert_eq!(departure.onward.to, address(3));
            assert_eq!(departure.ecn, Ecn::Ect1);
            passed += departure.len;
            small_passed += usize::from(departure.len == 80);
        }
    }
    // 8 Mbit/s for a second, and what may pass at once.
    assert!((900_000..=1_110_000).contains(&passed), "{passed} bytes in a second");
    assert!(small_sent - small_passed <= 1, "{small_passed} of {small_sent} small packets");
    assert!(world.relay.take_dropped() > 1000);
    assert!(world.relay.waiting() <= 64);
}
