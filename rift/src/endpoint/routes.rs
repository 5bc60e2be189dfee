//! Which session a connection id belongs to. Ordered by id: a look-up among the usual 320 takes nine steps at most.

use heapless::Vec;

use super::SessionIndex;

#[derive(Debug)]
pub(super) struct Routes<const N: usize>(Vec<(u32, SessionIndex), N>);

impl<const N: usize> Routes<N> {
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
