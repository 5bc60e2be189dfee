//! The host's half of video: pictures queued for one viewer, cut into shards as they leave (SPEC §11.4–§11.7).

use heapless::deque::DequeInner;

use super::PictureId;
use super::pictures::{PictureRef, PictureStore};
use crate::fec::window::add_picture_with;
use crate::fec::{self, Layout, MulAdd};
use crate::limits::{
    DELIVERED_HISTORY, PICTURES_QUEUED_MAX, SHARDS_MAX, WINDOW_PARITY_MAX, WINDOW_PICTURES_MAX,
};
use crate::profile::Profile;
use crate::time::Instant;
use crate::wire::picture::PictureHead;
use crate::wire::shard::{ShardHead, WindowHead};
use crate::wire::video::{MoreParity, Repair};

/// What the wire's 8-bit m can say.
const PARITY_MAX: usize = 255;
/// Pictures remembered after they have left: a third of a second of them, longer than feedback takes.
const DEPARTED: usize = 20;
/// Pictures of which more parity can be made after they have left: as many as a viewer waits for at most.
const KEPT: usize = 8;
/// Pictures of which more parity waits to leave.
const ASKED: usize = 4;

/// Why a picture was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueueError {
    Full,
    TooLarge,
    MissingReference,
}

#[derive(Clone, Copy, Debug)]
struct Outgoing {
    picture: PictureRef,
    layout: Layout,
    next_shard: u16,
    sent_after_us: u32,
    /// Pictures before it that its parity may cover.
    reach: u8,
}

impl Outgoing {
    /// Whether a shard covers several pictures (SPEC §11.13).
    fn is_window(&self, shard: usize) -> bool {
        let data_shards = self.layout.data_shards();
        self.reach > 0 && (data_shards..data_shards + WINDOW_PARITY_MAX).contains(&shard)
    }

    /// Bytes of its longest shard with what its frame has beyond other shards' frames.
    fn longest(&self) -> usize {
        self.layout.shard_len() + if self.reach > 0 { WindowHead::MORE_LEN } else { 0 }
    }
}

/// The next shard to leave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NextShard {
    /// Bytes of the shard itself, and those that its frame has beyond other shards' frames.
    pub(crate) len: usize,
    /// Whether it covers several pictures.
    pub(crate) is_window: bool,
    /// Whether the picture has left whole with it; parity that was asked for later ends nothing.
    pub(crate) is_last: bool,
}

/// Parity that a picture of so many data shards may have once more of it is asked for (SPEC §11.12): a loss of all of it
/// and of as much of the answer.
pub(crate) const fn parity_most(data_shards: usize) -> usize {
    2 * data_shards + 4
}

pub(crate) struct VideoSender<P: Profile> {
    queue: DequeInner<Outgoing, P::Room<Outgoing, PICTURES_QUEUED_MAX>>,
    /// Pictures that have left, with the parity they have by now, and those of which more of it is to leave.
    kept: DequeInner<Outgoing, P::Room<Outgoing, KEPT>>,
    asked: DequeInner<Outgoing, P::Room<Outgoing, ASKED>>,
    /// The viewer has asked for more parity before.
    is_asked: bool,
    /// The newest picture queued, and which of the 64 up to it were.
    newest: PictureId,
    queued: u64,
    /// The newest picture that leads a viewer back into the stream, and what it refers to.
    repair: Option<(PictureId, Option<PictureId>)>,
    /// The newest picture that has left whole.
    left: PictureId,
    /// The newest pictures that have left, each with the number of the packet after its last.
    departed: DequeInner<(PictureId, u64), P::Room<(PictureId, u64), DEPARTED>>,
    left_captured_at: Instant,
}

impl<P: Profile> VideoSender<P> {
    pub(crate) fn new() -> Self {
        Self {
            queue: P::queue::<_, PICTURES_QUEUED_MAX>(),
            kept: P::queue::<_, KEPT>(),
            asked: P::queue::<_, ASKED>(),
            is_asked: false,
            newest: PictureId(0),
            queued: 0,
            repair: None,
            left: PictureId(0),
            departed: P::queue::<_, DEPARTED>(),
            left_captured_at: Instant::ZERO,
        }
    }

