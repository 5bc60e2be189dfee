//! What is handed out: manual pages and completions, made from the parsers of the programs' own command lines, and packages
//! for Debian.
//!
//! `clap_mangen` and `clap_complete` are the parser's own companions; packages are built by `dpkg-deb`, and `dpkg-shlibdeps`
//! finds what they need. Nothing is compiled here: the programs are there already.

#![forbid(unsafe_code)]

pub mod manuals;
pub mod package;

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Why something is not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DistError {
    /// A file or a directory.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A program of Debian's is missing or failed.
    #[error("{program}: {what}; `apt-get install dpkg-dev gzip` brings what is needed")]
    Tool {
        /// Which.
        program: String,
        /// What it said.
        what: String,
    },
}

pub(crate) fn on(path: &Path) -> impl FnOnce(io::Error) -> DistError {
    let path = path.to_owned();
    move |source| DistError::File { path, source }
}

/// Runs a program to its end; what it said.
pub(crate) fn run(command: &mut Command) -> Result<String, DistError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output();
    let output =
        output.map_err(|error| DistError::Tool { program: program.clone(), what: error.to_string() })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(DistError::Tool { program, what: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
}

/// The repository's root.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}
