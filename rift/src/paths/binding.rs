//! A peer's side of a lease: keeps its address bound at the relay (SPEC §18.8).
//!
//! It asks for a nonce, binds with it, and does so again before a NAT forgets the way or when the peer has moved. Nothing
//! a stranger sends changes more than when it asks: a nonce is only an offer, and what binds has a MAC.

use core::net::SocketAddr;

use super::relay::Lease;
use crate::crypto::{BindKey, Identity};
use crate::time::Instant;
use crate::wire::bind::{BIND_LEN_MAX, BIND_MAC_LEN, BindBody, BindMessage, BindReason, LeaseSide};
use crate::wire::relay::LEASE_TAG_LEN;

/// The first question is repeated after this long, then after twice as long each time.
const RETRY_US: u64 = 250_000;
const RETRY_US_MAX: u64 = 4_000_000;
/// A binding is said again after this long: many NATs keep a way open for 30 s only.
const AGAIN_US: u64 = 20_000_000;

/// What became of it, told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindingEvent {
    /// The relay forwards between here and the other, if that one is bound too.
    Bound {
        /// How long the lease still lasts, in seconds.
        left_s: u32,
    },
    /// The relay does not want to; it is asked again, more and more seldom.
    Refused(BindReason),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Ask,
    Bind { nonce: [u8; BIND_MAC_LEN] },
}

/// See the module.
#[derive(Debug)]
pub struct Binding {
    lease: Lease,
    side: LeaseSide,
    key: BindKey,
    step: Step,
    /// Whether the relay has to be shown the token.
    shows_token: bool,
    is_bound: bool,
    /// When it asked what was not answered yet.
    asked_at: Option<Instant>,
    due: Instant,
    pause_us: u64,
}

impl Binding {
    /// Begins at once. `None` when the relay's key is none.
    #[must_use]
    pub fn new(lease: Lease, side: LeaseSide, now: Instant) -> Option<Self> {
        let key = BindKey::new(&Identity::from_secret(lease.secret), &lease.relay_key, &lease.tag, side)?;
        let (step, shows_token, is_bound) = (Step::Ask, true, false);
        let (asked_at, due, pause_us) = (None, now, RETRY_US);
        Some(Self { lease, side, key, step, shows_token, is_bound, asked_at, due, pause_us })
    }

    /// Where the relay is: messages go there, and only what comes from there is given to it.
    #[must_use]
    pub const fn relay(&self) -> SocketAddr {
        self.lease.relay
    }

    /// The lease's name in envelopes.
    #[must_use]
    pub const fn tag(&self) -> [u8; LEASE_TAG_LEN] {
        self.lease.tag
    }

    /// Whether the relay has bound this peer and nothing has been heard to the contrary.
    #[must_use]
    pub const fn is_bound(&self) -> bool {
        self.is_bound
    }

    /// Since when the relay has not answered what it was asked; `None` while nothing is asked.
    #[must_use]
    pub const fn unanswered_since(&self) -> Option<Instant> {
        self.asked_at
    }

    /// This peer may be somewhere else now: binds again at once.
    pub const fn rebind(&mut self, now: Instant) {
        (self.step, self.due, self.pause_us) = (Step::Ask, now, RETRY_US);
        self.asked_at = None;
    }

    /// Goes on with a lease of the same name that lasts longer; another one is left alone.
    pub fn renew(&mut self, now: Instant, lease: Lease) {
        if lease.tag == self.lease.tag
            && let Some(renewed) = Self::new(lease, self.side, now)
        {
            *self = Self { is_bound: self.is_bound, ..renewed };
        }
    }

    /// Takes what came from the relay outside of envelopes.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) -> Option<BindingEvent> {
        let message = BindMessage::parse(datagram).filter(|message| message.tag == self.lease.tag)?;
        match message.body {
            BindBody::Nonce(nonce) if self.step == Step::Ask => {
                (self.step, self.due) = (Step::Bind { nonce }, now);
                None
            }
            BindBody::Bound { side, left_s, nonce } => {
                let is_asked = |asked: [u8; BIND_MAC_LEN]| asked.starts_with(&nonce);
                let is_answer =
                    matches!(self.step, Step::Bind { nonce } if is_asked(nonce)) && side == self.side;
                if !is_answer || !self.key.verify(datagram) {
                    return None;
                }
                let is_news = !self.is_bound;
                (self.step, self.pause_us) = (Step::Ask, RETRY_US);
                self.asked_at = None;
                (self.is_bound, self.shows_token, self.due) = (true, false, now.plus_micros(AGAIN_US));
                is_news.then_some(BindingEvent::Bound { left_s })
            }
            BindBody::Refused(BindReason::Unknown) => {
                if !core::mem::replace(&mut self.shows_token, true) {
                    self.rebind(now);
                }
                None
            }
            BindBody::Refused(reason) if matches!(self.step, Step::Bind { .. }) => {
                // Anybody could say so, so it is asked again.
                self.step = Step::Ask;
                Some(BindingEvent::Refused(reason))
            }
            BindBody::Ask | BindBody::Nonce(_) | BindBody::Bind { .. } | BindBody::Refused(_) => None,
        }
    }

    /// Writes what is due into `out`; returns how long it is.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut [u8; BIND_LEN_MAX]) -> Option<usize> {
        if now < self.due {
            return None;
        }
        let body = match self.step {
            Step::Ask => BindBody::Ask,
            Step::Bind { nonce } => {
                let token: &[u8] = if self.shows_token { &self.lease.token } else { &[] };
                BindBody::Bind { side: self.side, nonce, token }
            }
        };
        let len = BindMessage { tag: self.lease.tag, body }.emit(out)?;
        if body != BindBody::Ask {
            self.key.sign(&mut out[..len]);
        }
        self.asked_at = self.asked_at.or(Some(now));
        if self.pause_us == RETRY_US_MAX {
            // A relay that forgot what it gives nonces with, or is gone.
            (self.step, self.is_bound) = (Step::Ask, false);
        }
        self.due = now.plus_micros(self.pause_us);
        self.pause_us = (2 * self.pause_us).min(RETRY_US_MAX);
        Some(len)
    }

    /// When something is due.
    #[must_use]
    pub const fn poll_timeout(&self) -> Instant {
        self.due
    }
}
