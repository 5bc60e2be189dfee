//! `wavry`: makes identities, says whose they are, and looks at what a machine can do for Wavry.
//!
//! The work is here, apart from standard output and the process; `main.rs` only joins them.

#![forbid(unsafe_code)]

pub mod args;
pub mod doctor;
pub mod network;

use std::io::{self, Write};
use std::path::PathBuf;

use rift_keystore::KeystoreError;

use args::{About, Args, Command};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The identity could not be read or made.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    /// The network cannot be looked at.
    #[error("cannot open a UDP socket: {0}")]
    Socket(#[source] io::Error),
    /// The answer could not be written.
    #[error("cannot write the answer: {0}")]
    Output(#[from] io::Error),
}

/// Does what `args` ask and writes the answer to `output`. Returns whether all is well: `false` when the doctor
/// found something that keeps Wavry from working.
///
/// # Errors
/// [`Error`].
pub fn run(args: &Args, output: &mut dyn Write) -> Result<bool, Error> {
    match &args.command {
        Command::Keygen { out, force } => {
            let identity = rift_keystore::create(&key_file(out)?, *force)?;
            writeln!(output, "{}", identity.public())?;
            Ok(true)
        }
        Command::Id { file } => {
            let identity = rift_keystore::load(&key_file(file)?)?;
            writeln!(output, "{}", identity.public())?;
            Ok(true)
        }
        Command::Doctor { about: Some(About::Network(args)), .. } => {
            let examination = network::examine(args).map_err(Error::Socket)?;
            Ok(network::tell(&examination, args.json, output)?)
        }
        Command::Doctor { port, about: None } => {
            let findings = doctor::examine(*port);
            doctor::report(&findings, output)?;
            Ok(findings.iter().all(|finding| finding.grade != doctor::Grade::Bad))
        }
    }
}

fn key_file(named: &Option<PathBuf>) -> Result<PathBuf, KeystoreError> {
    named.clone().map_or_else(rift_keystore::default_path, Ok)
}
