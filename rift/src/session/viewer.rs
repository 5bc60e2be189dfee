//! What a viewer can show, shows wrongly or lacks: told by the client, heard by the host (SPEC §11.9–§11.10, §11.12–§11.13).

use super::fates::ANSWERED_US;
use super::mtu::shard_len;
use super::sent::Carried;
use super::{Discard, SendError, Session, Told};
use crate::channel::capabilities::Capabilities;
use crate::channel::permissions::Permissions;
use crate::channel::video::PictureId;
use crate::channel::video::incoming::window_of;
use crate::crypto::{Handshake, Side};
use crate::delta::Controller as _;
use crate::flight::FlightEntry;
use crate::limits::WINDOW_PICTURES_MAX;
use crate::storage::Memory;
use crate::wire::capabilities::{CapabilitiesMessage, TileReport};
use crate::wire::frame::{FrameType, emit};
use crate::wire::shard::WindowHead;
use crate::wire::video::{MoreParity, Window};
use crate::wire::{Frame, Writer};

/// The client's words about itself: at the client what it says, at the host what it was told.
#[derive(Clone, Debug)]
pub(super) struct Viewer {
    capabilities: Option<CapabilitiesMessage>,
    report: Option<TileReport>,
    /// One past the newest packets from which they were taken.
    capabilities_end: u64,
    report_end: u64,
    /// Pictures before a picture that the client keeps, for parity that covers several.
    window: Window,
    window_end: u64,
    /// Parity that pictures so far were short of a whole shard, in thousandths.
    parity_milli: usize,
    pub(super) has_capabilities_event: bool,
    pub(super) has_report_event: bool,
}

impl Viewer {
    pub(super) const fn new() -> Self {
        Self {
            capabilities: None,
            report: None,
            capabilities_end: 0,
            report_end: 0,
            window: Window { pictures: 0 },
            window_end: 0,
            parity_milli: 0,
            has_capabilities_event: false,
            has_report_event: false,
        }
    }
}

impl<M: Memory, H: Handshake> Session<M, H> {
    /// Client: says what this viewer can show, and how many pictures its memory keeps for parity that goes over several
    /// (SPEC §11.13). May be called at once after connecting, and again when it changes.
    ///
    /// # Errors
    /// [`SendError::NotConnected`] at a host; [`SendError::TooLarge`] without a codec or a colour, or with a side
    /// that is not `1..=16384`.
    pub fn set_capabilities(&mut self, capabilities: Capabilities) -> Result<(), SendError> {
        if self.side != Side::Initiator {
            return Err(SendError::NotConnected);
        }
        let message = CapabilitiesMessage(capabilities);
        let mut bytes = [0; 64];
        let mut writer = Writer::new(&mut bytes);
        let is_told = message.emit(&mut writer).is_some();
        let len = writer.len();
        // What the host would not take is not said.
        if !is_told || bytes.get(..len).and_then(CapabilitiesMessage::parse).as_ref() != Some(&message) {
            return Err(SendError::TooLarge);
        }
        if self.viewer.capabilities.as_ref() != Some(&message) {
            self.viewer.capabilities = Some(message);
            self.latches.set(Carried::CAPABILITIES, self.sent.next());
            self.offer_window();
        }
        Ok(())
    }

    /// What the viewer can show: as said here, or as told by the client.
    #[must_use]
    pub const fn capabilities(&self) -> Option<&Capabilities> {
        match &self.viewer.capabilities {
            Some(message) => Some(&message.0),
            None => None,
        }
    }

    /// Client: says which parts of the screen turned out to be wrong after picture `after`, in the terms of the codec
    /// that found them; a newer report takes the place of an older one. What is longer than
    /// [`TILE_REPORT_MAX`](crate::limits::TILE_REPORT_MAX) is cut.
    ///
    /// # Errors
    /// [`SendError::NotConnected`]; [`SendError::NotPermitted`] before admission; [`SendError::TooLarge`] without
    /// anything to say.
    pub fn report_tiles(&mut self, after: PictureId, wrong: &[u8]) -> Result<(), SendError> {
        if self.side != Side::Initiator || !self.is_established() {
            return Err(SendError::NotConnected);
        }
        if self.permissions.is_none() {
            return Err(SendError::NotPermitted);
        }
        let report = TileReport::of(after, wrong).ok_or(SendError::TooLarge)?;
        self.viewer.report = Some(report);
        self.latches.set(Carried::TILE_REPORT, self.sent.next());
        Ok(())
    }

    /// The newest report of wrong parts: the picture after which they were so, and which.
    #[must_use]
    pub fn tile_report(&self) -> Option<(PictureId, &[u8])> {
        self.viewer.report.as_ref().map(|report| (report.after, &*report.wrong))
    }

    /// Client: how many pictures before the newest its memory keeps; a host is told if there are any.
    fn offer_window(&mut self) {
        let pictures = window_of(M::PICTURES);
        if self.side == Side::Initiator && pictures > 0 {
            self.viewer.window = Window { pictures };
            self.latches.set(Carried::WINDOW, self.sent.next());
        }
    }

