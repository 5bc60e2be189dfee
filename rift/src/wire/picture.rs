//! The head of a picture's bytes: what all its rectangles share, then the rectangles (SPEC §11.3).
//!
//! It stands at the front of the coded bytes, so it travels once in shard 0 and is covered by every parity shard.

use heapless::Vec;

use super::{Reader, Writer};
use crate::channel::video::{Codec, PictureId, Rectangle};
use crate::limits::RECTANGLES_MAX;

/// One rectangle of a picture and the length of its coded bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodedRectangle {
    /// Where it goes.
    pub place: Rectangle,
    /// How its bytes are coded.
    pub codec: Codec,
    /// How many bytes they are.
    pub len: u32,
}

/// What a picture is.
///
/// ```text
/// 0        2       3     4           8            12            16           20     21
/// +--------+-------+-----+-----------+------------+-------------+------------+------+
/// | length | flags | ref | bytes     | captured µs| encoded µs  | sent µs    | n    |
/// | of head|       | dist| in all    | host low 32| after capt. | after capt.|      |
/// +--------+-------+-----+-----------+------------+-------------+------------+------+
/// then n times: x 2, y 2, width 2, height 2, codec 1, length 4; then the rectangles' bytes in order
/// flags: bit 0 = input that reached the host before the capture may show in it (reserved)
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PictureHead {
    /// How many pictures back lies the newest one it needs; 0 = it needs none.
    pub reference_distance: u8,
    /// Bytes of the whole picture, this head included.
    pub total_len: u32,
    /// When it was captured, in the host's microseconds, modulo 2³².
    pub captured_us: u32,
    /// How long after the capture it was encoded, in microseconds.
    pub encoded_after_us: u32,
    /// How long after the capture its first shard left for this viewer, in microseconds; 0 = unknown. Written
    /// into shard 0 as it leaves; parity is computed with 0 in its place.
    pub sent_after_us: u32,
    /// The rectangles, in the order in which they are applied.
    pub rectangles: Vec<CodedRectangle, RECTANGLES_MAX>,
}

impl PictureHead {
    /// Bytes before the rectangles.
    pub const FIXED_LEN: usize = 21;
    /// Bytes of one rectangle.
    pub const RECTANGLE_LEN: usize = 13;
    /// The longest head.
    pub const LEN_MAX: usize = Self::FIXED_LEN + RECTANGLES_MAX * Self::RECTANGLE_LEN;
    /// Where `sent_after_us` stands, 4 bytes of it.
    pub const SENT_AT: usize = 16;

    /// The newest picture that picture `id` needs; `None` = it needs none (or the distance is impossible).
    #[must_use]
    pub fn reference(&self, id: PictureId) -> Option<PictureId> {
        match self.reference_distance {
            0 => None,
            distance => id.0.checked_sub(u32::from(distance)).map(PictureId),
        }
    }

    /// Reads a head from the front of a picture's bytes; gives it and its length. `None` when it is broken or the
    /// rectangles' lengths do not add up to the whole.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let mut reader = Reader::new(bytes);
        let head_len = usize::from(reader.u16()?);
        let _flags = reader.u8()?;
        let reference_distance = reader.u8()?;
        let total_len = reader.u32()?;
        let captured_us = reader.u32()?;
        let encoded_after_us = reader.u32()?;
        let sent_after_us = reader.u32()?;
        let count = usize::from(reader.u8()?);
        if count == 0 || count > RECTANGLES_MAX {
            return None;
        }
        let mut rectangles = Vec::new();
        let mut sum = head_len;
        for _ in 0..count {
            let place =
                Rectangle { x: reader.u16()?, y: reader.u16()?, width: reader.u16()?, height: reader.u16()? };
            let codec = Codec::of(reader.u8()?)?;
            let len = reader.u32()?;
            if place.is_empty() {
                return None;
            }
            sum = sum.checked_add(usize::try_from(len).ok()?)?;
            rectangles.push(CodedRectangle { place, codec, len }).ok()?;
        }
        let known = Self::FIXED_LEN.checked_add(count.checked_mul(Self::RECTANGLE_LEN)?)?;
        if head_len < known || sum != usize::try_from(total_len).ok()? {
            return None;
        }
        let head =
            Self { reference_distance, total_len, captured_us, encoded_after_us, sent_after_us, rectangles };
        Some((head, head_len))
    }

    /// Bytes of its own wire form.
    #[must_use]
    pub fn len(&self) -> usize {
        Self::FIXED_LEN.saturating_add(self.rectangles.len().saturating_mul(Self::RECTANGLE_LEN))
    }

    /// Never: a head is at least [`Self::FIXED_LEN`] long.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// Writes it to the front of `out`; `None` when that is too short.
    pub fn emit(&self, out: &mut [u8]) -> Option<usize> {
        let mut writer = Writer::new(out);
        writer.u16(u16::try_from(self.len()).ok()?)?;
        writer.u8(0)?;
        writer.u8(self.reference_distance)?;
        writer.u32(self.total_len)?;
        writer.u32(self.captured_us)?;
        writer.u32(self.encoded_after_us)?;
        writer.u32(self.sent_after_us)?;
        writer.u8(u8::try_from(self.rectangles.len()).ok()?)?;
        for rectangle in &self.rectangles {
            writer.u16(rectangle.place.x)?;
            writer.u16(rectangle.place.y)?;
            writer.u16(rectangle.place.width)?;
            writer.u16(rectangle.place.height)?;
            writer.u8(rectangle.codec.code())?;
            writer.u32(rectangle.len)?;
        }
        Some(writer.len())
    }
}
