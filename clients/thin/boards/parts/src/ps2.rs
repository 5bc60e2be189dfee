//! What PS/2 keyboards and mice say (IBM Personal System/2 Hardware Interface; Microsoft's wheel extension).
//!
//! Bytes in, events out; no device is touched. What was lost on the wire spoils one key or one packet, never the rest.

use rift::{Button, InputEvent, Scancode};

/// Reads a keyboard: scan code set 2, which it speaks after reset.
#[derive(Clone, Copy, Debug, Default)]
pub struct Keyboard {
    is_released: bool,
    is_extended: bool,
    /// Bytes of Pause that are still to come; it alone has no release.
    pause: u8,
}

/// evdev codes by scan code, from 0 on, sixteen a row; 0 = none.
#[rustfmt::skip]
const PLAIN: [u8; 0x84] = [
    0, 67, 0, 63, 61, 59, 60, 88, 0, 68, 66, 64, 62, 15, 41, 0,
    0, 56, 42, 93, 29, 16, 2, 0, 0, 0, 44, 31, 30, 17, 3, 0,
    0, 46, 45, 32, 18, 5, 4, 0, 0, 57, 47, 33, 20, 19, 6, 0,
    0, 49, 48, 35, 34, 21, 7, 0, 0, 0, 50, 36, 22, 8, 9, 0,
    0, 51, 37, 23, 24, 11, 10, 0, 0, 52, 53, 38, 39, 25, 12, 0,
    0, 89, 40, 0, 26, 13, 0, 0, 58, 54, 28, 27, 0, 43, 0, 0,
    0, 86, 0, 0, 0, 0, 14, 0, 0, 79, 0, 75, 71, 0, 0, 0,
    82, 83, 80, 76, 77, 72, 1, 69, 87, 78, 81, 74, 55, 73, 70, 0,
    0, 0, 0, 65,
];

/// The same after 0xe0, in pairs.
#[rustfmt::skip]
const EXTENDED: [(u8, u8); 25] = [
    (0x11, 100), (0x14, 97), (0x1f, 125), (0x21, 114), (0x23, 113), (0x27, 126), (0x2f, 127), (0x32, 115),
    (0x34, 164), (0x37, 116), (0x3b, 166), (0x3f, 142), (0x4a, 98), (0x5a, 96), (0x69, 107), (0x6b, 105),
    (0x6c, 102), (0x70, 110), (0x71, 111), (0x72, 108), (0x74, 106), (0x75, 103), (0x7a, 109), (0x7c, 99),
    (0x7d, 104),
];
const PAUSE: u16 = 119;

impl Keyboard {
    /// Nothing said yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { is_released: false, is_extended: false, pause: 0 }
    }

    /// Takes a byte; up to two events come of it.
    pub fn push(&mut self, byte: u8) -> [Option<InputEvent>; 2] {
        if self.pause > 0 {
            self.pause -= 1;
            let is_whole = self.pause == 0;
            return [true, false].map(|pressed| is_whole.then(|| key(PAUSE, pressed)).flatten());
        }
        match byte {
            0xe0 => self.is_extended = true,
            0xf0 => self.is_released = true,
            0xe1 => self.pause = 7,
            _ => {
                let code = if self.is_extended { Self::extended(byte) } else { Self::plain(byte) };
                let pressed = !self.is_released;
                *self = Self::new();
                return [key(code, pressed), None];
            }
        }
        [None, None]
    }

    fn plain(byte: u8) -> u16 {
        PLAIN.get(usize::from(byte)).copied().unwrap_or(0).into()
    }

    /// 0xe0 0x12 and 0xe0 0x59 are shifts that the keyboard makes up around other keys: none of ours.
    fn extended(byte: u8) -> u16 {
        EXTENDED.iter().find(|(scan, _)| *scan == byte).map_or(0, |&(_, code)| code.into())
    }
}

fn key(code: u16, pressed: bool) -> Option<InputEvent> {
    Scancode::new(code).map(|key| InputEvent::Key { key, pressed })
}

/// Reads a mouse: packets of three bytes, or of four when it has a wheel and was told so.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mouse {
    has_wheel: bool,
    packet: [u8; 4],
    len: usize,
    buttons: u8,
}

/// Bit 3 of a packet's first byte is always set: out of step, the reader finds back by it.
const ALWAYS: u8 = 1 << 3;

impl Mouse {
    /// Events of one packet: motion, wheel, three buttons.
    pub const EVENTS_MAX: usize = 5;

    /// Nothing said yet.
    #[must_use]
    pub const fn new(has_wheel: bool) -> Self {
        Self { has_wheel, packet: [0; 4], len: 0, buttons: 0 }
    }

