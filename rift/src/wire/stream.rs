//! Reliable streams (SPEC §14).

use super::{Reader, Writer};

/// A reliable, ordered byte stream of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channel {
    /// Messages between the applications.
    Control,
    /// Cursor shapes, host to client.
    Cursor,
}

impl Channel {
    /// All of them, by priority.
    pub const ALL: [Self; 2] = [Self::Control, Self::Cursor];

    /// The byte that stands for it, and its place in [`Self::ALL`].
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Control => 0,
            Self::Cursor => 1,
        }
    }

    /// The channel a byte stands for.
    #[must_use]
    pub const fn of(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Control),
            1 => Some(Self::Cursor),
            _ => None,
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

/// What has been taken of a stream, and how far its sender may go.
///
/// ```text
/// 0         1                5               9
/// +---------+----------------+---------------+
/// | channel | next offset    | limit offset  |
/// +---------+----------------+---------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamAcknowledged {
    /// Which stream.
    pub channel: Channel,
    /// The first byte not yet taken.
    pub next: u32,
    /// The first byte that must not be sent yet.
    pub limit: u32,
}

impl StreamAcknowledged {
    /// Reads a body.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let channel = Channel::of(reader.u8()?)?;
        Some(Self { channel, next: reader.u32()?, limit: reader.u32()? })
    }

    pub(crate) fn emit(self, writer: &mut Writer<'_>) -> Option<()> {
        writer.u8(self.channel.code())?;
        writer.u32(self.next)?;
        writer.u32(self.limit)
    }
}
