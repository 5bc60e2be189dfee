//! From a frame to the bytes that make a viewer show it (SPEC §2–§7).
//!
//! The encoder keeps what the viewer shows, compares each frame with it where the frame was damaged, and tells the
//! difference. What does not fit into a picture stays open and comes with the next. It refuses to know why a viewer
//! lost something: it is told up to which picture the viewer has all, or which tiles are wrong, and sends those
//! again. Invariant: what it believes is shown is what a decoder shows that was given every picture.

mod change;
mod memory;
mod moves;
mod pixels;
mod source;
mod write;

use core::marker::PhantomData;

use rift::Rectangle;
use rift_hal::Frame;

pub use memory::{Memory, Parts, Sizes, TileRecord};

use crate::grid::Grid;
use crate::model::Model;
use crate::pixel::Pixel;
use crate::tile_set::TileSet;
use source::Source;
use write::{PIXEL_LEN_MAX, RESERVE, Work};

/// What the next picture is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its number: larger than that of any picture before.
    pub id: u32,
    /// Where the frame differs from the last one; `None`: anywhere.
    pub damage: Option<Rectangle>,
    /// Bytes it should stay below, at the price of exactness; `None`: everything exactly.
    pub soft_len: Option<usize>,
    /// Whether what was told nearly is now to be told exactly: as much of it as there are bytes for, and at least a
    /// block.
    pub refines: bool,
    /// So many tiles' hashes are told, in turn.
    pub checks: u32,
}

/// Why there is no picture. Nothing has changed then.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// The frame is not of the screen's size.
    Size,
    /// The frame's pixels are neither `Bgrx` nor `Rgb565`.
    Format,
    /// The memory is smaller than [`Sizes`] says.
    Memory,
    /// The output has not room for any tile: give [`Encoder::OUT_MIN`] bytes.
    Room,
}

impl core::fmt::Display for EncodeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Size => "the frame is not of the screen's size; make another encoder",
            Self::Format => "the frame is neither BGRX nor RGB565",
            Self::Memory => "the encoder's memory is too small for the screen",
            Self::Room => "there is not room for every tile",
        })
    }
}

impl core::error::Error for EncodeError {}

/// What was made of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Bytes of the picture.
    pub len: usize,
    /// Whether it changes anything at the viewer or checks anything. If not, it need not be sent.
    pub is_news: bool,
    /// Whether it can be drawn whatever shows: nothing before it is needed.
    pub stands_alone: bool,
    /// Whether the viewer then shows the frame exactly, where it was damaged. If not, encoding the same frame again
    /// brings it closer.
    pub is_exact: bool,
    /// The most by which a channel of a pixel may be off, where whole pixels were sent.
    pub near: u8,
    /// Whether some of it was sent in fewer pixels, to be refined.
    pub is_coarse: bool,
    /// Around everything that was told.
    pub damage: Rectangle,
}

/// Makes pictures for one viewer, or for several that are given the same; see the module.
#[derive(Debug)]
pub struct Encoder<P, M> {
    grid: Grid,
    memory: M,
    model: Model,
    kept: Model,
    checked: u32,
    format: PhantomData<P>,
}

impl<P: Pixel, M: Memory> Encoder<P, M> {
    /// Room that every picture needs, so that there is room for any tile whatever shows in it.
    pub const OUT_MIN: usize = Grid::TILE as usize * Grid::TILE as usize * PIXEL_LEN_MAX + 2 * RESERVE;

    /// An encoder for a screen of this size. Its first picture tells everything.
    ///
    /// # Errors
    /// [`EncodeError::Memory`].
    pub fn new(grid: Grid, mut memory: M) -> Result<Self, EncodeError> {
        let sizes = Sizes::of(grid);
        let parts = memory.parts();
        if parts.shown.len() < sizes.shown
            || parts.tiles.len() < sizes.tiles
            || parts.block.len() < sizes.block
        {
            return Err(EncodeError::Memory);
        }
        parts.tiles.fill(TileRecord::EMPTY);
        Ok(Self { grid, memory, model: Model::new(), kept: Model::new(), checked: 0, format: PhantomData })
    }

    /// The screen's size.
    #[must_use]
    pub const fn grid(&self) -> Grid {
        self.grid
    }

    /// Gives the memory back.
    pub fn into_memory(self) -> M {
        self.memory
    }

