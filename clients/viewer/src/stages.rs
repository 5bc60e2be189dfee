//! Where a picture's time went: from its capture at the host to its presentation here.
//!
//! Seven stamps on one clock make six stages. Each stage ends where the next begins, so the stages of a picture sum to
//! its total to the microsecond, whatever the error of the host's clock: that error moves time between `send` and
//! `network` and between capture and total, and is told beside them. A stage may be negative by as much.

use std::collections::VecDeque;

use rift::Instant;

/// The stages, in order.
pub const NAMES: [&str; COUNT] = ["encode", "send", "network", "assemble", "decode", "present"];
/// What each stage goes from and to, in order.
pub const MEANINGS: [&str; COUNT] = [
    "captured to encoded",
    "encoded to sent",
    "sent to first shard",
    "first shard to whole",
    "whole to decoded",
    "decoded to presented",
];
/// How many stages there are.
pub const COUNT: usize = 6;

/// Pictures kept for the summary: 36 minutes at 60 Hz, 6 MiB; later ones replace the oldest.
const KEPT_MAX: usize = 1 << 17;
/// Pictures kept for the overlay: a second at 240 Hz.
const RECENT_MAX: usize = 240;
/// What the overlay looks back on, in microseconds.
const RECENT_US: u64 = 1_000_000;

/// When things happened to one picture, on this machine's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamps {
    /// Its pixels were read from the host's screen.
    pub captured: Instant,
    /// Its bytes were there.
    pub encoded: Instant,
    /// Its first shard left.
    pub sent: Instant,
    /// Its first shard arrived.
    pub first: Instant,
    /// Nothing was missing any more.
    pub whole: Instant,
    /// Its pixels were there.
    pub decoded: Instant,
    /// It was on its way to the screen.
    pub presented: Instant,
}

/// How long one picture spent in each stage, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breakdown {
    stages: [i64; COUNT],
}

impl Breakdown {
    /// The stages between these stamps.
    #[must_use]
    pub fn of(stamps: &Stamps) -> Self {
        let times = [
            stamps.captured,
            stamps.encoded,
            stamps.sent,
            stamps.first,
            stamps.whole,
            stamps.decoded,
            stamps.presented,
        ];
        let mut stages = [0; COUNT];
        for (stage, pair) in stages.iter_mut().zip(times.windows(2)) {
            *stage = micros(pair[1]) - micros(pair[0]);
        }
        Self { stages }
    }

    /// Each stage.
    #[must_use]
    pub const fn stages(&self) -> &[i64; COUNT] {
        &self.stages
    }

    /// From the capture to the presentation: the sum of the stages.
    #[must_use]
    pub fn total(&self) -> i64 {
        self.stages.iter().sum()
    }
}

/// Half, 95 of 100 and 99 of 100 values are at most these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Percentiles {
    /// The median.
    pub p50: i64,
    /// The 95th percentile.
    pub p95: i64,
    /// The 99th percentile.
    pub p99: i64,
}

impl Percentiles {
    /// Those of `values` by the nearest rank; zeros when there are none. Sorts them.
    #[must_use]
    pub fn of(values: &mut [i64]) -> Self {
        values.sort_unstable();
        let rank = |hundredths: usize| {
            let index = (values.len() * hundredths).div_ceil(100).saturating_sub(1);
            values.get(index).copied().unwrap_or(0)
        };
        Self { p50: rank(50), p95: rank(95), p99: rank(99) }
    }
}

/// What was measured of the pictures of one run.
#[derive(Clone, Debug)]
pub struct Stages {
    kept: Vec<Breakdown>,
    oldest: usize,
    recent: VecDeque<(Instant, Breakdown)>,
}

impl Stages {
    /// Nothing measured yet. Its memory is taken here, not later.
    #[must_use]
    pub fn new() -> Self {
        Self { kept: Vec::with_capacity(KEPT_MAX), oldest: 0, recent: VecDeque::with_capacity(RECENT_MAX) }
    }

    /// Adds a picture presented at `at`.
    pub fn add(&mut self, at: Instant, breakdown: Breakdown) {
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back((at, breakdown));
        if self.kept.len() < KEPT_MAX {
            self.kept.push(breakdown);
        } else {
            self.kept[self.oldest] = breakdown;
            self.oldest = (self.oldest + 1) % KEPT_MAX;
        }
    }

