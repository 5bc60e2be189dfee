//! Takes a session's batches apart into datagrams, as segmentation offload does.

use rift::{Ecn, Transmit};

use crate::packet::{NodeId, Packet};

/// Where sessions write what they send.
pub(super) struct Outbox {
    buffer: Vec<u8>,
    at: usize,
    end: usize,
    segment: usize,
    ecn: Ecn,
    to: NodeId,
    /// Another of the node's addresses than its usual one.
    from: Option<NodeId>,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self {
            buffer: vec![0; 65_536],
            at: 0,
            end: 0,
            segment: 0,
            ecn: Ecn::NotEct,
            to: NodeId(0),
            from: None,
        }
    }

    /// The buffer to write to; only while [`Self::take`] returns `false`.
    pub(super) fn buffer(&mut self) -> &mut [u8] {
        &mut self.buffer
    }

    /// A session has written `transmit`.
    pub(super) fn fill(&mut self, transmit: &Transmit, to: NodeId) {
        assert!(transmit.len > 0 && transmit.len <= self.buffer.len(), "a batch of {} bytes", transmit.len);
        self.segment = transmit.segment.map_or(transmit.len, usize::from);
        assert!(self.segment > 0, "segments have a length");
        (self.at, self.end, self.ecn, self.to) = (0, transmit.len, transmit.ecn, to);
        self.from = None;
    }

    /// What was written leaves from this address.
    pub(super) const fn leave_from(&mut self, from: Option<NodeId>) {
        self.from = from;
    }

    /// A reply without a session has been written.
    pub(super) fn fill_reply(&mut self, len: usize, to: NodeId) {
        (self.at, self.end, self.segment, self.ecn, self.to) = (0, len, len, Ecn::NotEct, to);
        self.from = None;
    }

    /// Moves the next datagram out, if there is one.
    pub(super) fn take(&mut self, packet: &mut Packet) -> bool {
        if self.at == self.end {
            return false;
        }
        let end = self.end.min(self.at + self.segment);
        packet.bytes.extend_from_slice(&self.buffer[self.at..end]);
        (packet.ecn, packet.to) = (self.ecn, self.to);
        packet.from = self.from.unwrap_or(packet.from);
        self.at = end;
        true
    }
}
