//! What is typed and clicked at a client happens on the host, exactly, and nothing stays pressed.

#![allow(clippy::wildcard_enum_match_arm, reason = "X has a hundred kinds of event; a test waits for one")]

use core::time::Duration;
use std::process::Command;

use wavry_e2e::process::{Guarded, Scratch, clock, pause, wait_for};
use wavry_e2e::programs::{Client, Host};
use wavry_e2e::screen::{Hands, Screen};
use x11rb::connection::Connection as _;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{ConnectionExt as _, CreateWindowAux, EventMask, WindowClass};
use x11rb::rust_connection::RustConnection;

const WIDTH: i16 = 640;
const HEIGHT: i16 = 480;
const SHIFT: u8 = 42;
const CONTROL: u8 = 29;
const ALT_GR: u8 = 100;
const ENTER: u8 = 28;

/// A host's screen, a viewer's, and a session between them with its window in full view.
struct Stage {
    host_screen: Screen,
    viewer_screen: Screen,
    _host: Host,
    client: Guarded,
    _keys: Client,
    hands: Hands,
}

impl Stage {
    fn set(host_layout: &str, viewer_layout: &str, arguments: &[&str]) -> Option<Self> {
        let size = (WIDTH.unsigned_abs().into(), HEIGHT.unsigned_abs().into());
        let host_screen = Screen::start(size.0, size.1)?;
        let viewer_screen = Screen::start(size.0, size.1)?;
        host_screen.set_layout(host_layout);
        viewer_screen.set_layout(viewer_layout);
        let host = Host::start(&format!("x11:{}", host_screen.display), &[]);
        let keys = Client::allowed_by(&host);
        let arguments = [&["--fullscreen"], arguments].concat();
        let client = keys.connect(&host, Some(&viewer_screen.display), &arguments);
        let hands = viewer_screen.hands();
        let stage = Self { host_screen, viewer_screen, _host: host, client, _keys: keys, hands };
        stage.wait_until_steered();
        Some(stage)
    }

    /// Moves the viewer's pointer about until the host's follows: then the session is up and the window in place.
    fn wait_until_steered(&self) {
        let host = self.host_screen.hands();
        let mut x = 100;
        let up = wait_for(|| {
            x = if x > 300 { 100 } else { x + 1 };
            self.hands.point(x, 200);
            pause(Duration::from_millis(20));
            let (at, _) = host.pointer();
            ((at - x).abs() <= 1).then_some(())
        });
        assert!(up.is_some(), "the host's pointer never follows: {}", self.client.words());
    }
}

/// Records events of an own window that covers the screen.
struct Recorder {
    connection: RustConnection,
}

impl Recorder {
    fn cover(screen: &Screen) -> Self {
        let (connection, number) = x11rb::connect(Some(&screen.display)).expect("the screen answers");
        let root = connection.setup().roots[number].root;
        let window = connection.generate_id().expect("an id");
        let mask = EventMask::KEY_PRESS
            | EventMask::KEY_RELEASE
            | EventMask::BUTTON_PRESS
            | EventMask::BUTTON_RELEASE;
        let attributes = CreateWindowAux::new().event_mask(mask).override_redirect(1);
        let (width, height) = (WIDTH.unsigned_abs(), HEIGHT.unsigned_abs());
        connection
            .create_window(0, window, root, 0, 0, width, height, 0, WindowClass::INPUT_OUTPUT, 0, &attributes)
            .expect("sent")
            .check()
            .expect("made");
        connection.map_window(window).expect("sent").check().expect("mapped");
        Self { connection }
    }

    fn next(&self) -> Event {
        let event = wait_for(|| self.connection.poll_for_event().expect("the screen lives"));
        event.expect("an event comes")
    }
}

/// A terminal whose shell keeps the next line it reads.
fn terminal(screen: &Screen, scratch: &Scratch) -> (Guarded, std::path::PathBuf) {
    let (ready, line) = (scratch.path().join("ready"), scratch.path().join("line"));
    let script =
        format!("touch {}; IFS= read -r line; printf %s \"$line\" > {}", ready.display(), line.display());
    let mut command = Command::new("xterm");
    command.args(["-u8", "-geometry", "100x40+0+0", "-e", "sh", "-c", &script]);
    command.env("DISPLAY", &screen.display).env("LC_ALL", "C.UTF-8");
    let terminal = Guarded::start(&mut command, &scratch.path().join("xterm"));
    assert!(wait_for(|| ready.exists().then_some(())).is_some(), "xterm: {}", terminal.words());
    (terminal, line)
}

