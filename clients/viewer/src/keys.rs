//! What keys at the window become: input for the host, or a command to the client itself.
//!
//! It knows keys and no devices. Invariant: only keys whose press was sent are released, and each of them is, so the
//! host never sees half a keystroke.

use rift::{InputEvent, Scancode};
use rift_hal::Key;

use crate::audio::Knob;

/// Most keys whose press may be at the host at once; what the protocol carries (`rift::limits::KEYS_HELD_MAX`).
const SENT_MAX: usize = rift::limits::KEYS_HELD_MAX;

/// A command to the client: Ctrl+Alt+Shift and a letter's key, or an arrow's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hotkey {
    /// S: show or hide the latencies.
    Overlay,
    /// Q: end.
    Quit,
    /// Z: take or give back pointer and keyboard.
    Grab,
    /// X: fill the screen or go back to a window.
    Fullscreen,
    /// M: hear nothing, or again; up and down: louder and less loud.
    Sound(Knob),
}

/// Turns keys into input.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Characters go as text.
    text_input: bool,
    /// Modifiers held at the window, whether the host knows or not.
    held: Modifiers,
    /// Presses the host was told of and that are not yet released.
    sent: Vec<Scancode>,
    /// Modifiers pressed that only choose characters: the host need not know unless something else is pressed too.
    deferred: Vec<Scancode>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Modifiers {
    control: u8,
    alt: u8,
    shift: u8,
}

impl Keys {
    /// Nothing held. `text_input`: characters go as text, so the client's layout decides what they are.
    #[must_use]
    pub fn new(text_input: bool) -> Self {
        Self {
            text_input,
            held: Modifiers::default(),
            sent: Vec::with_capacity(SENT_MAX),
            deferred: Vec::with_capacity(SENT_MAX),
        }
    }

    /// A key went down or up. `send` gets what the host must be told, in order. Returns the command it was, if any;
    /// everything the host held is released before one.
    pub fn handle(&mut self, key: &Key, mut send: impl FnMut(InputEvent)) -> Option<Hotkey> {
        self.held.follow(key);
        if !key.pressed {
            self.deferred.retain(|&other| other != key.key);
            self.release(key.key, &mut send);
            return None;
        }
        if self.held.are_hotkey()
            && let Some(hotkey) = hotkey(key.key)
        {
            self.release_all(send);
            return Some(hotkey);
        }
        if self.text_input {
            if let Some(character) = key.text.filter(|_| !key.command) {
                send(InputEvent::Text(character));
                return None;
            }
            if chooses_characters(key.key) {
                if self.deferred.len() < SENT_MAX {
                    self.deferred.push(key.key);
                }
                return None;
            }
            self.tell_deferred(&mut send);
        }
        self.press(key.key, &mut send);
        None
    }

    /// A button is about to be pressed: held modifiers that the host was not told of now matter.
    pub fn before_button(&mut self, mut send: impl FnMut(InputEvent)) {
        self.tell_deferred(&mut send);
    }

    /// Releases what the host holds, for instance because the window lost the focus or the session its host.
    pub fn release_all(&mut self, mut send: impl FnMut(InputEvent)) {
        self.deferred.clear();
        for key in self.sent.drain(..).rev() {
            send(InputEvent::Key { key, pressed: false });
        }
    }

    /// The window no longer says what happens to keys: whatever is held there is unknown.
    pub fn forget(&mut self, send: impl FnMut(InputEvent)) {
        self.held = Modifiers::default();
        self.release_all(send);
    }

    fn tell_deferred(&mut self, send: &mut impl FnMut(InputEvent)) {
        for key in core::mem::take(&mut self.deferred) {
            self.press(key, send);
        }
    }

    fn press(&mut self, key: Scancode, send: &mut impl FnMut(InputEvent)) {
        if self.sent.len() < SENT_MAX && !self.sent.contains(&key) {
            self.sent.push(key);
            send(InputEvent::Key { key, pressed: true });
        }
    }

    fn release(&mut self, key: Scancode, send: &mut impl FnMut(InputEvent)) {
        if let Some(index) = self.sent.iter().position(|&sent| sent == key) {
            self.sent.remove(index);
            send(InputEvent::Key { key, pressed: false });
        }
    }
}

