//! When to try a device again that is not there.

use rift::Instant;

/// The first pause, in microseconds: a device that was unplugged by accident is back soon.
const FIRST_US: u64 = 100_000;
/// The longest: somebody waits for it, and trying costs next to nothing.
const LONGEST_US: u64 = 5_000_000;

/// Pauses that double.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retry {
    due: Instant,
    pause_us: u64,
}

impl Retry {
    /// It may be tried at once.
    pub(crate) const fn new() -> Self {
        Self { due: Instant::ZERO, pause_us: FIRST_US }
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.due <= now
    }

    /// It failed.
    pub(crate) const fn failed(&mut self, now: Instant) {
        self.due = now.plus_micros(self.pause_us);
        self.pause_us = if self.pause_us * 2 < LONGEST_US { self.pause_us * 2 } else { LONGEST_US };
    }

    /// It works: when it fails next it is tried again soon.
    pub(crate) const fn worked(&mut self) {
        self.pause_us = FIRST_US;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_seconds_and_begin_anew_after_success() {
        let mut retry = Retry::new();
        let mut now = Instant::from_millis(1000);
        assert!(retry.is_due(now));
        for pause_ms in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            retry.failed(now);
            now = now.plus_micros(pause_ms * 1000 - 1);
            assert!(!retry.is_due(now), "{pause_ms} ms");
            now = now.plus_micros(1);
            assert!(retry.is_due(now), "{pause_ms} ms");
        }
        retry.worked();
        retry.failed(now);
        assert!(retry.is_due(now.plus_micros(100_000)));
    }
}
