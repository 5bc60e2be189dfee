//! Every key, button, wheel, place, gamepad and finger, read back from the kernel. Needs `/dev/uinput`; says so where
//! there is none.

use std::fs;
use std::thread;

use evdev::{
    AbsoluteAxisCode, EventSummary, FFEffectData, FFEffectKind, FFReplay, FFTrigger, KeyCode,
    RelativeAxisCode,
};
use rift::{Button, Contact, Gamepad, GamepadAxis, GamepadButton, InputEvent, Rumble, Scancode};
use rift_hal::InputSink;
use rift_uinput::{UinputError, UinputSink};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// The keys of a PC keyboard of 105 keys, row by row.
const KEYS: [KeyCode; 105] = [
    KeyCode::KEY_ESC,
    KeyCode::KEY_F1,
    KeyCode::KEY_F2,
    KeyCode::KEY_F3,
    KeyCode::KEY_F4,
    KeyCode::KEY_F5,
    KeyCode::KEY_F6,
    KeyCode::KEY_F7,
    KeyCode::KEY_F8,
    KeyCode::KEY_F9,
    KeyCode::KEY_F10,
    KeyCode::KEY_F11,
    KeyCode::KEY_F12,
    KeyCode::KEY_SYSRQ,
    KeyCode::KEY_SCROLLLOCK,
    KeyCode::KEY_PAUSE,
    KeyCode::KEY_GRAVE,
    KeyCode::KEY_1,
    KeyCode::KEY_2,
    KeyCode::KEY_3,
    KeyCode::KEY_4,
    KeyCode::KEY_5,
    KeyCode::KEY_6,
    KeyCode::KEY_7,
    KeyCode::KEY_8,
    KeyCode::KEY_9,
    KeyCode::KEY_0,
    KeyCode::KEY_MINUS,
    KeyCode::KEY_EQUAL,
    KeyCode::KEY_BACKSPACE,
    KeyCode::KEY_INSERT,
    KeyCode::KEY_HOME,
    KeyCode::KEY_PAGEUP,
    KeyCode::KEY_NUMLOCK,
    KeyCode::KEY_KPSLASH,
    KeyCode::KEY_KPASTERISK,
    KeyCode::KEY_KPMINUS,
    KeyCode::KEY_TAB,
    KeyCode::KEY_Q,
    KeyCode::KEY_W,
    KeyCode::KEY_E,
    KeyCode::KEY_R,
    KeyCode::KEY_T,
    KeyCode::KEY_Y,
    KeyCode::KEY_U,
    KeyCode::KEY_I,
    KeyCode::KEY_O,
    KeyCode::KEY_P,
    KeyCode::KEY_LEFTBRACE,
    KeyCode::KEY_RIGHTBRACE,
    KeyCode::KEY_ENTER,
    KeyCode::KEY_DELETE,
    KeyCode::KEY_END,
    KeyCode::KEY_PAGEDOWN,
    KeyCode::KEY_KP7,
    KeyCode::KEY_KP8,
    KeyCode::KEY_KP9,
    KeyCode::KEY_KPPLUS,
    KeyCode::KEY_CAPSLOCK,
    KeyCode::KEY_A,
    KeyCode::KEY_S,
    KeyCode::KEY_D,
    KeyCode::KEY_F,
    KeyCode::KEY_G,
    KeyCode::KEY_H,
    KeyCode::KEY_J,
    KeyCode::KEY_K,
    KeyCode::KEY_L,
    KeyCode::KEY_SEMICOLON,
    KeyCode::KEY_APOSTROPHE,
    KeyCode::KEY_BACKSLASH,
    KeyCode::KEY_KP4,
    KeyCode::KEY_KP5,
    KeyCode::KEY_KP6,
    KeyCode::KEY_LEFTSHIFT,
    KeyCode::KEY_102ND,
    KeyCode::KEY_Z,
    KeyCode::KEY_X,
    KeyCode::KEY_C,
    KeyCode::KEY_V,
    KeyCode::KEY_B,
    KeyCode::KEY_N,
    KeyCode::KEY_M,
    KeyCode::KEY_COMMA,
    KeyCode::KEY_DOT,
    KeyCode::KEY_SLASH,
    KeyCode::KEY_RIGHTSHIFT,
    KeyCode::KEY_UP,
    KeyCode::KEY_KP1,
    KeyCode::KEY_KP2,
    KeyCode::KEY_KP3,
    KeyCode::KEY_KPENTER,
    KeyCode::KEY_LEFTCTRL,
    KeyCode::KEY_LEFTMETA,
    KeyCode::KEY_LEFTALT,
    KeyCode::KEY_SPACE,
    KeyCode::KEY_RIGHTALT,
    KeyCode::KEY_RIGHTMETA,
    KeyCode::KEY_COMPOSE,
    KeyCode::KEY_RIGHTCTRL,
    KeyCode::KEY_LEFT,
    KeyCode::KEY_DOWN,
    KeyCode::KEY_RIGHT,
    KeyCode::KEY_KP0,
    KeyCode::KEY_KPDOT,
];

