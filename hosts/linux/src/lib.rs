//! Wavry's Linux host: shares a screen, a capture card or an application.
//!
//! Composition only. One thread serves the network ([`viewers`]), one captures and encodes ([`capture`]), one injects
//! input ([`input`]), one hears ([`sound`]), one waits for signals ([`watch`]). What is decided rather than done is pure and tested with
//! virtual time: how much to encode ([`governor`]), how often and how large ([`ladders`]), and what a picture refers to ([`chain`]).

pub mod allow;
pub mod app_session;
pub mod args;
pub mod capture;
pub mod chain;
pub mod clipboard;
mod coder;
pub mod coding_card;
mod commands;
pub mod config;
pub mod control;
mod cursor;
pub mod files;
pub mod gateway;
pub mod governor;
pub mod guard;
pub mod handshake;
pub mod input;
pub mod ladders;
pub mod lane;
pub mod metrics;
pub mod orders;
pub mod pairing;
mod passthrough;
mod photos;
pub mod power;
pub mod process;
pub mod resolution;
pub mod rotation;
pub mod signal;
pub mod sound;
pub mod source;
pub mod status;
pub mod steps;
pub mod test_source;
mod tile_coder;
pub mod viewers;
pub mod watch;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rift::limits::DATAGRAM_MAX;
use rift::{CloseReason, Config, Identity, Permissions};
use rift_keystore::KeystoreError;
use rift_mdns::{Announcement, Announcer, MdnsError};
use rift_mio::Clock;
use rift_settings::SettingsError;
use rift_systemd::Notifier;
use tracing::{info, warn};

use allow::{AllowError, AllowFile};
use app_session::{AppError, AppSession};
use args::{CLIENT_NAME, Place, RunArgs};
use clipboard::SharedClipboard;
pub use commands::carry_out;
use control::{Asker, Control, Request};
use files::SharedFiles;
use gateway::{Choice, Membership};
use input::{Injector, InputError, Sink};
use lane::LaneOrders;
use orders::{Order, Outlet};
use pairing::{Desk, PairOrder};
use power::{PowerError, Switch};
use sound::SharedSound;
use source::{Choice as CaptureChoice, Source, SourceError, Spec};
use status::{Answerer, Board};
use viewers::{Driver, Feed, Policy, Viewers};
use watch::{Reason, Stop, Watch};

/// The UDP port unless somebody says otherwise.
pub const PORT: u16 = 4747;

const BITRATE_BPS_MAX: u32 = 300_000_000;
const FPS: u32 = 60;
const APP_SIZE: (u16, u16) = (1280, 720);
/// Pictures and their buffers on the way from the capture thread.
const PICTURES_UNDER_WAY: usize = 2;
/// How long saying goodbye may take, in microseconds.
const FAREWELL_US: u64 = 500_000;

