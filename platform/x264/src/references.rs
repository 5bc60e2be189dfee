//! Which pictures the encoder can still refer to.
//!
//! A model of libx264's decoded picture buffer: a sliding window that a key picture empties. It knows numbers
//! only. Invariant: what it calls usable, libx264 holds and has not been told to forget.

use std::collections::VecDeque;

use rift::PictureId;

#[derive(Clone, Copy, Debug)]
struct Reference {
    id: PictureId,
    pts: i64,
    usable: bool,
}

/// The window of pictures kept, oldest first.
#[derive(Debug)]
pub(crate) struct References {
    kept: VecDeque<Reference>,
    capacity: usize,
}

impl References {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { kept: VecDeque::with_capacity(capacity), capacity }
    }

    /// A picture was encoded; a key picture forgets all before it.
    pub(crate) fn push(&mut self, id: PictureId, pts: i64, key: bool) {
        if key {
            self.kept.clear();
        }
        if self.kept.len() == self.capacity {
            self.kept.pop_front();
        }
        self.kept.push_back(Reference { id, pts, usable: true });
    }

    /// Marks `from` and everything encoded after it; returns the time of the first one marked.
    ///
    /// Everything kept after the first match was encoded later and may refer to it, whatever its number.
    pub(crate) fn invalidate(&mut self, from: PictureId) -> Option<i64> {
        let first = self.kept.iter().position(|reference| reference.id.0 >= from.0)?;
        for reference in self.kept.iter_mut().skip(first) {
            reference.usable = false;
        }
        self.kept.get(first).map(|reference| reference.pts)
    }

    /// The picture the next one will refer to; `None`: it can only be a key picture.
    pub(crate) fn newest(&self) -> Option<PictureId> {
        self.kept.iter().rev().find(|reference| reference.usable).map(|reference| reference.id)
    }

    /// Whether the next picture will refer to the one encoded last.
    pub(crate) fn newest_is_last(&self) -> bool {
        self.kept.back().is_some_and(|reference| reference.usable)
    }

    pub(crate) fn clear(&mut self) {
        self.kept.clear();
    }
}
