//! The clipboard and files, as far as nobody else wants the path (SPEC §9.3).

use super::transmit::realtime;
use super::{Carried, Class, Session, TAG_LEN, Transmit};
use crate::channel::Priority;
use crate::crypto::{Handshake, Side};
use crate::delta::Controller as _;
use crate::limits::DATAGRAM_MIN;
use crate::storage::Memory;
use crate::time::Instant;
use crate::wire::Writer;
use crate::wire::header::DataHeader;
use crate::wire::stream::Channel;

impl<M: Memory, H: Handshake> Session<M, H> {
    /// Whether a stream of bulk has something to send.
    fn has_bulk(&self, now: Instant) -> bool {
        let granted = self.granted();
        Channel::ALL.into_iter().any(|channel| {
            channel.priority() == Priority::Bulk
                && granted.allow_stream(self.side, channel)
                && self.stream(channel).is_due(now)
        })
    }

    /// When bulk may leave; `None` while it has nothing, or waits for something that has a timer of its own: shards,
    /// or an account of what is on the way.
    pub(super) fn bulk_due(&self) -> Option<Instant> {
        let granted = self.granted();
        if self.video_out.peek().is_some() {
            return None;
        }
        if self.has_bulk(self.now) {
            return self.bulk_ready_at();
        }
        let mine = Channel::ALL.into_iter().filter(|&channel| {
            channel.priority() == Priority::Bulk && granted.allow_stream(self.side, channel)
        });
        mine.filter_map(|channel| self.stream(channel).resend_due()).min()
    }

    fn bulk_ready_at(&self) -> Option<Instant> {
        let is_granted = self.side == Side::Initiator
            || self.delta.sendable_bytes(self.now) >= self.picture_datagram_len();
        if self.is_bulk_overdue(self.now) {
            return Some(self.now);
        }
        self.bulk.ready_at().filter(|_| is_granted)
    }

    /// Whether nothing was heard of what was sent.
    fn is_bulk_overdue(&self, now: Instant) -> bool {
        let is_overdue = |channel| self.stream(channel).is_overdue(now);
        Channel::ALL.into_iter().any(|channel| channel.priority() == Priority::Bulk && is_overdue(channel))
    }

    /// One datagram of the clipboard or of files, once nothing else wants to leave.
    pub(super) fn transmit_bulk(&mut self, now: Instant, out: &mut [u8]) -> Option<Transmit> {
        if !self.is_established() || self.video_out.peek().is_some() || !self.has_bulk(now) {
            return None;
        }
        if self.bulk_ready_at().is_none_or(|at| at > now) {
            return None;
        }
        // It may have been too long.
        let len = if self.is_bulk_overdue(now) { DATAGRAM_MIN } else { self.picture_datagram_len() };
        let end = len.min(out.len()) - TAG_LEN;
        let mut writer = Writer::new(&mut out[DataHeader::LEN..end]);
        let mut carried = Carried::empty();
        self.write_streams(Priority::Bulk, now, &mut writer, &mut carried);
        let payload_len = writer.len();
        if payload_len == 0 {
            return None;
        }
        let len = self.seal(out, payload_len)?;
        self.note_sent(now, len, carried);
        let grant = (self.side == Side::Responder).then(|| self.delta.budget().pacing_bps);
        self.bulk.on_sent(now, len, grant, self.round_trip_us());
        self.pacer.on_sent(now, len);
        Some(Transmit { class: Class::Bulk, ..realtime(self.active.id, len) })
    }
}
