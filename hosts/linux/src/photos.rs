//! Which tiles are photographs, and showing them as JPEG to viewers that have an engine for it (SPEC §11.10).
//!
//! A tile of many colours costs much as tiles, or shows coarsely at first; as JPEG it looks right at once. What was shown like
//! that is lent: the encoder of tiles tells it exactly once the screen is still.

use rift::Rectangle;
use rift::limits::{JPEG_PIXELS_MAX, RECTANGLES_MAX};
use rift_hal::{Frame, PixelFormat};
use rift_jpeg::JpegEncoder;
use rift_tiles::{Grid, TileSet};
use tracing::warn;

/// Colours of a photograph's tile: text and drawings have fewer, however smooth their edges are.
const COLOURS_MIN: usize = 384;
/// Tiles of a photograph that is worth a rectangle: below that its tables alone cost as much as tiles do.
const TILES_MIN: u32 = 4;
/// From fine to coarse; the next one is taken while there is not room.
const QUALITIES: [u8; 3] = [80, 55, 30];
/// One rectangle is that of the tiles.
const RECTANGLES: usize = RECTANGLES_MAX - 1;
/// Tiles of a rectangle each way.
const SIDE: u32 = 2;
const _: () = assert!((SIDE as usize * Grid::TILE as usize).pow(2) <= JPEG_PIXELS_MAX);

/// A rectangle of JPEG, and how many bytes it has.
pub(crate) type Photo = (Rectangle, usize);

/// See the module.
#[derive(Debug)]
pub(crate) struct Photos {
    encoder: JpegEncoder,
    /// Those of the newest picture, in the order of their bytes.
    made: Vec<Photo>,
    /// A bit for each colour of five, six and five bits.
    colours: Vec<u64>,
}

impl Photos {
    pub(crate) fn new() -> Self {
        Self { encoder: JpegEncoder::new(), made: Vec::new(), colours: vec![0; 65_536 / 64] }
    }

    /// What [`Self::encode`] made last.
    pub(crate) fn made(&self) -> &[Photo] {
        &self.made
    }

    /// Nothing of the next picture is JPEG.
    pub(crate) fn forget(&mut self) {
        self.made.clear();
    }

    /// Encodes those of the tiles in `set` that are photographs into `bytes`, which it empties, within `room` bytes; the set
    /// has those that were encoded then.
    pub(crate) fn encode(
        &mut self,
        frame: &Frame<'_>,
        set: &mut TileSet<'_>,
        room: usize,
        bytes: &mut Vec<u8>,
    ) {
        bytes.clear();
        self.made.clear();
        let grid = set.grid();
        for tile in 0..grid.tiles() {
            if set.contains(tile) && !self.is_photo(frame, grid.place(tile)) {
                set.remove(tile);
            }
        }
        let is_worth_it = set.len() >= TILES_MIN;
        let mut groups = groups(grid).map(|group| (group, place(grid, set, group)));
        let mut wanted: Vec<(Group, Rectangle)> = Vec::new();
        while wanted.len() < RECTANGLES
            && is_worth_it
            && let Some((group, place)) = groups.next()
        {
            wanted.extend(place.map(|place| (group, place)));
        }
        drop(groups);
        for quality in QUALITIES {
            bytes.clear();
            self.made.clear();
            for &(_, place) in &wanted {
                match self.encoder.encode(frame, place, quality, bytes) {
                    Ok(len) => self.made.push((place, len)),
                    Err(error) => {
                        warn!(%error, "a photograph was not encoded");
                        break;
                    }
                }
            }
            if bytes.len() <= room {
                break;
            }
        }
        while bytes.len() > room
            && let Some((_, len)) = self.made.pop()
        {
            bytes.truncate(bytes.len() - len);
        }
        let count = self.made.len();
        let kept = |tile: u32| wanted[..count].iter().any(|(group, _)| group.has(grid, tile));
        (0..grid.tiles()).filter(|&tile| !kept(tile)).for_each(|tile| set.remove(tile));
    }

    /// Whether a part of a frame has many colours.
    fn is_photo(&mut self, frame: &Frame<'_>, place: Rectangle) -> bool {
        self.colours.fill(0);
        let mut count = 0;
        let (x, width) = (usize::from(place.x), usize::from(place.width));
        let pixel_len = if frame.format() == PixelFormat::Bgrx { 4 } else { 2 };
        for y in place.y..place.y + place.height {
            let row = &frame.planes()[0].row(y.into(), (x + width) * pixel_len)[x * pixel_len..];
            for pixel in row.chunks_exact(pixel_len) {
                let colour = match *pixel {
                    [blue, green, red, _] => {
                        let [blue, green, red] = [blue, green, red].map(usize::from);
                        red >> 3 << 11 | green >> 2 << 5 | blue >> 3
                    }
                    [low, high] => usize::from(high) << 8 | usize::from(low),
                    _ => 0,
                };
                let bit = 1 << (colour % 64);
                count += usize::from(self.colours[colour / 64] & bit == 0);
                self.colours[colour / 64] |= bit;
            }
        }
        count >= COLOURS_MIN
    }
}

/// Tiles that become one rectangle if all of them are photographs: a square of them, or one alone.
#[derive(Clone, Copy, Debug)]
struct Group {
    column: u32,
    row: u32,
    side: u32,
}

impl Group {
    fn tiles(self, grid: Grid) -> impl Iterator<Item = u32> {
        let (columns, rows) = (u32::from(grid.columns()), u32::from(grid.rows()));
        let rows = self.row..(self.row + self.side).min(rows);
        let across = self.column..(self.column + self.side).min(columns);
        rows.flat_map(move |row| across.clone().map(move |column| row * columns + column))
    }

    fn has(self, grid: Grid, tile: u32) -> bool {
        self.tiles(grid).any(|other| other == tile)
    }
}

/// All squares of a screen, each followed by its tiles one by one.
fn groups(grid: Grid) -> impl Iterator<Item = Group> {
    let (columns, rows) = (u32::from(grid.columns()), u32::from(grid.rows()));
    let squares = (0..rows).step_by(SIDE as usize).flat_map(move |row| {
        (0..columns).step_by(SIDE as usize).map(move |column| Group { column, row, side: SIDE })
    });
    squares.flat_map(move |square| {
        let single = move |tile: u32| Group { column: tile % columns, row: tile / columns, side: 1 };
        core::iter::once(square).chain(square.tiles(grid).map(single))
    })
}

/// Where a group is, if its tiles are all there, and for one alone if its square is not.
fn place(grid: Grid, set: &TileSet<'_>, group: Group) -> Option<Rectangle> {
    let is_whole = |group: Group| group.tiles(grid).all(|tile| set.contains(tile));
    let down = |at: u32| at / SIDE * SIDE;
    let square = Group { column: down(group.column), row: down(group.row), side: SIDE };
    if !is_whole(group) || (group.side == 1 && is_whole(square)) {
        return None;
    }
    Some(group.tiles(grid).map(|tile| grid.place(tile)).fold(Rectangle::default(), Rectangle::union))
}
