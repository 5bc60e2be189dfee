//! `Noise_XX_25519_ChaChaPoly_BLAKE2s` and `Noise_IK_25519_ChaChaPoly_BLAKE2s` (Noise revision 34; SPEC §4),
//! composed from audited primitives.
//!
//! ```text
//! XX:  -> e                 message 0, payload in the clear
//!      <- e, ee, s, es      message 1
//!      -> s, se             message 2
//!
//! IK:  <- s                 known beforehand
//!      -> e, es, s, ss      message 0
//!      <- e, ee, se         message 1
//! ```
//!
//! With a key encapsulation (SPEC §4.19; the draft "Noise Hybrid Forward Secrecy") message 0 has `e1` before `s` or at
//! its end, and message 1 has `ekem1` after `ee`.
//!
//! It knows of no datagrams, no clock and no entropy: the ephemeral secret is an argument. Invariant: a call that
//! returns an error has changed nothing, because each message is worked out on a copy that replaces the state
//! only when it is complete. Every secret is zeroized when dropped.

mod encapsulation;

use core::fmt;
use core::marker::PhantomData;

use zeroize::Zeroizing;

use super::symmetric::{Symmetric, TAG_LEN};
use super::x25519::is_contributory;
use super::{
    ChaChaPoly, Dalek, Handshake, HandshakeError, Identity, Kem, NoKem, Opening, Pattern, PublicKey, Secrets,
    Side, Suite, X25519,
};

const KEY_LEN: usize = 32;

/// The longest message of Noise (§3), in bytes.
const MESSAGE_LEN_MAX: usize = 65_535;

impl Pattern {
    const fn name(self, suite: Suite) -> &'static [u8] {
        match (self, suite) {
            (Self::Xx, Suite::Classical) => b"Noise_XX_25519_ChaChaPoly_BLAKE2s",
            (Self::Ik, Suite::Classical) => b"Noise_IK_25519_ChaChaPoly_BLAKE2s",
            (Self::Xx, Suite::Hybrid) => b"Noise_XXhfs_25519+MLKEM768_ChaChaPoly_BLAKE2s",
            (Self::Ik, Suite::Hybrid) => b"Noise_IKhfs_25519+MLKEM768_ChaChaPoly_BLAKE2s",
        }
    }

    /// What each message adds to its payload: its keys, and a tag for each sealed field.
    const fn overhead(self) -> &'static [usize] {
        match self {
            Self::Xx => &[KEY_LEN, 2 * KEY_LEN + 2 * TAG_LEN, KEY_LEN + 2 * TAG_LEN],
            Self::Ik => &[2 * KEY_LEN + 2 * TAG_LEN, KEY_LEN + TAG_LEN],
        }
    }

    /// What a key encapsulation adds to message `done`: its fields, sealed where there is a key.
    const fn encapsulated<K: Kem>(self, done: u8) -> usize {
        if K::KEY_LEN == 0 {
            return 0;
        }
        match (self, done) {
            (Self::Xx, 0) => K::KEY_LEN,
            (Self::Ik, 0) => K::KEY_LEN + TAG_LEN,
            (Self::Xx | Self::Ik, 1) => K::CIPHERTEXT_LEN + TAG_LEN,
            (Self::Xx | Self::Ik, _) => 0,
        }
    }

    /// After how many messages a side knows who the other is, and that it holds that key.
    const fn proven_after(self, side: Side) -> usize {
        match (self, side) {
            // Each reads the other's key in a message that could not be sealed without it.
            (Self::Xx, Side::Responder) => 3,
            (Self::Xx | Self::Ik, Side::Initiator) => 2,
            (Self::Ik, Side::Responder) => 1,
        }
    }
}

/// A Diffie-Hellman step; the letters say whose key is which: the initiator's first, the responder's second.
#[derive(Clone, Copy)]
enum Token {
    Ee,
    Es,
    Se,
    Ss,
}

/// One side of a handshake: the core's own, for every target.
///
/// A state has at most 400 bytes, allocates nothing, and costs a side one multiplication of the base point and
/// three Diffie-Hellman exchanges (XX) or four (IK).
#[derive(Clone)]
pub struct Noise<K: Kem = NoKem, X: X25519 = Dalek> {
    pattern: Pattern,
    symmetric: Symmetric,
    identity: Identity,
    ephemeral: Zeroizing<[u8; KEY_LEN]>,
    kem: K,
    /// The peer's keys, zeros until they have come; the static one may be expected before.
    peer_ephemeral: PublicKey,
    peer_static: PublicKey,
    is_peer_expected: bool,
    side: Side,
    /// Messages written and read so far.
    done: u8,
    /// The transcript hash after the first message.
    opened: [u8; 32],
    multiplies: PhantomData<X>,
}

impl Noise {
    /// The side that starts. `ephemeral` is 32 bytes of entropy never used before; `opening` says which handshake it
    /// is. One of IK needs [`Handshake::expect_peer`] before its first message.
    #[must_use]
    pub fn initiator(identity: &Identity, ephemeral: [u8; 32], opening: Opening) -> Self {
        Self::with_prologue(Side::Initiator, opening.pattern, identity, ephemeral, &opening.prologue())
    }

