//! Input: the events a client sends and a host injects (SPEC §10).
//!
//! Keys are named by the physical key (Linux evdev code, so the host's layout decides what they mean);
//! text is named by the character, and the host finds a way to type it.

pub mod devices;
pub(crate) mod receiver;
pub(crate) mod rumble;
pub(crate) mod sender;

use devices::{Contact, Gamepad, GamepadAxis, GamepadButton};

/// A physical key by its Linux evdev code (`KEY_*` in `linux/input-event-codes.h`), `1..=767`.
///
/// An X11 keycode is this plus 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scancode(u16);

impl Scancode {
    /// The largest code the kernel knows (`KEY_MAX`).
    pub const MAX: u16 = 767;

    /// A key by its evdev code; `None` outside `1..=767`.
    #[must_use]
    pub const fn new(code: u16) -> Option<Self> {
        if code == 0 || code > Self::MAX { None } else { Some(Self(code)) }
    }

    /// The evdev code.
    #[must_use]
    pub const fn code(self) -> u16 {
        self.0
    }
}

/// A pointer button, counted as evdev counts from `BTN_LEFT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Button(u8);

impl Button {
    /// `BTN_LEFT`.
    pub const LEFT: Self = Self(0);
    /// `BTN_RIGHT`.
    pub const RIGHT: Self = Self(1);
    /// `BTN_MIDDLE`.
    pub const MIDDLE: Self = Self(2);
    /// `BTN_SIDE`, often "back".
    pub const SIDE: Self = Self(3);
    /// `BTN_EXTRA`, often "forward".
    pub const EXTRA: Self = Self(4);
    /// How many buttons there are (`BTN_LEFT` to `BTN_TASK`).
    pub const COUNT: u8 = 8;

    /// The button `index` places after `BTN_LEFT`; `None` from [`Self::COUNT`] up.
    #[must_use]
    pub const fn new(index: u8) -> Option<Self> {
        if index < Self::COUNT { Some(Self(index)) } else { None }
    }

    /// Its distance from `BTN_LEFT`.
    #[must_use]
    pub const fn index(self) -> u8 {
        self.0
    }
}

/// One thing a person did at the client.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputEvent {
    /// A physical key went down or up. Auto-repeat is the host's affair and is not sent.
    Key {
        /// Which key.
        key: Scancode,
        /// Down (`true`) or up.
        pressed: bool,
    },
    /// A character was entered, whatever keys it took.
    Text(char),
    /// A pointer button went down or up.
    Button {
        /// Which button.
        button: Button,
        /// Down (`true`) or up.
        pressed: bool,
    },
    /// The pointer is at this place of the picture: 0 is its left or top edge, 65535 its right or bottom edge.
    PointerAbsolute {
        /// From the left edge.
        x: u16,
        /// From the top edge.
        y: u16,
    },
    /// The pointer moved by this much, in the device's counts.
    PointerRelative {
        /// To the right.
        dx: i16,
        /// Downwards.
        dy: i16,
    },
    /// The wheel turned, in 1/120 of a notch (evdev's high-resolution unit).
    Wheel {
        /// To the right.
        dx: i16,
        /// Away from the user (up) is positive.
        dy: i16,
    },
    /// A gamepad was plugged in: nothing of it is pressed and its axes are at rest. Any other event of a gamepad says
    /// the same.
    GamepadConnected(Gamepad),
    /// A gamepad was pulled out; what was held on it no longer is.
    GamepadDisconnected(Gamepad),
    /// A button of a gamepad went down or up.
    GamepadButton {
        /// Which gamepad.
        gamepad: Gamepad,
        /// Which button.
        button: GamepadButton,
        /// Down (`true`) or up.
        pressed: bool,
    },
    /// A stick or a trigger of a gamepad moved.
    GamepadAxis {
        /// Which gamepad.
        gamepad: Gamepad,
        /// Which axis.
        axis: GamepadAxis,
        /// Sticks: right and down positive, 0 at rest. Triggers: from 0 to 32767.
        value: i16,
    },
    /// A finger or a pen touched the screen.
    TouchDown {
        /// Which of those that touch it.
        contact: Contact,
        /// From the left edge, as for the pointer.
        x: u16,
        /// From the top edge.
        y: u16,
    },
    /// A contact moved; without its [`InputEvent::TouchDown`] it says nothing and is not taken.
    TouchMove {
        /// Which.
        contact: Contact,
        /// From the left edge.
        x: u16,
        /// From the top edge.
        y: u16,
    },
    /// A contact left the screen.
    TouchUp(Contact),
}

impl InputEvent {
    /// Whether two such events in a row may be merged when the channel is full: motion, wheel, sticks and moving
    /// contacts may, keys, buttons and text never do (SPEC §10.5).
    #[must_use]
    pub const fn is_motion(&self) -> bool {
        matches!(
            self,
            Self::PointerAbsolute { .. }
                | Self::PointerRelative { .. }
                | Self::Wheel { .. }
                | Self::GamepadAxis { .. }
                | Self::TouchMove { .. }
        )
    }
}
