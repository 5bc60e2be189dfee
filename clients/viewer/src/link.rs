//! What the network's thread and the viewing thread hand each other.
//!
//! Pictures, shapes and orders go through bounded channels; of everything else only the newest counts, and it lies in
//! [`Latest`]. Whoever waits is woken by a descriptor: the viewing thread by an eventfd, the network by its waker.
//! Input takes a shortcut past both: it leaves on the viewing thread, unless the network's thread is busy just then.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use rift::{
    CursorPosition, InputEvent, Instant, Permissions, PictureId, SendError, Stats, StreamParameters,
    TakenMedia,
};
use rift_mio::Shortcut;
use rustix::event::{EventfdFlags, eventfd};

use crate::audio::{Controls, SoundReport};
use crate::capture::CaptureHistory;
use crate::handshake::ChosenHandshake;
use crate::session::{ClientMemory, ClientSession};
use crate::tiles::Wrong;

/// Orders carried out at once at most.
const GIVEN_MAX: usize = 64;

/// Changes of the way that are remembered.
const WAYS_MAX: usize = 256;

/// The viewing thread's way to the session.
pub type SessionShortcut = Shortcut<ClientMemory, ChosenHandshake>;

/// A picture on its way to the decoder, with the times known so far.
#[derive(Debug)]
pub struct Job {
    /// Which session it is of: names and references are a session's own.
    pub session: u32,
    /// Its number.
    pub id: PictureId,
    /// What the stream's pictures are.
    pub parameters: StreamParameters,
    /// Its bytes.
    pub media: TakenMedia<Vec<u8>>,
    /// When it was captured, encoded and sent, on this machine's clock; `None` while the host's clock is unknown.
    pub host_times: Option<[Instant; 3]>,
}

/// What the viewing thread wants of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Send this.
    Input(InputEvent),
    /// Release everything held.
    ReleaseInput,
    /// A picture could not be used.
    WantRepair,
    /// Tiles turned out to be wrong: [`Link::set_wrong`] says which.
    ReportTiles,
    /// End the session and the thread.
    Quit,
}

impl Order {
    /// Does it now. `false`: the session has no room for this input yet. [`Order::Quit`] is not the session's.
    pub(crate) fn carry_out(self, link: &Link, session: &mut ClientSession, now: Instant) -> bool {
        match self {
            Self::Input(event) => {
                session.send_input(now, event) != Err(SendError::Full) || !has_full_backlog(session)
            }
            Self::ReleaseInput => {
                // What does not fit is released by the host when the session ends, or by the next order.
                let _ = session.release_input(now);
                true
            }
            Self::WantRepair => {
                session.want_repair(now);
                true
            }
            Self::ReportTiles => {
                if let Some(Wrong { after, report }) = link.take_wrong() {
                    // Without a session there is nothing to mend.
                    let _ = session.report_tiles(after, &report);
                }
                true
            }
            Self::Quit => true,
        }
    }
}

/// Whether input waits for the host's acknowledgement, rather than being impossible.
fn has_full_backlog(session: &ClientSession) -> bool {
    session.input_backlog() >= rift::limits::INPUT_UNACKNOWLEDGED_MAX
}

/// How the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The host has not answered yet.
    Connecting,
    /// Pictures flow, or would if there were any.
    Live,
    /// The session was lost; the next attempt is then.
    Lost(Instant),
    /// It is over; the thread's result says why.
    Over,
}

/// Counters of all sessions of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Pictures delivered whole.
    pub pictures_delivered: u64,
    /// Of these, pictures that parity restored a part of.
    pub pictures_repaired: u64,
    /// Pictures given up.
    pub pictures_lost: u64,
    /// Datagrams that opened.
    pub packets_received: u64,
    /// Datagrams of the host that never came.
    pub packets_missing: u64,
    /// Bytes of UDP payload received.
    pub bytes_received: u64,
}

impl Traffic {
    /// What these statistics count.
    #[must_use]
    pub const fn of(stats: &Stats) -> Self {
        Self {
            pictures_delivered: stats.pictures_delivered,
            pictures_repaired: stats.pictures_repaired,
            pictures_lost: stats.pictures_lost,
            packets_received: stats.packets_received,
            packets_missing: stats.packets_missing,
            bytes_received: stats.bytes_received,
        }
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            pictures_delivered: self.pictures_delivered + other.pictures_delivered,
            pictures_repaired: self.pictures_repaired + other.pictures_repaired,
            pictures_lost: self.pictures_lost + other.pictures_lost,
            packets_received: self.packets_received + other.packets_received,
            packets_missing: self.packets_missing + other.packets_missing,
            bytes_received: self.bytes_received + other.bytes_received,
        }
    }

    /// Datagrams of 1000 that never came.
    #[must_use]
    pub fn loss_permille(&self) -> f64 {
        let all = self.packets_received + self.packets_missing;
        if all == 0 { 0.0 } else { self.packets_missing as f64 * 1000.0 / all as f64 }
    }
}

