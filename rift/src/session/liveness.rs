//! Whether the host is still there (SPEC §6.5): a client that hears nothing where it should asks, and asks again.

use super::Session;
use crate::crypto::{Handshake, Side};
use crate::storage::Memory;
use crate::time::Instant;

/// Pictures flow while the last shard is not older than this, in µs.
const FLOWING_US: u64 = 300_000;
/// What is patient longest and shortest with pictures that flow, in µs.
const PATIENCE_US: core::ops::RangeInclusive<u64> = 20_000..=100_000;
/// Time an answer may take beyond one and a quarter round trips, in µs.
const ANSWER_US: u64 = 20_000;
/// Questions are never closer than this, in µs.
const PAUSE_US_MIN: u64 = 10_000;

impl<M: Memory, H: Handshake> Session<M, H> {
    /// When the next clock request is due: by the clock's own rule, or because the host is silent.
    pub(super) fn request_due(&self) -> Instant {
        let usual = self.clock.request_due();
        if self.side == Side::Initiator {
            self.silence_asks_at().map_or(usual, |at| usual.min(at))
        } else {
            usual
        }
    }

    fn silence_asks_at(&self) -> Option<Instant> {
        let heard_at = self.heard_at;
        let round_trip = self.round_trip_us();
        let is_flowing = self.shard_at.is_some_and(|at| heard_at.micros_since(at) < FLOWING_US);
        match self.clock.asked_at().filter(|&at| at > heard_at) {
            // The answer to a question may take its time only where nothing else was expected.
            Some(asked) if !is_flowing && self.clock.asked_since(heard_at) < 2 => {
                Some(asked.plus_micros(round_trip * 5 / 4 + ANSWER_US))
            }
            Some(asked) => Some(asked.plus_micros((round_trip / 8).max(PAUSE_US_MIN))),
            None => is_flowing.then(|| heard_at.plus_micros(self.flow_patience_us())),
        }
    }

    /// How long nothing may come while pictures flow.
    fn flow_patience_us(&self) -> u64 {
        let rate = self.parameters.map_or(0, |message| message.parameters.rate_millihertz).max(1);
        let period = 1_000_000_000 / u64::from(rate);
        (period * 5 / 4).clamp(*PATIENCE_US.start(), *PATIENCE_US.end())
    }
}
