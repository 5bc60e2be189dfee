//! Reaching a host by a gateway: the gateway introduces the two, a direct path is looked for first, and a relay carries the
//! session while there is none.
//!
//! What is found and when is `rift-mio`'s; here it is said to a person what stands in the way.

use core::net::SocketAddr;
use core::time::Duration;
use std::net::ToSocketAddrs;
use std::path::Path;
use std::sync::mpsc::TryRecvError;

use rift::paths::Via;
use rift::wire::signal::{EnrolmentToken, SignalReason};
use rift::{CloseReason, Identity, Instant, Opening, PublicKey};
use rift_keystore::link::GatewayName;
use rift_mio::{
    ClientDriver, Enrolment, Finder, GatewayPlace, GatewayState, SharedClient, SocketConfig, Trouble, UsedWay,
};
use tracing::{debug, info};

use crate::error::ClientError;
use crate::link::{Order, Way};
use crate::net::{Driver, Ended, Network, SessionError};
use crate::pins;

/// How often it is looked whether somebody wants to quit before there is a session.
const LOOK: Duration = Duration::from_millis(50);
/// A way that is gone for so long is the session's way.
const STEADY_US: u64 = 150_000;
/// A host that is not there is waited for so long: it may be about to say that it lets this client in.
const PATIENCE_US: u64 = 6_000_000;

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
        let lost = Ended { reason: CloseReason::Unanswered, admitted_for: None, refused: false };
        let address = match resolve(&meeting.gateway.address) {
            Ok(address) => address,
            Err(_) if had_session => return Ok(lost),
            Err(source) => {
                return Err(ClientError::Resolve { host: meeting.gateway.address.clone(), source });
            }
        };
        let place = GatewayPlace { key: meeting.gateway.key, address };
        let mut finder = meeting.finder(place, self.target.key, &self.target.identity)?;
        info!(gateway = %meeting.gateway.address, "looking for a way to the host");
        match self.find(meeting, had_session, &mut finder)? {
            Found::Way => {}
            Found::Quit => return Ok(Ended { reason: CloseReason::Local, ..lost }),
            Found::Nothing => return Ok(lost),
        }
        let system = |error| match error {
            SessionError::Entropy(error) => ClientError::Entropy(error),
            SessionError::System(source) => {
                ClientError::Network { host: meeting.gateway.address.clone(), source }
            }
        };
        let session = self.begin(opening).map_err(system)?;
        let driver = SharedClient::new(ClientDriver::introduced(finder, session));
        self.drive(driver, opening).map_err(system)
    }

    /// Until there is a way, or no use in waiting.
    fn find(
        &mut self,
        meeting: &Meeting,
        had_session: bool,
        finder: &mut Finder,
    ) -> Result<Found, ClientError> {
        let mut refused_since: Option<Instant> = None;
        let mut is_known = false;
        loop {
            let is_found = finder.turn(LOOK).map_err(|error| ClientError::System("wait", error))?;
            if is_found {
                return Ok(Found::Way);
            }
            if self.is_to_quit() {
                return Ok(Found::Quit);
            }
            match finder.state() {
                GatewayState::Calling => {}
                GatewayState::Here(seen) => {
                    if !core::mem::replace(&mut is_known, true) {
                        debug!(%seen, "the gateway knows this client");
                        meeting.keep_gateway(&self.target.state);
                    }
                }
                // What a person has to mend is told at once; a network may come back.
                GatewayState::Trouble(Trouble::Silent | Trouble::Closed(_)) if had_session => {
                    return Ok(Found::Nothing);
                }
                GatewayState::Trouble(trouble) => {
                    let (address, id) = (meeting.gateway.address.clone(), self.target.identity.public());
                    return Err(ClientError::Gateway { address, what: describe(trouble), id });
                }
            }
            let now = self.clock.now();
            let Some(reason) = finder.refused() else {
                refused_since = None;
                continue;
            };
            let since = *refused_since.get_or_insert(now);
            if now.micros_since(since) >= PATIENCE_US {
                if had_session {
                    return Ok(Found::Nothing);
                }
                return Err(self.not_introduced(meeting, reason));
            }
        }
    }

    fn not_introduced(&self, meeting: &Meeting, reason: SignalReason) -> ClientError {
        let address = meeting.gateway.address.clone();
        let (host, id) = (self.target.key, self.target.identity.public());
        if reason == SignalReason::NotFound {
            return ClientError::NotIntroduced { address, host, id };
        }
        let what = format!("does not introduce this client ({reason:?}); try again later");
        ClientError::Gateway { address, what, id }
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

enum Found {
    Way,
    Quit,
    Nothing,
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
