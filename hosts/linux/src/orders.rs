//! What the network tells the thread that captures and encodes, and back.
//!
//! The newest order counts and none is queued. An event descriptor wakes the capture thread, so that it can wait for
//! orders and for its source at once.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rift::limits::TILE_REPORT_MAX;
use rift::{CaptureState, PictureId, PictureInfo, Rectangle, ShapeHead, StreamParameters};
use rift_mio::Waker;
use rift_x264::Reduction;
use rustix::event::{EventfdFlags, eventfd};

use crate::lane::Lane;
use crate::status::Board;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Whether anybody watches.
    pub is_watched: bool,
    /// Whether the network takes another picture. Spent by making one.
    pub open: bool,
    /// Bits per second to encode at.
    pub bitrate_bps: u32,
    /// From one picture to the next at least, in microseconds.
    pub period_us: u64,
    /// How much smaller than its source a picture is made; `None` = not at all.
    pub reduction: Option<Reduction>,
    /// The longest round trip, in microseconds: repairs are merged over it.
    pub round_trip_us: u64,
    /// Whether any viewer has a picture.
    pub anyone_has_picture: bool,
    /// A viewer needs a picture that needs no other.
    pub key_wanted: bool,
    /// A viewer needs a picture that needs none after this.
    pub after_wanted: Option<PictureId>,
    /// A viewer shows these tiles wrongly.
    pub wrong_tiles: Option<WrongTiles>,
    /// Bytes of the largest picture that every viewer has room for.
    pub picture_len_max: usize,
    /// Everything ends.
    pub stop: bool,
}

/// Tiles that a viewer shows wrongly, in the terms of tiles' own SPEC §7.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongTiles {
    bytes: [u8; TILE_REPORT_MAX],
    len: usize,
}

impl WrongTiles {
    /// What a report says; what is too long is left out.
    #[must_use]
    pub fn new(report: &[u8]) -> Self {
        let len = report.len().min(TILE_REPORT_MAX);
        let mut bytes = [0; TILE_REPORT_MAX];
        bytes[..len].copy_from_slice(&report[..len]);
        Self { bytes, len }
    }

    /// The same again.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Order {
    /// Nobody watches yet.
    #[must_use]
    pub const fn idle(bitrate_bps: u32, period_us: u64) -> Self {
        Self {
            is_watched: false,
            open: false,
            bitrate_bps,
            period_us,
            reduction: None,
            round_trip_us: 0,
            anyone_has_picture: false,
            key_wanted: false,
            after_wanted: None,
            wrong_tiles: None,
            picture_len_max: usize::MAX,
            stop: false,
        }
    }

    /// Adds a viewer's wish to be led back, see [`crate::chain::Chain::want`].
    pub fn want(&mut self, after: Option<PictureId>) {
        match after {
            None => self.key_wanted = true,
            Some(after) => {
                self.after_wanted = Some(self.after_wanted.map_or(after, |other| other.min(after)));
            }
        }
    }
}

/// The order in force, shared by both threads.
#[derive(Debug)]
pub struct Orders {
    order: Mutex<Order>,
    event: OwnedFd,
}

impl Orders {
    /// Begins with this order.
    ///
    /// # Errors
    /// The kernel gave no event descriptor.
    pub fn new(order: Order) -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(Self { order: Mutex::new(order), event })
    }

    /// Network: changes the order. The capture thread is woken when there is something to do at once.
    pub fn change(&self, change: impl FnOnce(&mut Order)) {
        let mut order = self.lock();
        let before = *order;
        change(&mut order);
        let after = *order;
        drop(order);
        let is_urgent = after.open && !before.open
            || after.is_watched != before.is_watched
            || after.stop
            || after.key_wanted && !before.key_wanted
            || after.after_wanted != before.after_wanted
            || after.wrong_tiles.is_some() && before.wrong_tiles.is_none();
        if is_urgent {
            self.wake();
        }
    }

    /// Wakes the capture thread.
    pub fn wake(&self) {
        // Full means that it is signalled already; nothing else can fail here.
        let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
    }

    /// Capture: the order in force. Wishes for repairs are handed over and not given again.
    pub fn take(&self) -> Order {
        // Empty means that nobody signalled; nothing else can fail here.
        let _ = rustix::io::read(&self.event, &mut [0; 8]);
        let mut order = self.lock();
        let taken = *order;
        order.key_wanted = false;
        order.after_wanted = None;
        order.wrong_tiles = None;
        taken
    }

    /// The order in force, left as it is.
    #[cfg(test)]
    pub(crate) fn peek(&self) -> Order {
        *self.lock()
    }

    /// Capture: a picture is on its way to the network, which says when it takes the next.
    pub fn spend(&self) {
        self.lock().open = false;
    }

    /// Readable when there is something to do at once.
    #[must_use]
    pub fn event(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }

    fn lock(&self) -> MutexGuard<'_, Order> {
        // An order is plain data: whoever panicked left a whole one.
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A coded picture on its way to the network.
#[derive(Debug)]
pub struct Coded {
    /// For whom it is.
    pub lane: Lane,
    /// What it is.
    pub info: PictureInfo,
    /// The whole picture's place.
    pub place: Rectangle,
    /// Its bytes. The buffer goes back when they are copied.
    pub bytes: Vec<u8>,
    /// Rectangles of JPEG that they begin with, and how long each is; then comes what is of the lane's own codec.
    pub photos: Vec<(Rectangle, usize)>,
    /// What pictures are from this one on, when that changed.
    pub parameters: Option<StreamParameters>,
    /// How much smaller than its source it is.
    pub reduction: Option<Reduction>,
    /// Whether it was made because something changed.
    pub is_change: bool,
}

