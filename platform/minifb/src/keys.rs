//! From minifb's keys to scancodes, and the characters that go with them.

use core::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use minifb::{InputCallback, Key as WindowKey};
use rift::Scancode;
use rift_hal::Key;

/// What is held and what happened since it was last asked.
#[derive(Debug, Default)]
pub(crate) struct Keyboard {
    held: BTreeSet<u16>,
    happened: Vec<Key>,
    /// Whether the last of `happened` still waits for its character.
    waits_for_text: bool,
}

impl Keyboard {
    /// A key went down or up; minifb also says "down" for every repeat, which is the host's affair.
    fn on_key(&mut self, key: WindowKey, pressed: bool) {
        let Some(scancode) = scancode(key) else { return };
        self.waits_for_text = false;
        let changed =
            if pressed { self.held.insert(scancode.code()) } else { self.held.remove(&scancode.code()) };
        if !changed || self.happened.len() >= HAPPENED_MAX {
            return;
        }
        self.happened.push(Key { key: scancode, pressed, text: None, command: self.is_command() });
        self.waits_for_text = pressed && types(key);
    }

    /// minifb says the character right after its key. Without one, it came from a key outside its table, and a
    /// character without a key cannot be said.
    fn on_character(&mut self, character: u32) {
        if !core::mem::take(&mut self.waits_for_text) {
            return;
        }
        let text = char::from_u32(character).filter(|character| !character.is_control());
        if let Some(key) = self.happened.last_mut() {
            key.text = text;
        }
    }

    /// What happened, oldest first.
    pub(crate) fn take(&mut self) -> Vec<Key> {
        self.waits_for_text = false;
        core::mem::take(&mut self.happened)
    }

    /// Lets go of everything held, because nobody will say so once the focus is lost.
    pub(crate) fn release_all(&mut self) -> Vec<Key> {
        let held = core::mem::take(&mut self.held);
        let release =
            |code| Some(Key { key: Scancode::new(code)?, pressed: false, text: None, command: false });
        held.into_iter().filter_map(release).collect()
    }

    /// Whether Control, the left Alt or Super is held. The right Alt may be AltGr, which enters characters.
    fn is_command(&self) -> bool {
        COMMAND_KEYS.iter().any(|code| self.held.contains(code))
    }
}

/// Hands minifb's calls to a keyboard that the window's thread shares with it.
pub(crate) struct Listener(pub(crate) Rc<RefCell<Keyboard>>);

impl InputCallback for Listener {
    fn add_char(&mut self, character: u32) {
        self.0.borrow_mut().on_character(character);
    }

    fn set_key_state(&mut self, key: WindowKey, pressed: bool) {
        self.0.borrow_mut().on_key(key, pressed);
    }
}

/// The evdev code (`linux/input-event-codes.h`) of the key of a US keyboard; `None` for `Unknown`.
pub(crate) fn scancode(key: WindowKey) -> Option<Scancode> {
    let code = CODES.iter().find(|&&(known, _)| known == key)?.1;
    Scancode::new(code)
}

/// Whether a key enters a character when pressed alone. The others must not wait for one: the next character may be
/// that of a key outside the table.
fn types(key: WindowKey) -> bool {
    scancode(key).is_some_and(
        |scancode| matches!(scancode.code(), 2..=13 | 16..=27 | 30..=41 | 43..=53 | 55 | 57 | 71..=83 | 98),
    )
}

const COMMAND_KEYS: [u16; 5] = [29, 97, 56, 125, 126];

/// Nobody presses more between two questions; what is beyond is lost.
const HAPPENED_MAX: usize = 256;