/// A way to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// Whether a relay carries the session.
    pub is_relayed: bool,
    /// Whether it goes to that relay over TCP, because UDP does not pass.
    pub is_streamed: bool,
    /// Where the host is, or the relay.
    pub address: SocketAddr,
}

impl Way {
    /// What it is, in a word.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match (self.is_relayed, self.is_streamed) {
            (false, _) => "direct",
            (true, false) => "relay",
            (true, true) => "relay over TCP",
        }
    }
}

/// The newest of everything of which only the newest counts.
#[derive(Clone, Copy, Debug)]
pub struct Latest {
    /// How the connection is.
    pub status: Status,
    /// The host's cursor, if it was told of since the viewing thread last looked, and the session that told.
    pub cursor: Option<(u32, CursorPosition)>,
    /// What the host says its pictures are.
    pub parameters: Option<StreamParameters>,
    /// What the host says of its capture device.
    pub capture: CaptureHistory,
    /// What was heard of the host.
    pub sound: SoundReport,
    /// What the host lets this client do; `None` before it has said so.
    pub permissions: Option<Permissions>,
    /// Statistics of the current session, or of the last.
    pub stats: Stats,
    /// Counters of all sessions.
    pub traffic: Traffic,
    /// Bits per second received of late.
    pub bitrate_bps: u64,
    /// When the host was last found to have said something.
    pub heard_at: Instant,
    /// Which way the session goes.
    pub way: Option<Way>,
    /// Sessions that followed the first.
    pub reconnects: u32,
    /// When the first session began.
    pub live_since: Option<Instant>,
}

/// Both threads' common ground.
#[derive(Debug)]
pub struct Link {
    latest: Mutex<Latest>,
    /// The way to the session; `None` while there is none.
    shortcut: Mutex<Option<SessionShortcut>>,
    /// Every way that was gone, and since when.
    ways: Mutex<Vec<(Instant, Way)>>,
    /// How loud the host is to be heard.
    sound: Controls,
    /// Tiles that turned out to be wrong and were not reported yet.
    wrong: Mutex<Option<Wrong>>,
    /// Orders given and not carried out yet: none may overtake them.
    orders_open: AtomicUsize,
    wake: OwnedFd,
}

impl Link {
    /// Nothing has happened yet.
    ///
    /// # Errors
    /// The operating system gave no eventfd.
    pub fn new() -> std::io::Result<Arc<Self>> {
        let latest = Latest {
            status: Status::Connecting,
            cursor: None,
            parameters: None,
            capture: CaptureHistory::default(),
            sound: SoundReport::default(),
            permissions: None,
            stats: Stats::default(),
            traffic: Traffic::default(),
            bitrate_bps: 0,
            heard_at: Instant::ZERO,
            way: None,
            reconnects: 0,
            live_since: None,
        };
        Ok(Arc::new(Self {
            latest: Mutex::new(latest),
            shortcut: Mutex::new(None),
            ways: Mutex::new(Vec::new()),
            sound: Controls::default(),
            wrong: Mutex::new(None),
            orders_open: AtomicUsize::new(0),
            wake: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
        }))
    }

