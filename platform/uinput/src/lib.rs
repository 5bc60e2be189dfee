//! Input into any Linux session: a keyboard, a mouse and an absolute pointer made through the kernel's uinput.
//!
//! It works under X11, Wayland and on the console alike, because to them these are devices like any other.
//! The price of that is what a kernel device cannot do:
//!
//! - **Text.** A device sends keys; the layout of whoever reads them decides what they mean. ASCII is typed as
//!   a US keyboard would, with Caps Lock off; every other character is refused by name. Keys by scancode need no
//!   assumption.
//! - **Order across devices.** The kernel keeps order within a device only. Buttons and wheel therefore come from
//!   the pointer that moved last; but a reader that finds keyboard and pointer ready together may take
//!   either first, as with real devices.
//! - **Repeat on the console.** X servers and compositors repeat held keys themselves; the bare console does
//!   not repeat those of this keyboard.
//!
//! Whoever reads devices must find and open new ones first, which takes it some tenths of a second: make the sink
//! when the program starts, not at the first key.

mod translate;
mod us_layout;

use std::fs::OpenOptions;
use std::io::{self, ErrorKind};

use evdev::uinput::VirtualDevice;
use evdev::{
    AbsInfo, AbsoluteAxisCode, AttributeSet, BusType, InputId, KeyCode, RelativeAxisCode, UinputAbsSetup,
};
use rift::{Button, InputEvent, Scancode};
use rift_hal::InputSink;

use translate::{Device, Report, Translator, is_key};

/// Where the kernel offers to make devices.
pub const DEVICE_PATH: &str = "/dev/uinput";

/// Why devices could not be made or an event could not be injected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UinputError {
    /// There is no `/dev/uinput`.
    #[error("there is no {DEVICE_PATH}: load its module as root with `modprobe uinput`")]
    Missing,
    /// This user may not open `/dev/uinput`.
    #[error(
        "no permission to open {DEVICE_PATH}: copy the udev rule 60-wavry.rules to /etc/udev/rules.d and log in \
         again; a service without a seat needs the rule's second line and the group `wavry`"
    )]
    NotPermitted,
    /// The kernel refused.
    #[error("cannot {action} by {DEVICE_PATH}: {source}")]
    Kernel {
        /// What was tried: `make the keyboard`, `inject an event`.
        action: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A US keyboard has no key for this character.
    #[error(
        "no key of a US keyboard types {0:?}: kernel devices know keys, not characters; send it as a key"
    )]
    Untypable(char),
    /// The code is a button's, not a key's.
    #[error("evdev code {} is a button of a pointer or gamepad, not a key", .0.code())]
    NotAKey(Scancode),
    /// A kind of event this sink does not know.
    #[error("this kind of event has no kernel device here")]
    Unsupported,
}

/// Whether devices can be made: opens `/dev/uinput` and closes it again.
///
/// # Errors
/// [`UinputError::Missing`], [`UinputError::NotPermitted`], [`UinputError::Kernel`].
pub fn check() -> Result<(), UinputError> {
    OpenOptions::new().read(true).write(true).open(DEVICE_PATH).map(drop).map_err(failed("make devices"))
}

/// A keyboard, a mouse and an absolute pointer. They are unplugged when this is dropped.
#[derive(Debug)]
pub struct UinputSink {
    keyboard: VirtualDevice,
    mouse: VirtualDevice,
    tablet: VirtualDevice,
    state: Translator,
}

impl UinputSink {
    /// The longest name's bytes; what is longer is cut. The kernel takes 79 with the device's own word.
    pub const NAME_MAX: usize = 60;

    /// Makes the devices `NAME keyboard`, `NAME mouse` and `NAME pointer`. The absolute pointer's range is that of
    /// [`InputEvent::PointerAbsolute`] on both axes, whatever size the screen has or will have.
    ///
    /// # Errors
    /// [`UinputError::Missing`], [`UinputError::NotPermitted`], [`UinputError::Kernel`].
    pub fn create(name: &str) -> Result<Self, UinputError> {
        let end =
            (0..=name.len().min(Self::NAME_MAX)).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
        let name = &name[..end];
        Ok(Self {
            keyboard: keyboard(name).map_err(failed("make the keyboard"))?,
            mouse: mouse(name).map_err(failed("make the mouse"))?,
            tablet: tablet(name).map_err(failed("make the absolute pointer"))?,
            state: Translator::new(),
        })
    }

