//! One session between two peers, either side of it.
//!
//! [`Session`] is a value that is driven: it does no I/O, reads no clock, draws no entropy and allocates nothing.
//! Inputs are `handle_*`, outputs are `poll_*`, commands are verbs, the rest are getters; any order is legal.
//!
//! # Run loop
//! After any call that takes `&mut self`:
//! 1. [`Session::poll_transmit`] until `None`, putting each datagram on the network;
//! 2. [`Session::poll_event`] until `None`;
//! 3. sleep until [`Session::poll_timeout`] or until a datagram comes, then call [`Session::handle_timeout`] or
//!    [`Session::handle_datagram`].
//!
//! This file only dispatches. Receiving, sending, the handshake and the accounting of packets have files of their own;
//! each channel's state machine lives in [`crate::channel`].

pub mod arrivals;
mod clock;
mod handshake;
mod latch;
mod receive;
pub mod sent;
mod transmit;
mod types;

pub use clock::ClockRelation;
pub use handshake::{Established, PROLOGUE};
pub use types::{Class, CloseReason, Config, Discard, Event, PathId, SendError, Stats, Timer, Transmit};

use crate::channel::input::receiver::InputReceiver;
use crate::channel::input::sender::InputSender;
use crate::channel::input::{Button, InputEvent};
use crate::channel::permissions::Permissions;
use crate::channel::stream::Stream;
use crate::channel::video::incoming::{self, Media, TakenMedia, VideoReceiver};
use crate::channel::video::outgoing::{QueueError, VideoSender};
use crate::channel::video::pictures::PictureRef;
use crate::channel::video::{PictureId, StreamParameters};
use crate::crypto::{Handshake, PublicKey, ReceiveKey, ReplayWindow, SendKey, Side};
use crate::delta::{self, Budget, Delta};
use crate::pacing::Pacer;
use crate::storage::Memory;
use crate::time::Instant;
use crate::wire::cursor::CursorPosition;
use crate::wire::header::DataHeader;
use crate::wire::shard::ShardHead;
use crate::wire::stream::Channel;
use crate::wire::video::{Repair, StreamParametersMessage};

use arrivals::ArrivalLog;
use clock::PeerClock;
use handshake::Phase;
use latch::{Latches, Told};
use sent::{Carried, SentLog};

/// Assumed before the first round trip is measured.
const ROUND_TRIP_US_DEFAULT: u64 = 100_000;
/// Bytes of the seal behind every datagram.
pub(crate) const TAG_LEN: usize = 16;

struct Keys {
    send: SendKey,
    receive: ReceiveKey,
}

/// One session with one peer; see the module. `M` is its memory, `H` its handshake, dropped when it is done.
pub struct Session<M: Memory, H: Handshake> {
    side: Side,
    config: Config,
    path: PathId,
    memory: M,
    phase: Phase<H>,
    peer: Option<PublicKey>,
    local_connection: u32,
    remote_connection: u32,
    keys: Option<Keys>,
    replay: ReplayWindow,
    sent: SentLog,
    arrivals: ArrivalLog,
    clock: PeerClock,
    /// The reference time of the peer's newest feedback, unwrapped.
    peer_reference_us: Option<u64>,
    delta: Delta,
    pacer: Pacer,
    latches: Latches,
    /// What the host granted: as granted here, or as told by it.
    permissions: Option<Permissions>,
    parameters: Option<StreamParametersMessage>,
    cursor: CursorPosition,
    told: Told,
    video_out: VideoSender,
    video_in: VideoReceiver,
    input_out: InputSender,
    input_in: InputReceiver,
    streams: [Stream; Channel::ALL.len()],
    pending: PendingEvents,
    heard_at: Instant,
    /// The newest time any call was given.
    now: Instant,
    stats: Stats,
}

/// Events that are latched until they are polled.
#[derive(Clone, Copy, Debug, Default)]
struct PendingEvents {
    authenticated: bool,
    admitted: bool,
    parameters: bool,
    cursor: bool,
    repair: Option<Repair>,
    closed: Option<CloseReason>,
}

impl<M: Memory, H: Handshake> Session<M, H> {
    fn new(side: Side, config: &Config, memory: M, path: PathId, phase: Phase<H>, now: Instant) -> Self {
        let delta = Delta::new(&delta::Config {
            bitrate_bps_min: config.bitrate_bps_min,
            bitrate_bps_start: config.bitrate_bps_start,
            bitrate_bps_max: config.bitrate_bps_max,
        });
        let mut pacer = Pacer::new(now);
        pacer.set_rate(u64::from(delta.budget().pacing_bps));
        Self {
            side,
            config: *config,
            path,
            memory,
            phase,
            peer: None,
            local_connection: 0,
            remote_connection: 0,
            keys: None,
            replay: ReplayWindow::new(),
            sent: SentLog::new(),
            arrivals: ArrivalLog::new(),
            clock: PeerClock::new(now),
            peer_reference_us: None,
            delta,
            pacer,
            latches: Latches::new(),
            permissions: None,
            parameters: None,
            cursor: CursorPosition::default(),
            told: Told::default(),
            video_out: VideoSender::new(),
            video_in: VideoReceiver::new(),
            input_out: InputSender::new(),
            input_in: InputReceiver::new(now),
            streams: [const { Stream::new() }; Channel::ALL.len()],
            pending: PendingEvents::default(),
            heard_at: now,
            now,
            stats: Stats::default(),
        }
    }

