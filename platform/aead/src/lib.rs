//! Seals RIFT's packets with `ring`: the engine of machines with an operating system.
//!
//! The core's own [`rift::ChaChaPoly`] is portable Rust; ring's ChaCha20-Poly1305 is assembly that takes the widest
//! vectors the processor has, and costs a third. Both make the same bytes, which the tests hold them to. ring was taken
//! because it works on the stack without allocating, in place and with the tag apart; aws-lc-rs measures the same and
//! needs a C toolchain with CMake to build.
//!
//! Invariant: stateless, as [`rift::Aead`] asks. The key is set up for each packet, which for this cipher is a copy of
//! 32 bytes.

use rift::{Aead, Handshake, HandshakeError, Pattern, PublicKey, Secrets};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey};

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

/// Any handshake of the suite, with packets sealed by ring afterwards.
#[derive(Clone, Debug)]
pub struct WithRing<H>(pub H);

impl<H: Handshake> Handshake for WithRing<H> {
    type Aead = RingChaChaPoly;

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
}

fn keyed(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).expect("keys of this cipher are 32 bytes long"))
}