    /// Bytes queued and not yet sent, parity included.
    pub(crate) fn backlog_bytes(&self) -> usize {
        let left = |outgoing: &Outgoing| {
            (outgoing.layout.shards() - usize::from(outgoing.next_shard)) * outgoing.layout.shard_len()
        };
        self.asked.iter().chain(&self.queue).map(left).sum()
    }

    /// The newest picture that was queued, whatever became of it.
    pub(crate) const fn newest(&self) -> PictureId {
        self.newest
    }

    /// The last shard of a picture has left; the next packet has number `next`.
    pub(crate) fn note_left(&mut self, next: u64) {
        if self.departed.is_full() {
            self.departed.pop_front();
        }
        let _ = self.departed.push_back((self.left, next));
    }

    /// The newest picture of which all packets were before `number`; 0 = none that is remembered.
    pub(crate) fn newest_before(&self, number: u64) -> PictureId {
        let told = self.departed.iter().rev().find(|&&(_, next)| next <= number);
        told.map_or(PictureId(0), |&(picture, _)| picture)
    }

    pub(crate) const fn left(&self) -> PictureId {
        self.left
    }

    /// When the newest picture that has left whole was captured.
    pub(crate) const fn left_captured_at(&self) -> Instant {
        self.left_captured_at
    }

    /// Queues a picture in shards of `shard_len` with `parity` parity shards (fewer where the code has a limit), which
    /// cover up to `reach` pictures before it if that is in one block.
    pub(crate) fn push(
        &mut self,
        picture: PictureRef,
        shard_len: usize,
        parity: usize,
        reach: u8,
    ) -> Result<(), QueueError> {
        if picture.id <= self.newest || !self.has(picture.reference) {
            return Err(QueueError::MissingReference);
        }
        let layout =
            Layout::new(picture.len(), shard_len, parity.min(PARITY_MAX)).ok_or(QueueError::TooLarge)?;
        if layout.shards() > SHARDS_MAX {
            return Err(QueueError::TooLarge);
        }
        let reach = if layout.blocks() == 1 { reach } else { 0 };
        self.queue
            .push_back(Outgoing { picture, layout, next_shard: 0, sent_after_us: 0, reach })
            .map_err(|_| QueueError::Full)?;
        let step = picture.id.0 - self.newest.0;
        self.queued = self.queued.checked_shl(step).unwrap_or(0) | 1;
        self.newest = picture.id;
        if picture.reference.is_none_or(|reference| reference.0 + 1 != picture.id.0) {
            self.repair = Some((picture.id, picture.reference));
        }
        Ok(())
    }

    fn has(&self, reference: Option<PictureId>) -> bool {
        let Some(reference) = reference else { return true };
        match self.newest.0.checked_sub(reference.0) {
            Some(back) if back < DELIVERED_HISTORY => self.queued >> back & 1 == 1,
            _ => false,
        }
    }

    /// Whether a picture that answers this request is already on its way (SPEC §11.6).
    pub(crate) fn answers(&self, request: &Repair) -> bool {
        self.repair.is_some_and(|(id, reference)| {
            id > request.seen && reference.is_none_or(|reference| reference <= request.after)
        })
    }

    /// Bytes of the longest shard that waits.
    pub(crate) fn longest_shard(&self) -> usize {
        self.queue.iter().map(Outgoing::longest).max().unwrap_or(0)
    }

    /// More parity is made only of pictures whose shards are no longer than this.
    pub(crate) fn keep_shorter(&mut self, shard_len_max: usize) {
        if self.kept.iter().any(|outgoing| outgoing.longest() > shard_len_max) {
            self.kept.clear();
            self.asked.clear();
        }
    }

