//! Many sessions on one socket: finds the session of a datagram, and answers strangers' handshakes (SPEC §4).
//!
//! An endpoint knows nothing of sessions but their numbers. A stranger costs a MAC check, and under load an answer that
//! is not remembered; one who knows the host's key costs a bounded, evictable place among the pending handshakes; a
//! session's memory is touched only after the peer has proven its key. Capacities stand in `limits.rs`.

mod calls;
mod flights;
#[cfg(feature = "experimental")]
mod fragments;
mod guest;
mod limiter;
mod load;
mod routes;

use core::net::SocketAddr;

pub use guest::Guest;

use blake2::Blake2sMac;
use blake2::digest::consts::U4;
use blake2::digest::{FixedOutput, Mac, Update};
use heapless::{Deque, Vec};
use zeroize::Zeroize;

use limiter::Limiter;
use routes::Routes;

use crate::crypto::reset::{self, TRIGGER_LEN};
use crate::crypto::{
    AddressToken, CookieJar, CookieKey, Handshake, Mac1Key, Opening, PublicKey, TokenKey, derive,
};
use crate::limits::{CLIENTS_REMEMBERED, CONNECTIONS_MAX, PENDING_HANDSHAKES, SESSIONS_MAX};
use crate::session::{CloseReason, Discard, Established, Session, TAG_LEN};
use crate::storage::Memory;
use crate::time::Instant;
use crate::wire::handshake::ANSWER_MAX;
use crate::wire::header::{DataHeader, Kind};
use crate::wire::path::Reset;

use calls::{Calls, Clients};
use flights::Pending;
use load::Load;

/// Refusals remembered, to be said again to who did not hear them.
const REFUSALS: usize = 16;
/// Bytes of a sealed close: header, frame, tag.
const REFUSAL_LEN: usize = DataHeader::LEN + 4 + TAG_LEN;

/// Which of an application's sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionIndex(pub u16);

/// Where a datagram belongs.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it lives on the stack for one datagram, and there is no heap")]
pub enum Route {
    /// To this session's [`crate::Session::handle_datagram`].
    Session(SessionIndex),
    /// Nowhere: this many bytes of the reply buffer go back to where it came from.
    Reply(usize),
    /// A peer has proven its key. Look whether it is let in; then either make a session with
    /// [`crate::Session::from_established`] and [`Endpoint::adopt`] it, or [`Endpoint::refuse`] it.
    Established(Established),
}

/// Routes the datagrams of one socket; see the module. Unless it says otherwise it has room for the connection ids of
/// [`SESSIONS_MAX`] sessions, and remembers [`CLIENTS_REMEMBERED`] clients.
pub struct Endpoint<
    H,
    const ROUTES: usize = { SESSIONS_MAX * CONNECTIONS_MAX },
    const CLIENTS: usize = CLIENTS_REMEMBERED,
> {
    secret: [u8; 32],
    mac1: Mac1Key,
    /// Of those who do not know the host's key; heard while the pairing window is open.
    stranger_mac1: Mac1Key,
    is_window_open: bool,
    cookie_key: CookieKey,
    cookies: CookieJar,
    tokens: TokenKey,
    /// The newest token's serial.
    token_serial: u64,
    /// Unix time, in microseconds, at [`Instant::ZERO`].
    epoch_us: u64,
    drawn: u64,
    load: Load,
    pending: Vec<Pending<H>, PENDING_HANDSHAKES>,
    #[cfg(feature = "experimental")]
    fragments: fragments::Fragments,
    calls: Calls,
    clients: Clients<CLIENTS>,
    routes: Routes<ROUTES>,
    resets: Limiter,
    /// The newest refusals by the connection id that was refused: a confirmation said again is answered the same.
    refusals: Deque<(u32, [u8; REFUSAL_LEN]), REFUSALS>,
}

impl<H: Handshake> Endpoint<H> {
    /// An endpoint for a host with this key. `secret` is 32 bytes of entropy that make its connection ids, cookies,
    /// resets and address tokens. A host that keeps it over restarts recognises the tokens of its earlier life; it then needs
    /// [`Self::with_epoch`], so that no connection id comes again.
    #[must_use]
    pub fn new(host: &PublicKey, secret: [u8; 32]) -> Self {
        Self::with_room(host, secret)
    }
}

