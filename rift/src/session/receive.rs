//! What comes in: opened in place, then each frame to whom it concerns (SPEC §5, §7).

use super::{Discard, PathId, Session, Told};
use crate::channel::capture::CaptureState;
use crate::channel::permissions::Permissions;
use crate::channel::video::PictureId;
use crate::channel::video::incoming::Taken;
use crate::channel::video::incoming::window_of;
use crate::crypto::{AddressToken, Handshake, Side};
use crate::flight::FlightEntry;
use crate::session::sent::Carried;
use crate::storage::Memory;
use crate::time::Instant;
use crate::wire::capture::CaptureStateMessage;
use crate::wire::clock::{ClockReply, ClockRequest};
use crate::wire::close::{Admitted, Close};
use crate::wire::cursor::CursorPosition;
use crate::wire::feedback::{Ecn, Feedback};
use crate::wire::handshake::TOKEN_LEN;
use crate::wire::header::{DataHeader, Kind};
use crate::wire::input::{InputAcknowledged, InputMessage, InputShownMessage, RumbleMessage};
use crate::wire::shard::{ShardHead, WindowHead};
use crate::wire::stream::{StreamAcknowledged, StreamPart};
use crate::wire::video::{Repair, StreamParametersMessage, VideoPosition};
use crate::wire::{Frame, FrameType, Frames};

