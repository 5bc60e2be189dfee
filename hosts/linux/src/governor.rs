//! How much and how often to encode.
//!
//! Two decisions, both pure. [`Grant::of`] makes one rate out of what congestion control grants to each viewer;
//! [`Pace`] says when the next picture is encoded: at once when something changed and the last one is long enough
//! ago, never on a fixed tick, and not at all while a screen is still and good.

use rift::Instant;

/// A viewer whose grant is below the lead's divided by this no longer slows the others down.
const GROUP_FACTOR: u32 = 2;

/// How long nothing must have changed before the picture is refined, in microseconds.
pub const STILL_US: u64 = 80_000;

/// Refinements of one still picture at most.
pub const REFINEMENTS_MAX: u8 = 120;

/// A picture may come this part of a period early, so that a source with jitter is not slowed down; the average
/// stays.
const EARLY_DIVISOR: u64 = 2;

/// What one viewer's session says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// What its congestion control grants to the encoder, in bits per second.
    pub bitrate_bps: u32,
    /// What it grants to all, in bits per second.
    pub pacing_bps: u32,
    /// The highest picture rate it can feed, in pictures per 1000 s.
    pub rate_millihertz_max: Option<u32>,
    /// Bytes of pictures that wait to leave.
    pub backlog_bytes: usize,
    /// Its round trip, in microseconds; 0 = not known yet.
    pub round_trip_us: u32,
}

impl Load {
    /// Whether so little waits to leave that another picture would not stand in a queue: half a period's worth.
    #[must_use]
    pub const fn has_room(&self, period_us: u64) -> bool {
        let waiting_us = self.backlog_bytes as u64 * 8_000_000 / (self.pacing_bps as u64 + 1);
        waiting_us <= period_us / 2
    }
}

/// What all viewers together let the encoder do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Bits per second.
    pub bitrate_bps: u32,
    /// From one picture to the next at least, in microseconds.
    pub period_us: u64,
    /// Whether another picture may be encoded now.
    pub open: bool,
}

impl Grant {
    /// The grant of these viewers; `None` without any. `lead` is the index of the one that steers (or has been
    /// there longest); `period_us` is the host's own limit.
    #[must_use]
    pub fn of(loads: &[Load], lead: usize, period_us: u64) -> Option<Self> {
        let first = loads.get(lead)?;
        let group = || loads.iter().filter(|load| in_group(load, first));
        let bitrate_bps = group().map(|load| load.bitrate_bps).min()?;
        let slowest = group().filter_map(|load| load.rate_millihertz_max).min();
        let period_us =
            slowest.map_or(period_us, |rate| period_us.max(1_000_000_000 / u64::from(rate.max(1))));
        let open = group().all(|load| load.has_room(period_us));
        Some(Self { bitrate_bps, period_us, open })
    }
}

impl Grant {
    /// The bit rate for an encoder that counts on a picture every `period_us`: what it gives each picture then makes up
    /// the grant at the rate they really come.
    #[must_use]
    pub fn encoder_bitrate_bps(&self, period_us: u64) -> u32 {
        let rate = u64::from(self.bitrate_bps) * self.period_us / period_us.max(1);
        u32::try_from(rate).unwrap_or(u32::MAX)
    }
}

/// Whether this viewer has a say in the rate. The others are skipped over when they cannot follow.
#[must_use]
pub const fn in_group(load: &Load, lead: &Load) -> bool {
    load.bitrate_bps >= lead.bitrate_bps / GROUP_FACTOR
}

/// Why a picture is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Something changed.
    Change,
    /// A viewer needs to be led back, or has just come.
    Repair,
    /// The screen is still and not yet as good as it can be.
    Refine,
}

/// What an encoder is given at most: bits beyond cost more time to code, send and decode than they are worth. The grant
/// above it only makes each picture leave faster.
const ENCODER_BPS_MAX: u32 = 120_000_000;
/// And what it is given at most for a picture that shows a change: that one is waited for, and refined if it stays.
const ENCODER_BPS_CHANGE: u32 = 30_000_000;

/// What an encoder that may spend `bitrate_bps` is given for a picture: all of it to refine (`boost`) what is still.
#[must_use]
pub fn picture_bitrate_bps(bitrate_bps: u32, boost: bool) -> u32 {
    bitrate_bps.min(if boost { ENCODER_BPS_MAX } else { ENCODER_BPS_CHANGE })
}

/// How good a picture is, seen as one that stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    /// As good as it need be.
    Good,
    /// Good while things move: it is refined once they have been still for a while.
    Fair,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Encode a picture.
    Encode(Purpose),
    /// Wait for an order, and until then at most.
    Wait(Option<Instant>),
    /// As `Wait`, but also for the source: a change can be encoded as soon as it comes.
    Watch(Option<Instant>),
}

