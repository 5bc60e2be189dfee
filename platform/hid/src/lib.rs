//! Input into another machine: this machine's USB port plays a keyboard, a mouse and an absolute pointer.
//!
//! For hosts that steer the machine behind a capture card (remote hands, lab machines, consoles). It needs a USB port
//! that can be a device (most single-board computers have one), the kernel's `libcomposite` and `usb_f_hid`, and the
//! rights of root to describe the device below [`/sys/kernel/config`](https://docs.kernel.org/usb/gadget_configfs.html).
//!
//! Wheels turn by 120ths of a notch for a machine that asks for that, as Linux and Windows do, and by notches for others.
//! The keyboard speaks the boot protocol, so firmware menus and boot loaders hear it. What USB devices of these kinds
//! cannot tell is refused by name: characters, gamepads and touches.
//!
//! A machine that is off or asleep takes no reports. They are dropped then, and as soon as it listens again it is told
//! what is held now, so nothing stays pressed and nothing is typed late.

mod gadget;
mod report;
mod usage;

use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use rift::InputEvent;
use rift_hal::InputSink;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use gadget::{GADGETS, Gadget, first_port, is_suspended};
use report::{Device, Held, Report, is_fine};

/// Why there is no USB device, or an event could not be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HidError {
    /// The kernel has no gadgets.
    #[error(
        "there is no {GADGETS}: load the module as root with `modprobe libcomposite`, and mount configfs"
    )]
    Missing,
    /// No port can be a device.
    #[error("no USB port of this machine can be a device: boards need it switched on (`dr_mode`, `dwc2`)")]
    NoPort,
    /// This user may not.
    #[error("no permission for {0}: only root may describe USB devices")]
    NotPermitted(PathBuf),
    /// The kernel refused.
    #[error("cannot {action} {path}: {source}")]
    Kernel {
        /// What was tried: `make`, `write`, `open`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A report could not be sent.
    #[error("cannot send a report: {0}")]
    Send(io::Error),
    /// Nobody takes reports: the machine at the other end is off, asleep, or not plugged in.
    #[error("the machine at the other end of the USB cable does not listen")]
    Asleep,
    /// An event that such devices cannot tell.
    #[error("a USB keyboard and pointers cannot tell this kind of event")]
    Unsupported,
}

/// Whether there is everything a USB device is made of; makes none.
///
/// # Errors
/// [`HidError::Missing`], [`HidError::NoPort`].
pub fn check() -> Result<(), HidError> {
    if !Path::new(GADGETS).is_dir() {
        return Err(HidError::Missing);
    }
    first_port().map(drop)
}

/// A keyboard, a mouse and an absolute pointer in another machine's eyes. They are unplugged when this is dropped.
#[derive(Debug)]
pub struct HidSink {
    /// Closed before the gadget is taken apart.
    nodes: [File; 3],
    held: Held,
    /// Whether the other machine may have missed something.
    is_behind: bool,
    port: String,
    _gadget: Gadget,
}

impl HidSink {
    /// Plugs the device into the first port that can be one, or into the one of this name below `/sys/class/udc`.
    ///
    /// # Errors
    /// [`HidError`]: there is no such port, or no right.
    pub fn create(port: Option<&str>) -> Result<Self, HidError> {
        check()?;
        let port = port.map_or_else(first_port, |port| Ok(port.to_owned()))?;
        let gadget = Gadget::plug_in(&port)?;
        let [keyboard, mouse, tablet] = Device::ALL.map(|device| gadget.open(device));
        Ok(Self {
            nodes: [keyboard?, mouse?, tablet?],
            held: Held::new(),
            // Whatever was held before is not.
            is_behind: true,
            port,
            _gadget: gadget,
        })
    }

    /// Reads how the other machine wants the wheel of the pointer that moved last.
    fn heed_wheel(&mut self) {
        let device = self.held.wheel_device();
        let mut feature = [0; 8];
        let mut node = &self.nodes[device.index()];
        // It has said nothing new, or cannot on this kernel.
        let Ok(len) = node.read(&mut feature) else { return };
        self.held.set_fine(device, is_fine(&feature[..len]));
    }

    fn send_all(&mut self, reports: &[Report]) -> Result<(), HidError> {
        let all = core::mem::take(&mut self.is_behind).then(|| self.held.now());
        let outcome = match &all {
            // It says what the newest reports would, except how far things moved meanwhile.
            Some(all) => all.iter().try_for_each(|report| self.send(report)),
            None => reports.iter().try_for_each(|report| self.send(report)),
        };
        self.is_behind = outcome.is_err();
        if matches!(outcome, Err(HidError::Asleep)) && !is_suspended(&self.port) {
            // It begins anew, perhaps as another system, and then says again what it wants.
            for device in Device::ALL {
                self.held.set_fine(device, false);
            }
        }
        outcome
    }

    fn send(&self, report: &Report) -> Result<(), HidError> {
        let mut node = &self.nodes[report.device.index()];
        for _ in 0..ATTEMPTS {
            match node.write(report.bytes()) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let mut fds = [PollFd::new(node, PollFlags::OUT)];
                    // What it says does not matter: the report is tried again.
                    let _ = poll(&mut fds, Some(&PATIENCE));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Unplugged, or the other machine sleeps.
                Err(error) if error.raw_os_error() == Some(SHUT_DOWN) => return Err(HidError::Asleep),
                Err(error) => return Err(HidError::Send(error)),
            }
        }
        Err(HidError::Asleep)
    }
}

impl InputSink for HidSink {
    type Error = HidError;

    fn inject(&mut self, event: &InputEvent) -> Result<(), HidError> {
        if matches!(event, InputEvent::Wheel { .. }) {
            self.heed_wheel();
        }
        let reports = self.held.take(event).ok_or(HidError::Unsupported)?;
        self.send_all(&reports)
    }

    /// Nothing to do: the kernel has each report when `inject` returns.
    fn flush(&mut self) -> Result<(), HidError> {
        Ok(())
    }

    fn release_all(&mut self) -> Result<(), HidError> {
        let reports = self.held.release_all();
        self.send_all(&reports)
    }
}

impl Drop for HidSink {
    fn drop(&mut self) {
        // Unplugging lets go as well, and there is nobody to be told of an error.
        let _ = self.release_all();
    }
}

/// A host asks for reports every few milliseconds; one that has not asked for so long does not listen.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
const ATTEMPTS: u32 = 4;
/// `ESHUTDOWN`.
const SHUT_DOWN: i32 = 108;
