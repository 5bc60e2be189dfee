//! Two RIFT peers in a program that has no allocator: handshakes of every pattern and suite, admission, pictures, input,
//! streams, a change of address, goodbye.
//!
//! That it links proves that the core needs no heap; that it exits with 0 proves that the core works without one. For
//! processors without an operating system it links as well, and says how much of their memory that takes
//! (`cargo rig sizes`); there its outcome is a number in memory.

#![no_std]
#![no_main]

#[cfg(target_os = "none")]
mod bare;
#[cfg(target_os = "linux")]
mod linux;
mod peers;
