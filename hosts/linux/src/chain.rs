//! Which picture the next one refers to.
//!
//! Normally the one before. A viewer that lost pictures is led back by one that refers to what it still has, or by a
//! key picture when that is too long ago. Requests of all viewers are merged, and no viewer costs the others more
//! than one key picture a second. It knows numbers and times only; the encoder is told what comes out.
//!
//! Invariant: the window here equals the encoder's own, so what is called a reference the encoder still has.

use std::collections::VecDeque;

use rift::{Instant, PictureId};

/// A key picture on request comes at most once in this long, in microseconds.
pub const KEY_INTERVAL_US: u64 = 1_000_000;

/// How far back a picture can refer: what its head has room for (SPEC §11.3).
const REFERENCE_DISTANCE_MAX: u32 = 255;

/// How the next picture leads on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lead {
    /// From whatever the encoder would refer to anyway.
    On,
    /// From this picture or an older one: the encoder must forget all that came after it.
    From(PictureId),
    /// From nothing: a key picture.
    Key,
}

/// What bounds repairs now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The longest round trip of those who asked, in microseconds: repairs are merged over it.
    pub round_trip_us: u64,
    /// Whether any viewer has a picture. If none has, a key picture disturbs nobody and comes once a round trip.
    pub anyone_has_picture: bool,
}

/// The chain of references; see the module.
#[derive(Clone, Debug)]
pub struct Chain {
    next: PictureId,
    /// Pictures the encoder keeps, oldest first, and whether it may refer to them.
    kept: VecDeque<(PictureId, bool)>,
    capacity: usize,
    key_wanted: bool,
    after_wanted: Option<PictureId>,
    key_at: Option<Instant>,
    repaired_at: Option<Instant>,
}

impl Chain {
    /// A chain whose first picture will be number `first`, for an encoder that keeps `capacity` pictures.
    #[must_use]
    pub fn new(first: PictureId, capacity: usize) -> Self {
        Self {
            next: first,
            kept: VecDeque::with_capacity(capacity),
            capacity,
            key_wanted: false,
            after_wanted: None,
            key_at: None,
            repaired_at: None,
        }
    }

    /// The number of the next picture.
    #[must_use]
    pub const fn next(&self) -> PictureId {
        self.next
    }

    /// The next picture's number is this one, and not an earlier one: others were given to other pictures.
    pub fn skip_to(&mut self, next: PictureId) {
        self.next = self.next.max(next);
    }

    /// What the next picture will refer to; `None`: it can only be a key picture.
    #[must_use]
    pub fn reference(&self) -> Option<PictureId> {
        self.kept.iter().rev().find(|(_, usable)| *usable).map(|&(id, _)| id)
    }

    /// The encoder was replaced by one that has seen nothing and keeps `capacity` pictures; numbers go on.
    pub fn restart(&mut self, capacity: usize) {
        self.kept.clear();
        self.capacity = capacity;
    }

    /// A viewer has pictures up to `after` (`None`: none at all) and can use none that needs a later one.
    pub fn want(&mut self, after: Option<PictureId>) {
        match after {
            None => self.key_wanted = true,
            Some(after) => {
                self.after_wanted = Some(self.after_wanted.map_or(after, |other| other.min(after)));
            }
        }
    }

    /// When the next repair is to be made; `None`: none is wanted. It may have passed.
    #[must_use]
    pub fn repair_due(&self, bounds: &Bounds) -> Option<Instant> {
        let key = (self.key_wanted || self.needs_key()).then(|| self.key_due(bounds));
        let after = self.after_wanted.filter(|_| !self.needs_key()).map(|_| self.after_due(bounds));
        match (key, after) {
            (Some(key), Some(after)) => Some(key.min(after)),
            (key, after) => key.or(after),
        }
    }

