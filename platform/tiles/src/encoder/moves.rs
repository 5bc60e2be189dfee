//! What moved: scrolled text, a dragged window (SPEC §4.5).
//!
//! Rows of pixels that show somewhere are looked up where the frame differs from what shows. Each find votes for a
//! distance; the distances with the most votes are tried, and the best rectangle that has moved by one is a copy.

use rift::Rectangle;

use super::memory::CELL;
use super::source::Source;
use crate::pixel::Pixel;

/// Pixels of a row that are looked up at once.
const RUN: usize = 16;
/// Rows of the frame that are looked at, at most.
const PROBED_ROWS: usize = 96;
/// Distances that are counted at once.
const CANDIDATES: usize = 16;
/// Distances that are tried.
const TRIED: usize = 4;
/// Finds before a distance is tried.
const VOTES_MIN: u32 = 6;
/// Changed squares that a copy must be worth.
const CELLS_MIN: u32 = 6;
const FACTOR: u32 = 0x01e3_5a7d;

/// A rectangle that shows elsewhere already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) place: Rectangle,
    pub(super) from: (u16, u16),
}

/// How far something moved: from `place + (x, y)` to `place`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Distance {
    x: i32,
    y: i32,
}

/// What is searched.
pub(super) struct Search<'a, P> {
    pub(super) source: Source<'a, P>,
    pub(super) shown: &'a [u32],
    /// Around all that changed.
    pub(super) area: Rectangle,
    pub(super) table: &'a mut [u32],
    pub(super) cells: &'a mut [u32],
}

