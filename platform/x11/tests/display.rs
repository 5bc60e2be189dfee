//! What is presented is on the screen, and what is done at the window comes back.

#![allow(clippy::wildcard_enum_match_arm, reason = "X has a hundred kinds of event; a test waits for one")]
#![allow(clippy::unwrap_used, reason = "a test ends where something fails")]

mod support;

use rift::{Button, InputEvent, Instant, Rectangle, Scancode};
use rift_hal::{
    Cursor, CursorShape, Display, DisplayEvent, Frame, InputSink, PixelFormat, Plane, Pollable, VideoSource,
};
use rift_x11::{X11Display, X11Sink, X11Source};
use support::{Client, Server, pattern, wait_readable};
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    ChangeWindowAttributesAux, ClientMessageEvent, ConfigureWindowAux, ConnectionExt, EventMask, MapState,
};

const NOW: Instant = Instant::ZERO;

fn bgrx(pixels: &[u8], width: u16, height: u16) -> Frame<'_> {
    let plane = Plane { data: pixels, stride: usize::from(width) * 4 };
    let planes = [plane, Plane::EMPTY, Plane::EMPTY];
    Frame::new(PixelFormat::Bgrx, width.into(), height.into(), planes, NOW).unwrap()
}

fn filled(width: u16, height: u16, colour: u32) -> Vec<u8> {
    colour.to_le_bytes().repeat(usize::from(width) * usize::from(height))
}

fn colours(pixels: &[u8]) -> Vec<u32> {
    pixels.chunks_exact(4).map(|pixel| u32::from_le_bytes([pixel[0], pixel[1], pixel[2], 0])).collect()
}

/// The next event that `pick` takes.
fn next<T>(display: &mut X11Display, mut pick: impl FnMut(DisplayEvent) -> Option<T>) -> T {
    loop {
        match display.poll_event().unwrap() {
            Some(event) => {
                if let Some(picked) = pick(event) {
                    return picked;
                }
            }
            None => wait_readable(&display.poll_fd()),
        }
    }
}

/// Handles events until the screen looks as it should; panics when it never does.
fn until_shown(display: &mut X11Display, mut looks_right: impl FnMut() -> bool) {
    for _ in 0..200_000 {
        while display.poll_event().unwrap().is_some() {}
        if looks_right() {
            return;
        }
    }
    panic!("the screen never looked as it should");
}

/// A display's own window, mapped, with the focus and the pointer inside.
fn open(server: &Server, client: &Client, width: u16, height: u16) -> X11Display {
    let mut display = X11Display::open(server.name(), "test", width, height).unwrap();
    client.connection.warp_pointer(x11rb::NONE, client.screen.root, 0, 0, 0, 0, 5, 5).unwrap();
    client.sync();
    next(&mut display, |event| (event == DisplayEvent::Focus(true)).then_some(()));
    let window = display.window();
    let attributes = client.connection.get_window_attributes(window).unwrap().reply().unwrap();
    assert_eq!(attributes.map_state, MapState::VIEWABLE);
    display
}

fn inject(sink: &mut X11Sink, events: &[InputEvent]) {
    for event in events {
        sink.inject(event).unwrap();
    }
    sink.flush().unwrap();
}

fn key(code: u16, pressed: bool) -> InputEvent {
    InputEvent::Key { key: Scancode::new(code).unwrap(), pressed }
}

