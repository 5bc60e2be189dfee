//! The core's own sealing: ChaCha20-Poly1305 (RFC 8439), portable and constant time on every target.

use chacha20poly1305::{AeadInPlace, ChaCha20Poly1305, KeyInit};

use super::Aead;

/// ChaCha20-Poly1305 by the `chacha20poly1305` crate. Texts are at most 256 GiB, which no caller can reach.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChaChaPoly;

impl Aead for ChaChaPoly {
    fn seal(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], text: &mut [u8]) -> [u8; 16] {
        ChaCha20Poly1305::new(key.into())
            .encrypt_in_place_detached(nonce.into(), aad, text)
            .expect("only texts above 256 GiB are refused")
            .into()
    }

    fn open(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], text: &mut [u8], tag: &[u8; 16]) -> bool {
        ChaCha20Poly1305::new(key.into())
            .decrypt_in_place_detached(nonce.into(), aad, text, tag.into())
            .is_ok()
    }
}
