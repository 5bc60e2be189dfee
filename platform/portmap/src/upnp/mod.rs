//! A port opened by UPnP (UPnP-IGD 1 and 2): see [`Upnp`].
//!
//! It takes a question to everybody on the link, a document that the router shows, and remote calls in XML. Anybody on the link may
//! answer the question and say anything, so all of it is bounded, and only one machine is believed: the router of the default route,
//! if its address is one of a local network. It alone may answer, its description must be at its own address, and so must the services
//! in it. What is believed of it is an address and a port, no more than of a PCP router.

mod http;
mod soap;
mod ssdp;
mod url;

use core::net::{Ipv4Addr, SocketAddrV4};

use rift::Instant;

pub use http::{Call, RESPONSE_MAX, is_whole};
use soap::{Action, Outcome, Service};
pub use ssdp::{FOUND_MAX, SEARCH_ADDRESS};
use url::Url;

use crate::LIFETIME_S;
use crate::mapper::{PAUSE_US, is_public};

/// Questions of one search: each target in turn, three times.
const SEARCHES: u32 = 6;
/// The first answers may take a second; each next round waits twice as long.
const ROUND_US: u64 = 1_500_000;
/// A call of which nothing was heard after this long is none any more.
const CALL_US: u64 = 10_000_000;
/// A router that was there and failed is tried again after this long, then after twice as long each time.
const AGAIN_US: u64 = 30_000_000;
/// Requests for a port in other words (another port, for ever) that one attempt makes at most.
const WORDINGS_MAX: u32 = 6;
/// Where ports are that nobody registered (RFC 6335 §6).
const DYNAMIC_PORT_MIN: u16 = 49_152;

/// Faults of services: WANIPConnection:1 §2.4.16, WANIPConnection:2 §2.5.16, UPnP Device Architecture 1.1 §3.2.2.
mod fault {
    pub(super) const INVALID_ACTION: u16 = 401;
    pub(super) const ACTION_FAILED: u16 = 501;
    pub(super) const NOT_IMPLEMENTED: u16 = 602;
    pub(super) const NOT_AUTHORIZED: u16 = 606;
    pub(super) const CONFLICT: u16 = 718;
    pub(super) const SAME_PORTS_ONLY: u16 = 724;
    pub(super) const PERMANENT_ONLY: u16 = 725;
    pub(super) const CONFLICT_WITH_OTHER: u16 = 729;
}

/// What is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpnpTransmit {
    /// A datagram for [`SEARCH_ADDRESS`], from the address towards the router. Answers come to where it was sent from.
    Search(Vec<u8>),
    /// A request over TCP.
    Call(Call),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Search,
    Describe(Url),
    Address,
    Map(Ipv4Addr),
    /// Nothing is asked before it is due.
    Rest,
    /// The port is given back by one last call.
    Leave(Service, u16),
    Gone,
}

#[derive(Clone, Debug)]
struct Mapped {
    at: SocketAddrV4,
    until: Instant,
    service: Service,
}

/// Keeps a UDP port open at one router. After any call: [`Self::poll_transmit`] until `None`, then wait for
/// [`Self::poll_timeout`], an answer to a search, or the answer to the one call that is under way.
#[derive(Clone, Debug)]
pub struct Upnp {
    router: Ipv4Addr,
    client: Ipv4Addr,
    port: u16,
    /// Other ports, where this one is taken, are drawn from it.
    seed: u16,
    step: Step,
    /// Searches that left, of this round.
    tries: u32,
    /// Whether a call is under way.
    is_calling: bool,
    services: Vec<Service>,
    which: usize,
    /// How a port is asked for: which one, whether any other will do, for how long, and how often this was changed.
    outside: u16,
    any: bool,
    lifetime_s: u32,
    wordings: u32,
    failures: u32,
    mapped: Option<Mapped>,
    due: Instant,
}

impl Upnp {
    /// Opens `port` of this machine, whose address towards `router` is `client`, from `now` on. A router whose address is none of a
    /// local network is not asked: what it does is no address translation. `seed` chooses other ports where this one is taken.
    #[must_use]
    pub fn new(router: Ipv4Addr, client: Ipv4Addr, port: u16, seed: u16, now: Instant) -> Self {
        let is_local = router.is_private() || router.is_link_local();
        Self {
            router,
            client,
            port,
            seed,
            step: if is_local && port != 0 { Step::Search } else { Step::Gone },
            tries: 0,
            is_calling: false,
            services: Vec::new(),
            which: 0,
            outside: port,
            any: true,
            lifetime_s: LIFETIME_S,
            wordings: 0,
            failures: 0,
            mapped: None,
            due: now,
        }
    }