    /// Settles how the next picture leads on. What is returned is taken as done.
    pub fn lead(&mut self, now: Instant, bounds: &Bounds) -> Lead {
        let is_near =
            |reference: PictureId| self.next.0.saturating_sub(reference.0) <= REFERENCE_DISTANCE_MAX;
        if !self.reference().is_some_and(is_near) {
            return self.begin_key();
        }
        if (self.key_wanted || self.needs_key()) && self.key_due(bounds) <= now {
            return self.begin_key();
        }
        match self.after_wanted {
            Some(after) if !self.needs_key() && self.after_due(bounds) <= now => {
                self.after_wanted = None;
                self.repaired_at = Some(now);
                for (id, usable) in &mut self.kept {
                    *usable &= *id <= after;
                }
                Lead::From(after)
            }
            _ => Lead::On,
        }
    }

    /// The next picture was encoded. Returns its number.
    pub fn encoded(&mut self, now: Instant, key: bool) -> PictureId {
        let id = self.next;
        self.next = PictureId(id.0.wrapping_add(1));
        if key {
            self.kept.clear();
            self.begin_key();
            self.key_at = Some(now);
        }
        if self.kept.len() == self.capacity {
            self.kept.pop_front();
        }
        self.kept.push_back((id, true));
        id
    }

    /// The encoder failed and has forgotten everything.
    pub fn broken(&mut self) {
        self.kept.clear();
    }

    fn begin_key(&mut self) -> Lead {
        self.key_wanted = false;
        self.after_wanted = None;
        Lead::Key
    }

    /// Whether somebody asked to be led from a picture that the encoder no longer has.
    fn needs_key(&self) -> bool {
        let Some(after) = self.after_wanted else { return false };
        !self.kept.iter().any(|&(id, usable)| usable && id <= after)
    }

    fn key_due(&self, bounds: &Bounds) -> Instant {
        let apart = if bounds.anyone_has_picture { KEY_INTERVAL_US } else { bounds.round_trip_us };
        self.key_at.map_or(Instant::ZERO, |at| at.plus_micros(apart))
    }

    fn after_due(&self, bounds: &Bounds) -> Instant {
        self.repaired_at.map_or(Instant::ZERO, |at| at.plus_micros(bounds.round_trip_us))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const BOUNDS: Bounds = Bounds { round_trip_us: 20_000, anyone_has_picture: true };
    const PERIOD_US: u64 = 16_667;

    /// What a real encoder does: refers to the newest picture not forgotten of a sliding window.
    struct Encoder {
        kept: Vec<(PictureId, bool)>,
        capacity: usize,
    }

    impl Encoder {
        /// Encodes; returns the reference.
        fn encode(&mut self, id: PictureId, lead: Lead) -> Option<PictureId> {
            if let Lead::From(after) = lead {
                self.kept.iter_mut().for_each(|(id, usable)| *usable &= *id <= after);
            }
            let newest = self.kept.iter().rev().find(|(_, usable)| *usable).map(|&(id, _)| id);
            let reference = newest.filter(|_| lead != Lead::Key);
            if reference.is_none() {
                self.kept.clear();
            }
            if self.kept.len() == self.capacity {
                self.kept.remove(0);
            }
            self.kept.push((id, true));
            reference
        }
    }

    fn numbers(mut seed: u64) -> impl FnMut(u64) -> u64 {
        move |below| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        }
    }

