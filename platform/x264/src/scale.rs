//! Pictures made smaller before they are encoded, for networks that cannot carry their pixels.
//!
//! It knows pixels; it refuses to know when smaller ones are wanted. Invariant: what it gives equals what scaling the whole
//! frame would have given, provided the damage named covers all that changed.

use core::ops::Range;

use rift::Rectangle;
use rift_hal::{Frame, PixelFormat, Plane};

use crate::X264Error;
use crate::convert::Canvas;

/// By how much a picture is made smaller, in each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reduction {
    /// Three pixels of four.
    ThreeQuarters,
    /// One of two.
    Half,
}

impl Reduction {
    /// So many pixels become so many.
    #[must_use]
    pub const fn parts(self) -> (u16, u16) {
        match self {
            Self::ThreeQuarters => (4, 3),
            Self::Half => (2, 1),
        }
    }

    /// What a picture of this size becomes; `None` where that would not have whole pixels, an even number of them, in exactly
    /// the same shape.
    #[must_use]
    pub fn size(self, (width, height): (u32, u32)) -> Option<(u32, u32)> {
        let (of, into) = self.parts();
        let (of, into) = (u32::from(of), u32::from(into));
        let is_whole = |side: u32| side > 0 && side.is_multiple_of(2 * of);
        (is_whole(width) && is_whole(height)).then_some((width / of * into, height / of * into))
    }

    /// For each pixel that comes out of a group: the first of the two it is mixed from, and their shares. A pixel covers `of` /
    /// `into` of those before and is their mean by area.
    const fn mix(self) -> &'static [(usize, u16, u16)] {
        match self {
            Self::ThreeQuarters => &[(0, 3, 1), (1, 2, 2), (2, 1, 3)],
            Self::Half => &[(0, 1, 1)],
        }
    }
}

/// Makes frames of one size smaller; see the module.
#[derive(Debug)]
pub struct Scaler {
    reduction: Reduction,
    from: (u32, u32),
    to: (u32, u32),
    canvas: Canvas,
    planes: [Vec<u8>; 3],
    /// One row of what comes out, as wide as what goes in, not divided yet.
    row: Vec<u16>,
    /// The format of what it holds; `None` until a whole frame was scaled.
    holds: Option<PixelFormat>,
}

impl Scaler {
    /// A scaler for frames of this size; `None` where [`Reduction::size`] is.
    #[must_use]
    pub fn new(from: (u32, u32), reduction: Reduction) -> Option<Self> {
        let to = reduction.size(from)?;
        let is_frame = from.0 <= Frame::SIDE_MAX && from.1 <= Frame::SIDE_MAX;
        let len = |plane| {
            let (row, rows) = PixelFormat::I420.plane_size(plane, to.0, to.1);
            row * rows
        };
        is_frame.then(|| Self {
            reduction,
            from,
            to,
            canvas: Canvas::new(from.0, from.1),
            planes: [vec![0; len(0)], vec![0; len(1)], vec![0; len(2)]],
            row: vec![0; from.0 as usize],
            holds: None,
        })
    }

    /// By how much it makes frames of which size smaller.
    #[must_use]
    pub const fn scales(&self) -> ((u32, u32), Reduction) {
        (self.from, self.reduction)
    }

    /// The size of what it gives.
    #[must_use]
    pub const fn size(&self) -> (u32, u32) {
        self.to
    }

