//! Being introduced to a host by a gateway (SPEC §18), for boards that find it in no other way.
//!
//! The board calls its gateway from the socket that the host is to be called from, asks for the host, and says goodbye. Then
//! the two send checks to each other, and the host is called where an answer came from: directly, or not at all, since a board
//! binds itself at no relay.
//!
//! Invariants: a gateway proves its pinned key before it hears anything; what it says leads to an address and no further, as
//! the host proves its own key to the board; whatever comes, and whatever does not, an introduction ends in time.

use core::net::{IpAddr, SocketAddr};

use embassy_futures::select::select;
use embassy_net::Stack;
use embassy_net::udp::{UdpMetadata, UdpSocket};
use embassy_time::Timer;
use embedded_storage::nor_flash::NorFlash;
use rift::crypto::Side;
use rift::paths::{CandidateKind, Candidates, Punch, SignalLine, StunClient};
use rift::wire::signal::{DeviceName, EnrolmentToken, Introduction, Signal, SignalReason};
use rift::wire::{check, stun};
use rift::{CloseReason, Event, Handshake, Instant, Memory, Noise, PublicKey, Session, SignalStorage};
use rift_embassy::{Application, now};

use crate::begun::Begun;
use crate::entropy::Entropy;
use crate::report::Observer;

/// A gateway, as a link to the host names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinnedGateway {
    /// Where it is.
    pub address: SocketAddr,
    /// Its key: nobody else is spoken with.
    pub key: PublicKey,
    /// With this the board enrols, once; `None` = it has.
    pub token: Option<EnrolmentToken>,
}

/// Why a gateway did not lead to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoIntroduction {
    /// Nothing answers there.
    Silent,
    /// What answers there has not the gateway's key.
    OtherKey,
    /// It does not know the board, which has no token to enrol with.
    NotEnrolled,
    /// It did not take the token.
    Token,
    /// It knows no such host, or the host does not let it introduce this board.
    NotFound,
    /// It has no time or no room.
    Busy,
    /// The two were introduced, and no direct way lets anything through.
    NoWay,
}

impl NoIntroduction {
    /// What a person can do about it.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Silent => "the gateway does not answer",
            Self::OtherKey => "not this gateway's key: check its address and ID",
            Self::NotEnrolled => "the gateway does not know this board: give it a token",
            Self::Token => "the gateway refused the token: make a new one",
            Self::NotFound => "the gateway knows no such host: allow this ID there",
            Self::Busy => "the gateway has no room now",
            Self::NoWay => "introduced, but no direct way leads to the host",
        }
    }

    const fn of(reason: SignalReason) -> Self {
        match reason {
            SignalReason::NotEnrolled => Self::NotEnrolled,
            SignalReason::Token => Self::Token,
            SignalReason::NotFound => Self::NotFound,
            SignalReason::TooOften | SignalReason::Full | SignalReason::Other(_) => Self::Busy,
        }
    }
}

pub(crate) type SignalSession = Session<&'static mut SignalStorage, Noise>;
/// Where such a session lies: empty, it is all zeros.
pub(crate) type SignalPlace = heapless::Vec<SignalSession, 1>;

/// What a conversation with a gateway takes.
#[derive(Debug)]
pub(crate) struct GatewayMemory {
    storage: SignalStorage,
    place: SignalPlace,
    line: SignalLine,
}

impl GatewayMemory {
    pub(crate) const fn new() -> Self {
        Self { storage: SignalStorage::new(), place: SignalPlace::new(), line: SignalLine::new() }
    }
}

/// What a client keeps of its gateway between two introductions.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) gateway: Option<PinnedGateway>,
    /// Here but while a session has it.
    pub(crate) storage: Option<&'static mut SignalStorage>,
    pub(crate) place: &'static mut SignalPlace,
    pub(crate) line: &'static mut SignalLine,
    /// The last way to the host was the gateway's doing.
    has_introduced: bool,
    /// The socket's port is the one that the host's NAT lets through.
    holds_way: bool,
}

impl Desk {
    pub(crate) const fn new(gateway: Option<PinnedGateway>, memory: &'static mut GatewayMemory) -> Self {
        let GatewayMemory { storage, place, line } = memory;
        Self { gateway, storage: Some(storage), place, line, has_introduced: false, holds_way: false }
    }

