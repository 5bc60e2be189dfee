//! Sound (SPEC §14.6).

use super::{Reader, Writer};
use crate::limits::AUDIO_KEPT_MAX;

/// What is said of a packet that rides along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Previous {
    /// How long before the message's own packet it was captured, in microseconds.
    pub before_us: u32,
    /// Its bytes.
    pub len: u16,
}

impl Previous {
    /// Bytes on the wire.
    pub const LEN: usize = 6;
}

/// A packet of sound, and those before it that ride along.
///
/// ```text
/// 0          2              6     7
/// +----------+--------------+-----+----------------------------+--------...
/// | sequence | captured,    | n   | n × (before, µs 4, bytes 2)| the n packets, newest first,
/// | low 16   | µs, low 32   | ≤ 3 | newest first               | then the packet itself
/// +----------+--------------+-----+----------------------------+--------...
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioMessage<'a> {
    /// The number of the packet, modulo 2¹⁶; the others have the numbers before it.
    pub sequence: u16,
    /// When it was captured, in the sender's microseconds, modulo 2³².
    pub captured_us: u32,
    /// What is said of those that ride along.
    heads: &'a [u8],
    /// The bytes of those that ride along, then its own.
    bytes: &'a [u8],
    /// How many of these are its own.
    own_len: usize,
}

impl<'a> AudioMessage<'a> {
    /// Bytes without packets that ride along.
    pub const HEAD_LEN: usize = 7;

    /// Reads a body; `None` when the packets do not add up, or one is empty.
    #[must_use]
    pub fn parse(body: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let (sequence, captured_us, count) = (reader.u16()?, reader.u32()?, usize::from(reader.u8()?));
        if count >= AUDIO_KEPT_MAX {
            return None;
        }
        let heads = reader.bytes(count.checked_mul(Previous::LEN)?)?;
        let bytes = reader.rest();
        let mut own_len = bytes.len();
        for previous in previous(heads) {
            if previous.len == 0 {
                return None;
            }
            own_len = own_len.checked_sub(usize::from(previous.len))?;
        }
        (own_len > 0).then_some(Self { sequence, captured_us, heads, bytes, own_len })
    }

    /// Each packet with the time of its capture (the sender's µs, low 32), its own first, then the ones before it.
    pub fn packets(&self) -> impl Iterator<Item = (u32, &'a [u8])> + use<'a> {
        let along = self.bytes.len().saturating_sub(self.own_len);
        let (mut rest, own) = self.bytes.split_at_checked(along).unwrap_or_default();
        let captured_us = self.captured_us;
        let others = previous(self.heads).map_while(move |previous| {
            let (bytes, after) = rest.split_at_checked(usize::from(previous.len))?;
            rest = after;
            Some((captured_us.wrapping_sub(previous.before_us), bytes))
        });
        core::iter::once((captured_us, own)).chain(others)
    }

    pub(crate) fn emit_head(
        writer: &mut Writer<'_>,
        sequence: u16,
        captured_us: u32,
        previous: impl ExactSizeIterator<Item = Previous>,
    ) -> Option<()> {
        writer.u16(sequence)?;
        writer.u32(captured_us)?;
        writer.u8(u8::try_from(previous.len()).ok()?)?;
        for previous in previous {
            writer.u32(previous.before_us)?;
            writer.u16(previous.len)?;
        }
        Some(())
    }
}

fn previous(heads: &[u8]) -> impl Iterator<Item = Previous> + use<'_> {
    let mut reader = Reader::new(heads);
    core::iter::from_fn(move || Some(Previous { before_us: reader.u32()?, len: reader.u16()? }))
}
