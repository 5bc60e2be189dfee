//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use rift::wire::signal::EnrolmentToken;
use rift::{PublicKey, Suite};
use rift_mio::{CLIENT_BUSY_POLL_US, CLIENT_BUSY_POLL_US_MAX};

use crate::audio::Output;

/// The UDP port of a host unless somebody says otherwise.
pub const PORT_DEFAULT: u16 = 4747;
/// The sound device unless somebody says otherwise: the one that ALSA's configuration or a sound server makes the default.
const AUDIO_DEVICE: &str = "default";
/// Files sent at a time: each is open until it is there.
const FILES_MAX: usize = 256;

/// Shows and steers a Wavry host.
///
/// The keys of configuration files are the long options. What is said on the command line wins over the environment
/// (WAVRY_CLIENT_DISPLAY for `display`), that over $XDG_CONFIG_HOME/wavry/client.toml (else ~/.config/wavry/client.toml), that
/// over /etc/wavry/client.d/*.toml, /etc/wavry/client.toml and /usr/share/wavry/client.toml. `wavry-client settings` shows what
/// comes of them.
#[derive(Debug, Parser)]
#[command(name = "wavry-client", version, about, args_override_self = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Shows a host's screen and steers it
    Connect(Box<Connect>),
    /// Pairs with a host by PIN: it then knows this client, and this client it
    Pair(Pair),
    /// Shows the hosts that announce themselves on the local network, and which of them this client knows
    List(List),
    /// Sends files to a host that takes them (`wavry-server --files`); it must let this client: `allow ID --permit file-send`
    Send(SendFiles),
    /// Switches the machine behind a host's capture card; the host must let this client: `allow ID --permit power`
    Power(Power),
    /// Shows each setting, and the file, variable or option it comes from
    Settings(Settings),
    /// Prints this client's Wavry ID, which the host must be told: `wavry-server allow ID`
    Id(Id),
}

/// What `connect` takes. Every long option may also stand in client.toml.
#[derive(Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct Connect {
    /// The host: a name or an address, `HOST`, `HOST:PORT` or `[IPv6]:PORT`, or a link of its own, `wavry://…`, as
    /// `wavry-server link` prints it [default: wherever the host of --host-id announces itself on the local network]
    #[arg(required_unless_present = "host_id")]
    pub host: Option<String>,
    /// With what to enrol at the gateway of a link, needed once: `wavry-gateway token` prints it there
    #[arg(long, value_name = "TOKEN", value_parser = parse_token)]
    pub enrol: Option<EnrolmentToken>,
    /// The host's Wavry ID, as it prints it when it starts [default: that of the host paired with]
    #[arg(long, value_name = "ID", value_parser = parse_id)]
    pub host_id: Option<PublicKey>,
    /// How to show it
    #[arg(long, value_enum, default_value_t = DisplayKind::Minifb)]
    pub display: DisplayKind,
    /// The X display of the window [default: the environment's DISPLAY]
    #[arg(long, value_name = "DISPLAY")]
    pub x_display: Option<String>,
    /// Which handshake to use; the first two speak the same
    #[arg(long, value_enum, default_value_t = HandshakeKind::Rift)]
    pub handshake: HandshakeKind,
    /// How the host is to code the pictures
    #[arg(long, value_enum, default_value_t = CodecKind::Auto)]
    pub codec: CodecKind,
    /// Send the characters that keys enter here, so that this client's layout counts and not the host's
    #[arg(long)]
    pub text_input: bool,
    /// Only watch: send no input
    #[arg(long)]
    pub view_only: bool,
    /// Share the clipboard of this X display with the host, as text and as far as it permits
    #[arg(long)]
    pub clipboard: bool,
    /// Where to hear the host: a sound device or card that ALSA knows, or file:PATH for a WAVE file [default: default;
    /// without a window, nowhere]
    #[arg(long, value_name = "DEVICE")]
    pub audio_device: Option<Output>,
    /// Hear nothing, and have the host send no sound
    #[arg(long)]
    pub no_audio: bool,
    /// Fill the screen
    #[arg(long)]
    pub fullscreen: bool,
    /// Show the latencies from the start, as Ctrl+Alt+Shift+S does
    #[arg(long)]
    pub overlay: bool,
    /// Open no window: decode, measure, end
    #[arg(long)]
    pub headless: bool,
    /// End after this many seconds of session
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub seconds: Option<u32>,
    /// End after this many pictures
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub frames: Option<u64>,
    /// At the end write the picture shown last here
    #[arg(long, value_name = "FILE")]
    pub png: Option<PathBuf>,
    /// At the end write what was measured here
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// The UDP payload that every path is assumed to carry, in bytes; longer datagrams are tried before they are used
    #[arg(long, value_name = "BYTES", default_value_t = 1200, value_parser = clap::value_parser!(u16).range(1200..=8952))]
    pub datagram: u16,
    /// Poll without sleep at most N microseconds before and after the time at which a picture is expected, 0 to 500, since many
    /// machines wake programs late; as pictures keep to their times it is less
    #[arg(long, value_name = "N", default_value_t = CLIENT_BUSY_POLL_US, value_parser = clap::value_parser!(u32).range(..=i64::from(CLIENT_BUSY_POLL_US_MAX)))]
    pub busy_poll: u32,
    /// What to keep: settings and state
    #[command(flatten)]
    pub common: Common,
}

