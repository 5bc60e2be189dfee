//! What stands on the wire: one file a message, each with its byte picture, `parse` and `emit`.
//!
//! This is the only place where bytes become types and types bytes. It knows nothing of sessions. Numbers are
//! in network byte order. Parsing never panics, allocates or loops more often than the input has bytes.

#![deny(clippy::indexing_slicing, clippy::as_conversions, clippy::arithmetic_side_effects)]

pub mod audio;
pub mod bind;
mod bytes;
pub mod capabilities;
pub mod capture;
pub mod check;
pub mod clipboard;
pub mod clock;
pub mod close;
pub mod cursor;
pub mod feedback;
pub mod file;
pub mod fleet;
pub mod frame;
pub mod handshake;
pub mod header;
pub mod input;
pub mod pairing;
mod parts;
pub mod path;
pub mod picture;
pub mod relay;
pub mod renewal;
pub mod request;
pub mod shard;
pub mod signal;
pub mod stream;
pub mod stun;
pub mod successor;
pub mod text;
pub mod video;

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that panics has found something; nobody sends it bytes"
)]
mod tests;

pub(crate) use bytes::{Reader, Writer};
pub use frame::{Frame, FrameType, Frames};
pub use header::{DataHeader, Kind};

/// The protocol version this crate speaks (SPEC §4.17). A change that an old peer would misread raises it.
pub const VERSION: u8 = 1;
