//! A picture's head and the places in it (SPEC §2, §4).

use rift::Rectangle;

use crate::coder::Coder;
use crate::grid::Grid;
use crate::model::Model;
use crate::pixel::Pixel;

/// What a picture's first byte says.
///
/// ```text
///   7 6 5 4   3 2    1         0
/// +---------+------+----------+-------------+
/// | version | 0    | format   | stands alone|
/// +---------+------+----------+-------------+
/// version 1; format 0 = RGB888, 1 = RGB565; stands alone = it reads nothing of what shows
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) stands_alone: bool,
    format: u8,
    version: u8,
}

const VERSION: u8 = 1;

impl Head {
    pub(crate) const LEN: usize = 1;

    pub(crate) const fn new<P: Pixel>(stands_alone: bool) -> Self {
        Self { stands_alone, format: P::CODE as u8, version: VERSION }
    }

    pub(crate) const fn parse(byte: u8) -> Self {
        Self { stands_alone: byte & 1 == 1, format: byte >> 1 & 7, version: byte >> 4 }
    }

    pub(crate) const fn to_byte(self) -> u8 {
        self.version << 4 | self.format << 1 | self.stands_alone as u8
    }

    pub(crate) const fn is_known(self) -> bool {
        self.version == VERSION && self.format <= 1
    }

    pub(crate) fn is_for<P: Pixel>(self) -> bool {
        u32::from(self.format) == P::CODE
    }
}

/// What is done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Nothing more.
    End,
    /// A rectangle of one colour.
    Fill,
    /// A block of at most 16 colours.
    Indexed,
    /// A block of any colours, exactly.
    Exact,
    /// A block of any colours, nearly, and perhaps in fewer pixels.
    Near,
    /// A rectangle that shows elsewhere already.
    Copy,
    /// Hashes of tiles.
    Check,
}

impl Operation {
    const fn code(self) -> u32 {
        match self {
            Self::End => 0,
            Self::Fill => 1,
            Self::Indexed => 2,
            Self::Exact => 3,
            Self::Near => 4,
            Self::Copy => 5,
            Self::Check => 6,
        }
    }

    const fn of(code: u32) -> Option<Self> {
        Some(match code {
            0 => Self::End,
            1 => Self::Fill,
            2 => Self::Indexed,
            3 => Self::Exact,
            4 => Self::Near,
            5 => Self::Copy,
            6 => Self::Check,
            _ => return None,
        })
    }
}

/// The next operation; `None`: one that this version does not know.
pub(crate) fn operation<C: Coder>(coder: &mut C, model: &mut Model, wanted: Operation) -> Option<Operation> {
    let models = &mut model.operation[model.last_operation & 7];
    let code = coder.tree::<3>(models, wanted.code());
    model.last_operation = code as usize;
    Operation::of(code)
}

const ANYWHERE: u32 = 0;
const RIGHT: u32 = 1;
const BELOW: u32 = 2;

/// A place at most `most` wide and high, told by that of the operation before where it lies beside it. Whatever is
/// read is inside the screen and not empty.
pub(crate) fn place<C: Coder>(
    coder: &mut C,
    model: &mut Model,
    grid: Grid,
    last: &Rectangle,
    most: (u16, u16),
    wanted: &Rectangle,
) -> Rectangle {
    let most = (most.0.min(grid.width()), most.1.min(grid.height()));
    let right = last.x + last.width;
    let bottom = last.y + last.height;
    // Whether it can be so at all; a place of no pixels has nothing beside it.
    let can_right = !last.is_empty() && right < grid.width() && last.height <= most.1;
    let can_below = !last.is_empty() && bottom < grid.height() && last.width <= most.0;
    let relation = if !C::WRITES {
        ANYWHERE
    } else if can_right && (wanted.x, wanted.y, wanted.height) == (right, last.y, last.height) {
        RIGHT
    } else if can_below && (wanted.x, wanted.y, wanted.width) == (last.x, bottom, last.width) {
        BELOW
    } else {
        ANYWHERE
    };
    match coder.tree::<2>(&mut model.place, relation) {
        RIGHT if can_right => {
            let width = extent(coder, most.0.min(grid.width() - right), wanted.width);
            Rectangle { x: right, y: last.y, width, height: last.height }
        }
        BELOW if can_below => {
            let height = extent(coder, most.1.min(grid.height() - bottom), wanted.height);
            Rectangle { x: last.x, y: bottom, width: last.width, height }
        }
        _ => {
            let x = below(coder, grid.width(), wanted.x);
            let y = below(coder, grid.height(), wanted.y);
            let width = extent(coder, most.0.min(grid.width() - x), wanted.width);
            let height = extent(coder, most.1.min(grid.height() - y), wanted.height);
            Rectangle { x, y, width, height }
        }
    }
}

/// Where a rectangle of this size is copied from: anywhere inside the screen.
pub(crate) fn source<C: Coder>(
    coder: &mut C,
    grid: Grid,
    place: &Rectangle,
    wanted: (u16, u16),
) -> (u16, u16) {
    let x = below(coder, grid.width() - place.width + 1, wanted.0);
    let y = below(coder, grid.height() - place.height + 1, wanted.1);
    (x, y)
}

fn below<C: Coder>(coder: &mut C, end: u16, value: u16) -> u16 {
    coder.uniform(end.into(), value.into()) as u16
}

/// A length from 1 to `most`.
fn extent<C: Coder>(coder: &mut C, most: u16, value: u16) -> u16 {
    coder.uniform(most.into(), u32::from(value) - u32::from(C::WRITES)) as u16 + 1
}
