//! From a picture's bytes to the pixels that show (SPEC §2–§6).
//!
//! It keeps nothing between pictures but its memory: what a picture means depends on its bytes and on what shows.
//! It refuses to know where bytes come from, when, and whether any were lost before. Invariant: whatever the bytes
//! are, it ends within the bound of SPEC §2.4, writes nowhere but inside the screen, and does not panic.

use rift::Rectangle;

use crate::block::{self, Neighbours, Size};
use crate::coder::{Coder, Reader};
use crate::grid::Grid;
use crate::model::{BLOCK_HEIGHT, BLOCK_WIDTH, Model};
use crate::picture::{self, Head, Operation};
use crate::pixel::Pixel;
use crate::screen::{Drawn, Screen};
use crate::tile_set::TileSet;

/// Why a picture is refused.
///
/// [`Self::is_untouched`] tells whether what shows is as it was. After the others a part of the picture shows: the
/// owner of the screen asks for a picture that needs none before it (SPEC §2.5).
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// There are no bytes.
    Empty,
    /// Of a version this decoder does not know.
    Version,
    /// Of other pixels than the screen's.
    Format,
    /// Something in it is no operation of this version.
    Operation,
    /// It asks for more work than a picture may.
    Work,
    /// It ends before its end is told.
    Truncated,
    /// It goes on after its end was told.
    Excess,
}

impl DecodeError {
    /// Whether the screen is as it was before.
    #[must_use]
    pub const fn is_untouched(self) -> bool {
        matches!(self, Self::Empty | Self::Version | Self::Format)
    }
}

impl core::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Empty => "the picture has no bytes",
            Self::Version => "the picture is of an unknown version",
            Self::Format => "the picture's pixels are not the screen's",
            Self::Operation => "the picture has an unknown operation",
            Self::Work => "the picture asks for more work than a picture may",
            Self::Truncated => "the picture ends too early",
            Self::Excess => "the picture goes on after its end",
        })
    }
}

impl core::error::Error for DecodeError {}

/// What came of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The smallest rectangle around all that was drawn; empty when nothing was.
    pub damage: Rectangle,
    /// Whether it read nothing of what showed before.
    pub stands_alone: bool,
    /// Tiles whose hash it told.
    pub checked: u32,
    /// Those of them that show something else here.
    pub wrong: u32,
}

/// Decodes pictures of one screen after the other; `size_of` it is all the memory that takes.
#[derive(Clone, Debug)]
pub struct Decoder {
    model: Model,
    neighbours: Neighbours,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder; it may be a `static`, and is all zeros at first.
    #[must_use]
    pub const fn new() -> Self {
        Self { model: Model::blank(), neighbours: Neighbours::new() }
    }

    /// Draws a picture. Tiles whose hash it tells are put into `wrong` when they show something else, and taken out
    /// when they do not; a set of another screen is left alone.
    ///
    /// The work is at most that of [`Self::work_max`].
    ///
    /// # Errors
    /// [`DecodeError`]: the picture breaks a rule.
    pub fn decode<P: Pixel>(
        &mut self,
        bytes: &[u8],
        screen: &mut Screen<'_, P>,
        wrong: Option<&mut TileSet<'_>>,
    ) -> Result<Decoded, DecodeError> {
        let (&first, rest) = bytes.split_first().ok_or(DecodeError::Empty)?;
        let head = Head::parse(first);
        if !head.is_known() {
            return Err(DecodeError::Version);
        }
        if !head.is_for::<P>() {
            return Err(DecodeError::Format);
        }
        self.model.reset::<P>();
        let grid = screen.grid();
        let empty = Rectangle { x: 0, y: 0, width: 0, height: 0 };
        Run {
            model: &mut self.model,
            neighbours: &mut self.neighbours,
            reader: Reader::new(rest),
            screen,
            wrong: wrong.filter(|set| set.grid() == grid),
            head,
            grid,
            last: empty,
            work_left: Self::work_max(grid),
            decoded: Decoded { damage: empty, stands_alone: head.stands_alone, checked: 0, wrong: 0 },
        }
        .run()
    }

    /// The most pixels that one picture may make a decoder write or hash, with [`OPERATION_WORK`] for each operation
    /// (SPEC §2.4).
    #[must_use]
    pub const fn work_max(grid: Grid) -> u64 {
        grid.pixels() as u64 * WORK_SCREENS + WORK_BASE
    }
}

/// What an operation costs beside its pixels.
pub const OPERATION_WORK: u64 = 64;
const WORK_SCREENS: u64 = 4;
const WORK_BASE: u64 = 65536;

/// One picture on its way to the screen.
struct Run<'a, 's, 'm, P> {
    model: &'a mut Model,
    neighbours: &'a mut Neighbours,
    reader: Reader<'a>,
    screen: &'a mut Screen<'s, P>,
    wrong: Option<&'a mut TileSet<'m>>,
    head: Head,
    grid: Grid,
    last: Rectangle,
    work_left: u64,
    decoded: Decoded,
}

