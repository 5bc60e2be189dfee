//! Relays of a gateway: which two an introduction gets, and what operators decide, in virtual time.

use core::net::SocketAddr;

use crate::support::{House, TOKEN};
use rift::paths::relay::relay_id;
use rift::paths::{CandidateKind, Candidates};
use rift::wire::fleet::{Beat, RelayTime, Way};
use rift::wire::signal::{Signal, SignalReason};
use rift::{Identity, PublicKey};
use wavry_gateway::state::{GrantChange, Order, Outcome};

/// Relays have the keys of these seeds.
const RELAYS: [u8; 3] = [51, 52, 53];

fn relay_key(number: usize) -> PublicKey {
    Identity::from_secret([RELAYS[number]; 32]).public()
}

fn relay_at(number: usize) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, RELAYS[number]], 4749))
}

fn candidates() -> Candidates {
    let mut candidates = Candidates::new();
    candidates.push(CandidateKind::Host, ([192, 0, 2, 1], 4747).into()).expect("an address");
    candidates
}

/// A host at place 0 and a client at place 1 that it lets in, with three relays that the operator has named.
fn house() -> House {
    let named: Vec<_> = (0..3).map(|number| (relay_key(number), Some(relay_at(number)))).collect();
    let mut house = House::with_relays(&named);
    for seed in 1..=2 {
        let at = house.add(seed);
        house.say(at, &Signal::Enrol { token: TOKEN(seed), name: "a device".try_into().expect("it fits") });
        house.say(at, &Signal::Present { is_host: true, candidates: candidates() });
    }
    let client = house.key(1);
    house.say(0, &Signal::Grant { peer: client, may: true });
    house.heard(0);
    house.heard(1);
    house
}

/// The relays of an introduction, as both were told.
fn introduce(house: &mut House) -> Vec<SocketAddr> {
    let host = house.key(0);
    house.run(1_000);
    house.say(1, &Signal::Introduce { request: 1, peer: host, candidates: candidates() });
    let leases = |said: Vec<Signal>| -> Vec<SocketAddr> {
        let lease = |said: &Signal| if let Signal::Lease(lease) = said { Some(lease.relay) } else { None };
        said.iter().filter_map(lease).collect()
    };
    let (called, calling) = (leases(house.heard(0)), leases(house.heard(1)));
    assert_eq!(called, calling, "both use the same relays in the same order");
    calling
}

fn measured(times: [u16; 3]) -> Signal {
    let time = |number| RelayTime { relay: relay_id(&relay_key(number)), rtt: times[number] };
    Signal::Measured((0..3).map(time).collect())
}

fn beat(leases: u32, load_permille: u16, is_draining: bool) -> Signal {
    Signal::Beat(Beat {
        leases,
        leases_max: 100,
        load_permille,
        is_draining,
        address: "0.0.0.0:0".parse().expect("an address"),
        region: "here".try_into().expect("it fits"),
        version: "1".try_into().expect("it fits"),
    })
}

/// SPEC §18.9.
#[test]
fn two_relays_nearest_to_both_are_taken_the_nearer_one_first() {
    let mut house = house();
    assert_eq!(introduce(&mut house).len(), 2);
    // Near one peer is not near both.
    house.say(0, &measured([10, 400, 300]));
    house.say(1, &measured([900, 300, 500]));
    assert_eq!(introduce(&mut house), [relay_at(1), relay_at(2)]);
    house.say(1, &measured([100, u16::MAX, 500]));
    assert_eq!(introduce(&mut house), [relay_at(0), relay_at(2)], "one that does not answer goes last");
}

#[test]
fn devices_are_told_of_relays_once_to_measure_them() {
    let mut house = house();
    let at = house.add(3);
    house.say(at, &Signal::Enrol { token: TOKEN(3), name: "a device".try_into().expect("it fits") });
    for _ in 0..2 {
        house.say(at, &Signal::Present { is_host: false, candidates: candidates() });
    }
    let said = house.heard(at);
    let told: Vec<_> = said
        .iter()
        .filter_map(|said| if let Signal::Relays(all) = said { Some(all) } else { None })
        .collect();
    assert_eq!(told.len(), 1, "{said:?}");
    assert_eq!(told[0].iter().map(|relay| relay.address).collect::<Vec<_>>(), [0, 1, 2].map(relay_at));
}

