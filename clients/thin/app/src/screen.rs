//! The board's screen: pictures in, and what the board itself has to say.
//!
//! The memory that is scanned out is borrowed from the board. Pictures are decoded straight into it; words are drawn over
//! it only while no picture shows, so what a host sends is what is seen, pixel for pixel.

use rift::limits::JPEG_PIXELS_MAX;
use rift::{Codec, CursorPosition};
use rift_tiles::{DecodeError, Decoded, Decoder, TileSet};

use crate::cursor::Cursor;
use crate::words::blacken;

/// What a board shows pixels with: memory that is scanned out, 16 bits a pixel (five red, six green, five blue,
/// little-endian).
pub trait Surface {
    /// Pixels across and down.
    fn size(&self) -> (u16, u16);
    /// Bytes from the start of one row to the start of the next.
    fn stride(&self) -> usize;
    /// The pixels, `stride * height` bytes at least.
    fn bytes(&mut self) -> &mut [u8];
    /// This part of the memory was written: for boards with a cache or a controller of their own.
    fn written(&mut self, place: rift::Rectangle);
    /// What the board has an engine for, beside tiles; [`crate::WithEngine`] adds one.
    fn engine(&self) -> Option<Codec> {
        None
    }
    /// Draws what that engine makes of these bytes, in this place, which lies within the surface. `false`: nothing was
    /// drawn.
    fn draw_coded(&mut self, _place: rift::Rectangle, _bytes: &[u8]) -> bool {
        false
    }
}

/// The screen; see the module.
#[derive(Debug)]
pub struct Screen<'m, S> {
    surface: S,
    decoder: &'m mut Decoder,
    cursor: &'m mut Cursor,
}

/// Why no picture can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShowError {
    /// The host's pictures are larger than the screen.
    TooLarge,
    /// They are coded in a way that this board was never said to take.
    Codec,
    /// The bytes are no picture.
    Decode(DecodeError),
    /// The board's engine makes nothing of the bytes.
    Engine,
}

impl<'m, S: Surface> Screen<'m, S> {
    /// The screen of this memory.
    pub(crate) const fn new(surface: S, decoder: &'m mut Decoder, cursor: &'m mut Cursor) -> Self {
        Self { surface, decoder, cursor }
    }

    /// Its size in pixels.
    pub fn size(&self) -> (u16, u16) {
        self.surface.size()
    }

    /// The memory it is made of.
    pub const fn surface(&mut self) -> &mut S {
        &mut self.surface
    }

    /// The host's cursor is there now. It is drawn over the picture.
    pub fn place_cursor(&mut self, position: CursorPosition) {
        self.cursor.erase(&mut self.surface);
        self.cursor.set_position(position);
        self.cursor.draw(&mut self.surface);
    }

    /// More of the host's cursor stream.
    pub fn push_cursor(&mut self, bytes: &[u8]) {
        self.cursor.erase(&mut self.surface);
        self.cursor.push(bytes);
        self.cursor.draw(&mut self.surface);
    }

    /// There is no host's cursor any more.
    pub fn drop_cursor(&mut self) {
        self.cursor.erase(&mut self.surface);
        self.cursor.reset();
    }

    /// The memory it is made of, without the cursor: for words of the board's own.
    pub(crate) fn bare(&mut self) -> &mut S {
        self.cursor.erase(&mut self.surface);
        &mut self.surface
    }

    /// Draws a picture of `width` × `height` pixels into the upper left corner.
    ///
    /// # Errors
    /// [`ShowError`]; after some of them a part of it shows.
    pub fn show(
        &mut self,
        bytes: &[u8],
        (width, height): (u16, u16),
        wrong: Option<&mut TileSet<'_>>,
    ) -> Result<Decoded, ShowError> {
        let (across, down) = self.surface.size();
        if width > across || height > down {
            return Err(ShowError::TooLarge);
        }
        self.cursor.erase(&mut self.surface);
        let decoded = self.decode(bytes, (width, height), wrong);
        self.cursor.draw(&mut self.surface);
        decoded
    }

    fn decode(
        &mut self,
        bytes: &[u8],
        (width, height): (u16, u16),
        wrong: Option<&mut TileSet<'_>>,
    ) -> Result<Decoded, ShowError> {
        let stride = self.surface.stride();
        let screen =
            rift_tiles::Screen::<rift_tiles::Rgb565>::new(self.surface.bytes(), stride, width, height);
        let decoded = match screen {
            Ok(mut screen) => self.decoder.decode(bytes, &mut screen, wrong).map_err(ShowError::Decode)?,
            Err(_) => return Err(ShowError::TooLarge),
        };
        self.surface.written(decoded.damage);
        Ok(decoded)
    }

    /// Draws what the board's engine makes of these bytes into a place.
    ///
    /// # Errors
    /// [`ShowError`]; nothing is drawn then.
    pub fn show_coded(
        &mut self,
        codec: Codec,
        place: rift::Rectangle,
        bytes: &[u8],
    ) -> Result<(), ShowError> {
        if self.surface.engine() != Some(codec) {
            return Err(ShowError::Codec);
        }
        let (across, down) = self.surface.size();
        let fits = |at: u16, len: u16, most: u16| at.checked_add(len).is_some_and(|end| end <= most);
        // Whole pictures may be larger than a part.
        let is_large = usize::from(place.width) * usize::from(place.height) > JPEG_PIXELS_MAX;
        if (is_large && codec == Codec::Jpeg)
            || place.is_empty()
            || !fits(place.x, place.width, across)
            || !fits(place.y, place.height, down)
        {
            return Err(ShowError::TooLarge);
        }
        self.cursor.erase(&mut self.surface);
        let is_drawn = self.surface.draw_coded(place, bytes);
        if is_drawn {
            self.surface.written(place);
        }
        self.cursor.draw(&mut self.surface);
        if is_drawn { Ok(()) } else { Err(ShowError::Engine) }
    }

    /// What this board can decode, the best first: an engine for whole pictures before tiles, one for parts of them after.
    pub(crate) fn codecs(&self) -> &'static [Codec] {
        match self.surface.engine() {
            Some(Codec::H264) => &[Codec::H264, Codec::Tiles],
            Some(Codec::Jpeg) => &[Codec::Tiles, Codec::Jpeg],
            Some(Codec::Tiles | _) | None => &[Codec::Tiles],
        }
    }

    /// Blackens all of it.
    pub fn clear(&mut self) {
        self.cursor.erase(&mut self.surface);
        let (width, height) = self.surface.size();
        blacken(&mut self.surface, rift::Rectangle::sized(width, height));
    }

    /// Blackens what lies beside a picture of this size.
    pub fn clear_beside(&mut self, (width, height): (u16, u16)) {
        let (across, down) = self.surface.size();
        let (width, height) = (width.min(across), height.min(down));
        let right = rift::Rectangle { x: width, y: 0, width: across - width, height: down };
        let below = rift::Rectangle { x: 0, y: height, width: across, height: down - height };
        blacken(&mut self.surface, right);
        blacken(&mut self.surface, below);
    }
}
