//! Which implementation of the handshake answers. Both speak the same on the wire.

use rift::{Handshake, HandshakeError, Identity, Noise, Opening, Pattern, PublicKey, Secrets};
use rift_aead::NativeChaChaPoly;
use rift_snow::Snow;

/// An implementation of the handshake, as `--handshake` names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Implementation {
    /// RIFT's own.
    #[default]
    Rift,
    /// The `snow` library's.
    Snow,
}

/// The answering side of a handshake by either implementation.
pub struct Responder(Inner);

enum Inner {
    Rift(Box<Noise>),
    Snow(Box<Snow>),
}

impl Responder {
    /// Answers for the host `identity`. `ephemeral` is 32 bytes of entropy never used before.
    #[must_use]
    pub fn new(
        implementation: Implementation,
        identity: &Identity,
        ephemeral: [u8; 32],
        opening: Opening,
    ) -> Self {
        Self(match implementation {
            Implementation::Rift => Inner::Rift(Box::new(Noise::responder(identity, ephemeral, opening))),
            Implementation::Snow => Inner::Snow(Box::new(Snow::responder(identity, ephemeral, opening))),
        })
    }
}

impl Handshake for Responder {
    type Aead = NativeChaChaPoly;

    fn pattern(&self) -> Pattern {
        match &self.0 {
            Inner::Rift(handshake) => handshake.pattern(),
            Inner::Snow(handshake) => handshake.pattern(),
        }
    }

    fn write_message(&mut self, payload: &[u8], out: &mut [u8]) -> Result<usize, HandshakeError> {
        match &mut self.0 {
            Inner::Rift(handshake) => handshake.write_message(payload, out),
            Inner::Snow(handshake) => handshake.write_message(payload, out),
        }
    }

    fn read_message(&mut self, message: &[u8], payload: &mut [u8]) -> Result<usize, HandshakeError> {
        match &mut self.0 {
            Inner::Rift(handshake) => handshake.read_message(message, payload),
            Inner::Snow(handshake) => handshake.read_message(message, payload),
        }
    }

    fn peer(&self) -> Option<PublicKey> {
        match &self.0 {
            Inner::Rift(handshake) => handshake.peer(),
            Inner::Snow(handshake) => handshake.peer(),
        }
    }

    fn expect_peer(&mut self, peer: PublicKey) {
        match &mut self.0 {
            Inner::Rift(handshake) => handshake.expect_peer(peer),
            Inner::Snow(handshake) => handshake.expect_peer(peer),
        }
    }

    fn finish(&mut self) -> Option<Secrets> {
        match &mut self.0 {
            Inner::Rift(handshake) => handshake.finish(),
            Inner::Snow(handshake) => handshake.finish(),
        }
    }
}

impl core::fmt::Debug for Responder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Responder").finish_non_exhaustive()
    }
}