impl<M: Memory, H: Handshake> Session<M, H> {
    /// Takes one datagram and opens it in place. `received_at` is when the kernel got it, at most `now`.
    ///
    /// Work: one seal, and a bounded step for each frame; at worst one picture is restored.
    ///
    /// # Errors
    /// Why it was ignored; nothing has changed then but a counter.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        path: PathId,
        received_at: Instant,
        ecn: Ecn,
        datagram: &mut [u8],
    ) -> Result<(), Discard> {
        self.now = self.now.max(now);
        let result = match datagram.first().and_then(|&first| Kind::of(first)) {
            Some(Kind::Data) => self.handle_sealed(now, path, received_at.min(now), ecn, datagram),
            Some(Kind::Response) => self.handle_response(now, datagram),
            Some(Kind::Answer) => self.handle_answer(now, path, received_at.min(now), ecn, datagram),
            Some(Kind::Cookie) => self.handle_cookie(now, datagram),
            Some(Kind::Versions) => self.handle_versions(datagram),
            Some(Kind::Reset) => self.handle_reset(now, datagram),
            Some(
                Kind::Initiation
                | Kind::Call
                | Kind::Confirmation
                | Kind::Fragment
                | Kind::HandshakeReserved
                | Kind::Probe
                | Kind::Relayed
                | Kind::Stun,
            )
            | None => Err(Discard::NotRift),
        };
        if let Err(discard) = result {
            self.count(discard);
        }
        result
    }

    /// Takes several datagrams of `stride` bytes each (the last perhaps shorter) that the kernel gave as one.
    pub fn handle_datagrams(
        &mut self,
        now: Instant,
        path: PathId,
        received_at: Instant,
        ecn: Ecn,
        buffer: &mut [u8],
        stride: usize,
    ) {
        for datagram in buffer.chunks_mut(stride.max(1)) {
            // Each is counted where it is discarded; none keeps the next from being taken.
            let _ = self.handle_datagram(now, path, received_at, ecn, datagram);
        }
    }

    pub(super) fn count(&mut self, discard: Discard) {
        let counter = match discard {
            Discard::Authentication => &mut self.stats.discarded_authentication,
            Discard::Replay => &mut self.stats.discarded_replay,
            Discard::NoRoom => &mut self.stats.discarded_no_room,
            Discard::NotRift
            | Discard::Version(_)
            | Discard::Malformed
            | Discard::UnknownConnection
            | Discard::Unexpected => &mut self.stats.discarded_malformed,
        };
        *counter += 1;
    }

    pub(super) fn handle_sealed(
        &mut self,
        now: Instant,
        path: PathId,
        received_at: Instant,
        ecn: Ecn,
        datagram: &mut [u8],
    ) -> Result<(), Discard> {
        let header = DataHeader::parse(datagram).ok_or(Discard::Malformed)?;
        let is_known = self.side == Side::Responder || self.uses_path(path);
        if !is_known {
            return Err(Discard::UnknownConnection);
        }
        if !self.is_established() && !self.is_closing() {
            return Err(Discard::Unexpected);
        }
        if header.connection != self.active.local.connection {
            return self.handle_aside(now, path, received_at, &header, datagram);
        }
        let len = datagram.len();
        let linger_us = 3 * self.round_trip_us();
        let keys = self.keys.as_mut().ok_or(Discard::Unexpected)?;
        let (index, text) = self.active.open(path, keys, &header, datagram, now, linger_us)?;
        let order = self.active.order(index);
        if self.trial.is_some() {
            // Whoever copied the call, here is who made it and heard the answer.
            self.active.id = path;
        }
        self.on_sealed();
        self.heard_at = self.heard_at.max(received_at);
        self.stats.packets_received += 1;
        self.stats.bytes_received += len as u64;
        if path != self.active.id || self.active.room.is_some() {
            self.on_address(now, None, path, index, len);
        }
        let bytes = u16::try_from(len).unwrap_or(u16::MAX);
        self.memory.flight().1.record(|| FlightEntry::Received { at: received_at, bytes });
        self.arrivals.push(self.memory.arrivals(), order, received_at, ecn);
        self.handle_frames(now, received_at, order, text, len, None)
    }

    /// Takes what a packet says; `at` is the other path it came on, `None` the one in use.
    pub(super) fn handle_frames(
        &mut self,
        now: Instant,
        received_at: Instant,
        number: u64,
        text: &[u8],
        datagram_len: usize,
        mut at: Option<usize>,
    ) -> Result<(), Discard> {
        let number_of_path = at.and_then(|at| self.paths.others.get(at)).map(|path| path.number);
        let mut frames = Frames::new(text);
        if self.is_closing() {
            // All that still matters is whether the peer has heard.
            if !frames.any(|frame| frame.frame_type == FrameType::Close) {
                return Err(Discard::Unexpected);
            }
            self.on_close(now, 0);
            return Ok(());
        }
        let mut result = Ok(());
        let mut is_eliciting = false;
        for frame in frames.by_ref() {
            is_eliciting |= !matches!(
                frame.frame_type,
                FrameType::Padding
                    | FrameType::Feedback
                    | FrameType::ClockReply
                    | FrameType::Close
                    | FrameType::InputAcknowledged
                    | FrameType::InputShown
                    | FrameType::StreamAcknowledged
                    | FrameType::PathChallenge
                    | FrameType::PathResponse
            );
            let is_of_paths = matches!(
                frame.frame_type,
                FrameType::PathChallenge | FrameType::PathResponse | FrameType::PathsInUse
            );
            result = result.and(if is_of_paths {
                let result = self.handle_path_frame(now, &frame, at);
                // The path it came on may have become the one in use.
                at = at.and_then(|_| self.other_path(number_of_path));
                result
            } else {
                self.handle_frame(now, received_at, number, &frame)
            });
            if !self.is_established() {
                return result;
            }
        }
        if is_eliciting && at.is_none() {
            self.arrivals.want_report(received_at, datagram_len);
        }
        if frames.is_malformed() { Err(Discard::Malformed) } else { result }
    }

    fn handle_frame(
        &mut self,
        now: Instant,
        received_at: Instant,
        number: u64,
        frame: &Frame<'_>,
    ) -> Result<(), Discard> {
        let body = frame.body;
        match frame.frame_type {
            FrameType::Padding | FrameType::MtuProbe => Some(()),
            FrameType::DatagramLimit => return self.handle_datagram_limit(body),
            FrameType::ClockRequest => {
                ClockRequest::parse(body).map(|request| self.clock.on_request(request, received_at))
            }
            FrameType::ClockReply => {
                ClockReply::parse(body).map(|reply| self.clock.on_reply(reply, received_at))
            }
            FrameType::Feedback => {
                Feedback::parse(body).map(|feedback| self.on_feedback(now, received_at, &feedback))
            }
            FrameType::Close => Close::parse(body).map(|close| self.on_close(now, close.code)),
            FrameType::Pairing => return self.handle_pairing(now, body),
            // Told apart before.
            FrameType::PathChallenge | FrameType::PathResponse | FrameType::PathsInUse => Some(()),
            FrameType::NewConnection => return self.handle_new_connection(body),
            FrameType::Successor => return self.handle_successor(number, body),
            FrameType::KeyRequest | FrameType::KeyReply => return self.handle_renewal(now, frame),
            FrameType::Input | FrameType::InputAcknowledged | FrameType::Repair => {
                return self.handle_steering(received_at, frame);
            }
            FrameType::Capabilities | FrameType::TileReport | FrameType::MoreParity | FrameType::Window => {
                return self.handle_viewer(number, frame);
            }
            // Said in a handshake, and of no meaning after it.
            FrameType::Request => Some(()),
            FrameType::Admitted
            | FrameType::AddressToken
            | FrameType::Cursor
            | FrameType::StreamParameters
            | FrameType::VideoPosition
            | FrameType::CaptureState
            | FrameType::Rumble
            | FrameType::InputShown
            | FrameType::Shard
            | FrameType::WindowShard => return self.handle_from_host(now, received_at, number, frame),
            FrameType::Audio => return self.on_audio(received_at, body),
            FrameType::Stream => {
                let part = StreamPart::parse(body).ok_or(Discard::Malformed)?;
                let sender = self.side.other();
                // SPEC §6.1, §8.4: before admission there are no rights at all.
                if !self.permissions.is_some_and(|granted| granted.allow_stream(sender, part.channel)) {
                    return Err(Discard::Unexpected);
                }
                let rings = self.memory.stream(part.channel);
                self.streams[usize::from(part.channel.code())].on_part(rings.receive, &part);
                Some(())
            }
            FrameType::StreamAcknowledged => StreamAcknowledged::parse(body).map(|message| {
                let timeout_us = self.repeat_us();
                let stream = &mut self.streams[usize::from(message.channel.code())];
                stream.on_acknowledged(self.now, timeout_us, &message);
            }),
        }
        .ok_or(Discard::Malformed)
    }

    /// Frames that only a host takes, and the answer to one of them.
    fn handle_steering(&mut self, received_at: Instant, frame: &Frame<'_>) -> Result<(), Discard> {
        if self.side == Side::Initiator {
            if frame.frame_type != FrameType::InputAcknowledged {
                return Err(Discard::Unexpected);
            }
            let message = InputAcknowledged::parse(frame.body).ok_or(Discard::Malformed)?;
            self.input_out.on_acknowledged(message.next);
            return Ok(());
        }
        // SPEC §6.1.
        let granted = self.permissions.ok_or(Discard::Unexpected)?;

        if frame.frame_type == FrameType::Repair {
            let request = Repair::parse(frame.body).ok_or(Discard::Malformed)?;
            let has_all = request.after == self.video_out.newest() && request.after != PictureId(0);
            if has_all {
                // It has the newest there is: it only asks whether it has.
                self.latches.set(Carried::POSITION, self.sent.next());
                return Ok(());
            }
            if granted.contains(Permissions::VIEW) && !self.video_out.answers(&request) {
                if self.active.room.is_some() {
                    // What may be sent to an address that is not proven is not for pictures nobody can show.
                    self.video_out.drop_waiting();
                }
                self.pending.repair = Some(request);
            }
            return Ok(());
        }
        let message = InputMessage::parse(frame.body).ok_or(Discard::Malformed)?;
        let taken = self.input_in.on_message(&message, received_at, |event, held| {
            granted.allow_while(event, |key| held.has_key(key))
        });
        self.stats.input_events += taken as u64;
        Ok(())
    }

    /// Frames that only a client takes.
    fn handle_from_host(
        &mut self,
        now: Instant,
        received_at: Instant,
        number: u64,
        frame: &Frame<'_>,
    ) -> Result<(), Discard> {
        // A host that has not been paired with is nobody (SPEC §8.5).
        if self.is_stranger {
            return Err(Discard::Unexpected);
        }
        // And what is a host's to say is not a client's.
        if self.side == Side::Responder {
            return Err(Discard::Unexpected);
        }
        let body = frame.body;
        if frame.frame_type == FrameType::Admitted {
            let message = Admitted::parse(body).ok_or(Discard::Malformed)?;
            if Told::is_news(&mut self.told.admitted, number) && self.permissions != Some(message.permissions)
            {
                self.permissions = Some(message.permissions);
                self.pending.admitted = true;
            }
            return Ok(());
        }
        if frame.frame_type == FrameType::AddressToken {
            let token = <[u8; TOKEN_LEN]>::try_from(body).map_err(|_| Discard::Malformed)?;
            if Told::is_news(&mut self.told.token, number) {
                self.token = Some(AddressToken::from_bytes(token));
                self.pending.token = true;
            }
            return Ok(());
        }
        if frame.frame_type == FrameType::StreamParameters {
            let message = StreamParametersMessage::parse(body).ok_or(Discard::Malformed)?;
            if Told::is_news(&mut self.told.parameters, number)
                && self.parameters.is_none_or(|known| known.first <= message.first && known != message)
            {
                self.video_in.begin(message.first);
                self.parameters = Some(message);
                self.pending.parameters = true;
            }
            return Ok(());
        }
        if let FrameType::Cursor | FrameType::Rumble | FrameType::InputShown | FrameType::CaptureState =
            frame.frame_type
        {
            return self.handle_told(now, received_at, number, frame);
        }
        if self.parameters.is_none() {
            return Err(Discard::Unexpected);
        }
        if frame.frame_type == FrameType::VideoPosition {
            let position = VideoPosition::parse(body).ok_or(Discard::Malformed)?;
            self.on_position_at(received_at);
            self.video_in.on_position(position.picture, received_at);
            self.advance_video(now);
            return Ok(());
        }
        let kernel = M::Kernel::default();
        let taken = if frame.frame_type == FrameType::WindowShard {
            // Known when it is built: a board that keeps no picture carries no code for it.
            if window_of(M::PICTURES) == 0 {
                return Err(Discard::Unexpected);
            }
            let (head, bytes) = WindowHead::parse(body).ok_or(Discard::Malformed)?;
            self.video_in.on_window_shard(&kernel, self.memory.pictures(), &head, bytes, received_at)
        } else {
            let (head, bytes) = ShardHead::parse(body).ok_or(Discard::Malformed)?;
            self.video_in.on_shard(&kernel, self.memory.pictures(), &head, bytes, received_at)
        };
        (self.shard_at, self.is_flowing) = (Some(received_at), true);
        self.advance_video(now);
        match taken {
            Taken::Fine => Ok(()),
            Taken::NoRoom => Err(Discard::NoRoom),
            Taken::Malformed => Err(Discard::Malformed),
        }
    }

    /// What a host tells of itself beside its pictures.
    fn handle_told(
        &mut self,
        now: Instant,
        received_at: Instant,
        number: u64,
        frame: &Frame<'_>,
    ) -> Result<(), Discard> {
        let body = frame.body;
        if frame.frame_type == FrameType::Cursor {
            let cursor = CursorPosition::parse(body).ok_or(Discard::Malformed)?;
            if Told::is_news(&mut self.told.cursor, number) {
                self.pending.cursor |= self.cursor != cursor;
                self.cursor = cursor;
            }
            return Ok(());
        }
        if frame.frame_type == FrameType::Rumble {
            let message = RumbleMessage::parse(body).ok_or(Discard::Malformed)?;
            if Told::is_news(&mut self.told.rumble, number) {
                message.wishes().for_each(|(rumble, change)| self.rumbles.on_wish(rumble, change));
            }
            return Ok(());
        }
        if frame.frame_type == FrameType::InputShown {
            let message = InputShownMessage::parse(body).ok_or(Discard::Malformed)?;
            self.on_input_shown(now, &message);
            return Ok(());
        }
        self.on_capture_state(received_at, number, body)
    }

    fn on_capture_state(&mut self, received_at: Instant, number: u64, body: &[u8]) -> Result<(), Discard> {
        let message = CaptureStateMessage::parse(body).ok_or(Discard::Malformed)?;
        let is_known = self.capture.is_some_and(|(_, change)| change == message.change);
        if Told::is_news(&mut self.told.capture, number) && !is_known {
            let since = received_at.minus_micros(u64::from(message.age_ms) * 1000);
            let state = CaptureState { condition: message.condition, since, signal: message.signal };
            self.capture = Some((state, message.change));
            self.pending.capture = true;
        }
        Ok(())
    }
}
