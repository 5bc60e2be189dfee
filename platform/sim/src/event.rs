//! What happens next.

use core::cmp::Ordering;

use crate::link::LinkId;
use crate::packet::{NodeId, Packet};
use crate::time::Time;

/// What happens.
pub(crate) enum What {
    /// A packet enters its next link, or its host when none is left.
    Arrive(Packet),
    /// The head of a link's queue has been sent.
    Sent(LinkId),
    /// A host's wake, stale unless it is the one the host asked for last.
    Wake(NodeId),
}

/// What happens when; the counter decides between two at one time.
pub(crate) struct Event {
    pub(crate) at: Time,
    pub(crate) counter: u64,
    pub(crate) what: What,
}

impl Ord for Event {
    /// The heap's greatest is the earliest; of two at one time, the one added first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.counter).cmp(&(self.at, self.counter))
    }
}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Event {}
