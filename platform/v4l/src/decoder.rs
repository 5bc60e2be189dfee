//! What makes frames of buffers that no encoder reads as they are.

use rift::Instant;
use rift_hal::Frame;

use crate::format::{Encoding, Layout};
use crate::mjpeg::MjpegDecoder;
use crate::rgb::RgbConverter;

/// Into memory of its own.
#[derive(Debug)]
pub(crate) enum Decoder {
    Jpeg(MjpegDecoder),
    Rgb(RgbConverter),
}

impl Decoder {
    /// For buffers of this layout; `None` for those that are used where they lie.
    pub(crate) fn of(layout: &Layout) -> Option<Self> {
        let Layout { encoding, width, height, strides: [stride, ..] } = *layout;
        match encoding {
            Encoding::Pixels(_) | Encoding::Planes(_) | Encoding::H264 => None,
            Encoding::Jpeg => Some(Self::Jpeg(MjpegDecoder::new(width, height))),
            Encoding::Rgb(order) => Some(Self::Rgb(RgbConverter::new(order, width, height, stride))),
        }
    }

    /// Takes a buffer; `false`, and the frame is as before, for one that holds none.
    pub(crate) fn decode(&mut self, bytes: &[u8]) -> bool {
        match self {
            Self::Jpeg(decoder) => decoder.decode(bytes).is_ok(),
            Self::Rgb(converter) => converter.convert(bytes),
        }
    }

    pub(crate) fn frame(&self, captured_at: Instant) -> Option<Frame<'_>> {
        match self {
            Self::Jpeg(decoder) => decoder.frame(captured_at),
            Self::Rgb(converter) => converter.frame(captured_at),
        }
    }
}
