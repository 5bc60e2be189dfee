//! What an admitted peer may do (SPEC §8). Checked once, at dispatch, and again at the sink.

use crate::channel::input::{InputEvent, Scancode};
use crate::crypto::Side;
use crate::wire::stream::Channel;

bitflags::bitflags! {
    /// The rights of one admitted peer.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Permissions: u32 {
        /// See the pictures.
        const VIEW = 1 << 0;
        /// Move the pointer, press its buttons, turn the wheel.
        const POINTER = 1 << 1;
        /// Press keys and enter text.
        const KEYBOARD = 1 << 2;
        /// SysRq, virtual-terminal switches.
        const SYSTEM_KEYS = 1 << 3;
        /// Gamepads.
        const GAMEPAD = 1 << 4;
        /// Touch.
        const TOUCH = 1 << 5;
        /// Read the host's clipboard.
        const CLIPBOARD_READ = 1 << 6;
        /// Write the host's clipboard.
        const CLIPBOARD_WRITE = 1 << 7;
        /// Send files to the host.
        const FILE_SEND = 1 << 8;
        /// Receive files from the host.
        const FILE_RECEIVE = 1 << 9;
        /// Hear the host.
        const AUDIO = 1 << 10;
        /// Be heard by the host.
        const MICROPHONE = 1 << 11;
        /// Record the session.
        const RECORD = 1 << 12;
        /// Power and reset.
        const POWER = 1 << 13;
        /// Change the host's settings.
        const ADMIN = 1 << 14;
    }
}

impl Permissions {
    /// Each of them by the word that people use for it, in commands, files, logs and overlays.
    pub const WORDS: [(Self, &'static str); 15] = [
        (Self::VIEW, "view"),
        (Self::POINTER, "pointer"),
        (Self::KEYBOARD, "keyboard"),
        (Self::SYSTEM_KEYS, "system-keys"),
        (Self::GAMEPAD, "gamepad"),
        (Self::TOUCH, "touch"),
        (Self::CLIPBOARD_READ, "clipboard-read"),
        (Self::CLIPBOARD_WRITE, "clipboard-write"),
        (Self::FILE_SEND, "file-send"),
        (Self::FILE_RECEIVE, "file-receive"),
        (Self::AUDIO, "audio"),
        (Self::MICROPHONE, "microphone"),
        (Self::RECORD, "record"),
        (Self::POWER, "power"),
        (Self::ADMIN, "admin"),
    ];

    /// The words of these, in a fixed order.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        Self::WORDS.into_iter().filter(move |&(one, _)| self.contains(one)).map(|(_, word)| word)
    }

    /// The permission of this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.into_iter().find(|&(_, known)| known == word).map(|(one, _)| one)
    }

    /// What a paired peer gets unless somebody decides otherwise: view, pointer, keyboard, audio.
    #[must_use]
    pub const fn default_control() -> Self {
        Self::VIEW.union(Self::POINTER).union(Self::KEYBOARD).union(Self::AUDIO)
    }

    /// Watch and listen only.
    #[must_use]
    pub const fn view_only() -> Self {
        Self::VIEW.union(Self::AUDIO)
    }

    /// Whether anything here lets the peer act on the host's devices.
    #[must_use]
    pub const fn may_steer(self) -> bool {
        self.intersects(Self::POINTER.union(Self::KEYBOARD).union(Self::GAMEPAD).union(Self::TOUCH))
    }

    /// Whether `sender`, of a client with these rights and its host, may send on a stream (SPEC §8.4).
    #[must_use]
    pub(crate) const fn allow_stream(self, sender: Side, channel: Channel) -> bool {
        match (channel, sender) {
            (Channel::Control | Channel::Cursor, _) => true,
            (Channel::Clipboard, Side::Initiator) => self.contains(Self::CLIPBOARD_WRITE),
            (Channel::Clipboard, Side::Responder) => self.contains(Self::CLIPBOARD_READ),
            // A file goes one way, and its answers the other.
            (Channel::File, _) => self.intersects(Self::FILE_SEND.union(Self::FILE_RECEIVE)),
        }
    }

    /// Whether a peer with these rights may cause `event` by itself (SPEC §8.2): see also [`Self::allow_while`].
    #[must_use]
    pub const fn allow(self, event: &InputEvent) -> bool {
        match event {
            InputEvent::Key { key, pressed } => {
                let needed = if *pressed { Self::needed_to_press(key.code()) } else { Self::KEYBOARD };
                self.contains(needed)
            }
            InputEvent::Text(_) => self.contains(Self::KEYBOARD),
            InputEvent::Button { .. }
            | InputEvent::PointerAbsolute { .. }
            | InputEvent::PointerRelative { .. }
            | InputEvent::Wheel { .. } => self.contains(Self::POINTER),
            InputEvent::GamepadConnected(_)
            | InputEvent::GamepadDisconnected(_)
            | InputEvent::GamepadButton { .. }
            | InputEvent::GamepadAxis { .. } => self.contains(Self::GAMEPAD),
            InputEvent::TouchDown { .. } | InputEvent::TouchMove { .. } | InputEvent::TouchUp(_) => {
                self.contains(Self::TOUCH)
            }
        }
    }

    /// Whether a peer with these rights may cause `event` while the keys are held of which `is_held` is true: without
    /// *system keys* no press may complete Ctrl+Alt and a function key, Backspace or Delete, in whatever order they are
    /// pressed (SPEC §8.10).
    #[must_use]
    pub fn allow_while(self, event: &InputEvent, is_held: impl Fn(Scancode) -> bool) -> bool {
        if !self.allow(event) {
            return false;
        }
        let InputEvent::Key { key, pressed: true } = event else { return true };
        let is_part = CONTROL.contains(&key.code()) || ALT.contains(&key.code()) || is_chord_end(key.code());
        if !is_part || self.contains(Self::SYSTEM_KEYS) {
            return true;
        }
        let down = |code| code == key.code() || Scancode::new(code).is_some_and(&is_held);
        let is_chord = CONTROL.into_iter().any(down)
            && ALT.into_iter().any(down)
            && (1..=CHORD_END_MAX).filter(|&code| is_chord_end(code)).any(down);
        !is_chord
    }

    /// What it takes to press the key of this code.
    const fn needed_to_press(code: u16) -> Self {
        match code {
            KEY_SYSRQ => Self::KEYBOARD.union(Self::SYSTEM_KEYS),
            KEY_POWER | KEY_SLEEP | KEY_WAKEUP | KEY_SUSPEND | KEY_POWER2 | KEY_RESTART => {
                Self::KEYBOARD.union(Self::POWER)
            }
            _ => Self::KEYBOARD,
        }
    }
}

