//! The chip's generator of random bytes.

use embassy_futures::block_on;
use embassy_stm32::peripherals::RNG;
use embassy_stm32::rng::Rng;
use wavry_thin::Entropy;

/// A seed error may be a passing one; one that stays is a broken generator.
const ATTEMPTS: u32 = 3;

/// The generator, which tests its own noise (RM0468, "True random number generator", health tests).
pub struct Generator(pub Rng<'static, RNG>);

impl Entropy for Generator {
    fn fill(&mut self, bytes: &mut [u8]) -> bool {
        (0..ATTEMPTS).any(|_| block_on(self.0.async_fill_bytes(bytes)).is_ok())
    }
}
