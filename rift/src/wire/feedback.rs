//! Transport-wide feedback (SPEC §12.2), in the spirit of RFC 8888 with finer times.

use super::{Reader, Writer};
use crate::limits::FEEDBACK_PACKETS_MAX;

/// Explicit congestion notification of an IP packet (RFC 3168 §5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ecn {
    /// Not capable.
    #[default]
    NotEct,
    /// Capable, and its sender keeps queues short (L4S, RFC 9331).
    Ect1,
    /// Capable.
    Ect0,
    /// Congestion was met.
    Ce,
}

impl Ecn {
    /// The two bits of the IP header.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::NotEct => 0,
            Self::Ect1 => 1,
            Self::Ect0 => 2,
            Self::Ce => 3,
        }
    }

    /// From the low two bits of `bits`.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            1 => Self::Ect1,
            2 => Self::Ect0,
            3 => Self::Ce,
            _ => Self::NotEct,
        }
    }
}

/// When a packet arrived, as told by feedback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Microseconds before the report's reference time, in steps of [`Feedback::STEP_US`].
    pub before_us: u32,
    /// What the network wrote on it.
    pub ecn: Ecn,
}

impl Arrival {
    /// Whether it was so long ago that the report cannot say when (SPEC §12.2).
    #[must_use]
    pub fn is_long_ago(&self) -> bool {
        self.before_us >= u32::from(Feedback::STEPS_MAX).saturating_mul(Feedback::STEP_US)
    }
}

/// Which packets of a run arrived, and when.
///
/// ```text
/// 0       1                5                 9        11      13 …
/// +-------+----------------+-----------------+--------+-------+----
/// | path  | first packet,  | reference µs    | count  | item  | item …
/// | low 8 | low 32         | receiver, low 32|        |       |
/// +-------+----------------+-----------------+--------+-------+----
/// packets are counted on their path from 0
/// item: bit 15 = arrived, bits 14–13 = ECN, bits 12–0 = steps of 64 µs before the reference (8191 = or more)
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Feedback<'a> {
    /// Low 8 bits of the number of the path that is reported on.
    pub path: u8,
    /// Low 32 bits of the first packet number reported on.
    pub first: u32,
    /// When the report was made, in the receiver's microseconds, modulo 2³².
    pub reference_us: u32,
    items: &'a [u8],
}

impl<'a> Feedback<'a> {
    /// The unit of arrival times.
    pub const STEP_US: u32 = 64;
    const STEPS_MAX: u16 = 0x1fff;
    /// Bytes before the items.
    pub const HEAD_LEN: usize = 11;

    /// Reads a body.
    #[must_use]
    pub fn parse(body: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let path = reader.u8()?;
        let (first, reference_us) = (reader.u32()?, reader.u32()?);
        let count = usize::from(reader.u16()?);
        if count == 0 || count > FEEDBACK_PACKETS_MAX {
            return None;
        }
        let items = reader.bytes(count.saturating_mul(2))?;
        Some(Self { path, first, reference_us, items })
    }

    /// How many packets it reports on.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.items.len() / 2
    }

    /// Never: [`Self::parse`] refuses an empty report.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// One item per packet, in order: its arrival, or `None` if it has not arrived.
    pub fn items(&self) -> impl Iterator<Item = Option<Arrival>> + use<'a> {
        self.items.chunks_exact(2).map(|pair| {
            let item = Reader::new(pair).u16()?;
            let [high, _] = item.to_be_bytes();
            let before_us = u32::from(item & Self::STEPS_MAX).saturating_mul(Self::STEP_US);
            (item & 0x8000 != 0).then_some(Arrival { before_us, ecn: Ecn::from_bits(high >> 5) })
        })
    }

    pub(crate) fn emit(
        writer: &mut Writer<'_>,
        path: u8,
        first: u32,
        reference_us: u32,
        items: impl ExactSizeIterator<Item = Option<Arrival>>,
    ) -> Option<()> {
        writer.u8(path)?;
        writer.u32(first)?;
        writer.u32(reference_us)?;
        writer.u16(u16::try_from(items.len()).ok()?)?;
        for item in items {
            let code = item.map_or(0, |arrival| {
                let steps = arrival.before_us / Self::STEP_US;
                let steps = u16::try_from(steps).unwrap_or(Self::STEPS_MAX).min(Self::STEPS_MAX);
                0x8000 | u16::from(arrival.ecn.bits()) << 13 | steps
            });
            writer.u16(code)?;
        }
        Some(())
    }
}
