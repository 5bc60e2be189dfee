//! Twenty blocks of ChaCha20 at once (RFC 8439 §2.3): sixteen with a word of each in a register, four with a row of each,
//! both in one loop, so that the ones' sums fill the gaps of the others' chains.

use core::arch::x86_64::{
    __m128i, __m512i, __mmask64, _mm_loadu_si128, _mm512_add_epi32, _mm512_broadcast_i32x4,
    _mm512_loadu_si512, _mm512_mask_storeu_epi8, _mm512_maskz_loadu_epi8, _mm512_rol_epi32,
    _mm512_set1_epi32, _mm512_setr_epi32, _mm512_setzero_si512, _mm512_shuffle_epi32, _mm512_shuffle_i32x4,
    _mm512_storeu_si512, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32,
    _mm512_unpacklo_epi64, _mm512_xor_si512,
};

/// Bytes of a block.
pub(super) const BLOCK: usize = 64;
/// Blocks made at once.
pub(super) const BLOCKS: usize = 20;
/// Those of them that lie across registers, a word of each in one.
const ACROSS: usize = 16;

pub(super) type Stream = [[u8; BLOCK]; BLOCKS];

/// "expand 32-byte k".
const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];

/// The key stream from block `counter` on.
#[target_feature(enable = "avx512f")]
pub(super) fn stream(key: &[u8; 32], nonce: &[u8; 12], counter: u32) -> Stream {
    let words = words(key, nonce, counter);
    let across = across(&words);
    let rows = rows(&words);
    let (mut a, mut r) = (across, rows);
    for _ in 0..10 {
        double_round_across(&mut a);
        double_round_rows(&mut r);
    }
    for (sum, start) in a.iter_mut().zip(across) {
        *sum = _mm512_add_epi32(*sum, start);
    }
    for (sum, start) in r.iter_mut().zip(rows) {
        *sum = _mm512_add_epi32(*sum, start);
    }
    let mut stream = [[0; BLOCK]; BLOCKS];
    for (column, four) in gather(&a).into_iter().enumerate() {
        for (lane, block) in four.into_iter().enumerate() {
            store(&mut stream[4 * lane + column], block);
        }
    }
    for (lane, block) in turn(r).into_iter().enumerate() {
        store(&mut stream[ACROSS + lane], block);
    }
    stream
}

/// Adds key stream to a text that is at most as long.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn add(text: &mut [u8], stream: &[[u8; BLOCK]]) {
    for (text, block) in text.chunks_mut(BLOCK).zip(stream) {
        let mask: __mmask64 = u64::MAX >> (BLOCK - text.len());
        // SAFETY: the mask has a bit for each byte of the text and no more; what has none is not touched.
        let bytes = unsafe { _mm512_maskz_loadu_epi8(mask, text.as_ptr().cast()) };
        let sum = _mm512_xor_si512(bytes, load(block));
        // SAFETY: as above.
        unsafe { _mm512_mask_storeu_epi8(text.as_mut_ptr().cast(), mask, sum) };
    }
}

/// The state of the first block.
fn words(key: &[u8; 32], nonce: &[u8; 12], counter: u32) -> [u32; 16] {
    let mut words = [0; 16];
    words[..4].copy_from_slice(&CONSTANTS);
    let (keys, nonces) = (key.as_chunks().0.iter(), nonce.as_chunks().0.iter());
    for (word, &bytes) in words[4..12].iter_mut().zip(keys) {
        *word = u32::from_le_bytes(bytes);
    }
    words[12] = counter;
    for (word, &bytes) in words[13..].iter_mut().zip(nonces) {
        *word = u32::from_le_bytes(bytes);
    }
    words
}

/// Sixteen states, a word of each in a register.
#[target_feature(enable = "avx512f")]
fn across(words: &[u32; 16]) -> [__m512i; 16] {
    let mut states = [_mm512_setzero_si512(); 16];
    for (state, word) in states.iter_mut().zip(words) {
        *state = _mm512_set1_epi32(word.cast_signed());
    }
    let ahead = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    states[12] = _mm512_add_epi32(states[12], ahead);
    states
}

/// The four states after those, a row of each in a register.
#[target_feature(enable = "avx512f")]
fn rows(words: &[u32; 16]) -> [__m512i; 4] {
    let mut states = [_mm512_setzero_si512(); 4];
    for (state, row) in states.iter_mut().zip(words.as_chunks::<4>().0) {
        // SAFETY: a row is 16 bytes long, and any alignment will do.
        let row: __m128i = unsafe { _mm_loadu_si128(row.as_ptr().cast()) };
        *state = _mm512_broadcast_i32x4(row);
    }
    let ahead = _mm512_setr_epi32(16, 0, 0, 0, 17, 0, 0, 0, 18, 0, 0, 0, 19, 0, 0, 0);
    states[3] = _mm512_add_epi32(states[3], ahead);
    states
}

