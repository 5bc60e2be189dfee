//! How large pictures are where the network carries too little for all their pixels: by steps, down while things move, up after
//! a while.
//!
//! A screen at rest is never made smaller: it is refined until it is good, however long that takes. One that moves gets
//! so few bits a pixel on a narrow path that fewer pixels show more.

use rift::Instant;
use rift_x264::Reduction;

use crate::ladders::Changes;

/// From the largest to the smallest.
const LADDER: [Option<Reduction>; 3] = [None, Some(Reduction::ThreeQuarters), Some(Reduction::Half)];
/// Fewer bits a pixel than this, in thousandths, are too few, even if there were but [`PICTURES_LEAST`] of them a second: what
/// moves falls apart into blocks.
const MILLIBITS_LEAST: u64 = 40;
/// The lowest picture rate that congestion control asks for, in pictures a second.
const PICTURES_LEAST: u64 = 10;
/// A larger size is possible when there would be so much of what it needs, in percent.
const SPARE_PERCENT: u64 = 150;
/// How long there must have been too little before a size is left, in µs.
const POOR_US: u64 = 1_000_000;
/// How long a larger size must have been possible before it is taken, in µs.
const HOLD_US: u64 = 3_000_000;
/// The longest that becomes when larger sizes keep turning out to be too large, in µs.
const HOLD_US_MAX: u64 = 24_000_000;
/// A size was too large if a smaller one is needed so soon, in µs.
const RELAPSE_US: u64 = 10_000_000;
/// Over how long it is judged whether things move, in µs.
const MOVING_US: u64 = 1_000_000;
/// Things move when changes would use this part of the grant at full size, in percent.
const MOVING_PERCENT: u64 = 50;

/// Pictures of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Pixels across and down.
    pub size: (u16, u16),
    /// How much smaller than their source they are.
    pub reduction: Option<Reduction>,
}

impl Stream {
    /// The size of the source.
    fn full(self) -> (u32, u32) {
        let (of, into) = self.reduction.map_or((1, 1), Reduction::parts);
        let side = |side: u16| u32::from(side) * u32::from(of) / u32::from(into);
        (side(self.size.0), side(self.size.1))
    }

    fn pixels(self) -> u64 {
        u64::from(self.size.0) * u64::from(self.size.1)
    }
}

/// The step that is taken; see the module.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    is_allowed: bool,
    step: usize,
    /// What viewers are shown; `None` until there is a picture.
    stream: Option<Stream>,
    hold_us: u64,
    /// Since when there has been too little for this size, or enough for a larger one.
    poor_since: Option<Instant>,
    possible_since: Option<Instant>,
    /// When a larger size was taken last.
    raised_at: Option<Instant>,
    /// Bits that changes took, each fading within [`MOVING_US`], as of `moved_at`.
    moved_bits: u64,
    moved_at: Instant,
}

impl Sizes {
    /// Full size; for good unless `is_allowed`.
    #[must_use]
    pub const fn new(is_allowed: bool) -> Self {
        Self {
            is_allowed,
            step: 0,
            stream: None,
            hold_us: HOLD_US,
            poor_since: None,
            possible_since: None,
            raised_at: None,
            moved_bits: 0,
            moved_at: Instant::ZERO,
        }
    }

    /// Pictures are of this size from now on. Of a source that has changed its own size nothing is known any more.
    pub const fn note_stream(&mut self, stream: Stream) {
        self.stream = Some(stream);
    }

    /// How much smaller than their source the pictures are that viewers have now.
    #[must_use]
    pub fn shown(&self) -> Option<Reduction> {
        self.stream.and_then(|stream| stream.reduction)
    }

    /// A picture of so many bytes was made because something changed.
    pub fn note_change(&mut self, now: Instant, bytes: usize) {
        self.moved_bits = self.moved_bits(now) + bytes as u64 * 8;
        self.moved_at = now;
    }

    /// Nobody watches: the next one begins with full size.
    pub const fn forget_viewers(&mut self) {
        *self = Self { stream: self.stream, ..Self::new(self.is_allowed) };
    }

    /// How much smaller pictures are to be made at `now`, where the network grants `bitrate_bps`.
    pub fn settle(&mut self, now: Instant, bitrate_bps: u32, changes: &mut Changes) -> Option<Reduction> {
        let stream = self.stream.filter(|_| self.is_allowed)?;
        let full = stream.full();
        let pixels = |reduction: Option<Reduction>| {
            let size = reduction.map_or(Some(full), |reduction| reduction.size(full));
            size.map(|(width, height)| u64::from(width) * u64::from(height))
        };
        // Smaller pictures of the same take fewer bits.
        let bits = self.moved_bits(now) * pixels(None).unwrap_or(0) / stream.pixels().max(1);
        let moves = bits * 1_000_000 / MOVING_US * 100 >= u64::from(bitrate_bps) * MOVING_PERCENT;
        let is_fed = |step: usize, percent: u64| {
            pixels(LADDER[step]).is_some_and(|pixels| {
                let needed = pixels * PICTURES_LEAST * MILLIBITS_LEAST / 1000;
                u64::from(bitrate_bps) * 100 >= needed * percent
            })
        };
        let exists = |step: &usize| pixels(LADDER[*step]).is_some();
        // The source may have taken a size of which there is no such part.
        let is_lost = !exists(&self.step);
        let smallest = (0..LADDER.len()).rev().find(exists).unwrap_or(0);
        let needed = (0..LADDER.len()).find(|&step| is_fed(step, 100)).unwrap_or(smallest);
        if moves && needed > self.step && !is_lost {
            self.possible_since = None;
            let since = *self.poor_since.get_or_insert(now);
            if now.micros_since(since) >= POOR_US && changes.allows_another(now) {
                let is_relapse = self.raised_at.is_some_and(|at| now.micros_since(at) < RELAPSE_US);
                self.hold_us = if is_relapse { (2 * self.hold_us).min(HOLD_US_MAX) } else { HOLD_US };
                self.take(now, needed, changes);
            }
            return LADDER[self.step];
        }
        self.poor_since = None;
        let possible = (0..self.step).find(|&step| is_fed(step, SPARE_PERCENT) || (!moves && exists(&step)));
        let Some(target) = possible.or(is_lost.then_some(0)) else {
            self.possible_since = None;
            return LADDER[self.step];
        };
        let since = *self.possible_since.get_or_insert(now);
        let is_due = now.micros_since(since) >= self.hold_us && changes.allows_another(now);
        if is_lost || is_due {
            self.raised_at = Some(now);
            self.take(now, target, changes);
        }
        LADDER[self.step]
    }

