//! A session of a host, and where its client is: for drivers whose paths differ by the client's address alone.
//!
//! A client may come from another address than before: it moved, or something on the way renamed it. Each address is a path
//! to the session, which proves it before it sends much there (SPEC §16); what leads where is remembered here.

use core::net::SocketAddr;

use crate::crypto::Handshake;
use crate::limits::PATHS_MAX;
use crate::session::{PathId, Session};
use crate::storage::Memory;

/// Addresses remembered: of each path the one in use and the one before, and one more to look at.
const PLACES: usize = 2 * PATHS_MAX + 1;

/// A session, and the addresses its paths lead to.
pub struct Guest<M: Memory, H: Handshake> {
    /// The session.
    pub session: Session<M, H>,
    /// Where each of its paths leads, by the path's number.
    places: [SocketAddr; PLACES],
    /// [`Event::Closed`](crate::Event::Closed) was delivered.
    pub is_told: bool,
}

impl<M: Memory, H: Handshake> Guest<M, H> {
    /// A session that began with `PathId(0)`, which leads to `from`.
    #[must_use]
    pub const fn new(session: Session<M, H>, from: SocketAddr) -> Self {
        Self { session, places: [from; PLACES], is_told: false }
    }

    /// Where the client is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.place(self.session.path())
    }

    /// Where a path leads.
    #[must_use]
    pub fn place(&self, path: PathId) -> SocketAddr {
        self.places[usize::from(path.0) % PLACES]
    }

    /// The path that leads to `address`: one in use, or one that is not, which leads there from now on.
    pub fn path_to(&mut self, address: SocketAddr) -> PathId {
        let mut paths = (0..).map(PathId).zip(&self.places);
        let leads_there =
            |&(path, place): &(PathId, &SocketAddr)| *place == address && self.session.uses_path(path);
        if let Some((path, _)) = paths.clone().find(leads_there) {
            return path;
        }
        // A session uses fewer than there are.
        let free = paths.find(|&(path, _)| !self.session.uses_path(path)).map(|(path, _)| path);
        let path = free.unwrap_or_default();
        self.places[usize::from(path.0) % PLACES] = address;
        path
    }
}

impl<M: Memory, H: Handshake> core::fmt::Debug for Guest<M, H> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Guest")
            .field("session", &self.session)
            .field("address", &self.address())
            .field("is_told", &self.is_told)
            .finish_non_exhaustive()
    }
}