#[test]
fn yuv_frame_is_shown_within_two_levels() {
    let Some(server) = Server::start(128, 96) else { return };
    let client = server.client();
    let mut display = open(&server, &client, 128, 96);
    let (width, height) = (128usize, 96usize);
    let luma: Vec<u8> = (0..width * height).map(|i| 40 + (i % width + i / width) as u8 / 2).collect();
    let blue: Vec<u8> = (0..width * height / 4).map(|i| 100 + (i % (width / 2)) as u8 / 2).collect();
    let red: Vec<u8> = (0..width * height / 4).map(|i| 110 + (i / (width / 2)) as u8 / 2).collect();
    let planes = [
        Plane { data: &luma, stride: width },
        Plane { data: &blue, stride: width / 2 },
        Plane { data: &red, stride: width / 2 },
    ];
    let frame = Frame::new(PixelFormat::I420, 128, 96, planes, NOW).unwrap();
    display.present(&frame, None).unwrap();
    let expected = |index: usize| {
        let (x, y) = (index % width, index / width);
        let chroma = y / 2 * (width / 2) + x / 2;
        let luma = 255.0 / 219.0 * (f64::from(luma[index]) - 16.0);
        let (blue, red) = (f64::from(blue[chroma]) - 128.0, f64::from(red[chroma]) - 128.0);
        // BT.709, limited range.
        let scale = 255.0 / 224.0;
        [
            luma + 1.8556 * scale * blue,
            luma - (0.1873 * blue + 0.4681 * red) * scale,
            luma + 1.5748 * scale * red,
        ]
    };
    let root = client.screen.root;
    until_shown(&mut display, || {
        let shown = client.look(root, 0, 0, 128, 96);
        shown.chunks_exact(4).enumerate().all(|(index, pixel)| {
            let expected = expected(index);
            (0..3)
                .all(|channel| (f64::from(pixel[channel]) - expected[channel].clamp(0.0, 255.0)).abs() <= 2.0)
        })
    });
}

#[test]
fn only_what_changed_is_put_and_both_buffers_stay_right() {
    let Some(server) = Server::start(100, 80) else { return };
    let client = server.client();
    let mut display = open(&server, &client, 100, 80);
    let root = client.screen.root;
    let mut expected = pattern(100, 80, 1);
    display.present(&bgrx(&expected, 100, 80), None).unwrap();
    for step in 0..12u16 {
        let part = Rectangle { x: step * 4, y: step * 6, width: 20, height: 8 };
        let fresh = pattern(100, 80, 100 + u32::from(step));
        for y in usize::from(part.y)..usize::from(part.y + part.height) {
            let row = (y * 100 + usize::from(part.x)) * 4..(y * 100 + usize::from(part.x + part.width)) * 4;
            expected[row.clone()].copy_from_slice(&fresh[row]);
        }
        display.present(&bgrx(&expected, 100, 80), Some(part)).unwrap();
    }
    until_shown(&mut display, || colours(&client.look(root, 0, 0, 100, 80)) == colours(&expected));
    // A frame that is wholly different, said to differ in one place, changes the screen there alone.
    let part = Rectangle { x: 10, y: 20, width: 4, height: 6 };
    display.present(&bgrx(&filled(100, 80, 0x0012_3456), 100, 80), Some(part)).unwrap();
    until_shown(&mut display, || colours(&client.look(root, 10, 20, 4, 6)).iter().all(|c| *c == 0x0012_3456));
    let shown = colours(&client.look(root, 0, 0, 100, 80));
    let changed = shown.iter().zip(colours(&expected)).filter(|(shown, before)| **shown != *before).count();
    assert_eq!(changed, 24);
}

#[test]
fn picture_is_letterboxed_and_follows_the_window() {
    let Some(server) = Server::start(400, 300) else { return };
    let client = server.client();
    let root = client.screen.root;
    let mut display = open(&server, &client, 200, 200);
    let red = filled(100, 50, 0x00ff_0000);
    display.present(&bgrx(&red, 100, 50), None).unwrap();
    let rows = |top: i16, height: u16, width: u16, colour: u32| {
        colours(&client.look(root, 0, top, width, height)).iter().all(|shown| *shown == colour)
    };
    until_shown(&mut display, || {
        rows(0, 50, 200, 0) && rows(50, 100, 200, 0x00ff_0000) && rows(150, 50, 200, 0)
    });
    // No new frame comes, yet the picture has the new window's size.
    let size = ConfigureWindowAux::new().width(100).height(100);
    client.connection.configure_window(display.window(), &size).unwrap();
    client.sync();
    next(&mut display, |event| (event == DisplayEvent::Resized(100, 100)).then_some(()));
    assert_eq!(display.size(), (100, 100));
    until_shown(&mut display, || {
        rows(0, 25, 100, 0) && rows(25, 50, 100, 0x00ff_0000) && rows(75, 25, 100, 0)
    });
    let green = filled(100, 50, 0x0000_ff00);
    display.present(&bgrx(&green, 100, 50), None).unwrap();
    until_shown(&mut display, || rows(0, 25, 100, 0) && rows(25, 50, 100, 0x0000_ff00));
}

