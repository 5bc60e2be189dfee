//! Reaching a host by a gateway: the gateway introduces the two, a direct path is looked for first, and a relay carries the
//! session while there is none. Where a link says where the host may be, it is called there at once, beside all that; only when
//! neither brings anything is it said what is wrong with the gateway.
//!
//! What is found and when is `rift-mio`'s; here it is said to a person what stands in the way.

use core::net::SocketAddr;
use core::time::Duration;
use std::net::ToSocketAddrs;
use std::path::Path;
use std::sync::mpsc::{TryRecvError, channel};

use rift::paths::Via;
use rift::wire::signal::{EnrolmentToken, SignalReason};
use rift::{CloseReason, Identity, Instant, Opening, Pattern, PublicKey};
use rift_keystore::link::GatewayName;
use rift_mio::{
    Asked, ClientDriver, Clock, Enrolment, Finder, GatewayPlace, GatewayState, SharedClient, SocketConfig,
    Trouble, UsedWay,
};
use tracing::{debug, info};

use crate::error::ClientError;
use crate::link::{Order, Way};
use crate::net::{Driver, Ended, HANDSHAKE_US, Network, SessionError, Target};
use crate::pins;

/// How often it is looked whether somebody wants to quit before there is a session.
const LOOK: Duration = Duration::from_millis(50);
/// A way that is gone for so long is the session's way.
const STEADY_US: u64 = 150_000;
/// A gateway that knows this client has so long to lead it to the host: the checks of two introductions and a relay take less.
pub(crate) const WAY_US: u64 = 15_000_000;
/// A host that is not there is waited for so long: it may be about to say that it lets this client in.
const PATIENCE_US: u64 = 6_000_000;
/// A host that was called where it may be is called for so long, unless it is said before that there is no hope.
const CALL_US: u32 = 60_000_000;
/// Names of places are resolved beside the gateway's, and awaited so much longer.
const RESOLVE: Duration = Duration::from_millis(250);

/// By whom a client is introduced.
#[derive(Clone, Debug)]
pub struct Meeting {
    /// The gateway.
    pub gateway: GatewayName,
    /// With what to enrol there.
    pub token: Option<EnrolmentToken>,
}

impl Meeting {
    /// Begins to look for this host.
    pub(crate) fn finder(
        &self,
        place: GatewayPlace,
        host: PublicKey,
        identity: &Identity,
    ) -> Result<Finder, ClientError> {
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let enrolment = self.token.map(|token| Enrolment::new(token, &name));
        let finder = Finder::new(&SocketConfig::default(), place, host, identity, enrolment);
        let finder =
            finder.map_err(|source| ClientError::Network { host: self.gateway.address.clone(), source })?;
        Ok(finder.with_streams(Box::new(rift_tcp::lender())))
    }

    /// The gateway has proven its key: it is expected at that address from now on.
    pub(crate) fn keep_gateway(&self, state: &Path) {
        let GatewayName { address, key } = &self.gateway;
        let kept = pins::change(state, |pins| pins.keep_gateway(address, *key));
        if let Err(error) = kept {
            tracing::warn!(%error, "the gateway's key was not kept");
        }
    }
}

impl Network {
    /// One session with a host that the gateway introduces. As with an address, a host that answers no call is asked in
    /// the other way.
    pub(crate) fn meet(&mut self, meeting: &Meeting, had_session: bool) -> Result<Ended, ClientError> {
        let called = self.meet_by(meeting, had_session, Opening::IK)?;
        if called.reason != CloseReason::Unanswered || self.service.quits {
            return Ok(called);
        }
        self.meet_by(meeting, had_session, Opening::XX)
    }

    fn meet_by(
        &mut self,
        meeting: &Meeting,
        had_session: bool,
        opening: Opening,
    ) -> Result<Ended, ClientError> {
        let lost = Ended::unanswered();
        let (gateway, places) = resolve_all(self.clock, &meeting.gateway.address, &self.target.direct);
        let address = match gateway {
            Ok(address) => address,
            Err(_) if !places.is_empty() => return self.try_each(&places, had_session),
            Err(_) if had_session => return Ok(lost),
            Err(source) => {
                return Err(ClientError::Resolve { host: meeting.gateway.address.clone(), source });
            }
        };
        let place = GatewayPlace { key: meeting.gateway.key, address };
        let finder = meeting.finder(place, self.target.key, &self.target.identity)?;
        let mut finder = finder.with_places(&places);
        info!(gateway = %meeting.gateway.address, "looking for a way to the host");
        let mut watch = Watch::new(meeting, had_session);
        match self.find(&mut watch, &mut finder)? {
            Found::Way => self.is_led = finder.is_direct(),
            Found::Quit => return Ok(Ended { reason: CloseReason::Local, ..lost }),
            Found::Nothing => return Ok(lost),
        }
        let system = |error| match error {
            SessionError::Entropy(error) => ClientError::Entropy(error),
            SessionError::System(source) => {
                ClientError::Network { host: meeting.gateway.address.clone(), source }
            }
        };
        let patience_us = if places.is_empty() { HANDSHAKE_US } else { CALL_US };
        let session = self.begin_for(opening, patience_us).map_err(system)?;
        let driver = SharedClient::new(ClientDriver::introduced(finder, session));
        let again_at = (opening.pattern == Pattern::Ik).then(|| self.call_until());
        self.beside = (!places.is_empty()).then(|| Beside { watch, again_at, until: self.call_until() });
        let ended = self.drive(driver, opening).map_err(system)?;
        let Some(Beside { watch, .. }) = self.beside.take() else { return Ok(ended) };
        match watch.hope {
            Hope::Some => Ok(ended),
            Hope::Gone => Ok(lost),
            Hope::Lost(error) => Err(*error),
        }
    }

