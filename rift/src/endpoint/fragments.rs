//! First flights too long for one datagram: those of hybrid handshakes (SPEC §4.20).
//!
//! Invariant: nothing is kept of a fragment before its sender has shown that it hears what is sent to its address.

use core::net::SocketAddr;

use heapless::Vec;

use super::flights::PENDING_US;
use super::{Endpoint, Route, put};
use crate::crypto::{Handshake, Opening};
use crate::limits::FLIGHTS_HALF_ARRIVED;
use crate::session::Discard;
use crate::time::Instant;
use crate::wire::VERSION;
use crate::wire::handshake::{CookieReply, FirstFlight, Fragment, Versions};

/// Bytes of a flight, its padding included.
const WHOLE_LEN: usize = Fragment::COUNT * Fragment::PIECE_LEN;
/// All fragments are there.
const ALL: u8 = (1 << Fragment::COUNT) - 1;

/// A flight of which a part has arrived.
struct Arriving {
    from: SocketAddr,
    flight: [u8; 8],
    since: Instant,
    have: u8,
    bytes: [u8; WHOLE_LEN],
}

/// Flights half arrived; the oldest makes room.
pub(super) struct Fragments(Vec<Arriving, FLIGHTS_HALF_ARRIVED>);

impl Fragments {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Keeps a fragment. Returns the whole flight once it is there; it is then forgotten.
    fn push(&mut self, now: Instant, from: SocketAddr, fragment: &Fragment<'_>) -> Option<[u8; WHOLE_LEN]> {
        self.0.retain(|arriving| arriving.since.plus_micros(PENDING_US) > now);
        let is_of = |arriving: &Arriving| arriving.flight == fragment.flight && arriving.from == from;
        let at = match self.0.iter().position(is_of) {
            Some(at) => at,
            None => self.begin(now, from, fragment.flight)?,
        };
        let arriving = self.0.get_mut(at)?;
        let begin = usize::from(fragment.index) * Fragment::PIECE_LEN;
        arriving.bytes.get_mut(begin..begin + Fragment::PIECE_LEN)?.copy_from_slice(fragment.piece);
        arriving.have |= 1 << fragment.index;
        (arriving.have == ALL).then(|| self.0.swap_remove(at).bytes)
    }

    fn begin(&mut self, now: Instant, from: SocketAddr, flight: [u8; 8]) -> Option<usize> {
        if self.0.is_full() {
            let oldest = (0..self.0.len()).min_by_key(|&index| self.0[index].since);
            self.0.swap_remove(oldest.unwrap_or(0));
        }
        self.0.push(Arriving { from, flight, since: now, have: 0, bytes: [0; WHOLE_LEN] }).ok()?;
        self.0.len().checked_sub(1)
    }
}

impl<H: Handshake, const ROUTES: usize, const CLIENTS: usize> Endpoint<H, ROUTES, CLIENTS> {
    /// SPEC §4.20. Cheap things first: a fragment costs a MAC, then a cookie; room only who has come back with one, and curves only
    /// a whole flight.
    pub(super) fn on_fragment(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
        responder: impl FnOnce(Opening) -> H,
        reply: &mut [u8],
    ) -> Result<Route, Discard> {
        let fragment = Fragment::parse(datagram).ok_or(Discard::Malformed)?;
        let is_stranger = !self.mac1.verify(fragment.authenticated, &fragment.mac1);
        if is_stranger
            && !(self.is_window_open && self.stranger_mac1.verify(fragment.authenticated, &fragment.mac1))
        {
            return Err(Discard::Authentication);
        }
        if fragment.version != VERSION {
            return put(&Versions::to_bytes(&fragment.mac1), reply);
        }
        let unix_us = self.unix_us(now);
        if fragment.mac2 == [0; 16] {
            let cookie = self.cookies.cookie(unix_us, from);
            let sealed = self.cookie_key(is_stranger).seal(&fragment.mac1, &cookie);
            return put(&CookieReply { sealed }.to_bytes(), reply);
        }
        if !self.cookies.verify(unix_us, from, fragment.with_mac1, &fragment.mac2) {
            return Err(Discard::Authentication);
        }
        self.forget_old(now);
        // What was answered before is answered again, even if the other fragment is lost this time.
        let is_same = |mac1: &[u8; 16]| mac1.first_chunk() == Some(&fragment.flight);
        let known = self.respond_again(from, is_same, reply);
        if let Some(known) = known.or_else(|| self.call_again(is_same, reply)) {
            return known;
        }
        let whole = self.fragments.push(now, from, &fragment).ok_or(Discard::Unexpected)?;
        let flight = FirstFlight::parse_whole(&whole).ok_or(Discard::Malformed)?;
        let key = if is_stranger { &self.stranger_mac1 } else { &self.mac1 };
        let is_true = key.verify(flight.authenticated, &flight.mac1)
            && (flight.version, flight.newest) == (fragment.version, fragment.newest)
            && flight.mac1.first_chunk() == Some(&fragment.flight);
        if !is_true || (is_stranger && flight.pattern != crate::crypto::Pattern::Xx) {
            return Err(Discard::Authentication);
        }
        if !self.load.allows_proven(now) {
            return Err(Discard::NoRoom);
        }
        self.begin(now, from, &flight, is_stranger, Fragment::COUNT * Fragment::LEN, responder, reply)
    }
}
