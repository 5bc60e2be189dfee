//! What is said over the wire: descriptors of the three devices, and reports from what is held and moved.
//!
//! It knows no files. Reports are those of the USB HID specification 1.11; the keyboard's is the boot protocol's
//! (appendix B), which firmware reads before any system is there.

use rift::{Button, InputEvent};

use crate::usage::{MODIFIERS, usage};

/// Which of the three devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Device {
    Keyboard,
    Mouse,
    Tablet,
}

impl Device {
    pub(crate) const ALL: [Self; 3] = [Self::Keyboard, Self::Mouse, Self::Tablet];

    /// Its place among the three.
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// The report descriptor.
    pub(crate) const fn descriptor(self) -> &'static [u8] {
        match self {
            Self::Keyboard => KEYBOARD,
            Self::Mouse => MOUSE,
            Self::Tablet => TABLET,
        }
    }

    /// Bytes of a report.
    pub(crate) const fn report_len(self) -> usize {
        match self {
            Self::Keyboard => 8,
            Self::Mouse | Self::Tablet => 9,
        }
    }

    /// Whether the other machine may ask for its wheel in parts of a notch.
    pub(crate) const fn has_wheel(self) -> bool {
        match self {
            Self::Keyboard => false,
            Self::Mouse | Self::Tablet => true,
        }
    }

    /// The boot protocol it speaks, as the interface descriptor names it; 0 = none.
    pub(crate) const fn boot_protocol(self) -> u8 {
        match self {
            Self::Keyboard => 1,
            Self::Mouse | Self::Tablet => 0,
        }
    }
}

/// A report to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) device: Device,
    bytes: [u8; 9],
}

impl Report {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.device.report_len()]
    }
}

/// What is held, and what is left of wheels' notches.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    modifiers: u8,
    /// Other keys, the oldest first. A boot report has room for six.
    keys: Vec<u8>,
    /// Buttons by the device they were pressed on.
    mouse_buttons: u8,
    tablet_buttons: u8,
    /// Which pointer moved last: clicks follow it.
    pointer: Device,
    place: (u16, u16),
    /// Parts of a notch, across and up.
    wheel: [i32; 2],
    /// Whether the other machine wants each device's wheel in parts of a notch.
    is_fine: [bool; Device::ALL.len()],
}

impl Held {
    pub(crate) const fn new() -> Self {
        Self {
            modifiers: 0,
            keys: Vec::new(),
            mouse_buttons: 0,
            tablet_buttons: 0,
            pointer: Device::Tablet,
            place: (0, 0),
            wheel: [0; 2],
            is_fine: [false; Device::ALL.len()],
        }
    }

    /// The other machine wants this device's wheel in parts of a notch, or in whole ones.
    pub(crate) const fn set_fine(&mut self, device: Device, is_fine: bool) {
        self.is_fine[device.index()] = is_fine;
    }

    /// The device that a wheel is told by now: the pointer that moved last.
    pub(crate) const fn wheel_device(&self) -> Device {
        self.pointer
    }

    /// Takes an event; the reports that tell it, or `None` for one that a USB device of these kinds cannot tell.
    pub(crate) fn take(&mut self, event: &InputEvent) -> Option<Vec<Report>> {
        match *event {
            InputEvent::Key { key, pressed } => self.key(usage(key.code())?, pressed),
            InputEvent::Button { button, pressed } => Some(self.button(button, pressed)),
            InputEvent::PointerAbsolute { x, y } => {
                self.pointer = Device::Tablet;
                // The descriptor's range is that of 15 bits, which every system reads.
                self.place = (x / 2, y / 2);
                Some(vec![self.tablet([0; 2])])
            }
            InputEvent::PointerRelative { dx, dy } => {
                self.pointer = Device::Mouse;
                Some(vec![self.mouse((dx, dy), [0; 2])])
            }
            InputEvent::Wheel { dx, dy } => {
                let is_fine = self.is_fine[self.pointer.index()];
                // The lowest value is none that a descriptor of a symmetric range allows.
                let turned = if is_fine {
                    [dx, dy].map(|by| by.max(-i16::MAX))
                } else {
                    [self.notches(0, dx), self.notches(1, dy)]
                };
                if turned == [0; 2] {
                    return Some(Vec::new());
                }
                let is_mouse = self.pointer == Device::Mouse;
                Some(vec![if is_mouse { self.mouse((0, 0), turned) } else { self.tablet(turned) }])
            }
            InputEvent::Text(_)
            | InputEvent::GamepadConnected(_)
            | InputEvent::GamepadDisconnected(_)
            | InputEvent::GamepadButton { .. }
            | InputEvent::GamepadAxis { .. }
            | InputEvent::TouchDown { .. }
            | InputEvent::TouchMove { .. }
            | InputEvent::TouchUp(_)
            | _ => None,
        }
    }

