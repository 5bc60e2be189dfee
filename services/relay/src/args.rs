//! The command line and the configuration file, whose keys are the long options of `run`.

use core::net::SocketAddr;
use core::num::NonZeroU16;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use rift::wire::fleet::RelayText;
use rift::wire::text::is_plain;
use rift_settings::{Places, Schema, SettingsError};

use crate::beat::GatewayName;

/// Forwards encrypted packets between peers who find no direct path.
///
/// Without a command it runs. It reads nothing of what it forwards, and forwards only under leases signed by a gateway it
/// trusts (`--trust KEY`). The keys of configuration files are the long options. What is said on the command line wins over the
/// environment (WAVRY_RELAY_LISTEN for `listen`), that over $XDG_CONFIG_HOME/wavry/relay.toml (else
/// ~/.config/wavry/relay.toml), that over /etc/wavry/relay.d/*.toml, /etc/wavry/relay.toml and /usr/share/wavry/relay.toml.
/// `wavry-relay settings` shows what comes of them.
#[derive(Clone, Debug, Parser)]
#[command(name = "wavry-relay", version, args_override_self = true)]
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
    /// Print the relay's Wavry ID, for `wavry-gateway --relay ID@ADDRESS:PORT`, its name in leases and its key
    Id,
    /// Show each setting, and the file, variable or option it comes from
    Settings,
}

/// How to run.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// A configuration file to read instead of all others
    #[arg(long, global = true)]
    pub config: Option<PathBuf>,
    /// Where the relay's key is kept, made at the first start
    #[arg(long, global = true, default_value = "/var/lib/wavry-relay")]
    pub state: PathBuf,
    /// Address and UDP port to listen at; port 0 = any free one
    #[arg(long, default_value = "[::]:4749")]
    pub listen: SocketAddr,
    /// Where packets come over TLS on TCP from networks that let no UDP pass, ADDRESS:PORT or `off` [default: port 443 of the
    /// address of --listen, else the number of its UDP port]
    #[arg(long, value_name = "ADDRESS", default_value = "", hide_default_value = true)]
    pub listen_tls: rift_tcp::Choice,
    /// A gateway's key for leases (64 hexadecimal digits); say it again for each
    #[arg(long, value_name = "KEY", value_parser = key, value_delimiter = ',')]
    pub trust: Vec<[u8; 32]>,
    /// A gateway that is told how this relay is, and tells whom to trust: ID@ADDRESS:PORT with the ID that `wavry-gateway
    /// id` prints; say it again for each. The gateway has to know this relay, too (`wavry-gateway --relay`)
    #[arg(long, value_name = "GATEWAY", value_delimiter = ',')]
    pub gateway: Vec<GatewayName>,
    /// Where peers reach this relay, as gateways are to tell them; with 0.0.0.0 the address that the gateway sees
    /// [default: the port of --listen, at the address that the gateway sees]
    #[arg(long, value_name = "ADDRESS")]
    pub public: Option<SocketAddr>,
    /// In which part of the world it is, as gateways' operators are to see it
    #[arg(long, value_parser = region, default_value = "")]
    pub region: RelayText,
    /// What this machine's line carries, in Mbit/s: of that the load is reckoned
    #[arg(long, default_value_t = 1_000)]
    pub line_mbit: u32,
    /// Threads [default: one for each core]
    #[arg(long)]
    pub threads: Option<NonZeroU16>,
    /// An Ethernet interface whose packets are sent on inside the kernel, as far as a lease allows; say it again for each. It
    /// needs Linux 6.6 and CAP_BPF, CAP_NET_ADMIN. The machine's packet filter does not see what is sent on there, and what
    /// exceeds a lease's rate is dropped there without having waited
    #[arg(long, value_name = "INTERFACE", value_delimiter = ',')]
    pub ebpf: Vec<String>,
    /// Most leases at a time
    #[arg(long, default_value_t = 10_000)]
    pub leases_max: usize,
    /// Most that one peer may send whatever its lease says, in Mbit/s
    #[arg(long, default_value_t = 100)]
    pub mbit_max: u16,
    /// Packets that may wait, 2 KiB each
    #[arg(long, default_value_t = 2048)]
    pub packets_max: usize,
    /// Where to serve /metrics, /healthz and /readyz over HTTP, such as 127.0.0.1:9474 [default: nowhere]
    #[arg(long)]
    pub metrics: Option<SocketAddr>,
    /// How long leases may go on after SIGTERM, in seconds
    #[arg(long, default_value_t = 30)]
    pub drain: u32,
    /// Write the UDP port into this file once it is open
    #[arg(long)]
    pub port_file: Option<PathBuf>,
    /// What to log: error, warn, info, debug, or by module
    #[arg(long, default_value = "info")]
    pub log: String,
}

/// Why the words cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArgsError {
    /// What files and the environment say.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The command line, in the parser's own words; or what was asked for, such as the help.
    #[error(transparent)]
    Wrong(#[from] clap::Error),
}

/// Reads the words of the command line, over the environment and the files.
///
/// # Errors
/// [`ArgsError`].
pub fn read(words: impl IntoIterator<Item = OsString>) -> Result<Cli, ArgsError> {
    read_at(&Places::here(NAME), std::env::vars_os(), words)
}

/// The same, of these places and this environment.
///
/// # Errors
/// [`ArgsError`].
pub fn read_at(
    places: &Places,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    words: impl IntoIterator<Item = OsString>,
) -> Result<Cli, ArgsError> {
    let words: Vec<OsString> = words.into_iter().collect();
    // What was mistyped is told first, and the help needs no file.
    let typed = Cli::try_parse_from(&words)?;
    let command = Cli::command();
    let schema = Schema::new(NAME, command.get_arguments());
    let loaded = rift_settings::load(&schema, places, typed.run.config.as_deref(), environment)?;
    let mut all: Vec<OsString> = words.iter().take(1).cloned().collect();
    all.extend(loaded.words(command.get_arguments(), &words));
    all.extend(words.into_iter().skip(1));
    Ok(Cli::from_arg_matches(&command.try_get_matches_from(all)?)?)
}

/// Writes what the relay goes by, and where it comes from; `typed` are the words of the command line.
///
/// # Errors
/// [`SettingsError`].
pub fn show(settings: &RunArgs, typed: &[OsString], out: &mut impl Write) -> Result<(), SettingsError> {
    let command = Cli::command();
    let schema = Schema::new(NAME, command.get_arguments());
    let loaded =
        rift_settings::load(&schema, &Places::here(NAME), settings.config.as_deref(), std::env::vars_os())?;
    rift_settings::show(&schema, &loaded, command.get_arguments(), typed, out)
}

const NAME: &str = "relay";

fn region(text: &str) -> Result<RelayText, String> {
    let region = RelayText::try_from(text).ok().filter(|text| is_plain(text));
    region.ok_or_else(|| format!("a region has at most {} bytes, and prints", rift::limits::RELAY_TEXT_MAX))
}

fn key(text: &str) -> Result<[u8; 32], String> {
    let wrong = || "a key is 64 hexadecimal digits, as the gateway prints them".to_owned();
    let digits = text.as_bytes();
    let mut key = [0; 32];
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(wrong());
    }
    for (byte, pair) in key.iter_mut().zip(digits.as_chunks::<2>().0) {
        let pair = core::str::from_utf8(pair).map_err(|_| wrong())?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
    }
    Ok(key)
}
