//! What the board itself has to say, drawn over whatever shows.

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

use crate::screen::Surface;

/// Longest line of words, in characters: what 480 pixels hold.
const LINE_LEN: usize = 80;

/// Shows a heading and lines of words in the middle, on a ground of `colour`.
pub(crate) fn say<S: Surface>(surface: &mut S, colour: Rgb565, heading: &str, lines: &[String<LINE_LEN>]) {
    let (across, down) = surface.size();
    let height = (40 + 16 * u16::try_from(lines.len()).unwrap_or(0)).min(down);
    let longest = lines.iter().map(|line| line.len() * 6).max().unwrap_or(0).max(heading.len() * 10);
    let width = u16::try_from(longest + 24).unwrap_or(u16::MAX).min(across);
    let (x, y) = ((across - width) / 2, (down - height) / 2);
    let place = rift::Rectangle { x, y, width, height };
    fill(surface, place, colour);
    let (left, top) = (i32::from(x) + 12, i32::from(y) + 8);
    let large = MonoTextStyle::new(&FONT_10X20, Rgb565::WHITE);
    let small = MonoTextStyle::new(&FONT_6X13, Rgb565::WHITE);
    let canvas = &mut Canvas(surface);
    // Drawing into memory cannot fail.
    let _ = Text::with_baseline(heading, Point::new(left, top), large, Baseline::Top).draw(canvas);
    for (line, row) in lines.iter().zip(0..) {
        let start = Point::new(left, top + 26 + 16 * row);
        let _ = Text::with_baseline(line, start, small, Baseline::Top).draw(canvas);
    }
    surface.written(place);
}

/// Blackens a part of the screen.
pub(crate) fn blacken<S: Surface>(surface: &mut S, place: rift::Rectangle) {
    fill(surface, place, Rgb565::BLACK);
}

fn fill<S: Surface>(surface: &mut S, place: rift::Rectangle, colour: Rgb565) {
    let area = Rectangle::new(
        Point::new(place.x.into(), place.y.into()),
        Size::new(place.width.into(), place.height.into()),
    );
    let _ = Canvas(surface).fill_solid(&area, colour);
    surface.written(place);
}

/// A line of words from parts; what does not fit is left out.
pub(crate) fn line(words: core::fmt::Arguments<'_>) -> String<LINE_LEN> {
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