const CODES: [(WindowKey, u16); 106] = {
    use WindowKey::{
        A, Apostrophe, B, Backquote, Backslash, Backspace, C, CapsLock, Comma, D, Delete, Down, E, End,
        Enter, Equal, Escape, F, F1, F2, F3, F4, F5, F6, F7, F8, F9, F10, F11, F12, F13, F14, F15, G, H,
        Home, I, Insert, J, K, Key0, Key1, Key2, Key3, Key4, Key5, Key6, Key7, Key8, Key9, L, Left, LeftAlt,
        LeftBracket, LeftCtrl, LeftShift, LeftSuper, M, Menu, Minus, N, NumLock, NumPad0, NumPad1, NumPad2,
        NumPad3, NumPad4, NumPad5, NumPad6, NumPad7, NumPad8, NumPad9, NumPadAsterisk, NumPadDot,
        NumPadEnter, NumPadMinus, NumPadPlus, NumPadSlash, O, P, PageDown, PageUp, Pause, Period, Q, R,
        Right, RightAlt, RightBracket, RightCtrl, RightShift, RightSuper, S, ScrollLock, Semicolon, Slash,
        Space, T, Tab, U, Up, V, W, X, Y, Z,
    };
    [
        (Escape, 1),
        (Key1, 2),
        (Key2, 3),
        (Key3, 4),
        (Key4, 5),
        (Key5, 6),
        (Key6, 7),
        (Key7, 8),
        (Key8, 9),
        (Key9, 10),
        (Key0, 11),
        (Minus, 12),
        (Equal, 13),
        (Backspace, 14),
        (Tab, 15),
        (Q, 16),
        (W, 17),
        (E, 18),
        (R, 19),
        (T, 20),
        (Y, 21),
        (U, 22),
        (I, 23),
        (O, 24),
        (P, 25),
        (LeftBracket, 26),
        (RightBracket, 27),
        (Enter, 28),
        (LeftCtrl, 29),
        (A, 30),
        (S, 31),
        (D, 32),
        (F, 33),
        (G, 34),
        (H, 35),
        (J, 36),
        (K, 37),
        (L, 38),
        (Semicolon, 39),
        (Apostrophe, 40),
        (Backquote, 41),
        (LeftShift, 42),
        (Backslash, 43),
        (Z, 44),
        (X, 45),
        (C, 46),
        (V, 47),
        (B, 48),
        (N, 49),
        (M, 50),
        (Comma, 51),
        (Period, 52),
        (Slash, 53),
        (RightShift, 54),
        (NumPadAsterisk, 55),
        (LeftAlt, 56),
        (Space, 57),
        (CapsLock, 58),
        (F1, 59),
        (F2, 60),
        (F3, 61),
        (F4, 62),
        (F5, 63),
        (F6, 64),
        (F7, 65),
        (F8, 66),
        (F9, 67),
        (F10, 68),
        (NumLock, 69),
        (ScrollLock, 70),
        (NumPad7, 71),
        (NumPad8, 72),
        (NumPad9, 73),
        (NumPadMinus, 74),
        (NumPad4, 75),
        (NumPad5, 76),
        (NumPad6, 77),
        (NumPadPlus, 78),
        (NumPad1, 79),
        (NumPad2, 80),
        (NumPad3, 81),
        (NumPad0, 82),
        (NumPadDot, 83),
        (F11, 87),
        (F12, 88),
        (NumPadEnter, 96),
        (RightCtrl, 97),
        (NumPadSlash, 98),
        (RightAlt, 100),
        (Home, 102),
        (Up, 103),
        (PageUp, 104),
        (Left, 105),
        (Right, 106),
        (End, 107),
        (Down, 108),
        (PageDown, 109),
        (Insert, 110),
        (Delete, 111),
        (Pause, 119),
        (LeftSuper, 125),
        (RightSuper, 126),
        (Menu, 127),
        (F13, 183),
        (F14, 184),
        (F15, 185),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    fn press(keyboard: &mut Keyboard, key: WindowKey, text: Option<char>) {
        keyboard.on_key(key, true);
        if let Some(text) = text {
            keyboard.on_character(text.into());
        }
    }

    #[test]
    fn every_key_has_a_scancode_of_its_own() {
        let codes: BTreeSet<u16> = CODES.iter().map(|&(_, code)| code).collect();
        assert_eq!(codes.len(), CODES.len());
        assert_eq!(scancode(WindowKey::Unknown), None);
    }

    #[test]
    fn character_belongs_to_its_key() {
        let mut keyboard = Keyboard::default();
        press(&mut keyboard, WindowKey::LeftShift, None);
        press(&mut keyboard, WindowKey::A, Some('A'));
        press(&mut keyboard, WindowKey::Enter, Some('\r'));
        let text: Vec<_> = keyboard.take().iter().map(|key| (key.key.code(), key.text)).collect();
        assert_eq!(text, [(42, None), (30, Some('A')), (28, None)]);
    }

    #[test]
    fn character_of_a_key_outside_the_table_is_given_to_no_other() {
        let mut keyboard = Keyboard::default();
        keyboard.on_character('é'.into());
        press(&mut keyboard, WindowKey::LeftShift, None);
        keyboard.on_character('É'.into());
        press(&mut keyboard, WindowKey::A, Some('A'));
        keyboard.on_character('É'.into());
        keyboard.on_key(WindowKey::A, false);
        keyboard.on_character('É'.into());
        let text: Vec<_> = keyboard.take().iter().map(|key| key.text).collect();
        assert_eq!(text, [None, Some('A'), None]);
    }

    #[test]
    fn repeats_are_not_told() {
        let mut keyboard = Keyboard::default();
        for _ in 0..3 {
            press(&mut keyboard, WindowKey::A, Some('a'));
        }
        keyboard.on_key(WindowKey::A, false);
        keyboard.on_key(WindowKey::A, false);
        let pressed: Vec<_> = keyboard.take().iter().map(|key| key.pressed).collect();
        assert_eq!(pressed, [true, false]);
    }

    #[test]
    fn held_keys_are_released_once() {
        let mut keyboard = Keyboard::default();
        press(&mut keyboard, WindowKey::LeftCtrl, None);
        press(&mut keyboard, WindowKey::C, Some('\u{3}'));
        assert!(keyboard.take()[1].command);
        assert_eq!(keyboard.release_all().len(), 2);
        assert_eq!(keyboard.release_all(), []);
    }
}
