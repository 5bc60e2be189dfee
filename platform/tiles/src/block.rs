//! The pixels of a block, row by row (SPEC §5). Written once for both directions.

use crate::coder::{Bit, Coder};
use crate::model::{ACTIVITIES, BLOCK_WIDTH, MAGNITUDES, Model, PALETTE_MAX, PaletteModel, PixelModel, SEEN};
use crate::pixel::Pixel;

/// Where a block's rows come from and go to.
pub(crate) trait Rows {
    /// Writing only: row `y` as it should be.
    fn load(&mut self, y: usize, row: &mut [u32]);

    /// Row `y` as it is after coding.
    fn store(&mut self, y: usize, row: &[u32]);
}

/// Pixels before and after a row, so that neighbours outside it need no second thought.
const PAD: usize = 2;

/// The rows that the next one's neighbours are in.
#[derive(Clone, Debug)]
pub(crate) struct Neighbours {
    rows: [[u32; BLOCK_WIDTH + 2 * PAD]; 3],
    line: [u32; BLOCK_WIDTH],
}

impl Neighbours {
    pub(crate) const fn new() -> Self {
        Self { rows: [[0; BLOCK_WIDTH + 2 * PAD]; 3], line: [0; BLOCK_WIDTH] }
    }

    fn clear(&mut self) {
        self.rows = [[0; BLOCK_WIDTH + 2 * PAD]; 3];
    }
}

/// What a block is coded with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// Pixels across, at most [`BLOCK_WIDTH`].
    pub(crate) width: usize,
    /// Pixels down.
    pub(crate) height: usize,
}

/// A palette: writing, `colours` is what it should be.
pub(crate) fn palette<P: Pixel, C: Coder>(coder: &mut C, model: &mut Model, colours: &[u32]) {
    let known = &model.palette.colours[..model.palette.count];
    let is_same = C::WRITES && known == colours;
    if coder.bit(&mut model.palette.is_same, is_same) && model.palette.count > 0 {
        return;
    }
    let wanted = colours.len().clamp(1, PALETTE_MAX) - 1;
    let count = coder.tree::<4>(&mut model.palette.len, wanted as u32) as usize + 1;
    model.palette.count = count;
    for index in 0..count {
        let value = colours.get(index).copied().unwrap_or(0);
        model.palette.colours[index] = model.colour::<P, C>(coder, value);
    }
}

/// The pixels of a block whose palette was coded just before. Gives up early when the coder is over.
pub(crate) fn indexed<C: Coder>(
    coder: &mut C,
    model: &mut Model,
    neighbours: &mut Neighbours,
    size: Size,
    rows: &mut impl Rows,
) {
    neighbours.clear();
    let Neighbours { rows: [first, second, third], line } = neighbours;
    let (mut current, mut above, mut above2) = (first, second, third);
    let line = &mut line[..size.width];
    let mut repeats = false;
    for y in 0..size.height {
        if C::WRITES {
            rows.load(y, line);
            for (place, &colour) in current[PAD..].iter_mut().zip(line.iter()) {
                *place = model.palette.index_of(colour);
            }
        }
        let span = PAD..PAD + size.width;
        let is_same = C::WRITES && y > 0 && current[span.clone()] == above[span.clone()];
        repeats = y > 0 && coder.bit(&mut model.row_repeats[usize::from(repeats)], is_same);
        if repeats {
            current.copy_from_slice(above);
        } else if model.palette.count <= 2 {
            bitmap_row(coder, &mut model.bitmap, [above2, above], &mut current[..size.width + 2 * PAD]);
        } else {
            index_row(coder, &mut model.palette, [above2, above], &mut current[..size.width + 2 * PAD]);
        }
        for (pixel, &index) in line.iter_mut().zip(&current[span]) {
            *pixel = model.palette.colour_of(index);
        }
        rows.store(y, line);
        if coder.is_over() {
            return;
        }
        (current, above, above2) = (above2, current, above);
    }
}

