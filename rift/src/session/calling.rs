//! How a client begins a session (SPEC §4): its first flight, and what a host may say to that.

use super::handshake::{CONFIRMATION_LEN, Confirming, Flight, Phase};
use super::{CloseReason, Config, Discard, Keys, PathId, Session};
use crate::crypto::{
    AddressToken, CookieKey, Handshake, Mac1Key, Opening, Pattern, PublicKey, Secrets, Side, Suite, mac2,
};
use crate::storage::Memory;
use crate::time::Instant;
use crate::wire::feedback::Ecn;
use crate::wire::handshake::{
    ANSWER_LEN, CallPayload, CookieReply, FLIGHT_MAX, FirstFlight, Fragment, HYBRID_ANSWER_LEN, Opened,
    Reply, TOKEN_LEN, Versions, connection_of,
};
use crate::wire::{Kind, request};

/// A host whose key a client has pinned, and what it keeps for calling it (SPEC §4.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Callee {
    /// The host's key.
    pub host: PublicKey,
    /// Larger than in every call before of this client to this host, or the host stays silent. Microseconds of Unix time
    /// serve well, if the client keeps the last one and never goes back behind it.
    pub counter: u64,
    /// The newest address token of that host, if it has not been used yet: it is spent by this call.
    pub token: Option<AddressToken>,
}

/// A first flight as it leaves again and again: in one datagram, or in fragments (SPEC §4.20).
pub(crate) struct Outgoing {
    /// Head, Noise message, mac1 and mac2.
    bytes: [u8; FLIGHT_MAX],
    len: usize,
    opening: Opening,
    key: Mac1Key,
    /// The newest cookie, for fragments.
    cookie: Option<[u8; 16]>,
    /// The mac1 of each datagram that brings it.
    macs: [[u8; 16]; Fragment::COUNT],
    /// The fragment that leaves next.
    next: u8,
}

impl Outgoing {
    fn write<H: Handshake>(handshake: &mut H, host: Option<&PublicKey>, payload: &[u8]) -> Option<Self> {
        let mut noise = [0; FLIGHT_MAX];
        let noise_len = handshake.write_message(payload, &mut noise).ok()?;
        let opening = match handshake.pattern() {
            Pattern::Xx => Opening::XX,
            Pattern::Ik => Opening::IK,
        };
        let opening = opening.with_suite(handshake.suite());
        let key = host.map_or_else(Mac1Key::stranger, Mac1Key::new);
        let mut bytes = [0; FLIGHT_MAX];
        let len =
            FirstFlight::emit_unpadded(&mut bytes, opening, noise.get(..noise_len)?, |text| key.mac1(text))?;
        let mut flight = Self { bytes, len, opening, key, cookie: None, macs: [[0; 16]; 2], next: 0 };
        flight.macs = if flight.is_in_fragments() {
            let mut scratch = [0; Fragment::LEN];
            let mut mac1 = |index| {
                flight.put_fragment(index, &mut scratch)?;
                Fragment::parse(&scratch).map(|fragment| fragment.mac1)
            };
            [mac1(0)?, mac1(1)?]
        } else {
            [*flight.bytes.get(len.checked_sub(32)?..)?.first_chunk()?; 2]
        };
        Some(flight)
    }

    /// Never where no hybrid handshake was built in: a board does not pay for it.
    fn is_in_fragments(&self) -> bool {
        cfg!(feature = "experimental") && self.opening.suite == Suite::Hybrid
    }

    /// The mac1 of every datagram that brings it: what answers it answers one of them.
    fn macs(&self) -> impl Iterator<Item = &[u8; 16]> {
        self.macs.iter()
    }

    fn set_cookie(&mut self, cookie: [u8; 16]) -> Option<()> {
        self.cookie = Some(cookie);
        let (with_mac1, place) = self.bytes.get_mut(..self.len)?.split_last_chunk_mut::<16>()?;
        *place = mac2(&cookie, with_mac1);
        Some(())
    }

