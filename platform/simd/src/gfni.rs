//! Products by affine maps: one instruction for 64 or 32 bytes.

use core::arch::x86_64::{
    __m256i, __m512i, __mmask64, _mm256_gf2p8affine_epi64_epi8, _mm256_loadu_si256, _mm256_set1_epi64x,
    _mm256_setzero_si256, _mm256_storeu_si256, _mm256_xor_si256, _mm512_gf2p8affine_epi64_epi8,
    _mm512_mask_storeu_epi8, _mm512_maskz_loadu_epi8, _mm512_set1_epi64, _mm512_setzero_si512,
    _mm512_ternarylogic_epi64, _mm512_xor_si512,
};

use rift::fec::Term;

use crate::avx2::add_short;
use crate::tables::AFFINE;

/// Vectors that are summed up at once: the maps are then loaded an eighth as often.
const LANES: usize = 8;
/// The same with AVX-512: twice about this is a shard of the usual length.
const WIDE_LANES: usize = 10;

/// Adds terms that all reach as far as `destination` to what it holds, or to zeros, with AVX-512.
#[target_feature(enable = "gfni,avx512f,avx512bw")]
pub(crate) fn add_512(mut destination: &mut [u8], terms: &[Term<'_>], to_zeros: bool) {
    let mut at = 0;
    while !destination.is_empty() {
        // The end of the last vector may be missing: it is masked.
        let vectors = match destination.len().div_ceil(64) {
            WIDE_LANES.. => WIDE_LANES,
            9 => 9,
            4.. => 4,
            _ => 1,
        };
        let (to, rest) = destination.split_at_mut((64 * vectors).min(destination.len()));
        let len = to.len();
        match vectors {
            WIDE_LANES => add_run_512::<WIDE_LANES>(to, terms, at, to_zeros),
            9 => add_run_512::<9>(to, terms, at, to_zeros),
            4 => add_run_512::<4>(to, terms, at, to_zeros),
            _ => add_run_512::<1>(to, terms, at, to_zeros),
        }
        at += len;
        destination = rest;
    }
}

/// Adds to `N` vectors, the last of which may end early, and of the sources to those that begin at `at`.
#[inline]
#[target_feature(enable = "gfni,avx512f,avx512bw")]
fn add_run_512<const N: usize>(to: &mut [u8], terms: &[Term<'_>], at: usize, to_zeros: bool) {
    let Some(short) = (64 * N).checked_sub(to.len()).filter(|short| *short < 64) else { return };
    let mask: __mmask64 = u64::MAX >> short;
    let mut sums = [_mm512_setzero_si512(); N];
    if !to_zeros {
        // SAFETY: the mask was just made for as many bytes.
        sums = unsafe { read_512::<N>(to, mask) };
    }
    let (pairs, last) = terms.as_chunks::<2>();
    for [one, other] in pairs {
        let Some(first) = one.source.get(at..at + to.len()) else { continue };
        let Some(second) = other.source.get(at..at + to.len()) else { continue };
        // SAFETY: as above; the source was just cut to the same length.
        let first = unsafe { read_512::<N>(first, mask) };
        // SAFETY: as above.
        let second = unsafe { read_512::<N>(second, mask) };
        let maps = [map_512(one.coefficient), map_512(other.coefficient)];
        for ((sum, first), second) in sums.iter_mut().zip(first).zip(second) {
            let first = _mm512_gf2p8affine_epi64_epi8::<0>(first, maps[0]);
            let second = _mm512_gf2p8affine_epi64_epi8::<0>(second, maps[1]);
            // Both are added in one instruction: 0x96 is the truth table of a sum of three bits.
            *sum = _mm512_ternarylogic_epi64::<0x96>(*sum, first, second);
        }
    }
    for term in last {
        let Some(from) = term.source.get(at..at + to.len()) else { continue };
        let map = map_512(term.coefficient);
        // SAFETY: as above.
        let factors = unsafe { read_512::<N>(from, mask) };
        for (sum, factor) in sums.iter_mut().zip(factors) {
            *sum = _mm512_xor_si512(*sum, _mm512_gf2p8affine_epi64_epi8::<0>(factor, map));
        }
    }
    let place = to.as_mut_ptr();
    for (index, sum) in sums.into_iter().enumerate() {
        let mask = if index + 1 == N { mask } else { u64::MAX };
        // SAFETY: all vectors but the last are there whole, and of that one the mask has a bit for each byte that is
        // there and no more; what has none is not touched.
        unsafe { _mm512_mask_storeu_epi8(place.wrapping_add(64 * index).cast(), mask, sum) };
    }
}

#[inline]
#[target_feature(enable = "gfni,avx512f,avx512bw")]
fn map_512(coefficient: u8) -> __m512i {
    _mm512_set1_epi64(AFFINE[usize::from(coefficient)].cast_signed())
}

/// `N` vectors, of the last of which the mask says how much is there.
///
/// # Safety
/// `bytes` are as many as that makes: 64 `N` less the zeros that lead the mask.
#[inline]
#[target_feature(enable = "gfni,avx512f,avx512bw")]
unsafe fn read_512<const N: usize>(bytes: &[u8], mask: __mmask64) -> [__m512i; N] {
    debug_assert_eq!(bytes.len() + mask.leading_zeros() as usize, 64 * N, "the mask is of these bytes");
    let mut vectors = [_mm512_setzero_si512(); N];
    for (index, vector) in vectors.iter_mut().enumerate() {
        let mask = if index + 1 == N { mask } else { u64::MAX };
        let place = bytes.as_ptr().wrapping_add(64 * index);
        // SAFETY: all vectors but the last are there whole, and of that one the mask has a bit for each byte that is there
        // and no more; no other is read.
        *vector = unsafe { _mm512_maskz_loadu_epi8(mask, place.cast()) };
    }
    vectors
}

/// Adds terms that all reach as far as `destination` to what it holds, or to zeros, with AVX2.
#[target_feature(enable = "gfni,avx2")]
pub(crate) fn add_256(destination: &mut [u8], terms: &[Term<'_>], to_zeros: bool) {
    // The end is a vector that overlaps the one before it, as in `avx2`.
    let end = destination.len().saturating_sub(32);
    let mut last = None;
    if let Some(bytes) = destination.last_chunk::<32>() {
        last = Some(sums_256(core::array::from_ref(bytes), terms, end, to_zeros));
    }
    let (vectors, rest) = destination.as_chunks_mut::<32>();
    let whole = vectors.len() - usize::from(rest.is_empty()).min(vectors.len());
    let (runs, single) = vectors[..whole].as_chunks_mut::<LANES>();
    let mut at = 0;
    for to in runs {
        let sums = sums_256(to, terms, at, to_zeros);
        write_256(to, sums);
        at += 32 * LANES;
    }
    for to in single {
        let to = core::array::from_mut(to);
        let sums = sums_256(to, terms, at, to_zeros);
        write_256(to, sums);
        at += 32;
    }
    match (last, destination.last_chunk_mut::<32>()) {
        (Some(sums), Some(to)) => write_256(core::array::from_mut(to), sums),
        _ => add_short(destination, terms, to_zeros),
    }
}

/// What becomes of vectors, the first of which begins at `at`.
#[inline]
#[target_feature(enable = "gfni,avx2")]
fn sums_256<const N: usize>(
    to: &[[u8; 32]; N],
    terms: &[Term<'_>],
    at: usize,
    to_zeros: bool,
) -> [__m256i; N] {
    let mut sums = [_mm256_setzero_si256(); N];
    for (sum, to) in sums.iter_mut().zip(to).filter(|_| !to_zeros) {
        // SAFETY: it is 32 bytes long, and any alignment will do.
        *sum = unsafe { _mm256_loadu_si256(to.as_ptr().cast()) };
    }
    for term in terms {
        let Some(rest) = term.source.get(at..) else { continue };
        let Some(from) = rest.as_chunks::<32>().0.first_chunk::<N>() else { continue };
        let map = _mm256_set1_epi64x(AFFINE[usize::from(term.coefficient)].cast_signed());
        for (sum, from) in sums.iter_mut().zip(from) {
            // SAFETY: it is 32 bytes long, and any alignment will do.
            let factor = unsafe { _mm256_loadu_si256(from.as_ptr().cast()) };
            *sum = _mm256_xor_si256(*sum, _mm256_gf2p8affine_epi64_epi8::<0>(factor, map));
        }
    }
    sums
}

#[inline]
#[target_feature(enable = "gfni,avx2")]
fn write_256<const N: usize>(vectors: &mut [[u8; 32]; N], sums: [__m256i; N]) {
    for (to, sum) in vectors.iter_mut().zip(sums) {
        // SAFETY: the place is 32 bytes long, and any alignment will do.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), sum) };
    }
}
