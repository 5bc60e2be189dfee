//! First contact: a PIN is typed here and shown at the host, or the other way round.
//!
//! The PIN is asked for at the terminal and shown there, never in a window. Each try is a session of its own; a PIN that
//! was typed is tried once, a PIN shown here as often as its window allows.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{BufRead, Write};
use std::net::ToSocketAddrs;
use std::path::PathBuf;

use rift::{
    CloseReason, Config, Event, Identity, Instant, Opening, PairingWindow, PathId, PublicKey, SendError,
    Session,
};
use rift_keystore::link::{HostLink, SCHEME};
use rift_mio::{
    Asked, ClientDriver, Clock, Finder, GatewayPlace, GatewayState, SharedClient, SocketConfig, Trouble,
    desktop_memory,
};
use tracing::debug;

use crate::args::{self, HandshakeKind, Pair};
use crate::error::{ClientError, describe};
use crate::handshake::ChosenHandshake;
use crate::meeting::{Meeting, WAY_US, describe as describe_trouble, resolve_all};
use crate::net::addresses_of;
use crate::pins::{self, Pin};
use crate::session::ClientMemory;

/// How long one address has to answer, in microseconds. A host that does not pair is silent.
const HANDSHAKE_US: u32 = 3_000_000;
/// How often it is looked how things are at the gateway.
const LOOK: Duration = Duration::from_millis(50);
/// How long a host has to answer that is called at places beside a gateway, which introduces meanwhile.
const CALL_US: u32 = 6_000_000;
/// A host that the gateway does not introduce is waited for so long, in microseconds: it may have opened its window a moment ago.
const PATIENCE_US: u64 = 6_000_000;
/// And so long while it may open it at any time.
const PIN_US: u64 = 120_000_000;
/// PINs that may be typed.
const TRIES: u32 = 3;

type PairSession = Session<ClientMemory, ChosenHandshake>;

/// How a try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Paired(PublicKey),
    Ended(CloseReason),
}

/// Where the host is.
enum Place {
    /// At an address.
    Address,
    /// A link says whose key it has, where it may be, `HOST:PORT` each, and which gateway knows it, if one does.
    Link { host: PublicKey, direct: Vec<String>, meeting: Option<Meeting> },
}

/// What is seen of a gateway while a host is called.
#[derive(Debug, Default)]
struct Asking {
    /// How long a call takes that begins anew, in microseconds.
    call_us: u32,
    is_known: bool,
    trouble: Option<Trouble>,
}

impl Asking {
    fn look(&mut self, asked: Option<Asked>) {
        let Some(asked) = asked else { return };
        self.is_known |= matches!(asked.state, GatewayState::Here(_));
        self.trouble = match asked.state {
            GatewayState::Trouble(trouble) => Some(trouble),
            GatewayState::Calling | GatewayState::Here(_) => None,
        };
    }
}

/// Who pairs, with whom, and how.
struct Pairing {
    /// The host's name in words and in pins; of one that a gateway knows, the beginning of its ID.
    host: String,
    port: u16,
    place: Place,
    state: PathBuf,
    identity: Identity,
    handshake: HandshakeKind,
    clock: Clock,
    window: PairingWindow,
}

/// Pairs with a host: asks for its PIN on `input`, or shows one on `out` for its operator to type, and keeps the host's
/// key.
///
/// # Errors
/// [`ClientError`]; nothing is kept then.
pub fn pair(options: &Pair, input: &mut impl BufRead, out: &mut impl Write) -> Result<(), ClientError> {
    let identity = crate::identity(&options.common)?;
    let state = crate::state_dir(&options.common)?;
    let (host, port, place) = place(options)?;
    let (clock, window, handshake) = (Clock::new(), PairingWindow::new(), options.handshake);
    let mut pairing = Pairing { host, port, place, state, identity, handshake, clock, window };
    let key =
        if options.show_pin { pairing.with_own_pin(out)? } else { pairing.with_typed_pin(input, out)? };
    pins::change(&pairing.state, |pins| {
        pins.put(Pin {
            address: pins::address(&pairing.host, pairing.port),
            id: key,
            successor: None,
            suite: options.handshake.suite(),
        })
    })?;
    say(out, &format!("paired with {key}\nFrom now on: wavry-client connect {}", options.host));
    Ok(())
}

