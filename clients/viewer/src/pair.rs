//! First contact: a PIN is typed here and shown at the host, or the other way round.
//!
//! The PIN is asked for at the terminal and shown there, never in a window. Each try is a session of its own; a PIN that
//! was typed is tried once, a PIN shown here as often as its window allows.

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
    ClientDriver, Clock, Finder, GatewayPlace, GatewayState, SharedClient, SocketConfig, desktop_memory,
};
use tracing::debug;

use crate::args::{self, HandshakeKind, Pair};
use crate::error::{ClientError, describe};
use crate::handshake::ChosenHandshake;
use crate::meeting::{Meeting, WAY_US, describe as describe_trouble, resolve};
use crate::pins::{self, Pin};
use crate::session::ClientMemory;

/// How long one address has to answer, in microseconds. A host that does not pair is silent.
const HANDSHAKE_US: u32 = 3_000_000;
/// How often it is looked how things are at the gateway.
const LOOK: Duration = Duration::from_millis(50);
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
    /// A gateway knows the host of this key.
    Gateway(Meeting, PublicKey),
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
    let Some(gateway) = link.gateway else {
        let direct =
            link.direct.first().ok_or_else(|| ClientError::Usage("the link names no place".to_owned()));
        let (host, port) = args::split_host(direct?).map_err(ClientError::Usage)?;
        return Ok((host, port, Place::Address));
    };
    pins::load(&crate::state_dir(&options.common)?)?.expect_gateway(&gateway)?;
    let meeting = Meeting { gateway, token: options.enrol };
    Ok((crate::short_id(&link.host), args::PORT_DEFAULT, Place::Gateway(meeting, link.host)))
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
        let Place::Gateway(meeting, key) = &self.place else { return self.try_addresses() };
        let (meeting, key) = (meeting.clone(), *key);
        let Some(finder) = self.find(&meeting, key, patience_us)? else {
            return Ok(Outcome::Ended(CloseReason::Unanswered));
        };
        let driver = self.approach().map(|session| ClientDriver::introduced(finder, session));
        let host = self.host.clone();
        driver.and_then(|driver| self.attempt(driver, Some(key))).map_err(|error| match error {
            AttemptError::System(source) => ClientError::Network { host, source },
            AttemptError::Entropy(error) => ClientError::Entropy(error),
        })
    }

    /// A way to the host, once the gateway introduces this client to it.
    fn find(
        &self,
        meeting: &Meeting,
        host: PublicKey,
        patience_us: u64,
    ) -> Result<Option<Finder>, ClientError> {
        let name = &meeting.gateway.address;
        let address = resolve(name).map_err(|source| ClientError::Resolve { host: name.clone(), source })?;
        let place = GatewayPlace { key: meeting.gateway.key, address };
        let mut finder = meeting.finder(place, host, &self.identity)?;
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
                GatewayState::Trouble(trouble) => {
                    let (address, id) = (name.clone(), self.identity.public());
                    return Err(ClientError::Gateway { address, what: describe_trouble(trouble), id });
                }
            }
            let now = self.clock.now();
            if now >= until && (finder.refused().is_some() || now.micros_since(until) >= WAY_US) {
                return Ok(None);
            }
        }
        Ok(Some(finder))
    }

    /// Tries each address of the host until one answers.
    fn try_addresses(&mut self) -> Result<Outcome, ClientError> {
        let (host, port) = (self.host.clone(), self.port);
        let host = host.as_str();
        let resolved = (host, port).to_socket_addrs();
        let addresses = resolved.map_err(|source| ClientError::Resolve { host: host.to_owned(), source })?;
        let mut outcome = Outcome::Ended(CloseReason::Unanswered);
        let mut refused = None;
        for address in addresses {
            let begun = self.approach();
            let driver = begun
                .and_then(|session| Ok(ClientDriver::connect(&SocketConfig::default(), address, session)?));
            match driver.and_then(|driver| self.attempt(driver, None)) {
                Ok(ended) => (outcome, refused) = (ended, None),
                Err(AttemptError::System(source)) => refused = Some(source),
                Err(AttemptError::Entropy(error)) => return Err(ClientError::Entropy(error)),
            }
            if outcome != Outcome::Ended(CloseReason::Unanswered) {
                break;
            }
        }
        match refused {
            Some(source) => Err(ClientError::Network { host: host.to_owned(), source }),
            None => Ok(outcome),
        }
    }

    /// A session that is about to call a host whose key is not known.
    fn approach(&self) -> Result<PairSession, AttemptError> {
        let mut random = [0; 100];
        getrandom::fill(&mut random).map_err(AttemptError::Entropy)?;
        let (entropy, connection) = random.split_first_chunk::<96>().expect("100 bytes are more than 96");
        let connection = u32::from_ne_bytes(connection.try_into().expect("4 bytes are left"));
        let config = Config { handshake_us: HANDSHAKE_US, ..Config::default() };
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
    ) -> Result<Outcome, AttemptError> {
        let mut scalar = [0; 32];
        getrandom::fill(&mut scalar).map_err(AttemptError::Entropy)?;
        let mut driver = SharedClient::new(driver);
        let (mut paired, mut closed, mut is_other) = (None, None, false);
        let (clock, own) = (self.clock, self.identity.public());
        while !driver.with_session(|session, _| session.is_closed()) {
            if driver.wants_session() {
                // A better way was found before the host has answered.
                drop(driver.begin_again(self.approach()?));
            }
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
        if let (CloseReason::WrongPeer, Place::Gateway(meeting, host)) = (reason, &self.place) {
            return ClientError::OtherHost { address: meeting.gateway.address.clone(), host: *host };
        }
        if reason != CloseReason::Unanswered {
            return ClientError::Ended { host: self.host.clone(), what: describe(reason) };
        }
        let Place::Gateway(meeting, _) = &self.place else {
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
