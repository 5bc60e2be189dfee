//! Handshake datagrams (SPEC §4). Noise messages are opaque here.

use super::{Kind, Reader, VERSION, Writer};
use crate::crypto::{Opening, Pattern, Suite};

/// Bytes of an initiation: its answer is shorter.
pub const INITIATION_LEN: usize = 128;
/// Bytes of a call: what every path is assumed to carry, so that three times as much may be answered.
pub const CALL_LEN: usize = crate::limits::DATAGRAM_MIN;
/// Bytes of an answer; what follows it in the datagram is a packet.
pub const ANSWER_LEN: usize = Reply::HEAD_LEN + 32 + 16 + Opened::LEN;
/// Bytes of the same of a hybrid handshake.
pub const HYBRID_ANSWER_LEN: usize = ANSWER_LEN + CIPHERTEXT_FIELD_LEN;
/// Bytes of a second message of XX: head, ephemeral, static key with its tag, connection id with its tag.
pub const RESPONSE_LEN: usize = Reply::HEAD_LEN + 32 + 32 + 16 + Opened::LEN + 16;
/// Bytes of the same of a hybrid handshake: more than other datagrams on a path of which nothing is known, less than
/// IPv6 carries everywhere.
pub const HYBRID_RESPONSE_LEN: usize = RESPONSE_LEN + CIPHERTEXT_FIELD_LEN;
/// Bytes of a first flight before its padding, at most.
pub const FIRST_FLIGHT_MAX: usize = FirstFlight::HEAD_LEN + 96 + CallPayload::LEN_MAX + 2 * MAC_LEN;
/// Bytes of a hybrid first flight, at most.
pub const HYBRID_FLIGHT_MAX: usize = FIRST_FLIGHT_MAX + 1184 + MAC_LEN;
/// Bytes of the longest answer, response and first flight that this build sends.
pub const ANSWER_MAX: usize = if cfg!(feature = "experimental") { HYBRID_ANSWER_LEN } else { ANSWER_LEN };
/// See [`ANSWER_MAX`].
pub const RESPONSE_MAX: usize =
    if cfg!(feature = "experimental") { HYBRID_RESPONSE_LEN } else { RESPONSE_LEN };
/// See [`ANSWER_MAX`].
pub const FLIGHT_MAX: usize =
    if cfg!(feature = "experimental") { HYBRID_FLIGHT_MAX } else { FIRST_FLIGHT_MAX };
/// What ML-KEM-768 encapsulates, and its tag.
const CIPHERTEXT_FIELD_LEN: usize = 1088 + MAC_LEN;
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
    /// What its secrets rest on: a hybrid one comes in fragments.
    pub suite: Suite,
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
        let flight = Self::parse_any(datagram, Suite::Classical)?;
        (datagram.len() == Self::len_of(flight.pattern)).then_some(flight)
    }

    /// Reads one that was put together from fragments, zeros behind it.
    #[must_use]
    pub fn parse_whole(bytes: &'a [u8]) -> Option<Self> {
        Self::parse_any(bytes, Suite::Hybrid)
    }

    fn parse_any(datagram: &'a [u8], suite: Suite) -> Option<Self> {
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
        let is_padded = reader.rest().iter().all(|&byte| byte == 0);
        if newest < version || !is_padded {
            return None;
        }
        let (authenticated, with_mac1) = (datagram.get(..at)?, datagram.get(..at.checked_add(MAC_LEN)?)?);
        Some(Self { pattern, suite, version, newest, authenticated, noise, mac1, with_mac1, mac2 })
    }

    /// The opening that it announces, which is mixed into the handshake.
    #[must_use]
    pub const fn opening(&self) -> Opening {
        Opening { pattern: self.pattern, suite: self.suite, newest: self.newest }
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

/// A part of a first flight that is too long for one datagram: of a hybrid handshake. Each stands for itself: a host
/// takes it only with a good cookie (SPEC §4.20).
///
/// ```text
/// 0    1         2        3       4            12              1168    1184    1200
/// +----+---------+--------+-------+------------+---------------+-------+-------+
/// | 17 | version | newest | index | first half | piece of the  | mac1  | mac2  |
/// |    |         |        | 0, 1  | of mac1 of | flight, then  | over  | over  |
/// |    |         |        |       | the flight | zeros         | 0..   | 0..   |
/// +----+---------+--------+-------+------------+---------------+-------+-------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// The version of the flight.
    pub version: u8,
    /// The newest version that its sender speaks.
    pub newest: u8,
    /// Which piece it is.
    pub index: u8,
    /// Of which flight.
    pub flight: [u8; 8],
    /// The piece: [`Self::PIECE_LEN`] bytes.
    pub piece: &'a [u8],
    /// What mac1 is computed over.
    pub authenticated: &'a [u8],
    /// The MAC keyed by the host's public key.
    pub mac1: [u8; MAC_LEN],
    /// What mac2 is computed over.
    pub with_mac1: &'a [u8],
    /// The MAC keyed by a cookie.
    pub mac2: [u8; MAC_LEN],
}