    /// The side that answers; the arguments are those of [`Self::initiator`].
    #[must_use]
    pub fn responder(identity: &Identity, ephemeral: [u8; 32], opening: Opening) -> Self {
        Self::with_prologue(Side::Responder, opening.pattern, identity, ephemeral, &opening.prologue())
    }

    /// A side of a handshake under any prologue, of any length: what both sides must agree on.
    #[must_use]
    pub fn with_prologue(
        side: Side,
        pattern: Pattern,
        identity: &Identity,
        ephemeral: [u8; 32],
        prologue: &[u8],
    ) -> Self {
        Self::with_kem(side, pattern, identity, ephemeral, prologue, NoKem)
    }
}

impl<K: Kem> Noise<K> {
    pub(super) fn with_kem(
        side: Side,
        pattern: Pattern,
        identity: &Identity,
        ephemeral: [u8; 32],
        prologue: &[u8],
        kem: K,
    ) -> Self {
        let mut symmetric = Symmetric::new(pattern.name(K::SUITE), prologue);
        if pattern == Pattern::Ik && side == Side::Responder {
            // The pre-message; the initiator mixes it in when it is told whom it calls.
            symmetric.mix_hash(identity.public().as_bytes());
        }
        Self {
            pattern,
            symmetric,
            identity: identity.clone(),
            ephemeral: Zeroizing::new(ephemeral),
            kem,
            peer_ephemeral: PublicKey::from_bytes([0; KEY_LEN]),
            peer_static: PublicKey::from_bytes([0; KEY_LEN]),
            is_peer_expected: false,
            side,
            done: 0,
            opened: [0; 32],
            multiplies: PhantomData,
        }
    }
}

impl<K: Kem, X: X25519> Noise<K, X> {
    /// The same side at the same point, multiplying by another implementation.
    #[must_use]
    pub fn multiplied_by<Y: X25519>(self) -> Noise<K, Y> {
        let Self {
            pattern,
            symmetric,
            identity,
            ephemeral,
            kem,
            peer_ephemeral,
            peer_static,
            is_peer_expected,
            side,
            done,
            opened,
            multiplies: _,
        } = self;
        Noise {
            pattern,
            symmetric,
            identity,
            ephemeral,
            kem,
            peer_ephemeral,
            peer_static,
            is_peer_expected,
            side,
            done,
            opened,
            multiplies: PhantomData,
        }
    }

    /// What the next message adds to its payload, if `writer` is who writes it.
    fn overhead_if_turn_of(&self, writer: Side) -> Result<usize, HandshakeError> {
        let next = if self.done.is_multiple_of(2) { Side::Initiator } else { Side::Responder };
        let overhead = self.pattern.overhead().get(usize::from(self.done));
        let overhead = overhead.ok_or(HandshakeError::OutOfTurn)?;
        let overhead = *overhead + self.pattern.encapsulated::<K>(self.done);
        if next == writer { Ok(overhead) } else { Err(HandshakeError::OutOfTurn) }
    }

    /// Whether this side named its peer's key in its first message, and cannot take another any more.
    fn is_committed(&self) -> bool {
        self.pattern == Pattern::Ik && self.side == Side::Initiator && self.done > 0
    }

    const fn peer_side(&self) -> Side {
        match self.side {
            Side::Initiator => Side::Responder,
            Side::Responder => Side::Initiator,
        }
    }

