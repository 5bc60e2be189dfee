//! Sound cards by ALSA: a source and a sink with small periods that survive what a card does.
//!
//! A device is a name that ALSA knows (`default`, `hw:1,0`, `plughw:CARD=Capture`) or the short name of a card, as the file
//! `/proc/asound/cards` has it in brackets, which is then `plughw:CARD=NAME`. Sound servers are devices like others: `default`
//! is PipeWire's or PulseAudio's where one runs. Frames that come too late or are not taken in time are counted and the
//! device goes on; one that is gone is tried again with pauses from a tenth of a second up to five.
//!
//! The bindings are `alsa`, which is kept up. There is no portable layer such as `cpal` between. Its 0.18.2 is bound to `alsa`
//! 0.11 and this to 0.12; both bring a crate that links libasound under the same name, and cargo puts no two such into one
//! program. Going back would not be enough: a callback on a thread of its own asks for samples when a period is due, so that
//! a buffer and a second thread lie between the player and its card, and a device that was lost is the caller's to find again.
//! [`rift_hal::AudioSink`] is where another system's sound would be joined.

mod device;
mod held;
mod retry;
mod sink;
mod source;

pub use device::{Device, Direction, cards, check, devices};
pub use sink::AlsaSink;
pub use source::AlsaSource;

/// Why there is no sound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AlsaError {
    /// There is no such device.
    #[error("there is no sound device {0}: `wavry doctor` lists those there are")]
    Missing(String),
    /// This user may not open it.
    #[error("no permission to open the sound device {0}: add the user to the group `audio` and log in again")]
    NotPermitted(String),
    /// Another program has it.
    #[error(
        "the sound device {0} is in use by another program; `default` shares it where a sound server runs"
    )]
    Busy(String),
    /// It does not take 48 kHz stereo in 16 bits.
    #[error("the sound device {device} does not take {what}: plughw:… instead of hw:… converts")]
    Unsupported {
        /// The device.
        device: String,
        /// What it does not take.
        what: &'static str,
    },
    /// It was unplugged, or its driver was unloaded.
    #[error("the sound device {0} is gone: it was unplugged, its driver unloaded, or its sound server ended")]
    Gone(String),
    /// It runs and gives or takes nothing.
    #[error("the sound device {0} stands still")]
    Stalled(String),
    /// ALSA refused something else.
    #[error("the sound device {device}: {call} failed: {error}")]
    Library {
        /// The device.
        device: String,
        /// What was asked of ALSA.
        call: &'static str,
        /// Its answer.
        error: String,
    },
}
