//! One picture's place: its shards as they come, until it is whole.

use core::ops::Range;

use super::asking::Asking;
use crate::channel::video::PictureId;
use crate::fec::{self, Layout, MulAdd};
use crate::limits::{SHARDS_MAX, WINDOW_PARITY_MAX};
use crate::time::Instant;
use crate::wire::picture::PictureHead;

const WORDS: usize = SHARDS_MAX / 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Free,
    Assembling,
    /// Whole, and not yet delivered.
    Whole,
    /// Delivered: lent to the application, which may not have been told yet.
    Lent,
    /// Given back by the application, and still needed if later parity covers it; gives way to new pictures.
    Kept,
}

/// Where one picture is reassembled.
#[derive(Debug)]
pub struct PictureSlot<B> {
    pub(super) buffer: Option<B>,
    pub(super) state: State,
    pub(super) id: PictureId,
    pub(super) layout: Option<Layout>,
    pub(super) received: [u64; WORDS],
    pub(super) count: u16,
    pub(super) first_at: Instant,
    pub(super) last_at: Instant,
    pub(super) sent_after_us: u32,
    pub(super) asking: Asking,
    pub(super) repaired: bool,
    pub(super) announced: bool,
    pub(super) reference: Option<PictureId>,
    pub(super) payload: (u32, u32),
    /// What is kept of it once it was shown: parity of later pictures covers it.
    pub(super) is_kept: bool,
    /// Parity shards, as bits, in which pictures before this one are still contained, and which those are.
    pub(super) pending: u8,
    /// Parity became ordinary since completing it was tried.
    pub(super) has_more: bool,
    pub(super) owed: [u8; WINDOW_PARITY_MAX],
}

impl<B> PictureSlot<B> {
    /// A slot without a buffer.
    pub const EMPTY: Self = Self {
        buffer: None,
        state: State::Free,
        id: PictureId(0),
        layout: None,
        received: [0; WORDS],
        count: 0,
        first_at: Instant::ZERO,
        last_at: Instant::ZERO,
        sent_after_us: 0,
        asking: Asking::NOTHING,
        repaired: false,
        announced: false,
        reference: None,
        payload: (0, 0),
        is_kept: false,
        pending: 0,
        has_more: false,
        owed: [0; WINDOW_PARITY_MAX],
    };

    pub(crate) const fn lend(&mut self, buffer: B) -> Option<B> {
        self.buffer.replace(buffer)
    }

    pub(super) fn has(&self, shard: usize) -> bool {
        self.received.get(shard / 64).is_some_and(|word| word >> (shard % 64) & 1 == 1)
    }

    /// Data shards that are missing, and none once it is whole.
    pub(super) fn missing(&self) -> impl Iterator<Item = usize> + '_ {
        let shards =
            self.layout.filter(|_| self.state == State::Assembling).map_or(0, |layout| layout.data_shards());
        (0..shards).filter(|&shard| !self.has(shard))
    }

    pub(super) fn payload_range(&self) -> Range<usize> {
        self.payload.0 as usize..self.payload.1 as usize
    }
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> PictureSlot<B> {
    pub(super) fn begin(&mut self, id: PictureId, layout: Layout, now: Instant) {
        self.state = State::Assembling;
        self.asking = Asking::begin(&layout);
        self.id = id;
        self.layout = Some(layout);
        self.received = [0; WORDS];
        self.count = 0;
        self.first_at = now;
        self.sent_after_us = 0;
        self.repaired = false;
        self.announced = false;
        self.is_kept = false;
        self.pending = 0;
        self.has_more = false;
    }

    /// Stores a shard; `false` when it was there already.
    pub(super) fn store(&mut self, layout: &Layout, shard: usize, bytes: &[u8], now: Instant) -> bool {
        if self.has(shard) {
            return false;
        }
        let Some(buffer) = self.buffer.as_mut() else { return false };
        let at = shard * layout.shard_len();
        let Some(place) = buffer.as_mut().get_mut(at..at + layout.shard_len()) else { return false };
        let (data, padding) = place.split_at_mut(bytes.len());
        data.copy_from_slice(bytes);
        padding.fill(0);
        if shard == 0
            && let Some(sent) = data.get_mut(PictureHead::SENT_AT..PictureHead::SENT_AT + 4)
        {
            // Parity was computed with zeros here (SPEC §11.3).
            self.sent_after_us = sent.iter().fold(0, |value, &byte| value << 8 | u32::from(byte));
            sent.fill(0);
        }
        self.received[shard / 64] |= 1 << (shard % 64);
        self.count += 1;
        self.asking.note_there(layout, shard);
        if let Some(parity) =
            shard.checked_sub(layout.data_shards()).filter(|&parity| parity < WINDOW_PARITY_MAX)
        {
            // It took the place of the one that covered other pictures as well.
            self.pending &= !(1 << parity);
        }
        self.last_at = now;
        self.asking.on_shard(layout, shard, self.count, now);
        true
    }

    /// A shard that lies in its place counts as received.
    pub(super) fn note_restored(&mut self, shard: usize) {
        if let Some(word) = self.received.get_mut(shard / 64).filter(|word| **word >> (shard % 64) & 1 == 0) {
            *word |= 1 << (shard % 64);
            self.count += 1;
            if let Some(layout) = &self.layout {
                self.asking.note_there(layout, shard);
            }
        }
    }

    /// Its data at full length, padding included.
    pub(super) fn data(&self) -> Option<&[u8]> {
        let layout = self.layout?;
        self.buffer.as_ref()?.as_ref().get(..layout.data_shards() * layout.shard_len())
    }

    /// The place of a shard.
    pub(super) fn place_mut(&mut self, shard: usize) -> Option<&mut [u8]> {
        let len = self.layout?.shard_len();
        self.buffer.as_mut()?.as_mut().get_mut(shard * len..(shard + 1) * len)
    }

    /// Whether as many shards are there as there are of data.
    pub(super) fn is_enough(&self, layout: &Layout) -> bool {
        usize::from(self.count) >= layout.data_shards()
    }

    /// Restores what is missing if enough is there, and reads the head. `None` while shards are missing;
    /// `Some(false)` when the whole turns out to be no picture.
    pub(super) fn complete(&mut self, kernel: &impl MulAdd, layout: &Layout) -> Option<bool> {
        if !self.is_enough(layout) {
            return None;
        }
        let received = self.received;
        let has = |shard: usize| received.get(shard / 64).is_some_and(|word| word >> (shard % 64) & 1 == 1);
        let missing = (0..layout.data_shards()).any(|shard| !has(shard));
        let buffer = self.buffer.as_mut()?.as_mut();
        if missing {
            if !layout.is_recoverable(&has) || fec::recover_with(kernel, layout, buffer, &has).is_err() {
                return None;
            }
            self.repaired = true;
        }
        let end = layout.data_shards() * layout.shard_len();
        let parsed = buffer.get(..end).and_then(PictureHead::parse);
        let Some((head, start)) = parsed.filter(|(head, _)| head.total_len as usize <= end) else {
            return Some(false);
        };
        self.reference = head.reference(self.id);
        // A distance that reaches before the first picture is no reference anybody could have.
        if head.reference_distance != 0 && self.reference.is_none() {
            return Some(false);
        }
        self.payload = (start as u32, head.total_len);
        Some(true)
    }
}
