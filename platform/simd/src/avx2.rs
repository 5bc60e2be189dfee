//! Products by look-up, 32 bytes at once.

use core::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm256_and_si256, _mm256_broadcastsi128_si256, _mm256_loadu_si256,
    _mm256_set1_epi8, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi64, _mm256_storeu_si256,
    _mm256_xor_si256,
};

use rift::fec::Term;

use crate::tables::{HALVES, product};

/// Vectors that are summed up at once: the tables are then loaded a sixth as often, and everything stays in registers.
const LANES: usize = 6;

/// One vector's bytes.
type Bytes = [u8; 32];

/// Adds terms that all reach as far as `destination` to what it holds, or to zeros.
#[target_feature(enable = "avx2")]
pub(crate) fn add(destination: &mut [u8], terms: &[Term<'_>], to_zeros: bool) {
    // The end of what is no multiple of a vector is a vector that overlaps the one before it: summed up before that is
    // changed, and stored after it, it says the same of the bytes that both have.
    let end = destination.len().saturating_sub(32);
    let mut last = None;
    if let Some(bytes) = destination.last_chunk::<32>() {
        last = Some(sums(core::array::from_ref(bytes), terms, end, to_zeros));
    }
    let (vectors, rest) = destination.as_chunks_mut::<32>();
    let whole = vectors.len() - usize::from(rest.is_empty()).min(vectors.len());
    let (runs, single) = vectors[..whole].as_chunks_mut::<LANES>();
    let mut at = 0;
    for to in runs {
        let sums = sums(to, terms, at, to_zeros);
        write(to, sums);
        at += 32 * LANES;
    }
    for to in single {
        let to = core::array::from_mut(to);
        let sums = sums(to, terms, at, to_zeros);
        write(to, sums);
        at += 32;
    }
    match (last, destination.last_chunk_mut::<32>()) {
        (Some(sums), Some(to)) => write(core::array::from_mut(to), sums),
        _ => add_short(destination, terms, to_zeros),
    }
}

/// Adds to less than a vector.
pub(crate) fn add_short(destination: &mut [u8], terms: &[Term<'_>], to_zeros: bool) {
    if to_zeros {
        destination.fill(0);
    }
    for term in terms {
        for (to, from) in destination.iter_mut().zip(term.source) {
            *to ^= product(term.coefficient, *from);
        }
    }
}

/// What becomes of vectors, the first of which begins at `at`.
#[inline]
#[target_feature(enable = "avx2")]
fn sums<const N: usize>(to: &[Bytes; N], terms: &[Term<'_>], at: usize, to_zeros: bool) -> [__m256i; N] {
    let low_half = _mm256_set1_epi8(0x0f);
    let mut sums = if to_zeros { [_mm256_setzero_si256(); N] } else { read(to) };
    for term in terms {
        let Some(rest) = term.source.get(at..) else { continue };
        let Some(from) = rest.as_chunks::<32>().0.first_chunk::<N>() else { continue };
        let [low, high] = tables(term.coefficient);
        for (sum, from) in sums.iter_mut().zip(from) {
            // SAFETY: it is 32 bytes long, and any alignment will do.
            let factor = unsafe { _mm256_loadu_si256(from.as_ptr().cast()) };
            let low = _mm256_shuffle_epi8(low, _mm256_and_si256(factor, low_half));
            let high = _mm256_shuffle_epi8(high, _mm256_and_si256(_mm256_srli_epi64::<4>(factor), low_half));
            *sum = _mm256_xor_si256(*sum, _mm256_xor_si256(low, high));
        }
    }
    sums
}

#[inline]
#[target_feature(enable = "avx2")]
fn tables(coefficient: u8) -> [__m256i; 2] {
    let halves = &HALVES[usize::from(coefficient)];
    // SAFETY: a table is 16 bytes long, and any alignment will do.
    let low = unsafe { _mm_loadu_si128(halves[0].as_ptr().cast()) };
    // SAFETY: as above.
    let high = unsafe { _mm_loadu_si128(halves[1].as_ptr().cast()) };
    [_mm256_broadcastsi128_si256(low), _mm256_broadcastsi128_si256(high)]
}

#[inline]
#[target_feature(enable = "avx2")]
fn read<const N: usize>(vectors: &[Bytes; N]) -> [__m256i; N] {
    let mut sums = [_mm256_setzero_si256(); N];
    for (sum, vector) in sums.iter_mut().zip(vectors) {
        // SAFETY: it is 32 bytes long, and any alignment will do.
        *sum = unsafe { _mm256_loadu_si256(vector.as_ptr().cast()) };
    }
    sums
}

#[inline]
#[target_feature(enable = "avx2")]
fn write<const N: usize>(vectors: &mut [Bytes; N], sums: [__m256i; N]) {
    for (to, sum) in vectors.iter_mut().zip(sums) {
        // SAFETY: the place is 32 bytes long, and any alignment will do.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), sum) };
    }
}
