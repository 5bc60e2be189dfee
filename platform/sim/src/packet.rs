//! What travels.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;

use rift::Ecn;

use crate::time::Time;

/// A host of the network: stands for an address and port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

impl NodeId {
    /// Names of addresses begin here.
    const FIRST_ADDRESS: usize = 1 << 48;

    /// A name for an address that is no node of a network: for peers that see addresses only, on
    /// [`internet`](crate::internet).
    #[must_use]
    pub fn of_address(address: SocketAddrV4) -> Self {
        let ip = usize::try_from(address.ip().to_bits()).expect("32 bits");
        Self(Self::FIRST_ADDRESS | ip << 16 | usize::from(address.port()))
    }

    /// The address this is a name for.
    #[must_use]
    pub fn address(self) -> Option<SocketAddrV4> {
        let bits = self.0.checked_sub(Self::FIRST_ADDRESS)?;
        let ip = Ipv4Addr::from_bits(u32::try_from(bits >> 16).ok()?);
        Some(SocketAddrV4::new(ip, u16::try_from(bits & 0xffff).ok()?))
    }
}

/// A datagram under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// Its UDP payload. The buffer goes back to the network's pool when the packet ends.
    pub bytes: Vec<u8>,
    /// Its ECN field.
    pub ecn: Ecn,
    /// Where it comes from: the network fills in the node's address; the node may change it to another one of its own.
    pub from: NodeId,
    /// Whom it is for.
    pub to: NodeId,
    /// When it was sent. The network fills this in.
    pub sent_at: Time,
    /// How many links of its route it has behind it.
    pub(crate) hop: usize,
}

/// A packet as it was sent, kept by the tap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// When.
    pub at: Time,
    /// By whom.
    pub from: NodeId,
    /// To whom.
    pub to: NodeId,
    /// With which ECN field.
    pub ecn: Ecn,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What a tamperer does with a packet that was just sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes its way.
    Pass,
    /// It vanishes.
    Drop,
    /// It enters its route only after this long.
    Delay(Duration),
    /// It goes its way, and a copy enters the route after this long.
    Duplicate(Duration),
}

/// What a host sent and received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeStats {
    /// Packets it sent.
    pub sent: u64,
    /// Payload bytes it sent.
    pub sent_bytes: u64,
    /// Packets that reached it.
    pub received: u64,
    /// Payload bytes that reached it.
    pub received_bytes: u64,
    /// Packets it sent to where no route leads.
    pub unroutable: u64,
}

/// Buffers that have been used and wait to be used again.
#[derive(Debug, Default)]
pub(crate) struct Pool(Vec<Vec<u8>>);

impl Pool {
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.0.pop().unwrap_or_else(|| Vec::with_capacity(1500))
    }

    pub(crate) fn give(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        self.0.push(buffer);
    }
}
