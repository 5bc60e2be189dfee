//! What was copied: messages on [`Channel::Clipboard`](super::stream::Channel) (SPEC §14.4).

use super::{Reader, Writer};

/// What stands before the bytes of something that was copied.
///
/// ```text
/// 0      1             5
/// +------+-------------+--------...
/// | kind | length      | bytes
/// +------+-------------+--------...
/// kind: 1 = text, UTF-8 with "\n" between lines; another kind is passed over by its length
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClipboardHead {
    /// What the bytes are.
    pub kind: u8,
    /// How many they are; at most [`Self::LEN_MAX`].
    pub len: u32,
}

impl ClipboardHead {
    /// Bytes of the head.
    pub const LEN: usize = 5;
    /// Text.
    pub const TEXT: u8 = 1;
    /// The most that may be copied at once: a long document as text. Who has more copied sends nothing.
    pub const LEN_MAX: u32 = 1 << 20;

    /// Reads a head; `None` when more follows than may: then nothing more on this stream can be believed.
    #[must_use]
    pub fn parse(bytes: &[u8; Self::LEN]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let head = Self { kind: reader.u8()?, len: reader.u32()? };
        (head.len <= Self::LEN_MAX).then_some(head)
    }

    /// The head of `text`; `None` when it is too long.
    #[must_use]
    pub fn of_text(text: &str) -> Option<Self> {
        let len = u32::try_from(text.len()).ok().filter(|&len| len <= Self::LEN_MAX)?;
        Some(Self { kind: Self::TEXT, len })
    }

    /// Its bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let mut writer = Writer::new(&mut bytes);
        let written = writer.u8(self.kind).and_then(|()| writer.u32(self.len));
        debug_assert!(written.is_some(), "LEN is the sum of the fields");
        bytes
    }
}
