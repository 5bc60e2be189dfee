//! How the peer's clock relates to ours (SPEC §12.1).
//!
//! Exchanges of four timestamps, as NTP makes them (RFC 5905 §8); the one with the shortest round trip among the
//! recent ones counts, because queues only ever add.

use crate::time::Instant;
use crate::wire::clock::{ClockReply, ClockRequest};

const SAMPLES: usize = 16;
/// Clocks of one machine and another drift apart by this much at worst, in millionths.
const DRIFT_PPM: u64 = 100;
/// Requests follow each other this fast until there are [`SAMPLES`].
const FAST_US: u64 = 100_000;
/// And this fast later; they also keep the session and its NAT bindings alive.
const SLOW_US: u64 = 1_000_000;
/// The most a clock can show, in µs: 36 000 years. Sums and differences of two of them stay within 64 bits.
const CLOCK_US_MAX: u64 = 1 << 60;

#[derive(Clone, Copy, Debug)]
struct Sample {
    taken_at: Instant,
    /// The peer's microseconds less ours.
    offset_us: i64,
    round_trip_us: u64,
}

/// The relation of two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockRelation {
    /// The peer's microseconds less ours.
    pub offset_us: i64,
    /// The truth lies within this many microseconds of it.
    pub error_us: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct PeerClock {
    samples: heapless::Deque<Sample, SAMPLES>,
    request_at: Instant,
    requests: u32,
    /// When the last request left, and when those before it did: two tell a lost one from a silent peer.
    asked: [Option<Instant>; 2],
    reply_to: Option<(u32, Instant)>,
    /// Smoothed round trip in µs (RFC 6298 §2), 0 = none yet.
    smoothed_us: u64,
}

impl PeerClock {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            samples: heapless::Deque::new(),
            request_at: now,
            requests: 0,
            asked: [None; 2],
            reply_to: None,
            smoothed_us: 0,
        }
    }

    /// When the next request should leave.
    pub(crate) const fn request_due(&self) -> Instant {
        self.request_at
    }

    /// When the last request left.
    pub(crate) const fn asked_at(&self) -> Option<Instant> {
        self.asked[0]
    }

    /// How many of the last two requests left after `since`.
    pub(crate) fn asked_since(&self, since: Instant) -> usize {
        self.asked.iter().flatten().filter(|&&at| at > since).count()
    }

    /// The next request should leave now.
    pub(crate) fn request_now(&mut self, now: Instant) {
        self.request_at = self.request_at.min(now);
    }

    pub(crate) fn request(&mut self, now: Instant) -> ClockRequest {
        self.requests = self.requests.saturating_add(1);
        let pause = if (self.requests as usize) < SAMPLES { FAST_US } else { SLOW_US };
        self.request_at = now.plus_micros(pause);
        self.asked = [Some(now), self.asked[0]];
        ClockRequest { sent_us: now.as_micros() as u32 }
    }

    pub(crate) const fn on_request(&mut self, request: ClockRequest, received_at: Instant) {
        self.reply_to = Some((request.sent_us, received_at));
    }

    /// The reply to send now, if there was a request.
    pub(crate) fn reply(&self, now: Instant) -> Option<ClockReply> {
        let (request_us, arrived) = self.reply_to?;
        let held_us = u32::try_from(now.micros_since(arrived)).unwrap_or(u32::MAX);
        Some(ClockReply { request_us, arrived_us: arrived.as_micros(), held_us })
    }

    pub(crate) const fn reply_sent(&mut self) {
        self.reply_to = None;
    }

    pub(crate) fn on_reply(&mut self, reply: ClockReply, received_at: Instant) {
        let elapsed = (received_at.as_micros() as u32).wrapping_sub(reply.request_us);
        // A reply that claims to have been held longer than it took, or a minute, is a lie or a stray.
        if reply.held_us > elapsed || elapsed > 60_000_000 || reply.arrived_us > CLOCK_US_MAX {
            return;
        }
        let round_trip_us = u64::from(elapsed - reply.held_us);
        let sent = received_at.as_micros() as i64 - i64::from(elapsed);
        let offset_us = reply.arrived_us as i64 - sent - (round_trip_us / 2) as i64;
        if self.samples.is_full() {
            self.samples.pop_front();
        }
        let pushed = self.samples.push_back(Sample { taken_at: received_at, offset_us, round_trip_us });
        debug_assert!(pushed.is_ok(), "room was made");
        self.on_round_trip(round_trip_us);
    }

    /// A round trip was measured, by a reply or by feedback.
    pub(crate) fn on_round_trip(&mut self, micros: u64) {
        self.smoothed_us = if self.smoothed_us == 0 { micros } else { (self.smoothed_us * 7 + micros) / 8 };
    }

    /// The smoothed round trip in µs; `default` before the first was measured.
    pub(crate) const fn round_trip_us(&self, default: u64) -> u64 {
        if self.smoothed_us == 0 { default } else { self.smoothed_us }
    }

    /// The best relation known at `now`.
    pub(crate) fn relation(&self, now: Instant) -> Option<ClockRelation> {
        let error = |sample: &Sample| {
            sample.round_trip_us / 2 + now.micros_since(sample.taken_at) * DRIFT_PPM / 1_000_000 + 1
        };
        let best = self.samples.iter().min_by_key(|sample| error(sample))?;
        Some(ClockRelation {
            offset_us: best.offset_us,
            error_us: u32::try_from(error(best)).unwrap_or(u32::MAX),
        })
    }

    /// The instant on our clock at which the peer's clock showed `low` (its low 32 bits), taken near `now`.
    pub(crate) fn to_own(&self, low: u32, now: Instant) -> Option<Instant> {
        let relation = self.relation(now)?;
        let peer_now = now.as_micros() as i64 + relation.offset_us;
        let behind = (peer_now as u32).wrapping_sub(low) as i32;
        let own = now.as_micros() as i64 - i64::from(behind);
        u64::try_from(own).ok().map(Instant::from_micros)
    }
}
