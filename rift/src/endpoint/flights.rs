//! What strangers send: first flights of either pattern, and the message that ends XX (SPEC §4).

use core::net::SocketAddr;

use super::calls::Call;
use super::{Endpoint, Route, put};
use crate::channel::permissions::Permissions;
use crate::crypto::{Handshake, Opening, Pattern};
use crate::session::{Discard, Established};
use crate::time::Instant;
use crate::wire::handshake::{
    ANSWER_MAX, CallPayload, CookieReply, FirstFlight, Kept, Opened, RESPONSE_MAX, Reply, Versions,
    connection_of,
};
use crate::wire::request::wanted;
use crate::wire::{Kind, VERSION};

/// A pending handshake is forgotten after this long.
pub(super) const PENDING_US: u64 = 10_000_000;
/// Nobody is sent more than this many times what came from their address before it is proven (SPEC §4.13).
const AMPLIFICATION_MAX: usize = 3;

/// A handshake of XX that is half done.
pub(super) struct Pending<H> {
    handshake: H,
    from: SocketAddr,
    since: Instant,
    pub(super) local_connection: u32,
    remote_connection: u32,
    /// Of the first flight, to tell its repetitions from another.
    mac1: [u8; 16],
    /// It came through the pairing window.
    pub(super) is_stranger: bool,
    response: Kept<RESPONSE_MAX>,
}

impl<H: Handshake, const ROUTES: usize, const CLIENTS: usize> Endpoint<H, ROUTES, CLIENTS> {
    /// Cheap things first: a flight costs curves only when it is new, of this version, and either proven to come from
    /// where it says or one of few.
    pub(super) fn on_first_flight(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
        responder: impl FnOnce(Opening) -> H,
        reply: &mut [u8],
    ) -> Result<Route, Discard> {
        let flight = FirstFlight::parse(datagram).ok_or(Discard::Malformed)?;
        let is_stranger = !self.mac1.verify(flight.authenticated, &flight.mac1);
        if is_stranger {
            let may_come = flight.pattern == Pattern::Xx
                && self.is_window_open
                && self.stranger_mac1.verify(flight.authenticated, &flight.mac1);
            if !may_come {
                return Err(Discard::Authentication);
            }
        }
        // SPEC §4.17: this host speaks one version, so nobody can be talked into another.
        if flight.version != VERSION {
            return put(&Versions::to_bytes(&flight.mac1), reply);
        }
        self.forget_old(now);
        if let Some(known) = self.answer_again(from, &flight, reply) {
            return known;
        }
        let (unix_us, has_cookie) = (self.unix_us(now), flight.mac2 != [0; 16]);
        if has_cookie && !self.cookies.verify(unix_us, from, flight.with_mac1, &flight.mac2) {
            return Err(Discard::Authentication);
        }
        if !self.load.allows_unproven(now, self.pending.len()) {
            if !has_cookie {
                let cookie = self.cookies.cookie(unix_us, from);
                let sealed = self.cookie_key(is_stranger).seal(&flight.mac1, &cookie);
                return put(&CookieReply { sealed }.to_bytes(), reply);
            }
            if !self.load.allows_proven(now) {
                return Err(Discard::NoRoom);
            }
        }
        self.begin(now, from, &flight, is_stranger, datagram.len(), responder, reply)
    }

    /// A flight that costs curves; `len` bytes of datagrams brought it.
    #[expect(clippy::too_many_arguments, reason = "what a flight is, and where its answer goes")]
    pub(super) fn begin(
        &mut self,
        now: Instant,
        from: SocketAddr,
        flight: &FirstFlight<'_>,
        is_stranger: bool,
        len: usize,
        responder: impl FnOnce(Opening) -> H,
        reply: &mut [u8],
    ) -> Result<Route, Discard> {
        let handshake = responder(flight.opening());
        if handshake.suite() != flight.suite {
            return Err(Discard::Unexpected);
        }
        match flight.pattern {
            Pattern::Xx => self.on_initiation(now, from, flight, is_stranger, handshake, reply),
            Pattern::Ik => self.on_call(now, from, flight, len, handshake),
        }
    }

    pub(super) fn forget_old(&mut self, now: Instant) {
        self.pending.retain(|pending| pending.since.plus_micros(PENDING_US) > now);
    }

    /// What was said to this very flight before.
    fn answer_again(
        &self,
        from: SocketAddr,
        flight: &FirstFlight<'_>,
        reply: &mut [u8],
    ) -> Option<Result<Route, Discard>> {
        match flight.pattern {
            Pattern::Xx => self.respond_again(from, |mac1| *mac1 == flight.mac1, reply),
            Pattern::Ik => self.call_again(|mac1| *mac1 == flight.mac1, reply),
        }
    }

    /// What was said before to the flight of XX whose mac1 `is_same`.
    pub(super) fn respond_again(
        &self,
        from: SocketAddr,
        is_same: impl Fn(&[u8; 16]) -> bool,
        reply: &mut [u8],
    ) -> Option<Result<Route, Discard>> {
        let known = self.pending.iter().find(|pending| pending.from == from && is_same(&pending.mac1))?;
        Some(put(known.response.as_slice(), reply))
    }

