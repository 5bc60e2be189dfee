//! The handshake the person chose.

use rift::{
    Handshake, HandshakeError, HybridNoise, Identity, MlKem768, NoKem, Noise, Opening, Pattern, PublicKey,
    Secrets, Suite,
};
use rift_aead::NativeChaChaPoly;
use rift_snow::Snow;
use rift_x25519::NativeX25519;

use crate::args::HandshakeKind;

/// One of the handshakes. The first two are the same on the wire.
#[derive(Debug)]
pub enum ChosenHandshake {
    /// The protocol's own.
    Rift(Box<Noise<NoKem, NativeX25519>>),
    /// The crate snow's.
    Snow(Box<Snow>),
    /// The protocol's own with ML-KEM-768.
    Hybrid(Box<Noise<MlKem768, NativeX25519>>),
}

impl ChosenHandshake {
    /// The client's side. `entropy` is 96 bytes never used before; the suite is that of `opening`, whatever `kind` says.
    #[must_use]
    pub fn initiator(kind: HandshakeKind, identity: &Identity, entropy: &[u8; 96], opening: Opening) -> Self {
        let mut ephemeral = [0; 32];
        ephemeral.copy_from_slice(&entropy[..32]);
        match (opening.suite, kind) {
            (Suite::Hybrid, _) => {
                let noise = HybridNoise::hybrid_initiator(identity, entropy, opening);
                Self::Hybrid(Box::new(noise.multiplied_by()))
            }
            (Suite::Classical, HandshakeKind::Snow) => {
                Self::Snow(Box::new(Snow::initiator(identity, ephemeral, opening)))
            }
            (Suite::Classical, HandshakeKind::Rift | HandshakeKind::ExperimentalHybrid) => {
                Self::Rift(Box::new(Noise::initiator(identity, ephemeral, opening).multiplied_by()))
            }
        }
    }
}

impl Handshake for ChosenHandshake {
    type Aead = NativeChaChaPoly;

    fn pattern(&self) -> Pattern {
        match self {
            Self::Rift(noise) => noise.pattern(),
            Self::Snow(snow) => snow.pattern(),
            Self::Hybrid(noise) => noise.pattern(),
        }
    }

    fn suite(&self) -> Suite {
        match self {
            Self::Rift(_) | Self::Snow(_) => Suite::Classical,
            Self::Hybrid(_) => Suite::Hybrid,
        }
    }

    fn write_message(&mut self, payload: &[u8], out: &mut [u8]) -> Result<usize, HandshakeError> {
        match self {
            Self::Rift(noise) => noise.write_message(payload, out),
            Self::Snow(snow) => snow.write_message(payload, out),
            Self::Hybrid(noise) => noise.write_message(payload, out),
        }
    }

    fn read_message(&mut self, message: &[u8], payload: &mut [u8]) -> Result<usize, HandshakeError> {
        match self {
            Self::Rift(noise) => noise.read_message(message, payload),
            Self::Snow(snow) => snow.read_message(message, payload),
            Self::Hybrid(noise) => noise.read_message(message, payload),
        }
    }

    fn expect_peer(&mut self, peer: PublicKey) {
        match self {
            Self::Rift(noise) => noise.expect_peer(peer),
            Self::Snow(snow) => snow.expect_peer(peer),
            Self::Hybrid(noise) => noise.expect_peer(peer),
        }
    }

    fn peer(&self) -> Option<PublicKey> {
        match self {
            Self::Rift(noise) => noise.peer(),
            Self::Snow(snow) => snow.peer(),
            Self::Hybrid(noise) => noise.peer(),
        }
    }

    fn finish(&mut self) -> Option<Secrets> {
        match self {
            Self::Rift(noise) => noise.finish(),
            Self::Snow(snow) => snow.finish(),
            Self::Hybrid(noise) => noise.finish(),
        }
    }

    fn reopen(&mut self) -> bool {
        match self {
            Self::Rift(noise) => noise.reopen(),
            Self::Snow(snow) => snow.reopen(),
            Self::Hybrid(noise) => noise.reopen(),
        }
    }
}
