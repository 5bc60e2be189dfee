//! What boards in QEMU share: the log, the emulator's own services, and how much stack was used. Included by each board's
//! program, which has a module `machine`.

pub mod log;
pub mod semihost;
pub mod stack;
