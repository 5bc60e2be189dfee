//! The log and the watchdog.

use wavry_thin::{Fault, Observer, Report};

/// HERE: the chip's watchdog, and a log where somebody reads one (defmt over a debugger: `../stm32h735g-dk/src/watch.rs`).
pub struct Watch(());

impl Watch {
    /// HERE: starts the watchdog. It is more patient than erasing a block of the flash memory takes.
    pub fn start() -> Self {
        Self(())
    }
}

/// HERE: the program lives.
pub fn pet() {}

impl Observer for Watch {
    /// HERE: what is worth logging. The PIN is on the screen, and nobody else's affair.
    fn report(&mut self, _: Report<'_>) {}

    /// Comes at least once a second.
    fn alive(&mut self) {
        pet();
    }

    // HERE: `with_deep_stack`, where the usual stack has less than 64 KiB (`../cortex_m/deep_stack.rs`).
}

/// HERE: the client has stopped for this; the screen says so too.
pub fn tell_fault(fault: Fault) {
    let _ = fault;
}
