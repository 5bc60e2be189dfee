//! What travels.

use rift::Ecn;

use crate::time::Time;

/// A host of the network: stands for an address and port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

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
