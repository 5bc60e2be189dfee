//! What the rig says: progress and complaints to standard error, results to standard output.

use core::fmt::Display;
use std::io::{self, Write as _};

/// A line of progress.
pub fn progress(line: impl Display) {
    eprintln!("rig: {line}");
}

/// A result: somebody may read it with a program. A closed standard output is no reason to fail.
pub fn result(text: impl Display) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// Why a command ended without success.
pub fn failure(failure: impl Display) {
    eprintln!("rig: error: {failure}");
}
