//! From input events to kernel events: no device, no descriptor, only what is held down.

use evdev::{AbsoluteAxisCode, EventType, InputEvent as KernelEvent, KeyCode, RelativeAxisCode};
use rift::{Button, InputEvent, Scancode};

use crate::UinputError;
use crate::us_layout::key_for;

/// Which of the sink's first three devices says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Device {
    Keyboard,
    Mouse,
    Tablet,
}

/// Kernel events that happen at one moment at one device; the device ends them with `SYN_REPORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) device: Device,
    pub(crate) events: Vec<KernelEvent>,
}

/// What is held down, and what later events depend on.
#[derive(Clone, Debug)]
pub(crate) struct Translator {
    keys: [u64; KEY_WORDS],
    /// For each button the pointer that holds it down.
    buttons: [Option<Device>; Button::COUNT as usize],
    /// The pointer that moved last.
    pointer: Device,
    /// What is left of a notch, across and up, in 1/120.
    wheel: [i32; 2],
}

impl Translator {
    pub(crate) const fn new() -> Self {
        let buttons = [None; Button::COUNT as usize];
        Self { keys: [0; KEY_WORDS], buttons, pointer: Device::Tablet, wheel: [0; 2] }
    }

    /// The reports of one event, in order. On an error the translator may be half changed: work on a copy.
    pub(crate) fn translate(&mut self, event: &InputEvent) -> Result<Vec<Report>, UinputError> {
        match *event {
            InputEvent::Key { key, pressed } => {
                if !is_key(key.code()) {
                    return Err(UinputError::NotAKey(key));
                }
                Ok(self.key(key.code(), pressed))
            }
            InputEvent::Text(character) => {
                let (key, shift) = key_for(character).ok_or(UinputError::Untypable(character))?;
                Ok(self.text(key.0, shift))
            }
            InputEvent::Button { button, pressed } => Ok(self.button(button, pressed)),
            InputEvent::PointerAbsolute { x, y } => {
                self.pointer = Device::Tablet;
                let axis =
                    |code: AbsoluteAxisCode, value| event_of(EventType::ABSOLUTE, code.0, i32::from(value));
                let events = vec![axis(AbsoluteAxisCode::ABS_X, x), axis(AbsoluteAxisCode::ABS_Y, y)];
                Ok(vec![Report { device: Device::Tablet, events }])
            }
            InputEvent::PointerRelative { dx, dy } => {
                self.pointer = Device::Mouse;
                let moved = [(RelativeAxisCode::REL_X, dx), (RelativeAxisCode::REL_Y, dy)];
                let events =
                    moved.into_iter().filter(|&(_, by)| by != 0).map(|(axis, by)| relative(axis, by.into()));
                Ok(report(Device::Mouse, events.collect()))
            }
            InputEvent::Wheel { dx, dy } => {
                let mut events = self.wheel(0, dx);
                events.extend(self.wheel(1, dy));
                Ok(report(self.pointer, events))
            }
            InputEvent::GamepadConnected(_)
            | InputEvent::GamepadDisconnected(_)
            | InputEvent::GamepadButton { .. }
            | InputEvent::GamepadAxis { .. }
            | InputEvent::TouchDown { .. }
            | InputEvent::TouchMove { .. }
            | InputEvent::TouchUp(_)
            | _ => Err(UinputError::Unsupported),
        }
    }

    /// Reports that let go of everything held down.
    pub(crate) fn release_all(&mut self) -> Vec<Report> {
        let held: Vec<u16> = (1..=Scancode::MAX).filter(|&code| self.is_held(code)).collect();
        let mut reports: Vec<Report> = held.into_iter().flat_map(|code| self.key(code, false)).collect();
        for button in (0..Button::COUNT).filter_map(Button::new) {
            reports.extend(self.button(button, false));
        }
        self.wheel = [0; 2];
        reports
    }

    /// Takes over what `attempted` may have pressed before it failed, so that it is released one day.
    pub(crate) fn remember_presses(&mut self, attempted: &Self) {
        for (word, more) in self.keys.iter_mut().zip(attempted.keys) {
            *word |= more;
        }
        for (held, more) in self.buttons.iter_mut().zip(attempted.buttons) {
            *held = held.or(more);
        }
    }

