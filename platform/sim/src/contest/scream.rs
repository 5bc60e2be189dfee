//! SCReAM v2 (draft-ietf-ccwg-rfc8298bis-screamv2, successor of RFC 8298), as its section on sender congestion
//! control says: reference window, virtual marks from delay, competing flows, target rate.
//!
//! The names are the draft's. Its own pacing and packet headroom are those of the contest's common pacer.

use std::collections::VecDeque;

use rift::delta::{Outcome, PacketReport};
use rift::{Ecn, Instant};

use super::controller::{Brief, Controller, Grant};

// Recommended values of the draft.
const QDELAY_TARGET_LO: f64 = 0.06;
const QDELAY_TARGET_HI: f64 = 0.4;
const MIN_REF_WND: f64 = 3000.0;
const BYTES_IN_FLIGHT_HEAD_ROOM: f64 = 1.5;
const BETA_LOSS: f64 = 0.7;
const MSS: f64 = 1000.0;
const POST_CONGESTION_DELAY_RTT: f64 = 100.0;
const MUL_INCREASE_FACTOR: f64 = 0.02;
const VIRTUAL_RTT: f64 = 0.025;
const MIN_QUEUE_DELAY_DEV_SCALE: f64 = 0.1;
const L4S_AVG_G_UP: f64 = 1.0 / 8.0;
const L4S_AVG_G_DOWN: f64 = 1.0 / 128.0;
const QDELAY_AVG_G: f64 = 1.0 / 4.0;
const QDELAY_DEV_AVG_G: f64 = 1.0 / 64.0;
const QDELAY_DEV_NORM: f64 = 0.025;
const REF_WND_OVERHEAD_MIN: f64 = 1.5;
const REF_WND_OVERHEAD_MAX: f64 = 3.0;
const PACKET_OVERHEAD: f64 = 20.0;
const RATE_ADJUST_GAIN: f64 = 1.0 / 16.0;
const FRAME_SIZE_DEV_ALPHA: f64 = 1.0 / 64.0;
const QDELAY_MIN_AVG_ALPHA: f64 = 1.0 / 256.0;
/// Samples of the history of queue delays, one a round trip.
const HISTORY: usize = 200;

/// The controller.
#[derive(Clone, Debug)]
pub struct Scream {
    rate_min: f64,
    rate_max: f64,
    frame_period: f64,
    l4s: bool,
    rate: f64,
    ref_wnd: f64,
    ref_wnd_i: f64,
    in_flight: f64,
    max_in_flight: f64,
    max_in_flight_prev: f64,
    delay: Delays,
    marks: Marks,
    losses: VecDeque<bool>,
    loss_seen: bool,
    s_rtt: f64,
    last_congestion: Instant,
    last_reaction: Instant,
    last_inflection: Instant,
    round_ends: Instant,
    rate_adjust: f64,
    frame_size_dev: f64,
    reduced_until: Instant,
}

#[derive(Clone, Debug)]
struct Delays {
    base_us: VecDeque<i64>,
    base_until_us: u64,
    qdelay: f64,
    average: f64,
    averaged: Instant,
    target: f64,
    dev_norm: f64,
    history: VecDeque<f64>,
    least: f64,
    min_avg: f64,
}

#[derive(Clone, Debug, Default)]
struct Marks {
    alpha: f64,
    updated: Instant,
    delivered: u64,
    marked: u64,
    pending: bool,
}

impl Scream {
    /// A fresh one.
    #[must_use]
    pub fn new(brief: &Brief) -> Self {
        let rate = f64::from(brief.limits.bitrate_bps_start);
        Self {
            rate_min: f64::from(brief.limits.bitrate_bps_min),
            rate_max: f64::from(brief.limits.bitrate_bps_max),
            frame_period: 1000.0 / f64::from(brief.picture_millihertz),
            l4s: brief.l4s,
            rate,
            ref_wnd: (rate / 8.0 * 0.1).max(MIN_REF_WND),
            ref_wnd_i: 1.0,
            in_flight: 0.0,
            max_in_flight: 0.0,
            max_in_flight_prev: 0.0,
            delay: Delays {
                base_us: VecDeque::new(),
                base_until_us: 0,
                qdelay: 0.0,
                average: 0.0,
                averaged: Instant::ZERO,
                target: QDELAY_TARGET_LO,
                dev_norm: 0.0,
                history: VecDeque::new(),
                least: f64::MAX,
                min_avg: 0.0,
            },
            marks: Marks::default(),
            losses: VecDeque::new(),
            loss_seen: false,
            s_rtt: 0.1,
            last_congestion: Instant::ZERO,
            last_reaction: Instant::ZERO,
            last_inflection: Instant::ZERO,
            round_ends: Instant::ZERO,
            rate_adjust: 0.0,
            frame_size_dev: 0.0,
            reduced_until: Instant::ZERO,
        }
    }