/// How many relays a device was told of each time since it was last asked.
fn told(house: &mut House, at: usize) -> Vec<usize> {
    let all = |said: &Signal| if let Signal::Relays(all) = said { Some(all.len()) } else { None };
    house.heard(at).iter().filter_map(all).collect()
}

/// SPEC §18.9.
#[test]
fn devices_hear_of_a_relay_that_comes_later_a_few_at_a_time_and_once() {
    const DEVICES: usize = 12;
    let named: Vec<_> = (0..2).map(|number| (relay_key(number), None)).collect();
    let mut house = House::with_relays(&named);
    let devices: Vec<usize> = (0..DEVICES as u8)
        .map(|number| {
            let at = house.add(number);
            let name = "a device".try_into().expect("it fits");
            house.say(at, &Signal::Enrol { token: TOKEN(number), name });
            house.say(at, &Signal::Present { is_host: true, candidates: candidates() });
            at
        })
        .collect();
    let relays = [0, 1].map(|number| house.add(RELAYS[number]));
    let beat_at = |number| {
        let Signal::Beat(beat) = beat(0, 0, false) else { panic!("a beat") };
        Signal::Beat(Beat { address: relay_at(number), ..beat })
    };
    for &at in &devices {
        assert!(told(&mut house, at).is_empty(), "nobody knows where the relays are");
    }
    house.say(relays[0], &beat_at(0));
    let early: usize = devices.iter().map(|&at| told(&mut house, at).len()).sum();
    assert!((1..DEVICES).contains(&early), "{early} heard at once");
    house.run(1_000);
    let late: usize = devices.iter().map(|&at| told(&mut house, at).len()).sum();
    assert_eq!(early + late, DEVICES, "each heard once");
    // The second comes, goes and comes again; the first is silent for too long and comes back.
    house.say(relays[1], &beat_at(1));
    house.run(1_000);
    for &at in &devices {
        assert_eq!(told(&mut house, at), [2], "both are told");
    }
    house.obey(Order::DrainRelay(relay_id(&relay_key(1)), true));
    house.obey(Order::DrainRelay(relay_id(&relay_key(1)), false));
    house.run(50_000);
    let latecomer = house.add(99);
    house.say(latecomer, &Signal::Enrol { token: TOKEN(99), name: "a device".try_into().expect("it fits") });
    house.say(latecomer, &Signal::Present { is_host: true, candidates: candidates() });
    assert!(told(&mut house, latecomer).is_empty(), "no relay was heard of for long");
    house.say(relays[0], &beat_at(0));
    house.run(1_000);
    assert_eq!(told(&mut house, latecomer), [1], "it hears of the one that is back");
    for &at in &devices {
        assert!(told(&mut house, at).is_empty(), "which is no news for the others");
    }
}

#[test]
fn relay_that_is_full_late_or_draining_gets_no_leases() {
    let mut house = house();
    let relays: Vec<usize> = RELAYS.iter().map(|&seed| house.add(seed)).collect();
    for (number, &at) in relays.iter().enumerate() {
        house.say(at, &beat(number as u32, 0, false));
        assert!(matches!(house.heard(at)[..], [.., Signal::LeaseKeys(_)]), "a beat is answered with keys");
    }
    house.say(0, &measured([10, 20, 30]));
    house.say(1, &measured([10, 20, 30]));
    assert_eq!(introduce(&mut house), [relay_at(0), relay_at(1)]);
    house.say(relays[0], &beat(3, 0, true));
    assert_eq!(introduce(&mut house), [relay_at(1), relay_at(2)], "it drains");
    house.say(relays[1], &beat(100, 0, false));
    assert_eq!(introduce(&mut house), [relay_at(2)], "it is full");
    house.say(relays[0], &beat(3, 1_000, false));
    assert_eq!(introduce(&mut house), [relay_at(2), relay_at(0)], "it is busy");
    house.run(45_000);
    house.say(relays[2], &beat(1, 0, false));
    assert_eq!(introduce(&mut house), [relay_at(2)], "the others were not heard for too long");
}