impl Connect {
    /// Whether the host is to be heard.
    #[must_use]
    pub const fn hears(&self) -> bool {
        !self.no_audio && (self.audio_device.is_some() || !self.headless)
    }

    /// Where.
    #[must_use]
    pub fn output(&self) -> Output {
        self.audio_device.clone().unwrap_or_else(|| Output::Alsa(AUDIO_DEVICE.to_owned()))
    }
}

/// What `pair` takes.
#[derive(Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct Pair {
    /// The host: a name or an address, `HOST`, `HOST:PORT` or `[IPv6]:PORT`, or a link (`wavry-server link`)
    pub host: String,
    /// With what to enrol at the gateway of a link, needed once: `wavry-gateway token` prints it there
    #[arg(long, value_name = "TOKEN", value_parser = parse_token)]
    pub enrol: Option<EnrolmentToken>,
    /// Show a PIN here, to be typed at the host: `wavry-server pair --pin PIN`
    #[arg(long)]
    pub show_pin: bool,
    /// Which handshake to use; the first two speak the same
    #[arg(long, value_enum, default_value_t = HandshakeKind::Rift)]
    pub handshake: HandshakeKind,
    /// What to keep: settings and state
    #[command(flatten)]
    pub common: Common,
}

/// What `power` takes.
#[derive(Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct Power {
    /// What to do
    #[arg(value_enum)]
    pub action: PowerAction,
    /// The host: a name or an address, `HOST`, `HOST:PORT` or `[IPv6]:PORT` [default: wherever the host of --host-id
    /// announces itself on the local network]
    #[arg(required_unless_present = "host_id")]
    pub host: Option<String>,
    /// The host's Wavry ID [default: that of the host paired with]
    #[arg(long, value_name = "ID", value_parser = parse_id)]
    pub host_id: Option<PublicKey>,
    /// Whose handshake to use; both speak the same
    #[arg(long, value_enum, default_value_t = HandshakeKind::Rift)]
    pub handshake: HandshakeKind,
    /// What to keep: settings and state
    #[command(flatten)]
    pub common: Common,
}

/// What `send` takes.
#[derive(Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct SendFiles {
    /// The host: a name or an address, `HOST`, `HOST:PORT` or `[IPv6]:PORT`, or a link of its own, `wavry://…`
    pub host: String,
    /// What to send: plain files. What was broken off goes on where it ended
    #[arg(required = true, value_name = "FILE", num_args = 1..=FILES_MAX)]
    pub files: Vec<PathBuf>,
    /// With what to enrol at the gateway of a link, needed once: `wavry-gateway token` prints it there
    #[arg(long, value_name = "TOKEN", value_parser = parse_token)]
    pub enrol: Option<EnrolmentToken>,
    /// The host's Wavry ID [default: that of the host paired with]
    #[arg(long, value_name = "ID", value_parser = parse_id)]
    pub host_id: Option<PublicKey>,
    /// Whose handshake to use; the first two speak the same
    #[arg(long, value_enum, default_value_t = HandshakeKind::Rift)]
    pub handshake: HandshakeKind,
    /// What to keep: settings and state
    #[command(flatten)]
    pub common: Common,
}

/// What can be done to the machine behind a capture card, as far as its host has been told how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PowerAction {
    /// As a short press of its power button
    On,
    /// As a long press
    Off,
    /// As its reset button
    Reset,
    /// Wakes it by a packet on the host's network
    Wake,
}

/// What `list` takes.
#[derive(Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct List {
    /// Listen for this many seconds
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=60))]
    pub seconds: u32,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// Settings and state.
    #[command(flatten)]
    pub common: Common,
}

/// What `settings` takes.
#[derive(Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct Settings {
    /// Settings and state.
    #[command(flatten)]
    pub common: Common,
}

/// What `id` takes.
#[derive(Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct Id {
    /// Settings and state.
    #[command(flatten)]
    pub common: Common,
}