    /// What should have led the viewer back did not reach it: the next request is answered anew.
    pub(crate) const fn forget_repair(&mut self) {
        self.repair = None;
    }

    /// Drops everything queued: nothing that refers to it will be taken.
    pub(crate) fn drop_all(&mut self) {
        self.queue.clear();
        self.asked.clear();
        self.kept.clear();
        self.queued = 0;
        self.repair = None;
    }

    /// Drops what waits, for it refers to what is lost; pictures that have left may still be referred to.
    pub(crate) fn drop_waiting(&mut self) {
        self.asked.clear();
        while let Some(front) = self.queue.pop_front() {
            if let Some(back) = self.newest.0.checked_sub(front.picture.id.0) {
                self.queued &= !1u64.checked_shl(back).unwrap_or(0);
            }
        }
    }

    /// Drops pictures whose bytes are gone. Returns whether any was.
    pub(crate) fn drop_stale(&mut self, pictures: &impl PictureStore) -> bool {
        let mut dropped = false;
        while self.asked.front().is_some_and(|front| pictures.bytes(&front.picture).is_none()) {
            self.asked.pop_front();
        }
        while let Some(front) = self.queue.front() {
            if pictures.bytes(&front.picture).is_some() {
                break;
            }
            // Later pictures refer to this one: the viewer cannot use them either.
            if let Some(back) = self.newest.0.checked_sub(front.picture.id.0) {
                self.queued &= !1u64.checked_shl(back).unwrap_or(0);
            }
            self.queue.pop_front();
            dropped = true;
        }
        dropped
    }

    /// The viewer lacks more of a picture than its parity restores (SPEC §11.12). What is forgotten has no answer.
    pub(crate) fn on_more_parity(&mut self, request: &MoreParity) {
        self.is_asked = true;
        let wanted = |outgoing: &Outgoing| {
            let parity = usize::from(request.parity).min(parity_most(outgoing.layout.data_shards()));
            let layout = Layout::new(outgoing.layout.data_len(), outgoing.layout.shard_len(), parity)?;
            let is_more = layout.parity_shards() > outgoing.layout.parity_shards();
            (is_more && layout.shards() <= SHARDS_MAX).then_some(layout)
        };
        let is_it = |outgoing: &&mut Outgoing| outgoing.picture.id == request.picture;
        // What has not left whole yet leaves with more.
        if let Some(waiting) = self.asked.iter_mut().chain(&mut self.queue).find(is_it) {
            let Some(layout) = wanted(waiting) else { return };
            waiting.layout = layout;
            if let Some(kept) = self.kept.iter_mut().find(is_it) {
                kept.layout = layout;
            }
            return;
        }
        let Some(kept) = self.kept.iter_mut().find(is_it) else { return };
        let Some(layout) = wanted(kept) else { return };
        let next_shard = kept.layout.shards() as u16;
        if self.asked.push_back(Outgoing { layout, next_shard, reach: 0, ..*kept }).is_ok() {
            kept.layout = layout;
        }
    }

    /// Whether the viewer is one that asks for more parity.
    pub(crate) const fn is_asked(&self) -> bool {
        self.is_asked
    }

    /// What leaves now: what is waited for comes before what is new.
    fn leaving(&self) -> Option<&Outgoing> {
        self.asked.front().or_else(|| self.queue.front())
    }

    /// What leaves next.
    pub(crate) fn peek(&self) -> Option<NextShard> {
        let front = self.leaving()?;
        let shard = usize::from(front.next_shard);
        let data_shards = front.layout.data_shards();
        let len =
            if shard < data_shards { front.layout.data_range(shard).len() } else { front.layout.shard_len() };
        let is_window = front.is_window(shard);
        let len = if is_window { len + WindowHead::MORE_LEN } else { len };
        Some(NextShard {
            len,
            is_window,
            is_last: self.asked.is_empty() && shard + 1 == front.layout.shards(),
        })
    }

