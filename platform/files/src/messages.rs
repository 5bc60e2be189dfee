//! Messages of the file stream, put together from what comes and taken apart to what fits.

use rift::{FileHead, FileMessage, FileReason};

use crate::inbox::Offer;

/// A message that is whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Offer(Offer),
    Accept {
        offset: u64,
    },
    Data(Vec<u8>),
    Done,
    Cancel(FileReason),
    /// It breaks its format or is of no kind that is known.
    Malformed,
}

impl Heard {
    fn of(head: &FileHead, body: &[u8]) -> Self {
        match FileMessage::parse(head, body) {
            Some(FileMessage::Offer { size, digest, name }) => Self::Offer(Offer::new(size, digest, name)),
            Some(FileMessage::Accept { offset }) => Self::Accept { offset },
            Some(FileMessage::Data(bytes)) => Self::Data(bytes.to_vec()),
            Some(FileMessage::Done) => Self::Done,
            Some(FileMessage::Cancel(reason)) => Self::Cancel(reason),
            None => Self::Malformed,
        }
    }
}

/// Reads one session's stream; holds one message at most.
#[derive(Debug, Default)]
pub(crate) struct MessageReader {
    head: [u8; FileHead::LEN],
    body: Vec<u8>,
    /// The head of the message whose body is being read.
    current: Option<FileHead>,
    /// Bytes of the head, or of the body, that are there.
    had: usize,
    /// Nothing on this stream can be believed any more.
    is_broken: bool,
}

impl MessageReader {
    /// The next message that is whole, and its transfer. `read` gives what is there, 0 bytes when nothing is.
    pub(crate) fn next(&mut self, mut read: impl FnMut(&mut [u8]) -> usize) -> Option<(u32, Heard)> {
        while !self.is_broken {
            let Some(head) = self.current else {
                self.had += Some(read(&mut self.head[self.had..])).filter(|count| *count > 0)?;
                if self.had == FileHead::LEN {
                    self.had = 0;
                    self.current = FileHead::parse(&self.head);
                    self.is_broken = self.current.is_none();
                    self.body.clear();
                    self.body.resize(self.current.map_or(0, |head| head.len.into()), 0);
                }
                continue;
            };
            if self.had == self.body.len() {
                self.had = 0;
                self.current = None;
                return Some((head.transfer, Heard::of(&head, &self.body)));
            }
            self.had += Some(read(&mut self.body[self.had..])).filter(|count| *count > 0)?;
        }
        None
    }
}

/// Messages that wait for the session to take them.
#[derive(Debug, Default)]
pub(crate) struct MessageWriter {
    bytes: Vec<u8>,
    at: usize,
}

impl MessageWriter {
    pub(crate) fn push(&mut self, transfer: u32, message: &FileMessage<'_>) {
        let end = self.bytes.len();
        self.bytes.resize(end + FileHead::LEN + FileMessage::BODY_MAX, 0);
        let written = message.emit(transfer, &mut self.bytes[end..]);
        debug_assert!(written.is_some(), "no message is longer than the longest");
        self.bytes.truncate(end + written.unwrap_or(0));
    }

    /// Bytes that wait.
    pub(crate) const fn len(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Hands over what `write` takes; what it does not (`None`: none of it may be sent now) waits on.
    pub(crate) fn write(&mut self, mut write: impl FnMut(&[u8]) -> Option<usize>) {
        while self.len() > 0 {
            match write(&self.bytes[self.at..]) {
                None | Some(0) => return,
                Some(count) => self.at += count,
            }
        }
        self.bytes.clear();
        self.at = 0;
    }
}

#[cfg(test)]
mod tests {
    use rift::FileName;

    use super::*;

    fn messages() -> [FileMessage<'static>; 5] {
        let name = FileName::new("a photo.jpg").expect("it is a name");
        [
            FileMessage::Offer { size: 70_000, digest: [7; 32], name },
            FileMessage::Accept { offset: 12 },
            FileMessage::Data(&[9; FileMessage::BODY_MAX]),
            FileMessage::Done,
            FileMessage::Cancel(FileReason::Busy),
        ]
    }

    #[test]
    fn messages_come_through_whatever_fits_at_a_time() {
        for room in [1, 6, 7, 8, 1000, 100_000] {
            let (mut writer, mut reader) = (MessageWriter::default(), MessageReader::default());
            let mut heard = Vec::new();
            for (transfer, message) in (0..).zip(messages()) {
                writer.push(transfer, &message);
            }
            while writer.len() > 0 {
                let mut wire = Vec::new();
                let mut left = room;
                writer.write(|bytes| {
                    let count = bytes.len().min(left);
                    left -= count;
                    wire.extend_from_slice(&bytes[..count]);
                    Some(count)
                });
                let mut at = 0;
                let mut read = |out: &mut [u8]| {
                    let count = out.len().min(wire.len() - at);
                    out[..count].copy_from_slice(&wire[at..at + count]);
                    at += count;
                    count
                };
                heard.extend(core::iter::from_fn(|| reader.next(&mut read)));
            }
            let expected = messages().map(|message| match message {
                FileMessage::Offer { size, digest, name } => Heard::Offer(Offer::new(size, digest, name)),
                FileMessage::Accept { offset } => Heard::Accept { offset },
                FileMessage::Data(bytes) => Heard::Data(bytes.to_vec()),
                FileMessage::Done => Heard::Done,
                FileMessage::Cancel(reason) => Heard::Cancel(reason),
            });
            assert_eq!(heard, (0..).zip(expected).collect::<Vec<_>>(), "{room} bytes at a time");
        }
    }

    #[test]
    fn strange_message_is_told_and_an_impossible_one_ends_it() {
        let mut wire = vec![77, 0, 0, 0, 5, 0, 1, 0, 4, 0, 0, 0, 6, 0, 0, 3, 0, 0, 0, 7, 0xff, 0xff];
        wire.extend([4, 0, 0, 0, 8, 0, 0]);
        let mut reader = MessageReader::default();
        let mut read = |out: &mut [u8]| {
            let count = out.len().min(wire.len());
            out[..count].copy_from_slice(&wire[..count]);
            wire.drain(..count);
            count
        };
        assert_eq!(reader.next(&mut read), Some((5, Heard::Malformed)));
        assert_eq!(reader.next(&mut read), Some((6, Heard::Done)));
        assert_eq!(reader.next(&mut read), None, "its length is no message's");
        assert_eq!(reader.next(&mut read), None, "nothing is believed any more");
    }
}
