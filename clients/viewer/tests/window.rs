//! The program with a window, on an X server of the test's own: what is done at the window reaches the host.

#![allow(clippy::print_stdout, reason = "a skipped test says why")]

mod support;

use core::time::Duration;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use rift::{Button, CloseReason, InputEvent, Scancode};
use support::{Host, Scratch, Script};
use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{
    BUTTON_PRESS_EVENT, BUTTON_RELEASE_EVENT, ConnectionExt as _, ImageFormat, KEY_PRESS_EVENT,
    KEY_RELEASE_EVENT, MOTION_NOTIFY_EVENT,
};
use x11rb::protocol::xtest::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;

/// After this nothing comes any more.
const HANG: Duration = Duration::from_secs(20);

const KEY_Q: u16 = 16;
const KEY_LEFT_CONTROL: u16 = 29;
const KEY_A: u16 = 30;
const KEY_S: u16 = 31;
const KEY_LEFT_SHIFT: u16 = 42;
const KEY_LEFT_ALT: u16 = 56;

/// An Xvfb, ended with the value.
struct Server {
    child: Child,
    display: String,
}

impl Server {
    fn start() -> Option<Self> {
        let arguments = ["-displayfd", "1", "-nolisten", "tcp", "-noreset", "-screen", "0", "340x200x24"];
        let child = Command::new("Xvfb").args(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) => {
                println!("skipped: Xvfb cannot be started ({error})");
                return None;
            }
        };
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut line).expect("Xvfb names its display");
        Some(Self { child, display: format!(":{}", line.trim()) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A host, a client with a window, and a person at it.
struct Stage {
    host: Host,
    client: Child,
    person: RustConnection,
    root: u32,
    _server: Server,
    scratch: Scratch,
}

impl Stage {
    fn set(display: &str, more: &[&str]) -> Option<Self> {
        let server = Server::start()?;
        let scratch = Scratch::new(&format!("window-{display}-{}", more.len()));
        let host = Host::start(None, Script::Forever);
        let client = Command::new(env!("CARGO_BIN_EXE_wavry-client"))
            .args(["connect", &host.address.to_string(), "--host-id", &host.id.to_string()])
            .args(["--display", display, "--x-display", &server.display])
            .arg("--state")
            .arg(scratch.path("state"))
            .args(more)
            .env_remove("DISPLAY")
            .spawn()
            .expect("the client starts");
        let (person, screen) = RustConnection::connect(Some(&server.display)).expect("a connection");
        let root = person.setup().roots[screen].root;
        let mut stage = Self { host, client, person, root, _server: server, scratch };
        stage.wait_for_window();
        Some(stage)
    }

    /// The window is there when it hears the pointer.
    fn wait_for_window(&mut self) {
        for step in 0..200i16 {
            self.fake(MOTION_NOTIFY_EVENT, 0, (160 + step % 2, 90));
            if let Ok(event) = self.host.input.recv_timeout(Duration::from_millis(100)) {
                assert!(matches!(event, InputEvent::PointerAbsolute { .. }), "{event:?}");
                return;
            }
            assert_eq!(self.client.try_wait().expect("a child"), None, "the client has ended");
        }
        panic!("the window does not hear the pointer");
    }

    fn fake(&self, kind: u8, detail: u8, (x, y): (i16, i16)) {
        self.person.xtest_fake_input(kind, detail, 0, self.root, x, y, 0).expect("sent");
        self.person.flush().expect("flushed");
    }

    /// The next thing at the host that is no motion.
    fn heard(&self) -> InputEvent {
        loop {
            let event = self.host.input.recv_timeout(HANG).expect("something reaches the host");
            if !event.is_motion() {
                return event;
            }
        }
    }

    fn key(&self, code: u16, pressed: bool) {
        let kind = if pressed { KEY_PRESS_EVENT } else { KEY_RELEASE_EVENT };
        self.fake(kind, u8::try_from(code + 8).expect("an X keycode"), (0, 0));
    }

    fn expect_key(&self, code: u16, pressed: bool) {
        let key = Scancode::new(code).expect("a scancode");
        assert_eq!(self.heard(), InputEvent::Key { key, pressed });
    }

    /// Holds the modifiers of the client's own commands; the host hears of them.
    fn hold_modifiers(&self) {
        for code in [KEY_LEFT_CONTROL, KEY_LEFT_ALT, KEY_LEFT_SHIFT] {
            self.key(code, true);
            self.expect_key(code, true);
        }
    }

    /// The modifiers are released at the host, in whichever order.
    fn expect_modifiers_released(&self) {
        let mut released: Vec<InputEvent> = (0..3).map(|_| self.heard()).collect();
        released.sort_by_key(|event| format!("{event:?}"));
        let mut expected = [KEY_LEFT_CONTROL, KEY_LEFT_ALT, KEY_LEFT_SHIFT]
            .map(|code| InputEvent::Key { key: Scancode::new(code).expect("a scancode"), pressed: false });
        expected.sort_by_key(|event| format!("{event:?}"));
        assert_eq!(released, expected);
    }

    fn pixel(&self, x: i16, y: i16) -> u32 {
        let image = self.person.get_image(ImageFormat::Z_PIXMAP, self.root, x, y, 1, 1, u32::MAX);
        let data = image.expect("sent").reply().expect("an image").data;
        u32::from_le_bytes([data[0], data[1], data[2], 0])
    }

    /// Ends the client by its hotkey, everything released before.
    fn quit(mut self) {
        self.hold_modifiers();
        self.key(KEY_Q, true);
        self.expect_modifiers_released();
        let status = self.client.wait().expect("a child");
        assert!(status.success(), "{status}");
        assert_eq!(self.host.closed.recv_timeout(HANG), Ok(CloseReason::Done));
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

fn everything_reaches_the_host(display: &str) {
    let Some(stage) = Stage::set(display, &[]) else { return };
    for pressed in [true, false] {
        stage.key(KEY_A, pressed);
        stage.expect_key(KEY_A, pressed);
    }
    for (number, button) in [(1, Button::LEFT), (3, Button::RIGHT)] {
        for pressed in [true, false] {
            stage.fake(if pressed { BUTTON_PRESS_EVENT } else { BUTTON_RELEASE_EVENT }, number, (0, 0));
            assert_eq!(stage.heard(), InputEvent::Button { button, pressed });
        }
    }
    assert_ne!(stage.pixel(150, 100), 0, "the picture is there");
    stage.quit();
}

#[test]
fn window_of_x11_sends_everything() {
    everything_reaches_the_host("x11");
}

#[test]
fn accelerated_window_sends_everything() {
    everything_reaches_the_host("minifb");
}

#[test]
fn plain_window_sends_everything() {
    everything_reaches_the_host("minifb-plain");
}

#[test]
fn viewer_that_only_watches_sends_nothing() {
    let Some(server) = Server::start() else { return };
    let scratch = Scratch::new("window-watch");
    let host = Host::start(None, Script::Forever);
    let (png, json) = (scratch.path("last.png"), scratch.path("run.json"));
    let status = Command::new(env!("CARGO_BIN_EXE_wavry-client"))
        .args(["connect", &host.address.to_string(), "--host-id", &host.id.to_string(), "--view-only"])
        .args([
            "--display",
            "x11",
            "--x-display",
            &server.display,
            "--frames",
            "30",
            "--overlay",
            "--fullscreen",
        ])
        .arg("--state")
        .arg(scratch.path("state"))
        .arg("--png")
        .arg(&png)
        .arg("--json")
        .arg(&json)
        .env_remove("DISPLAY")
        .status()
        .expect("the client runs");
    assert!(status.success(), "{status}");
    assert!(png.is_file() && json.is_file());
    assert_eq!(host.input.try_recv().ok(), None);
}

#[test]
fn text_goes_as_text() {
    let Some(stage) = Stage::set("x11", &["--text-input"]) else { return };
    stage.key(KEY_LEFT_SHIFT, true);
    stage.key(KEY_A, true);
    assert_eq!(stage.heard(), InputEvent::Text('A'));
    stage.key(KEY_A, false);
    stage.key(KEY_LEFT_SHIFT, false);
    stage.key(KEY_S, true);
    assert_eq!(stage.heard(), InputEvent::Text('s'));
    stage.key(KEY_S, false);
    stage.key(KEY_LEFT_CONTROL, true);
    stage.expect_key(KEY_LEFT_CONTROL, true);
    stage.key(KEY_A, true);
    stage.expect_key(KEY_A, true);
    drop(stage.scratch.path("state"));
}
