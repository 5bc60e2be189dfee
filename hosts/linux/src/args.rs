//! The command line.

use core::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use rift::wire::signal::EnrolmentToken;
use rift::{Permissions, Pin, PublicKey};
use rift_mio::BUSY_POLL_US_MAX;
use rift_v4l::{Edid, FourCc};

use crate::allow::permission;
use crate::gateway;
use crate::handshake::Implementation;
use crate::input::Way;
use crate::power::{Action, Hooks};
use crate::sound::SoundSpec;
use crate::source::Spec;

/// Shares a screen, an application or a capture card with the clients on its list.
///
/// Without a command it runs the host. Everything is encrypted; nobody gets in who was not allowed by
/// `wavry-server allow ID`. The keys of configuration files are the long options of `run`. What is said on the command line wins
/// over the environment (WAVRY_SERVER_FPS for `fps`), that over $XDG_CONFIG_HOME/wavry/server.toml (else
/// ~/.config/wavry/server.toml), that over /etc/wavry/server.d/*.toml, /etc/wavry/server.toml and
/// /usr/share/wavry/server.toml. `wavry-server settings` shows what comes of them.
#[derive(Clone, Debug, Parser)]
#[command(name = "wavry-server", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do instead of running.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Pair with a new client at once: prints a PIN to be typed at `wavry-client pair`
    #[arg(long)]
    pub pair: bool,
    /// How to run.
    #[command(flatten)]
    pub run: RunArgs,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run the host (the same as no command)
    Run(Box<RunArgs>),
    /// Show each setting of `run`, and the file, variable or option it comes from
    Settings(Box<RunArgs>),
    /// Pair with a new client by PIN, at the running host: prints a PIN to be typed at `wavry-client pair`
    Pair {
        /// The PIN that the client shows (`wavry-client pair --show-pin`, or a board), instead of one shown here
        #[arg(long, value_parser = pin)]
        pin: Option<Pin>,
        /// What to call the client in lists and logs
        #[arg(long, default_value = CLIENT_NAME)]
        name: String,
        /// What it may do.
        #[command(flatten)]
        rights: Rights,
        /// Also while somebody watches: this terminal is not on the shared screen
        #[arg(long)]
        while_watched: bool,
        /// Where the state is
        #[command(flatten)]
        place: Place,
    },
    /// Let a client in, or change what it may do; a running host notices at once
    Allow {
        /// The client's Wavry ID: `wavry id` prints it there
        id: PublicKey,
        /// What to call it in lists and logs [default: client]
        #[arg(long)]
        name: Option<String>,
        /// What it may do.
        #[command(flatten)]
        rights: Rights,
        /// Where the state is
        #[command(flatten)]
        place: Place,
    },
    /// Show who is let in
    List {
        /// Where the state is
        #[command(flatten)]
        place: Place,
    },
    /// Take a client off the list; its live sessions end within a second
    Revoke {
        /// The client's Wavry ID
        id: PublicKey,
        /// Where the state is
        #[command(flatten)]
        place: Place,
    },
    /// Make this host's next key, which it then vouches for to every client; --switch puts it in place
    RotateKey {
        /// The next key becomes the host's, and the old one is gone; the host must not run
        #[arg(long)]
        switch: bool,
        /// Where the state is
        #[command(flatten)]
        place: Place,
    },
    /// Tell how a running host is: what it captures, who watches, how long things take
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
        /// As text that Prometheus reads
        #[arg(long, conflicts_with = "json")]
        metrics: bool,
        /// Where the state is
        #[command(flatten)]
        place: Place,
    },
    /// Switch the machine behind the capture card, by what the configuration's table `power` says for it
    Power {
        /// What to do
        #[arg(value_enum)]
        action: Action,
        /// Where the configuration is
        #[command(flatten)]
        place: Place,
    },
    /// Switch the running host's capture card to another of its inputs, until it is started anew: `cards` lists them
    SwitchInput {
        /// The input's number
        #[arg(value_name = "NUMBER")]
        index: u32,
        /// Where the state is
        #[command(flatten)]
        place: Place,
    },
    /// List capture devices and their inputs, with paths that stay the same whatever else is plugged in
    Cards,
    /// Print a link by which clients find this host, `wavry-client connect LINK`, as text and as a code for cameras
    Link {
        /// Addresses to put into it, HOST:PORT, with commas between; say them when there is no gateway
        #[arg(long, value_name = "ADDRESSES", value_delimiter = ',')]
        direct: Vec<String>,
        /// The gateway [default: the configuration's]
        #[arg(long, value_name = "ADDR", value_parser = gateway::address, requires = "gateway_id")]
        gateway: Option<String>,
        /// The gateway's Wavry ID
        #[arg(long, value_name = "ID", requires = "gateway")]
        gateway_id: Option<PublicKey>,
        /// Where the state is
        #[command(flatten)]
        place: Place,
    },
    /// Print this host's Wavry ID; makes its key if there is none
    Id {
        /// Where the state is
        #[command(flatten)]
        place: Place,
    },
}

