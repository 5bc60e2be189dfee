//! One picture being written.

use rift::Rectangle;

use super::change::{Joiner, RowSpan, area, bands, intersection, tiles};
use super::memory::Parts;
use super::moves::{Move, Search};
use super::pixels::Fidelity;
use super::source::Source;
use super::{Encoded, Request};
use crate::block::Neighbours;
use crate::coder::{Coder, Writer};
use crate::decoder::{CHECKED_MAX, Decoder, OPERATION_WORK};
use crate::grid::Grid;
use crate::hash::TileHash;
use crate::model::{BLOCK_WIDTH, Model};
use crate::picture::{self, Head, Operation};
use crate::pixel::Pixel;

/// Room kept for the end of a picture and what the coder holds back.
pub(super) const RESERVE: usize = 24;
/// Bytes that a pixel takes at worst.
pub(super) const PIXEL_LEN_MAX: usize = 5;
/// Copies in one picture.
const MOVES_MAX: usize = 4;
/// Changed pixels below which nothing is looked for that moved.
const MOVE_AREA_MIN: u32 = 4096;
/// How many colours may be left out, and pixels, from exact downwards.
const LADDER: [(u8, u8); 6] = [(0, 0), (2, 0), (5, 0), (5, 1), (10, 1), (10, 2)];
const TILE: usize = Grid::TILE as usize;

/// See the module.
pub(super) struct Work<'a, P> {
    pub(super) grid: Grid,
    pub(super) source: Source<'a, P>,
    pub(super) parts: Parts<'a>,
    pub(super) model: &'a mut Model,
    pub(super) kept: &'a mut Model,
    pub(super) neighbours: Neighbours,
    pub(super) writer: Writer<'a>,
    pub(super) id: u32,
    pub(super) damage: Rectangle,
    pub(super) stands_alone: bool,
    pub(super) soft_len: Option<usize>,
    pub(super) refines: bool,
    pub(super) last: Rectangle,
    pub(super) work_left: u64,
    /// Pixels that are still to be told, about.
    pub(super) area_left: u64,
    pub(super) rung: usize,
    pub(super) told: Rectangle,
    pub(super) is_full: bool,
    pub(super) operations: u32,
    pub(super) near: u8,
    pub(super) is_coarse: bool,
    pub(super) is_exact: bool,
}

impl<'a, P: Pixel> Work<'a, P> {
    pub(super) fn new(
        (grid, source, parts): (Grid, Source<'a, P>, Parts<'a>),
        (model, kept): (&'a mut Model, &'a mut Model),
        (request, stands_alone): (&Request, bool),
        out: &'a mut [u8],
    ) -> Self {
        model.reset::<P>();
        let (head, rest) = out.split_at_mut(Head::LEN);
        head.fill(Head::new::<P>(stands_alone).to_byte());
        let empty = Rectangle { x: 0, y: 0, width: 0, height: 0 };
        Self {
            grid,
            source,
            parts,
            model,
            kept,
            neighbours: Neighbours::new(),
            writer: Writer::new(rest),
            id: request.id,
            damage: request.damage.map_or(grid.whole(), |damage| intersection(&grid.whole(), &damage)),
            stands_alone,
            soft_len: request.soft_len,
            refines: request.refines,
            last: empty,
            work_left: Decoder::work_max(grid),
            area_left: 0,
            rung: 0,
            told: empty,
            is_full: false,
            operations: 0,
            near: 0,
            is_coarse: false,
            is_exact: true,
        }
    }

    /// Marks the tiles that this picture has to do with.
    pub(super) fn touch(&mut self) {
        for tile in &mut *self.parts.tiles {
            tile.is_touched = (tile.is_owed || tile.is_open) && (self.refines || !tile.is_lent);
        }
        for index in tiles(self.grid, &self.damage) {
            let Some(tile) = self.parts.tiles.get_mut(index as usize) else { continue };
            if tile.is_lent && !self.refines {
                // What is lent comes back when it changes again.
                tile.is_lent = !self.source.differs(self.parts.shown, &self.grid.place(index));
            }
            tile.is_touched = self.refines || !tile.is_lent;
        }
        self.measure();
    }

    /// Forgets tiles that do not differ, and measures the others. Gives the rectangle around what differs.
    fn measure(&mut self) -> Rectangle {
        let mut around = Rectangle { x: 0, y: 0, width: 0, height: 0 };
        self.area_left = 0;
        for tile in 0..self.grid.tiles() {
            let Some(record) = self.parts.tiles.get(tile as usize).copied() else { continue };
            if !record.is_touched {
                continue;
            }
            let place = self.grid.place(tile);
            let mut changed = place;
            if !record.is_owed {
                let rows = self.differing(&place);
                changed = bands(&rows[..place.height.into()], place.y.into())
                    .fold(Rectangle { x: 0, y: 0, width: 0, height: 0 }, Rectangle::union);
            }
            if changed.is_empty() {
                self.parts.tiles[tile as usize].is_touched = false;
                self.parts.tiles[tile as usize].is_open = false;
            }
            self.area_left += u64::from(area(&changed));
            around = around.union(changed);
        }
        around
    }

