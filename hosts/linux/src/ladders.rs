//! What gives way where the network cannot feed everything: first how often pictures are made, then how large they are.
//!
//! Both go by steps ([`Steps`], [`Sizes`]) and share one limit, [`Changes`]: however the network swings, a viewer sees at most
//! [`Changes::MAX`] of them in ten seconds. It is pure: time is an argument.

use rift::Instant;
use rift_x264::Reduction;

use crate::resolution::{Sizes, Stream};
use crate::steps::Steps;

/// Bytes of a picture below which congestion control asks for fewer of them (`DELTA.md` §6).
const PICTURE_BYTES: u64 = 2_500;

/// When steps were taken lately.
///
/// More than [`Changes::MAX`] in [`Changes::WINDOW_US`] there cannot be. What may wait (going up, and any other size) asks
/// [`Self::allows_another`], which leaves two of them to what may not, going down; the last one goes down as far as there is to go.
#[derive(Clone, Copy, Debug, Default)]
pub struct Changes {
    at: [Option<Instant>; Self::MAX],
    next: usize,
}

impl Changes {
    /// Changes in [`Self::WINDOW_US`] at most.
    pub const MAX: usize = 4;
    /// Ten seconds.
    pub const WINDOW_US: u64 = 10_000_000;

    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { at: [None; Self::MAX], next: 0 }
    }

    /// How many there were in the last ten seconds.
    #[must_use]
    pub fn recent(&self, now: Instant) -> usize {
        self.at.iter().flatten().filter(|at| now.micros_since(**at) < Self::WINDOW_US).count()
    }

    /// Whether there may be one that could as well wait.
    #[must_use]
    pub fn allows_another(&self, now: Instant) -> bool {
        self.recent(now) + 2 <= Self::MAX
    }

    /// There is one.
    pub fn note(&mut self, now: Instant) {
        self.at[self.next] = Some(now);
        self.next = (self.next + 1) % Self::MAX;
    }
}

/// What was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// From one picture to the next at least, in microseconds.
    pub period_us: u64,
    /// How much smaller than their source pictures are; `None` = not at all.
    pub reduction: Option<Reduction>,
}

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Ladders {
    steps: Steps,
    sizes: Sizes,
    changes: Changes,
}

impl Ladders {
    /// At the top. `resizes`: whether pictures may be made smaller.
    #[must_use]
    pub const fn new(resizes: bool) -> Self {
        Self { steps: Steps::new(), sizes: Sizes::new(resizes), changes: Changes::new() }
    }

    /// What to do at `now` where the host's own period is `own_us`, the network could feed one of `fed_us`, and grants
    /// `bitrate_bps`.
    pub fn settle(&mut self, now: Instant, own_us: u64, fed_us: u64, bitrate_bps: u32) -> Choice {
        // It says no more than that the host's own period can be fed. How much shorter ones could tells whether there is room to
        // spare.
        let least_us = PICTURE_BYTES * 8_000_000 / u64::from(bitrate_bps.max(1));
        let fed_us = if fed_us > own_us { fed_us } else { least_us.min(own_us.saturating_sub(1)) };
        let period_us = self.steps.settle(now, own_us, fed_us, &mut self.changes);
        let reduction = self.sizes.settle(now, bitrate_bps, &mut self.changes);
        Choice { period_us, reduction }
    }

    /// Pictures are of this size from now on.
    pub const fn note_stream(&mut self, stream: Stream) {
        self.sizes.note_stream(stream);
    }

    /// A picture of so many bytes was made because something changed.
    pub fn note_change(&mut self, now: Instant, bytes: usize) {
        self.sizes.note_change(now, bytes);
    }

    /// Nobody watches: whoever comes next is shown pictures of full size.
    pub const fn forget_viewers(&mut self) {
        self.sizes.forget_viewers();
    }

    /// How much smaller than their source the pictures are that viewers have now.
    #[must_use]
    pub fn shown(&self) -> Option<Reduction> {
        self.sizes.shown()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN_US: u64 = 16_667;
    const TURN_US: u64 = 50_000;
    const FULL: (u16, u16) = (1920, 1080);

    /// What DELTA says can be fed (`DELTA.md` §6).
    fn fed_us(bitrate_bps: u32) -> u64 {
        (2500 * 8 * 1_000_000 / u64::from(bitrate_bps)).clamp(OWN_US, 100_000)
    }

    /// Numbers from a seed (xorshift64).
    struct Chance(u64);

    impl Chance {
        fn below(&mut self, limit: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) % limit
        }
    }

    /// A screen that moves as it is told, behind an encoder that uses its grant for that.
    struct Scene {
        ladders: Ladders,
        now: Instant,
        shown: Choice,
        changed: Vec<(Instant, Choice)>,
    }

    impl Scene {
        fn new() -> Self {
            let mut ladders = Ladders::new(true);
            ladders.note_stream(Stream { size: FULL, reduction: None });
            let shown = Choice { period_us: OWN_US, reduction: None };
            Self { ladders, now: Instant::from_millis(1000), shown, changed: vec![] }
        }

