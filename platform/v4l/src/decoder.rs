//! What makes frames of buffers that no encoder reads as they are.

use rift::Instant;
use rift_hal::Frame;

use crate::format::{Encoding, Layout};
use crate::mjpeg::MjpegDecoder;
use crate::rgb::RgbConverter;

/// What came of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// A frame.
    Whole,
    /// As much of a frame as there was.
    Damaged,
    /// No frame.
    Nothing,
}

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

    /// Takes a buffer. [`Taken::Nothing`]: the frame is as before.
    pub(crate) fn decode(&mut self, bytes: &[u8], shows_damaged: bool) -> Taken {
        let whole = |is_whole| if is_whole { Taken::Whole } else { Taken::Damaged };
        match self {
            Self::Jpeg(decoder) if shows_damaged => decoder.decode_any(bytes).map_or(Taken::Nothing, whole),
            Self::Jpeg(decoder) => decoder.decode(bytes).map_or(Taken::Nothing, |()| Taken::Whole),
            Self::Rgb(converter) => {
                if converter.convert(bytes) {
                    Taken::Whole
                } else {
                    Taken::Nothing
                }
            }
        }
    }

    pub(crate) fn frame(&self, captured_at: Instant) -> Option<Frame<'_>> {
        match self {
            Self::Jpeg(decoder) => decoder.frame(captured_at),
            Self::Rgb(converter) => converter.frame(captured_at),
        }
    }
}
