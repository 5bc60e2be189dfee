//! A file on its way: as many bytes as a session takes, whenever it takes them.

use rift::{Channel, Handshake, Instant, Memory, Session};

/// Bytes for a stream, and how many of them the session has taken.
#[derive(Clone, Debug)]
pub struct Parcel {
    channel: Channel,
    bytes: Vec<u8>,
    taken: usize,
}

impl Parcel {
    /// These bytes for this stream.
    #[must_use]
    pub const fn new(channel: Channel, bytes: Vec<u8>) -> Self {
        Self { channel, bytes, taken: 0 }
    }

    /// How many bytes the session has taken.
    #[must_use]
    pub const fn taken(&self) -> usize {
        self.taken
    }

    /// Gives the session what it takes now.
    pub(super) fn work<M: Memory, H: Handshake>(&mut self, now: Instant, session: &mut Session<M, H>) {
        let rest = &self.bytes[self.taken..];
        if !rest.is_empty() {
            self.taken += session.write(now, self.channel, rest).unwrap_or(0);
        }
    }
}
