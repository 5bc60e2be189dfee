//! How alike a decoded picture and the card's own frame are.

use rift_hal::{Frame, PixelFormat};

/// A frame as the card gave it, in three planes at most of 8 bits, chroma at half size each way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Pixels across and down.
    pub size: (u32, u32),
    /// Luma, then blue and red differences, each without padding.
    planes: [Vec<u8>; 3],
}

impl Reference {
    /// Of a frame in YU12; `None` for another format.
    #[must_use]
    pub fn of(frame: &Frame<'_>) -> Option<Self> {
        (frame.format() == PixelFormat::I420).then(|| {
            let plane = |index: usize| {
                let (row, rows) = frame.format().plane_size(index, frame.width(), frame.height());
                (0..rows).flat_map(|y| frame.planes()[index].row(y, row).iter().copied()).collect()
            };
            Self { size: (frame.width(), frame.height()), planes: [plane(0), plane(1), plane(2)] }
        })
    }

    /// The peak signal-to-noise ratio of a decoded picture over all three planes, in dB, at most [`PSNR_MAX`]; every
    /// `step`-th row counts. 0 for a picture of another size or format.
    #[must_use]
    pub fn psnr_db(&self, frame: &Frame<'_>, step: usize) -> f64 {
        if (frame.width(), frame.height()) != self.size || frame.format() != PixelFormat::I420 {
            return 0.0;
        }
        let (mut squares, mut count) = (0_u64, 0_u64);
        for (index, plane) in self.planes.iter().enumerate() {
            let (row, rows) = frame.format().plane_size(index, self.size.0, self.size.1);
            for y in (0..rows).step_by(step) {
                let (one, other) = (frame.planes()[index].row(y, row), &plane[y * row..][..row]);
                let sum = one.iter().zip(other).map(|(one, other)| u32::from(one.abs_diff(*other)).pow(2));
                squares += u64::from(sum.sum::<u32>());
                count += row as u64;
            }
        }
        if squares == 0 {
            return PSNR_MAX;
        }
        let mean = squares as f64 / count as f64;
        (10.0 * (255.0 * 255.0 / mean).log10()).min(PSNR_MAX)
    }
}

/// What identical pictures are said to have.
pub const PSNR_MAX: f64 = 99.0;

#[cfg(test)]
mod tests {
    use rift::Instant;
    use rift_hal::Plane;

    use super::*;

    fn frame(data: &[u8]) -> Frame<'_> {
        let planes = [(0, 4), (16, 2), (20, 2)];
        let planes = planes.map(|(start, stride)| Plane { data: &data[start..], stride });
        Frame::new(PixelFormat::I420, 4, 4, planes, Instant::ZERO).expect("a frame")
    }

    #[test]
    fn likeness_follows_from_the_mean_square_of_all_samples() {
        let one = [100_u8; 24];
        let reference = Reference::of(&frame(&one)).expect("it is YU12");
        assert!((reference.psnr_db(&frame(&one), 1) - PSNR_MAX).abs() < 1e-9);
        let off = [105_u8; 24];
        let expected = 10.0 * (255.0_f64 * 255.0 / 25.0).log10();
        assert!((reference.psnr_db(&frame(&off), 1) - expected).abs() < 1e-9);
    }
}
