//! What was copied, through a session: texts in, texts out, over [`rift::Channel::Clipboard`] (SPEC §14.4).
//!
//! It knows no display. A text that was begun is finished, and of several that wait the newest counts. What a peer sends
//! is bounded before it is kept, and what breaks the format ends the listening, not the session.

use rift::{Channel, ClipboardHead, Handshake, Instant, Memory, Session};

/// One session's clipboard, both ways.
#[derive(Debug, Default)]
pub struct Copied {
    /// The message being written, and how many of its bytes are.
    writing: Option<(Vec<u8>, usize)>,
    /// The newest text, to be written next.
    next: Option<String>,
    reading: Reading,
}

#[derive(Debug)]
enum Reading {
    /// So many bytes of a head.
    Head([u8; ClipboardHead::LEN], usize),
    Text {
        bytes: Vec<u8>,
        left: usize,
    },
    /// Something of another kind.
    Other {
        left: usize,
    },
    /// The peer broke the format: nothing it says there can be believed any more.
    Broken,
}

impl Default for Reading {
    fn default() -> Self {
        Self::Head([0; ClipboardHead::LEN], 0)
    }
}

impl Copied {
    /// Nothing was copied yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// This was copied here: it goes to the peer, unless it is too long. What waited to go is older and does not.
    pub fn send(&mut self, text: &str) {
        self.next = ClipboardHead::of_text(text).map(|_| text.to_owned());
    }

    /// Writes what the session takes. To be called after [`Self::send`] and when the stream is writable. What may not be
    /// sent is forgotten.
    pub fn write<M: Memory, H: Handshake>(&mut self, now: Instant, session: &mut Session<M, H>) {
        self.write_to(|bytes| session.write(now, Channel::Clipboard, bytes).ok());
    }

    fn write_to(&mut self, mut write: impl FnMut(&[u8]) -> Option<usize>) {
        loop {
            let Some((message, mut at)) = self.writing.take().or_else(|| self.next_message()) else { return };
            match write(&message[at..]) {
                Some(count) => at += count,
                // A message that was begun goes on should the right come back; one that was not need not.
                None if at == 0 => return,
                None => {}
            }
            if at < message.len() {
                self.writing = Some((message, at));
                return;
            }
        }
    }

    fn next_message(&mut self) -> Option<(Vec<u8>, usize)> {
        let text = self.next.take()?;
        let head = ClipboardHead::of_text(&text)?;
        Some(([&head.to_bytes()[..], text.as_bytes()].concat(), 0))
    }

    /// Reads what has come; gives the last text that is whole, if one is.
    pub fn read<M: Memory, H: Handshake>(&mut self, session: &mut Session<M, H>) -> Option<String> {
        let mut newest = None;
        let mut bytes = [0; 4096];
        loop {
            let count = session.read(Channel::Clipboard, &mut bytes);
            if count == 0 {
                return newest;
            }
            newest = self.take(&bytes[..count]).or(newest);
        }
    }

    fn take(&mut self, mut bytes: &[u8]) -> Option<String> {
        let mut newest = None;
        while !bytes.is_empty() {
            match &mut self.reading {
                Reading::Broken => return newest,
                Reading::Head(head, had) => {
                    let (part, rest) = bytes.split_at(bytes.len().min(ClipboardHead::LEN - *had));
                    bytes = rest;
                    head[*had..*had + part.len()].copy_from_slice(part);
                    *had += part.len();
                    if *had < ClipboardHead::LEN {
                        continue;
                    }
                    self.reading = match ClipboardHead::parse(head) {
                        Some(head) if head.len == 0 => Reading::default(),
                        Some(head) if head.kind == ClipboardHead::TEXT => {
                            Reading::Text { bytes: Vec::new(), left: head.len as usize }
                        }
                        Some(head) => Reading::Other { left: head.len as usize },
                        None => Reading::Broken,
                    };
                }
                Reading::Text { bytes: text, left } => {
                    let (part, rest) = bytes.split_at(bytes.len().min(*left));
                    bytes = rest;
                    text.extend_from_slice(part);
                    *left -= part.len();
                    if *left == 0 {
                        newest = String::from_utf8(core::mem::take(text)).ok().or(newest);
                        self.reading = Reading::default();
                    }
                }
                Reading::Other { left } => {
                    let skipped = bytes.len().min(*left);
                    bytes = &bytes[skipped..];
                    *left -= skipped;
                    if *left == 0 {
                        self.reading = Reading::default();
                    }
                }
            }
        }
        newest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything written when so many bytes fit at a time.
    fn written(copied: &mut Copied, room: usize) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let before = all.len();
            copied.write_to(|bytes| {
                let count = bytes.len().min(room - (all.len() - before));
                all.extend_from_slice(&bytes[..count]);
                Some(count)
            });
            if all.len() == before {
                return all;
            }
        }
    }

    #[test]
    fn texts_come_through_whatever_fits_at_a_time() {
        for room in [1, 4, 5, 6, 100] {
            let (mut sender, mut receiver) = (Copied::new(), Copied::new());
            for text in ["ein Text", "ü", "der nächste Text 漢字"] {
                sender.send(text);
                let bytes = written(&mut sender, room);
                let mut heard = None;
                for part in bytes.chunks(room) {
                    heard = receiver.take(part).or(heard);
                }
                assert_eq!(heard.as_deref(), Some(text), "{room} bytes at a time");
            }
        }
    }

    #[test]
    fn begun_text_is_finished_and_only_the_newest_follows() {
        let mut sender = Copied::new();
        sender.send("first");
        let mut begun = Vec::new();
        sender.write_to(|bytes| {
            let count = bytes.len().min(7 - begun.len());
            begun.extend_from_slice(&bytes[..count]);
            Some(count)
        });
        sender.send("second");
        sender.send("third");
        begun.extend(written(&mut sender, 1000));
        assert_eq!(begun, [&[1, 0, 0, 0, 5][..], b"first", &[1, 0, 0, 0, 5], b"third"].concat());
    }

    #[test]
    fn what_may_not_be_sent_is_forgotten_and_what_is_too_long_never_waits() {
        let mut sender = Copied::new();
        sender.send("secret");
        sender.write_to(|_| None);
        assert_eq!(written(&mut sender, 100), b"");
        sender.send(&"x".repeat((1 << 20) + 1));
        assert_eq!(written(&mut sender, 100), b"");
    }

    #[test]
    fn strange_messages_are_passed_over_and_impossible_ones_end_it() {
        let mut receiver = Copied::new();
        // A kind to come, text that is none, and an empty one.
        assert_eq!(receiver.take(&[9, 0, 0, 0, 3, 7, 7, 7, 1, 0, 0, 0, 1, 0xff, 1, 0, 0, 0, 0]), None);
        assert_eq!(receiver.take(&[1, 0, 0, 0, 2, b'o', b'k']).as_deref(), Some("ok"));
        assert_eq!(receiver.take(&[1, 0xff, 0, 0, 0, b'x']), None);
        assert_eq!(receiver.take(&[1, 0, 0, 0, 2, b'o', b'k']), None, "nothing is believed any more");
    }
}
