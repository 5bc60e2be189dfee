//! Which relays there are, how they are, and which two suit an introduction (SPEC §18.9).
//!
//! It refuses to know of sessions and leases. Invariant: a relay is only what the operator has named by its key; what one
//! says of itself moves leases away from it or to it, and nothing else.

use core::net::SocketAddr;

use rift::limits::RELAYS_TOLD_MAX;
use rift::paths::relay::{RELAY_ID_LEN, relay_id};
use rift::wire::fleet::{Beat, RelayPlace, RelayPlaces, RelayTimes};
use rift::{Instant, PublicKey};

use super::limits::{BEAT_LATE_US, RELAYS_MAX};
use super::tellings::RelaySet;

/// What a relay that a device has not measured counts as, in units of 0.1 ms.
const UNMEASURED: u32 = 2_000;
/// What a relay that never said how it is counts as, beside what was measured: it goes last.
const SILENT: u32 = 1_000_000;
/// What a relay at its full load counts as, more than an idle one.
const BUSY: u32 = 500;

/// A relay that the operator has named.
#[derive(Clone, Debug)]
pub struct KnownRelay {
    /// Its static key.
    pub key: PublicKey,
    /// Its name in leases.
    pub id: [u8; RELAY_ID_LEN],
    /// Where peers reach it, as far as that is known.
    pub address: Option<SocketAddr>,
    /// What it said last, and when.
    pub beat: Option<(Instant, Beat)>,
    /// The operator wants no more leases of it.
    pub is_drained: bool,
}

impl KnownRelay {
    /// Whether it may get another lease.
    #[must_use]
    pub fn is_usable(&self, now: Instant) -> bool {
        let is_well = |(at, beat): &(Instant, Beat)| {
            !beat.is_draining && beat.leases < beat.leases_max && now.micros_since(*at) < BEAT_LATE_US
        };
        self.address.is_some() && !self.is_drained && self.beat.as_ref().is_none_or(is_well)
    }

    /// Whether it says how it is, and did so lately.
    #[must_use]
    pub fn is_there(&self, now: Instant) -> bool {
        self.beat.as_ref().is_some_and(|(at, _)| now.micros_since(*at) < BEAT_LATE_US)
    }

    /// How far it is for a device that measured this.
    fn distance(&self, times: &RelayTimes) -> u32 {
        let time = times.iter().find(|time| time.relay == self.id);
        time.map_or(UNMEASURED, |time| time.rtt.into())
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Relays {
    all: Vec<KnownRelay>,
    /// Whose turn it is among those that suit alike.
    turn: usize,
}

impl Relays {
    /// These, of which some have said where they are; those beyond [`RELAYS_MAX`] are left out.
    #[must_use]
    pub fn new(named: &[(PublicKey, Option<SocketAddr>)]) -> Self {
        let known = |&(key, address): &(PublicKey, Option<SocketAddr>)| KnownRelay {
            key,
            id: relay_id(&key),
            address,
            beat: None,
            is_drained: false,
        };
        Self { all: named.iter().take(RELAYS_MAX).map(known).collect(), turn: 0 }
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[KnownRelay] {
        &self.all
    }

    /// Whether this is a relay's key.
    #[must_use]
    pub fn knows(&self, key: &PublicKey) -> bool {
        self.all.iter().any(|relay| relay.key == *key)
    }

    /// A relay said how it is. It is `seen` at an address, whose IP is taken if the relay was not told its own.
    pub fn on_beat(&mut self, now: Instant, key: &PublicKey, seen: SocketAddr, beat: Beat) {
        let Some(relay) = self.all.iter_mut().find(|relay| relay.key == *key) else { return };
        if relay.address.is_none() && beat.address.port() != 0 {
            let ip = if beat.address.ip().is_unspecified() { seen.ip() } else { beat.address.ip() };
            relay.address = Some(SocketAddr::new(ip, beat.address.port()));
        }
        relay.beat = Some((now, beat));
    }

    /// The operator decides whether it gets more leases; `false` when there is no such relay.
    pub fn set_drained(&mut self, id: &[u8; RELAY_ID_LEN], is_drained: bool) -> bool {
        let relay = self.all.iter_mut().find(|relay| relay.id == *id);
        relay.map(|relay| relay.is_drained = is_drained).is_some()
    }

    /// What devices are told of, to measure, and which of all that are.
    #[must_use]
    pub(super) fn places(&self, now: Instant) -> (RelayPlaces, RelaySet) {
        let (mut places, mut set) = (RelayPlaces::new(), 0);
        let usable = self.all.iter().enumerate().filter(|(_, relay)| relay.is_usable(now));
        for (place, relay) in usable.take(RELAYS_TOLD_MAX) {
            let Some(address) = relay.address else { continue };
            if places.push(RelayPlace { key: relay.key, address }).is_ok() {
                set |= 1 << place;
            }
        }
        (places, set)
    }

    /// Whether there is one that may get a lease.
    #[must_use]
    pub fn has_usable(&self, now: Instant) -> bool {
        self.all.iter().any(|relay| relay.is_usable(now))
    }

    /// The two that suit both peers best, the better one first. Those that suit alike take turns.
    pub fn choose(&mut self, now: Instant, times: [&RelayTimes; 2]) -> heapless::Vec<RelayPlace, 2> {
        let (count, turn) = (self.all.len(), self.turn);
        self.turn = self.turn.wrapping_add(1);
        let cost = |relay: &KnownRelay| {
            let far: u32 = times.iter().map(|times| relay.distance(times)).sum();
            let load = relay
                .beat
                .as_ref()
                .map_or(SILENT, |(_, beat)| u32::from(beat.load_permille.min(1_000)) * BUSY / 1_000);
            far + load
        };
        let in_turn = (0..count).map(|place| &self.all[place.wrapping_add(turn) % count]);
        let mut usable: Vec<_> = in_turn.filter(|relay| relay.is_usable(now)).collect();
        usable.sort_by_key(|relay| cost(relay));
        let places =
            usable.iter().filter_map(|relay| Some(RelayPlace { key: relay.key, address: relay.address? }));
        places.take(2).collect()
    }
}