#[test]
fn frame_of_another_size_replaces_the_picture() {
    let Some(server) = Server::start(160, 120) else { return };
    let client = server.client();
    let mut display = open(&server, &client, 80, 60);
    for (width, height) in [(80, 60), (160, 120), (80, 60), (40, 60)] {
        let frame = filled(width, height, 0x0001_0203 * u32::from(width / 40));
        display.present(&bgrx(&frame, width, height), None).unwrap();
        until_shown(&mut display, || {
            colours(&client.look(client.screen.root, 40, 30, 1, 1))[0] == 0x0001_0203 * u32::from(width / 40)
        });
    }
}

#[test]
fn scancodes_pointer_buttons_and_wheel_come_back_as_injected() {
    let Some(server) = Server::start(300, 200) else { return };
    let client = server.client();
    let mut display = open(&server, &client, 300, 200);
    display.present(&bgrx(&filled(300, 200, 0), 300, 200), None).unwrap();
    let mut sink = X11Sink::open(server.name()).unwrap();
    let pointer = InputEvent::PointerAbsolute { x: 32877, y: 65535 };
    let injected = [
        pointer,
        InputEvent::Button { button: Button::RIGHT, pressed: true },
        InputEvent::Button { button: Button::RIGHT, pressed: false },
        InputEvent::Button { button: Button::SIDE, pressed: true },
        InputEvent::Button { button: Button::SIDE, pressed: false },
        InputEvent::Wheel { dx: 0, dy: -120 },
        InputEvent::Wheel { dx: 120, dy: 0 },
    ];
    inject(&mut sink, &injected);
    for expected in injected {
        let event = next(&mut display, |event| match event {
            DisplayEvent::Pointer(InputEvent::PointerAbsolute { .. }) if expected != pointer => None,
            DisplayEvent::Pointer(InputEvent::PointerAbsolute { x, .. }) if x < 30_000 => None,
            DisplayEvent::Pointer(event) => Some(event),
            _ => None,
        });
        if let (InputEvent::PointerAbsolute { x, y }, InputEvent::PointerAbsolute { .. }) = (event, expected)
        {
            // The pixel's own place: 65535 / 299 = 219.2 a pixel.
            assert!(x.abs_diff(32877) <= 110 && y == 65535, "{x} {y}");
        } else {
            assert_eq!(event, expected);
        }
    }
    for code in [1, 30, 57, 103, 183, 247] {
        inject(&mut sink, &[key(code, true), key(code, true), key(code, false)]);
        let mut seen = Vec::new();
        while seen.last() != Some(&(code, false)) {
            seen.push(next(&mut display, |event| match event {
                DisplayEvent::Key(key) => Some((key.key.code(), key.pressed)),
                _ => None,
            }));
        }
        assert_eq!(seen, [(code, true), (code, false)]);
    }
}

#[test]
fn pointer_maps_through_the_letterbox() {
    let Some(server) = Server::start(200, 200) else { return };
    let client = server.client();
    let mut display = open(&server, &client, 200, 200);
    display.present(&bgrx(&filled(100, 50, 0), 100, 50), None).unwrap();
    for (x, y, expected) in [(199, 149, (65535, 65535)), (0, 50, (0, 0)), (100, 199, (32932, 65535))] {
        client.connection.warp_pointer(x11rb::NONE, client.screen.root, 0, 0, 0, 0, x, y).unwrap();
        client.sync();
        next(&mut display, |event| {
            (event == DisplayEvent::Pointer(InputEvent::PointerAbsolute { x: expected.0, y: expected.1 }))
                .then_some(())
        });
    }
}

