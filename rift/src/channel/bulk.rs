//! How much of the clipboard and of files may be on the way: a share, and only what nobody else wants (SPEC §9.3).
//!
//! A window after LEDBAT (RFC 6817): it grows while packets find no queue, shrinks as a queue appears, long before
//! DELTA would call it one, and halves when a packet is lost. Beside it a rate, so that what the window allows never
//! leaves as a burst before a picture. It knows neither streams nor permissions.

use crate::delta::{Outcome, PacketReport};
use crate::time::Instant;

/// Bulk that has a path to itself may use this part of the grant.
const IDLE_SHARE: u64 = 2;
/// And this part while pictures flow.
const MEDIA_SHARE: u64 = 8;
/// Pictures flow while the last shard left less than this ago, in µs.
const MEDIA_RECENT_US: u64 = 250_000;
/// Queue that bulk may cause, in µs: half of the least that DELTA counts as overuse.
const TARGET_US: i64 = 3_000;
/// Bytes of a full packet.
const PACKET_BYTES: u64 = 1200;
/// Bytes on the way at first (RFC 6928 §2), at least (RFC 6817 §2.4.1) and at most.
const WINDOW_START: u64 = 10 * PACKET_BYTES;
const WINDOW_MIN: u64 = 2 * PACKET_BYTES;
const WINDOW_MAX: u64 = 1 << 22;
/// The least delay is that of the last two of these, in µs. RFC 6817 §2.3.2 keeps ten minutes; two clocks drift apart by
/// the whole target in half of one.
const BASE_US: u64 = 10_000_000;
/// Packets whose least delay counts, so that jitter is no queue (RFC 6817 §2.4.2).
const CURRENT_PACKETS: usize = 4;

#[derive(Clone, Debug)]
pub(crate) struct Bulk {
    window: u64,
    in_flight: u64,
    /// Until the first loss the window grows by all that arrives.
    starting: bool,
    cut_at: Instant,
    /// Least delays, with the clocks' offset in them: of this window and of the one before.
    base: [i64; 2],
    base_since: Instant,
    current: [i64; CURRENT_PACKETS],
    ready_at: Instant,
    media_at: Option<Instant>,
    sent_at: Option<Instant>,
}

impl Bulk {
    pub(crate) const fn new() -> Self {
        Self {
            window: WINDOW_START,
            in_flight: 0,
            starting: true,
            cut_at: Instant::ZERO,
            base: [i64::MAX; 2],
            base_since: Instant::ZERO,
            current: [i64::MAX; CURRENT_PACKETS],
            ready_at: Instant::ZERO,
            media_at: None,
            sent_at: None,
        }
    }

    /// A shard left.
    pub(crate) const fn on_media(&mut self, now: Instant) {
        self.media_at = Some(now);
    }

    /// Whether bulk has used its share lately: it is then taken from what the encoder is granted.
    pub(crate) fn is_flowing(&self, now: Instant) -> bool {
        self.sent_at.is_some_and(|at| now.micros_since(at) < MEDIA_RECENT_US)
    }

    /// What pictures keep of `bps` while bulk flows beside them.
    pub(crate) const fn beside(bps: u32) -> u32 {
        bps - bps / MEDIA_SHARE as u32
    }

    /// When a datagram may leave; `None` until something on the way is accounted for.
    pub(crate) const fn ready_at(&self) -> Option<Instant> {
        if self.in_flight + PACKET_BYTES <= self.window || self.in_flight == 0 {
            Some(self.ready_at)
        } else {
            None
        }
    }

    /// A datagram left. `grant_bps` is what this side may send in all, if that is known.
    pub(crate) fn on_sent(&mut self, now: Instant, bytes: usize, grant_bps: Option<u32>, round_trip_us: u64) {
        let bytes = bytes as u64;
        self.in_flight += bytes;
        self.sent_at = Some(now);
        let is_beside = self.media_at.is_some_and(|at| now.micros_since(at) < MEDIA_RECENT_US);
        let share = if is_beside { MEDIA_SHARE } else { IDLE_SHARE };
        // A window twice in a round trip at most: what is acknowledged in one lump does not leave in one.
        let window_bps = self.window * 16_000_000 / round_trip_us.max(1000);
        let rate = grant_bps.map_or(window_bps, |grant| window_bps.min(u64::from(grant) / share)).max(8_000);
        let from = self.ready_at.max(now.minus_micros(bytes * 8_000_000 / rate));
        self.ready_at = from.plus_micros(bytes * 8_000_000 / rate);
    }

    /// What became of a datagram.
    pub(crate) fn on_told(&mut self, now: Instant, report: &PacketReport, round_trip_us: u64) {
        let bytes = u64::from(report.bytes);
        self.in_flight = self.in_flight.saturating_sub(bytes);
        let Outcome::Arrived { at_us, ce } = report.outcome else {
            self.cut(now, report.sent_at, round_trip_us);
            return;
        };
        if ce {
            self.cut(now, report.sent_at, round_trip_us);
        }
        let queue_us = self.queue_us(now, at_us.wrapping_sub(report.sent_at.as_micros()).cast_signed());
        self.starting &= queue_us < TARGET_US;
        let off = (TARGET_US - queue_us).clamp(-TARGET_US, TARGET_US);
        let gain = if self.starting {
            bytes.cast_signed()
        } else {
            (bytes * PACKET_BYTES).cast_signed() * off / TARGET_US / self.window.cast_signed()
        };
        self.window = self.window.saturating_add_signed(gain).clamp(WINDOW_MIN, WINDOW_MAX);
    }

    /// A datagram arrived, and nobody can tell when.
    pub(crate) fn on_arrived(&mut self, bytes: u16) {
        self.in_flight = self.in_flight.saturating_sub(u64::from(bytes));
    }

    /// Nothing was heard for so long that what is on the way counts as gone.
    pub(crate) const fn on_overdue(&mut self) {
        self.in_flight = 0;
        self.window = WINDOW_MIN;
        self.starting = false;
    }

    /// Halves the window, once for what was lost in one round trip.
    fn cut(&mut self, now: Instant, sent_at: Instant, round_trip_us: u64) {
        if sent_at >= self.cut_at || now.micros_since(self.cut_at) > 2 * round_trip_us {
            self.window = (self.window / 2).max(WINDOW_MIN);
            self.starting = false;
            self.cut_at = now;
        }
    }

    fn queue_us(&mut self, now: Instant, delay_us: i64) -> i64 {
        if now.micros_since(self.base_since) > BASE_US {
            self.base = [delay_us, self.base[0]];
            self.base_since = now;
        }
        self.base[0] = self.base[0].min(delay_us);
        self.current.rotate_right(1);
        self.current[0] = delay_us;
        let current = self.current.into_iter().min().unwrap_or(delay_us);
        current - self.base[0].min(self.base[1])
    }
}
