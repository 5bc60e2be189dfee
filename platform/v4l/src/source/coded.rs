//! Devices that encode: their pictures in order, none left out unseen.

use std::os::fd::AsFd as _;

use rift::Instant;

use super::{V4lSource, captured_at, monotonic_us};
use crate::controls::set;
use crate::device::Device;
use crate::format::Encoding;

/// A picture as the device encoded it.
#[derive(Clone, Copy, Debug)]
pub struct CodedFrame<'a> {
    /// Its bytes, lent until the source is polled next; see [`Access`](crate::Access) for what they are.
    pub bytes: &'a [u8],
    /// When it was taken, on the clock of the polls.
    pub captured_at: Instant,
    /// Whether it is the one right after the last that was given.
    pub follows: bool,
}

impl V4lSource {
    /// Whether the device encodes: it then gives pictures by [`Self::poll_coded`] and no frames.
    #[must_use]
    pub fn is_coded(&self) -> bool {
        self.layout.encoding == Encoding::H264
    }

    /// Does what is due, and takes the next picture in order if there is one. Pictures that are not taken wait at the
    /// device, a few at most; then it loses some, and the next one does not follow.
    pub fn poll_coded(&mut self, now: Instant) -> Option<CodedFrame<'_>> {
        self.advance(now);
        if !self.is_coded() {
            return None;
        }
        let taken = self.queue.as_mut()?.take_next(self.layout.lens_min());
        let follows = match taken {
            Ok(taken) => taken?,
            Err(error) => {
                self.on_error(error, now);
                return None;
            }
        };
        self.error = None;
        self.still = None;
        self.machine.handle_frame(now);
        self.bell.set(now, self.machine.poll_timeout());
        let (filled, [bytes, ..]) = self.queue.as_ref()?.held()?;
        self.moment = filled.monotonic_us.map(|_| filled.moment);
        let captured_at = captured_at(filled.monotonic_us, monotonic_us(), now);
        Some(CodedFrame { bytes, captured_at, follows })
    }

    /// Asks the device's encoder for a picture that needs no other. `false`: it cannot be asked, and one comes when the
    /// device thinks fit.
    pub fn ask_key(&mut self) -> bool {
        self.device.as_ref().is_some_and(|device| set(device.as_fd(), FORCE_KEY, 1).is_ok())
    }

    /// Sets the bit rate of the device's encoder. `false`: it has its own.
    pub fn set_coded_bitrate(&mut self, bitrate_bps: u32) -> bool {
        let bitrate = i32::try_from(bitrate_bps).unwrap_or(i32::MAX);
        self.device.as_ref().is_some_and(|device| set(device.as_fd(), BITRATE, bitrate).is_ok())
    }
}

impl Device {
    /// Sets the encoder up for one who watches live: no picture that waits for a later one, and every key picture with
    /// its parameters. What it does not know, it does in its own way.
    pub(crate) fn prepare_encoder(&self) {
        for (control, value) in [(B_FRAMES, 0), (HEADER_MODE, HEADER_WITH_PICTURE), (REPEAT_HEADERS, 1)] {
            let _ = set(self.as_fd(), control, value);
        }
    }
}

/// Controls of encoders (`linux/v4l2-controls.h`, `V4L2_CID_MPEG_VIDEO_…`).
const CODEC: u32 = 0x0099_0900;
const B_FRAMES: u32 = CODEC + 202;
const BITRATE: u32 = CODEC + 207;
const HEADER_MODE: u32 = CODEC + 216;
const REPEAT_HEADERS: u32 = CODEC + 226;
const FORCE_KEY: u32 = CODEC + 229;
/// `V4L2_MPEG_VIDEO_HEADER_MODE_JOINED_WITH_1ST_FRAME`.
const HEADER_WITH_PICTURE: i32 = 1;
