//! NATs behave as RFC 4787 says of their kind.

use core::net::{Ipv4Addr, SocketAddrV4};

use rift::Instant;
use rift_sim::Random;
use rift_sim::internet::{Dependence, Nat, NatConfig};

const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const KINDS: [Dependence; 3] =
    [Dependence::EndpointIndependent, Dependence::AddressDependent, Dependence::AddressAndPortDependent];

fn inside(last: u8) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(192, 168, 1, last), 4747)
}

fn remote(last: u8, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, last), port)
}

fn at(seconds: u64) -> Instant {
    Instant::from_millis(seconds * 1_000)
}

fn nat(config: NatConfig) -> Nat {
    Nat::new(config, OUTSIDE, Random::new(1))
}

#[test]
fn mapping_depends_on_what_it_says() {
    for (mapping, expected) in KINDS.into_iter().zip([[true, true], [true, false], [false, false]]) {
        let mut nat = nat(NatConfig::new(mapping, Dependence::EndpointIndependent));
        let first = nat.outward(at(1), inside(2), remote(1, 1)).unwrap();
        assert_eq!(*first.ip(), OUTSIDE);
        assert_eq!(nat.outward(at(1), inside(2), remote(1, 1)), Some(first), "the same again");
        let same = [remote(1, 2), remote(2, 1)].map(|to| nat.outward(at(1), inside(2), to) == Some(first));
        assert_eq!(same, expected, "{mapping:?}: another port, another address");
        assert_ne!(nat.outward(at(1), inside(3), remote(1, 1)), Some(first), "another one inside");
    }
}

#[test]
fn filter_depends_on_what_it_says() {
    for (filtering, expected) in KINDS.into_iter().zip([[true, true], [true, false], [false, false]]) {
        let mut nat = nat(NatConfig::new(Dependence::EndpointIndependent, filtering));
        let port = nat.outward(at(1), inside(2), remote(1, 1)).unwrap().port();
        assert_eq!(nat.inward(at(1), port, remote(1, 1)), Some(inside(2)), "the answer");
        let passes = [remote(1, 2), remote(2, 1)].map(|from| nat.inward(at(1), port, from).is_some());
        assert_eq!(passes, expected, "{filtering:?}: another port, another address");
        assert_eq!(nat.inward(at(1), port ^ 1, remote(1, 1)), None, "a port of nobody");
    }
}

#[test]
fn mapping_is_forgotten_when_nothing_went_out_for_long_enough() {
    let mut nat = nat(NatConfig { timeout_us: 30_000_000, ..NatConfig::port_restricted() });
    let port = nat.outward(at(0), inside(2), remote(1, 1)).unwrap().port();
    assert!(nat.inward(at(29), port, remote(1, 1)).is_some());
    nat.outward(at(29), inside(2), remote(1, 1)).unwrap();
    assert!(nat.inward(at(58), port, remote(1, 1)).is_some(), "what went out kept it");
    assert!(nat.inward(at(59), port, remote(1, 1)).is_none(), "what came in did not");
    assert_eq!(nat.mappings(at(59)), 0);
}

#[test]
fn nat_without_a_free_port_makes_no_mapping_until_one_is_forgotten() {
    let mut nat = nat(NatConfig { ports: 5000..=5003, ..NatConfig::symmetric() });
    let ports: Vec<_> =
        (1..=5).map(|port| nat.outward(at(u64::from(port)), inside(2), remote(1, port))).collect();
    assert_eq!(ports.iter().flatten().count(), 4);
    assert_eq!(ports[4], None, "the fifth");
    assert!(nat.outward(at(121), inside(2), remote(1, 9)).is_some(), "the first was forgotten");
}
