//! The host's membership of a gateway: so that clients find it who know no way to it.
//!
//! It names the gateway, tells it who may be introduced, and says how things are. What is said on the wire is
//! `rift-mio`'s; who gets in is the list's, whoever was introduced.

use core::net::{SocketAddr, SocketAddrV4};
use core::time::Duration;
use std::io::{self, Write};
use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;

use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use rift::wire::signal::EnrolmentToken;
use rift::{CloseReason, Identity, Instant, PublicKey};
use rift_keystore::link::{GatewayName, HostLink, gateway_address};
use rift_mio::{Enrolment, GatewayPlace, GatewayState, Trouble, Waker};
use rift_portmap::{PortMapping, Way};
use tracing::{info, warn};

use crate::ServerError;
use crate::args::RunArgs;
use crate::status::Board;
use crate::viewers::Driver;

/// How often it is looked how things are, in microseconds.
const LOOK_US: u64 = 250_000;
/// A name that has no address yet is asked for again after this long: the network may come later than the host.
const RESOLVE_AGAIN: Duration = Duration::from_secs(5);

/// The gateway that was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Its name, port and key.
    pub name: GatewayName,
    /// With what to enrol.
    pub token: Option<EnrolmentToken>,
    /// Whether this machine's router is to open the port.
    pub maps_port: bool,
}

impl Choice {
    /// What the settings say; `None` when they name no gateway.
    ///
    /// # Errors
    /// [`ServerError::Gateway`] when they say half of it.
    pub fn of(settings: &RunArgs) -> Result<Option<Self>, ServerError> {
        match (&settings.gateway, settings.gateway_id) {
            (Some(address), Some(key)) => {
                let name = GatewayName { address: address.clone(), key };
                let maps_port = settings.map_port.unwrap_or(true);
                Ok(Some(Self { name, token: settings.enrol, maps_port }))
            }
            (None, None) => Ok(None),
            (Some(_), None) => {
                Err(ServerError::Gateway("--gateway-id is missing: `wavry-gateway id` prints it there"))
            }
            (None, Some(_)) => Err(ServerError::Gateway("--gateway is missing: its address")),
        }
    }
}

/// Reads a gateway's address.
pub(crate) fn address(text: &str) -> Result<String, String> {
    gateway_address(text).map_err(|error| error.to_string())
}

/// Reads an enrolment token.
pub(crate) fn token(text: &str) -> Result<EnrolmentToken, String> {
    EnrolmentToken::parse(text)
        .ok_or_else(|| "a token has 32 hexadecimal digits, as `wavry-gateway token` prints them".to_owned())
}

/// The link by which clients find the host, as text and as a code for cameras.
///
/// # Errors
/// The output's.
pub fn write_link(link: &HostLink, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{link}")?;
    let text = link.to_string();
    // A link that is too long for a code is still one to be copied.
    let Ok(code) = QrCode::new(text.as_bytes()) else { return Ok(()) };
    let code = code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
    writeln!(out, "\n{code}")
}

/// See the module.
#[derive(Debug)]
pub struct Membership {
    choice: Choice,
    identity: Identity,
    resolver: Option<Resolver>,
    /// The port at this machine's router.
    mapping: Option<PortMapping>,
    /// Where that was open when it was last looked, and how.
    opened: Option<(SocketAddrV4, Way)>,
    looked_at: Option<Instant>,
    /// How the gateway is, and whether it is reached by a stream.
    state: Option<(GatewayState, bool)>,
    board: Arc<Board>,
}

impl Membership {
    /// Begins to find the gateway.
    ///
    /// # Errors
    /// The system gave no thread.
    pub fn start(
        choice: Choice,
        identity: &Identity,
        board: Arc<Board>,
        driver: &Driver,
    ) -> io::Result<Self> {
        let is_v4 = driver.local_addr().is_ipv4();
        let resolver = Resolver::start(choice.name.address.clone(), is_v4, driver.waker())?;
        let local = driver.local_addr();
        // Who listens for this machine alone wants nothing of a router.
        let mapping = (choice.maps_port && !local.ip().is_loopback()).then(|| map(local.port()));
        let mapping = mapping.transpose()?;
        board.set_gateway(Some("calling".to_owned()));
        let (looked_at, state) = (None, None);
        Ok(Self {
            choice,
            identity: identity.clone(),
            resolver: Some(resolver),
            mapping,
            opened: None,
            looked_at,
            state,
            board,
        })
    }

    /// Between two turns of the driver: `peers` may be introduced.
    pub fn work(&mut self, now: Instant, driver: &mut Driver, peers: impl Iterator<Item = PublicKey>) {
        if let Some(address) = self.resolver.as_ref().and_then(|resolver| resolver.found.try_recv().ok()) {
            self.resolver = None;
            let place = GatewayPlace { key: self.choice.name.key, address };
            let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
            let enrolment = self.choice.token.map(|token| Enrolment::new(token, &name));
            driver.meet(place, &self.identity, enrolment);
            if let Some(callee) = driver.callee() {
                callee.set_streams(Box::new(rift_tcp::lender()));
            }
            self.looked_at = None;
        }
        if self.looked_at.is_some_and(|at| now.micros_since(at) < LOOK_US) {
            return;
        }
        self.looked_at = Some(now);
        let Some(callee) = driver.callee() else { return };
        callee.grant(now, peers);
        let opened = self.mapping.as_ref().and_then(PortMapping::opened);
        callee.set_mapped(opened.map(|(address, _)| SocketAddr::V4(address)));
        let state = (callee.state(), callee.is_streamed());
        if self.state.replace(state) != Some(state) {
            self.tell(state);
        }
        if self.opened != opened {
            self.opened = opened;
            match opened {
                Some((address, way)) => info!(%address, ?way, "this machine's router opened the port"),
                None => info!("this machine's router does not keep the port open any more"),
            }
        }
    }

