//! The messages of signalling on the control stream of a session, either side of it (SPEC §18.3).

use heapless::Vec;

use crate::crypto::Handshake;
use crate::limits::SIGNAL_LEN_MAX;
use crate::session::{SendError, Session};
use crate::storage::Memory;
use crate::time::Instant;
use crate::wire::signal::{Signal, SignalReader};
use crate::wire::stream::Channel;

/// Bytes of messages that wait for the stream to take them: two of the longest.
const WAITING_MAX: usize = 2 * SIGNAL_LEN_MAX;
/// Bytes read from the stream at once.
const PIECE_LEN: usize = 256;

/// One side of the conversation between a device and its gateway. It belongs to a session; another session has another.
#[derive(Debug)]
pub struct SignalLine {
    reader: SignalReader,
    waiting: Vec<u8, WAITING_MAX>,
}

impl SignalLine {
    /// At the beginning of a session.
    #[must_use]
    pub const fn new() -> Self {
        Self { reader: SignalReader::new(), waiting: Vec::new() }
    }

    /// Says something; it leaves as soon as the session lets it.
    ///
    /// # Errors
    /// [`SendError::Full`] when too much waits; nothing of it is said then.
    pub fn say(&mut self, signal: &Signal) -> Result<(), SendError> {
        let mut out = [0; SIGNAL_LEN_MAX];
        let len = signal.emit(&mut out).ok_or(SendError::TooLarge)?;
        self.waiting.extend_from_slice(&out[..len]).map_err(|_| SendError::Full)
    }

    /// Gives the session what waits. To be called after [`Self::say`], and whenever something may be written: upon
    /// [`Event::Admitted`](crate::Event::Admitted) and [`Event::Writable`](crate::Event::Writable).
    pub fn write<M: Memory, H: Handshake>(&mut self, now: Instant, session: &mut Session<M, H>) {
        while !self.waiting.is_empty() {
            let Ok(taken @ 1..) = session.write(now, Channel::Control, &self.waiting) else { return };
            self.waiting.copy_within(taken.., 0);
            self.waiting.truncate(self.waiting.len() - taken);
        }
    }

    /// The next message, to be asked for until there is none, upon [`Event::Readable`](crate::Event::Readable).
    pub fn hear<M: Memory, H: Handshake>(&mut self, session: &mut Session<M, H>) -> Option<Signal> {
        loop {
            if let Some(signal) = self.reader.take() {
                return Some(signal);
            }
            let mut piece = [0; PIECE_LEN];
            let most = self.reader.room().min(PIECE_LEN);
            let len = session.read(Channel::Control, &mut piece[..most]);
            if len == 0 {
                return None;
            }
            self.reader.push(&piece[..len]);
        }
    }

    /// Whether the peer has broken the format: nothing more will be heard, and the session is to be closed.
    #[must_use]
    pub const fn is_broken(&self) -> bool {
        self.reader.is_broken()
    }
}

impl Default for SignalLine {
    fn default() -> Self {
        Self::new()
    }
}
