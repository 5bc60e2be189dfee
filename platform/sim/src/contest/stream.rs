//! Cross traffic: byte streams under NewReno, CUBIC or BBR.
//!
//! Segments are acknowledged one by one and lost ones are not repeated: only what the stream does to the queue
//! matters here. Slow start ends as HyStart++ does (RFC 9406), and segments are paced (RFC 9002 §7.7). Losses are found as RFC 9002 does, by three later acknowledgements or by a timeout.

use std::collections::VecDeque;

use rift::{Ecn, Instant};

use super::wire::{self, Kind};
use crate::packet::{NodeId, Packet};
use crate::random::Random;

/// Bytes of a full segment on top of IP and UDP, which stand for TCP's headers.
const SEGMENT: usize = 1_460;
/// Bytes of an acknowledgement.
const ACKNOWLEDGEMENT: usize = 24;
/// Segments that may leave at first (RFC 6928).
const WINDOW_START: f64 = 10.0;
const WINDOW_MIN: f64 = 2.0;
/// Later acknowledgements that make a segment lost (RFC 9002 §6.1.1).
const REORDER: u64 = 3;
/// Least timeout, in µs (RFC 6298 asks for a second; systems use this).
const TIMEOUT_US_MIN: u64 = 200_000;

/// How a stream fills the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Halves on loss, grows by a segment a round trip (RFC 9002 §7).
    NewReno,
    /// A cubic of the time since the last loss (RFC 9438).
    Cubic,
    /// Rate and round trip instead of loss (Cardwell et al., CACM 2017; version 1).
    Bbr,
}

/// What a stream has to send.
#[derive(Clone, Debug)]
pub(super) enum Supply {
    /// Everything there is room for, from … until … µs on its own clock.
    Bulk(u64, u64),
    /// Files of 100 to 1000 kB with pauses of 10 s on average between them (RFC 8867 §5.7), until … µs.
    Files { left: u64, next_us: u64, until_us: u64, pause_us: u64 },
}

/// Sends segments.
#[derive(Debug)]
pub(super) struct StreamSender {
    pub(super) to: NodeId,
    supply: Supply,
    window: Window,
    random: Random,
    sent: VecDeque<(u64, Instant, bool, u64)>,
    next: u64,
    in_flight: u64,
    delivered: u64,
    recovery_until: u64,
    srtt_us: u64,
    heard: Instant,
    pace_at: Instant,
}

impl StreamSender {
    pub(super) fn new(algorithm: Algorithm, supply: Supply, random: Random) -> Self {
        Self {
            to: NodeId::default(),
            supply,
            window: Window::new(algorithm),
            random,
            sent: VecDeque::new(),
            next: 0,
            in_flight: 0,
            delivered: 0,
            recovery_until: 0,
            srtt_us: 0,
            heard: Instant::ZERO,
            pace_at: Instant::ZERO,
        }
    }

    pub(super) fn handle_wake(&mut self, now: Instant) {
        if let Supply::Files { left, next_us, until_us, .. } = &mut self.supply
            && *left == 0
            && *next_us <= now.as_micros()
            && now.as_micros() < *until_us
        {
            *left = (100_000 + self.random.below(900_001)) / SEGMENT as u64 + 1;
            *next_us = u64::MAX;
        }
        if self.in_flight > 0 && now >= self.timeout_at() {
            self.sent.clear();
            self.in_flight = 0;
            self.heard = now;
            self.window.on_timeout();
        }
    }

    pub(super) fn next_wake(&self, now: Instant) -> Option<Instant> {
        let supply = match self.supply {
            Supply::Bulk(from, _) if from > now.as_micros() => Some(Instant::from_micros(from)),
            Supply::Files { left: 0, next_us, until_us, .. } if next_us < until_us => {
                Some(Instant::from_micros(next_us))
            }
            Supply::Bulk(..) | Supply::Files { .. } => None,
        };
        let timeout = (self.in_flight > 0).then(|| self.timeout_at());
        let pace = (self.has_more(now) && self.in_flight < self.window.segments() && self.pace_at > now)
            .then_some(self.pace_at);
        [supply, timeout, pace].into_iter().flatten().min()
    }

