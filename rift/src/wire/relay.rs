//! The envelope in which a relay gets and gives datagrams (SPEC §18.6).
//!
//! ```text
//!  0      1           9
//! +------+-----------+--------------------------+
//! | 0x30 | lease tag | a RIFT datagram, as it is|
//! +------+-----------+--------------------------+
//! ```

use super::Reader;

/// Bytes of a lease's name on the wire.
pub const LEASE_TAG_LEN: usize = 8;
/// Bytes that the envelope adds to a datagram.
pub const ENVELOPE_LEN: usize = 1 + LEASE_TAG_LEN;

/// The first byte of everything in an envelope.
pub const ENVELOPE_FIRST: u8 = 0x30;

/// A datagram and the lease under which it travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Names the lease.
    pub tag: [u8; LEASE_TAG_LEN],
    /// What is in it.
    pub datagram: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Opens an envelope; `None` when it is none. It may be empty.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != ENVELOPE_FIRST {
            return None;
        }
        let tag = reader.bytes(LEASE_TAG_LEN)?.try_into().ok()?;
        Some(Self { tag, datagram: reader.rest() })
    }

    /// What stands before the datagram.
    #[must_use]
    pub const fn head(tag: [u8; LEASE_TAG_LEN]) -> [u8; ENVELOPE_LEN] {
        let [a, b, c, d, e, f, g, h] = tag;
        [ENVELOPE_FIRST, a, b, c, d, e, f, g, h]
    }
}
