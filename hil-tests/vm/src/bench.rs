//! A source on the card, watched while things happen to it.

use core::time::Duration;

use anyhow::{Context as _, bail};
use rift::Instant;
use rift_hal::{Frame, Pollable as _, VideoSource as _};
use rift_v4l::{CaptureState, Options, V4lSource};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::card;
use crate::faults::{self, Fault, Shows};
use crate::table::{Rate, Row};

/// How long a fault lasts that somebody has to end, µs.
const FAULT_US: u64 = 1_500_000;
/// How long is waited for anything before it counts as never, µs.
const NEVER_US: u64 = 6_000_000;
/// How long is watched after a picture is back, for what only seems to be well, µs.
const AFTER_US: u64 = 400_000;
/// The same two for whoever hurries: a stream without frames is given 700 ms.
const FAULT_HURRIED_US: u64 = 800_000;
const AFTER_HURRIED_US: u64 = 100_000;
/// Frames in a row that make a stream.
const FRAMES_STEADY: u32 = 5;
/// The luma of the pattern's bars may differ by so much: they are rounded differently at different sizes.
const BAR_TOLERANCE: u8 = 3;
const BARS: u32 = 8;

/// A source and what was seen of it.
#[derive(Debug)]
pub struct Bench {
    source: V4lSource,
    clock: std::time::Instant,
    pattern: Vec<u8>,
    seen: Seen,
    /// The same in a small mode, for one who hurries.
    small_pattern: Option<Vec<u8>>,
}

/// What happened since a fault began.
#[derive(Debug, Default)]
struct Seen {
    states: Vec<CaptureState>,
    errors: Vec<String>,
    frames: u32,
    strange: u32,
    size: (u32, u32),
    age_us_max: u64,
    looks: u64,
}

impl Bench {
    /// Prepares the card and waits for a steady picture.
    ///
    /// # Errors
    /// There is no card, or it gives no picture.
    pub fn set_up() -> anyhow::Result<Self> {
        card::prepare()?;
        let source = V4lSource::open(&card::node(), &Options::default()).context("opening the card")?;
        let mut bench =
            Self { source, clock: clock(), pattern: Vec::new(), seen: Seen::default(), small_pattern: None };
        bench.settle()?;
        let now = bench.now();
        let frame = bench.source.current_frame(now)?.context("a steady stream has a frame")?;
        bench.pattern = bars(&frame);
        let is_varied = bench.pattern.windows(2).all(|pair| pair[0].abs_diff(pair[1]) > 2 * BAR_TOLERANCE);
        anyhow::ensure!(is_varied, "the card shows no colour bars: {:?}", bench.pattern);
        Ok(bench)
    }

    /// From now on faults last hardly longer than they must to be noticed, and are met in a small mode: for repeating
    /// them many times.
    ///
    /// # Errors
    /// The card refuses the mode, or gives no picture of it.
    pub fn hurry(&mut self) -> anyhow::Result<()> {
        if self.small_pattern.is_some() {
            return Ok(());
        }
        faults::vga()?;
        let limit = self.now().plus_micros(NEVER_US);
        let is_small = self.watch(limit, |bench| bench.seen.size == faults::VGA_SIZE);
        is_small.context("the card takes no small mode")?;
        self.watch(self.now().plus_micros(AFTER_US), |_| false);
        let now = self.now();
        let frame = self.source.current_frame(now)?.context("a steady stream has a frame")?;
        // Colours of small modes are coded in another way.
        self.small_pattern = Some(bars(&frame));
        Ok(())
    }

    /// Sets the card to a signal and counts frames for a second.
    ///
    /// # Errors
    /// The card refuses, or gives no picture of this signal.
    pub fn measure(
        &mut self,
        name: &'static str,
        select: fn() -> anyhow::Result<()>,
    ) -> anyhow::Result<Rate> {
        select()?;
        self.watch(self.now().plus_micros(AFTER_US), |_| false);
        self.settle()?;
        self.seen = Seen::default();
        let lost = self.source.lost();
        self.watch(self.now().plus_micros(1_000_000), |_| false);
        let Seen { frames, strange, age_us_max, size, .. } = self.seen;
        Ok(Rate { name, size, frames, lost: self.source.lost() - lost, strange, age_us_max })
    }