    /// Until when a host is called in one way.
    fn call_until(&self) -> Instant {
        self.clock.now().plus_micros(HANDSHAKE_US.into())
    }

    /// While a host is called where it may be: hears how the gateway is. Whether it is all in vain.
    pub(crate) fn watch_gateway(&mut self, driver: &mut Driver) -> Result<bool, SessionError> {
        let Some(Beside { watch, again_at, until }) = &mut self.beside else { return Ok(false) };
        let Some(asked) = driver.asked() else { return Ok(false) };
        let now = self.clock.now();
        watch.look(&self.target, now, asked);
        if !asked.is_open {
            if watch.known_at.is_some() {
                self.beside = None;
            } else {
                // What is wrong with the gateway is nothing to end a session for.
                watch.hope = Hope::Some;
            }
            return Ok(false);
        }
        if again_at.take_if(|at| *at <= now).is_some() {
            *until = now.plus_micros(HANDSHAKE_US.into());
            drop(driver.begin_again(self.begin_for(Opening::XX, CALL_US)?));
            self.service.begin();
            return Ok(false);
        }
        let is_hopeless = !matches!(watch.hope, Hope::Some);
        Ok(is_hopeless && again_at.is_none() && *until <= now)
    }

    /// Until there is a way, or no use in waiting.
    fn find(&mut self, watch: &mut Watch, finder: &mut Finder) -> Result<Found, ClientError> {
        loop {
            let is_found = finder.turn(LOOK).map_err(|error| ClientError::System("wait", error))?;
            if is_found {
                return Ok(Found::Way);
            }
            if self.is_to_quit() {
                return Ok(Found::Quit);
            }
            watch.look(&self.target, self.clock.now(), finder.asked());
            match core::mem::replace(&mut watch.hope, Hope::Some) {
                Hope::Some => {}
                Hope::Gone => return Ok(Found::Nothing),
                Hope::Lost(error) => return Err(*error),
            }
        }
    }

    /// Does what was ordered before there is a session. Whether to quit.
    fn is_to_quit(&mut self) -> bool {
        loop {
            match self.service.orders.try_recv() {
                Err(TryRecvError::Empty) => return false,
                Err(TryRecvError::Disconnected) | Ok(Order::Quit) => {
                    self.service.quits = true;
                    return true;
                }
                // There is nobody to be steered.
                Ok(Order::Input(_) | Order::ReleaseInput | Order::WantRepair | Order::ReportTiles) => {
                    self.service.link.order_done();
                }
            }
        }
    }

    /// Tells which way the session goes, once that is another one. A session whose path falls silent for some
    /// milliseconds goes another way for as long, which is nothing to tell.
    pub(crate) fn watch_way(&mut self, driver: &Driver) {
        let Some(UsedWay { via, address, is_streamed }) = driver.way() else { return };
        let (now, way) = (self.clock.now(), Way { is_relayed: via == Via::Relay, is_streamed, address });
        let (since, seen) = *self.way.get_or_insert((now, way));
        if seen != way {
            self.way = Some((now, way));
        }
        let known = self.service.link.latest().way;
        let is_steady = known.is_none() || now.micros_since(since) >= STEADY_US;
        if seen == way && is_steady && self.service.link.enter_way(since, way) {
            info!(kind = way.kind(), %address, "path: {} {address}", way.kind());
            self.service.link.wake_view();
        }
    }
}

/// What is to be hoped for of a gateway.
#[derive(Debug)]
enum Hope {
    Some,
    /// A network may come back.
    Gone,
    /// This is what a person has to mend.
    Lost(Box<ClientError>),
}

/// Hears how a gateway is.
#[derive(Debug)]
struct Watch {
    meeting: Meeting,
    had_session: bool,
    refused_since: Option<Instant>,
    /// It has proven its key, then.
    known_at: Option<Instant>,
    hope: Hope,
}

impl Watch {
    fn new(meeting: &Meeting, had_session: bool) -> Self {
        let meeting = meeting.clone();
        Self { meeting, had_session, refused_since: None, known_at: None, hope: Hope::Some }
    }

