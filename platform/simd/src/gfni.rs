//! Products by affine maps: one instruction for 64 or 32 bytes.

use core::arch::x86_64::{
    __m256i, __m512i, __mmask64, _mm256_gf2p8affine_epi64_epi8, _mm256_loadu_si256, _mm256_set1_epi64x,
    _mm256_storeu_si256, _mm256_xor_si256, _mm512_gf2p8affine_epi64_epi8, _mm512_loadu_si512,
    _mm512_mask_storeu_epi8, _mm512_maskz_loadu_epi8, _mm512_set1_epi64, _mm512_storeu_si512,
    _mm512_ternarylogic_epi64, _mm512_xor_si512,
};

use rift::fec::Term;

use crate::tables::{AFFINE, product};

/// Vectors that are summed up at once: the maps are then loaded a quarter as often.
const LANES: usize = 4;
/// The same with AVX-512: sums and a pair of products fill its 32 registers but five. Twice this is most of a shard.
const WIDE_LANES: usize = 9;

/// Adds terms that all reach as far as `destination`, with AVX-512.
#[target_feature(enable = "gfni,avx512f,avx512bw")]
pub(crate) fn add_512(destination: &mut [u8], terms: &[Term<'_>]) {
    let (vectors, rest) = destination.as_chunks_mut::<64>();
    let (runs, few) = vectors.as_chunks_mut::<WIDE_LANES>();
    let mut at = 0;
    for to in runs {
        add_run_512(to, terms, at);
        at += 64 * WIDE_LANES;
    }
    let (runs, single) = few.as_chunks_mut::<2>();
    for to in runs {
        add_run_512(to, terms, at);
        at += 64 * 2;
    }
    for to in single {
        add_run_512(core::array::from_mut(to), terms, at);
        at += 64;
    }
    if !rest.is_empty() {
        add_end_512(rest, terms, at);
    }
}

/// Adds to `N` vectors, the first of which begins at `at`.
#[inline]
#[target_feature(enable = "gfni,avx512f,avx512bw")]
fn add_run_512<const N: usize>(to: &mut [[u8; 64]; N], terms: &[Term<'_>], at: usize) {
    // SAFETY: each is 64 bytes long, and any alignment will do.
    let mut sums = to.each_ref().map(|vector| unsafe { _mm512_loadu_si512(vector.as_ptr().cast()) });
    let (pairs, last) = terms.as_chunks::<2>();
    for [one, other] in pairs {
        let (Some(one), Some(other)) = (products_512::<N>(one, at), products_512::<N>(other, at)) else {
            continue;
        };
        for ((sum, one), other) in sums.iter_mut().zip(one).zip(other) {
            // Both are added in one instruction: 0x96 is the truth table of a sum of three bits.
            *sum = _mm512_ternarylogic_epi64::<0x96>(*sum, one, other);
        }
    }
    for products in last.iter().filter_map(|term| products_512::<N>(term, at)) {
        for (sum, product) in sums.iter_mut().zip(products) {
            *sum = _mm512_xor_si512(*sum, product);
        }
    }
    for (to, sum) in to.iter_mut().zip(sums) {
        // SAFETY: the place is 64 bytes long, and any alignment will do.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), sum) };
    }
}

/// Adds to what no vector fills, which begins at `at`.
#[target_feature(enable = "gfni,avx512f,avx512bw")]
fn add_end_512(to: &mut [u8], terms: &[Term<'_>], at: usize) {
    let mask: __mmask64 = u64::MAX >> (64 - to.len());
    // SAFETY: the mask has a bit for each byte of the place and no more; what has none is not touched.
    let mut sum = unsafe { _mm512_maskz_loadu_epi8(mask, to.as_ptr().cast()) };
    for term in terms {
        let map = _mm512_set1_epi64(AFFINE[usize::from(term.coefficient)].cast_signed());
        let Some(from) = term.source.get(at..at + to.len()) else { continue };
        // SAFETY: as above; the source was just cut to the same length.
        let factor = unsafe { _mm512_maskz_loadu_epi8(mask, from.as_ptr().cast()) };
        sum = _mm512_xor_si512(sum, _mm512_gf2p8affine_epi64_epi8::<0>(factor, map));
    }
    // SAFETY: as above.
    unsafe { _mm512_mask_storeu_epi8(to.as_mut_ptr().cast(), mask, sum) };
}

/// Adds terms that all reach as far as `destination`, with AVX2.
#[target_feature(enable = "gfni,avx2")]
pub(crate) fn add_256(destination: &mut [u8], terms: &[Term<'_>]) {
    let (runs, rest) = destination.as_chunks_mut::<{ 32 * LANES }>();
    let done = runs.len() * 32 * LANES;
    for (to, at) in runs.iter_mut().zip((0..).step_by(32 * LANES)) {
        let mut sums = read_256(to);
        for term in terms {
            let map = _mm256_set1_epi64x(AFFINE[usize::from(term.coefficient)].cast_signed());
            let Some(from) = term.source.get(at..).and_then(|rest| rest.first_chunk()) else { continue };
            for (sum, factor) in sums.iter_mut().zip(read_256(from)) {
                *sum = _mm256_xor_si256(*sum, _mm256_gf2p8affine_epi64_epi8::<0>(factor, map));
            }
        }
        for (to, sum) in to.as_chunks_mut::<32>().0.iter_mut().zip(sums) {
            // SAFETY: the place is 32 bytes long, and any alignment will do.
            unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), sum) };
        }
    }
    for term in terms {
        add_rest(rest, term.source.get(done..).unwrap_or_default(), term.coefficient);
    }
}

/// What is too short for four vectors.
#[target_feature(enable = "gfni,avx2")]
fn add_rest(destination: &mut [u8], source: &[u8], coefficient: u8) {
    let map = _mm256_set1_epi64x(AFFINE[usize::from(coefficient)].cast_signed());
    let (runs, rest) = destination.as_chunks_mut::<32>();
    let (from_runs, from_rest) =
        source.get(..runs.len() * 32 + rest.len()).unwrap_or(source).as_chunks::<32>();
    for (to, from) in runs.iter_mut().zip(from_runs) {
        // SAFETY: the source is 32 bytes long, and any alignment will do.
        let factor = unsafe { _mm256_loadu_si256(from.as_ptr().cast()) };
        // SAFETY: so is the place.
        let sum = unsafe { _mm256_loadu_si256(to.as_ptr().cast()) };
        let sum = _mm256_xor_si256(sum, _mm256_gf2p8affine_epi64_epi8::<0>(factor, map));
        // SAFETY: as above.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), sum) };
    }
    for (to, from) in rest.iter_mut().zip(from_rest) {
        *to ^= product(coefficient, *from);
    }
}

/// What a term adds to `N` vectors from this place on.
#[inline]
#[target_feature(enable = "gfni,avx512f,avx512bw")]
fn products_512<const N: usize>(term: &Term<'_>, at: usize) -> Option<[__m512i; N]> {
    let map = _mm512_set1_epi64(AFFINE[usize::from(term.coefficient)].cast_signed());
    let from: &[[u8; 64]; N] = term.source.get(at..)?.as_chunks().0.first_chunk()?;
    Some(from.each_ref().map(|vector| {
        // SAFETY: it is 64 bytes long, and any alignment will do.
        let factor = unsafe { _mm512_loadu_si512(vector.as_ptr().cast()) };
        _mm512_gf2p8affine_epi64_epi8::<0>(factor, map)
    }))
}

#[target_feature(enable = "avx2")]
fn read_256(bytes: &[u8; 32 * LANES]) -> [__m256i; LANES] {
    let vectors: &[[u8; 32]; LANES] = bytes.as_chunks().0.first_chunk().expect("there are so many");
    // SAFETY: each is 32 bytes long, and any alignment will do.
    vectors.each_ref().map(|vector| unsafe { _mm256_loadu_si256(vector.as_ptr().cast()) })
}