    /// Lets a fault happen, ends it, and waits until all is well again.
    ///
    /// # Errors
    /// The fault cannot be made, or there is no steady picture before it.
    pub fn inject(&mut self, fault: &Fault) -> anyhow::Result<Row> {
        let is_hurried = self.small_pattern.is_some();
        let (fault_us, after_us) =
            if is_hurried { (FAULT_HURRIED_US, AFTER_HURRIED_US) } else { (FAULT_US, AFTER_US) };
        if is_hurried {
            faults::vga()?;
            self.watch(self.now().plus_micros(after_us), |_| false);
        }
        self.settle().with_context(|| format!("before the fault `{}`", fault.name))?;
        let descriptors = descriptors()?;
        let (lost, discarded) =
            if fault.starts { (0, 0) } else { (self.source.lost(), self.source.discarded()) };
        self.seen = Seen::default();
        let begun = self.now();
        if fault.starts {
            // Not open yet: nothing is held while the fault begins.
            self.source =
                V4lSource::wait_for(&card::node(), &Options::default()).context("making a source")?;
        }
        (fault.begin)().with_context(|| fault.name)?;
        let shown_us = self.watch(begun.plus_micros(NEVER_US), |bench| match fault.shows {
            Shows::State(state) => bench.source.state() == state,
            Shows::Interruption => bench.source.state() != CaptureState::Streaming,
            Shows::Lost => bench.source.lost() > lost,
            Shows::Discarded => bench.source.discarded() > discarded,
            Shows::Size(width, height) => bench.seen.size == (width, height),
        });
        let shown_us = shown_us.map(|at| at.micros_since(begun));
        let mut ended = begun;
        let mut looks_per_second = 0;
        if let Some(end) = fault.end {
            let (shown, looks) = (self.now(), self.seen.looks);
            self.watch(begun.plus_micros(fault_us), |_| false);
            ended = self.now();
            let lasted_us = ended.micros_since(shown).max(1);
            looks_per_second = (self.seen.looks - looks) * 1_000_000 / lasted_us;
            if !fault.starts {
                self.check_still(ended);
            }
            end().with_context(|| fault.name)?;
        }
        self.seen.frames = 0;
        let ended_with = self.seen.size;
        let expects_size = match (fault.shows, fault.end) {
            (Shows::Size(..), Some(_)) => Some(ended_with),
            _ => None,
        };
        let back = self.watch(ended.plus_micros(NEVER_US), |bench| {
            bench.source.state() == CaptureState::Streaming
                && bench.seen.frames > 0
                && expects_size.is_none_or(|size| bench.seen.size != size)
        });
        let back_us = back.map(|at| at.micros_since(ended));
        self.watch(self.now().plus_micros(after_us), |_| false);
        self.settle().with_context(|| format!("after the fault `{}`", fault.name))?;
        let descriptors = self::descriptors()?.abs_diff(descriptors);
        Ok(Row {
            fault: fault.name,
            states: core::mem::take(&mut self.seen.states),
            shown_us,
            back_us,
            lost: self.source.lost() - lost,
            discarded: self.source.discarded() - discarded,
            strange: self.seen.strange,
            descriptors,
            looks_per_second,
            errors: core::mem::take(&mut self.seen.errors),
        })
    }

    /// Waits for a steady stream.
    fn settle(&mut self) -> anyhow::Result<()> {
        self.seen.frames = 0;
        let limit = self.now().plus_micros(NEVER_US);
        let is_steady = |bench: &Self| bench.seen.frames >= FRAMES_STEADY;
        if self.watch(limit, is_steady).is_none() {
            bail!("no steady picture: {:?}, {:?}", self.source.state(), self.source.error());
        }
        Ok(())
    }

    /// Polls the source as a host does until `is_done` or until the time is over; when it was done.
    fn watch(&mut self, until: Instant, is_done: impl Fn(&Self) -> bool) -> Option<Instant> {
        loop {
            let now = self.now();
            self.look(now);
            if is_done(self) {
                return Some(now);
            }
            if now >= until {
                return None;
            }
            let left = until.until(now).min(LOOK);
            let left = Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().max(1).into() };
            let fd = self.source.poll_fd();
            // What it says does not matter: the source is looked at anyway.
            let _ = poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&left));
        }
    }

    /// Whoever comes now must be shown the last picture there was.
    fn check_still(&mut self, now: Instant) {
        let still = self.source.current_frame(now).ok().flatten();
        let patterns = [Some(&self.pattern), self.small_pattern.as_ref()];
        self.seen.strange += u32::from(!still.is_some_and(|frame| is_one_of(&frame, patterns)));
    }

    fn look(&mut self, now: Instant) {
        self.seen.looks += 1;
        let Ok(frame) = self.source.poll_frame(now) else { return };
        if let Some(frame) = frame {
            let patterns = [Some(&self.pattern), self.small_pattern.as_ref()];
            let is_pattern = self.pattern.is_empty() || is_one_of(&frame, patterns);
            self.seen.strange += u32::from(!is_pattern);
            self.seen.frames += u32::from(is_pattern);
            self.seen.size = (frame.width(), frame.height());
            self.seen.age_us_max = self.seen.age_us_max.max(now.micros_since(frame.captured_at()));
        }
        let state = self.source.state();
        if self.seen.states.last() != Some(&state) {
            self.seen.states.push(state);
        }
        if let Some(error) = self.source.error().map(ToString::to_string)
            && self.seen.errors.last() != Some(&error)
        {
            self.seen.errors.push(error);
        }
    }

    fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.clock.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}

/// The source's own descriptor wakes earlier; this is for faults that it must notice without being asked.
const LOOK: Duration = Duration::from_millis(100);

/// The luma of each of the pattern's bars, in its middle. The pattern is eight bars, left to right, over the whole
/// picture.
fn bars(frame: &Frame<'_>) -> Vec<u8> {
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let luma = frame.planes()[0].row(height / 2, width);
    (0..BARS as usize).map(|bar| luma[width * (2 * bar + 1) / (2 * BARS as usize)]).collect()
}

fn is_one_of(frame: &Frame<'_>, patterns: [Option<&Vec<u8>>; 2]) -> bool {
    let bars = bars(frame);
    let is_like = |pattern: &Vec<u8>| {
        bars.iter().zip(pattern).all(|(one, other)| one.abs_diff(*other) <= BAR_TOLERANCE)
    };
    patterns.into_iter().flatten().any(is_like)
}

/// How many descriptors this process has.
fn descriptors() -> anyhow::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/fd").context("counting descriptors")?.count())
}

#[expect(clippy::disallowed_methods, reason = "drives a real device; in the VM this clock is virtual")]
fn clock() -> std::time::Instant {
    std::time::Instant::now()
}
