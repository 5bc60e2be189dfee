//! The generator of random bytes.

use wavry_thin::Entropy;

/// HERE: the chip's generator.
pub struct Generator;

impl Entropy for Generator {
    /// HERE: bytes of a generator that tests its own noise; `false` when that test fails, or when there is none. Never a
    /// counter, a serial number or a constant: without entropy there is no key, and the client says so.
    fn fill(&mut self, _: &mut [u8]) -> bool {
        false
    }
}
