//! Secrets of a board, from a generator that may be weak.
//!
//! A board's generator may be broken, or repeat itself after a power cut. So no secret is its output alone: each is
//! BLAKE2s over a label, fresh output, the board's static secret, the number of this start and a counter of draws. The number of the
//! start is written to the flash memory before anything is drawn ([`crate::settings`]), so the same secret does not come
//! twice even if the generator gives the same bytes; and who knows the generator's output does not know the static secret.
//! A generator that says it has nothing is a reason to stop, never to go on.

use blake2::{Blake2s256, Digest as _};
use zeroize::Zeroizing;

/// A generator of random bytes.
pub trait Entropy {
    /// Fills `bytes`; `false` when it cannot, and then what is in them is not to be used.
    #[must_use]
    fn fill(&mut self, bytes: &mut [u8]) -> bool;
}

/// The generator has nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoEntropy;

/// Draws secrets; see the module.
pub struct Draws<E> {
    entropy: E,
    secret: Zeroizing<[u8; 32]>,
    boots: u32,
    drawn: u64,
}

impl<E: Entropy> Draws<E> {
    /// Draws of start number `boots`, which has been written down, of the board with this static secret.
    #[must_use]
    pub fn new(entropy: E, secret: [u8; 32], boots: u32) -> Self {
        Self { entropy, secret: Zeroizing::new(secret), boots, drawn: 0 }
    }

    /// A secret that was never drawn before.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn draw(&mut self) -> Result<Zeroizing<[u8; 32]>, NoEntropy> {
        let fresh = fresh(&mut self.entropy)?;
        self.drawn += 1;
        let digest = Blake2s256::new()
            .chain_update(b"wavry thin draw")
            .chain_update(*fresh)
            .chain_update(*self.secret)
            .chain_update(self.boots.to_le_bytes())
            .chain_update(self.drawn.to_le_bytes())
            .finalize();
        Ok(Zeroizing::new(digest.into()))
    }
}

/// The static secret of a board that has none yet.
///
/// # Errors
/// [`NoEntropy`].
pub fn first_secret(entropy: &mut impl Entropy) -> Result<Zeroizing<[u8; 32]>, NoEntropy> {
    let (one, other) = (fresh(entropy)?, fresh(entropy)?);
    let digest = Blake2s256::new()
        .chain_update(b"wavry thin secret")
        .chain_update(*one)
        .chain_update(*other)
        .finalize();
    Ok(Zeroizing::new(digest.into()))
}

/// 32 bytes; a generator that gives the same byte all over has nothing, whatever it says.
fn fresh(entropy: &mut impl Entropy) -> Result<Zeroizing<[u8; 32]>, NoEntropy> {
    let mut bytes = Zeroizing::new([0; 32]);
    let is_filled = entropy.fill(&mut bytes[..]);
    let is_flat = bytes.iter().all(|&byte| byte == bytes[0]);
    if is_filled && !is_flat { Ok(bytes) } else { Err(NoEntropy) }
}

impl<E> core::fmt::Debug for Draws<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Draws")
            .field("boots", &self.boots)
            .field("drawn", &self.drawn)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives the same bytes for ever.
    struct Stuck(u8);

    impl Entropy for Stuck {
        fn fill(&mut self, bytes: &mut [u8]) -> bool {
            bytes.iter_mut().zip(self.0..=255).for_each(|(place, byte)| *place = byte);
            true
        }
    }

    /// Says that it has nothing, or that it has and gives only one byte.
    struct Dead(bool);

    impl Entropy for Dead {
        fn fill(&mut self, _: &mut [u8]) -> bool {
            self.0
        }
    }

    #[test]
    fn stuck_generator_gives_no_secret_twice() {
        let mut draws = Draws::new(Stuck(1), [3; 32], 7);
        let first = draws.draw().expect("it gives bytes");
        let second = draws.draw().expect("it gives bytes");
        assert_ne!(first, second);
        for (secret, boots) in [([3; 32], 8), ([4; 32], 7)] {
            let other = Draws::new(Stuck(1), secret, boots).draw().expect("it gives bytes");
            assert!(other != first && other != second, "another start or board has other secrets");
        }
        assert_ne!(first_secret(&mut Stuck(1)), first_secret(&mut Stuck(2)));
    }

    #[test]
    fn dead_generator_gives_none() {
        for says in [false, true] {
            assert_eq!(Draws::new(Dead(says), [3; 32], 7).draw(), Err(NoEntropy));
            assert_eq!(first_secret(&mut Dead(says)), Err(NoEntropy));
        }
    }
}
