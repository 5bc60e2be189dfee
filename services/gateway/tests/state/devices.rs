//! Devices enrol, say that they are there, and meet: the gateway as a value, and sessions of devices, in virtual time.

use crate::support::{GATEWAY_AT, House, TOKEN};
use rift::limits::CANDIDATES_MAX;
use rift::paths::{CandidateKind, Candidates};
use rift::wire::fleet::GrantPage;
use rift::wire::signal::{Signal, SignalReason};
use rift::{Identity, PublicKey};

fn candidates(last: u8) -> Candidates {
    let mut candidates = Candidates::new();
    candidates.push(CandidateKind::Host, ([192, 0, 2, last], 4747).into()).expect("an address");
    candidates
}

fn stranger(seed: u8) -> PublicKey {
    Identity::from_secret([seed; 32]).public()
}

fn refusal(signals: &[Signal]) -> Option<SignalReason> {
    signals
        .iter()
        .find_map(|said| if let Signal::Refused { reason, .. } = said { Some(*reason) } else { None })
}

/// A house with a host at place 0 and a client at place 1, both enrolled, the host there.
fn home() -> House {
    enrolled(House::new())
}

fn enrolled(mut house: House) -> House {
    for seed in 1..=2 {
        let at = house.add(seed);
        house.say(at, &Signal::Enrol { token: TOKEN(seed), name: "a device".try_into().expect("it fits") });
        let welcome = house.heard(at);
        assert!(matches!(welcome.last(), Some(Signal::Welcome { is_enrolled: true, .. })), "{welcome:?}");
    }
    house.say(0, &Signal::Present { is_host: true, candidates: candidates(1) });
    house
}

#[test]
fn two_devices_that_may_meet_are_introduced_with_the_same_secret() {
    let mut house = home();
    let (host, client) = (house.key(0), house.key(1));
    house.say(0, &Signal::Grant { peer: client, may: true });
    house.say(1, &Signal::LookUp { peer: host });
    assert!(matches!(house.heard(1)[..], [Signal::Found { is_present: true, .. }]));
    house.say(1, &Signal::Introduce { request: 7, peer: host, candidates: candidates(2) });
    let (to_client, to_host) = (house.heard(1), house.heard(0));
    let ([Signal::Introduction(called)], [Signal::Introduction(calling)]) = (&to_host[..], &to_client[..])
    else {
        panic!("{to_client:?} {to_host:?}");
    };
    assert_eq!((calling.request, calling.calls, calling.peer), (7, true, host));
    assert_eq!((called.request, called.calls, called.peer), (0, false, client));
    assert_eq!(calling.candidates, candidates(1));
    assert_eq!(called.candidates, candidates(2));
    assert_eq!(calling.secret.as_bytes(), called.secret.as_bytes());
    house.say(1, &Signal::Introduce { request: 8, peer: host, candidates: candidates(2) });
    let again = house.heard(1);
    let [Signal::Introduction(again)] = &again[..] else { panic!("{again:?}") };
    assert_ne!(again.secret.as_bytes(), called.secret.as_bytes(), "each meeting has a secret of its own");
    assert_eq!(house.gateway.counters().introductions, 2);
}

/// SPEC §18.3.
#[test]
fn host_that_is_not_to_be_met_looks_like_one_that_does_not_exist() {
    let mut house = home();
    let host = house.key(0);
    let ask = |house: &mut House, peer: PublicKey| {
        house.say(1, &Signal::LookUp { peer });
        house.say(1, &Signal::Introduce { request: 1, peer, candidates: candidates(2) });
        let said = house.heard(1);
        let found = said.iter().any(|said| matches!(said, Signal::Found { is_present: true, .. }));
        (found, refusal(&said), said.len())
    };
    let nobody = ask(&mut house, stranger(99));
    assert_eq!(nobody, (false, Some(SignalReason::NotFound), 2));
    assert_eq!(ask(&mut house, host), nobody, "without a grant");
    let client = house.key(1);
    house.say(0, &Signal::Grant { peer: client, may: true });
    assert!(ask(&mut house, host).0);
    house.say(0, &Signal::Grant { peer: client, may: false });
    assert_eq!(ask(&mut house, host), nobody, "the grant was withdrawn");
    house.say(0, &Signal::Grant { peer: client, may: true });
    house.say(0, &Signal::Present { is_host: false, candidates: candidates(1) });
    assert_eq!(ask(&mut house, host), nobody, "it is not to be called");
    house.say(0, &Signal::Present { is_host: true, candidates: candidates(1) });
    house.pull(0);
    assert_eq!(ask(&mut house, host), nobody, "it is not there");
    assert_eq!(house.heard(0).len(), 1, "and the host heard of the one that was granted");
}

