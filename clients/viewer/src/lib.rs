//! Wavry's viewer: shows and steers a host.
//!
//! Three threads. The network's ([`net`], [`session`]) drives the session and hands over whole pictures in the buffers they were
//! reassembled in; the viewing one ([`view`]) decodes, presents, and hears the window. What they share is bounded
//! ([`link`]): a slow decoder costs pictures, never input and never memory.
//!
//! The rest is pure and tested by itself: arguments, configuration, keys, stage times, lines, the cursor's stream.

#![forbid(unsafe_code)]

pub mod args;
pub mod audio;
pub mod capture;
pub mod clipboard;
pub mod config;
pub mod cursor;
pub mod decode;
pub mod discover;
pub mod display;
mod errand;
pub mod error;
pub mod handshake;
pub mod input;
pub mod keys;
pub mod link;
pub mod meeting;
pub mod net;
pub mod overlay;
pub mod pair;
pub mod pins;
pub mod png;
pub mod power;
pub mod reconnect;
pub mod report;
pub mod send;
pub mod session;
pub mod stages;
pub mod tiles;
pub mod view;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;

use rift::wire::signal::EnrolmentToken;
use rift::{Identity, Permissions, PublicKey, Suite};
use rift_keystore::link::{HostLink, SCHEME};
use rift_mio::{CLIENT_BUSY_POLL_US, Clock, PICTURE_BUFFER_LEN};
use tracing::info;

use crate::args::{CodecKind, Common, Connect, DisplayKind, HandshakeKind};
use crate::audio::Feed;
use crate::clipboard::Clipboard;
use crate::error::ClientError;
use crate::link::{Link, Orders};
use crate::meeting::Meeting;
use crate::net::{Network, Target};
use crate::view::{View, Wishes};

/// Pictures that may wait for the decoder: at 60 Hz it is then 67 ms behind, and a repair is the better way.
const JOBS_MAX: usize = 4;
/// Buffers in all: those that wait, one in the decoder, one taken after it, and two on their way back.
const BUFFERS: usize = JOBS_MAX + 4;
/// Orders that may wait: a second of a 1000 Hz mouse.
const ORDERS_MAX: usize = 1024;
/// Cursor shapes that may wait.
const SHAPES_MAX: usize = 4;

/// The command line with what configuration files and the environment say put into it.
///
/// # Errors
/// They say something wrong.
pub fn command_line(words: Vec<OsString>) -> Result<Vec<OsString>, ClientError> {
    Ok(config::merge(words, &rift_settings::Places::here("client"), std::env::vars_os())?)
}

/// This client's identity; made if there is none yet.
///
/// # Errors
/// It cannot be read or made.
pub fn identity(common: &Common) -> Result<Identity, ClientError> {
    Ok(rift_keystore::load_or_create(&state_dir(common)?.join(rift_keystore::FILE_NAME))?)
}

/// Where this client keeps what it knows.
///
/// # Errors
/// There is no such place.
pub fn state_dir(common: &Common) -> Result<PathBuf, ClientError> {
    Ok(common.state.clone().map_or_else(rift_keystore::state_dir, Ok)?)
}

/// The key that the host must prove: what was said, else that of the host paired with.
///
/// With it comes what is known of a host that is pinned: the key that it has vouched for, and its suite.
fn host_keys(
    common: &Common,
    id: Option<PublicKey>,
    host: &str,
    port: u16,
) -> Result<(PublicKey, Option<PublicKey>, Suite), ClientError> {
    let pins = pins::load(&state_dir(common)?)?;
    let pin = pins.find(host, port);
    match (id, pin) {
        (None, Some(pin)) => Ok((pin.id, pin.successor, pin.suite)),
        (Some(id), Some(pin)) if id == pin.id => Ok((id, pin.successor, pin.suite)),
        // What is known of it by another name holds here as well.
        (Some(id), _) => Ok((id, None, pins.suite_of(&id))),
        (None, None) => Err(ClientError::UnknownHost(host.to_owned())),
    }
}