    fn ref_wnd_ratio(&self) -> f64 {
        MSS / self.ref_wnd
    }

    fn dev_norm_threshold(&self) -> f64 {
        (0.1 * (1.0 - self.ref_wnd_ratio() / 0.1)).max(0.05)
    }

    fn dev_scale(&self) -> f64 {
        let threshold = self.dev_norm_threshold();
        ((threshold - self.delay.dev_norm) / threshold).max(MIN_QUEUE_DELAY_DEV_SCALE)
    }

    /// Once a round trip or 25 ms: averages of the queue delay, the target, the flight.
    fn end_round(&mut self, now: Instant) {
        let threshold = self.dev_norm_threshold();
        let delay = &mut self.delay;
        delay.average = if delay.qdelay < delay.average {
            delay.qdelay
        } else {
            QDELAY_AVG_G * delay.qdelay + (1.0 - QDELAY_AVG_G) * delay.average
        };
        let deviation =
            ((delay.qdelay - QDELAY_DEV_NORM / 4.0) / QDELAY_DEV_NORM).clamp(0.0, threshold * 1.5);
        delay.dev_norm = (1.0 - QDELAY_DEV_AVG_G) * delay.dev_norm + QDELAY_DEV_AVG_G * deviation;
        delay.averaged = now;
    }

    /// Competing flows compensation.
    fn adjust_target(&mut self) {
        let loss_rate =
            self.losses.iter().filter(|lost| **lost).count() as f64 / self.losses.len().max(1) as f64;
        let delay = &mut self.delay;
        delay.history.push_front(delay.qdelay / QDELAY_TARGET_LO);
        delay.history.truncate(HISTORY);
        let mean = |count: usize| {
            let taken = delay.history.iter().take(count);
            taken.clone().sum::<f64>() / taken.count().max(1) as f64
        };
        let (all, lately) = (mean(HISTORY), mean(50));
        let variance = delay.history.iter().map(|one| (one - all) * (one - all)).sum::<f64>()
            / delay.history.len() as f64;
        let proposed = (lately + variance.sqrt()) * QDELAY_TARGET_LO;
        delay.target = if loss_rate > 0.002 {
            1.5 * proposed
        } else if variance < 0.2 {
            proposed
        } else if proposed < QDELAY_TARGET_LO {
            (delay.target * 0.5).max(proposed)
        } else {
            delay.target * 0.9
        };
        delay.target = delay.target.clamp(QDELAY_TARGET_LO, QDELAY_TARGET_HI);
    }

    fn on_delay(&mut self, at_us: u64, one_way_us: i64) {
        let delay = &mut self.delay;
        // Base delay: the least of ten minutes' minima, as LEDBAT (RFC 6817).
        if delay.base_us.is_empty() || at_us >= delay.base_until_us {
            delay.base_us.push_back(i64::MAX);
            delay.base_until_us = at_us + 60_000_000;
            if delay.base_us.len() > 10 {
                delay.base_us.pop_front();
            }
        }
        if let Some(newest) = delay.base_us.back_mut() {
            *newest = one_way_us.min(*newest);
        }
        let base = delay.base_us.iter().copied().min().unwrap_or(one_way_us);
        delay.qdelay = (one_way_us - base) as f64 / 1e6;
        delay.least = delay.least.min(delay.qdelay);
    }