    /// Pictures the summary covers.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether nothing was measured.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The percentiles of each stage and of the total. They do not sum: another picture is slow in each stage.
    #[must_use]
    pub fn percentiles(&self) -> ([Percentiles; COUNT], Percentiles) {
        let mut values = vec![0; self.kept.len()];
        let mut of = |value: &dyn Fn(&Breakdown) -> i64| {
            for (place, breakdown) in values.iter_mut().zip(&self.kept) {
                *place = value(breakdown);
            }
            Percentiles::of(&mut values)
        };
        let stages = core::array::from_fn(|stage| of(&|breakdown| breakdown.stages[stage]));
        (stages, of(&Breakdown::total))
    }

    /// The picture with the median total of all: its stages sum to it.
    #[must_use]
    pub fn median(&self) -> Option<Breakdown> {
        median(self.kept.iter().copied())
    }

    /// The picture with the median total of the second before `now`, and how many there were.
    #[must_use]
    pub fn recent(&self, now: Instant) -> (Option<Breakdown>, usize) {
        let from = now.minus_micros(RECENT_US);
        let recent = || self.recent.iter().filter(|(at, _)| *at > from).map(|(_, breakdown)| *breakdown);
        (median(recent()), recent().count())
    }
}

impl Default for Stages {
    fn default() -> Self {
        Self::new()
    }
}

fn median(pictures: impl Iterator<Item = Breakdown>) -> Option<Breakdown> {
    let mut pictures: Vec<Breakdown> = pictures.collect();
    let middle = pictures.len().div_ceil(2).checked_sub(1)?;
    Some(*pictures.select_nth_unstable_by_key(middle, Breakdown::total).1)
}

fn micros(instant: Instant) -> i64 {
    i64::try_from(instant.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamps(times: [u64; 7]) -> Stamps {
        let [captured, encoded, sent, first, whole, decoded, presented] = times.map(Instant::from_micros);
        Stamps { captured, encoded, sent, first, whole, decoded, presented }
    }

    #[test]
    fn stages_sum_to_the_total_even_when_the_clock_is_wrong() {
        for times in [
            [1000, 5000, 5100, 5300, 6000, 7500, 9000],
            // The host's clock is ahead: it seems that the shard came before it left.
            [1000, 5000, 5100, 4800, 4900, 6000, 6100],
        ] {
            let breakdown = Breakdown::of(&stamps(times));
            assert_eq!(breakdown.total(), (times[6] - times[0]) as i64);
            assert_eq!(breakdown.stages().iter().sum::<i64>(), breakdown.total());
        }
        assert_eq!(Breakdown::of(&stamps([0, 1, 3, 6, 10, 15, 21])).stages(), &[1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn median_picture_sums_to_the_median_total() {
        let mut stages = Stages::new();
        for step in 0..101u64 {
            let times = [0, 10, 20, 30 + 7 * step % 101, 200, 300, 400 + (step * 37) % 101];
            stages.add(Instant::from_micros(step + 1), Breakdown::of(&stamps(times)));
        }
        let (_, total) = stages.percentiles();
        assert_eq!(total, Percentiles { p50: 450, p95: 495, p99: 499 });
        assert_eq!(stages.median().unwrap().total(), total.p50);
        let (recent, count) = stages.recent(Instant::from_micros(100));
        assert_eq!((recent.unwrap().total(), count), (450, 101));
    }

    #[test]
    fn overlay_forgets_after_a_second() {
        let mut stages = Stages::new();
        stages.add(Instant::from_millis(5_000), Breakdown::default());
        assert_eq!(stages.recent(Instant::from_millis(5_999)).1, 1);
        assert_eq!(stages.recent(Instant::from_millis(6_000)).1, 0);
    }

    #[test]
    fn summary_keeps_the_newest() {
        let mut stages = Stages::new();
        for step in 0..KEPT_MAX as u64 + 10 {
            stages.add(Instant::ZERO, Breakdown::of(&stamps([0, 0, 0, 0, 0, 0, step])));
        }
        assert_eq!(stages.len(), KEPT_MAX);
        assert!(stages.kept.iter().all(|breakdown| breakdown.total() >= 10));
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        assert_eq!(Percentiles::of(&mut []), Percentiles::default());
        assert_eq!(Percentiles::of(&mut [7]), Percentiles { p50: 7, p95: 7, p99: 7 });
        let mut values: Vec<i64> = (1..=200).rev().collect();
        assert_eq!(Percentiles::of(&mut values), Percentiles { p50: 100, p95: 190, p99: 198 });
    }
}