    /// Takes a byte; a packet's last one gives its events.
    pub fn push(&mut self, byte: u8) -> [Option<InputEvent>; Self::EVENTS_MAX] {
        if self.len == 0 && byte & ALWAYS == 0 {
            return [None; Self::EVENTS_MAX];
        }
        self.packet[self.len] = byte;
        self.len += 1;
        if self.len < 3 + usize::from(self.has_wheel) {
            return [None; Self::EVENTS_MAX];
        }
        self.len = 0;
        let [head, across, up, wheel] = self.packet;
        let signed = |low: u8, sign: u8| i16::from(low) - if head & sign == 0 { 0 } else { 256 };
        let (dx, dy) = (signed(across, 1 << 4), -signed(up, 1 << 5));
        let mut events = [None; Self::EVENTS_MAX];
        events[0] = (dx != 0 || dy != 0).then_some(InputEvent::PointerRelative { dx, dy });
        // Four bits with a sign; towards the person is positive there.
        let notches = i16::from((wheel << 4).cast_signed() >> 4);
        events[1] =
            (self.has_wheel && notches != 0).then_some(InputEvent::Wheel { dx: 0, dy: -notches * 120 });
        for (index, place) in (0..3).zip(&mut events[2..]) {
            let (was, is) = (self.buttons >> index & 1, head >> index & 1);
            let button = Button::new(index).filter(|_| was != is);
            *place = button.map(|button| InputEvent::Button { button, pressed: is == 1 });
        }
        self.buttons = head & 7;
        events
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    fn typed(bytes: &[u8]) -> Vec<(u16, bool)> {
        let mut keyboard = Keyboard::new();
        let events = bytes.iter().flat_map(|&byte| keyboard.push(byte)).flatten();
        let keys = events.filter_map(|event| {
            if let InputEvent::Key { key, pressed } = event { Some((key.code(), pressed)) } else { None }
        });
        keys.collect()
    }

    #[test]
    fn keys_go_down_and_up() {
        assert_eq!(typed(&[0x1c, 0xf0, 0x1c]), [(30, true), (30, false)]);
        assert_eq!(typed(&[0xe0, 0x75, 0xe0, 0xf0, 0x75]), [(103, true), (103, false)]);
        assert_eq!(typed(&[0x14, 0x11, 0xe0, 0x71]), [(29, true), (56, true), (111, true)]);
        let pause = [0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77, 0x1c];
        assert_eq!(typed(&pause), [(119, true), (119, false), (30, true)]);
        let print = [0xe0, 0x12, 0xe0, 0x7c, 0xe0, 0xf0, 0x7c, 0xe0, 0xf0, 0x12];
        assert_eq!(typed(&print), [(99, true), (99, false)]);
        assert_eq!(typed(&[0xfa, 0xaa, 0x00, 0x83]), [(65, true)]);
    }

    #[test]
    fn no_key_has_the_code_of_another() {
        let all = (0..=255).map(Keyboard::plain).chain((0..=255).map(Keyboard::extended));
        let mut codes: Vec<u16> = all.filter(|&code| code != 0).collect();
        let count = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), count);
        assert!(count > 100);
        // The letters' row, as evdev counts it.
        let row = [0x15, 0x1d, 0x24, 0x2d, 0x2c, 0x35, 0x3c, 0x43, 0x44, 0x4d].map(Keyboard::plain);
        assert!(row.iter().copied().eq(16..26));
        let digits = [0x16, 0x1e, 0x26, 0x25, 0x2e, 0x36, 0x3d, 0x3e, 0x46, 0x45].map(Keyboard::plain);
        assert!(digits.iter().copied().eq(2..12));
    }

    fn moved(has_wheel: bool, bytes: &[u8]) -> Vec<InputEvent> {
        let mut mouse = Mouse::new(has_wheel);
        bytes.iter().flat_map(|&byte| mouse.push(byte)).flatten().collect()
    }

    #[test]
    fn mouse_moves_clicks_and_turns() {
        assert_eq!(moved(false, &[0x08, 30, 20]), [InputEvent::PointerRelative { dx: 30, dy: -20 }]);
        assert_eq!(moved(false, &[0x38, 0x9c, 0xc4]), [InputEvent::PointerRelative { dx: -100, dy: 60 }]);
        let left = |pressed| InputEvent::Button { button: Button::LEFT, pressed };
        assert_eq!(moved(false, &[0x09, 0, 0, 0x09, 0, 0, 0x08, 0, 0]), [left(true), left(false)]);
        let turn = |dy| InputEvent::Wheel { dx: 0, dy };
        assert_eq!(moved(true, &[0x08, 0, 0, 0x0f, 0x08, 0, 0, 0x01]), [turn(120), turn(-120)]);
    }

    #[test]
    fn mouse_out_of_step_finds_back() {
        assert_eq!(moved(false, &[0x04, 0x07, 0x08, 5, 0]), [InputEvent::PointerRelative { dx: 5, dy: 0 }]);
    }
}