impl Modifiers {
    fn follow(&mut self, key: &Key) {
        let (side, bit) = match key.key.code() {
            LEFT_CONTROL => (&mut self.control, 1),
            RIGHT_CONTROL => (&mut self.control, 2),
            LEFT_ALT => (&mut self.alt, 1),
            RIGHT_ALT => (&mut self.alt, 2),
            LEFT_SHIFT => (&mut self.shift, 1),
            RIGHT_SHIFT => (&mut self.shift, 2),
            _ => return,
        };
        *side = if key.pressed { *side | bit } else { *side & !bit };
    }

    const fn are_hotkey(self) -> bool {
        self.control != 0 && self.alt != 0 && self.shift != 0
    }
}

const fn hotkey(key: Scancode) -> Option<Hotkey> {
    match key.code() {
        KEY_S => Some(Hotkey::Overlay),
        KEY_Q => Some(Hotkey::Quit),
        KEY_Z => Some(Hotkey::Grab),
        KEY_X => Some(Hotkey::Fullscreen),
        KEY_M => Some(Hotkey::Sound(Knob::Mute)),
        KEY_UP => Some(Hotkey::Sound(Knob::Louder)),
        KEY_DOWN => Some(Hotkey::Sound(Knob::Quieter)),
        _ => None,
    }
}

/// Shift and the right Alt, which many layouts use as AltGr: with characters sent as text they have done their part.
const fn chooses_characters(key: Scancode) -> bool {
    matches!(key.code(), LEFT_SHIFT | RIGHT_SHIFT | RIGHT_ALT)
}

// Physical keys, by `linux/input-event-codes.h`.
const KEY_Q: u16 = 16;
const LEFT_CONTROL: u16 = 29;
const KEY_S: u16 = 31;
const LEFT_SHIFT: u16 = 42;
const KEY_Z: u16 = 44;
const KEY_X: u16 = 45;
const KEY_M: u16 = 50;
const RIGHT_SHIFT: u16 = 54;
const LEFT_ALT: u16 = 56;
const RIGHT_CONTROL: u16 = 97;
const RIGHT_ALT: u16 = 100;
const KEY_UP: u16 = 103;
const KEY_DOWN: u16 = 108;

#[cfg(test)]
mod tests {
    use super::*;

    const KEY_A: u16 = 30;
    const KEY_LEFT: u16 = 105;

    fn key(code: u16, pressed: bool, text: Option<char>, command: bool) -> Key {
        Key { key: Scancode::new(code).unwrap(), pressed, text, command }
    }

    fn run(keys: &mut Keys, events: &[Key]) -> (Vec<String>, Vec<Hotkey>) {
        let (mut sent, mut hotkeys) = (Vec::new(), Vec::new());
        for event in events {
            hotkeys.extend(keys.handle(event, |input| sent.push(show(input))));
        }
        (sent, hotkeys)
    }

    fn show(input: InputEvent) -> String {
        match input {
            InputEvent::Key { key, pressed } => format!("{}{}", if pressed { '+' } else { '-' }, key.code()),
            InputEvent::Text(character) => format!("{character:?}"),
            InputEvent::Button { .. } | _ => format!("{input:?}"),
        }
    }

    fn chord() -> [Key; 3] {
        [LEFT_CONTROL, LEFT_ALT, LEFT_SHIFT].map(|code| key(code, true, None, true))
    }

    #[test]
    fn keys_go_by_scancode() {
        let mut keys = Keys::new(false);
        let (sent, _) = run(&mut keys, &[key(KEY_A, true, Some('a'), false), key(KEY_A, false, None, false)]);
        assert_eq!(sent, ["+30", "-30"]);
    }

    #[test]
    fn hotkey_is_eaten_and_its_modifiers_are_released() {
        for (code, hotkey) in [
            (KEY_S, Hotkey::Overlay),
            (KEY_Q, Hotkey::Quit),
            (KEY_Z, Hotkey::Grab),
            (KEY_X, Hotkey::Fullscreen),
            (KEY_M, Hotkey::Sound(Knob::Mute)),
            (KEY_UP, Hotkey::Sound(Knob::Louder)),
        ] {
            let mut keys = Keys::new(false);
            let (sent, _) = run(&mut keys, &chord());
            assert_eq!(sent, ["+29", "+56", "+42"]);
            let (sent, hotkeys) =
                run(&mut keys, &[key(code, true, None, true), key(code, false, None, true)]);
            assert_eq!(sent, ["-42", "-56", "-29"]);
            assert_eq!(hotkeys, [hotkey]);
            // Pressed again while the modifiers are still down, it is the command again.
            let (sent, hotkeys) =
                run(&mut keys, &[key(code, true, None, true), key(code, false, None, true)]);
            assert_eq!((sent.len(), hotkeys.len()), (0, 1));
            let up = chord().map(|modifier| Key { pressed: false, ..modifier });
            assert!(run(&mut keys, &up).0.is_empty(), "released once already");
            assert_eq!(run(&mut keys, &[key(code, true, Some('s'), false)]).0, [format!("+{code}")]);
        }
    }