#[test]
fn keys_carry_the_text_of_the_clients_layout() {
    let Some(server) = Server::start(100, 100) else { return };
    if !server.run("setxkbmap", &["de"]) {
        return;
    }
    let client = server.client();
    let mut display = open(&server, &client, 100, 100);
    let mut sink = X11Sink::open(server.name()).unwrap();
    let (shift, altgr, control) = (42, 100, 29);
    let mut typed = |held: Option<u16>, code: u16| {
        let mut events = vec![key(code, true), key(code, false)];
        if let Some(held) = held {
            events.insert(0, key(held, true));
            events.push(key(held, false));
        }
        inject(&mut sink, &events);
        let mut found = None;
        next(&mut display, |event| match event {
            DisplayEvent::Key(key) => {
                if key.key.code() == code && key.pressed {
                    found = Some((key.text, key.command));
                }
                (!key.pressed && key.key.code() == held.unwrap_or(code)).then_some(())
            }
            _ => None,
        });
        found.unwrap()
    };
    assert_eq!(typed(None, 30), (Some('a'), false));
    assert_eq!(typed(Some(shift), 40), (Some('Ä'), false));
    assert_eq!(typed(Some(altgr), 16), (Some('@'), false));
    assert_eq!(typed(Some(altgr), 18), (Some('€'), false));
    assert_eq!(typed(None, 21), (Some('z'), false));
    assert_eq!(typed(Some(control), 46), (None, true));
    assert_eq!(typed(None, 28), (None, false));
    assert_eq!(typed(None, 13), (None, false));
    assert_eq!(typed(None, 18), (Some('é'), false));
}

#[test]
fn attached_window_fills_a_foreign_one_and_hears_its_keys() {
    let Some(server) = Server::start(300, 200) else { return };
    let client = server.client();
    let root = client.screen.root;
    let parent = client.window(20, 10, 100, 60);
    assert!(X11Display::attach(server.name(), 0x7fff_ffff).is_err());
    let mut display = X11Display::attach(server.name(), parent).unwrap();
    next(&mut display, |event| (event == DisplayEvent::Focus(true)).then_some(()));
    let first = pattern(100, 60, 5);
    display.present(&bgrx(&first, 100, 60), None).unwrap();
    until_shown(&mut display, || colours(&client.look(root, 20, 10, 100, 60)) == colours(&first));
    let size = ConfigureWindowAux::new().width(200).height(120);
    client.connection.configure_window(parent, &size).unwrap();
    client.sync();
    next(&mut display, |event| (event == DisplayEvent::Resized(200, 120)).then_some(()));
    display.present(&bgrx(&filled(100, 60, 0x0033_4455), 100, 60), None).unwrap();
    until_shown(&mut display, || {
        colours(&client.look(root, 20, 10, 200, 120)).iter().all(|c| *c == 0x0033_4455)
    });
    let mut sink = X11Sink::open(server.name()).unwrap();
    // Inside the window and outside of it: the focus decides, not the pointer.
    for (x, y) in [(20_000, 20_000), (65535, 65535)] {
        inject(&mut sink, &[InputEvent::PointerAbsolute { x, y }, key(30, true), key(30, false)]);
        next(&mut display, |event| match event {
            DisplayEvent::Key(key) => (key.key.code() == 30 && !key.pressed).then_some(()),
            _ => None,
        });
    }
    client.connection.destroy_window(parent).unwrap();
    client.sync();
    next(&mut display, |event| (event == DisplayEvent::Closed).then_some(()));
    assert!(display.present(&bgrx(&first, 100, 60), None).is_err());
}

#[test]
fn overlay_comes_and_goes_without_a_new_frame() {
    let Some(server) = Server::start(200, 100) else { return };
    let client = server.client();
    let root = client.screen.root;
    let mut display = open(&server, &client, 200, 100);
    let picture = pattern(200, 100, 6);
    display.present(&bgrx(&picture, 200, 100), None).unwrap();
    until_shown(&mut display, || colours(&client.look(root, 0, 0, 200, 100)) == colours(&picture));
    display.set_overlay("12.3 ms\nII").unwrap();
    let bright = || colours(&client.look(root, 16, 16, 56, 32)).iter().filter(|c| **c == 0x00e8_f0e8).count();
    until_shown(&mut display, || bright() > 50);
    let before = bright();
    // A frame under the text leaves the text alone.
    display.present(&bgrx(&filled(200, 100, 0x0011_2233), 200, 100), None).unwrap();
    until_shown(&mut display, || colours(&client.look(root, 150, 80, 1, 1))[0] == 0x0011_2233);
    assert_eq!(bright(), before);
    display.set_overlay("").unwrap();
    until_shown(&mut display, || {
        colours(&client.look(root, 0, 0, 200, 100)).iter().all(|c| *c == 0x0011_2233)
    });
}