#[test]
fn nobody_else_says_how_a_relay_is_and_a_relay_meets_nobody() {
    let mut house = house();
    house.say(1, &beat(100, 0, true));
    let said = house.heard(1);
    assert!(matches!(said[..], [Signal::Refused { reason: SignalReason::NotEnrolled, .. }]), "{said:?}");
    assert!(house.gateway.relays().iter().all(|relay| relay.beat.is_none()));
    let relay = house.add(RELAYS[0]);
    let host = house.key(0);
    house.heard(relay);
    house.say(relay, &Signal::Introduce { request: 1, peer: host, candidates: candidates() });
    let said = house.heard(relay);
    assert!(matches!(said[..], [Signal::Refused { reason: SignalReason::NotEnrolled, .. }]), "{said:?}");
    house.run(40_000);
    assert!(!house.is_closed(relay), "it has all the time there is");
}

#[test]
fn operator_drains_a_relay_and_the_gateway() {
    let mut house = house();
    house.say(0, &measured([10, 20, 30]));
    house.say(1, &measured([10, 20, 30]));
    let id = relay_id(&relay_key(0));
    assert_eq!(house.obey(Order::DrainRelay(id, true)), Outcome::Done);
    assert_eq!(introduce(&mut house), [relay_at(1), relay_at(2)]);
    assert_eq!(house.obey(Order::DrainRelay(id, false)), Outcome::Done);
    assert_eq!(introduce(&mut house), [relay_at(0), relay_at(1)]);
    assert_eq!(house.obey(Order::DrainRelay([0; 16], true)), Outcome::Unknown);
    assert_eq!(house.obey(Order::Drain(true)), Outcome::Done);
    let host = house.key(0);
    house.say(1, &Signal::Introduce { request: 1, peer: host, candidates: candidates() });
    assert!(matches!(house.heard(1)[..], [Signal::Refused { reason: SignalReason::Full, .. }]));
}

#[test]
fn operator_revokes_bans_and_grants() {
    let mut house = house();
    let (host, client) = (house.key(0), house.key(1));
    let change = |may| Order::Grant(GrantChange { host, client, may });
    assert_eq!(house.obey(change(true)), Outcome::Unchanged);
    assert_eq!(house.obey(change(false)), Outcome::Done);
    house.say(1, &Signal::LookUp { peer: host });
    assert!(matches!(house.heard(1)[..], [Signal::Found { is_present: false, .. }]));
    house.obey(change(true));
    assert_eq!(house.obey(Order::Ban(client, true)), Outcome::Done);
    house.run(300);
    assert!(house.is_closed(1), "it is out at once");
    let again = house.add(2);
    house.run(300);
    assert!(house.is_closed(again), "and stays out");
    house.obey(Order::Ban(client, false));
    let again = house.add(2);
    house.say(again, &Signal::LookUp { peer: host });
    assert!(matches!(house.heard(again)[..], [.., Signal::Found { is_present: true, .. }]), "as before");
    assert_eq!(house.obey(Order::Revoke(client)), Outcome::Done);
    assert_eq!(house.obey(Order::Revoke(client)), Outcome::Unknown);
    let again = house.add(2);
    let said = house.heard(again);
    assert!(matches!(said[..], [Signal::Welcome { is_enrolled: false, .. }]), "{said:?}");
    assert!(house.gateway.registry().device_views().all(|device| device.grants.is_empty()));
}

#[test]
fn operator_sees_who_is_there_and_by_which_way_they_say_to_be_connected() {
    let mut house = house();
    let (host, client) = (house.key(0), house.key(1));
    house.say(1, &Signal::Path { peer: host, way: Way::Relay });
    house.say(1, &Signal::Path { peer: host, way: Way::Direct });
    let views: Vec<_> = house.gateway.registry().session_views().collect();
    assert_eq!(views.len(), 2);
    let view = views.iter().find(|view| view.key == client).expect("it is there");
    assert_eq!((&view.paths[..], view.is_host, view.is_stranger), (&[(host, Way::Direct)][..], true, false));
    house.say(1, &Signal::Path { peer: host, way: Way::None });
    assert!(house.gateway.registry().session_views().all(|view| view.paths.is_empty()));
    house.run(10_000);
    for number in 0..40 {
        let peer = Identity::from_secret([100 + number; 32]).public();
        house.run(600);
        house.say(1, &Signal::Path { peer, way: Way::Direct });
    }
    let views: Vec<_> = house.gateway.registry().session_views().collect();
    let told = views.iter().map(|view| view.paths.len()).max();
    assert_eq!(told, Some(16), "what one may say is bounded");
}
