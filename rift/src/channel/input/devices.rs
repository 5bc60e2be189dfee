//! Gamepads and touch screens: what there is of them to name (SPEC §10.6).

use crate::limits::{CONTACTS_MAX, GAMEPADS_MAX};

/// One of a client's gamepads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gamepad(u8);

impl Gamepad {
    /// How many there may be.
    pub const COUNT: u8 = GAMEPADS_MAX as u8;

    /// The gamepad of this index; `None` from [`Self::COUNT`] up.
    #[must_use]
    pub const fn new(index: u8) -> Option<Self> {
        if index < Self::COUNT { Some(Self(index)) } else { None }
    }

    /// Its index.
    #[must_use]
    pub const fn index(self) -> u8 {
        self.0
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }
}

/// A button of a gamepad, named by its place as evdev does: the first 15 count from `BTN_GAMEPAD` (`BTN_SOUTH` to
/// `BTN_THUMBR`), then come `BTN_DPAD_UP`, `_DOWN`, `_LEFT` and `_RIGHT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GamepadButton(u8);

impl GamepadButton {
    /// The lower of the four at the right thumb.
    pub const SOUTH: Self = Self(0);
    /// How many there are.
    pub const COUNT: u8 = 19;

    /// The button of this index; `None` from [`Self::COUNT`] up.
    #[must_use]
    pub const fn new(index: u8) -> Option<Self> {
        if index < Self::COUNT { Some(Self(index)) } else { None }
    }

    /// Its index.
    #[must_use]
    pub const fn index(self) -> u8 {
        self.0
    }

    /// Its code in `linux/input-event-codes.h`.
    #[must_use]
    pub const fn evdev_code(self) -> u16 {
        const BTN_GAMEPAD: u16 = 0x130;
        const BTN_DPAD_UP: u16 = 0x220;
        const BEFORE_DPAD: u8 = 15;
        if self.0 < BEFORE_DPAD {
            BTN_GAMEPAD + self.0 as u16
        } else {
            BTN_DPAD_UP + (self.0 - BEFORE_DPAD) as u16
        }
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }
}

/// An axis of a gamepad, counted as evdev counts from `ABS_X`: left stick, left trigger, right stick, right trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GamepadAxis(u8);

impl GamepadAxis {
    /// `ABS_X`: the left stick, to the right.
    pub const X: Self = Self(0);
    /// `ABS_Y`: the left stick, downwards.
    pub const Y: Self = Self(1);
    /// `ABS_Z`: the left trigger.
    pub const LEFT_TRIGGER: Self = Self(2);
    /// `ABS_RX`: the right stick, to the right.
    pub const RIGHT_X: Self = Self(3);
    /// `ABS_RY`: the right stick, downwards.
    pub const RIGHT_Y: Self = Self(4);
    /// `ABS_RZ`: the right trigger.
    pub const RIGHT_TRIGGER: Self = Self(5);
    /// How many there are.
    pub const COUNT: u8 = 6;

    /// The axis of this index; `None` from [`Self::COUNT`] up.
    #[must_use]
    pub const fn new(index: u8) -> Option<Self> {
        if index < Self::COUNT { Some(Self(index)) } else { None }
    }

    /// Its index, and its code in `linux/input-event-codes.h`.
    #[must_use]
    pub const fn index(self) -> u8 {
        self.0
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }
}

/// One finger or pen on a touch screen, as long as it touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Contact(u8);

impl Contact {
    /// How many there may be at once.
    pub const COUNT: u8 = CONTACTS_MAX as u8;

    /// The contact of this index; `None` from [`Self::COUNT`] up.
    #[must_use]
    pub const fn new(index: u8) -> Option<Self> {
        if index < Self::COUNT { Some(Self(index)) } else { None }
    }

    /// Its index.
    #[must_use]
    pub const fn index(self) -> u8 {
        self.0
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }
}

/// Everything pressed or moved on one gamepad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GamepadState {
    /// Bit n is button n.
    pub buttons: u32,
    /// By index.
    pub axes: [i16; GamepadAxis::COUNT as usize],
}

impl GamepadState {
    /// Nothing is pressed, and the axes are at rest.
    pub const AT_REST: Self = Self { buttons: 0, axes: [0; GamepadAxis::COUNT as usize] };

    /// Whether `button` is down.
    #[must_use]
    pub const fn has(&self, button: GamepadButton) -> bool {
        self.buttons >> button.0 & 1 == 1
    }

    /// Where `axis` stands.
    #[must_use]
    pub const fn axis(&self, axis: GamepadAxis) -> i16 {
        self.axes[axis.0 as usize]
    }

    pub(crate) const fn press(&mut self, button: GamepadButton, pressed: bool) {
        let bit = 1 << button.0;
        self.buttons = if pressed { self.buttons | bit } else { self.buttons & !bit };
    }

    pub(crate) const fn set_axis(&mut self, axis: GamepadAxis, value: i16) {
        self.axes[axis.0 as usize] = value;
    }
}

/// What a gamepad's motors should do (SPEC §10.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rumble {
    /// Which gamepad.
    pub gamepad: Gamepad,
    /// The heavy motor, 0 to 65535.
    pub strong: u16,
    /// The light motor, 0 to 65535.
    pub weak: u16,
    /// For how long, in milliseconds, unless something else is said before; at most [`Self::MILLIS_MAX`].
    pub millis: u16,
}

impl Rumble {
    /// Longest rumble, so that a lost session does not shake for ever.
    pub const MILLIS_MAX: u16 = 5000;
}
