//! Capture cards and cameras as a video source, by Video4Linux2.
//!
//! Frames are lent where the driver put them: memory mapped buffers, with the driver's own stride. The newest wins:
//! every poll takes all that are ready and keeps the last, so a slow reader loses frames and never time.
//! A signal without changes still gives frames; whoever encodes decides whether they differ.
//!
//! A source survives what a card, a cable and a driver do: a [`CaptureMachine`] watches the signal, the frames and the
//! errors, and opens, sets and starts again as needed. Meanwhile there is no new frame, the last one stays, and
//! [`V4lSource::state`] says why.
//!
//! Taken as they are: I420, NV12, YUYV, UYVY and BGRX. Motion JPEG is decoded to I420, RGB and BGR of
//! three bytes are converted to it. Drivers that know planes only (`VIDEO_CAPTURE_MPLANE`) are spoken to in their way,
//! whether a frame lies in one buffer or each plane in one of its own. Memory is the driver's, or this process's where
//! the driver has none; the driver's can be exported ([`V4lSource::export`]) to devices that read it where it lies.
//! A device that encodes gives its H.264 pictures instead, in order and each of them ([`V4lSource::poll_coded`]).
//! Colours are passed on as the card codes them; most code high definition as BT.709, limited range.

mod annexb;
mod controls;
mod decoder;
mod device;
mod edid;
mod events;
mod format;
mod input;
mod memory;
mod mjpeg;
mod queue;
mod rgb;
mod setting;
mod source;
mod state;
mod timings;

use std::io;
use std::path::PathBuf;

pub use annexb::{Access, PARAMETERS_MAX};
pub use controls::set_control;
pub use device::{DeviceInfo, devices, lasting_path};
pub use edid::{Edid, EdidError, edid};
pub use format::{Encoding, FourCc, Layout, Memory, Offer, Options, PLANES_MAX, Place, choose};
pub use input::Input;
pub use mjpeg::{MjpegDecoder, MjpegError};
pub use queue::Moment;
pub use rgb::Order;
pub use source::{CodedFrame, Exported, ExportedPlane, V4lSource};
pub use state::{CaptureMachine, CaptureState, Fault, Signal, Step, Timings};

/// Why a device gives no frames.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum V4lError {
    /// There is no such device.
    #[error("there is no {0}: is the card plugged in and its driver loaded?")]
    Missing(PathBuf),
    /// This user may not open it.
    #[error("no permission to open {0}: add the user to the group `video` and log in again")]
    NotPermitted(PathBuf),
    /// Another program captures from it.
    #[error("{0} is in use by another program: `fuser -v {0}` says which")]
    Busy(PathBuf),
    /// It is no capture device, or one of a kind not taken here.
    #[error("{path} cannot be captured from: {why}")]
    NotCapture {
        /// The device.
        path: PathBuf,
        /// What it lacks.
        why: &'static str,
    },
    /// It has no pixel format that is taken here.
    #[error(
        "{path} gives only {offered}; taken are YU12, YM12, NV12, NM12, YUYV, UYVY, XR24, BGR3, RGB3, MJPG, H264"
    )]
    NoFormat {
        /// The device.
        path: PathBuf,
        /// The formats it has, separated by blanks.
        offered: String,
    },
    /// The device is gone: unplugged, or its driver was unloaded.
    #[error("{0} is gone: it was unplugged or its driver was unloaded")]
    Gone(PathBuf),
    /// The device is gone and another one has taken its number.
    #[error(
        "{path} is another device now, a {card}; a link below /dev/v4l/by-id would follow the old one to any socket"
    )]
    Other {
        /// The device's old number.
        path: PathBuf,
        /// What the maker of the new one calls it.
        card: String,
    },
    /// The kernel refused.
    #[error("cannot {action} of {path}: {source}")]
    Kernel {
        /// What was tried: `set the format`, `take a frame`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl V4lError {
    /// Whether the kernel called what was asked invalid.
    pub(crate) fn is_invalid(&self) -> bool {
        let Self::Kernel { source, .. } = self else { return false };
        source.raw_os_error() == Some(libc::EINVAL)
    }

    /// What follows from it.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Missing(_) | Self::Gone(_) | Self::Other { .. } => Fault::Gone,
            Self::NotPermitted(_) | Self::Busy(_) | Self::NotCapture { .. } | Self::NoFormat { .. } => {
                Fault::Refused
            }
            Self::Kernel { .. } => Fault::Broken,
        }
    }
}
