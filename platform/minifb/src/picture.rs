//! What the window shows: the picture scaled with its shape kept, the host's cursor, the overlay's text.
//! Pure memory; no window is known here.

#![expect(unsafe_code, reason = "minifb takes integers where the colour conversion gives bytes")]

use rift_hal::{Cursor, Frame, PixelFormat, font};
use yuv::{
    YuvBiPlanarImage, YuvConversionMode, YuvPlanarImage, YuvRange, YuvStandardMatrix, yuv_nv12_to_bgra,
    yuv420_to_bgra,
};

use crate::MinifbError;

/// Pixels as minifb takes them: 0RGB, one integer each, rows without a gap.
#[derive(Clone, Debug, Default)]
pub(crate) struct Picture {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) pixels: Vec<u32>,
}

impl Picture {
    /// Takes over a frame's pixels and size. On an error the picture may be half of each.
    pub(crate) fn convert(&mut self, frame: &Frame<'_>) -> Result<(), MinifbError> {
        self.resize(frame.width(), frame.height());
        let (range, matrix) = (YuvRange::Limited, YuvStandardMatrix::Bt709);
        let mode = YuvConversionMode::Balanced;
        let stride = frame.width() * 4;
        let (width, height) = (frame.width(), frame.height());
        let [y, u, v] = *frame.planes();
        let bytes_per_row = |plane: rift_hal::Plane<'_>| u32::try_from(plane.stride).unwrap_or(u32::MAX);
        let target = bytes_of(&mut self.pixels);
        let converted = match frame.format() {
            PixelFormat::I420 => {
                let (y_plane, u_plane, v_plane) = (y.data, u.data, v.data);
                let (y_stride, u_stride, v_stride) = (bytes_per_row(y), bytes_per_row(u), bytes_per_row(v));
                let image =
                    YuvPlanarImage { y_plane, y_stride, u_plane, u_stride, v_plane, v_stride, width, height };
                yuv420_to_bgra(&image, target, stride, range, matrix)
            }
            PixelFormat::Nv12 => {
                let (y_plane, y_stride, uv_plane, uv_stride) =
                    (y.data, bytes_per_row(y), u.data, bytes_per_row(u));
                let image = YuvBiPlanarImage { y_plane, y_stride, uv_plane, uv_stride, width, height };
                yuv_nv12_to_bgra(&image, target, stride, range, matrix, mode)
            }
            PixelFormat::Bgrx => {
                let row = stride as usize;
                for (index, target) in target.chunks_exact_mut(row).enumerate() {
                    target.copy_from_slice(y.row(index, row));
                }
                Ok(())
            }
            PixelFormat::Yuyv | PixelFormat::Uyvy | PixelFormat::Rgb565 | _ => {
                return Err(MinifbError::Format(frame.format()));
            }
        };
        converted.map_err(|error| MinifbError::Convert(error.to_string()))
    }

    pub(crate) fn resize(&mut self, width: u32, height: u32) {
        (self.width, self.height) = (width, height);
        self.pixels.resize(width as usize * height as usize, 0);
    }
}

/// Where the picture lies in the window: as large as fits, in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Letterbox {
    pub(crate) x: u32,
    pub(crate) y: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl Letterbox {
    /// For a picture and a window of these sizes; `None` if either has no pixels.
    pub(crate) fn fit(picture: (u32, u32), window: (u32, u32)) -> Option<Self> {
        if picture.0 == 0 || picture.1 == 0 || window.0 == 0 || window.1 == 0 {
            return None;
        }
        let scaled = |side: u32, by: u32, of: u32| {
            u32::try_from((u64::from(side) * u64::from(by) / u64::from(of)).max(1)).unwrap_or(u32::MAX)
        };
        let wide = u64::from(picture.0) * u64::from(window.1) > u64::from(window.0) * u64::from(picture.1);
        let (width, height) = if wide {
            (window.0, scaled(picture.1, window.0, picture.0))
        } else {
            (scaled(picture.0, window.1, picture.1), window.1)
        };
        Some(Self { x: (window.0 - width) / 2, y: (window.1 - height) / 2, width, height })
    }

    /// A place of the window in the picture's scale: the middle of each of its pixels. What is outside is at the edge.
    pub(crate) fn to_picture(self, x: f32, y: f32) -> (u16, u16) {
        let scale = |at: f32, start: u32, len: u32| {
            let share = (f64::from(at) - f64::from(start) + 0.5) / f64::from(len);
            // A float becomes the nearest integer of the target's range; that is meant here.
            (share * f64::from(u16::MAX)).round() as u16
        };
        (scale(x, self.x, self.width), scale(y, self.y, self.height))
    }
}

