//! Handshake datagrams (SPEC §4). Noise messages are opaque here.

use super::{Kind, Reader, VERSION, Writer};
use crate::crypto::{Opening, Pattern};

/// Bytes of an initiation: its answer is shorter.
pub const INITIATION_LEN: usize = 128;
/// Bytes of a call: what every path is assumed to carry, so that three times as much may be answered.
pub const CALL_LEN: usize = crate::limits::DATAGRAM_MIN;
/// Bytes of an answer; what follows it in the datagram is a packet.
pub const ANSWER_LEN: usize = Reply::HEAD_LEN + 32 + 16 + Opened::LEN;
/// Bytes of a first flight before its padding, at most.
pub const FIRST_FLIGHT_MAX: usize = FirstFlight::HEAD_LEN + 96 + CallPayload::LEN_MAX + 2 * MAC_LEN;
/// Bytes of the answer of a host that speaks one version to a flight of another.
pub const VERSIONS_LEN: usize = 1 + MAC_LEN + 1;
/// Bytes of an address token.
pub const TOKEN_LEN: usize = 24;

const MAC_LEN: usize = 16;

/// A first flight, as far as it can be read before any cryptography. Kind, version, newest version, the place of the
/// MACs and the MACs are the same in every version of the protocol.
///
/// ```text
///  0      1         2        3            5               at           at+16     at+32
/// +------+---------+--------+------------+---------------+------------+---------+-------------+
/// | kind | version | newest | at         | Noise message | mac1 over  | mac2    | zeros       |
/// | 10/13|         |        |            | 1             | 0..at      |         |             |
/// +------+---------+--------+------------+---------------+------------+---------+-------------+
/// 0x10 initiation: XX; payload: initiator's connection id (4); 128 bytes
/// 0x13 call: IK; payload: see CallPayload; 1200 bytes
/// mac1: zeros when the initiator does not know the host's key; mac2: zeros without a cookie
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstFlight<'a> {
    /// Which handshake it begins.
    pub pattern: Pattern,
    /// Its version of the protocol.
    pub version: u8,
    /// The newest version that its sender speaks.
    pub newest: u8,
    /// What mac1 is computed over.
    pub authenticated: &'a [u8],
    /// The Noise message.
    pub noise: &'a [u8],
    /// The MAC keyed by the host's public key.
    pub mac1: [u8; MAC_LEN],
    /// What mac2 is computed over.
    pub with_mac1: &'a [u8],
    /// The MAC keyed by a cookie.
    pub mac2: [u8; MAC_LEN],
}

impl<'a> FirstFlight<'a> {
    /// Bytes before the Noise message.
    pub const HEAD_LEN: usize = 5;

