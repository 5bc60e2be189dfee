//! `Noise_XX_25519_ChaChaPoly_BLAKE2s` (Noise revision 34; SPEC §4), composed from audited primitives.
//!
//! ```text
//! XX:  -> e                 message 0, payload in the clear
//!      <- e, ee, s, es      message 1
//!      -> s, se             message 2
//! ```
//!
//! It knows of no datagrams, no clock and no entropy: the ephemeral secret is an argument. Invariant: a call that
//! returns an error has changed nothing, because each message is worked out on a copy that replaces the state
//! only when it is complete. Every secret is zeroized when dropped.

use core::fmt;

use x25519_dalek::StaticSecret;

use super::symmetric::{Symmetric, TAG_LEN};
use super::{Handshake, HandshakeError, Identity, PublicKey, Secrets, Side};

const NAME: &[u8] = b"Noise_XX_25519_ChaChaPoly_BLAKE2s";

const KEY_LEN: usize = 32;

/// The longest message of Noise (§3), in bytes.
const MESSAGE_LEN_MAX: usize = 65_535;

/// What each message of XX adds to its payload: `e`; `e`, a sealed `s` and a tag; a sealed `s` and a tag.
const OVERHEAD: [usize; MESSAGES] = [KEY_LEN, 2 * KEY_LEN + 2 * TAG_LEN, KEY_LEN + 2 * TAG_LEN];

const MESSAGES: usize = 3;

/// A Diffie-Hellman step; the letters say whose key is which: the initiator's first, the responder's second.
#[derive(Clone, Copy)]
enum Token {
    Ee,
    Es,
    Se,
}

/// One side of an XX handshake: the core's own, for every target.
///
/// A state has at most 400 bytes, allocates nothing, and costs a side one multiplication of the base point and
/// three Diffie-Hellman exchanges.
#[derive(Clone)]
pub struct NoiseXx {
    symmetric: Symmetric,
    identity: Identity,
    ephemeral: StaticSecret,
    /// The peer's keys, zeros until they have come; the static one may be expected before.
    peer_ephemeral: PublicKey,
    peer_static: PublicKey,
    is_peer_expected: bool,
    side: Side,
    /// Messages written and read so far, 0 to [`MESSAGES`].
    done: u8,
}

impl NoiseXx {
    /// The side that starts. `ephemeral` is 32 bytes of entropy never used before; `prologue` is what both sides
    /// must agree on, of any length.
    #[must_use]
    pub fn initiator(identity: &Identity, ephemeral: [u8; 32], prologue: &[u8]) -> Self {
        Self::new(Side::Initiator, identity, ephemeral, prologue)
    }

    /// The side that answers; the arguments are those of [`Self::initiator`].
    #[must_use]
    pub fn responder(identity: &Identity, ephemeral: [u8; 32], prologue: &[u8]) -> Self {
        Self::new(Side::Responder, identity, ephemeral, prologue)
    }

    fn new(side: Side, identity: &Identity, ephemeral: [u8; 32], prologue: &[u8]) -> Self {
        Self {
            symmetric: Symmetric::new(NAME, prologue),
            identity: identity.clone(),
            ephemeral: StaticSecret::from(ephemeral),
            peer_ephemeral: PublicKey::from_bytes([0; KEY_LEN]),
            peer_static: PublicKey::from_bytes([0; KEY_LEN]),
            is_peer_expected: false,
            side,
            done: 0,
        }
    }

    /// What the next message adds to its payload, if `writer` is who writes it.
    fn overhead_if_turn_of(&self, writer: Side) -> Result<usize, HandshakeError> {
        let next = if self.done.is_multiple_of(2) { Side::Initiator } else { Side::Responder };
        let overhead = OVERHEAD.get(usize::from(self.done)).ok_or(HandshakeError::OutOfTurn)?;
        if next == writer { Ok(*overhead) } else { Err(HandshakeError::OutOfTurn) }
    }

    const fn peer_side(&self) -> Side {
        match self.side {
            Side::Initiator => Side::Responder,
            Side::Responder => Side::Initiator,
        }
    }

