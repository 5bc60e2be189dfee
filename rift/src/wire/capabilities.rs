//! What a viewer can show, and what it shows wrongly (SPEC §11.9–§11.10).

use heapless::Vec;

use super::{Reader, Writer};
use crate::channel::capabilities::{Capabilities, Colours};
use crate::channel::video::{Codec, PictureId};
use crate::limits::{CODECS_MAX, TILE_REPORT_MAX};

const SIDE_MAX: u16 = 16384;
const RGB888: u8 = 1;
const RGB565: u8 = 2;

/// The wire form of [`Capabilities`].
///
/// ```text
/// 0     1               1+n       2+n     4+n      6+n             10+n
/// +-----+------...------+---------+-------+--------+---------------+
/// | n   | codecs, the   | colours | width | height | bytes of the  |
/// | 1-8 | best one first| bits    | most  | most   | largest pict. |
/// +-----+------...------+---------+-------+--------+---------------+
/// colours: bit 0 = RGB888, bit 1 = RGB565; later versions may append
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapabilitiesMessage(pub Capabilities);

impl CapabilitiesMessage {
    /// Reads a body. Codecs this version does not know, and those told twice, are left out; `None` when none is left
    /// or a value is out of range.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let count = usize::from(reader.u8()?);
        if count == 0 || count > CODECS_MAX {
            return None;
        }
        let mut codecs = Vec::new();
        for &code in reader.bytes(count)? {
            if let Some(codec) = Codec::of(code)
                && !codecs.contains(&codec)
            {
                codecs.push(codec).ok()?;
            }
        }
        let bits = reader.u8()?;
        let colours = Colours { rgb888: bits & RGB888 != 0, rgb565: bits & RGB565 != 0 };
        let (width_max, height_max) = (reader.u16()?, reader.u16()?);
        let picture_len_max = reader.u32()?;
        let sides = 1..=SIDE_MAX;
        let is_sound = !codecs.is_empty()
            && (colours.rgb888 || colours.rgb565)
            && sides.contains(&width_max)
            && sides.contains(&height_max);
        is_sound.then_some(Self(Capabilities { codecs, colours, width_max, height_max, picture_len_max }))
    }

    pub(crate) fn emit(&self, writer: &mut Writer<'_>) -> Option<()> {
        let Capabilities { codecs, colours, width_max, height_max, picture_len_max } = &self.0;
        writer.u8(u8::try_from(codecs.len()).ok()?)?;
        for codec in codecs {
            writer.u8(codec.code())?;
        }
        let rgb888 = if colours.rgb888 { RGB888 } else { 0 };
        let rgb565 = if colours.rgb565 { RGB565 } else { 0 };
        writer.u8(rgb888 | rgb565)?;
        writer.u16(*width_max)?;
        writer.u16(*height_max)?;
        writer.u32(*picture_len_max)
    }
}

/// Parts of the screen that a viewer found to be wrong, in the terms of the codec that found them.
///
/// ```text
/// 0              4
/// +--------------+------...
/// | newest pict. | which, up to 192 bytes
/// | shown        | (tiles: its SPEC §7.2)
/// +--------------+------...
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TileReport {
    /// The picture after which it was so.
    pub after: PictureId,
    /// Which parts.
    pub wrong: Vec<u8, TILE_REPORT_MAX>,
}

impl TileReport {
    /// A report; what is too long is cut. `None` when it says nothing.
    #[must_use]
    pub fn of(after: PictureId, wrong: &[u8]) -> Option<Self> {
        let wrong = Vec::from_slice(wrong.get(..TILE_REPORT_MAX).unwrap_or(wrong)).ok()?;
        (!wrong.is_empty()).then_some(Self { after, wrong })
    }

    /// Reads a body; `None` when it is too long or says nothing.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let after = PictureId(reader.u32()?);
        let wrong = Vec::from_slice(reader.rest()).ok()?;
        (!wrong.is_empty()).then_some(Self { after, wrong })
    }

    pub(crate) fn emit(&self, writer: &mut Writer<'_>) -> Option<()> {
        writer.u32(self.after.0)?;
        writer.bytes(&self.wrong)
    }
}
