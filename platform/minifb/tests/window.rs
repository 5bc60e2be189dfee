//! The window on an X server of the test's own.
//!
//! minifb takes its server from the environment, which a test cannot change safely for itself. So one test starts
//! Xvfb and runs the others, which are ignored otherwise, as programs with that environment.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use rift::{Button, InputEvent, Instant};
use rift_hal::{Cursor, CursorShape, Display, DisplayEvent, Frame, Key, PixelFormat, Plane, Pollable};
use rift_minifb::{MinifbDisplay, MinifbWindow};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{
    BUTTON_PRESS_EVENT, BUTTON_RELEASE_EVENT, ClientMessageEvent, ConfigureWindowAux, ConnectionExt as _,
    EventMask, ImageFormat, InputFocus, KEY_PRESS_EVENT, KEY_RELEASE_EVENT, MOTION_NOTIFY_EVENT, MapState,
};
use x11rb::protocol::xtest::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;

const WIDTH: u32 = 320;
const HEIGHT: u32 = 200;

#[test]
fn under_a_display_of_its_own() {
    let Some((_server, display)) = Server::start() else { return };
    let program = std::env::current_exe().expect("this test");
    let outcome = Command::new(program)
        .args(["--ignored", "--test-threads=1", "--nocapture"])
        .env("DISPLAY", display)
        .status()
        .expect("it runs");
    assert!(outcome.success(), "the tests above say what failed");
}

#[test]
#[ignore = "run by under_a_display_of_its_own"]
fn frame_cursor_and_overlay_show() {
    let mut test = Test::start();
    test.present(0x0020_40c0);
    test.wait_for_pixel(300, 190, 0x0020_40c0);

    let bgra = [0, 255, 0, 255].repeat(16);
    let shape = CursorShape { width: 4, height: 4, hot_x: 2, hot_y: 2, bgra: &bgra };
    test.display.set_cursor(&Cursor { x: 200, y: 100, visible: true, shape: Some(shape) }).expect("set");
    test.wait_for_pixel(200, 100, 0x0000_ff00);
    assert_eq!(test.pixel(203, 100), 0x0020_40c0);
    test.display.set_cursor(&Cursor { x: 200, y: 100, visible: false, shape: None }).expect("set");
    test.wait_for_pixel(200, 100, 0x0020_40c0);

    test.display.set_overlay("|").expect("set");
    test.wait_for_pixel(4, 4, 0x00ff_ffff);
    test.display.set_overlay("").expect("set");
    test.wait_for_pixel(4, 4, 0x0020_40c0);
}

#[test]
#[ignore = "run by under_a_display_of_its_own"]
fn resized_window_keeps_the_pictures_shape() {
    let mut test = Test::start();
    test.present(0x0020_40c0);
    test.wait_for_pixel(0, 0, 0x0020_40c0);
    let taller = ConfigureWindowAux::new().width(WIDTH).height(HEIGHT * 2);
    test.connection.configure_window(test.window, &taller).expect("sent");
    test.connection.flush().expect("sent");
    test.wait_for(|event| (*event == DisplayEvent::Resized(WIDTH, HEIGHT * 2)).then_some(()));
    test.wait_for_pixel(160, 20, 0);
    test.wait_for_pixel(160, 200, 0x0020_40c0);
    assert_eq!(test.display.size(), (WIDTH, HEIGHT * 2));
}

#[test]
#[ignore = "run by under_a_display_of_its_own"]
fn keys_arrive_with_their_text_and_repeats_do_not() {
    let mut test = Test::start();
    for code in [42, 30] {
        test.fake(KEY_PRESS_EVENT, code + 8, (0, 0));
    }
    for code in [30, 42] {
        test.fake(KEY_RELEASE_EVENT, code + 8, (0, 0));
    }
    let keys: Vec<(u16, bool, Option<char>)> = (0..4)
        .map(|_| {
            let Key { key, pressed, text, .. } = test.wait_for_key();
            (key.code(), pressed, text)
        })
        .collect();
    assert_eq!(keys, [(42, true, None), (30, true, Some('A')), (30, false, None), (42, false, None)]);
}

#[test]
#[ignore = "run by under_a_display_of_its_own"]
fn key_outside_the_table_gives_nothing() {
    let mut test = Test::start();
    // The key beside the left Shift, which a US keyboard has not, now enters é.
    let eacute = 0xe9;
    test.connection
        .change_keyboard_mapping(1, 102, 2, &[eacute, eacute])
        .expect("sent")
        .check()
        .expect("done");
    test.fake(KEY_PRESS_EVENT, 102, (0, 0));
    test.fake(KEY_RELEASE_EVENT, 102, (0, 0));
    test.fake(KEY_PRESS_EVENT, 30 + 8, (0, 0));
    let first = test.wait_for_key();
    assert_eq!((first.key.code(), first.text), (30, Some('a')), "é gave nothing and lent its text to nobody");
    test.fake(KEY_RELEASE_EVENT, 30 + 8, (0, 0));
}