    fn react(&mut self, now: Instant) {
        let mut scale = (self.ref_wnd - self.ref_wnd_i) / self.ref_wnd_i * 8.0;
        scale = (scale * scale).clamp(0.1, 1.0);
        let since = now.micros_since(self.last_reaction) as f64 / 1e6;
        if self.loss_seen || self.marks.pending {
            self.last_congestion = now;
        }
        let (mut lost, mut marked, mut virtual_alpha) = (false, false, None);
        if since >= VIRTUAL_RTT.min(self.s_rtt) {
            let half = self.delay.target / 2.0;
            if self.loss_seen {
                lost = true;
            } else if self.marks.pending {
                marked = true;
            } else if self.delay.average > half {
                virtual_alpha = Some(((self.delay.average - half) / half).clamp(0.0, 1.0));
            }
        }
        if lost || marked || virtual_alpha.is_some() {
            if now.micros_since(self.last_inflection) as f64 / 1e6 > 10.0 * self.s_rtt {
                (self.last_inflection, self.ref_wnd_i) = (now, self.ref_wnd);
            }
            let stretch = (self.s_rtt / VIRTUAL_RTT).max(1.0);
            if lost {
                self.ref_wnd *= BETA_LOSS;
            }
            if marked {
                let mut backoff = self.marks.alpha / 2.0 / stretch;
                if self.delay.qdelay < self.delay.target * 0.25 {
                    backoff *= scale.max(0.25) * self.dev_scale();
                }
                if since > 100.0 * VIRTUAL_RTT.max(self.s_rtt) {
                    self.ref_wnd = self.ref_wnd.min(self.max_in_flight_prev.max(MIN_REF_WND));
                }
                self.ref_wnd *= 1.0 - backoff;
            }
            if let Some(alpha) = virtual_alpha {
                self.ref_wnd *= 1.0 - alpha / 2.0 / stretch;
            }
            self.ref_wnd = self.ref_wnd.max(MIN_REF_WND);
            self.last_reaction = now;
            (self.loss_seen, self.marks.pending) = (false, false);
        }
    }

    fn increase(&mut self, now: Instant, acked: f64, marked: f64) {
        let mut scale = (self.ref_wnd - self.ref_wnd_i) / self.ref_wnd_i * 8.0;
        scale = (scale * scale).clamp(0.1, 1.0);
        let calm = now.micros_since(self.last_congestion) as f64 / 1e6;
        let calm = (calm / (POST_CONGESTION_DELAY_RTT * VIRTUAL_RTT.max(self.s_rtt))).clamp(0.0, 1.0);
        let multiplicative = 1.0 + MUL_INCREASE_FACTOR * self.ref_wnd / MSS;
        let mut increment = (acked - marked) * self.ref_wnd_ratio() * (self.s_rtt / VIRTUAL_RTT).min(1.0);
        increment *= scale.max(0.25) * self.dev_scale();
        increment *= 1.0 + (multiplicative - 1.0) * calm * scale;
        let most = MSS + self.max_in_flight.max(self.max_in_flight_prev) * BYTES_IN_FLIGHT_HEAD_ROOM;
        if self.ref_wnd + increment <= most && self.rate < self.rate_max {
            self.ref_wnd += increment;
        }
    }

    fn set_rate(&mut self, now: Instant) {
        let mut factor = 1.0 - (self.ref_wnd_ratio() - 0.1).clamp(0.0, 0.2);
        factor *= MSS / (MSS + PACKET_OVERHEAD);
        factor /= 1.2 + self.rate_adjust + self.frame_size_dev;
        let mut rate = factor * 8.0 * self.ref_wnd / self.s_rtt.max(0.001);
        if now < self.reduced_until {
            rate /= 2.0;
        }
        self.rate = rate.clamp(self.rate_min, self.rate_max);
    }

    /// A clock that drifts shows as a queue that never empties.
    fn watch_drift(&mut self, now: Instant) {
        let delay = &mut self.delay;
        let least = if delay.least == f64::MAX { 0.0 } else { delay.least };
        delay.min_avg = (1.0 - QDELAY_MIN_AVG_ALPHA) * delay.min_avg + QDELAY_MIN_AVG_ALPHA * least;
        delay.least = f64::MAX;
        if delay.min_avg > delay.target / 4.0 {
            delay.min_avg = 0.0;
            delay.base_us.clear();
            let pause_s = (5.0 * self.s_rtt).max(0.2);
            self.reduced_until = now.plus_micros((pause_s * 1e6) as u64);
        }
    }
}

