//! What happens next.

use core::cmp::Ordering;

use std::collections::VecDeque;

use crate::link::LinkId;
use crate::packet::{NodeId, Packet};
use crate::time::Time;

/// What happens.
pub(crate) enum What {
    /// A packet enters its next link, or its host when none is left.
    Arrive(Packet),
    /// The first packet on a link's [`Line`] arrives.
    Land(LinkId),
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

/// Packets on their way over a link, in the order of arrival. Only the first is in the heap, with the counter it was
/// given when it left, so the order of everything is as if all were, and the heap stays small.
#[derive(Debug, Default)]
pub(crate) struct Line(VecDeque<(Time, u64, Packet)>);

impl Line {
    /// Takes a packet that left as the `counter`th event, or gives it back when it overtakes another. `true` when it
    /// is the first.
    pub(crate) fn join(&mut self, at: Time, counter: u64, packet: Packet) -> Result<bool, Packet> {
        if self.0.back().is_some_and(|last| last.0 > at) {
            return Err(packet);
        }
        self.0.push_back((at, counter, packet));
        Ok(self.0.len() == 1)
    }

    /// The first packet, which arrives now, and when the next one does, with its counter.
    pub(crate) fn land(&mut self) -> (Option<Packet>, Option<(Time, u64)>) {
        let first = self.0.pop_front().map(|first| first.2);
        (first, self.0.front().map(|next| (next.0, next.1)))
    }
}