/// What is to be considered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// Whether the network takes another picture.
    pub open: bool,
    /// From one picture to the next at least, in microseconds.
    pub period_us: u64,
    /// Whether something changed that was not encoded yet.
    pub changed: bool,
    /// When a repair is to be made.
    pub repair_due: Option<Instant>,
}

/// When pictures are encoded; see the module.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// From here on the next picture may be encoded.
    slot: Instant,
    refine: Option<Refine>,
}

#[derive(Clone, Copy, Debug)]
struct Refine {
    due: Instant,
    left: u8,
}

impl Pace {
    /// Nothing has been encoded yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { slot: Instant::ZERO, refine: None }
    }

    /// What to do at `now`.
    #[must_use]
    pub fn action(&self, now: Instant, need: &Need) -> Action {
        if !need.open {
            // Whoever opens says so.
            return Action::Wait(None);
        }
        if self.slot > now {
            return Action::Wait(Some(self.slot));
        }
        if need.repair_due.is_some_and(|due| due <= now) {
            return Action::Encode(Purpose::Repair);
        }
        if need.changed {
            return Action::Encode(Purpose::Change);
        }
        let refine_due = self.refine.map(|refine| refine.due);
        if refine_due.is_some_and(|due| due <= now) {
            return Action::Encode(Purpose::Refine);
        }
        let due = match (need.repair_due, refine_due) {
            (Some(repair), Some(refine)) => Some(repair.min(refine)),
            (repair, refine) => repair.or(refine),
        };
        Action::Watch(due)
    }

    /// A picture was encoded at `now`.
    pub fn encoded(&mut self, now: Instant, period_us: u64, purpose: Purpose, quality: Quality) {
        let early = now.plus_micros(period_us - period_us / EARLY_DIVISOR);
        self.slot = self.slot.plus_micros(period_us).max(early);
        self.refine = match (quality, purpose) {
            (Quality::Good, _) => None,
            (Quality::Fair, Purpose::Change | Purpose::Repair) => {
                Some(Refine { due: now.plus_micros(STILL_US), left: REFINEMENTS_MAX })
            }
            (Quality::Fair, Purpose::Refine) => {
                let left = self.refine.map_or(0, |refine| refine.left.saturating_sub(1));
                (left > 0).then_some(Refine { due: now, left })
            }
        };
    }

    /// Whether the picture shown is as good as it gets: nothing is left to refine.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        self.refine.is_none()
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether a change of the rate is worth telling the encoder: more than 2 %.
#[must_use]
pub const fn is_another_rate(old_bps: u32, new_bps: u32) -> bool {
    old_bps.abs_diff(new_bps) as u64 * 50 > old_bps as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD_US: u64 = 16_667;
    const OPEN: Need = Need { open: true, period_us: PERIOD_US, changed: false, repair_due: None };
    const CHANGED: Need = Need { changed: true, ..OPEN };

    const fn load(bitrate_bps: u32) -> Load {
        Load {
            bitrate_bps,
            pacing_bps: bitrate_bps,
            rate_millihertz_max: None,
            backlog_bytes: 0,
            round_trip_us: 0,
        }
    }

    #[test]
    fn rate_is_the_least_of_those_within_half_of_the_leads() {
        let loads = [load(20_000_000), load(12_000_000), load(9_000_000), load(50_000_000)];
        let grant = |lead| Grant::of(&loads, lead, PERIOD_US).unwrap().bitrate_bps;
        assert_eq!(grant(0), 12_000_000, "the third is left behind");
        assert_eq!(grant(2), 9_000_000);
        assert_eq!(grant(3), 50_000_000, "the lead's own rate counts");
        assert_eq!(Grant::of(&[], 0, PERIOD_US), None);
    }

    #[test]
    fn backlog_of_the_group_closes_and_a_straggler_does_not() {
        let full = |load: Load| Load { backlog_bytes: 1_000_000, ..load };
        let open = |loads: &[Load]| Grant::of(loads, 0, PERIOD_US).is_some_and(|grant| grant.open);
        assert!(open(&[load(20_000_000), load(20_000_000)]));
        assert!(!open(&[load(20_000_000), full(load(20_000_000))]));
        assert!(open(&[load(20_000_000), full(load(2_000_000))]));
        let half = Load { backlog_bytes: 20_000_000 / 8 / 60 / 2, ..load(20_000_000) };
        assert!(open(&[half]));
        assert!(!open(&[Load { backlog_bytes: half.backlog_bytes + 100, ..half }]));
    }

    #[test]
    fn picture_rate_a_grant_cannot_feed_lengthens_the_period() {
        let slow = Load { rate_millihertz_max: Some(20_000), ..load(500_000) };
        let grant = Grant::of(&[slow], 0, PERIOD_US).unwrap();
        assert_eq!(grant.period_us, 50_000);
        assert_eq!(grant.encoder_bitrate_bps(PERIOD_US), 1_499_970, "three times as much a picture");
        let fast = Load { rate_millihertz_max: Some(200_000), ..load(500_000) };
        assert_eq!(Grant::of(&[fast], 0, PERIOD_US).unwrap().period_us, PERIOD_US);
    }

    #[test]
    fn change_after_a_pause_is_encoded_at_once_and_the_next_within_the_period() {
        let mut pace = Pace::new();
        let now = Instant::from_millis(5000);
        assert_eq!(pace.action(now, &CHANGED), Action::Encode(Purpose::Change));
        pace.encoded(now, PERIOD_US, Purpose::Change, Quality::Good);
        let soon = now.plus_micros(1000);
        let Action::Wait(Some(due)) = pace.action(soon, &CHANGED) else { panic!("too early") };
        assert!(due > soon && due <= now.plus_micros(PERIOD_US));
        assert_eq!(pace.action(due, &CHANGED), Action::Encode(Purpose::Change));
    }

    #[test]
    fn no_second_has_more_pictures_than_the_rate_allows() {
        let mut pace = Pace::new();
        let (mut now, end) = (Instant::from_millis(1000), Instant::from_millis(11_000));
        let mut times = Vec::new();
        while now < end {
            match pace.action(now, &CHANGED) {
                Action::Encode(purpose) => {
                    pace.encoded(now, PERIOD_US, purpose, Quality::Fair);
                    times.push(now);
                }
                Action::Wait(Some(due)) => now = due,
                other @ (Action::Wait(None) | Action::Watch(_)) => panic!("{other:?} with a change at hand"),
            }
        }
        assert!(times.len() >= 599, "{} pictures in ten seconds", times.len());
        for (index, &from) in times.iter().enumerate() {
            let to = from.plus_micros(1_000_000);
            let inside = times[index..].iter().take_while(|&&time| time < to).count();
            assert!(inside <= 61, "{inside} pictures in a second");
        }
    }

    #[test]
    fn still_picture_is_refined_until_good_and_then_costs_nothing() {
        let mut pace = Pace::new();
        let now = Instant::from_millis(1000);
        pace.encoded(now, PERIOD_US, Purpose::Change, Quality::Fair);
        let still = now.plus_micros(STILL_US);
        assert_eq!(pace.action(now.plus_micros(PERIOD_US), &OPEN), Action::Watch(Some(still)));
        assert_eq!(pace.action(still, &OPEN), Action::Encode(Purpose::Refine));
        pace.encoded(still, PERIOD_US, Purpose::Refine, Quality::Fair);
        let next = still.plus_micros(PERIOD_US);
        assert_eq!(pace.action(next, &OPEN), Action::Encode(Purpose::Refine));
        pace.encoded(next, PERIOD_US, Purpose::Refine, Quality::Good);
        assert!(pace.is_settled());
        assert_eq!(pace.action(next.plus_micros(PERIOD_US), &OPEN), Action::Watch(None));
    }

    #[test]
    fn pictures_of_a_change_are_small_and_refinements_are_not() {
        assert_eq!(picture_bitrate_bps(200_000_000, false), ENCODER_BPS_CHANGE);
        assert_eq!(picture_bitrate_bps(200_000_000, true), ENCODER_BPS_MAX);
        assert_eq!(
            (picture_bitrate_bps(5_000_000, false), picture_bitrate_bps(5_000_000, true)),
            (5_000_000, 5_000_000)
        );
    }

    #[test]
    fn refining_ends_even_when_it_never_gets_good() {
        let mut pace = Pace::new();
        let mut now = Instant::from_millis(1000);
        pace.encoded(now, PERIOD_US, Purpose::Change, Quality::Fair);
        now = now.plus_micros(STILL_US);
        let mut refined = 0;
        while pace.action(now, &OPEN) == Action::Encode(Purpose::Refine) {
            pace.encoded(now, PERIOD_US, Purpose::Refine, Quality::Fair);
            now = now.plus_micros(PERIOD_US);
            refined += 1;
        }
        assert_eq!(refined, u32::from(REFINEMENTS_MAX));
        assert_eq!(pace.action(now, &OPEN), Action::Watch(None));
    }

    #[test]
    fn repair_is_made_on_a_still_screen_and_nothing_while_closed() {
        let pace = Pace::new();
        let now = Instant::from_millis(1000);
        let need = Need { repair_due: Some(now), ..OPEN };
        assert_eq!(pace.action(now, &need), Action::Encode(Purpose::Repair));
        assert_eq!(pace.action(now, &Need { open: false, ..need }), Action::Wait(None));
        let later = Need { repair_due: Some(now.plus_micros(5)), ..OPEN };
        assert_eq!(pace.action(now, &later), Action::Watch(Some(now.plus_micros(5))));
    }

    #[test]
    fn rates_two_percent_apart_are_the_same() {
        assert!(!is_another_rate(1_000_000, 1_020_000));
        assert!(is_another_rate(1_000_000, 1_020_001));
        assert!(is_another_rate(1_000_000, 900_000));
    }
}
