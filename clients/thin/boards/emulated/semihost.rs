//! What the emulator has for the board: random bytes, and what its owner says.

use core::net::SocketAddr;

use rift::PublicKey;
use wavry_thin::{Entropy, PinnedHost, Provision};

/// The machine that the emulator runs on.
pub struct Emulator;

impl Entropy for Emulator {
    fn fill(&mut self, bytes: &mut [u8]) -> bool {
        semihosting::experimental::random::fill_bytes(bytes).is_ok()
    }
}

/// A number that differs from boot to boot; need not be secret.
pub fn seed() -> u64 {
    let mut bytes = [0; 8];
    // Without it the stack picks its ports as it did the last time; the client itself then stops for want of entropy.
    let _ = Emulator.fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// The host named on the command line, if one is: where it is, who it is, or both.
pub fn provision() -> Provision {
    const LINE_LEN: usize = 256;
    let Ok(words) = semihosting::experimental::env::args::<LINE_LEN>() else { return Provision::default() };
    let (mut address, mut key) = (None, None);
    for word in (&words).into_iter().flatten() {
        if let Some(text) = word.strip_prefix("host=") {
            address = text.parse::<SocketAddr>().ok();
        } else if let Some(text) = word.strip_prefix("id=") {
            key = text.parse::<PublicKey>().ok();
        }
    }
    let there = address.map(|address| PinnedHost { address, key, successor: None });
    Provision::of(there.or(key.map(PinnedHost::anywhere)))
}
