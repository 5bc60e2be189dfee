//! The host's cursor, drawn over the picture (SPEC §13 of `rift`).
//!
//! What lies under it is put aside, and put back before a picture is decoded: pictures copy what shows from place to
//! place, and must find what the host believes is there.

use rift::{CursorPosition, Rectangle, ShapeHead};

use crate::screen::Surface;

/// The most pixels a side of a shape may have here; larger ones are read past, and the cursor keeps its old shape.
const SIDE_MAX: usize = 48;
const PIXEL_LEN: usize = 4;

/// The cursor; see the module.
#[derive(Debug)]
pub(crate) struct Cursor {
    position: CursorPosition,
    /// The shape that is known.
    shape: Option<ShapeHead>,
    /// Its pixels: blue, green, red, alpha, multiplied by alpha.
    pixels: [[u8; PIXEL_LEN]; SIDE_MAX * SIDE_MAX],
    arriving: Arriving,
    /// Where it is drawn, and what is under it there.
    drawn: Option<Rectangle>,
    under: [[u8; 2]; SIDE_MAX * SIDE_MAX],
}

/// A shape on its way.
#[derive(Clone, Copy, Debug)]
enum Arriving {
    Head {
        bytes: [u8; ShapeHead::LEN],
        filled: usize,
    },
    Pixels {
        head: ShapeHead,
        filled: usize,
    },
    /// The stream makes no sense any more.
    Lost,
}

const NOTHING: Arriving = Arriving::Head { bytes: [0; ShapeHead::LEN], filled: 0 };

impl Cursor {
    pub(crate) const fn new() -> Self {
        Self {
            position: CursorPosition { x: 0, y: 0, visible: false, shape: 0 },
            shape: None,
            pixels: [[0; PIXEL_LEN]; SIDE_MAX * SIDE_MAX],
            arriving: NOTHING,
            drawn: None,
            under: [[0; 2]; SIDE_MAX * SIDE_MAX],
        }
    }

    /// Another session begins: what was known is another host's.
    pub(crate) const fn reset(&mut self) {
        self.position = CursorPosition { x: 0, y: 0, visible: false, shape: 0 };
        (self.shape, self.arriving, self.drawn) = (None, NOTHING, None);
    }

    /// Takes bytes of the cursor stream.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.arriving = match self.arriving {
                Arriving::Head { mut bytes, filled } => {
                    bytes[filled] = byte;
                    let filled = filled + 1;
                    if filled < bytes.len() {
                        Arriving::Head { bytes, filled }
                    } else {
                        ShapeHead::parse(&bytes)
                            .map_or(Arriving::Lost, |head| Arriving::Pixels { head, filled: 0 })
                    }
                }
                Arriving::Pixels { head, filled } => self.push_pixel(head, filled, byte),
                Arriving::Lost => return,
            };
        }
    }

    fn push_pixel(&mut self, head: ShapeHead, filled: usize, byte: u8) -> Arriving {
        let fits = usize::from(head.width.max(head.height)) <= SIDE_MAX;
        if fits {
            // The old shape gives way: it is drawn no more until the new one is whole.
            self.shape = None;
            if let Some(pixel) = self.pixels.get_mut(filled / PIXEL_LEN) {
                pixel[filled % PIXEL_LEN] = byte;
            }
        }
        let filled = filled + 1;
        if filled < head.pixels_len() {
            return Arriving::Pixels { head, filled };
        }
        if fits {
            self.shape = Some(head);
        }
        NOTHING
    }

    pub(crate) const fn set_position(&mut self, position: CursorPosition) {
        self.position = position;
    }

    /// Puts back what is under it.
    pub(crate) fn erase(&mut self, surface: &mut impl Surface) {
        let Some(place) = self.drawn.take() else { return };
        let stride = surface.stride();
        let mut under = self.under.iter();
        for_pixels(place, stride, |at| {
            if let (Some(pixel), Some(old)) = (surface.bytes().get_mut(at..at + 2), under.next()) {
                pixel.copy_from_slice(old);
            }
        });
        surface.written(place);
    }

    /// Draws it where it is, if it shows and its shape is known. It must not be drawn already.
    pub(crate) fn draw(&mut self, surface: &mut impl Surface) {
        let Some(head) = self.shape.filter(|_| self.position.visible) else { return };
        let (width, height) = surface.size();
        // The shape's corner may lie outside, up and to the left.
        let corner = |place: u16, hot: u16| i32::from(place) - i32::from(hot);
        let (left, top) = (corner(self.position.x, head.hot_x), corner(self.position.y, head.hot_y));
        let (x, y) = (left.max(0), top.max(0));
        let right = (left + i32::from(head.width)).min(width.into());
        let bottom = (top + i32::from(head.height)).min(height.into());
        if x >= right || y >= bottom {
            return;
        }
        let short = |number: i32| u16::try_from(number).unwrap_or(0);
        let place =
            Rectangle { x: short(x), y: short(y), width: short(right - x), height: short(bottom - y) };
        let (skip_x, skip_y) = ((x - left).unsigned_abs() as usize, (y - top).unsigned_abs() as usize);
        let (row_len, place_width) = (usize::from(head.width), usize::from(place.width));
        let stride = surface.stride();
        let mut index = 0;
        for_pixels(place, stride, |at| {
            let (row, column) = (index / place_width, index % place_width);
            let pixel = self.pixels[(skip_y + row) * row_len + skip_x + column];
            if let Some(target) = surface.bytes().get_mut(at..at + 2) {
                let old = [target[0], target[1]];
                self.under[index] = old;
                target.copy_from_slice(&blend(old, pixel));
            }
            index += 1;
        });
        surface.written(place);
        self.drawn = Some(place);
    }
}

