//! Reliable, ordered bytes: a window each way, acknowledged by offset and by what came beyond it (SPEC §14).
//!
//! What is lost is sent again, and only that: the receiver keeps what comes out of order in its window and says so.
//! Offsets count from 0 and are 32 bits on the wire. It knows neither what the bytes mean nor who may send them.
//!
//! Invariant: nothing beyond the window is ever written to the ring, and nothing already taken is written again.

#[cfg(test)]
mod tests;

use heapless::vec::VecInner;

use crate::limits::STREAM_GAPS_MAX;
use crate::profile::Profile;
use crate::time::Instant;
use crate::wire::Writer;
use crate::wire::frame::{FrameType, emit};
use crate::wire::stream::{Channel, Ranges, StreamAcknowledged, StreamPart};

/// Bytes of one frame at most among others: two of them and some control frames still fit the smallest datagram.
pub(crate) const PART_MAX: usize = 1024;

pub(crate) struct Stream<P: Profile> {
    // Sending: acknowledged ≤ next ≤ written, written − acknowledged ≤ ring.
    acknowledged: u64,
    next: u64,
    written: u64,
    limit: u64,
    /// What the peer has beyond `acknowledged`, as it last said.
    beyond: Spans<P>,
    /// What lies between and is not in `beyond` is due again.
    resend: (u64, u64),
    /// One past what had been sent when a loss was last told.
    lossy_end: u64,
    /// When everything not acknowledged was last gone through for that.
    resent_at: Instant,
    /// When `acknowledged` last grew.
    moved_at: Instant,
    /// When what is in flight is sent again if nothing is heard.
    resend_at: Option<Instant>,
    /// Times the peer was asked for credit and gave none.
    probes: u8,
    was_full: bool,
    // Receiving: read ≤ received, received − read ≤ ring.
    read: u64,
    received: u64,
    /// What came out of order.
    later: Spans<P>,
    acknowledge: bool,
    announced_limit: u64,
    readable: bool,
    writable: bool,
}