    /// A frame made smaller (I420), and where that differs from the last one. `damage` is where `frame` differs from the frame
    /// before; `None`: anywhere.
    ///
    /// # Errors
    /// [`X264Error::Size`] and [`X264Error::Format`] for a frame of another size, or of a format that cannot be encoded.
    pub fn scale<'a>(
        &'a mut self,
        frame: &Frame<'_>,
        damage: Option<Rectangle>,
    ) -> Result<(Frame<'a>, Option<Rectangle>), X264Error> {
        let (frame_width, frame_height) = (frame.width(), frame.height());
        if (frame_width, frame_height) != self.from {
            let (width, height) = self.from;
            return Err(X264Error::Size { frame_width, frame_height, width, height });
        }
        if !self.canvas.update(frame, damage) {
            return Err(X264Error::Format(frame.format()));
        }
        let damage = damage.filter(|_| self.holds == Some(frame.format()));
        self.holds = Some(frame.format());
        let (columns, rows) = self.groups(damage);
        let sources = self.canvas.planes();
        let (of, into) = self.reduction.parts();
        for (plane, ((source, source_stride), target)) in
            sources.into_iter().zip(&mut self.planes).enumerate()
        {
            // Groups are those of chroma: twice as many of luma.
            let times = if plane == 0 { 2 } else { 1 };
            let stride = PixelFormat::I420.plane_size(plane, self.to.0, self.to.1).0;
            let columns = columns.start * times..columns.end * times;
            for group in rows.start * times..rows.end * times {
                let source = &source[group * usize::from(of) * source_stride..];
                let target = &mut target[group * usize::from(into) * stride..];
                self.reduction.draw(
                    (source, source_stride),
                    (target, stride),
                    columns.clone(),
                    &mut self.row,
                );
            }
        }
        let (columns, rows) = (columns.start..columns.end, rows.start..rows.end);
        let step = 2 * usize::from(into);
        let short = |groups: usize| u16::try_from(groups * step).unwrap_or(u16::MAX);
        let changed = damage.map(|_| Rectangle {
            x: short(columns.start),
            y: short(rows.start),
            width: short(columns.len()),
            height: short(rows.len()),
        });
        let planes = core::array::from_fn(|plane| Plane {
            data: &self.planes[plane],
            stride: PixelFormat::I420.plane_size(plane, self.to.0, self.to.1).0,
        });
        let frame = Frame::new(PixelFormat::I420, self.to.0, self.to.1, planes, frame.captured_at());
        Ok((frame.expect("the planes were made for that size"), changed))
    }

    /// Groups of columns and rows, `of` pixels of chroma each, that `damage` touches.
    fn groups(&self, damage: Option<Rectangle>) -> (Range<usize>, Range<usize>) {
        let step = 2 * usize::from(self.reduction.parts().0);
        let all = (self.from.0 as usize / step, self.from.1 as usize / step);
        let Some(damage) = damage else { return (0..all.0, 0..all.1) };
        if damage.is_empty() {
            return (0..0, 0..0);
        }
        let touched = |start: u16, len: u16, all: usize| {
            let end = (usize::from(start) + usize::from(len)).div_ceil(step).min(all);
            (usize::from(start) / step).min(end)..end
        };
        (touched(damage.x, damage.width, all.0), touched(damage.y, damage.height, all.1))
    }
}

