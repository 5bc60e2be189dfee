//! When packets arrived, and the feedback made of it (SPEC §12.2).

use crate::limits::FEEDBACK_PACKETS_MAX;
use crate::time::Instant;
use crate::wire::Writer;
use crate::wire::feedback::{Arrival, Ecn, Feedback};
use crate::wire::frame::{FrameType, emit};

/// One packet in the ring of those that arrived.
#[derive(Clone, Copy, Debug)]
pub struct ArrivedPacket {
    /// Its number plus 1; 0 = none.
    number_plus_one: u64,
    at: Instant,
    ecn: Ecn,
}

impl ArrivedPacket {
    /// No packet.
    pub const EMPTY: Self = Self { number_plus_one: 0, at: Instant::ZERO, ecn: Ecn::NotEct };
}

/// At least this long between two reports (SPEC §12.2).
const INTERVAL_US: u64 = 10_000;
/// A report waits this long for more to report on, unless [`BYTES_PER_REPORT`] have come.
pub(crate) const REPORT_PATIENCE_US: u64 = 25_000;
/// A report and its packet are about 80 bytes: one for this many keeps it at 2 %.
const BYTES_PER_REPORT: u32 = 4000;
/// Every arrival is reported this often, so that lost reports lose nothing.
const REDUNDANCY: usize = 3;
/// How far ahead lateness is looked for.
const LATENESS_SCAN: u64 = 64;

/// The numbers around the ring: the ring itself lies in the caller's memory.
#[derive(Clone, Debug)]
pub(crate) struct ArrivalLog {
    /// One past the largest packet number that arrived.
    end: u64,
    /// The ends at the last reports, newest first.
    reported: [u64; REDUNDANCY],
    last_report: Option<Instant>,
    unreported_since: Option<Instant>,
    unreported_bytes: u32,
    /// How late overtaken packets came lately, in µs; decays.
    lateness_us: u64,
}

impl ArrivalLog {
    pub(crate) const fn new() -> Self {
        Self {
            end: 0,
            reported: [0; REDUNDANCY],
            last_report: None,
            unreported_since: None,
            unreported_bytes: 0,
            lateness_us: 0,
        }
    }

    /// Packets of another path, or of another use of one, are reported on from now on; the first is number `next`.
    pub(crate) fn restart(&mut self, next: u64) {
        *self = Self { end: next, reported: [next; REDUNDANCY], ..Self::new() };
    }

    /// Notes an authenticated packet.
    pub(crate) fn push(&mut self, ring: &mut [ArrivedPacket], number: u64, at: Instant, ecn: Ecn) {
        if number < self.end {
            self.on_late(ring, number, at);
        } else {
            self.end = number + 1;
            self.lateness_us -= self.lateness_us / 1024;
        }
        *slot(ring, number) = ArrivedPacket { number_plus_one: number + 1, at, ecn };
    }

    /// Notes that the packet just pushed wants feedback.
    pub(crate) fn want_report(&mut self, at: Instant, bytes: usize) {
        self.unreported_since.get_or_insert(at);
        self.unreported_bytes =
            self.unreported_bytes.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    fn on_late(&mut self, ring: &mut [ArrivedPacket], number: u64, at: Instant) {
        if number + LATENESS_SCAN >= self.end {
            // Reports have passed it: they go back to it, so that its sender learns that it was only late.
            self.reported = self.reported.map(|end| end.min(number));
        }
        let overtaker = (number + 1..self.end.min(number + LATENESS_SCAN))
            .find(|&later| slot(ring, later).number_plus_one == later + 1);
        if let Some(later) = overtaker {
            self.lateness_us = self.lateness_us.max(at.micros_since(slot(ring, later).at));
        }
    }

    /// How late overtaken packets came lately, in µs.
    pub(crate) const fn lateness_us(&self) -> u64 {
        self.lateness_us
    }

    /// When the next report is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        let since = self.unreported_since?;
        let patience = if self.unreported_bytes >= BYTES_PER_REPORT { 0 } else { REPORT_PATIENCE_US };
        let earliest = self.last_report.map_or(Instant::ZERO, |last| last.plus_micros(INTERVAL_US));
        Some(earliest.max(since.plus_micros(patience)))
    }

    /// Whether anything is waiting to be reported, due or not.
    pub(crate) const fn is_pending(&self) -> bool {
        self.unreported_since.is_some()
    }

    /// Appends a report if it fits; then nothing is due until more arrives.
    pub(crate) fn emit(
        &mut self,
        ring: &mut [ArrivedPacket],
        now: Instant,
        path: u8,
        writer: &mut Writer<'_>,
    ) -> Option<()> {
        let oldest = self.reported[REDUNDANCY - 1];
        let room = writer.room().saturating_sub(Feedback::HEAD_LEN + 3) / 2;
        let most = FEEDBACK_PACKETS_MAX.min(room).min(ring.len()) as u64;
        let first = oldest.max(self.end.saturating_sub(most));
        if first >= self.end {
            if oldest >= self.end {
                // Only packets too late to be told of have come.
                self.unreported_since = None;
                self.unreported_bytes = 0;
            }
            return None;
        }
        let count = (self.end - first) as usize;
        let items = (0..count).map(|index| {
            let number = first + index as u64;
            let packet = slot(ring, number);
            (packet.number_plus_one == number + 1).then(|| Arrival {
                before_us: u32::try_from(now.micros_since(packet.at)).unwrap_or(u32::MAX),
                ecn: packet.ecn,
            })
        });
        emit(writer, FrameType::Feedback, |body| {
            Feedback::emit(body, path, first as u32, now.as_micros() as u32, items)
        })?;
        self.reported.rotate_right(1);
        self.reported[0] = self.end;
        self.last_report = Some(now);
        self.unreported_since = None;
        self.unreported_bytes = 0;
        Some(())
    }
}

fn slot(ring: &mut [ArrivedPacket], number: u64) -> &mut ArrivedPacket {
    let mask = ring.len() as u64 - 1;
    &mut ring[(number & mask) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Identity, Memory as _, Noise, Opening, PathId, Session, Storage};

    /// A packet lost on its way must not pass for one of the same number that came to the session before.
    #[test]
    fn session_in_used_memory_has_no_arrivals_yet() {
        let mut memory: Storage<&'static mut [u8], 64, 64, 0, 64, 64> = Storage::new();
        let mut log = ArrivalLog::new();
        log.push((&mut memory).arrivals(), 0, Instant::ZERO, Ecn::NotEct);
        let identity = Identity::from_secret([1; 32]);
        let handshake = Noise::initiator(&identity, [2; 32], Opening::XX);
        let session =
            Session::approach(&Config::default(), handshake, 3, &mut memory, PathId(0), Instant::ZERO);
        let mut used = session.into_memory();
        assert!(used.arrivals().iter().all(|packet| packet.number_plus_one == 0));
    }
}
