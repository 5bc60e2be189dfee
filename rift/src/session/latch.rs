//! State messages: the newest value is repeated until a packet that carried it has arrived (SPEC §7.3).

use super::sent::Carried;
use crate::time::Instant;

#[derive(Clone, Copy, Debug)]
struct Latch {
    carried: Carried,
    wanted: bool,
    /// Packets from this number on carry the newest value.
    since: u64,
    resend_at: Instant,
}

/// All latches of a session.
#[derive(Clone, Debug)]
pub(crate) struct Latches([Latch; 15]);

impl Latches {
    pub(crate) const fn new() -> Self {
        const fn latch(carried: Carried) -> Latch {
            Latch { carried, wanted: false, since: 0, resend_at: Instant::ZERO }
        }
        Self([
            latch(Carried::ADMITTED),
            latch(Carried::PARAMETERS),
            latch(Carried::CURSOR),
            latch(Carried::POSITION),
            latch(Carried::CAPTURE),
            latch(Carried::TOKEN),
            latch(Carried::RUMBLE),
            latch(Carried::CAPABILITIES),
            latch(Carried::TILE_REPORT),
            latch(Carried::KEYS),
            latch(Carried::CONNECTIONS),
            latch(Carried::SUCCESSOR),
            latch(Carried::PATHS),
            latch(Carried::DATAGRAM_LIMIT),
            latch(Carried::WINDOW),
        ])
    }

    /// A value changed; packets from `next_packet` on carry it.
    pub(crate) fn set(&mut self, which: Carried, next_packet: u64) {
        for latch in self.0.iter_mut().filter(|latch| latch.carried == which) {
            (latch.wanted, latch.since, latch.resend_at) = (true, next_packet, Instant::ZERO);
        }
    }

    /// A value need not be told any more.
    pub(crate) fn clear(&mut self, which: Carried) {
        for latch in self.0.iter_mut().filter(|latch| latch.carried == which) {
            latch.wanted = false;
        }
    }

    pub(crate) fn is_due(&self, which: Carried, now: Instant) -> bool {
        self.0.iter().any(|latch| latch.carried == which && latch.wanted && latch.resend_at <= now)
    }

    /// When the next repetition of one of `which` is due.
    pub(crate) fn due(&self, which: Carried) -> Option<Instant> {
        let wanted = |latch: &&Latch| latch.wanted && which.contains(latch.carried);
        self.0.iter().filter(wanted).map(|latch| latch.resend_at).min()
    }

    /// A packet carrying these leaves; they are repeated after `timeout_us` unless it arrives.
    pub(crate) fn on_sent(&mut self, carried: Carried, now: Instant, timeout_us: u64) {
        for latch in self.0.iter_mut().filter(|latch| carried.contains(latch.carried)) {
            latch.resend_at = now.plus_micros(timeout_us);
        }
    }

    pub(crate) fn on_arrived(&mut self, carried: Carried, packet_number: u64) {
        for latch in self.0.iter_mut().filter(|latch| carried.contains(latch.carried)) {
            latch.wanted &= packet_number < latch.since;
        }
    }

    pub(crate) fn on_lost(&mut self, carried: Carried, packet_number: u64) {
        for latch in self.0.iter_mut().filter(|latch| carried.contains(latch.carried)) {
            if packet_number >= latch.since {
                latch.resend_at = Instant::ZERO;
            }
        }
    }
}

/// One past the newest packet from which each of the host's states was taken: one that was overtaken is older news
/// (SPEC §7.3).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    pub(super) admitted: u64,
    pub(super) token: u64,
    pub(super) parameters: u64,
    pub(super) cursor: u64,
    pub(super) capture: u64,
    pub(super) rumble: u64,
}

impl Told {
    /// Whether packet `number` has news of the state noted in `end`; it is taken note of.
    pub(super) const fn is_news(end: &mut u64, number: u64) -> bool {
        let is_news = number >= *end;
        if is_news {
            *end = number + 1;
        }
        is_news
    }
}
