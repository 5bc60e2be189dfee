//! The entropy stage: an adaptive binary range coder (SPEC §3).
//!
//! [`Coder`] is one interface for both directions: the walk over a picture's symbols is written once and is generic
//! over it. When it writes, it is given each symbol; when it reads, it gives each. So the two directions cannot
//! disagree. Invariant: whatever bytes are read, every symbol read is within its range.

/// The probability of a zero in the upper 12 bits, and in the lower 4 how much was learnt so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bit(u16);

const PROBABILITY_BITS: u32 = 12;
const ONE: u16 = 1 << PROBABILITY_BITS;
/// How far a probability moves towards what was seen, as a shift, by how often it has been used: fast at first.
const RATES: [u8; 16] = [1, 2, 2, 3, 3, 3, 4, 4, 4, 4, 4, 5, 5, 5, 5, 5];

impl Bit {
    /// Nothing is known.
    pub(crate) const EVEN: Self = Self::new(ONE / 2, 0);
    /// No bit at all: zeros in memory.
    pub(crate) const BLANK: Self = Self(0);
    /// It is hardly ever set.
    pub(crate) const RARE: Self = Self::new(ONE - ONE / 16, 2);

    /// A bit that is zero with probability `zero` / 4096 (1–4095), known as well as after `seen` bits (0–15).
    pub(crate) const fn new(zero: u16, seen: u16) -> Self {
        Self(zero << 4 | seen)
    }

    const fn zero(self) -> u32 {
        (self.0 >> 4) as u32
    }

    fn learn(&mut self, value: bool) {
        let seen = self.0 & 15;
        let rate = RATES[usize::from(seen)];
        let zero = self.0 >> 4;
        let zero = if value { zero - (zero >> rate) } else { zero + ((ONE - zero) >> rate) };
        // The lowest rate leaves 31 on either side; a high one may reach the end.
        let zero = zero.clamp(16, ONE - 16);
        self.0 = zero << 4 | (seen + 1).min(15);
    }
}

/// Reads or writes symbols; see the module.
pub(crate) trait Coder {
    /// Whether symbols are written.
    const WRITES: bool;

    /// A bit under an adaptive probability.
    fn bit(&mut self, model: &mut Bit, value: bool) -> bool;

    /// A number below `total` (1–65536), all equally likely.
    fn uniform(&mut self, total: u32, value: u32) -> u32;

    /// Whether more was read than there is, or there was no room to write.
    fn is_over(&self) -> bool;

    /// As [`Self::tree`] of 4 for a number below `end`: bits that can only be zero are not coded.
    fn tree_below(&mut self, models: &mut [Bit; 16], end: u32, value: u32) -> u32 {
        let mut node = 1;
        for level in (0..4).rev() {
            // The least number in the upper branch.
            let upper = ((node << 1 | 1) << level) & 15;
            let is_possible = upper < end;
            let bit = is_possible && self.bit(&mut models[node as usize & 15], value >> level & 1 == 1);
            node = node << 1 | u32::from(bit);
        }
        node & 15
    }

    /// A number of `DEPTH` bits, the highest first, each under a probability of its own; `models` has `1 << DEPTH`.
    fn tree<const DEPTH: u32>(&mut self, models: &mut [Bit], value: u32) -> u32 {
        let mut node = 1;
        for level in (0..DEPTH).rev() {
            let bit = models.get_mut(node as usize).map(|model| self.bit(model, value >> level & 1 == 1));
            node = node << 1 | u32::from(bit.unwrap_or(false));
        }
        node & ((1 << DEPTH) - 1)
    }
}

const RANGE_MIN: u32 = 1 << 24;
/// Zero bytes at the end are left out, so many at most, and read as if they were there.
const ZEROS_MAX: usize = 4;

/// Reads symbols.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    range: u32,
    code: u32,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        let mut reader = Self { bytes, at: 0, range: u32::MAX, code: 0 };
        for _ in 0..4 {
            reader.code = reader.code << 8 | reader.byte();
        }
        reader
    }

    /// Whether everything was read.
    pub(crate) const fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    fn byte(&mut self) -> u32 {
        let byte = self.bytes.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        byte.into()
    }

    fn normalize(&mut self) {
        while self.range < RANGE_MIN {
            self.range <<= 8;
            self.code = self.code << 8 | self.byte();
        }
    }
}

impl Coder for Reader<'_> {
    const WRITES: bool = false;

    #[inline]
    fn bit(&mut self, model: &mut Bit, _value: bool) -> bool {
        let bound = (self.range >> PROBABILITY_BITS) * model.zero();
        let value = self.code >= bound;
        if value {
            self.code -= bound;
            self.range -= bound;
        } else {
            self.range = bound;
        }
        model.learn(value);
        if self.range < RANGE_MIN {
            self.range <<= 8;
            self.code = self.code << 8 | self.byte();
            // Only a probability at its end can need two.
            self.normalize();
        }
        value
    }

    fn uniform(&mut self, total: u32, _value: u32) -> u32 {
        let step = self.range / total.max(1);
        let value = (self.code / step).min(total.saturating_sub(1));
        self.code -= step * value;
        self.range = step;
        self.normalize();
        value
    }

    fn is_over(&self) -> bool {
        self.at > self.bytes.len() + ZEROS_MAX
    }
}

/// Writes symbols.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    out: &'a mut [u8],
    state: WriterState,
}

/// Where a [`Writer`] stands, to come back to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriterState {
    low: u64,
    range: u32,
    /// The last byte that a carry may still change, and how many 0xff after it.
    held: u8,
    held_ones: u32,
    is_first: bool,
    len: usize,
    is_over: bool,
}

