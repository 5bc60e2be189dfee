//! Virtual screens, and a person's hands at one.

use std::process::Command;

use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{
    BUTTON_PRESS_EVENT, BUTTON_RELEASE_EVENT, ConnectionExt as _, KEY_PRESS_EVENT, KEY_RELEASE_EVENT,
    MOTION_NOTIFY_EVENT, Window,
};
use x11rb::protocol::xtest::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;

use crate::process::{Guarded, Scratch, wait_for};

/// A virtual X screen.
#[derive(Debug)]
pub struct Screen {
    /// Its name, such as `:7`.
    pub display: String,
    _server: Guarded,
    _scratch: Scratch,
}

impl Screen {
    /// Starts Xvfb with one 24-bit screen; `None`, with a printed skip, where Xvfb is missing.
    ///
    /// # Panics
    /// When Xvfb is there and does not start.
    #[must_use]
    pub fn start(width: u32, height: u32) -> Option<Self> {
        if Command::new("Xvfb").arg("-help").output().is_err() {
            eprintln!("skipped: Xvfb is not installed (`cargo rig setup`)");
            return None;
        }
        let scratch = Scratch::new();
        let log = scratch.path().join("xvfb");
        let mut command = Command::new("Xvfb");
        command.args(["-displayfd", "1", "-nolisten", "tcp", "-noreset", "-screen", "0"]);
        command.arg(format!("{width}x{height}x24"));
        let server = Guarded::start(&mut command, &log);
        let number = wait_for(|| server.words().lines().find_map(|line| line.trim().parse::<u32>().ok()));
        let number = number.unwrap_or_else(|| panic!("Xvfb does not start: {}", server.words()));
        Some(Self { display: format!(":{number}"), _server: server, _scratch: scratch })
    }

    /// Sets its keyboard's layout.
    ///
    /// # Panics
    /// When `setxkbmap` fails.
    pub fn set_layout(&self, layout: &str) {
        let status = Command::new("setxkbmap").args(["-display", &self.display, layout]).status();
        assert!(status.is_ok_and(|status| status.success()), "setxkbmap {layout}");
    }

    /// Hands at this screen.
    ///
    /// # Panics
    /// When the screen does not answer.
    #[must_use]
    pub fn hands(&self) -> Hands {
        let (connection, number) = x11rb::connect(Some(&self.display)).expect("the screen answers");
        let root = connection.setup().roots[number].root;
        Hands { connection, root }
    }
}

/// Keys and pointer of a screen, moved by XTEST as a person would move them.
#[derive(Debug)]
pub struct Hands {
    connection: RustConnection,
    root: Window,
}

impl Hands {
    fn fake(&self, event: u8, detail: u8, x: i16, y: i16) {
        let sent = self.connection.xtest_fake_input(event, detail, 0, self.root, x, y, 0);
        sent.expect("XTEST is there").check().expect("XTEST takes it");
    }

    /// Presses (`true`) or releases the key with this evdev code.
    pub fn key(&self, code: u8, pressed: bool) {
        self.fake(if pressed { KEY_PRESS_EVENT } else { KEY_RELEASE_EVENT }, code + 8, 0, 0);
    }

    /// Presses and releases a key.
    pub fn tap(&self, code: u8) {
        self.key(code, true);
        self.key(code, false);
    }

    /// Taps a key while others are held.
    pub fn chord(&self, held: &[u8], code: u8) {
        held.iter().for_each(|&key| self.key(key, true));
        self.tap(code);
        held.iter().rev().for_each(|&key| self.key(key, false));
    }

    /// Moves the pointer to this place.
    pub fn point(&self, x: i16, y: i16) {
        self.fake(MOTION_NOTIFY_EVENT, 0, x, y);
    }

    /// Presses and releases a button (X's numbers).
    pub fn click(&self, button: u8) {
        self.fake(BUTTON_PRESS_EVENT, button, 0, 0);
        self.fake(BUTTON_RELEASE_EVENT, button, 0, 0);
    }

    /// Where the pointer is.
    ///
    /// # Panics
    /// When the screen does not answer.
    #[must_use]
    pub fn pointer(&self) -> (i16, i16) {
        let reply = self.connection.query_pointer(self.root).expect("sent").reply().expect("answered");
        (reply.root_x, reply.root_y)
    }

    /// The evdev codes of the keys that are down.
    ///
    /// # Panics
    /// When the screen does not answer.
    #[must_use]
    pub fn keys_down(&self) -> Vec<u8> {
        let keys = self.connection.query_keymap().expect("sent").reply().expect("answered").keys;
        (8..=255)
            .filter(|&code: &u8| keys[usize::from(code / 8)] >> (code % 8) & 1 == 1)
            .map(|code| code - 8)
            .collect()
    }

    /// All pixels: blue, green, red, zero.
    ///
    /// # Panics
    /// When the screen does not answer.
    #[must_use]
    pub fn picture(&self) -> Vec<u8> {
        let root = self.connection.get_geometry(self.root).expect("sent").reply().expect("answered");
        self.image(0, 0, root.width, root.height)
    }

    fn image(&self, x: i16, y: i16, width: u16, height: u16) -> Vec<u8> {
        let format = x11rb::protocol::xproto::ImageFormat::Z_PIXMAP;
        let image = self.connection.get_image(format, self.root, x, y, width, height, u32::MAX);
        let mut data = image.expect("sent").reply().expect("answered").data;
        // What the fourth byte is nobody says.
        data.iter_mut().skip(3).step_by(4).for_each(|byte| *byte = 0);
        data
    }

    /// The colour of a pixel, `0xRRGGBB`.
    ///
    /// # Panics
    /// When the screen does not answer.
    #[must_use]
    pub fn pixel(&self, x: i16, y: i16) -> u32 {
        let data = self.image(x, y, 1, 1);
        u32::from_le_bytes([data[0], data[1], data[2], 0])
    }
}
