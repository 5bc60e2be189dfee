//! Poly1305 (RFC 8439 §2.5), eight blocks at a time with IFMA's 52-bit products.
//!
//! A number is three limbs of 44, 44 and 42 bits. Eight sums run side by side, each over every eighth block; two blocks
//! are taken in at once, the sum multiplied by r¹⁶ and the first of them by r⁸, for the carries of one product. At the end
//! each sum is multiplied by the power its last block still lacks, and all are added up. What is summed is filled up with
//! zeros in front, which change nothing, so that there are whole groups of eight only.
//!
//! ```text
//! bounds, in bits:  limbs of powers and of sums 45 | twenty times that 50 | low halves, six products and a block 55
//!                   high halves, six products 46 | carries after the first pass 59
//! ```

use core::arch::x86_64::{
    __m512i, __mmask8, _mm512_add_epi64, _mm512_and_si512, _mm512_loadu_si512, _mm512_madd52hi_epu64,
    _mm512_madd52lo_epu64, _mm512_mask_set1_epi64, _mm512_maskz_set1_epi64, _mm512_or_si512,
    _mm512_reduce_add_epi64, _mm512_set1_epi64, _mm512_setr_epi64, _mm512_slli_epi64, _mm512_srli_epi64,
    _mm512_unpackhi_epi64, _mm512_unpacklo_epi64,
};

/// Bytes of a block.
pub(super) const BLOCK: usize = 16;
/// Blocks taken at once.
const LANES: usize = 8;
const GROUP: usize = LANES * BLOCK;
/// Which of eight blocks is in which lane, as they come from memory.
const ORDER: [usize; LANES] = [0, 4, 1, 5, 2, 6, 3, 7];

const MASK_44: u64 = (1 << 44) - 1;
const MASK_42: u64 = (1 << 42) - 1;

type Limbs = [u64; 3];
type Lanes = [__m512i; 3];

/// Nothing, in all lanes.
const ZERO: Lanes = {
    // SAFETY: any bits are a vector of integers.
    unsafe { core::mem::transmute([0_u64; 3 * LANES]) }
};

/// The sum over `aad`, at most a block, and `text`, at least seven, under a one-time key.
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn sum(key: &[u8; 32], aad: &[u8], text: &[u8]) -> [u8; 16] {
    let powers = Powers::of(clamped(key));
    let (r8, r16) = (Factor::splat(powers.eighth), Factor::splat(product(powers.eighth, powers.eighth)));
    let aad_blocks = usize::from(!aad.is_empty());
    let blocks = aad_blocks + text.len().div_ceil(BLOCK) + 1;
    let empty = blocks.next_multiple_of(LANES) - blocks;

    let mut head = [0; GROUP];
    let aad_at = empty * BLOCK;
    head[aad_at..aad_at + aad.len()].copy_from_slice(aad);
    let text_at = aad_at + aad_blocks * BLOCK;
    let (first, rest) = text.split_at(GROUP - text_at);
    head[text_at..].copy_from_slice(first);
    // The last group has seven blocks of text, the last of them perhaps not whole, and the lengths.
    let groups = rest.len().div_ceil(BLOCK) / LANES;
    let (middle, last) = rest.split_at(groups * GROUP);
    let mut tail = [0; GROUP];
    tail[..last.len()].copy_from_slice(last);
    tail[GROUP - 16..GROUP - 8].copy_from_slice(&(aad.len() as u64).to_le_bytes());
    tail[GROUP - 8..].copy_from_slice(&(text.len() as u64).to_le_bytes());

    let mut sums = split(&head, present(empty));
    // With the last group, which is apart, what is left is an even number of them or one more.
    let (pairs, single) = middle.as_chunks::<GROUP>().0.as_chunks::<2>();
    let add = |sums, group| reduce(r8.multiply(sums, (split(group, __mmask8::MAX), ZERO)));
    let add_two = |sums, first, second| {
        let first = r8.multiply(split(first, __mmask8::MAX), (split(second, __mmask8::MAX), ZERO));
        reduce(r16.multiply(sums, first))
    };
    for [first, second] in pairs {
        sums = add_two(sums, first, second);
    }
    sums = match single {
        [group] => add_two(sums, group, &tail),
        _ => add(sums, &tail),
    };
    finish(powers.lacking().multiply(sums, (ZERO, ZERO)), key)
}

/// The lanes that have a block when the first `empty` of eight have none.
fn present(empty: usize) -> __mmask8 {
    ORDER.iter().enumerate().fold(0, |mask, (lane, &block)| mask | __mmask8::from(block >= empty) << lane)
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("keys are 32 bytes long"))
}