/// A row of ones and zeros, each under ten neighbours: three of the row before the last, five of the last, two of this.
fn bitmap_row<C: Coder>(coder: &mut C, model: &mut [Bit; 1024], above: [&[u32]; 2], current: &mut [u32]) {
    let [above2, above] = above;
    let mut far = above2[PAD - 1] << 1 | above2[PAD];
    let mut near = above[PAD - 2] << 3 | above[PAD - 1] << 2 | above[PAD] << 1 | above[PAD + 1];
    let mut here = 0;
    for x in PAD..current.len() - PAD {
        far = (far << 1 | above2[x + 1]) & 7;
        near = (near << 1 | above[x + 2]) & 31;
        let context = far << 7 | near << 2 | here;
        let value = coder.bit(&mut model[context as usize & 1023], current[x] != 0);
        current[x] = value.into();
        here = (here << 1 | u32::from(value)) & 3;
    }
}

/// A row of palette indices: each is that of a neighbour, or told.
fn index_row<C: Coder>(coder: &mut C, model: &mut PaletteModel, above: [&[u32]; 2], current: &mut [u32]) {
    let [above2, above] = above;
    for x in PAD..current.len() - PAD {
        let (left, left2) = (current[x - 1], current[x - 2]);
        let (up, up2, up_left, up_right) = (above[x], above2[x], above[x - 1], above[x + 1]);
        let context = usize::from(left == up)
            | usize::from(left == up_left) << 1
            | usize::from(up == up_left) << 2
            | usize::from(up == up_right) << 3
            | usize::from(left == left2) << 4
            | usize::from(up == up2) << 5
            | usize::from(left == 0) << 6;
        let actual = current[x];
        current[x] = if coder.bit(&mut model.is_left[context], actual == left) {
            left
        } else if up != left && coder.bit(&mut model.is_above[context], actual == up) {
            up
        } else if up_right != up
            && up_right != left
            && coder.bit(&mut model.is_diagonal[context], actual == up_right)
        {
            up_right
        } else {
            let models = &mut model.index[left as usize % PALETTE_MAX];
            coder.tree_below(models, model.count as u32, actual)
        };
    }
}

/// The pixels of a block of many colours, each channel at most `near` from what it should be. Gives up early when the
/// coder is over.
pub(crate) fn coloured<P: Pixel, C: Coder>(
    coder: &mut C,
    model: &mut Model,
    neighbours: &mut Neighbours,
    (size, near): (Size, i32),
    rows: &mut impl Rows,
) {
    neighbours.clear();
    let Neighbours { rows: [first, second, _], line } = neighbours;
    let (mut current, mut above) = (first, second);
    let line = &mut line[..size.width];
    let span = PAD..PAD + size.width;
    for y in 0..size.height {
        if C::WRITES {
            rows.load(y, line);
            current[span.clone()].copy_from_slice(line);
        }
        // What lies outside is as what lies beside it inside.
        current[PAD - 1] = above[PAD];
        above[PAD - 1] = above[PAD];
        above[span.end] = above[span.end - 1];
        for x in span.clone() {
            let around =
                Around { left: current[x - 1], up: above[x], up_left: above[x - 1], up_right: above[x + 1] };
            current[x] = pixel::<P, C>(coder, &mut model.pixel, &around, current[x], near);
        }
        rows.store(y, &current[span.clone()]);
        if coder.is_over() {
            return;
        }
        (current, above) = (above, current);
    }
}

/// The neighbours of a pixel.
#[derive(Clone, Copy, Debug)]
struct Around {
    left: u32,
    up: u32,
    up_left: u32,
    up_right: u32,
}

fn pixel<P: Pixel, C: Coder>(
    coder: &mut C,
    model: &mut PixelModel,
    around: &Around,
    actual: u32,
    near: i32,
) -> u32 {
    let Around { left, up, up_left, up_right } = *around;
    let context = usize::from(left == up)
        | usize::from(left == up_left) << 1
        | usize::from(up == up_left) << 2
        | usize::from(up == up_right) << 3;
    let is_left = C::WRITES && is_near::<P>(actual, left, near);
    if coder.bit(&mut model.is_left[context], is_left) {
        return left;
    }
    let is_above = C::WRITES && is_near::<P>(actual, up, near);
    if up != left && coder.bit(&mut model.is_above[context], is_above) {
        return up;
    }
    let slot = slot_of(actual);
    let is_seen = C::WRITES && model.seen[slot] == actual;
    if coder.bit(&mut model.is_seen[usize::from(context == 0)], is_seen) {
        return model.seen[coder.tree::<6>(&mut model.which, slot as u32) as usize % SEEN];
    }
    let value = residual::<P, C>(coder, model, around, actual, near);
    model.seen[slot_of(value)] = value;
    value
}