#[test]
fn host_cursor_is_the_windows_own_and_stands_apart_when_the_pointer_is_elsewhere() {
    let Some(server) = Server::start(200, 100) else { return };
    let client = server.client();
    let root = client.screen.root;
    let mut display = open(&server, &client, 100, 100);
    display.present(&bgrx(&filled(100, 100, 0), 100, 100), None).unwrap();
    let bgra = [200, 100, 50, 255].repeat(8 * 6);
    let shape = CursorShape { width: 8, height: 6, hot_x: 2, hot_y: 1, bgra: &bgra };
    display.set_cursor(&Cursor { x: 50, y: 60, visible: true, shape: Some(shape) }).unwrap();
    let mut source = X11Source::open(server.name()).unwrap();
    let mut seen = Vec::new();
    until_shown(&mut display, || {
        source.poll_frame(NOW).unwrap();
        if let Some(shape) = source.poll_cursor().and_then(|cursor| cursor.shape) {
            seen = shape.bgra.to_vec();
        }
        seen == bgra
    });
    let ghost = || colours(&client.look(root, 48, 59, 8, 6)).iter().all(|c| *c == 0x0032_64c8);
    client.connection.warp_pointer(x11rb::NONE, root, 0, 0, 0, 0, 150, 50).unwrap();
    client.sync();
    until_shown(&mut display, ghost);
    display.set_cursor(&Cursor { x: 50, y: 60, visible: false, shape: None }).unwrap();
    until_shown(&mut display, || colours(&client.look(root, 0, 0, 100, 100)).iter().all(|c| *c == 0));
}

#[test]
fn grabbed_pointer_moves_without_end() {
    let Some(server) = Server::start(300, 200) else { return };
    let client = server.client();
    let mut display = open(&server, &client, 200, 150);
    display.present(&bgrx(&filled(200, 150, 0), 200, 150), None).unwrap();
    assert!(display.set_grab(true).unwrap());
    let mut sink = X11Sink::open(server.name()).unwrap();
    let (mut x, mut y) = (0i32, 0i32);
    for step in 1..=200 {
        inject(&mut sink, &[InputEvent::PointerRelative { dx: 9, dy: -4 }]);
        while (x, y) != (9 * step, -4 * step) {
            let (dx, dy) = next(&mut display, |event| match event {
                DisplayEvent::Pointer(InputEvent::PointerRelative { dx, dy }) => Some((dx, dy)),
                _ => None,
            });
            x += i32::from(dx);
            y += i32::from(dy);
            assert!(x <= 9 * step && y >= -4 * step, "moved {x}, {y} after {step} steps");
        }
        // A hand is slower than this loop: it leaves the time to bring the pointer back.
        until_shown(&mut display, || {
            let place = client.connection.query_pointer(client.screen.root).unwrap().reply().unwrap();
            (40..160).contains(&place.root_x) && (30..120).contains(&place.root_y)
        });
    }
    assert!(display.set_grab(false).unwrap());
}

#[test]
fn pointer_that_another_client_holds_is_not_taken() {
    let Some(server) = Server::start(100, 100) else { return };
    let client = server.client();
    let mut display = open(&server, &client, 100, 100);
    let mode = x11rb::protocol::xproto::GrabMode::ASYNC;
    let events = EventMask::BUTTON_PRESS;
    let root = client.screen.root;
    let grab = client.connection.grab_pointer(false, root, events, mode, mode, 0u32, 0u32, 0u32).unwrap();
    grab.reply().unwrap();
    assert!(!display.set_grab(true).unwrap());
}

