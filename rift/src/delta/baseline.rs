//! Base delay, standing queue and jitter, from one-way delays of unknown offset.
//!
//! A one-way delay here is the receiver's stamp minus the sender's: it carries the unknown offset of two clocks, so
//! only differences mean anything. Minima make every estimate blind to jitter, which only ever adds.

use super::trend::Trend;

/// Length of one window of the base delay, on the receiver's clock.
const BASE_WINDOW_US: u64 = 1_000_000;
/// Windows whose minimum is the base delay. Six seconds: a clock that drifts by 200 ppm moves the base by 1.2 ms in
/// that time, well below the smallest threshold, so drift needs no estimate of its own.
const BASE_WINDOWS: usize = 6;

/// Length of a slot of the standing queue.
const SLOT_US: u64 = 5_000;
/// Slots kept.
const SLOTS: usize = 32;
/// Slots of the standing queue: 40 ms hold the starts of two pictures at 60 Hz, whatever a picture's own burst adds.
const STANDING_SLOTS: u64 = 8;
/// Slots of the queue's floor: over 160 ms even strong jitter lets some packet through unhindered.
const FLOOR_SLOTS: u64 = SLOTS as u64;
/// Slots of the latest queue: enough to outlast a batch, so that a collapse of the link is seen at once.
const LATEST_SLOTS: u64 = 3;

/// Packets in the order of sending of which one passes unhindered unless a queue stands. The packets that arrived last
/// are, on a path that reorders, the stragglers: a window of time alone would see only them.
const RUN_PACKETS: usize = 8;

/// Delay of the path and what stands in its queue.
#[derive(Clone, Debug)]
pub(super) struct Delay {
    bases: [i64; BASE_WINDOWS],
    /// Least mean of 160 ms in each window, relative to the origin.
    mean_bases: [i64; BASE_WINDOWS],
    base_at: usize,
    base_until_us: u64,
    /// The first delay: means are taken relative to it.
    origin_us: i64,
    slots: [Slot; SLOTS],
    newest_us: u64,
    run: [i64; RUN_PACKETS],
    run_at: usize,
    trend: Trend,
    jitter_us: i64,
    clean_us: u64,
    /// Whether the base is kept: somebody else stands in the queue.
    held: bool,
    last_us: i64,
    /// Mean of upward jumps, in sixteenths of a µs.
    jumps: i64,
    /// How many packets that is the mean of, up to its share.
    packets: i64,
    seen: bool,
}

/// Delays of 5 ms.
#[derive(Clone, Copy, Debug)]
struct Slot {
    number: u64,
    least_us: i64,
    /// Relative to the origin.
    sum_us: i64,
    count: u32,
}

impl Delay {
    pub(super) const fn new() -> Self {
        Self {
            bases: [i64::MAX; BASE_WINDOWS],
            mean_bases: [i64::MAX; BASE_WINDOWS],
            base_at: 0,
            base_until_us: 0,
            origin_us: 0,
            slots: [Slot { number: 0, least_us: i64::MAX, sum_us: 0, count: 0 }; SLOTS],
            newest_us: 0,
            run: [i64::MAX; RUN_PACKETS],
            run_at: 0,
            trend: Trend::new(),
            jitter_us: 0,
            clean_us: 0,
            held: false,
            last_us: 0,
            jumps: 0,
            packets: 0,
            seen: false,
        }
    }

    /// Takes the delay of one packet that arrived at `at_us` on the receiver's clock; a queue adds at most `step_us`
    /// to it from one packet to the next.
    pub(super) fn on_packet(&mut self, at_us: u64, one_way_us: i64, step_us: i64) {
        let jump =
            if self.seen { one_way_us.saturating_sub(self.last_us).saturating_sub(step_us) } else { 0 };
        self.last_us = one_way_us;
        self.packets = (self.packets + 1).min(JUMP_SHARE);
        self.jumps += (jump.clamp(0, JUMP_US_MAX) * 16 - self.jumps) / self.packets.max(JUMP_SHARE_MIN);
        if !self.seen {
            self.seen = true;
            self.origin_us = one_way_us;
            self.base_until_us = at_us.saturating_add(BASE_WINDOW_US);
            self.clean_us = at_us;
        }
        self.newest_us = self.newest_us.max(at_us);
        self.run[self.run_at] = one_way_us;
        self.run_at = (self.run_at + 1) % RUN_PACKETS;
        if at_us >= self.base_until_us && !self.held {
            // A pause ends one window, not many: a base is forgotten by hearing of others, not by silence.
            self.base_at = (self.base_at + 1) % BASE_WINDOWS;
            self.bases[self.base_at] = i64::MAX;
            self.mean_bases[self.base_at] = i64::MAX;
            self.base_until_us = at_us.saturating_add(BASE_WINDOW_US);
        }
        let base = &mut self.bases[self.base_at];
        *base = one_way_us.min(*base);
        let number = at_us / SLOT_US;
        let slot = &mut self.slots[(number % SLOTS as u64) as usize];
        if slot.number != number {
            *slot = Slot { number, least_us: i64::MAX, sum_us: 0, count: 0 };
        }
        slot.least_us = slot.least_us.min(one_way_us);
        slot.sum_us = slot.sum_us.saturating_add(one_way_us.saturating_sub(self.origin_us));
        slot.count = slot.count.saturating_add(1);
    }

