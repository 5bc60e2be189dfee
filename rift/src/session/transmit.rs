//! What goes out: small things at once, shards as pacing lets them (SPEC §9).

use super::sealing::seal;
use super::{Carried, Class, PathId, Session, TAG_LEN, Transmit};
use crate::channel::Priority;
use crate::channel::capture::CaptureState;
use crate::channel::permissions::Permissions;
use crate::channel::stream::PART_MAX;
use crate::channel::video::PictureId;
use crate::channel::video::pictures::PictureStore;
use crate::crypto::{Handshake, Side, packet_number};
use crate::delta::Controller as _;
use crate::flight::FlightEntry;
use crate::limits::DATAGRAM_MIN;
use crate::storage::Memory;
use crate::time::Instant;
use crate::wire::Writer;
use crate::wire::capture::CaptureStateMessage;
use crate::wire::close::Admitted;
use crate::wire::feedback::Ecn;
use crate::wire::frame::{FrameType, emit, emit_last};
use crate::wire::header::DataHeader;
use crate::wire::input::{InputAcknowledged, RumbleMessage};
use crate::wire::shard::ShardHead;
use crate::wire::stream::Channel;
use crate::wire::video::{Repair, VideoPosition};

/// The most segments one batch may have: what Linux takes (`UDP_MAX_SEGMENTS`).
const BATCH_SEGMENTS_MAX: usize = 64;
/// The most bytes one batch may have: what an IP packet can say.
const BATCH_BYTES_MAX: usize = 65_000;
/// No packet number is used twice; long before the last one the session ends.
const PACKET_NUMBER_MAX: u64 = 1 << 47;