/// Calls with the offset of each pixel, row by row.
fn for_pixels(place: Rectangle, stride: usize, mut each: impl FnMut(usize)) {
    for row in 0..usize::from(place.height) {
        for column in 0..usize::from(place.width) {
            each((usize::from(place.y) + row) * stride + (usize::from(place.x) + column) * 2);
        }
    }
}

/// A pixel of the screen under one of the shape.
fn blend(under: [u8; 2], [blue, green, red, alpha]: [u8; PIXEL_LEN]) -> [u8; 2] {
    if alpha == 0 {
        return under;
    }
    let old = u32::from(u16::from_le_bytes(under));
    let rest = 255 - u32::from(alpha);
    let mix = |new: u8, old: u32, max: u32| (u32::from(new) * max / 255 + old * rest / 255).min(max);
    let mixed = mix(red, old >> 11, 31) << 11 | mix(green, old >> 5 & 63, 63) << 5 | mix(blue, old & 31, 31);
    (mixed as u16).to_le_bytes()
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    struct Small(Vec<u8>);

    impl Surface for Small {
        fn size(&self) -> (u16, u16) {
            (20, 10)
        }

        fn stride(&self) -> usize {
            44
        }

        fn bytes(&mut self) -> &mut [u8] {
            &mut self.0
        }

        fn written(&mut self, place: Rectangle) {
            assert!(place.x + place.width <= 20 && place.y + place.height <= 10);
        }
    }

    fn shape(id: u32, side: u16, hot: u16, pixel: [u8; 4]) -> Vec<u8> {
        let head = ShapeHead { shape: id, width: side, height: side, hot_x: hot, hot_y: hot };
        [head.to_bytes().to_vec(), pixel.repeat(usize::from(side) * usize::from(side))].concat()
    }

    #[test]
    fn what_was_under_it_is_back_wherever_it_was() {
        let before: Vec<u8> = (0..440_u32).map(|at| (at * 7) as u8).collect();
        let mut surface = Small(before.clone());
        let mut cursor = Cursor::new();
        shape(1, 4, 1, [0, 0, 255, 255]).chunks(5).for_each(|part| cursor.push(part));
        for y in 0..12 {
            for x in 0..24 {
                cursor.set_position(CursorPosition { x, y, visible: true, shape: 1 });
                cursor.draw(&mut surface);
                let red = surface.0.chunks_exact(2).filter(|pixel| *pixel == [0, 0xf8]).count();
                let inside = |at: u16, len: i32| {
                    (0..4).filter(|step| (0..len).contains(&(i32::from(at) - 1 + step))).count()
                };
                assert!(red >= inside(x, 20) * inside(y, 10), "{x} {y}");
                cursor.erase(&mut surface);
                assert_eq!(surface.0, before, "{x} {y}");
            }
        }
    }

    #[test]
    fn shape_that_is_too_large_is_read_past_and_the_next_one_taken() {
        let mut cursor = Cursor::new();
        cursor.push(&shape(1, 4, 0, [255; 4]));
        cursor.push(&shape(2, 49, 0, [1; 4]));
        assert_eq!(cursor.shape.map(|head| head.shape), Some(1));
        cursor.push(&shape(3, 48, 0, [2; 4]));
        assert_eq!(cursor.shape.map(|head| head.shape), Some(3));
    }

    #[test]
    fn transparent_pixels_leave_what_shows_and_half_ones_mix() {
        assert_eq!(blend([0x34, 0x12], [0; 4]), [0x34, 0x12]);
        assert_eq!(blend([0, 0], [255; 4]), [0xff, 0xff]);
        let [low, high] = blend([0xff, 0xff], [0, 0, 0, 128]);
        assert_eq!(u16::from_le_bytes([low, high]) >> 11, 15);
    }
}
