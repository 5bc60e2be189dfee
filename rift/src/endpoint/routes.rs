//! Which session a connection id belongs to. Ordered by id: a look-up takes nine steps at most.

use heapless::Vec;

use super::SessionIndex;
use crate::limits::{CONNECTIONS_MAX, SESSIONS_MAX};

#[derive(Debug)]
pub(super) struct Routes(Vec<(u32, SessionIndex), { SESSIONS_MAX * CONNECTIONS_MAX }>);

impl Routes {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn find(&self, connection: u32) -> Option<SessionIndex> {
        let at = self.0.binary_search_by_key(&connection, |&(known, _)| known).ok()?;
        self.0.get(at).map(|&(_, index)| index)
    }

    /// `false` when there is no room, or the id is taken.
    pub(super) fn insert(&mut self, connection: u32, index: SessionIndex) -> bool {
        match self.0.binary_search_by_key(&connection, |&(known, _)| known) {
            Ok(_) => false,
            Err(at) => self.0.insert(at, (connection, index)).is_ok(),
        }
    }

    /// Forgets those of a session that are not to be kept.
    pub(super) fn retain(&mut self, index: SessionIndex, mut keep: impl FnMut(u32) -> bool) {
        self.0.retain(|&(connection, known)| known != index || keep(connection));
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
