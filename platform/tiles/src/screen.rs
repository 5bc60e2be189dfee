//! The pixels a viewer shows, borrowed from their owner.

use core::marker::PhantomData;

use rift::Rectangle;

use crate::block::Rows;
use crate::grid::Grid;
use crate::hash::TileHash;
use crate::pixel::Pixel;

/// Why memory cannot be a screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScreenError {
    /// Width or height is 0 or above [`Grid::SIDE_MAX`].
    Size,
    /// A row is longer than the stride.
    Stride,
    /// The memory ends before the last row does.
    Short,
}

impl core::fmt::Display for ScreenError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Size => "a screen must be 1 to 16384 pixels wide and high",
            Self::Stride => "a screen's stride is shorter than its rows",
            Self::Short => "a screen's memory ends before its last row",
        })
    }
}

impl core::error::Error for ScreenError {}

/// What is shown: rows of pixels, a stride apart. A frame buffer that is scanned out will do.
#[derive(Debug)]
pub struct Screen<'s, P> {
    bytes: &'s mut [u8],
    stride: usize,
    grid: Grid,
    format: PhantomData<P>,
}

impl<'s, P: Pixel> Screen<'s, P> {
    /// A screen of `width` × `height` pixels over `bytes`, rows `stride` bytes apart.
    ///
    /// # Errors
    /// [`ScreenError`] when they do not fit.
    pub fn new(bytes: &'s mut [u8], stride: usize, width: u16, height: u16) -> Result<Self, ScreenError> {
        let grid = Grid::new(width, height).ok_or(ScreenError::Size)?;
        let row = usize::from(width) * P::BYTES;
        if stride < row {
            return Err(ScreenError::Stride);
        }
        let needed = stride.checked_mul(usize::from(height) - 1).and_then(|all| all.checked_add(row));
        if needed.is_none_or(|needed| bytes.len() < needed) {
            return Err(ScreenError::Short);
        }
        Ok(Self { bytes, stride, grid, format: PhantomData })
    }

    /// Its size, and its tiles.
    #[must_use]
    pub const fn grid(&self) -> Grid {
        self.grid
    }

    /// The pixel at a place, in its own format; 0 outside.
    #[must_use]
    pub fn pixel(&self, x: u16, y: u16) -> u32 {
        if x >= self.grid.width() || y >= self.grid.height() {
            return 0;
        }
        let at = usize::from(y) * self.stride + usize::from(x) * P::BYTES;
        self.bytes.get(at..at + P::BYTES).map_or(0, P::load)
    }

    /// The bytes of a row's part. The part is inside; if it were not, it would be empty.
    fn span(&mut self, x: usize, y: usize, width: usize) -> &mut [u8] {
        let at = y * self.stride + x * P::BYTES;
        self.bytes.get_mut(at..at + width * P::BYTES).unwrap_or_default()
    }

    pub(crate) fn pixels(&self, x: usize, y: usize, width: usize) -> impl Iterator<Item = u32> {
        let at = y * self.stride + x * P::BYTES;
        self.bytes.get(at..at + width * P::BYTES).unwrap_or_default().chunks_exact(P::BYTES).map(P::load)
    }

    pub(crate) fn fill(&mut self, place: &Rectangle, colour: u32) {
        for y in place.y..place.y + place.height {
            let row = self.span(place.x.into(), y.into(), place.width.into());
            for pixel in row.chunks_exact_mut(P::BYTES) {
                P::store(colour, pixel);
            }
        }
    }

    /// Copies what shows at `from` to `place`, as if through memory of its own.
    pub(crate) fn copy(&mut self, place: &Rectangle, from: (u16, u16)) {
        let len = usize::from(place.width) * P::BYTES;
        let start = |x: u16, y: u16| usize::from(y) * self.stride + usize::from(x) * P::BYTES;
        let rows = place.height;
        for step in 0..rows {
            let row = if from.1 < place.y { rows - 1 - step } else { step };
            let (source, target) = (start(from.0, from.1 + row), start(place.x, place.y + row));
            if source + len <= self.bytes.len() && target + len <= self.bytes.len() {
                self.bytes.copy_within(source..source + len, target);
            }
        }
    }

    /// The hash of a tile as it shows (SPEC §6).
    #[must_use]
    pub fn tile_hash(&self, tile: u32) -> u32 {
        let place = self.grid.place(tile);
        let mut hash = TileHash::new();
        for y in place.y..place.y + place.height {
            for pixel in self.pixels(place.x.into(), y.into(), place.width.into()) {
                hash.add(pixel);
            }
        }
        hash.value()
    }
}

/// A block of a screen, each of whose coded pixels covers `scale` × `scale`.
pub(crate) struct Drawn<'a, 's, P> {
    pub(crate) screen: &'a mut Screen<'s, P>,
    pub(crate) place: Rectangle,
    pub(crate) scale: usize,
}

impl<P: Pixel> Rows for Drawn<'_, '_, P> {
    fn load(&mut self, _y: usize, _row: &mut [u32]) {}

    fn store(&mut self, y: usize, row: &[u32]) {
        let Rectangle { x, y: top, width, height } = self.place;
        let (from, end) = (y * self.scale, ((y + 1) * self.scale).min(height.into()));
        for line in from..end {
            let span = self.screen.span(x.into(), usize::from(top) + line, width.into());
            if self.scale == 1 {
                for (place, &pixel) in span.chunks_exact_mut(P::BYTES).zip(row) {
                    P::store(pixel, place);
                }
                continue;
            }
            for (places, &pixel) in span.chunks_mut(P::BYTES * self.scale).zip(row) {
                for place in places.chunks_exact_mut(P::BYTES) {
                    P::store(pixel, place);
                }
            }
        }
    }
}
