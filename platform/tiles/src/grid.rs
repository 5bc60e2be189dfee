//! A screen's tiles: squares of [`Grid::TILE`] pixels, those at the right and lower edge perhaps smaller.

use rift::Rectangle;

/// A screen's size, and how it falls into tiles: numbered from 0, row by row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    width: u16,
    height: u16,
}

impl Grid {
    /// The side of a tile, in pixels.
    pub const TILE: u16 = 64;
    /// The most pixels a side of a screen may have.
    pub const SIDE_MAX: u16 = 16384;

    /// The tiles of a screen of this size; `None` when a side is 0 or above [`Self::SIDE_MAX`].
    #[must_use]
    pub const fn new(width: u16, height: u16) -> Option<Self> {
        if width == 0 || height == 0 || width > Self::SIDE_MAX || height > Self::SIDE_MAX {
            return None;
        }
        Some(Self { width, height })
    }

    /// Pixels across.
    #[must_use]
    pub const fn width(self) -> u16 {
        self.width
    }

    /// Pixels down.
    #[must_use]
    pub const fn height(self) -> u16 {
        self.height
    }

    /// Tiles across.
    #[must_use]
    pub const fn columns(self) -> u16 {
        self.width.div_ceil(Self::TILE)
    }

    /// Tiles down.
    #[must_use]
    pub const fn rows(self) -> u16 {
        self.height.div_ceil(Self::TILE)
    }

    /// Tiles in all: 1–65536.
    #[must_use]
    pub const fn tiles(self) -> u32 {
        self.columns() as u32 * self.rows() as u32
    }

    /// Pixels in all.
    #[must_use]
    pub const fn pixels(self) -> usize {
        self.width as usize * self.height as usize
    }

    /// Where a tile lies. One that is not there has no pixels.
    #[must_use]
    pub const fn place(self, tile: u32) -> Rectangle {
        if tile >= self.tiles() {
            return Rectangle { x: 0, y: 0, width: 0, height: 0 };
        }
        let columns = self.columns() as u32;
        let x = (tile % columns) as u16 * Self::TILE;
        let y = (tile / columns) as u16 * Self::TILE;
        let (right, bottom) = (self.width - x, self.height - y);
        let width = if right < Self::TILE { right } else { Self::TILE };
        let height = if bottom < Self::TILE { bottom } else { Self::TILE };
        Rectangle { x, y, width, height }
    }

    /// All of the screen.
    #[must_use]
    pub const fn whole(self) -> Rectangle {
        Rectangle { x: 0, y: 0, width: self.width, height: self.height }
    }
}
