//! Who is still to be told of which relays (SPEC §18.9).
//!
//! A device is told with its welcome, and again when there is a relay that it was not told of: one that came back, or whose
//! operator lets it have leases again. Those that were there before are told a few at a time, in the order of their sessions,
//! so that a gateway's devices do not measure all at once. A relay that is there no more is told to nobody: it gets no leases.
//!
//! Invariant: nobody is told of a set that has nothing new for it, so a relay that comes and goes is told once to each.

use rift::wire::signal::Signal;
use rift::{Instant, SessionIndex};

use super::limits::{RELAYS_MAX, TELLINGS_AT_ONCE, TELLINGS_INTERVAL_US};
use super::registry::{Effect, Registry};

/// A set of relays, by their places among those that the operator has named.
pub(super) type RelaySet = u64;
const _: () = assert!(RELAYS_MAX <= RelaySet::BITS as usize, "each relay has a bit");

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Tellings {
    /// What devices were to be told of after the last change.
    seen: RelaySet,
    round: Option<Round>,
}

/// Once through the sessions.
#[derive(Clone, Copy, Debug)]
struct Round {
    /// Where it goes on, and when.
    next: SessionIndex,
    due: Instant,
    /// There was news meanwhile, for those who had their turn, too.
    again: bool,
}

impl Registry {
    /// Tells a device of relays, if there is one that it was not told of in this session.
    pub(super) fn tell_relays(&mut self, now: Instant, session: SessionIndex) {
        let (places, set) = self.relays.places(now);
        let Some(present) = self.sessions.get_mut(&session) else { return };
        if set & !present.told_relays != 0 && self.devices.contains_key(&present.key) {
            present.told_relays |= set;
            self.effects.push_back(Effect::Say(session, Signal::Relays(places)));
        }
    }

    /// Decides something about relays, or hears it of them: if there is one more then, all shall hear of it.
    pub(super) fn change_relays<T>(&mut self, now: Instant, change: impl FnOnce(&mut Self) -> T) -> T {
        // A relay that fell silent, or made room for another by that, is missed without a change.
        let (_, before) = self.relays.places(now);
        let changed = change(self);
        let (_, set) = self.relays.places(now);
        let seen = core::mem::replace(&mut self.tellings.seen, set);
        if set & !(before & seen) != 0 {
            self.begin_round(now);
        }
        changed
    }

    fn begin_round(&mut self, now: Instant) {
        let first = Round { next: SessionIndex(0), due: now, again: false };
        self.tellings.round = Some(self.tellings.round.map_or(first, |round| Round { again: true, ..round }));
    }

    /// Tells the next few, if it is their time.
    pub(super) fn tell_next(&mut self, now: Instant) {
        let Some(round) = self.tellings.round.filter(|round| round.due <= now) else { return };
        let mut next = self.sessions.range(round.next..).map(|(&session, _)| session);
        let some: heapless::Vec<SessionIndex, TELLINGS_AT_ONCE> =
            next.by_ref().take(TELLINGS_AT_ONCE).collect();
        let (left, due) = (next.next(), now.plus_micros(TELLINGS_INTERVAL_US));
        let anew = round.again.then_some(Round { next: SessionIndex(0), due, again: false });
        self.tellings.round = left.map(|next| Round { next, due, ..round }).or(anew);
        for session in some {
            self.tell_relays(now, session);
        }
    }

    /// When [`Self::tell_next`] has something to do.
    pub(super) fn next_telling(&self) -> Option<Instant> {
        self.tellings.round.map(|round| round.due)
    }
}
