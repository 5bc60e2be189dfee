//! Sending what is no session's own datagram: envelopes to relays, and what a gateway and introduced peers get.

use core::net::SocketAddr;

use rift::wire::relay::{ENVELOPE_LEN, Envelope, LEASE_TAG_LEN};
use rift::{Class, Ecn, PathId, Transmit};

use crate::outbox::{Blocked, Wire};
use crate::socket::{Destination, Sender};

/// Bytes and datagrams that leave in envelopes at once: what the kernel cuts.
const ENVELOPES_LEN: usize = 60_000;
const ENVELOPES_MAX: usize = 64;

impl Sender {
    /// These are the ways through relays now.
    pub(crate) fn set_ways(&mut self, ways: Vec<([u8; LEASE_TAG_LEN], SocketAddr)>) {
        self.ways = ways;
    }

    /// Sends one datagram that is no session's; one for which there is no room is lost.
    pub(crate) fn put_small(&mut self, to: SocketAddr, bytes: &[u8]) {
        let (path, len) = (PathId(0), bytes.len());
        let transmit = Transmit { path, len, segment: None, class: Class::Realtime, ecn: Ecn::NotEct };
        let _ = self.put(Destination { to, source: None }, &transmit, bytes);
    }

    /// Puts each datagram into an envelope and sends them to the relay.
    pub(crate) fn put_relayed(
        &mut self,
        tag: [u8; LEASE_TAG_LEN],
        destination: Destination,
        transmit: &Transmit,
        bytes: &[u8],
    ) -> Result<(), Blocked> {
        // Without its lease there is no way any more.
        let Some(&(_, relay)) = self.ways.iter().find(|(known, _)| *known == tag) else { return Ok(()) };
        let segment = transmit.segment.map_or(bytes.len(), usize::from).max(1);
        let enclosed = segment + ENVELOPE_LEN;
        let at_once = (ENVELOPES_LEN / enclosed).clamp(1, ENVELOPES_MAX);
        let mut envelopes = core::mem::take(&mut self.envelopes);
        let (mut sent, mut outcome) = (0, Ok(()));
        for part in bytes.chunks(segment * at_once) {
            envelopes.clear();
            for datagram in part.chunks(segment) {
                envelopes.extend_from_slice(&Envelope::head(tag));
                envelopes.extend_from_slice(datagram);
            }
            let stride = u16::try_from(enclosed).ok().filter(|_| part.len() > segment);
            let transmit = Transmit { len: envelopes.len(), segment: stride, ..*transmit };
            // It was bound from where the kernel sends to it.
            let to = Destination { to: relay, source: None };
            if let Err(blocked) = self.put(to, &transmit, &envelopes) {
                sent += blocked.sent / enclosed * segment;
                outcome = Err(Blocked { sent });
                break;
            }
            sent += part.len();
        }
        self.envelopes = envelopes;
        if let Some((_, len)) = self.too_long.filter(|&(to, _)| to == relay) {
            self.too_long = Some((destination.to, len.saturating_sub(ENVELOPE_LEN as u16)));
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::net::UdpSocket;

    use super::*;
    use crate::meet::way;
    use crate::socket::{Socket, SocketConfig};

    #[test]
    fn each_datagram_of_a_batch_gets_an_envelope_and_nothing_leaves_without_a_lease() {
        let relay = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        relay.set_read_timeout(Some(Duration::from_secs(20))).expect("a time");
        let own = "127.0.0.1:0".parse().expect("an address");
        let mut socket = Socket::bind(&SocketConfig::default(), own).expect("a free port");
        let tag = [1, 2, 3, 4, 5, 6, 7, 8];
        let to = Destination { to: way::of(tag), source: None };
        let (path, class, ecn) = (PathId(0), Class::Media, Ecn::NotEct);
        let transmit = Transmit { path, len: 10, segment: Some(4), class, ecn };
        socket.send(to, &transmit, b"abcdefghij").expect("it is lost");
        assert_eq!(socket.stats().datagrams_sent, 0);
        let address = relay.local_addr().expect("it is bound");
        socket.sender().set_ways(vec![([9; 8], own), (tag, address)]);
        socket.send(to, &transmit, b"abcdefghij").expect("there is room");
        let mut bytes = [0; 64];
        for datagram in [&b"abcd"[..], b"efgh", b"ij"] {
            let len = relay.recv(&mut bytes).expect("it comes");
            assert_eq!(Envelope::parse(&bytes[..len]), Some(Envelope { tag, datagram }));
        }
        assert_eq!(socket.stats().datagrams_sent, 3);
    }
}
