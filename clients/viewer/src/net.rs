//! The network's thread: reaches the host, drives its session, begins again when it is lost.
//!
//! It knows no windows and decodes nothing. Pictures leave it in the buffers they were reassembled in and come back
//! empty; when none is free the viewer is too slow, and the picture is given up for a repair.

use core::net::SocketAddr;
use core::time::Duration;
use std::net::ToSocketAddrs;
use std::sync::mpsc::RecvTimeoutError;

use std::path::PathBuf;

use rift::limits::DATAGRAM_MAX;
use rift::{
    Callee, Capabilities, CloseReason, Codec, Config, Identity, Instant, Opening, PathId, Pattern,
    Permissions, PublicKey, Session, Suite,
};
use rift_keystore::memory::HostMemory;
use rift_mio::{ClientDriver, Clock, PICTURE_BUFFER_LEN, SharedClient, SocketConfig, desktop_memory};
use tracing::{debug, info, warn};

use crate::args::{CodecKind, HandshakeKind};
use crate::error::{ClientError, describe};
use crate::handshake::ChosenHandshake;
use crate::link::{Order, Status, Way};
use crate::meeting::{Beside, Meeting};
use crate::pins;
use crate::reconnect::{Backoff, Verdict, verdict};
use crate::session::{ClientMemory, ClientSession, Ends, Service};

/// A session this long is no accident: when its host was restarted, it is called again at once.
const PROVEN: Duration = Duration::from_secs(1);
/// How long an address has to answer to a call. A person waits twice as long for nothing at most, for each address of a
/// name.
pub(crate) const HANDSHAKE_US: u32 = 2_500_000;
pub(crate) type Driver = SharedClient<ClientMemory, ChosenHandshake>;

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
    /// How pictures are to be coded.
    pub codec: CodecKind,
    /// UDP payload that every path is assumed to carry, in bytes.
    pub datagram_len: u16,
    /// What is polled without sleep at most before and after an expected picture, in µs.
    pub busy_poll_us: u32,
    /// What to ask for.
    pub wanted: Permissions,
    /// Where this client keeps what it remembers.
    pub state: PathBuf,
    /// Who the host may have become, on its own word, if it is pinned.
    pub successor: Option<PublicKey>,
    /// What handshakes with it rest on: nothing less than was asked for, or than was had before.
    pub suite: Suite,
    /// What its pin says of that.
    pub known: Suite,
    /// Who introduces this client to it; `None`: it is reached at its address.
    pub meeting: Option<Meeting>,
    /// Where it may be, as a link says: `HOST:PORT` each. If there are any, `host` is only a name for it.
    pub direct: Vec<String>,
}

/// The network's thread.
#[derive(Debug)]
pub struct Network {
    pub(crate) target: Target,
    pub(crate) clock: Clock,
    pub(crate) service: Service,
    /// What is remembered of the host.
    memory: HostMemory,
    /// The successor is called, because the present key did not answer.
    calls_successor: bool,
    /// The way that the session was last seen to go, and since when.
    pub(crate) way: Option<(Instant, Way)>,
    /// The host is called where it may be, while a gateway is asked.
    pub(crate) beside: Option<Beside>,
    /// Somebody answered the checks of the last introduction, straight.
    pub(crate) is_led: bool,
}

/// How one session ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) reason: CloseReason,
    /// How long the host let us in; `None` = it never did.
    pub(crate) admitted_for: Option<Duration>,
    /// The machine there said that nobody listens on this port.
    pub(crate) refused: bool,
}

impl Ended {
    pub(crate) const fn unanswered() -> Self {
        Self { reason: CloseReason::Unanswered, admitted_for: None, refused: false }
    }
}

impl Target {
    /// Where it is: what its name stands for, or every place that a link says, as far as their names are known.
    fn addresses(&self) -> std::io::Result<Vec<SocketAddr>> {
        if self.direct.is_empty() {
            return Ok((self.host.as_str(), self.port).to_socket_addrs()?.collect());
        }
        addresses_of(&self.direct)
    }
}