    fn at(&self, x: usize, y: usize) -> usize {
        y * self.source.width + x
    }

    /// Where a tile's rows differ from what shows.
    fn differing(&self, place: &Rectangle) -> [RowSpan; TILE] {
        let mut spans = [RowSpan::NONE; TILE];
        let (x, width) = (usize::from(place.x), usize::from(place.width));
        let mut row = [0; TILE];
        for (y, span) in (usize::from(place.y)..).zip(&mut spans).take(place.height.into()) {
            let row = &mut row[..width];
            self.source.row(x, y, row);
            let at = self.at(x, y);
            *span = RowSpan::of(row, &self.parts.shown[at..at + width], x);
        }
        spans
    }

    /// Tells what moved.
    pub(super) fn moves(&mut self) {
        for _ in 0..MOVES_MAX {
            if self.area_left < MOVE_AREA_MIN.into() {
                return;
            }
            let around = self.measure();
            let mut search = Search {
                source: self.source,
                shown: self.parts.shown,
                area: around,
                table: self.parts.moves,
                cells: self.parts.cells,
            };
            let Some(found) = search.run() else { return };
            if !self.copy(&found) {
                return;
            }
            self.measure();
        }
    }

    fn copy(&mut self, found: &Move) -> bool {
        let Move { place, from } = *found;
        let can = self.spend(&place);
        if !can || self.writer.len() + RESERVE + 16 > self.room() {
            return false;
        }
        self.operation(Operation::Copy);
        self.place(&place, (self.grid.width(), self.grid.height()));
        picture::source(&mut self.writer, self.grid, &place, from);
        let width = usize::from(place.width);
        let rows = usize::from(place.height);
        for step in 0..rows {
            let row = if from.1 < place.y { rows - 1 - step } else { step };
            let source = self.at(from.0.into(), usize::from(from.1) + row);
            let target = self.at(place.x.into(), usize::from(place.y) + row);
            self.parts.shown.copy_within(source..source + width, target);
        }
        self.changed(&place);
        true
    }

    /// Bytes that may be written in all.
    const fn room(&self) -> usize {
        self.writer.room()
    }

    pub(super) fn operation(&mut self, operation: Operation) {
        self.operations += u32::from(operation != Operation::End);
        // What is written is known.
        let _ = picture::operation(&mut self.writer, self.model, operation);
    }

    pub(super) fn place(&mut self, place: &Rectangle, most: (u16, u16)) {
        picture::place(&mut self.writer, self.model, self.grid, &self.last, most, place);
        self.last = *place;
        self.told = self.told.union(*place);
    }

