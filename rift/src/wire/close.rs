//! Admission and the end of a session (SPEC §6.3, §8).

use super::{Reader, Writer};
use crate::channel::permissions::Permissions;

/// Why a peer ended the session, as it says so on the wire.
///
/// ```text
/// 0          2
/// +----------+
/// | code     |
/// +----------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close {
    /// One of SPEC §6.3's codes, or one this version does not know.
    pub code: u16,
}

impl Close {
    /// Its application said goodbye.
    pub const DONE: u16 = 0;
    /// The peer is not allowed in.
    pub const REFUSED: u16 = 1;
    /// The peer's right was withdrawn.
    pub const REVOKED: u16 = 2;
    /// It has no room for another session.
    pub const BUSY: u16 = 3;
    /// What was shared is gone.
    pub const SOURCE_GONE: u16 = 4;
    /// The two who pair have not the same PIN.
    pub const WRONG_PIN: u16 = 5;
    /// Pairing is over: its time has passed, or its guesses are spent.
    pub const PAIRING_OVER: u16 = 6;

    /// Reads a body.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let code = Reader::new(body).u16()?;
        Some(Self { code })
    }

    pub(crate) fn emit(self, writer: &mut Writer<'_>) -> Option<()> {
        writer.u16(self.code)
    }
}

/// The host lets the client in.
///
/// ```text
/// 0             4
/// +-------------+
/// | permissions |
/// +-------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// What it may do; bits this version does not know are dropped.
    pub permissions: Permissions,
}

impl Admitted {
    /// Reads a body.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let bits = Reader::new(body).u32()?;
        Some(Self { permissions: Permissions::from_bits_truncate(bits) })
    }

    pub(crate) fn emit(self, writer: &mut Writer<'_>) -> Option<()> {
        writer.u32(self.permissions.bits())
    }
}