/// What a client is called when nobody says.
pub const CLIENT_NAME: &str = "client";

/// What a client may do, as changes of what it may anyway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct Rights {
    /// It may watch and listen, not steer
    #[arg(long)]
    pub view_only: bool,
    /// What it may do as well, with commas between: view, pointer, keyboard, system-keys, gamepad, touch,
    /// clipboard-read, clipboard-write, file-send, file-receive, audio, microphone, record, power, admin
    #[arg(long, value_name = "WORDS", value_delimiter = ',', value_parser = permission)]
    pub permit: Vec<Permissions>,
    /// What it may not do, with commas between
    #[arg(long, value_name = "WORDS", value_delimiter = ',', value_parser = permission)]
    pub deny: Vec<Permissions>,
}

impl Rights {
    /// Whether nothing was said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The permissions of one who had `before`; what is denied is denied whatever else was said.
    #[must_use]
    pub fn of(&self, before: Permissions) -> Permissions {
        let base = if self.view_only { Permissions::view_only() } else { before };
        let all = |list: &[Permissions]| list.iter().copied().collect::<Permissions>();
        (base | all(&self.permit)) - all(&self.deny)
    }
}

/// Where things are.
#[derive(Clone, Debug, Default, Args)]
pub struct Place {
    /// Directory of the identity and the list of clients [default: $XDG_STATE_HOME/wavry, else ~/.local/state/wavry]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// A configuration file to read instead of all others
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// How to run. What is `None` was not said.
#[derive(Clone, Debug, Default, Args)]
pub struct RunArgs {
    /// What to share: x11, x11:DISPLAY, app:COMMAND, v4l:PATH or test [default: the screen if there is one, else the
    /// first capture device, else test]
    #[arg(long, value_name = "SOURCE")]
    pub source: Option<Spec>,
    /// Address and UDP port to listen at; port 0 = any free one [default: port 4747 of every address]
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// Where things are.
    #[command(flatten)]
    pub place: Place,
    /// Nobody steers, whatever the list says
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub view_only: Option<bool>,
    /// Which implementation answers handshakes; the first two are the same on the wire [default: rift]
    #[arg(long, value_enum)]
    pub handshake: Option<Implementation>,
    /// The highest bit rate of a viewer, as 20M, 800k or in bits per second; 500k to 300M [default: 300M]
    #[arg(long, value_name = "RATE", value_parser = bitrate)]
    pub bitrate_max: Option<u32>,
    /// Pictures a second at most, 1 to 240 [default: 60]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=240))]
    pub fps: Option<u32>,
    /// Make pictures smaller, 3/4 or 1/2 each way, while things move on a network too narrow for all their pixels (H.264; not of
    /// cards that encode) [default: true]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub resolution_steps: Option<bool>,
    /// Poll the last N microseconds before each paced departure without sleep, 0 to 200, for machines that wake programs late:
    /// datagrams leave closer to their times, for that much more of a processor [default: 0]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=i64::from(BUSY_POLL_US_MAX)))]
    pub busy_poll: Option<u32>,
    /// Write a line `ADDR:PORT ID` to this file once the host listens; with 127.0.0.1 for a wildcard address
    #[arg(long, value_name = "FILE")]
    pub port_file: Option<PathBuf>,
    /// Which input of the capture device, by the number that `wavry-server cards` prints [default: as it is set]
    #[arg(long, value_name = "N")]
    pub capture_input: Option<u32>,
    /// Which pixel format of the capture device, by its four letters as `cards` prints them [default: the best]
    #[arg(long, value_name = "FORMAT", value_parser = four_letters)]
    pub capture_format: Option<FourCc>,
    /// To which size to set the capture device, as `cards` prints them, else to the nearest; a card that measures its
    /// signal needs none [default: the signal's, else what the last program has set]
    #[arg(long, value_name = "WxH", value_parser = size)]
    pub capture_size: Option<(u16, u16)>,
    /// Show pictures that the capture device damaged or cut short as far as they go (JPEG) [default: the last whole one
    /// stays]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub capture_damaged: Option<bool>,
    /// What the capture device tells sources that it is: 1080p60, 4k30, or a file of display data (EDID) [default: as
    /// it is set]
    #[arg(long, value_name = "DISPLAY")]
    pub edid: Option<Edid>,
    /// Serve figures to Prometheus at this address, as http://ADDR:PORT/metrics [default: not]
    #[arg(long, value_name = "ADDR:PORT")]
    pub metrics: Option<SocketAddr>,
    /// Announce this host on the local network, so that `wavry-client list` shows it; who does not know its ID learns
    /// only that some host is there [default: yes, unless it listens at a loopback address]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub announce: Option<bool>,
    /// The name to announce it under, which everybody on the network sees [default: one that changes and says nothing]
    #[arg(long, value_name = "NAME")]
    pub announce_name: Option<String>,
    /// The gateway by which clients find this host from anywhere: HOST or HOST:PORT, port 4748 unless said
    #[arg(long, value_name = "ADDR", value_parser = gateway::address)]
    pub gateway: Option<String>,
    /// Ask this machine's router to open the port (PCP, NAT-PMP, UPnP), so that clients whom the gateway introduces find a direct way
    /// more often; strangers are not answered there either [default: yes, if there is a gateway]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub map_port: Option<bool>,
    /// The gateway's Wavry ID, as `wavry-gateway id` prints it there; nobody else is believed to be it
    #[arg(long, value_name = "ID")]
    pub gateway_id: Option<PublicKey>,
    /// With what to enrol at the gateway, needed once: `wavry-gateway token` prints it there
    #[arg(long, value_name = "TOKEN", value_parser = gateway::token)]
    pub enrol: Option<EnrolmentToken>,
    /// How to inject input: auto = xtest for x11 and app, uinput for the others [default: auto]
    #[arg(long, value_enum)]
    pub input: Option<Way>,
    /// Share the clipboard of the display, as text, with clients that have the rights clipboard-read or clipboard-write
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub clipboard: Option<bool>,
    /// Take files into this directory from clients that have the right file-send; it is made if it is not there. Nothing in it
    /// is replaced [default: none are taken]
    #[arg(long, value_name = "DIR")]
    pub files: Option<PathBuf>,
    /// The largest file to take, as 500M, 20G or in bytes [default: 4G]
    #[arg(long, value_name = "SIZE", value_parser = file_size)]
    pub files_size_max: Option<u64>,
    /// What to let clients hear who have the right audio: a sound device or card that ALSA knows (`wavry doctor` lists
    /// them), or test for a tone [default: nothing]
    #[arg(long, value_name = "DEVICE")]
    pub audio_device: Option<SoundSpec>,
    /// The highest bit rate of sound, as 96k; 24k to 510k [default: 128k]
    #[arg(long, value_name = "RATE", value_parser = audio_bitrate)]
    pub audio_bitrate: Option<u32>,
    /// Let nobody hear anything, whatever device the configuration names
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub no_audio: Option<bool>,
    /// The screen's size of an app source [default: 1280x720]
    #[arg(long, value_name = "WxH", value_parser = size)]
    pub app_size: Option<(u16, u16)>,
    /// What to log, as `info` or `wavry_server=debug` [default: info]
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// How to switch the machine behind the capture card; only in the configuration.
    #[arg(skip)]
    pub power: Hooks,
}

impl RunArgs {
    /// What was said here, and what `other` says of the rest.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            source: self.source.or(other.source),
            listen: self.listen.or(other.listen),
            place: Place {
                state: self.place.state.or(other.place.state),
                config: self.place.config.or(other.place.config),
            },
            view_only: self.view_only.or(other.view_only),
            handshake: self.handshake.or(other.handshake),
            bitrate_max: self.bitrate_max.or(other.bitrate_max),
            fps: self.fps.or(other.fps),
            resolution_steps: self.resolution_steps.or(other.resolution_steps),
            busy_poll: self.busy_poll.or(other.busy_poll),
            port_file: self.port_file.or(other.port_file),
            capture_input: self.capture_input.or(other.capture_input),
            capture_format: self.capture_format.or(other.capture_format),
            capture_size: self.capture_size.or(other.capture_size),
            capture_damaged: self.capture_damaged.or(other.capture_damaged),
            edid: self.edid.or(other.edid),
            power: self.power.or(other.power),
            metrics: self.metrics.or(other.metrics),
            announce: self.announce.or(other.announce),
            announce_name: self.announce_name.or(other.announce_name),
            gateway: self.gateway.or(other.gateway),
            map_port: self.map_port.or(other.map_port),
            gateway_id: self.gateway_id.or(other.gateway_id),
            enrol: self.enrol.or(other.enrol),
            input: self.input.or(other.input),
            clipboard: self.clipboard.or(other.clipboard),
            files: self.files.or(other.files),
            files_size_max: self.files_size_max.or(other.files_size_max),
            audio_device: self.audio_device.or(other.audio_device),
            audio_bitrate: self.audio_bitrate.or(other.audio_bitrate),
            no_audio: self.no_audio.or(other.no_audio),
            app_size: self.app_size.or(other.app_size),
            log: self.log.or(other.log),
        }
    }
}

