//! When a router is asked, and what its answers mean: see [`Mapper`].

use core::net::{Ipv4Addr, SocketAddrV4};

use rift::Instant;

use crate::wire::{Answer, MESSAGE_MAX, Request};

/// How long the router is to keep the port open, in seconds; it is asked again after half of what it gives.
pub const LIFETIME_S: u32 = 1_200;
/// It is never asked again sooner, whatever it says.
const RENEW_US_MIN: u64 = 10_000_000;
/// The first question is repeated after this long, then after twice as long each time (RFC 6886 §3.1), so many in all.
const RETRY_US: u64 = 250_000;
const TRIES: u32 = 7;
/// A router that does not answer, or does not want to, is asked again after this long: it may be another one then.
pub(crate) const PAUSE_US: u64 = 600_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Pcp,
    /// NAT-PMP tells the address and the port one after the other.
    PmpAddress,
    PmpMap(Ipv4Addr),
    /// Nothing is asked before it is due.
    Rest,
    /// The port is given back by one last message.
    Leave,
    Gone,
}

/// Keeps a UDP port open at one router. After any call: [`Self::poll_transmit`] until `None`, then wait for a datagram of the router's or
/// [`Self::poll_timeout`].
#[derive(Clone, Debug)]
pub struct Mapper {
    client: Ipv4Addr,
    port: u16,
    nonce: [u8; 12],
    step: Step,
    is_pmp: bool,
    /// Where the port is open, and until when.
    mapped: Option<(SocketAddrV4, Instant)>,
    tries: u32,
    due: Instant,
}

impl Mapper {
    /// Opens `port` of this machine, whose address towards its router is `client`, from `now` on. `nonce` is 12 bytes that nobody
    /// can guess.
    #[must_use]
    pub const fn new(client: Ipv4Addr, port: u16, nonce: [u8; 12], now: Instant) -> Self {
        Self { client, port, nonce, step: Step::Pcp, is_pmp: false, mapped: None, tries: 0, due: now }
    }