        fn turn(&mut self, bitrate_bps: u32, moves: bool) {
            self.now = self.now.plus_micros(TURN_US);
            if moves {
                let bytes = u64::from(bitrate_bps) * TURN_US / 8_000_000;
                self.ladders.note_change(self.now, bytes as usize);
            }
            let choice = self.ladders.settle(self.now, OWN_US, fed_us(bitrate_bps), bitrate_bps);
            if choice.reduction != self.shown.reduction {
                let (of, into) = choice.reduction.map_or((1, 1), Reduction::parts);
                let size = (FULL.0 / of * into, FULL.1 / of * into);
                self.ladders.note_stream(Stream { size, reduction: choice.reduction });
            }
            if choice != self.shown {
                self.changed.push((self.now, choice));
                self.shown = choice;
            }
        }

        /// Each kind of change is one.
        fn count(&self) -> Vec<Instant> {
            let first = Choice { period_us: OWN_US, reduction: None };
            let before = core::iter::once(first).chain(self.changed.iter().map(|&(_, choice)| choice));
            let both = before.zip(&self.changed);
            both.flat_map(|(before, &(at, choice))| {
                let kinds = [before.period_us != choice.period_us, before.reduction != choice.reduction];
                kinds.into_iter().filter(|kind| *kind).map(move |_| at)
            })
            .collect()
        }
    }

    #[test]
    fn no_ten_seconds_have_more_than_four_changes_of_any_kind() {
        let (mut changes, mut resized) = (0, 0);
        for seed in 1..200_u64 {
            let (mut chance, mut scene) = (Chance(seed * 0x9e37_79b9), Scene::new());
            let (mut bitrate_bps, mut moves, mut until) = (5_000_000, true, scene.now);
            for _ in 0..6_000 {
                if scene.now >= until {
                    bitrate_bps = (200_000.0 * 40_f64.powf(chance.below(1000) as f64 / 1000.0)) as u32;
                    moves = chance.below(4) > 0;
                    until = scene.now.plus_micros(100_000 + chance.below(8_000_000));
                }
                scene.turn(bitrate_bps, moves);
                assert!(
                    scene.shown.period_us >= fed_us(bitrate_bps).min(OWN_US * 12),
                    "seed {seed}: more than can be fed"
                );
            }
            let at = scene.count();
            for few in at.windows(Changes::MAX + 1) {
                let long = few[Changes::MAX].micros_since(few[0]);
                assert!(long >= Changes::WINDOW_US, "seed {seed}: five changes in {long} µs");
            }
            changes += at.len();
            resized +=
                scene.changed.windows(2).filter(|two| two[0].1.reduction != two[1].1.reduction).count();
        }
        println!("{changes} changes, {resized} of size, in 199 times 300 s");
        assert!(resized > 1000 && changes > 2 * resized, "{changes} changes, {resized} of size");
    }

    #[test]
    fn constant_budget_with_noise_is_settled_once() {
        for bitrate_bps in (200_000..3_000_000_u32).step_by(40_000) {
            let (mut chance, mut scene) = (Chance(u64::from(bitrate_bps)), Scene::new());
            for _ in 0..2_400 {
                let noisy = u64::from(bitrate_bps) * (900 + chance.below(201)) / 1000;
                scene.turn(noisy as u32, true);
            }
            let rank = |choice: &Choice| (choice.period_us, choice.reduction);
            for two in scene.changed.windows(2) {
                let (before, after) = (rank(&two[0].1), rank(&two[1].1));
                assert!(after.0 >= before.0 && after.1 >= before.1, "{bitrate_bps}: {:?}", scene.changed);
            }
        }
    }

    #[test]
    fn budget_that_falls_makes_pictures_smaller_and_one_that_returns_makes_them_whole() {
        let mut scene = Scene::new();
        (0..100).for_each(|_| scene.turn(5_000_000, true));
        assert_eq!(scene.shown.reduction, None);
        (0..60).for_each(|_| scene.turn(600_000, true));
        assert_eq!(scene.shown.reduction, Some(Reduction::ThreeQuarters), "in three seconds");
        (0..200).for_each(|_| scene.turn(300_000, true));
        assert_eq!(scene.shown.reduction, Some(Reduction::Half));
        (0..400).for_each(|_| scene.turn(5_000_000, true));
        assert_eq!(scene.shown, Choice { period_us: OWN_US, reduction: None });
    }

    #[test]
    fn still_screen_is_shown_whole_whatever_the_budget() {
        let mut scene = Scene::new();
        (0..200).for_each(|_| scene.turn(300_000, true));
        assert_eq!(scene.shown.reduction, Some(Reduction::Half));
        (0..400).for_each(|_| scene.turn(300_000, false));
        assert_eq!(scene.shown.reduction, None);
        let mut still = Scene::new();
        (0..400).for_each(|_| still.turn(300_000, false));
        assert!(still.changed.iter().all(|(_, choice)| choice.reduction.is_none()));
    }
}
