//! The keys of a session's packets, one for each direction and generation (SPEC §5).
//!
//! ```text
//! nonce, 96 bits:  path u32 le | packet number u64 le
//! ```
//!
//! Each path counts its packets from its own start, so the path is part of the nonce. A key does not count: whoever
//! seals gives every packet of a path another number. Keys are zeroized when dropped.

use core::fmt;
use core::marker::PhantomData;

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{Aead, ChaChaPoly};

/// Seals what one side sends and opens it at the other, on every path.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct PacketKey<A = ChaChaPoly> {
    key: [u8; 32],
    #[zeroize(skip)]
    engine: PhantomData<A>,
}

impl<A: Aead> PacketKey<A> {
    /// Works with `key` (`Secrets::send` of the one side, `Secrets::receive` of the other).
    #[must_use]
    pub const fn new(key: [u8; 32]) -> Self {
        Self { key, engine: PhantomData }
    }

    /// Seals `text` in place, authenticates `header` with it, and returns the tag. `pn` must not have been used
    /// on this path before: two texts under one number lose their secrecy.
    #[must_use]
    pub fn seal(&self, path: u32, pn: u64, header: &[u8], text: &mut [u8]) -> [u8; 16] {
        A::seal(&self.key, &nonce(path, pn), header, text)
    }

    /// Opens `text` in place if `tag` is right for it, `path`, `pn` and `header`; returns whether it was. On `false`
    /// the text is unspecified.
    #[must_use]
    pub fn open(&self, path: u32, pn: u64, header: &[u8], text: &mut [u8], tag: &[u8; 16]) -> bool {
        A::open(&self.key, &nonce(path, pn), header, text, tag)
    }

    /// For what is derived from it.
    pub(crate) const fn secret(&self) -> &[u8; 32] {
        &self.key
    }
}

impl<A> fmt::Debug for PacketKey<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacketKey").finish_non_exhaustive()
    }
}

fn nonce(path: u32, pn: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[..4].copy_from_slice(&path.to_le_bytes());
    nonce[4..].copy_from_slice(&pn.to_le_bytes());
    nonce
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [0x42; 32];

    #[test]
    fn opens_only_under_the_same_key_path_number_and_header() {
        let send = PacketKey::<ChaChaPoly>::new(KEY);
        let mut text = *b"a shard of a picture";
        let tag = send.seal(7, 1 << 40, b"header", &mut text);
        assert_ne!(&text, b"a shard of a picture");

        let receive = PacketKey::<ChaChaPoly>::new(KEY);
        let opens =
            |key: &PacketKey, path, pn, header: &[u8], tag| key.open(path, pn, header, &mut { text }, tag);
        assert!(!opens(&receive, 7, (1 << 40) + 1, b"header", &tag));
        assert!(!opens(&receive, 7, 1 << 40, b"hEader", &tag));
        assert!(!opens(&receive, 7, 1 << 40, b"header", &[0; 16]));
        assert!(!opens(&receive, 8, 1 << 40, b"header", &tag));
        assert!(!opens(&PacketKey::new([0x43; 32]), 7, 1 << 40, b"header", &tag));
        assert!(receive.open(7, 1 << 40, b"header", &mut text, &tag));
        assert_eq!(&text, b"a shard of a picture");
    }

    #[test]
    fn nonce_is_path_then_packet_number_in_little_endian() {
        let mut by_key = [0; 3];
        let mut by_hand = [0; 3];
        let tag = PacketKey::<ChaChaPoly>::new(KEY).seal(0x0102_0304, 0x05, b"h", &mut by_key);
        let nonce = [4, 3, 2, 1, 5, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(tag, ChaChaPoly::seal(&KEY, &nonce, b"h", &mut by_hand));
        assert_eq!(by_key, by_hand);
    }

    #[test]
    fn keys_are_zeroized_when_dropped_and_not_printed() {
        fn dropped<T: ZeroizeOnDrop>(_: &T) {}
        extern crate std;
        let key = PacketKey::<ChaChaPoly>::new(KEY);
        dropped(&key);
        assert_eq!(std::format!("{key:?}"), "PacketKey { .. }");
    }
}