    fn put_fragment(&self, index: u8, out: &mut [u8]) -> Option<usize> {
        let flight = self.bytes.get(..self.len.checked_sub(16)?)?;
        let with_cookie = |text: &[u8]| self.cookie.map_or([0; 16], |cookie| mac2(&cookie, text));
        Fragment::emit(out, index, flight, |text| self.key.mac1(text), with_cookie)
    }

    /// Copies its next datagram out. Returns its length, and whether it was the last; `None` when there is no room.
    pub(super) fn put(&mut self, out: &mut [u8]) -> Option<(usize, bool)> {
        if self.is_in_fragments() {
            let len = self.put_fragment(self.next, out)?;
            self.next = (self.next + 1) % Fragment::COUNT as u8;
            return Some((len, self.next == 0));
        }
        let len = FirstFlight::len_of(self.opening.pattern);
        let (message, padding) = out.get_mut(..len)?.split_at_mut_checked(self.len)?;
        message.copy_from_slice(self.bytes.get(..self.len)?);
        padding.fill(0);
        Some((len, true))
    }
}

/// A client's handshake whose first flight is out.
pub(crate) struct Calling<H> {
    handshake: H,
    host: Option<PublicKey>,
    pub(super) message: Outgoing,
    pub(super) flight: Flight,
    /// A host said that it speaks other versions; nobody has proven that.
    pub(super) is_other_version: bool,
}

impl<M: Memory, H: Handshake> Session<M, H> {
    /// Client: begins a session with `host` by XX, which needs no memory of earlier sessions. `handshake` is an initiator
    /// of [`Opening::XX`]; `connection` is an unpredictable number by which this side will know the session's datagrams.
    ///
    /// A handshake that cannot write its first message gives a session that is closed from the start.
    pub fn connect(
        config: &Config,
        mut handshake: H,
        host: PublicKey,
        connection: u32,
        memory: M,
        path: PathId,
        now: Instant,
    ) -> Self {
        handshake.expect_peer(host);
        let calling = Calling::xx(config, handshake, Some(host), connection, now);
        Self::begin(config, calling, connection, memory, path, now)
    }

    /// Client: begins a session with a pinned host by IK: a round trip less than [`Self::connect`]. `handshake` is an
    /// initiator of [`Opening::IK`]; the other arguments are those of [`Self::connect`].
    pub fn call(
        config: &Config,
        mut handshake: H,
        callee: &Callee,
        connection: u32,
        memory: M,
        path: PathId,
        now: Instant,
    ) -> Self {
        handshake.expect_peer(callee.host);
        let calling = Calling::ik(config, handshake, callee, connection, now);
        Self::begin(config, calling, connection, memory, path, now)
    }

    /// Client: begins a session with a host whose key is not known, to pair with it (SPEC §8.5); the other arguments
    /// are those of [`Self::connect`]. The host answers while its pairing window is open. Nothing but pairing happens in
    /// such a session.
    pub fn approach(
        config: &Config,
        handshake: H,
        connection: u32,
        memory: M,
        path: PathId,
        now: Instant,
    ) -> Self {
        let calling = Calling::xx(config, handshake, None, connection, now);
        let mut session = Self::begin(config, calling, connection, memory, path, now);
        session.is_stranger = true;
        session
    }

    fn begin(
        config: &Config,
        calling: Option<Calling<H>>,
        connection: u32,
        memory: M,
        path: PathId,
        now: Instant,
    ) -> Self {
        let phase = calling.map_or(Phase::Closed, Phase::Initiating);
        let mut session = Self::new(Side::Initiator, config, memory, path, phase, now);
        session.local_connection = connection;
        session.active.local = super::path::Direction::new(connection, 0);
        if session.is_closed() {
            session.pending.closed = Some(CloseReason::Unanswered);
        }
        session
    }

    pub(super) fn install(&mut self, secrets: &Secrets) {
        self.peer = Some(secrets.peer);
        self.transcript = secrets.transcript;
        self.keys = Some(Keys::new(self.side, secrets, self.now));
    }

