//! Which packet numbers have come already (SPEC §5): a sliding window of bits, after RFC 6479.
//!
//! The bits are a ring of words, so the window moves by whole words and nothing is ever shifted. It knows of no
//! keys: call [`ReplayWindow::accept`] only for a packet that opened, or a forger moves the window.

/// Words of the ring.
const WORDS: usize = 32;
const WORD_BITS: u64 = u64::BITS as u64;

/// Remembers the last packets; each number passes once. 264 bytes.
#[derive(Clone, Debug)]
pub struct ReplayWindow {
    ring: [u64; WORDS],
    /// The largest number accepted; 0 before the first.
    largest: u64,
}

impl ReplayWindow {
    /// Numbers that are told apart, at the least: a number that lies this far behind the largest one or further
    /// may be taken for old; one nearer never is.
    pub const SPAN: u64 = (WORDS as u64 - 1) * WORD_BITS + 1;

    /// A window that has seen nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { ring: [0; WORDS], largest: 0 }
    }

    /// Whether `pn` has not been accepted and is not too old to tell. In constant time, one word is read.
    #[must_use]
    pub const fn is_fresh(&self, pn: u64) -> bool {
        let (word, bit) = place(pn);
        let newest = self.largest / WORD_BITS;
        word > newest || (newest - word < WORDS as u64 && self.ring[slot(word)] & bit == 0)
    }

    /// Marks `pn` as seen. A number too old for the window changes nothing. Clears at most 32 words, however far
    /// `pn` jumps.
    pub const fn accept(&mut self, pn: u64) {
        let (word, bit) = place(pn);
        let newest = self.largest / WORD_BITS;
        if word + (WORDS as u64) <= newest {
            return;
        }
        let mut ahead = word.saturating_sub(newest);
        if ahead > WORDS as u64 {
            ahead = WORDS as u64;
        }
        while ahead > 0 {
            ahead -= 1;
            self.ring[slot(word - ahead)] = 0;
        }
        self.ring[slot(word)] |= bit;
        if pn > self.largest {
            self.largest = pn;
        }
    }

    /// The number after the largest accepted one, 0 before the first: what `expand` wants. Stays at `u64::MAX`.
    #[must_use]
    pub const fn expected(&self) -> u64 {
        let (word, bit) = place(self.largest);
        if self.ring[slot(word)] & bit == 0 { 0 } else { self.largest.saturating_add(1) }
    }
}

impl Default for ReplayWindow {
    fn default() -> Self {
        Self::new()
    }
}

/// The word of the endless row of words that has the bit of `pn`, and that bit.
const fn place(pn: u64) -> (u64, u64) {
    (pn / WORD_BITS, 1 << (pn % WORD_BITS))
}

/// Where a word of the endless row lies in the ring.
#[expect(clippy::cast_possible_truncation, reason = "the remainder is below 32")]
const fn slot(word: u64) -> usize {
    (word % WORDS as u64) as usize
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::collections::BTreeSet;

    use super::*;

    /// The plain statement of the window: a set of everything, and the age in words.
    #[derive(Default)]
    struct Model {
        seen: BTreeSet<u64>,
    }

    impl Model {
        fn is_fresh(&self, pn: u64) -> bool {
            let newest = self.seen.last().map_or(0, |largest| largest / 64);
            !self.seen.contains(&pn) && pn / 64 + 32 > newest
        }

        fn expected(&self) -> u64 {
            self.seen.last().map_or(0, |largest| largest.saturating_add(1))
        }
    }

    fn step(window: &mut ReplayWindow, model: &mut Model, pn: u64, seed: u64) {
        let fresh = model.is_fresh(pn);
        assert_eq!(window.is_fresh(pn), fresh, "{pn}, seed {seed}");
        window.accept(pn);
        if fresh {
            model.seen.insert(pn);
        }
        assert!(!window.is_fresh(pn), "{pn}, seed {seed}");
        assert_eq!(window.expected(), model.expected(), "{pn}, seed {seed}");
    }

    /// xorshift64*: enough chance for a model test.
    fn next(state: &mut u64) -> u64 {
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    #[test]
    fn agrees_with_the_model_under_reordering_and_jumps() {
        for seed in 1..=64 {
            let (mut window, mut model) = (ReplayWindow::new(), Model::default());
            let mut state = seed;
            let mut at = if seed % 2 == 0 { next(&mut state) >> (seed % 32) } else { 0 };
            for _ in 0..2_000 {
                let chance = next(&mut state);
                let pn = match chance % 16 {
                    0 => at.saturating_add(chance >> 52),
                    1 => at.saturating_add(chance >> 40),
                    2..8 => at.saturating_sub((chance >> 32) % 2_200),
                    _ => at.saturating_add(1),
                };
                at = at.max(pn);
                step(&mut window, &mut model, pn, seed);
            }
        }
    }

    #[test]
    fn after_every_jump_each_number_near_the_window_agrees_with_the_model() {
        for start in [0, 1, 63, 64, 1_000, u64::MAX - 5_000] {
            for jump in [1, 2, 63, 64, 65, 1_984, 1_985, 2_047, 2_048, 2_049, 4_096, 5_000] {
                let (mut window, mut model) = (ReplayWindow::new(), Model::default());
                for pn in (start..start + 130).step_by(3).chain([start + jump]) {
                    if model.is_fresh(pn) {
                        step(&mut window, &mut model, pn, jump);
                    }
                }
                for pn in start.saturating_sub(100)..=start.saturating_add(jump + 200) {
                    assert_eq!(window.is_fresh(pn), model.is_fresh(pn), "{pn} after {jump} from {start}");
                }
            }
        }
    }

    #[test]
    fn at_least_1024_numbers_are_told_apart() {
        const { assert!(ReplayWindow::SPAN >= 1_024) }
        for largest in 10_000..10_064 {
            let mut window = ReplayWindow::new();
            window.accept(largest);
            for behind in 1..ReplayWindow::SPAN {
                assert!(window.is_fresh(largest - behind), "{behind} behind {largest}");
                window.accept(largest - behind);
                assert!(!window.is_fresh(largest - behind));
            }
            assert!(!window.is_fresh(largest - 2_048), "out of the window is never fresh");
        }
    }

    #[test]
    fn both_ends_of_the_range_pass_once() {
        let mut window = ReplayWindow::new();
        assert_eq!(window.expected(), 0);
        for pn in [0, 1, u64::MAX - 1, u64::MAX] {
            assert!(window.is_fresh(pn));
            window.accept(pn);
            assert!(!window.is_fresh(pn));
        }
        assert!(!window.is_fresh(0) && !window.is_fresh(2));
        assert_eq!(window.expected(), u64::MAX);
    }

    #[test]
    fn a_number_too_old_changes_nothing() {
        let mut window = ReplayWindow::new();
        window.accept(100_000);
        let before = window.ring;
        window.accept(100_000 - 4_096);
        assert_eq!(window.ring, before);
        assert_eq!(window.expected(), 100_001);
    }
}
