//! Parity that covers several pictures, used (SPEC §11.13).
//!
//! What is known of a parity shard's pictures is taken out of it as soon as it is known. One that is left with its own
//! picture alone is ordinary parity; the others are *pending*: rows of equations over all shards that are missing, solved
//! when they determine a whole picture. Pictures that were shown stay in their places as long as nothing else needs
//! these.

use heapless::Vec;

use super::slot::{PictureSlot, State};
use super::{Patience, Taken, VideoReceiver};
use crate::channel::video::PictureId;
use crate::fec::field::mul;
use crate::fec::window::{Elimination, add_picture_with, row};
use crate::fec::{BLOCK_PARITY_MAX, Layout, MulAdd, Term, add_all, coefficient};
use crate::limits::{WINDOW_PARITY_MAX, WINDOW_PICTURES_MAX, WINDOW_UNKNOWN_MAX};
use crate::time::Instant;
use crate::wire::shard::WindowHead;

/// Pictures solved for together: a window's, and those that chains of damage join to it.
const JOINED_MAX: usize = 2 * (WINDOW_PICTURES_MAX + 1);

/// How many pictures before the newest a viewer with so many places keeps: beside them and it one is with the
/// application.
pub(crate) const fn window_of(places: usize) -> u8 {
    let kept = places.saturating_sub(2);
    if kept < WINDOW_PICTURES_MAX { kept as u8 } else { WINDOW_PICTURES_MAX as u8 }
}

impl VideoReceiver {
    /// Takes a parity shard over several pictures that arrived at `now`. Work: that of its window's data once, and that
    /// of restoring pictures, at most `WINDOW_UNKNOWN_MAX` sums over the shards of those that are joined.
    pub(crate) fn on_window_shard<B: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        kernel: &impl MulAdd,
        slots: &mut [PictureSlot<B>],
        head: &WindowHead,
        bytes: &[u8],
        now: Instant,
    ) -> Taken {
        // A host that sends these means to cover the next picture's neighbours, whatever this one's are.
        self.reach = head.reach().max(1) as u8;
        let (index, layout) = match self.place(slots, &head.shard, now) {
            Ok(Some(place)) => place,
            Ok(None) => return Taken::Fine,
            Err(taken) => return taken,
        };
        let shard = usize::from(head.shard.shard);
        let parity = shard - layout.data_shards();
        let slot = &slots[index];
        let is_wanted = matches!(slot.state, State::Assembling | State::Whole);
        if !is_wanted || slot.has(shard) || slot.pending >> parity & 1 == 1 {
            return Taken::Fine;
        }
        let Some(owed) = self.covered(slots, index, head, now) else { return Taken::Fine };
        let Some(place) = slots[index].place_mut(shard) else { return Taken::Fine };
        place.copy_from_slice(bytes);
        let id = slots[index].id;
        for back in (1..=head.reach()).filter(|back| owed >> back & 1 == 0) {
            if let Some(older) = find(slots, id, back) {
                take_out(kernel, slots, (index, parity), (older, back));
            }
        }
        let slot = &mut slots[index];
        slot.last_at = now;
        if owed == 0 {
            slot.note_restored(shard);
        } else {
            slot.pending |= 1 << parity;
            slot.owed[parity] = owed;
        }
        let count = slot.count;
        slot.asking.on_shard(&layout, shard, count, now);
        let taken = if slot.state == State::Assembling {
            self.complete(kernel, slots, index, now)
        } else {
            Taken::Fine
        };
        self.solve(kernel, slots, now);
        taken
    }

    /// Which of the pictures before it a shard's equation has unknowns of, as bits by distance; those of which nothing
    /// else came get a place. `None` when one is not there any more, or is not as the shard says.
    fn covered<B: AsRef<[u8]> + AsMut<[u8]>>(
        &self,
        slots: &mut [PictureSlot<B>],
        index: usize,
        head: &WindowHead,
        now: Instant,
    ) -> Option<u8> {
        let id = slots[index].id;
        let shard_len = usize::from(head.shard.shard_len);
        let mut owed = 0;
        for (back, &shards) in (1..=head.reach()).zip(&head.before) {
            let older = PictureId(id.0.checked_sub(back as u32)?);
            let layout = Layout::new(usize::from(shards) * shard_len, shard_len, 0)?;
            let at = if let Some(at) = find(slots, id, back) {
                at
            } else if older <= self.delivered || self.given_up.is_some_and(|gone| older <= gone) {
                return None;
            } else {
                let at = spare(slots, layout.data_len(), id)?;
                slots[at].begin(older, layout, now);
                slots[at].last_at = now;
                at
            };
            let known = slots[at].layout?;
            if (known.data_len(), known.shard_len()) != (layout.data_len(), shard_len) {
                return None;
            }
            owed |= u8::from(slots[at].state == State::Assembling) << back;
        }
        Some(owed)
    }

    /// Restores pictures as long as pending parity determines one.
    pub(super) fn solve<B: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        kernel: &impl MulAdd,
        slots: &mut [PictureSlot<B>],
        now: Instant,
    ) {
        while slots.iter().any(|slot| slot.pending != 0) {
            let Some(index) = System::of(slots).and_then(|system| system.restore(kernel, slots)) else {
                return;
            };
            // Whether it is a picture or not, it is not missing any more.
            let _ = self.complete(kernel, slots, index, now);
        }
    }

    /// Until when parity of later pictures may restore this one; without a window at once.
    pub(super) fn window_due<B>(
        &self,
        slots: &[PictureSlot<B>],
        slot: &PictureSlot<B>,
        evidence: Instant,
        patience: &Patience,
    ) -> Instant {
        // More is missing than all that may still come makes up for: no time is lost over it.
        let parity = slots.iter().filter_map(|slot| slot.layout).map(|layout| layout.parity_shards()).max();
        let most = parity.unwrap_or(0).min(WINDOW_PARITY_MAX) * (usize::from(self.reach) + 1);
        if self.reach == 0 || slot.missing().count() > most {
            return evidence;
        }
        let last = slot.id.0.saturating_add(u32::from(self.reach));
        let beyond = slots
            .iter()
            .filter(|other| other.id.0 > last && matches!(other.state, State::Assembling | State::Whole))
            .map(|other| other.first_at);
        let position = self.position.filter(|(id, _)| id.0 >= last).map(|(_, at)| at);
        let passed = beyond.chain(position).min().map(|at| at.plus_micros(patience.late_us));
        let latest = evidence.plus_micros(u64::from(self.reach) * patience.period_us + patience.reorder_us);
        passed.map_or(latest, |passed| passed.min(latest))
    }
}

