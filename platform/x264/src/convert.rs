//! The picture the encoder sees, brought up to date where a frame changed.
//!
//! It knows pixel formats; it refuses to know the encoder. Invariant: after [`Canvas::update`] every pixel equals
//! what converting the whole frame would have given, provided the damage named covers all that changed.

use core::ops::Range;

use rift::Rectangle;
use rift_hal::{Frame, PixelFormat, Plane};
use yuv::{BufferStoreMut, YuvConversionMode, YuvError, YuvPlanarImageMut, YuvRange, YuvStandardMatrix};

/// Columns are converted in groups of this many, so that vector and scalar code fall on the same pixels
/// whatever the damage: both round alike, but only the same code is surely the same.
const COLUMN_GROUP: usize = 64;

/// Bytes past the end of each plane: a band's last row may be addressed with its whole stride.
const SLACK_ROWS: usize = 1;

/// 8-bit 4:2:0 planes of even size, BT.709 limited range. Where the frame's size is odd, the last column and row
/// are repeated.
#[derive(Debug)]
pub(crate) struct Canvas {
    /// The frame's own size, which may be odd.
    width: usize,
    height: usize,
    luma_stride: usize,
    chroma_stride: usize,
    planes: [Vec<u8>; 3],
    /// Two rows of pixels: what a conversion that must be able to read whole strides reads instead of a frame's end.
    scratch: Vec<u8>,
    /// The format of what it holds; `None` until a whole frame was converted.
    holds: Option<PixelFormat>,
}

impl Canvas {
    pub(crate) fn new(width: u32, height: u32) -> Self {
        let (width, height) = (width as usize, height as usize);
        let luma_stride = width.next_multiple_of(2 * COLUMN_GROUP);
        let chroma_stride = luma_stride / 2;
        let luma = luma_stride * (height.next_multiple_of(2) + SLACK_ROWS);
        let chroma = chroma_stride * (height.div_ceil(2) + SLACK_ROWS);
        Self {
            width,
            height,
            luma_stride,
            chroma_stride,
            planes: [vec![0; luma], vec![128; chroma], vec![128; chroma]],
            scratch: vec![0; luma_stride * 4 * 2],
            holds: None,
        }
    }

    /// Its planes and their strides.
    pub(crate) fn planes(&self) -> [(&[u8], usize); 3] {
        let [luma, blue, red] = &self.planes;
        [(luma, self.luma_stride), (blue, self.chroma_stride), (red, self.chroma_stride)]
    }

    /// Forgets what it holds: the next update converts the whole frame.
    pub(crate) fn forget(&mut self) {
        self.holds = None;
    }

    /// Converts what `damage` names (all of it when `None`, or when the canvas holds nothing of this format).
    /// `false`: the format is not one it knows.
    pub(crate) fn update(&mut self, frame: &Frame<'_>, damage: Option<Rectangle>) -> bool {
        debug_assert!(frame.width() as usize == self.width && frame.height() as usize == self.height);
        let damage = damage.filter(|_| self.holds == Some(frame.format()));
        let (columns, rows) = self.round_outward(damage);
        if columns.is_empty() || rows.is_empty() {
            return true;
        }
        let [first, second, third] = frame.planes();
        match frame.format() {
            PixelFormat::Bgrx => self.load_bgrx(first, columns, rows),
            PixelFormat::I420 => self.load_i420(first, second, third, rows),
            PixelFormat::Nv12 => self.load_nv12(first, second, rows),
            PixelFormat::Yuyv => self.load_packed(first, rows, [0, 1, 2, 3]),
            PixelFormat::Uyvy => self.load_packed(first, rows, [1, 0, 3, 2]),
            PixelFormat::Rgb565 => return false,
            _ => return false,
        }
        self.holds = Some(frame.format());
        true
    }

    /// Columns in whole groups and rows in pairs, inside the frame.
    fn round_outward(&self, damage: Option<Rectangle>) -> (Range<usize>, Range<usize>) {
        let Some(damage) = damage else {
            return (0..self.width, 0..self.height);
        };
        if damage.is_empty() {
            return (0..0, 0..0);
        }
        let (x, y) = (usize::from(damage.x), usize::from(damage.y));
        let (right, bottom) = (x + usize::from(damage.width), y + usize::from(damage.height));
        let columns = x / COLUMN_GROUP * COLUMN_GROUP..right.next_multiple_of(COLUMN_GROUP).min(self.width);
        let rows = y / 2 * 2..bottom.next_multiple_of(2).min(self.height);
        (columns, rows)
    }