/// Scales `picture` into its letterbox of `canvas`; what is around it becomes black.
pub(crate) fn scale(picture: &Picture, canvas: &mut Picture, to: Letterbox) {
    canvas.pixels.fill(0);
    if picture.width == 0 || picture.height == 0 {
        return;
    }
    let columns: Vec<Step> = (0..to.width).map(|x| Step::at(x, to.width, picture.width)).collect();
    let source_row = |y: usize| &picture.pixels[y * picture.width as usize..][..picture.width as usize];
    let rows = canvas.pixels.chunks_exact_mut(canvas.width as usize).skip(to.y as usize);
    for (y, row) in (0..to.height).zip(rows) {
        let target = &mut row[to.x as usize..][..to.width as usize];
        if (to.width, to.height) == (picture.width, picture.height) {
            target.copy_from_slice(source_row(y as usize));
            continue;
        }
        let step = Step::at(y, to.height, picture.height);
        let (upper, lower) = (source_row(step.first), source_row(step.second));
        for (pixel, column) in target.iter_mut().zip(&columns) {
            let top = blend(upper[column.first], upper[column.second], column.share);
            let bottom = blend(lower[column.first], lower[column.second], column.share);
            *pixel = blend(top, bottom, step.share);
        }
    }
}

/// Draws the cursor's shape with its hot spot at its place in the picture, as large as it is on the host.
pub(crate) fn draw_cursor(canvas: &mut Picture, cursor: &HostCursor, picture: (u32, u32), to: Letterbox) {
    if !cursor.visible || picture.0 == 0 || picture.1 == 0 {
        return;
    }
    let place = |at: u16, hot: u16, start: u32, len: u32, of: u32| {
        i64::from(start) + i64::from(at) * i64::from(len) / i64::from(of) - i64::from(hot)
    };
    let left = place(cursor.x, cursor.hot_x, to.x, to.width, picture.0);
    let top = place(cursor.y, cursor.hot_y, to.y, to.height, picture.1);
    let rows = cursor.bgra.chunks_exact(usize::from(cursor.width).max(1) * 4);
    for (y, row) in (top..).zip(rows) {
        for (x, pixel) in (left..).zip(row.chunks_exact(4)) {
            let inside =
                (0..i64::from(canvas.width)).contains(&x) && (0..i64::from(canvas.height)).contains(&y);
            let index = usize::try_from(y * i64::from(canvas.width) + x).ok().filter(|_| inside);
            if let Some(under) = index.and_then(|index| canvas.pixels.get_mut(index)) {
                *under = over(*under, [pixel[0], pixel[1], pixel[2], pixel[3]]);
            }
        }
    }
}

/// Draws lines of text at the top left corner, white on dark.
pub(crate) fn draw_text(canvas: &mut Picture, text: &str) {
    let (width, height) = (canvas.width, canvas.height);
    font::draw(text, TEXT_SCALE, (width, height), |x, y, ink| {
        let pixel = &mut canvas.pixels[(y * width + x) as usize];
        *pixel = if ink { 0x00ff_ffff } else { *pixel >> 2 & 0x003f_3f3f };
    });
}

/// The host's cursor as it was last told.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostCursor {
    x: u16,
    y: u16,
    pub(crate) visible: bool,
    width: u16,
    hot_x: u16,
    hot_y: u16,
    bgra: Vec<u8>,
}

impl HostCursor {
    /// Takes over place and shape; without a new shape the old one stays.
    pub(crate) fn update(&mut self, cursor: &Cursor<'_>) {
        (self.x, self.y, self.visible) = (cursor.x, cursor.y, cursor.visible);
        if let Some(shape) = cursor.shape {
            (self.width, self.hot_x, self.hot_y) = (shape.width, shape.hot_x, shape.hot_y);
            self.bgra.clear();
            self.bgra.extend_from_slice(shape.bgra);
        }
    }

    /// Whether there is a shape to draw, so that the system's own cursor must not show beside it.
    pub(crate) fn has_shape(&self) -> bool {
        !self.bgra.is_empty()
    }
}

/// Between which two source pixels a target pixel lies, and how near it is to the second, in 1/256.
#[derive(Clone, Copy)]
struct Step {
    first: usize,
    second: usize,
    share: u32,
}

