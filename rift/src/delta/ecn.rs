//! Marks (RFC 3168, RFC 9331): how much of what is sent meets a queue, long before delay shows one.

use super::signals::Signals;
use crate::time::Instant;

/// Share of the estimate a new round has: 1 / 16 (RFC 8257 §3.3).
const ALPHA_SHIFT: u64 = 4;
/// The estimate before the first round, in parts per million: a path that starts to mark is neither trusted nor feared.
const ALPHA_START_PPM: u64 = 300_000;
/// The round trip a cut by half the estimate is meant for, in µs: who has a longer one cuts less often, so deeper.
const NOMINAL_US: u64 = 100_000;
/// The deepest cut, in parts per million of the rate.
const CUT_PPM_MAX: u64 = 500_000;
/// Growth between marks, in bit/s²: a packet a virtual round trip of 50 ms, whatever the rate and the round trip are.
const GROWTH_BPS_S: u64 = 3_840_000;
/// The most that may be, in thousandths of the rate a second: paths of a few Mbit/s are filled by a packet.
const GROWTH_PER_S_MAX: u64 = 700;
/// Beyond the rate that was marked last there may be room: there growth quickens by this much a second each second, up
/// to so much.
const BEYOND_GAIN_PER_S: u64 = 800;
const BEYOND_PER_S_MAX: u64 = 2_000;
/// For how long a path that marked is taken to be one that does, in µs.
const FRESH_US: u64 = 10_000_000;

/// The estimate of DCTCP (RFC 8257 §3.3), as RFC 9331 §4 asks of a scalable sender.
#[derive(Clone, Debug)]
pub(super) struct Marks {
    alpha_ppm: u64,
    round_ends: Instant,
    arrived: u64,
    marked: u64,
    seen: Option<Instant>,
    /// The rate that was marked last, and since when it is exceeded.
    top_bps: u64,
    beyond: Option<Instant>,
}

impl Marks {
    pub(super) const fn new() -> Self {
        Self {
            alpha_ppm: ALPHA_START_PPM,
            round_ends: Instant::ZERO,
            arrived: 0,
            marked: 0,
            seen: None,
            top_bps: 0,
            beyond: None,
        }
    }

    /// Counts; once a round trip what to take from `rate_bps`, in parts per million, if any packet was marked in it.
    pub(super) fn step(&mut self, now: Instant, rate_bps: u64, signals: &Signals) -> Option<u64> {
        self.arrived += signals.arrived;
        self.marked += signals.marked;
        if signals.marked > 0 {
            // Marks that follow each other are of one queue: the rate that built it was the first's.
            let first = self.seen.is_none_or(|seen| now.micros_since(seen) > 2 * signals.rtt_us);
            if first || rate_bps > self.top_bps {
                self.top_bps = rate_bps;
            }
            (self.seen, self.beyond) = (Some(now), None);
        }
        if now < self.round_ends || self.arrived == 0 {
            return None;
        }
        let share = self.marked * 1_000_000 / self.arrived;
        let marked = self.marked > 0;
        self.alpha_ppm = self.alpha_ppm - (self.alpha_ppm >> ALPHA_SHIFT) + (share >> ALPHA_SHIFT);
        self.round_ends = now.plus_micros(signals.rtt_us);
        (self.arrived, self.marked) = (0, 0);
        let round_us = signals.rtt_us.max(NOMINAL_US / 4);
        marked.then(|| (self.alpha_ppm / 2 * round_us / NOMINAL_US).min(CUT_PPM_MAX))
    }

    /// Whether the path marked lately.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        self.seen.is_some_and(|seen| now.micros_since(seen) < FRESH_US)
    }

    /// Growth of `rate_bps` between marks, in bit/s a second.
    pub(super) fn growth_bps_s(&mut self, now: Instant, rate_bps: u64) -> u64 {
        let usual_bps_s = GROWTH_BPS_S.min(rate_bps * GROWTH_PER_S_MAX / 1000);
        if rate_bps < self.top_bps {
            self.beyond = None;
            return usual_bps_s;
        }
        let beyond_us = now.micros_since(*self.beyond.get_or_insert(now));
        let quick_per_s = (beyond_us.min(10_000_000) * BEYOND_GAIN_PER_S / 1_000_000).min(BEYOND_PER_S_MAX);
        usual_bps_s.max(rate_bps * quick_per_s / 1000)
    }
}
