//! Motion JPEG pictures to I420.
//!
//! JPEG's colours are BT.601 in full range; what the rest of Wavry shows is BT.709 in limited range. So a picture
//! goes by way of RGB, which costs a millisecond at 1080p and keeps its colours.
//! Half a picture is none: cards send cut ones at every change of signal. Who would rather see what there is of it says so.

use rift::Instant;
use rift_hal::{Frame, PixelFormat, Plane};
use yuv::{
    BufferStoreMut, YuvConversionMode, YuvPlanarImageMut, YuvRange, YuvStandardMatrix, rgba_to_yuv420,
};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// Why bytes are no picture. The last good one is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MjpegError {
    /// It does not begin as a JPEG picture.
    #[error("this is no JPEG picture")]
    NotJpeg,
    /// It ends too early.
    #[error("the JPEG picture is cut short")]
    Truncated,
    /// Its bits make no sense.
    #[error("the JPEG picture is damaged")]
    Damaged,
    /// It has another size than the device was set to.
    #[error("the JPEG picture has another size than the device was set to")]
    Size,
}

/// Decodes pictures of one size, one after another, into the same memory.
#[derive(Debug)]
pub struct MjpegDecoder {
    width: u32,
    height: u32,
    rgba: Vec<u8>,
    planes: [Vec<u8>; 3],
    with_tables: Vec<u8>,
}

impl MjpegDecoder {
    /// A decoder of pictures of this size; before the first it holds a black one. Sides are at most
    /// [`Frame::SIDE_MAX`].
    #[must_use]
    pub fn new(width: u32, height: u32) -> Self {
        let plane = |index, value| {
            let (row, rows) = PixelFormat::I420.plane_size(index, width, height);
            vec![value; row * rows]
        };
        let rgba = vec![0; PixelFormat::Bgrx.plane_size(0, width, height).0 * height as usize];
        Self {
            width,
            height,
            rgba,
            planes: [plane(0, 16), plane(1, 128), plane(2, 128)],
            with_tables: Vec::new(),
        }
    }

    /// Decodes one picture. What the device pads it with at its end does not matter.
    ///
    /// # Errors
    /// [`MjpegError`]; [`Self::frame`] is then as before.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<(), MjpegError> {
        let picture = whole_picture(bytes)?;
        self.decode_picture(picture, true)
    }

    /// Decodes as much of a picture as there is, also one that is cut short, ends in another way or has damage in it.
    /// Returns whether it was whole.
    ///
    /// # Errors
    /// [`MjpegError`] when nothing of it can be shown; [`Self::frame`] is then as before.
    pub fn decode_any(&mut self, bytes: &[u8]) -> Result<bool, MjpegError> {
        if self.decode(bytes).is_ok() {
            return Ok(true);
        }
        if !bytes.starts_with(&START) {
            return Err(MjpegError::NotJpeg);
        }
        let padding = bytes.iter().rev().take_while(|&&byte| byte == 0).count();
        let mut ended = bytes[..bytes.len() - padding].to_vec();
        if !ended.ends_with(&END) {
            ended.extend_from_slice(&END);
        }
        self.decode_picture(&ended, false).map(|()| false)
    }

    fn decode_picture(&mut self, picture: &[u8], is_strict: bool) -> Result<(), MjpegError> {
        let picture = if has_huffman_tables(picture) {
            picture
        } else {
            self.with_tables.clear();
            self.with_tables.extend_from_slice(&picture[..2]);
            self.with_tables.extend_from_slice(DEFAULT_TABLES);
            self.with_tables.extend_from_slice(&picture[2..]);
            &self.with_tables
        };
        let options = DecoderOptions::default()
            .jpeg_set_out_colorspace(ColorSpace::RGBA)
            .set_strict_mode(is_strict)
            .set_max_width(Frame::SIDE_MAX as usize)
            .set_max_height(Frame::SIDE_MAX as usize);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(picture), options);
        decoder.decode_headers().map_err(|_| MjpegError::Damaged)?;
        let size = decoder
            .dimensions()
            .and_then(|(width, height)| Some((u32::try_from(width).ok()?, u32::try_from(height).ok()?)));
        if size != Some((self.width, self.height)) {
            return Err(MjpegError::Size);
        }
        decoder.decode_into(&mut self.rgba).map_err(|_| MjpegError::Damaged)?;
        self.convert()
    }

    /// The last picture that was decoded.
    #[must_use]
    pub fn frame(&self, captured_at: Instant) -> Option<Frame<'_>> {
        let plane = |index: usize| {
            let stride = PixelFormat::I420.plane_size(index, self.width, self.height).0;
            Plane { data: &self.planes[index], stride }
        };
        let planes = [plane(0), plane(1), plane(2)];
        Frame::new(PixelFormat::I420, self.width, self.height, planes, captured_at).ok()
    }

    fn convert(&mut self) -> Result<(), MjpegError> {
        let [y, u, v] = &mut self.planes;
        let mut image = YuvPlanarImageMut {
            y_plane: BufferStoreMut::Borrowed(y),
            y_stride: self.width,
            u_plane: BufferStoreMut::Borrowed(u),
            u_stride: self.width.div_ceil(2),
            v_plane: BufferStoreMut::Borrowed(v),
            v_stride: self.width.div_ceil(2),
            width: self.width,
            height: self.height,
        };
        let (range, matrix) = (YuvRange::Limited, YuvStandardMatrix::Bt709);
        let mode = YuvConversionMode::Balanced;
        rgba_to_yuv420(&mut image, &self.rgba, self.width * 4, range, matrix, mode)
            .map_err(|_| MjpegError::Size)
    }
}

/// The picture without what pads it: from its start marker to its end marker.
fn whole_picture(bytes: &[u8]) -> Result<&[u8], MjpegError> {
    if !bytes.starts_with(&START) {
        return Err(MjpegError::NotJpeg);
    }
    let padding = bytes.iter().rev().take_while(|&&byte| byte == 0).count();
    let picture = &bytes[..bytes.len() - padding];
    if picture.len() > START.len() && picture.ends_with(&END) {
        Ok(picture)
    } else {
        Err(MjpegError::Truncated)
    }
}

/// Whether the header defines Huffman tables. Many cameras leave them out, because for Motion JPEG they are fixed.
fn has_huffman_tables(picture: &[u8]) -> bool {
    let mut rest = &picture[START.len()..];
    while let [0xff, marker, high, low, ..] = *rest {
        match marker {
            0xc4 => return true,
            0xda => return false,
            _ => {}
        }
        let len = 2 + usize::from(u16::from_be_bytes([high, low]));
        match rest.get(len..) {
            Some(next) => rest = next,
            None => break,
        }
    }
    // A header that cannot be followed is the decoder's to refuse.
    true
}

const START: [u8; 2] = [0xff, 0xd8];
const END: [u8; 2] = [0xff, 0xd9];

/// The APP0 segment that marks Motion JPEG; the decoder then takes the fixed tables.
const DEFAULT_TABLES: &[u8] = b"\xff\xe0\x00\x10AVI1\0\0\0\0\0\0\0\0\0\0";