impl<'a> Fragment<'a> {
    /// Bytes on the wire.
    pub const LEN: usize = crate::limits::DATAGRAM_MIN;
    /// How many a flight has.
    pub const COUNT: usize = 2;
    /// Bytes of a piece.
    pub const PIECE_LEN: usize = Self::LEN - Self::HEAD_LEN - 2 * MAC_LEN;
    const HEAD_LEN: usize = 12;
    const FIRST: u8 = 0x17;

    /// Reads one of any version; `None` when it is none.
    #[must_use]
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(datagram);
        if reader.u8()? != Self::FIRST {
            return None;
        }
        let (version, newest, index) = (reader.u8()?, reader.u8()?, reader.u8()?);
        let flight = reader.bytes(8)?.try_into().ok()?;
        let piece = reader.bytes(Self::PIECE_LEN)?;
        let mac1 = reader.bytes(MAC_LEN)?.try_into().ok()?;
        let mac2 = reader.bytes(MAC_LEN)?.try_into().ok()?;
        let is_one = reader.is_empty() && newest >= version && usize::from(index) < Self::COUNT;
        let authenticated = datagram.get(..Self::HEAD_LEN.checked_add(Self::PIECE_LEN)?)?;
        let with_mac1 = datagram.get(..Self::LEN.checked_sub(MAC_LEN)?)?;
        is_one.then_some(Self { version, newest, index, flight, piece, authenticated, mac1, with_mac1, mac2 })
    }

    /// Writes piece `index` of `flight`, which begins with a head and ends with its mac1, around it; `mac1` and `mac2`
    /// compute the MACs over what they are given. Returns its length; `None` when `out` is too short, or there is no
    /// such piece.
    pub fn emit(
        out: &mut [u8],
        index: u8,
        flight: &[u8],
        mac1: impl FnOnce(&[u8]) -> [u8; MAC_LEN],
        mac2: impl FnOnce(&[u8]) -> [u8; MAC_LEN],
    ) -> Option<usize> {
        let out = out.get_mut(..Self::LEN)?;
        let begin = usize::from(index).checked_mul(Self::PIECE_LEN)?;
        let piece = flight.get(begin..flight.len().min(begin.checked_add(Self::PIECE_LEN)?))?;
        let whole_mac1: &[u8; MAC_LEN] = flight.last_chunk()?;
        let mut writer = Writer::new(out);
        writer.u8(Self::FIRST)?;
        writer.bytes(flight.get(1..3)?)?;
        writer.u8(index)?;
        writer.bytes(whole_mac1.first_chunk::<8>()?)?;
        writer.bytes(piece)?;
        let padding = Self::PIECE_LEN.checked_sub(piece.len())?;
        writer.reserve(padding)?.fill(0);
        let at = writer.len();
        let (authenticated, place) = out.split_at_mut_checked(at)?;
        *place.first_chunk_mut::<MAC_LEN>()? = mac1(authenticated);
        let (with_mac1, place) = out.split_last_chunk_mut::<MAC_LEN>()?;
        *place = mac2(with_mac1);
        Some(Self::LEN)
    }
}

// A flight needs both pieces and no more.
const _: () = assert!(
    HYBRID_FLIGHT_MAX - MAC_LEN > Fragment::PIECE_LEN
        && HYBRID_FLIGHT_MAX <= Fragment::COUNT * Fragment::PIECE_LEN
);

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

/// A message that is kept to be said again, of at most `N` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept<const N: usize> {
    bytes: [u8; N],
    len: u16,
}

impl<const N: usize> Kept<N> {
    /// Nothing.
    pub const EMPTY: Self = Self { bytes: [0; N], len: 0 };

    /// A copy of `message`; `None` when it is longer.
    #[must_use]
    pub fn new(message: &[u8]) -> Option<Self> {
        let mut kept = Self::EMPTY;
        kept.bytes.get_mut(..message.len())?.copy_from_slice(message);
        kept.len = u16::try_from(message.len()).ok()?;
        Some(kept)
    }

    /// The message.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len.into()).unwrap_or_default()
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
