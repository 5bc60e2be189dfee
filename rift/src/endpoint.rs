//! Many sessions on one socket: finds the session of a datagram, and answers strangers' handshakes (SPEC §4).
//!
//! An endpoint knows nothing of sessions but their numbers. A stranger costs a MAC check; one who knows the host's
//! key costs a bounded, evictable place among the pending handshakes; a session's memory is touched only after the
//! peer has proven its key.

use core::net::SocketAddr;

use blake2::Blake2sMac;
use blake2::digest::consts::U4;
use blake2::digest::{FixedOutput, Mac, Update};
use heapless::{Deque, Vec};
use zeroize::Zeroize;

use crate::crypto::{Handshake, Mac1Key, Opening, PublicKey};
use crate::limits::{PENDING_HANDSHAKES, SESSIONS_MAX};
use crate::session::{CloseReason, Discard, Established, TAG_LEN};
use crate::time::Instant;
use crate::wire::handshake::{INITIATION_PAYLOAD_LEN, Initiation, InitiationError, Reply, connection_of};
use crate::wire::header::{DataHeader, Kind};

/// Bytes of a second message: head, ephemeral, static key with its tag, connection id with its tag.
const RESPONSE_LEN: usize = Reply::HEAD_LEN + 32 + 32 + 16 + 4 + 16;
/// A pending handshake is forgotten after this long.
const PENDING_US: u64 = 10_000_000;

/// Refusals remembered, to be said again to who did not hear them.
const REFUSALS: usize = 16;
/// Bytes of a sealed close: header, frame, tag.
const REFUSAL_LEN: usize = DataHeader::LEN + 4 + TAG_LEN;

/// Which of an application's sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionIndex(pub u16);

/// Where a datagram belongs.
#[derive(Debug)]
pub enum Route {
    /// To this session's [`crate::Session::handle_datagram`].
    Session(SessionIndex),
    /// Nowhere: this many bytes of the reply buffer go back to where it came from.
    Reply(usize),
    /// A peer has proven its key. Look whether it is let in; then either make a session with
    /// [`crate::Session::from_established`] and [`Endpoint::adopt`] it, or [`Endpoint::refuse`] it.
    Established(Established),
}

struct Pending<H> {
    handshake: H,
    from: SocketAddr,
    since: Instant,
    local_connection: u32,
    remote_connection: u32,
    /// Of the first flight, to tell its repetitions from another.
    first_mac: [u8; 16],
    /// It came through the pairing window.
    is_stranger: bool,
    response: [u8; RESPONSE_LEN],
}

/// Routes the datagrams of one socket; see the module.
pub struct Endpoint<H> {
    secret: [u8; 32],
    mac1: Mac1Key,
    /// Of those who do not know the host's key; heard while the pairing window is open.
    stranger_mac1: Mac1Key,
    is_window_open: bool,
    drawn: u64,
    pending: Vec<Pending<H>, PENDING_HANDSHAKES>,
    sessions: Vec<(u32, SessionIndex), SESSIONS_MAX>,
    /// The newest refusals by the connection id that was refused: a confirmation said again is answered the same.
    refusals: Deque<(u32, [u8; REFUSAL_LEN]), REFUSALS>,
}

impl<H: Handshake> Endpoint<H> {
    /// An endpoint for a host with this key. `secret` makes its connection ids unpredictable: 32 bytes of entropy.
    #[must_use]
    pub fn new(host: &PublicKey, secret: [u8; 32]) -> Self {
        Self {
            secret,
            mac1: Mac1Key::new(host),
            stranger_mac1: Mac1Key::stranger(),
            is_window_open: false,
            drawn: 0,
            pending: Vec::new(),
            sessions: Vec::new(),
            refusals: Deque::new(),
        }
    }

