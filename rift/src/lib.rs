//! RIFT, the protocol of Wavry, as a value.
//!
//! A state machine that allocates nothing, does no I/O, reads no clock and draws no entropy. Bytes, time and
//! randomness are arguments; datagrams, events and deadlines are results. `SPEC.md` beside this crate is the
//! source of truth for everything on the wire and is cited as `SPEC §n`.

#![no_std]
#![forbid(unsafe_code)]

pub mod channel;
pub mod crypto;
pub mod delta;
pub mod endpoint;
pub mod fec;
pub mod flight;
pub mod limits;
pub mod pacing;
pub mod pairing;
pub mod paths;
pub mod profile;
pub mod session;
pub mod storage;
pub mod time;
pub mod wire;

pub use channel::Priority;
pub use channel::audio::Audio;
pub use channel::capabilities::{Capabilities, Colours};
pub use channel::capture::{CaptureCondition, CaptureState, SignalDescription};
pub use channel::input::devices::{Contact, Gamepad, GamepadAxis, GamepadButton, GamepadState, Rumble};
pub use channel::input::{Button, InputEvent, Scancode};
pub use channel::permissions::Permissions;
pub use channel::video::incoming::{Media, TakenMedia};
pub use channel::video::pictures::{
    NoPictures, PictureInfo, PictureRef, PictureStore, Pictures, PushError, RectangleData,
};
pub use channel::video::{Codec, PictureId, Rectangle, StreamParameters};
pub use crypto::{
    AddressToken, Aead, ChaChaPoly, Dalek, Handshake, HandshakeError, Identity, NoKem, Noise, Opening,
    Pattern, PublicKey, Secrets, Suite, X25519,
};
#[cfg(feature = "experimental")]
pub use crypto::{HybridNoise, MlKem768};
pub use delta::Budget;
pub use endpoint::{Endpoint, Guest, Route, SessionIndex};
pub use pairing::{BackingOff, Guess, PairingWindow, Pin, PinError};
pub use session::{
    Callee, Class, ClockRelation, CloseReason, Config, Discard, Established, Event, InputTrace, PathId,
    PictureTrace, SendError, Session, Stats, Timer, Transmit,
};
pub use storage::{Memory, SignalStorage, Storage};
pub use time::Instant;
pub use wire::clipboard::ClipboardHead;
pub use wire::cursor::{CursorPosition, ShapeHead};
pub use wire::feedback::Ecn;
pub use wire::file::{FileHead, FileMessage, FileName, FileReason};
pub use wire::stream::Channel;
