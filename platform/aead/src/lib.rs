//! Seals RIFT's packets with the fastest engine this machine has.
//!
//! The core's own [`rift::ChaChaPoly`] is portable Rust; ring's ChaCha20-Poly1305 is assembly that takes vectors of 256
//! bits, and costs a third. ring was taken because it works on the stack without allocating, in place and with the tag
//! apart; aws-lc-rs measures the same and needs a C toolchain with CMake to build. No library makes use of wider vectors
//! than that for this cipher, so there is an engine of our own for full packets on processors with AVX-512 and IFMA.
//! All make the same bytes, which the tests hold them to.
//!
//! Invariant: stateless, as [`rift::Aead`] asks. The key is set up for each packet, which for this cipher is a copy of
//! 32 bytes.

#![cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "vector instructions behind detection"))]

#[cfg(target_arch = "x86_64")]
mod wide;

use rift::{Aead, Handshake, HandshakeError, Pattern, PublicKey, Secrets};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey};

/// ChaCha20-Poly1305 (RFC 8439) by whatever is fastest here, for each packet by its length.
#[derive(Clone, Copy, Debug, Default)]
pub struct NativeChaChaPoly;

impl Aead for NativeChaChaPoly {
    fn seal(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], text: &mut [u8]) -> [u8; 16] {
        #[cfg(target_arch = "x86_64")]
        if wide::fits(aad, text) {
            // SAFETY: the processor was just found to have the instructions.
            return unsafe { wide::seal(key, nonce, aad, text) };
        }
        RingChaChaPoly::seal(key, nonce, aad, text)
    }

    fn open(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], text: &mut [u8], tag: &[u8; 16]) -> bool {
        #[cfg(target_arch = "x86_64")]
        if wide::fits(aad, text) {
            // SAFETY: the processor was just found to have the instructions.
            return unsafe { wide::open(key, nonce, aad, text, tag) };
        }
        RingChaChaPoly::open(key, nonce, aad, text, tag)
    }
}

/// ChaCha20-Poly1305 (RFC 8439) by ring.
#[derive(Clone, Copy, Debug, Default)]
pub struct RingChaChaPoly;

impl Aead for RingChaChaPoly {
    fn seal(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], text: &mut [u8]) -> [u8; 16] {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let tag = keyed(key).seal_in_place_separate_tag(nonce, Aad::from(aad), text);
        let tag = tag.expect("only texts above 256 GiB are refused");
        tag.as_ref().try_into().expect("tags of this cipher are 16 bytes long")
    }

    fn open(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], text: &mut [u8], tag: &[u8; 16]) -> bool {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        keyed(key).open_in_place_separate_tag(nonce, Aad::from(aad), Tag::from(*tag), text, 0..).is_ok()
    }
}

/// Any handshake of the suite, with packets sealed by the fastest engine afterwards.
#[derive(Clone, Debug)]
pub struct Native<H>(pub H);

impl<H: Handshake> Handshake for Native<H> {
    type Aead = NativeChaChaPoly;

    fn pattern(&self) -> Pattern {
        self.0.pattern()
    }

    fn write_message(&mut self, payload: &[u8], out: &mut [u8]) -> Result<usize, HandshakeError> {
        self.0.write_message(payload, out)
    }

    fn read_message(&mut self, message: &[u8], payload: &mut [u8]) -> Result<usize, HandshakeError> {
        self.0.read_message(message, payload)
    }

    fn expect_peer(&mut self, peer: PublicKey) {
        self.0.expect_peer(peer);
    }

    fn peer(&self) -> Option<PublicKey> {
        self.0.peer()
    }

    fn finish(&mut self) -> Option<Secrets> {
        self.0.finish()
    }

    fn reopen(&mut self) -> bool {
        self.0.reopen()
    }
}

fn keyed(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).expect("keys of this cipher are 32 bytes long"))
}