    /// The first flight that is out and may be answered.
    fn calling(&mut self) -> Result<&mut Calling<H>, Discard> {
        match &mut self.phase {
            Phase::Initiating(calling) => Ok(calling),
            Phase::Confirming(confirming) if confirming.asks_again() && !self.is_stranger => {
                Ok(&mut confirming.calling)
            }
            Phase::Confirming(_) | Phase::Established | Phase::Closing { .. } | Phase::Closed => {
                Err(Discard::Unexpected)
            }
        }
    }

    /// Takes the host's part of XX: the first, and later that of a host that has forgotten the first (SPEC §4.5).
    pub(super) fn handle_response(&mut self, now: Instant, datagram: &[u8]) -> Result<(), Discard> {
        let remote = self.read_reply(Kind::Response, datagram)?;
        let is_confirming = matches!(self.phase, Phase::Confirming(_));
        let (confirmed, wanted) = (self.active.remote.connection, self.config.wanted);
        let calling = self.calling()?;
        if is_confirming && remote == confirmed {
            // The same as before: the host still knows, and the confirmation is on its way.
            calling.handshake.reopen();
            return Err(Discard::Replay);
        }
        let host = calling.host;
        let mut payload = [0; Opened::FRAMES_MAX];
        let wanted = request::emit(wanted, &mut payload).and_then(|len| payload.get(..len));
        let mut message = [0; CONFIRMATION_LEN];
        let written = Reply::emit_head(&mut message, Kind::Confirmation, remote).and_then(|()| {
            calling.handshake.write_message(wanted?, message.get_mut(Reply::HEAD_LEN..)?).ok()
        });
        let secrets =
            calling.handshake.finish().filter(|_| written == Some(CONFIRMATION_LEN - Reply::HEAD_LEN));
        calling.handshake.reopen();
        let flight = Flight::new(now, self.config.handshake_us);
        let phase = match core::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Initiating(calling) | Phase::Confirming(Confirming { calling, .. }) => {
                Phase::Confirming(Confirming::new(calling, message, flight))
            }
            other @ (Phase::Established | Phase::Closing { .. } | Phase::Closed) => other,
        };
        self.phase = phase;
        self.on_finished(now, host, remote, secrets);
        Ok(())
    }

    /// Takes the host's part of IK, and the packet that may follow it in the same datagram.
    pub(super) fn handle_answer(
        &mut self,
        now: Instant,
        path: PathId,
        received_at: Instant,
        ecn: Ecn,
        datagram: &mut [u8],
    ) -> Result<(), Discard> {
        let Phase::Initiating(calling) = &self.phase else { return Err(Discard::Unexpected) };
        let len = match calling.handshake.suite() {
            Suite::Classical => ANSWER_LEN,
            Suite::Hybrid => HYBRID_ANSWER_LEN,
        };
        let (answer, packet) = datagram.split_at_mut_checked(len).ok_or(Discard::Malformed)?;
        let remote = self.read_reply(Kind::Answer, answer)?;
        let Phase::Initiating(calling) = &mut self.phase else { return Err(Discard::Unexpected) };
        let (host, secrets) = (calling.host, calling.handshake.finish());
        // The first packet shows the host that this side is there: a request for its clock is always due at first.
        self.phase = Phase::Established;
        self.on_finished(now, host, remote, secrets);
        if !packet.is_empty()
            && self.is_established()
            && let Err(discard) = self.handle_sealed(now, path, received_at, ecn, packet)
        {
            // The answer was taken, whatever somebody has hung behind it.
            self.count(discard);
        }
        Ok(())
    }

    /// Reads a second message; gives the host's connection id.
    fn read_reply(&mut self, kind: Kind, datagram: &[u8]) -> Result<u32, Discard> {
        let local = self.local_connection;
        let calling = self.calling()?;
        let pattern = if kind == Kind::Answer { Pattern::Ik } else { Pattern::Xx };
        if calling.handshake.pattern() != pattern {
            return Err(Discard::Unexpected);
        }
        let reply = Reply::parse(datagram).filter(|reply| reply.kind == kind).ok_or(Discard::Malformed)?;
        if reply.connection != local {
            return Err(Discard::UnknownConnection);
        }
        let mut payload = [0; Opened::FRAMES_MAX];
        let len = calling.handshake.read_message(reply.noise, &mut payload);
        let len = len.map_err(|_| Discard::Authentication)?;
        payload.get(..len).and_then(connection_of).ok_or(Discard::Malformed)
    }

    /// The handshake has come to its end here, or to another one.
    fn on_finished(&mut self, now: Instant, host: Option<PublicKey>, remote: u32, secrets: Option<Secrets>) {
        let Some(secrets) = secrets else { return self.finish(now, None, CloseReason::Unanswered) };
        if host.is_some_and(|host| host != secrets.peer) {
            return self.finish(now, None, CloseReason::WrongPeer);
        }
        self.active.remote = super::path::Direction::new(remote, 0);
        self.pending.authenticated |= self.keys.is_none();
        self.install(&secrets);
        self.heard_at = now;
        self.tell_datagram_limit();
        if self.is_stranger {
            self.pairing.begin(now);
        }
    }

    /// Takes a cookie: the flight carries the proof of it from now on, and leaves again at once, the first time.
    pub(super) fn handle_cookie(&mut self, now: Instant, datagram: &[u8]) -> Result<(), Discard> {
        let calling = self.calling()?;
        let reply = CookieReply::parse(datagram).ok_or(Discard::Malformed)?;
        let host = calling.host.unwrap_or(PublicKey::from_bytes([0; 32]));
        let key = CookieKey::new(&host);
        let cookie = calling.message.macs().find_map(|mac1| key.open(mac1, &reply.sealed));
        calling.message.set_cookie(cookie.ok_or(Discard::Authentication)?).ok_or(Discard::Unexpected)?;
        calling.flight.hurry(now);
        Ok(())
    }

    /// Takes note that the host speaks other versions. Anybody on the way can say so: the handshake goes on, and this is
    /// why it failed only if nobody answers.
    pub(super) fn handle_versions(&mut self, datagram: &[u8]) -> Result<(), Discard> {
        let Phase::Initiating(calling) = &mut self.phase else { return Err(Discard::Unexpected) };
        let versions = Versions::parse(datagram).ok_or(Discard::Malformed)?;
        if !calling.message.macs().any(|mac1| *mac1 == versions.mac1) {
            return Err(Discard::UnknownConnection);
        }
        calling.is_other_version = true;
        Ok(())
    }
}

