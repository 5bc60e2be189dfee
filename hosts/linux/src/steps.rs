//! How often pictures are made where the network cannot feed all of them: by steps, down at once, up only after a while.
//!
//! What a grant can feed changes all the time. A picture rate that followed it would make motion uneven without end, so
//! it has few values; a higher one is taken when it could have been fed with room to spare for a while, and for longer
//! each time it soon turned out to be too much.

use rift::Instant;

use crate::ladders::Changes;

/// Periods, in twelfths of the host's own: of 60 pictures a second they make 60, 45, 30, 20, 15, 10 and 5.
const LADDER: [u64; 7] = [12, 16, 24, 36, 48, 72, 144];
/// How long a shorter period must have been possible before it is taken, in µs.
const HOLD_US: u64 = 2_500_000;
/// The longest that becomes when shorter periods keep turning out to be too short, in µs.
const HOLD_US_MAX: u64 = 20_000_000;
/// A period was too short if a longer one is needed so soon, in µs.
const RELAPSE_US: u64 = 8_000_000;
/// The last change there may be goes to the step that feeds at least this period, the longest that congestion control asks for,
/// in µs.
const LAST_US: u64 = 100_000;
/// A period is possible when this much of it would be, in percent.
const SPARE_PERCENT: u64 = 80;

/// The step that is taken; see the module.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    step: usize,
    hold_us: u64,
    /// Since when a shorter period has been possible.
    possible_since: Option<Instant>,
    /// When a shorter period was taken last.
    raised_at: Option<Instant>,
}

impl Steps {
    /// The host's own period.
    #[must_use]
    pub const fn new() -> Self {
        Self { step: 0, hold_us: HOLD_US, possible_since: None, raised_at: None }
    }

    /// The period to take at `now` where the host's own is `own_us` and the network could feed one of `fed_us`, which is as long
    /// where nobody knows how much shorter it could be; not shorter than either, but for a network that feeds less than the longest period.
    ///
    /// `changes` bounds how often that is another one: the more there were lately, the further down it goes.
    pub fn settle(&mut self, now: Instant, own_us: u64, fed_us: u64, changes: &mut Changes) -> u64 {
        let period = |step: usize| own_us * LADDER[step] / LADDER[0];
        let first = |wanted_us: u64| {
            (0..LADDER.len()).find(|&step| period(step) >= wanted_us).unwrap_or(LADDER.len() - 1)
        };
        let needed = first(fed_us);
        let possible = first(fed_us.saturating_mul(100) / SPARE_PERCENT);
        if needed > self.step {
            let is_relapse = self.raised_at.is_some_and(|at| now.micros_since(at) < RELAPSE_US);
            self.hold_us = if is_relapse { (2 * self.hold_us).min(HOLD_US_MAX) } else { HOLD_US };
            let step = match Changes::MAX - changes.recent(now).min(Changes::MAX) {
                0 | 1 => first(fed_us.max(LAST_US)),
                2 => (needed + 1).min(LADDER.len() - 1),
                _ => needed,
            };
            (self.step, self.possible_since) = (step, None);
            changes.note(now);
        } else if fed_us == own_us || possible < self.step {
            let target = if fed_us == own_us { 0 } else { possible };
            let since = *self.possible_since.get_or_insert(now);
            let is_due = now.micros_since(since) >= self.hold_us;
            if self.step > target && is_due && changes.allows_another(now) {
                changes.note(now);
                (self.step, self.possible_since, self.raised_at) = (target, None, Some(now));
            }
        } else {
            self.possible_since = None;
        }
        period(self.step)
    }
}

impl Default for Steps {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN_US: u64 = 16_667;

    #[test]
    fn grant_that_feeds_less_is_followed_at_once_and_back_after_a_while() {
        let (mut steps, mut changes) = (Steps::new(), Changes::new());
        let now = Instant::from_millis(1000);
        assert_eq!(steps.settle(now, OWN_US, OWN_US, &mut changes), OWN_US);
        assert_eq!(
            steps.settle(now, OWN_US, 40_000, &mut changes),
            OWN_US * 3,
            "20 a second, the next that is fed"
        );
        let soon = now.plus_micros(HOLD_US - 1);
        assert_eq!(steps.settle(now.plus_micros(1), OWN_US, OWN_US, &mut changes), OWN_US * 3);
        assert_eq!(steps.settle(soon, OWN_US, OWN_US, &mut changes), OWN_US * 3, "not for long enough");
        assert_eq!(steps.settle(now.plus_micros(1 + HOLD_US), OWN_US, OWN_US, &mut changes), OWN_US);
    }

    #[test]
    fn rate_with_nothing_to_spare_is_not_gone_back_to() {
        let (mut steps, mut changes) = (Steps::new(), Changes::new());
        let mut now = Instant::from_millis(1000);
        steps.settle(now, OWN_US, 40_000, &mut changes);
        for _ in 0..1000 {
            now = now.plus_micros(100_000);
            assert_eq!(steps.settle(now, OWN_US, OWN_US * 2 - 1000, &mut changes), OWN_US * 3);
        }
    }

    #[test]
    fn rate_that_keeps_turning_out_too_high_is_tried_ever_more_seldom() {
        let (mut steps, mut changes) = (Steps::new(), Changes::new());
        let mut now = Instant::from_millis(1000);
        let (mut raised, mut before) = (Vec::new(), OWN_US);
        for _ in 0..12_000 {
            now = now.plus_micros(10_000);
            // The full rate can be fed until it is taken.
            let period =
                steps.settle(now, OWN_US, if before == OWN_US { 40_000 } else { OWN_US }, &mut changes);
            if period < before {
                raised.push(now);
            }
            before = period;
        }
        let gaps: Vec<u64> = raised.windows(2).map(|pair| pair[1].micros_since(pair[0])).collect();
        assert!(gaps.is_sorted(), "{gaps:?}");
        assert!(gaps.last().is_some_and(|gap| *gap >= HOLD_US_MAX), "{gaps:?}");
    }

    #[test]
    fn network_that_feeds_next_to_nothing_gets_the_longest_period() {
        let (mut steps, mut changes) = (Steps::new(), Changes::new());
        assert_eq!(steps.settle(Instant::from_millis(1), OWN_US, 10_000_000, &mut changes), OWN_US * 12);
        assert_eq!(steps.settle(Instant::from_millis(2), OWN_US, u64::MAX, &mut changes), OWN_US * 12);
    }
}
