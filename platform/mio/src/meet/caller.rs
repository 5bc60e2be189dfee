//! A client that a gateway introduces to its host (SPEC §18): it asks to be introduced, sends checks, binds itself at the
//! relay, and says when the session is to begin, and over which paths it is to go.

use core::net::SocketAddr;

use rift::paths::{Agent, CandidateKind, Candidates, Step, Via};
use rift::wire::bind::{BIND_LEN_MAX, LeaseSide};
use rift::wire::fleet::Way;
use rift::wire::relay::{ENVELOPE_LEN, Envelope};
use rift::wire::signal::{Introduction, Signal, SignalReason};
use rift::{Ecn, Event, Instant, PathId, PublicKey};

use super::gateway::{Gateway, GatewayState};
use super::leg::Leg;
use super::nearest::Nearest;
use super::{Heard, way};

/// A host that is not there yet is asked for again after this long, then after twice as long each time.
const AGAIN_US: u64 = 300_000;
const AGAIN_US_MAX: u64 = 5_000_000;
/// An introduction waits this long for the lease that was promised with it.
const LEASE_US: u64 = 300_000;
/// A lease that ends within this long is not kept when there is another.
const LEASE_LEFT_S: u64 = 600;
/// Leases of one introduction.
const LEASES: u8 = 2;
/// An answer to an introduction is awaited this long.
const ANSWER_US: u64 = 3_000_000;

/// What a session is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallerStep {
    /// It is to begin there, whatever call is under way, with `PathId(0)`.
    Begin(SocketAddr),
    /// A path is to be opened there.
    Open(PathId, SocketAddr),
    /// A path is to be used.
    Use(PathId),
    /// A path is to be closed.
    Close(PathId),
}

/// How long the first relay of an introduction has to answer.
const SPARE_US: u64 = 2_000_000;

/// See the module.
pub struct Caller {
    gateway: Gateway,
    host: PublicKey,
    local: SocketAddr,
    candidates: Candidates,
    /// Where somebody said that the host is.
    named: Vec<SocketAddr>,
    agent: Agent,
    binding: Option<(Leg, u64)>,
    /// When that lease came.
    leased_at: Instant,
    /// Of a farther relay, for when the first does not answer.
    spare: Option<rift::paths::relay::Lease>,
    /// The way that the sender does not know yet.
    is_changed: bool,
    request: u16,
    /// That request was not answered yet. Every answer makes this client send to where it says, so that a request has one: who
    /// has the gateway shall not make it send to whom he likes more often than it asks.
    is_asked: bool,
    /// How many leases that answer may still bring.
    leases_left: u8,
    introductions: u64,
    /// It is to be introduced at this time.
    ask_at: Option<Instant>,
    again_us: u64,
    /// It was introduced, and waits for the lease until then.
    met: Option<(Introduction, Instant)>,
    /// The gateway has answered so the last time.
    refused: Option<SignalReason>,
    is_established: bool,
    nearest: Nearest,
    /// By which way it is connected, as the gateway was told in this session.
    told: Way,
    /// The gateway was reached by a stream when that was looked at last.
    was_streamed: bool,
    epoch_us: u64,
}

impl Caller {
    /// A client whose socket is bound to `local`, that looks for `host` at this gateway from `now` on. `epoch_us` is the
    /// Unix time at [`Instant::ZERO`], in microseconds.
    #[must_use]
    pub fn new(gateway: Gateway, host: PublicKey, local: SocketAddr, epoch_us: u64, now: Instant) -> Self {
        Self {
            gateway,
            host,
            local,
            candidates: Candidates::new(),
            named: Vec::new(),
            agent: Agent::new(),
            binding: None,
            leased_at: now,
            spare: None,
            is_changed: false,
            request: 0,
            is_asked: false,
            leases_left: 0,
            introductions: 0,
            ask_at: Some(now),
            again_us: AGAIN_US,
            met: None,
            refused: None,
            is_established: false,
            nearest: Nearest::new(),
            told: Way::None,
            was_streamed: false,
            epoch_us,
        }
    }

