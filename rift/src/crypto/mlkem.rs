//! ML-KEM-768 (FIPS 203) for one handshake, by the `ml-kem` crate, which nobody has audited independently: the handshake
//! stays as safe as X25519 if it is wrong.
//!
//! Keys are made where they are used, from a seed: a state keeps 64 bytes instead of 2400.

use ml_kem::kem::Decapsulate as _;
use ml_kem::{B32, DecapsulationKey, EncapsulationKey, Key, KeyExport as _, MlKem768 as Parameters, Seed};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::kem::{Kem, Suite, sealed};
use super::{HandshakeError, Identity, Noise, Opening, Side};

/// Bytes of a key.
const KEY_LEN: usize = 1184;
/// Bytes of what is encapsulated to one.
const CIPHERTEXT_LEN: usize = 1088;

/// ML-KEM-768 for one handshake; see the module.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MlKem768 {
    /// An initiator's `d` and `z`; a responder's `m` is the front of it.
    entropy: [u8; 64],
    /// The initiator's key, at a responder.
    #[zeroize(skip)]
    peer: [u8; KEY_LEN],
    #[zeroize(skip)]
    has_peer: bool,
}

impl MlKem768 {
    const fn new(entropy: [u8; 64]) -> Self {
        Self { entropy, peer: [0; KEY_LEN], has_peer: false }
    }

    fn own(&self) -> DecapsulationKey<Parameters> {
        DecapsulationKey::from_seed(Seed::from(self.entropy))
    }
}

impl sealed::Sealed for MlKem768 {}

impl Kem for MlKem768 {
    const SUITE: Suite = Suite::Hybrid;
    const KEY_LEN: usize = KEY_LEN;
    const CIPHERTEXT_LEN: usize = CIPHERTEXT_LEN;

    fn put_key(&self, out: &mut [u8]) {
        out.copy_from_slice(&self.own().encapsulation_key().to_bytes());
    }

    fn take_key(&mut self, key: &[u8]) -> Result<(), HandshakeError> {
        let key: [u8; KEY_LEN] = key.try_into().map_err(|_| HandshakeError::Malformed)?;
        // SPEC §4.19, as FIPS 203 §7.2: its coefficients are checked.
        let encoded = Key::<EncapsulationKey<Parameters>>::from(key);
        EncapsulationKey::<Parameters>::new(&encoded).map_err(|_| HandshakeError::Authentication)?;
        (self.peer, self.has_peer) = (key, true);
        Ok(())
    }

    fn encapsulate(&self, out: &mut [u8]) -> Result<Zeroizing<[u8; 32]>, HandshakeError> {
        if !self.has_peer {
            return Err(HandshakeError::OutOfTurn);
        }
        let encoded = Key::<EncapsulationKey<Parameters>>::from(self.peer);
        let key =
            EncapsulationKey::<Parameters>::new(&encoded).map_err(|_| HandshakeError::Authentication)?;
        let mut message = B32::default();
        message.copy_from_slice(self.entropy.first_chunk::<32>().unwrap_or(&[0; 32]));
        let (ciphertext, shared) = key.encapsulate_deterministic(&message);
        message.zeroize();
        out.copy_from_slice(&ciphertext);
        Ok(Zeroizing::new(shared.into()))
    }

    fn decapsulate(&self, ciphertext: &[u8]) -> Result<Zeroizing<[u8; 32]>, HandshakeError> {
        let ciphertext: [u8; CIPHERTEXT_LEN] =
            ciphertext.try_into().map_err(|_| HandshakeError::Malformed)?;
        Ok(Zeroizing::new(self.own().decapsulate(&ciphertext.into()).into()))
    }
}

/// One side of a hybrid handshake: `Noise_XXhfs_25519+MLKEM768_ChaChaPoly_BLAKE2s`, or the same of IK.
///
/// A state has at most 1800 bytes and needs 24 KiB of stack for the encapsulation.
pub type HybridNoise = Noise<MlKem768>;

impl HybridNoise {
    /// The side that starts. `entropy` is 96 bytes never used before; `opening` is a hybrid one. One of IK needs
    /// [`super::Handshake::expect_peer`] before its first message.
    #[must_use]
    pub fn hybrid_initiator(identity: &Identity, entropy: &[u8; 96], opening: Opening) -> Self {
        Self::hybrid(Side::Initiator, identity, entropy, opening)
    }

    /// The side that answers; the arguments are those of [`Self::hybrid_initiator`].
    #[must_use]
    pub fn hybrid_responder(identity: &Identity, entropy: &[u8; 96], opening: Opening) -> Self {
        Self::hybrid(Side::Responder, identity, entropy, opening)
    }

    fn hybrid(side: Side, identity: &Identity, entropy: &[u8; 96], opening: Opening) -> Self {
        let (mut ephemeral, mut rest) = ([0; 32], [0; 64]);
        ephemeral.copy_from_slice(&entropy[..32]);
        rest.copy_from_slice(&entropy[32..]);
        let noise = Self::with_kem(
            side,
            opening.pattern,
            identity,
            ephemeral,
            &Opening { suite: Suite::Hybrid, ..opening }.prologue(),
            MlKem768::new(rest),
        );
        ephemeral.zeroize();
        rest.zeroize();
        noise
    }
}

// Half-done handshakes are bounded by bytes.
const _: () = assert!(size_of::<HybridNoise>() <= 1800);

#[cfg(test)]
mod tests {
    use super::*;

    /// SPEC §4.19/1.
    #[test]
    fn key_with_a_coefficient_that_is_not_reduced_is_refused() {
        let mut key = [0; KEY_LEN];
        MlKem768::new([1; 64]).put_key(&mut key);
        let mut peer = MlKem768::new([2; 64]);
        for coefficient in [0, 2, 100, 382] {
            // Two coefficients of 12 bits lie in three bytes; 3329 is the first that is none.
            let (mut forged, at) = (key, coefficient * 3);
            (forged[at], forged[at + 1]) = (0x01, forged[at + 1] & 0xf0 | 0x0d);
            assert_eq!(peer.take_key(&forged), Err(HandshakeError::Authentication), "{coefficient}");
            assert!(!peer.has_peer);
        }
        peer.take_key(&key).expect("a true key is taken");
    }
}
