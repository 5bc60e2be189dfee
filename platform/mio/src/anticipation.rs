//! When the next picture is to be expected, so that a driver can be awake when its last datagram comes.
//!
//! Waking a thread takes tens of microseconds where processors sleep deeply or are virtual, as long as the rest of a
//! picture's way. Pictures come regularly, so their times can be foretold: a phase-locked loop follows them with a
//! gain of 1/2 for the phase, between a source that keeps to a grid and one that waits from picture to picture, and of
//! 1/16 for the interval. What is polled is as wide as pictures are irregular, up to a bound, and nothing at all is where
//! fewer than half of them come when they are expected.

use rift::Instant;

/// The most that a client may poll without sleep before and after the time at which a picture is expected, in µs.
pub const CLIENT_BUSY_POLL_US_MAX: u32 = 500;
/// What it polls at most unless somebody says otherwise.
pub const CLIENT_BUSY_POLL_US: u32 = 300;

/// It is polled at least so long, in µs, and so many times the mean deviation longer; never more than an eighth of the
/// interval before and after, so that a quarter of a processor is the most it can cost.
const WINDOW_US: u64 = 40;
const DEVIATIONS: u64 = 3;
/// Pictures further apart than this, in µs, have no rhythm.
const INTERVAL_US_MAX: u64 = 150_000;
/// Those closer together are of one burst: a link that was held up, not a rhythm.
const INTERVAL_US_MIN: u64 = 1_000;
/// Pictures that may be left out one after the other before the rhythm is taken for lost.
const OMITTED_MAX: u64 = 4;
/// A share of one.
const ONE: u32 = 1 << 16;
/// Pictures over which that share is averaged.
const AVERAGED: u32 = 8;

/// From when until when to be awake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) from: Instant,
    pub(crate) until: Instant,
}

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Anticipation {
    busy_poll_us: u64,
    last: Option<Instant>,
    /// When the next is expected, and how far apart they are, in µs.
    rhythm: Option<(Instant, u64)>,
    /// How far pictures are from when they are expected, in µs, averaged.
    deviation_us: u64,
    /// The share of pictures that came when they were expected.
    kept: u32,
}

impl Anticipation {
    pub(crate) fn new() -> Self {
        let busy_poll_us = if has_processors() { u64::from(CLIENT_BUSY_POLL_US) } else { 0 };
        Self { busy_poll_us, last: None, rhythm: None, deviation_us: 0, kept: 0 }
    }

    /// At most so many µs before and after; 0 = nothing is expected.
    pub(crate) fn set_busy_poll(&mut self, micros: u32) {
        self.busy_poll_us = if has_processors() { u64::from(micros.min(CLIENT_BUSY_POLL_US_MAX)) } else { 0 };
    }

    /// A picture is whole.
    pub(crate) fn on_picture(&mut self, now: Instant) {
        let Some(last) = self.last.replace(now) else { return };
        let gap = now.micros_since(last);
        if gap < INTERVAL_US_MIN {
            return;
        }
        if gap > INTERVAL_US_MAX {
            (self.rhythm, self.kept) = (None, 0);
            return;
        }
        let Some((due, interval)) = self.rhythm else {
            self.rhythm = Some((now.plus_micros(gap), gap));
            return;
        };
        let periods = ((gap + interval / 2) / interval).max(1);
        let due = due.plus_micros((periods - 1) * interval);
        let (early, late) = (due.micros_since(now), now.micros_since(due));
        let hit = if early.max(late) <= self.busy_poll_us { ONE } else { 0 };
        self.kept = self.kept - self.kept / AVERAGED + hit / AVERAGED;
        if self.kept < ONE / 16 {
            // There is no rhythm, or another one.
            self.rhythm = Some((now.plus_micros(gap), gap));
            return;
        }
        // One picture that is far off says nothing about the next.
        let far = early.max(late).min(2 * self.busy_poll_us);
        self.deviation_us = (self.deviation_us * 7 + far) / 8;
        let interval = (interval + late.min(far) / 16 - early.min(far) / 16).max(INTERVAL_US_MIN);
        let met = due.plus_micros(late / 2).minus_micros(early / 2);
        self.rhythm = Some((met.plus_micros(interval), interval));
    }

