//! Traits between RIFT's world and the machine.
//!
//! A backend implements one of them; an application joins backends. The traits borrow planes with strides,
//! start no threads and hold no descriptors, so a board implements them as well as a desktop does. What only
//! an operating system has (a descriptor to wait on) is behind the feature `std`.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "std")]
extern crate std;

mod audio;
pub mod font;
mod frame;
mod input;
mod video;

pub use audio::{
    AUDIO_CHANNELS, AUDIO_RATE, AudioDecoder, AudioEncoder, AudioSink, AudioSource, AudioState, Recorded,
    Room,
};
pub use frame::{Frame, FrameError, PixelFormat, Plane};
pub use input::InputSink;
#[cfg(feature = "std")]
pub use video::Pollable;
pub use video::{
    Cursor, CursorShape, Decoder, Display, DisplayEvent, EncodeRequest, Encoded, Encoder, EncoderSettings,
    Key, VideoSource,
};
