//! The person at the viewer's window, played by XTEST.

use std::time::Instant;

use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{MOTION_NOTIFY_EVENT, Window};
use x11rb::protocol::xtest::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;
use x11rb::{CURRENT_TIME, NONE};

use crate::clock::now;
use crate::failure::{Context as _, Failure};
use crate::x::{VirtualScreen, fill_screen, focus};

/// The key `a` of every PC keyboard; evdev's code 30, and X adds 8.
pub(super) const KEYCODE: u8 = 38;

/// Injects events on the viewer's screen.
#[derive(Debug)]
pub(super) struct Tester {
    connection: RustConnection,
    root: Window,
    window: Window,
}

impl Tester {
    /// Opens a connection.
    pub(super) fn open(screen: &VirtualScreen) -> Result<Self, Failure> {
        let connection = screen.connect()?;
        let root = connection.setup().roots.first().ok_or("the display has no screen")?.root;
        connection.xtest_get_version(2, 2)?.reply().context("the X server has no XTEST")?;
        Ok(Self { connection, root, window: root })
    }

    /// Waits for the viewer's window and moves the pointer into it.
    pub(super) fn take_window(&mut self) -> Result<(), Failure> {
        self.window = fill_screen(&self.connection)?;
        self.move_to(1, 1)?;
        self.move_to(900, 500)?;
        Ok(())
    }

    /// Gives the viewer's window the keyboard.
    pub(super) fn focus(&self) -> Result<(), Failure> {
        focus(&self.connection, self.window)
    }

    /// Presses or releases a key or button; the time is just before that.
    pub(super) fn inject(&self, kind: u8, detail: u8) -> Result<Instant, Failure> {
        let at = now();
        self.connection.xtest_fake_input(kind, detail, CURRENT_TIME, NONE, 0, 0, 0)?;
        self.connection.flush()?;
        Ok(at)
    }

    /// Moves the pointer; the time is just before that.
    pub(super) fn move_to(&self, x: i16, y: i16) -> Result<Instant, Failure> {
        let at = now();
        let absolute = 0;
        self.connection.xtest_fake_input(MOTION_NOTIFY_EVENT, absolute, CURRENT_TIME, self.root, x, y, 0)?;
        self.connection.flush()?;
        Ok(at)
    }
}
