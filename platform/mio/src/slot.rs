//! One session of a host, and where its client is.

use core::net::SocketAddr;

use rift::limits::PATHS_MAX;
use rift::{Handshake, Instant, Memory, PathId, Session};

use crate::socket::Destination;

/// Addresses remembered of a session: of each path the one in use and the one before, and one more to look at.
const PLACES: usize = 2 * PATHS_MAX + 1;

/// A session, and the addresses its paths lead to.
pub(crate) struct Slot<M: Memory, H: Handshake> {
    pub(crate) session: Session<M, H>,
    /// Where each of its paths leads, by the path's number for the session.
    places: [Destination; PLACES],
    /// [`Event::Closed`] was delivered.
    pub(crate) is_told: bool,
}

impl<M: Memory, H: Handshake> Slot<M, H> {
    pub(crate) const fn new(session: Session<M, H>, destination: Destination) -> Self {
        Self { session, places: [destination; PLACES], is_told: false }
    }

    /// Where the client is.
    pub(crate) fn destination(&self) -> Destination {
        self.places[usize::from(self.session.path().0) % PLACES]
    }

    pub(crate) fn place(&self, path: PathId) -> Destination {
        self.places[usize::from(path.0) % PLACES]
    }

    /// Datagrams of `len` bytes are too long for the interface that leads to `to`.
    pub(crate) fn refuse_length(&mut self, now: Instant, to: SocketAddr, len: u16) {
        for (path, place) in (0..).map(PathId).zip(&self.places) {
            if place.to == to && self.session.uses_path(path) {
                self.session.handle_too_long(now, path, len);
            }
        }
    }

    /// The path that leads to `destination`: one in use, or one that is not.
    pub(crate) fn path_to(&mut self, destination: Destination) -> PathId {
        let mut paths = (0..).map(PathId).zip(&self.places);
        let leads_there = |&(path, place): &(PathId, &Destination)| {
            place.to == destination.to && self.session.uses_path(path)
        };
        if let Some((path, _)) = paths.clone().find(leads_there) {
            return path;
        }
        // A session uses fewer than there are.
        let free = paths.find(|&(path, _)| !self.session.uses_path(path)).map(|(path, _)| path);
        let path = free.unwrap_or_default();
        self.places[usize::from(path.0) % PLACES] = destination;
        path
    }
}
