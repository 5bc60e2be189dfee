//! How a US keyboard types ASCII.
//!
//! A kernel device sends keys, never characters: what a key means is decided by the layout of whoever reads it.
//! So text can be typed only under an assumed layout, and the assumption is this one.

use evdev::KeyCode;

/// The key that types `character` on a US keyboard and whether Shift is held with it; `None` if no key does.
///
/// Takes `' '..='~'`, tab, and line feed or carriage return for Enter.
pub(crate) const fn key_for(character: char) -> Option<(KeyCode, bool)> {
    if !character.is_ascii() {
        return None;
    }
    let mut index = 0;
    while index < KEYS.len() {
        let (key, plain, shifted) = KEYS[index];
        if character == plain || character == shifted {
            // Where both are the same (space, tab), Shift is not needed.
            return Some((key, character != plain));
        }
        index += 1;
    }
    None
}

/// Each key with what it types alone and with Shift.
const KEYS: [(KeyCode, char, char); 51] = [
    (KeyCode::KEY_1, '1', '!'),
    (KeyCode::KEY_2, '2', '@'),
    (KeyCode::KEY_3, '3', '#'),
    (KeyCode::KEY_4, '4', '$'),
    (KeyCode::KEY_5, '5', '%'),
    (KeyCode::KEY_6, '6', '^'),
    (KeyCode::KEY_7, '7', '&'),
    (KeyCode::KEY_8, '8', '*'),
    (KeyCode::KEY_9, '9', '('),
    (KeyCode::KEY_0, '0', ')'),
    (KeyCode::KEY_MINUS, '-', '_'),
    (KeyCode::KEY_EQUAL, '=', '+'),
    (KeyCode::KEY_Q, 'q', 'Q'),
    (KeyCode::KEY_W, 'w', 'W'),
    (KeyCode::KEY_E, 'e', 'E'),
    (KeyCode::KEY_R, 'r', 'R'),
    (KeyCode::KEY_T, 't', 'T'),
    (KeyCode::KEY_Y, 'y', 'Y'),
    (KeyCode::KEY_U, 'u', 'U'),
    (KeyCode::KEY_I, 'i', 'I'),
    (KeyCode::KEY_O, 'o', 'O'),
    (KeyCode::KEY_P, 'p', 'P'),
    (KeyCode::KEY_LEFTBRACE, '[', '{'),
    (KeyCode::KEY_RIGHTBRACE, ']', '}'),
    (KeyCode::KEY_A, 'a', 'A'),
    (KeyCode::KEY_S, 's', 'S'),
    (KeyCode::KEY_D, 'd', 'D'),
    (KeyCode::KEY_F, 'f', 'F'),
    (KeyCode::KEY_G, 'g', 'G'),
    (KeyCode::KEY_H, 'h', 'H'),
    (KeyCode::KEY_J, 'j', 'J'),
    (KeyCode::KEY_K, 'k', 'K'),
    (KeyCode::KEY_L, 'l', 'L'),
    (KeyCode::KEY_SEMICOLON, ';', ':'),
    (KeyCode::KEY_APOSTROPHE, '\'', '"'),
    (KeyCode::KEY_GRAVE, '`', '~'),
    (KeyCode::KEY_BACKSLASH, '\\', '|'),
    (KeyCode::KEY_Z, 'z', 'Z'),
    (KeyCode::KEY_X, 'x', 'X'),
    (KeyCode::KEY_C, 'c', 'C'),
    (KeyCode::KEY_V, 'v', 'V'),
    (KeyCode::KEY_B, 'b', 'B'),
    (KeyCode::KEY_N, 'n', 'N'),
    (KeyCode::KEY_M, 'm', 'M'),
    (KeyCode::KEY_COMMA, ',', '<'),
    (KeyCode::KEY_DOT, '.', '>'),
    (KeyCode::KEY_SLASH, '/', '?'),
    (KeyCode::KEY_SPACE, ' ', ' '),
    (KeyCode::KEY_TAB, '\t', '\t'),
    (KeyCode::KEY_ENTER, '\n', '\n'),
    (KeyCode::KEY_ENTER, '\r', '\r'),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_printable_ascii_character_has_one_key() {
        let mut seen = std::collections::BTreeSet::new();
        for character in ' '..='~' {
            let (key, shift) = key_for(character).expect("a US keyboard types ASCII");
            assert!(seen.insert((key.0, shift)), "{character:?} shares its key");
        }
    }

    #[test]
    fn what_a_us_keyboard_cannot_type_has_none() {
        for character in ['é', 'ß', '€', '\0', '\u{7f}', '\u{1b}'] {
            assert_eq!(key_for(character), None, "{character:?}");
        }
    }
}
