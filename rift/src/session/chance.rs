//! What the application's entropy is kept in, until a session needs something nobody can guess.
//!
//! The pool only ever moves forward: who sees it learns nothing of what was drawn before, and what is mixed in shuts
//! out again who has seen it.

use blake2::{Blake2s256, Digest};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Chance {
    pool: [u8; 32],
    is_seeded: bool,
}

impl Chance {
    pub(super) const fn new() -> Self {
        Self { pool: [0; 32], is_seeded: false }
    }

    pub(super) fn mix(&mut self, entropy: &[u8; 32]) {
        self.pool = *hash(b"rift entropy", &self.pool, entropy);
        self.is_seeded = true;
    }

    /// 32 bytes that were never drawn before; `None` before there is entropy.
    pub(super) fn draw(&mut self) -> Option<Zeroizing<[u8; 32]>> {
        if !self.is_seeded {
            return None;
        }
        let drawn = hash(b"rift draw", &self.pool, &[]);
        self.pool = *hash(b"rift next", &self.pool, &[]);
        Some(drawn)
    }
}

fn hash(label: &[u8], pool: &[u8; 32], more: &[u8]) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(
        Blake2s256::new().chain_update(label).chain_update(pool).chain_update(more).finalize().into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_drawn_before_entropy_came_and_nothing_twice() {
        let mut chance = Chance::new();
        assert!(chance.draw().is_none());
        chance.mix(&[1; 32]);
        let (first, second) = (chance.draw(), chance.draw());
        assert!(first.is_some() && first != second);
        let mut other = Chance::new();
        other.mix(&[1; 32]);
        assert_eq!(other.draw(), first, "the same entropy gives the same");
        other.mix(&[2; 32]);
        assert_ne!(other.draw(), second);
    }
}