    fn is_held(&self, code: u16) -> bool {
        self.keys[usize::from(code / 64)] >> (code % 64) & 1 == 1
    }

    /// A key that is already so says nothing: the kernel would drop it.
    fn key(&mut self, code: u16, pressed: bool) -> Vec<Report> {
        if self.is_held(code) == pressed {
            return Vec::new();
        }
        self.keys[usize::from(code / 64)] ^= 1 << (code % 64);
        report(Device::Keyboard, vec![event_of(EventType::KEY, code, pressed.into())])
    }

    /// Types with the Shift state the character needs, and puts back what the person holds.
    fn text(&mut self, code: u16, shift: bool) -> Vec<Report> {
        let shifts = [KeyCode::KEY_LEFTSHIFT.0, KeyCode::KEY_RIGHTSHIFT.0];
        let held = shifts.map(|shift| self.is_held(shift));
        let mut reports = Vec::new();
        if shift && held == [false; 2] {
            reports.extend(self.key(shifts[0], true));
        }
        if !shift {
            reports.extend(shifts.into_iter().flat_map(|shift| self.key(shift, false)));
        }
        let key_was_held = self.is_held(code);
        reports.extend(self.key(code, false));
        reports.extend(self.key(code, true));
        if !key_was_held {
            reports.extend(self.key(code, false));
        }
        reports.extend(shifts.into_iter().zip(held).flat_map(|(shift, held)| self.key(shift, held)));
        reports
    }

    /// A button goes to the pointer that moved last, because whoever reads two devices may not keep their
    /// order, and a click must not overtake the motion to its place. Its release goes where its press went.
    fn button(&mut self, button: Button, pressed: bool) -> Vec<Report> {
        let held = &mut self.buttons[usize::from(button.index())];
        let device = match (*held, pressed) {
            (None, true) => {
                *held = Some(self.pointer);
                self.pointer
            }
            (Some(device), false) => {
                *held = None;
                device
            }
            (Some(_), true) | (None, false) => return Vec::new(),
        };
        let code = KeyCode::BTN_LEFT.0 + u16::from(button.index());
        report(device, vec![event_of(EventType::KEY, code, pressed.into())])
    }

    /// The fine movement, and a notch for programs that know only those whenever enough has come together.
    /// What is left of a notch is dropped when the wheel turns back, as the kernel's own mouse driver does.
    fn wheel(&mut self, axis: usize, by: i16) -> Vec<KernelEvent> {
        const CODES: [(RelativeAxisCode, RelativeAxisCode); 2] = [
            (RelativeAxisCode::REL_HWHEEL, RelativeAxisCode::REL_HWHEEL_HI_RES),
            (RelativeAxisCode::REL_WHEEL, RelativeAxisCode::REL_WHEEL_HI_RES),
        ];
        let by = i32::from(by);
        if by == 0 {
            return Vec::new();
        }
        let left = &mut self.wheel[axis];
        if left.signum() == -by.signum() {
            *left = 0;
        }
        *left += by;
        let notches = *left / UNITS_PER_NOTCH;
        *left %= UNITS_PER_NOTCH;
        let (coarse, fine) = CODES[axis];
        let mut events = vec![relative(fine, by)];
        if notches != 0 {
            events.push(relative(coarse, notches));
        }
        events
    }
}

/// Whether an evdev code is a key's and not a button's of a mouse, pen or gamepad: a keyboard that had those
/// would be taken for something else.
pub(crate) const fn is_key(code: u16) -> bool {
    matches!(code, 1..=0xff | 0x160..=0x21f | 0x224..=0x2bf)
}

fn report(device: Device, events: Vec<KernelEvent>) -> Vec<Report> {
    if events.is_empty() { Vec::new() } else { vec![Report { device, events }] }
}

fn event_of(kind: EventType, code: u16, value: i32) -> KernelEvent {
    KernelEvent::new(kind.0, code, value)
}

fn relative(axis: RelativeAxisCode, value: i32) -> KernelEvent {
    event_of(EventType::RELATIVE, axis.0, value)
}

