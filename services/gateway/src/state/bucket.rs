//! How often something may be done: so many at once, and one more after each interval.

use rift::Instant;

/// A bucket of permissions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    burst: u32,
    interval_us: u64,
    left: u32,
    filled_at: Instant,
}

impl Bucket {
    /// A full one.
    #[must_use]
    pub(super) const fn new(burst: u32, interval_us: u64) -> Self {
        Self { burst, interval_us, left: burst, filled_at: Instant::ZERO }
    }

    /// Takes one, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let fresh = now.micros_since(self.filled_at) / self.interval_us;
        if fresh > 0 {
            self.left = self.left.saturating_add(u32::try_from(fresh).unwrap_or(u32::MAX)).min(self.burst);
            self.filled_at = now;
        }
        let is_left = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_left
    }
}
