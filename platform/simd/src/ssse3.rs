//! Products by look-up, 16 bytes at once.

use core::arch::x86_64::{
    __m128i, _mm_and_si128, _mm_loadu_si128, _mm_set1_epi8, _mm_shuffle_epi8, _mm_srli_epi64,
    _mm_storeu_si128, _mm_xor_si128,
};

use rift::fec::Term;

use crate::tables::{HALVES, product};

/// Vectors that are summed up at once: the tables are then loaded a quarter as often.
const LANES: usize = 4;

/// One vector's bytes.
type Bytes = [u8; 16];

/// Adds terms that all reach as far as `destination`.
#[target_feature(enable = "ssse3")]
pub(crate) fn add(destination: &mut [u8], terms: &[Term<'_>]) {
    let (vectors, rest) = destination.as_chunks_mut::<16>();
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
        for (to, from) in rest.iter_mut().zip(term.source.get(len * 16..).unwrap_or_default()) {
            *to ^= product(term.coefficient, *from);
        }
    }
}

/// Adds to vectors, the first of which is number `at`.
#[target_feature(enable = "ssse3")]
fn add_run<const LANES: usize>(to: &mut [Bytes; LANES], terms: &[Term<'_>], at: usize) {
    let low_half = _mm_set1_epi8(0x0f);
    let mut sums = read(to);
    for term in terms {
        let vectors = term.source.as_chunks().0.get(at..);
        let Some(from) = vectors.and_then(|vectors| vectors.first_chunk::<LANES>()) else { continue };
        let [low, high] = tables(term.coefficient);
        for (sum, factor) in sums.iter_mut().zip(read(from)) {
            let low = _mm_shuffle_epi8(low, _mm_and_si128(factor, low_half));
            let high = _mm_shuffle_epi8(high, _mm_and_si128(_mm_srli_epi64::<4>(factor), low_half));
            *sum = _mm_xor_si128(*sum, _mm_xor_si128(low, high));
        }
    }
    for (to, sum) in to.iter_mut().zip(sums) {
        // SAFETY: the place is 16 bytes long, and any alignment will do.
        unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), sum) };
    }
}

#[target_feature(enable = "ssse3")]
fn tables(coefficient: u8) -> [__m128i; 2] {
    let halves = &HALVES[usize::from(coefficient)];
    // SAFETY: a table is 16 bytes long, and any alignment will do.
    halves.each_ref().map(|half| unsafe { _mm_loadu_si128(half.as_ptr().cast()) })
}

#[target_feature(enable = "ssse3")]
fn read<const LANES: usize>(vectors: &[Bytes; LANES]) -> [__m128i; LANES] {
    // SAFETY: each is 16 bytes long, and any alignment will do.
    vectors.each_ref().map(|vector| unsafe { _mm_loadu_si128(vector.as_ptr().cast()) })
}