fn is_near<P: Pixel>(one: u32, other: u32, near: i32) -> bool {
    if near == 0 {
        return one == other;
    }
    let (one, other) = (P::split(one), P::split(other));
    one.iter().zip(other).all(|(one, other)| (one - other).abs() <= near)
}

/// Where a pixel is remembered.
const fn slot_of(pixel: u32) -> usize {
    (pixel.wrapping_mul(0x9e37_79b1) >> 26) as usize
}

/// Green first; red and blue lean on how green turned out.
const ORDER: [usize; 3] = [1, 0, 2];

fn residual<P: Pixel, C: Coder>(
    coder: &mut C,
    model: &mut PixelModel,
    around: &Around,
    actual: u32,
    near: i32,
) -> u32 {
    let [left, up, up_left, up_right] =
        [around.left, around.up, around.up_left, around.up_right].map(P::split);
    let differences = (left[1] - up_left[1]).abs() + (up_left[1] - up[1]).abs() + (up[1] - up_right[1]).abs();
    // In the scale of 8 bits, whatever the format.
    let activity = match differences * 256 / (P::MAX[1] + 1) {
        ..=2 => 0,
        3..=11 => 1,
        12..=35 => 2,
        36.. => 3,
    };
    let wanted = P::split(actual);
    let step = 2 * near + 1;
    let mut value = [0; 3];
    let mut lean = 0;
    for channel in ORDER {
        let max = P::MAX[channel];
        let scaled = if channel == 1 { 0 } else { lean * (max + 1) / (P::MAX[1] + 1) };
        let predicted = (median(left[channel], up[channel], up_left[channel]) + scaled).clamp(0, max);
        let distance = wanted[channel] - predicted;
        let steps = (distance.abs() + near) / step * distance.signum();
        let steps = number(coder, model, channel, activity, steps);
        value[channel] = (predicted + steps * step).clamp(0, max);
        if channel == 1 {
            lean = value[1] - predicted;
        }
    }
    P::join(value)
}

/// The median of left, up and what both and their common neighbour say (JPEG-LS, ITU-T T.87 §A.4).
fn median(left: i32, up: i32, up_left: i32) -> i32 {
    if up_left >= left.max(up) {
        left.min(up)
    } else if up_left <= left.min(up) {
        left.max(up)
    } else {
        left + up - up_left
    }
}

/// A signed number: whether it is zero, its sign, and its magnitude less one as an exponential Golomb code.
fn number<C: Coder>(
    coder: &mut C,
    model: &mut PixelModel,
    channel: usize,
    activity: usize,
    value: i32,
) -> i32 {
    debug_assert!(activity < ACTIVITIES, "the levels are counted");
    if !coder.bit(&mut model.is_zero[channel][activity], value != 0) {
        return 0;
    }
    let is_negative = coder.bit(&mut model.is_negative[channel], value < 0);
    let wanted = value.unsigned_abs().max(1);
    let bits_wanted = wanted.ilog2();
    let models = &mut model.magnitude[channel][activity];
    let mut bits = 0;
    while (bits as usize) < MAGNITUDES - 1 && coder.bit(&mut models[bits as usize], bits < bits_wanted) {
        bits += 1;
    }
    let low = if bits > 0 { coder.uniform(1 << bits, wanted & ((1 << bits) - 1)) } else { 0 };
    let magnitude = (1 << bits | low) as i32;
    if is_negative { -magnitude } else { magnitude }
}

impl PaletteModel {
    fn colour_of(&self, index: u32) -> u32 {
        let index = (index as usize).min(self.count.saturating_sub(1));
        self.colours.get(index).copied().unwrap_or(0)
    }

    /// The index of a colour; the writer has made sure that there is one.
    fn index_of(&self, colour: u32) -> u32 {
        self.colours[..self.count].iter().position(|&one| one == colour).unwrap_or(0) as u32
    }
}
