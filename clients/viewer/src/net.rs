//! The network's thread: reaches the host, drives its session, begins again when it is lost.
//!
//! It knows no windows and decodes nothing. Pictures leave it in the buffers they were reassembled in and come back
//! empty; when none is free the viewer is too slow, and the picture is given up for a repair.

use core::net::SocketAddr;
use core::time::Duration;
use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError};

use rift::{
    Channel, CloseReason, Config, Event, Identity, InputEvent, Instant, PathId, PictureId, PublicKey,
    SendError, Session, StreamParameters,
};
use rift_mio::{ClientDriver, Clock, DesktopStorage, SocketConfig, desktop_memory};
use tracing::{debug, info, warn};

use crate::args::HandshakeKind;
use crate::cursor::{Shape, ShapeParser};
use crate::error::{ClientError, describe};
use crate::handshake::ChosenHandshake;
use crate::link::{Job, Link, Order, Status, Traffic};
use crate::reconnect::{Backoff, Verdict, verdict};

/// How long an address has to answer. A person waits so long for nothing at most, for each address of a name.
const HANDSHAKE_US: u32 = 5_000_000;
/// Statistics are made public this often.
const STATS_US: u64 = 250_000;
/// A goodbye that cannot leave is given up after this long.
const GOODBYE_US: u64 = 300_000;

type Driver = ClientDriver<Box<DesktopStorage>, ChosenHandshake>;
type ClientSession = Session<Box<DesktopStorage>, ChosenHandshake>;

/// Whom to reach, and as whom.
#[derive(Debug)]
pub struct Target {
    /// A name or an address.
    pub host: String,
    /// The host's UDP port.
    pub port: u16,
    /// Who the host must prove to be.
    pub key: PublicKey,
    /// Who this client is.
    pub identity: Identity,
    /// Whose handshake is used.
    pub handshake: HandshakeKind,
    /// UDP payload of the largest datagram to send, in bytes.
    pub datagram_len: u16,
}

/// The network's ends of all channels.
#[derive(Debug)]
pub struct Ends {
    /// What it shares with the viewing thread.
    pub link: Arc<Link>,
    /// What it is told.
    pub orders: Receiver<Order>,
    /// Pictures for the decoder.
    pub jobs: SyncSender<Job>,
    /// Buffers that come back from there; as many as ever were.
    pub spares: Receiver<Vec<u8>>,
    /// Cursor shapes and the sessions they are of.
    pub shapes: SyncSender<(u32, Shape)>,
}

/// The network's thread.
#[derive(Debug)]
pub struct Network {
    target: Target,
    clock: Clock,
    viewer: Viewer,
}

/// How one session ended.
#[derive(Debug)]
struct Ended {
    reason: CloseReason,
    /// How long the host let us in; `None` = it never did.
    admitted_for: Option<Duration>,
}

impl Network {
    /// Nothing is sent yet.
    #[must_use]
    pub fn new(target: Target, clock: Clock, ends: Ends) -> Self {
        Self { target, clock, viewer: Viewer::new(ends) }
    }

    /// Runs until it is told to quit or the host is not to be reached any more.
    ///
    /// # Errors
    /// Why there is no going on.
    pub fn run(mut self) -> Result<(), ClientError> {
        let outcome = self.sessions();
        self.viewer.link.latest().status = Status::Over;
        self.viewer.link.set_waker(None);
        self.viewer.link.wake_view();
        outcome
    }