/// The place of the picture so far before `id`.
fn find<B>(slots: &[PictureSlot<B>], id: PictureId, back: usize) -> Option<usize> {
    let id = id.0.checked_sub(back as u32)?;
    slots.iter().position(|slot| slot.state != State::Free && slot.id.0 == id)
}

/// A place that no window up to picture `id` needs.
fn spare<B: AsRef<[u8]>>(slots: &[PictureSlot<B>], len: usize, id: PictureId) -> Option<usize> {
    slots.iter().position(|slot| {
        let is_past = slot.id.0.saturating_add(WINDOW_PICTURES_MAX as u32) < id.0;
        (slot.state == State::Free || slot.state == State::Kept && is_past)
            && slot.buffer.as_ref().is_some_and(|buffer| buffer.as_ref().len() >= len)
    })
}

/// Takes the known picture `older`, `back` before it, out of a parity shard of the picture at `index`.
fn take_out<B: AsRef<[u8]> + AsMut<[u8]>>(
    kernel: &impl MulAdd,
    slots: &mut [PictureSlot<B>],
    (index, parity): (usize, usize),
    (older, back): (usize, usize),
) {
    let Ok([slot, older]) = slots.get_disjoint_mut([index, older]) else { return };
    let (Some(own), Some(layout)) = (slot.layout, older.layout) else { return };
    if let (Some(data), Some(place)) = (older.data(), slot.place_mut(own.data_shards() + parity)) {
        add_picture_with(kernel, &layout, data, (back, parity), place);
    }
}

