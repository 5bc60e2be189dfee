//! What is injected arrives at an ordinary program.

#![allow(clippy::wildcard_enum_match_arm, reason = "X has a hundred kinds of event; a test waits for one")]
#![allow(clippy::unwrap_used, reason = "a test ends where something fails")]

mod support;

use rift::{Button, InputEvent, Scancode};
use rift_hal::InputSink;
use rift_x11::X11Sink;
use support::{Client, Server};
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{BUTTON_PRESS_EVENT, ConnectionExt, KEY_PRESS_EVENT, Window};
use x11rb::protocol::xtest::ConnectionExt as _;

const KEY_A: u16 = 30;
const KEY_LEFTSHIFT: u16 = 42;

fn key(code: u16, pressed: bool) -> InputEvent {
    InputEvent::Key { key: Scancode::new(code).unwrap(), pressed }
}

fn button(button: Button, pressed: bool) -> InputEvent {
    InputEvent::Button { button, pressed }
}

/// A server, a client with a window that has the focus, and a sink; `None` = skipped.
fn set_up() -> Option<(Server, Client, Window, X11Sink)> {
    let server = Server::start(400, 300)?;
    let client = server.client();
    let window = client.window(0, 0, 400, 300);
    let sink = X11Sink::open(server.name()).unwrap();
    Some((server, client, window, sink))
}

fn inject(sink: &mut X11Sink, events: &[InputEvent]) {
    for event in events {
        sink.inject(event).unwrap();
    }
    sink.flush().unwrap();
}

/// What a program without any knowledge of XKB takes from key presses until `count` characters have come:
/// it looks each key up when it arrives, in the map as it is then.
fn read_text(client: &Client, count: usize) -> String {
    let mut text = String::new();
    while text.chars().count() < count {
        let (keycode, state) = client.wait(|event| {
            if let Event::KeyPress(event) = event {
                Some((event.detail, u16::from(event.state)))
            } else {
                None
            }
        });
        let reply = client.connection.get_keyboard_mapping(keycode, 1).unwrap().reply().unwrap();
        let level = usize::from(state & 1) + if state & 0x80 == 0 { 0 } else { 4 };
        let symbol = reply.keysyms.get(level).copied().unwrap_or(0);
        text.extend(xkeysym::Keysym::new(symbol).key_char().filter(|character| !character.is_control()));
    }
    text
}

#[test]
fn keys_arrive_as_keycodes_in_order() {
    let Some((_server, client, _window, mut sink)) = set_up() else {
        return;
    };
    inject(
        &mut sink,
        &[key(KEY_LEFTSHIFT, true), key(KEY_A, true), key(KEY_A, false), key(KEY_LEFTSHIFT, false)],
    );
    let mut seen = Vec::new();
    while seen.len() < 4 {
        seen.push(client.wait(|event| match event {
            Event::KeyPress(event) => Some((event.detail, true)),
            Event::KeyRelease(event) => Some((event.detail, false)),
            _ => None,
        }));
    }
    assert_eq!(seen, [(50, true), (38, true), (38, false), (50, false)]);
}

#[test]
fn key_beyond_x_is_refused() {
    let Some((_server, _client, _window, mut sink)) = set_up() else {
        return;
    };
    assert!(sink.inject(&key(700, true)).is_err());
}

#[test]
fn five_hundred_clicks_arrive_as_five_hundred() {
    let Some((_server, client, _window, mut sink)) = set_up() else {
        return;
    };
    for _ in 0..500 {
        inject(&mut sink, &[button(Button::LEFT, true), button(Button::LEFT, false)]);
    }
    let (mut presses, mut releases) = (0, 0);
    while releases < 500 {
        match client.wait(|event| match event {
            Event::ButtonPress(event) => Some((true, event.detail)),
            Event::ButtonRelease(event) => Some((false, event.detail)),
            _ => None,
        }) {
            (true, 1) => presses += 1,
            (false, 1) => releases += 1,
            other => panic!("unexpected button {other:?}"),
        }
    }
    assert_eq!(presses, 500);
    let more = client.pending();
    assert!(!more.iter().any(|event| matches!(event, Event::ButtonPress(_) | Event::ButtonRelease(_))));
}

#[test]
fn buttons_and_wheel_have_their_numbers() {
    let Some((_server, client, _window, mut sink)) = set_up() else {
        return;
    };
    let wheel = |dx, dy| InputEvent::Wheel { dx, dy };
    for which in [Button::LEFT, Button::RIGHT, Button::MIDDLE, Button::SIDE, Button::EXTRA] {
        inject(&mut sink, &[button(which, true), button(which, false)]);
    }
    // Half a notch, another half, a notch and a half down, two to the right, one to the left.
    inject(&mut sink, &[wheel(0, 60), wheel(0, 60), wheel(0, -180), wheel(240, 0), wheel(-120, 0)]);
    let mut seen = Vec::new();
    while seen.len() < 10 {
        seen.push(client.wait(|event| match event {
            Event::ButtonPress(event) => Some(event.detail),
            _ => None,
        }));
    }
    assert_eq!(seen, [1, 3, 2, 8, 9, 4, 5, 7, 7, 6]);
}