    /// Fills `out`, which has exactly the length of the message.
    fn write(&mut self, payload: &[u8], out: &mut [u8]) -> Result<(), HandshakeError> {
        let body = match self.done {
            0 => self.put_ephemeral(out)?,
            1 => {
                let rest = self.put_ephemeral(out)?;
                self.mix_dh(Token::Ee)?;
                let rest = self.put_static(rest)?;
                self.mix_dh(Token::Es)?;
                rest
            }
            _ => {
                let rest = self.put_static(out)?;
                self.mix_dh(Token::Se)?;
                rest
            }
        };
        let text = body.get_mut(..payload.len()).ok_or(HandshakeError::BufferTooSmall)?;
        text.copy_from_slice(payload);
        self.symmetric.seal(body);
        Ok(())
    }

    /// Reads `message` and fills `payload`, which has exactly the length of the message's payload.
    fn read(&mut self, message: &[u8], payload: &mut [u8]) -> Result<(), HandshakeError> {
        let body = match self.done {
            0 => self.take_ephemeral(message)?,
            1 => {
                let rest = self.take_ephemeral(message)?;
                self.mix_dh(Token::Ee)?;
                let rest = self.take_static(rest)?;
                self.mix_dh(Token::Es)?;
                rest
            }
            _ => {
                let rest = self.take_static(message)?;
                self.mix_dh(Token::Se)?;
                rest
            }
        };
        self.symmetric.open(body, payload)
    }

    fn put_ephemeral<'a>(&mut self, out: &'a mut [u8]) -> Result<&'a mut [u8], HandshakeError> {
        let (field, rest) = out.split_first_chunk_mut().ok_or(HandshakeError::BufferTooSmall)?;
        *field = x25519_dalek::PublicKey::from(&self.ephemeral).to_bytes();
        self.symmetric.mix_hash(field);
        Ok(rest)
    }

    fn take_ephemeral<'a>(&mut self, message: &'a [u8]) -> Result<&'a [u8], HandshakeError> {
        let (field, rest) = message.split_first_chunk().ok_or(HandshakeError::Malformed)?;
        self.peer_ephemeral = PublicKey::from_bytes(*field);
        // Refused here and not where the shared secret comes out, so that such a first message leaves the
        // responder open for a true one.
        if self.peer_ephemeral.has_small_order() {
            return Err(HandshakeError::Authentication);
        }
        self.symmetric.mix_hash(field);
        Ok(rest)
    }

    fn put_static<'a>(&mut self, out: &'a mut [u8]) -> Result<&'a mut [u8], HandshakeError> {
        let (field, rest) =
            out.split_at_mut_checked(KEY_LEN + TAG_LEN).ok_or(HandshakeError::BufferTooSmall)?;
        field[..KEY_LEN].copy_from_slice(self.identity.public().as_bytes());
        self.symmetric.seal(field);
        Ok(rest)
    }

    fn take_static<'a>(&mut self, message: &'a [u8]) -> Result<&'a [u8], HandshakeError> {
        let (field, rest) = message.split_at_checked(KEY_LEN + TAG_LEN).ok_or(HandshakeError::Malformed)?;
        let mut key = [0; KEY_LEN];
        self.symmetric.open(field, &mut key)?;
        let key = PublicKey::from_bytes(key);
        if self.is_peer_expected && key != self.peer_static {
            return Err(HandshakeError::Authentication);
        }
        self.peer_static = key;
        Ok(rest)
    }

    fn mix_dh(&mut self, token: Token) -> Result<(), HandshakeError> {
        let shared = match (token, self.side) {
            (Token::Ee, _) => diffie_hellman(&self.ephemeral, &self.peer_ephemeral),
            (Token::Es, Side::Initiator) | (Token::Se, Side::Responder) => {
                diffie_hellman(&self.ephemeral, &self.peer_static)
            }
            (Token::Es, Side::Responder) | (Token::Se, Side::Initiator) => {
                self.identity.diffie_hellman(&self.peer_ephemeral)
            }
        };
        // An all-zero secret is one that everybody knows (RFC 7748 §6.1).
        if !shared.was_contributory() {
            return Err(HandshakeError::Authentication);
        }
        self.symmetric.mix_key(shared.as_bytes());
        Ok(())
    }
}