/// Why the host does not run, or not any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// Its key or state directory.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    /// The list of clients.
    #[error(transparent)]
    Allow(#[from] AllowError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] SettingsError),
    /// What is to be shared.
    #[error("cannot share {spec}: {source}")]
    Source {
        /// What.
        spec: Spec,
        /// Why not.
        source: SourceError,
    },
    /// The application session.
    #[error(transparent)]
    App(#[from] AppError),
    /// The input sink.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The port.
    #[error(
        "cannot listen at {address}: {source}; is another host running there? --listen takes another port"
    )]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The system's answer.
        source: io::Error,
    },
    /// Nobody answers in this state directory.
    #[error("no host answers in {state}: {source}; is it running, with the same --state?")]
    NotRunning {
        /// The state directory.
        state: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The machine's power.
    #[error(transparent)]
    Power(#[from] PowerError),
    /// The announcement on the local network.
    #[error("cannot announce the host: {0}; --announce=false does without")]
    Announce(#[from] MdnsError),
    /// The directory for files.
    #[error("cannot take files into {path}: {source}; name a directory that this user may write, or none")]
    Files {
        /// Where.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The port file.
    #[error("cannot write the port file {path}: {source}")]
    PortFile {
        /// Where.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// No host runs with this state directory to pair with.
    #[error(
        "no host runs with the state in {0}; start one that pairs at once: wavry-server --pair, or name another --state"
    )]
    NoHost(PathBuf),
    /// The key of a running host is not to be changed.
    #[error("a host runs with the state in {0}; end it first, so that it begins with its new key")]
    Running(PathBuf),
    /// Nobody was paired; why has been said.
    #[error("not paired")]
    NotPaired,
    /// The gateway is not named as it must be.
    #[error("cannot use the gateway: {0}")]
    Gateway(&'static str),
    /// A link cannot be made of what was said.
    #[error("cannot make a link: {0}; --gateway with --gateway-id, or --direct, says how this host is found")]
    Link(rift_keystore::link::LinkError),
    /// The host does not switch its card; why has been said.
    #[error("not switched")]
    NotSwitched,
    /// What was shared is gone.
    #[error("what was shared is gone: {0}")]
    SourceGone(String),
    /// Threads, descriptors, random bytes.
    #[error("the operating system refused: {0}")]
    System(#[from] io::Error),
}

/// The state directory: what was said, else the configuration's, else the default.
///
/// # Errors
/// [`ServerError::Config`], [`ServerError::Keystore`].
pub fn state_dir(place: &Place) -> Result<PathBuf, ServerError> {
    let said = match &place.state {
        Some(state) => Some(state.clone()),
        None => config::load(place)?.place.state,
    };
    Ok(said.map_or_else(rift_keystore::state_dir, Ok)?)
}

/// Runs the host until `stop`, the end of a shared program, or the loss of what is shared.
///
/// With `pair` it begins by pairing with a new client, whose PIN goes to the terminal.
///
/// An `app:` source needs [`app_session::enter`] to have been called first, which gave `private`.
///
/// # Errors
/// [`ServerError`].
pub fn serve(
    settings: &RunArgs,
    pair: bool,
    private: Option<app_session::Private>,
    stop: Stop,
) -> Result<(), ServerError> {
    // It runs for months, and pictures change their size meanwhile. Where it cannot be had the host runs without.
    let _ = rift_x264::release_large_blocks();
    let state = state_dir(&settings.place)?;
    let identity = identity(&state)?;
    let fps = settings.fps.unwrap_or(FPS);
    let spec = settings.source.clone().unwrap_or_else(source::default_spec);
    let app = match (&spec, private) {
        (Spec::App(command), Some(private)) => {
            Some(AppSession::start(private, command, settings.app_size.unwrap_or(APP_SIZE))?)
        }
        _ => None,
    };
    let display = match &spec {
        Spec::X11(display) => display.as_deref(),
        Spec::App(_) => app.as_ref().map(AppSession::display),
        Spec::V4l(_) | Spec::Test | Spec::TestCoded => None,
    };
    let source = open(&spec, display, fps, &capture_choice(settings))
        .map_err(|source| ServerError::Source { spec: spec.clone(), source })?;
    let view_only = settings.view_only.unwrap_or(false);
    let sink = if view_only { None } else { Sink::open(settings.input.unwrap_or_default(), &spec, display)? };
    let switch = Switch::start(settings.power.clone())?;
    let mut injector = Injector::start(sink, switch)?;
    let mut driver = listen(settings, &identity, &state)?;
    injector.heed_rumble(driver.waker())?;
    let bitrate_bps_max = settings.bitrate_max.unwrap_or(BITRATE_BPS_MAX);
    let session = Config {
        bitrate_bps_max,
        bitrate_bps_start: bitrate_bps_max.min(Config::default().bitrate_bps_start),
        datagram_len_max: DATAGRAM_MAX as u16,
        datagram_len_taken: DATAGRAM_MAX as u16,
        ..Config::default()
    };
    let policy = Policy {
        identity: identity.clone(),
        handshake: settings.handshake.unwrap_or_default(),
        view_only,
        session,
        period_us: 1_000_000 / u64::from(fps),
        shares_screen: matches!(spec, Spec::X11(_)),
        resizes: settings.resolution_steps.unwrap_or(true),
    };
    let board = Arc::new(Board::default());
    board.set_source(&spec.public_name());
    let _answerer = Answerer::start(&state, settings.metrics, Arc::clone(&board))?;
    let (feed, capture) = start_capture(source, fps, &policy, &driver, Arc::clone(&board))?;
    let orders = Arc::clone(&feed.orders);
    let mut allow = AllowFile::new(&state);
    allow.refresh()?;
    let (_control, requests) = listen_to_commands(&state, &driver, &orders);
    let mut viewers = Viewers::new(policy, allow, Desk::new(state, requests), feed, injector);
    let is_wanted = settings.clipboard.unwrap_or(false);
    viewers.share_clipboard(SharedClipboard::start(is_wanted, &spec, display, driver.waker()));
    viewers.share_sound(share_sound(settings, &board, &driver)?);
    viewers.share_files(share_files(settings, &board, &driver)?);
    announce(settings.port_file.as_deref(), &driver, &identity, &spec)?;
    if pair {
        viewers.pair(driver.clock().now(), first_order());
    }
    let _announcer = announcer(settings, &driver, &identity)?;
    join_gateway(settings, &identity, &board, &driver, &mut viewers)?;
    let watch = Watch::start(stop, app.as_ref().map(AppSession::ended), driver.waker())?;
    let outcome = turn_until_the_end(&mut driver, &mut viewers, &watch, &board);
    orders.stop();
    drop(viewers);
    // A thread that panicked has said so.
    let _ = capture.join();
    outcome
}

/// The way of commands to this host. It does without when that cannot be had.
fn listen_to_commands(
    state: &Path,
    driver: &Driver,
    capture: &Arc<LaneOrders>,
) -> (Option<Control>, Option<Receiver<Request>>) {
    match Control::start(state, driver.waker(), Arc::clone(capture)) {
        Ok((control, requests)) => (Some(control), Some(requests)),
        Err(error) => {
            warn!(%error, "`wavry-server pair` and `switch-input` cannot reach this host");
            (None, None)
        }
    }
}

/// Whoever starts the host with `--pair` pairs at its terminal.
fn first_order() -> Request {
    let permissions = Permissions::default_control();
    let order = PairOrder { pin: None, permissions, name: CLIENT_NAME.to_owned(), while_watched: false };
    Request { order, asker: Asker::Terminal }
}

fn identity(state: &Path) -> Result<Identity, ServerError> {
    Ok(rift_keystore::load_or_create(&state.join(rift_keystore::FILE_NAME))?)
}

fn capture_choice(settings: &RunArgs) -> CaptureChoice {
    CaptureChoice {
        input: settings.capture_input,
        format: settings.capture_format,
        size: settings.capture_size,
        edid: settings.edid.clone(),
        shows_damaged: settings.capture_damaged.unwrap_or(false),
    }
}

fn open(spec: &Spec, display: Option<&str>, fps: u32, choice: &CaptureChoice) -> Result<Source, SourceError> {
    match spec {
        Spec::X11(_) | Spec::App(_) => Source::screen(display),
        Spec::V4l(path) => Source::device(path, fps, choice),
        Spec::Test => Source::test(fps),
        Spec::TestCoded => Source::test_coded(fps),
    }
}

fn listen(settings: &RunArgs, identity: &Identity, state: &Path) -> Result<Driver, ServerError> {
    // Kept over restarts: so clients come back to a restarted host as fast as to one that was there all the time.
    let secret = rift_keystore::load_or_create_secret(&state.join(rift_keystore::SECRET_FILE_NAME))?;
    let bind = |address| {
        Driver::bind(address, &identity.public(), *secret)
            .map_err(|source| ServerError::Listen { address, source })
    };
    let mut driver = match settings.listen {
        Some(address) => bind(address),
        // A machine without IPv6 has no such address.
        None => bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT))).or_else(|error| {
            let taken = |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse;
            if matches!(&error, ServerError::Listen { source, .. } if taken(source)) {
                return Err(error);
            }
            bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)))
        }),
    }?;
    driver.set_busy_poll(settings.busy_poll.unwrap_or(0));
    Ok(driver)
}

