//! A model of a relay: forwards what is in envelopes of one tag between the two addresses that used the tag last.

use core::net::SocketAddrV4;
use std::collections::BTreeMap;

use rift::Instant;
use rift::wire::relay::Envelope;

use super::Port;
use crate::network::Host;
use crate::packet::Packet;

/// A relay that believes everybody; see the module.
#[derive(Debug)]
pub struct Forwarder {
    port: Port,
    ends: BTreeMap<[u8; 8], Vec<SocketAddrV4>>,
    /// Datagrams forwarded.
    pub forwarded: u64,
    /// Whether it forwards nothing any more.
    pub is_dead: bool,
}

impl Forwarder {
    /// A relay behind this socket.
    #[must_use]
    pub const fn new(port: Port) -> Self {
        Self { port, ends: BTreeMap::new(), forwarded: 0, is_dead: false }
    }
}

impl Host for Forwarder {
    fn handle_packet(&mut self, _now: Instant, packet: &mut Packet) {
        let Some(from) = self.port.receive(packet).filter(|_| !self.is_dead) else { return };
        let Some(envelope) = Envelope::parse(&packet.bytes) else { return };
        let ends = self.ends.entry(envelope.tag).or_default();
        if !ends.contains(&from) {
            ends.push(from);
            if ends.len() > 2 {
                ends.remove(0);
            }
        }
        let other = ends.iter().find(|end| **end != from);
        if let Some(&other) = other
            && !envelope.datagram.is_empty()
        {
            self.forwarded += 1;
            self.port.send(other.into(), &packet.bytes);
        }
    }

    fn poll_packet(&mut self, _now: Instant, packet: &mut Packet) -> bool {
        self.port.poll(packet)
    }

    fn next_wake(&mut self) -> Option<Instant> {
        None
    }

    fn handle_wake(&mut self, _now: Instant) {}
}
