//! Sound: where it comes from, where it goes, and its codec.
//!
//! There is one form of it: [`AUDIO_RATE`] frames a second, each of [`AUDIO_CHANNELS`] samples, left before right, signed 16
//! bits. It is what cards and codecs agree on; a backend converts where its device does not.

use core::time::Duration;

use rift::Instant;

/// Frames a second.
pub const AUDIO_RATE: u32 = 48_000;
/// Samples a frame: left, right.
pub const AUDIO_CHANNELS: usize = 2;

/// How a sound device is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AudioState {
    /// It is not in use: not asked for anything yet, or stopped.
    #[default]
    Stopped,
    /// It runs.
    Running,
    /// It is not there, or refuses. It is tried again by and by, whenever it is asked for something.
    Lost,
}

/// What was taken from a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// How many frames lie at the front of the caller's buffer; at least one.
    pub frames: usize,
    /// When the first of them was heard.
    pub captured_at: Instant,
    /// Nothing is missing between what was taken before and this.
    pub is_continuous: bool,
}

/// Something to be heard: a card, a loopback, a test tone.
pub trait AudioSource {
    /// Why there is nothing to be heard.
    type Error: core::error::Error;

    /// Waits until there is something to take, but not much longer than `at_most`; it may come back early.
    fn wait(&mut self, at_most: Duration);

    /// Takes what is there, as much as `samples` has room for, in whole frames; never waits. `None` when nothing is.
    /// The device is opened by the first call, and again after it was lost, with pauses that grow.
    ///
    /// # Errors
    /// The device was just lost or could not be opened; [`Self::state`] tells for how long.
    fn read(&mut self, now: Instant, samples: &mut [i16]) -> Result<Option<Recorded>, Self::Error>;

    /// How it is.
    fn state(&self) -> AudioState;

    /// How often frames were lost because they were not taken in time.
    fn overruns(&self) -> u64;
}

/// What a sink wants now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// So many frames, to be full as it should be; 0 = it is.
    pub frames: usize,
    /// How long until a frame given now is heard, in microseconds.
    pub delay_us: u32,
}

/// Something that sound can be heard from.
pub trait AudioSink {
    /// Why nothing can be heard.
    type Error: core::error::Error;

    /// Waits until it wants something, but not much longer than `at_most`; it may come back early.
    fn wait(&mut self, at_most: Duration);

    /// What it wants now; never waits. The device is opened by the first call, and again after it was lost, with pauses
    /// that grow; meanwhile it wants nothing.
    ///
    /// # Errors
    /// The device was just lost or could not be opened.
    fn room(&mut self, now: Instant) -> Result<Room, Self::Error>;

    /// Gives it whole frames, no more than it wants; never waits.
    ///
    /// # Errors
    /// The device was just lost; what it was given is lost with it.
    fn write(&mut self, now: Instant, samples: &[i16]) -> Result<(), Self::Error>;

    /// Lets go of the device, so that others may have it; what was given and not heard is lost.
    fn stop(&mut self);

    /// How it is.
    fn state(&self) -> AudioState;

    /// How often it had nothing to play because it was given nothing in time.
    fn underruns(&self) -> u64;
}

/// Turns sound into packets, one a call.
pub trait AudioEncoder {
    /// Why it could not be coded.
    type Error: core::error::Error;

    /// Codes these frames, of a number that the codec has packets for, into one packet at the front of `packet`. Returns its
    /// bytes. Nothing is held back but the codec's own look-ahead.
    ///
    /// # Errors
    /// There is no packet of so many frames, `packet` is too short, or the codec's own.
    fn encode(&mut self, samples: &[i16], packet: &mut [u8]) -> Result<usize, Self::Error>;

    /// Bits per second to aim for from now on; what the codec cannot do is brought within its bounds.
    fn set_bitrate(&mut self, bitrate_bps: u32);
}

/// Turns packets into sound.
pub trait AudioDecoder {
    /// Why it could not be decoded.
    type Error: core::error::Error;

    /// How many frames a packet is; `None` for one that is broken.
    fn frames(&self, packet: &[u8]) -> Option<usize>;

    /// Decodes the next packet to the front of `samples`. Returns how many frames.
    ///
    /// # Errors
    /// The packet is broken, or `samples` is too short.
    fn decode(&mut self, packet: &[u8], samples: &mut [i16]) -> Result<usize, Self::Error>;

    /// Invents what a missing packet of as many frames as fill `samples` may have been, so that it is missed less.
    ///
    /// # Errors
    /// There is no packet of so many frames.
    fn conceal(&mut self, samples: &mut [i16]) -> Result<(), Self::Error>;
}