    /// Fills `out`, which has exactly the length of the message.
    fn write(&mut self, payload: &[u8], out: &mut [u8]) -> Result<(), HandshakeError> {
        let body = match (self.pattern, self.done) {
            (Pattern::Xx, 0) => {
                let rest = self.put_ephemeral(out)?;
                self.put_kem_key(rest)?
            }
            (Pattern::Xx, 1) => {
                let rest = self.put_ephemeral(out)?;
                self.mix_dh(Token::Ee)?;
                let rest = self.put_ciphertext(rest)?;
                let rest = self.put_static(rest)?;
                self.mix_dh(Token::Es)?;
                rest
            }
            (Pattern::Xx, _) => {
                let rest = self.put_static(out)?;
                self.mix_dh(Token::Se)?;
                rest
            }
            (Pattern::Ik, 0) => {
                if !self.is_peer_expected {
                    return Err(HandshakeError::UnknownPeer);
                }
                self.symmetric.mix_hash(self.peer_static.as_bytes());
                let rest = self.put_ephemeral(out)?;
                self.mix_dh(Token::Es)?;
                let rest = self.put_kem_key(rest)?;
                let rest = self.put_static(rest)?;
                self.mix_dh(Token::Ss)?;
                rest
            }
            (Pattern::Ik, _) => {
                let rest = self.put_ephemeral(out)?;
                self.mix_dh(Token::Ee)?;
                let rest = self.put_ciphertext(rest)?;
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
        let body = match (self.pattern, self.done) {
            (Pattern::Xx, 0) => {
                let rest = self.take_ephemeral(message)?;
                self.take_kem_key(rest)?
            }
            (Pattern::Xx, 1) => {
                let rest = self.take_ephemeral(message)?;
                self.mix_dh(Token::Ee)?;
                let rest = self.take_ciphertext(rest)?;
                let rest = self.take_static(rest)?;
                self.mix_dh(Token::Es)?;
                rest
            }
            (Pattern::Xx, _) => {
                let rest = self.take_static(message)?;
                self.mix_dh(Token::Se)?;
                rest
            }
            (Pattern::Ik, 0) => {
                let rest = self.take_ephemeral(message)?;
                self.mix_dh(Token::Es)?;
                let rest = self.take_kem_key(rest)?;
                let rest = self.take_static(rest)?;
                self.mix_dh(Token::Ss)?;
                rest
            }
            (Pattern::Ik, _) => {
                let rest = self.take_ephemeral(message)?;
                self.mix_dh(Token::Ee)?;
                let rest = self.take_ciphertext(rest)?;
                self.mix_dh(Token::Se)?;
                rest
            }
        };
        self.symmetric.open(body, payload)
    }

    fn put_ephemeral<'a>(&mut self, out: &'a mut [u8]) -> Result<&'a mut [u8], HandshakeError> {
        let (field, rest) = out.split_first_chunk_mut().ok_or(HandshakeError::BufferTooSmall)?;
        *field = X::public_key(&self.ephemeral);
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
        // SPEC §4.7: nobody but the one asked for learns who asks.
        if self.is_peer_expected && key != self.peer_static {
            return Err(HandshakeError::Authentication);
        }
        self.peer_static = key;
        Ok(rest)
    }

    fn mix_dh(&mut self, token: Token) -> Result<(), HandshakeError> {
        let (ephemeral, identity) = (&*self.ephemeral, self.identity.secret_bytes());
        let (secret, peer) = match (token, self.side) {
            (Token::Ee, _) => (ephemeral, &self.peer_ephemeral),
            (Token::Es, Side::Initiator) | (Token::Se, Side::Responder) => (ephemeral, &self.peer_static),
            (Token::Es, Side::Responder) | (Token::Se, Side::Initiator) => (identity, &self.peer_ephemeral),
            (Token::Ss, _) => (identity, &self.peer_static),
        };
        let shared = X::shared_secret(secret, peer.as_bytes());
        if !is_contributory(&shared) {
            return Err(HandshakeError::Authentication);
        }
        self.symmetric.mix_key(&shared);
        Ok(())
    }
}

impl<K: Kem, X: X25519> Handshake for Noise<K, X> {
    type Aead = ChaChaPoly;

    fn pattern(&self) -> Pattern {
        self.pattern
    }

    fn suite(&self) -> Suite {
        K::SUITE
    }

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
        if next.done == 1 {
            next.opened = *next.symmetric.transcript();
        }
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
        // Who has been proven stays who was proven, and who has been called who was called.
        if self.peer().is_none() && !self.is_committed() {
            self.peer_static = peer;
            self.is_peer_expected = true;
        }
    }

    fn peer(&self) -> Option<PublicKey> {
        let proven_after = self.pattern.proven_after(self.side);
        (usize::from(self.done) >= proven_after).then_some(self.peer_static)
    }

    fn finish(&mut self) -> Option<Secrets> {
        if usize::from(self.done) != self.pattern.overhead().len() {
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

    fn reopen(&mut self) -> bool {
        if self.pattern != Pattern::Xx || self.side != Side::Initiator || self.done == 0 {
            return false;
        }
        // The first message of XX mixes no key in: all of the state is in the hash.
        self.symmetric = Symmetric::resume(self.pattern.name(K::SUITE), self.opened);
        self.done = 1;
        true
    }
}

impl<K: Kem, X: X25519> fmt::Debug for Noise<K, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Noise")
            .field("pattern", &self.pattern)
            .field("side", &self.side)
            .field("identity", &self.identity)
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}

// What makes a dropped handshake leave nothing behind.
const _: () = assert!(core::mem::needs_drop::<Symmetric>());

// Pending handshakes are bounded by bytes (`limits.rs`).
const _: () = assert!(size_of::<Noise>() <= 400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn static_key_of_small_order_is_refused_in_every_exchange_with_it() {
        for side in [Side::Initiator, Side::Responder] {
            let mut state =
                Noise::with_prologue(side, Pattern::Xx, &Identity::from_secret([1; 32]), [2; 32], b"");
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
        let state = Noise::initiator(&Identity::from_secret([1; 32]), [2; 32], Opening::XX);
        let text = std::format!("{state:?}");
        assert!(
            text.starts_with("Noise { pattern: Xx, side: Initiator, identity: Identity { public: "),
            "{text}"
        );
        assert!(text.ends_with(", done: 0, .. }"), "{text}");
    }
}