#[test]
#[ignore = "run by under_a_display_of_its_own"]
fn pointer_buttons_and_wheel_arrive_at_their_place() {
    let mut test = Test::start();
    test.present(0);
    test.wait_for_pixel(0, 0, 0);
    test.fake(MOTION_NOTIFY_EVENT, 0, (160, 100));
    let (x, y) = test.wait_for(|event| {
        let DisplayEvent::Pointer(InputEvent::PointerAbsolute { x, y }) = event else { return None };
        (*x > 30_000).then_some((*x, *y))
    });
    assert!(x.abs_diff(32870) < 2 && y.abs_diff(32931) < 2, "{x}, {y}");
    for (at_server, button) in [(1, Button::LEFT), (2, Button::MIDDLE), (3, Button::RIGHT), (8, Button::SIDE)]
    {
        for (kind, pressed) in [(BUTTON_PRESS_EVENT, true), (BUTTON_RELEASE_EVENT, false)] {
            test.fake(kind, at_server, (0, 0));
            let expected = DisplayEvent::Pointer(InputEvent::Button { button, pressed });
            test.wait_for(|event| (*event == expected).then_some(()));
        }
    }
    for (at_server, dx, dy) in [(4, 0, 120), (5, 0, -120), (6, -120, 0), (7, 120, 0)] {
        test.fake(BUTTON_PRESS_EVENT, at_server, (0, 0));
        test.fake(BUTTON_RELEASE_EVENT, at_server, (0, 0));
        // minifb may tell of half a notch at a time.
        let mut turned = (0, 0);
        while turned != (dx, dy) {
            let more = test.wait_for(|event| {
                let DisplayEvent::Pointer(InputEvent::Wheel { dx, dy }) = event else { return None };
                Some((*dx, *dy))
            });
            turned = (turned.0 + more.0, turned.1 + more.1);
        }
    }
}

#[test]
#[ignore = "run by under_a_display_of_its_own"]
fn what_is_held_is_released_when_the_focus_goes() {
    let mut test = Test::start();
    test.fake(KEY_PRESS_EVENT, 30 + 8, (0, 0));
    assert!(test.wait_for_key().pressed);
    test.focus(x11rb::NONE);
    assert!(!test.wait_for_key().pressed, "released before the focus is said to be gone");
    test.wait_for(|event| (*event == DisplayEvent::Focus(false)).then_some(()));
    test.fake(KEY_RELEASE_EVENT, 30 + 8, (0, 0));
}

#[test]
#[ignore = "run by under_a_display_of_its_own"]
fn what_minifb_cannot_is_said() {
    let mut test = Test::start();
    assert!(!test.display.set_grab(true).expect("answered"));
    assert!(!test.display.set_fullscreen(true).expect("answered"));
    let bytes = [0; 64];
    let plane = Plane { data: &bytes, stride: 8 };
    let frame = Frame::new(PixelFormat::Yuyv, 4, 4, [plane, Plane::EMPTY, Plane::EMPTY], Instant::ZERO);
    assert!(test.display.present(&frame.expect("a frame"), None).is_err());
}

#[test]
#[ignore = "run by under_a_display_of_its_own"]
fn closing_is_told_once() {
    let mut test = Test::start();
    close(&test.connection, test.window);
    test.wait_for(|event| (*event == DisplayEvent::Closed).then_some(()));
    test.present(0x0011_2233);
    test.wait_for_pixel(0, 0, 0x0011_2233);
    while let Some(event) = test.display.poll_event().expect("an event") {
        assert_ne!(event, DisplayEvent::Closed);
    }
}

#[test]
#[ignore = "run by under_a_display_of_its_own"]
fn parent_window_is_there_and_tells_of_its_size_and_end() {
    let mut window = MinifbWindow::open("parent", WIDTH, HEIGHT).expect("a window");
    let id = window.raw_window().expect("an X11 window");
    let (connection, _) = x11rb::connect(None).expect("a server");
    let size = ConfigureWindowAux::new().width(400).height(300);
    connection.configure_window(id, &size).expect("sent").check().expect("done");
    let mut tries = 0;
    while window.size() != (400, 300) {
        pause(&mut tries);
    }
    close(&connection, id);
    let mut events = Vec::new();
    while !events.contains(&DisplayEvent::Closed) {
        events.extend(window.poll_event());
        pause(&mut tries);
    }
    assert!(events.contains(&DisplayEvent::Resized(400, 300)), "{events:?}");
}