    pub(super) fn poll_packet(&mut self, now: Instant, packet: &mut Packet) -> bool {
        if !self.has_more(now) || self.in_flight >= self.window.segments() || self.pace_at > now {
            return false;
        }
        if self.in_flight == 0 {
            self.heard = now;
        }
        wire::write_segment(Kind::Segment, self.next, SEGMENT, &mut packet.bytes);
        packet.ecn = Ecn::NotEct;
        packet.to = self.to;
        self.sent.push_back((self.next, now, false, self.delivered));
        self.next += 1;
        self.in_flight += 1;
        if let Supply::Files { left, next_us, pause_us, .. } = &mut self.supply {
            *left -= 1;
            if *left == 0 {
                // The mean of three uniform draws stands in for the exponential pause.
                let pause = (0..3).map(|_| self.random.below(2 * *pause_us)).sum::<u64>() / 3;
                *next_us = now.as_micros() + pause;
            }
        }
        if let Some(bps) = self.window.pace_bps(self.srtt_us) {
            let step = SEGMENT as u64 * 8_000_000 / bps.max(10_000);
            self.pace_at =
                Instant::from_micros(self.pace_at.as_micros().max(now.as_micros())).plus_micros(step);
        }
        true
    }

    pub(super) fn handle_acknowledgement(&mut self, now: Instant, number: u64) {
        self.heard = now;
        let Some(first) = self.sent.front().map(|one| one.0) else { return };
        let Some(index) = number.checked_sub(first).and_then(|index| usize::try_from(index).ok()) else {
            return;
        };
        let Some(one) = self.sent.get_mut(index).filter(|one| !one.2) else { return };
        one.2 = true;
        let (_, at, _, delivered_then) = *one;
        self.in_flight -= 1;
        self.delivered += 1;
        let rtt_us = now.micros_since(at).max(1);
        self.srtt_us = if self.srtt_us == 0 { rtt_us } else { (self.srtt_us * 7 + rtt_us) / 8 };
        let rate = (self.delivered - delivered_then) * SEGMENT as u64 * 8_000_000 / rtt_us;
        let slow = number < self.recovery_until;
        self.window.on_acknowledged(now, rtt_us, self.srtt_us, rate, slow, self.in_flight);
        let mut lost = false;
        while let Some(&(oldest, _, acknowledged, _)) = self.sent.front() {
            if !acknowledged && oldest + REORDER > number {
                break;
            }
            self.sent.pop_front();
            if !acknowledged {
                self.in_flight -= 1;
                lost |= oldest >= self.recovery_until;
            }
        }
        if lost {
            self.recovery_until = self.next;
            self.window.on_loss(now);
        }
    }

    fn has_more(&self, now: Instant) -> bool {
        match self.supply {
            Supply::Bulk(from, until) => (from..until).contains(&now.as_micros()),
            Supply::Files { left, .. } => left > 0,
        }
    }

    fn timeout_at(&self) -> Instant {
        self.heard.plus_micros((3 * self.srtt_us).max(TIMEOUT_US_MIN))
    }
}

/// Acknowledges segments at once.
#[derive(Debug, Default)]
pub(super) struct StreamReceiver {
    pub(super) to: NodeId,
    untold: VecDeque<u64>,
}

impl StreamReceiver {
    pub(super) fn handle_segment(&mut self, packet: &Packet) {
        self.untold.extend(wire::read_segment(&packet.bytes));
    }

    pub(super) fn poll_packet(&mut self, packet: &mut Packet) -> bool {
        let Some(number) = self.untold.pop_front() else { return false };
        wire::write_segment(Kind::Acknowledgement, number, ACKNOWLEDGEMENT, &mut packet.bytes);
        packet.to = self.to;
        true
    }
}

/// The window of a stream, in segments.
#[derive(Debug)]
struct Window {
    algorithm: Algorithm,
    segments: f64,
    threshold: f64,
    start: Start,
    cubic: Cubic,
    bbr: Bbr,
}

/// HyStart++ (RFC 9406 §4): slow start that slows down when round trips grow, and ends five rounds later.
#[derive(Debug)]
struct Start {
    round_ends: Instant,
    least_us: u64,
    before_us: u64,
    samples: u32,
    /// Least round trip when it slowed down, and rounds since.
    slowed: Option<(u64, u32)>,
}

#[derive(Debug, Default)]
struct Cubic {
    epoch: Option<Instant>,
    window_max: f64,
    inflection_s: f64,
}

#[derive(Debug)]
struct Bbr {
    /// Largest delivery rate of each of the last ten rounds, bit/s.
    rates: [u64; 10],
    round_ends: Instant,
    rtt_us_min: u64,
    rtt_seen: Instant,
    phase: usize,
    filled: bool,
    full_bps: u64,
    full_rounds: u32,
    probing_until: Option<Instant>,
}

