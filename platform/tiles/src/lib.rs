//! Pictures for machines that cannot decode H.264: what changed, exactly, in few bytes and fixed memory.
//!
//! An [`Encoder`] compares a frame with what the viewer shows and tells the difference: rectangles that moved, one
//! colour, few colours, many. A [`Decoder`] draws it into a frame buffer of its owner. Both allocate nothing. The
//! format is in `SPEC.md`, cited here as `SPEC §n`.
//!
//! It refuses to know sessions, packets and clocks: bytes go in and pixels come out. Invariant: a viewer that was
//! given every picture shows what its encoder believes it shows; when it was not, hashes of tiles tell, and only
//! what differs is sent again.

#![no_std]
#![forbid(unsafe_code)]

mod block;
mod coder;
mod decoder;
mod encoder;
mod grid;
mod hash;
mod model;
mod picture;
mod pixel;
mod prior;
mod screen;
mod tile_set;

pub use decoder::{DecodeError, Decoded, Decoder, OPERATION_WORK};
pub use encoder::{EncodeError, Encoded, Encoder, Memory, Parts, Request, Sizes, TileRecord};
pub use grid::Grid;
pub use pixel::{Pixel, Rgb565, Rgb888, to_rgb888};
pub use screen::{Screen, ScreenError};
pub use tile_set::TileSet;