    fn emit(&mut self, report: &Report) -> Result<(), UinputError> {
        let device = match report.device {
            Device::Keyboard => &mut self.keyboard,
            Device::Mouse => &mut self.mouse,
            Device::Tablet => &mut self.tablet,
        };
        device.emit(&report.events).map_err(failed("inject an event"))
    }
}

impl InputSink for UinputSink {
    type Error = UinputError;

    fn inject(&mut self, event: &InputEvent) -> Result<(), UinputError> {
        let mut next = self.state.clone();
        let reports = next.translate(event)?;
        for report in &reports {
            if let Err(error) = self.emit(report) {
                self.state.remember_presses(&next);
                return Err(error);
            }
        }
        self.state = next;
        Ok(())
    }

    /// Nothing to do: the kernel has each event when `inject` returns.
    fn flush(&mut self) -> Result<(), UinputError> {
        Ok(())
    }

    fn release_all(&mut self) -> Result<(), UinputError> {
        let mut next = self.state.clone();
        let reports = next.release_all();
        let mut outcome = Ok(());
        for report in &reports {
            outcome = outcome.and(self.emit(report));
        }
        if outcome.is_ok() {
            self.state = next;
        }
        outcome
    }
}

impl Drop for UinputSink {
    fn drop(&mut self) {
        // The kernel lets go of what an unplugged device holds; this only makes it explicit, and has nobody to
        // tell of an error.
        let _ = self.release_all();
    }
}

fn keyboard(name: &str) -> io::Result<VirtualDevice> {
    let keys: AttributeSet<KeyCode> = (1..=Scancode::MAX).filter(|&code| is_key(code)).map(KeyCode).collect();
    let name = format!("{name} keyboard");
    VirtualDevice::builder()?.name(&name).input_id(identity(1)).with_keys(&keys)?.build()
}

fn mouse(name: &str) -> io::Result<VirtualDevice> {
    let moves = [RelativeAxisCode::REL_X, RelativeAxisCode::REL_Y];
    let axes: AttributeSet<RelativeAxisCode> = moves.into_iter().chain(WHEELS).collect();
    let name = format!("{name} mouse");
    let builder = VirtualDevice::builder()?.name(&name).input_id(identity(2));
    builder.with_keys(&buttons())?.with_relative_axes(&axes)?.build()
}

/// Buttons but no pen and no touch: udev and libinput take such a device for a mouse that knows its place, which
/// moves the one pointer of the seat.
fn tablet(name: &str) -> io::Result<VirtualDevice> {
    let range = AbsInfo::new(0, 0, u16::MAX.into(), 0, 0, 0);
    let wheels: AttributeSet<RelativeAxisCode> = WHEELS.into_iter().collect();
    let name = format!("{name} pointer");
    VirtualDevice::builder()?
        .name(&name)
        .input_id(identity(3))
        .with_keys(&buttons())?
        .with_relative_axes(&wheels)?
        .with_absolute_axis(&UinputAbsSetup::new(AbsoluteAxisCode::ABS_X, range))?
        .with_absolute_axis(&UinputAbsSetup::new(AbsoluteAxisCode::ABS_Y, range))?
        .build()
}

fn buttons() -> AttributeSet<KeyCode> {
    (0..u16::from(Button::COUNT)).map(|index| KeyCode(KeyCode::BTN_LEFT.0 + index)).collect()
}

/// No vendor: the devices exist in software only.
fn identity(product: u16) -> InputId {
    InputId::new(BusType::BUS_VIRTUAL, 0, product, 1)
}

fn failed(action: &'static str) -> impl Fn(io::Error) -> UinputError {
    move |source| {
        if source.kind() == ErrorKind::NotFound {
            UinputError::Missing
        } else if source.kind() == ErrorKind::PermissionDenied {
            UinputError::NotPermitted
        } else {
            UinputError::Kernel { action, source }
        }
    }
}

const WHEELS: [RelativeAxisCode; 4] = [
    RelativeAxisCode::REL_WHEEL,
    RelativeAxisCode::REL_WHEEL_HI_RES,
    RelativeAxisCode::REL_HWHEEL,
    RelativeAxisCode::REL_HWHEEL_HI_RES,
];
