//! The frame to be shown, in the viewer's pixels.

use core::marker::PhantomData;

use rift::Rectangle;
use rift_hal::{Frame, PixelFormat, Plane};

use crate::grid::Grid;
use crate::pixel::{Pixel, Rgb565, to_rgb888};

/// Reads a frame's rows as pixels of `P`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'f, P> {
    plane: Plane<'f>,
    is_bgrx: bool,
    pub(super) width: usize,
    pub(super) height: usize,
    format: PhantomData<P>,
}

impl<'f, P: Pixel> Source<'f, P> {
    /// `None`: the frame's pixels are of a kind that is not taken.
    pub(super) fn new(frame: &Frame<'f>) -> Option<Self> {
        let is_bgrx = frame.format() == PixelFormat::Bgrx;
        (is_bgrx || frame.format() == PixelFormat::Rgb565).then(|| Self {
            plane: frame.planes()[0],
            is_bgrx,
            width: frame.width() as usize,
            height: frame.height() as usize,
            format: PhantomData,
        })
    }

    /// The pixels from `x` on in row `y`, as many as `row` has.
    pub(super) fn row(&self, x: usize, y: usize, row: &mut [u32]) {
        if self.is_bgrx {
            let bytes = &self.plane.row(y, (x + row.len()) * 4)[x * 4..];
            for (pixel, bytes) in row.iter_mut().zip(bytes.chunks_exact(4)) {
                *pixel = P::of_rgb888(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]));
            }
        } else {
            let bytes = &self.plane.row(y, (x + row.len()) * 2)[x * 2..];
            for (pixel, bytes) in row.iter_mut().zip(bytes.chunks_exact(2)) {
                let value = Rgb565::load(bytes);
                *pixel =
                    if P::CODE == Rgb565::CODE { value } else { P::of_rgb888(to_rgb888::<Rgb565>(value)) };
            }
        }
    }

    /// Whether a tile is not as `shown` has it.
    pub(super) fn differs(&self, shown: &[u32], tile: &Rectangle) -> bool {
        let mut row = [0; Grid::TILE as usize];
        let row = &mut row[..tile.width.into()];
        (tile.y..tile.y + tile.height).any(|y| {
            self.row(tile.x.into(), y.into(), row);
            let at = usize::from(y) * self.width + usize::from(tile.x);
            *row != shown[at..at + row.len()]
        })
    }

    /// Makes a tile of `shown` as it is here.
    pub(super) fn copy(&self, shown: &mut [u32], tile: &Rectangle) {
        for y in tile.y..tile.y + tile.height {
            let at = usize::from(y) * self.width + usize::from(tile.x);
            self.row(tile.x.into(), y.into(), &mut shown[at..at + usize::from(tile.width)]);
        }
    }
}
