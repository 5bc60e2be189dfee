//! The first byte of every datagram, and the header of sealed ones (SPEC §2, §3.2).

use super::{Reader, Writer};

/// What a datagram is, by its first byte (SPEC §2.1). Values without a name are discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `0x00–0x03`: STUN (RFC 8489, RFC 7983).
    Stun,
    /// `0x10`: first message of a handshake.
    Initiation,
    /// `0x11`: its answer.
    Response,
    /// `0x12`: the handshake's third message.
    Confirmation,
    /// `0x13`: first message of a handshake with a host whose key is known (IK).
    Call,
    /// `0x14`: its answer, and perhaps a packet.
    Answer,
    /// `0x15`: a cookie for a first flight, from a host under load.
    Cookie,
    /// `0x16`: the versions a host speaks.
    Versions,
    /// `0x17`: a fragment of a first flight.
    Fragment,
    /// `0x18–0x1f`: further handshake messages. Reserved.
    HandshakeReserved,
    /// `0x20`: stateless reset.
    Reset,
    /// `0x28`: a check between peers that were introduced, or its answer.
    Probe,
    /// `0x30`: a datagram inside a relay's envelope; `0x31–0x35`: a message about a binding there.
    Relayed,
    /// `0x40–0x7f`: sealed data; the low six bits are flags.
    Data,
}

impl Kind {
    /// The kind a first byte names.
    #[must_use]
    pub const fn of(first: u8) -> Option<Self> {
        match first {
            0x00..=0x03 => Some(Self::Stun),
            0x10 => Some(Self::Initiation),
            0x11 => Some(Self::Response),
            0x12 => Some(Self::Confirmation),
            0x13 => Some(Self::Call),
            0x14 => Some(Self::Answer),
            0x15 => Some(Self::Cookie),
            0x16 => Some(Self::Versions),
            0x17 => Some(Self::Fragment),
            0x18..=0x1f => Some(Self::HandshakeReserved),
            0x20 => Some(Self::Reset),
            0x28 => Some(Self::Probe),
            0x30..=0x35 => Some(Self::Relayed),
            0x40..=0x7f => Some(Self::Data),
            _ => None,
        }
    }
}

/// The header of a sealed datagram. All of it is associated data of the seal.
///
/// ```text
///  0       1       2       3       4       5       6       7
/// +-------+-------------------------------+-----------------------+
/// | kind  | receiver's connection id      | packet number, low 24 |
/// +-------+-------------------------------+-----------------------+
/// kind = 0x40 | flags; bit 0 = key phase, no other flag is defined yet, all others must be 0
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataHeader {
    /// The key phase: which of two generations of keys seals it.
    pub phase: bool,
    /// The id the receiver chose for this session.
    pub connection: u32,
    /// The packet number's low 24 bits.
    pub packet_number: u32,
}

impl DataHeader {
    /// Bytes on the wire.
    pub const LEN: usize = 8;
    const FIRST: u8 = 0x40;
    const PHASE: u8 = 0x01;

    /// Reads a header; `None` when it is none or has a flag this version does not know.
    #[must_use]
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(datagram);
        let first = reader.u8()?;
        if first & !Self::PHASE != Self::FIRST {
            return None;
        }
        let connection = reader.u32()?;
        let high = u32::from(reader.u8()?);
        let low = u32::from(reader.u16()?);
        Some(Self { phase: first & Self::PHASE != 0, connection, packet_number: high << 16 | low })
    }

    /// Its bytes; the packet number's high 8 bits are left out.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; Self::LEN] {
        let [a, b, c, d] = self.connection.to_be_bytes();
        let [_, e, f, g] = self.packet_number.to_be_bytes();
        let first = if self.phase { Self::FIRST | Self::PHASE } else { Self::FIRST };
        [first, a, b, c, d, e, f, g]
    }

    /// Writes it to the front of `out`; `None` when that is too short.
    pub fn emit(self, out: &mut [u8]) -> Option<()> {
        Writer::new(out).bytes(&self.to_bytes())
    }
}
