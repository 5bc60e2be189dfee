//! A stand-in for a card that encodes: the test scene behind an encoder of its own.
//!
//! No kernel driver gives H.264 without hardware. What a host makes of a card's pictures is tried with this; what it
//! cannot show is a device's own ways, such as key pictures that come late or not on request.

use std::io;
use std::os::fd::BorrowedFd;

use rift::{Instant, PictureId};
use rift_hal::{EncodeRequest, Encoder as _, EncoderSettings, Pollable, VideoSource};
use rift_v4l::CodedFrame;
use rift_x264::{Options, X264Encoder};
use tracing::warn;

use crate::test_source::{HEIGHT, TestSource, WIDTH};

/// See the module.
#[derive(Debug)]
pub struct CodingCard {
    scene: TestSource,
    encoder: X264Encoder,
    next: PictureId,
    is_key_wanted: bool,
    bytes: Vec<u8>,
}

/// What the card encodes at until it is told.
const BITRATE_BPS: u32 = 8_000_000;

impl CodingCard {
    /// A card of so many pictures a second.
    ///
    /// # Errors
    /// The kernel gave no timer, or there is no encoder.
    pub fn start(rate_hz: u32) -> io::Result<Self> {
        let settings = EncoderSettings {
            width: WIDTH,
            height: HEIGHT,
            rate_millihertz: rate_hz * 1000,
            bitrate_bps: BITRATE_BPS,
        };
        // As cards do: one thread, one slice.
        let options = Options { threads: 1, slices: 1, ..Options::default() };
        Ok(Self {
            scene: TestSource::start(rate_hz)?,
            encoder: X264Encoder::new(&settings, &options).map_err(io::Error::other)?,
            next: PictureId(1),
            is_key_wanted: false,
            bytes: Vec::new(),
        })
    }

    /// The size of its pictures.
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        self.scene.size()
    }

    /// The next picture, if it is time.
    pub fn poll_coded(&mut self, now: Instant) -> Option<CodedFrame<'_>> {
        let frame = self.scene.poll_frame(now).ok().flatten()?;
        let captured_at = frame.captured_at();
        let request = EncodeRequest { id: self.next, key: self.is_key_wanted, damage: None };
        self.bytes.clear();
        let bytes = &mut self.bytes;
        match self.encoder.encode(&frame, &request, &mut |part| bytes.extend_from_slice(part)) {
            Ok(encoded) => {
                self.is_key_wanted &= !encoded.key;
                self.next = PictureId(self.next.0.wrapping_add(1));
            }
            Err(error) => {
                warn!(%error, "the stand-in for a card gives no picture");
                return None;
            }
        }
        Some(CodedFrame { bytes: &self.bytes, captured_at, follows: self.next.0 > 2 })
    }

    /// See [`rift_v4l::V4lSource::ask_key`].
    pub const fn ask_key(&mut self) -> bool {
        self.is_key_wanted = true;
        true
    }

    /// See [`rift_v4l::V4lSource::set_coded_bitrate`].
    pub fn set_bitrate(&mut self, bitrate_bps: u32) -> bool {
        self.encoder.set_bitrate(bitrate_bps).is_ok()
    }
}

impl Pollable for CodingCard {
    fn poll_fd(&self) -> BorrowedFd<'_> {
        self.scene.poll_fd()
    }
}
