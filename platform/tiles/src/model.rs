//! What both directions learn while a picture goes by, and forget after it (SPEC §3.3, §5).

use crate::coder::{Bit, Coder};
use crate::pixel::Pixel;
use crate::prior::{BITMAP, IS_LEFT};

/// The widest block, in pixels.
pub(crate) const BLOCK_WIDTH: usize = 128;
/// The highest block, in pixels.
pub(crate) const BLOCK_HEIGHT: usize = 64;
/// Colours a palette may have.
pub(crate) const PALETTE_MAX: usize = 16;
/// Colours that are remembered.
const COLOURS: usize = 16;
/// Colours a place may add to those that are remembered.
const SEEDED_MAX: usize = 12;
/// Pixels that are remembered by their hash.
pub(crate) const SEEN: usize = 64;
/// Levels of how much a place's neighbours differ.
pub(crate) const ACTIVITIES: usize = 4;
/// Unary steps of a magnitude.
pub(crate) const MAGNITUDES: usize = 9;

/// Adaptive probabilities and what they are conditioned on.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) operation: [[Bit; 8]; 8],
    pub(crate) last_operation: usize,
    pub(crate) place: [Bit; 4],
    pub(crate) row_repeats: [Bit; 2],
    pub(crate) bitmap: [Bit; 1024],
    pub(crate) palette: PaletteModel,
    pub(crate) pixel: PixelModel,
    pub(crate) near: [Bit; 32],
    pub(crate) scale: [Bit; 4],
    colour: ColourModel,
}

/// For the colours of palettes and fills.
#[derive(Clone, Debug)]
struct ColourModel {
    is_known: Bit,
    which: [Bit; COLOURS],
    is_grey: Bit,
    /// The newest first.
    colours: [u32; COLOURS],
}

/// For blocks of few colours.
#[derive(Clone, Debug)]
pub(crate) struct PaletteModel {
    pub(crate) is_same: Bit,
    pub(crate) len: [Bit; 16],
    pub(crate) is_left: [Bit; 128],
    pub(crate) is_above: [Bit; 128],
    pub(crate) is_diagonal: [Bit; 128],
    pub(crate) index: [[Bit; PALETTE_MAX]; PALETTE_MAX],
    pub(crate) colours: [u32; PALETTE_MAX],
    pub(crate) count: usize,
}

/// For blocks of many colours.
#[derive(Clone, Debug)]
pub(crate) struct PixelModel {
    pub(crate) is_left: [Bit; 32],
    pub(crate) is_above: [Bit; 32],
    pub(crate) is_seen: [Bit; 2],
    pub(crate) which: [Bit; SEEN],
    pub(crate) is_zero: [[Bit; ACTIVITIES]; 3],
    pub(crate) is_negative: [Bit; 3],
    pub(crate) magnitude: [[[Bit; MAGNITUDES]; ACTIVITIES]; 3],
    pub(crate) seen: [u32; SEEN],
}

impl Model {
    /// Nothing has been learnt.
    pub(crate) const fn new() -> Self {
        Self::of(Bit::EVEN, Bit::RARE, BITMAP, IS_LEFT)
    }

    /// All zeros, so that it takes no room in a program's image; to be reset before it is used.
    pub(crate) const fn blank() -> Self {
        Self::of(Bit::BLANK, Bit::BLANK, [Bit::BLANK; BITMAP.len()], [Bit::BLANK; IS_LEFT.len()])
    }

    const fn of(even: Bit, rare: Bit, bitmap: [Bit; BITMAP.len()], is_left: [Bit; IS_LEFT.len()]) -> Self {
        Self {
            operation: [[even; 8]; 8],
            last_operation: 0,
            place: [even; 4],
            row_repeats: [even; 2],
            bitmap,
            palette: PaletteModel {
                is_same: even,
                len: [even; 16],
                is_left,
                is_above: [even; 128],
                is_diagonal: [even; 128],
                index: [[even; PALETTE_MAX]; PALETTE_MAX],
                colours: [0; PALETTE_MAX],
                count: 0,
            },
            pixel: PixelModel {
                is_left: [even; 32],
                is_above: [even; 32],
                is_seen: [even; 2],
                which: [even; SEEN],
                is_zero: [[even; ACTIVITIES]; 3],
                is_negative: [even; 3],
                magnitude: [[[even; MAGNITUDES]; ACTIVITIES]; 3],
                seen: [0; SEEN],
            },
            near: [even; 32],
            scale: [even; 4],
            colour: ColourModel {
                is_known: rare,
                which: [even; COLOURS],
                is_grey: even,
                colours: [0; COLOURS],
            },
        }
    }

    /// Forgets everything, for the next picture. Black and white are known (SPEC §5.2).
    pub(crate) fn reset<P: Pixel>(&mut self) {
        *self = Self::new();
        self.colour.colours[0] = P::WHITE;
    }

    /// Remembers what shows at a place that is about to be drawn over (SPEC §5.2): the first few colours of these
    /// runs of pixels.
    pub(crate) fn seed(&mut self, old: impl Iterator<Item = u32>) {
        let (mut last, mut seeded) = (None, 0);
        for colour in old {
            if last == Some(colour) {
                continue;
            }
            last = Some(colour);
            if !self.colour.colours.contains(&colour) {
                self.colour.push(colour, COLOURS - 1);
                seeded += 1;
                if seeded == SEEDED_MAX {
                    return;
                }
            }
        }
    }

    /// A colour: one that is remembered, or a new one.
    pub(crate) fn colour<P: Pixel, C: Coder>(&mut self, coder: &mut C, value: u32) -> u32 {
        let model = &mut self.colour;
        let known = if C::WRITES { model.colours.iter().position(|&colour| colour == value) } else { None };
        // The flag is zero for a colour that is known, which is the usual case.
        if !coder.bit(&mut model.is_known, known.is_none()) {
            let index = coder.tree::<4>(&mut model.which, known.unwrap_or(0) as u32) as usize;
            let colour = model.colours[index];
            model.push(colour, index);
            return colour;
        }
        let colour = model.literal::<P, C>(coder, value);
        model.push(colour, COLOURS - 1);
        colour
    }
}

impl ColourModel {
    /// Puts a colour first; the one at `index` gives way.
    fn push(&mut self, colour: u32, index: usize) {
        self.colours.copy_within(..index, 1);
        self.colours[0] = colour;
    }

    fn literal<P: Pixel, C: Coder>(&mut self, coder: &mut C, value: u32) -> u32 {
        if P::BITS == 16 {
            return coder.uniform(1 << 16, value);
        }
        let [red, green, blue] = P::split(value);
        if coder.bit(&mut self.is_grey, red == green && green == blue) {
            let grey = coder.uniform(256, green as u32) as i32;
            return P::join([grey; 3]);
        }
        let high = coder.uniform(1 << 8, value >> 16);
        high << 16 | coder.uniform(1 << 16, value & 0xffff)
    }
}
