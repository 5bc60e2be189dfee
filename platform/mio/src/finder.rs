//! A client that a gateway is to introduce to its host, before there is a session: see [`Finder`]. Once it has found a way
//! it becomes the driver of the session that begins there, which it goes on looking for better ways for ([`Met`]).
//!
//! Where somebody has said where the host may be ([`Finder::with_places`]), a session begins at once: its call goes to all
//! these places, and the one from which the host's answer comes is where its first path leads. What checks find
//! before is called instead, and later takes that path's place, as ever.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::io;

use rift::paths::Via;
use rift::wire::Kind;
use rift::wire::signal::SignalReason;
use rift::{Event, Handshake, Identity, Instant, Memory, PathId, PublicKey, Session};

use crate::clock::Clock;
use crate::meet::{
    Caller, CallerStep, DATAGRAM_LEN, Enrolment, Gateway, GatewayPlace, GatewayState, Heard, LendStream, way,
};
use crate::poller::{Poller, Waker};
use crate::socket::{Received, Sender, Socket, SocketConfig};
use crate::sys;

/// Receive calls of one turn.
const RECEIVES_PER_TURN: usize = 4;

/// Places that somebody may name: as many as a link has.
const NAMED_MAX: usize = 8;

/// Which way a session goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedWay {
    /// Directly or through a relay.
    pub via: Via,
    /// Where to: the host's address, or the relay's.
    pub address: SocketAddr,
    /// Whether the relay is reached by a stream, because UDP does not pass.
    pub is_streamed: bool,
}

/// Looks for a way to a host that a gateway knows.
///
/// ```text
/// let mut finder = Finder::new(&SocketConfig::default(), gateway, host, &identity, None)?;
/// while !finder.turn(patience)? { … look at finder.state() and finder.refused() }
/// let driver = ClientDriver::introduced(finder, session);
/// ```
#[derive(Debug)]
pub struct Finder {
    pub(crate) config: SocketConfig,
    pub(crate) socket: Socket,
    pub(crate) poller: Poller,
    pub(crate) clock: Clock,
    pub(crate) met: Met,
}

impl Finder {
    /// Begins to look for `host` at `gateway`, from a socket on a port of the system's choice. Nothing is sent before the
    /// first [`Self::turn`].
    ///
    /// # Errors
    /// The system's, when no socket can be opened.
    pub fn new(
        config: &SocketConfig,
        gateway: GatewayPlace,
        host: PublicKey,
        identity: &Identity,
        enrolment: Option<Enrolment>,
    ) -> io::Result<Self> {
        // A machine without IPv6 has no such address.
        let socket = Socket::bind(config, (Ipv6Addr::UNSPECIFIED, 0).into())
            .or_else(|_| Socket::bind(config, (Ipv4Addr::UNSPECIFIED, 0).into()))?;
        let (poller, clock) = (Poller::new(&socket)?, Clock::new());
        let (now, epoch_us) = (clock.now(), clock.unix_epoch_us());
        let gateway = Gateway::new(gateway, identity.clone(), enrolment, epoch_us, sys::entropy, now);
        let caller = Caller::new(gateway, host, socket.local_addr(), epoch_us, now);
        Ok(Self { config: *config, socket, poller, clock, met: Met::new(caller) })
    }

    /// From now on the gateway and relays are reached by streams where UDP brings no answer. To be called before the first turn.
    #[must_use]
    pub fn with_streams(mut self, lend: LendStream) -> Self {
        self.met.caller.set_streams(lend);
        self
    }

    /// The host may be at these places, of which eight are heeded: [`Self::turn`] says at once that a session is to begin, which
    /// calls it at all of them while the gateway is asked. A place where it is not costs some datagrams. To be called
    /// before the first turn.
    #[must_use]
    pub fn with_places(mut self, places: &[SocketAddr]) -> Self {
        let canonical = |place: &SocketAddr| SocketAddr::new(place.ip().to_canonical(), place.port());
        let is_v6 = self.socket.local_addr().is_ipv6();
        let reachable = places.iter().map(canonical).filter(|place| is_v6 || place.is_ipv4());
        let named: Vec<_> = reachable.take(NAMED_MAX).collect();
        self.met.begin = (!named.is_empty()).then_some(Begin::Named);
        self.met.caller.set_named(named);
        self
    }

    /// How the gateway is, and what it has said.
    #[must_use]
    pub const fn asked(&self) -> Asked {
        self.met.asked()
    }

    /// How the gateway is.
    #[must_use]
    pub const fn state(&self) -> GatewayState {
        self.met.caller.state()
    }

    /// Why the gateway did not introduce this client the last time, if it did not.
    #[must_use]
    pub const fn refused(&self) -> Option<SignalReason> {
        self.met.caller.refused()
    }