/// The picture at `index` is whole: it is taken out of all pending parity. What is then ordinary parity counts as such.
pub(super) fn settle<B: AsRef<[u8]> + AsMut<[u8]>>(
    kernel: &impl MulAdd,
    slots: &mut [PictureSlot<B>],
    index: usize,
) {
    let id = slots[index].id;
    for other in 0..slots.len() {
        let back = slots[other].id.0.checked_sub(id.0).map_or(0, |back| back as usize);
        if !(1..=WINDOW_PICTURES_MAX).contains(&back) || slots[other].pending == 0 {
            continue;
        }
        for parity in 0..WINDOW_PARITY_MAX {
            let slot = &mut slots[other];
            if slot.pending >> parity & 1 == 0 || slot.owed[parity] >> back & 1 == 0 {
                continue;
            }
            slot.owed[parity] &= !(1 << back);
            take_out(kernel, slots, (other, parity), (index, back));
            let slot = &mut slots[other];
            if slot.owed[parity] == 0 {
                slot.pending &= !(1 << parity);
                let shards = slot.layout.map_or(0, |layout| layout.data_shards());
                slot.note_restored(shards + parity);
                slot.has_more = slot.state == State::Assembling;
            }
        }
    }
}

/// A parity shard: its picture's place, its number.
type Equation = (u8, u8);

/// All that is missing and pending parity speaks of.
struct System {
    /// Places of the pictures that the equations cover, from the oldest on.
    pictures: Vec<u8, JOINED_MAX>,
    equations: Vec<Equation, WINDOW_UNKNOWN_MAX>,
    /// The missing shards: the place of the picture, the shard.
    unknowns: Vec<(u8, u8), WINDOW_UNKNOWN_MAX>,
}

impl System {
    /// `None` when there is more than is solved for at once, or certainly too little to solve anything.
    fn of<B>(slots: &[PictureSlot<B>]) -> Option<Self> {
        let mut system = Self { pictures: Vec::new(), equations: Vec::new(), unknowns: Vec::new() };
        for (at, slot) in slots.iter().enumerate().filter(|(_, slot)| slot.pending != 0) {
            if !matches!(slot.state, State::Assembling | State::Whole) {
                continue;
            }
            for parity in (0..WINDOW_PARITY_MAX).filter(|parity| slot.pending >> parity & 1 == 1) {
                system.take(slots, at, parity);
            }
        }
        let Self { pictures, equations, unknowns } = &mut system;
        pictures.sort_unstable_by_key(|&at| slots[usize::from(at)].id);
        for &at in pictures.iter() {
            let slot = &slots[usize::from(at)];
            for shard in slot.missing() {
                unknowns.push((at, u8::try_from(shard).ok()?)).ok()?;
            }
            let shards = slot.layout.map_or(0, |layout| layout.data_shards());
            let ordinary = (0..BLOCK_PARITY_MAX).filter(|parity| slot.has(shards + parity));
            if slot.state == State::Assembling {
                // More than there is room for is more than is needed.
                equations.extend(
                    ordinary.map(|parity| (at, parity as u8)).take(WINDOW_UNKNOWN_MAX - equations.len()),
                );
            }
        }
        let missing = |at: &u8| Some(slots[usize::from(*at)].missing().count()).filter(|&count| count > 0);
        let least = system.pictures.iter().filter_map(missing).min()?;
        (system.equations.len() >= least).then_some(system)
    }

    /// Takes a pending shard's equation, if all it speaks of is still there.
    fn take<B>(&mut self, slots: &[PictureSlot<B>], at: usize, parity: usize) {
        let slot = &slots[at];
        let backs = (1..=WINDOW_PICTURES_MAX).filter(|back| slot.owed[parity] >> back & 1 == 1);
        let mut covered = Vec::<u8, { WINDOW_PICTURES_MAX + 1 }>::new();
        let _ = covered.push(at as u8);
        for back in backs {
            match find(slots, slot.id, back) {
                Some(older) if slots[older].state == State::Assembling => {
                    let _ = covered.push(older as u8);
                }
                _ => return,
            }
        }
        let fresh = covered.iter().filter(|at| !self.pictures.contains(at)).count();
        if self.pictures.len() + fresh > JOINED_MAX || self.equations.push((at as u8, parity as u8)).is_err()
        {
            return;
        }
        for at in covered {
            if !self.pictures.contains(&at) {
                let _ = self.pictures.push(at);
            }
        }
    }

