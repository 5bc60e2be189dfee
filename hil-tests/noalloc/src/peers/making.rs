//! The two sides of each handshake, from seeds that nobody else would take for entropy.

use rift::{Handshake, Identity, Noise, Opening};
#[cfg(feature = "experimental")]
use rift::{HybridNoise, Suite};

/// A handshake that a seed makes.
pub trait Make: Handshake {
    /// The opening of this suite.
    fn opening(opening: Opening) -> Opening;
    fn initiator(identity: &Identity, seed: u8, opening: Opening) -> Self;
    fn responder(identity: &Identity, seed: u8, opening: Opening) -> Self;
}

impl Make for Noise {
    fn opening(opening: Opening) -> Opening {
        opening
    }

    fn initiator(identity: &Identity, seed: u8, opening: Opening) -> Self {
        Self::initiator(identity, [seed; 32], opening)
    }

    fn responder(identity: &Identity, seed: u8, opening: Opening) -> Self {
        Self::responder(identity, [seed; 32], opening)
    }
}

#[cfg(feature = "experimental")]
impl Make for HybridNoise {
    fn opening(opening: Opening) -> Opening {
        opening.with_suite(Suite::Hybrid)
    }

    fn initiator(identity: &Identity, seed: u8, opening: Opening) -> Self {
        Self::hybrid_initiator(identity, &[seed; 96], opening)
    }

    fn responder(identity: &Identity, seed: u8, opening: Opening) -> Self {
        Self::hybrid_responder(identity, &[seed; 96], opening)
    }
}