/// Scale of the cubic and its decrease (RFC 9438 §4.1, §4.6).
const CUBIC_C: f64 = 0.4;
const CUBIC_BETA: f64 = 0.7;
/// Gains of BBR's eight phases, and of its start.
const BBR_GAINS: [f64; 8] = [1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
const BBR_START: f64 = 2.885;

impl Window {
    const fn new(algorithm: Algorithm) -> Self {
        Self {
            algorithm,
            segments: WINDOW_START,
            threshold: f64::MAX,
            start: Start {
                round_ends: Instant::ZERO,
                least_us: u64::MAX,
                before_us: u64::MAX,
                samples: 0,
                slowed: None,
            },
            cubic: Cubic { epoch: None, window_max: 0.0, inflection_s: 0.0 },
            bbr: Bbr {
                rates: [0; 10],
                round_ends: Instant::ZERO,
                rtt_us_min: u64::MAX,
                rtt_seen: Instant::ZERO,
                phase: 0,
                filled: false,
                full_bps: 0,
                full_rounds: 0,
                probing_until: None,
            },
        }
    }

    fn segments(&self) -> u64 {
        self.segments as u64
    }

    fn pace_bps(&self, srtt_us: u64) -> Option<u64> {
        if self.algorithm == Algorithm::Bbr {
            let bps = self.bbr.bandwidth();
            return (bps > 0).then(|| (bps as f64 * self.bbr.gain()) as u64);
        }
        let gain = if self.segments < self.threshold { 2.0 } else { 1.25 };
        let bits = self.segments * SEGMENT as f64 * 8.0 * gain;
        (srtt_us > 0).then(|| (bits * 1e6 / srtt_us as f64) as u64)
    }

    fn on_acknowledged(
        &mut self,
        now: Instant,
        rtt: u64,
        srtt: u64,
        rate: u64,
        recovers: bool,
        in_flight: u64,
    ) {
        if self.algorithm == Algorithm::Bbr {
            self.segments = self.bbr.on_acknowledged(now, rtt, rate, in_flight);
            return;
        }
        if recovers || (in_flight as f64) < self.segments / 2.0 {
            return;
        }
        if self.segments < self.threshold {
            self.segments += self.start.step(now, rtt);
            if self.start.is_over() {
                self.threshold = self.segments;
            }
        } else if self.algorithm == Algorithm::NewReno {
            self.segments += 1.0 / self.segments;
        } else {
            self.segments += self.cubic.step(now, srtt, self.segments);
        }
    }

    fn on_loss(&mut self, now: Instant) {
        match self.algorithm {
            Algorithm::Bbr => return,
            Algorithm::NewReno => self.segments /= 2.0,
            Algorithm::Cubic => {
                let before = self.cubic.window_max;
                let faster = self.segments < before;
                let cubic = &mut self.cubic;
                cubic.window_max =
                    if faster { self.segments * (1.0 + CUBIC_BETA) / 2.0 } else { self.segments };
                cubic.epoch = Some(now);
                cubic.inflection_s = cube_root(cubic.window_max * (1.0 - CUBIC_BETA) / CUBIC_C);
                self.segments *= CUBIC_BETA;
            }
        }
        self.segments = self.segments.max(WINDOW_MIN);
        self.threshold = self.segments;
    }

    fn on_timeout(&mut self) {
        self.threshold = (self.segments / 2.0).max(WINDOW_MIN);
        self.segments = WINDOW_MIN;
        self.cubic.epoch = None;
    }
}

impl Start {
    /// What one acknowledgement adds.
    fn step(&mut self, now: Instant, rtt_us: u64) -> f64 {
        if now >= self.round_ends {
            self.round_ends = now.plus_micros(rtt_us);
            (self.before_us, self.least_us, self.samples) = (self.least_us, u64::MAX, 0);
            if let Some((_, rounds)) = &mut self.slowed {
                *rounds += 1;
            }
        }
        self.least_us = self.least_us.min(rtt_us);
        self.samples += 1;
        let full = self.samples >= 8 && self.before_us < u64::MAX;
        match self.slowed {
            None if full && self.least_us >= self.before_us + (self.before_us / 8).clamp(4_000, 16_000) => {
                self.slowed = Some((self.least_us, 0));
            }
            Some((least_us, _)) if full && self.least_us < least_us => self.slowed = None,
            None | Some(_) => {}
        }
        if self.slowed.is_some() { 0.25 } else { 1.0 }
    }

    const fn is_over(&self) -> bool {
        matches!(self.slowed, Some((_, 5..)))
    }
}

impl Cubic {
    /// What one acknowledgement adds: towards the cubic, or as fast as NewReno would be (RFC 9438 §4.3).
    fn step(&mut self, now: Instant, srtt_us: u64, segments: f64) -> f64 {
        let epoch = *self.epoch.get_or_insert_with(|| {
            self.window_max = segments;
            self.inflection_s = 0.0;
            now
        });
        let elapsed_s = (now.micros_since(epoch) + srtt_us) as f64 / 1e6;
        let from = elapsed_s - self.inflection_s;
        let target = (CUBIC_C * from * from * from + self.window_max).clamp(segments, 1.5 * segments);
        let friendly = 3.0 * (1.0 - CUBIC_BETA) / (1.0 + CUBIC_BETA) / segments;
        ((target - segments) / segments).max(friendly)
    }
}

impl Bbr {
    fn bandwidth(&self) -> u64 {
        self.rates.iter().copied().max().unwrap_or(0)
    }

    fn gain(&self) -> f64 {
        if self.filled { BBR_GAINS[self.phase] } else { BBR_START }
    }

    fn on_acknowledged(&mut self, now: Instant, rtt_us: u64, rate_bps: u64, in_flight: u64) -> f64 {
        if rtt_us <= self.rtt_us_min {
            (self.rtt_us_min, self.rtt_seen) = (rtt_us, now);
        }
        self.rates[0] = self.rates[0].max(rate_bps);
        if now >= self.round_ends {
            self.end_round(now);
        }
        // The least round trip is looked for anew every ten seconds, with all but four segments held back.
        if now.micros_since(self.rtt_seen) > 10_000_000 {
            self.probing_until = Some(now.plus_micros(200_000));
            (self.rtt_us_min, self.rtt_seen) = (rtt_us, now);
        }
        if let Some(until) = self.probing_until {
            if now < until || in_flight > 4 && now < until.plus_micros(200_000) {
                return 4.0;
            }
            self.probing_until = None;
        }
        let product = self.bandwidth() as f64 / 8e6 * self.rtt_us_min as f64 / SEGMENT as f64;
        (product * if self.filled { 2.0 } else { BBR_START }).max(WINDOW_START)
    }

    fn end_round(&mut self, now: Instant) {
        self.round_ends = now.plus_micros(self.rtt_us_min);
        if !self.filled {
            if self.bandwidth() > self.full_bps / 4 * 5 {
                (self.full_bps, self.full_rounds) = (self.bandwidth(), 0);
            } else {
                self.full_rounds += 1;
                // Three rounds without a quarter more: full. The phase that drains comes first.
                (self.filled, self.phase) = (self.full_rounds >= 3, 1);
            }
        } else {
            self.phase = (self.phase + 1) % BBR_GAINS.len();
        }
        self.rates.rotate_right(1);
        self.rates[0] = 0;
    }
}

/// Newton's iteration: the same on every machine.
fn cube_root(value: f64) -> f64 {
    let mut root = if value > 1.0 { value / 3.0 } else { 1.0 };
    for _ in 0..40 {
        root = (2.0 * root + value / (root * root)) / 3.0;
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cube_roots_are_right() {
        for value in [0.001, 0.3, 8.0, 1e6] {
            let root = cube_root(value);
            assert!((root * root * root - value).abs() < 1e-6 * value.max(1.0), "{value}: {root}");
        }
    }

    #[test]
    fn cubic_is_back_at_its_window_by_the_inflection_time() {
        // RFC 9438 §4.2: K = cbrt(W_max (1 - beta) / C); at this round trip its floor, NewReno's pace, is faster.
        let mut window = Window::new(Algorithm::Cubic);
        (window.segments, window.threshold) = (100.0, 0.0);
        window.on_loss(Instant::ZERO);
        assert!((window.segments - 70.0).abs() < 1e-9 && (window.cubic.inflection_s - 4.217).abs() < 0.001);
        let mut at = 0;
        while window.segments < 99.0 {
            at += 1000;
            window.on_acknowledged(Instant::from_micros(at), 50_000, 50_000, 0, false, 1_000);
        }
        assert!((2_500_000..4_300_000).contains(&at), "after {at} us");
    }
}
