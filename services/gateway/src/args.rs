//! The command line.

use core::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::leases::RelayName;

/// Introduces devices to each other, so that they find a way to each other through NATs.
///
/// Without a command it runs the gateway. It can introduce and nothing more: who gets in is decided by each host's own list,
/// and what they say to each other passes it by. The keys of configuration files are the long options of `run`. What is said on
/// the command line wins over the environment (WAVRY_GATEWAY_LISTEN for `listen`), that over
/// $XDG_CONFIG_HOME/wavry/gateway.toml (else ~/.config/wavry/gateway.toml), that over /etc/wavry/gateway.d/*.toml,
/// /etc/wavry/gateway.toml and /usr/share/wavry/gateway.toml. `wavry-gateway settings` shows what comes of them.
#[derive(Clone, Debug, Parser)]
#[command(name = "wavry-gateway", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do instead of running.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to run.
    #[command(flatten)]
    pub run: RunArgs,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run the gateway (the same as no command)
    Run(RunArgs),
    /// Show each setting of `run`, and the file, variable or option it comes from
    Settings(RunArgs),
    /// Make a token with which one device can enrol, once and within a day; also while the gateway runs
    Token {
        /// Where the state is
        #[command(flatten)]
        place: Place,
    },
    /// Make another token for operators, for the page and the API; the one before is good no more. Also while the gateway
    /// runs
    OperatorToken {
        /// Where the state is
        #[command(flatten)]
        place: Place,
    },
    /// Print the gateway's Wavry ID, by which devices know it
    Id {
        /// Where the state is
        #[command(flatten)]
        place: Place,
    },
    /// Print the keys with which the gateway signs leases, the one of now first, for `wavry-relay --trust`; a relay that
    /// beats at the gateway is told by itself
    LeaseKey {
        /// Where the state is
        #[command(flatten)]
        place: Place,
    },
    /// Write a copy of the database to a new file; also while the gateway runs. To restore, stop the gateway and put the
    /// copy in the place of gateway.db
    Backup {
        /// The new file
        to: PathBuf,
        /// Where the state is
        #[command(flatten)]
        place: Place,
    },
}

/// Where things are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct Place {
    /// Where the gateway's key and database are [default: $XDG_STATE_HOME/wavry-gateway, else
    /// ~/.local/state/wavry-gateway]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// A configuration file to read instead of all others
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// How to run. What is not said has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct RunArgs {
    /// Where things are.
    #[command(flatten)]
    pub place: Place,
    /// Where devices find it, over UDP [default: port 4748 of every address]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Where devices find it over TLS on TCP, in networks that let no UDP pass: ADDRESS:PORT, or `off` [default: port 443 of
    /// the address of --listen, else the number of its UDP port]
    #[arg(long, value_name = "ADDRESS")]
    pub listen_tls: Option<rift_tcp::Choice>,
    /// Where /healthz, /readyz and /metrics are served over HTTP, to who may know [default: 127.0.0.1:4748]
    #[arg(long, value_name = "ADDRESS")]
    pub health: Option<SocketAddr>,
    /// Where operators have a page and an API over HTTP; whoever reaches it still needs the operator's token, but reads of
    /// others cross the network in the clear: let it be loopback, or put TLS in front [default: 127.0.0.1:4750]
    #[arg(long, value_name = "ADDRESS")]
    pub operators: Option<SocketAddr>,
    /// A relay for those who find no direct path: the ID that `wavry-relay id` prints, and @ADDRESS:PORT unless the relay
    /// itself tells where it is; say it again for each
    #[arg(long, value_name = "RELAY")]
    pub relay: Vec<RelayName>,
    /// What to log, as `info` or `wavry_gateway=debug` [default: info]
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
}

impl RunArgs {
    /// These, and where they say nothing, those.
    #[must_use]
    pub fn or(self, said: Self) -> Self {
        Self {
            place: Place {
                state: self.place.state.or(said.place.state),
                config: self.place.config.or(said.place.config),
            },
            listen: self.listen.or(said.listen),
            listen_tls: self.listen_tls.or(said.listen_tls),
            health: self.health.or(said.health),
            operators: self.operators.or(said.operators),
            relay: if self.relay.is_empty() { said.relay } else { self.relay },
            log: self.log.or(said.log),
        }
    }
}