/// A cursor's shape, ready to be sent.
#[derive(Debug, PartialEq, Eq)]
pub struct Shape {
    /// Its head.
    pub head: ShapeHead,
    /// Its pixels.
    pub bgra: Vec<u8>,
}

/// Where the cursor is and what it looks like.
#[derive(Clone, Debug, Default)]
pub struct CursorState {
    /// The hot spot from the left edge, in pixels.
    pub x: u16,
    /// From the top edge.
    pub y: u16,
    /// Whether it shows.
    pub visible: bool,
    /// Its shape, once there is one.
    pub shape: Option<Arc<Shape>>,
}

/// What comes out of the capture thread.
#[derive(Debug)]
pub enum Captured {
    /// The next picture.
    Picture(Coded),
    /// It ended, and why.
    Ended(String),
}

/// The capture thread's end of the way to the network.
#[derive(Debug)]
pub struct Outlet {
    /// Pictures in order.
    pub pictures: SyncSender<Captured>,
    /// The newest cursor that the network has not seen.
    pub cursor: Arc<Mutex<Option<CursorState>>>,
    /// The newest state of the capture that the network has not seen.
    pub capture: Arc<Mutex<Option<CaptureState>>>,
    /// What operators see.
    pub board: Arc<Board>,
    /// Wakes the network.
    pub waker: Waker,
}

impl Outlet {
    /// Hands something over. `false`: the network is gone.
    pub fn send(&self, captured: Captured) -> bool {
        let is_sent = self.pictures.send(captured).is_ok();
        self.waker.wake();
        is_sent
    }

    /// Says what the capture is doing.
    pub fn show_capture(&self, state: CaptureState) {
        self.board.set_capture(state);
        *self.capture.lock().unwrap_or_else(PoisonError::into_inner) = Some(state);
        self.waker.wake();
    }

    /// Says where the cursor is.
    pub fn show_cursor(&self, cursor: &CursorState) {
        *self.cursor.lock().unwrap_or_else(PoisonError::into_inner) = Some(cursor.clone());
        self.waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::time::Timespec;

    use super::*;

    fn is_signalled(orders: &Orders) -> bool {
        let event = orders.event();
        let mut fds = [PollFd::new(&event, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
    }

    #[test]
    fn what_is_urgent_wakes_once_and_the_rest_does_not() {
        let orders = Orders::new(Order::idle(1_000_000, 16_667)).unwrap();
        orders.change(|order| order.bitrate_bps = 2_000_000);
        assert!(!is_signalled(&orders));
        orders.change(|order| order.open = true);
        assert!(is_signalled(&orders));
        assert!(orders.take().open);
        assert!(!is_signalled(&orders));
        orders.change(|order| order.open = true);
        assert!(!is_signalled(&orders), "it was open already");
        orders.spend();
        assert!(!orders.take().open);
    }

    #[test]
    fn wishes_are_merged_and_handed_over_once() {
        let orders = Orders::new(Order::idle(1_000_000, 16_667)).unwrap();
        orders.change(|order| order.want(Some(PictureId(9))));
        orders.change(|order| order.want(Some(PictureId(4))));
        orders.change(|order| order.want(Some(PictureId(7))));
        orders.change(|order| order.want(None));
        let order = orders.take();
        assert_eq!((order.after_wanted, order.key_wanted), (Some(PictureId(4)), true));
        let order = orders.take();
        assert_eq!((order.after_wanted, order.key_wanted), (None, false));
    }
}
