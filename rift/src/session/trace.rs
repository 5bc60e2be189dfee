//! Where time went: from a hand's movement to the picture that shows it (SPEC §12.4–§12.5).
//!
//! Every stamp stands on this side's clock; those of the host were moved there by the clocks' relation. Each stage ends
//! where the next begins, so the stages sum to the total to the microsecond, whatever the error of that relation: the
//! error moves time between the stages that cross the path, and is told beside them.

use super::Session;
use crate::channel::video::PictureId;
use crate::crypto::{Handshake, Side};
use crate::storage::Memory;
use crate::time::Instant;
use crate::wire::input::InputShownMessage;
use crate::wire::picture::PictureHead;

/// When things happened to one picture on its way here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureTrace {
    /// Its pixels were read from the host's screen.
    pub captured_at: Instant,
    /// Its bytes were there.
    pub encoded_at: Instant,
    /// Its first shard left; when the shard that tells is lost, [`Self::encoded_at`].
    pub sent_at: Instant,
    /// Its first shard arrived.
    pub first_at: Instant,
    /// Nothing was missing any more.
    pub whole_at: Instant,
    /// How far the host's times may be wrong, in µs.
    pub error_us: u32,
}

impl PictureTrace {
    /// The stages of [`Self::stages`], in order.
    pub const STAGES: [&str; 6] = ["encode", "send", "network", "assemble", "decode", "present"];

    /// How long each stage took, in µs, and the sum: from the capture to the presentation. A stage that crosses the
    /// path may be negative by the clocks' error.
    #[must_use]
    pub fn stages(&self, decoded_at: Instant, presented_at: Instant) -> ([i64; 6], i64) {
        let [captured, encoded, sent, first, whole] = self.stamps();
        let stages = between(&[captured, encoded, sent, first, whole, decoded_at, presented_at]);
        (stages, total(&stages))
    }

    const fn stamps(&self) -> [Instant; 5] {
        [self.captured_at, self.encoded_at, self.sent_at, self.first_at, self.whole_at]
    }
}

/// When things happened to an input event until a picture was captured after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputTrace {
    /// The first picture captured after the event was injected.
    pub picture: PictureId,
    /// The event's number, modulo 2³²: of several that a picture shows first, the newest.
    pub event: u32,
    /// The application gave it to the session.
    pub created_at: Instant,
    /// The host received it.
    pub received_at: Instant,
    /// The host's application had injected it.
    pub injected_at: Instant,
}

impl InputTrace {
    /// The stages of [`Self::stages`], in order.
    pub const STAGES: [&str; 9] =
        ["uplink", "inject", "wait", "encode", "send", "network", "assemble", "decode", "present"];

    /// How long each stage took, in µs, and the sum: from the event's creation to the presentation of `picture`, which
    /// is the trace of [`Self::picture`].
    #[must_use]
    pub fn stages(
        &self,
        picture: &PictureTrace,
        decoded_at: Instant,
        presented_at: Instant,
    ) -> ([i64; 9], i64) {
        let [captured, encoded, sent, first, whole] = picture.stamps();
        let stages = between(&[
            self.created_at,
            self.received_at,
            self.injected_at,
            captured,
            encoded,
            sent,
            first,
            whole,
            decoded_at,
            presented_at,
        ]);
        (stages, total(&stages))
    }
}

/// The differences of neighbours.
fn between<const STAMPS: usize, const STAGES: usize>(stamps: &[Instant; STAMPS]) -> [i64; STAGES] {
    const { assert!(STAMPS == STAGES + 1, "a stage lies between two stamps") };
    let micros = |instant: Instant| instant.as_micros().cast_signed();
    core::array::from_fn(|stage| micros(stamps[stage + 1]).wrapping_sub(micros(stamps[stage])))
}

fn total(stages: &[i64]) -> i64 {
    stages.iter().sum()
}

impl<M: Memory, H: Handshake> Session<M, H> {
    /// Client: when things happened to a delivered picture; its head and arrival stand in
    /// [`Media`](crate::Media) and [`TakenMedia`](crate::TakenMedia). `None` while the clocks' relation is unknown, or
    /// when the capture is more than half an hour from `now`.
    #[must_use]
    pub fn picture_trace(
        &self,
        now: Instant,
        head: &PictureHead,
        first_at: Instant,
        whole_at: Instant,
    ) -> Option<PictureTrace> {
        let error_us = self.clock.relation(now)?.error_us;
        let captured_at = self.peer_time(head.captured_us, now)?;
        let sent_after = head.sent_after_us.max(head.encoded_after_us);
        Some(PictureTrace {
            captured_at,
            encoded_at: captured_at.plus_micros(head.encoded_after_us.into()),
            sent_at: captured_at.plus_micros(sent_after.into()),
            first_at,
            whole_at,
            error_us,
        })
    }

    /// Host: says that everything [`Event::Input`](super::Event::Input) has told of is injected now, so that the viewer
    /// learns which picture shows it. Free when nothing came.
    pub fn input_injected(&mut self, now: Instant) {
        if self.side == Side::Responder {
            self.input_in.on_injected(now);
        }
    }

    pub(super) fn on_input_shown(&mut self, now: Instant, message: &InputShownMessage) {
        let created_at = self.input_out.created_at(message.event, now);
        let received_at = self.peer_time(message.received_us, now);
        if let (Some(created_at), Some(received_at)) = (created_at, received_at) {
            self.pending.shown = Some(InputTrace {
                picture: message.picture,
                event: message.event,
                created_at,
                received_at,
                injected_at: received_at.plus_micros(message.injected_after_us.into()),
            });
        }
    }
}