    fn sessions(&mut self) -> Result<(), ClientError> {
        let mut backoff = Backoff::new();
        let mut had_session = false;
        loop {
            let ended = self.try_addresses(had_session)?;
            if self.viewer.quits || ended.reason == CloseReason::Local {
                return Ok(());
            }
            had_session |= ended.admitted_for.is_some();
            let host = &self.target.host;
            match verdict(ended.reason, had_session) {
                Verdict::Finished => {
                    info!(%host, "{host} {}", describe(ended.reason));
                    return Ok(());
                }
                Verdict::Fatal => return Err(self.fatal(ended.reason)),
                Verdict::Retry => {
                    let wait = backoff.lost(ended.admitted_for.unwrap_or_default());
                    info!(%host, "{host} {}; trying again in {} ms", describe(ended.reason), wait.as_millis());
                    if self.wait(wait) {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Waits before the next attempt. Returns whether to quit instead.
    fn wait(&mut self, pause: Duration) -> bool {
        let until = self.clock.now() + pause;
        self.viewer.set_status(Status::Lost(until));
        loop {
            match self.viewer.orders.recv_timeout(until.until(self.clock.now())) {
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) | Ok(Order::Quit) => return true,
                // There is nobody to be steered.
                Ok(Order::Input(_) | Order::ReleaseInput | Order::WantRepair) => {}
            }
        }
        self.viewer.set_status(Status::Connecting);
        false
    }

    /// Tries each address of the host until one answers. A name that cannot be resolved is an error at first, and
    /// silence later: the resolver may be as far away as the host.
    fn try_addresses(&mut self, had_session: bool) -> Result<Ended, ClientError> {
        let (host, port) = (self.target.host.clone(), self.target.port);
        let mut ended = Ended { reason: CloseReason::Unanswered, admitted_for: None };
        let addresses = match (host.as_str(), port).to_socket_addrs() {
            Ok(addresses) => addresses.collect::<Vec<_>>(),
            Err(_) if had_session => return Ok(ended),
            Err(source) => return Err(ClientError::Resolve { host, source }),
        };
        let mut refused = None;
        for address in addresses {
            self.viewer.link.latest().remote = Some(address);
            match self.session(address) {
                Ok(outcome) => ended = outcome,
                Err(SessionError::System(source)) => {
                    warn!(%address, "no socket for {address}: {source}");
                    refused = Some(source);
                    continue;
                }
                Err(SessionError::Entropy(error)) => return Err(ClientError::Entropy(error)),
            }
            refused = None;
            if ended.reason != CloseReason::Unanswered || self.viewer.quits {
                break;
            }
        }
        match refused {
            Some(source) if !had_session => Err(ClientError::Network { host, source }),
            Some(_) | None => Ok(ended),
        }
    }

    /// One session from its first datagram to its end.
    fn session(&mut self, address: SocketAddr) -> Result<Ended, SessionError> {
        let mut driver = self.connect(address)?;
        let clock = self.clock;
        let viewer = &mut self.viewer;
        viewer.begin();
        viewer.link.set_waker(Some(driver.waker()));
        info!(%address, "connecting to {address}");
        loop {
            driver.turn(&mut |session, event| viewer.on_event(session, event, clock.now()))?;
            let (session, now) = (driver.session(), clock.now());
            viewer.after_turn(session, now);
            let gives_up = viewer.goodbye_until.is_some_and(|until| until <= now);
            if session.is_closed() || gives_up {
                break;
            }
        }
        viewer.link.set_waker(None);
        let now = clock.now();
        viewer.end(driver.session(), now);
        let reason = viewer.closed.unwrap_or(CloseReason::Local);
        let admitted_for = viewer.admitted_at.map(|at| now - at);
        debug!(?reason, sockets = ?driver.socket().stats(), "session over");
        Ok(Ended { reason, admitted_for })
    }

    fn connect(&self, address: SocketAddr) -> Result<Driver, SessionError> {
        let mut ephemeral = [0; 32];
        let mut connection = [0; 4];
        getrandom::fill(&mut ephemeral).map_err(SessionError::Entropy)?;
        getrandom::fill(&mut connection).map_err(SessionError::Entropy)?;
        let target = &self.target;
        let config =
            Config { datagram_len: target.datagram_len, handshake_us: HANDSHAKE_US, ..Config::default() };
        let session = Session::connect(
            &config,
            ChosenHandshake::initiator(target.handshake, &target.identity, ephemeral),
            target.key,
            u32::from_be_bytes(connection),
            desktop_memory(true),
            PathId(0),
            self.clock.now(),
        );
        Ok(ClientDriver::connect(&SocketConfig::default(), address, session)?)
    }

    fn fatal(&self, reason: CloseReason) -> ClientError {
        let (host, port, id) = (self.target.host.clone(), self.target.port, self.target.identity.public());
        if matches!(reason, CloseReason::Refused | CloseReason::Revoked) {
            return ClientError::Refused { host, what: describe(reason), id };
        }
        if reason != CloseReason::Unanswered {
            return ClientError::Ended { host, what: describe(reason) };
        }
        let addresses = (host.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
        let texts = addresses.unwrap_or_default().into_iter().map(|address| address.ip().to_string());
        let tried = format!("tried {}", texts.collect::<Vec<_>>().join(", "));
        ClientError::Unanswered { host, port, tried, id: self.target.key }
    }
}

/// Why there was no session at all.
#[derive(Debug)]
enum SessionError {
    System(std::io::Error),
    Entropy(getrandom::Error),
}

impl From<std::io::Error> for SessionError {
    fn from(error: std::io::Error) -> Self {
        Self::System(error)
    }
}

/// What a session does for the viewing thread.
#[derive(Debug)]
struct Viewer {
    link: Arc<Link>,
    orders: Receiver<Order>,
    jobs: SyncSender<Job>,
    spares: Receiver<Vec<u8>>,
    shapes: SyncSender<(u32, Shape)>,
    /// A buffer that was to carry a picture and did not.
    spare: Option<Vec<u8>>,
    /// Counts sessions.
    number: u32,
    parameters: Option<StreamParameters>,
    parser: ShapeParser,
    /// A shape the viewing thread had no room for yet.
    shape: Option<Shape>,
    /// Input the session had no room for yet.
    input: Option<InputEvent>,
    admitted_at: Option<Instant>,
    closed: Option<CloseReason>,
    quits: bool,
    goodbye_until: Option<Instant>,
    /// Counters of the sessions before this one.
    past: Traffic,
    /// When statistics were last made public, and the bytes received by then.
    published: Option<(Instant, u64)>,
}

impl Viewer {
    fn new(ends: Ends) -> Self {
        Self {
            link: ends.link,
            orders: ends.orders,
            jobs: ends.jobs,
            spares: ends.spares,
            shapes: ends.shapes,
            spare: None,
            number: 0,
            parameters: None,
            parser: ShapeParser::new(),
            shape: None,
            input: None,
            admitted_at: None,
            closed: None,
            quits: false,
            goodbye_until: None,
            past: Traffic::default(),
            published: None,
        }
    }

    fn begin(&mut self) {
        self.number += 1;
        self.parameters = None;
        self.parser = ShapeParser::new();
        self.shape = None;
        self.input = None;
        self.admitted_at = None;
        self.closed = None;
        self.goodbye_until = None;
        self.published = None;
    }

    fn end(&mut self, session: &mut ClientSession, now: Instant) {
        self.publish(session, now);
        self.past = self.past.plus(Traffic::of(&session.stats(now)));
    }

    fn set_status(&self, status: Status) {
        self.link.latest().status = status;
        self.link.wake_view();
    }

    fn on_event(&mut self, session: &mut ClientSession, event: Event, now: Instant) {
        match event {
            Event::Picture(id) => self.on_picture(session, id, now),
            Event::StreamParameters(parameters) => {
                info!(?parameters, "the stream is {} x {}", parameters.width, parameters.height);
                self.parameters = Some(parameters);
            }
            Event::Cursor(position) => {
                self.link.latest().cursor = Some(position);
                self.link.wake_view();
            }
            Event::Authenticated(peer) => debug!(%peer, "the host has proven who it is"),
            Event::Admitted(permissions) => self.on_admitted(permissions, now),
            Event::Closed(reason) => self.closed = Some(reason),
            Event::Readable(_) | Event::Writable(_) | Event::Input(_) | Event::RepairWanted { .. } | _ => {}
        }
    }

    fn on_admitted(&mut self, permissions: rift::Permissions, now: Instant) {
        info!(?permissions, "the host lets this client in");
        if self.admitted_at.replace(now).is_none() {
            let mut latest = self.link.latest();
            latest.status = Status::Live;
            if latest.live_since.is_none() {
                latest.live_since = Some(now);
            } else {
                latest.reconnects += 1;
            }
        }
        self.link.wake_view();
    }

    fn on_picture(&mut self, session: &mut ClientSession, id: PictureId, now: Instant) {
        let spare = self.spare.take().or_else(|| self.spares.try_recv().ok());
        let (Some(spare), Some(parameters)) = (spare, self.parameters) else {
            debug!(picture = id.0, "the decoder is too slow, a picture is left out");
            session.release_media(id);
            session.want_repair(now);
            return;
        };
        let media = match session.swap_media(id, spare) {
            Ok(media) => media,
            Err(spare) => {
                self.spare = Some(spare);
                return;
            }
        };
        let head = &media.head;
        let host_times = session.peer_time(head.captured_us, now).map(|captured| {
            let encoded_after = u64::from(head.encoded_after_us);
            // The shard that tells when it was sent may have been lost: then the way begins at the encoder.
            let sent_after = u64::from(head.sent_after_us).max(encoded_after);
            [captured, captured.plus_micros(encoded_after), captured.plus_micros(sent_after)]
        });
        let job = Job { session: self.number, id, parameters, media, host_times };
        match self.jobs.try_send(job) {
            Ok(()) => self.link.wake_view(),
            Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => {
                debug!(picture = id.0, "the decoder is too slow, a picture is left out");
                self.spare = Some(job.media.buffer);
                session.want_repair(now);
            }
        }
    }

    /// Does what was ordered, reads streams, tells statistics.
    fn after_turn(&mut self, session: &mut ClientSession, now: Instant) {
        self.obey(session, now);
        self.read_cursor(session);
        let mut ignored = [0; 512];
        while session.read(Channel::Control, &mut ignored) > 0 {}
        if self.published.is_none_or(|(at, _)| now.micros_since(at) >= STATS_US) {
            self.publish(session, now);
        }
    }

    fn obey(&mut self, session: &mut ClientSession, now: Instant) {
        loop {
            let order = match self.input.take() {
                Some(event) => Order::Input(event),
                None => match self.orders.try_recv() {
                    Ok(order) => order,
                    Err(std::sync::mpsc::TryRecvError::Empty) => return,
                    Err(std::sync::mpsc::TryRecvError::Disconnected) => Order::Quit,
                },
            };
            match order {
                Order::Input(event) => {
                    if session.send_input(now, event) == Err(SendError::Full) && has_full_backlog(session) {
                        self.input = Some(event);
                        return;
                    }
                }
                Order::ReleaseInput => {
                    // What does not fit is released by the host when the session ends, or by the next order.
                    let _ = session.release_input(now);
                }
                Order::WantRepair => session.want_repair(now),
                Order::Quit => {
                    self.quits = true;
                    if self.goodbye_until.is_none() {
                        self.goodbye_until = Some(now.plus_micros(GOODBYE_US));
                        let _ = session.release_input(now);
                        session.close(now, CloseReason::Done);
                    }
                    return;
                }
            }
        }
    }

    fn read_cursor(&mut self, session: &mut ClientSession) {
        loop {
            if let Some(shape) = self.shape.take() {
                let sent = self.shapes.try_send((self.number, shape));
                if let Err(TrySendError::Full((_, shape)) | TrySendError::Disconnected((_, shape))) = sent {
                    // What is not read stays at the host.
                    self.shape = Some(shape);
                    return;
                }
                self.link.wake_view();
            }
            // Read so that no more than one shape can end in what was read: a pixel at a time at worst.
            let mut bytes = [0; 4096];
            let len = session.read(Channel::Cursor, &mut bytes);
            if len == 0 {
                return;
            }
            self.parse_cursor(&bytes[..len]);
        }
    }

    fn parse_cursor(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.parser.read(&mut bytes) {
                Ok(Some(shape)) => {
                    // Several small shapes can end in one read; of those the viewer could not take, the last counts.
                    if let Some(before) = self.shape.replace(shape)
                        && self.shapes.try_send((self.number, before)).is_ok()
                    {
                        self.link.wake_view();
                    }
                }
                Ok(None) => return,
                Err(error) => warn!("{error}"),
            }
        }
    }

    fn publish(&mut self, session: &ClientSession, now: Instant) {
        let stats = session.stats(now);
        let before = self.published.replace((now, stats.bytes_received));
        let mut latest = self.link.latest();
        if let Some((at, bytes)) = before
            && now > at
        {
            let bits = (stats.bytes_received - bytes) * 8;
            latest.bitrate_bps = bits * 1_000_000 / now.micros_since(at);
        }
        latest.stats = stats;
        latest.traffic = self.past.plus(Traffic::of(&stats));
    }
}

/// Whether input waits for the host's acknowledgement, rather than being impossible.
fn has_full_backlog(session: &ClientSession) -> bool {
    session.input_backlog() >= rift::limits::INPUT_UNACKNOWLEDGED_MAX
}