    /// Host: how many pictures before its own the parity of the next one may cover (SPEC §11.13): as many as follow a
    /// picture before it is late, which is a round trip and a period after its capture, and no more than bursts are worth.
    /// Where what is lacking can be asked for in time, none.
    pub(super) fn settle_window(&mut self, round_trip_us: u64) {
        let rate = self.parameters.map_or(0, |message| message.parameters.rate_millihertz);
        let period_us = 1_000_000_000 / u64::from(rate.max(1));
        let is_over = self.delta.window() > 0;
        let least_us = if is_over { ANSWERED_US } else { ANSWERED_US + ANSWERED_US / 4 };
        // A picture takes a third of a period to leave.
        let in_time = (period_us * 2 / 3 + round_trip_us / 2) / period_us.max(1);
        let most = u64::from(self.viewer.window.pictures).min(WINDOW_PICTURES_MAX as u64);
        let is_far = round_trip_us > least_us && !self.delta.is_answered();
        let pictures = if is_far { in_time.min(most) as u8 } else { 0 };
        if pictures != self.delta.window() {
            self.delta.set_window(pictures);
            self.memory.flight().1.record(|| FlightEntry::Window { pictures });
        }
    }

    /// Host: bytes of the next picture's shards, how many of parity it has, and how many pictures before it they cover.
    pub(super) fn cut(&mut self, picture_len: usize) -> (usize, usize, u8) {
        let shard_len = shard_len(self.picture_datagram_len());
        if self.delta.window() > 0 {
            let shard_len = shard_len - WindowHead::MORE_LEN;
            let (parity_milli, before) = self.delta.cover_for(picture_len.div_ceil(shard_len));
            if before > 0 {
                let owed = parity_milli + self.viewer.parity_milli;
                self.viewer.parity_milli = owed % 1000;
                return (shard_len, owed / 1000, before);
            }
        }
        (shard_len, self.delta.parity_for(picture_len.div_ceil(shard_len)), 0)
    }

    /// The states of a client that may be sent now.
    pub(super) fn viewer_states(&self) -> Carried {
        // Who comes to pair has nothing to show (SPEC §8.5).
        if self.is_stranger {
            return Carried::empty();
        }
        if self.side == Side::Responder {
            Carried::empty()
        } else if self.permissions.is_some() {
            Carried::CAPABILITIES | Carried::DATAGRAM_LIMIT | Carried::TILE_REPORT | Carried::WINDOW
        } else {
            Carried::CAPABILITIES | Carried::DATAGRAM_LIMIT
        }
    }

    pub(super) fn write_viewer(
        &self,
        now: crate::time::Instant,
        writer: &mut Writer<'_>,
        carried: &mut Carried,
    ) {
        let states = self.viewer_states();
        if states.contains(Carried::CAPABILITIES)
            && self.latches.is_due(Carried::CAPABILITIES, now)
            && let Some(message) = &self.viewer.capabilities
            && emit(writer, FrameType::Capabilities, |body| message.emit(body)).is_some()
        {
            *carried |= Carried::CAPABILITIES | Carried::ELICITING;
        }
        if states.contains(Carried::WINDOW)
            && self.latches.is_due(Carried::WINDOW, now)
            && emit(writer, FrameType::Window, |body| self.viewer.window.emit(body)).is_some()
        {
            *carried |= Carried::WINDOW | Carried::ELICITING;
        }
        if states.contains(Carried::TILE_REPORT)
            && self.latches.is_due(Carried::TILE_REPORT, now)
            && let Some(report) = &self.viewer.report
            && emit(writer, FrameType::TileReport, |body| report.emit(body)).is_some()
        {
            *carried |= Carried::TILE_REPORT | Carried::ELICITING;
        }
    }

    /// Frames about the viewer, which only a host takes. Capabilities may come before the admission: they are no
    /// channel's, and the host acts upon them when it sends pictures.
    pub(super) fn handle_viewer(&mut self, number: u64, frame: &Frame<'_>) -> Result<(), Discard> {
        if self.side != Side::Responder || self.is_stranger {
            return Err(Discard::Unexpected);
        }
        if frame.frame_type == FrameType::Capabilities {
            let message = CapabilitiesMessage::parse(frame.body).ok_or(Discard::Malformed)?;
            if Told::is_news(&mut self.viewer.capabilities_end, number)
                && self.viewer.capabilities.as_ref() != Some(&message)
            {
                self.viewer.capabilities = Some(message);
                self.viewer.has_capabilities_event = true;
            }
            return Ok(());
        }
        let granted = self.permissions.ok_or(Discard::Unexpected)?;
        if frame.frame_type == FrameType::MoreParity {
            let request = MoreParity::parse(frame.body).ok_or(Discard::Malformed)?;
            if granted.contains(Permissions::VIEW) {
                self.video_out.on_more_parity(&request);
            }
            return Ok(());
        }
        if frame.frame_type == FrameType::Window {
            let window = Window::parse(frame.body).ok_or(Discard::Malformed)?;
            if granted.contains(Permissions::VIEW) && Told::is_news(&mut self.viewer.window_end, number) {
                self.viewer.window = window;
            }
            return Ok(());
        }
        let report = TileReport::parse(frame.body).ok_or(Discard::Malformed)?;
        if granted.contains(Permissions::VIEW)
            && Told::is_news(&mut self.viewer.report_end, number)
            && self.viewer.report.as_ref() != Some(&report)
        {
            self.viewer.report = Some(report);
            self.viewer.has_report_event = true;
        }
        Ok(())
    }
}
