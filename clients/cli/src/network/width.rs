//! How long packets may be on the way to servers, found by sending some (RFC 8899): no router has to say anything. What is sent
//! is told from what is lost anyway by trying it again.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::BTreeMap;
use std::io;
use std::net::UdpSocket;

use rift::wire::stun::{self, TransactionId};
use rift_mio::Clock;
use rustix::net::sockopt;

use super::probe::{HEADERS, listen};

/// The shortest packets that are tried: servers that are not ours answer nothing that is longer than a question, or all of it.
const FLOOR: u32 = 604;
/// The longest packets that are tried: more than networks carry that were not made for more, and what a gateway reads.
const CEILING: u32 = 2048;
/// Lengths at which ways are known to end: what RIFT needs with either header, IPv6's least, tunnels, PPPoE.
const LADDER: [u32; 7] = [FLOOR, 1228, 1248, 1280, 1400, 1440, 1492];
/// Lengths that are tried at once between two.
const STEPS: u32 = 6;
/// Rounds of narrowing: 7⁴ is more than there are lengths.
const ROUNDS: usize = 5;
/// A packet is lost for its length if it was lost so often.
const TRIES: usize = 5;
/// An answer is awaited for twice as long as the longest has taken, within these.
const WAIT_US: core::ops::RangeInclusive<u64> = 60_000..=1_000_000;

/// A server, the longest packets that this machine's own network takes, and how long it has taken to answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) server: SocketAddr,
    pub(super) mtu: Option<u32>,
    pub(super) rtt_us: u64,
}

struct Search {
    way: Way,
    passed: Option<u32>,
    /// Shorter than all that did not pass.
    below: u32,
    /// Nothing is to be found.
    is_over: bool,
}

impl Search {
    fn new(way: Way) -> Self {
        let top = way.mtu.unwrap_or(1500).min(CEILING) & !3;
        Self { way, passed: None, below: top + 4, is_over: false }
    }

    /// What is tried next.
    fn lengths(&self) -> Vec<u32> {
        if self.is_over {
            return Vec::new();
        }
        let top = self.below - 4;
        let Some(passed) = self.passed else {
            return LADDER.into_iter().filter(|&len| len < top).chain([top]).collect();
        };
        let gap = (self.below - passed) / 4;
        if gap <= 1 {
            return Vec::new();
        }
        let mut lengths: Vec<_> = (1..=STEPS).map(|step| passed + 4 * (gap * step / (STEPS + 1))).collect();
        lengths.extend([passed + 4, top]);
        lengths.retain(|len| (passed + 1..self.below).contains(len));
        lengths.sort_unstable();
        lengths.dedup();
        lengths
    }

    fn on_tried(&mut self, tried: &[(u32, bool)]) {
        self.passed =
            tried.iter().filter(|(_, is_through)| *is_through).map(|&(len, _)| len).max().max(self.passed);
        self.is_over = self.passed.is_none();
        let lost = tried.iter().filter(|(_, is_through)| !is_through).map(|&(len, _)| len);
        self.below =
            lost.filter(|&len| self.passed.is_none_or(|passed| len > passed)).min().unwrap_or(self.below);
    }
}

/// The longest packets, in bytes with IP's header, that get to each of these servers, all of one family; `None` = not even short
/// ones are answered there, because it answers no questions that are longer than they have to be.
///
/// # Errors
/// There is no socket.
pub(super) fn search(any: IpAddr, ways: &[Way]) -> io::Result<Vec<Option<u32>>> {
    let socket = UdpSocket::bind((any, 0))?;
    // What routers have said before is passed over, and no packet is cut into pieces.
    if any.is_ipv6() {
        sockopt::set_ipv6_mtu_discover(&socket, sockopt::Ipv6PathMtuDiscovery::PROBE)?;
    } else {
        sockopt::set_ip_mtu_discover(&socket, sockopt::Ipv4PathMtuDiscovery::PROBE)?;
    }
    let mut searches: Vec<_> = ways.iter().map(|&way| Search::new(way)).collect();
    for _ in 0..ROUNDS {
        let mut tried: Vec<Vec<_>> = searches
            .iter()
            .map(|search| search.lengths().into_iter().map(|len| (len, false)).collect())
            .collect();
        if tried.iter().all(Vec::is_empty) {
            break;
        }
        try_all(&socket, &searches, &mut tried)?;
        for (search, tried) in searches.iter_mut().zip(&tried) {
            search.on_tried(tried);
        }
    }
    Ok(searches.into_iter().map(|search| search.passed).collect())
}

/// Tries lengths at all servers at once, again and again as long as something is missing.
fn try_all(socket: &UdpSocket, searches: &[Search], tried: &mut [Vec<(u32, bool)>]) -> io::Result<()> {
    let (clock, headers) = (Clock::new(), HEADERS[usize::from(socket.local_addr()?.is_ipv6())]);
    let mut questions: BTreeMap<TransactionId, (usize, usize)> = BTreeMap::new();
    let mut datagram = vec![0; CEILING as usize];
    for _ in 0..TRIES {
        let (mut missing, mut wait_us) = (0, *WAIT_US.start());
        for (server, (search, tried)) in searches.iter().zip(&*tried).enumerate() {
            for (at, (len, _)) in tried.iter().enumerate().filter(|(_, (_, is_through))| !is_through) {
                let mut id = TransactionId::default();
                getrandom::fill(&mut id)?;
                let request = &mut datagram[..len.saturating_sub(headers) as usize];
                let is_written = stun::write_padded_request(&id, request).is_some();
                // What cannot leave does not pass.
                if is_written && socket.send_to(request, search.way.server).is_ok() {
                    questions.insert(id, (server, at));
                    missing += 1;
                    wait_us = wait_us.max((2 * search.way.rtt_us).min(*WAIT_US.end()));
                }
            }
        }
        if missing == 0 {
            break;
        }
        let until = clock.now() + Duration::from_micros(wait_us);
        listen(socket, clock, until, |_, from, answer| {
            let id = answer.get(8..20).and_then(|id| TransactionId::try_from(id).ok());
            let Some((server, at)) = id.and_then(|id| questions.get(&id).copied()) else { return false };
            // That it does not understand the question is an answer as well.
            if searches[server].way.server == from
                && id.is_some_and(|id| stun::parse_answer(answer, &id).is_some())
            {
                missing -= usize::from(!core::mem::replace(&mut tried[server][at].1, true));
            }
            missing == 0
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches a way that takes packets of so many bytes; how many were tried.
    fn found(mtu: u32, takes: u32) -> (Option<u32>, usize) {
        let way = Way { server: ([192, 0, 2, 1], 4748).into(), mtu: Some(mtu), rtt_us: 1000 };
        let (mut search, mut count) = (Search::new(way), 0);
        for _ in 0..ROUNDS {
            let tried: Vec<_> = search.lengths().into_iter().map(|len| (len, len <= takes)).collect();
            count += tried.len();
            search.on_tried(&tried);
        }
        (search.passed, count)
    }

    #[test]
    fn every_length_is_found_with_few_packets() {
        for mtu in [1280, 1420, 1500, 9000] {
            for takes in (FLOOR..mtu.min(CEILING)).chain([mtu, 9000]) {
                let (passed, count) = found(mtu, takes);
                assert_eq!(passed, Some(takes.min(mtu).min(CEILING) & !3), "{takes} of {mtu}");
                assert!(count <= 40, "{takes} of {mtu}: {count}");
            }
        }
        assert_eq!(found(1500, 500).0, None);
    }
}