#[test]
fn pointer_goes_to_every_corner_and_moves_by_counts() {
    let Some((_server, client, window, mut sink)) = set_up() else {
        return;
    };
    let place = || {
        let reply = client.connection.query_pointer(window).unwrap().reply().unwrap();
        (reply.root_x, reply.root_y)
    };
    for (x, y, expected) in [(0, 0, (0, 0)), (65535, 65535, (399, 299)), (32768, 32768, (200, 150))] {
        inject(&mut sink, &[InputEvent::PointerAbsolute { x, y }]);
        client.wait(|event| match event {
            Event::MotionNotify(event) => ((event.root_x, event.root_y) == expected).then_some(()),
            _ => None,
        });
        assert_eq!(place(), expected);
    }
    inject(&mut sink, &[InputEvent::PointerRelative { dx: -20, dy: 7 }]);
    client.wait(|event| matches!(event, Event::MotionNotify(_)).then_some(()));
    assert_eq!(place(), (180, 157));
}

#[test]
fn text_beyond_the_layout_is_typed() {
    let Some((server, client, _window, mut sink)) = set_up() else {
        return;
    };
    if !server.run("setxkbmap", &["us"]) {
        return;
    }
    let text = "aÄ€ß中 Ab{~}Äa";
    let events: Vec<InputEvent> = text.chars().map(InputEvent::Text).collect();
    inject(&mut sink, &events);
    assert_eq!(read_text(&client, text.chars().count()), text);
}

#[test]
fn text_follows_a_layout_that_changes() {
    let Some((server, client, _window, mut sink)) = set_up() else {
        return;
    };
    for layout in ["de", "us", "de"] {
        if !server.run("setxkbmap", &[layout]) {
            return;
        }
        let text = "Grüße @ zy 10€ {x}";
        let events: Vec<InputEvent> = text.chars().map(InputEvent::Text).collect();
        inject(&mut sink, &events);
        assert_eq!(read_text(&client, text.chars().count()), text, "layout {layout}");
    }
}

#[test]
fn text_ignores_a_held_shift_and_leaves_it_held() {
    let Some((server, client, _window, mut sink)) = set_up() else {
        return;
    };
    if !server.run("setxkbmap", &["us"]) {
        return;
    }
    inject(&mut sink, &[key(KEY_LEFTSHIFT, true), InputEvent::Text('a'), InputEvent::Text('B')]);
    assert_eq!(read_text(&client, 2), "aB");
    inject(&mut sink, &[key(KEY_A, true), key(KEY_A, false), key(KEY_LEFTSHIFT, false)]);
    assert_eq!(read_text(&client, 1), "A");
}

#[test]
fn everything_held_is_released_on_demand_and_on_drop() {
    let Some((_server, client, _window, mut sink)) = set_up() else {
        return;
    };
    let held = [key(KEY_A, true), button(Button::RIGHT, true)];
    let released = || {
        let mut seen = Vec::new();
        while seen.len() < 2 {
            seen.push(client.wait(|event| match event {
                Event::KeyRelease(event) => Some(('k', event.detail)),
                Event::ButtonRelease(event) => Some(('b', event.detail)),
                _ => None,
            }));
        }
        seen
    };
    inject(&mut sink, &held);
    sink.release_all().unwrap();
    sink.release_all().unwrap();
    assert_eq!(released(), [('k', 38), ('b', 3)]);
    inject(&mut sink, &held);
    drop(sink);
    assert_eq!(released(), [('k', 38), ('b', 3)]);
}

#[test]
fn what_a_killed_program_left_held_is_released_by_the_next() {
    let Some((server, client, window, sink)) = set_up() else {
        return;
    };
    drop(sink);
    // A sink that ends lets go, so what is left held is pressed behind its back.
    let press =
        |kind, detail| client.connection.xtest_fake_input(kind, detail, 0, window, 0, 0, 0).unwrap().check();
    press(KEY_PRESS_EVENT, 38).unwrap();
    press(BUTTON_PRESS_EVENT, 9).unwrap();
    let held =
        || client.connection.query_keymap().unwrap().reply().unwrap().keys.iter().any(|&byte| byte != 0);
    assert!(held());

    let mut sink = X11Sink::open(server.name()).unwrap();
    let released = |wanted: u8| {
        client.wait(|event| match event {
            Event::KeyRelease(event) if event.detail == wanted => Some(()),
            Event::ButtonRelease(event) if event.detail == wanted => Some(()),
            _ => None,
        });
    };
    released(38);
    released(9);
    assert!(!held());
    // The key is one that can be pressed again.
    inject(&mut sink, &[key(KEY_A, true), key(KEY_A, false)]);
    released(38);
}

#[test]
fn many_foreign_characters_share_few_spare_keys() {
    let Some((server, client, _window, mut sink)) = set_up() else {
        return;
    };
    if !server.run("setxkbmap", &["us"]) {
        return;
    }
    // Read one by one: a program that lags by more than the spare keys could not tell them apart.
    for character in ('\u{4e00}'..'\u{4e28}').chain('\u{4e00}'..'\u{4e04}') {
        inject(&mut sink, &[InputEvent::Text(character)]);
        assert_eq!(read_text(&client, 1), character.to_string());
    }
}
