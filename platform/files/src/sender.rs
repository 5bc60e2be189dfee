//! Files that are offered to a peer, one after another, on one session after another.

use rift::{Channel, FileMessage, FileName, FileReason, Handshake, Instant, Memory, Permissions, Session};

use crate::inbox::Offer;
use crate::messages::{Heard, MessageReader, MessageWriter};
use crate::outgoing::OutgoingFile;

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The peer has it, whole.
    Sent,
    /// The peer does not take it.
    Refused(FileReason),
    /// It changed, or could not be read any more, while it was sent.
    Changed,
}

/// How far a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes given to the session, or there before.
    pub at: u64,
    /// Bytes that were there before, as the peer says; 0 while it has not answered.
    pub resumed: u64,
    /// Bytes of all of it.
    pub size: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Not offered in this session.
    Waiting,
    Offered,
    Sending,
    Over(Outcome),
}

#[derive(Debug)]
struct Entry {
    file: OutgoingFile,
    phase: Phase,
    at: u64,
    resumed: u64,
    /// What the peer had of it was something else: it was offered once more, from the beginning.
    is_second_try: bool,
}

/// Sends files. It reads at most what one stream takes, 64 KiB, in a call.
#[derive(Debug)]
pub struct FileSender {
    entries: Vec<Entry>,
    /// The number of the present transfer. A client's are even (SPEC §14.5).
    transfer: u32,
    reader: MessageReader,
    writer: MessageWriter,
}

impl FileSender {
    /// Nothing is offered yet.
    #[must_use]
    pub fn new(files: impl IntoIterator<Item = OutgoingFile>) -> Self {
        let entry = |file| Entry { file, phase: Phase::Waiting, at: 0, resumed: 0, is_second_try: false };
        Self {
            entries: files.into_iter().map(entry).collect(),
            transfer: 0,
            reader: MessageReader::default(),
            writer: MessageWriter::default(),
        }
    }

    /// Another session begins: what is not there yet is offered again, and the peer knows what it has of it.
    pub fn begin(&mut self) {
        self.reader = MessageReader::default();
        self.writer = MessageWriter::default();
        self.transfer = 0;
        for entry in &mut self.entries {
            if !matches!(entry.phase, Phase::Over(_)) {
                entry.phase = Phase::Waiting;
            }
        }
    }

    /// Reads answers and writes what the session takes. To be called after each turn of the session.
    pub fn work<M: Memory, H: Handshake>(&mut self, now: Instant, session: &mut Session<M, H>) {
        let Some(permissions) = session.permissions() else { return };
        let may = permissions.contains(Permissions::FILE_SEND);
        while let Some((transfer, heard)) = self.reader.next(|out| session.read(Channel::File, out)) {
            self.hear(transfer, heard);
        }
        while let Some(at) = self.current() {
            if !may {
                self.entries[at].phase = Phase::Over(Outcome::Refused(FileReason::NotPermitted));
                continue;
            }
            self.writer.write(|bytes| session.write(now, Channel::File, bytes).ok());
            if self.writer.len() > 0 || !self.say_next(at) {
                return;
            }
        }
        self.writer.write(|bytes| session.write(now, Channel::File, bytes).ok());
    }

    /// How each file is, in the order in which they were given.
    pub fn files(&self) -> impl Iterator<Item = (&Offer, Progress, Option<Outcome>)> {
        self.entries.iter().map(|entry| {
            let offer = entry.file.offer();
            let outcome = match entry.phase {
                Phase::Over(outcome) => Some(outcome),
                Phase::Waiting | Phase::Offered | Phase::Sending => None,
            };
            (offer, Progress { at: entry.at, resumed: entry.resumed, size: offer.size }, outcome)
        })
    }

    /// Whether there is nothing left to do.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.current().is_none()
    }

    /// The file that is being sent.
    fn current(&self) -> Option<usize> {
        self.entries.iter().position(|entry| !matches!(entry.phase, Phase::Over(_)))
    }

    fn hear(&mut self, transfer: u32, heard: Heard) {
        if matches!(heard, Heard::Offer(_)) {
            // Who does nothing but offer fills nothing here.
            if self.writer.len() == 0 {
                self.writer.push(transfer, &FileMessage::Cancel(FileReason::Unwanted));
            }
            return;
        }
        let Some(at) = self.current().filter(|_| transfer == self.transfer) else { return };
        let entry = &mut self.entries[at];
        let size = entry.file.offer().size;
        match (heard, entry.phase) {
            (Heard::Accept { offset }, Phase::Offered) if offset <= size => {
                (entry.at, entry.resumed, entry.phase) = (offset, offset, Phase::Sending);
            }
            (Heard::Done, Phase::Sending) if entry.at == size => entry.phase = Phase::Over(Outcome::Sent),
            (Heard::Cancel(FileReason::Damaged), _) if entry.resumed > 0 && !entry.is_second_try => {
                entry.is_second_try = true;
                entry.phase = Phase::Waiting;
            }
            (Heard::Cancel(reason), Phase::Offered | Phase::Sending) => {
                entry.phase = Phase::Over(Outcome::Refused(reason));
            }
            (Heard::Accept { .. } | Heard::Done | Heard::Malformed, Phase::Offered | Phase::Sending) => {
                // It answers what was not asked.
                entry.phase = Phase::Over(Outcome::Refused(FileReason::Failed));
                self.writer.push(transfer, &FileMessage::Cancel(FileReason::Failed));
            }
            _ => {}
        }
    }

    /// Puts the next message of a file into the writer, if there is one.
    fn say_next(&mut self, at: usize) -> bool {
        let entry = &mut self.entries[at];
        let offer = entry.file.offer();
        match entry.phase {
            Phase::Waiting => {
                self.transfer = self.transfer.wrapping_add(2);
                let name = FileName::new(offer.name()).expect("an offer's name was looked at");
                let message = FileMessage::Offer { size: offer.size, digest: offer.digest, name };
                self.writer.push(self.transfer, &message);
                (entry.phase, entry.at, entry.resumed) = (Phase::Offered, 0, 0);
            }
            Phase::Sending if entry.at < offer.size => {
                let left = usize::try_from(offer.size - entry.at).unwrap_or(usize::MAX);
                let mut bytes = [0; FileMessage::BODY_MAX];
                let bytes = &mut bytes[..left.min(FileMessage::BODY_MAX)];
                if entry.file.read_at(entry.at, bytes) {
                    self.writer.push(self.transfer, &FileMessage::Data(bytes));
                    entry.at += bytes.len() as u64;
                } else {
                    self.writer.push(self.transfer, &FileMessage::Cancel(FileReason::Failed));
                    entry.phase = Phase::Over(Outcome::Changed);
                }
            }
            Phase::Offered | Phase::Sending | Phase::Over(_) => return false,
        }
        true
    }
}
