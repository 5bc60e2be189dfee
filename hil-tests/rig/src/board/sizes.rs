//! What the protocol takes of a board's memories: a program that has nothing but it, for each processor and set of
//! features.

use core::fmt::Write as _;

use super::{sections, toolchain};
use crate::args::Setup;
use crate::{Failure, cargo, say, setup};

/// The program, and the name of what is built from it.
const DIRECTORY: &str = "hil-tests/noalloc";
const PROGRAM: &str = "wavry-noalloc";
/// The processors.
const TARGETS: [&str; 2] = ["thumbv7em-none-eabihf", "armv7a-none-eabi"];
/// What is built in: a name for people, and the features.
const SETS: [(&str, &[&str]); 2] = [("classical", &[]), ("hybrid", &["experimental"])];

/// Whether this machine has the compiler and the linker for it.
#[must_use]
pub fn is_possible() -> bool {
    toolchain::is_there()
}

/// Links the program without an allocator for each processor and set of features, and prints what each takes.
///
/// # Errors
/// Setup's own failures; exit code 1 when one does not link, or has an allocator in it.
pub fn run(options: Setup) -> Result<(), Failure> {
    setup::run(options, &[&setup::BOARD])?;
    say::result(table()?);
    Ok(())
}

fn table() -> Result<String, Failure> {
    let mut text =
        format!("{:<24}{:<12}{:>10}{:>10}", "both sides of sessions", "handshakes", "text", "static");
    for target in TARGETS {
        for (name, features) in SETS {
            say::progress(format_args!("sizes: linking for {target}, {name}"));
            let directory = cargo::root().join(DIRECTORY);
            let built =
                toolchain::program(&directory, target, &["--features", &features.join(",")], "sizes")?;
            let file = built.join(PROGRAM);
            let elf = std::fs::read(&file)
                .map_err(|error| Failure::failed(format!("cannot read {}: {error}", file.display())))?;
            let (kept, written) = sections::sizes(&elf)?;
            // Writing to a string cannot fail.
            let _ = write!(text, "\n{target:<24}{name:<12}{kept:>10}{written:>10}");
        }
    }
    Ok(text)
}
