//! More parity, asked for while there is time for it (SPEC §11.12).
//!
//! A picture that lacks more shards than its parity can restore is worth a round trip if it still comes before the
//! picture that would repair its loss, and if those that arrive meanwhile have room. Asking too early costs a few
//! shards, asking too late the picture: so what is missing counts as lost sooner here than where pictures are given up.

use super::{Patience, PictureSlot, State, VideoReceiver};
use crate::channel::video::outgoing::parity_most;
use crate::fec::{BLOCK_PARITY_MAX, Layout};
use crate::limits::SHARDS_MAX;
use crate::time::Instant;
use crate::wire::video::MoreParity;

/// A request is said twice, so long apart that one burst of losses seldom takes both, in µs.
const REPEAT_US: u64 = 2_000;
/// Shards of a picture leave a batch of 1 ms apart or more: when none has come for this long, the rest is lost, in µs.
const SILENCE_US: u64 = 3_000;
/// And for twice the longest space lately seen between two that follow each other, which at first is taken for this.
pub(super) const SPACE_US: u64 = 50_000;
/// What the wire's 8-bit m can say.
const PARITY_MAX: usize = 255;

/// What was asked for a picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking {
    /// Parity shards the picture came with.
    parity: u16,
    /// Shards asked for beyond them, and those of them that came.
    asked: u16,
    came: u16,
    /// The highest shard that came by itself.
    highest: u16,
    /// Since when it is clear that what still comes is not enough.
    short_at: Option<Instant>,
    /// When it was last asked, and whether that is to be said again.
    asked_at: Option<Instant>,
    repeats: bool,
    /// Nothing more comes by itself, and what was to be asked for then was.
    ended: bool,
}

impl Asking {
    pub(super) const NOTHING: Self = Self {
        parity: 0,
        asked: 0,
        came: 0,
        highest: 0,
        short_at: None,
        asked_at: None,
        repeats: false,
        ended: false,
    };

    /// A picture of which the first shard comes.
    pub(super) fn begin(layout: &Layout) -> Self {
        Self { parity: layout.parity_shards() as u16, ..Self::NOTHING }
    }

    /// The first shard of its own comes for a picture that was begun because another's parity covers it.
    pub(super) fn learn(&mut self, layout: &Layout) {
        let parity = layout.parity_shards() as u16;
        self.asked = (self.parity + self.asked).saturating_sub(parity);
        self.parity = parity;
    }

    /// A shard counts as received from now on.
    pub(super) fn note_there(&mut self, layout: &Layout, shard: usize) {
        self.came += u16::from(shard >= self.own(layout));
    }

    /// A shard came; `count` count as received now.
    pub(super) fn on_shard(&mut self, layout: &Layout, shard: usize, count: u16, now: Instant) {
        let own = self.own(layout);
        if shard >= own {
            return;
        }
        (self.highest, self.ended) = (self.highest.max(shard as u16), false);
        let coming = own - 1 - usize::from(self.highest);
        let is_short = usize::from(count - self.came) + coming < layout.data_shards();
        if !is_short {
            self.short_at = None;
        } else if self.asked == 0 {
            self.short_at.get_or_insert(now);
        }
    }

    /// Shards that it came with.
    fn own(&self, layout: &Layout) -> usize {
        layout.data_shards() + usize::from(self.parity)
    }

    /// Until when an answer may come.
    pub(super) fn answered_by(&self, patience: &Patience) -> Option<Instant> {
        Some(self.asked_at?.plus_micros(patience.answer_us?))
    }
}

impl<B> PictureSlot<B> {
    /// Shards that are lacking when `coming` more come by themselves.
    fn lacking(&self, layout: &Layout, coming: usize) -> usize {
        let outstanding = usize::from(self.asking.asked.saturating_sub(self.asking.came));
        let blocks = layout.blocks();
        if blocks == 1 {
            return layout.data_shards().saturating_sub(usize::from(self.count) + coming + outstanding);
        }
        // Which block the shards to come belong to decides; until the picture has ended nothing is asked for.
        let here = |block: usize| {
            let members = (0..layout.shards()).filter(|&shard| layout.block_of(shard) == block);
            members.filter(|&shard| self.has(shard)).count()
        };
        let worst = (0..blocks).map(|block| layout.needed(block).saturating_sub(here(block))).max();
        (worst.unwrap_or(0) * blocks).saturating_sub(outstanding)
    }
}

