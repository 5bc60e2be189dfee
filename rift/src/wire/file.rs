//! Files: messages on [`Channel::File`](super::stream::Channel) (SPEC §14.5).
//!
//! Whoever has a file offers it; the other side takes it, from where it already has it, or refuses; then come its bytes
//! and, back, whether they are what was offered. A transfer is named by who offers it. Nothing here touches a file.

use super::text::is_shown;
use super::{Reader, Writer};

/// What stands before each message.
///
/// ```text
/// 0      1             5         7
/// +------+-------------+---------+--------...
/// | kind | transfer    | length  | body
/// +------+-------------+---------+--------...
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileHead {
    /// Which message.
    pub kind: u8,
    /// Which transfer: numbered by the side that offers, a client's by even numbers, a host's by odd ones.
    pub transfer: u32,
    /// Bytes of the body.
    pub len: u16,
}

impl FileHead {
    /// Bytes of the head.
    pub const LEN: usize = 7;

    /// Reads a head; `None` when the body is longer than any message's: then nothing more on this stream can be
    /// believed.
    #[must_use]
    pub fn parse(bytes: &[u8; Self::LEN]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let head = Self { kind: reader.u8()?, transfer: reader.u32()?, len: reader.u16()? };
        (usize::from(head.len) <= FileMessage::BODY_MAX).then_some(head)
    }
}

/// A file's name: no path, nothing hidden, nothing that steers a terminal or means a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileName<'a>(&'a str);

impl<'a> FileName<'a> {
    /// Bytes of the longest.
    pub const LEN_MAX: usize = 200;

    /// A name that is safe to create in a directory of its own. `None` for an empty or long one, for one with a
    /// separator of any system, a control or a direction mark, or with a dot or a space at either end.
    #[must_use]
    pub fn new(name: &'a str) -> Option<Self> {
        let is_bad = |character: char| {
            !is_shown(character) || matches!(character, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|')
        };
        let at_edge = |character: char| matches!(character, '.' | ' ');
        let fine = !name.is_empty()
            && name.len() <= Self::LEN_MAX
            && !name.chars().any(is_bad)
            && !name.starts_with(at_edge)
            && !name.ends_with(at_edge);
        fine.then_some(Self(name))
    }

    /// The name.
    #[must_use]
    pub const fn as_str(&self) -> &'a str {
        self.0
    }
}

/// Why a transfer is not to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileReason {
    /// Nobody wants it.
    Unwanted,
    /// It is too large, or there is no room.
    TooLarge,
    /// The client has no right to it.
    NotPermitted,
    /// The file could not be read or written.
    Failed,
    /// The bytes are not those that were offered.
    Damaged,
    /// Another transfer is running.
    Busy,
}

impl FileReason {
    const ALL: [Self; 6] =
        [Self::Unwanted, Self::TooLarge, Self::NotPermitted, Self::Failed, Self::Damaged, Self::Busy];

    /// The byte that stands for it.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Unwanted => 0,
            Self::TooLarge => 1,
            Self::NotPermitted => 2,
            Self::Failed => 3,
            Self::Damaged => 4,
            Self::Busy => 5,
        }
    }

    /// The reason a byte stands for; one this version does not know is [`Self::Failed`].
    #[must_use]
    pub fn of(code: u8) -> Self {
        Self::ALL.get(usize::from(code)).copied().unwrap_or(Self::Failed)
    }
}

/// A message about a transfer.
///
/// ```text
/// 1 offer    size 8, SHA-256 32, name 1–200 (UTF-8)
/// 2 accept   from offset 8
/// 3 data     1–16384 bytes that follow those before
/// 4 done     nothing: all bytes came, and they are those that were offered
/// 5 cancel   reason 1: by either side, at any time; refuses an offer too
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileMessage<'a> {
    /// A file may be had.
    Offer {
        /// Its length in bytes.
        size: u64,
        /// The SHA-256 of all its bytes.
        digest: [u8; 32],
        /// Its name.
        name: FileName<'a>,
    },
    /// It is wanted, from this byte on: the ones before are there.
    Accept {
        /// At most the size.
        offset: u64,
    },
    /// Its next bytes.
    Data(&'a [u8]),
    /// It is there, whole.
    Done,
    /// It is not to be.
    Cancel(FileReason),
}

impl<'a> FileMessage<'a> {
    /// Bytes of the longest body.
    pub const BODY_MAX: usize = 16_384;

    /// Reads the body of a message; `None` when it breaks its format or is of an unknown kind: the transfer should then
    /// be cancelled.
    #[must_use]
    pub fn parse(head: &FileHead, body: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let message = match head.kind {
            1 => {
                let (size, digest) = (reader.u64()?, reader.bytes(32)?.try_into().ok()?);
                let name = FileName::new(core::str::from_utf8(reader.rest()).ok()?)?;
                return Some(Self::Offer { size, digest, name });
            }
            2 => Self::Accept { offset: reader.u64()? },
            3 if !body.is_empty() => return Some(Self::Data(body)),
            4 => Self::Done,
            5 => Self::Cancel(FileReason::of(reader.u8()?)),
            _ => return None,
        };
        reader.is_empty().then_some(message)
    }

    /// Writes it with its head; returns how many bytes that are, or `None` when `out` is too short or the data too long.
    pub fn emit(&self, transfer: u32, out: &mut [u8]) -> Option<usize> {
        let (kind, len) = match self {
            Self::Offer { name, .. } => (1, name.as_str().len().checked_add(40)?),
            Self::Accept { .. } => (2, 8),
            Self::Data(bytes) => (3, bytes.len()),
            Self::Done => (4, 0),
            Self::Cancel(_) => (5, 1),
        };
        if len > Self::BODY_MAX {
            return None;
        }
        let mut writer = Writer::new(out);
        writer.u8(kind)?;
        writer.u32(transfer)?;
        writer.u16(u16::try_from(len).ok()?)?;
        match self {
            Self::Offer { size, digest, name } => {
                writer.u64(*size)?;
                writer.bytes(digest)?;
                writer.bytes(name.as_str().as_bytes())?;
            }
            Self::Accept { offset } => writer.u64(*offset)?,
            Self::Data(bytes) => writer.bytes(bytes)?,
            Self::Done => {}
            Self::Cancel(reason) => writer.u8(reason.code())?,
        }
        Some(writer.len())
    }
}
