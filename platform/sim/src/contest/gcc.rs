//! Google Congestion Control: draft-ietf-rmcat-gcc-02 and G. Carlucci et al., "Analysis and Design of the Google
//! Congestion Control for WebRTC" (MMSys 2016), with the trendline and the constants that libWebRTC has in their place.
//!
//! Differences from the text, all in its favour: the slope of a line through smoothed delays stands for the Kalman
//! filter; the capacity is remembered with its deviation; and since nothing but pictures is sent here, probes at the
//! start are pictures at three times the first rate, and twice that again as long as seven tenths of it arrive.

use std::collections::VecDeque;

use rift::delta::{Outcome, PacketReport};
use rift::{Ecn, Instant};

use super::controller::{Brief, Controller, Grant};

/// Packets sent within this time are one group (§5.2).
const BURST_US: u64 = 5_000;
/// Groups the trend is fitted to, and the share of the old in the smoothed delay.
const WINDOW: usize = 20;
const SMOOTHING: f64 = 0.9;
/// The trend is scaled by this and by the number of groups, at most so many.
const GAIN: f64 = 4.0;
const DELTAS_MAX: u32 = 60;
/// The adaptive threshold (§5.4): its start, its bounds, and how fast it follows, a ms.
const THRESHOLD_MS: f64 = 12.5;
const THRESHOLD_MS_MIN: f64 = 6.0;
const THRESHOLD_MS_MAX: f64 = 600.0;
const K_UP: f64 = 0.0087;
const K_DOWN: f64 = 0.039;
/// A trend this far beyond the threshold does not move it.
const OUTLIER_MS: f64 = 15.0;
/// For how long the trend is above it before the path counts as overused.
const OVERUSE_MS: f64 = 10.0;
/// What a cut leaves of what arrived (§5.5).
const BETA: f64 = 0.85;
/// ln 1.08: growth a second far from the capacity (§5.5).
const LN_GROWTH: f64 = 0.076_961;
/// What the response to a change takes beyond the round trip, in s, and the least growth near the capacity, in bit/s².
const RESPONSE_S: f64 = 0.1;
const NEAR_BPS_S_MIN: f64 = 4_000.0;
/// Window of what arrives, in µs.
const ACKED_US: u64 = 150_000;
/// Loss that lets grow, and loss that cuts (§6); both are looked at this often, in µs.
const LOSS_LOW: f64 = 0.02;
const LOSS_HIGH: f64 = 0.1;
const LOSS_US: u64 = 1_000_000;
/// Probes: the first, the next ones, and what must arrive of one.
const PROBE_FIRST: f64 = 3.0;
const PROBE_NEXT: f64 = 2.0;
const PROBE_ARRIVES: f64 = 0.7;

/// The controller.
#[derive(Clone, Debug)]
pub struct Gcc {
    limits: (f64, f64),
    /// What delay allows, and what loss allows.
    delay_bps: f64,
    loss_bps: f64,
    trend: Trend,
    capacity: Capacity,
    state: State,
    stepped: Instant,
    changed: Instant,
    arrivals: VecDeque<(u64, u64)>,
    counted: (u64, u64),
    judged: Instant,
    probe: Option<Instant>,
    rtt_s: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Hold,
    Increase,
    Decrease,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Usage {
    Normal,
    Under,
    Over,
}

/// Groups, their slope, and the detector of overuse.
#[derive(Clone, Debug)]
struct Trend {
    group: Option<Group>,
    before: Option<Group>,
    first_at_us: u64,
    points: VecDeque<(f64, f64)>,
    deltas: u32,
    accumulated_ms: f64,
    smoothed_ms: f64,
    slope_before: f64,
    threshold_ms: f64,
    updated_us: u64,
    over_ms: Option<f64>,
    over_count: u32,
    usage: Usage,
}

/// Packets that left together: the first's departure, and the last's departure and arrival.
#[derive(Clone, Copy, Debug)]
struct Group {
    first_sent_us: u64,
    sent_us: u64,
    first_at_us: u64,
    at_us: u64,
}

/// What the link was seen to carry when it was overused, in kbit/s, and how much that varies.
#[derive(Clone, Copy, Debug)]
struct Capacity {
    kbps: Option<f64>,
    deviation: f64,
}

impl Gcc {
    /// A fresh one.
    #[must_use]
    pub fn new(brief: &Brief) -> Self {
        let start = f64::from(brief.limits.bitrate_bps_start);
        Self {
            limits: (f64::from(brief.limits.bitrate_bps_min), f64::from(brief.limits.bitrate_bps_max)),
            delay_bps: start * PROBE_FIRST,
            loss_bps: start * PROBE_FIRST,
            trend: Trend::new(),
            capacity: Capacity { kbps: None, deviation: 0.4 },
            state: State::Hold,
            stepped: Instant::ZERO,
            changed: Instant::ZERO,
            arrivals: VecDeque::new(),
            counted: (0, 0),
            judged: Instant::ZERO,
            probe: Some(Instant::ZERO),
            rtt_s: 0.1,
        }
    }

