//! RIFT's handshake by `snow`: selectable, and the oracle of the core's own Noise.
//!
//! It knows of no datagrams and draws no entropy: a resolver of its own hands the given ephemeral secret to snow
//! where snow would ask a random number generator. Two things are added to snow 0.10, so that [`Snow`] keeps
//! every promise of [`Handshake`]:
//!
//! * Reads that fail change nothing. snow restores its hashes then, but not its cipher: after a third message
//!   whose key field was right and whose payload was forged, the true message would be refused as well. What has
//!   been written and read so far is therefore kept, and a failure starts snow again from there.
//! * Keys of small order and all-zero shared secrets are refused, which snow does not do.
//!
//! What it cannot add: snow leaves its secrets in memory when dropped. The core's own `Noise` does not.

#[cfg(test)]
mod renewal;
mod resolver;

use core::fmt;

use rift::crypto::Side;
use rift::{ChaChaPoly, Handshake, HandshakeError, Identity, Opening, Pattern, PublicKey, Secrets};
use snow::{Builder, HandshakeState};
use zeroize::Zeroizing;

use resolver::Resolver;

const KEY_LEN: usize = 32;
const TAG_LEN: usize = 16;

/// The longest message of Noise (§3), in bytes.
const MESSAGE_LEN_MAX: usize = 65_535;

/// What each message of XX adds to its payload, in bytes.
const OVERHEAD_XX: [usize; 3] = [KEY_LEN, 2 * KEY_LEN + 2 * TAG_LEN, KEY_LEN + 2 * TAG_LEN];
/// The same of IK.
const OVERHEAD_IK: [usize; 2] = [2 * KEY_LEN + 2 * TAG_LEN, KEY_LEN + TAG_LEN];

/// One side of `Noise_XX_25519_ChaChaPoly_BLAKE2s` or `Noise_IK_25519_ChaChaPoly_BLAKE2s`, by snow.
pub struct Snow {
    /// `None` until an initiator of IK is told whom it calls.
    snow: Option<HandshakeState>,
    start: Start,
    /// What has passed, oldest first: what it takes to bring a new state here.
    passed: Vec<Passed>,
    expected: Option<PublicKey>,
}

/// What a state is built from.
struct Start {
    side: Side,
    pattern: Pattern,
    identity: Identity,
    ephemeral: Zeroizing<[u8; 32]>,
    prologue: Vec<u8>,
}

enum Passed {
    /// A message was written with this payload.
    Written(Vec<u8>),
    /// This message was read.
    Read(Vec<u8>),
}

impl Snow {
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
        let start = Start {
            side,
            pattern,
            identity: identity.clone(),
            ephemeral: Zeroizing::new(ephemeral),
            prologue: prologue.to_vec(),
        };
        let needs_peer = start.needs_peer();
        let snow = (!needs_peer).then(|| start.build(None).expect("the suite is built in"));
        Self { snow, start, passed: Vec::new(), expected: None }
    }

    /// What the next message adds to its payload, if it is this side's turn to write (or to read).
    fn overhead(&self, to_write: bool) -> Result<usize, HandshakeError> {
        let overhead = self.start.overhead().get(self.passed.len()).ok_or(HandshakeError::OutOfTurn)?;
        let is_initiators = self.passed.len().is_multiple_of(2);
        let is_mine = is_initiators == (self.start.side == Side::Initiator);
        if is_mine == to_write { Ok(*overhead) } else { Err(HandshakeError::OutOfTurn) }
    }

    /// Puts a state that failed half-way back to where it was.
    fn restore(&mut self) {
        let replayed = self.start.build(self.expected).and_then(|mut snow| {
            let mut scratch = vec![0; MESSAGE_LEN_MAX + TAG_LEN];
            for passed in &self.passed {
                match passed {
                    Passed::Written(payload) => snow.write_message(payload, &mut scratch)?,
                    Passed::Read(message) => snow.read_message(message, &mut scratch)?,
                };
            }
            Ok(snow)
        });
        self.snow = Some(replayed.expect("what passed once passes again: entropy and keys are the same"));
    }
}

impl Start {
    /// Whether nothing can begin before the peer's key is known.
    fn needs_peer(&self) -> bool {
        self.pattern == Pattern::Ik && self.side == Side::Initiator
    }