impl<H: Handshake> Calling<H> {
    fn xx(
        config: &Config,
        handshake: H,
        host: Option<PublicKey>,
        connection: u32,
        now: Instant,
    ) -> Option<Self> {
        Self::new(config, handshake, Pattern::Xx, host, &connection.to_be_bytes(), now)
    }

    fn ik(config: &Config, handshake: H, callee: &Callee, connection: u32, now: Instant) -> Option<Self> {
        let mut frames = [0; Opened::FRAMES_MAX];
        let len = request::emit(config.wanted, &mut frames)?;
        let token = callee.token.map_or([0; TOKEN_LEN], |token| *token.as_bytes());
        let payload = CallPayload { counter: callee.counter, connection, token, frames: frames.get(..len)? };
        let mut bytes = [0; CallPayload::LEN_MAX];
        let len = payload.emit(&mut bytes)?;
        Self::new(config, handshake, Pattern::Ik, Some(callee.host), bytes.get(..len)?, now)
    }

    /// `None` when `handshake` is of another pattern, or cannot write its first message.
    fn new(
        config: &Config,
        mut handshake: H,
        pattern: Pattern,
        host: Option<PublicKey>,
        payload: &[u8],
        now: Instant,
    ) -> Option<Self> {
        if handshake.pattern() != pattern {
            return None;
        }
        let message = Outgoing::write(&mut handshake, host.as_ref(), payload)?;
        let flight = Flight::new(now, config.handshake_us);
        Some(Self { handshake, host, message, flight, is_other_version: false })
    }
}