    /// Restores the oldest picture that is determined, and says where it is.
    fn restore<B: AsRef<[u8]> + AsMut<[u8]>>(
        &self,
        kernel: &impl MulAdd,
        slots: &mut [PictureSlot<B>],
    ) -> Option<usize> {
        let mut elimination = Elimination::new(self.unknowns.len());
        for &equation in &self.equations {
            elimination.push(|unknown| {
                self.unknowns.get(unknown).map_or(0, |&(at, shard)| term(slots, equation, (at, shard)))
            });
        }
        elimination.reduce();
        let mut start = 0;
        for &at in &self.pictures {
            let end = start + self.unknowns[start..].iter().take_while(|unknown| unknown.0 == at).count();
            if start < end && elimination.determines(start..end) {
                for unknown in start..end {
                    let factors = elimination.solution(unknown)?;
                    self.sum(kernel, slots, self.unknowns[unknown], factors);
                }
                let slot = &mut slots[usize::from(at)];
                for &(_, shard) in &self.unknowns[start..end] {
                    slot.note_restored(usize::from(shard));
                }
                slot.repaired = true;
                return Some(usize::from(at));
            }
            start = end;
        }
        None
    }

    /// Writes a missing shard: the sum of equations, less what is known of their pictures.
    fn sum<B: AsRef<[u8]> + AsMut<[u8]>>(
        &self,
        kernel: &impl MulAdd,
        slots: &mut [PictureSlot<B>],
        (to, shard): (u8, u8),
        factors: &[u8; WINDOW_UNKNOWN_MAX],
    ) {
        let (to, shard) = (usize::from(to), usize::from(shard));
        if let Some(place) = slots[to].place_mut(shard) {
            place.fill(0);
        }
        for &from in &self.pictures {
            let Some(layout) = slots[usize::from(from)].layout else { continue };
            let shards = layout.data_shards();
            let mut terms = [0; 256];
            for (equation, &factor) in self.equations.iter().zip(factors).filter(|(_, factor)| **factor != 0)
            {
                if equation.0 == from {
                    terms[shards + usize::from(equation.1)] = factor;
                }
                for (known, sum) in terms[..shards].iter_mut().enumerate() {
                    *sum ^= mul(factor, term(slots, *equation, (from, known as u8)));
                }
            }
            for shard in slots[usize::from(from)].missing() {
                terms[shard] = 0;
            }
            add_shards(kernel, slots, (to, shard), usize::from(from), &terms);
        }
    }
}

/// What an equation multiplies a shard by.
fn term<B>(slots: &[PictureSlot<B>], (at, parity): Equation, (of, shard): (u8, u8)) -> u8 {
    let (slot, parity) = (&slots[usize::from(at)], usize::from(parity));
    let Some(back) = slot.id.0.checked_sub(slots[usize::from(of)].id.0).map(|back| back as usize) else {
        return 0;
    };
    let is_pending = parity < WINDOW_PARITY_MAX && slot.pending >> parity & 1 == 1;
    let is_covered = is_pending && back <= WINDOW_PICTURES_MAX && slot.owed[parity] >> back & 1 == 1;
    if back == 0 || is_covered { coefficient(row(back, parity), usize::from(shard)) } else { 0 }
}

/// Adds multiples of the shards of one picture to a shard, of another or the same.
fn add_shards<B: AsRef<[u8]> + AsMut<[u8]>>(
    kernel: &impl MulAdd,
    slots: &mut [PictureSlot<B>],
    (to, shard): (usize, usize),
    from: usize,
    terms: &[u8; 256],
) -> Option<()> {
    let len = slots[to].layout?.shard_len();
    let wanted = || terms.iter().enumerate().filter(|(_, term)| **term != 0);
    if from == to {
        let buffer = slots[to].buffer.as_mut()?.as_mut();
        let (before, rest) = buffer.split_at_mut_checked(shard * len)?;
        let (out, after) = rest.split_at_mut_checked(len)?;
        let source = |at: usize| {
            let (part, at) = if at < shard { (&*before, at) } else { (&*after, at - shard - 1) };
            part.get(at * len..(at + 1) * len)
        };
        let of_others = wanted().filter(|(at, _)| *at != shard);
        add_all(
            kernel,
            out,
            of_others.filter_map(|(at, &term)| Some(Term { source: source(at)?, coefficient: term })),
        );
        return Some(());
    }
    let [to, from] = slots.get_disjoint_mut([to, from]).ok()?;
    let bytes = from.buffer.as_ref()?.as_ref();
    let source = |at: usize| bytes.get(at * len..(at + 1) * len);
    let out = to.place_mut(shard)?;
    add_all(
        kernel,
        out,
        wanted().filter_map(|(at, &term)| Some(Term { source: source(at)?, coefficient: term })),
    );
    Some(())
}
