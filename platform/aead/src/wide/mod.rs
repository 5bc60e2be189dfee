//! ChaCha20-Poly1305 with AVX-512: one packet's whole key stream in a single pass, its sum eight blocks at a time.
//!
//! A full packet is twenty blocks of key stream, the sum's key among them, which is what [`chacha`] makes at once;
//! [`poly`] needs the 52-bit multipliers of IFMA. Nothing here branches or looks anything up by a secret.
//!
//! Invariant: the bytes are those of RFC 8439 for every text [`fits`] takes; tests hold them to ring's and the core's.

mod chacha;
mod poly;

use self::chacha::{BLOCK, BLOCKS, Stream};

/// Texts below this are sealed as fast by ring.
const TEXT_MIN: usize = 192;
/// Far from where the block counter ends, and more than a datagram holds.
const TEXT_MAX: usize = 1 << 16;
/// What is authenticated beside the text is one block of the sum.
const AAD_MAX: usize = poly::BLOCK;

/// Whether a packet can be sealed here: the processor has the instructions, and the lengths are those of a packet worth it.
pub(crate) fn fits(aad: &[u8], text: &[u8]) -> bool {
    aad.len() <= AAD_MAX
        && (TEXT_MIN..=TEXT_MAX).contains(&text.len())
        && std::is_x86_feature_detected!("avx512ifma")
        && std::is_x86_feature_detected!("avx512bw")
}

/// Seals `text` in place; the lengths are those [`fits`] takes.
#[target_feature(enable = "avx512f,avx512bw,avx512ifma")]
pub(crate) fn seal(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], text: &mut [u8]) -> [u8; 16] {
    let stream = chacha::stream(key, nonce, 0);
    apply(key, nonce, &stream, text);
    poly::sum(sum_key(&stream), aad, text)
}

/// Opens `text` in place if `tag` is right, and else leaves it; the lengths are those [`fits`] takes.
#[target_feature(enable = "avx512f,avx512bw,avx512ifma")]
pub(crate) fn open(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], text: &mut [u8], tag: &[u8; 16]) -> bool {
    let stream = chacha::stream(key, nonce, 0);
    let sum = poly::sum(sum_key(&stream), aad, text);
    // One comparison of all bits, whichever differ.
    let is_right = core::hint::black_box(u128::from_ne_bytes(sum) ^ u128::from_ne_bytes(*tag)) == 0;
    if is_right {
        apply(key, nonce, &stream, text);
    }
    is_right
}

/// The key of the sum is the beginning of block 0 (RFC 8439 §2.6).
fn sum_key(stream: &Stream) -> &[u8; 32] {
    stream[0].first_chunk().expect("a block is longer")
}

/// Adds the key stream from block 1 on, of which `stream` is the beginning.
#[target_feature(enable = "avx512f,avx512bw")]
fn apply(key: &[u8; 32], nonce: &[u8; 12], stream: &Stream, text: &mut [u8]) {
    let (first, rest) = text.split_at_mut(text.len().min((BLOCKS - 1) * BLOCK));
    chacha::add(first, &stream[1..]);
    for (part, counter) in rest.chunks_mut(BLOCKS * BLOCK).zip((BLOCKS as u32..).step_by(BLOCKS)) {
        chacha::add(part, &chacha::stream(key, nonce, counter));
    }
}