/// Types a wrong start, kills the line with Ctrl+U, types the right one and Enter. What the shell read.
fn typed_line(stage: &Stage, keys: &[(&[u8], u8)]) -> String {
    let scratch = Scratch::new();
    let (terminal, line) = terminal(&stage.host_screen, &scratch);
    // Without a window manager the keys go where the pointer is.
    stage.hands.point(200, 200);
    pause(Duration::from_millis(50));
    for code in [45, 46, 47] {
        stage.hands.tap(code);
    }
    stage.hands.chord(&[CONTROL], 22);
    for &(held, code) in keys {
        stage.hands.chord(held, code);
    }
    stage.hands.tap(ENTER);
    let read = wait_for(|| std::fs::read_to_string(&line).ok().filter(|text| !text.is_empty()));
    read.unwrap_or_else(|| panic!("the shell read nothing: {} {}", terminal.words(), stage.client.words()))
}

/// "Grüße, ZYX/yz (15 €) <ä>" on a German keyboard, key by key.
const GERMAN: &[(&[u8], u8)] = &[
    (&[SHIFT], 34),
    (&[], 19),
    (&[], 26),
    (&[], 12),
    (&[], 18),
    (&[], 51),
    (&[], 57),
    (&[SHIFT], 21),
    (&[SHIFT], 44),
    (&[SHIFT], 45),
    (&[SHIFT], 8),
    (&[], 44),
    (&[], 21),
    (&[], 57),
    (&[SHIFT], 9),
    (&[], 2),
    (&[], 6),
    (&[], 57),
    (&[ALT_GR], 18),
    (&[SHIFT], 10),
    (&[], 57),
    (&[], 86),
    (&[], 40),
    (&[SHIFT], 86),
];
const GERMAN_TEXT: &str = "Grüße, ZYX/yz (15 €) <ä>";

#[test]
fn german_host_reads_the_keys_of_an_american_client_as_german() {
    let Some(stage) = Stage::set("de", "us", &[]) else { return };
    assert_eq!(typed_line(&stage, GERMAN), GERMAN_TEXT);
}

#[test]
fn american_host_reads_the_text_of_a_german_client() {
    let Some(stage) = Stage::set("us", "de", &["--text-input"]) else { return };
    assert_eq!(typed_line(&stage, GERMAN), GERMAN_TEXT);
}

#[test]
fn five_hundred_clicks_arrive_as_five_hundred() {
    let Some(stage) = Stage::set("us", "us", &["--handshake", "snow"]) else { return };
    let recorder = Recorder::cover(&stage.host_screen);
    for _ in 0..500 {
        stage.hands.click(1);
    }
    stage.hands.click(3);
    let (mut presses, mut releases) = (0, 0);
    loop {
        match recorder.next() {
            Event::ButtonPress(event) if event.detail == 1 => presses += 1,
            Event::ButtonRelease(event) if event.detail == 1 => releases += 1,
            Event::ButtonRelease(event) if event.detail == 3 => break,
            _ => {}
        }
    }
    assert_eq!((presses, releases), (500, 500));
}

#[test]
fn killed_client_leaves_no_key_down() {
    let Some(mut stage) = Stage::set("us", "us", &[]) else { return };
    let host = stage.host_screen.hands();
    stage.hands.key(SHIFT, true);
    stage.hands.key(30, true);
    let down = wait_for(|| (host.keys_down() == [30, SHIFT]).then_some(()));
    assert!(down.is_some(), "held on the host: {:?}", host.keys_down());
    stage.client.kill();
    let killed_at = clock();
    assert!(wait_for(|| host.keys_down().is_empty().then_some(())).is_some(), "held: {:?}", host.keys_down());
    // The bound is SPEC §10.4's and holds in virtual time; here it is printed.
    println!("released {} ms after the kill", killed_at.elapsed().as_millis());
}

#[test]
fn lost_focus_releases_what_was_held() {
    let Some(stage) = Stage::set("us", "us", &[]) else { return };
    let host = stage.host_screen.hands();
    stage.hands.key(SHIFT, true);
    assert!(wait_for(|| (host.keys_down() == [SHIFT]).then_some(())).is_some(), "{:?}", host.keys_down());
    // Another window takes the focus while the key is down.
    let (other, _) = x11rb::connect(Some(&stage.viewer_screen.display)).expect("the screen answers");
    let root = other.setup().roots[0].root;
    let window = other.generate_id().expect("an id");
    let attributes = CreateWindowAux::new().override_redirect(1);
    other
        .create_window(0, window, root, 0, 0, 10, 10, 0, WindowClass::INPUT_OUTPUT, 0, &attributes)
        .expect("sent");
    other.map_window(window).expect("sent");
    other
        .set_input_focus(x11rb::protocol::xproto::InputFocus::POINTER_ROOT, window, x11rb::CURRENT_TIME)
        .expect("sent")
        .check()
        .expect("taken");
    assert!(wait_for(|| host.keys_down().is_empty().then_some(())).is_some(), "held: {:?}", host.keys_down());
    stage.hands.key(SHIFT, false);
}
