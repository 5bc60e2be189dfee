//! One session of a gateway: its conversation, and where its device is.

use core::net::SocketAddr;

use rift::limits::PATHS_MAX;
use rift::paths::SignalLine;
use rift::{Instant, NoKem, Noise, PathId, Session, SignalStorage};
use rift_x25519::NativeX25519;

pub(super) type Memory = SignalStorage;
/// The answering side of a handshake.
pub(super) type Responder = Noise<NoKem, NativeX25519>;

/// Addresses remembered: of each path the one in use and the one before, and one more to look at.
const PLACES: usize = 2 * PATHS_MAX + 1;

pub(super) struct Slot {
    pub(super) session: Session<Box<Memory>, Responder>,
    pub(super) line: SignalLine,
    places: [SocketAddr; PLACES],
    /// It stands among those with something to send.
    pub(super) is_busy: bool,
    /// When it wants to be called, as the timers know it.
    pub(super) timer: Option<Instant>,
    /// The device has shown that it is there.
    pub(super) is_live: bool,
}

impl Slot {
    pub(super) fn new(session: Session<Box<Memory>, Responder>, from: SocketAddr) -> Self {
        Self {
            session,
            line: SignalLine::new(),
            places: [from; PLACES],
            is_busy: false,
            timer: None,
            is_live: false,
        }
    }

    /// Where the device is.
    pub(super) fn address(&self) -> SocketAddr {
        self.place(self.session.path())
    }

    pub(super) fn place(&self, path: PathId) -> SocketAddr {
        self.places[usize::from(path.0) % PLACES]
    }

    /// The path that leads to `from`: one in use, or one that is not.
    pub(super) fn path_to(&mut self, from: SocketAddr) -> PathId {
        let mut paths = (0..).map(PathId).zip(&self.places);
        let leads_there =
            |&(path, place): &(PathId, &SocketAddr)| *place == from && self.session.uses_path(path);
        if let Some((path, _)) = paths.clone().find(leads_there) {
            return path;
        }
        // A session uses fewer than there are.
        let free = paths.find(|&(path, _)| !self.session.uses_path(path)).map(|(path, _)| path);
        let path = free.unwrap_or_default();
        self.places[usize::from(path.0) % PLACES] = from;
        path
    }
}

pub(super) fn memory() -> Box<Memory> {
    Box::new(Memory::new())
}
