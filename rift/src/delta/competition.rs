//! Streams that fill every queue: when to stop yielding to them, how to share, and when to yield again.
//!
//! A queue that is not ours shows in that everything we send arrives, however little, and the queue stands or grows.
//! Against such company a sender that heeds delay is left with nothing. While it lasts, loss alone is heeded, with a
//! growth and a cut near those of CUBIC (RFC 9438); once the queue is seen short again, delay is.

use crate::time::Instant;

/// For how long half the rate must have been given up in vain, in µs.
const YIELDED_US: u64 = 800_000;
/// A queue shorter than this is not worth competing for, in µs.
pub(super) const QUEUE_US_MIN: u64 = 50_000;
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
    yielding: Option<Instant>,
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
            yielding: None,
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

    /// Looks at the queue before anything else is decided; true once a contest begins. Half of `before_bps`, the rate
    /// from before the congestion, and a second empty any queue of our own, unless the path itself carries less than
    /// what is sent.
    pub(super) fn begins(
        &mut self,
        now: Instant,
        (before_bps, rate_bps, delivered_bps): (u64, u64, u64),
        floor_us: u64,
        drains: bool,
    ) -> bool {
        if rate_bps > before_bps / 2 || floor_us < QUEUE_US_MIN || delivered_bps < rate_bps / 2 {
            self.yielding = None;
            return false;
        }
        let since = *self.yielding.get_or_insert(now);
        if drains || now.micros_since(since) < YIELDED_US {
            return false;
        }
        self.yielding = None;
        (self.competes, self.starting) = (true, true);
        (self.cut, self.span_since, self.span) = (now, now, (u64::MAX, 0));
        true
    }

    /// Whether a queue stands although half the rate was given up.
    pub(super) const fn yields(&self) -> bool {
        self.yielding.is_some()
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
        let grown = if limited { 0 } else { rate_bps * per_s / 1000 * elapsed_us / 1_000_000 };
        Contest::Rate(rate_bps + grown)
    }
}
