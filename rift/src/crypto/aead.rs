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

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [
        0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f, 0x90,
        0x91, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f,
    ];
    const NONCE: [u8; 12] = [0x07, 0, 0, 0, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47];
    const AAD: [u8; 12] = [0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7];
    const TEXT: [u8; 114] =
        *b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for \
        the future, sunscreen would be it.";
    const SEALED_START: [u8; 16] =
        [0xd3, 0x1a, 0x8d, 0x34, 0x64, 0x8e, 0x60, 0xdb, 0x7b, 0x86, 0xaf, 0xbc, 0x53, 0xef, 0x7e, 0xc2];
    const TAG: [u8; 16] =
        [0x1a, 0xe1, 0x0b, 0x59, 0x4f, 0x09, 0xe2, 0x6a, 0x7e, 0x90, 0x2e, 0xcb, 0xd0, 0x60, 0x06, 0x91];

    /// RFC 8439 §2.8.2.
    #[test]
    fn example_of_rfc_8439_holds_both_ways() {
        let mut text = TEXT;
        assert_eq!(ChaChaPoly::seal(&KEY, &NONCE, &AAD, &mut text), TAG);
        assert_eq!(text[..16], SEALED_START);
        assert!(ChaChaPoly::open(&KEY, &NONCE, &AAD, &mut text, &TAG));
        assert_eq!(text, TEXT);
    }

    #[test]
    fn flipped_bit_of_text_tag_or_associated_data_is_refused() {
        let mut sealed = TEXT;
        let tag = ChaChaPoly::seal(&KEY, &NONCE, &AAD, &mut sealed);
        for bit in 0..sealed.len() * 8 {
            let mut text = sealed;
            text[bit / 8] ^= 1 << (bit % 8);
            assert!(!ChaChaPoly::open(&KEY, &NONCE, &AAD, &mut text, &tag), "bit {bit} of the text");
        }
        for bit in 0..tag.len() * 8 {
            let mut other = tag;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!ChaChaPoly::open(&KEY, &NONCE, &AAD, &mut { sealed }, &other), "bit {bit} of the tag");
        }
        for bit in 0..AAD.len() * 8 {
            let mut other = AAD;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!ChaChaPoly::open(&KEY, &NONCE, &other, &mut { sealed }, &tag), "bit {bit} of the aad");
        }
        for len in 0..sealed.len() {
            assert!(!ChaChaPoly::open(&KEY, &NONCE, &AAD, &mut { sealed }[..len], &tag), "{len} bytes");
        }
    }
}