    fn load_bgrx(&mut self, plane: &Plane<'_>, columns: Range<usize>, rows: Range<usize>) {
        let (left, width) = (columns.start, columns.len());
        // The conversion reads whole strides, in pairs of rows: so many pairs surely have them.
        let strides = plane.data.len().saturating_sub(left * 4) / plane.stride;
        let whole = rows.start..rows.end.min(strides).max(rows.start) / 2 * 2;
        if !whole.is_empty() {
            let from = &plane.data[whole.start * plane.stride + left * 4..][..whole.len() * plane.stride];
            convert_bgrx(
                &mut self.planes,
                (self.luma_stride, self.chroma_stride),
                (left, whole.start),
                width,
                from,
                plane.stride,
            );
        }
        if whole.end < rows.end {
            // The last pair, or the last row twice.
            let last = rows.end - 1;
            let mut scratch = core::mem::take(&mut self.scratch);
            for (row, y) in [last / 2 * 2, last].into_iter().enumerate() {
                let from = &plane.row(y, self.width * 4)[left * 4..][..width * 4];
                scratch[row * width * 4..][..width * 4].copy_from_slice(from);
            }
            let from = &scratch[..width * 4 * 2];
            convert_bgrx(
                &mut self.planes,
                (self.luma_stride, self.chroma_stride),
                (left, last / 2 * 2),
                width,
                from,
                width * 4,
            );
            self.scratch = scratch;
        }
        if columns.end == self.width {
            self.repeat_last_column(rows);
        }
    }

    fn load_i420(&mut self, luma: &Plane<'_>, blue: &Plane<'_>, red: &Plane<'_>, rows: Range<usize>) {
        self.copy_luma(luma, rows.clone());
        let width = self.width.div_ceil(2);
        for (target, source) in self.planes[1..].iter_mut().zip([blue, red]) {
            for y in rows.start / 2..rows.end.div_ceil(2) {
                target[y * self.chroma_stride..][..width].copy_from_slice(source.row(y, width));
            }
        }
    }

    fn load_nv12(&mut self, luma: &Plane<'_>, chroma: &Plane<'_>, rows: Range<usize>) {
        self.copy_luma(luma, rows.clone());
        let width = self.width.div_ceil(2);
        let [_, blue, red] = &mut self.planes;
        for y in rows.start / 2..rows.end.div_ceil(2) {
            let blue = &mut blue[y * self.chroma_stride..][..width];
            let red = &mut red[y * self.chroma_stride..][..width];
            for ((pair, blue), red) in chroma.row(y, width * 2).chunks_exact(2).zip(blue).zip(red) {
                *blue = pair[0];
                *red = pair[1];
            }
        }
    }

    /// Two pixels in four bytes; `order` says where in them the first luma, blue, second luma and red lie.
    /// The chroma of two rows is averaged.
    fn load_packed(&mut self, plane: &Plane<'_>, rows: Range<usize>, order: [usize; 4]) {
        let pairs = self.width.div_ceil(2);
        let [luma, blue, red] = &mut self.planes;
        for y in (rows.start..rows.end).step_by(2) {
            let upper = plane.row(y, pairs * 4);
            // The row below the last one of an odd height is that row again.
            let lower = plane.row((y + 1).min(self.height - 1), pairs * 4);
            for (row, source) in [upper, lower].into_iter().enumerate() {
                let luma = &mut luma[(y + row) * self.luma_stride..][..pairs * 2];
                for (two, four) in luma.chunks_exact_mut(2).zip(source.chunks_exact(4)) {
                    two[0] = four[order[0]];
                    two[1] = four[order[2]];
                }
            }
            let blue = &mut blue[y / 2 * self.chroma_stride..][..pairs];
            let red = &mut red[y / 2 * self.chroma_stride..][..pairs];
            let sources = upper.chunks_exact(4).zip(lower.chunks_exact(4));
            for (((upper, lower), blue), red) in sources.zip(blue).zip(red) {
                *blue = upper[order[1]].midpoint(lower[order[1]]);
                *red = upper[order[3]].midpoint(lower[order[3]]);
            }
        }
        // The second pixel of the last pair of an odd width is nobody's.
        self.repeat_last_column(rows);
    }

    fn copy_luma(&mut self, source: &Plane<'_>, rows: Range<usize>) {
        for y in rows.start..rows.end.next_multiple_of(2) {
            let source = source.row(y.min(self.height - 1), self.width);
            self.planes[0][y * self.luma_stride..][..self.width].copy_from_slice(source);
        }
        self.repeat_last_column(rows);
    }