    /// Whether the way that was found leads straight to somebody who has answered this client's checks.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        matches!(self.met.begin, Some(Begin::Way(place)) if way::tag(place).is_none())
    }

    /// Ends the wait of [`Self::turn`] from another thread.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.poller.waker()
    }

    /// Sends what is due, waits for the network, a deadline or a waker, but no longer than `patience`, and takes what came.
    /// Whether a session is to begin now.
    ///
    /// # Errors
    /// Only when polling itself fails.
    pub fn turn(&mut self, patience: Duration) -> io::Result<bool> {
        self.met.look(self.clock.now(), self.socket.sender());
        if self.met.begin.is_none() {
            let until = self.clock.now() + patience;
            let due = self.met.due.map_or(until, |due| due.min(until));
            self.poller.wait(Some(due), false)?;
            for _ in 0..RECEIVES_PER_TURN {
                if !self.poller.is_readable {
                    break;
                }
                let (met, clock) = (&mut self.met, self.clock);
                let count = self.socket.receive(|batch| met.take_early(clock.now(), batch))?;
                self.poller.is_readable = count > 0;
            }
            self.met.look(self.clock.now(), self.socket.sender());
        }
        Ok(self.met.begin.is_some())
    }
}

/// How things stand with a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// How it is.
    pub state: GatewayState,
    /// Why it did not introduce this client the last time, if it did not.
    pub refused: Option<SignalReason>,
    /// How often it has introduced this client.
    pub introductions: u64,
    /// There is no way by it yet, and the host has not answered where it was said to be.
    pub is_open: bool,
}

/// Where a session is to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// At all places at which somebody said that the host is.
    Named,
    /// There.
    Way(SocketAddr),
}

/// What finds ways for a session, and where its paths lead.
#[derive(Debug)]
pub(crate) struct Met {
    pub(crate) caller: Caller,
    places: Vec<(PathId, SocketAddr)>,
    /// A session is to begin there, and to take the place of the one there is.
    pub(crate) begin: Option<Begin>,
    /// The path of a session that was called at named places, until it goes another way.
    named: Option<PathId>,
    /// Nobody has answered there yet.
    is_calling: bool,
    is_established: bool,
    due: Option<Instant>,
    is_touched: bool,
}

impl Met {
    fn new(caller: Caller) -> Self {
        let (places, begin, named, is_calling) = (Vec::new(), None, None, false);
        let (is_established, due, is_touched) = (false, None, true);
        Self { caller, places, begin, named, is_calling, is_established, due, is_touched }
    }

    /// When something is due.
    pub(crate) const fn due(&self) -> Option<Instant> {
        if self.is_touched || self.begin.is_some() { Some(Instant::ZERO) } else { self.due }
    }

    /// Where a path leads.
    pub(crate) fn place(&self, path: PathId) -> Option<SocketAddr> {
        self.places.iter().rev().find(|(known, _)| *known == path).map(|&(_, place)| place)
    }

    /// Where else a datagram of this path goes: a call goes to every place that was named.
    pub(crate) fn others(&self, path: PathId) -> impl Iterator<Item = SocketAddr> {
        let called = if self.is_calling { self.places.as_slice() } else { &[] };
        let last = called.len().saturating_sub(1);
        called[..last].iter().filter(move |(known, _)| *known == path).map(|&(_, place)| place)
    }

    /// How things stand with the gateway.
    pub(crate) const fn asked(&self) -> Asked {
        let is_open = self.is_calling || self.places.is_empty();
        let (state, refused) = (self.caller.state(), self.caller.refused());
        Asked { state, refused, introductions: self.caller.introductions(), is_open }
    }

    /// The newest path that leads there.
    pub(crate) fn path_to(&self, place: SocketAddr) -> Option<PathId> {
        self.places.iter().rev().find(|(_, known)| *known == place).map(|&(path, _)| path)
    }

    /// The session that was asked for begins; where.
    pub(crate) fn begin_session(&mut self, path: PathId) -> Option<SocketAddr> {
        let begin = self.begin.take()?;
        (self.is_established, self.is_touched) = (false, true);
        self.is_calling = begin == Begin::Named;
        self.named = self.is_calling.then_some(path);
        self.places.clear();
        match begin {
            Begin::Named => self.places.extend(self.caller.named().iter().map(|&place| (path, place))),
            Begin::Way(way) => self.places.push((path, way)),
        }
        self.place(path)
    }

    /// The host may have answered there: then this is where the path leads that was called at many places.
    fn settle(&mut self, path: PathId, from: SocketAddr, is_established: bool) {
        if self.is_calling && is_established {
            self.is_calling = false;
            self.places.retain(|&known| known == (path, from));
        }
    }

    /// Before there is a session: does and sends what is due.
    fn look(&mut self, now: Instant, sender: &mut Sender) {
        self.caller.handle_timeout(now);
        while self.begin.is_none()
            && let Some(step) = self.caller.poll_step(now)
        {
            if let CallerStep::Begin(way) = step {
                self.begin = Some(Begin::Way(way));
            }
        }
        self.send(now, sender);
    }

    /// Before there is a session: takes what came.
    fn take_early(&mut self, now: Instant, batch: Received<'_>) {
        let Received { from, ecn, bytes, stride, .. } = batch;
        for datagram in bytes.chunks_mut(stride) {
            if self.caller.is_beside(from) {
                // Nobody is in a session through a relay yet.
                let _ = self.caller.handle_datagram(now, from, ecn, datagram);
            } else {
                let _ = self.caller.handle_check(now, from, datagram);
            }
        }
    }

