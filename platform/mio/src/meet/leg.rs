//! A binding at a relay, and the way there: UDP, or a stream where that does not pass.

use core::net::SocketAddr;

use rift::paths::Binding;
use rift::paths::relay::Lease;
use rift::wire::bind::{BIND_LEN_MAX, LeaseSide};
use rift::wire::relay::LEASE_TAG_LEN;
use rift::{Instant, PublicKey};

use super::Gateway;

/// A relay that does not answer for this long is asked by a stream.
const UNANSWERED_US: u64 = 1_500_000;
/// A stream that brings no answer for this long is given up for UDP.
const STREAM_UNANSWERED_US: u64 = 6_000_000;
/// While a stream is used UDP is tried again after this long, then after twice as long each time.
const UDP_AGAIN_US: u64 = 10_000_000;
const UDP_AGAIN_US_MAX: u64 = 60_000_000;

/// See the module.
pub(crate) struct Leg {
    binding: Binding,
    relay_key: PublicKey,
    /// Where the stream to the relay is, while it is used.
    stream: Option<SocketAddr>,
    /// UDP is tried: messages about the binding go that way, everything else still by the stream.
    tries_udp: bool,
    /// When UDP is tried again, or a stream asked for again that was not to be had.
    udp_at: Instant,
    udp_pause_us: u64,
    /// Where it goes has changed.
    is_changed: bool,
}

impl Leg {
    /// Begins at once; `None` when the relay's key is none.
    pub(crate) fn new(lease: Lease, side: LeaseSide, now: Instant, gateway: &mut Gateway) -> Option<Self> {
        let relay_key = lease.relay_key;
        let binding = Binding::new(lease, side, now)?;
        let (udp_at, udp_pause_us) = (now, UDP_AGAIN_US);
        let (stream, tries_udp, is_changed) = (None, false, true);
        let mut leg = Self { binding, relay_key, stream, tries_udp, udp_at, udp_pause_us, is_changed };
        if gateway.is_streamed() {
            leg.take_stream(now, gateway);
        }
        Some(leg)
    }

    pub(crate) const fn relay(&self) -> SocketAddr {
        self.binding.relay()
    }

    pub(crate) const fn tag(&self) -> [u8; LEASE_TAG_LEN] {
        self.binding.tag()
    }

    pub(crate) const fn is_bound(&self) -> bool {
        self.binding.is_bound()
    }

    pub(crate) const fn is_streamed(&self) -> bool {
        self.stream.is_some()
    }

    /// Where datagrams for the relay go.
    pub(crate) fn place(&self) -> SocketAddr {
        self.stream.unwrap_or(self.binding.relay())
    }

    /// Whether what comes from there comes from the relay.
    pub(crate) fn is_from(&self, from: SocketAddr) -> bool {
        from == self.binding.relay() || Some(from) == self.stream
    }

    /// Whether that has changed since this was asked.
    pub(crate) const fn take_changed(&mut self) -> bool {
        core::mem::replace(&mut self.is_changed, false)
    }

    pub(crate) fn renew(&mut self, now: Instant, lease: Lease) {
        self.binding.renew(now, lease);
    }

    /// This machine may be elsewhere now: the relay is asked, unless it already is.
    pub(crate) const fn rebind(&mut self, now: Instant) {
        if self.binding.unanswered_since().is_none() {
            self.binding.rebind(now);
        }
    }

    /// Takes what came outside of envelopes.
    pub(crate) fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        let has_asked = self.binding.unanswered_since().is_some();
        // Refused or not: it asks again by itself.
        let _ = self.binding.handle_datagram(now, datagram);
        let is_answered = has_asked && self.binding.unanswered_since().is_none();
        if is_answered && self.binding.poll_timeout() > now && from == self.binding.relay() {
            // UDP passes.
            self.udp_pause_us = UDP_AGAIN_US;
            self.is_changed |= self.stream.is_some();
            (self.stream, self.tries_udp) = (None, false);
        }
    }

    /// Looks whether another way is to be taken.
    pub(crate) fn handle_timeout(&mut self, now: Instant, gateway: &mut Gateway) {
        let unanswered_us = self.binding.unanswered_since().map(|since| now.micros_since(since));
        let is_unanswered = |limit| unanswered_us.is_some_and(|unanswered| unanswered >= limit);
        if self.stream.is_none() {
            if is_unanswered(UNANSWERED_US) && self.udp_at <= now {
                self.take_stream(now, gateway);
            }
        } else if self.tries_udp {
            if is_unanswered(UNANSWERED_US) {
                self.tries_udp = false;
                self.put_udp_off(now);
                self.binding.rebind(now);
            }
        } else if is_unanswered(STREAM_UNANSWERED_US) {
            (self.stream, self.is_changed, self.udp_at) = (None, true, now);
            self.binding.rebind(now);
        } else if self.udp_at <= now && !gateway.is_streamed() {
            // The gateway asks by STUN whether UDP passes, and it has gone back to it, or never left it.
            self.tries_udp = true;
            self.binding.rebind(now);
        }
    }

    fn take_stream(&mut self, now: Instant, gateway: &mut Gateway) {
        self.stream = gateway.lend(self.binding.relay(), &self.relay_key);
        if self.stream.is_some() {
            self.is_changed = true;
            self.put_udp_off(now);
            self.binding.rebind(now);
        } else {
            self.udp_at = now.plus_micros(UDP_AGAIN_US);
        }
    }

    fn put_udp_off(&mut self, now: Instant) {
        self.udp_at = now.plus_micros(self.udp_pause_us);
        self.udp_pause_us = (2 * self.udp_pause_us).min(UDP_AGAIN_US_MAX);
    }

    /// Writes what is due, and where it goes.
    pub(crate) fn poll_transmit(
        &mut self,
        now: Instant,
        out: &mut [u8; BIND_LEN_MAX],
    ) -> Option<(usize, SocketAddr)> {
        let len = self.binding.poll_transmit(now, out)?;
        Some((len, if self.tries_udp { self.binding.relay() } else { self.place() }))
    }

    /// When something is due.
    pub(crate) fn poll_timeout(&self, gateway: &Gateway) -> Instant {
        let is_by_stream = self.stream.is_some() && !self.tries_udp;
        let limit = if is_by_stream { STREAM_UNANSWERED_US } else { UNANSWERED_US };
        // Without a stream to be had the relay is asked on and on, and nothing else.
        let unanswered = self.binding.unanswered_since().filter(|_| gateway.has_streams());
        let lost = unanswered.map(|since| since.plus_micros(limit));
        let lost = lost.map(|at| if self.stream.is_none() { at.max(self.udp_at) } else { at });
        let udp = (is_by_stream && !gateway.is_streamed()).then_some(self.udp_at);
        let due = self.binding.poll_timeout();
        [lost, udp].into_iter().flatten().fold(due, Instant::min)
    }
}
