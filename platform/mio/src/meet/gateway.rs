//! A device's conversation with its gateway (SPEC §18.3): a session that carries signalling, begun again when it is lost.
//!
//! Devices of a gateway that was restarted all notice within a second; each waits for a time of its own drawing, so that
//! they do not come back as a herd. That a gateway is there but does not have its key is told by STUN, which it answers
//! to everybody.

use core::net::SocketAddr;

use rift::paths::{SignalLine, StunClient};
use rift::wire::signal::{DeviceName, EnrolmentToken, Signal, SignalReason};
use rift::wire::{Kind, stun};
use rift::{
    Callee, CloseReason, Config, Ecn, Event, Identity, Instant, NoPictures, Noise, Opening, PathId,
    PublicKey, SendError, Session, SignalStorage,
};

/// How long a gateway has to answer a call.
const HANDSHAKE_US: u32 = 2_500_000;
/// A session that is lost is begun again within this, after a time drawn anew; then within twice as long each time.
const PAUSE_US: u64 = 2_000_000;
/// And at last within this: with the time that two calls take before they are given up, all devices are back 30 s after
/// their gateway, however long it was away.
const PAUSE_US_MAX: u64 = 24_000_000;

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
        for letter in name.chars().filter(|letter| !letter.is_control()) {
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
    session: Option<Box<Session<Box<SignalStorage>, Noise>>>,
    line: SignalLine,
    /// The call under way is the second, by XX.
    is_second: bool,
    stun: StunClient,
    /// Somebody who is there may still answer.
    asks: bool,
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
            asks: true,
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
            self.stun = StunClient::new(now, self.place.address, transaction(self.entropy));
            self.asks = true;
            self.call(now);
        }
        // Who is known by the gateway has no question to others who may be there.
        self.asks &= !self.stun.is_over(now) && self.seen().is_none();
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

    /// Writes the next datagram to `out` and tells its length; it goes to the gateway's address.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut [u8]) -> Option<usize> {
        if self.asks
            && let Some((len, _)) = self.stun.poll_transmit(now, out.get_mut(..stun::REQUEST_LEN)?)
        {
            return Some(len);
        }
        let session = self.session.as_mut()?;
        self.line.write(now, session);
        session.poll_transmit(now, &NoPictures, out).map(|transmit| transmit.len)
    }

    /// When something is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let session = self.session.as_ref().and_then(|session| session.poll_timeout()).map(|(due, _)| due);
        let stun = self.stun.poll_timeout().filter(|_| self.asks && self.session.is_some());
        [session, self.again_at, stun].into_iter().flatten().min()
    }

    /// Says goodbye; nothing is called any more.
    pub fn close(&mut self, now: Instant) {
        self.again_at = None;
        if let Some(session) = &mut self.session {
            session.close(now, CloseReason::Done);
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
        if reason == CloseReason::Unanswered && !self.is_second {
            // It may only have a better memory of this device's clock than this device: it is asked in the other way.
            self.is_second = true;
            return self.call(now);
        }
        let is_known = matches!(self.state, GatewayState::Trouble(Trouble::NotEnrolled | Trouble::Token));
        let is_unanswered = reason == CloseReason::Unanswered;
        let trouble = if reason == CloseReason::WrongPeer || is_unanswered && self.stun.address().is_some() {
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
mod tests {
    use core::cell::Cell;

    use super::*;

    /// Different each time, the same in each run.
    fn draw() -> [u8; 32] {
        thread_local!(static DRAWN: Cell<u64> = const { Cell::new(0) });
        let drawn = DRAWN.replace(DRAWN.get() + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut bytes = [0; 32];
        for (at, part) in bytes.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            *part = drawn.rotate_left(at as u32 * 17).wrapping_mul(0xbf58_476d_1ce4_e5b9).to_be_bytes();
        }
        bytes
    }

    fn gateway() -> Gateway {
        let key = Identity::from_secret([1; 32]).public();
        let place = GatewayPlace { key, address: ([192, 0, 2, 1], 4748).into() };
        Gateway::new(place, Identity::from_secret([2; 32]), None, 0, draw, Instant::ZERO)
    }

    /// Lets time pass until the gateway's state is told; STUN is answered, or nothing is. When it was, and when the gateway
    /// is called again.
    fn trouble(gateway: &mut Gateway, answers_stun: bool) -> (Instant, Trouble, Instant) {
        let (mut now, mut out) = (Instant::ZERO, [0; 2048]);
        loop {
            gateway.handle_timeout(now);
            while let Some(len) = gateway.poll_transmit(now, &mut out) {
                let mut answer = [0; stun::ANSWER_LEN_MAX];
                let seen = ([198, 51, 100, 7], 5000).into();
                if let Some(len) = stun::answer(&out[..len], seen, &mut answer).filter(|_| answers_stun) {
                    gateway.handle_datagram(now, Ecn::NotEct, &mut answer[..len]);
                }
            }
            if let GatewayState::Trouble(trouble) = gateway.state() {
                return (now, trouble, gateway.again_at.expect("it is called again"));
            }
            now = gateway.poll_timeout().expect("something is due").max(now.plus_micros(100));
        }
    }

    #[test]
    fn silent_gateway_and_one_of_another_key_are_told_apart_within_seconds() {
        for (answers, expected) in [(false, Trouble::Silent), (true, Trouble::OtherKey)] {
            let (told_at, trouble, _) = trouble(&mut gateway(), answers);
            assert_eq!(trouble, expected);
            assert!(told_at <= Instant::from_millis(6_000), "{told_at:?}");
        }
    }

    #[test]
    fn devices_that_lost_their_gateway_come_back_one_by_one() {
        let mut pauses: Vec<u64> = (0..400)
            .map(|_| {
                let (lost_at, _, again_at) = trouble(&mut gateway(), false);
                again_at.micros_since(lost_at)
            })
            .collect();
        pauses.sort_unstable();
        assert!(pauses[399] <= PAUSE_US, "{pauses:?}");
        let most = pauses.chunk_by(|one, other| one / 100_000 == other / 100_000).map(<[u64]>::len).max();
        assert!(most < Some(50), "{most:?} of 400 in a tenth of a second of two");
    }

    #[test]
    fn names_of_devices_are_cut_to_what_prints_and_fits() {
        let token = EnrolmentToken([0; 16]);
        assert_eq!(Enrolment::new(token, "desk\n\u{7}").name, "desk");
        let long = Enrolment::new(token, &"ü".repeat(100)).name;
        assert!(long.len() <= 48 && long.chars().all(|letter| letter == 'ü'));
    }
}
