//! How a peer binds its address at a relay (SPEC §18.8): it asks, is given a nonce that only its address hears, and shows
//! the lease with a MAC over that.
//!
//! ```text
//! ask      31 | lease tag 8 | zeros to 64 bytes
//! nonce    32 | lease tag 8 | nonce 16
//! bind     33 | lease tag 8 | side 1 | nonce 16 | length 2 | token, perhaps none | MAC 16
//! bound    34 | lease tag 8 | side 1 | seconds left 4 | first half of the bind's nonce 8 | MAC 16
//! refused  35 | lease tag 8 | why 1
//! ```

use super::relay::LEASE_TAG_LEN;
use super::{Reader, Writer};
use crate::limits::LEASE_TOKEN_MAX;

/// Bytes of a nonce and of a MAC.
pub const BIND_MAC_LEN: usize = 16;
/// Bytes of an ask: more than of what answers it.
pub const BIND_ASK_LEN: usize = 64;
/// Bytes of the longest message here.
pub const BIND_LEN_MAX: usize = 1 + LEASE_TAG_LEN + 1 + BIND_MAC_LEN + 2 + LEASE_TOKEN_MAX + BIND_MAC_LEN;

const ASK: u8 = 0x31;
const NONCE: u8 = 0x32;
const BIND: u8 = 0x33;
const BOUND: u8 = 0x34;
const REFUSED: u8 = 0x35;

/// Which of a lease's two peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseSide {
    /// Who called: `0`.
    Caller,
    /// Who was called: `1`.
    Callee,
}

impl LeaseSide {
    /// The byte that stands for it, and its place among the keys of a lease.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Caller => 0,
            Self::Callee => 1,
        }
    }

    const fn of(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Caller),
            1 => Some(Self::Callee),
            _ => None,
        }
    }
}

/// Why a relay does not bind. Nobody signs it: who hears it may believe it, and asks again later all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindReason {
    /// `0`: the relay does not know the lease; the token is to be shown.
    Unknown,
    /// `1`: the token is not signed by whom the relay trusts, is another relay's, or has run out.
    Token,
    /// `2`: the relay takes no more leases, because it is full or about to stop.
    Full,
    /// Another, of a later version.
    Other(u8),
}

impl BindReason {
    const fn code(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Token => 1,
            Self::Full => 2,
            Self::Other(code) => code,
        }
    }

    const fn of(code: u8) -> Self {
        match code {
            0 => Self::Unknown,
            1 => Self::Token,
            2 => Self::Full,
            other => Self::Other(other),
        }
    }
}

/// A message between a peer and a relay; see the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindMessage<'a> {
    /// The lease it is about.
    pub tag: [u8; LEASE_TAG_LEN],
    /// What it says.
    pub body: BindBody<'a>,
}

/// What such a message says. MACs are verified by [`BindKey`](crate::crypto::BindKey) over the whole message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindBody<'a> {
    /// Peer: a nonce, please.
    Ask,
    /// Relay: this one.
    Nonce([u8; BIND_MAC_LEN]),
    /// Peer: where this came from is where the peer is.
    Bind {
        /// Which peer.
        side: LeaseSide,
        /// What the relay gave to this address.
        nonce: [u8; BIND_MAC_LEN],
        /// The signed terms; empty when the relay has seen them.
        token: &'a [u8],
    },
    /// Relay: so be it.
    Bound {
        /// Which peer.
        side: LeaseSide,
        /// How long the lease still lasts, in seconds.
        left_s: u32,
        /// The first half of the nonce that the bind was made with.
        nonce: [u8; BIND_MAC_LEN / 2],
    },
    /// Relay: no.
    Refused(BindReason),
}

impl<'a> BindMessage<'a> {
    /// Reads a message; a MAC that it ends with is not looked at.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let kind = reader.u8()?;
        let tag = reader.bytes(LEASE_TAG_LEN)?.try_into().ok()?;
        let body = match kind {
            ASK => {
                let padding = reader.rest();
                return (bytes.len() == BIND_ASK_LEN && padding.iter().all(|&byte| byte == 0))
                    .then_some(Self { tag, body: BindBody::Ask });
            }
            NONCE => BindBody::Nonce(reader.bytes(BIND_MAC_LEN)?.try_into().ok()?),
            BIND => {
                let side = LeaseSide::of(reader.u8()?)?;
                let nonce = reader.bytes(BIND_MAC_LEN)?.try_into().ok()?;
                let len = usize::from(reader.u16()?);
                let token = reader.bytes(len).filter(|_| len <= LEASE_TOKEN_MAX)?;
                reader.bytes(BIND_MAC_LEN)?;
                BindBody::Bind { side, nonce, token }
            }
            BOUND => {
                let side = LeaseSide::of(reader.u8()?)?;
                let left_s = reader.u32()?;
                let nonce = reader.bytes(BIND_MAC_LEN / 2)?.try_into().ok()?;
                reader.bytes(BIND_MAC_LEN)?;
                BindBody::Bound { side, left_s, nonce }
            }
            REFUSED => BindBody::Refused(BindReason::of(reader.u8()?)),
            _ => return None,
        };
        reader.rest().is_empty().then_some(Self { tag, body })
    }

    /// Whether the first byte is that of a message here.
    #[must_use]
    pub const fn is_kind(first: u8) -> bool {
        matches!(first, ASK..=REFUSED)
    }

    /// Writes it, with the place of a MAC left zero if it has one; returns how long it is.
    #[must_use]
    pub fn emit(&self, out: &mut [u8]) -> Option<usize> {
        let mut writer = Writer::new(out);
        let kind = match self.body {
            BindBody::Ask => ASK,
            BindBody::Nonce(_) => NONCE,
            BindBody::Bind { .. } => BIND,
            BindBody::Bound { .. } => BOUND,
            BindBody::Refused(_) => REFUSED,
        };
        writer.u8(kind)?;
        writer.bytes(&self.tag)?;
        match self.body {
            BindBody::Ask => writer.bytes(&[0; BIND_ASK_LEN - 1 - LEASE_TAG_LEN])?,
            BindBody::Nonce(nonce) => writer.bytes(&nonce)?,
            BindBody::Bind { side, nonce, token } => {
                writer.u8(side.code())?;
                writer.bytes(&nonce)?;
                writer.u16(u16::try_from(token.len()).ok().filter(|_| token.len() <= LEASE_TOKEN_MAX)?)?;
                writer.bytes(token)?;
                writer.bytes(&[0; BIND_MAC_LEN])?;
            }
            BindBody::Bound { side, left_s, nonce } => {
                writer.u8(side.code())?;
                writer.u32(left_s)?;
                writer.bytes(&nonce)?;
                writer.bytes(&[0; BIND_MAC_LEN])?;
            }
            BindBody::Refused(reason) => writer.u8(reason.code())?,
        }
        Some(writer.len())
    }
}
