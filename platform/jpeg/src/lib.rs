//! Parts of frames as baseline JPEG (ITU-T T.81), for viewers whose boards have an engine for it (SPEC §11.10 of `rift`).
//!
//! `jpeg-encoder` (MIT or Apache-2.0, with a part under the IJG's licence) encodes: it is Rust alone and needs nothing of the
//! machine. What is made here is what engines in chips take: eight bits, sequential, Huffman's usual tables, YCbCr with the
//! colours at half size each way. It knows no sessions and decides nothing.

#![forbid(unsafe_code)]

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use rift::Rectangle;
use rift_hal::{Frame, PixelFormat};

/// Why there is no JPEG.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum JpegError {
    /// The place is empty or not within the frame.
    #[error("{0:?} is no part of the frame")]
    Place(Rectangle),
    /// The frame's pixels are of another kind than `Bgrx` and `Rgb565`.
    #[error("frames of {0:?} are not taken")]
    Format(PixelFormat),
    /// The encoder's own.
    #[error(transparent)]
    Encoding(#[from] jpeg_encoder::EncodingError),
}

/// Reads a pixel as red, green and blue.
type Load = fn(&[u8]) -> [u8; 3];

/// Encodes parts of frames, in memory that it keeps.
#[derive(Debug, Default)]
pub struct JpegEncoder {
    /// The part's pixels: red, green, blue.
    pixels: Vec<u8>,
}

impl JpegEncoder {
    /// An encoder; it grows with the largest part that it is given.
    #[must_use]
    pub const fn new() -> Self {
        Self { pixels: Vec::new() }
    }

    /// Appends a part of a frame to `out`, in `quality` 1–100, and gives its length.
    ///
    /// # Errors
    /// [`JpegError`]; `out` is then as before.
    pub fn encode(
        &mut self,
        frame: &Frame<'_>,
        place: Rectangle,
        quality: u8,
        out: &mut Vec<u8>,
    ) -> Result<usize, JpegError> {
        self.read(frame, place)?;
        let before = out.len();
        let mut encoder = Encoder::new(&mut *out, quality.clamp(1, 100));
        encoder.set_sampling_factor(SamplingFactor::F_2_2);
        if let Err(error) = encoder.encode(&self.pixels, place.width, place.height, ColorType::Rgb) {
            out.truncate(before);
            return Err(error.into());
        }
        Ok(out.len() - before)
    }

    fn read(&mut self, frame: &Frame<'_>, place: Rectangle) -> Result<(), JpegError> {
        let inside = |at: u16, len: u16, most: u32| u32::from(at) + u32::from(len) <= most;
        let is_inside =
            inside(place.x, place.width, frame.width()) && inside(place.y, place.height, frame.height());
        if place.is_empty() || !is_inside {
            return Err(JpegError::Place(place));
        }
        let (pixel_len, load): (usize, Load) = match frame.format() {
            PixelFormat::Bgrx => (4, |bytes| [bytes[2], bytes[1], bytes[0]]),
            PixelFormat::Rgb565 => (2, |bytes| {
                let pixel = u16::from_le_bytes([bytes[0], bytes[1]]);
                let widen = |bits: u16, max: u16| u8::try_from(bits * 255 / max).unwrap_or(u8::MAX);
                [widen(pixel >> 11, 31), widen(pixel >> 5 & 63, 63), widen(pixel & 31, 31)]
            }),
            other @ (PixelFormat::I420 | PixelFormat::Nv12 | PixelFormat::Yuyv | PixelFormat::Uyvy | _) => {
                return Err(JpegError::Format(other));
            }
        };
        let (x, width) = (usize::from(place.x), usize::from(place.width));
        self.pixels.clear();
        for y in usize::from(place.y)..usize::from(place.y) + usize::from(place.height) {
            let row = &frame.planes()[0].row(y, (x + width) * pixel_len)[x * pixel_len..];
            self.pixels.extend(row.chunks_exact(pixel_len).flat_map(load));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rift::Instant;
    use rift_hal::Plane;
    use zune_jpeg::JpegDecoder;
    use zune_jpeg::zune_core::bytestream::ZCursor;

    use super::*;

    const WIDTH: usize = 40;
    const HEIGHT: usize = 24;

    /// A slope of colours.
    fn pixels() -> Vec<u8> {
        (0..WIDTH * HEIGHT).flat_map(|at| [(at % WIDTH * 6) as u8, (at / WIDTH * 10) as u8, 128, 0]).collect()
    }

    fn frame(data: &[u8]) -> Frame<'_> {
        let planes = [Plane { data, stride: WIDTH * 4 }, Plane::EMPTY, Plane::EMPTY];
        Frame::new(PixelFormat::Bgrx, WIDTH as u32, HEIGHT as u32, planes, Instant::ZERO).unwrap()
    }

    #[test]
    fn part_of_a_frame_comes_back_about_as_it_was() {
        let pixels = pixels();
        let place = Rectangle { x: 5, y: 3, width: 32, height: 16 };
        let mut out = vec![7; 3];
        let len = JpegEncoder::new().encode(&frame(&pixels), place, 90, &mut out).unwrap();
        assert_eq!((out.len(), &out[..3]), (3 + len, &[7; 3][..]));
        let mut decoder = JpegDecoder::new(ZCursor::new(&out[3..]));
        let decoded = decoder.decode().unwrap();
        assert_eq!(decoder.dimensions(), Some((32, 16)));
        let worst = decoded.chunks_exact(3).enumerate().map(|(at, rgb)| {
            let (x, y) = (5 + at % 32, 3 + at / 32);
            let bgr = &pixels[(y * WIDTH + x) * 4..][..3];
            (0..3).map(|colour| rgb[colour].abs_diff(bgr[2 - colour])).max().unwrap()
        });
        assert!(worst.max().unwrap() < 24);
        // Sequential, eight bits (T.81 §B.2.2): what engines take.
        let start = out.windows(5).position(|bytes| bytes[..2] == [0xff, 0xc0] && bytes[4] == 8);
        assert!(start.is_some(), "baseline");
    }

    #[test]
    fn what_is_no_part_is_refused_and_leaves_nothing() {
        let pixels = pixels();
        let mut out = vec![7];
        for place in [
            Rectangle { x: 0, y: 0, width: 0, height: 4 },
            Rectangle { x: 33, y: 0, width: 8, height: 8 },
            Rectangle { x: 0, y: 20, width: 8, height: 5 },
        ] {
            assert!(JpegEncoder::new().encode(&frame(&pixels), place, 50, &mut out).is_err());
        }
        assert_eq!(out, [7]);
    }
}