/// Reads a PIN.
fn pin(text: &str) -> Result<Pin, String> {
    Pin::parse(text).map_err(|error| error.to_string())
}

/// Reads a rate: a number of bits per second, or of thousands (`k`) or millions (`M`) of them.
fn bitrate(text: &str) -> Result<u32, String> {
    rate(text)
        .filter(|rate| (500_000..=300_000_000).contains(rate))
        .ok_or_else(|| "a rate is 500k to 300M, as 20M, 800k or 20000000".to_owned())
}

/// The same of sound.
fn audio_bitrate(text: &str) -> Result<u32, String> {
    rate(text)
        .filter(|rate| (24_000..=510_000).contains(rate))
        .ok_or_else(|| "sound's rate is 24k to 510k, as 96k or 96000".to_owned())
}

fn rate(text: &str) -> Option<u32> {
    let (digits, factor) = match text.strip_suffix(['M', 'm']) {
        Some(digits) => (digits, 1_000_000),
        None => text.strip_suffix(['k', 'K']).map_or((text, 1), |digits| (digits, 1000)),
    };
    digits.parse::<u32>().ok().and_then(|number| number.checked_mul(factor))
}

/// Reads a number of bytes, or of 2²⁰ (`M`) or 2³⁰ (`G`) of them.
fn file_size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.strip_suffix(['G', 'g']) {
        Some(digits) => (digits, 30),
        None => text.strip_suffix(['M', 'm']).map_or((text, 0), |digits| (digits, 20)),
    };
    let size = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    size.filter(|size| *size > 0).ok_or_else(|| "a size is as 500M, 20G or 1000000".to_owned())
}

