//! Lines of text over the picture, in a small window of their own.
//!
//! The server keeps the text (as the window's background) and clips the picture around it, so the overlay
//! costs nothing while pictures flow, and changes without one. It hears no events: they go to the window below.

use font8x8::UnicodeFonts;
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{
    ChangeWindowAttributesAux, ConfigureWindowAux, ConnectionExt, CreateGCAux, CreateWindowAux, ImageFormat,
    ImageOrder, StackMode, Window, WindowClass,
};
use x11rb::rust_connection::RustConnection;

use crate::Error;

/// Pixels of a character cell; glyphs of 8 × 8 are drawn at twice their height.
const CELL: (u16, u16) = (8, 16);
/// Pixels around the text.
const MARGIN: u16 = 8;
/// Pixels from the window's corner.
const OFFSET: i16 = 8;
/// Characters of a line and lines that are drawn; the rest is cut off.
const SIZE_MAX: (usize, usize) = (160, 60);
const TEXT_COLOUR: u32 = 0x00e8_f0e8;
const BOX_COLOUR: u32 = 0x0018_1c20;

/// The text's window.
pub(crate) struct Overlay {
    window: Window,
    text: String,
}

impl Overlay {
    /// An overlay inside `parent`, hidden.
    pub(crate) fn new(connection: &RustConnection, parent: Window) -> Result<Self, Error> {
        let window = connection.generate_id()?;
        let aux = CreateWindowAux::new().background_pixel(BOX_COLOUR);
        let class = WindowClass::INPUT_OUTPUT;
        connection
            .create_window(0, window, parent, OFFSET, OFFSET, 1, 1, 0, class, x11rb::COPY_FROM_PARENT, &aux)?
            .check()?;
        Ok(Self { window, text: String::new() })
    }

    /// Shows these lines, or hides when there are none.
    pub(crate) fn set(&mut self, connection: &RustConnection, depth: u8, text: &str) -> Result<(), Error> {
        if text == self.text {
            return Ok(());
        }
        self.text.clear();
        self.text.push_str(text);
        if text.is_empty() {
            connection.unmap_window(self.window)?.ignore_error();
            return Ok(());
        }
        let lsb = connection.setup().bitmap_format_bit_order == ImageOrder::LSB_FIRST;
        let pad = usize::from(connection.setup().bitmap_format_scanline_pad / 8).max(1);
        let bitmap = Bitmap::draw(text, lsb, pad);
        let (width, height) = (bitmap.width + 2 * MARGIN, bitmap.height + 2 * MARGIN);
        let (pixmap, gc) = (connection.generate_id()?, connection.generate_id()?);
        connection.create_pixmap(depth, pixmap, self.window, width, height)?.ignore_error();
        let aux = CreateGCAux::new().foreground(BOX_COLOUR).background(BOX_COLOUR);
        connection.create_gc(gc, pixmap, &aux)?.ignore_error();
        let all = x11rb::protocol::xproto::Rectangle { x: 0, y: 0, width, height };
        connection.poly_fill_rectangle(pixmap, gc, &[all])?.ignore_error();
        let colour = x11rb::protocol::xproto::ChangeGCAux::new().foreground(TEXT_COLOUR);
        connection.change_gc(gc, &colour)?.ignore_error();
        let (x, y) = (MARGIN.cast_signed(), MARGIN.cast_signed());
        let format = ImageFormat::XY_BITMAP;
        connection
            .put_image(format, pixmap, gc, bitmap.width, bitmap.height, x, y, 0, 1, &bitmap.bits)?
            .ignore_error();
        let background = ChangeWindowAttributesAux::new().background_pixmap(pixmap);
        connection.change_window_attributes(self.window, &background)?.ignore_error();
        let size = ConfigureWindowAux::new().width(u32::from(width)).height(u32::from(height));
        connection.configure_window(self.window, &size.stack_mode(StackMode::ABOVE))?.ignore_error();
        connection.map_window(self.window)?.ignore_error();
        connection.clear_area(false, self.window, 0, 0, 0, 0)?.ignore_error();
        connection.free_gc(gc)?.ignore_error();
        connection.free_pixmap(pixmap)?.ignore_error();
        Ok(())
    }
}

/// One bit a pixel, rows padded as the server wants them.
struct Bitmap {
    width: u16,
    height: u16,
    bits: Vec<u8>,
}

impl Bitmap {
    fn draw(text: &str, lsb_first: bool, pad: usize) -> Self {
        let lines: Vec<&str> = text.lines().take(SIZE_MAX.1).collect();
        let columns = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0).clamp(1, SIZE_MAX.0);
        let pitch = columns.div_ceil(pad) * pad;
        let rows = lines.len().max(1) * usize::from(CELL.1);
        let mut bits = vec![0; pitch * rows];
        for (line, text) in lines.iter().enumerate() {
            for (column, character) in text.chars().take(columns).enumerate() {
                for (y, byte) in glyph(character).into_iter().enumerate() {
                    let byte = if lsb_first { byte } else { byte.reverse_bits() };
                    let top = line * usize::from(CELL.1) + 2 * y;
                    bits[top * pitch + column] = byte;
                    bits[(top + 1) * pitch + column] = byte;
                }
            }
        }
        let narrow = |side: usize| u16::try_from(side).unwrap_or(u16::MAX);
        Self { width: narrow(columns) * CELL.0, height: narrow(rows), bits }
    }
}

/// The rows of a character, its leftmost pixel in the lowest bit; unknown ones are a question mark.
fn glyph(character: char) -> [u8; 8] {
    let known = font8x8::BASIC_FONTS.get(character).or_else(|| font8x8::LATIN_FONTS.get(character));
    known.or_else(|| font8x8::BASIC_FONTS.get('?')).unwrap_or_default()
}