const KEY_WORDS: usize = Scancode::MAX as usize / 64 + 1;
const UNITS_PER_NOTCH: i32 = 120;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(code: KeyCode, pressed: bool) -> InputEvent {
        InputEvent::Key { key: Scancode::new(code.0).expect("a key"), pressed }
    }

    fn button(button: Button, pressed: bool) -> InputEvent {
        InputEvent::Button { button, pressed }
    }

    /// Everything the events become: device, event type, code, value.
    fn all(translator: &mut Translator, events: &[InputEvent]) -> Vec<(Device, u16, u16, i32)> {
        let reports = events.iter().flat_map(|event| translator.translate(event).expect("translated"));
        flat(reports.collect())
    }

    fn flat(reports: Vec<Report>) -> Vec<(Device, u16, u16, i32)> {
        let one = |report: Report| {
            let Report { device, events } = report;
            events.into_iter().map(move |event| (device, event.event_type().0, event.code(), event.value()))
        };
        reports.into_iter().flat_map(one).collect()
    }

    fn keyboard(code: KeyCode, value: i32) -> (Device, u16, u16, i32) {
        (Device::Keyboard, EventType::KEY.0, code.0, value)
    }

    #[test]
    fn key_goes_straight_and_once() {
        let mut translator = Translator::new();
        let a = KeyCode::KEY_A;
        let events = [key(a, true), key(a, true), key(a, false), key(a, false)];
        assert_eq!(all(&mut translator, &events), [keyboard(a, 1), keyboard(a, 0)]);
    }

    #[test]
    fn buttons_code_is_no_key() {
        let mut translator = Translator::new();
        for code in [KeyCode::BTN_LEFT, KeyCode::BTN_SOUTH, KeyCode::BTN_TRIGGER_HAPPY1, KeyCode::BTN_DPAD_UP]
        {
            let refusal = translator.translate(&key(code, true)).expect_err("no key");
            assert!(matches!(refusal, UinputError::NotAKey(found) if found.code() == code.0));
        }
        assert_eq!(flat(translator.release_all()), []);
    }

    #[test]
    fn text_is_typed_with_the_shift_it_needs() {
        let (shift, right) = (KeyCode::KEY_LEFTSHIFT, KeyCode::KEY_RIGHTSHIFT);
        let (a, one) = (KeyCode::KEY_A, KeyCode::KEY_1);
        let mut translator = Translator::new();
        let typed = all(&mut translator, &[InputEvent::Text('a'), InputEvent::Text('!')]);
        let expected = [(a, 1), (a, 0), (shift, 1), (one, 1), (one, 0), (shift, 0)]
            .map(|(code, value)| keyboard(code, value));
        assert_eq!(typed, expected);

        let held = [key(right, true), InputEvent::Text('A'), InputEvent::Text('1')];
        let expected = [(right, 1), (a, 1), (a, 0), (right, 0), (one, 1), (one, 0), (right, 1)]
            .map(|(code, value)| keyboard(code, value));
        assert_eq!(all(&mut translator, &held), expected);
    }

    #[test]
    fn text_of_a_held_key_is_still_typed_and_the_key_stays_held() {
        let mut translator = Translator::new();
        let a = KeyCode::KEY_A;
        let typed = all(&mut translator, &[key(a, true), InputEvent::Text('a')]);
        assert_eq!(typed, [keyboard(a, 1), keyboard(a, 0), keyboard(a, 1)]);
        assert_eq!(flat(translator.release_all()), [keyboard(a, 0)]);
    }

    #[test]
    fn text_outside_ascii_is_refused_by_name() {
        let refusal = Translator::new().translate(&InputEvent::Text('é')).expect_err("no key");
        assert!(refusal.to_string().contains('é'), "{refusal}");
    }

    #[test]
    fn click_follows_the_pointer_that_moved_and_is_released_where_it_was_pressed() {
        let mut translator = Translator::new();
        let click = |device, value| (device, EventType::KEY.0, KeyCode::BTN_LEFT.0, value);
        let moved = [
            InputEvent::PointerAbsolute { x: 7, y: 65535 },
            button(Button::LEFT, true),
            InputEvent::PointerRelative { dx: -3, dy: 0 },
            button(Button::LEFT, false),
            button(Button::LEFT, true),
        ];
        let expected = [
            (Device::Tablet, EventType::ABSOLUTE.0, AbsoluteAxisCode::ABS_X.0, 7),
            (Device::Tablet, EventType::ABSOLUTE.0, AbsoluteAxisCode::ABS_Y.0, 65535),
            click(Device::Tablet, 1),
            (Device::Mouse, EventType::RELATIVE.0, RelativeAxisCode::REL_X.0, -3),
            click(Device::Tablet, 0),
            click(Device::Mouse, 1),
        ];
        assert_eq!(all(&mut translator, &moved), expected);
    }

    #[test]
    fn buttons_keep_evdevs_order() {
        let mut translator = Translator::new();
        let codes: Vec<u16> = (0..Button::COUNT)
            .filter_map(Button::new)
            .map(|pressed| all(&mut translator, &[button(pressed, true)])[0].2)
            .collect();
        assert_eq!(codes, (KeyCode::BTN_LEFT.0..=KeyCode::BTN_TASK.0).collect::<Vec<_>>());
    }

    #[test]
    fn wheel_turns_finely_and_in_notches() {
        let mut translator = Translator::new();
        let wheel = |dy| InputEvent::Wheel { dx: 0, dy };
        let relative = |code: RelativeAxisCode, value| (Device::Tablet, EventType::RELATIVE.0, code.0, value);
        let (fine, coarse) = (RelativeAxisCode::REL_WHEEL_HI_RES, RelativeAxisCode::REL_WHEEL);
        let turned =
            all(&mut translator, &[wheel(60), wheel(60), wheel(240), wheel(100), wheel(-40), wheel(-80)]);
        let expected = [
            relative(fine, 60),
            relative(fine, 60),
            relative(coarse, 1),
            relative(fine, 240),
            relative(coarse, 2),
            relative(fine, 100),
            relative(fine, -40),
            relative(fine, -80),
            relative(coarse, -1),
        ];
        assert_eq!(turned, expected);
        let across = all(&mut translator, &[InputEvent::Wheel { dx: -120, dy: 0 }]);
        let (fine, coarse) = (RelativeAxisCode::REL_HWHEEL_HI_RES, RelativeAxisCode::REL_HWHEEL);
        assert_eq!(across, [relative(fine, -120), relative(coarse, -1)]);
    }

    #[test]
    fn everything_held_is_released_once() {
        let mut translator = Translator::new();
        let held = [
            key(KeyCode::KEY_LEFTCTRL, true),
            key(KeyCode::KEY_C, true),
            InputEvent::PointerRelative { dx: 1, dy: 1 },
            button(Button::RIGHT, true),
        ];
        all(&mut translator, &held);
        let released = flat(translator.release_all());
        let expected = [
            keyboard(KeyCode::KEY_LEFTCTRL, 0),
            keyboard(KeyCode::KEY_C, 0),
            (Device::Mouse, EventType::KEY.0, KeyCode::BTN_RIGHT.0, 0),
        ];
        assert_eq!(released, expected);
        assert_eq!(flat(translator.release_all()), []);
    }

    #[test]
    fn press_that_may_have_failed_is_remembered_for_release() {
        let mut translator = Translator::new();
        let mut attempt = translator.clone();
        all(&mut attempt, &[key(KeyCode::KEY_A, true), button(Button::LEFT, true)]);
        translator.remember_presses(&attempt);
        assert_eq!(flat(translator.release_all()).len(), 2);
    }

    #[test]
    fn extremes_are_translated_without_overflow() {
        let mut translator = Translator::new();
        for value in [i16::MIN, i16::MAX, 0, i16::MIN, i16::MIN] {
            all(&mut translator, &[InputEvent::Wheel { dx: value, dy: value }]);
            all(&mut translator, &[InputEvent::PointerRelative { dx: value, dy: value }]);
        }
        assert_eq!(all(&mut translator, &[InputEvent::PointerRelative { dx: 0, dy: 0 }]), []);
    }
}
