//! A NAT as RFC 4787 describes them, by its behaviours.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::ops::RangeInclusive;
use std::collections::BTreeMap;

use rift::Instant;

use crate::random::Random;

/// What a mapping, or a filter, depends on beside the address inside (RFC 4787 §4.1, §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dependence {
    /// Nothing.
    EndpointIndependent,
    /// The address outside.
    AddressDependent,
    /// The address and the port outside.
    AddressAndPortDependent,
}

impl Dependence {
    /// The part of `remote` that counts.
    const fn part(self, remote: SocketAddrV4) -> Option<(Ipv4Addr, Option<u16>)> {
        match self {
            Self::EndpointIndependent => None,
            Self::AddressDependent => Some((*remote.ip(), None)),
            Self::AddressAndPortDependent => Some((*remote.ip(), Some(remote.port()))),
        }
    }
}

/// How a NAT behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatConfig {
    /// Which packets out get the same port outside.
    pub mapping: Dependence,
    /// Which packets in are let through.
    pub filtering: Dependence,
    /// Whether those inside reach each other by their addresses outside.
    pub hairpin: bool,
    /// A mapping is forgotten when nothing went out through it for so long, in microseconds.
    pub timeout_us: u64,
    /// The ports it has outside. When all are taken it makes no further mapping.
    pub ports: RangeInclusive<u16>,
}

impl NatConfig {
    /// A NAT of these two behaviours, with hairpinning, a patience of 2 minutes (RFC 4787 REQ-5) and ports enough.
    #[must_use]
    pub const fn new(mapping: Dependence, filtering: Dependence) -> Self {
        Self { mapping, filtering, hairpin: true, timeout_us: 120_000_000, ports: 1024..=65535 }
    }

    /// What RFC 3489 called a full cone.
    #[must_use]
    pub const fn full_cone() -> Self {
        Self::new(Dependence::EndpointIndependent, Dependence::EndpointIndependent)
    }

    /// What RFC 3489 called a restricted cone.
    #[must_use]
    pub const fn restricted() -> Self {
        Self::new(Dependence::EndpointIndependent, Dependence::AddressDependent)
    }

    /// What RFC 3489 called a port-restricted cone.
    #[must_use]
    pub const fn port_restricted() -> Self {
        Self::new(Dependence::EndpointIndependent, Dependence::AddressAndPortDependent)
    }

    /// What RFC 3489 called symmetric.
    #[must_use]
    pub const fn symmetric() -> Self {
        Self::new(Dependence::AddressAndPortDependent, Dependence::AddressAndPortDependent)
    }
}

type Key = (SocketAddrV4, Option<(Ipv4Addr, Option<u16>)>);

#[derive(Clone, Debug)]
struct Mapping {
    key: Key,
    used_at: Instant,
    /// To whom something went out, as far as that counts.
    permitted: Vec<Option<(Ipv4Addr, Option<u16>)>>,
}

/// A NAT with one address outside.
#[derive(Clone, Debug)]
pub struct Nat {
    config: NatConfig,
    outside: Ipv4Addr,
    random: Random,
    ports: BTreeMap<Key, u16>,
    mappings: BTreeMap<u16, Mapping>,
}

impl Nat {
    /// A NAT that shows `outside`; which ports it gives is left to chance.
    #[must_use]
    pub const fn new(config: NatConfig, outside: Ipv4Addr, random: Random) -> Self {
        Self { config, outside, random, ports: BTreeMap::new(), mappings: BTreeMap::new() }
    }

    /// Its address outside.
    #[must_use]
    pub const fn outside(&self) -> Ipv4Addr {
        self.outside
    }

    /// How it behaves.
    #[must_use]
    pub const fn config(&self) -> &NatConfig {
        &self.config
    }

    /// Mappings it remembers at `now`.
    #[must_use]
    pub fn mappings(&self, now: Instant) -> usize {
        self.mappings.values().filter(|mapping| !self.is_old(mapping, now)).count()
    }

    /// A packet goes out: the address it comes from outside. `None` when there is no port for it.
    pub fn outward(
        &mut self,
        now: Instant,
        inside: SocketAddrV4,
        remote: SocketAddrV4,
    ) -> Option<SocketAddrV4> {
        self.forget(now);
        let key = (inside, self.config.mapping.part(remote));
        let port = match self.ports.get(&key) {
            Some(&port) => port,
            None => self.map(now, key)?,
        };
        let mapping = self.mappings.get_mut(&port)?;
        mapping.used_at = now;
        let permitted = self.config.filtering.part(remote);
        if !mapping.permitted.contains(&permitted) {
            mapping.permitted.push(permitted);
        }
        Some(SocketAddrV4::new(self.outside, port))
    }

    /// A packet comes in for `port`: for whom it is inside, if it is let through.
    pub fn inward(&mut self, now: Instant, port: u16, remote: SocketAddrV4) -> Option<SocketAddrV4> {
        self.forget(now);
        let mapping = self.mappings.get(&port)?;
        mapping.permitted.contains(&self.config.filtering.part(remote)).then_some(mapping.key.0)
    }

    fn map(&mut self, now: Instant, key: Key) -> Option<u16> {
        let (first, last) = (*self.config.ports.start(), *self.config.ports.end());
        let count = u64::from(last - first) + 1;
        let from = u16::try_from(self.random.next_u64() % count).expect("a port has 16 bits");
        let upward = (first..=last).cycle().skip(usize::from(from)).take(usize::from(last - first) + 1);
        let port = upward.into_iter().find(|port| !self.mappings.contains_key(port))?;
        self.ports.insert(key, port);
        self.mappings.insert(port, Mapping { key, used_at: now, permitted: Vec::new() });
        Some(port)
    }

    const fn is_old(&self, mapping: &Mapping, now: Instant) -> bool {
        now.micros_since(mapping.used_at) >= self.config.timeout_us
    }

    fn forget(&mut self, now: Instant) {
        let timeout_us = self.config.timeout_us;
        let ports = &mut self.ports;
        self.mappings.retain(|_, mapping| {
            let is_kept = now.micros_since(mapping.used_at) < timeout_us;
            if !is_kept {
                ports.remove(&mapping.key);
            }
            is_kept
        });
    }
}
