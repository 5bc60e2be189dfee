//! What has become of the packets that were sent, as the peer reports it (SPEC §12.2–§12.3).

use super::Session;
use super::arrivals::REPORT_PATIENCE_US;
use super::sent::{Came, Carried, Told};
use crate::crypto::{Handshake, Side};
use crate::delta::{Controller as _, Outcome, PacketReport};
use crate::flight::FlightEntry;
use crate::storage::Memory;
use crate::time::Instant;
use crate::wire::feedback::{Ecn, Feedback};

/// Longest round trip in which asking for more parity takes the place of sending it beforehand, in µs: a picture and a
/// half at 60 Hz, which nobody sees. Once it does, a quarter more keeps it so.
pub(super) const ANSWERED_US: u64 = 25_000;

/// Pictures that wait may take so long at a grant that has halved, in µs: longer than a key picture made for it.
const OUTDATED_US: u64 = 500_000;

impl<M: Memory, H: Handshake> Session<M, H> {
    /// Congestion control has decided anew, because of `cause`.
    pub(super) fn on_granted(&mut self, cause: impl FnOnce() -> FlightEntry) {
        let budget = self.delta.budget();
        self.pacer.follow(&budget);
        let (_, mut recorder) = self.memory.flight();
        recorder.record(cause);
        recorder.record(|| FlightEntry::of_budget(&budget));
    }

    /// SPEC §11.7: what waits was made for a path that carried more.
    fn drop_outdated(&mut self) {
        let granted_bps = u64::from(self.delta.budget().pacing_bps);
        let takes_us = self.video_out.backlog_bytes() as u64 * 8_000_000 / granted_bps.max(1);
        if u64::from(self.queued_for_bps) > 2 * granted_bps && takes_us > OUTDATED_US {
            self.video_out.drop_waiting();
            self.video_out.forget_repair();
        }
    }

    /// Takes the peer's report on our packets (SPEC §12.2–§12.3).
    pub(super) fn on_feedback(&mut self, now: Instant, received_at: Instant, feedback: &Feedback<'_>) {
        let others = self.paths.others.iter();
        let path = others.chain([&self.active]).find(|path| path.number as u8 == feedback.path);
        let Some(path) = path else { return };
        let behind = u64::from((path.sent as u32).wrapping_sub(feedback.first));
        let Some(first) = path.sent.checked_sub(behind) else { return };
        let (logged, shift) = (path.logged.clone(), path.shift);
        let reference_us = match self.peer_reference_us {
            Some(known) => {
                let ahead = feedback.reference_us.wrapping_sub(known as u32) as i32;
                known.saturating_add_signed(ahead.into())
            }
            // Arrivals before the first reference must not be before zero.
            None => u64::from(feedback.reference_us) + (1 << 32),
        };
        self.peer_reference_us =
            Some(self.peer_reference_us.map_or(reference_us, |known| known.max(reference_us)));
        let mut round_trip = None;
        for (index, item) in (first..).zip(feedback.items()) {
            let Some(arrival) = item.filter(|_| logged.contains(&index)) else { continue };
            let number = index.wrapping_add(shift);
            let before_us = u64::from(arrival.before_us);
            let arrived_us = reference_us.saturating_sub(before_us);
            let at_us = (!arrival.is_long_ago()).then_some(arrived_us);
            let came = Came { at_us, ce: arrival.ecn == Ecn::Ce };
            if let Some(sent_at) = self.sent.on_arrived(self.memory.sent(), number, came)
                && at_us.is_some()
            {
                round_trip = Some(received_at.micros_since(sent_at).saturating_sub(before_us));
            }
        }
        if let Some(micros) = round_trip {
            self.clock.on_round_trip(micros);
        }
        self.tell(now);
    }

    /// Whether this viewer asks for what it lacks, and an answer comes about as soon as the next picture would: then
    /// pictures leave with less parity (SPEC §11.12).
    fn settle_parity(&mut self, round_trip_us: u64) {
        let was_answered = self.delta.is_answered();
        let longest_us = if was_answered { ANSWERED_US + ANSWERED_US / 4 } else { ANSWERED_US };
        let is_answered = self.video_out.is_asked() && round_trip_us <= longest_us;
        if is_answered != was_answered {
            self.delta.set_answered(is_answered);
            self.memory.flight().1.record(|| FlightEntry::Answered { is_answered });
        }
    }