#[test]
fn token_enrols_one_device_and_no_other() {
    let mut house = House::new();
    let (one, other) = (house.add(1), house.add(2));
    let enrol = Signal::Enrol { token: TOKEN(1), name: "x".try_into().expect("it fits") };
    assert!(matches!(house.heard(one)[..], [Signal::Welcome { is_enrolled: false, .. }]));
    house.heard(other);
    house.say(one, &enrol);
    assert!(matches!(house.heard(one)[..], [Signal::Welcome { is_enrolled: true, .. }]));
    house.say(other, &enrol);
    assert_eq!(refusal(&house.heard(other)), Some(SignalReason::Token));
    house.say(one, &enrol);
    assert!(matches!(house.heard(one)[..], [Signal::Welcome { is_enrolled: true, .. }]), "said again");
    for _ in 0..2 {
        house.say(other, &enrol);
    }
    house.run(1_000);
    assert!(house.is_closed(other), "three wrong tokens end a session");
}

#[test]
fn who_has_not_enrolled_learns_nothing_and_has_to_go() {
    let mut house = home();
    let host = house.key(0);
    let at = house.add(9);
    house.heard(at);
    for signal in [
        Signal::Present { is_host: true, candidates: candidates(9) },
        Signal::LookUp { peer: host },
        Signal::Introduce { request: 3, peer: host, candidates: candidates(9) },
        Signal::Grant { peer: host, may: true },
    ] {
        house.say(at, &signal);
        assert_eq!(refusal(&house.heard(at)), Some(SignalReason::NotEnrolled), "{signal:?}");
    }
    house.run(31_000);
    assert!(house.is_closed(at) && !house.is_closed(0), "after half a minute");
}

#[test]
fn device_that_comes_again_takes_the_place_of_its_earlier_session() {
    let mut house = home();
    let client = house.key(1);
    house.say(0, &Signal::Grant { peer: client, may: true });
    let again = house.add(1);
    assert!(matches!(house.heard(again)[..], [Signal::Welcome { is_enrolled: true, .. }]));
    house.run(500);
    assert!(house.is_closed(0), "the earlier one");
    house.say(again, &Signal::Present { is_host: true, candidates: candidates(3) });
    let host = house.key(again);
    house.say(1, &Signal::Introduce { request: 1, peer: host, candidates: candidates(2) });
    assert!(matches!(house.heard(1)[..], [Signal::Introduction(_)]), "its grants are still there");
}

/// SPEC §18.11.
#[test]
fn host_that_pairs_is_introduced_to_every_device_until_it_is_done_or_gone() {
    let mut house = home();
    let host = house.key(0);
    let finds = |house: &mut House, expected: bool| {
        house.say(1, &Signal::LookUp { peer: host });
        let said = house.heard(1);
        assert!(matches!(said[..], [Signal::Found { is_present, .. }] if is_present == expected), "{said:?}");
    };
    finds(&mut house, false);
    house.say(0, &Signal::Grant { peer: host, may: true });
    finds(&mut house, true);
    let outsider = house.add(9);
    house.say(outsider, &Signal::LookUp { peer: host });
    let said = house.heard(outsider);
    assert!(matches!(said[..], [.., Signal::Refused { reason: SignalReason::NotEnrolled, .. }]), "{said:?}");
    house.say(0, &Signal::Grant { peer: host, may: false });
    finds(&mut house, false);
    house.say(0, &Signal::Grant { peer: host, may: true });
    let again = house.add(1);
    assert_eq!(house.key(again), host);
    house.say(again, &Signal::Present { is_host: true, candidates: candidates(3) });
    finds(&mut house, false);
}

#[test]
fn requests_beyond_the_rate_are_refused_and_later_ones_are_not() {
    let mut house = home();
    let host = house.key(0);
    for _ in 0..40 {
        house.say(1, &Signal::LookUp { peer: host });
    }
    let said = house.heard(1);
    let refused = said.iter().filter(|said| matches!(said, Signal::Refused { .. })).count();
    assert!((20..=25).contains(&refused), "{refused} of {}", said.len());
    house.run(2_000);
    house.say(1, &Signal::LookUp { peer: host });
    assert!(matches!(house.heard(1)[..], [Signal::Found { .. }]));
}

#[test]
fn message_that_no_device_says_ends_its_session_only() {
    let mut house = home();
    let host = house.key(0);
    house.say(1, &Signal::Found { peer: host, is_present: true });
    house.run(500);
    assert!(house.is_closed(1) && !house.is_closed(0));
}

