//! RIFT's handshake by `snow`: selectable, and the oracle of the core's own Noise.
//!
//! It knows of no datagrams and draws no entropy: a resolver of its own hands the given ephemeral secret to snow
//! where snow would ask a random number generator. Two things are added to snow 0.10, so that [`SnowXx`] keeps
//! every promise of [`Handshake`]:
//!
//! * Reads that fail change nothing. snow restores its hashes then, but not its cipher: after a third message
//!   whose key field was right and whose payload was forged, the true message would be refused as well. What has
//!   been written and read so far is therefore kept, and a failure starts snow again from there.
//! * Keys of small order and all-zero shared secrets are refused, which snow does not do.
//!
//! What it cannot add: snow leaves its secrets in memory when dropped. The core's own `NoiseXx` does not.

mod resolver;

use core::fmt;

use rift::crypto::Side;
use rift::{Handshake, HandshakeError, Identity, PublicKey, Secrets};
use snow::{Builder, HandshakeState};
use zeroize::Zeroizing;

use resolver::Resolver;

const NAME: &str = "Noise_XX_25519_ChaChaPoly_BLAKE2s";

const KEY_LEN: usize = 32;
const TAG_LEN: usize = 16;

/// The longest message of Noise (§3), in bytes.
const MESSAGE_LEN_MAX: usize = 65_535;

/// What each message of XX adds to its payload, in bytes.
const OVERHEAD: [usize; 3] = [KEY_LEN, 2 * KEY_LEN + 2 * TAG_LEN, KEY_LEN + 2 * TAG_LEN];

/// One side of `Noise_XX_25519_ChaChaPoly_BLAKE2s`, by snow.
pub struct SnowXx {
    snow: HandshakeState,
    start: Start,
    /// What has passed, oldest first: what it takes to bring a new state here.
    passed: Vec<Passed>,
    expected: Option<PublicKey>,
}

/// What a state is built from.
struct Start {
    side: Side,
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

impl SnowXx {
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
        let start = Start {
            side,
            identity: identity.clone(),
            ephemeral: Zeroizing::new(ephemeral),
            prologue: prologue.to_vec(),
        };
        Self {
            snow: start.build().expect("the suite is built in"),
            start,
            passed: Vec::new(),
            expected: None,
        }
    }

    /// What the next message adds to its payload, if it is this side's turn to write (or to read).
    fn overhead(&self, to_write: bool) -> Result<usize, HandshakeError> {
        let overhead = OVERHEAD.get(self.passed.len()).ok_or(HandshakeError::OutOfTurn)?;
        if self.snow.is_my_turn() == to_write { Ok(*overhead) } else { Err(HandshakeError::OutOfTurn) }
    }

    /// Puts a state that failed half-way back to where it was.
    fn restore(&mut self) {
        let replayed = self.start.build().and_then(|mut snow| {
            let mut scratch = vec![0; MESSAGE_LEN_MAX + TAG_LEN];
            for passed in &self.passed {
                match passed {
                    Passed::Written(payload) => snow.write_message(payload, &mut scratch)?,
                    Passed::Read(message) => snow.read_message(message, &mut scratch)?,
                };
            }
            Ok(snow)
        });
        self.snow = replayed.expect("what passed once passes again: entropy and keys are the same");
    }
}

impl Start {
    fn build(&self) -> Result<HandshakeState, snow::Error> {
        let resolver = Resolver::new(&self.ephemeral);
        let builder = Builder::with_resolver(NAME.parse()?, Box::new(resolver))
            .local_private_key(self.identity.secret_bytes())?
            .prologue(&self.prologue)?;
        match self.side {
            Side::Initiator => builder.build_initiator(),
            Side::Responder => builder.build_responder(),
        }
    }
}

impl Handshake for SnowXx {
    fn write_message(&mut self, payload: &[u8], out: &mut [u8]) -> Result<usize, HandshakeError> {
        let len = payload.len().saturating_add(self.overhead(true)?);
        if len > MESSAGE_LEN_MAX {
            return Err(HandshakeError::BufferTooSmall);
        }
        let out = out.get_mut(..len).ok_or(HandshakeError::BufferTooSmall)?;
        // snow wants room for a tag even where it writes none.
        let mut message = vec![0; len + TAG_LEN];
        if self.snow.write_message(payload, &mut message) != Ok(len) {
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
        // Only the first message is taken without an exchange that would show this.
        let starts_with_small_order = self.passed.is_empty()
            && message.first_chunk().is_some_and(|key| PublicKey::from_bytes(*key).has_small_order());
        if starts_with_small_order {
            return Err(HandshakeError::Authentication);
        }
        let is_read = self.snow.read_message(message, payload) == Ok(len);
        let is_foreign =
            self.expected.is_some() && self.peer().is_some_and(|peer| Some(peer) != self.expected);
        if !is_read || is_foreign {
            self.restore();
            return Err(HandshakeError::Authentication);
        }
        self.passed.push(Passed::Read(message.to_vec()));
        Ok(len)
    }

    fn expect_peer(&mut self, peer: PublicKey) {
        self.expected = Some(peer);
    }

    fn peer(&self) -> Option<PublicKey> {
        Some(PublicKey::from_bytes(self.snow.get_remote_static()?.try_into().ok()?))
    }

    fn finish(&mut self) -> Option<Secrets> {
        if !self.snow.is_handshake_finished() {
            return None;
        }
        let peer = PublicKey::from_bytes(self.snow.get_remote_static()?.try_into().ok()?);
        let transcript = self.snow.get_handshake_hash().try_into().ok()?;
        let (of_initiator, of_responder) = self.snow.dangerously_get_raw_split();
        let (send, receive) = match self.start.side {
            Side::Initiator => (of_initiator, of_responder),
            Side::Responder => (of_responder, of_initiator),
        };
        Some(Secrets { send, receive, peer, transcript })
    }
}

impl fmt::Debug for SnowXx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnowXx")
            .field("side", &self.start.side)
            .field("identity", &self.start.identity)
            .field("done", &self.passed.len())
            .finish_non_exhaustive()
    }
}
