//! Which relays are near (SPEC §18.9): each is asked for a nonce three times, and the shortest round trip counts. Nothing is
//! bound by that, and no relay keeps anything of it.

use core::net::SocketAddr;

use crate::limits::RELAYS_TOLD_MAX;
use crate::paths::relay::relay_id;
use crate::time::Instant;
use crate::wire::bind::{BIND_ASK_LEN, BindBody, BindMessage};
use crate::wire::fleet::{RelayPlace, RelayPlaces, RelayTime, RelayTimes};
use crate::wire::relay::LEASE_TAG_LEN;

/// How often each is asked.
const ROUNDS: usize = 3;
/// Between two questions to one relay.
const PAUSE_US: u64 = 100_000;
/// After the last question answers have this long.
const PATIENCE_US: u64 = 1_000_000;
/// Microseconds of a unit of [`RelayTime::rtt`].
const UNIT_US: u64 = 100;

#[derive(Clone, Debug)]
struct One {
    place: RelayPlace,
    /// When each question left.
    asked_at: heapless::Vec<Instant, ROUNDS>,
    /// Whether each was answered.
    is_answered: [bool; ROUNDS],
    rtt_us: Option<u64>,
}

/// See the module.
#[derive(Debug)]
pub struct RelayProbe {
    /// What answers have to name: drawn for this, so that nobody can answer who has not seen the question.
    tag: [u8; LEASE_TAG_LEN],
    all: heapless::Vec<One, RELAYS_TOLD_MAX>,
    began: Instant,
}

impl RelayProbe {
    /// Begins at once. `tag` is 8 bytes of entropy never used before.
    #[must_use]
    pub fn new(now: Instant, tag: [u8; LEASE_TAG_LEN], places: &RelayPlaces) -> Self {
        let one = |place: &RelayPlace| One {
            place: *place,
            asked_at: heapless::Vec::new(),
            is_answered: [false; ROUNDS],
            rtt_us: None,
        };
        Self { tag, all: places.iter().map(one).collect(), began: now }
    }

    /// Takes what came from `from`; whether it was an answer to this.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> bool {
        let message = BindMessage::parse(datagram);
        let Some(message) = message.filter(|said| matches!(said.body, BindBody::Nonce(_))) else {
            return false;
        };
        let Some(round) = (0..ROUNDS).find(|&round| tag_of(self.tag, round) == message.tag) else {
            return false;
        };
        let waits = |one: &&mut One| one.place.address == from && !one.is_answered[round];
        let Some(one) = self.all.iter_mut().find(waits) else { return false };
        let Some(&asked_at) = one.asked_at.get(round) else { return false };
        let took = now.micros_since(asked_at);
        one.is_answered[round] = true;
        one.rtt_us = Some(one.rtt_us.map_or(took, |before| before.min(took)));
        true
    }

    /// Writes the next question into `out`; its length and where it goes.
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        out: &mut [u8; BIND_ASK_LEN],
    ) -> Option<(usize, SocketAddr)> {
        let began = self.began;
        let is_due = |one: &&mut One| !one.asked_at.is_full() && now >= due(began, one.asked_at.len());
        let one = self.all.iter_mut().find(is_due)?;
        let tag = tag_of(self.tag, one.asked_at.len());
        one.asked_at.push(now).ok()?;
        let len = BindMessage { tag, body: BindBody::Ask }.emit(out)?;
        Some((len, one.place.address))
    }

    /// When something is due; after that it [is over](Self::is_over).
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        let waiting = self.all.iter().filter(|one| !one.asked_at.is_full());
        let next = waiting.map(|one| due(self.began, one.asked_at.len())).min();
        next.unwrap_or_else(|| self.end())
    }

    /// Whether no more answers are waited for.
    #[must_use]
    pub fn is_over(&self, now: Instant) -> bool {
        now >= self.end() || self.all.iter().all(|one| one.is_answered == [true; ROUNDS])
    }

    /// What was measured so far, for the gateway.
    #[must_use]
    pub fn times(&self) -> RelayTimes {
        let time = |one: &One| {
            let units = one.rtt_us.map(|rtt_us| rtt_us.div_ceil(UNIT_US).min(u64::from(u16::MAX) - 1));
            let rtt = units.and_then(|units| u16::try_from(units).ok()).unwrap_or(u16::MAX);
            RelayTime { relay: relay_id(&one.place.key), rtt }
        };
        self.all.iter().map(time).collect()
    }

    fn end(&self) -> Instant {
        due(self.began, ROUNDS - 1).plus_micros(PATIENCE_US)
    }
}

fn due(began: Instant, round: usize) -> Instant {
    began.plus_micros(PAUSE_US * round as u64)
}

/// Each question has a name of its own, so that a late answer is not taken for a quick one.
const fn tag_of(mut tag: [u8; LEASE_TAG_LEN], round: usize) -> [u8; LEASE_TAG_LEN] {
    tag[0] ^= round as u8;
    tag
}