impl Controller for Scream {
    fn on_sent(&mut self, _now: Instant, bytes: usize) {
        self.in_flight += bytes as f64;
        self.max_in_flight = self.max_in_flight.max(self.in_flight);
    }

    fn on_feedback(&mut self, now: Instant, rtt_us: u32, reports: &[PacketReport]) {
        self.s_rtt = f64::from(rtt_us) / 1e6;
        let (mut acked, mut acked_ce, mut lost) = (0.0, 0.0, false);
        for report in reports {
            self.in_flight = (self.in_flight - f64::from(report.bytes)).max(0.0);
            let Outcome::Arrived { at_us, ce } = report.outcome else {
                lost = true;
                continue;
            };
            acked += f64::from(report.bytes);
            acked_ce += if ce { f64::from(report.bytes) } else { 0.0 };
            self.marks.delivered += 1;
            self.marks.marked += u64::from(ce);
            self.marks.pending |= ce;
            self.on_delay(at_us, at_us.wrapping_sub(report.sent_at.as_micros()).cast_signed());
        }
        self.loss_seen |= lost;
        let marks = &mut self.marks;
        if now.micros_since(marks.updated) as f64 / 1e6 >= self.s_rtt.min(0.01) && marks.delivered > 0 {
            let share = marks.marked as f64 / marks.delivered as f64;
            marks.alpha = if share >= marks.alpha {
                L4S_AVG_G_UP * share + (1.0 - L4S_AVG_G_UP) * marks.alpha
            } else {
                (1.0 - L4S_AVG_G_DOWN) * marks.alpha
            };
            (marks.updated, marks.delivered, marks.marked) = (now, 0, 0);
        }
        if now.micros_since(self.delay.averaged) as f64 / 1e6 >= VIRTUAL_RTT.min(self.s_rtt) {
            self.end_round(now);
        }
        if now >= self.round_ends {
            self.round_ends = now.plus_micros(u64::from(rtt_us));
            self.losses.push_front(self.loss_seen);
            self.losses.truncate(HISTORY);
            self.adjust_target();
            self.watch_drift(now);
            self.max_in_flight_prev = self.max_in_flight;
            self.max_in_flight = self.in_flight;
        }
        self.react(now);
        self.increase(now, acked, acked_ce);
        self.set_rate(now);
    }

    fn on_picture(&mut self, bytes: usize, waiting_us: u64) {
        let error = (waiting_us as f64 / 1e6 - self.frame_period / 4.0) / self.frame_period;
        self.rate_adjust = (self.rate_adjust + error * RATE_ADJUST_GAIN).clamp(0.0, 0.5);
        let nominal = self.rate * self.frame_period / 8.0;
        let deviation = ((bytes as f64 - nominal) / nominal).max(0.0);
        self.frame_size_dev =
            ((1.0 - FRAME_SIZE_DEV_ALPHA) * self.frame_size_dev + FRAME_SIZE_DEV_ALPHA * deviation).min(0.2);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn grant(&self) -> Grant {
        Grant { total_bps: self.rate as u64, media_bps: None, pace_permille: 1500 }
    }

    fn sendable_bytes(&self, _now: Instant) -> usize {
        let threshold = self.dev_norm_threshold();
        let overhead = REF_WND_OVERHEAD_MIN
            + (REF_WND_OVERHEAD_MAX - REF_WND_OVERHEAD_MIN)
                * ((threshold - self.delay.dev_norm) / threshold).max(0.0);
        let room = self.ref_wnd * overhead - self.in_flight;
        if room <= 0.0 { 0 } else { room as usize + 1500 }
    }

    fn ecn(&self) -> Ecn {
        if self.l4s { Ecn::Ect1 } else { Ecn::NotEct }
    }

    fn describe(&self) -> String {
        format!(
            "wnd {:.0} qdelay {:.4} target {:.3} alpha {:.3}",
            self.ref_wnd, self.delay.qdelay, self.delay.target, self.marks.alpha
        )
    }
}
