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

/// How many pixels differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Different {
    /// Near the pointer, where a viewer draws the cursor and the screen's own pixels do not have it.
    pub near_pointer: usize,
    /// Everywhere else.
    pub elsewhere: usize,
}

/// Pixels of the `picture` that differ from the upper left corner of the `screen` once both have five bits of red, six of
/// green and five of blue; `None` when the picture is larger. What is within [`NEAR`] of the pointer counts apart.
#[must_use]
pub fn different_in_rgb565(
    screen: &Picture,
    picture: &Picture,
    pointer: (usize, usize),
) -> Option<Different> {
    if picture.width > screen.width || picture.height > screen.height {
        return None;
    }
    let cut = |pixel: &[u8]| [pixel[0] >> 3, pixel[1] >> 2, pixel[2] >> 3];
    let mut different = Different::default();
    let rows = picture.rgb.chunks_exact(picture.width * 3).zip(screen.rgb.chunks_exact(screen.width * 3));
    for (y, (row, wanted)) in rows.enumerate() {
        for (x, (one, other)) in row.chunks_exact(3).zip(wanted.chunks_exact(3)).enumerate() {
            if cut(one) == cut(other) {
                continue;
            }
            let is_near = x.abs_diff(pointer.0) <= NEAR && y.abs_diff(pointer.1) <= NEAR;
            *(if is_near { &mut different.near_pointer } else { &mut different.elsewhere }) += 1;
        }
    }
    Some(different)
}

/// How far from the pointer a cursor may be drawn, in pixels.
pub const NEAR: usize = 24;

/// Where the pointer of an X screen is.
///
/// # Errors
/// The display cannot be reached.
pub fn pointer(display: &str) -> Result<(usize, usize), Problem> {
    let (connection, number) = x11rb::connect(Some(display))?;
    let root = connection.setup().roots[number].root;
    let pointer = connection.query_pointer(root)?.reply()?;
    Ok((usize::try_from(pointer.root_x)?, usize::try_from(pointer.root_y)?))
}

/// The evdev codes of the keys that are down at an X screen.
///
/// # Errors
/// The display cannot be reached.
pub fn keys_down(display: &str) -> Result<Vec<u8>, Problem> {
    let (connection, _) = x11rb::connect(Some(display))?;
    let keys = connection.query_keymap()?.reply()?.keys;
    let is_down = |code: &u8| keys[usize::from(code / 8)] >> (code % 8) & 1 == 1;
    Ok((8..=255).filter(is_down).map(|code| code - 8).collect())
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

    #[test]
    fn what_rgb565_cannot_tell_apart_is_no_difference() {
        let picture = |pixels: &[[u8; 3]]| Picture { width: pixels.len(), height: 1, rgb: pixels.concat() };
        let screen = picture(&[[0x0f, 0x0f, 0x0f], [8, 4, 8], [1, 2, 3]]);
        let different = |pixels: &[[u8; 3]], pointer| different_in_rgb565(&screen, &picture(pixels), pointer);
        assert_eq!(different(&[[8, 12, 8], [8, 4, 8]], (0, 0)), Some(Different::default()));
        let two = [[8, 11, 8], [8, 4, 0]];
        assert_eq!(different(&two, (1, NEAR)), Some(Different { near_pointer: 2, elsewhere: 0 }));
        assert_eq!(different(&two, (NEAR + 1, 0)), Some(Different { near_pointer: 1, elsewhere: 1 }));
        assert_eq!(different(&[[0; 3]; 4], (0, 0)), None);
    }
}
