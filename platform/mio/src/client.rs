//! One session over one connected socket.
//!
//! [`Core`] does everything that does not wait; whoever owns it does the waiting, [`ClientDriver`] here and
//! [`SharedClient`](crate::SharedClient) where another thread may act on the session meanwhile.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::io;

use rift::{Event, Handshake, Instant, Memory, NoPictures, PathId, Session};

use crate::anticipation::{Anticipation, Window};
use crate::clock::Clock;
use crate::finder::{Finder, Met};
use crate::outbox::Outbox;
use crate::poller::{Poller, Waker, not_before};
use crate::socket::{Destination, Socket, SocketConfig};
use crate::sys;

/// Receive calls of one turn: what is left waits for the next, so that sending is never starved.
const RECEIVES_PER_TURN: usize = 4;
/// Rounds of sending and telling before a wait: an application that answers every event with another cannot keep
/// the driver from the network.
const ROUNDS_MAX: usize = 8;

/// This machine's address is looked at this often, in µs, and this often while the host is silent.
const LOOK_US: u64 = 1_000_000;
const LOOK_SILENT_US: u64 = 200_000;
/// Looks during which the host was silent before another socket is tried on the same network.
const SILENT_MAX: u32 = 4;

/// Drives a client's session.
///
/// ```text
/// let mut driver = ClientDriver::connect(&SocketConfig::default(), host, session)?;
/// while !driver.session().is_closed() {
///     driver.turn(&mut |session, event| …)?;
///     // commands from channels: driver.session().send_input(…)
/// }
/// ```
pub struct ClientDriver<M: Memory, H: Handshake> {
    pub(crate) core: Core<M, H>,
    pub(crate) poller: Poller,
}

/// A session, its socket, and what waits for room in it.
pub(crate) struct Core<M: Memory, H: Handshake> {
    pub(crate) session: Session<M, H>,
    pub(crate) socket: Socket,
    remote: SocketAddr,
    config: SocketConfig,
    outbox: Outbox,
    pub(crate) clock: Clock,
    /// The session's name for the path that leads through the socket.
    path: PathId,
    /// When it was last looked whether this machine's address has changed, and how often the host was silent then.
    looked_at: Instant,
    silent: u32,
    /// What finds ways to the host, where a gateway introduced this client to it.
    pub(crate) met: Option<Box<Met>>,
    pub(crate) anticipation: Anticipation,
}

/// What a driver waits for, beside datagrams and wakers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) deadline: Option<Instant>,
    /// When a picture is expected.
    pub(crate) window: Option<Window>,
    /// Datagrams wait for room in the socket.
    pub(crate) is_blocked: bool,
}

impl Wait {
    /// Waits.
    pub(crate) fn pass(self, poller: &mut Poller) -> io::Result<()> {
        match self.window {
            Some(window) => poller.wait_for_picture(window, self.deadline, self.is_blocked),
            None => poller.wait(self.deadline, self.is_blocked),
        }
    }
}

impl<M: Memory, H: Handshake> ClientDriver<M, H> {
    /// A driver for `session`, made with [`Session::connect`] on `PathId(0)`, whose host is at `remote`. Nothing is
    /// sent before the first [`Self::turn`].
    ///
    /// # Errors
    /// The system's, when no socket can be opened or there is no route.
    pub fn connect(config: &SocketConfig, remote: SocketAddr, session: Session<M, H>) -> io::Result<Self> {
        let socket = Socket::connect(config, remote)?;
        let poller = Poller::new(&socket)?;
        let clock = Clock::new();
        Ok(Self { core: Core::new(session, socket, remote, *config, clock), poller })
    }

    /// A driver for `session`, made with [`Session::call`] or [`Session::connect`] on `PathId(0)`, over the way that
    /// `finder` has found: to be called once [`Finder::turn`] says so. It goes on looking for better ways.
    #[must_use]
    pub fn introduced(finder: Finder, session: Session<M, H>) -> Self {
        let Finder { config, socket, poller, clock, mut met } = finder;
        let remote = met.begin_session(session.path()).unwrap_or(socket.local_addr());
        let core = Core { met: Some(Box::new(met)), ..Core::new(session, socket, remote, config, clock) };
        Self { core, poller }
    }

    /// Begins again with another session, from a new socket; wakers stay valid. Returns the old session.
    ///
    /// # Errors
    /// The system's, as [`Self::connect`]; the driver is then as before, and `session` is gone.
    pub fn reconnect(&mut self, remote: SocketAddr, session: Session<M, H>) -> io::Result<Session<M, H>> {
        let core = &mut self.core;
        let socket = Socket::connect(&core.config, remote)?;
        self.poller.replace(&core.socket, &socket)?;
        core.socket = socket;
        core.remote = remote;
        core.outbox.clear();
        core.path = session.path();
        Ok(core::mem::replace(&mut core.session, session))
    }

    /// Goes on with the same session from a new socket, as after a change of networks. The driver does so by itself when
    /// it notices that this machine has another address now, or when the host stays silent; who knows earlier says so.
    ///
    /// # Errors
    /// The system's, when there is no route; [`io::ErrorKind::NotConnected`] when the session cannot move now. Nothing has
    /// changed then.
    pub fn move_socket(&mut self) -> io::Result<()> {
        self.core.move_socket(&mut self.poller)
    }