fn start_capture(
    source: Source,
    fps: u32,
    policy: &Policy,
    driver: &Driver,
    board: Arc<Board>,
) -> Result<(Feed, JoinHandle<()>), ServerError> {
    // The encoder is made for the most: its buffer shrinks with the rate at once, but fills up only by and by.
    let order = Order::idle(policy.session.bitrate_bps_max, policy.period_us);
    let orders = Arc::new(LaneOrders::new(order)?);
    let (pictures, captured) = sync_channel(PICTURES_UNDER_WAY);
    let (spare, spares) = sync_channel(PICTURES_UNDER_WAY);
    let cursor = Arc::new(Mutex::new(None));
    let signal = Arc::new(Mutex::new(None));
    let outlet = Outlet {
        pictures,
        cursor: Arc::clone(&cursor),
        capture: Arc::clone(&signal),
        board: Arc::clone(&board),
        waker: driver.waker(),
    };
    let thread =
        capture::start(source, (fps, viewers::PICTURE_LEN_MAX), Arc::clone(&orders), outlet, spares)?;
    Ok((Feed { orders, captured, spare, cursor, capture: signal, board }, thread))
}

/// Where files of clients arrive, if they may.
fn share_files(settings: &RunArgs, board: &Board, driver: &Driver) -> Result<SharedFiles, ServerError> {
    let size_max = settings.files_size_max.unwrap_or(files::SIZE_MAX_DEFAULT);
    SharedFiles::start(settings.files.as_deref(), size_max, driver.waker(), Arc::clone(&board.files))
        .map_err(|source| ServerError::Files { path: settings.files.clone().unwrap_or_default(), source })
}

