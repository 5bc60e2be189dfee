//! ring's engine beside the core's own: the same bytes, the same verdicts.

use proptest::collection::vec;
use proptest::prelude::*;
use rift::{Aead, ChaChaPoly};
use rift_aead::RingChaChaPoly;

proptest! {
    #[test]
    fn both_engines_seal_alike_and_open_what_the_other_sealed(
        key: [u8; 32],
        nonce: [u8; 12],
        aad in vec(any::<u8>(), 0..40),
        text in vec(any::<u8>(), 0..2100),
    ) {
        let (mut own, mut rings) = (text.clone(), text.clone());
        let tag = ChaChaPoly::seal(&key, &nonce, &aad, &mut own);
        prop_assert_eq!(tag, RingChaChaPoly::seal(&key, &nonce, &aad, &mut rings));
        prop_assert_eq!(&own, &rings);
        prop_assert!(ChaChaPoly::open(&key, &nonce, &aad, &mut rings, &tag));
        prop_assert!(RingChaChaPoly::open(&key, &nonce, &aad, &mut own, &tag));
        prop_assert_eq!(&own, &text);
        prop_assert_eq!(&rings, &text);
    }

    #[test]
    fn one_flipped_bit_anywhere_is_refused(
        key: [u8; 32],
        nonce: [u8; 12],
        aad: [u8; 8],
        text in vec(any::<u8>(), 0..300),
        bit: usize,
    ) {
        let mut sealed = text;
        let tag = RingChaChaPoly::seal(&key, &nonce, &aad, &mut sealed);
        let mut all = [&aad[..], &sealed, &tag].concat();
        let bit = bit % (all.len() * 8);
        all[bit / 8] ^= 1 << (bit % 8);
        let (aad, rest) = all.split_at_mut(8);
        let (text, tag) = rest.split_at_mut(rest.len() - 16);
        let tag: &[u8; 16] = (&*tag).try_into().expect("16 bytes");
        prop_assert!(!RingChaChaPoly::open(&key, &nonce, aad, text, tag));
    }
}
