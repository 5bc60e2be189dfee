//! What only a real kernel can prove, checked inside a VM.
//!
//! The capture layer alone ([`mod@bench`]), whole sessions of the host's program and a client ([`session`]), what a
//! desktop makes of input devices ([`libinput`]), and sound over a bad link ([`sound`]). The card is the kernel's `vivid`,
//! which has a control for every fault and shows a test pattern; time is the guest's, which is virtual, so bounds hold on
//! a machine of any speed.
//!
//! One thing has no driver here: a card that encodes. The kernel's `vivid` gives no H.264, and every other driver that
//! does wants hardware. Passing on what such a card gives is tested with a card of the tests' own.

pub mod bench;
pub mod card;
pub mod faults;
pub mod libinput;
pub mod rounds;
pub mod session;
pub mod sound;
pub mod table;

use std::io::Write as _;

/// Prints a line or more to standard output.
pub fn say(text: &str) {
    // Nobody to read it is no reason to fail.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Lets time pass; in the VM it is virtual.
#[expect(clippy::disallowed_methods, reason = "waits for programs that nothing else tells of")]
pub fn pause(time: core::time::Duration) {
    std::thread::sleep(time);
}