    /// Tells congestion control and the channels what has become of packets.
    fn tell(&mut self, now: Instant) {
        let round_trip = self.round_trip_us();
        self.settle_parity(round_trip);
        self.settle_window(round_trip);
        let patience = (round_trip / 4).clamp(2_000, 50_000);
        let overdue = round_trip + REPORT_PATIENCE_US;
        let (ring, mut recorder) = self.memory.flight();
        let (sent, latches) = (&mut self.sent, &mut self.latches);
        let (streams, bulk, stats) = (&mut self.streams, &mut self.bulk, &mut self.stats);
        let (loss, mtu) = (&mut self.loss, &mut self.active.mtu);
        let (mut narrowed, mut forgotten) = (None, 0_usize);
        let granted_bps = self.delta.budget().pacing_bps;
        let reports = core::iter::from_fn(|| {
            loop {
                let told = sent.tell(ring, now, patience, overdue)?;
                if told.carried.contains(Carried::MTU_PROBE) {
                    // SPEC §16.8: that it was too long says nothing of anything else.
                    mtu.on_probe(now, told.arrived.is_some());
                    continue;
                }
                let fate = mtu.on_fate(now, told.bytes, told.arrived.is_some(), granted_bps);
                narrowed = narrowed.or(fate);
                loss.on_packet(told.arrived.is_none());
                let outcome = match told.arrived {
                    Some(Came { at_us, ce }) => {
                        stats.packets_arrived += 1;
                        latches.on_arrived(told.carried, told.packet_number);
                        // SPEC §12.2: a peer that stood still is no queue.
                        at_us.map(|at_us| Outcome::Arrived { at_us, ce })
                    }
                    None => {
                        stats.packets_lost += 1;
                        latches.on_lost(told.carried, told.packet_number);
                        let parts = streams.iter_mut().zip(Carried::STREAMS);
                        let lost = parts.filter(|(_, carried)| told.carried.contains(*carried));
                        lost.for_each(|(stream, _)| stream.on_lost(now, round_trip));
                        Some(Outcome::Lost)
                    }
                };
                let Some(outcome) = outcome else {
                    // It has arrived, whenever that was.
                    if told.carried.intersects(Carried::BULK) {
                        bulk.on_arrived(told.bytes);
                    }
                    forgotten += eliciting_bytes(&told);
                    continue;
                };
                let report = PacketReport { sent_at: told.sent_at, bytes: told.bytes, outcome };
                if told.carried.intersects(Carried::BULK) {
                    bulk.on_told(now, &report, round_trip);
                }
                // SPEC §16.9: what was too long for the path tells nothing of its rate.
                if told.arrived.is_none() && told.bytes > mtu.len() {
                    forgotten += eliciting_bytes(&told);
                    continue;
                }
                // Packets that want no feedback may wait long for it: that is no delay of the path.
                if told.carried.contains(Carried::ELICITING) {
                    recorder.record(|| FlightEntry::Report(report));
                    return Some(report);
                }
            }
        });
        if self.side == Side::Responder {
            let round_trip_us = u32::try_from(round_trip).unwrap_or(u32::MAX);
            self.delta.on_feedback(now, round_trip_us, reports);
            self.on_granted(|| FlightEntry::Feedback { at: now, round_trip_us });
            self.drop_outdated();
        } else {
            reports.for_each(drop);
        }
        self.forget_bytes(forgotten);
        if let Some(before_bps) = narrowed {
            self.on_narrower();
            // Losses told until then told nothing of the rate.
            self.restart_control(before_bps);
        }
    }
}

/// What congestion control counts as under way of a packet.
fn eliciting_bytes(told: &Told) -> usize {
    if told.carried.contains(Carried::ELICITING) { usize::from(told.bytes) } else { 0 }
}