    /// Where the port is open, as the router says; `None` where that is no address of the internet's, because another router stands
    /// behind this one.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddrV4> {
        self.mapped.map(|(address, _)| address).filter(|address| is_public(*address.ip()))
    }

    /// Whether the router has opened the port, wherever.
    pub(crate) const fn is_mapped(&self) -> bool {
        self.mapped.is_some()
    }

    /// Whether the router knows NAT-PMP and not PCP.
    pub(crate) const fn is_pmp(&self) -> bool {
        self.is_pmp
    }

    /// Whether nothing is open, and nothing asked for a while.
    pub(crate) fn has_given_up(&self) -> bool {
        self.mapped.is_none() && self.step == Step::Rest
    }

    /// Whether an answer is awaited.
    #[must_use]
    pub const fn is_asking(&self) -> bool {
        self.tries > 0
    }

    /// Takes a datagram that came from the router's address.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        if !self.is_asking() {
            return;
        }
        match (self.step, Answer::parse(datagram)) {
            (Step::Pcp, Some(Answer::Pcp { nonce, port, external: (ip, outside), lifetime_s }))
                if nonce == self.nonce && port == self.port && outside != 0 =>
            {
                self.on_mapped(now, SocketAddrV4::new(ip, outside), lifetime_s);
            }
            (Step::Pcp, Some(Answer::PcpRefused { lifetime_s })) => {
                let pause_us = u64::from(lifetime_s) * 1_000_000;
                self.rest(now, pause_us.clamp(30_000_000, PAUSE_US));
            }
            (Step::Pcp, Some(Answer::PmpOnly)) => {
                self.is_pmp = true;
                self.ask(now, Step::PmpAddress);
            }
            (Step::PmpAddress, Some(Answer::PmpAddress(ip))) => self.ask(now, Step::PmpMap(ip)),
            (Step::PmpMap(ip), Some(Answer::PmpMap { port, external_port, lifetime_s }))
                if port == self.port && external_port != 0 =>
            {
                self.on_mapped(now, SocketAddrV4::new(ip, external_port), lifetime_s);
            }
            (Step::PmpAddress | Step::PmpMap(_), Some(Answer::PmpRefused | Answer::PmpOnly)) => {
                self.rest(now, PAUSE_US);
            }
            _ => {}
        }
    }

    /// Writes the message that is due, if one is; its length. It goes to the router's [`PORT`](crate::PORT).
    pub fn poll_transmit(&mut self, now: Instant, out: &mut [u8; MESSAGE_MAX]) -> Option<usize> {
        if self.mapped.is_some_and(|(_, until)| until <= now) {
            self.mapped = None;
        }
        if self.due > now || self.step == Step::Gone {
            return None;
        }
        if self.step == Step::Rest {
            let first = if self.is_pmp { Step::PmpAddress } else { Step::Pcp };
            self.ask(now, first);
        }
        if self.tries == TRIES {
            // Another router may stand there by then, and know more.
            self.is_pmp = false;
            self.rest(now, PAUSE_US);
            return None;
        }
        let lifetime_s = if self.step == Step::Leave { 0 } else { LIFETIME_S };
        let (port, client, nonce) = (self.port, self.client, self.nonce);
        // The port that it was, so that those who know it find it there.
        let wanted = if self.step == Step::Leave { 0 } else { self.mapped.map_or(port, |(at, _)| at.port()) };
        let request = match self.step {
            Step::PmpAddress => Request::PmpAddress,
            Step::PmpMap(_) => Request::PmpMap { port, wanted, lifetime_s },
            Step::Leave if self.is_pmp => Request::PmpMap { port, wanted, lifetime_s },
            Step::Pcp | Step::Leave | Step::Rest | Step::Gone => {
                Request::Pcp { client, nonce, port, wanted, lifetime_s }
            }
        };
        self.due = now.plus_micros(RETRY_US << self.tries);
        self.tries += 1;
        if self.step == Step::Leave {
            self.step = Step::Gone;
        }
        Some(request.emit(out))
    }

    /// When [`Self::poll_transmit`] has something to say or to forget.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        self.mapped.map_or(self.due, |(_, until)| until.min(self.due))
    }

    /// The port is needed no more: the router is told once, if it has opened it.
    pub const fn close(&mut self, now: Instant) {
        self.step = if self.mapped.is_some() { Step::Leave } else { Step::Gone };
        (self.mapped, self.tries, self.due) = (None, 0, now);
    }

    const fn ask(&mut self, now: Instant, step: Step) {
        (self.step, self.tries, self.due) = (step, 0, now);
    }

    fn rest(&mut self, now: Instant, pause_us: u64) {
        (self.step, self.tries, self.due) = (Step::Rest, 0, now.plus_micros(pause_us));
    }

    fn on_mapped(&mut self, now: Instant, address: SocketAddrV4, lifetime_s: u32) {
        let lifetime_us = u64::from(lifetime_s.min(LIFETIME_S)) * 1_000_000;
        self.mapped = Some((address, now.plus_micros(lifetime_us)));
        self.rest(now, (lifetime_us / 2).max(RENEW_US_MIN));
    }
}

/// Whether the whole internet can reach this address: it is none of a private network, of a provider's own or of many.
pub(crate) fn is_public(ip: Ipv4Addr) -> bool {
    let is_within =
        |net: [u8; 4], bits: u32| (ip.to_bits() ^ Ipv4Addr::from(net).to_bits()) >> (32 - bits) == 0;
    let private = [([0, 0, 0, 0], 8), ([10, 0, 0, 0], 8), ([100, 64, 0, 0], 10), ([127, 0, 0, 0], 8)];
    let others = [([169, 254, 0, 0], 16), ([172, 16, 0, 0], 12), ([192, 168, 0, 0], 16), ([224, 0, 0, 0], 3)];
    !private.into_iter().chain(others).any(|(net, bits)| is_within(net, bits))
}
