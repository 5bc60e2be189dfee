//! A host's word that it will have another key: given under the old one, in a session (SPEC §8.9).

use super::latch::Told;
use super::sent::Carried;
use super::{Discard, Event, SendError, Session};
use crate::crypto::{Handshake, PublicKey, Side};
use crate::storage::Memory;
use crate::time::Instant;
use crate::wire::Writer;
use crate::wire::frame::{FrameType, emit};
use crate::wire::successor::Successor;

/// What was said of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Succession {
    key: Option<PublicKey>,
    is_news: bool,
    /// One past the newest packet that said so.
    told: u64,
}

impl Succession {
    /// What the application is to be told.
    pub(super) fn event(&mut self) -> Option<Event> {
        core::mem::take(&mut self.is_news).then_some(self.key).flatten().map(Event::Successor)
    }
}

impl<M: Memory, H: Handshake> Session<M, H> {
    /// Host: vouches for the key that it will have next. The client keeps it beside the present one and takes it once.
    ///
    /// # Errors
    /// [`SendError::NotConnected`]; [`SendError::NotPermitted`] before admission.
    pub fn announce_successor(&mut self, key: PublicKey) -> Result<(), SendError> {
        if self.side != Side::Responder || !self.is_established() {
            return Err(SendError::NotConnected);
        }
        if self.permissions.is_none() {
            return Err(SendError::NotPermitted);
        }
        if self.succession.key != Some(key) {
            self.succession.key = Some(key);
            self.latches.set(Carried::SUCCESSOR, self.sent.next());
        }
        Ok(())
    }

    pub(super) fn handle_successor(&mut self, number: u64, body: &[u8]) -> Result<(), Discard> {
        if self.side != Side::Initiator || self.is_stranger {
            return Err(Discard::Unexpected);
        }
        let message = Successor::parse(body).ok_or(Discard::Malformed)?;
        let is_other = self.succession.key != Some(message.key);
        if Told::is_news(&mut self.succession.told, number) && is_other && self.peer != Some(message.key) {
            self.succession.key = Some(message.key);
            self.succession.is_news = true;
        }
        Ok(())
    }

    pub(super) fn write_successor(&self, now: Instant, writer: &mut Writer<'_>, carried: &mut Carried) {
        if self.latches.is_due(Carried::SUCCESSOR, now)
            && let Some(key) = self.succession.key
            && emit(writer, FrameType::Successor, |body| Successor { key }.emit(body)).is_some()
        {
            *carried |= Carried::SUCCESSOR | Carried::ELICITING;
        }
    }
}
