//! The rig: sets up a machine, then builds, demos, tests and benches Wavry.
//!
//! It must build before anything is installed, so it knows the standard library and an argument parser only; what
//! needs more is a program of its own that the rig spawns. It links no crate of the project. Invariant: every process
//! the rig starts in the background is gone when the rig is, however the rig ended.

pub mod abuse;
pub mod args;
pub mod arm;
pub mod bench;
pub mod board;
pub mod cargo;
pub mod coverage;
pub mod demo;
pub mod display;
pub mod dist;
pub mod failure;
pub mod fuzz;
pub mod internet;
pub mod meeting;
pub mod mutate;
pub mod process;
pub mod say;
pub mod setup;
mod soak;
pub mod stages;
pub mod totals;
pub mod trials;
pub mod vm;

pub use failure::Failure;
