//! How many handshakes a host computes (SPEC §4.15). Each costs four exchanges, about a quarter of a millisecond on a
//! desktop: without a bound, whoever knows the host's key could keep it busy with nothing else.

use crate::limits::PENDING_HANDSHAKES;
use crate::time::Instant;

/// Handshakes computed at once, and then one in this many microseconds, for those who may be anybody.
const UNPROVEN: (u32, u64) = (32, 10_000);
/// The same for those who have shown a cookie: what an attacker with an address of his own can have.
const PROVEN: (u32, u64) = (64, 2_500);

/// A bucket that is full at first and fills again with time.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    level: u32,
    burst: u32,
    period_us: u64,
    /// The level is right as of this time.
    at: Instant,
}

impl Bucket {
    const fn new((burst, period_us): (u32, u64)) -> Self {
        Self { level: burst, burst, period_us, at: Instant::ZERO }
    }

    fn take(&mut self, now: Instant) -> bool {
        let periods = now.micros_since(self.at) / self.period_us;
        self.at = self.at.plus_micros(periods.saturating_mul(self.period_us));
        let more = u32::try_from(periods).unwrap_or(u32::MAX);
        self.level = self.level.saturating_add(more).min(self.burst);
        let has_one = self.level > 0;
        self.level -= u32::from(has_one);
        has_one
    }
}

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    unproven: Bucket,
    proven: Bucket,
}

impl Load {
    pub(super) const fn new() -> Self {
        Self { unproven: Bucket::new(UNPROVEN), proven: Bucket::new(PROVEN) }
    }

    /// Whether a handshake of somebody who may be anybody can be computed now, `pending` others being half done.
    pub(super) fn allows_unproven(&mut self, now: Instant, pending: usize) -> bool {
        pending <= PENDING_HANDSHAKES / 2 && self.unproven.take(now)
    }

    /// The same of somebody who has shown a cookie.
    pub(super) fn allows_proven(&mut self, now: Instant) -> bool {
        self.proven.take(now)
    }
}