    fn tell(&self, (state, is_streamed): (GatewayState, bool)) {
        let address = &self.choice.name.address;
        let said = match state {
            GatewayState::Calling => "calling".to_owned(),
            GatewayState::Here(_) if is_streamed => {
                info!(%address, "clients find this host through the gateway; no UDP passes here, so everything goes over TCP");
                "there, over TCP".to_owned()
            }
            GatewayState::Here(seen) => {
                info!(%address, %seen, "clients find this host through the gateway");
                format!("there, as {seen}")
            }
            GatewayState::Trouble(trouble) => {
                let what = describe(trouble);
                warn!(%address, "the gateway {what}; it is called again");
                what
            }
        };
        self.board.set_gateway(Some(said));
    }
}

/// Has this port opened by the router.
fn map(port: u16) -> io::Result<PortMapping> {
    let mut nonce = [0; 12];
    getrandom::fill(&mut nonce).map_err(io::Error::other)?;
    PortMapping::start(port, nonce)
}

/// What is wrong with a gateway, as words that follow its name.
#[must_use]
pub fn describe(trouble: Trouble) -> String {
    match trouble {
        Trouble::Silent => "does not answer".to_owned(),
        Trouble::OtherKey => {
            "answers, but has not the key that --gateway-id says: it is another one, or its key was changed; if on \
             purpose, give its new ID, which `wavry-gateway id` prints there"
                .to_owned()
        }
        Trouble::NotEnrolled => {
            "does not know this host: make a token by `wavry-gateway token` there, and give it once with --enrol"
                .to_owned()
        }
        Trouble::Token => {
            "does not take the token of --enrol: each is good once and for a day; `wavry-gateway token` makes another"
                .to_owned()
        }
        Trouble::Closed(CloseReason::Busy) => "has no room".to_owned(),
        Trouble::Closed(CloseReason::SourceGone) => "is being stopped".to_owned(),
        Trouble::Closed(reason) => format!("was lost ({reason:?})"),
    }
}

/// Looks a name up on a thread of its own, until it has an address.
#[derive(Debug)]
struct Resolver {
    found: Receiver<SocketAddr>,
    /// Gone with this, which ends the thread.
    _stop: Sender<()>,
    _thread: JoinHandle<()>,
}

impl Resolver {
    fn start(name: String, is_v4: bool, waker: Waker) -> io::Result<Self> {
        let (tell, found) = channel();
        let (stop, stopped) = channel::<()>();
        let thread = std::thread::Builder::new().name("gateway".into()).spawn(move || {
            let mut is_told = false;
            loop {
                match name.to_socket_addrs() {
                    Ok(addresses) => {
                        let mut usable: Vec<_> =
                            addresses.filter(|address| !is_v4 || address.is_ipv4()).collect();
                        // What a NAT does matters for IPv4; addresses of IPv6 are told anyway.
                        usable.sort_by_key(SocketAddr::is_ipv6);
                        if let Some(&address) = usable.first() {
                            // Who asked may be gone.
                            let _ = tell.send(address);
                            return waker.wake();
                        }
                    }
                    Err(error) if !is_told => {
                        warn!(gateway = %name, %error, "the gateway's name has no address yet; asking again");
                        is_told = true;
                    }
                    Err(_) => {}
                }
                if stopped.recv_timeout(RESOLVE_AGAIN) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        })?;
        Ok(Self { found, _stop: stop, _thread: thread })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> PublicKey {
        Identity::from_secret([seed; 32]).public()
    }

    #[test]
    fn gateway_is_named_whole_or_not_at_all() {
        assert_eq!(Choice::of(&RunArgs::default()).expect("nothing is said"), None);
        let half = RunArgs { gateway: Some("gw:4748".to_owned()), ..RunArgs::default() };
        assert!(Choice::of(&half).expect_err("no key").to_string().contains("wavry-gateway id"));
        let whole = RunArgs { gateway_id: Some(key(1)), ..half };
        assert_eq!(Choice::of(&whole).expect("all is said").expect("a gateway").name.key, key(1));
        assert_eq!(address("gw.example").as_deref(), Ok("gw.example:4748"));
        assert!(token("abc").is_err() && token(&"0a".repeat(16)).is_ok());
    }

    #[test]
    fn link_is_printed_as_text_and_as_a_code() {
        let name = GatewayName { address: "gw.example:4748".to_owned(), key: key(1) };
        let link = HostLink { host: key(2), gateway: Some(name), direct: Vec::new() };
        let mut out = Vec::new();
        write_link(&link, &mut out).expect("there is room");
        let out = String::from_utf8(out).expect("text");
        assert_eq!(out.lines().next().map(str::parse), Some(Ok(link)));
        assert!(out.lines().count() > 20 && out.contains('█'), "{out}");
    }

    #[test]
    fn every_trouble_says_what_to_do() {
        assert!(describe(Trouble::OtherKey).contains("--gateway-id"));
        assert!(describe(Trouble::NotEnrolled).contains("--enrol"));
        assert!(describe(Trouble::Token).contains("wavry-gateway token"));
    }
}
