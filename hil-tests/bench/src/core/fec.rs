//! Erasure coding beside `reed-solomon-erasure`, `reed-solomon-simd` and `raptorq`.

use core::hint::black_box;

use reed_solomon_erasure::galois_8::ReedSolomon;
use rift::fec::{self, Layout};
use rift_simd::Kernel;

use super::fec_rivals as rivals;
use super::measure::{self, Contender, Figure};
use super::rows::{Rivalry, row};
use crate::report::Row;

const RIVAL: &str = "reed-solomon-erasure";
/// Bytes of a shard.
const SHARD_LEN: usize = 1200;
const BLOCKS: usize = 41;
const ENCODINGS: usize = 4;
const DECODINGS: usize = 20;

/// Cases `fec_encode` and `fec_decode` with the fastest kernel this processor has, and the same with those that older
/// processors and boards have; a kernel that this processor lacks has no figure.
pub(crate) fn run() -> Vec<Row> {
    let cases = [
        (["fec_encode", "fec_decode"], Kernel::detect()),
        (["fec_encode_avx2", "fec_decode_avx2"], Kernel::Avx2),
        (["fec_encode_ssse3", "fec_decode_ssse3"], Kernel::Ssse3),
        (["fec_encode_portable", "fec_decode_portable"], Kernel::Portable),
    ];
    cases.into_iter().flat_map(|(names, kernel)| rows(names, kernel)).collect()
}

fn rows([encoding, decoding]: [&'static str; 2], kernel: Kernel) -> [Row; 2] {
    // Bytes in a nanosecond are gigabytes in a second.
    let rates = Rivalry::of(&encode(kernel, 20, 10)).map(|nanos| (20 * SHARD_LEN) as f64 / nanos);
    let times = Rivalry::of(&decode(kernel, 20, 4)).map(|nanos| nanos / 1e3);
    let encode_note = format!(
        "{kernel:?}; 20 data shards of 1200 bytes, 10 of parity; bytes of data by time; more is better"
    );
    let decode_note = format!(
        "{kernel:?}; 4 of 20 data shards of 1200 bytes restored from 4 of parity, copied in anew each time"
    );
    [
        row((encoding, "rate", "GB/s"), rates, None, BLOCKS * ENCODINGS, &encode_note),
        row((decoding, "time", "us"), times, None, BLOCKS * DECODINGS, &decode_note),
    ]
}

fn data(shards: usize) -> Vec<u8> {
    (0..shards * SHARD_LEN).map(|index| (index * 31 / 8) as u8).collect()
}

fn encode(kernel: Kernel, k: usize, m: usize) -> Vec<Figure> {
    let source = data(k);
    let source = &source;
    let layout = Layout::new(source.len(), SHARD_LEN, m);
    let rival = ReedSolomon::new(k, m).ok();
    let (mut ours, mut theirs) = (vec![0; SHARD_LEN], vec![vec![0; SHARD_LEN]; m]);
    let mut contenders: [Contender<'_>; 4] = [
        (
            "rift",
            Box::new(move || {
                let layout = layout.as_ref().filter(|_| kernel.is_available())?;
                Some(measure::nanos_each(ENCODINGS, || {
                    for parity in 0..m {
                        fec::parity_shard_with(
                            &kernel,
                            layout,
                            black_box(source),
                            parity,
                            black_box(&mut ours),
                        );
                    }
                }))
            }),
        ),
        (
            RIVAL,
            Box::new(move || {
                let rival = rival.as_ref()?;
                let shards: Vec<&[u8]> = source.chunks(SHARD_LEN).collect();
                let mut is_fine = true;
                let nanos = measure::nanos_each(ENCODINGS, || {
                    is_fine &= rival.encode_sep(black_box(&shards), black_box(&mut theirs)).is_ok();
                });
                is_fine.then_some(nanos)
            }),
        ),
        (rivals::SIMD, Box::new(rivals::simd_encode(source, SHARD_LEN, m, ENCODINGS))),
        (rivals::RAPTORQ, Box::new(rivals::raptorq_encode(source, SHARD_LEN, m, ENCODINGS))),
    ];
    measure::interleave(BLOCKS, &mut contenders)
}

/// Shards that are missing: spread over the block.
const fn is_lost(shard: usize) -> bool {
    matches!(shard, 1 | 7 | 8 | 19)
}

fn decode(kernel: Kernel, k: usize, m: usize) -> Vec<Figure> {
    let source = data(k);
    let ours = decode_ours(kernel, source.clone(), k, m);
    let theirs = decode_theirs(source.clone(), k, m);
    let mut contenders: [Contender<'_>; 4] = [
        ("rift", Box::new(ours)),
        (RIVAL, Box::new(theirs)),
        (rivals::SIMD, Box::new(rivals::simd_decode(&source, SHARD_LEN, m, DECODINGS, is_lost))),
        (rivals::RAPTORQ, Box::new(rivals::raptorq_decode(&source, SHARD_LEN, m, DECODINGS, is_lost))),
    ];
    measure::interleave(BLOCKS, &mut contenders)
}

fn decode_ours(kernel: Kernel, source: Vec<u8>, k: usize, m: usize) -> impl FnMut() -> Option<f64> {
    let layout = Layout::new(source.len(), SHARD_LEN, m).expect("the block is small");
    let mut parity = vec![0; m * SHARD_LEN];
    for (index, out) in parity.chunks_mut(SHARD_LEN).enumerate() {
        fec::parity_shard(&layout, &source, index, out);
    }
    let mut buffer = [source.clone(), parity.clone()].concat();
    move || {
        buffer[SHARD_LEN..2 * SHARD_LEN].fill(0);
        let mut is_fine = true;
        let nanos = measure::nanos_each(DECODINGS, || {
            buffer[k * SHARD_LEN..].copy_from_slice(&parity);
            is_fine &= {
                let received = |shard: usize| !is_lost(shard);
                fec::recover_with(&kernel, &layout, black_box(&mut buffer), &received).is_ok()
            };
        });
        (is_fine && kernel.is_available() && buffer[..k * SHARD_LEN] == source).then_some(nanos)
    }
}

fn decode_theirs(source: Vec<u8>, k: usize, m: usize) -> impl FnMut() -> Option<f64> {
    let rival = ReedSolomon::new(k, m).expect("the block is small");
    let mut shards: Vec<Vec<u8>> = source.chunks(SHARD_LEN).map(<[u8]>::to_vec).collect();
    shards.resize(k + m, vec![0; SHARD_LEN]);
    rival.encode(&mut shards).expect("the shards are equally long");
    let parity = shards[k..].to_vec();
    move || {
        shards[1].fill(0);
        let mut is_fine = true;
        let nanos = measure::nanos_each(DECODINGS, || {
            for (shard, known) in shards[k..].iter_mut().zip(&parity) {
                shard.copy_from_slice(known);
            }
            let mut flagged: Vec<(&mut [u8], bool)> = shards
                .iter_mut()
                .enumerate()
                .map(|(index, shard)| (shard.as_mut_slice(), !is_lost(index)))
                .collect();
            is_fine &= rival.reconstruct_data(black_box(&mut flagged)).is_ok();
        });
        (is_fine && shards[..k].concat() == source).then_some(nanos)
    }
}
