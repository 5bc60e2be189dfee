//! Whether gateways and relays are reached over TLS on TCP, as sessions are where UDP does not pass (SPEC §18.10): by the same
//! dialer, with the same pinned key.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::io::{self, ErrorKind};
use std::net::{TcpStream, UdpSocket};
use std::thread;

use rift::PublicKey;
use rift::wire::stun;
use rift_mio::Clock;
use rift_tcp::{Dialer, PORT};

use super::probe::{listen, question};
use super::{Answers, Place, Role};

/// A TCP connection is awaited this long.
const CONNECT: Duration = Duration::from_secs(2);
/// A question by a stream is awaited this long: the dialer gives up a silent port after 4 s and tries the other.
const PATIENCE: Duration = Duration::from_secs(9);

/// What a TCP port is like from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Somebody takes connections.
    Open,
    /// Nobody listens, and that is said.
    Refused,
    /// Nothing is heard.
    Silent,
}

impl Door {
    /// In a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Refused => "refused",
            Self::Silent => "silent",
        }
    }
}

/// The TCP ports at which somebody may be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doors {
    /// TCP port 443, then the one with the number of its UDP port.
    pub ports: [(u16, Door); 2],
    /// Whether who has the key is behind one of them, and answers; `None` = the key is not known, or no port is open.
    pub is_proven: Option<bool>,
    /// How long the answer took once there was a stream, in microseconds.
    pub rtt_us: Option<u64>,
}

impl Doors {
    /// Whether there is a port that takes connections.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.ports.iter().any(|&(_, door)| door == Door::Open)
    }
}

/// Tries the ports of all gateways and relays at once, in the order in which they stand; `answers` are of those who have an
/// address.
pub(super) fn knock(all: &[Place], answers: &[Answers]) -> Vec<Option<Doors>> {
    let mut answers = answers.iter();
    let servers = all.iter().map(|(named, place)| {
        let server = place.as_ref().ok().and_then(|_| answers.next()).map(|answers| answers.server);
        server.filter(|_| named.role != Role::Stun).map(|server| (server, named.key))
    });
    let servers: Vec<_> = servers.collect();
    thread::scope(|scope| {
        let tries: Vec<_> = servers
            .into_iter()
            .map(|server| server.map(|(server, key)| scope.spawn(move || try_doors(server, key))))
            .collect();
        // One that panicked has found nothing.
        tries.into_iter().map(|tried| tried.and_then(|tried| tried.join().ok())).collect()
    })
}

fn try_doors(server: SocketAddr, key: Option<PublicKey>) -> Doors {
    let ports = [PORT, server.port()].map(|port| (port, try_door(SocketAddr::new(server.ip(), port))));
    let doors = Doors { ports, is_proven: None, rtt_us: None };
    let Some(key) = key.filter(|_| doors.is_open()) else { return doors };
    // Without a socket nothing is proven.
    let rtt_us = prove(server, &key).unwrap_or_default();
    Doors { is_proven: Some(rtt_us.is_some()), rtt_us, ..doors }
}

fn try_door(address: SocketAddr) -> Door {
    match TcpStream::connect_timeout(&address, CONNECT) {
        Ok(_) => Door::Open,
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Door::Refused,
        Err(_) => Door::Silent,
    }
}

/// Asks who has this key by a stream, twice: the first answer waits for the stream itself. How long the second took.
fn prove(server: SocketAddr, key: &PublicKey) -> io::Result<Option<u64>> {
    let (dialer, clock) = (Dialer::new()?, Clock::new());
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let lent = dialer.lend(socket.local_addr()?, server, key)?;
    let until = clock.now() + PATIENCE;
    let mut rtt_us = None;
    for _ in 0..2 {
        let (id, request) = question()?;
        let sent_at = clock.now();
        socket.send_to(&request, lent)?;
        rtt_us = None;
        listen(&socket, clock, until, |at, _, answer| {
            let is_it = stun::parse_answer(answer, &id).is_some();
            rtt_us = rtt_us.or(is_it.then(|| at.micros_since(sent_at)));
            is_it
        })?;
        if rtt_us.is_none() {
            break;
        }
    }
    Ok(rtt_us)
}