impl<M: Memory, H: Handshake> Session<M, H> {
    /// Seals into `out` what should leave at `now`: one datagram, or a batch of equal ones (see
    /// [`Transmit::segment`]). `pictures` is where the pictures given to [`Self::send_picture`] lie.
    ///
    /// Work: one batch.
    ///
    /// # Panics
    /// When `out` is shorter than the longest datagram of [`super::Config`].
    #[must_use]
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        pictures: &impl PictureStore,
        out: &mut [u8],
    ) -> Option<Transmit> {
        self.poll_realtime(now, out)
            .or_else(|| self.transmit_media(now, pictures, out))
            .or_else(|| self.transmit_bulk(now, out))
            .or_else(|| self.transmit_mtu_probe(now, out))
    }

    /// Like [`Self::poll_transmit`], but leaves shards where they are. For a driver with many sessions, whose small
    /// datagrams leave before anybody's pictures, and for one whose socket takes no more for now.
    ///
    /// # Panics
    /// When `out` is shorter than the longest datagram of [`super::Config`].
    #[must_use]
    pub fn poll_realtime(&mut self, now: Instant, out: &mut [u8]) -> Option<Transmit> {
        let longest = self.config.datagram_len.max(self.config.datagram_len_max);
        assert!(out.len() >= usize::from(longest), "out holds a datagram");
        self.now = self.now.max(now);
        if let Some(transmit) = self.transmit_handshake(now, out) {
            return Some(transmit);
        }
        if !self.is_established() {
            return None;
        }
        if self.sent.next() >= PACKET_NUMBER_MAX {
            self.finish(now, None, super::CloseReason::Exhausted);
            return None;
        }
        if !self.is_live() {
            return self.transmit_on_trial(now, out);
        }
        if let Some(transmit) = self.transmit_aside(now, out) {
            return Some(transmit);
        }
        if self.active.room.is_none() {
            return self.transmit_realtime(now, out);
        }
        if self.is_trial_spent() {
            return None;
        }
        let room = self.trial_room().min(out.len());
        let transmit = self.transmit_realtime(now, &mut out[..room]);
        self.spend_trial(transmit.map_or(0, |transmit| transmit.len));
        transmit
    }

    /// One datagram with everything small that is due and fits `out`.
    pub(super) fn transmit_realtime(&mut self, now: Instant, out: &mut [u8]) -> Option<Transmit> {
        let end = out.len().min(DATAGRAM_MIN) - TAG_LEN;
        let mut writer = Writer::new(&mut out[DataHeader::LEN..end]);
        let mut carried = Carried::empty();
        self.say_pause(now);
        for priority in Priority::TABLE {
            match priority {
                Priority::InputAndControl => {
                    self.write_control(now, &mut writer, &mut carried);
                    self.write_renewal(now, &mut writer, &mut carried);
                    self.write_connections(now, &mut writer, &mut carried);
                    self.write_paths(now, &mut writer, &mut carried);
                    self.write_datagram_limit(now, &mut writer, &mut carried);
                    self.write_input(now, &mut writer, &mut carried);
                    self.write_viewer(now, &mut writer, &mut carried);
                    self.write_video_control(now, &mut writer, &mut carried);
                    self.write_acknowledgements(&mut writer);
                }
                Priority::Cursor => self.write_cursor(now, &mut writer, &mut carried),
                Priority::Audio => self.write_audio(&mut writer, &mut carried),
                // They leave in datagrams of their own class.
                Priority::Video | Priority::Bulk => {}
            }
            if priority.class() == Class::Realtime {
                self.write_streams(priority, now, &mut writer, &mut carried);
            }
        }
        let is_worth_it = writer.len() > 0 || self.arrivals.due().is_some_and(|due| due <= now);
        if is_worth_it && self.arrivals.is_pending() {
            let _ = self.arrivals.emit(self.memory.arrivals(), now, self.active.number as u8, &mut writer);
        }
        let payload_len = writer.len();
        if payload_len == 0 {
            return None;
        }
        let len = self.seal(out, payload_len)?;
        self.latches.on_sent(carried, self.sent.next(), now, self.repeat_us());
        self.note_sent(now, len, carried);
        Some(realtime(self.active.id, len))
    }

    fn write_control(&mut self, now: Instant, writer: &mut Writer<'_>, carried: &mut Carried) {
        if self.latches.is_due(Carried::ADMITTED, now)
            && let Some(permissions) = self.permissions
            && emit(writer, FrameType::Admitted, |body| Admitted { permissions }.emit(body)).is_some()
        {
            *carried |= Carried::ADMITTED | Carried::ELICITING;
        }
        if self.latches.is_due(Carried::TOKEN, now)
            && self.side == Side::Responder
            && let Some(token) = &self.token
            && emit(writer, FrameType::AddressToken, |body| body.bytes(token.as_bytes())).is_some()
        {
            *carried |= Carried::TOKEN | Carried::ELICITING;
        }
        self.write_successor(now, writer, carried);
        self.write_pairing(now, writer, carried);
        if let Some(reply) = self.clock.reply(now)
            && emit(writer, FrameType::ClockReply, |body| reply.emit(body)).is_some()
        {
            self.clock.reply_sent();
        }
        if self.request_due() <= now {
            self.count_rate(now);
            let request = self.clock.request(now);
            if emit(writer, FrameType::ClockRequest, |body| request.emit(body)).is_some() {
                *carried |= Carried::ELICITING;
            }
        }
    }

    fn write_input(&mut self, now: Instant, writer: &mut Writer<'_>, carried: &mut Carried) {
        if self.input_out.due().is_some_and(|due| due <= now) && self.input_out.emit(now, writer).is_some() {
            *carried |= Carried::ELICITING;
        }
        if self.input_in.acknowledge_due().is_some_and(|due| due <= now) {
            let message = InputAcknowledged { next: self.input_in.acknowledge(now) };
            let _ = emit(writer, FrameType::InputAcknowledged, |body| message.emit(body));
        }
        if self.latches.is_due(Carried::RUMBLE, now)
            && self.sendable_states().contains(Carried::RUMBLE)
            && emit(writer, FrameType::Rumble, |body| RumbleMessage::emit(body, self.rumbles.wishes()))
                .is_some()
        {
            *carried |= Carried::RUMBLE | Carried::ELICITING;
        }
    }

    fn write_video_control(&mut self, now: Instant, writer: &mut Writer<'_>, carried: &mut Carried) {
        if self.latches.is_due(Carried::PARAMETERS, now)
            && self.is_viewed()
            && let Some(message) = self.parameters
            && emit(writer, FrameType::StreamParameters, |body| message.emit(body)).is_some()
        {
            *carried |= Carried::PARAMETERS | Carried::ELICITING;
        }
        self.write_capture_state(now, writer, carried);
        let patience = self.picture_patience();
        while let Some(request) = self.video_in.ask(self.memory.pictures(), now, &patience) {
            if emit(writer, FrameType::MoreParity, |body| request.emit(body)).is_some() {
                self.stats.parity_requests += 1;
                *carried |= Carried::ELICITING;
            }
        }
        let repeat = self.repair_repeat_us();
        if self.video_in.repair_due(repeat).is_some_and(|due| due <= now) {
            let request = self.video_in.repair();
            if emit(writer, FrameType::Repair, |body| request.emit(body)).is_some() {
                self.video_in.repair_sent(now);
                *carried |= Carried::REPAIR | Carried::ELICITING;
            }
        }
        if self.latches.is_due(Carried::POSITION, now) && self.is_viewed() {
            let position = VideoPosition { picture: self.video_out.left() };
            if emit(writer, FrameType::VideoPosition, |body| position.emit(body)).is_some() {
                *carried |= Carried::POSITION | Carried::ELICITING;
            }
            if let Some(shown) = self.input_in.take_shown() {
                // Only a measurement: where there is no room for it, it is done without.
                let _ = emit(writer, FrameType::InputShown, |body| shown.emit(body));
            }
        }
    }

    fn write_capture_state(&mut self, now: Instant, writer: &mut Writer<'_>, carried: &mut Carried) {
        if !self.latches.is_due(Carried::CAPTURE, now) || !self.is_viewed() {
            return;
        }
        let Some((CaptureState { condition, since, signal }, change)) = self.capture else { return };
        let age_ms = u32::try_from(now.micros_since(since) / 1000).unwrap_or(u32::MAX);
        let message = CaptureStateMessage { condition, change, age_ms, signal };
        if emit(writer, FrameType::CaptureState, |body| message.emit(body)).is_some() {
            *carried |= Carried::CAPTURE | Carried::ELICITING;
        }
    }

    /// Parts of the streams of this priority.
    pub(super) fn write_streams(
        &mut self,
        priority: Priority,
        now: Instant,
        writer: &mut Writer<'_>,
        carried: &mut Carried,
    ) {
        let timeout = self.repeat_us();
        let part_max = if priority == Priority::Bulk { usize::MAX } else { PART_MAX };
        let (granted, is_live) = (self.granted(), self.is_live());
        for ((stream, channel), flag) in self.streams.iter_mut().zip(Channel::ALL).zip(Carried::STREAMS) {
            // Shapes of the cursor belong to what is seen.
            let may_leave = is_live || channel == Channel::Cursor;
            if channel.priority() != priority || !may_leave || !granted.allow_stream(self.side, channel) {
                continue;
            }
            if priority == Priority::Bulk && stream.is_overdue(now) {
                self.bulk.on_overdue();
            }
            let ring = self.memory.stream(channel).send;
            if stream.is_due(now) && stream.emit(channel, ring, now, timeout, part_max, writer).is_some() {
                *carried |= flag | Carried::ELICITING;
            }
        }
    }

    fn write_acknowledgements(&mut self, writer: &mut Writer<'_>) {
        for (stream, channel) in self.streams.iter_mut().zip(Channel::ALL) {
            if stream.acknowledge_due() {
                let _ = stream.emit_acknowledged(channel, self.memory.stream(channel).receive.len(), writer);
            }
        }
    }

    fn write_cursor(&mut self, now: Instant, writer: &mut Writer<'_>, carried: &mut Carried) {
        if self.latches.is_due(Carried::CURSOR, now)
            && self.is_viewed()
            && emit(writer, FrameType::Cursor, |body| self.cursor.emit(body)).is_some()
        {
            *carried |= Carried::CURSOR | Carried::ELICITING;
        }
    }

    pub(super) fn is_viewed(&self) -> bool {
        self.permissions.is_some_and(|granted| granted.contains(Permissions::VIEW))
    }

    /// What the client may have now: until it is live it sees at most (SPEC §4.13).
    pub(super) fn granted(&self) -> Permissions {
        let granted = self.permissions.unwrap_or(Permissions::empty());
        if self.is_live() { granted } else { granted & Permissions::VIEW }
    }

    /// The states that may be sent now: those of the picture go to viewers only (SPEC §8.3).
    pub(super) fn sendable_states(&self) -> Carried {
        if self.side == Side::Initiator {
            return self.viewer_states();
        }
        let viewed = if self.is_viewed() { Carried::all() } else { Carried::of_admission() };
        if self.granted().contains(Permissions::GAMEPAD) {
            viewed | Carried::RUMBLE
        } else {
            viewed.difference(Carried::RUMBLE)
        }
    }

    /// When shards may leave; `None` when none wait.
    pub(super) fn media_due(&self) -> Option<Instant> {
        let next = self.video_out.peek()?;
        let segment = segment_len(next.len);
        if self.trial_room() < segment {
            return None;
        }
        // Without the grant to send, feedback or DELTA's own timer is what is waited for.
        if self.delta.sendable_bytes(self.now) < segment && self.delta.poll_timeout().is_some() {
            return self.delta.poll_timeout();
        }
        Some(self.pacer.ready_at(self.now, self.wanted_bytes(segment)))
    }

    /// A batch of shards of the oldest queued picture, and of nothing else.
    fn transmit_media(
        &mut self,
        now: Instant,
        pictures: &impl PictureStore,
        out: &mut [u8],
    ) -> Option<Transmit> {
        if !self.is_established() {
            return None;
        }
        if self.video_out.drop_stale(pictures) {
            self.pending.repair = Some(Repair { after: self.video_out.left(), seen: PictureId(u32::MAX) });
        }
        let first = self.video_out.peek()?;
        let segment = segment_len(first.len);
        // SPEC §3.4: as many shards as may leave at once, and nothing of another class.
        let count = self.batch_len(now, segment, out.len());
        if count == 0 {
            return None;
        }
        let mut at = 0;
        for _ in 0..count {
            let Some(next) = self.video_out.peek() else { break };
            let end = at + segment_len(next.len);
            let len = self.transmit_shard(now, pictures, next.len, &mut out[at..end])?;
            at += len;
            if next.is_last {
                self.latches.set(Carried::POSITION, self.sent.next());
                self.left_at = Some(now);
                self.video_out.note_left(self.sent.next());
                self.input_in.on_picture_left(self.video_out.left(), self.video_out.left_captured_at());
                break;
            }
        }
        self.spend_trial(at);
        let ecn = Ecn::Ect1;
        let segment = (at > segment).then(|| u16::try_from(segment).unwrap_or(u16::MAX));
        Some(Transmit { path: self.active.id, len: at, segment, class: Class::Media, ecn })
    }

    /// Half a batch is worth leaving for, or what is left of the picture: fewer wake-ups, half a millisecond apart.
    fn wanted_bytes(&self, segment: usize) -> usize {
        let left = self.video_out.run_len() * segment;
        (self.pacer.batch_bytes(segment) / 2).clamp(segment, left.max(segment))
    }

    /// How many shards may leave now in one batch.
    fn batch_len(&self, now: Instant, segment: usize, room: usize) -> usize {
        if self.pacer.ready_at(now, self.wanted_bytes(segment)) > now
            || self.delta.sendable_bytes(now) < segment
        {
            return 0;
        }
        let bytes = self
            .pacer
            .batch_bytes(segment)
            .min(self.pacer.budget_bytes(now).max(segment))
            .min(self.delta.sendable_bytes(now))
            .min(self.trial_room())
            .min(room)
            .min(BATCH_BYTES_MAX);
        (bytes / segment).min(self.video_out.run_len()).min(BATCH_SEGMENTS_MAX)
    }

    fn transmit_shard(
        &mut self,
        now: Instant,
        pictures: &impl PictureStore,
        shard_len: usize,
        out: &mut [u8],
    ) -> Option<usize> {
        let (kernel, body) = (M::Kernel::default(), DataHeader::LEN + ShardHead::FRAME_LEN);
        let is_window = self.video_out.peek().is_some_and(|next| next.is_window);
        let head = self.video_out.take(&kernel, now, pictures, out.get_mut(body..body + shard_len)?)?;
        let mut writer = Writer::new(&mut out[DataHeader::LEN..body]);
        emit_last(&mut writer, if is_window { FrameType::WindowShard } else { FrameType::Shard })?;
        head.emit(&mut writer)?;
        let len = self.seal(out, ShardHead::FRAME_LEN + shard_len)?;
        self.note_sent(now, len, Carried::MEDIA | Carried::ELICITING);
        self.bulk.on_media(now);
        self.pacer.on_sent(now, len);
        Some(len)
    }

    /// Puts header and seal around `payload_len` bytes that stand behind the header's place.
    pub(super) fn seal(&mut self, out: &mut [u8], payload_len: usize) -> Option<usize> {
        let len = seal(self.keys.as_ref()?, &self.active, payload_len, out)?;
        if self.side == Side::Initiator {
            let number = self.active.remote.number(self.active.sent);
            self.connections.remember(packet_number::truncate(number), out[..len].last_chunk()?);
        }
        Some(len)
    }

    pub(super) fn note_sent(&mut self, now: Instant, len: usize, carried: Carried) {
        self.stats.packets_sent += 1;
        self.stats.bytes_sent += len as u64;
        self.active.sent += 1;
        let bytes = u16::try_from(len).unwrap_or(u16::MAX);
        self.make_room(now);
        let (ring, mut recorder) = self.memory.flight();
        self.sent.push(ring, now, bytes, carried);
        let is_reported = carried.contains(Carried::ELICITING);
        recorder.record(|| FlightEntry::Sent { at: now, bytes, is_reported });
        if self.side == Side::Responder && carried.contains(Carried::ELICITING) {
            self.delta.on_sent(now, len);
        }
    }
}

/// Bytes of the datagram around a shard.
const fn segment_len(shard_len: usize) -> usize {
    DataHeader::LEN + ShardHead::FRAME_LEN + shard_len + TAG_LEN
}

/// A single small datagram.
pub(super) const fn realtime(path: PathId, len: usize) -> Transmit {
    Transmit { path, len, segment: None, class: Class::Realtime, ecn: Ecn::Ect1 }
}