/// Where a host is, and who it must prove to be.
struct Place {
    host: String,
    port: u16,
    id: Option<PublicKey>,
    meeting: Option<Meeting>,
    direct: Vec<String>,
}

impl Place {
    /// Of what was said: `host` is an address or a link.
    fn of(
        host: Option<&str>,
        id: Option<PublicKey>,
        token: Option<EnrolmentToken>,
        common: &Common,
    ) -> Result<Self, ClientError> {
        let link = host.filter(|host| host.starts_with(SCHEME));
        let Some(link) = link else {
            let (host, port) = host_place(host, id)?;
            return Ok(Self { host, port, id, meeting: None, direct: Vec::new() });
        };
        let link: HostLink = link.parse().map_err(|error| ClientError::Usage(format!("{error}")))?;
        if id.is_some_and(|id| id != link.host) {
            return Err(ClientError::Usage("--host-id is another host's than the link's".to_owned()));
        }
        let (meeting, id) = (link.gateway, Some(link.host));
        if let Some(gateway) = meeting {
            pins::load(&state_dir(common)?)?.expect_gateway(&gateway)?;
            let host = short_id(&link.host);
            let meeting = Some(Meeting { gateway, token });
            return Ok(Self { host, port: args::PORT_DEFAULT, id, meeting, direct: link.direct });
        }
        let (host, port) = host_place(link.direct.first().map(String::as_str), id)?;
        Ok(Self { host, port, id, meeting: None, direct: link.direct })
    }

    /// Whom to call there with such a handshake, and what to ask for.
    fn target(
        self,
        common: &Common,
        handshake: HandshakeKind,
        wanted: Permissions,
    ) -> Result<Target, ClientError> {
        let (key, successor, known) = host_keys(common, self.id, &self.host, self.port)?;
        Ok(Target {
            host: self.host,
            port: self.port,
            key,
            identity: identity(common)?,
            handshake,
            codec: CodecKind::Auto,
            datagram_len: rift::limits::DATAGRAM_MIN as u16,
            busy_poll_us: CLIENT_BUSY_POLL_US,
            wanted,
            state: state_dir(common)?,
            successor,
            suite: known.max(handshake.suite()),
            known,
            meeting: self.meeting,
            direct: self.direct,
        })
    }
}

/// Of an ID people look at the beginning.
fn short_id(id: &PublicKey) -> String {
    id.to_string().chars().take(7).collect()
}

/// Where the host is: what was said, else where it announces itself on the local network.
fn host_place(host: Option<&str>, id: Option<PublicKey>) -> Result<(String, u16), ClientError> {
    match (host, id) {
        (Some(host), _) => args::split_host(host).map_err(ClientError::Usage),
        (None, Some(id)) => discover::place(id)?.ok_or(ClientError::NotAnnounced(id)),
        (None, None) => Err(ClientError::Usage("say which host: HOST or --host-id ID".to_owned())),
    }
}

/// What `list` prints.
///
/// # Errors
/// [`ClientError`], with words that say what to do.
pub fn list(options: &args::List) -> Result<Vec<u8>, ClientError> {
    let pins = pins::load(&state_dir(&options.common)?)?;
    let known = pins.iter().map(|pin| (pin.address.clone(), pin.id)).collect::<Vec<_>>();
    let hosts = discover::all(options.seconds)?;
    let mut text = Vec::new();
    let write = if options.json { discover::write_json } else { discover::write_table };
    write(&hosts, &known, &mut text).map_err(|error| ClientError::System("write the list", error))?;
    Ok(text)
}

/// minifb opens its window where the environment's `DISPLAY` says; `Some` when the program must be started again with
/// another value for that.
#[must_use]
pub fn other_display(connect: &Connect, display: Option<OsString>) -> Option<&str> {
    let is_minifb = matches!(connect.display, DisplayKind::Minifb | DisplayKind::MinifbPlain);
    let wanted = connect.x_display.as_deref().filter(|_| is_minifb && !connect.headless)?;
    (display.as_deref() != Some(wanted.as_ref())).then_some(wanted)
}

