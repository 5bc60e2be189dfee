//! Lines of text, in the font every X server has built in.

use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{ChangeGCAux, ConnectionExt as _, Drawable, Gcontext};
use x11rb::rust_connection::RustConnection;

use crate::clock::Chance;
use crate::failure::{Context as _, Failure};

/// Letters as often as in English prose, roughly.
const LETTERS: &[u8] =
    b"eeeeeeeeeeeetttttttttaaaaaaaaooooooooiiiiiiinnnnnnnsssssshhhhhhrrrrrrddddllllcccuuummwwffggyyppbbvk";
/// The longest text one request takes.
const REQUEST_MAX: usize = 255;
/// What a page is printed in.
pub(crate) const BLACK: &[u32] = &[0x0000_0000];
/// What editors and terminals add to it. Colour is what subsampled pictures lose first.
pub(crate) const COLOURED: &[u32] =
    &[0x0000_0000, 0x00a0_0000, 0x0000_0000, 0x0000_20c0, 0x0000_0000, 0x0000_7020];
const WORD_MAX: u64 = 9;
/// One line in so many is blank, between paragraphs.
const PARAGRAPH: u64 = 12;

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

    /// Writes a line of words made by chance, in one of these colours, from (x, y) of its top left corner. Over the
    /// whole of `letters` there is paper behind it; most lines end before, and some are blank.
    pub(crate) fn write_line(
        self,
        connection: &RustConnection,
        on: Drawable,
        (x, y): (i16, i16),
        letters: usize,
        inks: &[u32],
        chance: &mut Chance,
    ) -> Result<(), Failure> {
        let ink = inks[chance.below(inks.len() as u64) as usize];
        connection.change_gc(self.gc, &ChangeGCAux::new().foreground(ink))?;
        let mut at = x;
        for part in line(letters, chance).chunks(REQUEST_MAX) {
            connection.image_text8(on, self.gc, at, y + Self::ASCENT, part)?;
            at += i16::try_from(part.len())? * i16::try_from(Self::WIDTH)?;
        }
        Ok(())
    }
}

/// Words and blanks, `letters` long in all.
fn line(letters: usize, chance: &mut Chance) -> Vec<u8> {
    let ragged = chance.below(1 + letters as u64 / 4) as usize;
    let end = if chance.below(PARAGRAPH) == 0 { 0 } else { letters - ragged };
    let mut line = Vec::with_capacity(letters);
    while line.len() < end {
        let length = 1 + chance.below(WORD_MAX);
        line.extend((0..length).map(|_| LETTERS[chance.below(LETTERS.len() as u64) as usize]));
        line.push(b' ');
    }
    line.truncate(end);
    line.resize(letters, b' ');
    line
}
