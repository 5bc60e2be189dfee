//! Which packets a line loses: two states, good and bad, in which it stays for a geometric number of packets
//! (E. Gilbert, "Capacity of a Burst-Noise Channel", 1960). Independent losses are the case whose mean burst is
//! 1 / (1 − loss).

/// A line's long-run loss and its mean burst.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// Its stable name.
    pub(crate) name: &'static str,
    /// The share of packets lost.
    pub(crate) loss: f64,
    /// Packets a burst loses on average.
    pub(crate) burst: f64,
}

/// The cases of the table. The bursts are those with which the codes that need no clock lose what is known of them.
pub(crate) const CASES: [Case; 4] = [
    Case { name: "ge-mild", loss: 0.008, burst: 2.2 },
    Case { name: "ge-bursty", loss: 0.014, burst: 7.0 },
    Case { name: "iid1", loss: 0.01, burst: 1.0 / 0.99 },
    Case { name: "iid5", loss: 0.05, burst: 1.0 / 0.95 },
];

/// SplitMix64 (G. Steele et al., "Fast splittable pseudorandom number generators", 2014).
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0xd1b5_4a32_d192_ed03)
    }

    pub(super) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// In the open interval from 0 to 1.
    pub(super) fn unit(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Trials until something of this probability happens, at least 1.
    fn geometric(&mut self, probability: f64) -> u64 {
        (self.unit().ln() / (1.0 - probability).ln()).ceil().max(1.0) as u64
    }
}

/// A line in one of its two states.
#[derive(Clone, Debug)]
pub(super) struct Line {
    random: Random,
    good_to_bad: f64,
    bad_to_good: f64,
    is_bad: bool,
    left: u64,
}

impl Line {
    pub(super) fn new(case: &Case, seed: u64) -> Self {
        let bad_to_good = 1.0 / case.burst;
        let good_to_bad = case.loss * bad_to_good / (1.0 - case.loss);
        let mut random = Random::new(seed);
        let left = random.geometric(good_to_bad);
        Self { random, good_to_bad, bad_to_good, is_bad: false, left }
    }

    /// Packets that certainly arrive.
    pub(super) const fn good(&self) -> u64 {
        if self.is_bad { 0 } else { self.left }
    }

    /// Passes so many packets, which [`Self::good`] says arrive.
    pub(super) const fn skip(&mut self, count: u64) {
        self.left -= count;
    }

    /// Whether the next packet is lost.
    pub(super) fn loses(&mut self) -> bool {
        if self.left == 0 {
            self.is_bad = !self.is_bad;
            let leaves = if self.is_bad { self.bad_to_good } else { self.good_to_bad };
            self.left = self.random.geometric(leaves);
        }
        self.left -= 1;
        self.is_bad
    }
}