/// Where these places are, `HOST:PORT` each, as far as their names are known.
///
/// # Errors
/// When none is.
pub(crate) fn addresses_of(places: &[String]) -> std::io::Result<Vec<SocketAddr>> {
    let resolved: Vec<_> = places.iter().map(|place| place.to_socket_addrs()).collect();
    if resolved.iter().all(Result::is_err) {
        resolved.into_iter().map(|found| found.map(Vec::from_iter)).last().unwrap_or_else(|| Ok(Vec::new()))
    } else {
        Ok(resolved.into_iter().flatten().flatten().collect())
    }
}

impl Network {
    /// Nothing is sent yet.
    #[must_use]
    pub fn new(target: Target, clock: Clock, ends: Ends) -> Self {
        let memory = HostMemory::load(&HostMemory::path(&target.state, &target.key));
        let (service, calls_successor) = (Service::new(ends), false);
        let (way, beside, is_led) = (None, None, false);
        Self { target, clock, service, memory, calls_successor, way, beside, is_led }
    }

    /// Runs until it is told to quit or the host is not to be reached any more.
    ///
    /// # Errors
    /// Why there is no going on.
    pub fn run(mut self) -> Result<(), ClientError> {
        let outcome = self.sessions();
        self.service.link.latest().status = Status::Over;
        self.service.link.set_shortcut(None);
        self.service.link.wake_view();
        outcome
    }

