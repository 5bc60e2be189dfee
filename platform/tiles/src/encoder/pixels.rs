//! The pixels of blocks: which colours they have, how they are written, and where they wait to be shown.

use rift::Rectangle;

use super::source::Source;
use super::write::Work;
use crate::block::{self, Rows, Size};
use crate::coder::Coder;
use crate::decoder::seeds;
use crate::model::{BLOCK_HEIGHT, BLOCK_WIDTH, PALETTE_MAX};
use crate::picture::Operation;
use crate::pixel::Pixel;

/// How a block's pixels are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fidelity {
    pub(super) near: u8,
    /// The power of two that pixels are joined by, each way.
    pub(super) scale: u8,
}

/// Colours of a place, the most frequent first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Palette {
    colours: [u32; PALETTE_MAX],
    count: usize,
}

impl<P: Pixel> Work<'_, P> {
    /// The colours of a place, if they are few.
    pub(super) fn palette(&self, place: &Rectangle) -> Option<Palette> {
        let mut palette = Palette { colours: [0; PALETTE_MAX], count: 0 };
        let mut uses = [0u32; PALETTE_MAX];
        let mut row = [0; BLOCK_WIDTH];
        let row = &mut row[..place.width.into()];
        let mut newest = 0;
        for y in place.y..place.y + place.height {
            self.source.row(place.x.into(), y.into(), row);
            for &pixel in row.iter() {
                if palette.count == 0 || palette.colours[newest] != pixel {
                    let known = palette.colours[..palette.count].iter().position(|&one| one == pixel);
                    newest = known.unwrap_or(palette.count);
                    if newest == PALETTE_MAX {
                        return None;
                    }
                    if known.is_none() {
                        palette.colours[newest] = pixel;
                        palette.count += 1;
                    }
                }
                uses[newest] += 1;
            }
        }
        let mut order: [usize; PALETTE_MAX] = core::array::from_fn(|index| index);
        order[..palette.count].sort_unstable_by_key(|&index| (core::cmp::Reverse(uses[index]), index));
        let colours = palette.colours;
        for (place, &index) in palette.colours.iter_mut().zip(&order[..palette.count]) {
            *place = colours[index];
        }
        Some(palette)
    }

    /// Writes a block; what it will show is left in `parts.block`.
    pub(super) fn block(&mut self, place: &Rectangle, palette: Option<&Palette>, fidelity: Fidelity) {
        let Some(palette) = palette else { return self.coloured(place, fidelity) };
        let is_fill = palette.count == 1;
        let operation = if is_fill { Operation::Fill } else { Operation::Indexed };
        let whole = (self.grid.width(), self.grid.height());
        let most = if is_fill { whole } else { (BLOCK_WIDTH as u16, BLOCK_HEIGHT as u16) };
        self.operation(operation);
        self.place(place, most);
        if !self.stands_alone {
            let (shown, width) = (&*self.parts.shown, self.source.width);
            let old = seeds(place).flat_map(|(x, y, count)| &shown[y * width + x..][..count]);
            self.model.seed(old.copied());
        }
        let size = Size { width: place.width.into(), height: place.height.into() };
        if is_fill {
            self.model.colour::<P, _>(&mut self.writer, palette.colours[0]);
            self.parts.block[..size.width * size.height].fill(palette.colours[0]);
            return;
        }
        block::palette::<P, _>(&mut self.writer, self.model, &palette.colours[..palette.count]);
        let mut rows = Copied { source: self.source, place: *place, scale: 1, block: self.parts.block };
        block::indexed(&mut self.writer, self.model, &mut self.neighbours, size, &mut rows);
    }

    fn coloured(&mut self, place: &Rectangle, fidelity: Fidelity) {
        let is_exact = fidelity == Fidelity { near: 0, scale: 0 };
        self.operation(if is_exact { Operation::Exact } else { Operation::Near });
        self.place(place, (BLOCK_WIDTH as u16, BLOCK_HEIGHT as u16));
        if !is_exact {
            self.writer.tree::<5>(&mut self.model.near, fidelity.near.into());
            self.writer.tree::<2>(&mut self.model.scale, fidelity.scale.into());
        }
        let scale = 1 << fidelity.scale;
        let size = Size {
            width: usize::from(place.width).div_ceil(scale),
            height: usize::from(place.height).div_ceil(scale),
        };
        let near = fidelity.near.into();
        let mut rows = Copied { source: self.source, place: *place, scale, block: self.parts.block };
        block::coloured::<P, _>(&mut self.writer, self.model, &mut self.neighbours, (size, near), &mut rows);
    }

    /// What was written last will show.
    pub(super) fn commit(&mut self, place: &Rectangle) {
        let width = usize::from(place.width);
        for (step, row) in self.parts.block.chunks_exact(width).take(place.height.into()).enumerate() {
            let at = (usize::from(place.y) + step) * self.source.width + usize::from(place.x);
            self.parts.shown[at..at + width].copy_from_slice(row);
        }
        self.changed(place);
    }
}

/// A block's rows, from the frame to where it waits to be shown.
struct Copied<'a, 'b, P> {
    source: Source<'a, P>,
    place: Rectangle,
    scale: usize,
    block: &'b mut [u32],
}

impl<P: Pixel> Rows for Copied<'_, '_, P> {
    fn load(&mut self, y: usize, row: &mut [u32]) {
        let Rectangle { x, y: top, width, height } = self.place;
        let (x, top, width) = (usize::from(x), usize::from(top), usize::from(width));
        if self.scale == 1 {
            return self.source.row(x, top + y, row);
        }
        let lines = (y * self.scale)..((y + 1) * self.scale).min(height.into());
        let mut full = [0; BLOCK_WIDTH];
        let mut sums = [[0; 3]; BLOCK_WIDTH];
        for line in lines.clone() {
            self.source.row(x, top + line, &mut full[..width]);
            for (column, &pixel) in full[..width].iter().enumerate() {
                for (sum, channel) in sums[column / self.scale].iter_mut().zip(P::split(pixel)) {
                    *sum += channel;
                }
            }
        }
        for (column, (pixel, sum)) in row.iter_mut().zip(sums).enumerate() {
            let across = self.scale.min(width - column * self.scale);
            let count = (across * lines.len()) as i32;
            *pixel = P::join(sum.map(|sum| (sum + count / 2) / count));
        }
    }

    fn store(&mut self, y: usize, row: &[u32]) {
        let width = usize::from(self.place.width);
        let lines = (y * self.scale)..((y + 1) * self.scale).min(self.place.height.into());
        for line in lines {
            let target = &mut self.block[line * width..(line + 1) * width];
            for (pixels, &pixel) in target.chunks_mut(self.scale).zip(row) {
                pixels.fill(pixel);
            }
        }
    }
}
