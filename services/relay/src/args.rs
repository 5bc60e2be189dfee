//! The command line and the configuration file, whose keys are the long options of `run`.

use core::net::SocketAddr;
use core::num::NonZeroU16;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use rift::wire::fleet::RelayText;

use crate::beat::GatewayName;

/// Forwards encrypted packets between peers who find no direct path.
///
/// Without a command it runs. It reads nothing of what it forwards, and forwards only under leases signed by a gateway it
/// trusts (`--trust KEY`). What is said on the command line wins over the environment (WAVRY_RELAY_…), and that over the
/// configuration file, whose keys are the long options of `run`.
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
}

/// How to run.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// A configuration file (TOML) [default: /etc/wavry/relay.toml if there is one]
    #[arg(long, global = true, env = "WAVRY_RELAY_CONFIG")]
    pub config: Option<PathBuf>,
    /// Where the relay's key is kept, made at the first start
    #[arg(long, global = true, env = "WAVRY_RELAY_STATE", default_value = "/var/lib/wavry-relay")]
    pub state: PathBuf,
    /// Address and UDP port to listen at; port 0 = any free one
    #[arg(long, env = "WAVRY_RELAY_LISTEN", default_value = "[::]:4749")]
    pub listen: SocketAddr,
    /// A gateway's key for leases (64 hexadecimal digits); say it again for each
    #[arg(long, value_name = "KEY", value_parser = key, env = "WAVRY_RELAY_TRUST", value_delimiter = ',')]
    pub trust: Vec<[u8; 32]>,
    /// A gateway that is told how this relay is, and tells whom to trust: ID@ADDRESS:PORT with the ID that `wavry-gateway
    /// id` prints; say it again for each. The gateway has to know this relay, too (`wavry-gateway --relay`)
    #[arg(long, value_name = "GATEWAY", env = "WAVRY_RELAY_GATEWAY", value_delimiter = ',')]
    pub gateway: Vec<GatewayName>,
    /// Where peers reach this relay, as gateways are to tell them; with 0.0.0.0 the address that the gateway sees
    /// [default: the port of --listen, at the address that the gateway sees]
    #[arg(long, value_name = "ADDRESS", env = "WAVRY_RELAY_PUBLIC")]
    pub public: Option<SocketAddr>,
    /// In which part of the world it is, as gateways' operators are to see it
    #[arg(long, value_parser = region, env = "WAVRY_RELAY_REGION", default_value = "")]
    pub region: RelayText,
    /// What this machine's line carries, in Mbit/s: of that the load is reckoned
    #[arg(long, env = "WAVRY_RELAY_LINE_MBIT", default_value_t = 1_000)]
    pub line_mbit: u32,
    /// Threads [default: one for each core]
    #[arg(long, env = "WAVRY_RELAY_THREADS")]
    pub threads: Option<NonZeroU16>,
    /// Most leases at a time
    #[arg(long, env = "WAVRY_RELAY_LEASES_MAX", default_value_t = 10_000)]
    pub leases_max: usize,
    /// Most that one peer may send whatever its lease says, in Mbit/s
    #[arg(long, env = "WAVRY_RELAY_MBIT_MAX", default_value_t = 100)]
    pub mbit_max: u16,
    /// Packets that may wait, 2 KiB each
    #[arg(long, env = "WAVRY_RELAY_PACKETS_MAX", default_value_t = 2048)]
    pub packets_max: usize,
    /// Where to serve /metrics, /healthz and /readyz over HTTP, such as 127.0.0.1:9474 [default: nowhere]
    #[arg(long, env = "WAVRY_RELAY_METRICS")]
    pub metrics: Option<SocketAddr>,
    /// How long leases may go on after SIGTERM, in seconds
    #[arg(long, env = "WAVRY_RELAY_DRAIN", default_value_t = 30)]
    pub drain: u32,
    /// Write the UDP port into this file once it is open
    #[arg(long)]
    pub port_file: Option<PathBuf>,
    /// What to log: error, warn, info, debug, or by module
    #[arg(long, env = "WAVRY_RELAY_LOG", default_value = "info")]
    pub log: String,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// It is no TOML, or a value is of no use.
    #[error("the configuration {path}: {what}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A key or a value is wrong, there or on the command line; the parser's own words.
    #[error(transparent)]
    Wrong(#[from] clap::Error),
}

const DEFAULT_CONFIG: &str = "/etc/wavry/relay.toml";

/// Reads the words of the command line, and the file they name.
///
/// # Errors
/// [`SettingsError`].
pub fn read(words: impl IntoIterator<Item = OsString>) -> Result<Cli, SettingsError> {
    let words: Vec<OsString> = words.into_iter().collect();
    let said = Cli::try_parse_from(&words)?;
    let (path, is_asked_for) = match &said.run.config {
        Some(path) => (path.as_path(), true),
        None => (Path::new(DEFAULT_CONFIG), false),
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_asked_for => return Ok(said),
        Err(source) => return Err(SettingsError::Read { path: path.to_owned(), source }),
    };
    with_file(&words, &text, path)
}

/// The words of the command line after those of the file: the last one said counts.
///
/// # Errors
/// [`SettingsError::Syntax`], [`SettingsError::Wrong`].
pub fn with_file(words: &[OsString], text: &str, path: &Path) -> Result<Cli, SettingsError> {
    let syntax = |what: String| SettingsError::Syntax { path: path.to_owned(), what };
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| syntax(error.to_string()))?;
    let mut all: Vec<OsString> = words.iter().take(1).cloned().collect();
    for (key, value) in &table {
        let values = value.as_array().map_or(core::slice::from_ref(value), Vec::as_slice);
        for value in values {
            let text = value.as_str().map(str::to_owned);
            let value = text.or_else(|| value.as_integer().map(|number| number.to_string()));
            let what = || syntax(format!("{key}: give a text, a whole number, or a list of texts"));
            all.push(format!("--{key}={}", value.ok_or_else(what)?).into());
        }
    }
    all.extend(words.iter().skip(1).cloned());
    let named = Cli::command()
        .override_usage(format!("keys of {} are the long options of wavry-relay", path.display()));
    Ok(Cli::from_arg_matches(&named.try_get_matches_from(all)?)?)
}

fn region(text: &str) -> Result<RelayText, String> {
    let is_plain = !text.chars().any(char::is_control);
    let region = RelayText::try_from(text).ok().filter(|_| is_plain);
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
