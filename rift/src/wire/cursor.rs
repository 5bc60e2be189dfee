//! The host's cursor (SPEC §13): its place in a frame, its shape in the cursor stream.

use super::{Reader, Writer};

/// Where the cursor is.
///
/// ```text
/// 0       2       4       5             9
/// +-------+-------+-------+-------------+
/// | x     | y     | flags | shape id    |
/// +-------+-------+-------+-------------+
/// flags: bit 0 = visible; the others are 0 and ignored
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CursorPosition {
    /// The hot spot, pixels from the picture's left edge.
    pub x: u16,
    /// The hot spot, pixels from its top edge.
    pub y: u16,
    /// Whether it shows.
    pub visible: bool,
    /// Which shape it has; 0 = none was sent yet.
    pub shape: u32,
}

impl CursorPosition {
    /// Reads a body.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let (x, y, flags) = (reader.u16()?, reader.u16()?, reader.u8()?);
        Some(Self { x, y, visible: flags & 1 != 0, shape: reader.u32()? })
    }

    pub(crate) fn emit(self, writer: &mut Writer<'_>) -> Option<()> {
        writer.u16(self.x)?;
        writer.u16(self.y)?;
        writer.u8(u8::from(self.visible))?;
        writer.u32(self.shape)
    }
}

/// The head of a shape in the cursor stream; `width * height * 4` bytes of blue, green, red, alpha follow,
/// colours multiplied by alpha.
///
/// ```text
/// 0             4       6       8       10      12
/// +-------------+-------+-------+-------+-------+
/// | shape id    | width | height| hot x | hot y |
/// +-------------+-------+-------+-------+-------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShapeHead {
    /// Names the shape; never 0.
    pub shape: u32,
    /// Pixels across, `1..=256`.
    pub width: u16,
    /// Pixels down, `1..=256`.
    pub height: u16,
    /// The hot spot, inside the shape.
    pub hot_x: u16,
    /// The hot spot, inside the shape.
    pub hot_y: u16,
}

impl ShapeHead {
    /// Bytes on the wire.
    pub const LEN: usize = 12;
    /// The most pixels a side may have.
    pub const SIDE_MAX: u16 = 256;

    /// Reads a head; `None` when it is short or names an impossible shape.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let head = Self {
            shape: reader.u32()?,
            width: reader.u16()?,
            height: reader.u16()?,
            hot_x: reader.u16()?,
            hot_y: reader.u16()?,
        };
        let sides = 1..=Self::SIDE_MAX;
        let sound = head.shape != 0
            && sides.contains(&head.width)
            && sides.contains(&head.height)
            && head.hot_x < head.width
            && head.hot_y < head.height;
        sound.then_some(head)
    }

    /// Its bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let written = self.emit(&mut Writer::new(&mut bytes));
        debug_assert!(written.is_some(), "LEN is the sum of the fields");
        bytes
    }

    fn emit(self, writer: &mut Writer<'_>) -> Option<()> {
        writer.u32(self.shape)?;
        writer.u16(self.width)?;
        writer.u16(self.height)?;
        writer.u16(self.hot_x)?;
        writer.u16(self.hot_y)
    }

    /// Bytes of the pixels that follow.
    #[must_use]
    pub fn pixels_len(self) -> usize {
        usize::from(self.width).saturating_mul(usize::from(self.height)).saturating_mul(4)
    }
}
