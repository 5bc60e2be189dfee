//! What an application tells a session to do (SPEC §8–§14).

use super::sent::Carried;
use super::{CloseReason, SendError, Session};
use crate::channel::capture::CaptureState;
use crate::channel::input::devices::{Contact, Gamepad, GamepadAxis, GamepadButton, Rumble};
use crate::channel::input::{Button, InputEvent};
use crate::channel::permissions::Permissions;
use crate::channel::video::incoming::{self, Media, TakenMedia};
use crate::channel::video::outgoing::QueueError;
use crate::channel::video::pictures::PictureRef;
use crate::channel::video::{PictureId, StreamParameters};
use crate::crypto::{Handshake, Side};
use crate::delta::Controller as _;
use crate::flight::FlightEntry;
use crate::profile::Profile as _;
use crate::storage::Memory;
use crate::time::Instant;
use crate::wire::cursor::CursorPosition;
use crate::wire::stream::Channel;
use crate::wire::video::{Repair, StreamParametersMessage};

impl<M: Memory, H: Handshake> Session<M, H> {
    /// Host: lets the authenticated peer in, or changes what it may do. Until then no channel carries anything.
    /// What is no longer permitted is released. Without effect on who came to pair: it comes back once it has.
    pub fn admit(&mut self, now: Instant, permissions: Permissions) {
        if self.side != Side::Responder || !self.is_established() || self.is_stranger {
            return;
        }
        // Who has no room for media grants none.
        let permissions = if M::Profile::CARRIES_MEDIA { permissions } else { Permissions::empty() };
        let (is_first, had_view) = (self.permissions.is_none(), self.is_viewed());
        if self.permissions.is_some_and(|old| !permissions.contains(old & steering())) {
            self.input_in.release_all();
        }
        self.permissions = Some(permissions);
        self.latches.set(Carried::ADMITTED, self.sent.next());
        if is_first {
            self.heard_at = now;
        }
        if !had_view && self.is_viewed() {
            self.pending.repair = Some(Repair { after: PictureId(0), seen: PictureId(0) });
        } else if had_view && !self.is_viewed() {
            // What is queued is for a viewer (SPEC §8.3).
            self.video_out.drop_all();
            self.pending.repair = None;
        }
    }

    /// Ends the session. The peer is told; [`Event::Closed`](super::Event::Closed) follows here.
    pub fn close(&mut self, now: Instant, reason: CloseReason) {
        self.input_in.release_all();
        self.finish(now, Some(reason.code()), CloseReason::Local);
    }

    /// Host: says what the pictures are from `first` on. To be called before the first of them is sent.
    ///
    /// # Errors
    /// [`SendError::NotConnected`].
    pub fn set_stream(&mut self, first: PictureId, parameters: StreamParameters) -> Result<(), SendError> {
        if self.side != Side::Responder || !self.is_established() {
            return Err(SendError::NotConnected);
        }
        if parameters.rate_millihertz > 0 {
            self.delta.set_picture_rate(parameters.rate_millihertz);
            let millihertz = parameters.rate_millihertz;
            self.memory.flight().1.record(|| FlightEntry::PictureRate { millihertz });
            self.pacer.set_picture_period(1_000_000_000 / u64::from(parameters.rate_millihertz));
        }
        self.parameters = Some(StreamParametersMessage { first, parameters });
        self.latches.set(Carried::PARAMETERS, self.sent.next());
        Ok(())
    }