    fn look(&mut self, target: &Target, now: Instant, asked: Asked) {
        self.hope = Hope::Some;
        let address = || self.meeting.gateway.address.clone();
        let id = target.identity.public();
        match asked.state {
            GatewayState::Calling => {}
            GatewayState::Here(seen) => {
                if self.known_at.replace(self.known_at.unwrap_or(now)).is_none() {
                    debug!(%seen, "the gateway knows this client");
                    self.meeting.keep_gateway(&target.state);
                }
            }
            // What a person has to mend is told at once; a network may come back.
            GatewayState::Trouble(Trouble::Silent | Trouble::Closed(_)) if self.had_session => {
                self.hope = Hope::Gone;
                return;
            }
            GatewayState::Trouble(trouble) => {
                let error = ClientError::Gateway { address: address(), what: describe(trouble), id };
                self.hope = Hope::Lost(Box::new(error));
                return;
            }
        }
        let Some(reason) = asked.refused else {
            self.refused_since = None;
            if asked.is_open && self.known_at.is_some_and(|at| now.micros_since(at) >= WAY_US) {
                self.hope = if self.had_session { Hope::Gone } else { self.no_way(target, asked) };
            }
            return;
        };
        let since = *self.refused_since.get_or_insert(now);
        if now.micros_since(since) < PATIENCE_US {
            return;
        }
        self.hope = if self.had_session {
            Hope::Gone
        } else if reason == SignalReason::NotFound {
            let error = ClientError::NotIntroduced { address: address(), host: target.key, id };
            Hope::Lost(Box::new(error))
        } else {
            let what = format!("does not introduce this client ({reason:?}); try again later");
            Hope::Lost(Box::new(ClientError::Gateway { address: address(), what, id }))
        };
    }

    /// The gateway knows this client, and no way to the host came of it.
    fn no_way(&self, target: &Target, asked: Asked) -> Hope {
        let (address, host) = (self.meeting.gateway.address.clone(), target.key);
        if asked.introductions > 0 {
            return Hope::Lost(Box::new(ClientError::NoPath { address, host }));
        }
        let what = format!(
            "knows this client, and does not answer when it is asked for the host {host}: it may be of another version, or \
             not what it should be"
        );
        Hope::Lost(Box::new(ClientError::Gateway { address, what, id: target.identity.public() }))
    }
}

/// A host is called where it may be, while a gateway is asked.
#[derive(Debug)]
pub(crate) struct Beside {
    watch: Watch,
    /// It is called in the other way then.
    again_at: Option<Instant>,
    /// It may answer until then.
    until: Instant,
}

enum Found {
    Way,
    Quit,
    Nothing,
}

/// Where the gateway is, and where the host may be. A name that nobody knows holds nobody up.
pub(crate) fn resolve_all(
    clock: Clock,
    gateway: &str,
    direct: &[String],
) -> (std::io::Result<SocketAddr>, Vec<SocketAddr>) {
    let (names, mut places): (Vec<String>, Vec<SocketAddr>) = (Vec::new(), Vec::new());
    let names = direct.iter().fold(names, |mut names, place| {
        match place.parse() {
            Ok(address) => places.push(address),
            Err(_) => names.push(place.clone()),
        }
        names
    });
    let (sender, found) = channel();
    let count = names.len();
    for name in names {
        let sender = sender.clone();
        // Who does not wait any more hears nothing.
        std::thread::spawn(move || drop(sender.send(name.to_socket_addrs().map(Vec::from_iter))));
    }
    let gateway = resolve(gateway);
    let until = clock.now() + RESOLVE;
    for _ in 0..count {
        let Ok(resolved) = found.recv_timeout(until.until(clock.now())) else { break };
        places.extend(resolved.unwrap_or_default());
    }
    (gateway, places)
}

/// Of several addresses one of IPv4: what a NAT does matters there, and addresses of IPv6 are told anyway.
pub(crate) fn resolve(name: &str) -> std::io::Result<SocketAddr> {
    let mut addresses: Vec<_> = name.to_socket_addrs()?.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    addresses.first().copied().ok_or_else(|| std::io::ErrorKind::NotFound.into())
}

/// What is wrong with a gateway, as words that follow its name.
pub(crate) fn describe(trouble: Trouble) -> String {
    match trouble {
        Trouble::Silent => "does not answer, neither by UDP nor over TLS on TCP: is it running, and does every firewall on \
                            the way let its UDP port pass, or TCP port 443?"
            .to_owned(),
        Trouble::OtherKey => {
            "answers, but has not the key that the link says: it is another one, or its key was changed; if on purpose, \
             get a new link from the host (`wavry-server link`)"
                .to_owned()
        }
        Trouble::NotEnrolled => {
            "does not know this client: have a token made by `wavry-gateway token` there, and give it once with --enrol"
                .to_owned()
        }
        Trouble::Token => {
            "does not take the token of --enrol: each is good once and for a day; `wavry-gateway token` makes another"
                .to_owned()
        }
        Trouble::Closed(CloseReason::Busy) => "has no room".to_owned(),
        Trouble::Closed(reason) => format!("ended the conversation ({reason:?}); try again later"),
    }
}