    /// Reads one of any version; `None` when it is none.
    #[must_use]
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(datagram);
        let kind = Kind::of(reader.u8()?)?;
        let pattern = if kind == Kind::Call { Pattern::Ik } else { Pattern::Xx };
        if !matches!(kind, Kind::Initiation | Kind::Call) {
            return None;
        }
        let (version, newest) = (reader.u8()?, reader.u8()?);
        let at = usize::from(reader.u16()?);
        let noise = reader.bytes(at.checked_sub(Self::HEAD_LEN)?)?;
        let mac1 = reader.bytes(MAC_LEN)?.try_into().ok()?;
        let mac2 = reader.bytes(MAC_LEN)?.try_into().ok()?;
        let is_padded =
            datagram.len() == Self::len_of(pattern) && reader.rest().iter().all(|&byte| byte == 0);
        if newest < version || !is_padded {
            return None;
        }
        let (authenticated, with_mac1) = (datagram.get(..at)?, datagram.get(..at.checked_add(MAC_LEN)?)?);
        Some(Self { pattern, version, newest, authenticated, noise, mac1, with_mac1, mac2 })
    }

    /// The opening that it announces, which is mixed into the handshake.
    #[must_use]
    pub const fn opening(&self) -> Opening {
        Opening { pattern: self.pattern, newest: self.newest }
    }

    /// Writes one of this version around `noise`, padded; `mac1` computes mac1 over what it is given, mac2 is zeros.
    /// Returns its length; `None` when `out` is too short.
    pub fn emit(
        out: &mut [u8],
        opening: Opening,
        noise: &[u8],
        mac1: impl FnOnce(&[u8]) -> [u8; MAC_LEN],
    ) -> Option<usize> {
        let len = Self::emit_unpadded(out, opening, noise, mac1)?;
        let padded = Self::len_of(opening.pattern);
        out.get_mut(len..padded)?.fill(0);
        Some(padded)
    }

    /// The same without padding.
    pub(crate) fn emit_unpadded(
        out: &mut [u8],
        opening: Opening,
        noise: &[u8],
        mac1: impl FnOnce(&[u8]) -> [u8; MAC_LEN],
    ) -> Option<usize> {
        let at = Self::HEAD_LEN.checked_add(noise.len())?;
        let mut writer = Writer::new(out);
        writer.u8(match opening.pattern {
            Pattern::Xx => 0x10,
            Pattern::Ik => 0x13,
        })?;
        writer.u8(VERSION)?;
        writer.u8(opening.newest)?;
        writer.u16(u16::try_from(at).ok()?)?;
        writer.bytes(noise)?;
        let (authenticated, macs) = out.split_at_mut_checked(at)?;
        let (place, rest) = macs.split_first_chunk_mut::<MAC_LEN>()?;
        *place = mac1(authenticated);
        rest.get_mut(..MAC_LEN)?.fill(0);
        at.checked_add(MAC_LEN.checked_mul(2)?)
    }

    /// Bytes of a first flight of this pattern.
    #[must_use]
    pub const fn len_of(pattern: Pattern) -> usize {
        match pattern {
            Pattern::Xx => INITIATION_LEN,
            Pattern::Ik => CALL_LEN,
        }
    }
}

/// What a call says to the host alone.
///
/// ```text
/// 0                8                12               36
/// +----------------+----------------+----------------+-------------...
/// | counter        | initiator's    | address token, | frames (§7)
/// |                | connection id  | zeros for none |
/// +----------------+----------------+----------------+-------------...
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallPayload<'a> {
    /// Larger than in every call before of this client to this host.
    pub counter: u64,
    /// The id the initiator chose.
    pub connection: u32,
    /// The token of an earlier session, or zeros.
    pub token: [u8; TOKEN_LEN],
    /// What is wanted: frames.
    pub frames: &'a [u8],
}

impl<'a> CallPayload<'a> {
    /// Bytes before the frames.
    pub const HEAD_LEN: usize = 8 + 4 + TOKEN_LEN;
    /// Bytes at most.
    pub const LEN_MAX: usize = Self::HEAD_LEN + Opened::FRAMES_MAX;

    /// Reads one; `None` when it is none.
    #[must_use]
    pub fn parse(payload: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        let (counter, connection) = (reader.u64()?, reader.u32()?);
        let token = reader.bytes(TOKEN_LEN)?.try_into().ok()?;
        Some(Self { counter, connection, token, frames: reader.rest() })
    }

    /// Writes it and returns its length; `None` when `out` is too short.
    pub fn emit(&self, out: &mut [u8]) -> Option<usize> {
        let mut writer = Writer::new(out);
        writer.u64(self.counter)?;
        writer.u32(self.connection)?;
        writer.bytes(&self.token)?;
        writer.bytes(self.frames)?;
        Some(writer.len())
    }
}

/// What the payloads of the other messages say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened;

impl Opened {
    /// Bytes of a payload that is a connection id: in an initiation, a response, an answer.
    pub const LEN: usize = 4;
    /// Bytes of frames in a call or a confirmation at most.
    pub const FRAMES_MAX: usize = 64;
}