    /// Whether the decoder's work allows this place as well.
    fn spend(&mut self, place: &Rectangle) -> bool {
        let work = u64::from(area(place)) + OPERATION_WORK;
        // The end, and the checks, must always be possible; no pixel is checked twice.
        let checked = (u64::from(CHECKED_MAX) * (TILE * TILE) as u64).min(self.grid.pixels() as u64);
        match self.work_left.checked_sub(work) {
            Some(left) if left >= OPERATION_WORK * 4 + checked => {
                self.work_left = left;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Notes that what shows at this place is new.
    pub(super) fn changed(&mut self, place: &Rectangle) {
        for tile in tiles(self.grid, place) {
            if let Some(record) = self.parts.tiles.get_mut(tile as usize) {
                record.changed_in = self.id;
                record.is_touched = true;
            }
        }
    }

    /// Tells what differs, tile row by tile row.
    pub(super) fn changes(&mut self) {
        let columns = u32::from(self.grid.columns());
        for row in 0..u32::from(self.grid.rows()) {
            // Tiles that are owed keep to themselves: their halves are tiles again, and each of those fits.
            let mut joiner = Joiner::new(BLOCK_WIDTH as u16);
            let mut owed = Joiner::new(BLOCK_WIDTH as u16);
            for tile in row * columns..(row + 1) * columns {
                let Some(record) = self.parts.tiles.get(tile as usize).copied() else { continue };
                if !record.is_touched {
                    continue;
                }
                let place = self.grid.place(tile);
                if record.is_owed {
                    if let Some(done) = owed.add(place) {
                        self.tell(done);
                    }
                    continue;
                }
                let spans = self.differing(&place);
                for band in bands(&spans[..place.height.into()], place.y.into()) {
                    if let Some(done) = joiner.add(band) {
                        self.tell(done);
                    }
                }
            }
            while let Some(done) = owed.next().or_else(|| joiner.next()) {
                self.tell(done);
            }
            if self.is_full {
                return;
            }
        }
    }

    /// Tells a block, or its halves where even an empty picture might not have room for all of it.
    fn tell(&mut self, place: Rectangle) {
        let most = (self.room().saturating_sub(RESERVE + 16) / PIXEL_LEN_MAX) as u32;
        if area(&place) <= most || (place.width <= 16 && place.height <= 16) {
            return self.tell_whole(place);
        }
        let (mut one, mut other) = (place, place);
        if place.width >= place.height {
            one.width = place.width / 2;
            (other.x, other.width) = (place.x + one.width, place.width - one.width);
        } else {
            one.height = place.height / 2;
            (other.y, other.height) = (place.y + one.height, place.height - one.height);
        }
        self.tell(one);
        self.tell(other);
    }

    /// Tells a block. Tiles that are in it whole are owed no more.
    fn tell_whole(&mut self, place: Rectangle) {
        self.tell_block(place);
        if self.is_full {
            return;
        }
        for tile in tiles(self.grid, &place) {
            let whole = self.grid.place(tile);
            if let Some(record) = self.parts.tiles.get_mut(tile as usize) {
                record.is_owed &= intersection(&whole, &place) != whole;
                record.is_lent &= record.is_owed;
            }
        }
    }

    fn tell_block(&mut self, place: Rectangle) {
        let work = self.work_left;
        let is_enough = self.refines && self.soft_len.is_some_and(|soft| self.writer.len() >= soft);
        if self.is_full || (is_enough && self.operations > 0) || !self.spend(&place) {
            self.is_full = true;
            return;
        }
        let state = (self.writer.state(), self.last, self.told, self.operations);
        self.kept.clone_from(self.model);
        let left = self.area_left;
        self.area_left = left.saturating_sub(area(&place).into());
        let (written, from) = (self.writer.len(), self.rung);
        let palette = self.palette(&place);
        let share = self.soft_len.filter(|_| !self.refines).map(|soft| {
            let bytes = soft.saturating_sub(written) as u64;
            (bytes * u64::from(area(&place)) / left.max(1)) as usize
        });
        for rung in from.. {
            let (near, scale) = LADDER[rung.min(LADDER.len() - 1)];
            let fidelity = Fidelity { near, scale };
            self.block(&place, palette.as_ref(), fidelity);
            let spent = self.writer.len() - written;
            let is_last = palette.is_some() || share.is_none() || rung + 1 >= LADDER.len();
            let is_full = self.writer.is_over() || self.writer.len() + RESERVE > self.room();
            if is_last && is_full {
                self.roll_back(state);
                self.work_left = work;
                self.is_full = true;
                return;
            }
            if !is_full && (is_last || share.is_none_or(|share| spent <= share + share / 4 + 32)) {
                self.rung = if palette.is_some() { from } else { rung.saturating_sub(1) };
                self.commit(&place);
                if palette.is_none() {
                    self.near = self.near.max(near);
                    self.is_coarse |= scale > 0;
                }
                return;
            }
            self.roll_back(state);
        }
    }

    fn roll_back(&mut self, state: (crate::coder::WriterState, Rectangle, Rectangle, u32)) {
        self.writer.restore(state.0);
        (self.last, self.told, self.operations) = (state.1, state.2, state.3);
        self.model.clone_from(self.kept);
    }

    /// Looks once more at what was touched: what differs still stays open.
    pub(super) fn settle(&mut self) {
        for tile in 0..self.grid.tiles() {
            let Some(record) = self.parts.tiles.get(tile as usize).copied() else { continue };
            if !record.is_touched {
                continue;
            }
            let place = self.grid.place(tile);
            let differs = bands(&self.differing(&place), place.y.into()).next().is_some();
            let record = &mut self.parts.tiles[tile as usize];
            record.is_open = record.is_owed || differs;
            self.is_exact &= !record.is_open;
        }
        self.is_exact &= !self.parts.tiles.iter().any(|tile| tile.is_lent);
    }

    /// Tells the hashes of the next tiles in turn, from `first` on; gives the one after them.
    pub(super) fn checks(&mut self, first: u32, count: u32) -> u32 {
        let tiles = self.grid.tiles();
        // What was never told, or is to be told again, is not known.
        let is_known = |tile: &u32| self.parts.tiles.get(*tile as usize).is_some_and(|tile| !tile.is_owed);
        let start = if first < tiles { first } else { 0 };
        let Some(first) = (start..tiles).find(is_known) else { return 0 };
        let most = count.min(CHECKED_MAX) as usize;
        let count = (first..tiles).take(most).take_while(is_known).count() as u32;
        if count == 0 || self.writer.len() + RESERVE + 8 + 4 * count as usize > self.room() {
            return first;
        }
        self.operation(Operation::Check);
        self.writer.uniform(tiles, first);
        self.writer.uniform(CHECKED_MAX.min(tiles - first), count - 1);
        for tile in first..first + count {
            let place = self.grid.place(tile);
            let mut hash = TileHash::new();
            for y in place.y..place.y + place.height {
                let at = self.at(place.x.into(), y.into());
                self.parts.shown[at..at + usize::from(place.width)].iter().for_each(|&pixel| hash.add(pixel));
            }
            self.writer.uniform(1 << 16, hash.value() >> 16);
            self.writer.uniform(1 << 16, hash.value() & 0xffff);
        }
        first + count
    }

    pub(super) fn finish(mut self) -> Option<Encoded> {
        let is_news = self.operations > 0;
        self.operation(Operation::End);
        let len = self.writer.finish()? + Head::LEN;
        Some(Encoded {
            len,
            is_news,
            stands_alone: self.stands_alone,
            is_exact: self.is_exact,
            near: self.near,
            is_coarse: self.is_coarse,
            damage: self.told,
        })
    }
}
