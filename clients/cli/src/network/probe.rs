//! Asks servers where they see this machine, again and again, from one socket; then how long packets may be on the way, and how fast.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::io;
use std::net::UdpSocket;

use rift::Instant;
use rift::wire::stun::{self, TransactionId};
use rift_mio::Clock;
use rustix::net::sockopt;

use super::burst;
use super::width::{self, Way};

/// Questions to each server.
const ROUNDS: usize = 20;
/// Between two questions to one server.
const PAUSE: Duration = Duration::from_millis(25);
/// After the last question answers have this long.
const PATIENCE: Duration = Duration::from_secs(1);
/// Servers asked at most.
const SERVERS_MAX: usize = 16;
/// Bytes of headers before a UDP payload: IPv4 and IPv6.
pub(super) const HEADERS: [u32; 2] = [28, 48];

/// What came of asking one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// Who was asked.
    pub server: SocketAddr,
    /// From where, as this machine sees it.
    pub local: SocketAddr,
    /// Questions that left.
    pub sent: usize,
    /// How long each answer took, in microseconds.
    pub rtts_us: Vec<u64>,
    /// From where, as the server sees it.
    pub seen: Option<SocketAddr>,
    /// The longest packet that goes there whole, in bytes with IP's header, as far as the routers on the way say so.
    pub path_mtu: Option<u32>,
    /// The longest packet that got there, in bytes with IP's header, of 2048 at most; `None` = it is not known, because long questions
    /// are not answered there.
    pub widest: Option<u32>,
    /// What a short burst went up at, in bits per second with headers: at most what the way carries.
    pub burst_bps: Option<u64>,
    /// Why nothing could be sent, if so.
    pub error: Option<String>,
}

impl Answers {
    /// The median of the round trips.
    #[must_use]
    pub fn median_us(&self) -> Option<u64> {
        let mut sorted = self.rtts_us.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }

    /// Questions without an answer, of a thousand.
    #[must_use]
    pub fn loss_permille(&self) -> usize {
        let lost = self.sent.saturating_sub(self.rtts_us.len());
        (lost * 1000).checked_div(self.sent).unwrap_or(1000)
    }
}

/// One question on its way.
struct Question {
    server: usize,
    id: TransactionId,
    at: Instant,
}

/// Asks these servers, at most sixteen, for a few seconds at most.
///
/// # Errors
/// There is no socket.
pub fn ask(servers: &[SocketAddr]) -> io::Result<Vec<Answers>> {
    let servers = &servers[..servers.len().min(SERVERS_MAX)];
    let mut all: Vec<Answers> = Vec::new();
    for is_v6 in [false, true] {
        let family: Vec<_> = servers.iter().copied().filter(|server| server.is_ipv6() == is_v6).collect();
        if !family.is_empty() {
            all.extend(ask_family(&family, is_v6)?);
        }
    }
    // In the order in which they were named.
    let of = |server: &SocketAddr| all.iter().find(|answers| answers.server == *server).cloned();
    Ok(servers.iter().filter_map(of).collect())
}

fn ask_family(servers: &[SocketAddr], is_v6: bool) -> io::Result<Vec<Answers>> {
    let any: IpAddr = if is_v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    let port = socket.local_addr()?.port();
    let mut all: Vec<Answers> = servers
        .iter()
        .map(|&server| {
            let (own, path_mtu) = route(any, server).unwrap_or((any, None));
            let local = SocketAddr::new(own, port);
            Answers {
                server,
                local,
                sent: 0,
                rtts_us: Vec::new(),
                seen: None,
                path_mtu,
                widest: None,
                burst_bps: None,
                error: None,
            }
        })
        .collect();
    let clock = Clock::new();
    let mut questions: Vec<Question> = Vec::new();
    for _ in 0..ROUNDS {
        for (place, answers) in all.iter_mut().enumerate() {
            let (id, request) = question()?;
            questions.push(Question { server: place, id, at: clock.now() });
            match socket.send_to(&request, answers.server) {
                Ok(_) => answers.sent += 1,
                Err(error) => answers.error = Some(error.to_string()),
            }
        }
        hear(&socket, clock, &mut questions, &mut all, PAUSE)?;
    }
    hear(&socket, clock, &mut questions, &mut all, PATIENCE)?;
    for answers in &mut all {
        // What routers said of long packets is known by now.
        if let Ok((_, mtu)) = route(any, answers.server) {
            answers.path_mtu = mtu;
        }
    }
    let ways: Vec<_> = all.iter().filter_map(way).collect();
    let there = all.iter_mut().filter(|answers| !answers.rtts_us.is_empty());
    for (answers, widest) in there.zip(width::search(any, &ways)?) {
        answers.widest = widest;
        if let (Some(widest), Some(way)) = (widest, way(answers)) {
            answers.burst_bps = burst::measure(any, answers.server, widest, way.rtt_us)?;
        }
    }
    Ok(all)
}

