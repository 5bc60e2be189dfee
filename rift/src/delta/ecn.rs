//! Marks (RFC 3168, RFC 9331): how much of what is sent meets a queue, long before delay shows one.

use super::signals::Signals;
use crate::time::Instant;

/// Share of the estimate a new round has: 1 / 16 (RFC 8257 §3.3).
const ALPHA_SHIFT: u64 = 4;
/// The estimate before the first round, in thousandths: a path that starts to mark is neither trusted nor feared.
const ALPHA_START_PERMILLE: u64 = 300;
/// For how long a path that marked is taken to be one that does, in µs.
const FRESH_US: u64 = 10_000_000;

/// The estimate of DCTCP (RFC 8257 §3.3), as RFC 9331 §4 asks of a scalable sender.
#[derive(Clone, Debug)]
pub(super) struct Marks {
    alpha_permille: u64,
    round_ends: Instant,
    arrived: u64,
    marked: u64,
    seen: Option<Instant>,
}

impl Marks {
    pub(super) const fn new() -> Self {
        Self {
            alpha_permille: ALPHA_START_PERMILLE,
            round_ends: Instant::ZERO,
            arrived: 0,
            marked: 0,
            seen: None,
        }
    }

    /// Counts; once a round trip the smoothed share of marked packets, in thousandths, if any was marked in it.
    pub(super) fn step(&mut self, now: Instant, signals: &Signals) -> Option<u64> {
        self.arrived += signals.arrived;
        self.marked += signals.marked;
        if signals.marked > 0 {
            self.seen = Some(now);
        }
        if now < self.round_ends || self.arrived == 0 {
            return None;
        }
        let share = self.marked * 1000 / self.arrived;
        let marked = self.marked > 0;
        self.alpha_permille =
            self.alpha_permille - (self.alpha_permille >> ALPHA_SHIFT) + (share >> ALPHA_SHIFT);
        self.round_ends = now.plus_micros(signals.rtt_us);
        (self.arrived, self.marked) = (0, 0);
        marked.then_some(self.alpha_permille)
    }

    /// Whether the path marked lately.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        self.seen.is_some_and(|seen| now.micros_since(seen) < FRESH_US)
    }
}
