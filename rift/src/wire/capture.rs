//! The state of the host's capture (SPEC §11.8).

use super::{Reader, Writer};
use crate::channel::capture::{CaptureCondition, SignalDescription};

impl CaptureCondition {
    /// All of them, by code.
    pub const ALL: [Self; 8] = [
        Self::NoDevice,
        Self::NoSignal,
        Self::NoLock,
        Self::OutOfRange,
        Self::Negotiating,
        Self::Streaming,
        Self::Stalled,
        Self::Failed,
    ];

    /// The byte that stands for it.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::NoDevice => 0,
            Self::NoSignal => 1,
            Self::NoLock => 2,
            Self::OutOfRange => 3,
            Self::Negotiating => 4,
            Self::Streaming => 5,
            Self::Stalled => 6,
            Self::Failed => 7,
        }
    }

    /// The condition a byte stands for.
    #[must_use]
    pub fn of(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// What the capture is doing.
///
/// ```text
/// 0           1          3               7
/// +-----------+----------+---------------+--------...
/// | condition | change   | age when sent | signal, printable ASCII,
/// |           | modulo   | in ms         | up to 48 bytes
/// |           | 2¹⁶      |               |
/// +-----------+----------+---------------+--------...
/// 0 no device · 1 no signal · 2 no lock · 3 out of range · 4 negotiating · 5 streaming · 6 stalled · 7 failed
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaptureStateMessage {
    /// What it is.
    pub condition: CaptureCondition,
    /// Counts the changes: a repetition has the same.
    pub change: u16,
    /// How long it has been so when this was sent, in milliseconds.
    pub age_ms: u32,
    /// What is known of the signal.
    pub signal: SignalDescription,
}

impl CaptureStateMessage {
    /// Reads a body; `None` when the condition is unknown or the description is not one.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let condition = CaptureCondition::of(reader.u8()?)?;
        let (change, age_ms) = (reader.u16()?, reader.u32()?);
        let signal = SignalDescription::from_bytes(reader.rest())?;
        Some(Self { condition, change, age_ms, signal })
    }

    pub(crate) fn emit(self, writer: &mut Writer<'_>) -> Option<()> {
        writer.u8(self.condition.code())?;
        writer.u16(self.change)?;
        writer.u32(self.age_ms)?;
        writer.bytes(self.signal.as_bytes())
    }
}
