//! What a session tells its application: latches, polled in an order that tells causes before what follows from them.

use super::{CloseReason, Event, InputTrace, PathId, Session};
use crate::channel::video::incoming;
use crate::crypto::Handshake;
use crate::storage::Memory;
use crate::wire::stream::Channel;
use crate::wire::video::Repair;

/// Events that are latched until they are polled.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PendingEvents {
    pub(super) authenticated: bool,
    pub(super) live: bool,
    pub(super) token: bool,
    pub(super) pairing_requested: bool,
    pub(super) paired: bool,
    pub(super) admitted: bool,
    pub(super) parameters: bool,
    pub(super) cursor: bool,
    pub(super) capture: bool,
    pub(super) shown: Option<InputTrace>,
    pub(super) repair: Option<Repair>,
    pub(super) closed: Option<CloseReason>,
    pub(super) path_proven: Option<PathId>,
    pub(super) path_failed: Option<PathId>,
    pub(super) path_silent: Option<PathId>,
    /// The application was told that entropy is wanted.
    pub(super) is_entropy_told: bool,
}

impl<M: Memory, H: Handshake> Session<M, H> {
    /// What happened next, if anything did.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.poll_admission()
            .or_else(|| self.poll_channels())
            .or_else(|| self.pending.closed.take().map(Event::Closed))
    }

    /// What became of the peer itself.
    fn poll_admission(&mut self) -> Option<Event> {
        if core::mem::take(&mut self.pending.authenticated)
            && let Some(peer) = self.peer
        {
            return Some(Event::Authenticated(peer));
        }
        if core::mem::take(&mut self.pending.live) {
            return Some(Event::Live);
        }
        if core::mem::take(&mut self.pending.pairing_requested) {
            return Some(Event::PairingRequested);
        }
        if core::mem::take(&mut self.pending.paired)
            && let Some(peer) = self.peer
        {
            return Some(Event::Paired(peer));
        }
        if let Some(path) = self.pending.path_proven.take() {
            return Some(Event::PathProven(path));
        }
        if let Some(path) = self.pending.path_failed.take() {
            return Some(Event::PathFailed(path));
        }
        if let Some(path) = self.pending.path_silent.take() {
            return Some(Event::PathSilent(path));
        }
        if self.take_entropy_wanted() {
            return Some(Event::EntropyWanted);
        }
        if let Some(event) = self.succession.event() {
            return Some(event);
        }
        if core::mem::take(&mut self.pending.admitted)
            && let Some(permissions) = self.permissions
        {
            return Some(Event::Admitted(permissions));
        }
        if core::mem::take(&mut self.viewer.has_capabilities_event) {
            return Some(Event::Capabilities);
        }
        if core::mem::take(&mut self.pending.token)
            && let Some(token) = self.token
        {
            return Some(Event::AddressToken(token));
        }
        None
    }

    /// What came on the channels.
    fn poll_channels(&mut self) -> Option<Event> {
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
        if core::mem::take(&mut self.viewer.has_report_event) {
            return Some(Event::TileReport);
        }
        if core::mem::take(&mut self.pending.cursor) {
            return Some(Event::Cursor(self.cursor));
        }
        if self.audio_in.take_news() {
            return Some(Event::Audio);
        }
        if let Some(rumble) = self.rumbles.take_news() {
            return Some(Event::Rumble(rumble));
        }
        if let Some(trace) = self.pending.shown.take() {
            return Some(Event::InputShown(trace));
        }
        if core::mem::take(&mut self.pending.capture)
            && let Some((state, _)) = self.capture
        {
            return Some(Event::CaptureState(state));
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
        None
    }
}
