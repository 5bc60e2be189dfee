//! Connection ids and paths (SPEC §16).

use super::{Reader, Writer};

/// Bytes of a reset token.
pub const TOKEN_LEN: usize = 16;

/// A connection id that the peer may send to on a path of this number.
///
/// ```text
/// 0        2               6              10           26
/// +--------+---------------+--------------+------------+
/// | number | connection id | first pn     | token      |
/// +--------+---------------+--------------+------------+
/// first pn: bit 31 is xored with the key phase of packets to this id, the other bits are the first packet number
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewConnection {
    /// The path's number.
    pub number: u16,
    /// The id.
    pub connection: u32,
    /// Where packet numbers begin, and the mask of the key phase.
    pub first: u32,
    /// What a reset for this id is made of; zeros from a client.
    pub token: [u8; TOKEN_LEN],
}

impl NewConnection {
    /// Reads a body.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        Some(Self {
            number: reader.u16()?,
            connection: reader.u32()?,
            first: reader.u32()?,
            token: reader.bytes(TOKEN_LEN)?.try_into().ok()?,
        })
    }

    pub(crate) fn emit(self, writer: &mut Writer<'_>) -> Option<()> {
        writer.u16(self.number)?;
        writer.u32(self.connection)?;
        writer.u32(self.first)?;
        writer.bytes(&self.token)
    }
}

/// A stateless reset: says to whom it concerns that the session is gone (SPEC §6.6).
///
/// ```text
///  0       1               5           8              24
/// +-------+---------------+-----------+--------------+
/// | 0x20  | connection id | pn low 24 | proof        |
/// +-------+---------------+-----------+--------------+
/// connection id and pn are those of the packet that is answered
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
    /// The id that nobody knows.
    pub connection: u32,
    /// The low 24 bits of the packet number that was sent to it.
    pub packet_number: u32,
    /// A MAC over that packet's tag, keyed by the id's token.
    pub proof: [u8; TOKEN_LEN],
}

impl Reset {
    /// Bytes on the wire: fewer than any packet has.
    pub const LEN: usize = 24;
    const FIRST: u8 = 0x20;

    /// Reads one; `None` when it is none.
    #[must_use]
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(datagram);
        if reader.u8()? != Self::FIRST {
            return None;
        }
        let connection = reader.u32()?;
        let (high, low) = (u32::from(reader.u8()?), u32::from(reader.u16()?));
        let proof = reader.bytes(TOKEN_LEN)?.try_into().ok()?;
        reader.is_empty().then_some(Self { connection, packet_number: high << 16 | low, proof })
    }

    /// Its bytes; the packet number's high 8 bits are left out.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        let mut writer = Writer::new(&mut out);
        let [_, high, middle, low] = self.packet_number.to_be_bytes();
        // There is room for all of it.
        let _ = writer
            .u8(Self::FIRST)
            .and_then(|()| writer.u32(self.connection))
            .and_then(|()| writer.bytes(&[high, middle, low]))
            .and_then(|()| writer.bytes(&self.proof));
        out
    }
}

/// A path challenge or the response to one: the same 8 bytes, back where they came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathProbe {
    /// Nobody can guess them.
    pub data: [u8; 8],
}

impl PathProbe {
    /// Reads a body.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let data = Reader::new(body).bytes(8)?.try_into().ok()?;
        Some(Self { data })
    }

    pub(crate) fn emit(self, writer: &mut Writer<'_>) -> Option<()> {
        writer.bytes(&self.data)
    }
}

/// The longest datagram that its sender takes.
///
/// ```text
/// 0       2
/// +-------+
/// | bytes |
/// +-------+
/// bytes of UDP payload: 1200 or more
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatagramLimit {
    /// Bytes of UDP payload.
    pub len: u16,
}

impl DatagramLimit {
    /// Reads a body; `None` for less than every path carries.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let len = Reader::new(body).u16()?;
        (usize::from(len) >= crate::limits::DATAGRAM_MIN).then_some(Self { len })
    }

    pub(crate) fn emit(self, writer: &mut Writer<'_>) -> Option<()> {
        writer.u16(self.len)
    }
}

/// Which paths the client uses.
///
/// ```text
/// 0        2        4         6       8       10       12
/// +--------+--------+---------+-------+-------+--------+
/// | change | in use | standby | tried | tried | opened |
/// +--------+--------+---------+-------+-------+--------+
/// standby: the number of a path that is kept ready; tried: of another one that is open; 0xffff = none
/// opened: the largest number of a path that was ever open
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathsInUse {
    /// Counts the changes; a later one is larger by less than 2¹⁵.
    pub change: u16,
    /// The number of the path that everything is sent on.
    pub used: u16,
    /// Another one that is kept ready.
    pub standby: Option<u16>,
    /// Further ones that are open.
    pub tried: [Option<u16>; 2],
    /// The largest number that any path of this session ever had.
    pub opened: u16,
}

impl PathsInUse {
    const NONE: u16 = 0xffff;

    /// Reads a body.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let (change, used, standby) = (reader.u16()?, reader.u16()?, reader.u16()?);
        let (tried, other, opened) = (reader.u16()?, reader.u16()?, reader.u16()?);
        let some = |number: u16| (number != Self::NONE).then_some(number);
        Some(Self { change, used, standby: some(standby), tried: [some(tried), some(other)], opened })
    }

    /// Whether a path of this number is open, or may be without the sender having said so yet.
    #[must_use]
    pub fn keeps(&self, number: u16) -> bool {
        let [tried, other] = self.tried;
        let named = [Some(self.used), self.standby, tried, other];
        number > self.opened || named.contains(&Some(number))
    }

    pub(crate) fn emit(self, writer: &mut Writer<'_>) -> Option<()> {
        writer.u16(self.change)?;
        writer.u16(self.used)?;
        writer.u16(self.standby.unwrap_or(Self::NONE))?;
        for tried in self.tried {
            writer.u16(tried.unwrap_or(Self::NONE))?;
        }
        writer.u16(self.opened)
    }
}
