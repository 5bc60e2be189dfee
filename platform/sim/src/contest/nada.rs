//! NADA (RFC 8698), as its sections 4.2, 4.3 and 5.1 say.
//!
//! The receiver's part, which watches delay, loss and marks, runs beside the sender's on the reports both would
//! exchange. RMAX is the largest rate the path will ever have, which nobody would know: an advantage.

use std::collections::VecDeque;

use rift::delta::{Outcome, PacketReport};
use rift::{Ecn, Instant};

use super::controller::{Brief, Controller, Grant};

// Names and values of RFC 8698, figure 3.
const PRIO: f64 = 1.0;
const XREF_MS: f64 = 10.0;
const KAPPA: f64 = 0.5;
const ETA: f64 = 2.0;
const TAU_MS: f64 = 500.0;
const DELTA_US: u64 = 100_000;
const LOGWIN_US: u64 = 500_000;
const QEPS_MS: f64 = 10.0;
const DFILT_MS: f64 = 120.0;
const GAMMA_MAX: f64 = 0.5;
const QBOUND_MS: f64 = 50.0;
const MULTILOSS: f64 = 7.0;
const QTH_MS: f64 = 50.0;
const LAMBDA: f64 = 0.5;
const PLRREF: f64 = 0.01;
const PMRREF: f64 = 0.01;
const DLOSS_MS: f64 = 10.0;
const DMARK_MS: f64 = 2.0;
/// Packets the least delay of which is the delay (section 5.1.1).
const FILTER: usize = 15;
/// Weight of a new sample of loss and mark ratio (section 5.1.1).
const ALPHA: f64 = 0.1;

/// The controller.
#[derive(Clone, Debug)]
pub struct Nada {
    rate_min: f64,
    rate_max: f64,
    /// r_ref.
    rate: f64,
    l4s: bool,
    base_us: i64,
    filter: VecDeque<i64>,
    /// Time, bytes, loss, mark and queueing delay of what was reported in the last LOGWIN.
    log: VecDeque<Logged>,
    loss: f64,
    mark: f64,
    since_loss: f64,
    interval: f64,
    x_previous_ms: f64,
    updated: Instant,
    rtt_ms: f64,
}

#[derive(Clone, Copy, Debug)]
struct Logged {
    at: Instant,
    bytes: u64,
    lost: bool,
    marked: bool,
    queue_ms: f64,
}

impl Nada {
    /// A fresh one.
    #[must_use]
    pub fn new(brief: &Brief) -> Self {
        Self {
            rate_min: f64::from(brief.limits.bitrate_bps_min),
            rate_max: brief.path_bps_max as f64,
            rate: f64::from(brief.limits.bitrate_bps_start),
            l4s: brief.l4s,
            base_us: i64::MAX,
            filter: VecDeque::new(),
            log: VecDeque::new(),
            loss: 0.0,
            mark: 0.0,
            since_loss: 0.0,
            interval: 0.0,
            x_previous_ms: 0.0,
            updated: Instant::ZERO,
            rtt_ms: 100.0,
        }
    }

    fn log(&mut self, now: Instant, report: &PacketReport) {
        let mut one = Logged { at: now, bytes: 0, lost: true, marked: false, queue_ms: 0.0 };
        if let Outcome::Arrived { at_us, ce } = report.outcome {
            let delay = at_us.wrapping_sub(report.sent_at.as_micros()).cast_signed();
            self.base_us = self.base_us.min(delay);
            self.filter.push_back(delay);
            if self.filter.len() > FILTER {
                self.filter.pop_front();
            }
            one = Logged {
                bytes: u64::from(report.bytes),
                lost: false,
                marked: ce,
                queue_ms: self.queue_ms(),
                ..one
            };
            self.since_loss += 1.0;
        } else {
            // Average interval between losses, as TFRC's: the current one counts once it is the longer.
            self.interval = if self.interval == 0.0 {
                self.since_loss
            } else {
                0.875 * self.interval + 0.125 * self.since_loss
            };
            self.since_loss = 0.0;
        }
        self.log.push_back(one);
    }

    fn queue_ms(&self) -> f64 {
        let least = self.filter.iter().copied().min().unwrap_or(self.base_us);
        (least - self.base_us) as f64 / 1000.0
    }