    /// Takes a sample for trend and jitter after the packets of one feedback. A queue that is being drained is no
    /// jitter; while `held` no base is forgotten.
    pub(super) fn on_feedback(&mut self, congested: bool, held: bool) {
        self.held = held;
        if let Some(mean_us) = self.mean_us() {
            let base = &mut self.mean_bases[self.base_at];
            *base = mean_us.min(*base);
        }
        let queue = self.queue_us();
        let drains = congested && queue > JITTER_US_MAX && !self.jumps();
        if self.trend.sample(self.newest_us, queue) && !drains {
            let above = self.least_us(STANDING_SLOTS) - self.least_us(FLOOR_SLOTS);
            // After a silence the floor may be older than anything that stands.
            self.jitter_us += (above.clamp(0, JITTER_US_MAX) - self.jitter_us) / JITTER_SHARE;
        }
        let clean_us = if self.jumps() { CLEAN_QUEUE_JUMPING_US } else { CLEAN_QUEUE_US };
        if queue <= clean_us {
            self.clean_us = self.newest_us;
        }
    }

    /// Smallest one-way delay of the last seconds, in µs with the clocks' offset; 0 before the first packet.
    pub(super) fn base_us(&self) -> i64 {
        if self.seen { self.bases.iter().copied().min().unwrap_or(0) } else { 0 }
    }

    /// What stands in the queue, in µs: the least any packet of the last 40 ms waited. Where delays jump about, no
    /// packet tells; then it is by how much the mean of 160 ms exceeds the least such mean.
    pub(super) fn queue_us(&self) -> i64 {
        match self.mean_us() {
            Some(mean_us) if self.jumps() => {
                let base = self.mean_bases.iter().copied().min().unwrap_or(i64::MAX);
                mean_us.saturating_sub(base).max(0)
            }
            Some(_) | None => self.least_us(STANDING_SLOTS),
        }
    }

    /// The least any packet of the last 160 ms waited, in µs: a queue no jitter can feign. Where delays jump about, the
    /// queue itself is that sure.
    pub(super) fn floor_us(&self) -> i64 {
        if self.jumps() { self.queue_us() } else { self.least_us(FLOOR_SLOTS) }
    }

    /// The least any packet of the last 15 ms and any of the last eight sent waited, in µs.
    pub(super) fn latest_us(&self) -> i64 {
        self.least_us(LATEST_SLOTS).min(self.run_us())
    }

    /// The least any of the last eight packets in the order of sending waited, in µs.
    pub(super) fn run_us(&self) -> i64 {
        let least = self.run.iter().copied().min().unwrap_or(i64::MAX);
        if least == i64::MAX { 0 } else { least.saturating_sub(self.base_us()).max(0) }
    }

    fn least_us(&self, slots: u64) -> i64 {
        let standing = self.latest_slots(slots).map(|slot| slot.least_us).min();
        match standing {
            Some(standing) if self.seen && standing != i64::MAX => {
                standing.saturating_sub(self.base_us()).max(0)
            }
            Some(_) | None => 0,
        }
    }

    /// Mean delay of the last 160 ms relative to the origin; `None` of fewer than [`MEAN_PACKETS`].
    fn mean_us(&self) -> Option<i64> {
        let (mut sum, mut count) = (0_i64, 0_i64);
        for slot in self.latest_slots(FLOOR_SLOTS) {
            sum = sum.saturating_add(slot.sum_us);
            count += i64::from(slot.count);
        }
        (count >= MEAN_PACKETS).then(|| sum / count)
    }

    fn latest_slots(&self, slots: u64) -> impl Iterator<Item = &Slot> {
        let oldest = (self.newest_us / SLOT_US + 1).saturating_sub(slots);
        self.slots.iter().filter(move |slot| slot.number >= oldest)
    }

    /// How fast the queue grows, in µs per ms (so 1000 is a sender at twice the link's rate).
    pub(super) fn trend(&self) -> i64 {
        self.trend.slope()
    }

    /// Whether delays jump from packet to packet as no queue makes them: then only long minima tell of a queue.
    pub(super) const fn jumps(&self) -> bool {
        self.jumps > JUMPING
    }

    /// How far the standing queue is above its floor on average, in µs.
    pub(super) const fn jitter_us(&self) -> i64 {
        self.jitter_us
    }

    /// For how long, on the receiver's clock, the queue was never seen empty, in µs.
    pub(super) const fn standing_for_us(&self) -> u64 {
        self.newest_us - self.clean_us
    }

    /// Takes the present delay as the base: what remains of a queue that cuts do not shrink is the path itself.
    pub(super) fn rebase(&mut self) {
        let standing = self.least_us(STANDING_SLOTS).saturating_add(self.base_us());
        self.bases = [i64::MAX; BASE_WINDOWS];
        self.bases[self.base_at] = standing;
        self.mean_bases = [i64::MAX; BASE_WINDOWS];
        self.mean_bases[self.base_at] = self.mean_us().unwrap_or(i64::MAX);
        self.trend = Trend::new();
        self.clean_us = self.newest_us;
    }
}

/// Packets whose mean says something: the deviation of twelve is a third of one's.
const MEAN_PACKETS: i64 = 12;
/// Share of a new sample in the jitter: it follows within a third of a second.
const JITTER_SHARE: i64 = 32;
/// Largest sample of the jitter, in µs: a queue that builds is not jitter.
const JITTER_US_MAX: i64 = 20_000;
/// Share of a packet in the mean of jumps, and the largest jump, in µs: the mean follows within some hundred packets.
const JUMP_SHARE: i64 = 512;
const JUMP_SHARE_MIN: i64 = 32;
const JUMP_US_MAX: i64 = 10_000;
/// Mean from which a path jitters: 50 µs a packet, in sixteenths.
const JUMPING: i64 = 50 * 16;
/// A queue this short counts as empty.
const CLEAN_QUEUE_US: i64 = 1_500;
/// The same of a mean, in which pictures' own bursts are: what they add and the mean's own deviation.
const CLEAN_QUEUE_JUMPING_US: i64 = 4_000;
