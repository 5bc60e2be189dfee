//! Several paths, and the way from one to another (SPEC §16): the client opens paths and says which is used; the host
//! follows, and proves every address before it sends much there.

use super::path::{AMPLIFICATION_MAX, Challenge, Direction, Path};
use super::{Carried, Discard, PathId, SendError, Session};
use crate::crypto::{Handshake, Side};
use crate::limits::DATAGRAM_MIN;
use crate::storage::Memory;
use crate::time::Instant;
use crate::wire::header::DataHeader;
use crate::wire::path::{NewConnection, PathProbe, PathsInUse};
use crate::wire::video::Repair;
use crate::wire::{Frame, FrameType, Frames};

/// A path on which the host does not answer so many challenges leads nowhere.
const TRIES_MAX: u8 = 8;
/// Fewest and most padded packets with which a client makes room for the host's first pictures on a new path.
const BURST: core::ops::RangeInclusive<u64> = 4..=24;
/// Pictures that may be under way for the host to guess where to go on; an encoder keeps a few more.
const GUESS_PICTURES: u32 = 4;
/// Of four times the variation of round trips no more counts, in µs, and so much less: a steady path has as much.
const VARIATION_US_MAX: u64 = 80_000;
const STEADY_US: u64 = 8_000;
/// A path that answers within this time after it fell silent was well, in µs.
const FALSE_ALARM_US: u64 = 1_000_000;
/// A silence that was no path's fault is allowed for at most this long, in µs, and half as long after each half minute.
const UNSTEADY_US_MAX: u64 = 300_000;
const UNSTEADY_HALF_US: u64 = 30_000_000;
/// What usually comes in this time is made room for, in µs: a key picture at 60 Hz.
const BURST_US: u64 = 83_000;

/// What a session knows of its paths beside the one in use.
#[derive(Debug)]
pub(super) struct Paths {
    pub(super) others: heapless::Vec<Path, { crate::limits::PATHS_MAX - 1 }>,
    /// The newest change said or heard.
    pub(super) change: u16,
    /// Uses of paths so far.
    epoch: u16,
    /// Padded packets that are still to leave.
    pub(super) burst: u8,
    /// Client: when the last shard came before the silence that was acted upon.
    silent_since: Option<Instant>,
    /// The same of the last packet of any kind.
    mute_since: Option<Instant>,
    /// The same while it is waited for a moment longer, because paths and machines are not always as steady.
    doubted_since: Option<Instant>,
    /// The path that was left because of a silence, by its number, and when the last packet had come then.
    left: Option<(u16, Instant)>,
    /// By how much longer than expected the host was silent on a path that was well, in µs, and when that was seen.
    unsteady: (u64, Instant),
    /// Packets that were sent before the paths that are gone were.
    pub(super) missing_base: u64,
}

impl Paths {
    pub(super) const fn new() -> Self {
        Self {
            others: heapless::Vec::new(),
            change: 0,
            epoch: 0,
            burst: 0,
            silent_since: None,
            mute_since: None,
            doubted_since: None,
            left: None,
            unsteady: (0, Instant::ZERO),
            missing_base: 0,
        }
    }
}

impl<M: Memory, H: Handshake> Session<M, H> {
    /// Client: opens another path beside the one in use, by a name of the driver's that no path has. It is tried at once;
    /// [`Event::PathProven`](super::Event::PathProven) or [`Event::PathFailed`](super::Event::PathFailed) tells the
    /// outcome. `entropy` is 32 bytes never used before.
    ///
    /// # Errors
    /// [`SendError::NotConnected`]; [`SendError::Full`] when there are as many paths as may be, or the host has not given
    /// enough connection ids yet.
    pub fn open_path(&mut self, now: Instant, id: PathId, entropy: [u8; 32]) -> Result<(), SendError> {
        if self.side != Side::Initiator || !self.is_established() || self.uses_path(id) {
            return Err(SendError::NotConnected);
        }
        if self.paths.others.is_full() {
            return Err(SendError::Full);
        }
        self.now = self.now.max(now);
        self.chance.mix(&entropy);
        let drawn = self.chance.draw().ok_or(SendError::Full)?;
        let spare = self.connections.open().ok_or(SendError::Full)?;
        let word = |at: usize| u32::from_be_bytes([drawn[at], drawn[at + 1], drawn[at + 2], drawn[at + 3]]);
        let local = Direction::new(word(0), word(4));
        let mtu = self.untried();
        let mut path = Path::new(id, spare.number, local, Direction::of(&spare), mtu, now);
        let data = [drawn[8], drawn[9], drawn[10], drawn[11], drawn[12], drawn[13], drawn[14], drawn[15]];
        path.challenge = Some(Challenge::new(data, now));
        self.paths.others.push(path).map_err(|_| SendError::Full)?;
        self.say_paths();
        Ok(())
    }