    /// Everything is told again, in pictures that need none before them.
    pub fn restart(&mut self) {
        for tile in self.memory.parts().tiles {
            (tile.is_owed, tile.is_lent) = (true, false);
        }
    }

    /// The viewer has every picture up to `after` and perhaps none later: what changed since is told again, in
    /// pictures that read nothing of what shows. Returns whether anything has to be.
    pub fn repair(&mut self, after: u32) -> bool {
        let mut is_any = false;
        for tile in self.memory.parts().tiles {
            let is_lost = tile.changed_in > after;
            tile.is_owed |= is_lost;
            tile.is_lent &= !is_lost;
            is_any |= tile.is_owed;
        }
        is_any
    }

    /// The viewer's hashes of these tiles are not the encoder's: they are told again.
    pub fn repair_tiles(&mut self, wrong: &TileSet<'_>) {
        if wrong.grid() != self.grid {
            return;
        }
        let tiles = self.memory.parts().tiles;
        for tile in wrong.iter() {
            if let Some(tile) = tiles.get_mut(tile as usize) {
                (tile.is_owed, tile.is_lent) = (true, false);
            }
        }
    }

    /// Adds the tiles that differ from what shows, or should, within the damage: those that the next picture would tell.
    ///
    /// # Errors
    /// [`EncodeError::Size`] and [`EncodeError::Format`].
    pub fn differing(
        &mut self,
        frame: &Frame<'_>,
        damage: Option<Rectangle>,
        found: &mut TileSet<'_>,
    ) -> Result<(), EncodeError> {
        let source = self.source(frame)?;
        let Parts { shown, tiles, .. } = self.memory.parts();
        for tile in change::tiles(self.grid, &damage.unwrap_or(self.grid.whole())) {
            let is_owed = tiles.get(tile as usize).is_some_and(|tile| tile.is_owed && !tile.is_lent);
            if is_owed || source.differs(shown, &self.grid.place(tile)) {
                found.insert(tile);
            }
        }
        Ok(())
    }

    /// Picture `id`, the next one, shows these tiles about as the frame has them by other means, before what is encoded
    /// into it (SPEC §8). They are told exactly by pictures that refine; until then every picture stands alone.
    ///
    /// # Errors
    /// [`EncodeError::Size`] and [`EncodeError::Format`].
    pub fn lend(&mut self, id: u32, frame: &Frame<'_>, lent: &TileSet<'_>) -> Result<(), EncodeError> {
        let source = self.source(frame)?;
        let Parts { shown, tiles, .. } = self.memory.parts();
        for tile in lent.iter().filter(|_| lent.grid() == self.grid) {
            source.copy(shown, &self.grid.place(tile));
            if let Some(tile) = tiles.get_mut(tile as usize) {
                (tile.changed_in, tile.is_owed, tile.is_open, tile.is_lent) = (id, true, true, true);
            }
        }
        Ok(())
    }

    fn source<'f>(&self, frame: &Frame<'f>) -> Result<Source<'f, P>, EncodeError> {
        if (frame.width(), frame.height()) != (self.grid.width().into(), self.grid.height().into()) {
            return Err(EncodeError::Size);
        }
        Source::new(frame).ok_or(EncodeError::Format)
    }

    /// Whether the next picture can be drawn whatever shows.
    pub fn will_stand_alone(&mut self) -> bool {
        self.memory.parts().tiles.iter().any(|tile| tile.is_owed)
    }

    /// Tells what differs between the frame and what shows, into `out`.
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn encode(
        &mut self,
        frame: &Frame<'_>,
        request: &Request,
        out: &mut [u8],
    ) -> Result<Encoded, EncodeError> {
        let source = self.source(frame)?;
        if out.len() < Self::OUT_MIN {
            return Err(EncodeError::Room);
        }
        let parts = self.memory.parts();
        let stands_alone = parts.tiles.iter().any(|tile| tile.is_owed);
        let mut work = Work::new(
            (self.grid, source, parts),
            (&mut self.model, &mut self.kept),
            (request, stands_alone),
            out,
        );
        work.touch();
        if !stands_alone {
            work.moves();
        }
        work.changes();
        work.settle();
        self.checked = work.checks(self.checked, request.checks);
        work.finish().ok_or(EncodeError::Room)
    }
}