#[target_feature(enable = "avx512f")]
fn double_round_across(s: &mut [__m512i; 16]) {
    for [a, b, c, d] in [[0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15]] {
        [s[a], s[b], s[c], s[d]] = quarter_round([s[a], s[b], s[c], s[d]]);
    }
    for [a, b, c, d] in [[0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14]] {
        [s[a], s[b], s[c], s[d]] = quarter_round([s[a], s[b], s[c], s[d]]);
    }
}

#[target_feature(enable = "avx512f")]
fn double_round_rows(s: &mut [__m512i; 4]) {
    let [a, b, c, d] = quarter_round(*s);
    let diagonal = [
        a,
        _mm512_shuffle_epi32::<0b00_11_10_01>(b),
        _mm512_shuffle_epi32::<0b01_00_11_10>(c),
        _mm512_shuffle_epi32::<0b10_01_00_11>(d),
    ];
    let [a, b, c, d] = quarter_round(diagonal);
    *s = [
        a,
        _mm512_shuffle_epi32::<0b10_01_00_11>(b),
        _mm512_shuffle_epi32::<0b01_00_11_10>(c),
        _mm512_shuffle_epi32::<0b00_11_10_01>(d),
    ];
}

#[target_feature(enable = "avx512f")]
fn quarter_round([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    let a = _mm512_add_epi32(a, b);
    let d = _mm512_rol_epi32::<16>(_mm512_xor_si512(d, a));
    let c = _mm512_add_epi32(c, d);
    let b = _mm512_rol_epi32::<12>(_mm512_xor_si512(b, c));
    let a = _mm512_add_epi32(a, b);
    let d = _mm512_rol_epi32::<8>(_mm512_xor_si512(d, a));
    let c = _mm512_add_epi32(c, d);
    let b = _mm512_rol_epi32::<7>(_mm512_xor_si512(b, c));
    [a, b, c, d]
}

/// From a word of each block in a register to blocks: number `4 * lane + column` at `[column][lane]`.
#[target_feature(enable = "avx512f")]
fn gather(s: &[__m512i; 16]) -> [[__m512i; 4]; 4] {
    let mut columns = [[_mm512_setzero_si512(); 4]; 4];
    for (at, four) in s.as_chunks::<4>().0.iter().enumerate() {
        let (low, high) = (_mm512_unpacklo_epi32(four[0], four[1]), _mm512_unpackhi_epi32(four[0], four[1]));
        let (low_2, high_2) =
            (_mm512_unpacklo_epi32(four[2], four[3]), _mm512_unpackhi_epi32(four[2], four[3]));
        columns[0][at] = _mm512_unpacklo_epi64(low, low_2);
        columns[1][at] = _mm512_unpackhi_epi64(low, low_2);
        columns[2][at] = _mm512_unpacklo_epi64(high, high_2);
        columns[3][at] = _mm512_unpackhi_epi64(high, high_2);
    }
    let [a, b, c, d] = columns;
    [turn(a), turn(b), turn(c), turn(d)]
}

/// Four registers of four rows each, turned: row `i` of register `j` becomes row `j` of register `i`.
#[target_feature(enable = "avx512f")]
fn turn([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    let (first, second) = (_mm512_shuffle_i32x4::<0x44>(a, b), _mm512_shuffle_i32x4::<0xee>(a, b));
    let (first_2, second_2) = (_mm512_shuffle_i32x4::<0x44>(c, d), _mm512_shuffle_i32x4::<0xee>(c, d));
    [
        _mm512_shuffle_i32x4::<0x88>(first, first_2),
        _mm512_shuffle_i32x4::<0xdd>(first, first_2),
        _mm512_shuffle_i32x4::<0x88>(second, second_2),
        _mm512_shuffle_i32x4::<0xdd>(second, second_2),
    ]
}

#[target_feature(enable = "avx512f")]
fn load(block: &[u8; BLOCK]) -> __m512i {
    // SAFETY: a block is 64 bytes long, and any alignment will do.
    unsafe { _mm512_loadu_si512(block.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
fn store(to: &mut [u8; BLOCK], block: __m512i) {
    // SAFETY: the place is 64 bytes long, and any alignment will do.
    unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), block) };
}
