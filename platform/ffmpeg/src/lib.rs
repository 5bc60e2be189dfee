//! H.264 decoding by libavcodec.
//!
//! One packet in, its picture out, before the call returns. The planes are lent from where libavcodec decoded them.
//!
//! What libavcodec finds broken is an error and never lent. It finds all that is missing with one thread; with more it
//! only looks at a picture's first slice, and what is well-formed but wrong it cannot find at all. So hand it whole
//! pictures from an authenticated session, and none that refers to a picture it was not given: it would make one up.
//!
//! The first decoder silences libavcodec's log for the whole process: what a peer sends must not write to a terminal.

mod ffi;

use rift::Instant;
use rift_hal::{Decoder, Frame, FrameError, PixelFormat, Plane};

use crate::ffi::{Failure, Raw};

/// How to decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Threads, `1..=16`; they share the slices of each picture. One finds more damage, two are faster.
    pub threads: u8,
    /// The most pixels a side of a picture may have, `16..=16384`.
    pub side_max: u32,
    /// The most pixels a picture may have in all, at least 256. It bounds the memory that a peer can claim: up to 17
    /// pictures of 1.5 bytes a pixel.
    pub pixels_max: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { threads: 2, side_max: Frame::SIDE_MAX, pixels_max: 7680 * 4320 }
    }
}

/// Why a picture could not be decoded, or a decoder not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FfmpegError {
    /// An option is outside of its documented range.
    #[error("cannot decode with this {0}: it is outside of its documented range")]
    Option(&'static str),
    /// The installed libavcodec decodes no H.264, or there is no memory.
    #[error("libavcodec opened no H.264 decoder; install one that has it")]
    Open,
    /// There is no memory for the picture.
    #[error("no memory to decode a picture of {0} bytes")]
    Memory(usize),
    /// The bytes are not a picture, or only a part of one.
    #[error("the {0} bytes are no whole H.264 picture; ask for a repair")]
    Invalid(usize),
    /// Part of the picture, or a picture it refers to, was missing or broken.
    #[error("the picture or one it refers to is damaged; ask for a repair")]
    Damaged,
    /// The picture is decoded to something other than 8-bit 4:2:0.
    #[error("the picture is not 8-bit 4:2:0; the sender must encode it so")]
    Format,
    /// The picture is larger than allowed.
    #[error("the picture is {width}×{height}, more than the {side_max} pixels a side allowed")]
    Size {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
        /// The most allowed.
        side_max: u32,
    },
    /// The picture's planes hold less than its size says.
    #[error("libavcodec gave planes too small for the picture: {0}")]
    Planes(FrameError),
}

/// An H.264 decoder.
#[derive(Debug)]
pub struct FfmpegDecoder {
    raw: Raw,
    side_max: u32,
    crop: Option<(u32, u32)>,
}

impl FfmpegDecoder {
    /// Opens a decoder.
    ///
    /// # Errors
    /// [`FfmpegError::Option`] when an option is outside of its range, [`FfmpegError::Open`] when libavcodec has no
    /// H.264 decoder or no memory.
    pub fn new(options: &Options) -> Result<Self, FfmpegError> {
        if !(1..=16).contains(&options.threads) {
            return Err(FfmpegError::Option("number of threads"));
        }
        if !(16..=Frame::SIDE_MAX).contains(&options.side_max) {
            return Err(FfmpegError::Option("largest side"));
        }
        if options.pixels_max < 256 {
            return Err(FfmpegError::Option("largest number of pixels"));
        }
        let raw = Raw::open(options.threads, options.pixels_max).ok_or(FfmpegError::Open)?;
        Ok(Self { raw, side_max: options.side_max, crop: None })
    }

    /// Lends only the top left `width` × `height` pixels of each picture, or all of it where it is smaller.
    ///
    /// Pictures of odd size are coded one pixel larger; the stream's parameters say the true size.
    pub fn set_crop(&mut self, width: u32, height: u32) {
        self.crop = Some((width.max(1), height.max(1)));
    }

    /// Forgets every picture decoded so far, as after a new stream has begun: the next one must be a key picture.
    pub fn reset(&mut self) {
        self.raw.flush();
    }

    fn lend(&self, width: u32, height: u32, captured_at: Instant) -> Result<Frame<'_>, FfmpegError> {
        let mut planes = [Plane::EMPTY; 3];
        for (index, plane) in planes.iter_mut().enumerate() {
            let (row, rows) = PixelFormat::I420.plane_size(index, width, height);
            let (data, stride) =
                self.raw.plane(index, row, rows).ok_or(FfmpegError::Planes(FrameError::Short))?;
            *plane = Plane { data, stride };
        }
        Frame::new(PixelFormat::I420, width, height, planes, captured_at).map_err(FfmpegError::Planes)
    }
}

impl Decoder for FfmpegDecoder {
    type Error = FfmpegError;

    fn decode(&mut self, data: &[u8], captured_at: Instant) -> Result<Option<Frame<'_>>, FfmpegError> {
        let picture = self.raw.decode(data).map_err(|failure| match failure {
            Failure::Memory => FfmpegError::Memory(data.len()),
            Failure::Invalid => FfmpegError::Invalid(data.len()),
        })?;
        let Some(picture) = picture else {
            return Ok(None);
        };
        let (width, height, side_max) = (picture.width, picture.height, self.side_max);
        if picture.damaged {
            return Err(FfmpegError::Damaged);
        }
        if !picture.planar_420 {
            return Err(FfmpegError::Format);
        }
        if width > side_max || height > side_max {
            return Err(FfmpegError::Size { width, height, side_max });
        }
        let (width_max, height_max) = self.crop.unwrap_or((width, height));
        self.lend(width.min(width_max), height.min(height_max), captured_at).map(Some)
    }
}