impl<P: Pixel> Search<'_, P> {
    /// The best copy, if there is one that is worth it.
    pub(super) fn run(&mut self) -> Option<Move> {
        let columns = usize::from(self.area.width).div_ceil(CELL);
        let rows = usize::from(self.area.height).div_ceil(CELL);
        let is_possible = self.table.len().is_power_of_two()
            && self.table.len() >= 1024
            && self.cells.len() >= (columns + 1) * (rows + 1) + 2 * (columns + 1)
            && usize::from(self.area.width) >= RUN;
        if !is_possible {
            return None;
        }
        // Whole rows are told from each other more surely than their parts.
        let rows = self.vote_rows();
        let found = self.best(rows).or_else(|| {
            self.remember();
            let parts = self.vote();
            self.best(parts)
        });
        found.map(|found| self.grow(found))
    }

    /// The best rectangle by one of the distances with the most votes.
    fn best(&mut self, mut candidates: [(Distance, u32); CANDIDATES]) -> Option<Move> {
        candidates.sort_unstable_by_key(|&(_, votes)| core::cmp::Reverse(votes));
        let mut best: Option<(u32, Move)> = None;
        for &(distance, votes) in candidates.iter().take(TRIED) {
            if votes < VOTES_MIN {
                break;
            }
            if let Some((score, found)) = self.rectangle(distance)
                && best.is_none_or(|(other, _)| score > other)
            {
                best = Some((score, found));
            }
        }
        best.map(|(_, found)| found)
    }

    /// Looks for rows of the area that show as a whole in other rows.
    fn vote_rows(&mut self) -> [(Distance, u32); CANDIDATES] {
        let mut candidates = [(Distance::default(), 0); CANDIDATES];
        let mask = self.table.len() - 1;
        let (left, width) = (usize::from(self.area.x), usize::from(self.area.width));
        let rows = usize::from(self.area.y)..usize::from(self.area.y + self.area.height);
        self.table.fill(0);
        for y in rows.clone() {
            let at = self.at(left, y);
            if let Some(row) = self.shown.get(at..at + width)
                && is_telling(row)
            {
                self.table[slot_of(row.iter().fold(0, roll), mask)] = y as u32 + 1;
            }
        }
        for y in rows {
            let mut hash = 0;
            let mut part = [0; CELL];
            let mut is_changed = false;
            for column in (0..width).step_by(CELL) {
                let part = &mut part[..CELL.min(width - column)];
                self.source.row(left + column, y, part);
                let at = self.at(left + column, y);
                is_changed |= self.shown.get(at..at + part.len()) != Some(part);
                hash = part.iter().fold(hash, roll);
            }
            let found = self.table[slot_of(hash, mask)];
            if is_changed && found > 0 {
                count(&mut candidates, Distance { x: 0, y: found as i32 - 1 - y as i32 });
            }
        }
        candidates
    }

    fn at(&self, x: usize, y: usize) -> usize {
        y * self.source.width + x
    }

    /// Puts what shows into the table: every row, in steps of a run.
    fn remember(&mut self) {
        self.table.fill(0);
        let mask = self.table.len() - 1;
        let (left, right) = (usize::from(self.area.x), usize::from(self.area.x + self.area.width));
        for y in self.area.y..self.area.y + self.area.height {
            let mut x = left;
            while x + RUN <= right {
                let at = self.at(x, y.into());
                if let Some(run) = self.shown.get(at..at + RUN)
                    && is_telling(run)
                {
                    let slot = slot_of(run.iter().fold(0, roll), mask);
                    self.table[slot] = at as u32 + 1;
                }
                x += RUN;
            }
        }
    }

    fn vote(&self) -> [(Distance, u32); CANDIDATES] {
        let mut candidates = [(Distance::default(), 0); CANDIDATES];
        let mask = self.table.len() - 1;
        let oldest_factor = (0..RUN).fold(1u32, |power, _| power.wrapping_mul(FACTOR));
        let height = usize::from(self.area.height);
        let step = height.div_ceil(PROBED_ROWS).max(1);
        let (left, width) = (usize::from(self.area.x), usize::from(self.area.width));
        let mut buffer = [0; 2 * RUN];
        for y in (0..height).step_by(step).map(|row| row + usize::from(self.area.y)) {
            let mut hash = 0;
            // The newest pixels of the row, twice, so that a run is always in one piece.
            for column in 0..width {
                let mut pixel = [0];
                self.source.row(left + column, y, &mut pixel);
                let [pixel] = pixel;
                let slot = column % RUN;
                let oldest = buffer[slot];
                buffer[slot] = pixel;
                buffer[slot + RUN] = pixel;
                hash = roll(hash, &pixel);
                if column >= RUN {
                    hash = hash.wrapping_sub(oldest.wrapping_add(1).wrapping_mul(oldest_factor));
                }
                if column + 1 < RUN {
                    continue;
                }
                let Some(found) = self.table[slot_of(hash, mask)].checked_sub(1) else { continue };
                let run = &buffer[(slot + 1) % RUN..][..RUN];
                let (x, found) = (left + column + 1 - RUN, found as usize);
                let is_changed = self.shown.get(self.at(x, y)..self.at(x, y) + RUN) != Some(run);
                if is_changed && self.shown.get(found..found + RUN) == Some(run) {
                    let distance = Distance {
                        x: (found % self.source.width) as i32 - x as i32,
                        y: (found / self.source.width) as i32 - y as i32,
                    };
                    count(&mut candidates, distance);
                }
            }
        }
        candidates
    }

    /// Whether a part of a row shows at this distance already.
    fn row_matches(&self, x: usize, y: usize, width: usize, distance: Distance) -> bool {
        let Some((from_x, from_y)) = self.moved(x, y, distance) else { return false };
        if from_x + width > self.source.width || from_y >= self.source.height {
            return false;
        }
        let mut row = [0; CELL];
        let at = self.at(from_x, from_y);
        let mut done = 0;
        while done < width {
            let part = CELL.min(width - done);
            self.source.row(x + done, y, &mut row[..part]);
            if self.shown.get(at + done..at + done + part) != Some(&row[..part]) {
                return false;
            }
            done += part;
        }
        true
    }

    fn moved(&self, x: usize, y: usize, distance: Distance) -> Option<(usize, usize)> {
        let from_x = usize::try_from(x as i32 + distance.x).ok()?;
        let from_y = usize::try_from(y as i32 + distance.y).ok()?;
        Some((from_x, from_y))
    }

    /// Whether a square has moved by this distance, and whether that is news.
    fn cell(&self, column: usize, row: usize, distance: Distance) -> (bool, bool) {
        let (x, y) = (usize::from(self.area.x) + column * CELL, usize::from(self.area.y) + row * CELL);
        let width = CELL.min(usize::from(self.area.x + self.area.width) - x);
        let height = CELL.min(usize::from(self.area.y + self.area.height) - y);
        let here = Distance::default();
        let has_moved = (y..y + height).all(|y| self.row_matches(x, y, width, distance));
        (has_moved, has_moved && (y..y + height).any(|y| !self.row_matches(x, y, width, here)))
    }

    /// The rectangle of squares that moved by this distance with the most news in it.
    fn rectangle(&mut self, distance: Distance) -> Option<(u32, Move)> {
        let columns = usize::from(self.area.width).div_ceil(CELL);
        let rows = usize::from(self.area.height).div_ceil(CELL);
        let stride = columns + 1;
        let all = core::mem::take(&mut self.cells);
        let (sums, rest) = all.split_at_mut(stride * (rows + 1));
        let (heights, stack) = rest.split_at_mut(stride);
        sums[..stride].fill(0);
        heights.fill(0);
        let mut best: Option<(u32, [usize; 4])> = None;
        for row in 0..rows {
            let mut news = 0;
            sums[(row + 1) * stride] = 0;
            for column in 0..columns {
                let (has_moved, is_news) = self.cell(column, row, distance);
                heights[column] = if has_moved { heights[column] + 1 } else { 0 };
                news += u32::from(is_news);
                sums[(row + 1) * stride + column + 1] = sums[row * stride + column + 1] + news;
            }
            // The largest rectangles that end in this row (a stack of growing heights).
            let mut depth = 0;
            for column in 0..=columns {
                let height = if column < columns { heights[column] } else { 0 };
                while depth > 0 && heights[stack[depth - 1] as usize] >= height {
                    let tall = heights[stack[depth - 1] as usize] as usize;
                    depth -= 1;
                    let left = if depth > 0 { stack[depth - 1] as usize + 1 } else { 0 };
                    let top = row + 1 - tall;
                    let inside = sums[(row + 1) * stride + column] + sums[top * stride + left]
                        - sums[(row + 1) * stride + left]
                        - sums[top * stride + column];
                    if best.is_none_or(|(other, _)| inside > other) {
                        best = Some((inside, [left, top, column, row + 1]));
                    }
                }
                if column < columns {
                    stack[depth] = column as u32;
                    depth += 1;
                }
            }
        }
        self.cells = all;
        let (score, [left, top, right, bottom]) = best.filter(|&(score, _)| score >= CELLS_MIN)?;
        let (x, y) = (usize::from(self.area.x) + left * CELL, usize::from(self.area.y) + top * CELL);
        let right = (usize::from(self.area.x) + right * CELL).min((self.area.x + self.area.width).into());
        let bottom = (usize::from(self.area.y) + bottom * CELL).min((self.area.y + self.area.height).into());
        let place =
            Rectangle { x: x as u16, y: y as u16, width: (right - x) as u16, height: (bottom - y) as u16 };
        let (from_x, from_y) = self.moved(x, y, distance)?;
        Some((score, Move { place, from: (from_x as u16, from_y as u16) }))
    }

    /// As far to all sides as it still holds, inside the area.
    fn grow(&self, found: Move) -> Move {
        let Move { mut place, from } = found;
        let distance =
            Distance { x: i32::from(from.0) - i32::from(place.x), y: i32::from(from.1) - i32::from(place.y) };
        let area = self.area;
        let row = |place: &Rectangle, y: u16| {
            self.row_matches(place.x.into(), y.into(), place.width.into(), distance)
        };
        while place.y > area.y && row(&place, place.y - 1) {
            place.y -= 1;
            place.height += 1;
        }
        while place.y + place.height < area.y + area.height && row(&place, place.y + place.height) {
            place.height += 1;
        }
        let column = |place: &Rectangle, x: u16| {
            (place.y..place.y + place.height).all(|y| self.row_matches(x.into(), y.into(), 1, distance))
        };
        while place.x > area.x && column(&place, place.x - 1) {
            place.x -= 1;
            place.width += 1;
        }
        while place.x + place.width < area.x + area.width && column(&place, place.x + place.width) {
            place.width += 1;
        }
        let from = (i32::from(place.x) + distance.x, i32::from(place.y) + distance.y);
        Move { place, from: (from.0 as u16, from.1 as u16) }
    }
}

fn roll(hash: u32, pixel: &u32) -> u32 {
    hash.wrapping_mul(FACTOR).wrapping_add(pixel.wrapping_add(1))
}

const fn slot_of(hash: u32, mask: usize) -> usize {
    (hash.wrapping_mul(0x9e37_79b1) >> 7) as usize & mask
}

/// Whether a run has enough in it to be told from others.
fn is_telling(run: &[u32]) -> bool {
    run.windows(2).filter(|pair| pair[0] != pair[1]).take(4).count() == 4
}

/// Counts a vote; what has none left gives its place to another (Misra and Gries, Finding repeated elements, 1982).
fn count(candidates: &mut [(Distance, u32); CANDIDATES], distance: Distance) {
    if let Some((_, votes)) = candidates.iter_mut().find(|(one, votes)| *votes > 0 && *one == distance) {
        *votes += 1;
    } else if let Some(free) = candidates.iter_mut().find(|(_, votes)| *votes == 0) {
        *free = (distance, 1);
    } else {
        for (_, votes) in candidates {
            *votes -= 1;
        }
    }
}