    /// Ends the wait of [`Self::turn`] from another thread.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.poller.waker()
    }

    /// Polls without sleep at most so many µs before and after the time at which a picture is expected, itself at most
    /// [`CLIENT_BUSY_POLL_US_MAX`](crate::CLIENT_BUSY_POLL_US_MAX): pictures are there sooner where machines wake threads late. Only
    /// pictures that keep to a rhythm are expected, and only where there is more than one processor.
    /// [`CLIENT_BUSY_POLL_US`](crate::CLIENT_BUSY_POLL_US), as at first; 0: it sleeps.
    pub fn set_busy_poll(&mut self, micros: u32) {
        self.core.anticipation.set_busy_poll(micros);
    }

    /// The session. What it is told to do is done when the next turn begins.
    pub const fn session(&mut self) -> &mut Session<M, H> {
        &mut self.core.session
    }

    /// Gives the session back and closes the socket.
    #[must_use]
    pub fn into_session(self) -> Session<M, H> {
        self.core.session
    }

    /// The socket's own address.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.core.socket.local_addr()
    }

    /// The socket, for its counters and sizes.
    #[must_use]
    pub const fn socket(&self) -> &Socket {
        &self.core.socket
    }

    /// The clock whose time the session is given.
    #[must_use]
    pub const fn clock(&self) -> Clock {
        self.core.clock
    }

    /// One turn: sends what is due, tells what happened, waits for the network, a deadline or a waker, takes what
    /// came, tells and sends again. Returns after each wait. Once the session is closed it does not wait.
    ///
    /// `on_event` may give the session commands; they are acted on before the wait.
    ///
    /// # Errors
    /// Only when polling itself fails; what the network refuses is counted in [`Socket::stats`].
    pub fn turn(&mut self, on_event: &mut dyn FnMut(&mut Session<M, H>, Event)) -> io::Result<()> {
        self.core.roam(&mut self.poller);
        if let Some(wait) = self.core.begin_turn(on_event) {
            wait.pass(&mut self.poller)?;
            self.core.end_turn(&mut self.poller.is_readable, on_event)?;
        }
        Ok(())
    }
}

impl<M: Memory, H: Handshake> Core<M, H> {
    fn new(
        session: Session<M, H>,
        socket: Socket,
        remote: SocketAddr,
        config: SocketConfig,
        clock: Clock,
    ) -> Self {
        Self {
            path: session.path(),
            session,
            socket,
            remote,
            config,
            outbox: Outbox::new(),
            clock,
            looked_at: clock.now(),
            silent: 0,
            met: None,
            anticipation: Anticipation::new(),
        }
    }

    /// Looks now and then whether the way to the host is still the one the socket takes, and moves if it is not.
    pub(crate) fn roam(&mut self, poller: &mut Poller) {
        let now = self.clock.now();
        let is_silent = self.session.is_silent();
        let pause_us = if is_silent { LOOK_SILENT_US } else { LOOK_US };
        if self.met.is_some() {
            return;
        }
        let is_early = now.micros_since(self.looked_at) < pause_us;
        if !self.config.roams || is_early || !self.session.is_established() {
            return;
        }
        self.looked_at = now;
        self.silent = if is_silent { self.silent + 1 } else { 0 };
        // Without a route there is nowhere to go.
        let Ok(current) = source_towards(self.remote) else { return };
        if current != self.socket.local_addr().ip() || self.silent >= SILENT_MAX {
            self.silent = 0;
            // What cannot be done now is tried again after the next look.
            let _ = self.move_socket(poller);
        }
    }

    fn move_socket(&mut self, poller: &mut Poller) -> io::Result<()> {
        let socket = Socket::connect(&self.config, self.remote)?;
        let (now, path) = (self.clock.now(), PathId(self.path.0.wrapping_add(1)));
        let opened = self.session.open_path(now, path, sys::entropy());
        opened.map_err(|_| io::Error::from(io::ErrorKind::NotConnected))?;
        poller.replace(&self.socket, &socket)?;
        let moved = self.session.move_to(now, path);
        debug_assert!(moved.is_ok(), "the path was just opened");
        self.path = path;
        self.socket = socket;
        self.outbox.clear();
        Ok(())
    }

    /// Sends what is due and tells what happened. Returns what to wait for; `None` when it is all over.
    pub(crate) fn begin_turn(&mut self, on_event: &mut dyn FnMut(&mut Session<M, H>, Event)) -> Option<Wait> {
        self.meet();
        let mut polled_at = self.transmit();
        for _ in 0..ROUNDS_MAX {
            if !self.tell(polled_at, on_event) {
                break;
            }
            polled_at = self.transmit();
        }
        if self.session.is_closed() && !self.outbox.is_blocked() {
            if let Some(met) = &mut self.met {
                met.close(polled_at, self.socket.sender());
            }
            return None;
        }
        Some(self.wait(polled_at))
    }