    fn rate_bps(&self) -> f64 {
        self.delay_bps.min(self.loss_bps).clamp(self.limits.0, self.limits.1)
    }

    fn acked_bps(&self) -> Option<f64> {
        let (first, last) = (self.arrivals.front()?, self.arrivals.back()?);
        let span = last.0.saturating_sub(first.0);
        let bytes: u64 = self.arrivals.iter().skip(1).map(|one| one.1).sum();
        (span >= ACKED_US / 2).then(|| bytes as f64 * 8e6 / span as f64)
    }

    /// Pictures at a multiple of the first rate stand for the probes that libWebRTC starts with.
    fn probe(&mut self, now: Instant, acked: Option<f64>) {
        let Some(since) = self.probe else { return };
        let settle_us = (self.rtt_s * 1e6) as u64 + ACKED_US;
        let rate = self.rate_bps();
        if since == Instant::ZERO {
            self.probe = Some(now);
        } else if self.trend.usage == Usage::Over {
            self.probe = None;
        } else if now.micros_since(since) > settle_us {
            let passed = acked.is_some_and(|acked| acked > PROBE_ARRIVES * rate);
            let next = (PROBE_NEXT * rate).min(self.limits.1);
            self.probe = (passed && next > rate).then_some(now);
            if self.probe.is_some() {
                (self.delay_bps, self.loss_bps) = (next, next);
            }
        }
    }

    /// §5.5, with the remembered capacity.
    fn control(&mut self, now: Instant, acked: Option<f64>) {
        let elapsed_s = (now.micros_since(self.stepped) as f64 / 1e6).min(1.0);
        self.stepped = now;
        match self.trend.usage {
            Usage::Over => self.state = State::Decrease,
            Usage::Under => self.state = State::Hold,
            Usage::Normal if self.state == State::Hold => self.state = State::Increase,
            Usage::Normal => {}
        }
        let Some(acked) = acked else { return };
        match self.state {
            State::Hold => {}
            State::Increase => {
                if self.capacity.exceeded(acked) {
                    self.capacity.kbps = None;
                }
                let most = 1.5 * acked + 10_000.0;
                let step = if self.capacity.kbps.is_some() {
                    self.near_bps_s() * elapsed_s
                } else {
                    let growth = LN_GROWTH * elapsed_s;
                    (self.delay_bps * (growth + growth * growth / 2.0)).max(1000.0 * elapsed_s)
                };
                self.delay_bps = (self.delay_bps + step).min(most).max(self.delay_bps);
            }
            State::Decrease => {
                let wait_s = self.rtt_s.clamp(0.01, 0.2);
                let due =
                    now.micros_since(self.changed) as f64 / 1e6 >= wait_s || acked < self.delay_bps / 2.0;
                if due {
                    let mut cut = BETA * acked;
                    if let (true, Some(kbps)) = (cut > self.delay_bps, self.capacity.kbps) {
                        cut = BETA * kbps * 1000.0;
                    }
                    self.delay_bps = self.delay_bps.min(cut);
                    self.capacity.on_overuse(acked);
                    self.changed = now;
                }
                self.state = State::Hold;
            }
        }
        self.delay_bps = self.delay_bps.clamp(self.limits.0, self.limits.1);
    }