    fn take(&mut self, now: Instant, step: usize, changes: &mut Changes) {
        (self.step, self.poor_since, self.possible_since) = (step, None, None);
        changes.note(now);
    }

    fn moved_bits(&self, now: Instant) -> u64 {
        let left_us = MOVING_US.saturating_sub(now.micros_since(self.moved_at));
        self.moved_bits * left_us / MOVING_US
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Settles for so long with a screen that uses all of the grant.
    fn settle(sizes: &mut Sizes, now: &mut Instant, bitrate_bps: u32, micros: u64) -> Option<Reduction> {
        let end = now.plus_micros(micros);
        let mut chosen = None;
        while *now < end {
            *now = now.plus_micros(20_000);
            sizes.note_change(*now, bitrate_bps as usize / 50 / 8);
            chosen = sizes.settle(*now, bitrate_bps, &mut Changes::new());
        }
        chosen
    }

    fn sizes(size: (u16, u16)) -> Sizes {
        let mut sizes = Sizes::new(true);
        sizes.note_stream(Stream { size, reduction: None });
        sizes
    }

    #[test]
    fn size_is_left_only_after_a_while_and_only_where_there_is_another() {
        let mut now = Instant::from_millis(1000);
        assert_eq!(settle(&mut sizes((1920, 1080)), &mut now, 500_000, POOR_US), None);
        assert_eq!(
            settle(&mut sizes((1920, 1080)), &mut now, 500_000, 2 * POOR_US),
            Some(Reduction::ThreeQuarters)
        );
        assert_eq!(settle(&mut sizes((3840, 2160)), &mut now, 500_000, 2 * POOR_US), Some(Reduction::Half));
        assert_eq!(settle(&mut sizes((1600, 900)), &mut now, 500_000, 2 * POOR_US), Some(Reduction::Half));
        assert_eq!(settle(&mut sizes((1366, 768)), &mut now, 100_000, 2 * POOR_US), None);
        assert_eq!(settle(&mut sizes((640, 360)), &mut now, 500_000, 2 * POOR_US), None);
    }

    #[test]
    fn host_that_must_not_makes_nothing_smaller() {
        let mut sizes = Sizes::new(false);
        sizes.note_stream(Stream { size: (3840, 2160), reduction: None });
        assert_eq!(settle(&mut sizes, &mut Instant::from_millis(1000), 300_000, 10 * POOR_US), None);
    }

    #[test]
    fn source_of_another_size_without_such_a_part_is_shown_whole() {
        let (mut sizes, mut now) = (sizes((1920, 1080)), Instant::from_millis(1000));
        assert_eq!(settle(&mut sizes, &mut now, 500_000, 2 * POOR_US), Some(Reduction::ThreeQuarters));
        sizes.note_stream(Stream { size: (1366, 768), reduction: None });
        assert_eq!(settle(&mut sizes, &mut now, 500_000, 20_000), None);
    }

    #[test]
    fn who_comes_when_nobody_watches_is_shown_full_size() {
        let (mut sizes, mut now) = (sizes((1920, 1080)), Instant::from_millis(1000));
        assert!(settle(&mut sizes, &mut now, 500_000, 2 * POOR_US).is_some());
        sizes.forget_viewers();
        assert_eq!(settle(&mut sizes, &mut now, 500_000, POOR_US / 2), None);
    }

    #[test]
    fn size_that_keeps_turning_out_too_large_is_tried_ever_more_seldom() {
        let (mut sizes, mut now) = (sizes((1920, 1080)), Instant::from_millis(1000));
        let (mut before, mut raised) = (None, Vec::new());
        for _ in 0..15_000 {
            // The full size can be fed until it is taken.
            let chosen =
                settle(&mut sizes, &mut now, if before.is_none() { 500_000 } else { 5_000_000 }, 20_000);
            if chosen < before {
                raised.push(now);
            }
            before = chosen;
        }
        let gaps: Vec<u64> = raised.windows(2).map(|pair| pair[1].micros_since(pair[0])).collect();
        assert!(gaps.is_sorted() && gaps.last().is_some_and(|gap| *gap >= HOLD_US_MAX), "{gaps:?}");
    }
}