    /// Finds out where a datagram belongs. `responder` makes the handshake of a new peer (from
    /// the opening it is given and fresh entropy); it is called only for a stranger who knows the host's key. A reply is
    /// written to `reply`, 160 bytes of it at most.
    ///
    /// Work: a look-up for known sessions; a MAC for anything else; a handshake message for who knows the key.
    ///
    /// # Errors
    /// Why the datagram is ignored; nothing has changed then.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
        responder: impl FnOnce(Opening) -> H,
        reply: &mut [u8],
    ) -> Result<Route, Discard> {
        match datagram.first().and_then(|&first| Kind::of(first)) {
            Some(Kind::Data) => {
                let header = DataHeader::parse(datagram).ok_or(Discard::Malformed)?;
                let known = self.sessions.iter().find(|(connection, _)| *connection == header.connection);
                known.map(|&(_, index)| Route::Session(index)).ok_or(Discard::UnknownConnection)
            }
            Some(Kind::Initiation) => self.on_initiation(now, from, datagram, responder, reply),
            Some(Kind::Confirmation) => self.on_confirmation(now, from, datagram, reply),
            Some(
                Kind::Response
                | Kind::HandshakeReserved
                | Kind::Reset
                | Kind::Probe
                | Kind::Relayed
                | Kind::Stun,
            )
            | None => Err(Discard::NotRift),
        }
    }

    /// Opens or closes the window in which those are answered who do not know the host's key (SPEC §4.10). Only a local
    /// act may open it. Closing it forgets their handshakes that are half done.
    pub fn set_pairing_window(&mut self, is_open: bool) {
        self.is_window_open = is_open;
        if !is_open {
            self.pending.retain(|pending| !pending.is_stranger);
        }
    }

    /// Sends a session's datagrams to `index` from now on. `false` when there is no room for another session.
    #[must_use]
    pub fn adopt(&mut self, connection: u32, index: SessionIndex) -> bool {
        self.release(index);
        self.sessions.push((connection, index)).is_ok()
    }

    /// Tells a peer that it is not let in, and why, without making a session. The datagram is written to `reply`;
    /// returns its length, 0 when `reply` is too short. A peer that repeats itself is told again.
    pub fn refuse(&mut self, established: Established, reason: CloseReason, reply: &mut [u8]) -> usize {
        let connection = established.connection();
        let mut refusal = [0; REFUSAL_LEN];
        if established.refuse(reason, &mut refusal) != REFUSAL_LEN {
            return 0;
        }
        if self.refusals.is_full() {
            self.refusals.pop_front();
        }
        let pushed = self.refusals.push_back((connection, refusal));
        debug_assert!(pushed.is_ok(), "room was made");
        let Some(place) = reply.get_mut(..REFUSAL_LEN) else { return 0 };
        place.copy_from_slice(&refusal);
        REFUSAL_LEN
    }

    /// Forgets a session.
    pub fn release(&mut self, index: SessionIndex) {
        self.sessions.retain(|&(_, known)| known != index);
    }

    /// Handshakes half done.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    fn on_initiation(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
        responder: impl FnOnce(Opening) -> H,
        reply: &mut [u8],
    ) -> Result<Route, Discard> {
        let initiation = Initiation::parse(datagram).map_err(|error| match error {
            InitiationError::Malformed => Discard::Malformed,
            InitiationError::Version(version) => Discard::Version(version),
        })?;
        let is_stranger = !self.mac1.verify(initiation.authenticated, &initiation.mac);
        let is_heard = || self.stranger_mac1.verify(initiation.authenticated, &initiation.mac);
        if is_stranger && !(self.is_window_open && is_heard()) {
            return Err(Discard::Authentication);
        }
        self.pending.retain(|pending| pending.since.plus_micros(PENDING_US) > now);
        let same = |pending: &&Pending<H>| pending.first_mac == initiation.mac && pending.from == from;
        if let Some(pending) = self.pending.iter().find(same) {
            return put(&pending.response, reply);
        }
        let mut handshake = responder(Opening::XX);
        let mut payload = [0; INITIATION_PAYLOAD_LEN];
        handshake.read_message(initiation.noise, &mut payload).map_err(|_| Discard::Authentication)?;
        let remote_connection = connection_of(&payload).ok_or(Discard::Malformed)?;
        let local_connection = self.draw_connection();
        let mut response = [0; RESPONSE_LEN];
        Reply::emit_head(&mut response, false, remote_connection).ok_or(Discard::Malformed)?;
        handshake
            .write_message(&local_connection.to_be_bytes(), &mut response[Reply::HEAD_LEN..])
            .map_err(|_| Discard::Authentication)?;
        if self.pending.is_full() {
            let oldest = (0..self.pending.len()).min_by_key(|&index| self.pending[index].since);
            self.pending.swap_remove(oldest.unwrap_or(0));
        }
        let result = put(&response, reply);
        let entry = Pending {
            handshake,
            from,
            since: now,
            local_connection,
            remote_connection,
            first_mac: initiation.mac,
            is_stranger,
            response,
        };
        let pushed = self.pending.push(entry);
        debug_assert!(pushed.is_ok(), "room was made");
        result
    }

    fn on_confirmation(
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
        let index = self
            .pending
            .iter()
            .position(|pending| {
                pending.local_connection == message.connection && pending.since.plus_micros(PENDING_US) > now
            })
            .ok_or(Discard::UnknownConnection)?;
        let pending = &mut self.pending[index];
        let mut payload = [0; 64];
        pending.handshake.read_message(message.noise, &mut payload).map_err(|_| Discard::Authentication)?;
        let secrets = pending.handshake.finish().ok_or(Discard::Unexpected)?;
        let (local_connection, remote_connection) = (pending.local_connection, pending.remote_connection);
        let is_stranger = pending.is_stranger;
        self.pending.swap_remove(index);
        let established = Established { secrets, local_connection, remote_connection, from, is_stranger };
        Ok(Route::Established(established))
    }

    /// A connection id that no session or pending handshake has.
    fn draw_connection(&mut self) -> u32 {
        loop {
            self.drawn += 1;
            let mac = <Blake2sMac<U4> as Mac>::new_from_slice(&self.secret);
            let mut mac = mac.expect("BLAKE2s takes keys of 32 bytes");
            Update::update(&mut mac, b"rift connection");
            Update::update(&mut mac, &self.drawn.to_be_bytes());
            let connection = u32::from_be_bytes(mac.finalize_fixed().into());
            let is_taken = self.sessions.iter().any(|&(known, _)| known == connection)
                || self.pending.iter().any(|pending| pending.local_connection == connection)
                || self.refusals.iter().any(|&(refused, _)| refused == connection);
            if !is_taken {
                return connection;
            }
        }
    }
}

impl<H> Drop for Endpoint<H> {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl<H> core::fmt::Debug for Endpoint<H> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Endpoint")
            .field("pending", &self.pending.len())
            .field("sessions", &self.sessions.len())
            .finish_non_exhaustive()
    }
}

fn put(message: &[u8], reply: &mut [u8]) -> Result<Route, Discard> {
    reply.get_mut(..message.len()).ok_or(Discard::NoRoom)?.copy_from_slice(message);
    Ok(Route::Reply(message.len()))
}