/// The sound that somebody named, unless somebody wants none.
fn share_sound(settings: &RunArgs, board: &Arc<Board>, driver: &Driver) -> io::Result<SharedSound> {
    let device = settings.audio_device.clone().filter(|_| !settings.no_audio.unwrap_or(false));
    let bitrate_bps_max = settings.audio_bitrate.unwrap_or(sound::BITRATE_BPS_MAX);
    SharedSound::start(device, bitrate_bps_max, board, driver.waker())
}

/// Announces the host on the local network, if that was asked for or nothing speaks against it.
fn announcer(
    settings: &RunArgs,
    driver: &Driver,
    identity: &Identity,
) -> Result<Option<Announcer>, ServerError> {
    let address = driver.local_addr();
    if !settings.announce.unwrap_or(!address.ip().is_loopback()) {
        return Ok(None);
    }
    let announcement = Announcement {
        host: identity.public(),
        address: address.ip(),
        port: address.port(),
        version: rift::wire::VERSION,
        name: settings.announce_name.clone(),
    };
    match Announcer::start(announcement) {
        Ok(announcer) => Ok(Some(announcer)),
        Err(error) if settings.announce.is_some() || settings.announce_name.is_some() => Err(error.into()),
        Err(error) => {
            warn!("the host is not announced on the network: {error}");
            Ok(None)
        }
    }
}

/// Has clients find the host by a gateway, if one is named.
fn join_gateway(
    settings: &RunArgs,
    identity: &Identity,
    board: &Arc<Board>,
    driver: &Driver,
    viewers: &mut Viewers,
) -> Result<(), ServerError> {
    if let Some(choice) = Choice::of(settings)? {
        viewers.join(Membership::start(choice, identity, Arc::clone(board), driver)?);
    }
    Ok(())
}

/// Says where the host is to be found, to people and to programs.
fn announce(
    port_file: Option<&Path>,
    driver: &Driver,
    identity: &Identity,
    spec: &Spec,
) -> Result<(), ServerError> {
    let address = driver.local_addr();
    let id = identity.public();
    info!(%address, source = spec.kind(), %id, "listening");
    let mut out = io::stdout().lock();
    // Nobody may be reading; the log says the same.
    let _ = writeln!(out, "Wavry ID: {id}\nSharing {spec} at {address} (UDP)").and_then(|()| out.flush());
    if let Some(path) = port_file {
        let reachable = if address.ip().is_unspecified() {
            SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port())
        } else {
            address
        };
        std::fs::write(path, format!("{reachable} {id}\n"))
            .map_err(|source| ServerError::PortFile { path: path.to_owned(), source })?;
    }
    Ok(())
}

fn turn_until_the_end(
    driver: &mut Driver,
    viewers: &mut Viewers,
    watch: &Watch,
    board: &Board,
) -> Result<(), ServerError> {
    let clock = Clock::new();
    let _ = rift_mio::run_promptly();
    let mut notifier = Notifier::from_environment();
    notifier.ready();
    let (reason, outcome) = loop {
        driver.turn(viewers)?;
        let now = clock.now();
        viewers.refresh(now, driver);
        viewers.work(now, driver);
        notifier.beat(now);
        notifier.tell(now, || board.to_line());
        match (watch.reason(), viewers.ended()) {
            (Reason::Asked, _) => break (CloseReason::Done, Ok(())),
            (Reason::ProgramEnded, _) => {
                info!("the shared program ended");
                break (CloseReason::SourceGone, Ok(()));
            }
            (Reason::None, Some(reason)) => {
                break (CloseReason::SourceGone, Err(ServerError::SourceGone(reason.to_owned())));
            }
            (Reason::None, None) => {}
        }
    };
    notifier.stopping();
    if let Some(callee) = driver.callee() {
        callee.close(clock.now());
    }
    let waker = driver.waker();
    viewers.close_all(clock.now(), driver, reason);
    let end = clock.now().plus_micros(FAREWELL_US);
    while driver.session_count() > 0 && clock.now() < end {
        waker.wake();
        driver.turn(viewers)?;
    }
    if driver.session_count() > 0 {
        warn!("some viewers could not be told goodbye");
    }
    outcome
}