/// With it the kernel can be made to reboot. Codes are those of `linux/input-event-codes.h`.
const KEY_SYSRQ: u16 = 99;
const KEY_POWER: u16 = 116;
const KEY_SLEEP: u16 = 142;
const KEY_WAKEUP: u16 = 143;
const KEY_SUSPEND: u16 = 205;
const KEY_POWER2: u16 = 356;
const KEY_RESTART: u16 = 408;

/// Left and right Ctrl.
const CONTROL: [u16; 2] = [29, 97];
/// Left and right Alt.
const ALT: [u16; 2] = [56, 100];
/// The largest code of [`is_chord_end`].
const CHORD_END_MAX: u16 = 194;

/// Keys that with Ctrl+Alt switch the virtual terminal, end the X server or reboot: F1–F24, Backspace, Delete and the
/// keypad's.
const fn is_chord_end(code: u16) -> bool {
    matches!(code, 59..=68 | 87 | 88 | 183..=CHORD_END_MAX | 14 | 111 | 83)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    const BOTH: Permissions = Permissions::KEYBOARD.union(Permissions::SYSTEM_KEYS);

    fn press(code: u16) -> InputEvent {
        InputEvent::Key { key: Scancode::new(code).unwrap(), pressed: true }
    }

    /// Presses these in turn, each held if it was allowed; how many were.
    fn pressed(permissions: Permissions, codes: &[u16]) -> usize {
        let mut held: Vec<u16> = Vec::new();
        for &code in codes {
            if permissions.allow_while(&press(code), |key| held.contains(&key.code())) {
                held.push(code);
            }
        }
        held.len()
    }

    #[test]
    fn chords_that_leave_the_session_need_system_keys_in_every_order() {
        for end in [59, 68, 87, 88, 183, 194, 14, 111, 83] {
            for control in CONTROL {
                for alt in ALT {
                    let orders =
                        [[control, alt, end], [control, end, alt], [end, alt, control], [alt, end, control]];
                    for codes in orders {
                        assert_eq!(pressed(Permissions::KEYBOARD, &codes), 2, "{codes:?}");
                        assert_eq!(pressed(BOTH, &codes), 3, "{codes:?}");
                    }
                }
            }
        }
        // Alt+F4, Ctrl+Delete, Ctrl+Alt+T and everything on a whole hand are anybody's.
        for codes in [&[56, 62][..], &[29, 111], &[29, 56, 20], &[29, 42, 30, 31, 32]] {
            assert_eq!(pressed(Permissions::KEYBOARD, codes), codes.len(), "{codes:?}");
        }
    }

    #[test]
    fn keys_of_the_machine_need_more_than_a_keyboard_and_releases_do_not() {
        for (code, needed) in [
            (KEY_SYSRQ, Permissions::SYSTEM_KEYS),
            (KEY_POWER, Permissions::POWER),
            (KEY_SLEEP, Permissions::POWER),
            (KEY_RESTART, Permissions::POWER),
        ] {
            let without = Permissions::all() - needed;
            assert!(!without.allow(&press(code)) && Permissions::all().allow(&press(code)), "{code}");
            let key = Scancode::new(code).unwrap();
            assert!(without.allow(&InputEvent::Key { key, pressed: false }), "{code}");
        }
    }

    #[test]
    fn words_name_every_permission_once() {
        let all: Permissions = Permissions::WORDS.into_iter().map(|(one, _)| one).collect();
        assert_eq!(all, Permissions::all());
        assert_eq!(Permissions::WORDS.len(), Permissions::all().bits().count_ones() as usize);
        for (one, word) in Permissions::WORDS {
            assert_eq!(Permissions::from_word(word), Some(one));
        }
        assert_eq!(Permissions::from_word("fly"), None);
        assert_eq!(Permissions::view_only().words().collect::<Vec<_>>(), ["view", "audio"]);
    }
}
