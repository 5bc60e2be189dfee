//! How often an endpoint answers what it need not answer.

use crate::time::Instant;

/// Answers that may leave at once.
const BURST: u64 = 64;
/// And one more each so many µs: 200 a second.
const INTERVAL_US: u64 = 5_000;

/// A bucket of answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limiter {
    left: u64,
    filled_at: Instant,
}

impl Limiter {
    pub(super) const fn new() -> Self {
        Self { left: BURST, filled_at: Instant::ZERO }
    }

    /// Takes one, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let fresh = now.micros_since(self.filled_at) / INTERVAL_US;
        if fresh > 0 {
            self.left = (self.left + fresh).min(BURST);
            self.filled_at = now;
        }
        let is_left = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_at_once_and_then_two_hundred_a_second() {
        let mut limiter = Limiter::new();
        let start = Instant::from_millis(1000);
        assert_eq!((0..1000).filter(|_| limiter.take(start)).count() as u64, BURST);
        let passed = (0..100_000).filter(|&step| limiter.take(start.plus_micros(step * 10))).count();
        assert!((190..=201).contains(&passed), "{passed} in a second");
    }
}