    fn sessions(&mut self) -> Result<(), ClientError> {
        let mut backoff = Backoff::new();
        let mut had_session = false;
        loop {
            let ended = self.try_keys(had_session)?;
            if self.service.quits || ended.reason == CloseReason::Local {
                return Ok(());
            }
            had_session |= ended.admitted_for.is_some();
            let host = &self.target.host;
            match verdict(ended.reason, had_session) {
                Verdict::Finished => {
                    info!(%host, "{host} {}", describe(ended.reason));
                    return Ok(());
                }
                Verdict::Fatal => return Err(self.fatal(&ended)),
                Verdict::Retry => {
                    let lasted = ended.admitted_for.unwrap_or_default();
                    let is_back = ended.reason == CloseReason::Reset && lasted >= PROVEN;
                    // A host that says that it was restarted is there: it is called at once.
                    let wait = if is_back { Duration::ZERO } else { backoff.lost(lasted) };
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
        self.service.set_status(Status::Lost(until));
        loop {
            match self.service.orders.recv_timeout(until.until(self.clock.now())) {
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) | Ok(Order::Quit) => return true,
                // There is nobody to be steered.
                Ok(Order::Input(_) | Order::ReleaseInput | Order::WantRepair | Order::ReportTiles) => {
                    self.service.link.order_done()
                }
            }
        }
        self.service.set_status(Status::Connecting);
        false
    }

    /// Calls the host by its key, and if nobody answers to that, by the one it has vouched for.
    fn try_keys(&mut self, had_session: bool) -> Result<Ended, ClientError> {
        let ended = self.try_addresses(had_session)?;
        let is_silent = ended.reason == CloseReason::Unanswered && !self.service.quits;
        let Some(other) = self.target.successor.filter(|_| is_silent) else { return Ok(ended) };
        self.target.successor = Some(core::mem::replace(&mut self.target.key, other));
        self.calls_successor = !self.calls_successor;
        self.memory = HostMemory::load(&HostMemory::path(&self.target.state, &other));
        info!(host = %self.target.host, "calling by the other key that is known");
        self.try_addresses(had_session)
    }

    /// The host vouches for its next key.
    fn promise(target: &mut Target, successor: PublicKey) {
        let address = pins::address(&target.host, target.port);
        match pins::change(&target.state, |pins| pins.promise(&address, target.key, successor)) {
            Ok(()) => {
                info!(%successor, "the host vouches for its next key");
                target.successor = Some(successor);
            }
            Err(error) => warn!(%error, "the host's next key was not kept"),
        }
    }

    /// The host has proven the key it had vouched for: the old one counts no more.
    fn succeed(&mut self) {
        self.calls_successor = false;
        self.target.successor = None;
        let address = pins::address(&self.target.host, self.target.port);
        if let Err(error) = pins::change(&self.target.state, |pins| pins.succeed(&address, self.target.key)) {
            warn!(%error, "the host's new key was not kept");
        }
    }

    /// The host has finished a hybrid handshake: from now on a classical one with it would be a step back.
    fn harden(&mut self) {
        self.target.known = self.target.suite;
        let address = pins::address(&self.target.host, self.target.port);
        if let Err(error) = pins::change(&self.target.state, |pins| pins.harden(&address, self.target.key)) {
            warn!(%error, "that the host is hybrid was not kept");
        }
    }

    /// Tries each address of the host until one answers. A name that cannot be resolved is an error at first, and
    /// silence later: the resolver may be as far away as the host.
    fn try_addresses(&mut self, had_session: bool) -> Result<Ended, ClientError> {
        if let Some(meeting) = self.target.meeting.clone() {
            return self.meet(&meeting, had_session);
        }
        match self.target.addresses() {
            Ok(addresses) => self.try_each(&addresses, had_session),
            Err(_) if had_session => Ok(Ended::unanswered()),
            Err(source) => Err(ClientError::Resolve { host: self.target.host.clone(), source }),
        }
    }

    /// Tries each of these addresses until one answers.
    pub(crate) fn try_each(
        &mut self,
        addresses: &[SocketAddr],
        had_session: bool,
    ) -> Result<Ended, ClientError> {
        let (mut ended, mut refused) = (Ended::unanswered(), None);
        for &address in addresses {
            self.service
                .link
                .enter_way(self.clock.now(), Way { is_relayed: false, is_streamed: false, address });
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
            if ended.reason != CloseReason::Unanswered || self.service.quits {
                break;
            }
        }
        match refused {
            Some(source) if !had_session => {
                Err(ClientError::Network { host: self.target.host.clone(), source })
            }
            Some(_) | None => Ok(ended),
        }
    }

    /// One session from its first datagram to its end. A host that answers no call may only have a better memory of
    /// this client's clock than this client: it is asked in the other way, which takes one round trip more.
    fn session(&mut self, address: SocketAddr) -> Result<Ended, SessionError> {
        let called = self.session_by(address, Opening::IK)?;
        if called.reason != CloseReason::Unanswered || self.service.quits {
            return Ok(called);
        }
        self.session_by(address, Opening::XX)
    }

    fn session_by(&mut self, address: SocketAddr, opening: Opening) -> Result<Ended, SessionError> {
        let session = self.begin(opening)?;
        info!(%address, "connecting to {address}");
        let driver = ClientDriver::connect(&SocketConfig::default(), address, session)?;
        self.drive(SharedClient::new(driver), opening)
    }

    /// Drives a session to its end.
    pub(crate) fn drive(&mut self, mut driver: Driver, opening: Opening) -> Result<Ended, SessionError> {
        let clock = self.clock;
        driver.set_busy_poll(self.target.busy_poll_us);
        self.service.begin();
        self.service.link.set_shortcut(Some(driver.shortcut()));
        loop {
            if driver.wants_session() {
                let _ = driver.begin_again(self.begin(opening)?);
                self.service.begin();
            }
            let service = &mut self.service;
            driver.turn(&mut |session, event| service.on_event(session, event, clock.now()))?;
            if let Some(key) = service.successor.take() {
                // Waits for the disk: once for each key a host ever has.
                Self::promise(&mut self.target, key);
            }
            let is_over = driver.with_session(|session, now| {
                service.after_turn(session, now);
                session.is_closed() || service.goodbye_until.is_some_and(|until| until <= now)
            });
            if is_over || self.watch_gateway(&mut driver)? {
                break;
            }
            self.watch_way(&driver);
        }
        let service = &mut self.service;
        service.link.set_shortcut(None);
        driver.with_session(|session, now| service.end(session, now));
        if let Some(token) = service.token.take() {
            self.memory.token = Some(token);
            if let Err(error) = self.memory.keep(&HostMemory::path(&self.target.state, &self.target.key)) {
                debug!(%error, "the next call will take longer");
            }
        }
        let now = clock.now();
        let reason = service.closed.unwrap_or(CloseReason::Local);
        let admitted_for = service.admitted_at.map(|at| now - at);
        let is_proven = admitted_for.is_some() && self.calls_successor;
        if admitted_for.is_some() && self.target.suite > self.target.known {
            self.harden();
        }
        debug!(?reason, sockets = ?driver.socket_stats(), "session over");
        let refused = driver.socket_stats().refused > 0;
        if is_proven {
            self.succeed();
        }
        Ok(Ended { reason, admitted_for, refused })
    }

    /// A session that is about to call the host.
    pub(crate) fn begin(&mut self, opening: Opening) -> Result<ClientSession, SessionError> {
        self.begin_for(opening, HANDSHAKE_US)
    }

    /// A session that calls the host for so long, in microseconds.
    pub(crate) fn begin_for(
        &mut self,
        opening: Opening,
        patience_us: u32,
    ) -> Result<ClientSession, SessionError> {
        let mut entropy = [0; 96];
        let mut connection = [0; 4];
        getrandom::fill(&mut entropy).map_err(SessionError::Entropy)?;
        getrandom::fill(&mut connection).map_err(SessionError::Entropy)?;
        let target = &self.target;
        let config = Config {
            datagram_len: target.datagram_len,
            datagram_len_max: DATAGRAM_MAX as u16,
            datagram_len_taken: DATAGRAM_MAX as u16,
            handshake_us: patience_us,
            wanted: target.wanted,
            ..Config::default()
        };
        let (connection, memory) = (u32::from_be_bytes(connection), desktop_memory(true));
        let (path, now) = (PathId(0), self.clock.now());
        let opening = opening.with_suite(target.suite);
        let handshake = ChosenHandshake::initiator(target.handshake, &target.identity, &entropy, opening);
        let mut session = match opening.pattern {
            Pattern::Xx => Session::connect(&config, handshake, target.key, connection, memory, path, now),
            Pattern::Ik => {
                let unix_us = self.clock.unix_epoch_us().saturating_add(now.as_micros());
                self.memory.counter = self.memory.next_counter(unix_us);
                let (counter, token) = (self.memory.counter, self.memory.token.take());
                let callee = Callee { host: target.key, counter, token };
                Session::call(&config, handshake, &callee, connection, memory, path, now)
            }
        };
        // What this viewer can show is always something that can be said.
        let _ = session.set_capabilities(capabilities(target.codec));
        Ok(session)
    }

    fn fatal(&self, ended: &Ended) -> ClientError {
        let reason = ended.reason;
        let (host, port, id) = (self.target.host.clone(), self.target.port, self.target.identity.public());
        if matches!(reason, CloseReason::Refused | CloseReason::Revoked) {
            return ClientError::Refused { host, what: describe(reason), id };
        }
        if reason != CloseReason::Unanswered {
            return ClientError::Ended { host, what: describe(reason) };
        }
        if let Some(meeting) = &self.target.meeting {
            let (address, host) = (meeting.gateway.address.clone(), self.target.key);
            // Who has not the key that is called says nothing, or what nobody believes.
            return if self.is_led {
                ClientError::OtherHost { address, host }
            } else {
                ClientError::NoPath { address, host }
            };
        }
        let texts =
            self.target.addresses().unwrap_or_default().into_iter().map(|address| address.ip().to_string());
        let mut tried = format!("tried {}", texts.collect::<Vec<_>>().join(", "));
        if ended.refused {
            tried.push_str("; that machine says that nothing listens there");
        }
        ClientError::Unanswered { host, port, tried, id: self.target.key }
    }
}

/// What this viewer can show.
fn capabilities(codec: CodecKind) -> Capabilities {
    let codecs: &[Codec] = match codec {
        CodecKind::Auto => &[Codec::H264, Codec::Tiles],
        CodecKind::H264 => &[Codec::H264],
        CodecKind::Tiles => &[Codec::Tiles],
    };
    Capabilities {
        picture_len_max: u32::try_from(PICTURE_BUFFER_LEN).unwrap_or(u32::MAX),
        ..Capabilities::of(codecs)
    }
}

/// Why there was no session at all.
#[derive(Debug)]
pub(crate) enum SessionError {
    System(std::io::Error),
    Entropy(getrandom::Error),
}

impl From<std::io::Error> for SessionError {
    fn from(error: std::io::Error) -> Self {
        Self::System(error)
    }
}
