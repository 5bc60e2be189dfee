//! Messages about the stream of pictures (SPEC §11).

use super::{Reader, Writer};
use crate::channel::video::{Codec, PictureId, StreamParameters};

/// The most pixels a side of a stream may have.
const SIDE_MAX: u16 = 16384;

impl Codec {
    /// The byte that stands for it (SPEC §11.2).
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::H264 => 1,
            Self::Tiles => 2,
            Self::Jpeg => 3,
        }
    }

    /// The codec a byte stands for.
    #[must_use]
    pub const fn of(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::H264),
            2 => Some(Self::Tiles),
            3 => Some(Self::Jpeg),
            _ => None,
        }
    }
}

/// The wire form of [`StreamParameters`].
///
/// ```text
/// 0             4       6        8                 12      13
/// +-------------+-------+--------+-----------------+-------+
/// | first pict. | width | height | pictures/1000 s | codec |
/// +-------------+-------+--------+-----------------+-------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamParametersMessage {
    /// The first picture they hold for; an older message never replaces a newer one.
    pub first: PictureId,
    /// What they are.
    pub parameters: StreamParameters,
}

impl StreamParametersMessage {
    /// Reads a body; `None` when a value is out of range.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let first = PictureId(reader.u32()?);
        let (width, height) = (reader.u16()?, reader.u16()?);
        let rate_millihertz = reader.u32()?;
        let codec = Codec::of(reader.u8()?)?;
        let sides = 1..=SIDE_MAX;
        (sides.contains(&width) && sides.contains(&height))
            .then_some(Self { first, parameters: StreamParameters { width, height, rate_millihertz, codec } })
    }

    pub(crate) fn emit(self, writer: &mut Writer<'_>) -> Option<()> {
        writer.u32(self.first.0)?;
        writer.u16(self.parameters.width)?;
        writer.u16(self.parameters.height)?;
        writer.u32(self.parameters.rate_millihertz)?;
        writer.u8(self.parameters.codec.code())
    }
}

/// A viewer can show nothing until a picture refers to what it has.
///
/// ```text
/// 0                 4               8
/// +-----------------+---------------+
/// | last shown or 0 | newest ended  |
/// +-----------------+---------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repair {
    /// The last picture it has whole; 0 = none.
    pub after: PictureId,
    /// The newest picture it has shown or given up. A repair newer than this is on its way already.
    pub seen: PictureId,
}

impl Repair {
    /// Reads a body.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        Some(Self { after: PictureId(reader.u32()?), seen: PictureId(reader.u32()?) })
    }

    pub(crate) fn emit(self, writer: &mut Writer<'_>) -> Option<()> {
        writer.u32(self.after.0)?;
        writer.u32(self.seen.0)
    }
}

/// The newest picture that has left whole, so that a viewer notices when the last ones were lost.
///
/// ```text
/// 0             4
/// +-------------+
/// | picture     |
/// +-------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoPosition {
    /// The picture.
    pub picture: PictureId,
}

impl VideoPosition {
    /// Reads a body.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let picture = PictureId(Reader::new(body).u32()?);
        Some(Self { picture })
    }

    pub(crate) fn emit(self, writer: &mut Writer<'_>) -> Option<()> {
        writer.u32(self.picture.0)
    }
}

/// A picture lacks more shards than its parity can restore, and there is time for more of it.
///
/// ```text
/// 0             4        5
/// +-------------+--------+
/// | picture     | parity |
/// +-------------+--------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoreParity {
    /// The picture.
    pub picture: PictureId,
    /// How many parity shards it should have had in all, those that were sent included: saying it again asks for
    /// nothing again.
    pub parity: u8,
}

impl MoreParity {
    /// Reads a body.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        Some(Self { picture: PictureId(reader.u32()?), parity: reader.u8()? })
    }

    pub(crate) fn emit(self, writer: &mut Writer<'_>) -> Option<()> {
        writer.u32(self.picture.0)?;
        writer.u8(self.parity)
    }
}

/// Over how many pictures before its own parity may go: those that the viewer keeps (SPEC §11.13).
///
/// ```text
/// 0          1
/// +----------+
/// | pictures |
/// +----------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Pictures; 0 = parity goes over its own alone.
    pub pictures: u8,
}

impl Window {
    /// Reads a body.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        Some(Self { pictures: Reader::new(body).u8()? })
    }

    pub(crate) fn emit(self, writer: &mut Writer<'_>) -> Option<()> {
        writer.u8(self.pictures)
    }
}
