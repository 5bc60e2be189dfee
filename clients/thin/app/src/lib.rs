//! The client for boards: it comes to an address, finds its host, shows what the host shares and steers it, and begins again
//! whenever that ends.
//!
//! It allocates nothing and knows no board: what a board has comes as traits ([`Surface`], [`InputSource`], [`Entropy`],
//! [`Observer`], a flash memory by `embedded-storage`, an Ethernet device under an embassy-net stack), and what it does
//! is the future [`run`]. Its words on the screen are drawn with `embedded-graphics`, which draws into any memory.
//!
//! Invariants: no secret comes from the generator alone, and none without it; what a host sends is shown pixel for pixel; a
//! key pressed is released; nothing but a [`Fault`] ends it.

#![no_std]
#![forbid(unsafe_code)]

mod begun;
mod calling;
mod client;
mod cursor;
#[cfg(feature = "discovery")]
mod discovery;
mod engine;
pub mod entropy;
mod finder;
#[cfg(feature = "gateway")]
mod gateway;
pub mod input;
mod report;
mod room;
pub mod screen;
pub mod settings;
mod viewer;
mod words;

pub use client::run;
pub use engine::WithEngine;
pub use entropy::Entropy;
#[cfg(feature = "gateway")]
pub use gateway::{NoIntroduction, PinnedGateway};
pub use input::InputSource;
pub use report::{Fault, Observer, Report, Stage, show_fault};
pub use room::{Footprint, Memory, Parts, Provision, Room, State};
pub use screen::{Screen, Surface};
pub use settings::{PinnedHost, Settings, SettingsError};
