//! Drivers of devices that boards have: written once, used by every board that has the part.
//!
//! A driver reaches its device through [`Registers`] and knows neither where it lies nor what runs above it. Memory-mapped
//! devices are reached by [`Mapped`], pretended ones in tests by arrays. Each device's manual is named above its
//! driver.

#![no_std]

pub mod cfi_flash;
pub mod ft5336;
pub mod lan9118;
pub mod pl050;
pub mod pl111;
pub mod ps2;
mod registers;
pub mod sp804;

pub use registers::{Mapped, Registers};
