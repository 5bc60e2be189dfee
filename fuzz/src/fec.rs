//! Layouts and losses of every kind against the erasure code: what can be restored is restored right, what cannot is
//! refused and left alone (SPEC §11.4).

use rift::fec::{
    BLOCK_DATA_MAX, BLOCK_PARITY_MAX, Layout, MulAdd, Unrecoverable, field, parity_shard, parity_shard_with,
    recover, recover_with,
};

use crate::bytes::{Bytes, Noise};

/// Bytes of data at most: enough for several blocks of small shards.
const DATA_MAX: usize = 6000;

/// The code's arithmetic, one byte at a time.
struct Plain;

impl MulAdd for Plain {
    fn mul_add(&self, out: &mut [u8], source: &[u8], factor: u8) {
        for (out, source) in out.iter_mut().zip(source) {
            *out ^= field::mul(*source, factor);
        }
    }
}

/// Cuts, joins, loses and restores; see the module.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let data_len = usize::from(bytes.u16()) % (DATA_MAX + 1);
    let shard_len = 1 + if bytes.flag() { bytes.below(40) } else { usize::from(bytes.u16()) % 1200 };
    let parity = usize::from(bytes.u8());
    let content = Noise::new(bytes.u8().into()).bytes(data_len);
    let Some(layout) = Layout::new(data_len, shard_len, parity) else {
        assert_eq!(data_len, 0, "only nothing cannot be cut");
        return;
    };
    must_be_a_partition(&layout, parity);
    let mut buffer = vec![bytes.u8(); layout.buffer_len()];
    buffer[..data_len].copy_from_slice(&content);
    for shard in 0..layout.parity_shards() {
        let range = layout.buffer_range(layout.data_shards() + shard);
        parity_shard(&layout, &content, shard, &mut buffer[range.clone()]);
        let mut plain = vec![0xee; layout.shard_len()];
        parity_shard_with(&Plain, &layout, &content, shard, &mut plain);
        assert_eq!(plain, buffer[range], "a parity shard");
    }
    let lost = draw_losses(&layout, &mut bytes);
    let received = |shard: usize| !lost.get(shard).copied().unwrap_or(false);
    let garbage = bytes.u8();
    for shard in (0..layout.shards()).filter(|&shard| !received(shard)) {
        let range = layout.buffer_range(shard);
        buffer[range].fill(garbage);
    }
    let before = buffer.clone();
    let result = recover(&layout, &mut buffer, &received);
    let possible = (0..layout.blocks()).all(|block| {
        let here = |shard: &usize| layout.block_of(*shard) == block && received(*shard);
        (0..layout.shards()).filter(here).count() >= layout.needed(block)
    });
    assert_eq!(layout.is_recoverable(&received), possible, "whether it can be restored");
    if possible {
        assert_eq!(result, Ok(()), "it can be restored");
        assert_eq!(buffer[..data_len], content, "what is restored");
        let mut plain = before;
        assert_eq!(recover_with(&Plain, &layout, &mut plain, &received), Ok(()), "by plain arithmetic too");
        assert_eq!(plain[..data_len], content, "what is restored by plain arithmetic");
    } else {
        assert_eq!(result, Err(Unrecoverable), "it cannot be restored");
        assert!(buffer == before, "what cannot be restored is left alone");
    }
    let short = layout.data_shards() * layout.shard_len() - 1;
    assert_eq!(recover(&layout, &mut buffer[..short], &|_| true), Err(Unrecoverable), "a short buffer");
}

/// Which shards are lost: none, by bits, or in a run.
fn draw_losses(layout: &Layout, bytes: &mut Bytes<'_>) -> Vec<bool> {
    let mut lost = vec![false; layout.shards()];
    while !bytes.is_empty() {
        let at = usize::from(bytes.u16()) % lost.len();
        let run = bytes.u8();
        let (step, len) = (1 + usize::from(run >> 6), usize::from(run & 63));
        for lost in lost.iter_mut().skip(at).step_by(step).take(len) {
            *lost = !*lost;
        }
    }
    lost
}

fn must_be_a_partition(layout: &Layout, parity: usize) {
    let (k, m, blocks) = (layout.data_shards(), layout.parity_shards(), layout.blocks());
    assert!(m <= parity && m <= blocks * BLOCK_PARITY_MAX, "no more parity than asked for");
    let mut at = 0;
    for shard in 0..k {
        let range = layout.data_range(shard);
        assert_eq!(range.start, at, "shards follow each other");
        at = range.end;
        assert!(!range.is_empty() && range.len() <= layout.shard_len(), "a shard's length");
    }
    assert_eq!(at, layout.data_len(), "all data is in shards");
    assert_eq!((0..blocks).map(|block| layout.needed(block)).sum::<usize>(), k, "each shard has a block");
    assert_eq!((0..blocks).map(|block| layout.parity_of(block)).sum::<usize>(), m, "each shard has a block");
    assert!((0..blocks).all(|block| layout.needed(block) <= BLOCK_DATA_MAX), "a block is bounded");
    assert!(layout.buffer_range(layout.shards()).is_empty(), "there is no such shard");
}