    /// The newest of everything; to be let go of soon.
    pub fn latest(&self) -> MutexGuard<'_, Latest> {
        // Whoever panicked has left plain values behind, none of them half written.
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, unless another thread has it just now: for who must not wait for one that goes after it.
    pub(crate) fn latest_now(&self) -> Option<MutexGuard<'_, Latest>> {
        match self.latest.try_lock() {
            Ok(latest) => Some(latest),
            Err(TryLockError::Poisoned(latest)) => Some(latest.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// How loud the host is to be heard.
    #[must_use]
    pub const fn sound(&self) -> &Controls {
        &self.sound
    }

    /// The session goes this way from now on. Whether that is news.
    pub fn enter_way(&self, now: Instant, way: Way) -> bool {
        let is_news = self.latest().way.replace(way) != Some(way);
        let mut ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
        if is_news && ways.len() < WAYS_MAX {
            ways.push((now, way));
        }
        is_news
    }

    /// The ways that were gone, the first ones of very many, and since when.
    #[must_use]
    pub fn ways(&self) -> Vec<(Instant, Way)> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tiles that are to be reported; the newest report counts.
    pub fn set_wrong(&self, wrong: Wrong) {
        *self.wrong.lock().unwrap_or_else(PoisonError::into_inner) = Some(wrong);
    }

    fn take_wrong(&self) -> Option<Wrong> {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Wakes the viewing thread.
    pub fn wake_view(&self) {
        // It fails only when the counter is full, and then it is readable already.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    /// What the viewing thread waits on.
    #[must_use]
    pub fn view_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// The viewing thread is awake: it waits again from here on.
    pub fn clear_view(&self) {
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.wake, &mut count);
    }

    /// From now on this is the way to the session.
    pub fn set_shortcut(&self, shortcut: Option<SessionShortcut>) {
        *self.shortcut() = shortcut;
    }

    /// An order was carried out, or will never be.
    pub fn order_done(&self) {
        self.orders_open.fetch_sub(1, Ordering::Release);
    }

    fn shortcut(&self) -> MutexGuard<'_, Option<SessionShortcut>> {
        self.shortcut.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the host has taken all input so far; `false` too while the network's thread is busy or has no session.
    #[must_use]
    pub fn is_input_taken(&self) -> bool {
        let is_all = |session: &mut ClientSession, _| session.input_backlog() == 0;
        self.orders_open.load(Ordering::Acquire) == 0
            && self.shortcut().as_ref().and_then(|shortcut| shortcut.try_command(is_all)).unwrap_or(false)
    }

    /// Wakes the network's thread, if it has a session.
    pub(crate) fn wake_network(&self) {
        if let Some(shortcut) = &*self.shortcut() {
            shortcut.wake();
        }
    }

    /// Carries out the first of these orders on this thread, and sends what they cause. Returns how many; none while
    /// the network's thread is busy, or has others to carry out first.
    fn carry_out(&self, orders: &[Order]) -> usize {
        if self.orders_open.load(Ordering::Acquire) > 0 {
            return 0;
        }
        let act = |session: &mut ClientSession, now| {
            orders.iter().take_while(|order| order.carry_out(self, session, now)).count()
        };
        self.shortcut().as_ref().and_then(|shortcut| shortcut.try_command(act)).unwrap_or(0)
    }
}

/// The viewing thread's end of the orders.
///
/// When the network takes no more, input is dropped and everything is released as soon as it takes orders again, so
/// nothing stays pressed.
#[derive(Debug)]
pub struct Orders {
    sender: SyncSender<Order>,
    link: Arc<Link>,
    /// Given and not announced.
    given: Vec<Order>,
    overflowed: bool,
}

impl Orders {
    /// Orders go to the receiver of `sender`, unless they take the shortcut of `link`.
    #[must_use]
    pub fn new(sender: SyncSender<Order>, link: Arc<Link>) -> Self {
        Self { sender, link, given: Vec::with_capacity(GIVEN_MAX), overflowed: false }
    }

    /// Gives an order; [`Self::announce`] makes it known.
    pub fn give(&mut self, order: Order) {
        if self.given.len() == GIVEN_MAX {
            self.announce();
        }
        self.given.push(order);
    }

    /// Carries out what was given, or has the network do it.
    pub fn announce(&mut self) {
        if self.given.is_empty() {
            return;
        }
        let done = if self.overflowed { 0 } else { self.link.carry_out(&self.given) };
        if done < self.given.len() {
            for at in done..self.given.len() {
                self.put(self.given[at]);
            }
            self.link.wake_network();
        }
        self.given.clear();
    }

    fn put(&mut self, order: Order) {
        if self.overflowed && !self.try_send(Order::ReleaseInput) {
            return;
        }
        self.overflowed = !self.try_send(order);
    }

    /// Whether there was room. Nobody at the other end is room enough.
    fn try_send(&self, order: Order) -> bool {
        self.link.orders_open.fetch_add(1, Ordering::AcqRel);
        match self.sender.try_send(order) {
            Ok(()) => true,
            Err(error) => {
                self.link.order_done();
                matches!(error, TrySendError::Disconnected(_))
            }
        }
    }

    /// Ends the network's thread, after everything ordered so far.
    pub fn quit(&mut self) {
        self.announce();
        // Blocks only while the thread works off a full channel; an error means that it has ended.
        self.link.orders_open.fetch_add(1, Ordering::AcqRel);
        self.link.wake_network();
        let _ = self.sender.send(Order::Quit);
        self.link.wake_network();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;

    #[test]
    fn overflow_ends_in_a_release() {
        let (sender, receiver) = sync_channel(2);
        let mut orders = Orders::new(sender, Link::new().expect("an eventfd"));
        let wheel = |dy| Order::Input(InputEvent::Wheel { dx: 0, dy });
        (0..5).for_each(|dy| orders.give(wheel(dy)));
        orders.announce();
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [wheel(0), wheel(1)]);
        orders.give(wheel(9));
        orders.announce();
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [Order::ReleaseInput, wheel(9)]);
    }

    #[test]
    fn loss_is_of_what_was_sent() {
        let traffic = Traffic { packets_received: 90, packets_missing: 10, ..Traffic::default() };
        assert!((traffic.loss_permille() - 100.0).abs() < 1e-9);
        assert!(Traffic::default().loss_permille().abs() < 1e-9);
    }
}
