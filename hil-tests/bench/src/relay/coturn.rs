//! coturn, and peers that have allocations and channels at it (RFC 8656).

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::process::{Command, Stdio};

use rift::{Class, Ecn, PathId, Transmit};
use rift_mio::{Destination, Socket};

use super::wires::{FAR, NEAR, Wires};
use super::{Contender, End, PAIRS};
use crate::clock::spin_until;
use crate::failure::Failure;
use crate::keeper::Keeper;

const READY: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_millis(500);
const PORT: u16 = 3478;
const COOKIE: u32 = 0x2112_a442;
const ALLOCATE: u16 = 0x0003;
const CHANNEL_BIND: u16 = 0x0009;
const SUCCESS: u16 = 0x0100;
const XOR_RELAYED_ADDRESS: u16 = 0x0016;
const CHANNEL: u16 = 0x4000;

/// What it calls itself.
pub(super) fn version() -> String {
    let output = Command::new("turnserver").arg("--version").stdin(Stdio::null()).output();
    let words = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    words
        .lines()
        .find(|line| line.contains(|letter: char| letter.is_ascii_digit()))
        .unwrap_or("unknown")
        .trim()
        .to_owned()
}

/// Starts it where it belongs; half of the ends have an allocation, and a channel to the other half.
pub(super) fn start(keeper: &Keeper, wires: &Wires) -> Result<Contender, Failure> {
    let mut command = Command::new("turnserver");
    command.args([
        "-n",
        "--no-auth",
        "--no-tls",
        "--no-dtls",
        "--no-cli",
        "--no-rfc5780",
        "--relay-threads=1",
    ]);
    command.args([
        "--listening-ip=10.99.0.2",
        "--relay-ip=10.99.0.2",
        "--log-file=/dev/null",
        "--simple-log",
    ]);
    command.arg(format!("--pidfile={}", keeper.scratch().join("turnserver.pid").display()));
    let program = wires.inside(|| keeper.spawn("turnserver", &mut command, None))?;
    let server = SocketAddr::from((FAR, PORT));
    let mut ends = Vec::new();
    for pair in 0..PAIRS {
        let mut client = End::open(SocketAddr::from((NEAR, 0)))?;
        let peer = End::open(SocketAddr::from((NEAR, 0)))?;
        let limit = if pair == 0 { READY } else { ANSWER };
        let transport = [0x00, 0x19, 0, 4, 17, 0, 0, 0];
        let relayed =
            ask(&mut client, server, ALLOCATE, &transport, limit).and_then(|answer| relayed(&answer));
        let relayed = relayed.ok_or_else(|| program.last_words())?;
        let mut body = vec![0x00, 0x0c, 0, 4];
        body.extend(CHANNEL.to_be_bytes());
        body.extend([0, 0, 0x00, 0x12, 0, 8, 0, 1]);
        body.extend((peer.local_addr().port() ^ (COOKIE >> 16) as u16).to_be_bytes());
        body.extend((u32::from(NEAR) ^ COOKIE).to_be_bytes());
        ask(&mut client, server, CHANNEL_BIND, &body, ANSWER).ok_or_else(|| program.last_words())?;
        let mut head = CHANNEL.to_be_bytes().to_vec();
        head.extend((super::PAYLOAD as u16).to_be_bytes());
        ends.push(End { socket: client, to: Destination { to: server, source: None }, head });
        ends.push(End { socket: peer, to: Destination { to: relayed, source: None }, head: Vec::new() });
    }
    Ok(Contender { name: "coturn", program: Some(program), ends })
}

/// Asks until it answers; the answer's attributes.
fn ask(
    socket: &mut Socket,
    server: SocketAddr,
    method: u16,
    body: &[u8],
    limit: Duration,
) -> Option<Vec<u8>> {
    let mut request = method.to_be_bytes().to_vec();
    request.extend((body.len() as u16).to_be_bytes());
    request.extend(COOKIE.to_be_bytes());
    request.extend([method as u8; 12]);
    request.extend(body);
    let end = crate::clock::now() + limit;
    while crate::clock::now() < end {
        let transmit = Transmit {
            path: PathId(0),
            len: request.len(),
            segment: None,
            class: Class::Realtime,
            ecn: Ecn::NotEct,
        };
        let _ = socket.send(Destination { to: server, source: None }, &transmit, &request);
        let answer = spin_until(Duration::from_millis(100), || {
            let mut answer = None;
            let _ = socket.receive(|received| answer = Some(received.bytes.to_vec()));
            answer
        });
        let Some(answer) = answer else { continue };
        if answer.get(..2) == Some(&(method | SUCCESS).to_be_bytes()) {
            return answer.get(20..).map(<[u8]>::to_vec);
        }
    }
    None
}

fn relayed(attributes: &[u8]) -> Option<SocketAddr> {
    let mut rest = attributes;
    while let Some((head, after)) = rest.split_first_chunk::<4>() {
        let [a, b, c, d] = *head;
        let (kind, len) = (u16::from_be_bytes([a, b]), usize::from(u16::from_be_bytes([c, d])));
        let value = after.get(..len)?;
        if kind == XOR_RELAYED_ADDRESS {
            let port = u16::from_be_bytes(*value.get(2..)?.first_chunk()?) ^ (COOKIE >> 16) as u16;
            let ip = u32::from_be_bytes(*value.get(4..)?.first_chunk()?) ^ COOKIE;
            return Some(SocketAddr::from((Ipv4Addr::from(ip), port)));
        }
        rest = after.get(len.next_multiple_of(4)..)?;
    }
    None
}
