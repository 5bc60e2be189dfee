//! Asks a STUN server for this side's address, from the socket that is to be used (SPEC §18.2).

use core::net::SocketAddr;

use crate::time::Instant;
use crate::wire::stun::{self, TransactionId};

/// Requests are repeated after this long at first, then after twice as long each time. RFC 8489 §6.2.1 has 500 ms where
/// nothing is known; a person waits here, and seven requests are bound enough.
const REPEAT_US: u64 = 200_000;
/// Requests that leave (RFC 8489 §6.2.1: Rc).
const REQUESTS_MAX: u8 = 7;

/// One question to one server; see the module. Nobody but who sees the question can answer it.
#[derive(Clone, Debug)]
pub struct StunClient {
    server: SocketAddr,
    id: TransactionId,
    sent: u8,
    due: Instant,
    outcome: Option<Result<SocketAddr, u16>>,
}

impl StunClient {
    /// Asks `server` from now on. `id` is 12 bytes that nobody can guess and that were never used before.
    #[must_use]
    pub const fn new(now: Instant, server: SocketAddr, id: TransactionId) -> Self {
        Self { server, id, sent: 0, due: now, outcome: None }
    }

    /// Takes a STUN datagram; whether it is the answer.
    pub fn handle_datagram(&mut self, from: SocketAddr, datagram: &[u8]) -> bool {
        if from != self.server || self.outcome.is_some() {
            return false;
        }
        self.outcome = stun::parse_answer(datagram, &self.id);
        self.outcome.is_some()
    }

    /// Writes the next request to `out` and tells its length and where it goes, if one is due.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut [u8]) -> Option<(usize, SocketAddr)> {
        if self.poll_timeout()? > now || self.sent == REQUESTS_MAX {
            return None;
        }
        let len = stun::write_request(&self.id, out)?;
        self.due = now.plus_micros(REPEAT_US << self.sent);
        self.sent += 1;
        Some((len, self.server))
    }

    /// When [`Self::poll_transmit`] or [`Self::is_over`] has something new to say; `None` = it is over.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.outcome.is_none().then_some(self.due)
    }

    /// The address from which the server was asked, as the server sees it.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.outcome.and_then(Result::ok)
    }

    /// Whether there is an answer, or none will come.
    #[must_use]
    pub fn is_over(&self, now: Instant) -> bool {
        self.outcome.is_some() || self.sent == REQUESTS_MAX && self.due <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: ([u8; 4], u16) = ([192, 0, 2, 1], 3478);

    #[test]
    fn answer_of_the_server_ends_the_question_and_nobody_elses_does() {
        let mut client = StunClient::new(Instant::ZERO, SERVER.into(), [7; 12]);
        let (mut request, mut answer) = ([0; 64], [0; 64]);
        let (len, to) = client.poll_transmit(Instant::ZERO, &mut request).unwrap();
        assert_eq!(to, SERVER.into());
        let me = "203.0.113.5:4747".parse().unwrap();
        let answer_len = stun::answer(&request[..len], me, &mut answer).unwrap();
        assert!(!client.handle_datagram("192.0.2.2:3478".parse().unwrap(), &answer[..answer_len]));
        assert!(client.handle_datagram(SERVER.into(), &answer[..answer_len]));
        assert_eq!((client.address(), client.poll_timeout()), (Some(me), None));
    }

    #[test]
    fn silent_server_is_asked_seven_times_and_then_given_up() {
        let mut client = StunClient::new(Instant::ZERO, SERVER.into(), [7; 12]);
        let (mut asked, mut now) = (0, Instant::ZERO);
        while !client.is_over(now) {
            now = client.poll_timeout().unwrap();
            asked += u32::from(client.poll_transmit(now, &mut [0; 64]).is_some());
        }
        assert_eq!((asked, now), (7, Instant::from_micros(127 * REPEAT_US)));
    }
}