impl<P: Pixel> Run<'_, '_, '_, P> {
    fn run(mut self) -> Result<Decoded, DecodeError> {
        loop {
            let operation = picture::operation(&mut self.reader, self.model, Operation::End);
            if self.reader.is_over() {
                return Err(DecodeError::Truncated);
            }
            self.spend(OPERATION_WORK)?;
            match operation.ok_or(DecodeError::Operation)? {
                Operation::End if self.reader.is_at_end() => return Ok(self.decoded),
                Operation::End => return Err(DecodeError::Excess),
                Operation::Fill => self.fill()?,
                Operation::Indexed => self.indexed()?,
                Operation::Exact => self.coloured(true)?,
                Operation::Near => self.coloured(false)?,
                // It would read what shows.
                Operation::Copy if self.head.stands_alone => return Err(DecodeError::Operation),
                Operation::Copy => self.copy()?,
                Operation::Check => self.check()?,
            }
        }
    }

    fn spend(&mut self, work: u64) -> Result<(), DecodeError> {
        self.work_left = self.work_left.checked_sub(work).ok_or(DecodeError::Work)?;
        Ok(())
    }

    /// A place of at most this size, and the work of its pixels spent.
    fn place(&mut self, most: (u16, u16)) -> Result<Rectangle, DecodeError> {
        let place =
            picture::place(&mut self.reader, self.model, self.grid, &self.last, most, &self.last.clone());
        if self.reader.is_over() {
            return Err(DecodeError::Truncated);
        }
        self.spend(u64::from(place.width) * u64::from(place.height))?;
        self.last = place;
        self.decoded.damage = self.decoded.damage.union(place);
        Ok(place)
    }

    fn block(&mut self) -> Result<Rectangle, DecodeError> {
        self.place((BLOCK_WIDTH as u16, BLOCK_HEIGHT as u16))
    }

    fn seed(&mut self, place: &Rectangle) {
        if !self.head.stands_alone {
            let screen = &*self.screen;
            self.model.seed(seeds(place).flat_map(|(x, y, width)| screen.pixels(x, y, width)));
        }
    }

    fn fill(&mut self) -> Result<(), DecodeError> {
        let place = self.place((self.grid.width(), self.grid.height()))?;
        self.seed(&place);
        let colour = self.model.colour::<P, _>(&mut self.reader, 0);
        self.screen.fill(&place, colour);
        Ok(())
    }

    fn indexed(&mut self) -> Result<(), DecodeError> {
        let place = self.block()?;
        self.seed(&place);
        block::palette::<P, _>(&mut self.reader, self.model, &[]);
        let size = Size { width: place.width.into(), height: place.height.into() };
        let mut rows = Drawn { screen: self.screen, place, scale: 1 };
        block::indexed(&mut self.reader, self.model, self.neighbours, size, &mut rows);
        Ok(())
    }

    fn coloured(&mut self, is_exact: bool) -> Result<(), DecodeError> {
        let place = self.block()?;
        let (mut near, mut scale) = (0, 1);
        if !is_exact {
            near = self.reader.tree::<5>(&mut self.model.near, 0) as i32;
            scale = 1 << self.reader.tree::<2>(&mut self.model.scale, 0);
        }
        let size = Size {
            width: usize::from(place.width).div_ceil(scale),
            height: usize::from(place.height).div_ceil(scale),
        };
        let mut rows = Drawn { screen: self.screen, place, scale };
        block::coloured::<P, _>(&mut self.reader, self.model, self.neighbours, (size, near), &mut rows);
        Ok(())
    }

    fn copy(&mut self) -> Result<(), DecodeError> {
        let place = self.place((self.grid.width(), self.grid.height()))?;
        let from = picture::source(&mut self.reader, self.grid, &place, (0, 0));
        self.screen.copy(&place, from);
        Ok(())
    }

    fn check(&mut self) -> Result<(), DecodeError> {
        let first = self.reader.uniform(self.grid.tiles(), 0);
        let most = CHECKED_MAX.min(self.grid.tiles() - first);
        let count = self.reader.uniform(most, 0) + 1;
        for tile in first..first + count {
            let hash = self.reader.uniform(1 << 16, 0) << 16 | self.reader.uniform(1 << 16, 0);
            if self.reader.is_over() {
                return Err(DecodeError::Truncated);
            }
            let place = self.grid.place(tile);
            self.spend(u64::from(place.width) * u64::from(place.height))?;
            let is_wrong = self.screen.tile_hash(tile) != hash;
            self.decoded.checked += 1;
            self.decoded.wrong += u32::from(is_wrong);
            match &mut self.wrong {
                Some(wrong) if is_wrong => wrong.insert(tile),
                Some(wrong) => wrong.remove(tile),
                None => {}
            }
        }
        Ok(())
    }
}

/// Tiles that one check tells of.
pub(crate) const CHECKED_MAX: u32 = 16;

/// Pixels to the left of a place whose colours it is likely to have again.
const SEED_LEFT: usize = 64;

/// The runs of pixels whose colours a place is likely to have again: of five of its rows, and what lies to the left
/// of them (SPEC §5.2).
pub(crate) fn seeds(place: &Rectangle) -> impl Iterator<Item = (usize, usize, usize)> + use<> {
    let left = SEED_LEFT.min(place.x.into());
    let width = left + usize::from(place.width).min(BLOCK_WIDTH);
    let (x, y, height) = (usize::from(place.x) - left, usize::from(place.y), usize::from(place.height));
    (1..6).map(move |row| (x, y + height * row / 6, width))
}