/// The way to somebody who has answered.
fn way(answers: &Answers) -> Option<Way> {
    let rtt_us = *answers.rtts_us.iter().max()?;
    Some(Way { server: answers.server, mtu: answers.path_mtu, rtt_us })
}

/// Takes answers for so long, or until there are no questions left.
fn hear(
    socket: &UdpSocket,
    clock: Clock,
    questions: &mut Vec<Question>,
    all: &mut [Answers],
    patience: Duration,
) -> io::Result<()> {
    let until = clock.now() + patience;
    let is_last = patience == PATIENCE;
    if is_last && questions.is_empty() {
        return Ok(());
    }
    listen(socket, clock, until, |now, from, datagram| {
        let answer = questions.iter().enumerate().find_map(|(place, question)| {
            let seen = stun::parse_answer(datagram, &question.id)?.ok()?;
            (all[question.server].server == from).then_some((place, seen))
        });
        if let Some((place, seen)) = answer {
            let Question { server, at, .. } = questions.swap_remove(place);
            all[server].rtts_us.push(now.micros_since(at));
            all[server].seen = Some(SocketAddr::new(seen.ip().to_canonical(), seen.port()));
        }
        is_last && questions.is_empty()
    })
}

/// A question, and what tells its answer.
pub(super) fn question() -> io::Result<(TransactionId, [u8; stun::REQUEST_LEN])> {
    let (mut id, mut request) = (TransactionId::default(), [0; stun::REQUEST_LEN]);
    getrandom::fill(&mut id)?;
    stun::write_request(&id, &mut request).ok_or(io::ErrorKind::WriteZero)?;
    Ok((id, request))
}

/// Takes what comes until then, or until `take` has heard all that it waits for.
pub(super) fn listen(
    socket: &UdpSocket,
    clock: Clock,
    until: Instant,
    mut take: impl FnMut(Instant, SocketAddr, &[u8]) -> bool,
) -> io::Result<()> {
    let mut datagram = [0; stun::LEN_MAX];
    loop {
        let left = until.since(clock.now());
        if left.is_zero() {
            return Ok(());
        }
        socket.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        // A port that is closed is told as an error of the next call; silence and strangers are no news either.
        let Ok((len, from)) = socket.recv_from(&mut datagram) else { continue };
        if take(clock.now(), from, &datagram[..len]) {
            return Ok(());
        }
    }
}

/// This machine's address on the way to a server, and the longest packet the way takes as far as the kernel knows. A datagram
/// that fills one leaves, so that a router that cannot pass it on says so; who gets it passes it over.
fn route(any: IpAddr, server: SocketAddr) -> io::Result<(IpAddr, Option<u32>)> {
    let socket = UdpSocket::bind((any, 0))?;
    if any.is_ipv6() {
        sockopt::set_ipv6_mtu_discover(&socket, sockopt::Ipv6PathMtuDiscovery::DO)?;
    } else {
        sockopt::set_ip_mtu_discover(&socket, sockopt::Ipv4PathMtuDiscovery::DO)?;
    }
    socket.connect(server)?;
    let own = socket.local_addr()?.ip();
    let mtu = if any.is_ipv6() { sockopt::ipv6_mtu(&socket) } else { sockopt::ip_mtu(&socket) }.ok();
    let len = mtu.map_or(0, |mtu| mtu.min(9000).saturating_sub(HEADERS[usize::from(any.is_ipv6())]));
    // What cannot leave is too long for this machine's own network, which the kernel has learnt by that.
    let _ = socket.send(&vec![0; len as usize]);
    Ok((own, mtu))
}