impl Step {
    fn at(target: u32, targets: u32, sources: u32) -> Self {
        // The middles of pixels correspond: (target + 1/2) / targets = (source + 1/2) / sources, in 1/256 pixels.
        let middle = (2 * u64::from(target) + 1) * u64::from(sources) * 128 / u64::from(targets.max(1));
        let place = middle.saturating_sub(128);
        let last = u64::from(sources.max(1) - 1);
        let first = (place >> 8).min(last);
        let index = |value: u64| usize::try_from(value).unwrap_or(0);
        Self { first: index(first), second: index((first + 1).min(last)), share: (place & 0xff) as u32 }
    }
}

/// Mixes red with blue and green apart: two channels in one multiplication.
const fn blend(first: u32, second: u32, share: u32) -> u32 {
    const ODD: u32 = 0x00ff_00ff;
    let odd = ((first & ODD) * (256 - share) + (second & ODD) * share) >> 8 & ODD;
    let green = ((first >> 8 & 0xff) * (256 - share) + (second >> 8 & 0xff) * share) & 0xff00;
    odd | green
}

/// A pixel whose colours are multiplied by its alpha, laid over another.
fn over(under: u32, bgra: [u8; 4]) -> u32 {
    let rest = 255 - u32::from(bgra[3]);
    let channel = |shift: u32, above: u8| {
        let below = (under >> shift & 0xff) * rest / 255;
        (u32::from(above) + below).min(255) << shift
    };
    channel(16, bgra[2]) | channel(8, bgra[1]) | channel(0, bgra[0])
}

/// The same pixels as bytes: blue, green, red, unused on a little-endian machine, the only kind minifb runs on here.
fn bytes_of(pixels: &mut [u32]) -> &mut [u8] {
    let len = size_of_val(pixels);
    // SAFETY: the bytes are those of the integers, which any bytes make valid; the borrow is handed on.
    unsafe { core::slice::from_raw_parts_mut(pixels.as_mut_ptr().cast(), len) }
}

/// Pixels of a dot of the overlay's text.
const TEXT_SCALE: u32 = 2;

#[cfg(test)]
mod tests {
    use rift::Instant;
    use rift_hal::{CursorShape, Plane};

    use super::*;

    fn picture(width: u32, height: u32, pixel: impl Fn(u32, u32) -> u32) -> Picture {
        let pixels =
            (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| pixel(x, y)).collect();
        Picture { width, height, pixels }
    }

    #[test]
    fn letterbox_keeps_the_shape_and_fits() {
        let fit = |picture, window| Letterbox::fit(picture, window);
        let whole = Letterbox { x: 0, y: 0, width: 640, height: 480 };
        assert_eq!(fit((640, 480), (640, 480)), Some(whole));
        assert_eq!(fit((1920, 1080), (640, 480)), Some(Letterbox { x: 0, y: 60, width: 640, height: 360 }));
        assert_eq!(fit((480, 640), (640, 480)), Some(Letterbox { x: 140, y: 0, width: 360, height: 480 }));
        assert_eq!(fit((16384, 1), (1, 16384)), Some(Letterbox { x: 0, y: 8191, width: 1, height: 1 }));
        assert_eq!(fit((0, 1), (1, 1)), None);
        assert_eq!(fit((1, 1), (1, 0)), None);
    }

    #[test]
    fn place_in_the_window_is_a_place_in_the_picture() {
        let letterbox = Letterbox { x: 100, y: 0, width: 200, height: 100 };
        assert_eq!(letterbox.to_picture(0.0, 0.0), (0, 328), "left of the picture is its edge");
        assert_eq!(letterbox.to_picture(199.5, 49.5), (32768, 32768));
        assert_eq!(letterbox.to_picture(9999.0, -9999.0), (65535, 0));
    }

    #[test]
    fn picture_of_the_windows_size_is_not_changed() {
        let source = picture(7, 5, |x, y| x << 16 | y);
        let mut canvas = picture(7, 5, |_, _| 9);
        scale(&source, &mut canvas, Letterbox { x: 0, y: 0, width: 7, height: 5 });
        assert_eq!(canvas.pixels, source.pixels);
    }