fn diffie_hellman(secret: &StaticSecret, peer: &PublicKey) -> x25519_dalek::SharedSecret {
    secret.diffie_hellman(&x25519_dalek::PublicKey::from(*peer.as_bytes()))
}

impl Handshake for NoiseXx {
    fn write_message(&mut self, payload: &[u8], out: &mut [u8]) -> Result<usize, HandshakeError> {
        let overhead = self.overhead_if_turn_of(self.side)?;
        let len = payload.len().saturating_add(overhead);
        if len > MESSAGE_LEN_MAX {
            return Err(HandshakeError::BufferTooSmall);
        }
        let out = out.get_mut(..len).ok_or(HandshakeError::BufferTooSmall)?;
        let mut next = self.clone();
        next.write(payload, out)?;
        next.done += 1;
        *self = next;
        Ok(len)
    }

    fn read_message(&mut self, message: &[u8], payload: &mut [u8]) -> Result<usize, HandshakeError> {
        let overhead = self.overhead_if_turn_of(self.peer_side())?;
        if message.len() > MESSAGE_LEN_MAX {
            return Err(HandshakeError::Malformed);
        }
        let len = message.len().checked_sub(overhead).ok_or(HandshakeError::Malformed)?;
        let payload = payload.get_mut(..len).ok_or(HandshakeError::BufferTooSmall)?;
        let mut next = self.clone();
        next.read(message, payload)?;
        next.done += 1;
        *self = next;
        Ok(len)
    }

    fn expect_peer(&mut self, peer: PublicKey) {
        // Who has been proven stays who was proven.
        if self.peer().is_none() {
            self.peer_static = peer;
            self.is_peer_expected = true;
        }
    }

    fn peer(&self) -> Option<PublicKey> {
        // The initiator reads the responder's key in the second message, the responder reads hers in the third.
        let proven_after = match self.side {
            Side::Initiator => 2,
            Side::Responder => MESSAGES,
        };
        (usize::from(self.done) >= proven_after).then_some(self.peer_static)
    }

    fn finish(&mut self) -> Option<Secrets> {
        if usize::from(self.done) != MESSAGES {
            return None;
        }
        let (of_initiator, of_responder) = self.symmetric.split();
        let (send, receive) = match self.side {
            Side::Initiator => (of_initiator, of_responder),
            Side::Responder => (of_responder, of_initiator),
        };
        Some(Secrets {
            send: *send,
            receive: *receive,
            peer: self.peer_static,
            transcript: *self.symmetric.transcript(),
        })
    }
}

impl fmt::Debug for NoiseXx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NoiseXx")
            .field("side", &self.side)
            .field("identity", &self.identity)
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}

// What makes a dropped handshake leave nothing behind: `StaticSecret` zeroizes itself only if x25519-dalek was
// built with its `zeroize` feature, and then it has a destructor.
const _: () = assert!(core::mem::needs_drop::<StaticSecret>() && core::mem::needs_drop::<Symmetric>());

// Pending handshakes are bounded by bytes (`limits.rs`).
const _: () = assert!(size_of::<NoiseXx>() <= 400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn static_key_of_small_order_is_refused_in_every_exchange_with_it() {
        for side in [Side::Initiator, Side::Responder] {
            let mut state = NoiseXx::new(side, &Identity::from_secret([1; 32]), [2; 32], b"");
            let (before, token) = match side {
                Side::Initiator => (*state.symmetric.transcript(), Token::Es),
                Side::Responder => (*state.symmetric.transcript(), Token::Se),
            };
            assert!(state.peer_static.has_small_order(), "all zeros");
            assert_eq!(state.mix_dh(token), Err(HandshakeError::Authentication));
            assert_eq!(state.mix_dh(Token::Ee), Err(HandshakeError::Authentication));
            assert_eq!(state.symmetric.transcript(), &before);
        }
    }

    #[test]
    fn debug_prints_no_secret() {
        extern crate std;
        let state = NoiseXx::initiator(&Identity::from_secret([1; 32]), [2; 32], b"");
        let text = std::format!("{state:?}");
        assert!(text.starts_with("NoiseXx { side: Initiator, identity: Identity { public: "), "{text}");
        assert!(text.ends_with(", done: 0, .. }"), "{text}");
    }
}