    #[test]
    fn every_reference_is_true_and_every_viewer_is_led_back() {
        for seed in 0..200 {
            let mut random = numbers(seed);
            let mut chain = Chain::new(PictureId(1), 16);
            let mut encoder = Encoder { kept: Vec::new(), capacity: 16 };
            let mut viewers: [BTreeSet<PictureId>; 3] = Default::default();
            let mut now = Instant::from_millis(1000);
            let mut keys = Vec::new();
            for _ in 0..600 {
                now = now.plus_micros(PERIOD_US);
                let watched = viewers.iter().any(|has| !has.is_empty());
                let bounds = Bounds { anyone_has_picture: watched, ..BOUNDS };
                let lead = chain.lead(now, &bounds);
                let expected = chain.reference().filter(|_| lead != Lead::Key);
                let reference = encoder.encode(chain.next(), lead);
                assert_eq!(reference, expected, "seed {seed}: the model and the encoder differ");
                let id = chain.encoded(now, reference.is_none());
                if reference.is_none() {
                    keys.push((now, watched));
                }
                for has in &mut viewers {
                    let usable = reference.is_none_or(|reference| has.contains(&reference));
                    if usable && random(10) > 0 {
                        has.insert(id);
                    } else {
                        chain.want(has.last().copied());
                    }
                }
            }
            for pair in keys.windows(2) {
                let apart = pair[1].0.micros_since(pair[0].0);
                assert!(!pair[1].1 || apart >= KEY_INTERVAL_US, "seed {seed}: keys {apart} µs apart");
            }
            for has in &viewers {
                let newest = has.last().map_or(0, |id| id.0);
                assert!(newest + 80 > chain.next().0, "seed {seed}: stuck at {newest}");
            }
        }
    }

    #[test]
    fn first_picture_is_a_key_and_the_next_refers_to_it() {
        let mut chain = Chain::new(PictureId(1), 16);
        assert_eq!(chain.lead(Instant::ZERO, &BOUNDS), Lead::Key);
        assert_eq!(chain.encoded(Instant::ZERO, true), PictureId(1));
        assert_eq!(chain.lead(Instant::ZERO, &BOUNDS), Lead::On);
        assert_eq!(chain.reference(), Some(PictureId(1)));
    }

    #[test]
    fn repairs_are_merged_once_a_round_trip_and_lead_from_the_oldest() {
        let mut chain = Chain::new(PictureId(1), 16);
        for at in 0..10 {
            chain.encoded(Instant::from_millis(at), at == 0);
        }
        let now = Instant::from_millis(100);
        chain.want(Some(PictureId(8)));
        chain.want(Some(PictureId(6)));
        assert_eq!(chain.repair_due(&BOUNDS), Some(Instant::ZERO));
        assert_eq!(chain.lead(now, &BOUNDS), Lead::From(PictureId(6)));
        assert_eq!(chain.reference(), Some(PictureId(6)));
        chain.encoded(now, false);
        assert_eq!(chain.repair_due(&BOUNDS), None);
        chain.want(Some(PictureId(6)));
        assert_eq!(chain.lead(now.plus_micros(19_999), &BOUNDS), Lead::On);
        assert_eq!(chain.lead(now.plus_micros(20_000), &BOUNDS), Lead::From(PictureId(6)));
    }

    #[test]
    fn request_from_before_the_window_waits_for_a_key_picture() {
        let mut chain = Chain::new(PictureId(1), 4);
        for at in 0..10 {
            chain.encoded(Instant::from_millis(at), at == 0);
        }
        chain.want(Some(PictureId(6)));
        let due = chain.repair_due(&BOUNDS);
        assert_eq!(due, Some(Instant::from_micros(KEY_INTERVAL_US)));
        assert_eq!(chain.lead(Instant::from_millis(999), &BOUNDS), Lead::On);
        assert_eq!(chain.lead(Instant::from_millis(1000), &BOUNDS), Lead::Key);
    }

    #[test]
    fn first_viewer_gets_its_key_picture_within_a_round_trip() {
        let mut chain = Chain::new(PictureId(1), 16);
        chain.encoded(Instant::ZERO, true);
        chain.encoded(Instant::ZERO, false);
        chain.want(None);
        let nobody = Bounds { anyone_has_picture: false, ..BOUNDS };
        assert_eq!(chain.lead(Instant::from_millis(20), &BOUNDS), Lead::On);
        assert_eq!(chain.lead(Instant::from_millis(19), &nobody), Lead::On, "one may be on its way");
        assert_eq!(chain.lead(Instant::from_millis(20), &nobody), Lead::Key);
    }
}
