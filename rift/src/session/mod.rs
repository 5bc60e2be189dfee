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
//! This file only dispatches. Commands, receiving, sending, the handshake and the accounting of packets have files
//! of their own; each channel's state machine lives in [`crate::channel`].

pub mod arrivals;
mod audio;
mod bulk;
mod calling;
mod chance;
mod clock;
mod commands;
mod connections;
mod events;
mod fates;
mod handshake;
mod keys;
mod latch;
mod liveness;
mod migration;
mod mtu;
mod pairing;
mod path;
mod probing;
mod receive;
mod renewal;
mod restart;
mod sealing;
pub mod sent;
mod succession;
mod trace;
mod transmit;
mod types;
mod viewer;
mod welcome;

pub use calling::Callee;
pub use clock::ClockRelation;
pub use trace::{InputTrace, PictureTrace};
pub use types::{Class, CloseReason, Config, Discard, Event, PathId, SendError, Stats, Timer, Transmit};
pub use welcome::Established;

use crate::channel::Priority;
use crate::channel::audio::{AudioReceiver, AudioSender};
use crate::channel::bulk::Bulk;
use crate::channel::capture::CaptureState;
use crate::channel::input::receiver::InputReceiver;
use crate::channel::input::rumble::Rumbles;
use crate::channel::input::sender::InputSender;
use crate::channel::permissions::Permissions;
use crate::channel::stream::Stream;
use crate::channel::video::incoming::{Patience, VideoReceiver};
use crate::channel::video::outgoing::VideoSender;
use crate::crypto::{AddressToken, Handshake, PublicKey, Side};
use crate::delta::{self, Budget, Controller as _};
use crate::flight::FlightEntry;
use crate::pacing::Pacer;
use crate::profile::Profile;
use crate::storage::Memory;
use crate::time::Instant;
use crate::wire::cursor::CursorPosition;
use crate::wire::stream::Channel;
use crate::wire::video::StreamParametersMessage;

use arrivals::{ArrivalLog, ArrivedPacket};
use chance::Chance;
use clock::PeerClock;
use connections::Connections;
use events::PendingEvents;
use handshake::Phase;
use keys::Keys;
use latch::{Latches, Told};
use migration::Paths;
use pairing::Pairing;
use path::Path;
use sent::{Carried, SentLog};
use succession::Succession;
use viewer::Viewer;
use welcome::Trial;

/// Assumed before the first round trip is measured.
const ROUND_TRIP_US_DEFAULT: u64 = 100_000;
/// A missing shard may be this late in any case before more parity is asked for: a batch's length.
const ASK_US: u64 = 1_000;
/// Parity of a later picture is waited for this long at most for each picture between, where pictures come seldom.
const WINDOW_PERIOD_US_MAX: u64 = 50_000;
/// Bytes of the seal behind every datagram.
pub(crate) const TAG_LEN: usize = 16;

/// One session with one peer; see the module. `M` is its memory, `H` its handshake, dropped when it is done.
pub struct Session<M: Memory, H: Handshake> {
    side: Side,
    config: Config,
    /// The path that everything is sent on.
    active: Path,
    paths: Paths,
    /// An address waits for its challenge until there is entropy.
    lacks_challenge: bool,
    /// The longest datagram that the peer takes, 0 before it has told.
    peer_datagram_len: u16,
    memory: M,
    phase: Phase<H>,
    peer: Option<PublicKey>,
    local_connection: u32,
    keys: Option<Keys<H::Aead>>,
    chance: Chance,
    connections: Connections,
    sent: SentLog,
    arrivals: ArrivalLog,
    clock: PeerClock<M::Profile>,
    /// The reference time of the peer's newest feedback, unwrapped.
    peer_reference_us: Option<u64>,
    delta: <M::Profile as Profile>::Controller,
    pacer: Pacer,
    latches: Latches,
    /// The client did not know the host's key: this session is for pairing and nothing else (SPEC §8.5).
    is_stranger: bool,
    pairing: Pairing,
    succession: Succession,
    /// The handshake's hash.
    transcript: [u8; 32],
    /// Host: what the client asked for.
    wanted: Permissions,
    /// Host: as long as the client may be a recording.
    trial: Option<Trial>,
    /// The newest address token: given here, or got from the host.
    token: Option<AddressToken>,
    /// What the host granted: as granted here, or as told by it.
    permissions: Option<Permissions>,
    parameters: Option<StreamParametersMessage>,
    cursor: CursorPosition,
    /// What the capture is doing, and the number of that change.
    capture: Option<(CaptureState, u16)>,
    told: Told,
    /// The client's words about itself.
    viewer: Viewer,
    video_out: VideoSender<M::Profile>,
    video_in: VideoReceiver,
    input_out: InputSender<M::Profile>,
    input_in: InputReceiver<M::Profile>,
    rumbles: Rumbles,
    streams: [Stream<M::Profile>; Channel::ALL.len()],
    bulk: Bulk,
    audio_out: AudioSender,
    audio_in: AudioReceiver<M::Profile>,
    loss: audio::LossMeter,
    pending: PendingEvents,
    heard_at: Instant,
    /// Client: when the last shard came.
    shard_at: Option<Instant>,
    /// Client: pictures come without a pause.
    is_flowing: bool,
    /// Client: bits per second that came lately, and when and how many bytes there were at the last count.
    received_bps: u64,
    received_mark: (Instant, u64),
    /// Host: when the last shard left, until the client was told that no other follows soon.
    left_at: Option<Instant>,
    /// The most that was granted as the pictures were queued that wait, in bits per second.
    queued_for_bps: u32,
    /// The newest time any call was given.
    now: Instant,
    stats: Stats,
}

