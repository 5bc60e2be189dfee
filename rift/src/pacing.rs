//! Pacing: when the next datagrams may leave.
//!
//! Two token buckets, both of which must agree. The fast one fills at the pace, 1.5 × the grant unless told
//! otherwise ([`crate::delta::Budget::pace_permille`]), and holds a batch: it spreads a picture over two thirds of its
//! period, so that shards do not arrive as a burst and yet a picture is complete well before the next. The slow one fills at the grant and holds two thirds of a picture period of it: from rest
//! exactly two pictures' grant leave at the fast rate (it drains at half the grant and lasts 4/3 of a period, in
//! which 1.5 × 4/3 = 2 periods' grant leave), and whatever is beyond that leaves at the grant.
//! So in any time T at most `grant × (T + 2/3 period)` and one batch leave: a keyframe five times
//! the usual size builds no longer a queue at the bottleneck than two pictures do.
//!
//! The pacer knows neither packets nor priorities; input and control do not ask it.

use crate::delta::Budget;
use crate::time::Instant;

/// Pace within a picture until a budget says otherwise, in thousandths of the grant.
const PACE_PERMILLE: u64 = 1_500;
/// Largest datagram assumed where none is named: two of them always make a batch (an Ethernet MTU each).
const DATAGRAM_BYTES: u64 = 1500;
/// A batch covers this much time at the pacing rate (architecture: one generic-segmentation batch is at most 1 ms).
const BATCH_US: u64 = 1000;
/// The period of pictures until [`Pacer::set_picture_period`] says otherwise: 60 Hz.
const PICTURE_PERIOD_US: u64 = 16_667;
/// Longest time credited at once; both buckets are full long before.
const CREDIT_US_MAX: u64 = 2_000_000;
/// Highest rate taken, 1 Tbit/s: keeps every product within 64 bits.
const RATE_BPS_MAX: u64 = 1_000_000_000_000;
/// Tokens are millionths of a bit, the product of bit/s and µs.
const TOKENS_PER_BYTE: i64 = 8_000_000;

/// Spreads datagrams over time; see the module.
#[derive(Clone, Copy, Debug)]
pub struct Pacer {
    grant_bps: u64,
    pace_permille: u64,
    picture_period_us: u64,
    updated: Instant,
    fast: i64,
    slow: i64,
}

impl Pacer {
    /// A pacer that lets nothing leave until a rate is set; its buckets start full.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self {
            grant_bps: 0,
            pace_permille: PACE_PERMILLE,
            picture_period_us: PICTURE_PERIOD_US,
            updated: now,
            fast: i64::MAX,
            slow: i64::MAX,
        }
    }

    /// Sets the granted rate, in bit/s of UDP payload; 0 stops. Time since the last call of
    /// [`Self::on_sent`] is credited at the new rate.
    pub fn set_rate(&mut self, grant_bps: u64) {
        self.grant_bps = grant_bps.min(RATE_BPS_MAX);
        self.fast = self.fast.min(self.fast_depth());
        self.slow = self.slow.min(self.slow_depth());
    }

    /// Sets rate and pace as DELTA says.
    pub fn follow(&mut self, budget: &Budget) {
        self.set_pace(budget.pace_permille);
        self.set_rate(u64::from(budget.pacing_bps));
    }

    /// Sets the pace within a picture, `1000..=3000` thousandths of the grant.
    pub fn set_pace(&mut self, permille: u16) {
        self.pace_permille = u64::from(permille).clamp(1_000, 3_000);
        self.fast = self.fast.min(self.fast_depth());
    }

    /// Sets the time from picture to picture, `1 ms..=1 s`, in µs.
    pub fn set_picture_period(&mut self, period_us: u64) {
        self.picture_period_us = period_us.clamp(1000, 1_000_000);
        self.slow = self.slow.min(self.slow_depth());
    }

    /// The rate within a picture, in bit/s.
    #[must_use]
    pub const fn pacing_bps(&self) -> u64 {
        self.grant_bps * self.pace_permille / 1_000
    }

    /// Bytes that may leave back to back, as one batch of `segment`-byte datagrams: what the pacing rate carries in
    /// 1 ms, in whole datagrams, and at least two of them.
    #[must_use]
    pub const fn batch_bytes(&self, segment: usize) -> usize {
        if segment == 0 {
            return 0;
        }
        let fits = per_batch(self.pacing_bps()) as usize / segment;
        segment * if fits > 2 { fits } else { 2 }
    }

    /// Bytes that may leave now.
    #[must_use]
    pub fn budget_bytes(&self, now: Instant) -> usize {
        let (fast, slow) = self.levels(now);
        usize::try_from(fast.min(slow) / TOKENS_PER_BYTE).unwrap_or(0)
    }

    /// When `bytes` may leave: `now` or later, [`Instant::FAR_FUTURE`] without a rate. More than a batch waits for
    /// full buckets and then leaves on credit, so that nothing waits for ever.
    #[must_use]
    pub fn ready_at(&self, now: Instant, bytes: usize) -> Instant {
        if self.grant_bps == 0 {
            return Instant::FAR_FUTURE;
        }
        let (fast, slow) = self.levels(now);
        let wanted = tokens(bytes);
        let wait = u64::max(
            wait_us(wanted.min(self.fast_depth()).saturating_sub(fast), self.pacing_bps()),
            wait_us(wanted.min(self.slow_depth()).saturating_sub(slow), self.grant_bps),
        );
        now.plus_micros(wait)
    }

    /// Takes note that `bytes` left. What leaves before its time, input for one, is owed by what follows.
    pub fn on_sent(&mut self, now: Instant, bytes: usize) {
        let (fast, slow) = self.levels(now);
        self.updated = self.updated.max(now);
        self.fast = fast.saturating_sub(tokens(bytes));
        self.slow = slow.saturating_sub(tokens(bytes));
    }

    fn levels(&self, now: Instant) -> (i64, i64) {
        let elapsed = now.micros_since(self.updated).min(CREDIT_US_MAX);
        let filled = |level: i64, rate_bps: u64, depth: i64| {
            level.saturating_add((rate_bps * elapsed).cast_signed()).min(depth)
        };
        (
            filled(self.fast, self.pacing_bps(), self.fast_depth()),
            filled(self.slow, self.grant_bps, self.slow_depth()),
        )
    }

    const fn fast_depth(&self) -> i64 {
        per_batch(self.pacing_bps()).cast_signed() * TOKENS_PER_BYTE
    }

    fn slow_depth(&self) -> i64 {
        let period = (self.grant_bps * self.picture_period_us / 3 * 2).cast_signed();
        period.max(self.fast_depth())
    }
}

/// Bytes of a batch at this pacing rate.
const fn per_batch(pacing_bps: u64) -> u64 {
    let bytes = pacing_bps / 8 * BATCH_US / 1_000_000;
    if bytes > 2 * DATAGRAM_BYTES { bytes } else { 2 * DATAGRAM_BYTES }
}

fn tokens(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX).saturating_mul(TOKENS_PER_BYTE)
}

/// µs until `missing` tokens have come in; rounded up, so that whoever sleeps so long may send.
fn wait_us(missing: i64, rate_bps: u64) -> u64 {
    u64::try_from(missing).map_or(0, |missing| missing.div_ceil(rate_bps))
}