    /// The same of IK, wherever it comes from: who copies a call to another address learns nothing from the answer, and
    /// the client's own copy, if it comes second, must not be left without one.
    pub(super) fn call_again(
        &self,
        is_same: impl Fn(&[u8; 16]) -> bool,
        reply: &mut [u8],
    ) -> Option<Result<Route, Discard>> {
        self.calls.find(is_same).map(|call| match call.reply() {
            [] => Err(Discard::Replay),
            known => put(known, reply),
        })
    }

    fn on_initiation(
        &mut self,
        now: Instant,
        from: SocketAddr,
        flight: &FirstFlight<'_>,
        is_stranger: bool,
        mut handshake: H,
        reply: &mut [u8],
    ) -> Result<Route, Discard> {
        let mut payload = [0; Opened::FRAMES_MAX];
        handshake.read_message(flight.noise, &mut payload).map_err(|_| Discard::Authentication)?;
        let remote_connection = connection_of(&payload).ok_or(Discard::Malformed)?;
        let local_connection = self.draw_connection();
        let mut response = [0; RESPONSE_MAX];
        Reply::emit_head(&mut response, Kind::Response, remote_connection).ok_or(Discard::Malformed)?;
        let len = handshake
            .write_message(&local_connection.to_be_bytes(), &mut response[Reply::HEAD_LEN..])
            .map_err(|_| Discard::Authentication)?;
        let response = response.get(..Reply::HEAD_LEN + len).and_then(Kept::new).ok_or(Discard::NoRoom)?;
        if self.pending.is_full() {
            let oldest = (0..self.pending.len()).min_by_key(|&index| self.pending[index].since);
            self.pending.swap_remove(oldest.unwrap_or(0));
        }
        let result = put(response.as_slice(), reply);
        let pushed = self.pending.push(Pending {
            handshake,
            from,
            since: now,
            local_connection,
            remote_connection,
            mac1: flight.mac1,
            is_stranger,
            response,
        });
        debug_assert!(pushed.is_ok(), "room was made");
        result
    }

    /// A client that knows the host and may be known to it.
    fn on_call(
        &mut self,
        now: Instant,
        from: SocketAddr,
        flight: &FirstFlight<'_>,
        len: usize,
        mut handshake: H,
    ) -> Result<Route, Discard> {
        let mut payload = [0; CallPayload::LEN_MAX];
        let payload_len =
            handshake.read_message(flight.noise, &mut payload).map_err(|_| Discard::Authentication)?;
        let call = payload.get(..payload_len).and_then(CallPayload::parse).ok_or(Discard::Malformed)?;
        let peer = handshake.peer().ok_or(Discard::Unexpected)?;
        let client = self.clients.name(&peer);
        if !self.clients.is_new(client, call.counter) {
            return Err(Discard::Replay);
        }
        let serial = self.tokens.verify(&call.token, self.unix_us(now), &peer, from);
        let serial = serial.filter(|&serial| self.clients.is_unused(client, serial));
        let local_connection = self.draw_connection();
        let mut answer = [0; ANSWER_MAX];
        Reply::emit_head(&mut answer, Kind::Answer, call.connection).ok_or(Discard::Malformed)?;
        let answer_len = handshake
            .write_message(&local_connection.to_be_bytes(), &mut answer[Reply::HEAD_LEN..])
            .map_err(|_| Discard::Authentication)?;
        let answer = answer.get(..Reply::HEAD_LEN + answer_len).ok_or(Discard::NoRoom)?;
        let secrets = handshake.finish().ok_or(Discard::Unexpected)?;
        self.calls.push(Call::new(flight.mac1, local_connection, client, call.counter, serial, answer));
        Ok(Route::Established(Established {
            secrets,
            local_connection,
            remote_connection: call.connection,
            from,
            is_stranger: false,
            wanted: wanted(call.frames),
            suite: flight.suite,
            answer: Some(Kept::new(answer).ok_or(Discard::NoRoom)?),
            room: if serial.is_some() { usize::MAX } else { AMPLIFICATION_MAX * len },
        }))
    }

    pub(super) fn on_confirmation(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
        reply: &mut [u8],
    ) -> Result<Route, Discard> {
        let message = Reply::parse(datagram).ok_or(Discard::Malformed)?;
        if let Some((_, refusal)) = self.refusals.iter().find(|(refused, _)| *refused == message.connection) {
            return put(refusal, reply);
        }
        // SPEC §4.4: from elsewhere it is somebody's copy that came first: the session would begin where the client is not.
        let is_answer = |pending: &Pending<H>| {
            let is_young = pending.since.plus_micros(PENDING_US) > now;
            pending.local_connection == message.connection && pending.from == from && is_young
        };
        let index = self.pending.iter().position(is_answer).ok_or(Discard::UnknownConnection)?;
        let pending = &mut self.pending[index];
        let mut payload = [0; Opened::FRAMES_MAX];
        let len = pending.handshake.read_message(message.noise, &mut payload);
        let len = len.map_err(|_| Discard::Authentication)?;
        let secrets = pending.handshake.finish().ok_or(Discard::Unexpected)?;
        let established = Established {
            secrets,
            local_connection: pending.local_connection,
            remote_connection: pending.remote_connection,
            from,
            is_stranger: pending.is_stranger,
            wanted: payload.get(..len).map_or(Permissions::all(), wanted),
            suite: pending.handshake.suite(),
            answer: None,
            room: usize::MAX,
        };
        self.pending.swap_remove(index);
        Ok(Route::Established(established))
    }
}
