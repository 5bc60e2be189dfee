//! What a way carries upwards for a moment: some packets leave one behind the other, and the pace at which they are answered is that of
//! the narrowest place on the way (packet trains: Jain and Routhier, 1986). It is a ceiling: who else uses the line is not
//! asked to make room.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::io;
use std::net::UdpSocket;

use rift::Instant;
use rift::wire::stun::{self, TransactionId};
use rift_mio::Clock;

use super::probe::{HEADERS, listen};

/// Packets of a train, and trains to each server: 72 KB in all.
const PACKETS: usize = 20;
const TRAINS: usize = 3;
/// Bytes of each one's payload at most: what sessions send.
const PAYLOAD_MAX: u32 = 1200;
/// Fewer answers tell nothing.
const ANSWERS_MIN: usize = 8;
/// Nothing faster is told: clocks do not tell it.
const RATE_MAX_BPS: u64 = 10_000_000_000;

/// How fast bursts went up to a server that has taken so long to answer, in bits per second with headers: the median of the
/// trains. `None` = too few packets were answered. `widest` is the longest packet that passes, in bytes.
pub(super) fn measure(any: IpAddr, server: SocketAddr, widest: u32, rtt_us: u64) -> io::Result<Option<u64>> {
    let headers = HEADERS[usize::from(any.is_ipv6())];
    let payload = widest.saturating_sub(headers).min(PAYLOAD_MAX) & !3;
    let socket = UdpSocket::bind((any, 0))?;
    let mut rates = Vec::new();
    for _ in 0..TRAINS {
        let heard = train(&socket, server, payload as usize, rtt_us)?;
        rates.extend(rate_bps(&heard, u64::from(payload + headers)));
    }
    rates.sort_unstable();
    Ok(rates.get(rates.len() / 2).copied())
}

/// When the answers to one train came.
fn train(socket: &UdpSocket, server: SocketAddr, payload: usize, rtt_us: u64) -> io::Result<Vec<Instant>> {
    let (clock, mut datagram) = (Clock::new(), vec![0; payload]);
    let mut ids = [TransactionId::default(); PACKETS];
    for id in &mut ids {
        getrandom::fill(id)?;
    }
    for id in &ids {
        if stun::write_padded_request(id, &mut datagram).is_some() {
            // What does not leave is lost, as on the way.
            let _ = socket.send_to(&datagram, server);
        }
    }
    let mut heard = Vec::new();
    let until = clock.now() + Duration::from_micros((3 * rtt_us).clamp(200_000, 1_000_000));
    listen(socket, clock, until, |at, from, answer| {
        let is_one = from == server && ids.iter().any(|id| stun::parse_answer(answer, id).is_some());
        heard.extend(is_one.then_some(at));
        heard.len() == PACKETS
    })?;
    Ok(heard)
}

/// What the answers of one train tell, of packets of `len` bytes.
fn rate_bps(heard: &[Instant], len: u64) -> Option<u64> {
    let (first, last) = (heard.iter().min()?, heard.iter().max()?);
    let bits = 8 * len * (heard.len() as u64 - 1);
    let took_us = last.micros_since(*first).max(1);
    (heard.len() >= ANSWERS_MIN).then(|| (bits * 1_000_000 / took_us).min(RATE_MAX_BPS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pace_of_the_answers_is_that_of_the_way_and_losses_slow_it_down() {
        // 1228 bytes each millisecond.
        let at = |ms: &[u64]| ms.iter().map(|&ms| Instant::from_millis(ms)).collect::<Vec<_>>();
        let all: Vec<u64> = (100..120).collect();
        assert_eq!(rate_bps(&at(&all), 1228), Some(9_824_000));
        let half: Vec<u64> = all.iter().copied().step_by(2).collect();
        assert_eq!(rate_bps(&at(&half), 1228), Some(4_912_000));
        assert_eq!(rate_bps(&at(&all[..4]), 1228), None, "too few");
        assert_eq!(rate_bps(&[Instant::ZERO; 20], 1228), Some(RATE_MAX_BPS));
        assert_eq!(rate_bps(&[], 1228), None);
    }
}
