//! Texts that people read: names, regions, versions.

/// Whether a character may stand in a name. Control characters steer terminals; marks of direction (UAX #9 §2) and
/// invisible spaces make a name look like another one.
#[must_use]
pub fn is_shown(character: char) -> bool {
    !character.is_control()
        && !matches!(
            character,
            '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// Whether a text has only such characters.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    text.chars().all(is_shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_scripts_are_plain_and_those_that_deceive_are_not() {
        for name in ["Küche", "客厅 2", "مكتب", "Ой", "e\u{301}"] {
            assert!(is_plain(name), "{name:?}");
        }
        for mark in [
            '\0',
            '\u{1b}',
            '\u{85}',
            '\u{61c}',
            '\u{200b}',
            '\u{200e}',
            '\u{2029}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{feff}',
            '\u{fff9}',
            '\u{e0041}',
        ] {
            assert!(!is_shown(mark), "{mark:?}");
        }
    }
}