    /// Reports that say that nothing is held.
    pub(crate) fn release_all(&mut self) -> [Report; 3] {
        (self.modifiers, self.mouse_buttons, self.tablet_buttons) = (0, 0, 0);
        self.keys.clear();
        self.wheel = [0; 2];
        self.now()
    }

    /// Reports of all that is held, for who may have missed one.
    pub(crate) fn now(&self) -> [Report; 3] {
        [self.keyboard(), self.mouse((0, 0), [0; 2]), self.tablet([0; 2])]
    }

    fn key(&mut self, usage: u8, pressed: bool) -> Option<Vec<Report>> {
        if let Some(bit) = usage.checked_sub(MODIFIERS) {
            let bit = 1 << bit;
            self.modifiers = if pressed { self.modifiers | bit } else { self.modifiers & !bit };
        } else if !pressed {
            self.keys.retain(|&held| held != usage);
        } else if !self.keys.contains(&usage) {
            self.keys.push(usage);
        }
        Some(vec![self.keyboard()])
    }

    fn keyboard(&self) -> Report {
        let mut bytes = [self.modifiers, 0, 0, 0, 0, 0, 0, 0, 0];
        let places = &mut bytes[2..8];
        if self.keys.len() > places.len() {
            places.fill(ROLL_OVER);
        } else {
            places[..self.keys.len()].copy_from_slice(&self.keys);
        }
        Report { device: Device::Keyboard, bytes }
    }

    /// A press goes to the pointer that moved last, a release to where it was pressed.
    fn button(&mut self, button: Button, pressed: bool) -> Vec<Report> {
        let bit = 1 << button.index();
        let on_mouse = if pressed { self.pointer == Device::Mouse } else { self.mouse_buttons & bit != 0 };
        let held = if on_mouse { &mut self.mouse_buttons } else { &mut self.tablet_buttons };
        *held = if pressed { *held | bit } else { *held & !bit };
        vec![if on_mouse { self.mouse((0, 0), [0; 2]) } else { self.tablet([0; 2]) }]
    }

    fn mouse(&self, (dx, dy): (i16, i16), [across, up]: [i16; 2]) -> Report {
        // The lowest value is none that a descriptor of a symmetric range allows.
        let [dx, dy] = [dx, dy].map(|by| by.max(-i16::MAX).to_le_bytes());
        let [up, across] = [up, across].map(i16::to_le_bytes);
        let bytes = [self.mouse_buttons, dx[0], dx[1], dy[0], dy[1], up[0], up[1], across[0], across[1]];
        Report { device: Device::Mouse, bytes }
    }

    fn tablet(&self, [across, up]: [i16; 2]) -> Report {
        let [x, y] = [self.place.0, self.place.1].map(u16::to_le_bytes);
        let [up, across] = [up, across].map(i16::to_le_bytes);
        let bytes = [self.tablet_buttons, x[0], x[1], y[0], y[1], up[0], up[1], across[0], across[1]];
        Report { device: Device::Tablet, bytes }
    }

    /// Whole notches that have come together.
    fn notches(&mut self, axis: usize, by: i16) -> i16 {
        let left = &mut self.wheel[axis];
        if left.signum() == -i32::from(by).signum() {
            *left = 0;
        }
        *left += i32::from(by);
        let notches = *left / UNITS_PER_NOTCH;
        *left -= notches * UNITS_PER_NOTCH;
        i16::try_from(notches).unwrap_or(0)
    }
}

/// What stands in all six places when more keys are held.
const ROLL_OVER: u8 = 1;
const UNITS_PER_NOTCH: i32 = 120;

