//! Products by look-up, 32 bytes at once.

use core::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm256_and_si256, _mm256_broadcastsi128_si256, _mm256_loadu_si256,
    _mm256_set1_epi8, _mm256_shuffle_epi8, _mm256_srli_epi64, _mm256_storeu_si256, _mm256_xor_si256,
};

use rift::fec::Term;

use crate::tables::{HALVES, product};

/// Vectors that are summed up at once: the tables are then loaded a quarter as often.
const LANES: usize = 4;

/// One vector's bytes.
type Bytes = [u8; 32];

/// Adds terms that all reach as far as `destination`.
#[target_feature(enable = "avx2")]
pub(crate) fn add(destination: &mut [u8], terms: &[Term<'_>]) {
    let (vectors, rest) = destination.as_chunks_mut::<32>();
    let len = vectors.len();
    let (runs, single) = vectors.as_chunks_mut::<LANES>();
    let begun = runs.len() * LANES;
    for (to, at) in runs.iter_mut().zip((0..).step_by(LANES)) {
        add_run(to, terms, at);
    }
    for (to, at) in single.iter_mut().zip(begun..) {
        add_run(core::array::from_mut(to), terms, at);
    }
    for term in terms {
        for (to, from) in rest.iter_mut().zip(term.source.get(len * 32..).unwrap_or_default()) {
            *to ^= product(term.coefficient, *from);
        }
    }
}

/// Adds to vectors, the first of which is number `at`.
#[target_feature(enable = "avx2")]
fn add_run<const LANES: usize>(to: &mut [Bytes; LANES], terms: &[Term<'_>], at: usize) {
    let low_half = _mm256_set1_epi8(0x0f);
    let mut sums = read(to);
    for term in terms {
        let vectors = term.source.as_chunks().0.get(at..);
        let Some(from) = vectors.and_then(|vectors| vectors.first_chunk::<LANES>()) else { continue };
        let [low, high] = tables(term.coefficient);
        for (sum, factor) in sums.iter_mut().zip(read(from)) {
            let low = _mm256_shuffle_epi8(low, _mm256_and_si256(factor, low_half));
            let high = _mm256_shuffle_epi8(high, _mm256_and_si256(_mm256_srli_epi64::<4>(factor), low_half));
            *sum = _mm256_xor_si256(*sum, _mm256_xor_si256(low, high));
        }
    }
    for (to, sum) in to.iter_mut().zip(sums) {
        // SAFETY: the place is 32 bytes long, and any alignment will do.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), sum) };
    }
}

#[target_feature(enable = "avx2")]
fn tables(coefficient: u8) -> [__m256i; 2] {
    let halves = &HALVES[usize::from(coefficient)];
    // SAFETY: a table is 16 bytes long, and any alignment will do.
    halves
        .each_ref()
        .map(|half| _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(half.as_ptr().cast()) }))
}

#[target_feature(enable = "avx2")]
fn read<const LANES: usize>(vectors: &[Bytes; LANES]) -> [__m256i; LANES] {
    // SAFETY: each is 32 bytes long, and any alignment will do.
    vectors.each_ref().map(|vector| unsafe { _mm256_loadu_si256(vector.as_ptr().cast()) })
}
