//! Where a session's entropy goes, and the renewal of its keys (SPEC §5.4–§5.6).

use super::keys::{Counts, Keys};
use super::{Carried, CloseReason, Discard, Session};
use crate::crypto::{Handshake, Side};
use crate::storage::Memory;
use crate::time::Instant;
use crate::wire::frame::emit;
use crate::wire::renewal::Renewing;
use crate::wire::{Frame, FrameType, Writer};

impl<M: Memory, H: Handshake> Session<M, H> {
    /// Whether the session waits for [`Self::add_entropy`], for each renewal of its keys for instance. A driver with
    /// entropy of its own asks this before it polls events; any other is told so by
    /// [`Event::EntropyWanted`](super::Event::EntropyWanted). A session that gets none ends after ten minutes.
    #[must_use]
    pub fn wants_entropy(&self) -> bool {
        if !self.is_established() {
            return false;
        }
        self.lacks_challenge
            || self.keys.as_ref().is_some_and(|keys| {
                keys.wants_entropy() || keys.wants_renewal(self.now, self.key_us(), self.counts())
            })
    }

    /// Whether the application is to be told so now.
    pub(super) fn take_entropy_wanted(&mut self) -> bool {
        let wants = self.wants_entropy();
        wants && !core::mem::replace(&mut self.pending.is_entropy_told, true)
    }

    /// Gives 32 bytes of entropy, never used before and known to nobody: keys and numbers are drawn from them.
    pub fn add_entropy(&mut self, now: Instant, entropy: [u8; 32]) {
        self.now = self.now.max(now);
        self.chance.mix(&entropy);
        self.pending.is_entropy_told = false;
        self.catch_up_challenges(now);
        let (key_us, counts) = (self.key_us(), self.counts());
        let Some(keys) = &mut self.keys else { return };
        if keys.wants_entropy()
            && let Some(ephemeral) = self.chance.draw()
        {
            keys.answer(*ephemeral, counts);
            self.latches.set(Carried::KEYS, self.sent.next());
        } else if keys.wants_renewal(self.now, key_us, counts)
            && let Some(ephemeral) = self.chance.draw()
        {
            keys.ask(*ephemeral);
            self.latches.set(Carried::KEYS, self.sent.next());
        }
    }

    /// Lets old keys go; ends a session whose keys may not be used any more. Returns whether it did.
    pub(super) fn handle_key_timeout(&mut self, now: Instant) -> bool {
        let counts = self.counts();
        let Some(keys) = &mut self.keys else { return false };
        keys.handle_timeout(now);
        let is_exhausted = keys.is_exhausted(now, counts);
        if is_exhausted {
            self.finish(now, None, CloseReason::Exhausted);
        }
        is_exhausted
    }

    /// When the keys want something; not while that is entropy, for which the application is asked already.
    pub(super) fn key_due(&self) -> Option<Instant> {
        self.keys.as_ref().map(|keys| keys.due(self.now, self.key_us()))
    }

    pub(super) fn write_renewal(&mut self, now: Instant, writer: &mut Writer<'_>, carried: &mut Carried) {
        if !self.latches.is_due(Carried::KEYS, now) {
            return;
        }
        let Some((frame_type, message)) = self.keys.as_ref().and_then(Keys::message) else {
            return self.latches.clear(Carried::KEYS);
        };
        if emit(writer, frame_type, |body| message.emit(body)).is_some() {
            *carried |= Carried::KEYS | Carried::ELICITING;
        }
    }

    pub(super) fn handle_renewal(&mut self, now: Instant, frame: &Frame<'_>) -> Result<(), Discard> {
        let message = Renewing::parse(frame.body).ok_or(Discard::Malformed)?;
        let is_request = frame.frame_type == FrameType::KeyRequest;
        if is_request != (self.side == Side::Responder) {
            return Err(Discard::Unexpected);
        }
        let counts = self.counts();
        let Some(keys) = &mut self.keys else { return Err(Discard::Unexpected) };
        if is_request {
            keys.on_request(&message);
        } else if keys.on_reply(&message, now, counts) {
            self.latches.clear(Carried::KEYS);
            // Whatever comes first under the new keys puts them in use at the host.
            self.clock.request_now(now);
        }
        Ok(())
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            sent: self.stats.packets_sent,
            received: self.stats.packets_received,
            forged: self.stats.discarded_authentication,
        }
    }

    fn key_us(&self) -> u64 {
        u64::from(self.config.key_us).min(super::keys::KEY_US_MAX)
    }
}