/// Where the host is that was named.
fn place(options: &Pair) -> Result<(String, u16, Place), ClientError> {
    if !options.host.starts_with(SCHEME) {
        let (host, port) = args::split_host(&options.host).map_err(ClientError::Usage)?;
        return Ok((host, port, Place::Address));
    }
    let link: HostLink = options.host.parse().map_err(|error| ClientError::Usage(format!("{error}")))?;
    let HostLink { host, gateway, direct } = link;
    let named = match (&gateway, direct.first()) {
        (Some(gateway), _) => {
            pins::load(&crate::state_dir(&options.common)?)?.expect_gateway(gateway)?;
            (crate::short_id(&host), args::PORT_DEFAULT)
        }
        (None, Some(place)) => args::split_host(place).map_err(ClientError::Usage)?,
        (None, None) => return Err(ClientError::Usage("the link names no place".to_owned())),
    };
    let meeting = gateway.map(|gateway| Meeting { gateway, token: options.enrol });
    Ok((named.0, named.1, Place::Link { host, direct, meeting }))
}

impl Pairing {
    fn with_typed_pin(
        &mut self,
        input: &mut impl BufRead,
        out: &mut impl Write,
    ) -> Result<PublicKey, ClientError> {
        for left in (0..TRIES).rev() {
            let pin = ask(input, out)?;
            self.window = PairingWindow::new();
            self.window.open(self.clock.now(), pin).map_err(|error| ClientError::Usage(error.to_string()))?;
            match self.try_once(PATIENCE_US)? {
                Outcome::Paired(key) => return Ok(key),
                Outcome::Ended(CloseReason::WrongPin) if left > 0 => say(out, "wrong PIN; try again"),
                Outcome::Ended(reason) => return Err(self.failed(reason)),
            }
        }
        Err(self.failed(CloseReason::WrongPin))
    }

    fn with_own_pin(&mut self, out: &mut impl Write) -> Result<PublicKey, ClientError> {
        let mut entropy = [0; 16];
        getrandom::fill(&mut entropy).map_err(ClientError::Entropy)?;
        let pin = rift::Pin::draw(entropy);
        say(out, &format!("PIN: {0}\nType it at the host: wavry-server pair --pin {0}", pin.digits()));
        let opened = self.window.open(self.clock.now(), pin);
        opened.map_err(|error| ClientError::Usage(error.to_string()))?;
        let mut last = CloseReason::Unanswered;
        while self.window.is_open(self.clock.now()) {
            // At the host the PIN is typed at any time until then.
            match self.try_once(PIN_US)? {
                Outcome::Paired(key) => return Ok(key),
                Outcome::Ended(CloseReason::WrongPin) => {
                    last = CloseReason::WrongPin;
                    say(
                        out,
                        &format!("another PIN was typed there; {} guesses are left", self.window.guesses()),
                    );
                }
                Outcome::Ended(CloseReason::Unanswered | CloseReason::Refused | CloseReason::PairingOver) => {
                }
                Outcome::Ended(reason) => return Err(self.failed(reason)),
            }
        }
        Err(self.failed(last))
    }

    /// One try; a host that a gateway knows and does not introduce yet is waited for.
    fn try_once(&mut self, patience_us: u64) -> Result<Outcome, ClientError> {
        let unknown = |name: &str| {
            let host = name.to_owned();
            move |source| ClientError::Resolve { host, source }
        };
        match &self.place {
            Place::Address => {
                let addresses = (self.host.as_str(), self.port).to_socket_addrs();
                let addresses = addresses.map_err(unknown(&self.host))?.collect::<Vec<_>>();
                self.try_addresses(&addresses, None)
            }
            Place::Link { host, direct, meeting: None } => {
                let addresses = addresses_of(direct).map_err(unknown(&self.host))?;
                self.try_addresses(&addresses, Some(*host))
            }
            Place::Link { host, direct, meeting: Some(meeting) } => {
                let (host, meeting) = (*host, meeting.clone());
                let name = &meeting.gateway.address;
                let (gateway, places) = resolve_all(self.clock, name, direct);
                match gateway {
                    Ok(gateway) => match self.meet(&meeting, gateway, host, &places, patience_us)? {
                        // Somebody else is there by now; the gateway knows better.
                        Outcome::Ended(CloseReason::WrongPeer) if !places.is_empty() => {
                            self.meet(&meeting, gateway, host, &[], patience_us)
                        }
                        outcome @ (Outcome::Paired(_) | Outcome::Ended(_)) => Ok(outcome),
                    },
                    Err(_) if !places.is_empty() => self.try_addresses(&places, Some(host)),
                    Err(source) => Err(unknown(name)(source)),
                }
            }
        }
    }