/// The devices, or a printed reason why there are none.
fn sink(name: &str) -> Option<UinputSink> {
    match UinputSink::create(name) {
        Ok(sink) => Some(sink),
        Err(error @ (UinputError::Missing | UinputError::NotPermitted)) => {
            eprintln!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Opens the kernel's side of the device of this name.
fn reader(name: &str) -> evdev::Device {
    for entry in fs::read_dir("/sys/class/input").expect("sysfs").flatten() {
        let file_name = entry.file_name();
        let Some(node) = file_name.to_str().filter(|node| node.starts_with("event")) else { continue };
        let found = fs::read_to_string(entry.path().join("device/name")).unwrap_or_default();
        if found.trim_end() == name {
            let device = evdev::Device::open(format!("/dev/input/{node}")).expect("it opens");
            device.set_nonblocking(true).expect("it does not block");
            return device;
        }
    }
    panic!("the kernel shows no {name:?}");
}

/// What a device said since it was last asked, without the ends of reports.
fn said(device: &mut evdev::Device) -> Vec<EventSummary> {
    let mut events = Vec::new();
    // Until there is no more: one look takes a part only.
    while let Ok(more) = device.fetch_events() {
        events.extend(more);
    }
    let said = events.into_iter().map(|event| event.destructure());
    said.filter(|event| !matches!(event, EventSummary::Synchronization(..))).collect()
}

fn pressed(said: &[EventSummary]) -> Vec<(KeyCode, i32)> {
    let key = |event: &EventSummary| {
        if let EventSummary::Key(_, code, value) = event { Some((*code, *value)) } else { None }
    };
    said.iter().filter_map(key).collect()
}

fn placed(said: &[EventSummary]) -> Vec<(AbsoluteAxisCode, i32)> {
    let axis = |event: &EventSummary| {
        if let EventSummary::AbsoluteAxis(_, code, value) = event { Some((*code, *value)) } else { None }
    };
    said.iter().filter_map(axis).collect()
}

fn inject(sink: &mut UinputSink, event: InputEvent) {
    sink.inject(&event).expect("injected");
}

#[test]
fn every_key_of_a_full_keyboard_arrives_pressed_and_released() {
    let name = format!("wavry keys {}", std::process::id());
    let Some(mut sink) = sink(&name) else { return };
    let mut keyboard = reader(&format!("{name} keyboard"));
    for code in KEYS {
        let key = Scancode::new(code.0).expect("a key");
        inject(&mut sink, InputEvent::Key { key, pressed: true });
        inject(&mut sink, InputEvent::Key { key, pressed: false });
        assert_eq!(pressed(&said(&mut keyboard)), [(code, 1), (code, 0)]);
    }
}

#[test]
fn every_button_the_fine_wheel_and_the_corners_arrive() {
    let name = format!("wavry pointer {}", std::process::id());
    let Some(mut sink) = sink(&name) else { return };
    let (mut pointer, mut mouse) = (reader(&format!("{name} pointer")), reader(&format!("{name} mouse")));
    for (x, y) in [(0, 0), (65535, 0), (65535, 65535), (0, 65535), (32768, 1)] {
        inject(&mut sink, InputEvent::PointerAbsolute { x, y });
        let state = pointer.get_abs_state().expect("a state");
        let at = |axis: AbsoluteAxisCode| state[usize::from(axis.0)].value;
        let place = (at(AbsoluteAxisCode::ABS_X), at(AbsoluteAxisCode::ABS_Y));
        assert_eq!(place, (i32::from(x), i32::from(y)));
        assert_eq!(state[0].maximum, 65535);
    }
    said(&mut pointer);
    inject(&mut sink, InputEvent::PointerRelative { dx: -3, dy: 32767 });
    for button in (0..Button::COUNT).filter_map(Button::new) {
        inject(&mut sink, InputEvent::Button { button, pressed: true });
        inject(&mut sink, InputEvent::Button { button, pressed: false });
    }
    inject(&mut sink, InputEvent::Wheel { dx: 30, dy: -120 });
    let said = said(&mut mouse);
    let buttons: Vec<u16> = pressed(&said).into_iter().filter(|key| key.1 == 1).map(|key| key.0.0).collect();
    assert_eq!(buttons, (KeyCode::BTN_LEFT.0..=KeyCode::BTN_TASK.0).collect::<Vec<_>>());
    let turned = |axis, by| {
        let is_it = |event: &EventSummary| matches!(event, EventSummary::RelativeAxis(_, code, value) if *code == axis && *value == by);
        assert!(said.iter().any(is_it), "{axis:?} by {by} in {said:?}");
    };
    turned(RelativeAxisCode::REL_Y, 32767);
    turned(RelativeAxisCode::REL_HWHEEL_HI_RES, 30);
    turned(RelativeAxisCode::REL_WHEEL_HI_RES, -120);
    turned(RelativeAxisCode::REL_WHEEL, -1);
}

#[test]
fn ten_fingers_are_ten_contacts_and_all_are_lifted_at_the_end() {
    let name = format!("wavry touch {}", std::process::id());
    let Some(mut sink) = sink(&name) else { return };
    let mut screen = reader(&format!("{name} touch screen"));
    let place = |contact: Contact| (u16::from(contact.index() + 1) * 6000, 65535);
    for contact in Contact::all() {
        let (x, y) = place(contact);
        inject(&mut sink, InputEvent::TouchDown { contact, x, y });
    }
    let events = said(&mut screen);
    let axis = |wanted| placed(&events).into_iter().filter(move |axis| axis.0 == wanted).map(|axis| axis.1);
    let mut names: Vec<i32> = axis(AbsoluteAxisCode::ABS_MT_TRACKING_ID).collect();
    names.dedup();
    assert_eq!(names, (0..10).collect::<Vec<_>>());
    let places: Vec<i32> = axis(AbsoluteAxisCode::ABS_MT_POSITION_X).collect();
    assert_eq!(places, Contact::all().map(|contact| place(contact).0.into()).collect::<Vec<i32>>());
    assert_eq!(pressed(&events), [(KeyCode::BTN_TOUCH, 1)]);
    let first = Contact::new(0).expect("a contact");
    inject(&mut sink, InputEvent::TouchMove { contact: first, x: 7, y: 8 });
    inject(&mut sink, InputEvent::TouchUp(first));
    inject(&mut sink, InputEvent::TouchMove { contact: first, x: 9, y: 9 });
    sink.release_all().expect("released");
    let events = said(&mut screen);
    let ended =
        placed(&events).into_iter().filter(|axis| *axis == (AbsoluteAxisCode::ABS_MT_TRACKING_ID, -1));
    assert_eq!(ended.count(), 10);
    assert_eq!(pressed(&events), [(KeyCode::BTN_TOUCH, 0)]);
}

#[test]
fn two_gamepads_come_say_all_they_can_shake_and_go() {
    let name = format!("wavry pads {}", std::process::id());
    let Some(mut sink) = sink(&name) else { return };
    let pads: Vec<Gamepad> = Gamepad::all().take(2).collect();
    for &gamepad in &pads {
        inject(&mut sink, InputEvent::GamepadConnected(gamepad));
    }
    for &gamepad in &pads {
        let mut pad = reader(&format!("{name} gamepad {}", gamepad.index() + 1));
        for button in GamepadButton::all() {
            inject(&mut sink, InputEvent::GamepadButton { gamepad, button, pressed: true });
        }
        let codes: Vec<u16> = pressed(&said(&mut pad)).into_iter().map(|key| key.0.0).collect();
        assert_eq!(codes, GamepadButton::all().map(GamepadButton::evdev_code).collect::<Vec<_>>());
        for (axis, value) in GamepadAxis::all().flat_map(|axis| [(axis, i16::MAX), (axis, 0), (axis, -5)]) {
            inject(&mut sink, InputEvent::GamepadAxis { gamepad, axis, value });
        }
        let axes = placed(&said(&mut pad));
        // Triggers go one way only.
        assert_eq!(axes.iter().filter(|axis| axis.1 == 32767).count(), 6);
        assert_eq!(axes.iter().filter(|axis| axis.1 == -5).count(), 4);
        let shaken = shake(&mut sink, pad);
        let expected = Rumble { gamepad, strong: 0x4000, weak: 0xc000, millis: 250 };
        assert_eq!(shaken, [expected, Rumble { strong: 0, weak: 0, millis: 0, ..expected }]);
    }
    sink.release_all().expect("released");
    let pad = reader(&format!("{name} gamepad 1"));
    assert_eq!(pad.get_key_state().expect("a state").iter().count(), 0);
    inject(&mut sink, InputEvent::GamepadDisconnected(pads[0]));
    assert!(pad.get_key_state().is_err(), "it is gone");
}

/// Plays an effect as a game does, which waits for this side, and stops it; what the client would be told.
fn shake(sink: &mut UinputSink, mut pad: evdev::Device) -> Vec<Rumble> {
    let game = thread::spawn(move || {
        let effect = FFEffectData {
            direction: 0,
            trigger: FFTrigger::default(),
            replay: FFReplay { length: 250, delay: 0 },
            kind: FFEffectKind::Rumble { strong_magnitude: 0x4000, weak_magnitude: 0xc000 },
        };
        let mut effect = pad.upload_ff_effect(effect).expect("uploaded");
        effect.play(1).expect("played");
        // Two wishes at once would be one: only the newest counts.
        thread::yield_now();
        effect
    });
    let mut shaken = wait_for_wish(sink);
    let mut effect = loop {
        if game.is_finished() {
            break game.join().expect("the game ends");
        }
        shaken.extend(sink.poll_rumble().expect("no error"));
    };
    effect.stop().expect("stopped");
    shaken.extend(wait_for_wish(sink));
    // Erasing waits for this side too.
    let game = thread::spawn(move || drop(effect));
    while !game.is_finished() {
        let _ = sink.poll_rumble().expect("no error");
    }
    shaken
}

/// Waits until there is a wish; ten seconds without one is a hang.
fn wait_for_wish(sink: &mut UinputSink) -> Vec<Rumble> {
    for _ in 0..50 {
        let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
        let ready = poll(&mut [PollFd::from_borrowed_fd(sink.rumble_fd(), PollFlags::IN)], Some(&limit));
        assert_eq!(ready, Ok(1), "the game wants something");
        if let Some(rumble) = sink.poll_rumble().expect("no error") {
            return vec![rumble];
        }
    }
    panic!("no wish");
}
