//! What begins anew when the path is another one: what was under way is said again, and congestion control knows nothing
//! any more (SPEC §16.5).

use super::sent::Told;
use super::{Carried, Session};
use crate::crypto::{Handshake, Side};
use crate::delta::{self, Controller as _, Outcome, PacketReport};
use crate::flight::FlightEntry;
use crate::profile::Profile;
use crate::storage::Memory;
use crate::time::Instant;

impl<M: Memory, H: Handshake> Session<M, H> {
    /// Nothing will be heard of what is under way: all of it is said again.
    pub(super) fn forget_flight(&mut self, now: Instant) {
        while let Some(told) = self.sent.forget(self.memory.sent()) {
            self.say_again(now, &told);
        }
    }

    /// One more packet can be remembered: where there is no room the oldest of which nothing was heard is forgotten, and
    /// what it carried is said again.
    pub(super) fn make_room(&mut self, now: Instant) {
        if self.sent.has_room(self.memory.sent().len(), 1) {
            return;
        }
        let Some(told) = self.sent.forget(self.memory.sent()) else { return };
        self.say_again(now, &told);
        if told.carried.contains(Carried::ELICITING) {
            self.forget_bytes(told.bytes.into());
        }
    }

    /// Congestion control will hear nothing of so many bytes that it waits to hear of.
    pub(super) fn forget_bytes(&mut self, mut count: usize) {
        while count > 0 && self.side == Side::Responder {
            let bytes = u16::try_from(count).unwrap_or(u16::MAX);
            self.delta.on_forgotten(bytes.into());
            self.memory.flight().1.record(|| FlightEntry::Forgotten { bytes });
            count -= usize::from(bytes);
        }
    }

    fn say_again(&mut self, now: Instant, told: &Told) {
        let round_trip = self.round_trip_us();
        self.latches.on_forgotten(told.carried, told.packet_number);
        for (stream, carried) in self.streams.iter_mut().zip(Carried::STREAMS) {
            if told.carried.contains(carried) {
                stream.on_lost(now, round_trip);
            }
        }
        if told.carried.intersects(Carried::BULK) {
            let report = PacketReport { sent_at: told.sent_at, bytes: told.bytes, outcome: Outcome::Lost };
            self.bulk.on_told(now, &report, round_trip);
        }
    }

    /// Another path has another rate, and another round trip.
    pub(super) fn begin_control(&mut self, now: Instant) {
        self.restart_control(self.config.bitrate_bps_start);
        self.clock.request_now(now);
    }

    /// Host: congestion control knows nothing any more but the rate to begin with.
    pub(super) fn restart_control(&mut self, bitrate_bps: u32) {
        if self.side != Side::Responder {
            return;
        }
        self.delta = <M::Profile as Profile>::Controller::new(&delta::Config {
            bitrate_bps_min: self.config.bitrate_bps_min,
            bitrate_bps_start: bitrate_bps,
            bitrate_bps_max: self.config.bitrate_bps_max,
        });
        let (_, mut recorder) = self.memory.flight();
        recorder.record(|| FlightEntry::Restarted { bitrate_bps });
        if let Some(message) = self.parameters {
            let millihertz = message.parameters.rate_millihertz;
            self.delta.set_picture_rate(millihertz);
            recorder.record(|| FlightEntry::PictureRate { millihertz });
        }
        self.pacer.set_rate(u64::from(self.delta.budget().pacing_bps));
    }
}
