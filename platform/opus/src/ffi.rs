//! The only place that touches libopus: what is used of it, wrapped so that nothing outside can misuse it.
//!
//! Invariant: a handle is valid from its creation until the drop, and used by one caller at a time (`&mut`).

#![expect(unsafe_code, reason = "libopus is a C library")]

use core::ffi::{CStr, c_int};
use core::ptr::{NonNull, null};

use opusic_sys as sys;
use rift_hal::{AUDIO_CHANNELS, AUDIO_RATE};

use crate::OpusError;

const RATE: c_int = AUDIO_RATE.cast_signed();
const CHANNELS: c_int = AUDIO_CHANNELS as c_int;

/// libopus's answer, where a negative one is an error.
fn checked(answer: c_int) -> Result<usize, OpusError> {
    usize::try_from(answer).map_err(|_| {
        // SAFETY: any code may be asked about; the answer is a string that lives for ever.
        let text = unsafe { sys::opus_strerror(answer) };
        // SAFETY: as said, and it ends with a zero.
        let text = unsafe { CStr::from_ptr(text) };
        OpusError::Library(text.to_str().unwrap_or("for an unknown reason"))
    })
}

fn length(bytes: usize) -> c_int {
    c_int::try_from(bytes).unwrap_or(c_int::MAX)
}

/// Frames of a packet, if it begins like one.
pub(crate) fn packet_frames(packet: &[u8]) -> Option<usize> {
    if packet.is_empty() {
        return None;
    }
    // SAFETY: reads `len` bytes at most, and there are as many.
    let frames = unsafe { sys::opus_packet_get_nb_samples(packet.as_ptr(), length(packet.len()), RATE) };
    usize::try_from(frames).ok().filter(|&frames| frames > 0)
}

/// An encoder.
#[derive(Debug)]
pub(crate) struct Encoder(NonNull<sys::OpusEncoder>);

// SAFETY: libopus binds a handle to no thread; it only forbids two calls at once, which `&mut self` rules out.
unsafe impl Send for Encoder {}

impl Encoder {
    pub(crate) fn new() -> Result<Self, OpusError> {
        let mut error = 0;
        let mode = sys::OPUS_APPLICATION_RESTRICTED_LOWDELAY;
        // SAFETY: rate and channels are constants that libopus has; `error` outlives the call.
        let handle = unsafe { sys::opus_encoder_create(RATE, CHANNELS, mode, &raw mut error) };
        checked(error)?;
        NonNull::new(handle).map(Self).ok_or(OpusError::Library("no encoder"))
    }

    pub(crate) fn set_bitrate(&mut self, bitrate_bps: c_int) -> Result<(), OpusError> {
        self.set(sys::OPUS_SET_BITRATE_REQUEST, bitrate_bps)
    }

    pub(crate) fn set_complexity(&mut self, complexity: c_int) -> Result<(), OpusError> {
        self.set(sys::OPUS_SET_COMPLEXITY_REQUEST, complexity)
    }

    /// Only for requests whose one argument is a number.
    fn set(&mut self, request: c_int, value: c_int) -> Result<(), OpusError> {
        // SAFETY: the handle is valid, and the request takes an `opus_int32`, which a C int is.
        checked(unsafe { sys::opus_encoder_ctl(self.0.as_ptr(), request, value) }).map(drop)
    }

    pub(crate) fn lookahead(&mut self) -> Result<c_int, OpusError> {
        let mut frames: c_int = 0;
        let place: *mut c_int = &raw mut frames;
        // SAFETY: the handle is valid, and the request takes the place of an `opus_int32`.
        checked(unsafe { sys::opus_encoder_ctl(self.0.as_ptr(), sys::OPUS_GET_LOOKAHEAD_REQUEST, place) })?;
        Ok(frames)
    }

    /// `frames` is at most what `samples` holds.
    pub(crate) fn encode(
        &mut self,
        samples: &[i16],
        frames: usize,
        packet: &mut [u8],
    ) -> Result<usize, OpusError> {
        debug_assert!(frames * AUDIO_CHANNELS <= samples.len(), "the caller has counted");
        let (from, to, room) = (samples.as_ptr(), packet.as_mut_ptr(), length(packet.len()));
        // SAFETY: it reads as many frames as there are, and writes no more bytes than there is room for.
        checked(unsafe { sys::opus_encode(self.0.as_ptr(), from, length(frames), to, room) })
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: the handle is valid, and nobody has it after this.
        unsafe { sys::opus_encoder_destroy(self.0.as_ptr()) }
    }
}

/// A decoder.
#[derive(Debug)]
pub(crate) struct Decoder(NonNull<sys::OpusDecoder>);

// SAFETY: as of the encoder.
unsafe impl Send for Decoder {}

impl Decoder {
    pub(crate) fn new() -> Result<Self, OpusError> {
        let mut error = 0;
        // SAFETY: rate and channels are constants that libopus has; `error` outlives the call.
        let handle = unsafe { sys::opus_decoder_create(RATE, CHANNELS, &raw mut error) };
        checked(error)?;
        NonNull::new(handle).map(Self).ok_or(OpusError::Library("no decoder"))
    }

    /// `None`: a packet that is missing. `frames` is at most what `samples` has room for.
    pub(crate) fn decode(
        &mut self,
        packet: Option<&[u8]>,
        frames: usize,
        samples: &mut [i16],
    ) -> Result<usize, OpusError> {
        debug_assert!(frames * AUDIO_CHANNELS <= samples.len(), "the caller has counted");
        let (bytes, len) = packet.map_or((null(), 0), |packet| (packet.as_ptr(), length(packet.len())));
        let to = samples.as_mut_ptr();
        // SAFETY: it reads `len` bytes, which are there, and writes `frames` frames at most, for which there is room.
        checked(unsafe { sys::opus_decode(self.0.as_ptr(), bytes, len, to, length(frames), 0) })
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: the handle is valid, and nobody has it after this.
        unsafe { sys::opus_decoder_destroy(self.0.as_ptr()) }
    }
}