    fn repeat_last_column(&mut self, rows: Range<usize>) {
        if self.width.is_multiple_of(2) {
            return;
        }
        for y in rows.start..rows.end.next_multiple_of(2) {
            let row = &mut self.planes[0][y * self.luma_stride..][..=self.width];
            row[self.width] = row[self.width - 1];
        }
    }
}

/// Converts whole pairs of rows: as many as `from` has strides. `at` is where they go.
fn convert_bgrx(
    planes: &mut [Vec<u8>; 3],
    strides: (usize, usize),
    at: (usize, usize),
    width: usize,
    from: &[u8],
    from_stride: usize,
) {
    let rows = from.len() / from_stride;
    let (luma_stride, chroma_stride) = strides;
    let [luma, blue, red] = planes;
    let chroma_at = at.1 / 2 * chroma_stride + at.0 / 2;
    let mut image = YuvPlanarImageMut {
        y_plane: BufferStoreMut::Borrowed(&mut luma[at.1 * luma_stride + at.0..][..rows * luma_stride]),
        y_stride: short(luma_stride),
        u_plane: BufferStoreMut::Borrowed(&mut blue[chroma_at..][..rows / 2 * chroma_stride]),
        u_stride: short(chroma_stride),
        v_plane: BufferStoreMut::Borrowed(&mut red[chroma_at..][..rows / 2 * chroma_stride]),
        v_stride: short(chroma_stride),
        width: short(width),
        height: short(rows),
    };
    let result: Result<(), YuvError> = yuv::bgra_to_yuv420(
        &mut image,
        from,
        short(from_stride),
        YuvRange::Limited,
        YuvStandardMatrix::Bt709,
        YuvConversionMode::Balanced,
    );
    result.expect("the slices were cut to the sizes given");
}

/// Sizes here are at most 4 × 16384.
fn short(value: usize) -> u32 {
    u32::try_from(value).expect("a row is shorter than 4 GiB")
}

#[cfg(test)]
mod tests {
    use rift::Instant;

    use super::*;

    const WIDTH: u32 = 323;
    const HEIGHT: u32 = 247;

    #[test]
    fn converting_the_damage_alone_gives_the_same_picture() {
        let cases = [(PixelFormat::Bgrx, 4), (PixelFormat::Yuyv, 2), (PixelFormat::Uyvy, 2)];
        let places = [
            (0, 0, 1, 1),
            (63, 1, 2, 3),
            (100, 31, 77, 60),
            (300, 200, 23, 47),
            (0, 246, 323, 1),
            (322, 0, 1, 247),
        ];
        for ((format, pixel), padding) in cases.into_iter().flat_map(|case| [(case, 0), (case, 24)]) {
            let (row, rows) = format.plane_size(0, WIDTH, HEIGHT);
            let stride = row + padding;
            let mut data: Vec<u8> = (0..stride * (rows - 1) + row)
                .map(|at| ((at % stride) * 3 + at / stride * 5) as u8)
                .collect();
            let (mut full, mut band) = (Canvas::new(WIDTH, HEIGHT), Canvas::new(WIDTH, HEIGHT));
            for (x, y, width, height) in places.into_iter().cycle().take(18) {
                // Pixels of packed formats come in pairs.
                let (left, right) = (usize::from(x) & !1, usize::from(x + width).next_multiple_of(2));
                for y in usize::from(y)..usize::from(y + height) {
                    let changed = left * pixel..(right * pixel).min(row);
                    data[y * stride..][changed].iter_mut().for_each(|byte| *byte = !*byte);
                }
                let planes = [Plane { data: &data, stride }, Plane::EMPTY, Plane::EMPTY];
                let frame = Frame::new(format, WIDTH, HEIGHT, planes, Instant::ZERO).unwrap();
                assert!(full.update(&frame, None));
                assert!(band.update(&frame, Some(Rectangle { x, y, width, height })));
                assert!(band.planes == full.planes, "{format:?} padded {padding}: {x},{y} {width}×{height}");
            }
        }
    }

    #[test]
    fn damage_outside_of_the_frame_is_ignored() {
        let data = vec![7; 64 * 64 * 4];
        let planes = [Plane { data: &data, stride: 256 }, Plane::EMPTY, Plane::EMPTY];
        let frame = Frame::new(PixelFormat::Bgrx, 64, 64, planes, Instant::ZERO).unwrap();
        let mut canvas = Canvas::new(64, 64);
        assert!(canvas.update(&frame, None));
        let before = canvas.planes.clone();
        let far = Rectangle { x: u16::MAX, y: u16::MAX, width: u16::MAX, height: u16::MAX };
        assert!(canvas.update(&frame, Some(far)));
        assert!(canvas.planes == before);
    }
}