    pub(crate) const fn has_introduced(&self) -> bool {
        self.has_introduced
    }

    /// Takes note of how an introduction ended.
    pub(crate) const fn introduced(&mut self, is_way: bool) {
        (self.has_introduced, self.holds_way) = (is_way, is_way);
    }

    /// Whether the socket is to stay as it is for the next call, which this is.
    pub(crate) const fn take_way(&mut self) -> bool {
        core::mem::replace(&mut self.holds_way, false)
    }
}

/// A gateway has so long for all of an introduction.
const ANSWER_US: u64 = 6_000_000;
/// What is silent is asked by STUN for so long whether it is there.
const STUN_US: u64 = 1_500_000;
/// How often the board's watchdog is told that all is well.
const TICK_US: u64 = 500_000;
/// A driver sleeps at least so long.
const PAUSE_US: u64 = 500;
/// The number of a conversation's only request.
const REQUEST: u16 = 1;
/// How operators know a board beside its ID.
const NAME: &str = "Wavry board";

/// One conversation: says who is wanted, and ends with the answer.
#[derive(Debug)]
pub(crate) struct Asking<'a, E, F, O> {
    gateway: PinnedGateway,
    host: PublicKey,
    pub(crate) candidates: Candidates,
    line: &'a mut SignalLine,
    begun: &'a mut Begun<E, F>,
    observer: &'a mut O,
    until: Instant,
    /// When to look again although nothing came. A time, not a length: the network wakes the driver more often than that.
    tick_at: Instant,
    has_asked: bool,
    has_enrolled: bool,
    pub(crate) answer: Option<Result<Introduction, NoIntroduction>>,
    /// There was no entropy when the session asked for some.
    pub(crate) is_dry: bool,
}

impl<'a, E, F, O> Asking<'a, E, F, O> {
    /// Asks for `host`, as a board that may be reached at `candidates` and where the gateway sees it.
    pub(crate) fn new(
        gateway: PinnedGateway,
        host: PublicKey,
        candidates: Candidates,
        line: &'a mut SignalLine,
        begun: &'a mut Begun<E, F>,
        observer: &'a mut O,
    ) -> Self {
        *line = SignalLine::new();
        Self {
            gateway,
            host,
            candidates,
            line,
            begun,
            observer,
            until: now().plus_micros(ANSWER_US),
            tick_at: now().plus_micros(TICK_US),
            has_asked: false,
            has_enrolled: false,
            answer: None,
            is_dry: false,
        }
    }

    fn on_signal(&mut self, signal: Signal) {
        if let Signal::Welcome { is_enrolled, seen } = signal {
            self.on_welcome(is_enrolled, seen);
        } else if let Signal::Refused { reason, .. } = signal {
            self.answer = Some(Err(NoIntroduction::of(reason)));
        } else if let Signal::Introduction(met) = signal
            && met.calls
            && met.request == REQUEST
            && met.peer == self.host
        {
            self.answer = Some(Ok(met));
        }
    }

    fn on_welcome(&mut self, is_enrolled: bool, seen: SocketAddr) {
        let asked = if is_enrolled {
            if core::mem::replace(&mut self.has_asked, true) {
                return;
            }
            // What cannot be reached is no candidate.
            let _ = self.candidates.push(CandidateKind::Reflexive, seen);
            let (peer, candidates) = (self.host, self.candidates.clone());
            self.line.say(&Signal::Introduce { request: REQUEST, peer, candidates })
        } else if core::mem::replace(&mut self.has_enrolled, true) {
            return;
        } else if let Some(token) = self.gateway.token {
            let name = DeviceName::try_from(NAME).unwrap_or_default();
            self.line.say(&Signal::Enrol { token, name })
        } else {
            self.answer = Some(Err(NoIntroduction::NotEnrolled));
            return;
        };
        // The first messages of a session have room.
        debug_assert!(asked.is_ok(), "{asked:?}");
    }
}