impl Reduction {
    /// Draws the rows that come of one group of rows, in these groups of columns.
    fn draw(
        self,
        (source, source_stride): (&[u8], usize),
        (target, stride): (&mut [u8], usize),
        columns: Range<usize>,
        row: &mut [u16],
    ) {
        let (of, into) = self.parts();
        let (of, into) = (usize::from(of), usize::from(into));
        let inside = columns.start * of..columns.end * of;
        let row = &mut row[..inside.len()];
        let whole: u16 = self.mix().first().map_or(1, |&(_, first, second)| first + second);
        let (shift, half) = (2 * whole.ilog2(), whole * whole / 2);
        for (y, &(from, upper_share, lower_share)) in self.mix().iter().enumerate() {
            let upper = &source[from * source_stride..][inside.clone()];
            let lower = &source[(from + 1) * source_stride..][inside.clone()];
            for ((sum, upper), lower) in row.iter_mut().zip(upper).zip(lower) {
                *sum = u16::from(*upper) * upper_share + u16::from(*lower) * lower_share;
            }
            let out = &mut target[y * stride..][columns.start * into..columns.end * into];
            for (out, sums) in out.chunks_exact_mut(into).zip(row.chunks_exact(of)) {
                for (out, &(from, left, right)) in out.iter_mut().zip(self.mix()) {
                    // At most 255 × whole², whole being 4.
                    *out = ((sums[from] * left + sums[from + 1] * right + half) >> shift) as u8;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rift::Instant;

    use super::*;

    const SIZE: (u32, u32) = (64, 48);

    fn pixels(seed: u32) -> Vec<u8> {
        let mixed = |at: u32| {
            (at.wrapping_mul(0x9e37_79b1) ^ seed.wrapping_mul(0x85eb_ca77)).wrapping_mul(0x2c1b_3c6d)
        };
        (0..SIZE.0 * SIZE.1 * 4).map(|at| (mixed(at) >> 24) as u8).collect()
    }

    fn frame(data: &[u8]) -> Frame<'_> {
        let planes = [Plane { data, stride: SIZE.0 as usize * 4 }, Plane::EMPTY, Plane::EMPTY];
        Frame::new(PixelFormat::Bgrx, SIZE.0, SIZE.1, planes, Instant::ZERO).unwrap()
    }

    #[test]
    fn sizes_are_whole_and_even_and_keep_the_shape() {
        let sizes = |size| [Reduction::ThreeQuarters, Reduction::Half].map(|reduction| reduction.size(size));
        assert_eq!(sizes((1920, 1080)), [Some((1440, 810)), Some((960, 540))]);
        assert_eq!(sizes((1280, 720)), [Some((960, 540)), Some((640, 360))]);
        assert_eq!(sizes((1600, 900)), [None, Some((800, 450))]);
        assert_eq!(sizes((1366, 768)), [None, None]);
        assert_eq!(sizes((0, 0)), [None, None]);
    }

    #[test]
    fn pixels_are_means_of_what_they_cover() {
        // One bright column of luma in each group of four, in a frame of neither colour.
        let luma: Vec<u8> = (0..16 * 16).map(|at| if at % 4 == 1 { 160 } else { 0 }).collect();
        let chroma = [100; 8 * 8];
        let planes = [
            Plane { data: &luma, stride: 16 },
            Plane { data: &chroma, stride: 8 },
            Plane { data: &chroma, stride: 8 },
        ];
        let frame = Frame::new(PixelFormat::I420, 16, 16, planes, Instant::ZERO).unwrap();
        let row = |reduction| {
            let mut scaler = Scaler::new((16, 16), reduction).unwrap();
            let (small, _) = scaler.scale(&frame, None).unwrap();
            let width = small.width() as usize;
            assert!(small.planes()[1].data.iter().all(|&byte| byte == 100));
            (0..small.height() as usize).for_each(|y| {
                assert_eq!(small.planes()[0].row(y, width), small.planes()[0].row(0, width));
            });
            small.planes()[0].row(0, width).to_vec()
        };
        assert_eq!(row(Reduction::Half)[..4], [80, 0, 80, 0]);
        assert_eq!(row(Reduction::ThreeQuarters)[..6], [40, 80, 0, 40, 80, 0]);
    }

    #[test]
    fn scaling_the_damage_alone_gives_the_same_picture() {
        let places =
            [(0, 0, 1, 1), (7, 7, 2, 2), (63, 47, 1, 1), (20, 0, 9, 48), (0, 13, 64, 3), (5, 5, 0, 0)];
        for reduction in [Reduction::ThreeQuarters, Reduction::Half] {
            let mut part = Scaler::new(SIZE, reduction).unwrap();
            let mut data = pixels(1);
            assert_eq!(
                part.scale(&frame(&data), Some(Rectangle::default())).unwrap().1,
                None,
                "it held nothing"
            );
            for (x, y, width, height) in places {
                for row in y..y + height {
                    let at = (row * SIZE.0 as usize + x) * 4;
                    data[at..at + width * 4].iter_mut().for_each(|byte| *byte = !*byte);
                }
                let narrow = |side: usize| u16::try_from(side).unwrap();
                let damage =
                    Rectangle { x: narrow(x), y: narrow(y), width: narrow(width), height: narrow(height) };
                let mut whole = Scaler::new(SIZE, reduction).unwrap();
                whole.scale(&frame(&data), None).unwrap();
                let changed = part.scale(&frame(&data), Some(damage)).unwrap().1.unwrap();
                assert_eq!(changed.is_empty(), damage.is_empty());
                assert!(part.planes == whole.planes, "{reduction:?} {damage:?}");
            }
        }
    }

    #[test]
    fn frames_of_another_size_or_format_are_refused() {
        let mut scaler = Scaler::new((32, 32), Reduction::Half).unwrap();
        let data = pixels(2);
        assert!(matches!(scaler.scale(&frame(&data), None), Err(X264Error::Size { .. })));
        let planes = [Plane { data: &data, stride: 64 }, Plane::EMPTY, Plane::EMPTY];
        let frame = Frame::new(PixelFormat::Rgb565, 32, 32, planes, Instant::ZERO).unwrap();
        assert!(matches!(scaler.scale(&frame, None), Err(X264Error::Format(_))));
        assert!(Scaler::new((30, 32), Reduction::Half).is_none());
    }
}
