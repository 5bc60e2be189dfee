//! Products by look-up on aarch64, 16 bytes at once: `TBL` reads a table of 16 as `PSHUFB` does.

use core::arch::aarch64::{
    uint8x16_t, vandq_u8, vdupq_n_u8, veorq_u8, vld1q_u8, vqtbl1q_u8, vshrq_n_u8, vst1q_u8,
};

use rift::fec::Term;

use crate::tables::{HALVES, product};

/// Vectors that are summed up at once: the tables are then loaded an eighth as often. Sums, tables and what is in hand
/// fill half of the 32 registers.
const LANES: usize = 8;

/// One vector's bytes.
type Bytes = [u8; 16];

/// Adds terms that all reach as far as `destination`.
#[target_feature(enable = "neon")]
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
#[target_feature(enable = "neon")]
fn add_run<const LANES: usize>(to: &mut [Bytes; LANES], terms: &[Term<'_>], at: usize) {
    let low_half = vdupq_n_u8(0x0f);
    let mut sums = read(to);
    for term in terms {
        let vectors = term.source.as_chunks().0.get(at..);
        let Some(from) = vectors.and_then(|vectors| vectors.first_chunk::<LANES>()) else { continue };
        let [low, high] = tables(term.coefficient);
        for (sum, factor) in sums.iter_mut().zip(read(from)) {
            let low = vqtbl1q_u8(low, vandq_u8(factor, low_half));
            let high = vqtbl1q_u8(high, vshrq_n_u8::<4>(factor));
            *sum = veorq_u8(*sum, veorq_u8(low, high));
        }
    }
    for (to, sum) in to.iter_mut().zip(sums) {
        // SAFETY: the place is 16 bytes long, and any alignment will do.
        unsafe { vst1q_u8(to.as_mut_ptr(), sum) };
    }
}

#[target_feature(enable = "neon")]
fn tables(coefficient: u8) -> [uint8x16_t; 2] {
    let halves = &HALVES[usize::from(coefficient)];
    // SAFETY: a table is 16 bytes long, and any alignment will do.
    halves.each_ref().map(|half| unsafe { vld1q_u8(half.as_ptr()) })
}

#[target_feature(enable = "neon")]
fn read<const LANES: usize>(vectors: &[Bytes; LANES]) -> [uint8x16_t; LANES] {
    // SAFETY: each is 16 bytes long, and any alignment will do.
    vectors.each_ref().map(|vector| unsafe { vld1q_u8(vector.as_ptr()) })
}
