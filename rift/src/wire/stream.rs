//! Reliable streams (SPEC §14).

use super::{Reader, Writer};
use crate::channel::Priority;
use crate::limits::STREAM_GAPS_MAX;

/// A reliable, ordered byte stream of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channel {
    /// Messages between the applications.
    Control,
    /// Cursor shapes, host to client.
    Cursor,
    /// What was copied, both ways: [`crate::wire::clipboard`].
    Clipboard,
    /// Files, both ways: [`crate::wire::file`].
    File,
}

impl Channel {
    /// All of them, by priority.
    pub const ALL: [Self; 4] = [Self::Control, Self::Cursor, Self::Clipboard, Self::File];

    /// The byte that stands for it, and its place in [`Self::ALL`].
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Control => 0,
            Self::Cursor => 1,
            Self::Clipboard => 2,
            Self::File => 3,
        }
    }

    /// The channel a byte stands for.
    #[must_use]
    pub const fn of(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Control),
            1 => Some(Self::Cursor),
            2 => Some(Self::Clipboard),
            3 => Some(Self::File),
            _ => None,
        }
    }

    /// When its parts leave (SPEC §9.1).
    #[must_use]
    pub const fn priority(self) -> Priority {
        match self {
            Self::Control => Priority::InputAndControl,
            Self::Cursor => Priority::Cursor,
            Self::Clipboard | Self::File => Priority::Bulk,
        }
    }
}

/// A part of a stream.
///
/// ```text
/// 0         1                5
/// +---------+----------------+--------...
/// | channel | offset, low 32 | bytes
/// +---------+----------------+--------...
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamPart<'a> {
    /// Which stream.
    pub channel: Channel,
    /// Where the bytes belong, counted from the stream's start, modulo 2³².
    pub offset: u32,
    /// The bytes.
    pub data: &'a [u8],
}

impl<'a> StreamPart<'a> {
    /// Bytes before the data.
    pub const HEAD_LEN: usize = 5;

    /// Reads a body.
    #[must_use]
    pub fn parse(body: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let channel = Channel::of(reader.u8()?)?;
        Some(Self { channel, offset: reader.u32()?, data: reader.rest() })
    }

    pub(crate) fn emit_head(writer: &mut Writer<'_>, channel: Channel, offset: u32) -> Option<()> {
        writer.u8(channel.code())?;
        writer.u32(offset)
    }
}

/// Runs of a stream beyond a gap: where each begins and ends, low 32 bits.
pub type Ranges = heapless::Vec<(u32, u32), STREAM_GAPS_MAX>;

/// What has been taken of a stream, and how far its sender may go.
///
/// ```text
/// 0         1                5               9
/// +---------+----------------+---------------+--------...
/// | channel | next offset    | limit offset  | up to 8 runs beyond a gap: start 4, end 4
/// +---------+----------------+---------------+--------...
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamAcknowledged {
    /// Which stream.
    pub channel: Channel,
    /// The first byte not yet taken.
    pub next: u32,
    /// The first byte that must not be sent yet.
    pub limit: u32,
    /// What is there beyond it and need not be sent again.
    pub beyond: Ranges,
}

impl StreamAcknowledged {
    /// Reads a body.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let channel = Channel::of(reader.u8()?)?;
        let (next, limit) = (reader.u32()?, reader.u32()?);
        let mut beyond = Ranges::new();
        while !reader.is_empty() {
            beyond.push((reader.u32()?, reader.u32()?)).ok()?;
        }
        Some(Self { channel, next, limit, beyond })
    }

    pub(crate) fn emit(&self, writer: &mut Writer<'_>) -> Option<()> {
        writer.u8(self.channel.code())?;
        writer.u32(self.next)?;
        writer.u32(self.limit)?;
        self.beyond.iter().try_for_each(|(start, end)| {
            writer.u32(*start)?;
            writer.u32(*end)
        })
    }
}