    /// Whether anything happened.
    fn tell(&mut self, now: Instant, on_event: &mut dyn FnMut(&mut Session<M, H>, Event)) -> bool {
        tell(now, &mut self.session, self.met.as_deref_mut(), &mut self.anticipation, on_event)
    }

    /// Looks for ways, where that is to be done, and takes those that were found.
    fn meet(&mut self) {
        if let Some(met) = &mut self.met {
            met.work(self.clock.now(), &mut self.session, self.socket.sender());
        }
    }

    /// Begins again with another session, where the way leads that was found for it. Returns the old one.
    pub(crate) fn begin_again(&mut self, session: Session<M, H>) -> Session<M, H> {
        self.outbox.clear();
        self.path = session.path();
        self.remote = self.met.as_mut().and_then(|met| met.begin_session(self.path)).unwrap_or(self.remote);
        core::mem::replace(&mut self.session, session)
    }

    /// What to wait for after everything was sent at `polled_at`.
    pub(crate) fn wait(&self, polled_at: Instant) -> Wait {
        let due = self.session.poll_timeout().map(|(due, _)| due);
        let meeting = self.met.as_ref().and_then(|met| met.due());
        let due = due.into_iter().chain(meeting).min();
        Wait {
            deadline: due.map(|due| not_before(due, polled_at)),
            window: self.anticipation.window(polled_at),
            is_blocked: self.outbox.is_blocked(),
        }
    }

    /// Takes what came, tells and sends again.
    pub(crate) fn end_turn(
        &mut self,
        is_readable: &mut bool,
        on_event: &mut dyn FnMut(&mut Session<M, H>, Event),
    ) -> io::Result<()> {
        self.receive(is_readable, on_event)?;
        let now = self.clock.now();
        self.session.handle_timeout(now);
        self.tell(now, on_event);
        self.meet();
        self.transmit();
        Ok(())
    }

    /// Sends what is due. Returns the time it was given.
    pub(crate) fn transmit(&mut self) -> Instant {
        let now = self.clock.now();
        let (remote, met) = (self.remote, self.met.as_deref());
        let sender = self.socket.sender();
        self.outbox.flush(sender);
        while let Some(room) = self.outbox.urgent_room() {
            let Some(transmit) = self.session.poll_transmit(now, &NoPictures, room) else { break };
            let to = met.and_then(|met| met.place(transmit.path)).unwrap_or(remote);
            for other in met.into_iter().flat_map(|met| met.others(transmit.path)) {
                sender.put_small(other, &room[..transmit.len]);
            }
            self.outbox.send_urgent(sender, Destination { to, source: None }, transmit);
        }
        if let Some((to, len)) = sender.take_too_long() {
            let path = met.map_or(Some(self.path), |met| met.path_to(to));
            if let Some(path) = path {
                self.session.handle_too_long(now, path, len);
            }
        }
        now
    }

    /// Tells after each batch: who waits for a picture has it before the answers leave, and a client that comes late
    /// to many pictures has room for each.
    fn receive(
        &mut self,
        is_readable: &mut bool,
        on_event: &mut dyn FnMut(&mut Session<M, H>, Event),
    ) -> io::Result<()> {
        for _ in 0..RECEIVES_PER_TURN {
            if !*is_readable {
                break;
            }
            let (session, clock, path) = (&mut self.session, self.clock, self.path);
            let (met, anticipation) = (&mut self.met, &mut self.anticipation);
            let count = self.socket.receive(|batch| {
                let now = clock.now();
                if let Some(met) = met {
                    met.take(now, session, batch);
                } else {
                    let (at, stride) = (batch.received_at, batch.stride);
                    session.handle_datagrams(now, path, at, batch.ecn, batch.bytes, stride);
                }
                tell(now, session, met.as_deref_mut(), anticipation, on_event);
            })?;
            *is_readable = count > 0;
        }
        Ok(())
    }
}

/// The address from which this machine would send to `remote` now.
fn source_towards(remote: SocketAddr) -> io::Result<IpAddr> {
    let any =
        if remote.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let socket = std::net::UdpSocket::bind((any, 0))?;
    socket.connect(remote)?;
    Ok(socket.local_addr()?.ip())
}

/// Whether anything happened. Entropy is given where it is wanted.
fn tell<M: Memory, H: Handshake>(
    now: Instant,
    session: &mut Session<M, H>,
    mut met: Option<&mut Met>,
    anticipation: &mut Anticipation,
    on_event: &mut dyn FnMut(&mut Session<M, H>, Event),
) -> bool {
    let mut any = false;
    if session.wants_entropy() {
        session.add_entropy(now, sys::entropy());
        any = true;
    }
    while let Some(event) = session.poll_event() {
        if let Some(met) = &mut met {
            met.on_event(now, &event, session.path());
        }
        if matches!(event, Event::Picture(_)) {
            anticipation.on_picture(now);
        }
        on_event(session, event);
        any = true;
    }
    any
}

impl<M: Memory, H: Handshake> core::fmt::Debug for ClientDriver<M, H> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ClientDriver")
            .field("session", &self.core.session)
            .field("remote", &self.core.remote)
            .finish_non_exhaustive()
    }
}