    /// Host: queues a picture for this viewer. Its bytes stay where they are and are read as they leave.
    ///
    /// # Errors
    /// [`SendError::NotPermitted`] before admission with `view`; [`SendError::Full`] while four pictures wait: skip
    /// until the backlog is gone; [`SendError::MissingReference`] when the viewer was not sent what this one refers
    /// to, until a repair; [`SendError::TooLarge`].
    pub fn send_picture(&mut self, _now: Instant, picture: PictureRef) -> Result<(), SendError> {
        if self.side != Side::Responder || !self.is_established() || self.parameters.is_none() {
            return Err(SendError::NotConnected);
        }
        if !self.permissions.is_some_and(|granted| granted.contains(Permissions::VIEW)) {
            return Err(SendError::NotPermitted);
        }
        let granted_bps = self.delta.budget().pacing_bps;
        let is_first = self.video_out.peek().is_none();
        self.queued_for_bps = if is_first { granted_bps } else { granted_bps.max(self.queued_for_bps) };
        let (shard_len, parity, before) = self.cut(picture.len());
        self.video_out.push(picture, shard_len, parity, before).map_err(|error| match error {
            QueueError::Full => SendError::Full,
            QueueError::TooLarge => SendError::TooLarge,
            QueueError::MissingReference => SendError::MissingReference,
        })?;
        self.stats.pictures_queued += 1;
        Ok(())
    }

    /// Client: sends an event. It is delivered once and in order, whatever the network loses.
    ///
    /// # Errors
    /// [`SendError::NotConnected`], [`SendError::NotPermitted`]; [`SendError::Full`] when 256 events are
    /// unacknowledged and this one is no motion, when 32 keys are held, or when a contact moves that does not touch.
    pub fn send_input(&mut self, now: Instant, event: InputEvent) -> Result<(), SendError> {
        if self.side != Side::Initiator || !self.is_established() {
            return Err(SendError::NotConnected);
        }
        if !self.permissions.is_some_and(|granted| granted.allow(&event)) {
            return Err(SendError::NotPermitted);
        }
        if self.input_out.push(now, event) { Ok(()) } else { Err(SendError::Full) }
    }

    /// Client: releases every key, button and contact it holds and lets its gamepads rest, for instance when its window loses the focus.
    ///
    /// # Errors
    /// As [`Self::send_input`]; what is still held can be released by another call.
    pub fn release_input(&mut self, now: Instant) -> Result<(), SendError> {
        while let Some(&key) = self.input_out.held().keys().first() {
            self.send_input(now, InputEvent::Key { key, pressed: false })?;
        }
        for button in (0..Button::COUNT).filter_map(Button::new) {
            if self.input_out.held().has_button(button) {
                self.send_input(now, InputEvent::Button { button, pressed: false })?;
            }
        }
        for contact in Contact::all() {
            if self.input_out.held().contact(contact).is_some() {
                self.send_input(now, InputEvent::TouchUp(contact))?;
            }
        }
        Gamepad::all().try_for_each(|gamepad| self.rest_gamepad(now, gamepad))
    }

    fn rest_gamepad(&mut self, now: Instant, gamepad: Gamepad) -> Result<(), SendError> {
        let Some(held) = self.input_out.held().gamepad(gamepad) else { return Ok(()) };
        for button in GamepadButton::all().filter(|&button| held.has(button)) {
            self.send_input(now, InputEvent::GamepadButton { gamepad, button, pressed: false })?;
        }
        for axis in GamepadAxis::all().filter(|&axis| held.axis(axis) != 0) {
            self.send_input(now, InputEvent::GamepadAxis { gamepad, axis, value: 0 })?;
        }
        Ok(())
    }

    /// Host: says what a gamepad's motors should do. Only the newest wish for each gamepad counts.
    ///
    /// # Errors
    /// [`SendError::NotConnected`]; [`SendError::NotPermitted`] when the client may not use gamepads.
    pub fn send_rumble(&mut self, _now: Instant, rumble: Rumble) -> Result<(), SendError> {
        if self.side != Side::Responder || !self.is_established() {
            return Err(SendError::NotConnected);
        }
        if !self.permissions.is_some_and(|granted| granted.contains(Permissions::GAMEPAD)) {
            return Err(SendError::NotPermitted);
        }
        self.rumbles.set(rumble);
        self.latches.set(Carried::RUMBLE, self.sent.next());
        Ok(())
    }

