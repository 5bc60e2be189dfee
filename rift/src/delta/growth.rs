//! How fast the rate grows, and how long a queue may stand beside it.
//!
//! Flows that share a path see one queue. Each lets stand the shorter one the more it sends, so who has more yields
//! first and shares even out (as FAST and Copa do: Wei et al., ToN 2006; Arun and Balakrishnan, NSDI 2018).

use super::probe::Headroom;
use super::signals::Signals;

/// Growth at the start, in thousandths a second: e-fold in half a second.
const START_PER_S: u64 = 2_000;
/// Growth where pictures pass undispersed, in thousandths a second, by how much more each second, and the most: others'
/// pictures may leave ours a gap by chance, but not for long.
const WIDE_PER_S: u64 = 700;
const WIDE_GAIN_PER_S: u64 = 3_500;
const WIDE_PER_S_MAX: u64 = 2_000;
/// Growth where they are dispersed to more than is used, in thousandths a second.
const OPEN_PER_S: u64 = 700;
/// Growth back to where the rate was before the last congestion, in thousandths a second.
const RETURN_PER_S: u64 = 700;
/// Growth below nine tenths of the remembered capacity, in thousandths a second.
const BELOW_PER_S: u64 = 350;
/// Growth around the remembered capacity, in thousandths a second.
const NEAR_PER_S: u64 = 80;
/// Calm after which that growth quickens, in µs, and by how much, in thousandths a second for each second.
const CALM_US: u64 = 1_000_000;
const NEAR_GAIN_PER_S: u64 = 80;
/// A path that was full within this time is not taken for empty because its queue is, in µs.
const FULL_US: u64 = 300_000;
/// What a flow lets stand in the queue, in bits: 2 ms of 20 Mbit/s.
const STANDING_BITS: u64 = 40_000;
/// Bounds of that, in µs: what is measured is no finer, and more would be overuse soon.
const TARGET_US_MIN: u64 = 1_000;
const TARGET_US_MAX: u64 = 4_000;
/// The time in which growth near the capacity is answered on a usual path, in µs, and that of other paths beyond their
/// round trip: who is told later grows slower, so that all are equally far when they are.
const ANSWERED_US: u64 = 200_000;
const ANSWER_US: u64 = 100_000;

/// The queue a flow of `rate_bps` lets stand, in µs, where `threshold_us` is overuse.
pub(super) fn target_us(rate_bps: u64, threshold_us: u64) -> u64 {
    let most = TARGET_US_MAX.max(threshold_us / 2);
    (STANDING_BITS * 1_000_000 / rate_bps).clamp(TARGET_US_MIN, most)
}

/// What growth depends on besides the signals.
pub(super) struct Growth {
    pub(super) rate_bps: u64,
    pub(super) memory_bps: u64,
    pub(super) capacity_bps: u64,
    /// Whether the path was never seen full.
    pub(super) starting: bool,
    /// Whether a loss is being judged.
    pub(super) lossy: bool,
    /// Time since the last congestion.
    pub(super) calm_us: u64,
    /// Time since the queue was last kept from growing.
    pub(super) trimmed_us: u64,
    /// For how long pictures have passed undispersed.
    pub(super) wide_us: u64,
    pub(super) target_us: u64,
}

impl Growth {
    /// Whether pictures show that most of the path is used.
    pub(super) fn knows_the_path(&self, signals: &Signals) -> bool {
        matches!(signals.headroom, Headroom::About(bottleneck) if self.rate_bps > bottleneck / 20 * 17)
    }

    /// Growth in thousandths a second.
    pub(super) fn per_s(&self, signals: &Signals) -> u64 {
        let near_per_s = NEAR_PER_S * ANSWERED_US / (signals.rtt_us + ANSWER_US);
        let room_us = self.target_us.saturating_sub(signals.queue_us);
        if let Headroom::About(_) = signals.headroom {
            if self.knows_the_path(signals) {
                return near_per_s;
            }
            // Others may be what disperses pictures: then the queue tells whether there is room.
            let room_us = if self.starting { self.target_us } else { room_us };
            return near_per_s + OPEN_PER_S.saturating_sub(near_per_s) * room_us / self.target_us;
        }
        if self.starting && !self.lossy {
            return START_PER_S;
        }
        if let Headroom::AtLeast(carried) = signals.headroom
            && carried > self.rate_bps / 5 * 6
        {
            let wide_per_s = WIDE_PER_S + WIDE_GAIN_PER_S * self.wide_us.min(1_000_000) / 1_000_000;
            let most_per_s = wide_per_s.min(WIDE_PER_S_MAX).saturating_sub(near_per_s);
            return near_per_s + most_per_s * room_us / self.target_us;
        }
        // A path that was wide a moment ago and is empty now was only lent to somebody.
        // A mean is late to tell that it is full again.
        let is_near = (self.capacity_bps / 10 * 9..self.capacity_bps / 10 * 11).contains(&self.rate_bps);
        if signals.headroom == Headroom::Unknown
            && !(signals.jumps && is_near)
            && self.rate_bps < self.memory_bps / 20 * 17
            && signals.queue_us < self.target_us
        {
            if !is_near || signals.probes {
                return RETURN_PER_S;
            }
            let empty_us = self.calm_us.min(self.trimmed_us).saturating_sub(FULL_US).min(1_000_000);
            let most_per_s = (RETURN_PER_S * empty_us / 1_000_000).max(near_per_s) - near_per_s;
            return near_per_s + most_per_s * room_us / self.target_us;
        }
        if is_near {
            let quicker = self.calm_us.saturating_sub(CALM_US).min(10_000_000) * NEAR_GAIN_PER_S / 1_000_000;
            return (near_per_s + quicker).min(BELOW_PER_S);
        }
        BELOW_PER_S
    }
}
