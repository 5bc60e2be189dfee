//! How the peer's clock relates to ours (SPEC §12.1).
//!
//! Exchanges of four timestamps, as NTP makes them (RFC 5905 §8). Each says for certain that the offset lay within half its
//! round trip then. Two of them bound how fast the clocks drift apart, and with that bound every one of them bounds the
//! offset now: what they all allow is the answer, its middle and half its width (Marzullo's intersection, RFC 5905 §11.2.1,
//! carried through time). Nothing is averaged, so the error told is a bound and no guess, as long as the drift is steady.

use heapless::deque::DequeInner;
use heapless::vec::VecInner;

use crate::profile::Profile;
use crate::time::Instant;
use crate::wire::clock::{ClockReply, ClockRequest};

const SAMPLES: usize = 16;
/// Clocks of one machine and another drift apart by this much at worst, in millionths.
const DRIFT_PPB_MAX: i64 = 100_000;
/// How much the drift itself may change in [`ANCHOR_AGE_US`] as machines warm up, in parts per billion.
const WANDER_PPB: i64 = 1_000;
/// Exchanges kept to tell the drift by, each the best of a window.
const ANCHORS: usize = 12;
/// The oldest of them, in µs: the error of two exchanges weighs the less the longer the span between them.
const ANCHOR_AGE_US: u64 = 1_200_000_000;
/// The length of such a window, in µs.
const ANCHOR_US: u64 = 8_000_000;
/// Two exchanges say something of the drift if they lie this far apart, in µs.
const DRIFT_SPAN_US: u64 = 4_000_000;
/// Offsets this far apart, in µs, are no drift but a clock that was set.
const JUMP_US: i64 = 1_000_000_000;
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

impl Sample {
    /// How far the offset may have been from it. Each of the four stamps is cut to a microsecond.
    const fn error_us(&self) -> i64 {
        (self.round_trip_us / 2 + 2).cast_signed()
    }
}

/// The relation of two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockRelation {
    /// The peer's microseconds less ours.
    pub offset_us: i64,
    /// The truth lies within this many microseconds of it.
    pub error_us: u32,
    /// How much faster the peer's clock runs, in parts per billion.
    pub drift_ppb: i32,
    /// The truth lies within this many parts per billion of it.
    pub drift_error_ppb: u32,
}

pub(crate) struct PeerClock<P: Profile> {
    samples: DequeInner<Sample, P::Room<Sample, SAMPLES>>,
    anchors: VecInner<Sample, usize, P::Room<Sample, ANCHORS>>,
    /// The best exchange of this window, and when the window began.
    window: Option<(Instant, Sample)>,
    /// Least and most drift that the exchanges allow, in parts per billion.
    drift_ppb: (i64, i64),
    request_at: Instant,
    requests: u32,
    /// When the last request left, and when those before it did: two tell a lost one from a silent peer.
    asked: [Option<Instant>; 2],
    reply_to: Option<(u32, Instant)>,
    /// Smoothed round trip in µs (RFC 6298 §2), 0 = none yet.
    smoothed_us: u64,
    /// Its variation (RFC 6298 §2), in µs.
    variation_us: u64,
}