    /// Host: says where the cursor is. Only the newest place counts.
    ///
    /// # Errors
    /// [`SendError::NotConnected`].
    pub fn send_cursor(&mut self, _now: Instant, cursor: CursorPosition) -> Result<(), SendError> {
        if self.side != Side::Responder || !self.is_established() {
            return Err(SendError::NotConnected);
        }
        if self.cursor != cursor {
            self.cursor = cursor;
            self.latches.set(Carried::CURSOR, self.sent.next());
        }
        Ok(())
    }

    /// Host: says what its capture is doing. The viewer hears of every change that lasts a round trip; of several in
    /// one, the last counts.
    ///
    /// # Errors
    /// [`SendError::NotConnected`].
    pub fn send_capture_state(&mut self, _now: Instant, state: CaptureState) -> Result<(), SendError> {
        if self.side != Side::Responder || !self.is_established() {
            return Err(SendError::NotConnected);
        }
        let change = match self.capture {
            Some((known, _)) if known == state => return Ok(()),
            Some((_, change)) => change.wrapping_add(1),
            None => 0,
        };
        self.capture = Some((state, change));
        self.latches.set(Carried::CAPTURE, self.sent.next());
        Ok(())
    }

    /// Appends bytes to a reliable stream; returns how many fitted. The rest after
    /// [`Event::Writable`](super::Event::Writable).
    ///
    /// # Errors
    /// [`SendError::NotConnected`]; [`SendError::NotPermitted`] before admission, and without the right to this stream.
    pub fn write(&mut self, _now: Instant, channel: Channel, bytes: &[u8]) -> Result<usize, SendError> {
        if !self.is_established() {
            return Err(SendError::NotConnected);
        }
        if !self.permissions.is_some_and(|granted| granted.allow_stream(self.side, channel)) {
            return Err(SendError::NotPermitted);
        }
        let rings = self.memory.stream(channel);
        Ok(self.streams[usize::from(channel.code())].write(rings.send, bytes))
    }

    /// Takes bytes from a reliable stream; returns how many there were.
    pub fn read(&mut self, channel: Channel, out: &mut [u8]) -> usize {
        let rings = self.memory.stream(channel);
        self.streams[usize::from(channel.code())].read(rings.receive, out)
    }

    /// Bytes that wait on a reliable stream.
    #[must_use]
    pub const fn readable(&self, channel: Channel) -> usize {
        self.streams[channel.code() as usize].readable_len()
    }

    /// Bytes written to a reliable stream that the peer has not acknowledged.
    #[must_use]
    pub const fn unacknowledged(&self, channel: Channel) -> usize {
        self.stream(channel).unacknowledged_len()
    }

    /// A delivered picture, lent where it was reassembled. `None` once released or taken.
    #[must_use]
    pub fn media(&self, id: PictureId) -> Option<Media<'_>> {
        incoming::lent(self.memory.pictures_ref(), id)
    }

    /// Takes a delivered picture in its buffer and leaves `spare` in its place: no copy, no lock.
    ///
    /// # Errors
    /// `spare`, when there is no such picture.
    pub fn swap_media(
        &mut self,
        id: PictureId,
        spare: M::Buffer,
    ) -> Result<TakenMedia<M::Buffer>, M::Buffer> {
        incoming::swap(self.memory.pictures(), id, spare)
    }

    /// Gives a delivered picture's memory back. A picture that is neither taken nor released keeps its slot.
    pub fn release_media(&mut self, id: PictureId) {
        incoming::release(self.memory.pictures(), id);
    }

    /// Client: says that a delivered picture could not be used, so that the host leads it back into the stream.
    pub fn want_repair(&mut self, now: Instant) {
        self.video_in.want_repair(now);
    }

    /// Gives the memory back. Keys are zeroized.
    pub fn into_memory(self) -> M {
        self.memory
    }
}

/// The permissions whose loss releases what is held.
const fn steering() -> Permissions {
    Permissions::POINTER
        .union(Permissions::KEYBOARD)
        .union(Permissions::SYSTEM_KEYS)
        .union(Permissions::GAMEPAD)
        .union(Permissions::TOUCH)
        .union(Permissions::POWER)
}
