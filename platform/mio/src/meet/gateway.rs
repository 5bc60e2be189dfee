//! A device's conversation with its gateway (SPEC §18.3): a session that carries signalling, begun again when it is lost.
//!
//! Devices of a gateway that was restarted all notice within a second; each waits for a time of its own drawing, so that
//! they do not come back as a herd. That a gateway is there but does not have its key is told by STUN, which it answers
//! to everybody.
//!
//! Where UDP brings no answer the conversation goes by a stream (SPEC §18.10), if there is one to be had. STUN asks then whether UDP
//! passes again, and if so the gateway is called by UDP once more.

use core::net::SocketAddr;

use super::detour::{Detours, LendStream};
use rift::paths::{SignalLine, StunClient};
use rift::wire::signal::{DeviceName, EnrolmentToken, Signal, SignalReason};
use rift::wire::text::is_shown;
use rift::wire::{Kind, stun};
use rift::{
    Callee, CloseReason, Config, Ecn, Event, Identity, Instant, NoPictures, Noise, Opening, PathId,
    PublicKey, SendError, Session, SignalStorage,
};

type Conversation = Session<Box<SignalStorage>, Noise>;

/// How long a gateway has to answer a call.
const HANDSHAKE_US: u32 = 2_500_000;
/// A session that is lost is begun again within this, after a time drawn anew; then within twice as long each time.
const PAUSE_US: u64 = 2_000_000;
/// And at last within this: with the time that two calls take before they are given up, all devices are back 30 s after
/// their gateway, however long it was away.
const PAUSE_US_MAX: u64 = 24_000_000;
/// While a stream is used it is asked this often whether UDP passes.
const UDP_AGAIN_US: u64 = 5_000_000;
/// A network that lets STUN pass and nothing else is asked after this long, then after twice as long each time.
const UDP_PAUSE_US: u64 = 10_000_000;
const UDP_PAUSE_US_MAX: u64 = 600_000_000;

/// Who a gateway is, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatewayPlace {
    /// Its key: nobody else is believed to be it.
    pub key: PublicKey,
    /// Its address.
    pub address: SocketAddr,
}

/// With what a device enrols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolment {
    /// The gateway's token.
    pub token: EnrolmentToken,
    /// How people are to know the device.
    pub name: DeviceName,
}

impl Enrolment {
    /// With this token, as a device of this name; of a name that is too long, or has characters that do not print, what
    /// can be used is.
    #[must_use]
    pub fn new(token: EnrolmentToken, name: &str) -> Self {
        let mut short = DeviceName::new();
        for letter in name.chars().filter(|&letter| is_shown(letter)) {
            if short.push(letter).is_err() {
                break;
            }
        }
        Self { token, name: short }
    }
}

/// Why a gateway is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing answers there.
    Silent,
    /// Something answers there, and has not the gateway's key.
    OtherKey,
    /// It does not know this device, and there was no token to enrol with.
    NotEnrolled,
    /// It did not take the token.
    Token,
    /// It ended the session.
    Closed(CloseReason),
}

/// How the conversation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GatewayState {
    /// It is being called, for the first time or after it was lost.
    Calling,
    /// It knows this device, and sees it there.
    Here(SocketAddr),
    /// It is called again after a while.
    Trouble(Trouble),
}

/// See the module.
pub struct Gateway {
    place: GatewayPlace,
    identity: Identity,
    enrolment: Option<Enrolment>,
    epoch_us: u64,
    entropy: fn() -> [u8; 32],
    session: Option<Box<Conversation>>,
    line: SignalLine,
    /// The call under way is the second, by XX.
    is_second: bool,
    stun: StunClient,
    /// When STUN is asked anew, while a stream is used.
    stun_again_at: Instant,
    /// Somebody who is there may still answer.
    asks: bool,
    /// STUN was answered since the gateway was called first.
    is_heard: bool,
    detours: Option<Detours>,
    /// Where the stream to it is, while that is used.
    stream: Option<SocketAddr>,
    udp_pause_us: u64,
    /// The session that went by the stream, until it has said goodbye.
    leaving: Option<(Box<Conversation>, SocketAddr)>,
    again_at: Option<Instant>,
    pause_us: u64,
    state: GatewayState,
}