/// Reads the name of a pixel format; shorter ones are filled with blanks, as the kernel does.
fn four_letters(text: &str) -> Result<FourCc, String> {
    let mut name = [b' '; 4];
    match name.get_mut(..text.len()) {
        Some(place) if !text.is_empty() && text.is_ascii() => place.copy_from_slice(text.as_bytes()),
        _ => return Err("a format has up to four letters, as YUYV".to_owned()),
    }
    Ok(FourCc(name))
}

/// Reads a size in pixels.
fn size(text: &str) -> Result<(u16, u16), String> {
    let side = |text: &str| text.parse::<u16>().ok().filter(|side| (64..=16384).contains(side));
    let sides = text.split_once('x').and_then(|(width, height)| Some((side(width)?, side(height)?)));
    sides.ok_or_else(|| "a size is WIDTHxHEIGHT, each 64 to 16384 pixels".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn command_line_is_sound_and_run_is_optional() {
        Cli::command().debug_assert();
        let bare = Cli::try_parse_from(["wavry-server", "--source", "test", "--view-only"]).unwrap();
        assert_eq!((bare.run.source, bare.run.view_only), (Some(Spec::Test), Some(true)));
        let run = Cli::try_parse_from(["wavry-server", "run", "--fps", "30", "--view-only=false"]).unwrap();
        let Some(Command::Run(run)) = run.command else { panic!("no command") };
        assert_eq!((run.fps, run.view_only), (Some(30), Some(false)));
    }

    #[test]
    fn rights_are_changes_and_denying_wins() {
        let parse = |words: &[&str]| {
            let id = rift::Identity::from_secret([3; 32]).public().to_string();
            let line = [&["wavry-server", "allow", &id], words].concat();
            match Cli::try_parse_from(line).map(|cli| cli.command) {
                Ok(Some(Command::Allow { rights, .. })) => Ok(rights),
                Ok(_) => panic!("allow was asked for"),
                Err(error) => Err(error.to_string()),
            }
        };
        let default = Permissions::default_control();
        assert!(parse(&[]).unwrap().is_empty());
        let rights = parse(&["--permit", "system-keys,power", "--deny", "pointer,power"]).unwrap();
        let expected = (default | Permissions::SYSTEM_KEYS) - Permissions::POINTER;
        assert_eq!(rights.of(default), expected);
        let rights = parse(&["--view-only", "--permit", "keyboard"]).unwrap();
        assert_eq!(rights.of(Permissions::all()), Permissions::view_only() | Permissions::KEYBOARD);
        assert!(parse(&["--permit", "fly"]).unwrap_err().contains("clipboard-read"));
    }

    #[test]
    fn values_out_of_range_are_refused_by_what_is_right() {
        for (option, value, hint) in [
            ("--bitrate-max", "1k", "500k to 300M"),
            ("--bitrate-max", "9999M", "500k to 300M"),
            ("--fps", "0", "1..=240"),
            ("--busy-poll", "201", "0..=200"),
            ("--audio-bitrate", "1M", "24k to 510k"),
            ("--files-size-max", "0", "500M, 20G"),
            ("--files-size-max", "99999999999G", "500M, 20G"),
            ("--source", "screen", "app:COMMAND"),
            ("--app-size", "1280", "WIDTHxHEIGHT"),
            ("--capture-size", "1920x", "WIDTHxHEIGHT"),
        ] {
            let error = Cli::try_parse_from(["wavry-server", option, value]).unwrap_err().to_string();
            assert!(error.contains(hint), "{option} {value}: {error}");
        }
        assert_eq!(bitrate("20M"), Ok(20_000_000));
        assert_eq!(bitrate("800k"), Ok(800_000));
        assert!(Cli::try_parse_from(["wavry-server", "allow", "ABC"]).is_err());
    }
}
