//! Sound coding and decoding by libopus (RFC 6716).
//!
//! Packets of 2.5, 5, 10 or 20 ms in the codec's restricted low-delay mode: its look-ahead is 2.5 ms instead of 6.5, at the
//! price of the speech coder, which a screen's sound does without. Opus's own redundancy belongs to that coder; here packets
//! are repeated by the protocol (RIFT SPEC §14.6), which repeats them exactly. What is lost nevertheless is concealed.
//!
//! The bindings are `opusic-sys`, over the system's libopus: it is kept up, and it is the one of its kind that can be told
//! not to build a library of its own. `opus` 0.4 insists on one, `audiopus` and `magnum-opus` have rested since 2021.

mod ffi;

use rift_hal::{AUDIO_CHANNELS, AUDIO_RATE, AudioDecoder, AudioEncoder};

/// Bits per second that an encoder can aim for.
pub const BITRATE_BPS: core::ops::RangeInclusive<u32> = 12_000..=510_000;
/// Bytes of the longest packet of 10 ms at [`BITRATE_BPS`]'s end, and of any that [`OpusEncoder`] makes: the codec's own limit
/// for one frame (RFC 6716, section 3.2.1).
pub const PACKET_LEN_MAX: usize = 1275;
/// Frames of the packets there are: 2.5, 5, 10 and 20 ms.
pub const FRAMES: [usize; 4] = [120, 240, 480, 960];

/// How hard the encoder tries, `0..=10`: beyond 5 is hardly heard at these rates and costs twice the time.
const COMPLEXITY: i32 = 5;
/// Any device can spare this, and stereo sounds good at it.
const BITRATE_BPS_DEFAULT: u32 = 128_000;

/// Why sound was not coded or decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpusError {
    /// There is no packet of so many frames, or samples are no whole frames.
    #[error(
        "there is no Opus packet of {0} samples: 2.5, 5, 10 or 20 ms of stereo are 240, 480, 960 or 1920"
    )]
    Length(usize),
    /// The caller's buffer is too short.
    #[error("the buffer is too short")]
    Buffer,
    /// The packet is broken.
    #[error("the packet is no Opus packet")]
    Packet,
    /// libopus failed.
    #[error("libopus failed: {0}")]
    Library(&'static str),
}

/// Codes sound.
#[derive(Debug)]
pub struct OpusEncoder {
    raw: ffi::Encoder,
}

impl OpusEncoder {
    /// An encoder that aims for 128 kbit/s.
    ///
    /// # Errors
    /// [`OpusError::Library`]: there is no memory.
    pub fn new() -> Result<Self, OpusError> {
        let mut raw = ffi::Encoder::new()?;
        raw.set_complexity(COMPLEXITY)?;
        raw.set_bitrate(BITRATE_BPS_DEFAULT.cast_signed())?;
        Ok(Self { raw })
    }

    /// How much later than it went in sound comes out of the decoder, in frames.
    #[must_use]
    pub fn lookahead(&mut self) -> u32 {
        self.raw.lookahead().unwrap_or(0).unsigned_abs()
    }
}

impl AudioEncoder for OpusEncoder {
    type Error = OpusError;

    fn encode(&mut self, samples: &[i16], packet: &mut [u8]) -> Result<usize, OpusError> {
        let frames = frames(samples.len())?;
        let room = packet.len().min(PACKET_LEN_MAX);
        self.raw.encode(samples, frames, packet.get_mut(..room).ok_or(OpusError::Buffer)?)
    }

    fn set_bitrate(&mut self, bitrate_bps: u32) {
        let within = bitrate_bps.clamp(*BITRATE_BPS.start(), *BITRATE_BPS.end());
        // A rate within the bounds is always taken.
        let _ = self.raw.set_bitrate(within.cast_signed());
    }
}

/// Decodes sound.
#[derive(Debug)]
pub struct OpusDecoder {
    raw: ffi::Decoder,
}

impl OpusDecoder {
    /// A decoder that has heard nothing.
    ///
    /// # Errors
    /// [`OpusError::Library`]: there is no memory.
    pub fn new() -> Result<Self, OpusError> {
        Ok(Self { raw: ffi::Decoder::new()? })
    }
}

impl AudioDecoder for OpusDecoder {
    type Error = OpusError;

    fn frames(&self, packet: &[u8]) -> Option<usize> {
        ffi::packet_frames(packet)
    }

    fn decode(&mut self, packet: &[u8], samples: &mut [i16]) -> Result<usize, OpusError> {
        let frames = self.frames(packet).ok_or(OpusError::Packet)?;
        let samples = samples.get_mut(..frames * AUDIO_CHANNELS).ok_or(OpusError::Buffer)?;
        self.raw.decode(Some(packet), frames, samples)
    }

    fn conceal(&mut self, samples: &mut [i16]) -> Result<(), OpusError> {
        let frames = frames(samples.len())?;
        self.raw.decode(None, frames, samples).map(drop)
    }
}

fn frames(samples: usize) -> Result<usize, OpusError> {
    let frames = samples / AUDIO_CHANNELS;
    if FRAMES.contains(&frames) && samples.is_multiple_of(AUDIO_CHANNELS) {
        Ok(frames)
    } else {
        Err(OpusError::Length(samples))
    }
}

/// The whole of [`FRAMES`] is below a tenth of a second, so all fits what libopus counts with.
const _: () = assert!(FRAMES[3] < AUDIO_RATE as usize / 10);