    /// The largest number of bytes that one more batch of equal shards may hold, counted in shards.
    pub(crate) fn run_len(&self) -> usize {
        self.leaving().map_or(0, |front| {
            let shard = usize::from(front.next_shard);
            let data_shards = front.layout.data_shards();
            let shards = front.layout.shards();
            let end = if shard < data_shards {
                data_shards
            } else if front.is_window(shard) {
                shards.min(data_shards + WINDOW_PARITY_MAX)
            } else {
                shards
            };
            end - shard
        })
    }

    /// Writes the next shard's head and bytes; `out` is exactly as long as [`Self::peek`] said.
    pub(crate) fn take(
        &mut self,
        kernel: &impl MulAdd,
        now: Instant,
        pictures: &impl PictureStore,
        out: &mut [u8],
    ) -> Option<ShardHead> {
        let is_asked = !self.asked.is_empty();
        let front = if is_asked { self.asked.front_mut() } else { self.queue.front_mut() }?;
        let bytes = pictures.bytes(&front.picture)?;
        let shard = usize::from(front.next_shard);
        let data_shards = front.layout.data_shards();
        let head = ShardHead {
            picture: front.picture.id.0 as u16,
            shard: front.next_shard,
            data_shards: data_shards as u16,
            parity_shards: front.layout.parity_shards() as u8,
            shard_len: front.layout.shard_len() as u16,
        };
        if shard < data_shards {
            out.copy_from_slice(&bytes[front.layout.data_range(shard)]);
        } else if front.is_window(shard) {
            let (before, out) = out.split_first_chunk_mut::<WINDOW_PICTURES_MAX>()?;
            fec::parity_shard_with(kernel, &front.layout, bytes, shard - data_shards, out);
            *before = cover(
                kernel,
                front,
                |id| self.kept.iter().find(|other| other.picture.id == id),
                pictures,
                out,
            );
        } else {
            fec::parity_shard_with(kernel, &front.layout, bytes, shard - data_shards, out);
        }
        if shard == 0 {
            let sent = u32::try_from(now.micros_since(front.picture.captured_at)).unwrap_or(u32::MAX).max(1);
            front.sent_after_us = sent;
            out[PictureHead::SENT_AT..PictureHead::SENT_AT + 4].copy_from_slice(&sent.to_be_bytes());
        }
        front.next_shard += 1;
        if usize::from(front.next_shard) == front.layout.shards() {
            if is_asked {
                self.asked.pop_front();
            } else if let Some(outgoing) = self.queue.pop_front() {
                self.left = outgoing.picture.id;
                self.left_captured_at = outgoing.picture.captured_at;
                if self.kept.is_full() {
                    self.kept.pop_front();
                }
                let _ = self.kept.push_back(outgoing);
            }
        }
        Some(head)
    }
}

/// Adds the pictures before `front` to its next shard, which is parity, as far as they are still there and cut alike; says
/// how many data shards each has.
fn cover<'a>(
    kernel: &impl MulAdd,
    front: &Outgoing,
    kept: impl Fn(PictureId) -> Option<&'a Outgoing>,
    pictures: &impl PictureStore,
    out: &mut [u8],
) -> [u8; WINDOW_PICTURES_MAX] {
    let mut before = [0; WINDOW_PICTURES_MAX];
    let parity = usize::from(front.next_shard) - front.layout.data_shards();
    for (back, shards) in (1..=usize::from(front.reach)).zip(&mut before) {
        let id = front.picture.id.0.checked_sub(back as u32).map(PictureId);
        let older = id.and_then(&kept).filter(|older| {
            older.layout.blocks() == 1 && older.layout.shard_len() == front.layout.shard_len()
        });
        let Some((older, bytes)) = older.and_then(|older| Some((older, pictures.bytes(&older.picture)?)))
        else {
            break;
        };
        let Ok(count) = u8::try_from(older.layout.data_shards()) else { break };
        add_picture_with(kernel, &older.layout, bytes, (back, parity), out);
        *shards = count;
    }
    before
}
