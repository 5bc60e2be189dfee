//! Where a frame differs from what shows (SPEC §4.6).

use rift::Rectangle;

use crate::grid::Grid;

/// Rows that do not differ between two that do, at most, in one block: telling them costs less than another head.
const GAP: usize = 16;
/// Blocks that grow at once.
const OPEN_MAX: usize = 8;

/// The rows of a tile in which something differs, and from where to where.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowSpan {
    pub(super) left: usize,
    /// One past the last.
    pub(super) right: usize,
}

impl RowSpan {
    pub(super) const NONE: Self = Self { left: usize::MAX, right: 0 };

    /// Where two rows differ, counted from `x`.
    pub(super) fn of(one: &[u32], other: &[u32], x: usize) -> Self {
        let differs = |(one, other): (&u32, &u32)| one != other;
        let Some(left) = one.iter().zip(other).position(differs) else { return Self::NONE };
        let after = one.iter().zip(other).rev().position(differs).unwrap_or(0);
        Self { left: x + left, right: x + one.len().min(other.len()) - after }
    }

    const fn is_none(self) -> bool {
        self.right == 0
    }
}

/// Cuts a tile's differing rows into bands.
pub(super) fn bands(rows: &[RowSpan], top: usize) -> impl Iterator<Item = Rectangle> {
    let mut y = 0;
    core::iter::from_fn(move || {
        while y < rows.len() && rows[y].is_none() {
            y += 1;
        }
        if y == rows.len() {
            return None;
        }
        let first = y;
        let mut last = y;
        let (mut left, mut right) = (rows[y].left, rows[y].right);
        while y < rows.len() && y - last <= GAP {
            if !rows[y].is_none() {
                last = y;
                left = left.min(rows[y].left);
                right = right.max(rows[y].right);
            }
            y += 1;
        }
        y = last + 1;
        Some(Rectangle {
            x: left as u16,
            y: (top + first) as u16,
            width: (right - left) as u16,
            height: (last + 1 - first) as u16,
        })
    })
}

/// Bands of neighbouring tiles, joined while that costs little.
#[derive(Debug)]
pub(super) struct Joiner {
    open: heapless::Vec<Rectangle, OPEN_MAX>,
    width_max: u16,
}

impl Joiner {
    pub(super) const fn new(width_max: u16) -> Self {
        Self { open: heapless::Vec::new(), width_max }
    }

    /// Takes a band; gives a rectangle that will not grow any more, if one had to give way.
    pub(super) fn add(&mut self, band: Rectangle) -> Option<Rectangle> {
        for open in &mut self.open {
            let joined = open.union(band);
            let is_near = open.x + open.width + 8 >= band.x;
            let cost = area(&joined).saturating_sub(area(open) + area(&band));
            if is_near && joined.width <= self.width_max && cost <= 256 + area(&joined) / 8 {
                *open = joined;
                return None;
            }
        }
        let oldest = self.open.is_full().then(|| self.open.remove(0));
        // There is room now.
        let _ = self.open.push(band);
        oldest
    }

    /// Those that are left.
    pub(super) fn next(&mut self) -> Option<Rectangle> {
        (!self.open.is_empty()).then(|| self.open.remove(0))
    }
}

pub(super) fn area(place: &Rectangle) -> u32 {
    u32::from(place.width) * u32::from(place.height)
}

/// What two rectangles share; empty when they do not.
pub(super) fn intersection(one: &Rectangle, other: &Rectangle) -> Rectangle {
    let (x, y) = (one.x.max(other.x), one.y.max(other.y));
    let right = (u32::from(one.x) + u32::from(one.width)).min(u32::from(other.x) + u32::from(other.width));
    let bottom = (u32::from(one.y) + u32::from(one.height)).min(u32::from(other.y) + u32::from(other.height));
    Rectangle {
        x,
        y,
        width: right.saturating_sub(x.into()) as u16,
        height: bottom.saturating_sub(y.into()) as u16,
    }
}

/// The tiles that a rectangle touches.
pub(super) fn tiles(grid: Grid, place: &Rectangle) -> impl Iterator<Item = u32> + use<> {
    let side = Grid::TILE;
    let place = intersection(&grid.whole(), place);
    let is_empty = place.is_empty();
    let columns = place.x / side..if is_empty { 0 } else { (place.x + place.width - 1) / side + 1 };
    let rows = place.y / side..if is_empty { 0 } else { (place.y + place.height - 1) / side + 1 };
    let across = u32::from(grid.columns());
    rows.flat_map(move |row| columns.clone().map(move |column| u32::from(row) * across + u32::from(column)))
}