impl<'a> Writer<'a> {
    pub(crate) const fn new(out: &'a mut [u8]) -> Self {
        let state = WriterState {
            low: 0,
            range: u32::MAX,
            held: 0,
            held_ones: 0,
            is_first: true,
            len: 0,
            is_over: false,
        };
        Self { out, state }
    }

    pub(crate) const fn state(&self) -> WriterState {
        self.state
    }

    /// Goes back to where it stood: bytes written since then are forgotten.
    pub(crate) const fn restore(&mut self, state: WriterState) {
        self.state = state;
    }

    /// Bytes written so far, those held back included.
    pub(crate) const fn len(&self) -> usize {
        self.state.len + self.state.held_ones as usize + 1
    }

    /// Bytes there are for it all.
    pub(crate) const fn room(&self) -> usize {
        self.out.len()
    }

    /// Writes what is held back; gives the length of it all, or `None` when there was no room.
    pub(crate) fn finish(mut self) -> Option<usize> {
        // Of all numbers that mean the same, the one with the most zeros at its end.
        let (low, end) = (self.state.low, self.state.low + u64::from(self.state.range));
        let roundest = (0..=32).rev().map(|bits| {
            let mask = (1u64 << bits) - 1;
            (low + mask) & !mask
        });
        self.state.low = roundest.into_iter().find(|&value| value < end).unwrap_or(low);
        for _ in 0..5 {
            self.shift();
        }
        if self.state.is_over {
            return None;
        }
        let written = self.out.get(..self.state.len)?;
        let zeros = written.iter().rev().take(ZEROS_MAX).take_while(|&&byte| byte == 0).count();
        Some(self.state.len - zeros)
    }

    fn put(&mut self, byte: u8) {
        // The very first byte can only be zero.
        if core::mem::take(&mut self.state.is_first) {
            return;
        }
        match self.out.get_mut(self.state.len) {
            Some(place) => {
                *place = byte;
                self.state.len += 1;
            }
            None => self.state.is_over = true,
        }
    }

    fn shift(&mut self) {
        let low = self.state.low;
        if low < 0xff00_0000 || low > u64::from(u32::MAX) {
            let carry = (low >> 32) as u8;
            self.put(self.state.held.wrapping_add(carry));
            for _ in 0..self.state.held_ones {
                self.put(0xffu8.wrapping_add(carry));
            }
            self.state.held_ones = 0;
            self.state.held = (low >> 24) as u8;
        } else {
            self.state.held_ones += 1;
        }
        self.state.low = (low & 0x00ff_ffff) << 8;
    }

    fn normalize(&mut self) {
        while self.state.range < RANGE_MIN {
            self.state.range <<= 8;
            self.shift();
        }
    }
}

impl Coder for Writer<'_> {
    const WRITES: bool = true;

    fn bit(&mut self, model: &mut Bit, value: bool) -> bool {
        let bound = (self.state.range >> PROBABILITY_BITS) * model.zero();
        if value {
            self.state.low += u64::from(bound);
            self.state.range -= bound;
        } else {
            self.state.range = bound;
        }
        model.learn(value);
        self.normalize();
        value
    }

    fn uniform(&mut self, total: u32, value: u32) -> u32 {
        let step = self.state.range / total.max(1);
        self.state.low += u64::from(step) * u64::from(value);
        self.state.range = step;
        self.normalize();
        value
    }

    fn is_over(&self) -> bool {
        self.state.is_over
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec;
    use std::vec::Vec;

    use super::*;

    /// A few thousand symbols of every kind, drawn from a seed; gives what the coder gave.
    fn story<C: Coder>(coder: &mut C, seed: u64) -> Vec<u32> {
        let mut state = seed | 1;
        let mut bits = [Bit::EVEN; 16];
        let mut given = Vec::new();
        for step in 0..3000u32 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let value = (state >> 32) as u32;
            given.push(match step % 5 {
                0 => coder.uniform(1 + step * 21, value % (1 + step * 21)),
                1 => coder.tree::<4>(&mut bits, value & 3),
                2 => coder.uniform(65536, if seed & 2 == 0 { 65535 } else { 0 }),
                _ => u32::from(coder.bit(&mut bits[0], value.is_multiple_of(2 + seed as u32 % 50))),
            });
        }
        given
    }

    #[test]
    fn symbols_come_back_and_all_bytes_are_used() {
        for seed in 1..200 {
            let mut out = vec![0; 20_000];
            let mut writer = Writer::new(&mut out);
            let written = story(&mut writer, seed);
            let len = writer.finish().unwrap();
            let mut reader = Reader::new(&out[..len]);
            assert_eq!(story(&mut reader, seed), written, "seed {seed}");
            assert!(!reader.is_over() && reader.is_at_end(), "seed {seed}");
        }
    }

    #[test]
    fn too_little_room_is_told_and_state_comes_back() {
        let mut out = [0; 100];
        let mut writer = Writer::new(&mut out);
        let mut bit = Bit::EVEN;
        writer.uniform(1000, 777);
        let (state, kept) = (writer.state(), bit);
        for _ in 0..1000 {
            writer.uniform(65536, 12345);
        }
        assert!(writer.is_over());
        writer.restore(state);
        bit = kept;
        writer.bit(&mut bit, true);
        let len = writer.finish().unwrap();
        let mut reader = Reader::new(&out[..len]);
        assert_eq!(reader.uniform(1000, 0), 777);
        assert!(reader.bit(&mut { Bit::EVEN }, false));
    }

    #[test]
    fn anything_reads_as_symbols_in_range() {
        for byte in 0..=255 {
            let bytes = [byte; 64];
            let mut reader = Reader::new(&bytes);
            for total in [1, 2, 3, 65536, 7, 1000] {
                for _ in 0..50 {
                    assert!(reader.uniform(total, 0) < total);
                }
            }
            assert!(reader.is_over());
        }
    }
}
