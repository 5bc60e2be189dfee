//! What may be asked of `wavry`, and its help.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Wavry's command line.
#[derive(Debug, Parser)]
#[command(
    name = "wavry",
    version,
    about = "Keys, identities and a look at what this machine can do for Wavry"
)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// One thing to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a new identity and print its Wavry ID
    Keygen {
        /// The key file [default: $XDG_STATE_HOME/wavry/identity]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Replace a key that is there; whoever trusted it must be told the new Wavry ID
        #[arg(long)]
        force: bool,
    },
    /// Print the Wavry ID of an identity
    Id {
        /// The key file [default: $XDG_STATE_HOME/wavry/identity]
        file: Option<PathBuf>,
    },
    /// Say what works on this machine and what to do about the rest
    Doctor {
        /// The UDP port a server would listen on
        #[arg(long, default_value_t = 4747)]
        port: u16,
    },
}
