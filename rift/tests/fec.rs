//! Erasure coding: whatever is lost, as many shards as were missing restore it.

use rift::fec::{BLOCK_DATA_MAX, BLOCK_PARITY_MAX, Layout, MulAdd, Portable, Unrecoverable, field};
use rift::fec::{parity_shard, recover};

/// A small deterministic generator (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next().to_le_bytes()[5]).collect()
    }
}

/// The buffer a receiver holds when the shards `lost` says never came: garbage in their places.
fn transmit(layout: &Layout, data: &[u8], lost: impl Fn(usize) -> bool) -> Vec<u8> {
    let mut buffer = vec![0xa5; layout.buffer_len()];
    let mut parity = vec![0; layout.shard_len()];
    for shard in (0..layout.shards()).filter(|shard| !lost(*shard)) {
        let range = layout.buffer_range(shard);
        if shard < layout.data_shards() {
            buffer[range.clone()].copy_from_slice(&data[range]);
        } else {
            parity_shard(layout, data, shard - layout.data_shards(), &mut parity);
            buffer[range].copy_from_slice(&parity);
        }
    }
    buffer
}

fn assert_restored(layout: &Layout, data: &[u8], lost: impl Fn(usize) -> bool + Copy, what: &str) {
    let received = |shard: usize| !lost(shard);
    let enough = (0..layout.blocks()).all(|block| {
        let there = (0..layout.shards()).filter(|s| layout.block_of(*s) == block && received(*s)).count();
        there >= layout.needed(block)
    });
    assert_eq!(layout.is_recoverable(&received), enough, "{what}");
    let mut buffer = transmit(layout, data, lost);
    let result = recover(layout, &mut buffer, &received);
    assert_eq!(result, if enough { Ok(()) } else { Err(Unrecoverable) }, "{what}");
    if enough {
        assert!(buffer[..data.len()] == *data, "{what}: restored bytes differ");
    }
}

#[test]
fn every_loss_pattern_of_small_pictures_is_restored_or_refused() {
    let mut random = Random(0x5eed_0001);
    for k in 1..=6 {
        for m in 0..=5 {
            let data = random.bytes(k * 7 - 3);
            let layout = Layout::new(data.len(), 7, m).unwrap();
            assert_eq!((layout.data_shards(), layout.parity_shards()), (k, m));
            for pattern in 0_u32..1 << (k + m) {
                assert_restored(
                    &layout,
                    &data,
                    |shard| pattern >> shard & 1 == 1,
                    &format!("{k}+{m} {pattern:b}"),
                );
            }
        }
    }
}

#[test]
fn random_patterns_of_large_pictures_are_restored_or_refused() {
    let seed = 0x5eed_0002;
    let mut random = Random(seed);
    for round in 0..400 {
        let k = 1 + random.below(300);
        let m = random.below(k.min(80) + 1);
        let shard_len = [1, 2, 31, 64, 100][random.below(5)];
        let len = (k - 1) * shard_len + 1 + random.below(shard_len);
        let data = random.bytes(len);
        let layout = Layout::new(data.len(), shard_len, m).unwrap();
        let losses = random.below(layout.parity_shards() + 3);
        let mut lost = vec![false; layout.shards()];
        for _ in 0..losses {
            let shard = random.below(layout.shards());
            lost[shard] = true;
        }
        assert_restored(
            &layout,
            &data,
            |shard| lost[shard],
            &format!("seed {seed:#x} round {round}: {layout:?}"),
        );
    }
}

#[test]
fn as_many_losses_as_parity_are_restored_at_the_largest_block() {
    let mut random = Random(0x5eed_0003);
    let data = random.bytes(BLOCK_DATA_MAX * 3);
    let layout = Layout::new(data.len(), 3, BLOCK_PARITY_MAX).unwrap();
    assert_eq!((layout.blocks(), layout.parity_shards()), (1, 32));
    for first in (0..=BLOCK_DATA_MAX - 32).step_by(8) {
        let lost = |shard: usize| (first..first + 32).contains(&shard);
        assert_restored(&layout, &data, lost, &format!("burst at {first}"));
    }
}

#[test]
fn every_square_submatrix_of_two_columns_and_rows_restores() {
    // Pairs of losses against pairs of parity shards: a coefficient out of place would show here.
    let mut random = Random(0x5eed_0004);
    let data = random.bytes(BLOCK_DATA_MAX);
    let layout = Layout::new(data.len(), 1, BLOCK_PARITY_MAX).unwrap();
    for (a, b) in [(0, 1), (0, 127), (63, 64), (126, 127)] {
        for r in 0..BLOCK_PARITY_MAX {
            for q in 0..r {
                let parity = [BLOCK_DATA_MAX + r, BLOCK_DATA_MAX + q];
                let lost = |s: usize| s == a || s == b || (s >= BLOCK_DATA_MAX && !parity.contains(&s));
                assert_restored(&layout, &data, lost, &format!("columns {a} {b} rows {q} {r}"));
            }
        }
    }
}

