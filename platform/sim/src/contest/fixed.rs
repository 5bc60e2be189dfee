//! A sender of fixed rate with a fifth of parity: what GameStream-style hosts do.

use rift::delta::PacketReport;
use rift::{Ecn, Instant};

use super::controller::{Brief, Controller, Grant};

/// Parity of each picture, in percent of its data, rounded up.
const PARITY_PERCENT: usize = 20;

/// Knows nothing of the path.
#[derive(Clone, Copy, Debug)]
pub struct Fixed(u64);

impl Fixed {
    /// A sender at the rate that somebody typed in.
    #[must_use]
    pub const fn new(brief: &Brief) -> Self {
        Self(brief.fixed_bps)
    }
}

impl Controller for Fixed {
    fn on_sent(&mut self, _now: Instant, _bytes: usize) {}

    fn on_feedback(&mut self, _now: Instant, _rtt_us: u32, _reports: &[PacketReport]) {}

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn grant(&self) -> Grant {
        let media = self.0 * 97 / 100 * 100 / (100 + PARITY_PERCENT as u64);
        Grant { total_bps: self.0, media_bps: Some(media), pace_permille: 1500 }
    }

    fn sendable_bytes(&self, _now: Instant) -> usize {
        usize::MAX
    }

    fn parity_for(&self, data_shards: usize) -> Option<usize> {
        Some((data_shards * PARITY_PERCENT).div_ceil(100))
    }

    fn ecn(&self) -> Ecn {
        Ecn::NotEct
    }
}
