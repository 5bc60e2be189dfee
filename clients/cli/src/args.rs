//! What may be asked of `wavry`, and its help.

use std::path::PathBuf;

use clap::{Args as Options, Parser, Subcommand};

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
        /// What else to look at.
        #[command(subcommand)]
        about: Option<About>,
    },
}

/// What the doctor looks at besides this machine.
#[derive(Debug, Subcommand)]
pub enum About {
    /// The network: whether UDP passes, what the NAT does, how far gateway, relay and host are, and what to do about it
    Network(NetworkArgs),
}

/// Whom to ask.
#[derive(Clone, Debug, Default, Options)]
pub struct NetworkArgs {
    /// A gateway, HOST or HOST:PORT, and its ID behind a / if it is known: it is then called as sessions call it, also over TCP, and its
    /// relays are looked at as well; say it again for each
    #[arg(long, value_name = "ADDRESS")]
    pub gateway: Vec<String>,
    /// A relay, HOST or HOST:PORT, and its ID behind a / if it is known; say it again for each
    #[arg(long, value_name = "ADDRESS")]
    pub relay: Vec<String>,
    /// Any server of STUN, HOST or HOST:PORT; say it again for each
    #[arg(long, value_name = "ADDRESS")]
    pub stun: Vec<String>,
    /// A host that lets this machine's client in, by address or link: it is watched for some seconds, and the gateway of its link is looked
    /// at
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// That host's Wavry ID, unless it was paired with or the link says it
    #[arg(long, value_name = "ID", requires = "host")]
    pub host_id: Option<String>,
    /// For how many seconds to watch it
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=60))]
    pub seconds: u32,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}
