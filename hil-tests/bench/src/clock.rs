//! The one clock of a measurement, waiting, and chance.

use core::time::Duration;
use std::time::Instant;

/// How often a program, file or window is looked at while it is waited for.
const POLL: Duration = Duration::from_millis(10);

/// Now, on the clock that takes every time stamp.
#[expect(clippy::disallowed_methods, reason = "measuring real programs is what this program is for")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Lets time pass between two events.
#[expect(
    clippy::disallowed_methods,
    reason = "the pause between events is part of a measurement's description"
)]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Lets time pass until this instant.
pub(crate) fn pause_until(end: Instant) {
    pause(end.saturating_duration_since(now()));
}

/// Asks again and again until there is an answer or the limit is over. For what offers nothing to wait on: another
/// program's file, its window, its exit.
pub(crate) fn wait_until<T>(limit: Duration, mut answer: impl FnMut() -> Option<T>) -> Option<T> {
    let end = now() + limit;
    loop {
        if let Some(value) = answer() {
            return Some(value);
        }
        if now() >= end {
            return None;
        }
        pause(POLL);
    }
}

/// Like [`wait_until`], without rest: for what comes in microseconds.
pub(crate) fn spin_until<T>(limit: Duration, mut answer: impl FnMut() -> Option<T>) -> Option<T> {
    let end = now() + limit;
    loop {
        if let Some(value) = answer() {
            return Some(value);
        }
        if now() >= end {
            return None;
        }
        std::thread::yield_now();
    }
}

/// Milliseconds, as rows have them.
pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A sequence of numbers that only looks random; the moments of events come from it (xorshift64*).
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    /// Each seed is a sequence of its own.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// Evenly distributed over all 64-bit numbers except 0.
    pub(crate) const fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Less than `limit`, which is not 0.
    pub(crate) const fn below(&mut self, limit: u64) -> u64 {
        self.number() % limit
    }

    /// Evenly between these, in steps of a microsecond.
    pub(crate) fn between(&mut self, shortest: Duration, longest: Duration) -> Duration {
        let span = longest.saturating_sub(shortest).as_micros();
        shortest + Duration::from_micros(self.below(u64::try_from(span).unwrap_or(u64::MAX).max(1)))
    }
}