    /// One try with a host that a gateway introduces, or that is at one of these places: it is called there at once.
    fn meet(
        &mut self,
        meeting: &Meeting,
        gateway: SocketAddr,
        host: PublicKey,
        places: &[SocketAddr],
        patience_us: u64,
    ) -> Result<Outcome, ClientError> {
        let place = GatewayPlace { key: meeting.gateway.key, address: gateway };
        let mut finder = meeting.finder(place, host, &self.identity)?.with_places(places);
        if !self.find(&mut finder, meeting, patience_us)? {
            return Ok(Outcome::Ended(CloseReason::Unanswered));
        }
        let call_us = if places.is_empty() { HANDSHAKE_US } else { CALL_US };
        let driver = self.approach(call_us).map(|session| ClientDriver::introduced(finder, session));
        let mut asked = Asking { call_us, ..Asking::default() };
        let tried = driver.and_then(|driver| self.attempt(driver, Some(host), &mut asked));
        if asked.is_known {
            meeting.keep_gateway(&self.state);
        }
        let name = self.host.clone();
        let outcome = tried.map_err(|error| match error {
            AttemptError::System(source) => ClientError::Network { host: name, source },
            AttemptError::Entropy(error) => ClientError::Entropy(error),
        })?;
        match asked.trouble {
            Some(trouble) if outcome == Outcome::Ended(CloseReason::Unanswered) => {
                Err(self.in_trouble(meeting, trouble))
            }
            _ => Ok(outcome),
        }
    }

    fn in_trouble(&self, meeting: &Meeting, trouble: Trouble) -> ClientError {
        let (address, id) = (meeting.gateway.address.clone(), self.identity.public());
        ClientError::Gateway { address, what: describe_trouble(trouble), id }
    }