    /// One packet in the time of a response (§5.5), in bit/s².
    fn near_bps_s(&self) -> f64 {
        let frame = self.delay_bps / 8.0 / 30.0;
        let packets = (frame / 1200.0).ceil().max(1.0);
        (frame / packets * 8.0 / (self.rtt_s + RESPONSE_S)).max(NEAR_BPS_S_MIN)
    }

    /// §6: a second without loss lets grow, much loss cuts.
    fn judge_loss(&mut self, now: Instant) {
        if now.micros_since(self.judged) < LOSS_US {
            return;
        }
        self.judged = now;
        let (packets, lost) = core::mem::take(&mut self.counted);
        let share = lost as f64 / packets.max(1) as f64;
        if share < LOSS_LOW {
            self.loss_bps = (self.rate_bps() * 1.08 + 1000.0).max(self.loss_bps.min(self.delay_bps));
        } else if share > LOSS_HIGH {
            self.loss_bps = self.rate_bps() * (1.0 - 0.5 * share);
        }
        self.loss_bps = self.loss_bps.clamp(self.limits.0, self.limits.1);
    }
}

impl Trend {
    const fn new() -> Self {
        Self {
            group: None,
            before: None,
            first_at_us: 0,
            points: VecDeque::new(),
            deltas: 0,
            accumulated_ms: 0.0,
            smoothed_ms: 0.0,
            slope_before: 0.0,
            threshold_ms: THRESHOLD_MS,
            updated_us: 0,
            over_ms: None,
            over_count: 0,
            usage: Usage::Normal,
        }
    }

    /// Groups what left together, and what came together because it had waited (§5.2).
    fn on_packet(&mut self, sent_us: u64, at_us: u64) {
        let fresh = Group { first_sent_us: sent_us, sent_us, first_at_us: at_us, at_us };
        let Some(group) = &mut self.group else {
            (self.group, self.first_at_us) = (Some(fresh), at_us);
            return;
        };
        let since_us = at_us.saturating_sub(group.at_us);
        let variation = since_us.cast_signed() - sent_us.saturating_sub(group.sent_us).cast_signed();
        let bunched =
            since_us <= BURST_US && variation < 0 && at_us.saturating_sub(group.first_at_us) < 100_000;
        if sent_us.saturating_sub(group.first_sent_us) <= BURST_US || bunched {
            group.sent_us = group.sent_us.max(sent_us);
            group.at_us = group.at_us.max(at_us);
            return;
        }
        let ended = core::mem::replace(group, fresh);
        if let Some(before) = self.before.replace(ended) {
            let sent_ms = ended.sent_us.saturating_sub(before.sent_us) as f64 / 1000.0;
            let at_ms = (ended.at_us as f64 - before.at_us as f64) / 1000.0;
            self.on_group(sent_ms, at_ms - sent_ms, ended.at_us);
        }
    }

    fn on_group(&mut self, sent_ms: f64, delta_ms: f64, at_us: u64) {
        self.deltas = (self.deltas + 1).min(1000);
        self.accumulated_ms += delta_ms;
        self.smoothed_ms = SMOOTHING * self.smoothed_ms + (1.0 - SMOOTHING) * self.accumulated_ms;
        self.points.push_back((at_us.saturating_sub(self.first_at_us) as f64 / 1000.0, self.smoothed_ms));
        if self.points.len() > WINDOW {
            self.points.pop_front();
        }
        let slope = if self.points.len() == WINDOW { self.slope() } else { self.slope_before };
        self.detect(slope, sent_ms, at_us);
    }

    fn slope(&self) -> f64 {
        let count = self.points.len() as f64;
        let (x, y) = self.points.iter().fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let (x, y) = (x / count, y / count);
        let (top, bottom) = self.points.iter().fold((0.0, 0.0), |sum, one| {
            (sum.0 + (one.0 - x) * (one.1 - y), sum.1 + (one.0 - x) * (one.0 - x))
        });
        if bottom > 0.0 { top / bottom } else { self.slope_before }
    }