    /// How the gateway is.
    #[must_use]
    pub const fn state(&self) -> GatewayState {
        self.gateway.state()
    }

    /// Why the gateway did not introduce it the last time, if it did not.
    #[must_use]
    pub const fn refused(&self) -> Option<SignalReason> {
        self.refused
    }

    /// Introductions so far.
    #[must_use]
    pub const fn introductions(&self) -> u64 {
        self.introductions
    }

    /// Which way the session goes.
    #[must_use]
    pub fn in_use(&self) -> Option<Via> {
        self.agent.in_use()
    }

    /// Where the relay of its lease is.
    #[must_use]
    pub fn relay(&self) -> Option<SocketAddr> {
        self.binding.as_ref().map(|(binding, _)| binding.relay())
    }

    /// Whether the way to that relay is a stream: UDP does not pass.
    #[must_use]
    pub fn is_streamed(&self) -> bool {
        self.binding.as_ref().is_some_and(|(binding, _)| binding.is_streamed())
    }

    /// From now on the gateway and relays are reached by streams where UDP brings no answer.
    pub(crate) fn set_streams(&mut self, lend: super::LendStream) {
        self.gateway.set_streams(lend, self.local);
    }

    /// The host may be at these places, whatever the gateway says.
    pub(crate) fn set_named(&mut self, places: Vec<SocketAddr>) {
        self.named = places;
    }

    /// Where somebody said that the host is.
    pub(crate) fn named(&self) -> &[SocketAddr] {
        &self.named
    }

    /// Whether datagrams from there are for [`Self::handle_datagram`], whatever they are.
    pub(crate) fn is_beside(&self, from: SocketAddr) -> bool {
        self.gateway.is_from(from)
            || self.binding.as_ref().is_some_and(|(leg, _)| leg.is_from(from))
            || self.nearest.is_beside(from)
    }