/// HID 1.11, appendix B.1: modifiers, a byte of nothing, six keys; five lights that the host sets.
const KEYBOARD: &[u8] = &[
    0x05, 0x01, 0x09, 0x06, 0xa1, 0x01, 0x05, 0x07, 0x19, 0xe0, 0x29, 0xe7, 0x15, 0x00, 0x25, 0x01, 0x75,
    0x01, 0x95, 0x08, 0x81, 0x02, 0x95, 0x01, 0x75, 0x08, 0x81, 0x03, 0x95, 0x05, 0x75, 0x01, 0x05, 0x08,
    0x19, 0x01, 0x29, 0x05, 0x91, 0x02, 0x95, 0x01, 0x75, 0x03, 0x91, 0x03, 0x95, 0x06, 0x75, 0x08, 0x15,
    0x00, 0x26, 0xff, 0x00, 0x05, 0x07, 0x19, 0x00, 0x2a, 0xff, 0x00, 0x81, 0x00, 0xc0,
];

/// Eight buttons and two movements of 16 bits.
const MOUSE: &[u8] = &with_wheels([
    0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x09, 0x01, 0xa1, 0x00, 0x05, 0x09, 0x19, 0x01, 0x29, 0x08, 0x15,
    0x00, 0x25, 0x01, 0x95, 0x08, 0x75, 0x01, 0x81, 0x02, 0x05, 0x01, 0x09, 0x30, 0x09, 0x31, 0x16, 0x01,
    0x80, 0x26, 0xff, 0x7f, 0x35, 0x00, 0x45, 0x00, 0x75, 0x10, 0x95, 0x02, 0x81, 0x06,
]);

/// As the mouse, with places of 0 to 32767 instead of movements.
const TABLET: &[u8] = &with_wheels([
    0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x09, 0x01, 0xa1, 0x00, 0x05, 0x09, 0x19, 0x01, 0x29, 0x08, 0x15,
    0x00, 0x25, 0x01, 0x95, 0x08, 0x75, 0x01, 0x81, 0x02, 0x05, 0x01, 0x09, 0x30, 0x09, 0x31, 0x15, 0x00,
    0x26, 0xff, 0x7f, 0x35, 0x00, 0x46, 0xff, 0x7f, 0x75, 0x10, 0x95, 0x02, 0x81, 0x02,
]);

/// A wheel and one across (consumer page, AC Pan), 16 bits each. Each has a multiplier (HID Usage Tables, 4.3.1) of two
/// bits in a feature report: 0 = the wheel counts notches, 1 = it counts 120ths of them. Then both collections end.
const WHEELS: [u8; 72] = [
    0xa1, 0x02, 0x09, 0x48, 0x15, 0x00, 0x25, 0x01, 0x35, 0x01, 0x45, 0x78, 0x75, 0x02, 0x95, 0x01, 0xb1,
    0x02, 0x09, 0x38, 0x16, 0x01, 0x80, 0x26, 0xff, 0x7f, 0x35, 0x00, 0x45, 0x00, 0x75, 0x10, 0x81, 0x06,
    0xc0, 0xa1, 0x02, 0x09, 0x48, 0x15, 0x00, 0x25, 0x01, 0x35, 0x01, 0x45, 0x78, 0x75, 0x02, 0xb1, 0x02,
    0x75, 0x04, 0xb1, 0x03, 0x05, 0x0c, 0x0a, 0x38, 0x02, 0x16, 0x01, 0x80, 0x26, 0xff, 0x7f, 0x35, 0x00,
    0x45, 0x00, 0x75, 0x10,
];
/// What ends the second wheel, its collection, and both around it.
const END: [u8; 5] = [0x81, 0x06, 0xc0, 0xc0, 0xc0];
const POINTER_LEN: usize = 48;

const fn with_wheels(pointer: [u8; POINTER_LEN]) -> [u8; POINTER_LEN + WHEELS.len() + END.len()] {
    let mut all = [0; POINTER_LEN + WHEELS.len() + END.len()];
    let mut at = 0;
    while at < all.len() {
        all[at] = if at < POINTER_LEN {
            pointer[at]
        } else if at < POINTER_LEN + WHEELS.len() {
            WHEELS[at - POINTER_LEN]
        } else {
            END[at - POINTER_LEN - WHEELS.len()]
        };
        at += 1;
    }
    all
}

/// Whether the other machine wants wheels in parts of a notch, by the feature report that it has set.
pub(crate) fn is_fine(feature: &[u8]) -> bool {
    // Either wheel's multiplier; nobody sets one of them only.
    feature.first().is_some_and(|byte| byte & 0b1111 != 0)
}

#[cfg(test)]
mod tests {
    use rift::Scancode;

    use super::*;