    const fn overhead(&self) -> &'static [usize] {
        match self.pattern {
            Pattern::Xx => &OVERHEAD_XX,
            Pattern::Ik => &OVERHEAD_IK,
        }
    }

    fn build(&self, peer: Option<PublicKey>) -> Result<HandshakeState, snow::Error> {
        let name = match self.pattern {
            Pattern::Xx => "Noise_XX_25519_ChaChaPoly_BLAKE2s",
            Pattern::Ik => "Noise_IK_25519_ChaChaPoly_BLAKE2s",
        };
        let resolver = Resolver::new(&self.ephemeral);
        let mut builder = Builder::with_resolver(name.parse()?, Box::new(resolver))
            .local_private_key(self.identity.secret_bytes())?
            .prologue(&self.prologue)?;
        let peer = peer.filter(|_| self.needs_peer());
        if let Some(peer) = &peer {
            builder = builder.remote_public_key(peer.as_bytes())?;
        }
        match self.side {
            Side::Initiator => builder.build_initiator(),
            Side::Responder => builder.build_responder(),
        }
    }
}

impl Handshake for Snow {
    type Aead = ChaChaPoly;

    fn pattern(&self) -> Pattern {
        self.start.pattern
    }

    fn write_message(&mut self, payload: &[u8], out: &mut [u8]) -> Result<usize, HandshakeError> {
        let len = payload.len().saturating_add(self.overhead(true)?);
        if len > MESSAGE_LEN_MAX {
            return Err(HandshakeError::BufferTooSmall);
        }
        let out = out.get_mut(..len).ok_or(HandshakeError::BufferTooSmall)?;
        // snow wants room for a tag even where it writes none.
        let mut message = vec![0; len + TAG_LEN];
        let snow = self.snow.as_mut().ok_or(HandshakeError::UnknownPeer)?;
        if snow.write_message(payload, &mut message) != Ok(len) {
            self.restore();
            return Err(HandshakeError::Authentication);
        }
        out.copy_from_slice(&message[..len]);
        self.passed.push(Passed::Written(payload.to_vec()));
        Ok(len)
    }

    fn read_message(&mut self, message: &[u8], payload: &mut [u8]) -> Result<usize, HandshakeError> {
        let overhead = self.overhead(false)?;
        if message.len() > MESSAGE_LEN_MAX {
            return Err(HandshakeError::Malformed);
        }
        let len = message.len().checked_sub(overhead).ok_or(HandshakeError::Malformed)?;
        let payload = payload.get_mut(..len).ok_or(HandshakeError::BufferTooSmall)?;
        // Only the first message of XX is taken without an exchange that would show this.
        let starts_with_small_order = self.passed.is_empty()
            && message.first_chunk().is_some_and(|key| PublicKey::from_bytes(*key).has_small_order());
        if starts_with_small_order {
            return Err(HandshakeError::Authentication);
        }
        let snow = self.snow.as_mut().ok_or(HandshakeError::OutOfTurn)?;
        let is_read = snow.read_message(message, payload) == Ok(len);
        let is_foreign = self
            .expected
            .is_some_and(|expected| snow.get_remote_static().is_some_and(|peer| peer != expected.as_bytes()));
        if !is_read || is_foreign {
            self.restore();
            return Err(HandshakeError::Authentication);
        }
        self.passed.push(Passed::Read(message.to_vec()));
        Ok(len)
    }

    fn expect_peer(&mut self, peer: PublicKey) {
        if !self.start.needs_peer() {
            self.expected = Some(peer);
        } else if self.passed.is_empty() {
            self.expected = Some(peer);
            self.restore();
        }
    }

    fn peer(&self) -> Option<PublicKey> {
        // An initiator of IK knows whom it calls long before that has answered.
        if self.start.needs_peer() && self.passed.len() < 2 {
            return None;
        }
        Some(PublicKey::from_bytes(self.snow.as_ref()?.get_remote_static()?.try_into().ok()?))
    }

    fn finish(&mut self) -> Option<Secrets> {
        let snow = self.snow.as_mut().filter(|snow| snow.is_handshake_finished())?;
        let peer = PublicKey::from_bytes(snow.get_remote_static()?.try_into().ok()?);
        let transcript = snow.get_handshake_hash().try_into().ok()?;
        let (of_initiator, of_responder) = snow.dangerously_get_raw_split();
        let (send, receive) = match self.start.side {
            Side::Initiator => (of_initiator, of_responder),
            Side::Responder => (of_responder, of_initiator),
        };
        Some(Secrets { send, receive, peer, transcript })
    }
}

impl fmt::Debug for Snow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snow")
            .field("pattern", &self.start.pattern)
            .field("side", &self.start.side)
            .field("identity", &self.start.identity)
            .field("done", &self.passed.len())
            .finish_non_exhaustive()
    }
}
