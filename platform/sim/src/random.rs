//! Chance from a seed.

use core::time::Duration;

/// A pseudo-random generator: xoshiro256++ 1.0, its state filled by SplitMix64 (D. Blackman, S. Vigna,
/// "Scrambled linear pseudorandom number generators", 2021). For simulation only, never for keys that matter.
#[derive(Clone, Debug)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// The sequence of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut mix = seed;
        let state = core::array::from_fn(|_| split_mix(&mut mix));
        Self { state }
    }

    /// A sequence of its own for `label`, so that draws here do not shift the draws there.
    #[must_use]
    pub fn fork(&self, label: u64) -> Self {
        let mut mix = self.state[0] ^ label.wrapping_mul(0xd1b5_4a32_d192_ed03);
        Self::new(split_mix(&mut mix) ^ self.state[3])
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ b << 17, d.rotate_left(45)];
        result
    }

    /// A number in `0..bound`; 0 when `bound` is 0. Its bias is below 2⁻³² for bounds up to 2³².
    pub fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.next_u64()) * u128::from(bound);
        u64::try_from(product >> 64).expect("a 128-bit product shifted by 64 has 64 bits")
    }

    /// A number in `0.0..1.0`, a multiple of 2⁻⁵³.
    pub fn unit(&mut self) -> f64 {
        const SCALE: f64 = 1.0 / (1u64 << 53) as f64;
        (self.next_u64() >> 11) as f64 * SCALE
    }

    /// `true` with this probability. Draws only when the outcome is open.
    pub fn chance(&mut self, probability: f64) -> bool {
        if probability <= 0.0 {
            return false;
        }
        probability >= 1.0 || self.unit() < probability
    }

    /// Normally distributed with mean 0 and deviation 1, truncated to ±3 by drawing again.
    /// The sum of twelve uniform numbers stands in for the normal distribution.
    pub fn gaussian(&mut self) -> f64 {
        loop {
            let sum: f64 = (0..12).map(|_| self.unit()).sum::<f64>() - 6.0;
            if sum.abs() <= 3.0 {
                return sum;
            }
        }
    }

    /// A duration in `0..=most`.
    pub fn duration(&mut self, most: Duration) -> Duration {
        let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX - 1);
        Duration::from_nanos(self.below(nanos.saturating_add(1)))
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }

    /// 32 random bytes: a stand-in for entropy.
    pub fn bytes32(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.fill(&mut bytes);
        bytes
    }
}

const fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let first = (*state ^ *state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let second = (first ^ first >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    second ^ second >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_mix_gives_its_published_sequence() {
        let mut state = 1_234_567;
        let first: Vec<u64> = (0..3).map(|_| split_mix(&mut state)).collect();
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn xoshiro_gives_its_published_sequence() {
        let mut random = Random { state: [1, 2, 3, 4] };
        let first: Vec<u64> = (0..4).map(|_| random.next_u64()).collect();
        assert_eq!(first, [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386]);
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut random = Random::new(7);
        let n = 100_000;
        let uniform = (0..n).map(|_| random.unit()).sum::<f64>() / f64::from(n);
        assert!((uniform - 0.5).abs() < 0.005, "{uniform}");
        let draws: Vec<f64> = (0..n).map(|_| random.gaussian()).collect();
        let mean = draws.iter().sum::<f64>() / f64::from(n);
        let variance = draws.iter().map(|draw| draw * draw).sum::<f64>() / f64::from(n);
        assert!(mean.abs() < 0.02, "{mean}");
        assert!((variance - 0.98).abs() < 0.03, "{variance}");
        assert!((0..1000).all(|_| random.below(10) < 10));
    }

    #[test]
    fn forks_differ_from_each_other_and_repeat() {
        let random = Random::new(1);
        assert_ne!(random.fork(1).next_u64(), random.fork(2).next_u64());
        assert_eq!(random.fork(1).next_u64(), random.fork(1).next_u64());
    }
}