impl<P: Profile> Stream<P> {
    /// A stream whose peer may be sent [`FIRST_CREDIT`] bytes before it has said anything.
    pub(crate) fn new() -> Self {
        Self {
            acknowledged: 0,
            next: 0,
            written: 0,
            limit: FIRST_CREDIT,
            beyond: Spans::new(),
            resend: (0, 0),
            lossy_end: 0,
            resent_at: Instant::ZERO,
            moved_at: Instant::ZERO,
            resend_at: None,
            probes: 0,
            was_full: false,
            read: 0,
            received: 0,
            later: Spans::new(),
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

    /// Bytes written and not yet acknowledged.
    pub(crate) const fn unacknowledged_len(&self) -> usize {
        (self.written - self.acknowledged) as usize
    }

    /// Whether a frame should leave at `now`.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        let is_timer_over = self.resend_at.is_some_and(|at| at <= now);
        is_timer_over || self.next_part().is_some() || (self.is_blocked() && self.resend_at.is_none())
    }

    /// Whether all that may be sent was taken, and more is waiting for credit.
    const fn is_blocked(&self) -> bool {
        self.acknowledged == self.next && self.next >= self.limit && self.written > self.next
    }

    /// Whether what is in flight has not been acknowledged for too long.
    pub(crate) fn is_overdue(&self, now: Instant) -> bool {
        self.acknowledged < self.next && self.resend_at.is_some_and(|at| at <= now)
    }

    pub(crate) const fn acknowledge_due(&self) -> bool {
        self.acknowledge
    }

    pub(crate) const fn resend_due(&self) -> Option<Instant> {
        self.resend_at
    }

    /// The bytes to leave next: what is due again, then what is new.
    fn next_part(&self) -> Option<(u64, u64)> {
        let start = self.beyond.first_outside(self.resend.0.max(self.acknowledged));
        let end = self.beyond.end_of_gap(start).min(self.resend.1);
        if start < end {
            return Some((start, end));
        }
        let end = self.written.min(self.limit);
        (self.next < end).then_some((self.next, end))
    }

    /// Appends the next part if there is one and some of it fits.
    pub(crate) fn emit(
        &mut self,
        channel: Channel,
        ring: &[u8],
        now: Instant,
        timeout_us: u64,
        part_max: usize,
        writer: &mut Writer<'_>,
    ) -> Option<()> {
        if self.is_overdue(now) {
            self.resend = (self.acknowledged, self.next);
            self.resent_at = now;
        }
        let Some((start, end)) = self.next_part() else {
            if self.is_blocked() {
                return self.emit_probe(channel, now, timeout_us, writer);
            }
            self.resend_at = None;
            return None;
        };
        let room = writer.room().saturating_sub(StreamPart::HEAD_LEN + 3);
        let count = ((end - start) as usize).min(room).min(part_max);
        if count == 0 {
            return None;
        }
        emit(writer, FrameType::Stream, |body| {
            StreamPart::emit_head(body, channel, start as u32)?;
            copy_out(ring, start, body.reserve(count)?);
            Some(())
        })?;
        let end = start + count as u64;
        if start < self.resend.1 {
            self.resend.0 = end;
        }
        self.next = self.next.max(end);
        self.resend_at = Some(now.plus_micros(timeout_us));
        Some(())
    }

    /// Asks for credit with a part of no bytes: that which gave it may have been lost.
    fn emit_probe(
        &mut self,
        channel: Channel,
        now: Instant,
        timeout_us: u64,
        writer: &mut Writer<'_>,
    ) -> Option<()> {
        emit(writer, FrameType::Stream, |body| StreamPart::emit_head(body, channel, self.next as u32))?;
        self.resend_at = Some(now.plus_micros(timeout_us << self.probes.min(PROBE_BACKOFF_MAX)));
        self.probes = self.probes.saturating_add(1);
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
        let beyond: Ranges = self.later.0.iter().map(|&(start, end)| (start as u32, end as u32)).collect();
        let message = StreamAcknowledged { channel, next: self.received as u32, limit: limit as u32, beyond };
        emit(writer, FrameType::StreamAcknowledged, |body| message.emit(body))?;
        self.announced_limit = limit;
        self.acknowledge = false;
        Some(())
    }

    /// A packet with a part of this stream was lost: what the peer lacks up to the last it has is due again, but no
    /// byte twice in `round_trip_us`.
    pub(crate) fn on_lost(&mut self, now: Instant, round_trip_us: u64) {
        let end = self.beyond.end().unwrap_or(self.next);
        if now >= self.resent_at.plus_micros(round_trip_us) {
            self.resend.0 = self.acknowledged;
            self.resent_at = now;
        }
        self.resend.1 = self.resend.1.max(end);
        self.lossy_end = self.next;
    }

    pub(crate) fn on_part(&mut self, ring: &mut [u8], part: &StreamPart<'_>) {
        self.acknowledge = true;
        let offset = near(part.offset, self.received);
        let end = (offset + part.data.len() as u64).min(self.read + ring.len() as u64);
        let start = offset.max(self.received);
        if start >= end {
            return;
        }
        if start == self.received {
            self.received = self.later.absorb(end);
            self.readable = true;
        } else if !self.later.insert(start, end) {
            return;
        }
        copy_in(ring, start, &part.data[(start - offset) as usize..(end - offset) as usize]);
    }

    /// The peer says what it has. `timeout_us` as for [`Self::emit`].
    pub(crate) fn on_acknowledged(&mut self, now: Instant, timeout_us: u64, message: &StreamAcknowledged) {
        let next = near(message.next, self.acknowledged);
        // An acknowledgement of what was never sent is a lie or a very old one.
        if next > self.next || next < self.acknowledged {
            return;
        }
        if next > self.acknowledged {
            self.acknowledged = next;
            self.moved_at = now;
            self.resend_at = self.resend_at.filter(|_| self.acknowledged < self.next);
            self.probes = 0;
            self.writable |= self.was_full;
            self.was_full = false;
        }
        self.beyond = Spans::new();
        for (start, end) in &message.beyond {
            let (start, end) = (near(*start, next), near(*end, next));
            if start > next && start < end && end <= self.next {
                let _ = self.beyond.insert(start, end);
            }
        }
        if let Some(end) = self.beyond.end() {
            self.look_back(now, timeout_us, end);
        }
        self.limit = self.limit.max(near(message.limit, self.limit));
        if self.limit > self.next && self.acknowledged == self.next {
            self.resend_at = None;
        }
    }

    /// The peer has something up to `end` and lacks something before. What was sent before a loss was told and is now
    /// overtaken was lost too; and where new parts leave again and again, so that the timer never runs out, what has
    /// not come for so long is lost all the same.
    fn look_back(&mut self, now: Instant, timeout_us: u64, end: u64) {
        self.resend.1 = self.resend.1.max(end.min(self.lossy_end));
        if now >= self.moved_at.max(self.resent_at).plus_micros(OVERTAKEN_TIMEOUTS * timeout_us) {
            self.resend = (self.acknowledged, end);
            self.resent_at = now;
        }
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
/// What is overtaken by later parts is sent again after so many timeouts without one that ran out.
const OVERTAKEN_TIMEOUTS: u64 = 2;
/// The pause between requests for credit doubles this often.
const PROBE_BACKOFF_MAX: u8 = 4;

/// Runs of bytes, in order, apart from each other.
struct Spans<P: Profile>(VecInner<Span, usize, P::Room<Span, STREAM_GAPS_MAX>>);

type Span = (u64, u64);

impl<P: Profile> Spans<P> {
    fn new() -> Self {
        Self(P::list::<_, STREAM_GAPS_MAX>())
    }

    /// Adds a run; `false` when it would be one too many.
    fn insert(&mut self, mut start: u64, mut end: u64) -> bool {
        while let Some(index) = self.0.iter().position(|&(from, to)| from <= end && start <= to) {
            let (from, to) = self.0.remove(index);
            (start, end) = (start.min(from), end.max(to));
        }
        let at = self.0.iter().position(|&(from, _)| from > end).unwrap_or(self.0.len());
        self.0.insert(at, (start, end)).is_ok()
    }

    /// Takes the runs that continue what ends at `end`, and returns where all of it ends.
    fn absorb(&mut self, mut end: u64) -> u64 {
        while let Some(&(start, its_end)) = self.0.first()
            && start <= end
        {
            end = end.max(its_end);
            self.0.remove(0);
        }
        end
    }

    /// `offset`, or the end of the run it lies in.
    fn first_outside(&self, offset: u64) -> u64 {
        let inside = self.0.iter().find(|&&(start, end)| start <= offset && offset < end);
        inside.map_or(offset, |&(_, end)| end)
    }

    /// Where the next run after `offset` begins.
    fn end_of_gap(&self, offset: u64) -> u64 {
        self.0.iter().find(|&&(start, _)| start > offset).map_or(u64::MAX, |&(start, _)| start)
    }

    /// The end of the last run.
    fn end(&self) -> Option<u64> {
        self.0.last().map(|&(_, end)| end)
    }
}

/// The 64-bit offset nearest to `reference` whose low 32 bits are `low`.
const fn near(low: u32, reference: u64) -> u64 {
    let ahead = low.wrapping_sub(reference as u32) as i32;
    reference.saturating_add_signed(ahead as i64)
}

fn copy_in(ring: &mut [u8], offset: u64, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let start = (offset % ring.len() as u64) as usize;
    let first = bytes.len().min(ring.len() - start);
    ring[start..start + first].copy_from_slice(&bytes[..first]);
    ring[..bytes.len() - first].copy_from_slice(&bytes[first..]);
}

fn copy_out(ring: &[u8], offset: u64, out: &mut [u8]) {
    if out.is_empty() {
        return;
    }
    let start = (offset % ring.len() as u64) as usize;
    let first = out.len().min(ring.len() - start);
    let rest = out.len() - first;
    out[..first].copy_from_slice(&ring[start..start + first]);
    out[first..].copy_from_slice(&ring[..rest]);
}
