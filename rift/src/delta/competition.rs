//! Streams that fill every queue: when to stop yielding to them, how to share, and when to yield again.
//!
//! A queue that is not ours shows in that everything we send arrives, however little, and the queue stands or grows: the
//! longer it is, the sooner that is believed. Against such company a sender that heeds delay is left with nothing. While
//! it lasts, loss alone is heeded, with a growth and a cut near those of CUBIC (RFC 9438); once the queue is seen short
//! again, delay is.

use crate::time::Instant;

/// A queue this long counts in full, in µs, and is worth competing for.
pub(super) const QUEUE_US_MIN: u64 = 50_000;
/// What flows like us may let stand together, in bits: a shorter queue than that of half the rate is theirs.
const STANDS_BITS: u64 = 80_000;
/// The least of that, in µs.
const STANDS_US_MIN: u64 = 8_000;
/// The queue times the time for which half the rate was given up in vain, in µs times s: 0.8 s of [`QUEUE_US_MIN`].
const VAIN: u64 = 40_000;
/// After so long without a queue what was carried before it is forgotten, in µs: a cubic window stands still for almost as
/// long between two of its losses.
const FORGET_US: u64 = 6_000_000;
/// Growth while competing, in thousandths a second.
const GROWTH_PER_S: u64 = 40;
/// What a loss leaves, in thousandths.
const CUT_PERMILLE: u64 = 750;
/// The same until the first loss.
const START_PER_S: u64 = 500;
/// A queue that moves by less than this in [`STILL_US`] is none: the path became longer, in µs.
const STILL_QUEUE_US: u64 = 3_000;
const STILL_US: u64 = 3_000_000;

/// Whether somebody else keeps the queue full.
#[derive(Clone, Debug)]
pub(super) struct Competition {
    /// What was carried before there was a queue; 0 when there was none lately.
    before_bps: u64,
    /// When a queue was last seen.
    stood: Instant,
    /// What was given up in vain; see [`VAIN`].
    vain: u64,
    competes: bool,
    starting: bool,
    cut: Instant,
    /// Least and largest queue since then.
    span: (u64, u64),
    span_since: Instant,
}

/// What to do while competing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contest {
    /// Use this rate.
    Rate(u64),
    /// The queue is short: heed delay again.
    Over,
    /// The queue never moved: it is the path.
    Still,
}

impl Competition {
    pub(super) const fn new() -> Self {
        Self {
            before_bps: 0,
            stood: Instant::ZERO,
            vain: 0,
            competes: false,
            starting: false,
            cut: Instant::ZERO,
            span: (0, 0),
            span_since: Instant::ZERO,
        }
    }

    pub(super) const fn competes(&self) -> bool {
        self.competes
    }

    /// Congestion begins while so much is carried.
    pub(super) fn on_congestion(&mut self, now: Instant, carried_bps: u64) {
        self.before_bps = self.before_bps.max(carried_bps);
        self.stood = now;
    }

    /// Looks at the queue before anything else is decided. Once a contest begins, with what rate: half of what
    /// was carried before. That half and a second empty any queue of our own, unless the path itself carries less than what is sent.
    pub(super) fn begins(
        &mut self,
        now: Instant,
        (rate_bps, delivered_bps): (u64, u64),
        (floor_us, elapsed_us): (u64, u64),
        drains: bool,
    ) -> Option<u64> {
        let half_bps = self.before_bps / 2;
        let stands_us = (STANDS_BITS * 1_000_000 / half_bps.max(1)).clamp(STANDS_US_MIN, QUEUE_US_MIN);
        if floor_us >= stands_us {
            self.stood = now;
        } else if now.micros_since(self.stood) > FORGET_US {
            self.before_bps = 0;
        }
        if rate_bps > half_bps || floor_us < stands_us || delivered_bps < rate_bps / 2 {
            self.vain = 0;
            return None;
        }
        self.vain += floor_us.min(QUEUE_US_MIN) * elapsed_us / 1_000_000;
        if drains || self.vain < VAIN {
            return None;
        }
        self.vain = 0;
        (self.competes, self.starting) = (true, true);
        (self.cut, self.span_since, self.span) = (now, now, (u64::MAX, 0));
        Some(half_bps)
    }

    /// One step of the contest at `rate_bps`.
    pub(super) fn step(
        &mut self,
        now: Instant,
        (rate_bps, elapsed_us, rtt_us): (u64, u64, u64),
        (queue_us, short_us): (u64, u64),
        lost: bool,
        limited: bool,
    ) -> Contest {
        self.stood = now;
        if queue_us <= short_us {
            self.competes = false;
            return Contest::Over;
        }
        self.span = (self.span.0.min(queue_us), self.span.1.max(queue_us));
        if now.micros_since(self.span_since) > STILL_US {
            if self.span.1 - self.span.0 < STILL_QUEUE_US {
                self.competes = false;
                return Contest::Still;
            }
            (self.span_since, self.span) = (now, (queue_us, queue_us));
        }
        if lost && now.micros_since(self.cut) > rtt_us + queue_us {
            (self.cut, self.starting) = (now, false);
            return Contest::Rate(rate_bps / 1000 * CUT_PERMILLE);
        }
        let per_s = if self.starting { START_PER_S } else { GROWTH_PER_S };
        // Growth that does not shrink with the rate makes shares even out (Chiu and Jain, 1989).
        let from_bps = rate_bps.max(self.before_bps / 2);
        let grown = if limited { 0 } else { from_bps * per_s / 1000 * elapsed_us / 1_000_000 };
        Contest::Rate(rate_bps + grown)
    }
}