    /// §5.4.
    fn detect(&mut self, slope: f64, sent_ms: f64, at_us: u64) {
        let scaled = f64::from(self.deltas.min(DELTAS_MAX)) * slope * GAIN;
        if self.deltas < 2 {
            self.usage = Usage::Normal;
        } else if scaled > self.threshold_ms {
            let over_ms = self.over_ms.map_or(sent_ms / 2.0, |over| over + sent_ms);
            self.over_ms = Some(over_ms);
            self.over_count += 1;
            if over_ms > OVERUSE_MS && self.over_count > 1 && slope >= self.slope_before {
                (self.over_ms, self.over_count, self.usage) = (Some(0.0), 0, Usage::Over);
            }
        } else {
            (self.over_ms, self.over_count) = (None, 0);
            self.usage = if scaled < -self.threshold_ms { Usage::Under } else { Usage::Normal };
        }
        self.slope_before = slope;
        let elapsed_ms = (at_us.saturating_sub(self.updated_us) as f64 / 1000.0).min(100.0);
        self.updated_us = at_us;
        let excess = scaled.abs() - self.threshold_ms;
        if excess <= OUTLIER_MS {
            let gain = if excess < 0.0 { K_DOWN } else { K_UP };
            let moved = self.threshold_ms + gain * excess * elapsed_ms;
            self.threshold_ms = moved.clamp(THRESHOLD_MS_MIN, THRESHOLD_MS_MAX);
        }
    }
}

impl Capacity {
    fn bound(&self, deviations: f64) -> Option<f64> {
        self.kbps.map(|kbps| kbps + deviations * (self.deviation * kbps).sqrt())
    }

    fn exceeded(&self, acked_bps: f64) -> bool {
        self.bound(3.0).is_some_and(|most| acked_bps / 1000.0 > most)
    }

    fn on_overuse(&mut self, acked_bps: f64) {
        let kbps = acked_bps / 1000.0;
        if self.bound(-3.0).is_some_and(|least| kbps < least) {
            self.kbps = None;
        }
        let mean = self.kbps.map_or(kbps, |mean| 0.95 * mean + 0.05 * kbps);
        let error = mean - kbps;
        self.deviation = (0.95 * self.deviation + 0.05 * error * error / mean.max(1.0)).clamp(0.4, 2.5);
        self.kbps = Some(mean);
    }
}

impl Controller for Gcc {
    fn on_sent(&mut self, _now: Instant, _bytes: usize) {}

    fn on_feedback(&mut self, now: Instant, rtt_us: u32, reports: &[PacketReport]) {
        self.rtt_s = f64::from(rtt_us) / 1e6;
        let mut over = false;
        for report in reports {
            self.counted.0 += 1;
            let Outcome::Arrived { at_us, .. } = report.outcome else {
                self.counted.1 += 1;
                continue;
            };
            self.arrivals.push_back((at_us, u64::from(report.bytes)));
            self.trend.on_packet(report.sent_at.as_micros(), at_us);
            over |= self.trend.usage == Usage::Over;
        }
        if over {
            self.trend.usage = Usage::Over;
        }
        let newest = self.arrivals.back().map_or(0, |one| one.0);
        while self.arrivals.front().is_some_and(|one| newest.saturating_sub(one.0) > ACKED_US) {
            self.arrivals.pop_front();
        }
        let acked = self.acked_bps();
        self.probe(now, acked);
        self.control(now, acked);
        self.judge_loss(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn grant(&self) -> Grant {
        Grant { total_bps: self.rate_bps() as u64, media_bps: None, pace_permille: 1500 }
    }

    fn sendable_bytes(&self, _now: Instant) -> usize {
        usize::MAX
    }

    fn ecn(&self) -> Ecn {
        Ecn::NotEct
    }

    fn describe(&self) -> String {
        format!(
            "{:?} threshold {:.1} ms, capacity {:?} kbit/s, loss allows {:.0}",
            self.state, self.trend.threshold_ms, self.capacity.kbps, self.loss_bps
        )
    }
}