    #[test]
    fn scaling_keeps_flat_colours_and_blackens_the_rest() {
        let source = picture(3, 2, |_, _| 0x0012_3456);
        for (width, height) in [(9, 9), (2, 1), (30, 4), (1, 1)] {
            let to = Letterbox::fit((3, 2), (width, height)).expect("pixels");
            let mut canvas = picture(width, height, |_, _| 0x00ff_ffff);
            scale(&source, &mut canvas, to);
            for y in 0..height {
                for x in 0..width {
                    let inside =
                        (to.x..to.x + to.width).contains(&x) && (to.y..to.y + to.height).contains(&y);
                    let expected = if inside { 0x0012_3456 } else { 0 };
                    assert_eq!(
                        canvas.pixels[(y * width + x) as usize],
                        expected,
                        "{x}, {y} of {width} × {height}"
                    );
                }
            }
        }
    }

    #[test]
    fn doubling_blends_between_neighbours() {
        let source = picture(2, 1, |x, _| if x == 0 { 0 } else { 0x00ff_ffff });
        let mut canvas = picture(4, 2, |_, _| 0);
        scale(&source, &mut canvas, Letterbox { x: 0, y: 0, width: 4, height: 2 });
        let row: Vec<u32> = canvas.pixels[..4].iter().map(|pixel| pixel & 0xff).collect();
        assert_eq!(row, [0, 63, 191, 255]);
    }

    #[test]
    fn frames_become_pixels_whatever_their_format() {
        let plane = |data, stride| Plane { data, stride };
        let (luma, chroma) = (vec![235u8; 64], vec![128u8; 32]);
        let i420 = [plane(&luma[..], 8), plane(&chroma[..], 4), plane(&chroma[..], 4)];
        let nv12 = [plane(&luma[..], 8), plane(&chroma[..], 8), Plane::EMPTY];
        let bgrx_bytes = [0x30u8, 0x20, 0x10, 0].repeat(64);
        let bgrx = [plane(&bgrx_bytes[..], 32), Plane::EMPTY, Plane::EMPTY];
        let convert = |format, planes| {
            let frame = Frame::new(format, 6, 4, planes, Instant::ZERO).expect("a frame");
            let mut picture = Picture::default();
            picture.convert(&frame).map(|()| picture)
        };
        for (format, planes, expected) in [
            (PixelFormat::I420, i420, 0x00ff_ffff),
            (PixelFormat::Nv12, nv12, 0x00ff_ffff),
            (PixelFormat::Bgrx, bgrx, 0x0010_2030),
        ] {
            let picture = convert(format, planes).expect("converted");
            assert_eq!((picture.width, picture.height, picture.pixels.len()), (6, 4, 24));
            assert!(picture.pixels.iter().all(|pixel| pixel & 0x00ff_ffff == expected), "{format:?}");
        }
        let refusal = convert(PixelFormat::Rgb565, [plane(&luma[..], 16), Plane::EMPTY, Plane::EMPTY]);
        assert!(matches!(refusal, Err(MinifbError::Format(PixelFormat::Rgb565))));
    }

    #[test]
    fn cursor_is_drawn_at_its_hot_spot_and_cut_at_the_edges() {
        let bgra = [0, 0, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 128];
        let shape = CursorShape { width: 2, height: 2, hot_x: 1, hot_y: 1, bgra: &bgra };
        let mut cursor = HostCursor::default();
        let all = Letterbox { x: 0, y: 0, width: 4, height: 4 };
        for (x, y) in [(2, 2), (0, 0), (65535, 65535)] {
            cursor.update(&Cursor { x, y, visible: true, shape: Some(shape) });
            let mut canvas = picture(4, 4, |_, _| 0x0080_8080);
            draw_cursor(&mut canvas, &cursor, (4, 4), all);
            let changed = canvas.pixels.iter().filter(|&&pixel| pixel != 0x0080_8080).count();
            assert_eq!(changed, [2, 1, 0][usize::from(x == 0) + 2 * usize::from(x > 2)]);
            if x == 2 {
                assert_eq!((canvas.pixels[5], canvas.pixels[10]), (0x00ff_0000, 0x003f_7f3f));
            }
        }
        cursor.update(&Cursor { x: 2, y: 2, visible: false, shape: None });
        let mut canvas = picture(4, 4, |_, _| 1);
        draw_cursor(&mut canvas, &cursor, (4, 4), all);
        assert!(canvas.pixels.iter().all(|&pixel| pixel == 1) && cursor.has_shape());
    }

    #[test]
    fn text_is_drawn_in_the_corner_and_cut_at_the_edges() {
        let mut canvas = picture(30, 10, |_, _| 0x0040_4040);
        draw_text(&mut canvas, "Wavry\nsecond line");
        assert!(canvas.pixels.contains(&0x00ff_ffff));
        draw_text(&mut picture(1, 1, |_, _| 0), "a long text");
    }
}