impl<M: Memory, H: Handshake> Session<M, H> {
    fn new(side: Side, config: &Config, mut memory: M, path: PathId, phase: Phase<H>, now: Instant) -> Self {
        // The session before this one in the same memory had packets of the same numbers.
        memory.arrivals().fill(ArrivedPacket::EMPTY);
        let delta = <M::Profile as Profile>::Controller::new(&delta::Config {
            bitrate_bps_min: config.bitrate_bps_min,
            bitrate_bps_start: config.bitrate_bps_start,
            bitrate_bps_max: config.bitrate_bps_max,
        });
        let mut pacer = Pacer::new(now);
        pacer.follow(&delta.budget());
        Self {
            side,
            config: *config,
            active: Path::first(path, config.datagram_len, now),
            paths: Paths::new(),
            lacks_challenge: false,
            peer_datagram_len: 0,
            memory,
            phase,
            peer: None,
            local_connection: 0,
            keys: None,
            chance: Chance::new(),
            connections: Connections::new(),
            sent: SentLog::new(),
            arrivals: ArrivalLog::new(),
            clock: PeerClock::new(now),
            peer_reference_us: None,
            delta,
            pacer,
            latches: Latches::new(),
            is_stranger: false,
            pairing: Pairing::new(),
            succession: Succession::default(),
            transcript: [0; 32],
            wanted: Permissions::all(),
            trial: None,
            token: None,
            permissions: None,
            parameters: None,
            cursor: CursorPosition::default(),
            capture: None,
            told: Told::default(),
            viewer: Viewer::new(),
            video_out: VideoSender::new(),
            video_in: VideoReceiver::new(),
            input_out: InputSender::new(),
            input_in: InputReceiver::new(now),
            rumbles: Rumbles::new(),
            streams: core::array::from_fn(|_| Stream::new()),
            bulk: Bulk::new(),
            audio_out: AudioSender::new(),
            audio_in: AudioReceiver::new(),
            loss: audio::LossMeter::new(),
            pending: PendingEvents::default(),
            heard_at: now,
            shard_at: None,
            is_flowing: false,
            received_bps: 0,
            received_mark: (now, 0),
            left_at: None,
            queued_for_bps: 0,
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

    /// What the host's capture is doing: as said here, or as told by the host.
    #[must_use]
    pub fn capture_state(&self) -> Option<CaptureState> {
        self.capture.map(|(state, _)| state)
    }

    /// What congestion control grants now. While the clipboard or a file is on its way the encoder's part is smaller by
    /// their share.
    #[must_use]
    pub fn budget(&self) -> Budget {
        let budget = self.delta.budget();
        if self.bulk.is_flowing(self.now) {
            Budget { bitrate_bps: Bulk::beside(budget.bitrate_bps), ..budget }
        } else {
            budget
        }
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
            clock_drift_ppb: relation.map_or(0, |relation| relation.drift_ppb),
            clock_error_us: relation.map_or(u32::MAX, |relation| relation.error_us),
            queue_us: measured.queue_us,
            loss_permille: measured.loss_permille,
            parity_permille: budget.parity_permille,
            bitrate_bps: budget.bitrate_bps,
            datagram_len: self.active.mtu.len(),
            key_generation: self.keys.as_ref().map_or(0, Keys::generation),
            packets_missing: self.packets_expected().saturating_sub(self.stats.packets_received),
            ..self.stats
        }
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
        if self.pairing.has_given_up(now) {
            self.fail_pairing(now, CloseReason::PairingOver);
            return;
        }
        if self.handle_key_timeout(now) {
            return;
        }
        self.handle_path_timeout(now);
        let round_trip = self.round_trip_us();
        if self.input_in.silence_due(round_trip).is_some_and(|due| due <= now) {
            self.input_in.release_all();
        }
        self.audio_in.handle_timeout(now, self.arrivals.lateness_us());
        if self.side == Side::Responder {
            if self.delta.poll_timeout().is_some_and(|due| due <= now) {
                self.delta.handle_timeout(now);
                self.on_granted(|| FlightEntry::Silence { at: now });
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
        let idle = (self.heard_at.plus_micros(self.config.idle_us.into()), Timer::Idle);
        let path = self.path_due().map(|due| (due, Timer::Path));
        if self.is_trial_spent() {
            return path
                .filter(|_| self.active.room.is_some())
                .into_iter()
                .chain([idle])
                .min_by_key(|&(due, _)| due);
        }
        let round_trip = self.round_trip_us();
        let patience = self.picture_patience();
        let first = |one: Option<Instant>, other: Option<Instant>| match (one, other) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let input = first(self.input_out.due(), self.input_in.acknowledge_due());
        let repair = self.video_in.repair_due(self.repair_repeat_us());
        let slots = self.memory.pictures_ref();
        let asking = first(self.video_in.ask_due(slots, &patience), repair);
        let picture = first(self.video_in.due(slots, &patience), asking);
        let urgent = |channel: &Channel| channel.priority() != Priority::Bulk;
        let stream = Channel::ALL.into_iter().filter(urgent);
        let stream = stream.filter_map(|channel| self.stream(channel).resend_due()).min();
        let is_host = self.side == Side::Responder;
        [
            (self.arrivals.due(), Timer::Feedback),
            (self.media_due(), Timer::Pacing),
            (Some(self.request_due()), Timer::Clock),
            (self.pairing.due(), Timer::Pairing),
            (self.latches.due(self.sendable_states()), Timer::Latch),
            (input, Timer::Input),
            (self.input_in.silence_due(round_trip), Timer::Silence),
            (picture, Timer::Picture),
            (stream, Timer::Stream),
            (self.bulk_due(), Timer::Bulk),
            (self.audio_in.due(self.arrivals.lateness_us()), Timer::Audio),
            (if is_host { self.delta.poll_timeout() } else { None }, Timer::Delta),
            (self.key_due(), Timer::Keys),
            (self.path_due(), Timer::Path),
            (self.mtu_due(), Timer::Path),
            (self.pause_due(), Timer::Picture),
        ]
        .into_iter()
        .filter_map(|(due, timer)| due.map(|due| (due, timer)))
        .chain([idle])
        .min_by_key(|&(due, _)| due)
    }

    // ---- shared by the files of this directory ----

    /// Packets that the peer has sent, as far as is known.
    fn packets_expected(&self) -> u64 {
        let others = self.paths.others.iter().map(|path| path.replay.expected());
        others.sum::<u64>() + self.paths.missing_base + self.active.replay.expected()
    }

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
    fn picture_patience(&self) -> Patience {
        let round_trip = self.round_trip_us();
        let late_us = (self.arrivals.lateness_us() * 3 / 2).min(round_trip.max(50_000));
        let reorder_us = (round_trip / 4).clamp(4_000, 50_000).max(late_us);
        // What comes while an answer is waited for needs a place each picture period.
        let answer_us = round_trip + round_trip / 8 + reorder_us + ASK_US;
        let rate = self.parameters.map_or(0, |message| message.parameters.rate_millihertz);
        let period_us = 1_000_000_000 / u64::from(rate.max(1));
        let places = self.memory.pictures_ref().len() as u64;
        // Nothing is asked before admission (SPEC §6.1).
        let may_ask = self.permissions.is_some() && self.clock.round_trip_us(0) > 0;
        let has_room = answer_us + period_us <= places.saturating_sub(1) * period_us;
        Patience {
            reorder_us,
            late_us: late_us.max(ASK_US),
            answer_us: (may_ask && has_room).then_some(answer_us),
            period_us: period_us.min(WINDOW_PERIOD_US_MAX),
        }
    }

    const fn stream(&self, channel: Channel) -> &Stream<M::Profile> {
        &self.streams[channel.code() as usize]
    }

    fn advance_video(&mut self, now: Instant) {
        let patience = self.picture_patience();
        while self.video_in.advance(self.memory.pictures(), now, &patience).is_some() {}
    }
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
