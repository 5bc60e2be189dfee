//! Handshake datagrams (SPEC §4.3). Noise messages are opaque here.

use super::{Kind, Reader, VERSION, Writer};

/// Bytes of an initiation: long enough that its answer is less than three times as long.
pub const INITIATION_LEN: usize = 128;
const MAC_LEN: usize = 16;
/// Bytes of the Noise message inside an initiation.
pub const INITIATION_NOISE_LEN: usize = INITIATION_LEN - 2 - MAC_LEN;
/// Bytes of the plain payload of that Noise message: a connection id and padding.
pub const INITIATION_PAYLOAD_LEN: usize = INITIATION_NOISE_LEN - 32;

/// The first flight, as far as it can be read before any cryptography.
///
/// ```text
///  0       1         2                                  112                128
/// +-------+---------+----------------------------------+------------------+
/// | 0x10  | version | Noise message 1 (e, payload 78)   | mac1 over 0..112 |
/// +-------+---------+----------------------------------+------------------+
/// payload: initiator's connection id (4), zeros
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Initiation<'a> {
    /// What [`crate::crypto::mac1`] is computed over.
    pub authenticated: &'a [u8],
    /// The Noise message.
    pub noise: &'a [u8],
    /// The MAC keyed by the host's public key.
    pub mac: [u8; MAC_LEN],
}

/// Why an initiation is not one for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitiationError {
    /// Not one at all.
    Malformed,
    /// One of another protocol version.
    Version(u8),
}

impl<'a> Initiation<'a> {
    /// Reads an initiation.
    ///
    /// # Errors
    /// [`InitiationError`].
    pub fn parse(datagram: &'a [u8]) -> Result<Self, InitiationError> {
        let mut reader = Reader::new(datagram);
        if reader.u8().and_then(Kind::of) != Some(Kind::Initiation) {
            return Err(InitiationError::Malformed);
        }
        let version = reader.u8().ok_or(InitiationError::Malformed)?;
        if version != VERSION {
            return Err(InitiationError::Version(version));
        }
        let noise = reader.bytes(INITIATION_NOISE_LEN).ok_or(InitiationError::Malformed)?;
        let mac = reader.bytes(MAC_LEN).and_then(|mac| mac.try_into().ok());
        let mac = mac.ok_or(InitiationError::Malformed)?;
        if !reader.is_empty() {
            return Err(InitiationError::Malformed);
        }
        let authenticated = datagram.get(..INITIATION_LEN.saturating_sub(MAC_LEN)).unwrap_or_default();
        Ok(Self { authenticated, noise, mac })
    }

    /// Writes an initiation around `noise`; `mac` computes mac1 over what it is given. `None` when `out` is too
    /// short or `noise` has the wrong length.
    pub fn emit(out: &mut [u8], noise: &[u8], mac: impl FnOnce(&[u8]) -> [u8; MAC_LEN]) -> Option<usize> {
        if noise.len() != INITIATION_NOISE_LEN {
            return None;
        }
        let mut writer = Writer::new(out.get_mut(..INITIATION_LEN)?);
        writer.u8(0x10)?;
        writer.u8(VERSION)?;
        writer.bytes(noise)?;
        let (authenticated, rest) = out.split_at_mut_checked(INITIATION_LEN.checked_sub(MAC_LEN)?)?;
        rest.get_mut(..MAC_LEN)?.copy_from_slice(&mac(authenticated));
        Some(INITIATION_LEN)
    }
}

/// A later handshake message, addressed to the peer's connection id.
///
/// ```text
///  0              1                     5
/// +--------------+---------------------+-----------------...
/// | 0x11 or 0x12 | receiver's conn. id | Noise message 2 or 3
/// +--------------+---------------------+-----------------...
/// payload of message 2: responder's connection id (4); of message 3: nothing yet
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// [`Kind::Response`] or [`Kind::Confirmation`].
    pub kind: Kind,
    /// The id the receiver chose.
    pub connection: u32,
    /// The Noise message.
    pub noise: &'a [u8],
}

impl<'a> Reply<'a> {
    /// Bytes before the Noise message.
    pub const HEAD_LEN: usize = 5;

    /// Reads one; `None` when it is none.
    #[must_use]
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(datagram);
        let kind = Kind::of(reader.u8()?)?;
        if !matches!(kind, Kind::Response | Kind::Confirmation) {
            return None;
        }
        let connection = reader.u32()?;
        Some(Self { kind, connection, noise: reader.rest() })
    }

    /// Writes the head of one; the Noise message follows at [`Self::HEAD_LEN`].
    pub fn emit_head(out: &mut [u8], confirmation: bool, connection: u32) -> Option<()> {
        let mut writer = Writer::new(out);
        writer.u8(if confirmation { 0x12 } else { 0x11 })?;
        writer.u32(connection)
    }
}

/// The connection id at the front of a Noise payload.
#[must_use]
pub fn connection_of(payload: &[u8]) -> Option<u32> {
    Reader::new(payload).u32()
}
