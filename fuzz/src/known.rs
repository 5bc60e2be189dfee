//! A handshake without curves, for surfaces where the handshake is not what is attacked: the messages have the lengths
//! of `Noise_XX` or `Noise_IK`, a tag nobody else can make, and the keys are known beforehand. It makes a session in microseconds.

use rift::crypto::{Aead, Side};
use rift::{ChaChaPoly, Handshake, HandshakeError, Opening, Pattern, PublicKey, Secrets, Suite};

/// The host's static key.
pub const HOST: PublicKey = PublicKey::from_bytes([0x41; 32]);
/// The client's static key.
pub const CLIENT: PublicKey = PublicKey::from_bytes([0x42; 32]);
/// Seals what the client sends.
pub const CLIENT_KEY: [u8; 32] = [0x43; 32];
/// Seals what the host sends.
pub const HOST_KEY: [u8; 32] = [0x44; 32];

/// What each message adds to its payload, in bytes (SPEC §4.3, §4.4).
const OVERHEAD_XX: [usize; 3] = [32, 96, 64];
/// The same of a call and its answer (SPEC §4.11).
const OVERHEAD_IK: [usize; 2] = [96, 48];
/// A key of ML-KEM-768 and what is encapsulated to it; both are sealed where there is a key to seal with (SPEC §4.19).
const OVERHEAD_HYBRID_XX: [usize; 3] = [32 + 1184, 96 + 1088 + TAG_LEN, 64];
const OVERHEAD_HYBRID_IK: [usize; 2] = [96 + 1184 + TAG_LEN, 48 + 1088 + TAG_LEN];
const TAG_LEN: usize = 16;
const TAG_KEY: [u8; 32] = [0x45; 32];

/// One side of it.
#[derive(Clone, Debug)]
pub struct Known {
    side: Side,
    pattern: Pattern,
    suite: Suite,
    done: usize,
    expected: Option<PublicKey>,
}

impl Known {
    /// The side that starts or answers.
    #[must_use]
    pub const fn new(side: Side, pattern: Pattern) -> Self {
        Self { side, pattern, suite: Suite::Classical, done: 0, expected: None }
    }

    /// The same of this opening, which may be a hybrid one.
    #[must_use]
    pub const fn of(side: Side, opening: Opening) -> Self {
        Self { suite: opening.suite, ..Self::new(side, opening.pattern) }
    }

    const fn overheads(&self) -> &'static [usize] {
        match (self.pattern, self.suite) {
            (Pattern::Xx, Suite::Classical) => &OVERHEAD_XX,
            (Pattern::Ik, Suite::Classical) => &OVERHEAD_IK,
            (Pattern::Xx, Suite::Hybrid) => &OVERHEAD_HYBRID_XX,
            (Pattern::Ik, Suite::Hybrid) => &OVERHEAD_HYBRID_IK,
        }
    }

    const fn other(&self) -> PublicKey {
        match self.side {
            Side::Initiator => HOST,
            Side::Responder => CLIENT,
        }
    }

    fn overhead(&self, to_write: bool) -> Result<usize, HandshakeError> {
        let overhead = self.overheads().get(self.done).ok_or(HandshakeError::OutOfTurn)?;
        let is_initiators = self.done.is_multiple_of(2);
        let is_mine = is_initiators == (self.side == Side::Initiator);
        if is_mine == to_write { Ok(*overhead) } else { Err(HandshakeError::OutOfTurn) }
    }

    fn tag(&self, message: &[u8]) -> [u8; TAG_LEN] {
        let mut nonce = [0; 12];
        nonce[0] = u8::try_from(self.done).unwrap_or(u8::MAX);
        ChaChaPoly::seal(&TAG_KEY, &nonce, message, &mut [])
    }
}

impl Handshake for Known {
    type Aead = ChaChaPoly;

    fn pattern(&self) -> Pattern {
        self.pattern
    }

    fn suite(&self) -> Suite {
        self.suite
    }

    fn write_message(&mut self, payload: &[u8], out: &mut [u8]) -> Result<usize, HandshakeError> {
        let len = payload.len() + self.overhead(true)?;
        let out = out.get_mut(..len).ok_or(HandshakeError::BufferTooSmall)?;
        out.fill(0);
        out[..payload.len()].copy_from_slice(payload);
        let (message, tag) = out.split_at_mut(len - TAG_LEN);
        tag.copy_from_slice(&self.tag(message));
        self.done += 1;
        Ok(len)
    }

    fn read_message(&mut self, message: &[u8], payload: &mut [u8]) -> Result<usize, HandshakeError> {
        let len = message.len().checked_sub(self.overhead(false)?).ok_or(HandshakeError::Malformed)?;
        let payload = payload.get_mut(..len).ok_or(HandshakeError::BufferTooSmall)?;
        let (sealed, tag) = message.split_at(message.len() - TAG_LEN);
        let is_said = self.done > 0 || self.pattern == Pattern::Ik;
        let is_foreign = is_said && self.expected.is_some_and(|expected| expected != self.other());
        if self.tag(sealed) != tag || is_foreign {
            return Err(HandshakeError::Authentication);
        }
        payload.copy_from_slice(&message[..len]);
        self.done += 1;
        Ok(len)
    }

    fn expect_peer(&mut self, peer: PublicKey) {
        self.expected = Some(peer);
    }

    fn peer(&self) -> Option<PublicKey> {
        let proven_after = match (self.side, self.pattern) {
            (Side::Initiator, _) => 2,
            (Side::Responder, Pattern::Xx) => 3,
            (Side::Responder, Pattern::Ik) => 1,
        };
        (self.done >= proven_after).then_some(self.other())
    }

    fn finish(&mut self) -> Option<Secrets> {
        if self.done < self.overheads().len() {
            return None;
        }
        let (send, receive) = match self.side {
            Side::Initiator => (CLIENT_KEY, HOST_KEY),
            Side::Responder => (HOST_KEY, CLIENT_KEY),
        };
        Some(Secrets { send, receive, peer: self.other(), transcript: [0; 32] })
    }
}
