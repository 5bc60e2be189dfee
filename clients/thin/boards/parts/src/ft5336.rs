//! Focaltech touch controllers of the FT5x06 family (FT5336 on boards of ST's): registers of the application note.
//!
//! Bytes in, events out; no bus is touched. One finger is a pointer with its left button held; more fingers are not told.

use rift::{Button, InputEvent};

/// Its address on the bus, of 7 bits.
pub const ADDRESS: u8 = 0x38;

/// What the controller says when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    /// Where the first finger is, in pixels as the controller counts them; `None` = there is none.
    pub place: Option<(u16, u16)>,
}

impl Touch {
    /// The first register of the answer.
    pub const REGISTER: u8 = 0x02;
    /// Its bytes.
    pub const LEN: usize = 5;
    /// Fingers that it tells apart; it says 15 before it has looked at all.
    const FINGERS_MAX: u8 = 5;
    /// In the upper two bits of the first finger's place: it was just lifted.
    const LIFTED: u8 = 1;

    /// Reads an answer.
    #[must_use]
    pub fn parse(bytes: &[u8; Self::LEN]) -> Self {
        let [fingers, first_high, first_low, second_high, second_low] = *bytes;
        let is_down = (1..=Self::FINGERS_MAX).contains(&(fingers & 0xf)) && first_high >> 6 != Self::LIFTED;
        let place = |high: u8, low: u8| u16::from_be_bytes([high & 0xf, low]);
        Self { place: is_down.then(|| (place(first_high, first_low), place(second_high, second_low))) }
    }
}

/// Makes events of where a finger is.
#[derive(Clone, Copy, Debug)]
pub struct Finger {
    size: (u16, u16),
    at: Option<(u16, u16)>,
}

impl Finger {
    /// Events of one look: a motion and a button.
    pub const EVENTS_MAX: usize = 2;

    /// No finger on a screen of this many pixels.
    #[must_use]
    pub const fn new(size: (u16, u16)) -> Self {
        Self { size, at: None }
    }

    /// The finger is at this pixel now, or nowhere.
    pub fn is_at(&mut self, place: Option<(u16, u16)>) -> [Option<InputEvent>; Self::EVENTS_MAX] {
        let was = core::mem::replace(&mut self.at, place);
        let moved = place.filter(|_| place != was).map(|(x, y)| {
            let (width, height) = self.size;
            InputEvent::PointerAbsolute { x: part(x, width), y: part(y, height) }
        });
        let pressed = place.is_some();
        let button =
            (pressed != was.is_some()).then_some(InputEvent::Button { button: Button::LEFT, pressed });
        [moved, button]
    }
}

/// A pixel of so many as a part of 65535.
fn part(pixel: u16, of: u16) -> u16 {
    let last = u32::from(of.max(2)) - 1;
    u16::try_from(u32::from(pixel).min(last) * u32::from(u16::MAX) / last).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_the_controller_are_read() {
        let place = |bytes: [u8; 5]| Touch::parse(&bytes).place;
        assert_eq!(place([1, 0x80 | 1, 0x0f, 0, 0x20]), Some((0x10f, 0x20)));
        assert_eq!(place([2, 0, 5, 0x10, 6]), Some((5, 6)), "the second finger's number is no part of it");
        assert_eq!(place([0, 0, 5, 0, 6]), None);
        assert_eq!(place([1, 0x40, 5, 0, 6]), None, "just lifted");
        assert_eq!(place([0xff; 5]), None, "it has not looked yet");
    }

    #[test]
    fn finger_presses_moves_and_lifts() {
        let mut finger = Finger::new((480, 272));
        let at = |x, y| Some(InputEvent::PointerAbsolute { x, y });
        let left = |pressed| Some(InputEvent::Button { button: Button::LEFT, pressed });
        assert_eq!(finger.is_at(None), [None, None]);
        assert_eq!(finger.is_at(Some((479, 0))), [at(u16::MAX, 0), left(true)]);
        assert_eq!(finger.is_at(Some((479, 0))), [None, None]);
        assert_eq!(finger.is_at(Some((0, 900))), [at(0, u16::MAX), None]);
        assert_eq!(finger.is_at(None), [None, left(false)]);
    }
}
