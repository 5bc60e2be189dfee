//! A program on the host's screen: it hears events, and answers a key with another colour when it is told to.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use x11rb::connection::Connection as _;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    BUTTON_PRESS_EVENT, BUTTON_RELEASE_EVENT, EventMask, KEY_PRESS_EVENT, KEY_RELEASE_EVENT, Rectangle,
};

use crate::clock::now;
use crate::failure::Failure;
use crate::x::{Canvas, VirtualScreen, focus};

const DESK: u32 = 0x0038_4858;
const PATCH: Rectangle = Rectangle { x: 660, y: 340, width: 600, height: 400 };
const COLOURS: [u32; 2] = [0x0020_50a0, 0x00f0_b030];
/// Viewers may scale; a pixel of difference is not another place.
const NEAR: u16 = 2;

/// A pixel inside the patch.
pub(super) const fn probe() -> (i16, i16) {
    (PATCH.x + 50, PATCH.y + 50)
}

/// What was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// A key or button went down or up: the X event's number, the keycode or button.
    Press { kind: u8, detail: u8 },
    /// The pointer moved here.
    Motion { x: i16, y: i16 },
}

impl Heard {
    fn matches(self, wanted: Self) -> bool {
        match (self, wanted) {
            (Self::Motion { x, y }, Self::Motion { x: wanted_x, y: wanted_y }) => {
                x.abs_diff(wanted_x) <= NEAR && y.abs_diff(wanted_y) <= NEAR
            }
            (one, other) => one == other,
        }
    }

    fn from_event(event: &Event) -> Option<Self> {
        let press = |kind, detail| Some(Self::Press { kind, detail });
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "a foreign enum with an entry for every event of X"
        )]
        match event {
            Event::KeyPress(key) => press(KEY_PRESS_EVENT, key.detail),
            Event::KeyRelease(key) => press(KEY_RELEASE_EVENT, key.detail),
            Event::ButtonPress(button) => press(BUTTON_PRESS_EVENT, button.detail),
            Event::ButtonRelease(button) => press(BUTTON_RELEASE_EVENT, button.detail),
            Event::MotionNotify(motion) => Some(Self::Motion { x: motion.root_x, y: motion.root_y }),
            _ => None,
        }
    }
}

#[derive(Debug, Default)]
struct Answer {
    armed: AtomicBool,
    /// Which of both colours the patch has.
    side: AtomicUsize,
}

/// Hears events on a thread of its own, which ends with the X server's connection or this program.
#[derive(Debug)]
pub(super) struct Recorder {
    heard: Receiver<(Heard, Instant)>,
    answer: Arc<Answer>,
}

impl Recorder {
    /// Covers the host's screen, takes its keyboard and begins to listen.
    pub(super) fn start(screen: &VirtualScreen) -> Result<Self, Failure> {
        let events = EventMask::KEY_PRESS
            | EventMask::KEY_RELEASE
            | EventMask::BUTTON_PRESS
            | EventMask::BUTTON_RELEASE
            | EventMask::POINTER_MOTION;
        let canvas = Canvas::open(screen, DESK, events)?;
        focus(&canvas.connection, canvas.window)?;
        canvas.fill(PATCH, COLOURS[0])?;
        canvas.settle()?;
        let (sender, heard) = channel();
        let answer = Arc::new(Answer::default());
        let shared = Arc::clone(&answer);
        std::thread::spawn(move || listen(&canvas, &sender, &shared));
        Ok(Self { heard, answer })
    }

    /// Forgets what has been heard so far.
    pub(super) fn forget(&self) {
        while self.heard.try_recv().is_ok() {}
    }

    /// Waits for this event; when it was heard, or `None` at the limit. Other events are passed over.
    pub(super) fn wait_for(&self, wanted: Heard, limit: Duration) -> Option<Instant> {
        let end = now() + limit;
        loop {
            let (heard, at) = self.heard.recv_timeout(end.saturating_duration_since(now())).ok()?;
            if heard.matches(wanted) {
                return Some(at);
            }
        }
    }

    /// From now on a key press changes the patch, once; its colours before and after.
    pub(super) fn arm(&self) -> (u32, u32) {
        let side = self.answer.side.load(Ordering::Acquire);
        self.answer.armed.store(true, Ordering::Release);
        (COLOURS[side], COLOURS[1 - side])
    }

    /// Takes back what `arm` said, if no key came.
    pub(super) fn disarm(&self) {
        self.answer.armed.store(false, Ordering::Release);
    }
}

fn listen(canvas: &Canvas, heard: &Sender<(Heard, Instant)>, answer: &Answer) {
    while let Ok(event) = canvas.connection.wait_for_event() {
        let at = now();
        let Some(event) = Heard::from_event(&event) else { continue };
        let pressed = matches!(event, Heard::Press { kind: KEY_PRESS_EVENT, .. });
        if pressed && answer.armed.swap(false, Ordering::AcqRel) {
            let side = 1 - answer.side.load(Ordering::Acquire);
            answer.side.store(side, Ordering::Release);
            if canvas.fill(PATCH, COLOURS[side]).is_err() {
                return;
            }
        }
        if heard.send((event, at)).is_err() {
            return;
        }
    }
}