    /// The aggregate congestion signal (section 4.2).
    fn signal_ms(&mut self) -> f64 {
        let count = self.log.len().max(1) as f64;
        let lost = self.log.iter().filter(|one| one.lost).count() as f64 / count;
        let marked = self.log.iter().filter(|one| one.marked).count() as f64 / count;
        self.loss = ALPHA * lost + (1.0 - ALPHA) * self.loss;
        self.mark = ALPHA * marked + (1.0 - ALPHA) * self.mark;
        let queue = self.queue_ms();
        let lossy = self.interval > 0.0 && self.since_loss < MULTILOSS * self.interval;
        let warped = if lossy && queue >= QTH_MS {
            QTH_MS * exponential(-LAMBDA * (queue - QTH_MS) / QTH_MS)
        } else {
            queue
        };
        let (loss, mark) = (self.loss / PLRREF, self.mark / PMRREF);
        warped + DMARK_MS * mark * mark + DLOSS_MS * loss * loss
    }

    fn update(&mut self, now: Instant) {
        let delta_ms = now.micros_since(self.updated) as f64 / 1000.0;
        self.updated = now;
        while self.log.front().is_some_and(|one| now.micros_since(one.at) > LOGWIN_US) {
            self.log.pop_front();
        }
        let signal = self.signal_ms();
        let free = self.log.iter().all(|one| !one.lost && !one.marked && one.queue_ms < QEPS_MS);
        if free {
            // Accelerated ramp-up (equations 3 and 4).
            let gamma = GAMMA_MAX.min(QBOUND_MS / (self.rtt_ms + DELTA_US as f64 / 1000.0 + DFILT_MS));
            let received = self.received_bps(now);
            self.rate = self.rate.max((1.0 + gamma) * received);
        } else {
            // Gradual update (equations 5 to 7).
            let offset = signal - PRIO * XREF_MS * self.rate_max / self.rate;
            let difference = signal - self.x_previous_ms;
            let delta_ms = delta_ms.min(2.0 * DELTA_US as f64 / 1000.0);
            self.rate -= KAPPA * (delta_ms / TAU_MS) * (offset / TAU_MS) * self.rate
                + KAPPA * ETA * (difference / TAU_MS) * self.rate;
        }
        self.x_previous_ms = signal;
        self.rate = self.rate.clamp(self.rate_min, self.rate_max);
    }

    fn received_bps(&self, now: Instant) -> f64 {
        let bytes: u64 = self.log.iter().map(|one| one.bytes).sum();
        let span = self.log.front().map_or(0, |one| now.micros_since(one.at));
        if span < LOGWIN_US / 4 { 0.0 } else { bytes as f64 * 8e6 / span as f64 }
    }
}

impl Controller for Nada {
    fn on_sent(&mut self, _now: Instant, _bytes: usize) {}

    fn on_feedback(&mut self, now: Instant, rtt_us: u32, reports: &[PacketReport]) {
        self.rtt_ms = f64::from(rtt_us) / 1000.0;
        for report in reports {
            self.log(now, report);
        }
        if now.micros_since(self.updated) >= DELTA_US {
            self.update(now);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn grant(&self) -> Grant {
        Grant { total_bps: self.rate as u64, media_bps: None, pace_permille: 1500 }
    }

    fn sendable_bytes(&self, _now: Instant) -> usize {
        usize::MAX
    }

    fn ecn(&self) -> Ecn {
        if self.l4s { Ecn::Ect1 } else { Ecn::NotEct }
    }

    fn describe(&self) -> String {
        format!("x {:.1} ms, loss {:.4}", self.x_previous_ms, self.loss)
    }
}

/// e to the power of `value ≤ 0`, from its series: the same on every machine.
fn exponential(value: f64) -> f64 {
    let reduced = value / 64.0;
    let mut power = 1.0 + reduced + reduced * reduced / 2.0 + reduced * reduced * reduced / 6.0;
    for _ in 0..6 {
        power *= power;
    }
    power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_is_close() {
        for value in [0.0, -0.3, -2.0, -5.0] {
            assert!((exponential(value) - f64::exp(value)).abs() < 1e-5, "{value}");
        }
    }
}
