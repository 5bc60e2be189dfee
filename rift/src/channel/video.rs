//! Video: the vocabulary of pictures and streams (SPEC §11).

pub mod incoming;
pub(crate) mod outgoing;
pub mod pictures;

/// Counts the pictures of a session from 1; never wraps in practice (32 bits at 240 Hz last half a year).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PictureId(pub u32);

/// How the bytes of a rectangle are coded.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Codec {
    /// H.264 byte stream (Annex B), 4:2:0, one access unit a picture.
    H264,
    /// Wavry tiles.
    Tiles,
    /// JPEG.
    Jpeg,
}

/// A rectangle of the picture, in pixels from its top left corner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rectangle {
    /// Left edge.
    pub x: u16,
    /// Top edge.
    pub y: u16,
    /// Width; never 0 on the wire.
    pub width: u16,
    /// Height; never 0 on the wire.
    pub height: u16,
}

impl Rectangle {
    /// A rectangle of this size at the origin.
    #[must_use]
    pub const fn sized(width: u16, height: u16) -> Self {
        Self { x: 0, y: 0, width, height }
    }

    /// Whether no pixel is inside.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.width == 0 || self.height == 0
    }

    /// The smallest rectangle around both; an empty one adds nothing.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        if self.is_empty() {
            return other;
        }
        if other.is_empty() {
            return self;
        }
        let (x, y) = (self.x.min(other.x), self.y.min(other.y));
        let right =
            u32::max(u32::from(self.x) + u32::from(self.width), u32::from(other.x) + u32::from(other.width));
        let bottom = u32::max(
            u32::from(self.y) + u32::from(self.height),
            u32::from(other.y) + u32::from(other.height),
        );
        let width = u16::try_from(right - u32::from(x)).unwrap_or(u16::MAX);
        let height = u16::try_from(bottom - u32::from(y)).unwrap_or(u16::MAX);
        Self { x, y, width, height }
    }
}

/// What the pictures of a stream are until the next such message (SPEC §11.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamParameters {
    /// Width in pixels, `1..=16384`.
    pub width: u16,
    /// Height in pixels, `1..=16384`.
    pub height: u16,
    /// Pictures per 1000 s at most: 60 Hz is `60_000`.
    pub rate_millihertz: u32,
    /// How whole pictures are coded.
    pub codec: Codec,
}
