//! Input into any Linux session: a keyboard, a mouse, an absolute pointer, a touch screen and gamepads made through
//! the kernel's uinput.
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
//! when the program starts, not at the first key. Gamepads come and go with the client's; what programs want of their
//! motors is asked for by [`UinputSink::poll_rumble`].

mod gamepad;
mod touch;
mod translate;
mod us_layout;

use std::fs::OpenOptions;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use evdev::uinput::VirtualDevice;
use evdev::{
    AbsInfo, AbsoluteAxisCode, AttributeSet, BusType, InputId, KeyCode, RelativeAxisCode, UinputAbsSetup,
};
use rift::{Button, Gamepad, InputEvent, Rumble, Scancode};
use rift_hal::InputSink;
use rustix::event::epoll;

use gamepad::Pad;
use touch::Screen;
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

/// A keyboard, a mouse, an absolute pointer, a touch screen, and as many gamepads as the client has. They are unplugged
/// when this is dropped.
#[derive(Debug)]
pub struct UinputSink {
    name: String,
    keyboard: VirtualDevice,
    mouse: VirtualDevice,
    tablet: VirtualDevice,
    state: Translator,
    screen: Screen,
    pads: [Option<Pad>; Gamepad::COUNT as usize],
    /// Readable when a program wants something of a gamepad's motors.
    wishes: OwnedFd,
}

impl UinputSink {
    /// The longest name's bytes; what is longer is cut. The kernel takes 79 with the device's own word.
    pub const NAME_MAX: usize = 60;

    /// Makes the devices `NAME keyboard`, `NAME mouse`, `NAME pointer` and `NAME touch screen`; `NAME gamepad 1` and so on
    /// follow when the client has some. The ranges of pointer and touch screen are those of
    /// [`InputEvent::PointerAbsolute`] on both axes, whatever size the screen has or will have.
    ///
    /// # Errors
    /// [`UinputError::Missing`], [`UinputError::NotPermitted`], [`UinputError::Kernel`].
    pub fn create(name: &str) -> Result<Self, UinputError> {
        let end =
            (0..=name.len().min(Self::NAME_MAX)).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
        let name = &name[..end];
        Ok(Self {
            name: name.to_owned(),
            screen: Screen::create(name).map_err(failed("make the touch screen"))?,
            pads: [const { None }; Gamepad::COUNT as usize],
            wishes: epoll::create(epoll::CreateFlags::CLOEXEC)
                .map_err(|error| failed("watch the gamepads")(error.into()))?,
            keyboard: keyboard(name).map_err(failed("make the keyboard"))?,
            mouse: mouse(name).map_err(failed("make the mouse"))?,
            tablet: tablet(name).map_err(failed("make the absolute pointer"))?,
            state: Translator::new(),
        })
    }

    /// Readable when [`Self::poll_rumble`] has something to do, for as long as the sink lives. A program that plays an
    /// effect waits until then.
    #[must_use]
    pub fn rumble_fd(&self) -> BorrowedFd<'_> {
        self.wishes.as_fd()
    }

    /// What a program wants of a gamepad's motors; `None` when there is no more.
    ///
    /// # Errors
    /// [`UinputError::Kernel`]; that gamepad is unplugged, and plugged in again by its next event.
    pub fn poll_rumble(&mut self) -> Result<Option<Rumble>, UinputError> {
        for place in &mut self.pads {
            let Some(pad) = place else { continue };
            match pad.take_wish() {
                Ok(None) => {}
                Ok(Some(rumble)) => return Ok(Some(rumble)),
                Err(error) => {
                    *place = None;
                    return Err(failed("ask a gamepad")(error));
                }
            }
        }
        Ok(None)
    }

    /// The gamepad, plugged in if it was not.
    fn pad(&mut self, gamepad: Gamepad) -> Result<&mut Pad, UinputError> {
        let place = &mut self.pads[usize::from(gamepad.index())];
        if place.is_none() {
            let pad = Pad::create(&self.name, gamepad).map_err(failed("make a gamepad"))?;
            // It leaves the set when its last descriptor is closed.
            let data = epoll::EventData::new_u64(gamepad.index().into());
            epoll::add(&self.wishes, &pad.device, data, epoll::EventFlags::IN)
                .map_err(|error| failed("watch a gamepad")(error.into()))?;
            *place = Some(pad);
        }
        Ok(place.as_mut().expect("it was made above"))
    }

    /// Injects what is not of a keyboard or pointer; `None` for what is.
    fn inject_special(&mut self, event: &InputEvent) -> Option<Result<(), UinputError>> {
        let outcome = match *event {
            InputEvent::GamepadConnected(gamepad) => return Some(self.pad(gamepad).map(drop)),
            InputEvent::GamepadDisconnected(gamepad) => {
                self.pads[usize::from(gamepad.index())] = None;
                Ok(())
            }
            InputEvent::GamepadButton { gamepad, button, pressed } => match self.pad(gamepad) {
                Ok(pad) => pad.press(button, pressed),
                Err(error) => return Some(Err(error)),
            },
            InputEvent::GamepadAxis { gamepad, axis, value } => match self.pad(gamepad) {
                Ok(pad) => pad.turn(axis, value),
                Err(error) => return Some(Err(error)),
            },
            InputEvent::TouchDown { contact, x, y } => self.screen.place(contact, x, y, true),
            InputEvent::TouchMove { contact, x, y } => self.screen.place(contact, x, y, false),
            InputEvent::TouchUp(contact) => self.screen.lift(contact),
            InputEvent::Key { .. }
            | InputEvent::Text(_)
            | InputEvent::Button { .. }
            | InputEvent::PointerAbsolute { .. }
            | InputEvent::PointerRelative { .. }
            | InputEvent::Wheel { .. }
            | _ => return None,
        };
        Some(outcome.map_err(failed("inject an event")))
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
        if let Some(outcome) = self.inject_special(event) {
            return outcome;
        }
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
        let mut outcome = self.screen.lift_all().map_err(failed("lift what touches"));
        for pad in self.pads.iter_mut().flatten() {
            outcome = outcome.and(pad.rest().map_err(failed("let a gamepad go")));
        }
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