/// A display, and a second connection that looks at it and plays the person in front of it.
struct Test {
    display: MinifbDisplay,
    connection: RustConnection,
    root: u32,
    window: u32,
}

impl Test {
    fn start() -> Self {
        let display = MinifbDisplay::open("test", WIDTH, HEIGHT).expect("a window");
        let (connection, screen) = x11rb::connect(None).expect("a server");
        let root = connection.setup().roots[screen].root;
        let window = display.raw_window().expect("an X11 window");
        let mut test = Self { display, connection, root, window };
        let place = ConfigureWindowAux::new().x(0).y(0);
        test.connection.configure_window(window, &place).expect("sent").check().expect("done");
        let mut tries = 0;
        while !test.is_viewable() {
            pause(&mut tries);
        }
        test.focus(window);
        test.wait_for(|event| (*event == DisplayEvent::Focus(true)).then_some(()));
        test
    }

    /// Only then may it have the focus.
    fn is_viewable(&self) -> bool {
        let attributes = self.connection.get_window_attributes(self.window);
        attributes.expect("sent").reply().expect("attributes").map_state == MapState::VIEWABLE
    }

    fn focus(&self, window: u32) {
        let focus = self.connection.set_input_focus(InputFocus::NONE, window, x11rb::CURRENT_TIME);
        focus.expect("sent").check().expect("done");
    }

    fn fake(&self, kind: u8, detail: u8, (x, y): (i16, i16)) {
        let sent = self.connection.xtest_fake_input(kind, detail, 0, self.root, x, y, 0);
        sent.expect("sent").check().expect("done");
    }

    fn present(&mut self, colour: u32) {
        let bytes = colour.to_le_bytes().repeat((WIDTH * HEIGHT) as usize);
        let plane = Plane { data: &bytes, stride: WIDTH as usize * 4 };
        let planes = [plane, Plane::EMPTY, Plane::EMPTY];
        let frame = Frame::new(PixelFormat::Bgrx, WIDTH, HEIGHT, planes, Instant::ZERO).expect("a frame");
        self.display.present(&frame, None).expect("shown");
    }

    fn pixel(&self, x: i16, y: i16) -> u32 {
        let image = self.connection.get_image(ImageFormat::Z_PIXMAP, self.window, x, y, 1, 1, u32::MAX);
        let data = image.expect("sent").reply().expect("an image").data;
        u32::from_le_bytes([data[0], data[1], data[2], 0])
    }

    fn wait_for_pixel(&self, x: i16, y: i16, expected: u32) {
        let mut tries = 0;
        while self.pixel(x, y) != expected {
            pause(&mut tries);
        }
    }

    fn wait_for_key(&mut self) -> Key {
        self.wait_for(|event| if let DisplayEvent::Key(key) = event { Some(*key) } else { None })
    }

    /// Waits on the descriptor for an event that `wanted` takes; ten seconds without any is a hang.
    fn wait_for<T>(&mut self, wanted: impl Fn(&DisplayEvent) -> Option<T>) -> T {
        loop {
            while let Some(event) = self.display.poll_event().expect("an event") {
                if let Some(found) = wanted(&event) {
                    return found;
                }
            }
            let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
            let fd = self.display.poll_fd();
            let ready = poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&limit));
            assert_eq!(ready, Ok(1), "the event comes");
        }
    }
}

fn close(connection: &RustConnection, window: u32) {
    let atom =
        |name: &[u8]| connection.intern_atom(false, name).expect("sent").reply().expect("an atom").atom;
    let data = [atom(b"WM_DELETE_WINDOW"), 0, 0, 0, 0];
    let message = ClientMessageEvent::new(32, window, atom(b"WM_PROTOCOLS"), data);
    connection.send_event(false, window, EventMask::NO_EVENT, message).expect("sent").check().expect("done");
}

/// A moment between two looks at something that gives no notice; after some ten seconds it is a hang.
fn pause(tries: &mut u32) {
    *tries += 1;
    assert!(*tries < 5000, "it does not happen");
    let _ = poll(&mut [], Some(&Timespec { tv_sec: 0, tv_nsec: 2_000_000 }));
}

/// An X server that ends with the test.
struct Server(Child);

impl Server {
    fn start() -> Option<(Self, String)> {
        let child = Command::new("Xvfb")
            .args(["-displayfd", "1", "-noreset", "-screen", "0", "800x600x24", "-nolisten", "tcp"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) => {
                eprintln!("skipped: cannot start Xvfb: {error}");
                return None;
            }
        };
        let mut number = String::new();
        let output = child.stdout.take().expect("it is piped");
        let server = Self(child);
        BufReader::new(output).read_line(&mut number).expect("its display's number");
        assert!(!number.trim().is_empty(), "Xvfb starts");
        Some((server, format!(":{}", number.trim())))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
