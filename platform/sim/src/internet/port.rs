//! A node's way onto an internet: its address, and what it wants to send.

use core::net::{SocketAddr, SocketAddrV4};
use std::collections::VecDeque;

use rift::Ecn;

use super::{HEAD_LEN, addresses, head};
use crate::packet::{NodeId, Packet};

/// One UDP socket of a node.
#[derive(Debug)]
pub struct Port {
    address: SocketAddrV4,
    internet: NodeId,
    outbox: VecDeque<(SocketAddrV4, Vec<u8>)>,
}

impl Port {
    /// A socket of this address on the internet that is node `internet`.
    #[must_use]
    pub const fn new(address: SocketAddrV4, internet: NodeId) -> Self {
        Self { address, internet, outbox: VecDeque::new() }
    }

    /// Its own address, as its node knows it.
    #[must_use]
    pub const fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// Sends a datagram as soon as the network asks.
    ///
    /// # Panics
    /// When `to` is of IPv6, which is not modelled.
    pub fn send(&mut self, to: SocketAddr, bytes: &[u8]) {
        let SocketAddr::V4(to) = to else { panic!("{to} is no address of this internet") };
        self.outbox.push_back((to, bytes.to_vec()));
    }

    /// Takes the addresses off a packet that came; tells where it is from.
    pub fn receive(&self, packet: &mut Packet) -> Option<SocketAddrV4> {
        let (source, _) = addresses(&packet.bytes)?;
        packet.bytes.drain(..HEAD_LEN);
        Some(source)
    }

    /// Writes the next datagram into `packet`, if there is one.
    pub fn poll(&mut self, packet: &mut Packet) -> bool {
        let Some((to, bytes)) = self.outbox.pop_front() else { return false };
        packet.bytes.extend_from_slice(&bytes);
        packet.ecn = Ecn::NotEct;
        self.post(packet, to);
        true
    }

    /// Puts addresses before what stands in `packet`.
    pub fn post(&self, packet: &mut Packet, to: SocketAddrV4) {
        packet.bytes.splice(..0, head(self.address, to));
        packet.to = self.internet;
    }
}