/// A later handshake message, addressed to the peer's connection id.
///
/// ```text
///  0              1                     5
/// +--------------+---------------------+--------------------------+--------...
/// | 11, 12 or 14 | receiver's conn. id | Noise message 2 or 3     | 14: a packet
/// +--------------+---------------------+--------------------------+--------...
/// payload of message 2: responder's connection id (4); of message 3: frames (§7)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// [`Kind::Response`], [`Kind::Confirmation`] or [`Kind::Answer`].
    pub kind: Kind,
    /// The id the receiver chose.
    pub connection: u32,
    /// The Noise message; in an answer, with what follows it.
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
        if !matches!(kind, Kind::Response | Kind::Confirmation | Kind::Answer) {
            return None;
        }
        let connection = reader.u32()?;
        Some(Self { kind, connection, noise: reader.rest() })
    }

    /// Writes the head of one; the Noise message follows at [`Self::HEAD_LEN`]. `None` when `kind` is none of these or
    /// `out` is too short.
    pub fn emit_head(out: &mut [u8], kind: Kind, connection: u32) -> Option<()> {
        let known = [(Kind::Response, 0x11), (Kind::Confirmation, 0x12), (Kind::Answer, 0x14)];
        let (_, first) = known.into_iter().find(|&(known, _)| known == kind)?;
        let mut writer = Writer::new(out);
        writer.u8(first)?;
        writer.u32(connection)
    }
}

/// The connection id at the front of a Noise payload.
#[must_use]
pub fn connection_of(payload: &[u8]) -> Option<u32> {
    Reader::new(payload).u32()
}

/// A host under load sends this instead of an answer: who can read it can be reached where it says it is.
///
/// ```text
/// 0    1                        33
/// +----+------------------------+
/// | 15 | cookie (16) and tag,   |
/// |    | sealed for the flight  |
/// +----+------------------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CookieReply {
    /// See [`crate::crypto::CookieKey`].
    pub sealed: [u8; 32],
}

impl CookieReply {
    /// Bytes on the wire.
    pub const LEN: usize = 33;

    /// Reads one; `None` when it is none.
    #[must_use]
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(datagram);
        if Kind::of(reader.u8()?)? != Kind::Cookie {
            return None;
        }
        let sealed = reader.bytes(32)?.try_into().ok()?;
        reader.is_empty().then_some(Self { sealed })
    }

    /// Its bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0x15; Self::LEN];
        if let Some((_, place)) = bytes.split_first_mut() {
            place.copy_from_slice(&self.sealed);
        }
        bytes
    }
}

/// What a host answers to a first flight of a version that it does not speak, or that is older than both speak. The
/// same in every version of the protocol.
///
/// ```text
/// 0    1                  17
/// +----+------------------+------------------------+
/// | 16 | mac1 of the      | versions spoken, one   |
/// |    | flight           | byte each, 1 to 16     |
/// +----+------------------+------------------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions<'a> {
    /// Which flight it answers.
    pub mac1: [u8; MAC_LEN],
    /// What the host speaks.
    pub spoken: &'a [u8],
}

impl<'a> Versions<'a> {
    const SPOKEN_MAX: usize = 16;

    /// Reads one; `None` when it is none.
    #[must_use]
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(datagram);
        if Kind::of(reader.u8()?)? != Kind::Versions {
            return None;
        }
        let mac1 = reader.bytes(MAC_LEN)?.try_into().ok()?;
        let spoken = reader.rest();
        (1..=Self::SPOKEN_MAX).contains(&spoken.len()).then_some(Self { mac1, spoken })
    }

    /// The answer of a host that speaks this version only.
    #[must_use]
    pub fn to_bytes(mac1: &[u8; MAC_LEN]) -> [u8; VERSIONS_LEN] {
        let mut bytes = [0x16; VERSIONS_LEN];
        if let Some((place, rest)) = bytes.get_mut(1..).and_then(<[u8]>::split_first_chunk_mut::<MAC_LEN>) {
            *place = *mac1;
            rest.fill(VERSION);
        }
        bytes
    }
}