impl Gateway {
    /// Calls the gateway at `place` from `now` on. `epoch_us` is the Unix time at [`Instant::ZERO`], in microseconds;
    /// `entropy` draws 32 bytes never used before.
    #[must_use]
    pub fn new(
        place: GatewayPlace,
        identity: Identity,
        enrolment: Option<Enrolment>,
        epoch_us: u64,
        entropy: fn() -> [u8; 32],
        now: Instant,
    ) -> Self {
        let address = SocketAddr::new(place.address.ip().to_canonical(), place.address.port());
        Self {
            place: GatewayPlace { address, ..place },
            identity,
            enrolment,
            epoch_us,
            entropy,
            session: None,
            line: SignalLine::new(),
            is_second: false,
            stun: StunClient::new(now, address, transaction(entropy)),
            stun_again_at: now,
            asks: true,
            is_heard: false,
            detours: None,
            stream: None,
            udp_pause_us: UDP_PAUSE_US,
            leaving: None,
            again_at: Some(now),
            pause_us: PAUSE_US,
            state: GatewayState::Calling,
        }
    }

    /// Who it is, and where.
    #[must_use]
    pub const fn place(&self) -> GatewayPlace {
        self.place
    }

    /// How it is.
    #[must_use]
    pub const fn state(&self) -> GatewayState {
        self.state
    }

    /// Where the gateway sees this device, while it knows it.
    #[must_use]
    pub const fn seen(&self) -> Option<SocketAddr> {
        match self.state {
            GatewayState::Here(seen) => Some(seen),
            GatewayState::Calling | GatewayState::Trouble(_) => None,
        }
    }

    /// 32 bytes never used before.
    pub(super) fn draw(&self) -> [u8; 32] {
        (self.entropy)()
    }

    /// From now on it is reached by a stream where UDP brings no answer; `local` is the driver's own address.
    pub fn set_streams(&mut self, lend: LendStream, local: SocketAddr) {
        self.detours = Some(Detours::new(lend, local));
    }

    /// Whether the conversation goes by a stream.
    #[must_use]
    pub const fn is_streamed(&self) -> bool {
        self.stream.is_some()
    }

    /// Where the gateway sees this device's socket: not by a stream.
    pub(crate) fn reflexive(&self) -> Option<SocketAddr> {
        self.seen().filter(|_| self.stream.is_none())
    }

    /// Whether there may be streams to be had.
    pub(crate) const fn has_streams(&self) -> bool {
        self.detours.is_some()
    }

    /// An address that leads to this relay by a stream.
    pub(crate) fn lend(&mut self, relay: SocketAddr, key: &PublicKey) -> Option<SocketAddr> {
        self.detours.as_mut()?.lend(relay, key)
    }

    /// Whether what comes from there comes from the gateway.
    pub(crate) fn is_from(&self, from: SocketAddr) -> bool {
        from == self.place.address || Some(from) == self.stream
    }

    /// Takes a datagram of the gateway's.
    pub fn handle_datagram(&mut self, now: Instant, ecn: Ecn, datagram: &mut [u8]) {
        if datagram.first().and_then(|&first| Kind::of(first)) == Some(Kind::Stun) {
            self.stun.handle_datagram(self.place.address, datagram);
        } else if let Some(session) = &mut self.session {
            // What is none of the session's changes nothing.
            let _ = session.handle_datagram(now, PathId(0), now, ecn, datagram);
            self.listen(now);
        }
    }

