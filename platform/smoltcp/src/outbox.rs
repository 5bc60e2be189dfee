//! What a session gave out and the socket had no room for.

use core::net::SocketAddr;
use core::ops::Range;

use rift::Transmit;

/// Bytes of one batch: two datagrams of an Ethernet without jumbo frames.
const BATCH_LEN: usize = 3000;

/// Holds one batch of datagrams until the socket has taken it. A session is not asked for more before that.
#[derive(Debug)]
pub(crate) struct Outbox {
    bytes: [u8; BATCH_LEN],
    /// What is left of the batch.
    left: Range<usize>,
    segment: usize,
    to: SocketAddr,
}

impl Outbox {
    pub(crate) const fn new() -> Self {
        let nowhere = SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED), 0);
        Self { bytes: [0; BATCH_LEN], left: 0..0, segment: 1, to: nowhere }
    }

    /// Where the next batch is written; `None` while one waits.
    pub(crate) fn room(&mut self) -> Option<&mut [u8]> {
        self.left.is_empty().then_some(&mut self.bytes)
    }

    /// What was written into [`Self::room`] is a batch for `to`.
    pub(crate) fn fill(&mut self, to: SocketAddr, transmit: &Transmit) {
        self.left = 0..transmit.len.min(BATCH_LEN);
        self.segment = transmit.segment.map_or(transmit.len, usize::from).max(1);
        self.to = to;
    }

    /// One datagram for `to`, when nothing waits; `false` when something does.
    pub(crate) fn put(&mut self, to: SocketAddr, datagram: &[u8]) -> bool {
        let Some(place) = self.room().and_then(|room| room.get_mut(..datagram.len())) else { return false };
        place.copy_from_slice(datagram);
        (self.left, self.segment, self.to) = (0..datagram.len(), datagram.len().max(1), to);
        true
    }

    /// The next datagram that waits, and for whom.
    pub(crate) fn next(&self) -> Option<(SocketAddr, &[u8])> {
        let end = (self.left.start + self.segment).min(self.left.end);
        (!self.left.is_empty()).then(|| (self.to, &self.bytes[self.left.start..end]))
    }

    /// The datagram that [`Self::next`] named has left.
    pub(crate) fn pop(&mut self) {
        self.left.start = (self.left.start + self.segment).min(self.left.end);
    }

    /// Forgets what waits.
    pub(crate) fn clear(&mut self) {
        self.left = 0..0;
    }
}

#[cfg(test)]
mod tests {
    use rift::{Class, Ecn, PathId};

    use super::*;

    #[test]
    fn batch_leaves_in_its_segments_and_only_then_is_there_room() {
        let to = SocketAddr::from(([10, 0, 0, 1], 7));
        let mut outbox = Outbox::new();
        outbox.room().expect("nothing waits")[..5].copy_from_slice(&[1, 2, 3, 4, 5]);
        let transmit =
            Transmit { path: PathId(0), len: 5, segment: Some(2), class: Class::Media, ecn: Ecn::NotEct };
        outbox.fill(to, &transmit);
        for wanted in [&[1, 2][..], &[3, 4], &[5]] {
            assert!(outbox.room().is_none() && !outbox.put(to, &[9]));
            assert_eq!(outbox.next(), Some((to, wanted)));
            outbox.pop();
        }
        assert_eq!(outbox.next(), None);
        assert!(outbox.put(to, &[9]));
        outbox.clear();
        assert!(outbox.room().is_some());
    }
}
