//! One number for everything that happened.

/// A running hash of a trace: equal traces give equal values, and different ones differ but for chance.
/// Not a cryptographic hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceHash(u64);

impl TraceHash {
    /// Of nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(0x6a09_e667_f3bc_c908)
    }

    /// Takes in one number.
    pub const fn write_u64(&mut self, value: u64) {
        let mixed = (self.0.rotate_left(23) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 29;
    }

    /// Takes in bytes and how many they are.
    pub fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.write_u64(word.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte)));
        }
        let rest = words.remainder().iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
        self.write_u64(rest);
        self.write_u64(bytes.len() as u64);
    }

    /// The hash of everything taken in so far.
    #[must_use]
    pub const fn value(self) -> u64 {
        let mixed = (self.0 ^ self.0 >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
        mixed ^ mixed >> 32
    }
}

impl Default for TraceHash {
    fn default() -> Self {
        Self::new()
    }
}
