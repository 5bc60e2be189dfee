//! Every kernel of this processor beside plain arithmetic, and the erasure code over each.

use proptest::collection::vec;
use proptest::prelude::*;
use rift::fec::{Layout, MulAdd, Term, field, parity_shard, parity_shard_with, recover_with};
use rift_simd::{Kernel, Simd};

fn available() -> impl Iterator<Item = Kernel> {
    Kernel::ALL.iter().copied().filter(|kernel| kernel.is_available())
}

#[test]
fn products_are_right_for_every_coefficient_and_byte() {
    let bytes: Vec<u8> = (0..=255).collect();
    for kernel in available() {
        for coefficient in 0..=255 {
            let mut out = vec![0; 256];
            kernel.mul_add(&mut out, &bytes, coefficient);
            let expected: Vec<u8> = bytes.iter().map(|&byte| field::mul(coefficient, byte)).collect();
            assert_eq!(out, expected, "{kernel:?}, {coefficient}");
        }
    }
}

#[test]
fn every_length_and_place_is_right_and_what_lies_around_is_left_alone() {
    let source: Vec<u8> = (0..1500_usize).map(|at| (at * 167 + at / 251) as u8).collect();
    for kernel in available() {
        for len in 0..=1400 {
            let (from, at) = (len % 67, len % 29);
            let terms = [1, 0, 0x8e, 255, 2]
                .map(|coefficient| Term { source: &source[from..from + len], coefficient });
            let mut sum = vec![0x5a; at + len + 64];
            let mut added = sum.clone();
            // With an odd number of terms and an even one.
            kernel.mul_sum(&mut sum[at..at + len], &terms);
            kernel.mul_add_all(&mut added[at..at + len], &terms[1..]);
            let around =
                |bytes: &[u8]| bytes[..at].iter().chain(&bytes[at + len..]).all(|&byte| byte == 0x5a);
            assert!(around(&sum) && around(&added), "{kernel:?}, {len} bytes");
            for (index, &byte) in source[from..from + len].iter().enumerate() {
                let product = |coefficient| field::mul(coefficient, byte);
                let others = product(0x8e) ^ product(255) ^ product(2);
                assert_eq!(sum[at + index], byte ^ others, "{kernel:?}, {len} bytes, {index}");
                assert_eq!(added[at + index], 0x5a ^ others, "{kernel:?}, {len} bytes, {index}");
            }
        }
    }
}

#[test]
fn a_kernel_that_is_missing_still_adds_right() {
    for kernel in Kernel::ALL {
        let mut out = [7; 3];
        kernel.mul_add(&mut out, &[1, 2, 3], 1);
        assert_eq!(out, [6, 5, 4], "{kernel:?}");
    }
    println!("this processor has {:?}", available().collect::<Vec<_>>());
}

proptest! {
    #[test]
    fn sums_are_right_at_every_length(
        destination in vec(any::<u8>(), 0..1400),
        sources in vec((vec(any::<u8>(), 0..1400), any::<u8>()), 0..6),
    ) {
        let mut expected = destination.clone();
        for (source, coefficient) in &sources {
            for (to, from) in expected.iter_mut().zip(source) {
                *to ^= field::mul(*coefficient, *from);
            }
        }
        // Sources longer than the destination are cut, shorter ones leave its end alone.
        let terms: Vec<Term<'_>> =
            sources.iter().map(|(source, coefficient)| Term { source, coefficient: *coefficient }).collect();
        for kernel in available() {
            let mut out = destination.clone();
            kernel.mul_add_all(&mut out, &terms);
            prop_assert_eq!(&out, &expected, "{:?}", kernel);
            // The sum alone, whatever was there.
            let mut sum = destination.clone();
            kernel.mul_sum(&mut sum, &terms);
            for (sum, before) in sum.iter_mut().zip(&destination) {
                *sum ^= before;
            }
            prop_assert_eq!(&sum, &expected, "{:?}, the sum alone", kernel);
        }
    }

    #[test]
    fn what_one_kernel_joins_another_restores(
        data in vec(any::<u8>(), 1..20_000),
        shard_len in 1usize..1300,
        parity in 1usize..12,
        first in any::<proptest::sample::Index>(),
    ) {
        let layout = Layout::new(data.len(), shard_len, parity).expect("there is something to cut");
        let mut buffer = vec![0; layout.buffer_len()];
        buffer[..data.len()].copy_from_slice(&data);
        for shard in 0..layout.parity_shards() {
            let range = layout.buffer_range(layout.data_shards() + shard);
            parity_shard_with(&Simd, &layout, &data, shard, &mut buffer[range.clone()]);
            let mut plain = vec![0; shard_len];
            parity_shard(&layout, &data, shard, &mut plain);
            prop_assert_eq!(&plain[..], &buffer[range]);
        }
        let lost = first.index(layout.data_shards());
        let received = |shard: usize| !(lost..lost + layout.parity_shards()).contains(&shard);
        let mut restored = buffer.clone();
        for shard in (0..layout.data_shards()).filter(|&shard| !received(shard)) {
            restored[layout.buffer_range(shard)].fill(0xa5);
        }
        for kernel in available() {
            let mut restored = restored.clone();
            let result = recover_with(&kernel, &layout, &mut restored, &received);
            prop_assert_eq!(result.is_ok(), layout.is_recoverable(&received));
            if result.is_ok() {
                prop_assert_eq!(&restored[..data.len()], &data[..], "{:?}", kernel);
            }
        }
    }
}