    // ---- getters ----

    /// The peer's key, once proven.
    #[must_use]
    pub const fn peer(&self) -> Option<PublicKey> {
        self.peer
    }

    /// The id this side chose for the session: datagrams to it carry it.
    #[must_use]
    pub const fn connection(&self) -> u32 {
        self.local_connection
    }

    /// Whether the handshake is done and the session not over.
    #[must_use]
    pub const fn is_established(&self) -> bool {
        self.keys.is_some() && !matches!(self.phase, Phase::Closing { .. } | Phase::Closed)
    }

    /// Whether the session is over and nothing is left to send: its memory may be taken back.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// What the host grants: granted here, or told by it. `None` before admission.
    #[must_use]
    pub const fn permissions(&self) -> Option<Permissions> {
        self.permissions
    }

    /// What congestion control grants now.
    #[must_use]
    pub fn budget(&self) -> Budget {
        self.delta.budget()
    }

    /// Bytes of pictures, parity included, that wait to leave.
    #[must_use]
    pub fn video_backlog_bytes(&self) -> usize {
        self.video_out.backlog_bytes()
    }

    /// Input events not yet acknowledged by the host.
    #[must_use]
    pub fn input_backlog(&self) -> usize {
        self.input_out.backlog()
    }

    /// How the peer's clock relates to ours.
    #[must_use]
    pub fn clock_relation(&self, now: Instant) -> Option<ClockRelation> {
        self.clock.relation(now)
    }

    /// When, on our clock, the peer's clock showed `low` (its microseconds modulo 2³²), if that was within half an
    /// hour of `now`. Turns the times in a picture's head into ours.
    #[must_use]
    pub fn peer_time(&self, low: u32, now: Instant) -> Option<Instant> {
        self.clock.to_own(low, now)
    }

    /// Counters and current values.
    #[must_use]
    pub fn stats(&self, now: Instant) -> Stats {
        let relation = self.clock.relation(now);
        let (measured, budget) = (self.delta.stats(), self.delta.budget());
        Stats {
            pictures_delivered: self.video_in.delivered_count,
            pictures_repaired: self.video_in.repaired_count,
            pictures_lost: self.video_in.lost,
            round_trip_us: u32::try_from(self.clock.round_trip_us(0)).unwrap_or(u32::MAX),
            clock_offset_us: relation.map_or(0, |relation| relation.offset_us),
            clock_error_us: relation.map_or(u32::MAX, |relation| relation.error_us),
            queue_us: measured.queue_us,
            loss_permille: measured.loss_permille,
            parity_permille: budget.parity_permille,
            bitrate_bps: budget.bitrate_bps,
            packets_missing: self.replay.expected().saturating_sub(self.stats.packets_received),
            ..self.stats
        }
    }

    // ---- commands ----