impl<H: Handshake, const ROUTES: usize, const CLIENTS: usize> Endpoint<H, ROUTES, CLIENTS> {
    /// Like [`Endpoint::new`], for as many as the type says: `ROUTES` connection ids, of which a session has
    /// [`CONNECTIONS_MAX`] at most, and `CLIENTS` clients whose counters are remembered.
    #[must_use]
    pub fn with_room(host: &PublicKey, secret: [u8; 32]) -> Self {
        Self {
            mac1: Mac1Key::new(host),
            stranger_mac1: Mac1Key::stranger(),
            is_window_open: false,
            cookie_key: CookieKey::new(host),
            cookies: CookieJar::new(&secret),
            tokens: TokenKey::new(&secret),
            token_serial: 0,
            epoch_us: 0,
            drawn: 0,
            load: Load::new(),
            pending: Vec::new(),
            #[cfg(feature = "experimental")]
            fragments: fragments::Fragments::new(),
            calls: Calls::new(),
            clients: Clients::new(derive(&secret, b"rift clients")),
            routes: Routes::new(),
            resets: Limiter::new(),
            refusals: Deque::new(),
            secret,
        }
    }

    /// Says what the Unix time was at [`Instant::ZERO`], in microseconds: it dates address tokens. A host without a clock
    /// says a number that grows with each start by more than the start will last, such as a boot counter times a year.
    #[must_use]
    pub const fn with_epoch(mut self, unix_us: u64) -> Self {
        self.epoch_us = unix_us;
        self
    }

