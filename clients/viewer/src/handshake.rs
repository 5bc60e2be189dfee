//! The handshake the person chose.

use rift::{Handshake, HandshakeError, Identity, Noise, Opening, Pattern, PublicKey, Secrets};
use rift_aead::NativeChaChaPoly;
use rift_snow::Snow;

use crate::args::HandshakeKind;

/// One of the two handshakes; on the wire they are the same.
#[derive(Debug)]
pub enum ChosenHandshake {
    /// The protocol's own.
    Rift(Box<Noise>),
    /// The crate snow's.
    Snow(Box<Snow>),
}

impl ChosenHandshake {
    /// The client's side. `ephemeral` is 32 bytes of entropy never used before.
    #[must_use]
    pub fn initiator(
        kind: HandshakeKind,
        identity: &Identity,
        ephemeral: [u8; 32],
        opening: Opening,
    ) -> Self {
        match kind {
            HandshakeKind::Rift => Self::Rift(Box::new(Noise::initiator(identity, ephemeral, opening))),
            HandshakeKind::Snow => Self::Snow(Box::new(Snow::initiator(identity, ephemeral, opening))),
        }
    }
}

impl Handshake for ChosenHandshake {
    type Aead = NativeChaChaPoly;

    fn pattern(&self) -> Pattern {
        match self {
            Self::Rift(noise) => noise.pattern(),
            Self::Snow(snow) => snow.pattern(),
        }
    }

    fn write_message(&mut self, payload: &[u8], out: &mut [u8]) -> Result<usize, HandshakeError> {
        match self {
            Self::Rift(noise) => noise.write_message(payload, out),
            Self::Snow(snow) => snow.write_message(payload, out),
        }
    }

    fn read_message(&mut self, message: &[u8], payload: &mut [u8]) -> Result<usize, HandshakeError> {
        match self {
            Self::Rift(noise) => noise.read_message(message, payload),
            Self::Snow(snow) => snow.read_message(message, payload),
        }
    }

    fn expect_peer(&mut self, peer: PublicKey) {
        match self {
            Self::Rift(noise) => noise.expect_peer(peer),
            Self::Snow(snow) => snow.expect_peer(peer),
        }
    }

    fn peer(&self) -> Option<PublicKey> {
        match self {
            Self::Rift(noise) => noise.peer(),
            Self::Snow(snow) => snow.peer(),
        }
    }

    fn finish(&mut self) -> Option<Secrets> {
        match self {
            Self::Rift(noise) => noise.finish(),
            Self::Snow(snow) => snow.finish(),
        }
    }
}
