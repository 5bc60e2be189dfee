//! What the host's capture is doing: why there is a picture, or why there is none (SPEC §11.8).
//!
//! It knows nothing of cards or screens; whoever captures says what became of it, and the viewer hears of each change.

use crate::time::Instant;

/// What is known of a capture device and of the signal at its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CaptureCondition {
    /// The device is not there.
    NoDevice,
    /// Nothing is plugged into the input, or the machine behind it is off or asleep.
    NoSignal,
    /// There is a signal that the device cannot lock to.
    NoLock,
    /// There is a signal beyond what the device can take.
    OutOfRange,
    /// The device is being set to its signal, or its first frame is awaited.
    Negotiating,
    /// Frames arrive.
    Streaming,
    /// The signal is there and frames have ceased to arrive.
    Stalled,
    /// The device refuses; it is tried again.
    Failed,
}

/// The state of a host's capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaptureState {
    /// What it is.
    pub condition: CaptureCondition,
    /// Since when, on this side's clock. At the viewer it is late by the time the message was on its way.
    pub since: Instant,
    /// What is known of the signal, for people to read.
    pub signal: SignalDescription,
}

/// A few words about a signal, `1920x1080 at 60.00 Hz` for instance: printable ASCII, so that whoever writes it can
/// neither steer a terminal nor turn the direction of text around it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SignalDescription {
    bytes: [u8; Self::LEN_MAX],
    len: u8,
}

impl SignalDescription {
    /// Bytes of the longest: a resolution, a rate, a colour format and an input's name.
    pub const LEN_MAX: usize = 48;

    /// Nothing is known.
    pub const NONE: Self = Self { bytes: [0; Self::LEN_MAX], len: 0 };

    /// These words, cut at [`Self::LEN_MAX`] characters; what is not printable ASCII becomes `?`.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut description = Self::NONE;
        for (to, character) in description.bytes.iter_mut().zip(text.chars()) {
            *to = u8::try_from(character).ok().filter(|byte| is_printable(*byte)).unwrap_or(b'?');
            description.len += 1;
        }
        description
    }

    /// As it stands on the wire; `None` when it is too long or not printable.
    pub(crate) fn from_bytes(text: &[u8]) -> Option<Self> {
        let mut description = Self::NONE;
        description.bytes.get_mut(..text.len())?.copy_from_slice(text);
        description.len = u8::try_from(text.len()).ok()?;
        text.iter().all(|byte| is_printable(*byte)).then_some(description)
    }

    /// The words.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Both constructors take printable ASCII only.
        core::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

const fn is_printable(byte: u8) -> bool {
    byte == b' ' || byte.is_ascii_graphic()
}

impl core::fmt::Debug for SignalDescription {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Debug::fmt(self.as_str(), f)
    }
}

impl core::fmt::Display for SignalDescription {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}
