//! Datagrams to one address that came one by one leave as one batch: the kernel's way out is paid once for all of them.

use rift::{Ecn, Instant};
use rift_mio::Sender;

use crate::state::Onward;
use crate::worker::{Shared, send};

/// The most datagrams a batch may have: what Linux takes (`UDP_MAX_SEGMENTS`).
const DATAGRAMS_MAX: usize = 64;
/// The most bytes: what an IP packet can say.
const BYTES_MAX: usize = 65_000;

/// A batch that is not sent yet.
#[derive(Debug)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    to: Option<(Onward, Ecn)>,
    /// Bytes of each datagram but the last.
    stride: usize,
    count: usize,
    /// When the first of them came, if that was asked.
    since: Option<Instant>,
}

impl Outbox {
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::with_capacity(BYTES_MAX), to: None, stride: 0, count: 0, since: None }
    }

    /// Adds a datagram that came at `since`; what cannot go with it is sent before.
    pub(crate) fn put(
        &mut self,
        shared: &Shared,
        sender: &mut Sender,
        (onward, ecn): (Onward, Ecn),
        since: Option<Instant>,
        datagram: &[u8],
    ) {
        let goes_along = self.to == Some((onward, ecn))
            && datagram.len() <= self.stride
            && self.bytes.len() == self.count * self.stride
            && self.count < DATAGRAMS_MAX
            && self.bytes.len() + datagram.len() <= BYTES_MAX;
        if !goes_along {
            self.flush(shared, sender);
            (self.to, self.stride, self.since) = (Some((onward, ecn)), datagram.len(), since);
        }
        self.bytes.extend_from_slice(datagram);
        self.count += 1;
    }

    /// Sends it.
    pub(crate) fn flush(&mut self, shared: &Shared, sender: &mut Sender) {
        if let Some((onward, ecn)) = self.to.take() {
            send(shared, sender, onward, ecn, &self.bytes, self.stride);
            shared.metrics.forwarded(self.count, self.bytes.len());
            shared.resided(self.count, self.since);
        }
        self.bytes.clear();
        self.count = 0;
    }
}