    /// When to be awake next; `None` where that is not worth it.
    pub(crate) fn window(&self, now: Instant) -> Option<Window> {
        let (mut due, interval) = self.rhythm?;
        if self.busy_poll_us == 0 || self.kept < ONE / 2 {
            return None;
        }
        let half = self.busy_poll_us.min(WINDOW_US + DEVIATIONS * self.deviation_us).min(interval / 8);
        for _ in 0..=OMITTED_MAX {
            let until = due.plus_micros(half);
            if until > now {
                return Some(Window { from: due.minus_micros(half), until });
            }
            due = due.plus_micros(interval);
        }
        None
    }
}

/// Where there is one alone, whoever polls keeps it from those who have work.
fn has_processors() -> bool {
    std::thread::available_parallelism().is_ok_and(|processors| processors.get() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: u64 = 16_667;
    const BUSY_POLL_US: u64 = CLIENT_BUSY_POLL_US as u64;

    /// Plays pictures that are whole at these times; the share that came while their driver was awake.
    fn met(times: impl Iterator<Item = u64>) -> f64 {
        let mut anticipation = Anticipation { busy_poll_us: BUSY_POLL_US, ..Anticipation::new() };
        let (mut met, mut all, mut before) = (0, 0, 0);
        for at in times {
            // As a driver does: it looks after each picture, and again after each window that has passed.
            let mut looked = Instant::from_micros(before);
            while let Some(window) = anticipation.window(looked) {
                assert!(window.until.micros_since(window.from) <= 2 * BUSY_POLL_US);
                if window.until.as_micros() > at {
                    met += u32::from(window.from.as_micros() <= at);
                    break;
                }
                looked = window.until;
            }
            anticipation.on_picture(Instant::from_micros(at));
            (all, before) = (all + 1, at);
        }
        f64::from(met) / f64::from(all)
    }

    /// A number below `bound` that looks like chance.
    fn noise(n: u64, bound: u64) -> u64 {
        n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23).wrapping_mul(0xd6e8_feb8_6659_fd93) % bound
    }

    #[test]
    fn pictures_on_a_grid_find_the_driver_awake() {
        assert!(met((1..500).map(|n| n * PERIOD + noise(n, 60))) > 0.95);
    }

    #[test]
    fn pictures_that_follow_one_another_find_the_driver_awake() {
        let mut at = 0;
        let times = (1..500).map(|n| {
            at += 3_000 + noise(n, 90);
            at
        });
        assert!(met(times) > 0.9);
    }

    #[test]
    fn pictures_left_out_do_not_break_the_rhythm() {
        assert!(met((1..500).filter(|n| n % 5 != 0 && n % 7 != 0).map(|n| n * PERIOD)) > 0.9);
    }

    #[test]
    fn rhythm_that_changes_is_found_again() {
        let slow = (1..200).map(|n| n * 2 * PERIOD);
        let fast = (1..400).map(|n| 200 * 2 * PERIOD + n * PERIOD);
        assert!(met(slow.chain(fast)) > 0.9);
    }

    #[test]
    fn nothing_is_polled_for_pictures_without_a_rhythm() {
        assert!(met((1..500).map(|n| n * PERIOD + noise(n, 8_000))) < 0.03);
        assert!(met((1..500).map(|n| n * 200_000)) < 0.001);
    }

    #[test]
    fn nothing_is_polled_once_pictures_stay_away_or_where_it_is_switched_off() {
        let mut anticipation = Anticipation { busy_poll_us: BUSY_POLL_US, ..Anticipation::new() };
        let times = (1..100).map(|n| Instant::from_micros(n * PERIOD));
        times.clone().for_each(|at| anticipation.on_picture(at));
        let last = Instant::from_micros(99 * PERIOD);
        assert!(anticipation.window(last).is_some());
        assert_eq!(anticipation.window(last.plus_micros(6 * PERIOD)), None);
        anticipation.set_busy_poll(0);
        assert_eq!(anticipation.window(last), None);
    }
}