    /// Where the port is open, as the router says; `None` where that is no address of the internet's, because another router stands
    /// behind this one.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddrV4> {
        self.mapped.as_ref().map(|mapped| mapped.at).filter(|at| is_public(*at.ip()))
    }

    /// Whether the router has opened the port, wherever.
    #[must_use]
    pub const fn is_mapped(&self) -> bool {
        self.mapped.is_some()
    }

    /// Whether the answer to a call is awaited.
    #[must_use]
    pub const fn is_calling(&self) -> bool {
        self.is_calling
    }

    /// Whether answers to a search are awaited.
    #[must_use]
    pub fn is_searching(&self) -> bool {
        self.step == Step::Search && self.tries > 0
    }

    /// Takes a datagram that came from `from` to where a search was sent from.
    pub fn handle_found(&mut self, now: Instant, from: SocketAddrV4, datagram: &[u8]) {
        if !self.is_searching() || *from.ip() != self.router {
            return;
        }
        if let Some(location) =
            ssdp::location(datagram).filter(|location| *location.address.ip() == self.router)
        {
            self.go(now, Step::Describe(location));
        }
    }

    /// Takes what came back for the last call: all of it, up to where [`is_whole`] says so or the connection ended.
    pub fn handle_response(&mut self, now: Instant, bytes: &[u8]) {
        if !core::mem::take(&mut self.is_calling) {
            return;
        }
        let Some(response) = http::response(bytes) else { return self.fail(now) };
        match self.step.clone() {
            Step::Describe(location) => {
                let document = if response.status == 200 { response.body.as_slice() } else { &[] };
                (self.services, self.which) = (soap::services(&location, document), 0);
                if self.services.is_empty() { self.fail(now) } else { self.ask(now) }
            }
            Step::Address => {
                let answer = soap::outcome(Action::ExternalAddress.name(), &response.body);
                match (response.status, answer) {
                    (200, Some(Outcome::Done { address: Some(ip), .. })) if !ip.is_unspecified() => {
                        self.go(now, Step::Map(ip));
                    }
                    _ => self.fail(now),
                }
            }
            Step::Map(ip) => {
                let answer = soap::outcome(self.map_action().name(), &response.body);
                match (response.status, answer) {
                    (200, Some(Outcome::Done { port, .. })) => self.on_mapped(now, ip, port),
                    (_, Some(Outcome::Fault(code))) => self.on_refused(now, ip, code),
                    _ => self.fail(now),
                }
            }
            Step::Search | Step::Rest | Step::Leave(..) | Step::Gone => {}
        }
    }

    /// The last call brought nothing: nobody was there, or it took too long.
    pub fn handle_failure(&mut self, now: Instant) {
        if core::mem::take(&mut self.is_calling) {
            self.fail(now);
        }
    }

    /// What is to be sent now, if anything is.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<UpnpTransmit> {
        if self.mapped.as_ref().is_some_and(|mapped| mapped.until <= now) {
            self.mapped = None;
        }
        if self.due > now {
            return None;
        }
        if self.is_calling {
            self.handle_failure(now);
            return None;
        }
        if self.step == Step::Rest {
            if self.services.is_empty() { self.go(now, Step::Search) } else { self.ask(now) }
        }
        let call = match &self.step {
            Step::Search => return self.search(now).map(UpnpTransmit::Search),
            Step::Describe(location) => Call::document(location),
            Step::Address => self.call(self.services.get(self.which)?, Action::ExternalAddress),
            Step::Map(_) => self.call(self.services.get(self.which)?, self.map_action()),
            Step::Leave(service, outside) => self.call(service, Action::Unmap { outside: *outside }),
            Step::Rest | Step::Gone => return None,
        };
        if matches!(self.step, Step::Leave(..)) {
            self.step = Step::Gone;
        } else {
            (self.is_calling, self.due) = (true, now.plus_micros(CALL_US));
        }
        Some(UpnpTransmit::Call(call))
    }

    /// When [`Self::poll_transmit`] has something to say or to forget.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        if self.step == Step::Gone {
            return Instant::FAR_FUTURE;
        }
        self.mapped.as_ref().map_or(self.due, |mapped| mapped.until.min(self.due))
    }

    /// The port is needed no more: the router is told once, if it has opened it. What is still under way means nothing.
    pub fn close(&mut self, now: Instant) {
        let leave = self.mapped.take().map(|mapped| Step::Leave(mapped.service, mapped.at.port()));
        self.is_calling = false;
        self.go(now, leave.unwrap_or(Step::Gone));
    }

    fn search(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.tries == SEARCHES {
            self.rest(now, PAUSE_US);
            return None;
        }
        let (round, at) = (self.tries / 2, self.tries % 2);
        self.tries += 1;
        if at == 1 {
            self.due = now.plus_micros(ROUND_US << round);
        }
        Some(ssdp::search(ssdp::TARGETS[at as usize]))
    }

    fn call(&self, service: &Service, action: Action) -> Call {
        Call::action(&service.url, service.kind, action.name(), &action.body(service.kind))
    }

    fn map_action(&self) -> Action {
        let gives_any = self.services.get(self.which).is_some_and(Service::gives_any_port);
        let (outside, client, port, lifetime_s) = (self.outside, self.client, self.port, self.lifetime_s);
        Action::Map { any: self.any && gives_any, outside, client, port, lifetime_s }
    }

    /// Begins with the service whose turn it is; the port that it was is wanted again, so that those who know it find it there.
    fn ask(&mut self, now: Instant) {
        self.outside = self.mapped.as_ref().map_or(self.port, |mapped| mapped.at.port());
        (self.any, self.lifetime_s, self.wordings) = (true, LIFETIME_S, 0);
        self.go(now, Step::Address);
    }

    fn on_mapped(&mut self, now: Instant, ip: Ipv4Addr, port: Option<u16>) {
        let Some(service) = self.services.get(self.which).cloned() else { return self.fail(now) };
        let outside = port.filter(|&port| port != 0).unwrap_or(self.outside);
        let lifetime_us = u64::from(LIFETIME_S) * 1_000_000;
        let until = now.plus_micros(lifetime_us);
        self.mapped = Some(Mapped { at: SocketAddrV4::new(ip, outside), until, service });
        self.failures = 0;
        self.rest(now, lifetime_us / 2);
    }

    /// It is asked in other words, as often as that may help.
    fn on_refused(&mut self, now: Instant, ip: Ipv4Addr, code: u16) {
        self.wordings += 1;
        if self.wordings > WORDINGS_MAX {
            return self.fail(now);
        }
        match code {
            fault::INVALID_ACTION | fault::ACTION_FAILED | fault::NOT_IMPLEMENTED if self.any => {
                self.any = false
            }
            // It is open until it is closed then, or until this host opens it again.
            fault::PERMANENT_ONLY if self.lifetime_s != 0 => self.lifetime_s = 0,
            fault::SAME_PORTS_ONLY if self.outside != self.port => self.outside = self.port,
            fault::CONFLICT | fault::CONFLICT_WITH_OTHER | fault::NOT_AUTHORIZED => {
                let draw =
                    self.seed.wrapping_add(u16::try_from(self.wordings).unwrap_or(0).wrapping_mul(7_919));
                self.outside = DYNAMIC_PORT_MIN | draw;
            }
            _ => return self.fail(now),
        }
        self.go(now, Step::Map(ip));
    }

    /// Another service may do what this one did not; else it is searched anew after a while.
    fn fail(&mut self, now: Instant) {
        if self.which + 1 < self.services.len() {
            self.which += 1;
            return self.ask(now);
        }
        self.services.clear();
        let pause_us = (AGAIN_US << self.failures.min(8)).min(PAUSE_US);
        self.failures += 1;
        self.rest(now, pause_us);
    }

    fn go(&mut self, now: Instant, step: Step) {
        (self.step, self.tries, self.due) = (step, 0, now);
    }

    fn rest(&mut self, now: Instant, pause_us: u64) {
        self.go(now.plus_micros(pause_us), Step::Rest);
    }
}