    /// Finds out where a datagram belongs. `responder` makes the handshake of a new peer (from the opening it is given
    /// and fresh entropy); it is called only for a stranger who knows the host's key. A reply is written to `reply`,
    /// [`REPLY_MAX`](crate::limits::REPLY_MAX) bytes of it at most.
    ///
    /// Work: a look-up for known sessions; a MAC for anything else; under load another MAC and a seal; a handshake
    /// message for who knows the key, at most some hundred a second.
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
                match self.routes.find(header.connection) {
                    Some(index) => Ok(Route::Session(index)),
                    None => self.reset(now, &header, datagram, reply),
                }
            }
            Some(Kind::Initiation | Kind::Call) => {
                self.on_first_flight(now, from, datagram, responder, reply)
            }
            Some(Kind::Confirmation) => self.on_confirmation(now, from, datagram, reply),
            #[cfg(feature = "experimental")]
            Some(Kind::Fragment) => self.on_fragment(now, from, datagram, responder, reply),
            #[cfg(not(feature = "experimental"))]
            Some(Kind::Fragment) => Err(Discard::NotRift),
            Some(
                Kind::Response
                | Kind::Answer
                | Kind::Cookie
                | Kind::Versions
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

    /// Sends a session's datagrams to `index` from now on. `false` when there is no room for another session. A call is
    /// remembered from here on: none of the same client with the same or a smaller counter is taken again.
    #[must_use]
    pub fn adopt(&mut self, connection: u32, index: SessionIndex) -> bool {
        self.release(index);
        let is_adopted = self.routes.insert(connection, index);
        if let Some(call) = self.calls.of_connection(connection)
            && is_adopted
        {
            self.clients.remember(call.client, call.counter, call.token);
        }
        is_adopted
    }

    /// Gives a session the connection ids it lacks, and forgets those it needs no more. To be called whenever
    /// [`Session::wants_connections`].
    pub fn tend<M: Memory, G: Handshake>(&mut self, index: SessionIndex, session: &mut Session<M, G>) {
        self.routes.retain(index, |connection| session.holds_connection(connection));
        let own = session.connection();
        if session.wants_own_token() {
            session.offer_connection(own, 0, reset::token(&self.secret, own));
        }
        while session.wants_connections() {
            let connection = self.draw_connection();
            if !self.routes.insert(connection, index) {
                return;
            }
            let first = self.draw(b"rift first number");
            session.offer_connection(connection, first, reset::token(&self.secret, connection));
        }
    }

    /// Answers a packet for a session that is not here (SPEC §6.6), with less than was sent and not too often.
    fn reset(
        &mut self,
        now: Instant,
        header: &DataHeader,
        datagram: &[u8],
        reply: &mut [u8],
    ) -> Result<Route, Discard> {
        let trigger: &[u8; TRIGGER_LEN] = datagram.last_chunk().ok_or(Discard::UnknownConnection)?;
        // Who is half way in, or was told to stay out, has no session that could be lost.
        let is_stranger = self.pending.iter().any(|pending| pending.local_connection == header.connection)
            || self.refusals.iter().any(|&(refused, _)| refused == header.connection);
        if datagram.len() <= Reset::LEN || is_stranger || !self.resets.take(now) {
            return Err(Discard::UnknownConnection);
        }
        let proof = reset::proof(&reset::token(&self.secret, header.connection), trigger);
        let DataHeader { connection, packet_number, .. } = *header;
        put(&Reset { connection, packet_number, proof }.to_bytes(), reply)
    }

    /// Tells a peer that it is not let in, and why, without making a session. The datagram is written to `reply`;
    /// returns its length, 0 when `reply` is too short. A peer that repeats itself is told again.
    pub fn refuse(&mut self, established: Established, reason: CloseReason, reply: &mut [u8]) -> usize {
        let connection = established.connection();
        let mut refusal = [0; ANSWER_MAX + REFUSAL_LEN];
        let len = established.refuse(reason, &mut refusal);
        let refusal = &refusal[..len];
        if let Some(call) = self.calls.of_connection(connection) {
            call.set_reply(refusal);
        } else if let Ok(refusal) = <[u8; REFUSAL_LEN]>::try_from(refusal) {
            if self.refusals.is_full() {
                self.refusals.pop_front();
            }
            let pushed = self.refusals.push_back((connection, refusal));
            debug_assert!(pushed.is_ok(), "room was made");
        }
        let Some(place) = reply.get_mut(..len) else { return 0 };
        place.copy_from_slice(refusal);
        len
    }

    /// Forgets a session.
    pub fn release(&mut self, index: SessionIndex) {
        let calls = &mut self.calls;
        self.routes.retain(index, |connection| {
            calls.forget(connection);
            false
        });
    }

    /// A new address token for `client`, which has proven that it can be reached at `address`: to be given to it with
    /// [`crate::Session::offer_token`].
    pub fn make_token(&mut self, now: Instant, client: &PublicKey, address: SocketAddr) -> AddressToken {
        self.token_serial = self.unix_us(now).max(self.token_serial + 1);
        self.tokens.make(self.token_serial, client, address)
    }

    /// Handshakes half done.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Seals cookies for who knows this host, or for who came through the pairing window.
    fn cookie_key(&self, is_stranger: bool) -> CookieKey {
        if is_stranger { CookieKey::new(&PublicKey::from_bytes([0; 32])) } else { self.cookie_key.clone() }
    }

    const fn unix_us(&self, now: Instant) -> u64 {
        self.epoch_us.saturating_add(now.as_micros())
    }

    /// A connection id that no session or pending handshake has.
    fn draw_connection(&mut self) -> u32 {
        loop {
            let connection = self.draw(b"rift connection");
            let is_taken = self.routes.find(connection).is_some()
                || self.pending.iter().any(|pending| pending.local_connection == connection)
                || self.calls.of_connection(connection).is_some()
                || self.refusals.iter().any(|&(refused, _)| refused == connection);
            if !is_taken {
                return connection;
            }
        }
    }

    /// A number nobody can guess, and that does not come again after a restart.
    fn draw(&mut self, label: &[u8]) -> u32 {
        self.drawn += 1;
        let mac = <Blake2sMac<U4> as Mac>::new_from_slice(&self.secret);
        let mut mac = mac.expect("BLAKE2s takes keys of 32 bytes");
        Update::update(&mut mac, label);
        Update::update(&mut mac, &self.epoch_us.to_be_bytes());
        Update::update(&mut mac, &self.drawn.to_be_bytes());
        u32::from_be_bytes(mac.finalize_fixed().into())
    }
}

impl<H, const ROUTES: usize, const CLIENTS: usize> Drop for Endpoint<H, ROUTES, CLIENTS> {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl<H, const ROUTES: usize, const CLIENTS: usize> core::fmt::Debug for Endpoint<H, ROUTES, CLIENTS> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Endpoint")
            .field("pending", &self.pending.len())
            .field("connections", &self.routes.len())
            .finish_non_exhaustive()
    }
}

fn put(message: &[u8], reply: &mut [u8]) -> Result<Route, Discard> {
    reply.get_mut(..message.len()).ok_or(Discard::NoRoom)?.copy_from_slice(message);
    Ok(Route::Reply(message.len()))
}
