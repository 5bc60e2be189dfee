//! How much what is shown looks like what was drawn.
//!
//! Luma and chroma are those of BT.601, full range. Sharpness is the energy of differences between neighbouring pixels,
//! relative to the original's: blur makes it less than 1, invented edges make it more.

use serde_json::{Value, json};
use x11rb::protocol::xproto::Rectangle;

use crate::report::rounded;
use crate::statistics::percentile;
use crate::x::{Image, WIDTH};

/// Stands for an exact picture, whose PSNR is infinite.
const PSNR_EXACT: f64 = 99.0;

/// How one picture looked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Quality {
    /// PSNR of luma, dB, whole screen.
    pub(crate) psnr_luma: f64,
    /// PSNR of both chroma planes at full resolution, dB.
    pub(crate) psnr_chroma: f64,
    /// PSNR over red, green and blue, dB.
    pub(crate) psnr_rgb: f64,
    /// Where the text is, once still: luma, chroma. `None` = the original has no edges.
    pub(crate) sharpness: [Option<f64>; 2],
    /// The same while it moves, where something does.
    pub(crate) sharpness_moving: [Option<f64>; 2],
}

impl Quality {
    /// Compares two screens; sharpness is that of `text`.
    pub(crate) fn of(shown: &Image, drawn: &Image, text: Rectangle) -> Self {
        let mut rgb = 0_u64;
        let (mut luma, mut chroma) = (0.0, 0.0);
        let pixels = shown.bytes.as_chunks::<4>().0.iter().zip(drawn.bytes.as_chunks::<4>().0);
        for (shown, drawn) in pixels.filter(|(shown, drawn)| shown[..3] != drawn[..3]) {
            for (one, other) in shown[..3].iter().zip(&drawn[..3]) {
                rgb += u64::from(one.abs_diff(*other)).pow(2);
            }
            let [y, cb, cr] = planes(*shown);
            let [other_y, other_cb, other_cr] = planes(*drawn);
            luma += f64::from(y - other_y).powi(2);
            chroma += f64::from(cb - other_cb).powi(2) + f64::from(cr - other_cr).powi(2);
        }
        let count = (shown.bytes.len() / 4) as f64;
        let (shown, drawn) = (edges(shown, text), edges(drawn, text));
        let sharpness = [0, 1].map(|plane| (drawn[plane] > 0.0).then(|| shown[plane] / drawn[plane]));
        Self {
            psnr_luma: psnr(luma / count),
            psnr_chroma: psnr(chroma / (2.0 * count)),
            psnr_rgb: psnr(rgb as f64 / (3.0 * count)),
            sharpness,
            sharpness_moving: [None; 2],
        }
    }

    /// Several of them for a row: medians, and the least luma.
    pub(crate) fn describe(samples: &[Self]) -> Value {
        let median = |figure: &dyn Fn(&Self) -> Option<f64>| {
            percentile(samples.iter().filter_map(figure), 50.0).map(rounded)
        };
        json!({
            "n": samples.len(),
            "psnr_luma": median(&|one| Some(one.psnr_luma)),
            "psnr_luma_min": samples.iter().map(|one| one.psnr_luma).reduce(f64::min).map(rounded),
            "psnr_chroma": median(&|one| Some(one.psnr_chroma)),
            "psnr_rgb": median(&|one| Some(one.psnr_rgb)),
            "sharpness_luma": median(&|one| one.sharpness[0]),
            "sharpness_chroma": median(&|one| one.sharpness[1]),
            "sharpness_moving_luma": median(&|one| one.sharpness_moving[0]),
            "sharpness_moving_chroma": median(&|one| one.sharpness_moving[1]),
        })
    }
}

/// From the mean squared error of values up to 255.
fn psnr(error: f64) -> f64 {
    if error == 0.0 { PSNR_EXACT } else { (10.0 * (255.0 * 255.0 / error).log10()).min(PSNR_EXACT) }
}

/// Y, Cb and Cr of a pixel (blue, green, red, nothing), by ITU-R BT.601.
fn planes([blue, green, red, _]: [u8; 4]) -> [f32; 3] {
    let [red, green, blue] = [red, green, blue].map(f32::from);
    let luma = 0.299 * red + 0.587 * green + 0.114 * blue;
    [luma, (blue - luma) / 1.772, (red - luma) / 1.402]
}

/// The energy of luma's and chroma's differences to the right and below, inside an area.
fn edges(image: &Image, area: Rectangle) -> [f64; 2] {
    let pixels = image.bytes.as_chunks::<4>().0;
    let (left, width) = (area.x.unsigned_abs(), area.width);
    let row = |y: u16| -> Vec<[f32; 3]> {
        let start = usize::from(y) * usize::from(WIDTH) + usize::from(left);
        pixels[start..start + usize::from(width)].iter().map(|pixel| planes(*pixel)).collect()
    };
    let top = area.y.unsigned_abs();
    let mut energy = [0.0; 2];
    let mut add = |one: &[f32; 3], other: &[f32; 3]| {
        let squared = |plane: usize| f64::from(one[plane] - other[plane]).powi(2);
        energy[0] += squared(0);
        energy[1] += squared(1) + squared(2);
    };
    let mut above: Option<Vec<[f32; 3]>> = None;
    for y in top..top + area.height {
        let current = row(y);
        current.windows(2).for_each(|pair| add(&pair[0], &pair[1]));
        if let Some(above) = above {
            above.iter().zip(&current).for_each(|(one, other)| add(one, other));
        }
        above = Some(current);
    }
    energy
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::x::HEIGHT;

    const SCREEN: Rectangle = Rectangle { x: 0, y: 0, width: WIDTH, height: HEIGHT };

    fn stripes(light: u8, dark: u8) -> Image {
        let pixels = usize::from(WIDTH) * usize::from(HEIGHT);
        let bytes = (0..pixels).flat_map(|at| [if at % 2 == 0 { light } else { dark }; 4]).collect();
        Image { bytes }
    }

    #[test]
    fn same_picture_is_exact_and_as_sharp() {
        let quality = Quality::of(&stripes(255, 0), &stripes(255, 0), SCREEN);
        assert_eq!((quality.psnr_luma, quality.psnr_rgb), (99.0, 99.0));
        assert_eq!(quality.sharpness, [Some(1.0), None], "grey has no edges in chroma");
    }

    #[test]
    fn half_the_contrast_has_a_quarter_of_the_energy() {
        let quality = Quality::of(&stripes(200, 100), &stripes(250, 50), SCREEN);
        assert!(quality.sharpness[0].is_some_and(|energy| (energy - 0.25).abs() < 1e-3), "{quality:?}");
        // Every pixel is 50 off: 20 log10(255 / 50).
        assert!((quality.psnr_luma - 14.151).abs() < 1e-2, "{quality:?}");
    }
}
