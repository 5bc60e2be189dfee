//! What a handshake mixes in beside Diffie-Hellman: nothing, or a key encapsulation that a quantum computer does not
//! open (SPEC §4.19).
//!
//! The tokens are those of the draft "Noise Hybrid Forward Secrecy" (`hfs`, revision 1): `e1` is a key for one use, sent
//! like any field; `ekem1` is what was encapsulated to it, and what both then know is mixed in as another secret.

use zeroize::Zeroizing;

use super::HandshakeError;

/// Which secrets a handshake rests on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Suite {
    /// X25519 alone.
    #[default]
    Classical,
    /// X25519 and ML-KEM-768 (FIPS 203): who breaks only one of them reads nothing. Experimental: it may change.
    Hybrid,
}

/// A key encapsulation for one handshake, or none. Nobody else implements it.
pub trait Kem: Clone + sealed::Sealed {
    /// What a handshake with it is called.
    const SUITE: Suite;
    /// Bytes of the key and of what is encapsulated to it; 0 = neither is sent.
    const KEY_LEN: usize;
    /// See [`Self::KEY_LEN`].
    const CIPHERTEXT_LEN: usize;

    /// Writes this side's key; `out` is [`Self::KEY_LEN`] long.
    fn put_key(&self, out: &mut [u8]);

    /// Keeps the peer's key, or refuses one that is none.
    ///
    /// # Errors
    /// [`HandshakeError::Authentication`].
    fn take_key(&mut self, key: &[u8]) -> Result<(), HandshakeError>;

    /// Encapsulates to the peer's key; `out` is [`Self::CIPHERTEXT_LEN`] long.
    ///
    /// # Errors
    /// [`HandshakeError::OutOfTurn`] without a key of the peer.
    fn encapsulate(&self, out: &mut [u8]) -> Result<Zeroizing<[u8; 32]>, HandshakeError>;

    /// What was encapsulated to this side's key. Another ciphertext gives another secret, and no error.
    ///
    /// # Errors
    /// [`HandshakeError::Malformed`] for one of another length.
    fn decapsulate(&self, ciphertext: &[u8]) -> Result<Zeroizing<[u8; 32]>, HandshakeError>;
}

pub(super) mod sealed {
    /// Only this crate's.
    pub trait Sealed {}
}

/// No encapsulation: the classical handshake, byte for byte.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoKem;

impl sealed::Sealed for NoKem {}

impl Kem for NoKem {
    const SUITE: Suite = Suite::Classical;
    const KEY_LEN: usize = 0;
    const CIPHERTEXT_LEN: usize = 0;

    fn put_key(&self, _: &mut [u8]) {}

    fn take_key(&mut self, _: &[u8]) -> Result<(), HandshakeError> {
        Ok(())
    }

    fn encapsulate(&self, _: &mut [u8]) -> Result<Zeroizing<[u8; 32]>, HandshakeError> {
        Err(HandshakeError::OutOfTurn)
    }

    fn decapsulate(&self, _: &[u8]) -> Result<Zeroizing<[u8; 32]>, HandshakeError> {
        Err(HandshakeError::OutOfTurn)
    }
}
