//! How often strangers of one network may make the relay work, in memory of a fixed size.
//!
//! A network is 24 bits of an IPv4 address or 56 of an IPv6 one. Each is one of so many counters, chosen by a keyed hash:
//! whoever shares a counter with an attacker waits with him, and nobody can choose with whom to share.

use core::hash::{BuildHasher, Hasher};
use core::net::{IpAddr, SocketAddr};
use std::hash::RandomState;

use rift::Instant;

const COUNTERS: usize = 4096;

#[derive(Clone, Copy, Debug)]
struct Counter {
    left: u32,
    filled_at: Instant,
}

#[derive(Debug)]
pub(super) struct Prefixes {
    hash: RandomState,
    /// What each may do at once, and in a second.
    per_s: u32,
    counters: Box<[Counter; COUNTERS]>,
}

impl Prefixes {
    pub(super) fn new(per_s: u32) -> Self {
        let counter = Counter { left: per_s, filled_at: Instant::ZERO };
        Self { hash: RandomState::new(), per_s, counters: Box::new([counter; COUNTERS]) }
    }

    /// Takes one, if the network of `from` has one left.
    pub(super) fn take(&mut self, now: Instant, from: SocketAddr) -> bool {
        let mut hasher = self.hash.build_hasher();
        match from.ip().to_canonical() {
            IpAddr::V4(ip) => hasher.write(&ip.octets()[..3]),
            IpAddr::V6(ip) => hasher.write(&ip.octets()[..7]),
        }
        let counter = &mut self.counters[(hasher.finish() % COUNTERS as u64) as usize];
        let fresh = now.micros_since(counter.filled_at).saturating_mul(self.per_s.into()) / 1_000_000;
        if fresh > 0 {
            let fresh = u32::try_from(fresh).unwrap_or(u32::MAX);
            counter.left = counter.left.saturating_add(fresh).min(self.per_s);
            counter.filled_at = now;
        }
        let is_left = counter.left > 0;
        counter.left -= u32::from(is_left);
        is_left
    }
}
