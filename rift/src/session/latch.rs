//! State messages: the newest value is repeated until a packet that carried it has arrived (SPEC §7.3).

use super::sent::Carried;
use crate::time::Instant;

/// What is told so.
const STATES: [Carried; 15] = [
    Carried::ADMITTED,
    Carried::PARAMETERS,
    Carried::CURSOR,
    Carried::POSITION,
    Carried::CAPTURE,
    Carried::TOKEN,
    Carried::RUMBLE,
    Carried::CAPABILITIES,
    Carried::TILE_REPORT,
    Carried::KEYS,
    Carried::CONNECTIONS,
    Carried::SUCCESSOR,
    Carried::PATHS,
    Carried::DATAGRAM_LIMIT,
    Carried::WINDOW,
];

#[derive(Clone, Copy, Debug)]
struct Latch {
    /// So many packets after the first that carries the newest value left the last one that does.
    repeated: u32,
    /// Packets from this number on carry the newest value.
    since: u64,
    resend_at: Instant,
}

/// All latches of a session.
#[derive(Clone, Debug)]
pub(crate) struct Latches {
    latches: [Latch; STATES.len()],
    /// Those that are repeated: mostly none, which is asked for each packet.
    wanted: Carried,
}

impl Latches {
    pub(crate) const fn new() -> Self {
        let latch = Latch { repeated: 0, since: 0, resend_at: Instant::ZERO };
        Self { latches: [latch; STATES.len()], wanted: Carried::empty() }
    }

    /// Those of `carried` that are repeated.
    fn wanted_of(&mut self, carried: Carried) -> impl Iterator<Item = (&mut Latch, Carried)> {
        let carried = carried & self.wanted;
        let most = if carried.is_empty() { 0 } else { STATES.len() };
        self.latches.iter_mut().zip(STATES).take(most).filter(move |(_, state)| carried.contains(*state))
    }

    /// A value changed; packets from `next_packet` on carry it.
    pub(crate) fn set(&mut self, which: Carried, next_packet: u64) {
        self.wanted |= which;
        for (latch, _) in self.wanted_of(which) {
            *latch = Latch { repeated: 0, since: next_packet, resend_at: Instant::ZERO };
        }
    }

    /// A value need not be told any more.
    pub(crate) fn clear(&mut self, which: Carried) {
        self.wanted -= which;
    }

    pub(crate) fn is_due(&self, which: Carried, now: Instant) -> bool {
        self.due(which).is_some_and(|due| due <= now)
    }

    /// When the next repetition of one of `which` is due.
    pub(crate) fn due(&self, which: Carried) -> Option<Instant> {
        let which = which & self.wanted;
        if which.is_empty() {
            return None;
        }
        let latches = self.latches.iter().zip(STATES).filter(|(_, state)| which.contains(*state));
        latches.map(|(latch, _)| latch.resend_at).min()
    }

    /// Packet `packet_number`, carrying these, leaves; they are repeated after `timeout_us` unless it arrives.
    pub(crate) fn on_sent(&mut self, carried: Carried, packet_number: u64, now: Instant, timeout_us: u64) {
        for (latch, _) in self.wanted_of(carried) {
            latch.repeated = u32::try_from(packet_number.saturating_sub(latch.since)).unwrap_or(u32::MAX);
            latch.resend_at = now.plus_micros(timeout_us);
        }
    }

    pub(crate) fn on_arrived(&mut self, carried: Carried, packet_number: u64) {
        let newest = self.wanted_of(carried).filter(|(latch, _)| packet_number >= latch.since);
        let arrived = newest.fold(Carried::empty(), |all, (_, state)| all | state);
        self.wanted -= arrived;
    }

    /// A packet is lost.
    pub(crate) fn on_lost(&mut self, carried: Carried, packet_number: u64) {
        for (latch, _) in self.wanted_of(carried).filter(|(latch, _)| packet_number >= latch.since) {
            latch.resend_at = Instant::ZERO;
        }
    }

    /// A packet is forgotten for want of room. What a later one carried as well is not said again for it: each repetition
    /// would make room for another, without end.
    pub(crate) fn on_forgotten(&mut self, carried: Carried, packet_number: u64) {
        for (latch, _) in self.wanted_of(carried) {
            if packet_number >= latch.since + u64::from(latch.repeated) {
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
