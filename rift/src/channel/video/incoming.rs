//! The client's half of video: pictures reassembled where they are lent, in order, whole or not at all
//! (SPEC §11.4–§11.6).
//!
//! A picture is delivered when it is whole and the picture it refers to was delivered. It is given up once what is
//! missing can only be lost: something newer has come, and the time that reordering takes here has passed.

mod asking;
mod lending;
mod slot;
mod window;
#[cfg(test)]
mod window_tests;

pub(crate) use lending::{announce, lent, release, swap};
pub use slot::PictureSlot;
pub(crate) use window::window_of;

use core::ops::Range;

use slot::State;

use super::PictureId;
use crate::fec::{Layout, MulAdd};
use crate::limits::{DELIVERED_HISTORY, SHARDS_MAX};
use crate::time::Instant;
use crate::wire::picture::PictureHead;
use crate::wire::shard::ShardHead;
use crate::wire::video::Repair;

/// How long what is missing is waited for, in µs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Before its picture is given up.
    pub(crate) reorder_us: u64,
    /// Before more parity is asked for.
    pub(crate) late_us: u64,
    /// For an answer; `None` = there is no time or room for one, and nothing is asked for.
    pub(crate) answer_us: Option<u64>,
    /// From one picture to the next.
    pub(crate) period_us: u64,
}

/// A whole picture, lent where it was reassembled.
#[derive(Clone, Debug)]
pub struct Media<'m> {
    /// What it is. `sent_after_us` is filled in if the shard that tells it arrived.
    pub head: PictureHead,
    /// The bytes of its rectangles, in order.
    pub payload: &'m [u8],
    /// When its first shard arrived.
    pub first_at: Instant,
    /// When the shard that made it whole arrived.
    pub whole_at: Instant,
    /// Whether parity restored a part of it.
    pub repaired: bool,
}

/// A whole picture, traded for an empty buffer.
#[derive(Clone, Debug)]
pub struct TakenMedia<B> {
    /// What it is.
    pub head: PictureHead,
    /// The buffer it was reassembled in.
    pub buffer: B,
    /// Where in it the bytes of its rectangles lie.
    pub payload: Range<usize>,
    /// When its first shard arrived.
    pub first_at: Instant,
    /// When the shard that made it whole arrived.
    pub whole_at: Instant,
    /// Whether parity restored a part of it.
    pub repaired: bool,
}

/// What came of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It was stored, or it was a duplicate or too late to matter.
    Fine,
    /// There is no free slot, or the picture does not fit a buffer.
    NoRoom,
    /// It contradicts the shards before it.
    Malformed,
}

#[derive(Clone, Debug)]
pub(crate) struct VideoReceiver {
    /// The newest picture delivered, and which of the 64 up to it were.
    delivered: PictureId,
    history: u64,
    /// The newest picture of which anything was seen.
    seen: PictureId,
    /// When the newest position message told of a picture nothing was seen of.
    position: Option<(PictureId, Instant)>,
    repair_since: Option<Instant>,
    repair_sent: Option<Instant>,
    given_up: Option<PictureId>,
    /// The longest time lately from a shard to the next of its picture, in µs.
    space_us: u64,
    /// Pictures before its own that the newest parity covers.
    reach: u8,
    pub(crate) lost: u64,
    pub(crate) delivered_count: u64,
    pub(crate) repaired_count: u64,
}

impl VideoReceiver {
    pub(crate) const fn new() -> Self {
        Self {
            delivered: PictureId(0),
            history: 0,
            seen: PictureId(0),
            position: None,
            repair_since: None,
            repair_sent: None,
            given_up: None,
            space_us: asking::SPACE_US,
            reach: 0,
            lost: 0,
            delivered_count: 0,
            repaired_count: 0,
        }
    }

    /// The stream begins with picture `first`: numbers on the wire are 16 bits and expand around it.
    pub(crate) fn begin(&mut self, first: PictureId) {
        if self.seen.0 == 0 {
            self.seen = PictureId(first.0.saturating_sub(1));
        }
    }