#[test]
fn without_parity_nothing_is_restored_and_nothing_needed() {
    let data = [1, 2, 3, 4, 5];
    let layout = Layout::new(5, 2, 0).unwrap();
    assert_restored(&layout, &data, |_| false, "all there");
    assert_restored(&layout, &data, |shard| shard == 2, "one lost");
}

#[test]
fn one_byte_pictures_and_one_byte_shards_are_restored() {
    for (len, shard_len) in [(1, 1), (1, 1200), (5, 1)] {
        let data = vec![0xc3; len];
        let layout = Layout::new(len, shard_len, 1).unwrap();
        for shard in 0..=layout.shards() {
            assert_restored(&layout, &data, |lost| lost == shard, &format!("{layout:?} without {shard}"));
        }
    }
}

#[test]
fn the_first_parity_shard_is_plain_xor() {
    let data = [1, 2, 4, 8, 16, 32, 64];
    let layout = Layout::new(data.len(), 2, 1).unwrap();
    let mut parity = [0; 2];
    parity_shard(&layout, &data, 0, &mut parity);
    assert_eq!(parity, [1 ^ 4 ^ 16 ^ 64, 2 ^ 8 ^ 32]);
}

#[test]
fn shards_are_dealt_to_blocks_in_turn_and_parity_is_clamped() {
    let layout = Layout::new(300 * 10, 10, 1000).unwrap();
    assert_eq!((layout.blocks(), layout.parity_shards()), (3, 96));
    assert_eq!([0, 1, 2, 3, 299].map(|s| layout.block_of(s)), [0, 1, 2, 0, 2]);
    assert_eq!([300, 301, 302, 303].map(|s| layout.block_of(s)), [0, 1, 2, 0]);
    let layout = Layout::new(130, 1, 3).unwrap();
    assert_eq!([0, 1, 2].map(|b| (layout.needed(b), layout.parity_of(b))), [(65, 2), (65, 1), (0, 0)]);
    assert_eq!(layout.buffer_len(), 133);
}

#[test]
fn impossible_layouts_are_refused() {
    assert_eq!(Layout::new(0, 10, 1), None);
    assert_eq!(Layout::new(10, 0, 1), None);
    assert_eq!(Layout::new(usize::MAX, 1, usize::MAX), None);
    assert_eq!(Layout::new(usize::MAX, 2, 0), None);
}

#[test]
fn a_short_buffer_or_an_unknown_shard_harms_nothing() {
    let layout = Layout::new(10, 2, 2).unwrap();
    assert_eq!(recover(&layout, &mut [0; 9], &|_| true), Err(Unrecoverable));
    let mut out = [7; 2];
    parity_shard(&layout, &[0xff; 10], 2, &mut out);
    assert_eq!(out, [0, 0]);
    assert_eq!((layout.data_range(5), layout.buffer_range(7)), (10..10, 0..0));
}

#[test]
fn parity_beyond_a_buffer_counts_as_lost() {
    let data: Vec<u8> = (0..40).collect();
    let layout = Layout::new(data.len(), 10, 4).unwrap();
    for (missing, wanted) in [(2, Ok(())), (3, Err(Unrecoverable))] {
        let lost = |shard: usize| shard < missing;
        let mut buffer = transmit(&layout, &data, lost);
        // Room for the data and two and a half of four parity shards.
        buffer.truncate(65);
        assert_eq!(recover(&layout, &mut buffer, &|shard| !lost(shard)), wanted);
        assert_eq!(buffer[..40] == data[..], wanted.is_ok());
    }
}

#[test]
fn the_kernel_agrees_with_the_field_for_every_coefficient_and_length() {
    let mut random = Random(0x5eed_0005);
    for coefficient in 0..=255 {
        let (to, from) = (random.below(200), random.below(200));
        let (before, source) = (random.bytes(to), random.bytes(from));
        let mut after = before.clone();
        Portable.mul_add(&mut after, &source, coefficient);
        for (index, byte) in after.iter().enumerate() {
            let added = source.get(index).map_or(0, |byte| field::mul(*byte, coefficient));
            assert_eq!(*byte, before[index] ^ added, "{coefficient} at {index} of {to} and {from}");
        }
    }
}

#[test]
fn the_field_is_a_field() {
    for a in 0..=255 {
        for b in 1..=255 {
            assert_eq!(field::mul(field::div(a, b), b), a);
            assert_eq!(field::mul(a, b), field::mul(b, a));
            // Russian peasant multiplication, the definition.
            let (mut x, mut y, mut product) = (a, b, 0_u8);
            while y != 0 {
                product ^= if y & 1 == 1 { x } else { 0 };
                x = (x << 1) ^ if x & 0x80 == 0 { 0 } else { 0x1d };
                y >>= 1;
            }
            assert_eq!(field::mul(a, b), product);
        }
    }
}