#[test]
fn fullscreen_fills_the_screen_and_goes_back_without_a_manager() {
    let Some(server) = Server::start(320, 240) else { return };
    let client = server.client();
    let mut display = open(&server, &client, 100, 80);
    assert!(display.set_fullscreen(true).unwrap());
    next(&mut display, |event| (event == DisplayEvent::Resized(320, 240)).then_some(()));
    assert!(display.set_fullscreen(false).unwrap());
    next(&mut display, |event| (event == DisplayEvent::Resized(100, 80)).then_some(()));
}

#[test]
fn close_request_and_focus_are_told() {
    let Some(server) = Server::start(100, 100) else { return };
    let client = server.client();
    let mut display = open(&server, &client, 100, 100);
    let atom =
        |name: &str| client.connection.intern_atom(false, name.as_bytes()).unwrap().reply().unwrap().atom;
    let data = [atom("WM_DELETE_WINDOW"), 0, 0, 0, 0];
    let message = ClientMessageEvent::new(32, display.window(), atom("WM_PROTOCOLS"), data);
    client.connection.send_event(false, display.window(), EventMask::NO_EVENT, message).unwrap();
    client.sync();
    next(&mut display, |event| (event == DisplayEvent::Closed).then_some(()));
    client.window(0, 0, 10, 10);
    next(&mut display, |event| (event == DisplayEvent::Focus(false)).then_some(()));
    let nothing = client.pending();
    assert!(!nothing.iter().any(|event| matches!(event, Event::Error(_))));
}

#[test]
fn server_that_shares_no_memory_shows_frames_all_the_same() {
    let Some(server) = Server::start_with("700x300x24", &["-extension", "MIT-SHM"]) else { return };
    let client = server.client();
    let root = client.screen.root;
    let mut display = open(&server, &client, 700, 300);
    let mut expected = pattern(700, 300, 9);
    display.present(&bgrx(&expected, 700, 300), None).unwrap();
    until_shown(&mut display, || colours(&client.look(root, 0, 0, 700, 300)) == colours(&expected));
    expected[700 * 4 * 250..].fill(0x55);
    let part = Rectangle { x: 0, y: 250, width: 700, height: 50 };
    display.present(&bgrx(&expected, 700, 300), Some(part)).unwrap();
    until_shown(&mut display, || colours(&client.look(root, 0, 0, 700, 300)) == colours(&expected));
}

#[test]
fn window_manager_makes_an_attached_window_fullscreen_and_keeps_its_focus() {
    let Some(server) = Server::start(400, 300) else { return };
    if !server.run("xprop", &["-version"]) {
        return;
    }
    let ready = "xprop -root -f READY 8s -set READY yes";
    let Some(_manager) = server.spawn("openbox", &["--startup", ready]) else { return };
    let client = server.client();
    // A manager loses track of windows that come while it starts.
    let root = client.screen.root;
    client
        .connection
        .change_window_attributes(
            root,
            &ChangeWindowAttributesAux::new().event_mask(EventMask::PROPERTY_CHANGE),
        )
        .unwrap();
    while client.property(root, "READY").is_empty() {
        client.wait(|event| matches!(event, Event::PropertyNotify(_)).then_some(()));
    }
    let mut owner = X11Display::open(server.name(), "owner", 160, 120).unwrap();
    next(&mut owner, |event| (event == DisplayEvent::Focus(true)).then_some(()));
    let mut display = X11Display::attach(server.name(), owner.window()).unwrap();
    next(&mut display, |event| (event == DisplayEvent::Focus(true)).then_some(()));
    let mut sink = X11Sink::open(server.name()).unwrap();
    inject(&mut sink, &[InputEvent::PointerAbsolute { x: 65535, y: 65535 }, key(31, true), key(31, false)]);
    next(&mut display, |event| match event {
        DisplayEvent::Key(key) => (key.key.code() == 31 && !key.pressed).then_some(()),
        _ => None,
    });
    for (fullscreen, expected) in [(true, (400, 300)), (false, (160, 120))] {
        assert!(display.set_fullscreen(fullscreen).unwrap());
        next(&mut display, |event| (event == DisplayEvent::Resized(expected.0, expected.1)).then_some(()));
    }
}
