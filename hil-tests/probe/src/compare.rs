//! How alike two pictures are.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{ConnectionExt as _, ImageFormat};

use crate::Problem;

/// A picture of 8-bit red, green, blue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// `width * height * 3` bytes.
    pub rgb: Vec<u8>,
}

impl Picture {
    /// Reads an 8-bit RGB or RGBA PNG.
    ///
    /// # Errors
    /// The file cannot be read or has another format.
    pub fn read_png(path: &Path) -> Result<Self, Problem> {
        let file = File::open(path).map_err(|error| format!("cannot open {}: {error}", path.display()))?;
        let mut reader = png::Decoder::new(BufReader::new(file)).read_info()?;
        let len = reader.output_buffer_size().ok_or("the PNG is too large")?;
        let mut bytes = vec![0; len];
        let info = reader.next_frame(&mut bytes)?;
        let step = match (info.color_type, info.bit_depth) {
            (png::ColorType::Rgb, png::BitDepth::Eight) => 3,
            (png::ColorType::Rgba, png::BitDepth::Eight) => 4,
            other => return Err(format!("{}: {other:?} is not 8-bit RGB", path.display()).into()),
        };
        let (width, height) = (info.width as usize, info.height as usize);
        let rgb =
            bytes[..info.buffer_size()].chunks_exact(step).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]);
        Ok(Self { width, height, rgb: rgb.collect() })
    }

    /// What an X screen shows now.
    ///
    /// # Errors
    /// The display cannot be reached or is not 24 bits deep.
    pub fn of_screen(display: &str) -> Result<Self, Problem> {
        let (connection, number) = x11rb::connect(Some(display))?;
        let screen = &connection.setup().roots[number];
        let (width, height) = (screen.width_in_pixels, screen.height_in_pixels);
        let image = connection
            .get_image(ImageFormat::Z_PIXMAP, screen.root, 0, 0, width, height, u32::MAX)?
            .reply()?;
        if image.depth != 24 && image.depth != 32 {
            return Err(format!("{display} is {} bits deep; 24 are needed", image.depth).into());
        }
        let rgb = image.data.chunks_exact(4).flat_map(|pixel| [pixel[2], pixel[1], pixel[0]]).collect();
        Ok(Self { width: width.into(), height: height.into(), rgb })
    }
}

/// Peak signal-to-noise ratio over red, green and blue, in dB; infinite for equal pictures, `None` for different sizes.
#[must_use]
pub fn psnr(one: &Picture, other: &Picture) -> Option<f64> {
    if (one.width, one.height) != (other.width, other.height) || one.rgb.is_empty() {
        return None;
    }
    let squares: u64 = one.rgb.iter().zip(&other.rgb).map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2)).sum();
    let mean = squares as f64 / one.rgb.len() as f64;
    Some(if squares == 0 { f64::INFINITY } else { 10.0 * (255.0 * 255.0 / mean).log10() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn psnr_of_a_known_error() {
        let grey = |value: u8| Picture { width: 4, height: 2, rgb: vec![value; 24] };
        assert_eq!(psnr(&grey(9), &grey(9)), Some(f64::INFINITY));
        // A mean square of 1 is 48.13 dB.
        let off_by_one = psnr(&grey(100), &grey(101)).expect("same size");
        assert!((off_by_one - 48.13).abs() < 0.01, "{off_by_one}");
        assert_eq!(psnr(&grey(0), &Picture { width: 2, height: 4, rgb: vec![0; 24] }), None);
    }
}
