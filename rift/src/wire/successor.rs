//! The key that a host will have next (SPEC §8.9).

use super::{Reader, Writer};
use crate::crypto::PublicKey;

/// The host's word, under its present key, that it will be known by another.
///
/// ```text
/// 0                    32
/// +--------------------+
/// | static public key  |
/// +--------------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Successor {
    /// The next key; never one of small order.
    pub key: PublicKey,
}

impl Successor {
    /// Reads a body.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let key = PublicKey::from_bytes(reader.bytes(32)?.try_into().ok()?);
        (reader.is_empty() && !key.has_small_order()).then_some(Self { key })
    }

    pub(crate) fn emit(&self, writer: &mut Writer<'_>) -> Option<()> {
        writer.bytes(self.key.as_bytes())
    }
}