    /// Whether there is a way to the host, once the gateway introduces this client to it, or where it is to be called.
    fn find(&self, finder: &mut Finder, meeting: &Meeting, patience_us: u64) -> Result<bool, ClientError> {
        let until = self.clock.now().plus_micros(patience_us);
        let mut is_known = false;
        while !finder.turn(LOOK).map_err(|error| ClientError::System("wait", error))? {
            match finder.state() {
                GatewayState::Calling => {}
                GatewayState::Here(_) if is_known => {}
                GatewayState::Here(_) => {
                    is_known = true;
                    meeting.keep_gateway(&self.state);
                }
                GatewayState::Trouble(trouble) => return Err(self.in_trouble(meeting, trouble)),
            }
            let now = self.clock.now();
            if now >= until && (finder.refused().is_some() || now.micros_since(until) >= WAY_US) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Tries each address of the host until one answers; with `host` nobody else is told of the PIN.
    fn try_addresses(
        &mut self,
        addresses: &[SocketAddr],
        host: Option<PublicKey>,
    ) -> Result<Outcome, ClientError> {
        let mut outcome = Outcome::Ended(CloseReason::Unanswered);
        let mut refused = None;
        for &address in addresses {
            let begun = self.approach(HANDSHAKE_US);
            let driver = begun
                .and_then(|session| Ok(ClientDriver::connect(&SocketConfig::default(), address, session)?));
            match driver.and_then(|driver| self.attempt(driver, host, &mut Asking::default())) {
                Ok(ended) => (outcome, refused) = (ended, None),
                Err(AttemptError::System(source)) => refused = Some(source),
                Err(AttemptError::Entropy(error)) => return Err(ClientError::Entropy(error)),
            }
            if !matches!(outcome, Outcome::Ended(CloseReason::Unanswered | CloseReason::WrongPeer)) {
                break;
            }
        }
        match refused {
            Some(source) => Err(ClientError::Network { host: self.host.clone(), source }),
            None => Ok(outcome),
        }
    }

    /// A session that is about to call a host whose key is not known.
    fn approach(&self, handshake_us: u32) -> Result<PairSession, AttemptError> {
        let mut random = [0; 100];
        getrandom::fill(&mut random).map_err(AttemptError::Entropy)?;
        let (entropy, connection) = random.split_first_chunk::<96>().expect("100 bytes are more than 96");
        let connection = u32::from_ne_bytes(connection.try_into().expect("4 bytes are left"));
        let config = Config { handshake_us, ..Config::default() };
        let opening = Opening::XX.with_suite(self.handshake.suite());
        let handshake = ChosenHandshake::initiator(self.handshake, &self.identity, entropy, opening);
        let (memory, now) = (desktop_memory(false), self.clock.now());
        Ok(Session::approach(&config, handshake, connection, memory, PathId(0), now))
    }

    /// One session from its first datagram to its end; with `host` nobody else is told of the PIN.
    fn attempt(
        &mut self,
        driver: ClientDriver<ClientMemory, ChosenHandshake>,
        host: Option<PublicKey>,
        asking: &mut Asking,
    ) -> Result<Outcome, AttemptError> {
        let mut scalar = [0; 32];
        getrandom::fill(&mut scalar).map_err(AttemptError::Entropy)?;
        let mut driver = SharedClient::new(driver);
        let (mut paired, mut closed, mut is_other) = (None, None, false);
        let (clock, own) = (self.clock, self.identity.public());
        while !driver.with_session(|session, _| session.is_closed()) {
            if driver.wants_session() {
                // A better way was found before the host has answered.
                drop(driver.begin_again(self.approach(asking.call_us)?));
            }
            asking.look(driver.asked());
            let window = &mut self.window;
            driver.turn(&mut |session, event| {
                let now = clock.now();
                if let Event::Authenticated(peer) = event {
                    debug!(%peer, "somebody answers");
                    if host.is_some_and(|host| host != peer) {
                        is_other = true;
                        session.close(now, CloseReason::WrongPeer);
                    } else {
                        begin(session, now, window, &own, scalar);
                    }
                } else if let Event::Paired(peer) = event {
                    paired = Some(peer);
                    window.paired();
                    session.close(now, CloseReason::Done);
                } else if let Event::Closed(reason) = event {
                    closed = Some(reason);
                }
            })?;
        }
        let closed = if is_other { Some(CloseReason::WrongPeer) } else { closed };
        let ended = || Outcome::Ended(closed.unwrap_or(CloseReason::Unanswered));
        Ok(paired.map_or_else(ended, Outcome::Paired))
    }

    fn failed(&self, reason: CloseReason) -> ClientError {
        let link = match &self.place {
            Place::Address => None,
            Place::Link { host, meeting, direct: _ } => Some((host, meeting.as_ref())),
        };
        if let (CloseReason::WrongPeer, Some((host, meeting))) = (reason, link) {
            let address =
                meeting.map_or_else(|| self.host.clone(), |meeting| meeting.gateway.address.clone());
            return ClientError::OtherHost { address, host: *host };
        }
        if reason != CloseReason::Unanswered {
            return ClientError::Ended { host: self.host.clone(), what: describe(reason) };
        }
        let Some((_, Some(meeting))) = link else {
            return ClientError::NotPairing { host: self.host.clone(), port: self.port };
        };
        let what = "knows no such host that pairs just now: is `wavry-server pair` waiting there, and does `wavry-server \
                    status` say that this gateway is there?";
        let (address, id) = (meeting.gateway.address.clone(), self.identity.public());
        ClientError::Gateway { address, what: what.to_owned(), id }
    }
}

/// Tries the PIN with who has answered, if there is a guess left.
fn begin(
    session: &mut PairSession,
    now: Instant,
    window: &mut PairingWindow,
    own: &PublicKey,
    entropy: [u8; 32],
) {
    let tried = window.guess(now).map(|guess| session.pair(now, own, guess, entropy));
    match tried {
        Some(Ok(())) => {}
        Some(Err(SendError::NotConnected | SendError::NotPermitted | _)) | None => {
            session.close(now, CloseReason::PairingOver);
        }
    }
}

/// Why there was no session at all.
enum AttemptError {
    System(std::io::Error),
    Entropy(getrandom::Error),
}

impl From<std::io::Error> for AttemptError {
    fn from(error: std::io::Error) -> Self {
        Self::System(error)
    }
}

/// Reads a PIN; what is none is asked for again.
fn ask(input: &mut impl BufRead, out: &mut impl Write) -> Result<rift::Pin, ClientError> {
    loop {
        let _ = write!(out, "PIN shown at the host (wavry-server pair): ").and_then(|()| out.flush());
        let mut line = String::new();
        let len = input.read_line(&mut line).map_err(|error| ClientError::System("read the PIN", error))?;
        if len == 0 {
            return Err(ClientError::Usage("no PIN was given".to_owned()));
        }
        match rift::Pin::parse(&line) {
            Ok(pin) => return Ok(pin),
            Err(error) => say(out, &error.to_string()),
        }
    }
}

/// Says a line to the person; one who does not read has chosen so.
fn say(out: &mut impl Write, text: &str) {
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}