    /// Host: lets the authenticated peer in, or changes what it may do. Until then no channel carries anything.
    /// What is no longer permitted is released.
    pub fn admit(&mut self, now: Instant, permissions: Permissions) {
        if self.side != Side::Responder || !self.is_established() {
            return;
        }
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

    /// Ends the session. The peer is told; [`Event::Closed`] follows here.
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
        let shard_len = self.shard_len();
        let parity = self.delta.parity_for(picture.len().div_ceil(shard_len));
        self.video_out.push(picture, shard_len, parity).map_err(|error| match error {
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
    /// unacknowledged and this one is no motion, or 32 keys are held.
    pub fn send_input(&mut self, _now: Instant, event: InputEvent) -> Result<(), SendError> {
        if self.side != Side::Initiator || !self.is_established() {
            return Err(SendError::NotConnected);
        }
        if !self.permissions.is_some_and(|granted| granted.allow(&event)) {
            return Err(SendError::NotPermitted);
        }
        if self.input_out.push(event) { Ok(()) } else { Err(SendError::Full) }
    }

    /// Client: releases every key and button it holds, for instance when its window loses the focus.
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

    /// Appends bytes to a reliable stream; returns how many fitted. The rest after [`Event::Writable`].
    ///
    /// # Errors
    /// [`SendError::NotConnected`]; [`SendError::NotPermitted`] before admission.
    pub fn write(&mut self, _now: Instant, channel: Channel, bytes: &[u8]) -> Result<usize, SendError> {
        if !self.is_established() {
            return Err(SendError::NotConnected);
        }
        if self.permissions.is_none() {
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

    // ---- time ----

    /// Does what is due at `now`. A spurious call does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if self.handle_handshake_timeout(now) {
            return;
        }
        if !self.is_established() {
            return;
        }
        if self.heard_at.plus_micros(self.config.idle_us.into()) <= now {
            self.finish(now, None, CloseReason::Idle);
            return;
        }
        let round_trip = self.round_trip_us();
        if self.input_in.silence_due(round_trip).is_some_and(|due| due <= now) {
            self.input_in.release_all();
        }
        if self.side == Side::Responder {
            if self.delta.poll_timeout().is_some_and(|due| due <= now) {
                self.delta.handle_timeout(now);
                self.pacer.set_rate(u64::from(self.delta.budget().pacing_bps));
            }
        } else {
            self.advance_video(now);
        }
    }

    /// When to call [`Self::handle_timeout`] or [`Self::poll_transmit`] again, and on whose behalf.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        if let Some(due) = self.handshake_due() {
            return Some((due, Timer::Handshake));
        }
        if !self.is_established() {
            return None;
        }
        let round_trip = self.round_trip_us();
        let patience = self.picture_patience_us();
        let first = |one: Option<Instant>, other: Option<Instant>| match (one, other) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let input = first(self.input_out.due(), self.input_in.acknowledge_due());
        let repair = self.video_in.repair_due(self.repair_repeat_us());
        let picture = first(self.video_in.due(self.memory.pictures_ref(), patience), repair);
        let stream = self.streams.iter().filter_map(Stream::resend_due).min();
        let is_host = self.side == Side::Responder;
        [
            (self.arrivals.due(), Timer::Feedback),
            (self.media_due(), Timer::Pacing),
            (Some(self.clock.request_due()), Timer::Clock),
            (self.latches.due(self.sendable_states()), Timer::Latch),
            (input, Timer::Input),
            (self.input_in.silence_due(round_trip), Timer::Silence),
            (picture, Timer::Picture),
            (stream, Timer::Stream),
            (if is_host { self.delta.poll_timeout() } else { None }, Timer::Delta),
            (Some(self.heard_at.plus_micros(self.config.idle_us.into())), Timer::Idle),
        ]
        .into_iter()
        .filter_map(|(due, timer)| due.map(|due| (due, timer)))
        .min_by_key(|&(due, _)| due)
    }

    // ---- events ----

    /// What happened next, if anything did.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        if core::mem::take(&mut self.pending.authenticated)
            && let Some(peer) = self.peer
        {
            return Some(Event::Authenticated(peer));
        }
        if core::mem::take(&mut self.pending.admitted)
            && let Some(permissions) = self.permissions
        {
            return Some(Event::Admitted(permissions));
        }
        if let Some(event) = self.input_in.pop() {
            return Some(Event::Input(event));
        }
        if core::mem::take(&mut self.pending.parameters)
            && let Some(message) = self.parameters
        {
            return Some(Event::StreamParameters(message.parameters));
        }
        if let Some(repair) = self.pending.repair.take() {
            return Some(Event::RepairWanted { after: (repair.after.0 != 0).then_some(repair.after) });
        }
        if core::mem::take(&mut self.pending.cursor) {
            return Some(Event::Cursor(self.cursor));
        }
        if let Some(id) = incoming::announce(self.memory.pictures()) {
            return Some(Event::Picture(id));
        }
        for (stream, channel) in self.streams.iter_mut().zip(Channel::ALL) {
            if stream.take_readable() {
                return Some(Event::Readable(channel));
            }
            if stream.take_writable() {
                return Some(Event::Writable(channel));
            }
        }
        self.pending.closed.take().map(Event::Closed)
    }

    // ---- shared by the files of this directory ----

    fn round_trip_us(&self) -> u64 {
        self.clock.round_trip_us(ROUND_TRIP_US_DEFAULT)
    }

    /// How long anything unanswered waits before it is said again.
    fn repeat_us(&self) -> u64 {
        (self.round_trip_us() * 3 / 2 + 20_000).min(1_000_000)
    }

    /// A lost request freezes the picture, and a superfluous one costs 60 bytes and is recognised: so soon.
    fn repair_repeat_us(&self) -> u64 {
        (self.round_trip_us() / 4 + 5_000).min(100_000)
    }

    /// How long a missing shard may only be late: a quarter of a round trip, or what lateness was seen here.
    fn picture_patience_us(&self) -> u64 {
        let usual = (self.round_trip_us() / 4).clamp(4_000, 50_000);
        usual.max((self.arrivals.lateness_us() * 3 / 2).min(self.round_trip_us().max(50_000)))
    }

    fn shard_len(&self) -> usize {
        usize::from(self.config.datagram_len) - DataHeader::LEN - ShardHead::FRAME_LEN - TAG_LEN
    }

    fn advance_video(&mut self, now: Instant) {
        let patience = self.picture_patience_us();
        while self.video_in.advance(self.memory.pictures(), now, patience).is_some() {}
    }
}

/// The permissions whose loss releases what is held.
const fn steering() -> Permissions {
    Permissions::POINTER.union(Permissions::KEYBOARD)
}

impl<M: Memory, H: Handshake> core::fmt::Debug for Session<M, H> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Session")
            .field("side", &self.side)
            .field("peer", &self.peer)
            .field("connection", &self.local_connection)
            .finish_non_exhaustive()
    }
}