/// What every command takes.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Where this client keeps its identity [default: $XDG_STATE_HOME/wavry]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// A configuration file to read instead of all others
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to log: error, warn, info, debug, trace, or a filter such as `wavry_client=debug`
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log: String,
}

/// How a session is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DisplayKind {
    /// minifb's window, accelerated where that is possible
    Minifb,
    /// minifb's window and nothing else
    MinifbPlain,
    /// An X11 window of its own
    X11,
}

/// How pictures are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CodecKind {
    /// Whatever the host has, H.264 rather than tiles
    Auto,
    /// H.264: little for moving pictures
    H264,
    /// Tiles: every pixel exactly
    Tiles,
}

/// Whose handshake is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HandshakeKind {
    /// The protocol's own
    Rift,
    /// The crate snow's
    Snow,
    /// X25519 and ML-KEM-768: experimental, and only with hosts that have it switched on. A host that was reached so
    /// once is never reached in another way again
    ExperimentalHybrid,
}

impl HandshakeKind {
    /// What its secrets rest on.
    #[must_use]
    pub const fn suite(self) -> Suite {
        match self {
            Self::Rift | Self::Snow => Suite::Classical,
            Self::ExperimentalHybrid => Suite::Hybrid,
        }
    }
}

impl Arguments {
    /// The settings that every command has.
    #[must_use]
    pub const fn common(&self) -> &Common {
        match &self.command {
            Command::Connect(connect) => &connect.common,
            Command::Settings(settings) => &settings.common,
            Command::Pair(pair) => &pair.common,
            Command::Power(power) => &power.common,
            Command::Send(send) => &send.common,
            Command::Id(id) => &id.common,
            Command::List(list) => &list.common,
        }
    }
}

fn parse_token(text: &str) -> Result<EnrolmentToken, String> {
    EnrolmentToken::parse(text)
        .ok_or_else(|| "a token has 32 hexadecimal digits, as `wavry-gateway token` prints them".to_owned())
}

fn parse_id(text: &str) -> Result<PublicKey, String> {
    text.parse().map_err(|error: rift::crypto::IdentityError| error.to_string())
}

/// Splits `HOST`, `HOST:PORT`, `IPv6`, `[IPv6]` or `[IPv6]:PORT`; without a port it is [`PORT_DEFAULT`].
///
/// # Errors
/// What is wrong with it, for a person to read.
pub fn split_host(text: &str) -> Result<(String, u16), String> {
    let wrong = |what: &str| Err(format!("{text:?} is no HOST or HOST:PORT: {what}"));
    if text.starts_with(rift_keystore::link::SCHEME) {
        return wrong("a link is for `wavry-client connect`");
    }
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let Some((host, rest)) = rest.split_once(']') else { return wrong("a ] is missing") };
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return wrong("only :PORT may follow the ]"),
        }
    } else if text.matches(':').count() > 1 {
        (text, None)
    } else {
        text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)))
    };
    if host.is_empty() {
        return wrong("the host is missing");
    }
    match port.map(str::parse) {
        None => Ok((host.to_owned(), PORT_DEFAULT)),
        Some(Ok(port)) if port != 0 => Ok((host.to_owned(), port)),
        Some(_) => wrong("a port is a number from 1 to 65535"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn host_is_split_from_its_port() {
        for (text, host, port) in [
            ("example.org", "example.org", 4747),
            ("example.org:5000", "example.org", 5000),
            ("127.0.0.1:1", "127.0.0.1", 1),
            ("::1", "::1", 4747),
            ("[::1]", "::1", 4747),
            ("[fe80::1%eth0]:99", "fe80::1%eth0", 99),
        ] {
            assert_eq!(split_host(text), Ok((host.to_owned(), port)), "{text}");
        }
        for text in ["", ":1", "a:", "a:0", "a:65536", "[::1", "[::1]9", "[]"] {
            assert!(split_host(text).is_err(), "{text}");
        }
    }

    #[test]
    fn later_options_override_earlier_ones() {
        let id = rift::Identity::from_secret([7; 32]).public().to_string();
        let words = ["wavry-client", "connect", "--display", "x11", "--seconds", "5", "--view-only"];
        let later = ["host", "--host-id", &id, "--display", "minifb-plain", "--view-only", "--seconds", "9"];
        let Command::Connect(connect) =
            Arguments::try_parse_from(words.iter().chain(&later)).expect("it parses").command
        else {
            panic!("connect was asked for")
        };
        assert_eq!((connect.display, connect.seconds), (DisplayKind::MinifbPlain, Some(9)));
        assert!(connect.view_only);
    }
}