/// The first half of the key, with the bits cleared that have to be (RFC 8439 §2.5).
fn clamped(key: &[u8; 32]) -> Limbs {
    let (low, high) = (word(key, 0) & 0x0fff_fffc_0fff_ffff, word(key, 8) & 0x0fff_fffc_0fff_fffc);
    [low & MASK_44, (low >> 44 | high << 20) & MASK_44, high >> 24]
}

/// The powers of `r` that sums are multiplied by.
struct Powers {
    /// The first to the fourth.
    small: [Limbs; 4],
    eighth: Limbs,
}

impl Powers {
    fn of(r: Limbs) -> Self {
        let second = product(r, r);
        let fourth = product(second, second);
        Self { small: [r, second, product(second, r), fourth], eighth: product(fourth, fourth) }
    }

    /// The power that each lane lacks at the end: lanes in pairs lack the eighth and the fourth, the seventh and the
    /// third, and so on, which is one of the first four each, and four more in the first of the pair.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn lacking(&self) -> Factor {
        let pairs = |limb: usize| {
            let [a, b, c, d] = self.small.map(|power| power[limb].cast_signed());
            _mm512_setr_epi64(d, d, c, c, b, b, a, a)
        };
        let [r0, r1, r2] = self.small[3].map(u64::cast_signed);
        let first = |limb| _mm512_maskz_set1_epi64(0b0101_0101, limb);
        let four_more = Factor {
            limbs: [_mm512_mask_set1_epi64(_mm512_set1_epi64(1), 0b0101_0101, r0), first(r1), first(r2)],
            folded: [first(20 * r1), first(20 * r2)],
        };
        let limbs = reduce(four_more.multiply([pairs(0), pairs(1), pairs(2)], (ZERO, ZERO)));
        let folded = |limb| _mm512_add_epi64(_mm512_slli_epi64::<4>(limb), _mm512_slli_epi64::<2>(limb));
        Factor { limbs, folded: [folded(limbs[1]), folded(limbs[2])] }
    }
}

fn product(a: Limbs, b: Limbs) -> Limbs {
    let (a, b) = (a.map(u128::from), b.map(u128::from));
    let (b1, b2) = (20 * b[1], 20 * b[2]);
    carried([
        a[0] * b[0] + a[1] * b2 + a[2] * b1,
        a[0] * b[1] + a[1] * b[0] + a[2] * b2,
        a[0] * b[2] + a[1] * b[1] + a[2] * b[0],
    ])
}

/// Limbs as they should be, but for a bit more in the second.
#[expect(clippy::cast_possible_truncation, reason = "masked, or a carry of less than 64 bits")]
fn carried([d0, d1, d2]: [u128; 3]) -> Limbs {
    let d1 = d1 + (d0 >> 44);
    let d2 = d2 + (d1 >> 44);
    let h0 = (d0 as u64 & MASK_44) + 5 * (d2 >> 42) as u64;
    [h0 & MASK_44, (d1 as u64 & MASK_44) + (h0 >> 44), d2 as u64 & MASK_42]
}

/// What sums are multiplied by, and twenty times its upper limbs.
struct Factor {
    limbs: Lanes,
    folded: [__m512i; 2],
}

impl Factor {
    #[target_feature(enable = "avx512f")]
    fn splat(power: Limbs) -> Self {
        let splat = |limb: u64| _mm512_set1_epi64(limb.cast_signed());
        let [r0, r1, r2] = power;
        Self { limbs: [splat(r0), splat(r1), splat(r2)], folded: [splat(20 * r1), splat(20 * r2)] }
    }

    /// `sums` times this plus `more`: the lower 52 bits of the products, and the upper.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn multiply(&self, [h0, h1, h2]: Lanes, (more_low, more_high): (Lanes, Lanes)) -> (Lanes, Lanes) {
        let ([r0, r1, r2], [s1, s2]) = (self.limbs, self.folded);
        let low = |sum, [a, b, c]: Lanes| {
            let sum = _mm512_madd52lo_epu64(_mm512_madd52lo_epu64(sum, h0, a), h1, b);
            _mm512_madd52lo_epu64(sum, h2, c)
        };
        let high = |sum, [a, b, c]: Lanes| {
            let sum = _mm512_madd52hi_epu64(_mm512_madd52hi_epu64(sum, h0, a), h1, b);
            _mm512_madd52hi_epu64(sum, h2, c)
        };
        let (first, second, third) = ([r0, s2, s1], [r1, r0, s2], [r2, r1, r0]);
        (
            [low(more_low[0], first), low(more_low[1], second), low(more_low[2], third)],
            [high(more_high[0], first), high(more_high[1], second), high(more_high[2], third)],
        )
    }
}

