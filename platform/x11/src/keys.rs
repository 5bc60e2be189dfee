//! Keys at the window: which went down or up, and which character each enters under the client's layout.
//!
//! Dead keys are composed with the next letter for the accents European layouts have; Compose sequences and
//! input methods are not followed, because they need the C libraries this crate does without.

use rift::Scancode;
use rift_hal::Key;
use x11rb::protocol::xkb::{self, PerClientFlag};
use x11rb::protocol::xproto::{KeyPressEvent, Keycode, Keysym, ModMask};
use x11rb::rust_connection::RustConnection;
use xkeysym::key;

use crate::Error;
use crate::keymap::{self, CORE_KEYBOARD, Keymap};

/// An X keycode is the evdev code plus this.
const KEYCODE_BASE: u8 = 8;

/// A dead key's symbol, its accent standing alone, letters it goes on, and what they become.
const ACCENTS: [(Keysym, char, &str, &str); 8] = [
    (key::dead_grave, '`', "aeiouAEIOUnN", "àèìòùÀÈÌÒÙǹǸ"),
    (key::dead_acute, '´', "aeiouyAEIOUYcCnNsSzZ", "áéíóúýÁÉÍÓÚÝćĆńŃśŚźŹ"),
    (key::dead_circumflex, '^', "aeiouAEIOUwWyY", "âêîôûÂÊÎÔÛŵŴŷŶ"),
    (key::dead_tilde, '~', "anoANO", "ãñõÃÑÕ"),
    (key::dead_diaeresis, '¨', "aeiouyAEIOU", "äëïöüÿÄËÏÖÜ"),
    (key::dead_abovering, '°', "aAuU", "åÅůŮ"),
    (key::dead_cedilla, '¸', "cCsS", "çÇşŞ"),
    (key::dead_caron, 'ˇ', "cCsSzZrReEnNdDtT", "čČšŠžŽřŘěĚňŇďĎťŤ"),
];

/// The keyboard as the window sees it.
pub(crate) struct Keyboard {
    keymap: Keymap,
    stale: bool,
    command: u8,
    down: [bool; 256],
    dead: Option<usize>,
}

impl Keyboard {
    /// Reads the layout and asks for releases only when keys are let go, not between repeats.
    pub(crate) fn new(connection: &RustConnection) -> Result<Self, Error> {
        keymap::announce(connection)?;
        let flag = PerClientFlag::DETECTABLE_AUTO_REPEAT;
        let none = xkb::BoolCtrl::from(0u32);
        xkb::per_client_flags(connection, CORE_KEYBOARD, flag, flag, none, none, none)?.reply()?;
        let keymap = Keymap::load(connection)?;
        let command = command_modifiers(&keymap);
        Ok(Self { keymap, stale: false, command, down: [false; 256], dead: None })
    }

    /// The layout is another one from now on.
    pub(crate) const fn layout_changed(&mut self) {
        self.stale = true;
    }

    /// Nobody says any more which keys are down.
    pub(crate) fn forget(&mut self) {
        self.down = [false; 256];
        self.dead = None;
    }

    /// A key went down; `None` when it only repeats, or is none that has a scancode.
    pub(crate) fn press(
        &mut self,
        connection: &RustConnection,
        event: &KeyPressEvent,
    ) -> Result<Option<Key>, Error> {
        if core::mem::replace(&mut self.down[usize::from(event.detail)], true) {
            return Ok(None);
        }
        if core::mem::take(&mut self.stale) {
            self.keymap = Keymap::load(connection)?;
            self.command = command_modifiers(&self.keymap);
        }
        let [modifiers, high] = u16::from(event.state).to_le_bytes();
        let command = modifiers & self.command != 0;
        let group = high >> 5 & 3;
        let text = if command { None } else { self.text(event.detail, group, modifiers) };
        Ok(scancode(event.detail).map(|key| Key { key, pressed: true, text, command }))
    }

    /// A key went up; `None` when it was not down as far as was told.
    pub(crate) fn release(&mut self, event: &KeyPressEvent) -> Option<Key> {
        let was_down = core::mem::take(&mut self.down[usize::from(event.detail)]);
        let [modifiers, _] = u16::from(event.state).to_le_bytes();
        let command = modifiers & self.command != 0;
        let key = scancode(event.detail).filter(|_| was_down)?;
        Some(Key { key, pressed: false, text: None, command })
    }

    fn text(&mut self, keycode: Keycode, group: u8, modifiers: u8) -> Option<char> {
        let symbol = self.keymap.symbol(keycode, group, modifiers)?;
        if let Some(accent) = ACCENTS.iter().position(|accent| accent.0 == symbol) {
            // The same dead key twice enters the accent itself.
            let before = self.dead.replace(accent);
            if before == Some(accent) {
                self.dead = None;
                return Some(ACCENTS[accent].1);
            }
            return None;
        }
        let character =
            xkeysym::Keysym::new(symbol).key_char().filter(|character| !character.is_control())?;
        let locked = modifiers & mask(ModMask::LOCK) != 0;
        let capital = locked && !self.keymap.is_decided_by(keycode, group, mask(ModMask::LOCK));
        let character = if capital { upper(character) } else { character };
        Some(match self.dead.take() {
            Some(accent) => compose(accent, character).unwrap_or(character),
            None => character,
        })
    }
}

/// The modifiers that make a key a command: Control, and whatever Alt, Meta and Super are.
fn command_modifiers(keymap: &Keymap) -> u8 {
    const COMMAND: [Keysym; 6] =
        [key::Alt_L, key::Alt_R, key::Meta_L, key::Meta_R, key::Super_L, key::Super_R];
    keymap.modifiers_with(&COMMAND) | mask(ModMask::CONTROL)
}

fn mask(modifier: ModMask) -> u8 {
    u16::from(modifier).to_le_bytes()[0]
}

fn compose(accent: usize, character: char) -> Option<char> {
    let (_, alone, plain, composed) = ACCENTS[accent];
    if character == ' ' {
        return Some(alone);
    }
    plain.chars().zip(composed.chars()).find(|(plain, _)| *plain == character).map(|(_, composed)| composed)
}

/// The capital letter, where that is one character.
fn upper(character: char) -> char {
    let mut capital = character.to_uppercase();
    match (capital.next(), capital.next()) {
        (Some(one), None) => one,
        _ => character,
    }
}

fn scancode(keycode: Keycode) -> Option<Scancode> {
    Scancode::new(keycode.checked_sub(KEYCODE_BASE)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_accent_has_a_result_for_each_letter() {
        for (_, _, plain, composed) in ACCENTS {
            assert_eq!(plain.chars().count(), composed.chars().count(), "{plain}");
        }
    }

    #[test]
    fn accent_goes_on_its_letters_only() {
        let acute = ACCENTS.iter().position(|accent| accent.1 == '´').unwrap();
        assert_eq!(compose(acute, 'e'), Some('é'));
        assert_eq!(compose(acute, ' '), Some('´'));
        assert_eq!(compose(acute, 'x'), None);
    }
}
