//! Fresh keys (SPEC §5.4). Noise messages are opaque here.

use super::{Reader, Writer};
use crate::crypto::renewal::RENEWAL_LEN;

/// A message of the exchange that replaces a session's keys; the client's request and the host's reply look alike.
///
/// ```text
/// 0            4                       52
/// +------------+-----------------------+
/// | generation | Noise NNpsk0 message  |
/// +------------+-----------------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewing {
    /// Which keys are to come: those of the handshake are generation 0.
    pub generation: u32,
    /// The Noise message.
    pub message: [u8; RENEWAL_LEN],
}

impl Renewing {
    /// Reads a body.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let generation = reader.u32()?;
        let message = reader.bytes(RENEWAL_LEN)?.try_into().ok()?;
        Some(Self { generation, message })
    }

    pub(crate) fn emit(self, writer: &mut Writer<'_>) -> Option<()> {
        writer.u32(self.generation)?;
        writer.bytes(&self.message)
    }
}