    #[test]
    fn letter_without_all_modifiers_is_no_hotkey() {
        for missing in 0..3 {
            let mut keys = Keys::new(false);
            let mut chord = chord().to_vec();
            chord.remove(missing);
            chord.push(key(KEY_Q, true, None, true));
            let (sent, hotkeys) = run(&mut keys, &chord);
            assert!(hotkeys.is_empty());
            assert_eq!(sent.len(), 3);
        }
    }

    #[test]
    fn text_goes_without_its_keys_and_without_shift() {
        let mut keys = Keys::new(true);
        let (sent, _) = run(
            &mut keys,
            &[
                key(LEFT_SHIFT, true, None, false),
                key(KEY_A, true, Some('Ä'), false),
                key(KEY_A, false, None, false),
                key(LEFT_SHIFT, false, None, false),
                key(RIGHT_ALT, true, None, false),
                key(KEY_Q, true, Some('@'), false),
                key(RIGHT_ALT, false, None, false),
                key(KEY_Q, false, None, false),
            ],
        );
        assert_eq!(sent, ["'Ä'", "'@'"]);
    }

    #[test]
    fn commands_and_other_keys_go_by_scancode_with_shift_in_text_mode() {
        let mut keys = Keys::new(true);
        let (sent, _) = run(
            &mut keys,
            &[
                key(LEFT_SHIFT, true, None, false),
                key(KEY_LEFT, true, None, false),
                key(KEY_LEFT, false, None, false),
                key(LEFT_SHIFT, false, None, false),
                key(LEFT_CONTROL, true, None, true),
                key(KEY_A, true, Some('a'), true),
                key(KEY_A, false, None, true),
                key(LEFT_CONTROL, false, None, false),
            ],
        );
        assert_eq!(sent, ["+42", "+105", "-105", "-42", "+29", "+30", "-30", "-29"]);
    }

    #[test]
    fn shift_click_has_its_shift_in_text_mode() {
        let mut keys = Keys::new(true);
        assert!(run(&mut keys, &[key(LEFT_SHIFT, true, None, false)]).0.is_empty());
        let mut sent = Vec::new();
        keys.before_button(|input| sent.push(show(input)));
        assert_eq!(sent, ["+42"]);
        assert_eq!(run(&mut keys, &[key(LEFT_SHIFT, false, None, false)]).0, ["-42"]);
    }

    #[test]
    fn losing_the_window_releases_everything_once() {
        let mut keys = Keys::new(false);
        run(&mut keys, &[key(LEFT_CONTROL, true, None, true), key(KEY_A, true, None, true)]);
        let mut sent = Vec::new();
        keys.forget(|input| sent.push(show(input)));
        assert_eq!(sent, ["-30", "-29"]);
        assert!(run(&mut keys, &[key(KEY_A, false, None, false)]).0.is_empty());
        let chord = [LEFT_ALT, LEFT_SHIFT, KEY_Q].map(|code| key(code, true, None, true));
        assert!(run(&mut keys, &chord).1.is_empty(), "Control is no longer held as far as is known");
    }

    #[test]
    fn no_more_keys_are_pressed_than_the_host_takes() {
        let mut keys = Keys::new(false);
        let codes = 1..=60u16;
        let presses: Vec<Key> = codes.clone().map(|code| key(code, true, None, false)).collect();
        let presses: Vec<Key> = presses.into_iter().filter(|key| hotkey(key.key).is_none()).collect();
        assert_eq!(run(&mut keys, &presses).0.len(), SENT_MAX);
        let releases: Vec<Key> = codes.map(|code| key(code, false, None, false)).collect();
        assert_eq!(run(&mut keys, &releases).0.len(), SENT_MAX);
    }
}