    /// Takes a shard that arrived at `now`.
    pub(crate) fn on_shard<B: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        kernel: &impl MulAdd,
        slots: &mut [PictureSlot<B>],
        head: &ShardHead,
        bytes: &[u8],
        now: Instant,
    ) -> Taken {
        // Parity of pictures that are whole without it tells what comes, too.
        if head.shard == head.data_shards {
            self.reach = 0;
        }
        let (index, layout) = match self.place(slots, head, now) {
            Ok(Some(place)) => place,
            Ok(None) => return Taken::Fine,
            Err(taken) => return taken,
        };
        let slot = &mut slots[index];
        if slot.state != State::Assembling || !slot.store(&layout, usize::from(head.shard), bytes, now) {
            return Taken::Fine;
        }
        let taken = if slots[index].is_enough(&layout) || slots.iter().any(|slot| slot.has_more) {
            self.complete(kernel, slots, index, now)
        } else {
            Taken::Fine
        };
        self.solve(kernel, slots, now);
        taken
    }

    /// Where the picture of a shard is reassembled, and how it is cut; `None` when it is of no use any more.
    fn place<B: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        slots: &mut [PictureSlot<B>],
        head: &ShardHead,
        now: Instant,
    ) -> Result<Option<(usize, Layout)>, Taken> {
        let ahead = head.picture.wrapping_sub(self.seen.0 as u16) as i16;
        let id = self.seen.0.checked_add_signed(i32::from(ahead)).map(PictureId).ok_or(Taken::Malformed)?;
        if id <= self.delivered || id.0 == 0 {
            return Ok(None);
        }
        let shard_len = usize::from(head.shard_len);
        let data_len = usize::from(head.data_shards) * shard_len;
        let layout =
            Layout::new(data_len, shard_len, usize::from(head.parity_shards)).ok_or(Taken::Malformed)?;
        if layout.shards() > SHARDS_MAX || layout.parity_shards() != usize::from(head.parity_shards) {
            return Err(Taken::Malformed);
        }
        let index = match slots.iter().position(|slot| slot.state != State::Free && slot.id == id) {
            Some(index) => index,
            // Parity that does not fit beside the data is done without.
            None => {
                let index = self.free_slot(slots, data_len, id).ok_or(Taken::NoRoom)?;
                slots[index].begin(id, layout, now);
                index
            }
        };
        self.seen = self.seen.max(id);
        self.note_space(&slots[index], usize::from(head.shard), now);
        let slot = &mut slots[index];
        let layout = slot.layout.and_then(|known| known.joined(&layout)).ok_or(Taken::Malformed)?;
        slot.layout = Some(layout);
        if slot.count == 0 && slot.pending == 0 {
            slot.asking.learn(&layout);
        }
        Ok(Some((index, layout)))
    }

    /// Reads the picture if it is whole, and what it lets others be restored of.
    fn complete<B: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        kernel: &impl MulAdd,
        slots: &mut [PictureSlot<B>],
        index: usize,
        now: Instant,
    ) -> Taken {
        let (mut taken, mut next) = (Taken::Fine, Some(index));
        while let Some(index) = next {
            let slot = &mut slots[index];
            slot.has_more = false;
            match slot.layout.and_then(|layout| slot.complete(kernel, &layout)) {
                Some(true) => {
                    (slot.state, slot.last_at) = (State::Whole, now);
                    window::settle(kernel, slots, index);
                }
                Some(false) => (slot.state, taken) = (State::Free, Taken::Malformed),
                None => {}
            }
            next = slots.iter().position(|slot| slot.has_more && slot.state == State::Assembling);
        }
        taken
    }

    /// An empty slot for a picture of `len` bytes. When all are busy the newest undelivered picture after `id`
    /// gives way, because those before it are what it needs.
    fn free_slot<B: AsRef<[u8]>>(
        &self,
        slots: &mut [PictureSlot<B>],
        len: usize,
        id: PictureId,
    ) -> Option<usize> {
        let fits =
            |slot: &PictureSlot<B>| slot.buffer.as_ref().is_some_and(|buffer| buffer.as_ref().len() >= len);
        if let Some(free) = slots.iter().position(|slot| slot.state == State::Free && fits(slot)) {
            return Some(free);
        }
        let kept = (0..slots.len()).filter(|&index| slots[index].state == State::Kept && fits(&slots[index]));
        if let Some(oldest) = kept.min_by_key(|&index| slots[index].id) {
            return Some(oldest);
        }
        let busy = |slot: &PictureSlot<B>| matches!(slot.state, State::Assembling | State::Whole);
        (0..slots.len())
            .filter(|&index| busy(&slots[index]) && slots[index].id > id && fits(&slots[index]))
            .max_by_key(|&index| slots[index].id)
    }

    /// The sender says that picture `id` has left whole.
    pub(crate) fn on_position(&mut self, id: PictureId, now: Instant) {
        if id == self.delivered && self.history != 0 {
            // Nothing is missing after all.
            self.repair_since = None;
        }
        // Far ahead is impossible: a picture number is never skipped by more than the sender's queue.
        if id > self.delivered && self.position.is_none_or(|(known, _)| known < id) {
            self.position = Some((id, now));
        }
    }

    /// Delivers or gives up what can be, at `now`. Returns the slot whose picture is delivered; call until `None`.
    pub(crate) fn advance<B>(
        &mut self,
        slots: &mut [PictureSlot<B>],
        now: Instant,
        patience: &Patience,
    ) -> Option<PictureId> {
        loop {
            if let Some(index) = self.deliverable(slots) {
                let slot = &mut slots[index];
                slot.state = State::Lent;
                let id = slot.id;
                self.on_delivered(slots, id);
                return Some(id);
            }
            let (index, id, due) = self.hopeless(slots, patience)?;
            if due > now {
                return None;
            }
            if let Some(slot) = index.and_then(|index| slots.get_mut(index)) {
                slot.state = State::Free;
            }
            self.give_up(id, now);
        }
    }

    /// When [`Self::advance`] should be called again.
    pub(crate) fn due<B>(&self, slots: &[PictureSlot<B>], patience: &Patience) -> Option<Instant> {
        self.hopeless(slots, patience).map(|(_, _, due)| due)
    }

    /// The oldest whole picture whose reference was delivered.
    fn deliverable<B>(&self, slots: &[PictureSlot<B>]) -> Option<usize> {
        (0..slots.len())
            .filter(|&index| slots[index].state == State::Whole && self.is_decodable(slots[index].reference))
            .min_by_key(|&index| slots[index].id)
    }

    fn is_decodable(&self, reference: Option<PictureId>) -> bool {
        let Some(reference) = reference else { return true };
        match self.delivered.0.checked_sub(reference.0) {
            Some(back) if back < DELIVERED_HISTORY => self.history >> back & 1 == 1,
            _ => false,
        }
    }

    fn on_delivered<B>(&mut self, slots: &mut [PictureSlot<B>], id: PictureId) {
        let step = id.0 - self.delivered.0;
        self.history = self.history.checked_shl(step).unwrap_or(0) | 1;
        self.delivered = id;
        self.delivered_count += 1;
        self.repair_since = None;
        self.repair_sent = None;
        for slot in slots {
            let passed = slot.id <= id && matches!(slot.state, State::Assembling | State::Whole);
            if passed {
                slot.state = State::Free;
                self.lost += 1;
            }
            if slot.id == id {
                slot.is_kept = self.reach > 0;
                self.repaired_count += u64::from(slot.repaired);
            }
        }
        if self.position.is_some_and(|(position, _)| position <= id) {
            self.position = None;
        }
    }

    /// The next picture to give up: its slot if it has one, its number, and when.
    fn hopeless<B>(
        &self,
        slots: &[PictureSlot<B>],
        patience: &Patience,
    ) -> Option<(Option<usize>, PictureId, Instant)> {
        let patience_us = patience.reorder_us;
        let oldest = (0..slots.len())
            .filter(|&index| matches!(slots[index].state, State::Assembling | State::Whole))
            .min_by_key(|&index| slots[index].id);
        let Some(index) = oldest else {
            // Nothing is under way, and yet the sender says something newer has left.
            let (id, at) = self.position?;
            return Some((None, id, at.plus_micros(patience_us)));
        };
        let slot = &slots[index];
        if slot.state == State::Whole {
            // Its reference was never seen or was given up.
            let reference = slot.reference.unwrap_or(slot.id);
            let is_gone = self.given_up.is_some_and(|gone| reference <= gone) || reference <= self.delivered;
            let patience = if is_gone { 0 } else { patience_us };
            return Some((Some(index), slot.id, slot.last_at.plus_micros(patience)));
        }
        let evidence = self.overtaken_at(slots, slot)?;
        let due = evidence.max(slot.last_at).plus_micros(patience_us);
        let due = due.max(self.window_due(slots, slot, evidence, patience));
        Some((Some(index), slot.id, slot.asking.answered_by(patience).map_or(due, |answer| answer.max(due))))
    }

    /// When something came that is newer than this picture, or said that it has left whole.
    fn overtaken_at<B>(&self, slots: &[PictureSlot<B>], slot: &PictureSlot<B>) -> Option<Instant> {
        let overtaken = slots
            .iter()
            .filter(|other| other.id > slot.id && matches!(other.state, State::Assembling | State::Whole))
            .map(|other| other.first_at)
            .min();
        let position = self.position.filter(|(id, _)| *id >= slot.id).map(|(_, at)| at);
        match (overtaken, position) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    fn give_up(&mut self, id: PictureId, now: Instant) {
        self.lost += 1;
        self.given_up = self.given_up.max(Some(id));
        self.seen = self.seen.max(id);
        if self.position.is_some_and(|(position, _)| position <= id) {
            self.position = None;
        }
        self.repair_since.get_or_insert(now);
    }

    /// When a repair request should leave: at once, then every `repeat_us` until a picture is delivered.
    pub(crate) fn repair_due(&self, repeat_us: u64) -> Option<Instant> {
        self.repair_since?;
        Some(self.repair_sent.map_or(Instant::ZERO, |sent| sent.plus_micros(repeat_us)))
    }

    /// The request, for a packet that leaves now. What is still being reassembled may be the answer to an earlier
    /// one, so it does not count as seen; nothing may be referred to that the application could not use.
    pub(crate) fn repair(&self) -> Repair {
        let after = if self.history == 0 { PictureId(0) } else { self.delivered };
        Repair { after, seen: self.given_up.unwrap_or_default().max(self.delivered) }
    }

    pub(crate) const fn repair_sent(&mut self, now: Instant) {
        self.repair_sent = Some(now);
    }

    /// What is under way is lost: asks for a picture that goes on from the last one that came.
    pub(crate) fn go_on_from_here(&mut self, now: Instant) {
        if self.delivered_count > 0 {
            self.repair_since.get_or_insert(now);
            self.repair_sent = Some(now);
        }
    }

    /// The request, if one is to be made.
    pub(crate) fn repair_now(&self) -> Option<Repair> {
        self.repair_since.map(|_| self.repair())
    }

    /// Asks for a repair although nothing was lost: the application could not use a picture.
    pub(crate) fn want_repair(&mut self, now: Instant) {
        if self.delivered_count == 0 {
            return;
        }
        // Nothing that refers to what was delivered so far can be used.
        self.history = 0;
        self.repair_since.get_or_insert(now);
    }
}