    /// Does and sends what is due, and what the session is to do for it.
    pub(crate) fn work<M: Memory, H: Handshake>(
        &mut self,
        now: Instant,
        session: &mut Session<M, H>,
        sender: &mut Sender,
    ) {
        if session.is_established() && !self.is_established {
            (self.is_established, self.is_touched) = (true, true);
            self.caller.on_established(now);
        }
        if self.due().is_none_or(|due| due > now) {
            return;
        }
        self.caller.handle_timeout(now);
        while self.begin.is_none()
            && let Some(step) = self.caller.poll_step(now)
        {
            match step {
                CallerStep::Begin(way) => self.begin = Some(Begin::Way(way)),
                // The first path of a session that was called at named places has a name that others would get.
                CallerStep::Open(path, _) if session.uses_path(path) => {
                    self.caller.on_not_opened(now, path);
                }
                CallerStep::Open(path, way) => {
                    self.places.retain(|&(known, _)| known != path && session.uses_path(known));
                    self.places.push((path, way));
                    if session.open_path(now, path, sys::entropy()).is_err() {
                        self.caller.on_not_opened(now, path);
                    }
                }
                // A path that failed meanwhile is told by an event.
                CallerStep::Use(path) => {
                    let is_used = session.use_path(now, path).is_ok();
                    if let Some(named) = self.named.take_if(|named| is_used && *named != path) {
                        session.close_path(named);
                    }
                }
                CallerStep::Close(path) => session.close_path(path),
            }
        }
        self.send(now, sender);
    }

    fn send(&mut self, now: Instant, sender: &mut Sender) {
        if let Some((tag, relay)) = self.caller.take_way() {
            sender.ways.retain(|&(known, _)| known != tag);
            sender.ways.push((tag, relay));
        }
        let mut out = [0; DATAGRAM_LEN];
        while let Some((len, to)) = self.caller.poll_transmit(now, &mut out) {
            sender.put_small(to, &out[..len]);
        }
        (self.due, self.is_touched) = (self.caller.poll_timeout(), false);
    }

    /// Something happened in the session.
    pub(crate) fn on_event(&mut self, now: Instant, event: &Event, used: PathId) {
        if let Event::PathProven(_) | Event::PathFailed(_) | Event::PathSilent(_) = event {
            self.is_touched = true;
            self.caller.on_event(now, event, used);
        }
    }

    /// Takes what came, for the session or for this.
    pub(crate) fn take<M: Memory, H: Handshake>(
        &mut self,
        now: Instant,
        session: &mut Session<M, H>,
        batch: Received<'_>,
    ) {
        let Received { from, received_at: at, ecn, bytes, stride, .. } = batch;
        if self.caller.is_beside(from) {
            for datagram in bytes.chunks_mut(stride) {
                match self.caller.handle_datagram(now, from, ecn, datagram) {
                    Heard::Done => self.is_touched = true,
                    Heard::Enclosed(head, way) => {
                        let inner = &mut datagram[head..];
                        if let Some(path) = self.path_to(way).filter(|_| !inner.is_empty()) {
                            let len = inner.len();
                            session.handle_datagrams(now, path, at, ecn, inner, len);
                        }
                    }
                }
            }
            return;
        }
        if way::tag(from).is_some() {
            // Nobody has such an address.
            return;
        }
        let is_check = |byte: Option<&u8>| byte.and_then(|&first| Kind::of(first)) == Some(Kind::Probe);
        let last = bytes.len().saturating_sub(1) / stride * stride;
        let path = self.path_to(from);
        if is_check(bytes.first()) || is_check(bytes.get(last)) {
            for datagram in bytes.chunks_mut(stride) {
                if is_check(datagram.first()) {
                    self.is_touched |= self.caller.handle_check(now, from, datagram);
                } else if let Some(path) = path {
                    let len = datagram.len();
                    session.handle_datagrams(now, path, at, ecn, datagram, len);
                    self.settle(path, from, session.is_established());
                }
            }
        } else if let Some(path) = path {
            session.handle_datagrams(now, path, at, ecn, bytes, stride);
            self.settle(path, from, session.is_established());
        }
    }

    /// Says goodbye to the gateway.
    pub(crate) fn close(&mut self, now: Instant, sender: &mut Sender) {
        self.caller.close(now);
        self.send(now, sender);
    }

    /// Which way the session goes.
    pub(crate) fn in_use(&self) -> Option<UsedWay> {
        let named = || Some(Via::Direct(self.place(self.named.filter(|_| !self.is_calling)?)?));
        match self.caller.in_use().or_else(named)? {
            via @ Via::Direct(address) => Some(UsedWay { via, address, is_streamed: false }),
            via @ Via::Relay => {
                Some(UsedWay { via, address: self.caller.relay()?, is_streamed: self.caller.is_streamed() })
            }
        }
    }
}
