//! Reliable, ordered bytes: a window each way, acknowledged by offset (SPEC §14).
//!
//! What is lost is sent again from the first byte not acknowledged; what comes out of order is dropped. These
//! streams carry little (messages, cursor shapes), so simple wins. Offsets count from 0 and are 32 bits on the wire.

use crate::time::Instant;
use crate::wire::Writer;
use crate::wire::frame::{FrameType, emit};
use crate::wire::stream::{Channel, StreamAcknowledged, StreamPart};

/// Bytes of one frame at most: two of them and some control frames still fit the smallest datagram.
const PART_MAX: usize = 1024;

#[derive(Clone, Debug)]
pub(crate) struct Stream {
    // Sending: acknowledged ≤ next ≤ written, written − acknowledged ≤ ring.
    acknowledged: u64,
    next: u64,
    written: u64,
    limit: u64,
    /// When what is in flight is sent again if nothing is heard.
    resend_at: Option<Instant>,
    was_full: bool,
    // Receiving: read ≤ received, received − read ≤ ring.
    read: u64,
    received: u64,
    acknowledge: bool,
    announced_limit: u64,
    readable: bool,
    writable: bool,
}

impl Stream {
    /// A stream whose peer may be sent `first_limit` bytes before it has said anything.
    pub(crate) const fn new() -> Self {
        Self {
            acknowledged: 0,
            next: 0,
            written: 0,
            limit: FIRST_CREDIT,
            resend_at: None,
            was_full: false,
            read: 0,
            received: 0,
            acknowledge: false,
            announced_limit: FIRST_CREDIT,
            readable: false,
            writable: false,
        }
    }

    /// Takes as many bytes as there is room for and returns how many.
    pub(crate) fn write(&mut self, ring: &mut [u8], bytes: &[u8]) -> usize {
        let room = ring.len() - (self.written - self.acknowledged) as usize;
        let count = bytes.len().min(room);
        copy_in(ring, self.written, &bytes[..count]);
        self.written += count as u64;
        self.was_full |= count < bytes.len();
        count
    }

    /// Gives received bytes, in order, and returns how many.
    pub(crate) fn read(&mut self, ring: &[u8], out: &mut [u8]) -> usize {
        let count = out.len().min((self.received - self.read) as usize);
        copy_out(ring, self.read, &mut out[..count]);
        self.read += count as u64;
        // Half a window of new credit is worth a frame of its own.
        if self.read + ring.len() as u64 >= self.announced_limit + ring.len() as u64 / 2 {
            self.acknowledge = true;
        }
        count
    }

    /// Bytes waiting to be read.
    pub(crate) const fn readable_len(&self) -> usize {
        (self.received - self.read) as usize
    }

    /// Whether a frame should leave at `now`.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.next < self.written.min(self.limit) || self.resend_at.is_some_and(|at| at <= now)
    }

    pub(crate) const fn acknowledge_due(&self) -> bool {
        self.acknowledge
    }

    pub(crate) const fn resend_due(&self) -> Option<Instant> {
        self.resend_at
    }

    /// Appends the next part if there is one and it fits.
    pub(crate) fn emit(
        &mut self,
        channel: Channel,
        ring: &[u8],
        now: Instant,
        timeout_us: u64,
        writer: &mut Writer<'_>,
    ) -> Option<()> {
        if self.resend_at.is_some_and(|at| at <= now) {
            self.next = self.acknowledged;
        }
        let waiting = (self.written.min(self.limit).saturating_sub(self.next)) as usize;
        let room = writer.room().saturating_sub(StreamPart::HEAD_LEN + 3);
        let count = waiting.min(room).min(PART_MAX);
        if count == 0 {
            return None;
        }
        emit(writer, FrameType::Stream, |body| {
            StreamPart::emit_head(body, channel, self.next as u32)?;
            copy_out(ring, self.next, body.reserve(count)?);
            Some(())
        })?;
        self.next += count as u64;
        self.resend_at = Some(now.plus_micros(timeout_us));
        Some(())
    }

    /// Appends an acknowledgement if one is due and it fits.
    pub(crate) fn emit_acknowledged(
        &mut self,
        channel: Channel,
        ring_len: usize,
        writer: &mut Writer<'_>,
    ) -> Option<()> {
        if !self.acknowledge {
            return None;
        }
        let limit = self.read + ring_len as u64;
        let message = StreamAcknowledged { channel, next: self.received as u32, limit: limit as u32 };
        emit(writer, FrameType::StreamAcknowledged, |body| message.emit(body))?;
        self.announced_limit = limit;
        self.acknowledge = false;
        Some(())
    }

    /// A packet with a part of this stream was lost.
    pub(crate) const fn on_lost(&mut self) {
        self.next = self.acknowledged;
    }

    pub(crate) fn on_part(&mut self, ring: &mut [u8], part: &StreamPart<'_>) {
        self.acknowledge = true;
        let offset = near(part.offset, self.received);
        let Some(skip) = self.received.checked_sub(offset).and_then(|skip| usize::try_from(skip).ok()) else {
            return;
        };
        let Some(fresh) = part.data.get(skip..) else { return };
        let room = ring.len() - (self.received - self.read) as usize;
        let count = fresh.len().min(room);
        copy_in(ring, self.received, &fresh[..count]);
        self.received += count as u64;
        self.readable |= count > 0;
    }

    pub(crate) fn on_acknowledged(&mut self, message: &StreamAcknowledged) {
        let next = near(message.next, self.acknowledged);
        if next > self.written || next < self.acknowledged {
            return;
        }
        if next > self.acknowledged {
            self.acknowledged = next;
            self.next = self.next.max(next);
            self.resend_at = if self.acknowledged == self.next { None } else { self.resend_at };
            self.writable |= self.was_full;
            self.was_full = false;
        }
        self.limit = self.limit.max(near(message.limit, self.limit));
    }

    /// Whether bytes came since the last call.
    pub(crate) const fn take_readable(&mut self) -> bool {
        core::mem::replace(&mut self.readable, false)
    }

    /// Whether a writer that was refused may write again.
    pub(crate) const fn take_writable(&mut self) -> bool {
        core::mem::replace(&mut self.writable, false)
    }
}

/// What may be sent before the peer has said how much it takes; no ring is smaller (SPEC §14.2).
const FIRST_CREDIT: u64 = 64;

/// The 64-bit offset nearest to `reference` whose low 32 bits are `low`.
const fn near(low: u32, reference: u64) -> u64 {
    let ahead = low.wrapping_sub(reference as u32) as i32;
    reference.saturating_add_signed(ahead as i64)
}

fn copy_in(ring: &mut [u8], offset: u64, bytes: &[u8]) {
    let start = (offset % ring.len() as u64) as usize;
    let first = bytes.len().min(ring.len() - start);
    ring[start..start + first].copy_from_slice(&bytes[..first]);
    ring[..bytes.len() - first].copy_from_slice(&bytes[first..]);
}

fn copy_out(ring: &[u8], offset: u64, out: &mut [u8]) {
    let start = (offset % ring.len() as u64) as usize;
    let first = out.len().min(ring.len() - start);
    let rest = out.len() - first;
    out[..first].copy_from_slice(&ring[start..start + first]);
    out[first..].copy_from_slice(&ring[..rest]);
}
