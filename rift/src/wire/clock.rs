//! Clock exchange (SPEC §12.1), after the four timestamps of NTP (RFC 5905 §8).

use super::{Reader, Writer};

/// Asks for the peer's clock.
///
/// ```text
/// 0                     4
/// +---------------------+
/// | sender's µs, low 32 |
/// +---------------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockRequest {
    /// When the request left, in the sender's microseconds, modulo 2³².
    pub sent_us: u32,
}

impl ClockRequest {
    /// Reads a body.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let sent_us = Reader::new(body).u32()?;
        Some(Self { sent_us })
    }

    pub(crate) fn emit(self, writer: &mut Writer<'_>) -> Option<()> {
        writer.u32(self.sent_us)
    }
}

/// Tells one's clock.
///
/// ```text
/// 0                     4                     12             16
/// +---------------------+---------------------+--------------+
/// | the request's µs    | arrived, own µs     | held for µs  |
/// +---------------------+---------------------+--------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReply {
    /// Copied from the request.
    pub request_us: u32,
    /// When the request arrived, in the replier's microseconds.
    pub arrived_us: u64,
    /// How long the reply was held back, in microseconds.
    pub held_us: u32,
}

impl ClockReply {
    /// Reads a body.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        Some(Self { request_us: reader.u32()?, arrived_us: reader.u64()?, held_us: reader.u32()? })
    }

    pub(crate) fn emit(self, writer: &mut Writer<'_>) -> Option<()> {
        writer.u32(self.request_us)?;
        writer.u64(self.arrived_us)?;
        writer.u32(self.held_us)
    }
}
