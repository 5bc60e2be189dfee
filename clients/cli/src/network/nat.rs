//! What the NAT on the way does, by what servers see of one socket.

use core::net::IpAddr;

use super::{Answers, Examination};
use crate::doctor::Finding;

/// What stands between this machine and the internet (RFC 4787 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nat {
    /// Nothing: servers see the address that this machine has.
    None,
    /// One that shows the same address and port to everybody (endpoint-independent mapping).
    Same,
    /// The same at two ports of one server: another server may see another.
    SameAddress,
    /// One that shows another port to each (address-dependent or address-and-port-dependent mapping).
    Symmetric,
    /// There is one, and a single server is too few to tell which.
    Some,
}

impl Nat {
    /// In a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Same => "endpoint-independent",
            Self::SameAddress => "endpoint-independent-at-one-address",
            Self::Symmetric => "symmetric",
            Self::Some => "unknown",
        }
    }
}

/// What the answers of two servers tell of the NAT; `None` when nobody answered.
#[must_use]
pub fn nat(examination: &Examination) -> Option<Nat> {
    let seen: Vec<(&Answers, _)> =
        examination.answers().filter_map(|answers| Some((answers, answers.seen?))).collect();
    // Each family goes its own way; NATs are IPv4's.
    let of_family = |is_v6: bool| seen.iter().filter(move |(answers, _)| answers.server.is_ipv6() == is_v6);
    let family = seen.iter().all(|(answers, _)| answers.server.is_ipv6());
    let seen: Vec<_> = of_family(family).collect();
    let (first, shown) = seen.first()?;
    if seen.iter().all(|(answers, shown)| *shown == answers.local) {
        return Some(Nat::None);
    }
    let others = || seen.iter().filter(|(answers, _)| answers.server != first.server);
    if others().any(|(_, other)| other != shown) {
        return Some(Nat::Symmetric);
    }
    let is_elsewhere = others().any(|(answers, _)| answers.server.ip() != first.server.ip());
    Some(match (others().next(), is_elsewhere) {
        (None, _) => Nat::Some,
        (Some(_), true) => Nat::Same,
        (Some(_), false) => Nat::SameAddress,
    })
}

pub(super) fn nat_finding(kind: Nat, examination: &Examination) -> Finding {
    const TOPIC: &str = "nat";
    let seen = examination.answers().find_map(|answers| answers.seen);
    let seen = seen.map_or_else(String::new, |seen| format!(", seen as {}", seen.ip()));
    let shared = match seen_privately(examination) {
        true => {
            " (the servers see an address that the internet does not: they are in the same network, or your provider shares \
                 addresses among its customers)"
        }
        false => "",
    };
    match kind {
        Nat::None => {
            Finding::good(TOPIC, format!("no NAT: this machine has the address that others see{seen}"))
        }
        Nat::Same => Finding::good(
            TOPIC,
            format!("a NAT that shows the same port to everybody{seen}{shared}: direct paths will be found"),
        ),
        Nat::SameAddress => Finding::good(
            TOPIC,
            format!(
                "a NAT that shows the same port to both ports of one server{seen}{shared}: direct paths will most likely be \
                 found"
            ),
        ),
        Nat::Symmetric => Finding::limited(
            TOPIC,
            format!(
                "a NAT that shows another port to each server (symmetric){seen}{shared}: direct paths are found only to \
                     those without such a NAT"
            ),
            "sessions go through a relay where they must; forward UDP port 4747 to the host in the router, or use IPv6, to have \
             them direct",
        ),
        Nat::Some => Finding::limited(
            TOPIC,
            format!("there is a NAT{seen}{shared}; one server is too few to tell which"),
            "name a second one: `--relay HOST`, or any STUN server by `--stun HOST`",
        ),
    }
}

/// Whether somebody was seen at an address that means nothing in the internet.
fn seen_privately(examination: &Examination) -> bool {
    examination.answers().filter_map(|answers| answers.seen).any(|seen| match seen.ip() {
        // 100.64.0.0/10 is what providers share addresses from (RFC 6598).
        IpAddr::V4(v4) => v4.is_private() || v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64,
        IpAddr::V6(v6) => v6.is_unique_local(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::Role;
    use super::super::judge::tests::{answers, examination};
    use super::*;

    #[test]
    fn two_servers_tell_what_the_nat_does() {
        let of = |seen: &[(&str, &str)]| {
            let all: Vec<_> =
                seen.iter().map(|(server, seen)| (Role::Gateway, answers(server, seen))).collect();
            nat(&examination(&all))
        };
        let (one, two) = ("192.0.2.1:4748", "192.0.2.5:4749");
        assert_eq!(of(&[(one, "192.168.1.2:5555"), (two, "192.168.1.2:5555")]), Some(Nat::None));
        assert_eq!(of(&[(one, "198.51.100.1:5555"), (two, "198.51.100.1:5555")]), Some(Nat::Same));
        assert_eq!(of(&[(one, "198.51.100.1:1"), (two, "198.51.100.1:2")]), Some(Nat::Symmetric));
        assert_eq!(of(&[(one, "198.51.100.1:1")]), Some(Nat::Some));
        let third = "192.0.2.1:4749";
        assert_eq!(of(&[(one, "198.51.100.1:1"), (third, "198.51.100.1:1")]), Some(Nat::SameAddress));
        assert_eq!(of(&[(one, "nobody")]), None);
    }
}