/// Eight blocks as limbs; those present have a bit above them.
#[target_feature(enable = "avx512f")]
fn split(group: &[u8; GROUP], present: __mmask8) -> Lanes {
    let (first, second) = group.split_at(GROUP / 2);
    // SAFETY: either half is 64 bytes long, and any alignment will do.
    let first = unsafe { _mm512_loadu_si512(first.as_ptr().cast()) };
    // SAFETY: as above.
    let second = unsafe { _mm512_loadu_si512(second.as_ptr().cast()) };
    let (low, high) = (_mm512_unpacklo_epi64(first, second), _mm512_unpackhi_epi64(first, second));
    let mask = _mm512_set1_epi64(MASK_44.cast_signed());
    let middle = _mm512_or_si512(_mm512_srli_epi64::<44>(low), _mm512_slli_epi64::<20>(high));
    let above = _mm512_maskz_set1_epi64(present, 1 << 40);
    [
        _mm512_and_si512(low, mask),
        _mm512_and_si512(middle, mask),
        _mm512_or_si512(_mm512_srli_epi64::<24>(high), above),
    ]
}

/// Halves of products as limbs again, carried twice, all limbs at once.
#[target_feature(enable = "avx512f")]
fn reduce((low, high): (Lanes, Lanes)) -> Lanes {
    let carries = [
        _mm512_add_epi64(_mm512_srli_epi64::<44>(low[0]), _mm512_slli_epi64::<8>(high[0])),
        _mm512_add_epi64(_mm512_srli_epi64::<44>(low[1]), _mm512_slli_epi64::<8>(high[1])),
        _mm512_add_epi64(_mm512_srli_epi64::<42>(low[2]), _mm512_slli_epi64::<10>(high[2])),
    ];
    let sums = carry(low, carries);
    let carries = [
        _mm512_srli_epi64::<44>(sums[0]),
        _mm512_srli_epi64::<44>(sums[1]),
        _mm512_srli_epi64::<42>(sums[2]),
    ];
    carry(sums, carries)
}

/// The limbs of `from` with what the limbs below carry; 2¹³⁰ is 5.
#[target_feature(enable = "avx512f")]
fn carry(from: Lanes, [c0, c1, c2]: Lanes) -> Lanes {
    let (mask_44, mask_42) =
        (_mm512_set1_epi64(MASK_44.cast_signed()), _mm512_set1_epi64(MASK_42.cast_signed()));
    let five = _mm512_add_epi64(c2, _mm512_slli_epi64::<2>(c2));
    [
        _mm512_add_epi64(_mm512_and_si512(from[0], mask_44), five),
        _mm512_add_epi64(_mm512_and_si512(from[1], mask_44), c0),
        _mm512_add_epi64(_mm512_and_si512(from[2], mask_42), c1),
    ]
}

/// Adds the lanes up, takes what is left modulo 2¹³⁰ − 5, and adds the key's second half.
#[target_feature(enable = "avx512f")]
fn finish((low, high): (Lanes, Lanes), key: &[u8; 32]) -> [u8; 16] {
    let total = |lanes: __m512i| u128::from(_mm512_reduce_add_epi64(lanes).cast_unsigned());
    let limb = |at: usize| total(low[at]) + (total(high[at]) << 52);
    let [h0, h1, h2] = carried([limb(0), limb(1), limb(2)]);
    let [h0, h1, h2] = carried([h0.into(), h1.into(), h2.into()]);
    let (h1, h2) = (h1 & MASK_44, h2 + (h1 >> 44));
    // What is left when 2^130 - 5 is taken away, if that can be.
    let g0 = h0 + 5;
    let g1 = h1 + (g0 >> 44);
    let g2 = (h2 + (g1 >> 44)).wrapping_sub(1 << 42);
    let keep = (g2 >> 63).wrapping_neg();
    let choose = |kept: u64, other: u64| u128::from((kept & keep) | (other & !keep));
    let (h0, h1, h2) = (choose(h0, g0 & MASK_44), choose(h1, g1 & MASK_44), choose(h2, g2));
    let sum = h0 | h1 << 44 | h2 << 88;
    let pad = u128::from(word(key, 16)) | u128::from(word(key, 24)) << 64;
    sum.wrapping_add(pad).to_le_bytes()
}