/// Shows and steers a host until the person, a limit, a signal or the host ends it. Returns a line for people.
///
/// # Errors
/// [`ClientError`], with words that say what to do.
pub fn connect(options: &Connect) -> Result<String, ClientError> {
    let place = Place::of(options.host.as_deref(), options.host_id, options.enrol, &options.common)?;
    let host = place.host.clone();
    let target = Target {
        codec: options.codec,
        datagram_len: options.datagram,
        busy_poll_us: options.busy_poll,
        ..place.target(&options.common, options.handshake, wanted(options))?
    };
    let clock = Clock::new();
    let link = Link::new().map_err(|error| ClientError::System("make an eventfd", error))?;
    let (orders, orders_end) = sync_channel(ORDERS_MAX);
    let (jobs, jobs_end) = sync_channel(JOBS_MAX);
    let (spares, spares_end) = sync_channel(BUFFERS);
    let (shapes, shapes_end) = sync_channel(SHAPES_MAX);
    for _ in 0..BUFFERS {
        // The channel has room for all of them, and its receiver is here.
        let _ = spares.try_send(vec![0; PICTURE_BUFFER_LEN]);
    }
    let display = options.x_display.as_deref();
    let (sound, speaker) = sound(options, &link, clock)?.unzip();
    let clipboard = options.clipboard.then(|| Clipboard::start(display, link.clone())).flatten();
    let link_end = link.clone();
    let ends = session::Ends {
        link: link_end,
        orders: orders_end,
        jobs,
        spares: spares_end,
        shapes,
        clipboard,
        sound,
        files: None,
    };
    let network = Network::new(target, clock, ends);
    let ends = view::Ends {
        orders: Orders::new(orders, link.clone()),
        link,
        jobs: jobs_end,
        spares,
        shapes: shapes_end,
        signals: signals().map_err(|error| ClientError::System("catch signals", error))?,
    };
    let mut view = View::new(wishes(options, host), clock, ends)?;
    let thread = std::thread::Builder::new().name("network".into()).spawn(|| network.run());
    let thread = thread.map_err(|error| ClientError::System("start a thread", error))?;
    let viewed = view.run();
    let reached = thread.join().map_err(|_| ClientError::NetworkGone)?;
    if let Some(speaker) = speaker {
        // It has ended with the network's thread; one that panicked has said so.
        let _ = speaker.join();
    }
    let concluded = view.conclude();
    // What happened first is what is told.
    reached?;
    viewed?;
    let summary = concluded?;
    info!("{summary}");
    Ok(summary)
}

/// What to ask the host for.
fn wanted(options: &Connect) -> Permissions {
    let wanted = if options.view_only { Permissions::view_only() } else { Permissions::all() };
    if options.hears() { wanted } else { wanted - Permissions::AUDIO }
}

/// The sound's thread, if sound is to be heard.
fn sound(
    options: &Connect,
    link: &Arc<Link>,
    clock: Clock,
) -> Result<Option<(Feed, JoinHandle<()>)>, ClientError> {
    if !options.hears() {
        return Ok(None);
    }
    audio::start(&options.output(), link, clock).map(Some)
}

fn wishes(options: &Connect, host: String) -> Wishes {
    Wishes {
        host,
        display: (!options.headless).then_some(options.display),
        x_display: options.x_display.clone(),
        text_input: options.text_input,
        view_only: options.view_only,
        fullscreen: options.fullscreen,
        overlay: options.overlay,
        seconds: options.seconds,
        frames: options.frames,
        png: options.png.clone(),
        json: options.json.clone(),
    }
}

/// A socket that becomes readable when the program is asked to end.
fn signals() -> std::io::Result<std::os::unix::net::UnixStream> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::low_level::pipe::register(signal, theirs.try_clone()?)?;
    }
    Ok(ours)
}
