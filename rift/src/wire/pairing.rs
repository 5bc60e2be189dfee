//! What two who pair say to each other (SPEC §8.6).

use super::{Reader, Writer};

/// A message of a pairing.
///
/// ```text
/// 0      1                                33
/// +------+--------------------------------+
/// | step | share (0) or confirmation (1)  |
/// +------+--------------------------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairingMessage {
    /// A public share.
    Share([u8; 32]),
    /// The proof of having the key.
    Confirmation([u8; 32]),
}

impl PairingMessage {
    /// Bytes of a body.
    pub const LEN: usize = 33;

    /// Reads a body.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let step = reader.u8()?;
        let value = reader.bytes(32)?.try_into().ok()?;
        match (step, reader.is_empty()) {
            (0, true) => Some(Self::Share(value)),
            (1, true) => Some(Self::Confirmation(value)),
            (_, _) => None,
        }
    }

    pub(crate) fn emit(&self, writer: &mut Writer<'_>) -> Option<()> {
        let (step, value) = match self {
            Self::Share(value) => (0, value),
            Self::Confirmation(value) => (1, value),
        };
        writer.u8(step)?;
        writer.bytes(value)
    }
}
