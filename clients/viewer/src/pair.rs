//! First contact: a PIN is typed here and shown at the host, or the other way round.
//!
//! The PIN is asked for at the terminal and shown there, never in a window. Each try is a session of its own; a PIN that
//! was typed is tried once, a PIN shown here as often as its window allows.

use core::net::SocketAddr;
use std::io::{BufRead, Write};
use std::net::ToSocketAddrs;

use rift::{
    CloseReason, Config, Event, Identity, Instant, Opening, PairingWindow, PathId, PublicKey, SendError,
    Session,
};
use rift_mio::{ClientDriver, Clock, SocketConfig, desktop_memory};
use tracing::debug;

use crate::args::{self, HandshakeKind, Pair};
use crate::error::{ClientError, describe};
use crate::handshake::ChosenHandshake;
use crate::pins::{self, Pin};
use crate::session::ClientMemory;

/// How long one address has to answer, in microseconds. A host that does not pair is silent.
const HANDSHAKE_US: u32 = 3_000_000;
/// PINs that may be typed.
const TRIES: u32 = 3;

type PairSession = Session<ClientMemory, ChosenHandshake>;

/// How a try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Paired(PublicKey),
    Ended(CloseReason),
}

/// Who pairs, and how.
struct Pairing {
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
    let (host, port) = args::split_host(&options.host).map_err(ClientError::Usage)?;
    let identity = crate::identity(&options.common)?;
    let state = crate::state_dir(&options.common)?;
    let (clock, window) = (Clock::new(), PairingWindow::new());
    let mut pairing = Pairing { identity, handshake: options.handshake, clock, window };
    let key = if options.show_pin {
        pairing.with_own_pin(&host, port, out)?
    } else {
        pairing.with_typed_pin(&host, port, input, out)?
    };
    pins::change(&state, |pins| {
        pins.put(Pin {
            address: pins::address(&host, port),
            id: key,
            successor: None,
            suite: options.handshake.suite(),
        })
    })?;
    say(out, &format!("paired with {key}\nFrom now on: wavry-client connect {}", options.host));
    Ok(())
}

impl Pairing {
    fn with_typed_pin(
        &mut self,
        host: &str,
        port: u16,
        input: &mut impl BufRead,
        out: &mut impl Write,
    ) -> Result<PublicKey, ClientError> {
        for left in (0..TRIES).rev() {
            let pin = ask(input, out)?;
            self.window = PairingWindow::new();
            self.window.open(self.clock.now(), pin).map_err(|error| ClientError::Usage(error.to_string()))?;
            match self.try_addresses(host, port)? {
                Outcome::Paired(key) => return Ok(key),
                Outcome::Ended(CloseReason::WrongPin) if left > 0 => say(out, "wrong PIN; try again"),
                Outcome::Ended(reason) => return Err(failed(host, port, reason)),
            }
        }
        Err(failed(host, port, CloseReason::WrongPin))
    }

    fn with_own_pin(
        &mut self,
        host: &str,
        port: u16,
        out: &mut impl Write,
    ) -> Result<PublicKey, ClientError> {
        let mut entropy = [0; 16];
        getrandom::fill(&mut entropy).map_err(ClientError::Entropy)?;
        let pin = rift::Pin::draw(entropy);
        say(out, &format!("PIN: {0}\nType it at the host: wavry-server pair --pin {0}", pin.digits()));
        let opened = self.window.open(self.clock.now(), pin);
        opened.map_err(|error| ClientError::Usage(error.to_string()))?;
        let mut last = CloseReason::Unanswered;
        while self.window.is_open(self.clock.now()) {
            match self.try_addresses(host, port)? {
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
                Outcome::Ended(reason) => return Err(failed(host, port, reason)),
            }
        }
        Err(failed(host, port, last))
    }

    /// Tries each address of the host until one answers.
    fn try_addresses(&mut self, host: &str, port: u16) -> Result<Outcome, ClientError> {
        let resolved = (host, port).to_socket_addrs();
        let addresses = resolved.map_err(|source| ClientError::Resolve { host: host.to_owned(), source })?;
        let mut outcome = Outcome::Ended(CloseReason::Unanswered);
        let mut refused = None;
        for address in addresses {
            match self.attempt(address) {
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

    /// One session from its first datagram to its end.
    fn attempt(&mut self, address: SocketAddr) -> Result<Outcome, AttemptError> {
        let mut random = [0; 132];
        getrandom::fill(&mut random).map_err(AttemptError::Entropy)?;
        let (entropy, rest) = random.split_first_chunk::<96>().expect("132 bytes are more than 96");
        let (scalar, connection) = rest.split_first_chunk::<32>().expect("36 bytes are more than 32");
        let connection = u32::from_ne_bytes(connection.try_into().expect("4 bytes are left"));
        let config = Config { handshake_us: HANDSHAKE_US, ..Config::default() };
        let opening = Opening::XX.with_suite(self.handshake.suite());
        let handshake = ChosenHandshake::initiator(self.handshake, &self.identity, entropy, opening);
        let (memory, clock) = (desktop_memory(false), self.clock);
        let session = Session::approach(&config, handshake, connection, memory, PathId(0), clock.now());
        let mut driver = ClientDriver::connect(&SocketConfig::default(), address, session)?;
        let (mut paired, mut closed) = (None, None);
        let (window, own) = (&mut self.window, self.identity.public());
        while !driver.session().is_closed() {
            driver.turn(&mut |session, event| {
                let now = clock.now();
                if let Event::Authenticated(peer) = event {
                    debug!(%peer, "somebody answers");
                    begin(session, now, window, &own, *scalar);
                } else if let Event::Paired(peer) = event {
                    paired = Some(peer);
                    window.paired();
                    session.close(now, CloseReason::Done);
                } else if let Event::Closed(reason) = event {
                    closed = Some(reason);
                }
            })?;
        }
        let ended = || Outcome::Ended(closed.unwrap_or(CloseReason::Unanswered));
        Ok(paired.map_or_else(ended, Outcome::Paired))
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

fn failed(host: &str, port: u16, reason: CloseReason) -> ClientError {
    if reason == CloseReason::Unanswered {
        return ClientError::NotPairing { host: host.to_owned(), port };
    }
    ClientError::Ended { host: host.to_owned(), what: describe(reason) }
}