#[test]
fn introduction_comes_with_each_ones_share_of_a_lease_where_there_is_a_relay() {
    let mut house = enrolled(House::with_relays(&[(stranger(9), Some(GATEWAY_AT))]));
    let (host, client) = (house.key(0), house.key(1));
    house.say(0, &Signal::Grant { peer: client, may: true });
    house.say(1, &Signal::Introduce { request: 1, peer: host, candidates: candidates(2) });
    for (at, number) in [(1, 1), (0, 2)] {
        let said = house.heard(at);
        let told = said.iter().filter(|said| !matches!(said, Signal::Relays(_))).collect::<Vec<_>>();
        let [Signal::Introduction(met), Signal::Lease(lease)] = told[..] else { panic!("{said:?}") };
        assert!(met.has_lease && lease.secret == [number; 32]);
    }
}

#[test]
fn full_candidates_and_the_longest_names_pass() {
    let mut house = home();
    let (host, client) = (house.key(0), house.key(1));
    let mut full = Candidates::new();
    for port in 0..CANDIDATES_MAX as u16 {
        let address = format!("[2001:db8::1]:{}", port + 1).parse().expect("an address");
        full.push(CandidateKind::Host, address).expect("there is room");
    }
    house.say(0, &Signal::Present { is_host: true, candidates: full.clone() });
    house.say(0, &Signal::Grant { peer: client, may: true });
    for request in 1..=5 {
        house.say(1, &Signal::Introduce { request, peer: host, candidates: full.clone() });
    }
    let said = house.heard(1);
    assert_eq!(said.len(), 5, "{said:?}");
    assert!(matches!(&said[4], Signal::Introduction(met) if met.candidates == full));
}

/// SPEC §18.2.
#[test]
fn stun_is_answered_on_the_same_port_without_amplification_beyond_the_rate() {
    let mut house = House::new();
    let from = ([198, 51, 100, 7], 4711).into();
    let mut request = [0; 64];
    let len = rift::wire::stun::write_request(&[5; 12], &mut request).expect("it fits");
    let answers = house.throw(from, &request[..len]);
    assert_eq!(answers.len(), 1);
    assert_eq!(rift::wire::stun::parse_answer(&answers[0].1, &[5; 12]), Some(Ok(from)));
    assert!(answers[0].1.len() <= len);
    // Twenty bytes, answered with more: at most so many at once.
    let bare = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[5; 12]].concat();
    let answered: usize = (0..1_000).map(|_| house.throw(from, &bare).len()).sum();
    assert!((1..=64).contains(&answered), "{answered}");
}

#[test]
fn strangers_datagrams_are_not_answered() {
    let mut house = House::new();
    let from = ([198, 51, 100, 7], 4711).into();
    for first in 0..=255u8 {
        for len in [1, 20, 128, 1200] {
            let mut datagram = vec![first; len];
            datagram[0] = first;
            let sent: usize = house.throw(from, &datagram).iter().map(|(_, bytes)| bytes.len()).sum();
            // A packet of an unknown session is answered with a reset, shorter than itself.
            assert!(sent == 0 || sent < len, "{first:#x}: {sent} for {len} bytes");
        }
    }
    assert_ne!(GATEWAY_AT, from);
    assert_eq!(house.gateway.counters().sessions, 0);
}

/// Somebody whom a host took off its list while the gateway was not there is not introduced any more.
#[test]
fn list_that_a_host_tells_takes_the_place_of_what_it_granted_before() {
    let mut house = home();
    let (host, client) = (house.key(0), house.key(1));
    house.say(0, &Signal::Grant { peer: client, may: true });
    house.say(1, &Signal::LookUp { peer: host });
    assert!(matches!(house.heard(1)[..], [.., Signal::Found { is_present: true, .. }]), "it may");
    let others: Vec<PublicKey> =
        (0..40).map(|seed| Identity::from_secret([100 + seed; 32]).public()).collect();
    let page = |is_first, is_last, keys: &[PublicKey]| {
        Signal::Grants(GrantPage { is_first, is_last, keys: keys.iter().copied().collect() })
    };
    house.say(0, &page(true, false, &others[..31]));
    house.say(1, &Signal::LookUp { peer: host });
    assert!(matches!(house.heard(1)[..], [Signal::Found { is_present: true, .. }]), "the list is not whole");
    house.say(0, &page(false, true, &others[31..]));
    house.say(1, &Signal::LookUp { peer: host });
    assert!(matches!(house.heard(1)[..], [Signal::Found { is_present: false, .. }]), "it is not on the list");
    // What is no list changes nothing.
    house.say(0, &page(false, true, &[client]));
    house.say(1, &Signal::LookUp { peer: host });
    assert!(matches!(house.heard(1)[..], [Signal::Found { is_present: false, .. }]));
}
