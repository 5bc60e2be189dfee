//! Other erasure codes: the same shards, coded and restored by `reed-solomon-simd` and `raptorq`.
//!
//! Each is given what lets it be fast: `reed-solomon-simd` keeps its working memory from one block to the next, and
//! `raptorq` its plan for blocks of this size.

use core::hint::black_box;

use raptorq::{
    EncodingPacket, ObjectTransmissionInformation, SourceBlockDecoder, SourceBlockEncoder,
    SourceBlockEncodingPlan,
};
use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};

use super::measure;

pub(super) const SIMD: &str = "reed-solomon-simd";
pub(super) const RAPTORQ: &str = "raptorq";

/// Time of coding `m` parity shards of `source`.
pub(super) fn simd_encode(
    source: &[u8],
    shard_len: usize,
    m: usize,
    count: usize,
) -> impl FnMut() -> Option<f64> {
    let shards: Vec<Vec<u8>> = source.chunks(shard_len).map(<[u8]>::to_vec).collect();
    let mut encoder = ReedSolomonEncoder::new(shards.len(), m, shard_len).ok();
    move || {
        let encoder = encoder.as_mut()?;
        let mut is_fine = true;
        let nanos = measure::nanos_each(count, || {
            for shard in black_box(&shards) {
                is_fine &= encoder.add_original_shard(shard).is_ok();
            }
            is_fine &= encoder.encode().is_ok_and(|result| black_box(result.recovery_iter()).count() == m);
        });
        is_fine.then_some(nanos)
    }
}

/// Time of restoring what `is_lost` says from `m` parity shards.
pub(super) fn simd_decode(
    source: &[u8],
    shard_len: usize,
    m: usize,
    count: usize,
    is_lost: fn(usize) -> bool,
) -> impl FnMut() -> Option<f64> {
    let shards: Vec<Vec<u8>> = source.chunks(shard_len).map(<[u8]>::to_vec).collect();
    let k = shards.len();
    let parity = reed_solomon_simd::encode(k, m, &shards).ok();
    let mut decoder = ReedSolomonDecoder::new(k, m, shard_len).ok();
    move || {
        let (decoder, parity) = (decoder.as_mut()?, parity.as_ref()?);
        let mut is_fine = true;
        let nanos = measure::nanos_each(count, || {
            for (index, shard) in shards.iter().enumerate().filter(|(index, _)| !is_lost(*index)) {
                is_fine &= decoder.add_original_shard(index, shard).is_ok();
            }
            for (index, shard) in parity.iter().enumerate() {
                is_fine &= decoder.add_recovery_shard(index, shard).is_ok();
            }
            is_fine &= decoder.decode().is_ok_and(|result| {
                black_box(result.restored_original_iter()).all(|(index, shard)| shard == shards[index])
            });
        });
        is_fine.then_some(nanos)
    }
}

/// What a block of these bytes is, with a plan for its size.
fn block(
    source: &[u8],
    shard_len: usize,
) -> Option<(ObjectTransmissionInformation, SourceBlockEncodingPlan)> {
    let symbols = u16::try_from(source.len() / shard_len).ok()?;
    let shard_len = u16::try_from(shard_len).ok()?;
    let about = ObjectTransmissionInformation::new(source.len() as u64, shard_len, 1, 1, 8);
    Some((about, SourceBlockEncodingPlan::generate(symbols)))
}

/// Time of coding `m` repair packets of `source`.
pub(super) fn raptorq_encode(
    source: &[u8],
    shard_len: usize,
    m: usize,
    count: usize,
) -> impl FnMut() -> Option<f64> {
    let block = block(source, shard_len);
    let repairs = u32::try_from(m).unwrap_or(0);
    move || {
        let (about, plan) = block.as_ref()?;
        let mut is_fine = true;
        let nanos = measure::nanos_each(count, || {
            let encoder = SourceBlockEncoder::with_encoding_plan(0, about, black_box(source), plan);
            is_fine &= black_box(encoder.repair_packets(0, repairs)).len() == m;
        });
        is_fine.then_some(nanos)
    }
}

/// Time of restoring what `is_lost` says from `m` repair packets.
pub(super) fn raptorq_decode(
    source: &[u8],
    shard_len: usize,
    m: usize,
    count: usize,
    is_lost: fn(usize) -> bool,
) -> impl FnMut() -> Option<f64> {
    let packets = block(source, shard_len).map(|(about, plan)| {
        let encoder = SourceBlockEncoder::with_encoding_plan(0, &about, source, &plan);
        let kept = encoder.source_packets().into_iter().enumerate().filter(|(index, _)| !is_lost(*index));
        let mut packets: Vec<EncodingPacket> = kept.map(|(_, packet)| packet).collect();
        packets.extend(encoder.repair_packets(0, u32::try_from(m).unwrap_or(0)));
        (about, packets)
    });
    move || {
        let (about, packets) = packets.as_ref()?;
        let mut is_fine = true;
        let nanos = measure::nanos_each(count, || {
            let mut decoder = SourceBlockDecoder::new(0, about, source.len() as u64);
            is_fine &= decoder.decode(black_box(packets).clone()).is_some_and(|whole| whole == source);
        });
        is_fine.then_some(nanos)
    }
}