    fn key(code: u16, pressed: bool) -> InputEvent {
        InputEvent::Key { key: Scancode::new(code).expect("a key"), pressed }
    }

    fn told(held: &mut Held, event: InputEvent) -> Vec<u8> {
        let reports = held.take(&event).expect("it can be told");
        assert_eq!(reports.len(), 1, "{event:?}");
        reports[0].bytes().to_vec()
    }

    #[test]
    fn keys_are_told_as_firmware_reads_them() {
        let mut held = Held::new();
        assert_eq!(told(&mut held, key(42, true)), [2, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(told(&mut held, key(30, true)), [2, 0, 4, 0, 0, 0, 0, 0]);
        assert_eq!(told(&mut held, key(48, true)), [2, 0, 4, 5, 0, 0, 0, 0]);
        assert_eq!(told(&mut held, key(30, false)), [2, 0, 5, 0, 0, 0, 0, 0]);
        assert_eq!(told(&mut held, key(42, false)), [0, 0, 5, 0, 0, 0, 0, 0]);
        assert!(held.release_all().iter().all(|report| report.bytes().iter().all(|&byte| byte == 0)));
        assert_eq!(held.take(&key(240, true)), None, "no usage");
    }

    #[test]
    fn seventh_key_rolls_over_and_six_are_told_again_when_one_is_up() {
        let mut held = Held::new();
        for code in 2..8 {
            told(&mut held, key(code, true));
        }
        assert_eq!(told(&mut held, key(8, true))[2..], [1; 6]);
        assert_eq!(told(&mut held, key(2, false))[2..], [0x1f, 0x20, 0x21, 0x22, 0x23, 0x24]);
    }

    #[test]
    fn pointers_are_told_each_on_its_own_device_and_clicks_follow_the_one_that_moved() {
        let mut held = Held::new();
        let left = |pressed| InputEvent::Button { button: Button::LEFT, pressed };
        assert_eq!(
            told(&mut held, InputEvent::PointerAbsolute { x: 65535, y: 2 }),
            [0, 0xff, 0x7f, 1, 0, 0, 0, 0, 0]
        );
        assert_eq!(told(&mut held, left(true)), [1, 0xff, 0x7f, 1, 0, 0, 0, 0, 0]);
        assert_eq!(
            told(&mut held, InputEvent::PointerRelative { dx: -1, dy: i16::MIN }),
            [0, 0xff, 0xff, 1, 0x80, 0, 0, 0, 0]
        );
        let release = held.take(&left(false)).expect("told");
        assert_eq!((release[0].device, release[0].bytes()[0]), (Device::Tablet, 0));
        assert_eq!(held.take(&InputEvent::Wheel { dx: 0, dy: -60 }), Some(Vec::new()), "half a notch");
        assert_eq!(told(&mut held, InputEvent::Wheel { dx: 0, dy: -60 }), [0, 0, 0, 0, 0, 0xff, 0xff, 0, 0]);
        assert_eq!(told(&mut held, InputEvent::Wheel { dx: 240, dy: 0 }), [0, 0, 0, 0, 0, 0, 0, 2, 0]);
        held.set_fine(Device::Mouse, true);
        assert_eq!(told(&mut held, InputEvent::Wheel { dx: 0, dy: -30 }), [0, 0, 0, 0, 0, 0xe2, 0xff, 0, 0]);
        assert!(is_fine(&[0b0101]) && !is_fine(&[0]) && !is_fine(&[]));
    }

    #[test]
    fn descriptors_end_what_they_begin_and_describe_reports_of_their_length() {
        for device in Device::ALL {
            let mut rest = device.descriptor();
            let (mut depth, mut size, mut count, mut bits) = (0, 0, 0, 0);
            while let [item, more @ ..] = rest {
                let len = [0, 1, 2, 4][usize::from(item & 3)];
                let value = more[..len].iter().rev().fold(0, |value, &byte| value << 8 | u32::from(byte));
                match item & 0xfc {
                    0xa0 => depth += 1,
                    0xc0 => depth -= 1,
                    0x74 => size = value,
                    0x94 => count = value,
                    0x80 => bits += size * count,
                    _ => {}
                }
                assert!(depth > 0 || more.len() == len || bits == 0, "{device:?} ends early");
                rest = &more[len..];
            }
            assert_eq!(depth, 0, "{device:?}");
            assert_eq!(bits as usize, device.report_len() * 8, "{device:?}");
        }
    }
}
