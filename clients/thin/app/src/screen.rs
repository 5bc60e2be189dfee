//! The board's screen: pictures in, and what the board itself has to say.
//!
//! The memory that is scanned out is borrowed from the board. Pictures are decoded straight into it; words are drawn over
//! it only while no picture shows, so what a host sends is what is seen, pixel for pixel.

use core::convert::Infallible;
use core::fmt::Write as _;

use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::ascii::{FONT_6X13, FONT_10X20};
use embedded_graphics::pixelcolor::{IntoStorage as _, Rgb565, RgbColor as _};
use embedded_graphics::primitives::Rectangle;
use embedded_graphics::text::{Baseline, Text};
use embedded_graphics::{Drawable as _, Pixel};
use heapless::String;
use rift::CursorPosition;
use rift_tiles::{DecodeError, Decoded, Decoder, TileSet};

use crate::cursor::Cursor;

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
}

/// The screen; see the module.
#[derive(Debug)]
pub struct Screen<S> {
    surface: S,
    decoder: Decoder,
    cursor: Cursor,
}

/// Longest line of words, in characters: what 480 pixels hold.
const LINE_LEN: usize = 80;

/// Why no picture can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShowError {
    /// The host's pictures are larger than the screen.
    TooLarge,
    /// The bytes are no picture.
    Decode(DecodeError),
}

impl<S: Surface> Screen<S> {
    /// The screen of this memory.
    pub const fn new(surface: S) -> Self {
        Self { surface, decoder: Decoder::new(), cursor: Cursor::new() }
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

    /// Blackens all of it.
    pub fn clear(&mut self) {
        self.cursor.erase(&mut self.surface);
        let (width, height) = self.surface.size();
        self.fill(rift::Rectangle::sized(width, height), Rgb565::BLACK);
    }

    /// Blackens what lies beside a picture of this size.
    pub fn clear_beside(&mut self, (width, height): (u16, u16)) {
        let (across, down) = self.surface.size();
        let (width, height) = (width.min(across), height.min(down));
        let right = rift::Rectangle { x: width, y: 0, width: across - width, height: down };
        let below = rift::Rectangle { x: 0, y: height, width: across, height: down - height };
        self.fill(right, Rgb565::BLACK);
        self.fill(below, Rgb565::BLACK);
    }

    /// Shows a heading and lines of words in the middle, on a ground of `colour`, whatever else shows.
    pub fn say(&mut self, colour: Rgb565, heading: &str, lines: &[String<LINE_LEN>]) {
        self.cursor.erase(&mut self.surface);
        let (across, down) = self.surface.size();
        let height = 40 + 16 * u16::try_from(lines.len()).unwrap_or(0);
        let longest = lines.iter().map(|line| line.len() * 6).max().unwrap_or(0).max(heading.len() * 10);
        let width = u16::try_from(longest + 24).unwrap_or(u16::MAX).min(across);
        let (x, y) = ((across - width) / 2, down.saturating_sub(height) / 2);
        self.fill(rift::Rectangle { x, y, width, height: height.min(down) }, colour);
        let (left, top) = (i32::from(x) + 12, i32::from(y) + 8);
        let large = MonoTextStyle::new(&FONT_10X20, Rgb565::WHITE);
        let small = MonoTextStyle::new(&FONT_6X13, Rgb565::WHITE);
        let canvas = &mut Canvas(&mut self.surface);
        // Drawing into memory cannot fail.
        let _ = Text::with_baseline(heading, Point::new(left, top), large, Baseline::Top).draw(canvas);
        for (line, row) in lines.iter().zip(0..) {
            let place = Point::new(left, top + 26 + 16 * row);
            let _ = Text::with_baseline(line, place, small, Baseline::Top).draw(canvas);
        }
        self.surface.written(rift::Rectangle { x, y, width, height: height.min(down) });
    }

    fn fill(&mut self, place: rift::Rectangle, colour: Rgb565) {
        let area = Rectangle::new(
            Point::new(place.x.into(), place.y.into()),
            Size::new(place.width.into(), place.height.into()),
        );
        let _ = Canvas(&mut self.surface).fill_solid(&area, colour);
        self.surface.written(place);
    }
}

/// A line of words from parts; what does not fit is left out.
pub fn line(words: core::fmt::Arguments<'_>) -> String<LINE_LEN> {
    let mut line = String::new();
    let mut cut = Cut(&mut line);
    let _ = cut.write_fmt(words);
    line
}

struct Cut<'a>(&'a mut String<LINE_LEN>);

impl core::fmt::Write for Cut<'_> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        text.chars().try_for_each(|letter| self.0.push(letter)).map_err(|_| core::fmt::Error)
    }
}

/// What embedded-graphics draws on.
struct Canvas<'a, S>(&'a mut S);

impl<S: Surface> OriginDimensions for Canvas<'_, S> {
    fn size(&self) -> Size {
        let (width, height) = self.0.size();
        Size::new(width.into(), height.into())
    }
}

impl<S: Surface> DrawTarget for Canvas<'_, S> {
    type Color = Rgb565;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb565>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        let ((width, height), stride) = (self.0.size(), self.0.stride());
        let bytes = self.0.bytes();
        for Pixel(point, colour) in pixels {
            let (Ok(x), Ok(y)) = (u16::try_from(point.x), u16::try_from(point.y)) else { continue };
            let at = usize::from(y) * stride + usize::from(x) * 2;
            if x < width
                && y < height
                && let Some(place) = bytes.get_mut(at..at + 2)
            {
                place.copy_from_slice(&colour.into_storage().to_le_bytes());
            }
        }
        Ok(())
    }

    fn fill_solid(&mut self, area: &Rectangle, colour: Rgb565) -> Result<(), Infallible> {
        let size = OriginDimensions::size(self);
        let area = area.intersection(&Rectangle::new(Point::zero(), size));
        let stride = self.0.stride();
        let (x, width) = (area.top_left.x.unsigned_abs() as usize, area.size.width as usize);
        for y in area.rows() {
            let at = y.unsigned_abs() as usize * stride + x * 2;
            let row = self.0.bytes().get_mut(at..at + width * 2).unwrap_or_default();
            for pixel in row.chunks_exact_mut(2) {
                pixel.copy_from_slice(&colour.into_storage().to_le_bytes());
            }
        }
        Ok(())
    }
}