impl VideoReceiver {
    /// Notes how long after the shard before it a shard came. Where losses or another picture lie between, it says
    /// nothing.
    pub(super) fn note_space<B>(&mut self, slot: &PictureSlot<B>, shard: usize, now: Instant) {
        if shard > 0 && shard == usize::from(slot.asking.highest) + 1 {
            let space_us = now.micros_since(slot.last_at);
            self.space_us = space_us.max(self.space_us - self.space_us / 64);
        }
    }

    /// When nothing more of this picture comes by itself: something newer has come, or nothing for long.
    fn ended_at<B>(&self, slots: &[PictureSlot<B>], slot: &PictureSlot<B>) -> Instant {
        let silent_at = slot.last_at.plus_micros(SILENCE_US.max(2 * self.space_us));
        self.overtaken_at(slots, slot).map_or(silent_at, |at| at.max(slot.last_at).min(silent_at))
    }

    /// When to ask for this picture.
    fn ask_at<B>(
        &self,
        slots: &[PictureSlot<B>],
        slot: &PictureSlot<B>,
        patience: &Patience,
    ) -> Option<Instant> {
        if slot.state != State::Assembling {
            return None;
        }
        let asking = &slot.asking;
        let repeat = asking.asked_at.filter(|_| asking.repeats).map(|at| at.plus_micros(REPEAT_US));
        let end = (!asking.ended).then(|| self.ended_at(slots, slot));
        let lost = [asking.short_at, end].into_iter().flatten().min();
        let lost = lost.map(|at| at.plus_micros(patience.late_us));
        [repeat, lost].into_iter().flatten().min()
    }

    /// When [`Self::ask`] has something to say.
    pub(crate) fn ask_due<B>(&self, slots: &[PictureSlot<B>], patience: &Patience) -> Option<Instant> {
        patience.answer_us?;
        slots.iter().filter_map(|slot| self.ask_at(slots, slot, patience)).min()
    }

    /// The next request, for a packet that leaves now.
    pub(crate) fn ask<B>(
        &self,
        slots: &mut [PictureSlot<B>],
        now: Instant,
        patience: &Patience,
    ) -> Option<MoreParity> {
        patience.answer_us?;
        for index in 0..slots.len() {
            let is_due = self.ask_at(slots, &slots[index], patience).is_some_and(|due| due <= now);
            if !is_due {
                continue;
            }
            let has_ended = self.ended_at(slots, &slots[index]).plus_micros(patience.late_us) <= now;
            if let Some(request) = slots[index].ask(now, has_ended) {
                return Some(request);
            }
        }
        None
    }
}

impl<B> PictureSlot<B> {
    fn ask(&mut self, now: Instant, has_ended: bool) -> Option<MoreParity> {
        let layout = self.layout?;
        let coming =
            if has_ended { 0 } else { self.asking.own(&layout) - 1 - usize::from(self.asking.highest) };
        let lacking = if has_ended || layout.blocks() == 1 { self.lacking(&layout, coming) } else { 0 };
        self.asking.short_at = None;
        self.asking.ended |= has_ended;
        let repeats = core::mem::take(&mut self.asking.repeats);
        let had = usize::from(self.asking.parity + self.asking.asked);
        if lacking > 0 {
            // The answer may meet with losses too, and there is no time for another: `cargo rig bench fec` says what this
            // costs and saves.
            let wanted = 2 * lacking + (layout.data_shards() / 4).clamp(1, 8);
            let most = (layout.blocks() * BLOCK_PARITY_MAX)
                .min(parity_most(layout.data_shards()))
                .min(PARITY_MAX)
                .min(SHARDS_MAX - layout.data_shards());
            if had + lacking > most {
                return None;
            }
            self.asking.asked = ((had + wanted).min(most) - usize::from(self.asking.parity)) as u16;
            (self.asking.asked_at, self.asking.repeats) = (Some(now), true);
        } else if !repeats {
            return None;
        }
        let parity = self.asking.parity + self.asking.asked;
        Some(MoreParity { picture: self.id, parity: u8::try_from(parity).ok()? })
    }
}
