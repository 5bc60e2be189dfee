//! The tokens of a key encapsulation, which a classical handshake passes over.

use super::{HandshakeError, Kem, Noise, X25519};

/// Bytes of the longest field: a key of ML-KEM-768.
const FIELD_MAX: usize = 1184;

impl<K: Kem, X: X25519> Noise<K, X> {
    /// `e1`: this side's key for one encapsulation.
    pub(super) fn put_kem_key<'a>(&mut self, out: &'a mut [u8]) -> Result<&'a mut [u8], HandshakeError> {
        if K::KEY_LEN == 0 {
            return Ok(out);
        }
        let len = K::KEY_LEN + self.symmetric.tag_len();
        let (field, rest) = out.split_at_mut_checked(len).ok_or(HandshakeError::BufferTooSmall)?;
        self.kem.put_key(&mut field[..K::KEY_LEN]);
        self.symmetric.seal(field);
        Ok(rest)
    }

    pub(super) fn take_kem_key<'a>(&mut self, message: &'a [u8]) -> Result<&'a [u8], HandshakeError> {
        if K::KEY_LEN == 0 {
            return Ok(message);
        }
        let len = K::KEY_LEN + self.symmetric.tag_len();
        let (field, rest) = message.split_at_checked(len).ok_or(HandshakeError::Malformed)?;
        let mut bytes = [0; FIELD_MAX];
        let key = bytes.get_mut(..K::KEY_LEN).ok_or(HandshakeError::BufferTooSmall)?;
        self.symmetric.open(field, key)?;
        self.kem.take_key(key)?;
        Ok(rest)
    }

    /// `ekem1`: what is encapsulated to the initiator's key, and the secret in it.
    pub(super) fn put_ciphertext<'a>(&mut self, out: &'a mut [u8]) -> Result<&'a mut [u8], HandshakeError> {
        if K::CIPHERTEXT_LEN == 0 {
            return Ok(out);
        }
        let len = K::CIPHERTEXT_LEN + self.symmetric.tag_len();
        let (field, rest) = out.split_at_mut_checked(len).ok_or(HandshakeError::BufferTooSmall)?;
        let secret = self.kem.encapsulate(&mut field[..K::CIPHERTEXT_LEN])?;
        self.symmetric.seal(field);
        self.symmetric.mix_key(&secret);
        Ok(rest)
    }

    pub(super) fn take_ciphertext<'a>(&mut self, message: &'a [u8]) -> Result<&'a [u8], HandshakeError> {
        if K::CIPHERTEXT_LEN == 0 {
            return Ok(message);
        }
        let len = K::CIPHERTEXT_LEN + self.symmetric.tag_len();
        let (field, rest) = message.split_at_checked(len).ok_or(HandshakeError::Malformed)?;
        let mut bytes = [0; FIELD_MAX];
        let ciphertext = bytes.get_mut(..K::CIPHERTEXT_LEN).ok_or(HandshakeError::BufferTooSmall)?;
        self.symmetric.open(field, ciphertext)?;
        let secret = self.kem.decapsulate(ciphertext)?;
        self.symmetric.mix_key(&secret);
        Ok(rest)
    }
}
