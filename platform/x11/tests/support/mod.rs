//! A private X server for each test, and a client that acts and looks like any program.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::print_stdout, reason = "a skipped test says why")]

use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use x11rb::connection::Connection;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    AtomEnum, ConnectionExt, CreateGCAux, CreateWindowAux, EventMask, Gcontext, ImageFormat, InputFocus,
    Rectangle, Screen, Window, WindowClass,
};
use x11rb::rust_connection::RustConnection;

/// Seconds after which a test that waits has hung.
const HANG_SECONDS: i64 = 20;

/// An Xvfb, ended with the value.
pub(crate) struct Server {
    child: Child,
    pub(crate) display: String,
}

impl Server {
    /// Starts one with a screen of this size, or says why the test is skipped.
    pub(crate) fn start(width: u16, height: u16) -> Option<Self> {
        Self::start_with(&format!("{width}x{height}x24"), &[])
    }

    /// Starts one with this screen (width x height x depth) and more arguments.
    pub(crate) fn start_with(screen: &str, more: &[&str]) -> Option<Self> {
        let child = Command::new("Xvfb")
            .args(["-displayfd", "1", "-nolisten", "tcp", "-noreset", "-screen", "0", screen])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
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
        assert!(!line.trim().is_empty(), "Xvfb ended at once");
        let display = format!(":{}", line.trim());
        Some(Self { child, display })
    }

    pub(crate) fn name(&self) -> Option<&str> {
        Some(&self.display)
    }

    /// Runs a program against this display; `false` when it is not installed.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> bool {
        match Command::new(program).args(arguments).env("DISPLAY", &self.display).status() {
            Ok(status) => {
                assert!(status.success(), "{program} failed: {status}");
                true
            }
            Err(error) => {
                println!("skipped: {program} cannot be started ({error})");
                false
            }
        }
    }

    /// Starts a program against this display; it is ended with the value. `None` when it is not installed.
    pub(crate) fn spawn(&self, program: &str, arguments: &[&str]) -> Option<Program> {
        let null = Stdio::null;
        let mut command = Command::new(program);
        command.args(arguments).env("DISPLAY", &self.display).stdin(null()).stdout(null()).stderr(null());
        match command.spawn() {
            Ok(child) => Some(Program(child)),
            Err(error) => {
                println!("skipped: {program} cannot be started ({error})");
                None
            }
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.name())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running program, ended with the value.
pub(crate) struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A plain X client.
pub(crate) struct Client {
    pub(crate) connection: RustConnection,
    pub(crate) screen: Screen,
    pub(crate) gc: Gcontext,
}

impl Client {
    pub(crate) fn new(display: Option<&str>) -> Self {
        let (connection, index) = RustConnection::connect(display).unwrap();
        let screen = connection.setup().roots[index].clone();
        let gc = connection.generate_id().unwrap();
        connection.create_gc(gc, screen.root, &CreateGCAux::new()).unwrap();
        Self { connection, screen, gc }
    }

    /// Waits until the server has done everything asked so far.
    pub(crate) fn sync(&self) {
        self.connection.get_input_focus().unwrap().reply().unwrap();
    }

    pub(crate) fn fill(&self, window: Window, colour: u32, x: i16, y: i16, width: u16, height: u16) {
        self.connection
            .change_gc(self.gc, &x11rb::protocol::xproto::ChangeGCAux::new().foreground(colour))
            .unwrap();
        self.connection.poly_fill_rectangle(window, self.gc, &[Rectangle { x, y, width, height }]).unwrap();
        self.sync();
    }

    /// Puts BGRX pixels.
    pub(crate) fn put(&self, window: Window, x: i16, y: i16, width: u16, height: u16, pixels: &[u8]) {
        let row = usize::from(width) * 4;
        for (index, rows) in pixels.chunks(row * 16).enumerate() {
            let count = u16::try_from(rows.len() / row).unwrap();
            let top = y + i16::try_from(index * 16).unwrap();
            self.connection
                .put_image(ImageFormat::Z_PIXMAP, window, self.gc, width, count, x, top, 0, 24, rows)
                .unwrap();
        }
        assert_eq!(pixels.len(), row * usize::from(height));
        self.sync();
    }

    /// What the screen shows, BGRX.
    pub(crate) fn look(&self, window: Window, x: i16, y: i16, width: u16, height: u16) -> Vec<u8> {
        self.connection
            .get_image(ImageFormat::Z_PIXMAP, window, x, y, width, height, !0)
            .unwrap()
            .reply()
            .unwrap()
            .data
    }

    /// A mapped window with the keyboard focus, hearing keys, buttons and motion.
    pub(crate) fn window(&self, x: i16, y: i16, width: u16, height: u16) -> Window {
        let window = self.connection.generate_id().unwrap();
        let events = EventMask::KEY_PRESS
            | EventMask::KEY_RELEASE
            | EventMask::BUTTON_PRESS
            | EventMask::BUTTON_RELEASE
            | EventMask::POINTER_MOTION
            | EventMask::EXPOSURE
            | EventMask::STRUCTURE_NOTIFY;
        let aux = CreateWindowAux::new().event_mask(events).background_pixel(0).override_redirect(1);
        self.connection
            .create_window(
                24,
                window,
                self.screen.root,
                x,
                y,
                width,
                height,
                0,
                WindowClass::INPUT_OUTPUT,
                self.screen.root_visual,
                &aux,
            )
            .unwrap();
        self.connection.map_window(window).unwrap();
        self.wait(|event| matches!(event, Event::Expose(_)).then_some(()));
        self.connection.set_input_focus(InputFocus::PARENT, window, x11rb::CURRENT_TIME).unwrap();
        self.sync();
        window
    }

    /// The next event that `pick` takes; panics when none comes.
    pub(crate) fn wait<T>(&self, mut pick: impl FnMut(&Event) -> Option<T>) -> T {
        loop {
            if let Some(event) = self.connection.poll_for_event().unwrap() {
                if let Some(picked) = pick(&event) {
                    return picked;
                }
                continue;
            }
            self.connection.flush().unwrap();
            wait_readable(&self.connection.stream());
        }
    }

    /// Everything that has arrived once the server has done what was asked.
    pub(crate) fn pending(&self) -> Vec<Event> {
        self.sync();
        core::iter::from_fn(|| self.connection.poll_for_event().unwrap()).collect()
    }

    pub(crate) fn property(&self, window: Window, name: &str) -> Vec<u8> {
        let atom = self.connection.intern_atom(false, name.as_bytes()).unwrap().reply().unwrap().atom;
        let any = AtomEnum::ANY;
        self.connection.get_property(false, window, atom, any, 0, 1024).unwrap().reply().unwrap().value
    }
}

/// Waits until something can be read; panics when that takes suspiciously long.
pub(crate) fn wait_readable(descriptor: &impl AsFd) {
    let mut descriptors = [PollFd::new(descriptor, PollFlags::IN)];
    let timeout = Timespec { tv_sec: HANG_SECONDS, tv_nsec: 0 };
    let ready = poll(&mut descriptors, Some(&timeout)).unwrap();
    assert!(ready > 0, "nothing arrived in {HANG_SECONDS} s");
}

/// Pixels that differ everywhere, from a seed.
pub(crate) fn pattern(width: u16, height: u16, seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    let mut pixels = Vec::with_capacity(usize::from(width) * usize::from(height) * 4);
    for _ in 0..usize::from(width) * usize::from(height) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        pixels.extend([state.to_le_bytes()[0], state.to_le_bytes()[1], state.to_le_bytes()[2], 0]);
    }
    pixels
}
