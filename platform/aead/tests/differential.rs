//! The engines beside each other: the same bytes, the same verdicts.

use proptest::collection::vec;
use proptest::prelude::*;
use rift::{Aead, ChaChaPoly};
use rift_aead::{NativeChaChaPoly, RingChaChaPoly};

fn sealed<A: Aead>(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], text: &[u8]) -> (Vec<u8>, [u8; 16]) {
    let mut text = text.to_vec();
    let tag = A::seal(key, nonce, aad, &mut text);
    (text, tag)
}

fn opened<A: Aead>(
    key: &[u8; 32],
    nonce: &[u8; 12],
    aad: &[u8],
    (text, tag): &(Vec<u8>, [u8; 16]),
) -> Option<Vec<u8>> {
    let mut text = text.clone();
    A::open(key, nonce, aad, &mut text, tag).then_some(text)
}

/// Bytes that make sums carry: mostly ones, or any.
fn bytes(len: impl Into<proptest::collection::SizeRange>) -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![3 => Just(0xff), 1 => Just(0), 4 => any::<u8>()], len)
}

proptest! {
    #[test]
    fn all_engines_seal_alike_and_open_what_others_sealed(
        key: [u8; 32],
        nonce: [u8; 12],
        aad in bytes(0..40),
        text in bytes(0..9100),
    ) {
        let own = sealed::<ChaChaPoly>(&key, &nonce, &aad, &text);
        prop_assert_eq!(&own, &sealed::<RingChaChaPoly>(&key, &nonce, &aad, &text));
        prop_assert_eq!(&own, &sealed::<NativeChaChaPoly>(&key, &nonce, &aad, &text));
        for opened in [opened::<ChaChaPoly>, opened::<RingChaChaPoly>, opened::<NativeChaChaPoly>] {
            prop_assert_eq!(opened(&key, &nonce, &aad, &own), Some(text.clone()));
        }
    }

    #[test]
    fn one_flipped_bit_anywhere_is_refused(
        key: [u8; 32],
        nonce: [u8; 12],
        aad: [u8; 8],
        text in bytes(0..1500),
        bit: usize,
    ) {
        let (text, tag) = sealed::<NativeChaChaPoly>(&key, &nonce, &aad, &text);
        let mut all = [&aad[..], &text, &tag].concat();
        let bit = bit % (all.len() * 8);
        all[bit / 8] ^= 1 << (bit % 8);
        let (aad, rest) = all.split_at(8);
        let (text, tag) = rest.split_last_chunk().expect("the tag");
        let damaged = (text.to_vec(), *tag);
        prop_assert_eq!(opened::<RingChaChaPoly>(&key, &nonce, aad, &damaged), None);
        prop_assert_eq!(opened::<NativeChaChaPoly>(&key, &nonce, aad, &damaged), None);
    }
}

/// Every length around the bounds of blocks, groups and passes.
#[test]
fn every_length_of_a_datagram_is_sealed_alike() {
    let (key, nonce) = ([0x42; 32], [7; 12]);
    let text: Vec<u8> = (0..2800_u32).map(|at| ((at * 31) >> 3) as u8).collect();
    for aad in [&[][..], &[0x5a; 9], &[0xff; 16]] {
        for len in 0..text.len() {
            let own = sealed::<ChaChaPoly>(&key, &nonce, aad, &text[..len]);
            assert_eq!(own, sealed::<NativeChaChaPoly>(&key, &nonce, aad, &text[..len]), "{len} bytes");
            assert_eq!(opened::<NativeChaChaPoly>(&key, &nonce, aad, &own).as_deref(), Some(&text[..len]));
        }
    }
}