    /// Client: sends everything on this path from now on and keeps the one used before ready: make before break. What is
    /// under way there still arrives.
    ///
    /// # Errors
    /// [`SendError::NotConnected`] when there is no such path, or it is not proven.
    pub fn use_path(&mut self, now: Instant, id: PathId) -> Result<(), SendError> {
        self.switch_to(now, |path| path.id == id && path.is_proven)
    }

    fn switch_to(&mut self, now: Instant, which: impl Fn(&Path) -> bool) -> Result<(), SendError> {
        let at = self.paths.others.iter().position(which).ok_or(SendError::NotConnected)?;
        self.now = self.now.max(now);
        self.switch(now, at);
        self.say_paths();
        Ok(())
    }

    /// Client: like [`Self::use_path`], but the path used before is dead: what was under way there is lost, and pictures
    /// go on from the last one that came. The path may be one that is not proven yet.
    ///
    /// # Errors
    /// [`SendError::NotConnected`] when there is no such path.
    pub fn move_to(&mut self, now: Instant, id: PathId) -> Result<(), SendError> {
        let before = self.active.id;
        self.switch_to(now, |path| path.id == id)?;
        self.close_path(before);
        self.begin_burst(now);
        Ok(())
    }

    /// Client: gives a path up that is not in use.
    pub fn close_path(&mut self, id: PathId) {
        if let Some(at) = self.paths.others.iter().position(|path| path.id == id) {
            self.drop_path(at);
            self.say_paths();
        }
    }

    /// Whether packets go to or are awaited from this path: a driver keeps its sockets and addresses as long.
    #[must_use]
    pub fn uses_path(&self, id: PathId) -> bool {
        let uses = |path: &Path| path.id == id || path.fallback == Some(id);
        uses(&self.active) || self.paths.others.iter().any(uses)
    }

    /// The path everything is sent on.
    #[must_use]
    pub const fn path(&self) -> PathId {
        self.active.id
    }

