//! Which implementation of the handshake answers. RIFT's own and snow's are the same on the wire.

use rift::{
    Handshake, HandshakeError, HybridNoise, Identity, MlKem768, NoKem, Noise, Opening, Pattern, PublicKey,
    Secrets, Suite,
};
use rift_aead::NativeChaChaPoly;
use rift_snow::Snow;
use rift_x25519::NativeX25519;

/// An implementation of the handshake, as `--handshake` names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Implementation {
    /// RIFT's own.
    #[default]
    Rift,
    /// The `snow` library's.
    Snow,
    /// RIFT's own, and hybrid ones (X25519 and ML-KEM-768) to clients that begin so. Experimental.
    ExperimentalHybrid,
}

/// The answering side of a handshake by either implementation.
pub struct Responder(Inner);

enum Inner {
    Rift(Box<Noise<NoKem, NativeX25519>>),
    Snow(Box<Snow>),
    Hybrid(Box<Noise<MlKem768, NativeX25519>>),
}

impl Responder {
    /// Answers for the host `identity`. `entropy` is 96 bytes never used before. A hybrid opening gets a classical
    /// responder, and so no answer, unless `implementation` is hybrid.
    #[must_use]
    pub fn new(
        implementation: Implementation,
        identity: &Identity,
        entropy: &[u8; 96],
        opening: Opening,
    ) -> Self {
        let mut ephemeral = [0; 32];
        ephemeral.copy_from_slice(&entropy[..32]);
        Self(match (implementation, opening.suite) {
            (Implementation::ExperimentalHybrid, Suite::Hybrid) => {
                let noise = HybridNoise::hybrid_responder(identity, entropy, opening);
                Inner::Hybrid(Box::new(noise.multiplied_by()))
            }
            (Implementation::Snow, _) => Inner::Snow(Box::new(Snow::responder(identity, ephemeral, opening))),
            (Implementation::Rift | Implementation::ExperimentalHybrid, _) => {
                Inner::Rift(Box::new(Noise::responder(identity, ephemeral, opening).multiplied_by()))
            }
        })
    }
}

impl Handshake for Responder {
    type Aead = NativeChaChaPoly;

    fn pattern(&self) -> Pattern {
        match &self.0 {
            Inner::Rift(handshake) => handshake.pattern(),
            Inner::Snow(handshake) => handshake.pattern(),
            Inner::Hybrid(handshake) => handshake.pattern(),
        }
    }

    fn suite(&self) -> Suite {
        match &self.0 {
            Inner::Rift(_) | Inner::Snow(_) => Suite::Classical,
            Inner::Hybrid(_) => Suite::Hybrid,
        }
    }

    fn write_message(&mut self, payload: &[u8], out: &mut [u8]) -> Result<usize, HandshakeError> {
        match &mut self.0 {
            Inner::Rift(handshake) => handshake.write_message(payload, out),
            Inner::Snow(handshake) => handshake.write_message(payload, out),
            Inner::Hybrid(handshake) => handshake.write_message(payload, out),
        }
    }

    fn read_message(&mut self, message: &[u8], payload: &mut [u8]) -> Result<usize, HandshakeError> {
        match &mut self.0 {
            Inner::Rift(handshake) => handshake.read_message(message, payload),
            Inner::Snow(handshake) => handshake.read_message(message, payload),
            Inner::Hybrid(handshake) => handshake.read_message(message, payload),
        }
    }

    fn peer(&self) -> Option<PublicKey> {
        match &self.0 {
            Inner::Rift(handshake) => handshake.peer(),
            Inner::Snow(handshake) => handshake.peer(),
            Inner::Hybrid(handshake) => handshake.peer(),
        }
    }

    fn expect_peer(&mut self, peer: PublicKey) {
        match &mut self.0 {
            Inner::Rift(handshake) => handshake.expect_peer(peer),
            Inner::Snow(handshake) => handshake.expect_peer(peer),
            Inner::Hybrid(handshake) => handshake.expect_peer(peer),
        }
    }

    fn finish(&mut self) -> Option<Secrets> {
        match &mut self.0 {
            Inner::Rift(handshake) => handshake.finish(),
            Inner::Snow(handshake) => handshake.finish(),
            Inner::Hybrid(handshake) => handshake.finish(),
        }
    }
}

impl core::fmt::Debug for Responder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Responder").finish_non_exhaustive()
    }
}