    /// The time has come that [`Self::poll_timeout`] told. May be called at any time.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.again_at.take_if(|at| *at <= now).is_some() {
            self.is_second = false;
            (self.is_heard, self.stream) = (false, None);
            self.ask_from(now);
            self.call(now);
        }
        if self.stream.is_some() {
            self.look_for_udp(now);
        }
        // Who is known by the gateway has no question to others who may be there.
        self.asks &= !self.stun.is_over(now) && (self.seen().is_none() || self.stream.is_some());
        if let Some(session) = &mut self.session {
            session.handle_timeout(now);
            self.listen(now);
        }
    }

    /// Says something to the gateway. What does not reach it before it is lost is forgotten: who needs it says it anew when
    /// the gateway is there again.
    ///
    /// # Errors
    /// [`SendError::NotConnected`] while it is not; [`SendError::Full`] when too much waits.
    pub fn say(&mut self, now: Instant, signal: &Signal) -> Result<(), SendError> {
        let session = self.session.as_mut().ok_or(SendError::NotConnected)?;
        self.line.say(signal)?;
        self.line.write(now, session);
        Ok(())
    }

    /// What it says to its devices about others; to be asked for until there is nothing.
    pub fn hear(&mut self, now: Instant) -> Option<Signal> {
        loop {
            let session = self.session.as_mut()?;
            let signal = self.line.hear(session);
            if self.line.is_broken() {
                session.close(now, CloseReason::Refused);
            }
            let signal = signal?;
            if let Signal::Welcome { is_enrolled, seen } = signal {
                self.on_welcome(now, is_enrolled, seen);
            } else if let Signal::Refused { reason: SignalReason::Token, .. } = signal {
                self.enrolment = None;
                self.state = GatewayState::Trouble(Trouble::Token);
            } else {
                return Some(signal);
            }
        }
    }

    /// Writes the next datagram to `out` and tells its length and where it goes.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut [u8]) -> Option<(usize, SocketAddr)> {
        if self.asks
            && let Some((len, _)) = self.stun.poll_transmit(now, out.get_mut(..stun::REQUEST_LEN)?)
        {
            return Some((len, self.place.address));
        }
        if let Some((session, stream)) = &mut self.leaving {
            if let Some(transmit) = session.poll_transmit(now, &NoPictures, out) {
                return Some((transmit.len, *stream));
            }
            self.leaving = None;
        }
        let session = self.session.as_mut()?;
        self.line.write(now, session);
        let to = self.stream.unwrap_or(self.place.address);
        session.poll_transmit(now, &NoPictures, out).map(|transmit| (transmit.len, to))
    }

    /// When something is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let session = self.session.as_ref().and_then(|session| session.poll_timeout()).map(|(due, _)| due);
        let stun = self.stun.poll_timeout().filter(|_| self.asks && self.session.is_some());
        let udp = self.stream.map(|_| self.stun_again_at);
        [session, self.again_at, stun, udp].into_iter().flatten().min()
    }

    /// Says goodbye; nothing is called any more.
    pub fn close(&mut self, now: Instant) {
        self.again_at = None;
        if let Some(session) = &mut self.session {
            session.close(now, CloseReason::Done);
        }
    }

    /// Asks by STUN, from then on.
    fn ask_from(&mut self, at: Instant) {
        self.stun = StunClient::new(at, self.place.address, transaction(self.entropy));
        self.stun_again_at = at.plus_micros(UDP_AGAIN_US);
        self.asks = true;
    }

    /// UDP has brought no answer: whether a stream may.
    fn begin_stream(&mut self, now: Instant) -> bool {
        let GatewayPlace { key, address } = self.place;
        self.stream = self.lend(address, &key);
        if self.stream.is_none() {
            return false;
        }
        let pause_us = if self.is_heard { self.udp_pause_us } else { 0 };
        if self.is_heard {
            self.udp_pause_us = (2 * self.udp_pause_us).min(UDP_PAUSE_US_MAX);
        }
        self.ask_from(now.plus_micros(pause_us));
        self.is_second = false;
        self.call(now);
        true
    }

    /// While a stream is used: goes back once UDP passes.
    fn look_for_udp(&mut self, now: Instant) {
        if self.stun.address().is_some() && self.session.is_some() {
            self.is_heard = true;
            let stream = self.stream.take();
            if let Some((mut session, stream)) = self.session.take().zip(stream) {
                session.close(now, CloseReason::Done);
                self.leaving = Some((session, stream));
            }
            (self.is_second, self.state) = (false, GatewayState::Calling);
            self.call(now);
        } else if self.stun_again_at <= now {
            self.ask_from(now);
        }
    }

    fn call(&mut self, now: Instant) {
        let opening = if self.is_second { Opening::XX } else { Opening::IK };
        let handshake = Noise::initiator(&self.identity, (self.entropy)(), opening);
        let config = Config { handshake_us: HANDSHAKE_US, ..Config::default() };
        let [a, b, c, d, ..] = (self.entropy)();
        let connection = u32::from_be_bytes([a, b, c, d]);
        let (memory, path) = (Box::new(SignalStorage::new()), PathId(0));
        let session = if self.is_second {
            Session::connect(&config, handshake, self.place.key, connection, memory, path, now)
        } else {
            let counter = self.epoch_us.saturating_add(now.as_micros());
            let callee = Callee { host: self.place.key, counter, token: None };
            Session::call(&config, handshake, &callee, connection, memory, path, now)
        };
        self.session = Some(Box::new(session));
        self.line = SignalLine::new();
    }

    fn listen(&mut self, now: Instant) {
        let Some(session) = &mut self.session else { return };
        if session.wants_entropy() {
            session.add_entropy(now, (self.entropy)());
        }
        let mut closed = None;
        while let Some(event) = session.poll_event() {
            if let Event::Closed(reason) = event {
                closed = Some(reason);
            }
        }
        if let Some(reason) = closed {
            self.on_closed(now, reason);
        }
    }

    fn on_welcome(&mut self, now: Instant, is_enrolled: bool, seen: SocketAddr) {
        if is_enrolled {
            self.pause_us = PAUSE_US;
            if self.stream.is_none() {
                self.udp_pause_us = UDP_PAUSE_US;
            }
            self.state = GatewayState::Here(seen);
        } else if let Some(Enrolment { token, name }) = self.enrolment.clone() {
            // The first message of a session has room.
            let _ = self.say(now, &Signal::Enrol { token, name });
        } else {
            self.state = GatewayState::Trouble(Trouble::NotEnrolled);
        }
    }

    fn on_closed(&mut self, now: Instant, reason: CloseReason) {
        self.session = None;
        self.is_heard |= self.stream.is_none() && self.stun.address().is_some();
        let is_unanswered = reason == CloseReason::Unanswered;
        if is_unanswered
            && self.stream.is_none()
            && (self.is_second || !self.is_heard)
            && self.begin_stream(now)
        {
            return;
        }
        if is_unanswered && !self.is_second {
            // It may only have a better memory of this device's clock than this device: it is asked in the other way.
            self.is_second = true;
            return self.call(now);
        }
        let is_known = matches!(self.state, GatewayState::Trouble(Trouble::NotEnrolled | Trouble::Token));
        let trouble = if reason == CloseReason::WrongPeer || is_unanswered && self.is_heard {
            Trouble::OtherKey
        } else if is_unanswered {
            Trouble::Silent
        } else {
            Trouble::Closed(reason)
        };
        if !is_known {
            self.state = GatewayState::Trouble(trouble);
        }
        let [drawn @ .., _, _] = (self.entropy)();
        let drawn = drawn.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        // Of the first pause any moment is as good as another; later ones are not short.
        let least = if self.pause_us == PAUSE_US { 0 } else { self.pause_us / 2 };
        self.again_at = Some(now.plus_micros(least + drawn % (self.pause_us - least)));
        self.pause_us = (2 * self.pause_us).min(PAUSE_US_MAX);
    }
}

fn transaction(entropy: fn() -> [u8; 32]) -> stun::TransactionId {
    let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = entropy();
    [a, b, c, d, e, f, g, h, i, j, k, l]
}

impl core::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Gateway")
            .field("place", &self.place)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