    /// Client: whether the host was silent where it should not have been, and still is.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.paths.mute_since == Some(self.heard_at)
    }

    fn drop_path(&mut self, at: usize) {
        let path = self.paths.others.swap_remove(at);
        self.paths.missing_base += path.replay.expected();
        self.connections.retain(|number| number != path.number);
    }

    fn say_paths(&mut self) {
        self.paths.change = self.paths.change.wrapping_add(1);
        self.latches.set(Carried::PATHS, self.sent.next());
    }

    /// Padded packets tell the host at once where this side is and let it send three times as much there before it has
    /// proven the address: enough for the next pictures.
    fn begin_burst(&mut self, now: Instant) {
        let bytes = self.received_bps / 8 * BURST_US / 1_000_000;
        let packets = bytes.div_ceil(AMPLIFICATION_MAX * DATAGRAM_MIN as u64);
        self.paths.burst = packets.clamp(*BURST.start(), *BURST.end()) as u8;
        self.video_in.go_on_from_here(now);
    }

    /// The other path at `at` becomes the one in use.
    fn switch(&mut self, now: Instant, at: usize) {
        let Some(other) = self.paths.others.get_mut(at) else { return };
        self.active.end_account();
        self.active.mtu.forget_probe();
        core::mem::swap(&mut self.active, other);
        self.paths.epoch = self.paths.epoch.wrapping_add(1);
        self.active.epoch = self.paths.epoch;
        self.paths.silent_since = None;
        self.forget_flight(now);
        self.active.begin_account(self.sent.next());
        self.arrivals.restart(self.active.order(self.active.replay.expected()));
        self.begin_control(now);
        self.drop_too_long();
        self.heard_at = self.heard_at.max(now);
        // Nothing can be expected here before the peer has followed.
        self.is_flowing = false;
    }

    // ---- receiving ----

    /// A packet that is not for the path in use: for another one, or a client opens one with it.
    pub(super) fn handle_aside(
        &mut self,
        now: Instant,
        id: PathId,
        received_at: Instant,
        header: &DataHeader,
        datagram: &mut [u8],
    ) -> Result<(), Discard> {
        let len = datagram.len();
        let linger_us = 3 * self.round_trip_us();
        let mtu = self.untried();
        let keys = self.keys.as_mut().ok_or(Discard::Unexpected)?;
        let others = &mut self.paths.others;
        if let Some(at) = others.iter().position(|path| path.local.connection == header.connection) {
            let path = &mut others[at];
            let (index, text) = path.open(id, keys, header, datagram, now, linger_us)?;
            let order = path.order(index);
            self.on_sealed();
            self.count_opened(len, received_at);
            self.on_address(now, Some(at), id, index, len);
            return self.handle_frames(now, received_at, order, text, len, Some(at));
        }
        let spare = self.connections.unused(header.connection).filter(|_| self.side == Side::Responder);
        let spare = spare.ok_or(Discard::UnknownConnection)?;
        let mut path = Path::new(id, spare.number, Direction::of(&spare), Direction::default(), mtu, now);
        let (_, text) = path.open(id, keys, header, datagram, now, linger_us)?;
        // It ends a trial like any other: a client may move before it has said anything where it was.
        self.on_sealed();
        self.count_opened(len, received_at);
        let mut frames = Frames::new(text).filter(|frame| frame.frame_type == FrameType::NewConnection);
        let answer = frames.find_map(|frame| NewConnection::parse(frame.body));
        let answer = answer.filter(|new| new.number == spare.number).ok_or(Discard::Unexpected)?;
        path.remote = Direction::of(&answer);
        path.room = Some(0);
        path.earn(len);
        // What the client has closed meanwhile makes room.
        let mut frames = Frames::new(text).filter(|frame| frame.frame_type == FrameType::PathsInUse);
        if let Some(message) = frames.find_map(|frame| PathsInUse::parse(frame.body)) {
            self.on_paths(now, &message)?;
        }
        if self.paths.others.is_full() {
            // The client knows best which it needs: one it has not spoken of makes room.
            let oldest = (0..self.paths.others.len()).min_by_key(|&at| self.paths.others[at].heard_at);
            self.drop_path(oldest.unwrap_or(0));
        }
        let at = self.paths.others.len();
        self.paths.others.push(path).map_err(|_| Discard::NoRoom)?;
        self.challenge(now, Some(at));
        self.handle_frames(now, received_at, 0, text, len, Some(at))
    }

    fn count_opened(&mut self, len: usize, received_at: Instant) {
        self.heard_at = self.heard_at.max(received_at);
        self.stats.packets_received += 1;
        self.stats.bytes_received += len as u64;
    }

    /// A packet of a path came from `id`. The newest one says where the client is now; the address is to be proven.
    pub(super) fn on_address(&mut self, now: Instant, at: Option<usize>, id: PathId, index: u64, len: usize) {
        let (side, untried) = (self.side, self.untried());
        let Some(path) = self.path_mut(at) else { return };
        path.heard_at = now;
        if path.id == id || side == Side::Initiator || index + 1 != path.replay.expected() {
            if path.id == id {
                path.earn(len);
            }
            return;
        }
        if path.fallback == Some(id) {
            // It is where it was: the packet from elsewhere was somebody's copy.
            path.return_to(id);
            return;
        }
        if path.room.is_none() {
            path.fallback = Some(path.id);
        }
        (path.id, path.mtu) = (id, untried);
        path.room = Some(0);
        path.earn(len);
        self.challenge(now, at);
        if at.is_none() {
            if self.is_viewed() {
                // What is under way goes where nobody is any more: pictures go on from the last that surely came, if that
                // was not long ago; else the client soon knows better.
                let (after, seen) = (self.video_out.newest_before(self.sent.untold()), self.video_out.left());
                if seen.0 - after.0 <= GUESS_PICTURES {
                    self.pending.repair = Some(Repair { after, seen });
                }
                self.video_out.drop_waiting();
            }
            self.forget_flight(now);
            self.begin_control(now);
            self.drop_too_long();
        }
    }

    /// Host: asks the client on a path to prove where it is, as soon as there is entropy for it.
    fn challenge(&mut self, now: Instant, at: Option<usize>) {
        let data = self.chance.draw();
        let wants = data.is_none();
        let Some(path) = self.path_mut(at) else { return };
        if let Some(drawn) = data
            && let Some(&data) = drawn.first_chunk()
        {
            path.challenge = Some(Challenge::new(data, now));
        }
        self.lacks_challenge |= wants;
    }

    /// Entropy has come: what could not be asked before is asked now.
    pub(super) fn catch_up_challenges(&mut self, now: Instant) {
        if core::mem::take(&mut self.lacks_challenge) {
            for at in (0..self.paths.others.len()).map(Some).chain([None]) {
                let is_open = |path: &mut Path| path.room.is_some() && path.challenge.is_none();
                if self.path_mut(at).is_some_and(is_open) {
                    self.challenge(now, at);
                }
            }
        }
    }

    /// Where among the other paths the one of this number is.
    pub(super) fn other_path(&self, number: Option<u16>) -> Option<usize> {
        self.paths.others.iter().position(|path| Some(path.number) == number)
    }

    pub(super) fn path_mut(&mut self, at: Option<usize>) -> Option<&mut Path> {
        match at {
            Some(at) => self.paths.others.get_mut(at),
            None => Some(&mut self.active),
        }
    }

    /// Frames about paths; `at` is the other path they came on, `None` the one in use.
    pub(super) fn handle_path_frame(
        &mut self,
        now: Instant,
        frame: &Frame<'_>,
        at: Option<usize>,
    ) -> Result<(), Discard> {
        // Who only pairs stays where it is (SPEC §8.5).
        if self.is_stranger {
            return Err(Discard::Unexpected);
        }
        let body = frame.body;
        if frame.frame_type == FrameType::PathsInUse {
            return self.on_paths(now, &PathsInUse::parse(body).ok_or(Discard::Malformed)?);
        }
        let probe = PathProbe::parse(body).ok_or(Discard::Malformed)?;
        let Some(path) = self.path_mut(at) else { return Ok(()) };
        if frame.frame_type == FrameType::PathChallenge {
            path.response = Some(probe.data);
            return Ok(());
        }
        let Some(challenge) = path.challenge.filter(|challenge| challenge.data == probe.data) else {
            return Ok(());
        };
        let (is_news, id, number) = (!path.is_proven, path.id, path.number);
        path.prove();
        if let Some((_, heard_at)) = self.paths.left.take_if(|(left, _)| *left == number && at.is_some()) {
            self.on_false_alarm(now, heard_at);
        }
        if let Some(sent_at) = challenge.sent_at.filter(|_| challenge.tries == 1 && at.is_none()) {
            self.clock.on_round_trip(now.micros_since(sent_at));
        }
        if self.side == Side::Initiator && is_news {
            self.pending.path_proven = Some(id);
        }
        Ok(())
    }

    /// Host: the client says which paths it uses.
    fn on_paths(&mut self, now: Instant, message: &PathsInUse) -> Result<(), Discard> {
        if self.side != Side::Responder {
            return Err(Discard::Unexpected);
        }
        if (message.change.wrapping_sub(self.paths.change) as i16) <= 0 {
            return Ok(());
        }
        self.forget_closed(message);
        if message.used != self.active.number {
            let at = self.paths.others.iter().position(|path| path.number == message.used);
            // Said before the path itself was heard of: it is said again.
            let Some(at) = at else { return Ok(()) };
            self.switch(now, at);
            if message.standby.is_none() {
                // The path before is dead, and so is what leans on what was under way there.
                self.video_out.drop_waiting();
            }
            self.forget_closed(message);
        }
        self.paths.change = message.change;
        Ok(())
    }

    /// Host: paths that the client has closed, and ids it will never use, are no more.
    fn forget_closed(&mut self, message: &PathsInUse) {
        while let Some(at) = self.paths.others.iter().position(|path| !message.keeps(path.number)) {
            self.drop_path(at);
        }
        let used = self.active.number;
        self.connections.retain(|number| number == used || message.keeps(number));
    }

    // ---- time ----

    /// Gives up what nobody answers; notices that the path in use fell silent.
    pub(super) fn handle_path_timeout(&mut self, now: Instant) {
        let is_hopeless = |path: &Path| {
            path.challenge.is_some_and(|challenge| challenge.tries >= TRIES_MAX && challenge.due <= now)
        };
        if self.side == Side::Initiator
            && let Some(at) = self.paths.others.iter().position(is_hopeless)
        {
            self.pending.path_failed = Some(self.paths.others[at].id);
            self.drop_path(at);
            self.say_paths();
        }
        if self.silence_due().is_some_and(|due| due <= now) {
            self.on_silence(now);
        }
    }

    /// Client: when the path in use counts as silent: pictures flowed on it and have stopped without a word.
    pub(super) fn silence_due(&self) -> Option<Instant> {
        let since = self.shard_at?;
        let is_told = self.paths.silent_since == Some(since);
        let flow_stops = (self.is_flowing && !is_told && self.side == Side::Initiator)
            .then(|| since.plus_micros(self.flow_patience_us()));
        // Where no pictures are expected, two questions without an answer say the same.
        let is_asked = self.side == Side::Initiator
            && self.paths.mute_since != Some(self.heard_at)
            && self.clock.asked_since(self.heard_at) >= 2;
        let doubted = self.paths.doubted_since.filter(|&since| since == self.heard_at);
        let is_mute = doubted.map(|since| since.plus_micros(self.switch_patience_us(since)));
        let asked = is_asked.then(|| self.answer_overdue());
        flow_stops.or_else(|| [is_mute, asked].into_iter().flatten().min())
    }

    fn on_silence(&mut self, now: Instant) {
        let is_mute = self.clock.asked_since(self.heard_at) >= 2 && self.answer_overdue() <= now;
        self.paths.silent_since = self.shard_at;
        let heard_at = self.heard_at;
        // Where anything else comes, it is the host or its rate that has stopped the pictures.
        let is_silent = heard_at.plus_micros(self.flow_patience_us()) <= now;
        let is_over = is_mute || is_silent && heard_at.plus_micros(self.switch_patience_us(now)) <= now;
        self.paths.doubted_since = (is_silent && !is_over).then_some(heard_at);
        if is_over {
            self.paths.mute_since = Some(heard_at);
            self.pending.path_silent = Some(self.active.id);
            if let Some(at) = self.paths.others.iter().position(|path| path.is_proven) {
                self.switch(now, at);
                self.say_paths();
                // What was left is to be proven anew before it may be of use again.
                self.paths.others[at].is_proven = false;
                self.paths.left = Some((self.paths.others[at].number, heard_at));
                self.challenge(now, Some(at));
            }
        }
        self.begin_burst(now);
        // It may be the address of this side that has changed.
        self.challenge(now, None);
    }

    /// How long nothing at all may come while pictures flow until another path is taken: longer where round trips vary, and
    /// where a path was left for nothing before.
    fn switch_patience_us(&self, now: Instant) -> u64 {
        let (unsteady_us, seen_at) = self.paths.unsteady;
        let halves = u32::try_from(now.micros_since(seen_at) / UNSTEADY_HALF_US).unwrap_or(u32::MAX);
        let unsteady_us = unsteady_us.checked_shr(halves).unwrap_or(0);
        let varies_us = (4 * self.clock.variation_us()).min(VARIATION_US_MAX).saturating_sub(STEADY_US);
        self.flow_patience_us() + varies_us.max(unsteady_us)
    }

    /// A path that was left when nothing had come since `heard_at` turns out to be well: it was the host that said nothing.
    fn on_false_alarm(&mut self, now: Instant, heard_at: Instant) {
        let silence_us = now.micros_since(heard_at);
        if silence_us < FALSE_ALARM_US {
            let beyond_us = (silence_us * 3 / 2).min(UNSTEADY_US_MAX);
            self.paths.unsteady = (beyond_us.max(self.paths.unsteady.0), now);
        }
    }

    /// When something about paths is due.
    pub(super) fn path_due(&self) -> Option<Instant> {
        let burst = (self.paths.burst > 0).then_some(Instant::ZERO);
        let paths = self.paths.others.iter().chain([&self.active]);
        paths.filter_map(Path::due).chain(burst).chain(self.silence_due()).min()
    }
}