impl<P: Profile> PeerClock<P> {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            samples: P::queue::<_, SAMPLES>(),
            anchors: P::list::<_, ANCHORS>(),
            window: None,
            drift_ppb: (-DRIFT_PPB_MAX, DRIFT_PPB_MAX),
            request_at: now,
            requests: 0,
            asked: [None; 2],
            reply_to: None,
            smoothed_us: 0,
            variation_us: 0,
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
        let sample = Sample { taken_at: received_at, offset_us, round_trip_us };
        let pushed = self.samples.push_back(sample);
        debug_assert!(pushed.is_ok(), "room was made");
        self.anchor(sample);
        self.drift_ppb = self.allowed_drift();
        self.on_round_trip(round_trip_us);
    }

    fn anchor(&mut self, sample: Sample) {
        let (since, best) = *self.window.get_or_insert((sample.taken_at, sample));
        if sample.taken_at.micros_since(since) < ANCHOR_US {
            if sample.round_trip_us <= best.round_trip_us {
                self.window = Some((since, sample));
            }
            return;
        }
        self.anchors.retain(|anchor| sample.taken_at.micros_since(anchor.taken_at) < ANCHOR_AGE_US);
        if self.anchors.is_full() {
            // Every second one goes: old ones come to lie further and further apart.
            let mut stays = false;
            self.anchors.retain(|_| {
                stays = !stays;
                stays
            });
            if self.anchors.is_full() {
                // Where there is room for one the newest counts.
                self.anchors.clear();
            }
        }
        let pushed = self.anchors.push(best);
        debug_assert!(pushed.is_ok(), "room was made");
        self.window = Some((sample.taken_at, sample));
    }

    /// All exchanges that are kept.
    fn kept(&self) -> impl Iterator<Item = &Sample> {
        self.anchors.iter().chain(self.window.iter().map(|(_, best)| best)).chain(&self.samples)
    }

    /// The drift that all pairs of exchanges allow; everything when they contradict each other.
    fn allowed_drift(&self) -> (i64, i64) {
        let (mut least, mut most) = (-DRIFT_PPB_MAX, DRIFT_PPB_MAX);
        for old in self.anchors.iter().chain(self.window.iter().map(|(_, best)| best)) {
            for new in self.kept() {
                let span = new.taken_at.micros_since(old.taken_at);
                let moved = new.offset_us - old.offset_us;
                if span < DRIFT_SPAN_US || moved.abs() > JUMP_US {
                    continue;
                }
                let error = old.error_us() + new.error_us();
                let rate = |micros: i64| micros.saturating_mul(1_000_000_000) / span.cast_signed();
                least = least.max(rate(moved - error) - WANDER_PPB);
                most = most.min(rate(moved + error) + WANDER_PPB);
            }
        }
        if least <= most { (least, most) } else { (-DRIFT_PPB_MAX, DRIFT_PPB_MAX) }
    }

    /// A round trip was measured, by a reply or by feedback.
    pub(crate) fn on_round_trip(&mut self, micros: u64) {
        if self.smoothed_us > 0 {
            self.variation_us = (self.variation_us * 3 + self.smoothed_us.abs_diff(micros)) / 4;
        }
        self.smoothed_us = if self.smoothed_us == 0 { micros } else { (self.smoothed_us * 7 + micros) / 8 };
    }

    /// The smoothed round trip in µs; `default` before the first was measured.
    pub(crate) const fn round_trip_us(&self, default: u64) -> u64 {
        if self.smoothed_us == 0 { default } else { self.smoothed_us }
    }

    /// By how much round trips differ from that, in µs.
    pub(crate) const fn variation_us(&self) -> u64 {
        self.variation_us
    }

    /// The best relation known at `now`.
    pub(crate) fn relation(&self, now: Instant) -> Option<ClockRelation> {
        let (drift_least, drift_most) = self.drift_ppb;
        let bounds = |sample: &Sample| {
            let age = now.micros_since(sample.taken_at).cast_signed();
            let moved = |ppb: i64| ppb.saturating_mul(age) / 1_000_000_000;
            let (offset, error) = (sample.offset_us, sample.error_us() + 1);
            (offset - error + moved(drift_least), offset + error + moved(drift_most))
        };
        let narrowest = self.kept().map(bounds).min_by_key(|(least, most)| most - least)?;
        let all = self
            .kept()
            .map(bounds)
            .fold((i64::MIN, i64::MAX), |(least, most), (from, to)| (least.max(from), most.min(to)));
        // Where a clock was set they contradict each other: then the surest counts.
        let (least, most) = if all.0 <= all.1 { all } else { narrowest };
        Some(ClockRelation {
            offset_us: least + (most - least) / 2,
            error_us: u32::try_from((most - least) / 2 + 1).unwrap_or(u32::MAX),
            drift_ppb: ((drift_least + drift_most) / 2) as i32,
            drift_error_ppb: ((drift_most - drift_least) / 2) as u32,
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
