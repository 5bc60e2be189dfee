//! Noise's `SymmetricState` over ChaChaPoly and BLAKE2s (Noise revision 34, §5.1, §5.2; SPEC §4).
//!
//! It knows of no pattern and no keys of peers: only the chaining key, the transcript hash and the key of the
//! moment. Invariant: one (key, nonce) pair seals or opens once in the life of a state. All of it is secret and
//! zeroized when dropped.

use blake2::{Blake2s256, Digest};
use hmac::{Mac, SimpleHmac};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{Aead, ChaChaPoly, HandshakeError};

/// Bytes of a tag.
pub(super) const TAG_LEN: usize = 16;

/// `SymmetricState`, with the `CipherState` inside it.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(super) struct Symmetric {
    /// `h`: the hash of everything both sides have seen.
    transcript: [u8; 32],
    /// `ck`.
    chaining: [u8; 32],
    /// `k`; `None` before the first `mix_key`.
    key: Option<[u8; 32]>,
    /// `n`: uses of `key` so far.
    nonce: u64,
}

impl Symmetric {
    /// `InitializeSymmetric`, then `MixHash(prologue)`.
    pub(super) fn new(protocol_name: &[u8], prologue: &[u8]) -> Self {
        let mut transcript = [0; 32];
        match transcript.get_mut(..protocol_name.len()) {
            Some(start) => start.copy_from_slice(protocol_name),
            None => transcript = Blake2s256::digest(protocol_name).into(),
        }
        let mut state = Self { transcript, chaining: transcript, key: None, nonce: 0 };
        state.mix_hash(prologue);
        state
    }

    /// The state of a handshake that has mixed no key in yet, whose transcript hash is known.
    pub(super) fn resume(protocol_name: &[u8], transcript: [u8; 32]) -> Self {
        Self { transcript, ..Self::new(protocol_name, b"") }
    }

    /// Bytes that [`Self::seal`] adds now.
    pub(super) const fn tag_len(&self) -> usize {
        if self.key.is_some() { TAG_LEN } else { 0 }
    }

    /// `MixHash`.
    pub(super) fn mix_hash(&mut self, data: &[u8]) {
        self.transcript =
            Blake2s256::new().chain_update(self.transcript).chain_update(data).finalize().into();
    }

    /// `MixKey`.
    pub(super) fn mix_key(&mut self, material: &[u8; 32]) {
        let (chaining, key) = hkdf(&self.chaining, material);
        self.chaining = *chaining;
        self.key = Some(*key);
        self.nonce = 0;
    }

    /// `MixKeyAndHash`.
    pub(super) fn mix_key_and_hash(&mut self, material: &[u8; 32]) {
        let extracted = hmac_blake2s(&self.chaining, material, &[]);
        let chaining = hmac_blake2s(&extracted, &[1], &[]);
        let hash = hmac_blake2s(&extracted, &*chaining, &[2]);
        let key = hmac_blake2s(&extracted, &*hash, &[3]);
        self.chaining = *chaining;
        self.mix_hash(&*hash);
        self.key = Some(*key);
        self.nonce = 0;
    }

    /// `EncryptAndHash` in place: `field` is the text and, once there is a key, [`TAG_LEN`] bytes for the tag.
    pub(super) fn seal(&mut self, field: &mut [u8]) {
        if let Some(key) = &self.key {
            if let Some((text, tag)) = field.split_last_chunk_mut::<TAG_LEN>() {
                *tag = ChaChaPoly::seal(key, &nonce(self.nonce), &self.transcript, text);
            }
            self.nonce += 1;
        }
        self.mix_hash(field);
    }

    /// `DecryptAndHash`: opens `field` into `text`, which is shorter by the tag, if there is one.
    pub(super) fn open(&mut self, field: &[u8], text: &mut [u8]) -> Result<(), HandshakeError> {
        let Some(key) = &self.key else {
            if text.len() != field.len() {
                return Err(HandshakeError::Malformed);
            }
            text.copy_from_slice(field);
            self.mix_hash(field);
            return Ok(());
        };
        let (sealed, tag) = field.split_last_chunk::<TAG_LEN>().ok_or(HandshakeError::Malformed)?;
        if text.len() != sealed.len() {
            return Err(HandshakeError::Malformed);
        }
        text.copy_from_slice(sealed);
        if !ChaChaPoly::open(key, &nonce(self.nonce), &self.transcript, text, tag) {
            return Err(HandshakeError::Authentication);
        }
        self.nonce += 1;
        self.mix_hash(field);
        Ok(())
    }

    /// `Split`: the key of the initiator's messages, then that of the responder's.
    pub(super) fn split(&self) -> (Zeroizing<[u8; 32]>, Zeroizing<[u8; 32]>) {
        hkdf(&self.chaining, &[])
    }

    /// The handshake hash.
    pub(super) const fn transcript(&self) -> &[u8; 32] {
        &self.transcript
    }
}

/// The nonce of ChaChaPoly in a handshake: 32 bits of zeros, then the counter (Noise §12.3).
fn nonce(counter: u64) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&counter.to_le_bytes());
    bytes
}

/// `HKDF` with two outputs (Noise §4.3), by HMAC-BLAKE2s.
fn hkdf(chaining: &[u8; 32], material: &[u8]) -> (Zeroizing<[u8; 32]>, Zeroizing<[u8; 32]>) {
    let extracted = hmac_blake2s(chaining, material, &[]);
    let first = hmac_blake2s(&extracted, &[1], &[]);
    let second = hmac_blake2s(&extracted, &*first, &[2]);
    (first, second)
}

fn hmac_blake2s(key: &[u8; 32], data: &[u8], more: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut mac =
        <SimpleHmac<Blake2s256> as Mac>::new_from_slice(key).expect("HMAC takes keys of every length");
    mac.update(data);
    mac.update(more);
    Zeroizing::new(mac.finalize().into_bytes().into())
}