    /// Takes a datagram of the gateway's or the relay's.
    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        ecn: Ecn,
        datagram: &mut [u8],
    ) -> Heard {
        if self.gateway.is_from(from) {
            self.gateway.handle_datagram(now, ecn, datagram);
            self.work(now);
        } else if self.nearest.handle_datagram(now, from, datagram) {
            self.work(now);
        } else if let Some((binding, _)) = &mut self.binding {
            if let Some(envelope) = Envelope::parse(datagram) {
                if envelope.tag == binding.tag() {
                    return Heard::Enclosed(ENVELOPE_LEN, way::of(envelope.tag));
                }
            } else {
                binding.handle_datagram(now, from, datagram);
            }
        }
        Heard::Done
    }

    /// Takes a check. Whether it was one of this introduction.
    pub(crate) fn handle_check(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> bool {
        self.agent.handle_datagram(now, from, datagram).is_ok()
    }

    /// The time has come that [`Self::poll_timeout`] told. May be called at any time.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.gateway.handle_timeout(now);
        let is_bound = self.binding.as_ref().is_some_and(|(binding, _)| binding.is_bound());
        if !is_bound
            && now.micros_since(self.leased_at) >= SPARE_US
            && let Some(spare) = self.spare.take()
        {
            self.on_lease(now, spare);
        }
        if let Some((binding, _)) = &mut self.binding {
            binding.handle_timeout(now, &mut self.gateway);
            self.is_changed |= binding.take_changed();
        }
        self.work(now);
    }

    /// When something is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let binding = self.binding.as_ref().map(|(binding, _)| binding.poll_timeout(&self.gateway));
        let lease = self.met.as_ref().map(|&(_, until)| until);
        let ask = self.ask_at.filter(|_| self.gateway.seen().is_some());
        let ask = ask.map(|at| self.nearest.waits_until().map_or(at, |until| at.max(until)));
        let nearest = self.nearest.poll_timeout();
        [self.gateway.poll_timeout(), self.agent.poll_timeout(), binding, lease, ask, nearest]
            .into_iter()
            .flatten()
            .min()
    }

    /// Writes what is due to `out` and tells its length and where it goes.
    pub(crate) fn poll_transmit(&mut self, now: Instant, out: &mut [u8]) -> Option<(usize, SocketAddr)> {
        if let Some(sent) = self.gateway.poll_transmit(now, out) {
            return Some(sent);
        }
        if let Some(sent) = self.agent.poll_transmit(now, out) {
            return Some(sent);
        }
        if let Some(asked) = self.nearest.poll_transmit(now, out) {
            return Some(asked);
        }
        let (binding, _) = self.binding.as_mut()?;
        binding.poll_transmit(now, out.first_chunk_mut::<BIND_LEN_MAX>()?)
    }

    /// The way through the relay, if it has changed since it was asked for.
    pub(crate) fn take_way(&mut self) -> Option<([u8; 8], SocketAddr)> {
        let is_changed = core::mem::take(&mut self.is_changed);
        self.binding.as_ref().filter(|_| is_changed).map(|(binding, _)| (binding.tag(), binding.place()))
    }

    /// The session has been established on the path on which it was begun last.
    pub(crate) fn on_established(&mut self, now: Instant) {
        self.is_established = true;
        self.agent.on_established(now);
    }

    /// Something happened in the session, which uses the path `used`.
    pub(crate) fn on_event(&mut self, now: Instant, event: &Event, used: PathId) {
        if let Event::PathSilent(_) = event
            && let Some((binding, _)) = &mut self.binding
        {
            // This machine may be elsewhere now.
            binding.rebind(now);
        }
        self.agent.on_event(now, event, used);
    }

    /// The session refused to open this path: it will be tried again soon.
    pub(crate) fn on_not_opened(&mut self, now: Instant, path: PathId) {
        self.agent.on_not_opened(now, path);
    }

    /// What the session is to do next.
    pub(crate) fn poll_step(&mut self, now: Instant) -> Option<CallerStep> {
        loop {
            let step = match self.agent.poll_step(now)? {
                Step::Introduce => {
                    self.ask_at = Some(now);
                    self.work(now);
                    continue;
                }
                Step::Begin(via) => {
                    let Some(way) = self.way(via) else { continue };
                    CallerStep::Begin(way)
                }
                Step::Open { path, via } => match self.way(via) {
                    Some(way) => CallerStep::Open(path, way),
                    None => {
                        self.agent.on_not_opened(now, path);
                        return None;
                    }
                },
                Step::Use(path) => CallerStep::Use(path),
                Step::Close(path) => CallerStep::Close(path),
            };
            return Some(step);
        }
    }

    /// Says goodbye to the gateway.
    pub(crate) fn close(&mut self, now: Instant) {
        self.gateway.close(now);
    }

    fn way(&self, via: Via) -> Option<SocketAddr> {
        match via {
            Via::Direct(address) => Some(address),
            Via::Relay => self.binding.as_ref().map(|(binding, _)| way::of(binding.tag())),
        }
    }

    fn work(&mut self, now: Instant) {
        while let Some(signal) = self.gateway.hear(now) {
            self.on_signal(now, signal);
        }
        if let Some((met, _)) = self.met.take_if(|&mut (_, until)| until <= now) {
            self.meet(now, &met);
        }
        if self.gateway.seen().is_none() {
            // Another session of the gateway's knows nothing of this one.
            self.nearest.forget();
            self.told = Way::None;
            return;
        }
        self.tell_way(now);
        let is_streamed = self.gateway.is_streamed();
        if core::mem::replace(&mut self.was_streamed, is_streamed) && !is_streamed {
            // UDP passes again: perhaps there is a direct path now.
            self.ask_at = Some(now);
        }
        if self.nearest.tell(now, &mut self.gateway) {
            return;
        }
        if self.ask_at.take_if(|at| *at <= now).is_some() {
            self.candidates = super::candidates(self.local, self.gateway.reflexive(), None);
            // 0 is no number of a request.
            self.request = self.request.checked_add(1).unwrap_or(1);
            let (request, peer, candidates) = (self.request, self.host, self.candidates.clone());
            let asked = self.gateway.say(now, &Signal::Introduce { request, peer, candidates });
            self.is_asked = asked.is_ok();
            // In a session that the agent leads it says when it is asked again.
            if !self.is_led() || asked.is_err() {
                self.ask_at = Some(now.plus_micros(ANSWER_US));
            }
        }
    }

    /// Tells the gateway's operator by which way it is connected, when that changes.
    fn tell_way(&mut self, now: Instant) {
        let way = match self.agent.in_use() {
            _ if !self.is_established => Way::None,
            // It was called where somebody said that it is.
            None if self.named.is_empty() => Way::None,
            None | Some(Via::Direct(_)) => Way::Direct,
            Some(Via::Relay) if self.is_streamed() => Way::Stream,
            Some(Via::Relay) => Way::Relay,
        };
        if way != self.told && self.gateway.say(now, &Signal::Path { peer: self.host, way }).is_ok() {
            self.told = way;
        }
    }

    fn on_signal(&mut self, now: Instant, signal: Signal) {
        if let Signal::Relays(places) = signal {
            self.nearest.begin(now, &self.gateway, places);
        } else if let Signal::Lease(lease) = signal {
            let Some(left) = self.leases_left.checked_sub(1) else { return };
            self.leases_left = left;
            self.on_lease(now, lease);
            if let Some((met, _)) = self.met.take() {
                self.meet(now, &met);
            }
        } else if let Signal::Introduction(met) = signal {
            let is_answer = met.calls && met.peer == self.host && met.request == self.request;
            if !is_answer || !core::mem::take(&mut self.is_asked) {
                return;
            }
            self.introductions += 1;
            self.leases_left = if met.has_lease { LEASES } else { 0 };
            (self.ask_at, self.refused, self.again_us) = (None, None, AGAIN_US);
            if met.has_lease && self.binding.is_none() {
                self.met = Some((met, now.plus_micros(LEASE_US)));
            } else {
                self.meet(now, &met);
            }
        } else if let Signal::Refused { reason, .. } = signal {
            self.refused = Some(reason);
            if !self.is_led() {
                self.ask_at = Some(now.plus_micros(self.again_us));
                self.again_us = (2 * self.again_us).min(AGAIN_US_MAX);
            }
        }
    }

    /// Whether there is a session whose paths are the agent's: not one that was called at a named place.
    fn is_led(&self) -> bool {
        self.is_established && self.agent.in_use().is_some()
    }

    fn meet(&mut self, now: Instant, met: &Introduction) {
        let (has_relay, mut candidates) = (self.binding.is_some(), met.candidates.clone());
        for &place in &self.named {
            // One that is no candidate, or for which there is no room, has been called.
            let _ = candidates.push(CandidateKind::Mapped, place);
        }
        self.agent.meet(now, &met.secret, &self.candidates, &candidates, has_relay);
    }

    /// Keeps the first lease: its way may be in use. The gateway renews it under the same tag. The second one of an
    /// introduction is for when the first one's relay does not answer (SPEC §18.9).
    fn on_lease(&mut self, now: Instant, lease: rift::paths::relay::Lease) {
        let unix_s = self.epoch_us.saturating_add(now.as_micros()) / 1_000_000;
        let expires_s = lease.expires_s;
        match &mut self.binding {
            Some((binding, known)) if binding.tag() == lease.tag => {
                *known = expires_s;
                binding.renew(now, lease);
            }
            Some((binding, known)) if binding.is_bound() && *known > unix_s + LEASE_LEFT_S => {}
            Some((binding, _)) if !binding.is_bound() && now.micros_since(self.leased_at) < SPARE_US => {
                self.spare = Some(lease);
            }
            _ => {
                self.leased_at = now;
                let binding = Leg::new(lease, LeaseSide::Caller, now, &mut self.gateway);
                self.is_changed |= binding.is_some();
                self.binding = binding.map(|binding| (binding, expires_s)).or(self.binding.take());
            }
        }
    }
}

impl core::fmt::Debug for Caller {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Caller")
            .field("gateway", &self.gateway)
            .field("agent", &self.agent)
            .finish_non_exhaustive()
    }
}
