//! The encoder's memory, which its caller owns.

use crate::grid::Grid;
use crate::model::{BLOCK_HEIGHT, BLOCK_WIDTH};

/// Pixels of the squares that moves are looked for in.
pub(super) const CELL: usize = 16;

/// What an encoder keeps of a tile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TileRecord {
    /// The newest picture that changed it.
    pub(super) changed_in: u32,
    /// It is to be told again, whatever shows there.
    pub(super) is_owed: bool,
    /// The viewer does not show it as it should be, or not exactly.
    pub(super) is_open: bool,
    /// It is looked at in this picture.
    pub(super) is_touched: bool,
    /// Something else than this encoder has shown it about as it should be: it is owed only when it changes again, or when
    /// what is coarse is told exactly.
    pub(super) is_lent: bool,
}

impl TileRecord {
    /// Nothing was ever sent.
    pub const EMPTY: Self =
        Self { changed_in: 0, is_owed: true, is_open: true, is_touched: false, is_lent: false };
}

/// How long each of [`Parts`] must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Of `shown`.
    pub shown: usize,
    /// Of `tiles`.
    pub tiles: usize,
    /// Of `block`.
    pub block: usize,
    /// Of `cells`; shorter, and moves are not looked for.
    pub cells: usize,
    /// Of `moves`, at least: a power of two. Shorter, and moves are not looked for; longer, and more are found.
    pub moves: usize,
}

impl Sizes {
    /// For a screen of this size.
    #[must_use]
    pub const fn of(grid: Grid) -> Self {
        let (columns, rows) =
            ((grid.width() as usize).div_ceil(CELL) + 1, (grid.height() as usize).div_ceil(CELL) + 1);
        Self {
            shown: grid.pixels(),
            tiles: grid.tiles() as usize,
            block: BLOCK_WIDTH * BLOCK_HEIGHT,
            cells: columns * rows + 2 * columns,
            moves: 1024,
        }
    }
}

/// The memory, lent for one call.
#[derive(Debug)]
pub struct Parts<'m> {
    /// What the viewer shows: a word a pixel.
    pub shown: &'m mut [u32],
    /// What is known of each tile; [`TileRecord::EMPTY`] in the beginning.
    pub tiles: &'m mut [TileRecord],
    /// A block on its way.
    pub block: &'m mut [u32],
    /// Squares that may have moved.
    pub cells: &'m mut [u32],
    /// Where rows of pixels were seen.
    pub moves: &'m mut [u32],
}

/// Memory for an encoder: arrays on a board, vectors elsewhere.
pub trait Memory {
    /// All of it. Each time the same.
    fn parts(&mut self) -> Parts<'_>;
}
