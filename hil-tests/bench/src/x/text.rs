//! Lines of text, in the font every X server has built in.

use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{ChangeGCAux, ConnectionExt as _, Drawable, Gcontext};
use x11rb::rust_connection::RustConnection;

use crate::clock::Chance;
use crate::failure::{Context as _, Failure};

const LETTERS: &[u8] = b"etaoinshrdlucmfwypvbgkjqxzETAOINSHRDLU0123456789(){};=+-_.,";
/// The longest text one request takes.
const REQUEST_MAX: usize = 255;
/// Text colours: black mostly, and what editors add to it. Colour is what subsampled pictures lose first.
const INKS: [u32; 6] = [0x0000_0000, 0x00a0_0000, 0x0000_0000, 0x0000_20c0, 0x0000_0000, 0x0000_7020];

/// The built-in font, set in a graphics context.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Font {
    gc: Gcontext,
}

impl Font {
    /// Width of each letter, pixels.
    pub(crate) const WIDTH: u16 = 6;
    /// Height of a line, pixels.
    pub(crate) const HEIGHT: u16 = 13;
    const ASCENT: i16 = 11;

    /// Opens the font and sets it in this context.
    pub(crate) fn open(connection: &RustConnection, gc: Gcontext, paper: u32) -> Result<Self, Failure> {
        let font = connection.generate_id()?;
        connection.open_font(font, b"fixed")?.check().context("the X server has no font `fixed`")?;
        let look = ChangeGCAux::new().font(font).background(paper);
        connection.change_gc(gc, &look)?.check()?;
        Ok(Self { gc })
    }

    /// Writes a line of words made by chance, from (x, y) of its top left corner.
    pub(crate) fn write_line(
        self,
        connection: &RustConnection,
        on: Drawable,
        (x, y): (i16, i16),
        letters: usize,
        chance: &mut Chance,
    ) -> Result<(), Failure> {
        let ink = INKS[chance.below(INKS.len() as u64) as usize];
        connection.change_gc(self.gc, &ChangeGCAux::new().foreground(ink))?;
        let line: Vec<u8> = (0..letters).map(|_| letter(chance)).collect();
        let mut at = x;
        for part in line.chunks(REQUEST_MAX) {
            connection.image_text8(on, self.gc, at, y + Self::ASCENT, part)?;
            at += i16::try_from(part.len())? * i16::try_from(Self::WIDTH)?;
        }
        Ok(())
    }
}

/// A letter or, as often as in prose, a blank.
fn letter(chance: &mut Chance) -> u8 {
    if chance.below(6) == 0 { b' ' } else { LETTERS[chance.below(LETTERS.len() as u64) as usize] }
}
