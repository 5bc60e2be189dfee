//! Sound through a session: from the host to the client with *audio*, back with *microphone* (SPEC §8.1, §14.6).

use super::sent::Carried;
use super::{Discard, SendError, Session};
use crate::channel::audio::{Audio, Read};
use crate::channel::permissions::Permissions;
use crate::crypto::{Handshake, Side};
use crate::limits::DATAGRAM_MIN;
use crate::storage::Memory;
use crate::time::Instant;
use crate::wire::Writer;
use crate::wire::audio::AudioMessage;

/// Bytes of a datagram around an audio packet: header, tag, frame, head.
const AROUND: usize = 8 + 16 + 3 + AudioMessage::HEAD_LEN;

impl<M: Memory, H: Handshake> Session<M, H> {
    /// Sends a packet of sound captured at `captured_at`. It leaves at once; when four wait the oldest is left out.
    ///
    /// # Errors
    /// [`SendError::NotConnected`]; [`SendError::NotPermitted`] without *audio* (host) or *microphone* (client);
    /// [`SendError::TooLarge`] for one that is empty or longer than a datagram or the memory's slots hold.
    pub fn send_audio(&mut self, captured_at: Instant, packet: &[u8]) -> Result<(), SendError> {
        if !self.is_established() {
            return Err(SendError::NotConnected);
        }
        if !self.may_sound(self.side) {
            return Err(SendError::NotPermitted);
        }
        let fits = packet.len() + AROUND <= DATAGRAM_MIN;
        let captured_us = captured_at.as_micros() as u32;
        if fits && self.audio_out.push(&mut self.memory.audio(), captured_us, packet) {
            Ok(())
        } else {
            Err(SendError::TooLarge)
        }
    }

    /// What is to be heard next: a packet at the front of `out`, or a gap. `None` until
    /// [`Event::Audio`](super::Event::Audio). When 16 packets wait the oldest make room and are told as a gap.
    pub fn read_audio(&mut self, now: Instant, out: &mut [u8]) -> Option<Audio> {
        let lateness_us = self.arrivals.lateness_us();
        match self.audio_in.read(&self.memory.audio(), now, lateness_us, out)? {
            Ok(Read { captured_us, len, behind, along }) => {
                Some(Audio::Packet { captured_at: self.peer_time(captured_us, now), len, behind, along })
            }
            Err(packets) => Some(Audio::Gap { packets }),
        }
    }

    /// Whether `sender` may be heard.
    fn may_sound(&self, sender: Side) -> bool {
        let right = match sender {
            Side::Initiator => Permissions::MICROPHONE,
            Side::Responder => Permissions::AUDIO,
        };
        self.granted().contains(right)
    }

    pub(super) fn on_audio(&mut self, received_at: Instant, body: &[u8]) -> Result<(), Discard> {
        let message = AudioMessage::parse(body).ok_or(Discard::Malformed)?;
        if !self.may_sound(self.side.other()) {
            return Err(Discard::Unexpected);
        }
        self.audio_in.on_message(&mut self.memory.audio(), &message, received_at);
        Ok(())
    }

    pub(super) fn write_audio(&mut self, writer: &mut Writer<'_>, carried: &mut Carried) {
        if !self.may_sound(self.side) {
            return;
        }
        let rings = self.memory.audio();
        while self.audio_out.is_due() {
            if self.audio_out.emit(&rings, self.loss.permille(), writer).is_none() {
                return;
            }
            *carried |= Carried::ELICITING;
        }
    }
}

/// How much the path loses: a mean over some 256 packets.
#[derive(Clone, Copy, Debug)]
pub(super) struct LossMeter(u32);

impl LossMeter {
    const ONE: u32 = 1 << 20;

    /// Before anything is known a hundredth is assumed: one packet rides along.
    pub(super) const fn new() -> Self {
        Self(Self::ONE / 100)
    }

    pub(super) const fn on_packet(&mut self, is_lost: bool) {
        self.0 -= self.0 / 256;
        if is_lost {
            self.0 += Self::ONE / 256;
        }
    }

    const fn permille(self) -> u32 {
        (self.0 as u64 * 1000 / Self::ONE as u64) as u32
    }
}