impl<M: Memory, H: Handshake, E: Entropy, F: NorFlash, O: Observer> Application<M, H>
    for Asking<'_, E, F, O>
{
    fn event(&mut self, now: Instant, session: &mut Session<M, H>, event: Event) {
        if event == Event::EntropyWanted {
            match self.begun.draws.draw() {
                Ok(drawn) => session.add_entropy(now, *drawn),
                Err(_) => {
                    self.is_dry = true;
                    session.close(now, CloseReason::Done);
                }
            }
            return;
        }
        while self.answer.is_none()
            && let Some(signal) = self.line.hear(session)
        {
            self.on_signal(signal);
        }
        self.line.write(now, session);
        if self.answer.is_some() || self.line.is_broken() {
            session.close(now, CloseReason::Done);
        }
    }

    async fn wanted(&mut self) {
        Timer::at(embassy_time::Instant::from_micros(self.tick_at.as_micros())).await;
    }

    fn command(&mut self, now: Instant, session: &mut Session<M, H>) {
        self.observer.alive();
        self.tick_at = now.plus_micros(TICK_US);
        if now >= self.until {
            session.close(now, CloseReason::Done);
        }
    }
}

/// Where a socket on `port` of this stack may be reached, as the board knows it.
pub(crate) fn candidates(stack: Stack<'static>, port: u16) -> Candidates {
    let mut candidates = Candidates::new();
    let v4 = stack.config_v4().map(|config| IpAddr::V4(config.address.address()));
    let v6 = stack.config_v6().map(|config| IpAddr::V6(config.address.address()));
    for own in [v4, v6].into_iter().flatten() {
        // What cannot be reached is no candidate.
        let _ = candidates.push(CandidateKind::Host, SocketAddr::new(own, port));
    }
    candidates
}

/// Sends checks to who was introduced, until one address answers best; `None` when none does.
pub(crate) async fn punch(
    socket: &mut UdpSocket<'static>,
    met: &Introduction,
    own: &Candidates,
    mut alive: impl FnMut(),
) -> Option<SocketAddr> {
    let mut punch = Punch::new(now(), Side::Initiator, &met.secret, own, &met.candidates);
    let mut out = [0; check::Check::LEN];
    loop {
        alive();
        let time = now();
        punch.handle_timeout(time);
        while let Some((len, to)) = punch.poll_transmit(time, &mut out) {
            send(socket, &out[..len], to).await;
        }
        if let Some(best) = punch.nominated() {
            return Some(best.address);
        }
        if punch.has_failed() {
            return None;
        }
        let due = tick(time, punch.poll_timeout());
        let heard = socket.recv_from_with(|bytes, UdpMetadata { endpoint, .. }| {
            // What is no check of this introduction changes nothing.
            let _ = punch.handle_datagram(now(), SocketAddr::new(endpoint.addr.into(), endpoint.port), bytes);
        });
        select(heard, due).await;
    }
}

/// Whether somebody answers STUN at `server`: everybody who is a gateway does (SPEC §18.2).
pub(crate) async fn is_somebody_there(
    socket: &mut UdpSocket<'static>,
    server: SocketAddr,
    id: stun::TransactionId,
    mut alive: impl FnMut(),
) -> bool {
    let until = now().plus_micros(STUN_US);
    let mut client = StunClient::new(now(), server, id);
    let mut out = [0; stun::REQUEST_LEN];
    while !client.is_over(now()) && now() < until {
        alive();
        let time = now();
        if let Some((len, to)) = client.poll_transmit(time, &mut out) {
            send(socket, &out[..len], to).await;
        }
        let due = tick(time, client.poll_timeout());
        let heard = socket.recv_from_with(|bytes, UdpMetadata { endpoint, .. }| {
            client.handle_datagram(SocketAddr::new(endpoint.addr.into(), endpoint.port), bytes);
        });
        select(heard, due).await;
    }
    client.address().is_some()
}

/// The time when a loop looks again that looked at `time`, and has something to do at `due`.
fn tick(time: Instant, due: Option<Instant>) -> Timer {
    let latest = time.plus_micros(TICK_US);
    let at = due.map_or(latest, |due| due.min(latest)).max(time.plus_micros(PAUSE_US));
    Timer::at(embassy_time::Instant::from_micros(at.as_micros()))
}

/// Sends a datagram. What has no route, or waits for a neighbour for too long, is lost as on any network.
async fn send(socket: &UdpSocket<'static>, datagram: &[u8], to: SocketAddr) {
    let _ = select(socket.send_to(datagram, (to.ip(), to.port())), Timer::after_micros(TICK_US)).await;
}
