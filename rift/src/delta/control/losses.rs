//! Loss without delay: when it is congestion, and what a cut that answers it teaches.

use super::super::State;
use super::super::signals::Signals;
use super::{CUT_PERMILLE_MIN, Control};
use crate::time::Instant;

/// Loss that is taken for congestion, in thousandths; below it parity answers.
const LOSS_PERMILLE: u64 = 100;
/// Runs of losses within a second from which they tell of the rate.
const LOSS_BURSTS: u64 = 5;
/// The same while the application limits what is sent: the highest that parity answers.
const LOSS_PERMILLE_LIMITED: u64 = 250;
/// How long the loss of one second takes to tell of a cut, beyond a round trip.
const LOSS_JUDGED_US: u64 = 1_000_000;

impl Control {
    /// Loss above a tenth is congestion unless a cut has shown that it is not: then it stays when the rate falls.
    pub(super) fn on_loss(&mut self, now: Instant, signals: &Signals) -> bool {
        if now.micros_since(self.loss_judged) < signals.rtt_us + LOSS_JUDGED_US {
            return false;
        }
        if self.loss_at_cut_permille > 0 {
            if signals.loss_permille > self.loss_at_cut_permille / 2 {
                self.loss_floor_permille = signals.loss_permille;
            } else {
                self.capacity_bps = self.rate_bps;
                self.starting = false;
            }
            self.loss_at_cut_permille = 0;
        }
        if signals.loss_permille < self.loss_floor_permille / 2 {
            self.loss_floor_permille = 0;
        }
        let excess = signals.loss_permille.saturating_sub(self.loss_floor_permille);
        // A trickle is lost to its own rate only where the link carries much less than it.
        let limited = signals.limited && signals.loss_permille < LOSS_PERMILLE_LIMITED;
        if limited || signals.loss_permille < LOSS_PERMILLE || excess < LOSS_PERMILLE / 2 {
            return false;
        }
        // A few runs are a radio's; what is too much for the path is lost all the time, or waits before it is.
        if signals.loss_bursts < LOSS_BURSTS && signals.queue_us <= signals.threshold_us / 2 {
            return false;
        }
        self.loss_at_cut_permille = signals.loss_permille;
        self.loss_judged = now;
        // At the very start nothing is known of what is delivered but the share of it.
        let delivered = match signals.delivered_bps {
            0 => self.rate_bps / 1000 * 1000_u64.saturating_sub(signals.loss_permille),
            delivered => delivered,
        };
        let delivered = delivered.clamp(self.min_bps, self.max_bps);
        let kept_bps = delivered.min(self.rate_bps);
        // While a full queue is drained, what arrives is what the path carries, however little is sent.
        let drains = self.state == State::Congested && signals.queue_us > signals.threshold_us;
        self.resume_bps = if drains { delivered.min(self.resume_bps) } else { kept_bps };
        // A rate that is just what arrives would leave the queue as it is.
        let keep = if drains { Self::keep_permille(signals.queue_us, CUT_PERMILLE_MIN) } else { 1000 };
        self.set(kept_bps * keep / 1000);
        if signals.queue_us > signals.threshold_us / 2 {
            self.capacity_bps = kept_bps.max(self.resume_bps);
            self.starting = false;
        }
        self.enter_congestion(now, signals);
        true
    }
}
