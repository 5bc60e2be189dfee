//! The picture shown last, kept and written as PNG.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use rift_hal::{Frame, PixelFormat};
use yuv::{YuvPlanarImage, YuvRange, YuvStandardMatrix};

/// A copy of a frame: I420, BT.709, limited range; or Bgrx, in the first plane alone.
#[derive(Clone, Debug, Default)]
pub struct KeptFrame {
    size: (u32, u32),
    is_bgrx: bool,
    planes: [Vec<u8>; 3],
}

impl KeptFrame {
    /// Copies `frame`; its memory is taken once. Frames of another format than these are not kept.
    pub fn keep(&mut self, frame: &Frame<'_>) {
        if !matches!(frame.format(), PixelFormat::I420 | PixelFormat::Bgrx) {
            return;
        }
        self.is_bgrx = frame.format() == PixelFormat::Bgrx;
        self.size = (frame.width(), frame.height());
        for (index, (kept, plane)) in self.planes.iter_mut().zip(frame.planes()).enumerate() {
            let (row, rows) = frame.format().plane_size(index, frame.width(), frame.height());
            kept.clear();
            kept.reserve(row * rows);
            for y in 0..rows {
                kept.extend_from_slice(plane.row(y, row));
            }
        }
    }

    /// Whether nothing was kept yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.size.0 == 0
    }

    /// Its pixels: red, green, blue, 3 bytes each.
    ///
    /// # Errors
    /// What the conversion says; it does not happen to a frame that was kept.
    pub fn to_rgb(&self) -> Result<Vec<u8>, String> {
        let (width, height) = self.size;
        let [y_plane, u_plane, v_plane] = &self.planes;
        if self.is_bgrx {
            let pixels = y_plane.chunks_exact(4);
            return Ok(pixels.flat_map(|pixel| [pixel[2], pixel[1], pixel[0]]).collect());
        }
        let half = width.div_ceil(2);
        let image = YuvPlanarImage {
            y_plane,
            y_stride: width,
            u_plane,
            u_stride: half,
            v_plane,
            v_stride: half,
            width,
            height,
        };
        let mut rgb = vec![0; width as usize * height as usize * 3];
        let (range, matrix) = (YuvRange::Limited, YuvStandardMatrix::Bt709);
        yuv::yuv420_to_rgb(&image, &mut rgb, width * 3, range, matrix).map_err(|error| error.to_string())?;
        Ok(rgb)
    }

    /// Writes it to the file `path`.
    ///
    /// # Errors
    /// What the file system or the conversion says.
    pub fn write(&self, path: &Path) -> Result<(), String> {
        let rgb = self.to_rgb()?;
        let file = File::create(path).map_err(|error| error.to_string())?;
        let mut encoder = png::Encoder::new(BufWriter::new(file), self.size.0, self.size.1);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::Fast);
        let mut writer = encoder.write_header().map_err(|error| error.to_string())?;
        writer.write_image_data(&rgb).map_err(|error| error.to_string())?;
        writer.finish().map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rift::Instant;
    use rift_hal::Plane;

    /// BT.709 limited range, as the standard defines it (ITU-R BT.709-6 §3).
    fn reference(y: u8, cb: u8, cr: u8) -> [f64; 3] {
        let (y, cb, cr) =
            ((f64::from(y) - 16.0) / 219.0, (f64::from(cb) - 128.0) / 224.0, (f64::from(cr) - 128.0) / 224.0);
        let (red, blue) = (y + 1.5748 * cr, y + 1.8556 * cb);
        let green = (y - 0.2126 * red - 0.0722 * blue) / 0.7152;
        [red, green, blue].map(|part| (part * 255.0).clamp(0.0, 255.0))
    }

    #[test]
    fn colours_are_those_of_bt709_within_two_steps() {
        let colours = [(16, 128, 128), (235, 128, 128), (81, 90, 200), (145, 54, 34), (41, 240, 110)];
        for (luma, blue, red) in colours {
            let (y, u, v) = (vec![luma; 5 * 3], vec![blue; 3 * 2], vec![red; 3 * 2]);
            let plane = |data, stride| Plane { data, stride };
            let planes = [plane(&y, 5), plane(&u, 3), plane(&v, 3)];
            let frame = Frame::new(PixelFormat::I420, 5, 3, planes, Instant::ZERO).unwrap();
            let mut kept = KeptFrame::default();
            kept.keep(&frame);
            let rgb = kept.to_rgb().unwrap();
            assert_eq!(rgb.len(), 5 * 3 * 3);
            for pixel in rgb.chunks_exact(3) {
                for (is, should) in pixel.iter().zip(reference(luma, blue, red)) {
                    assert!((f64::from(*is) - should).abs() <= 2.0, "{pixel:?} for {luma} {blue} {red}");
                }
            }
        }
    }

    #[test]
    fn frame_with_padding_is_kept_without_it() {
        let y: Vec<u8> = (0..8 * 4).map(|at| if at % 8 < 4 { 100 } else { 255 }).collect();
        let chroma: Vec<u8> = (0..6 * 2).map(|at| if at % 6 < 2 { 128 } else { 255 }).collect();
        let plane = |data, stride| Plane { data, stride };
        let planes = [plane(&y, 8), plane(&chroma, 6), plane(&chroma, 6)];
        let frame = Frame::new(PixelFormat::I420, 4, 4, planes, Instant::ZERO).unwrap();
        let mut kept = KeptFrame::default();
        assert!(kept.is_empty());
        kept.keep(&frame);
        assert!(!kept.is_empty());
        let rgb = kept.to_rgb().unwrap();
        assert!(rgb.iter().all(|&part| part == rgb[0]), "{rgb:?}");
    }
}
