//! One direction of a link: a queue, a rate, a distance and everything that can go wrong on the way.
//!
//! Order of treatment: MTU and queue limit on entry; the queue drains at the rate; at the end of a packet's
//! transmission come blackout, loss, corruption, truncation, ECN mark, duplication; then distance, jitter and
//! reordering. What is lost has used its share of the rate, as on a radio link.

use core::ops::Range;
use core::time::Duration;

use rift::Ecn;

use crate::packet::{NodeId, Packet, Pool};
use crate::queue::{Discipline, Queue, recycle};
use crate::random::Random;
use crate::time::Time;

const NANOS_PER_SEC: u64 = 1_000_000_000;

/// How fast a link sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rate {
    /// Without any serialisation delay: nothing ever queues.
    Unlimited,
    /// This many bits per second.
    Constant(u64),
    /// From each time on that many bits per second, in ascending order; before the first, as fast as the first.
    /// 0 is an outage in which the queue waits.
    Schedule(Vec<(Time, u64)>),
}

impl Rate {
    /// Bits per second at `now`; `None` when unlimited.
    #[must_use]
    pub fn at(&self, now: Time) -> Option<u64> {
        match self {
            Self::Unlimited => None,
            Self::Constant(bps) => Some(*bps),
            Self::Schedule(steps) => {
                let passed = steps.partition_point(|&(from, _)| from <= now);
                Some(steps.get(passed.saturating_sub(1)).map_or(0, |&(_, bps)| bps))
            }
        }
    }

    fn largest(&self) -> u64 {
        match self {
            Self::Unlimited => 0,
            Self::Constant(bps) => *bps,
            Self::Schedule(steps) => steps.iter().map(|&(_, bps)| bps).max().unwrap_or(0),
        }
    }

    /// [`Self::finish`] within the step of the moment, where 64 bits suffice: so it is for nearly every packet.
    fn finish_soon(steps: &[(Time, u64)], now: Time, bits: u64) -> Option<Time> {
        let index = steps.partition_point(|&(from, _)| from <= now).saturating_sub(1);
        let bps = steps.get(index)?.1;
        let left = bits.checked_mul(NANOS_PER_SEC).filter(|_| bps > 0)?;
        let at = now + Duration::from_nanos(left.div_ceil(bps));
        steps.get(index + 1).is_none_or(|&(end, _)| at <= end).then_some(at)
    }

    /// When `bits` that start at `now` have been sent; `None` when never.
    fn finish(&self, now: Time, bits: u64) -> Option<Time> {
        let steps: &[(Time, u64)] = match self {
            Self::Unlimited => return Some(now),
            Self::Constant(bps) => &[(Time::ZERO, *bps)],
            Self::Schedule(steps) => steps,
        };
        if let Some(at) = Self::finish_soon(steps, now, bits) {
            return Some(at);
        }
        let mut left = u128::from(bits) * u128::from(NANOS_PER_SEC);
        let mut at = now;
        let mut index = steps.partition_point(|&(from, _)| from <= now).saturating_sub(1);
        loop {
            let bps = u128::from(steps.get(index)?.1);
            let end = steps.get(index + 1).map(|&(from, _)| from);
            let room = end.map(|end| u128::from(end.as_nanos() - at.as_nanos()) * bps);
            if bps > 0 && room.is_none_or(|room| left <= room) {
                let nanos = u64::try_from(left.div_ceil(bps)).ok()?;
                return Some(at + Duration::from_nanos(nanos));
            }
            left -= room?;
            at = end?;
            index += 1;
        }
    }
}

/// When the queue refuses a packet (drop-tail). The packet being sent counts as queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueLimit {
    /// Never.
    Unlimited,
    /// When it would hold more than this many bytes.
    Bytes(u64),
    /// When it would take longer than this to empty at the rate of the moment (at the largest one in an outage).
    Time(Duration),
}

/// How the delay varies from packet to packet: truncated Gaussian, symmetric, ±3 deviations (RFC 8868 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jitter {
    /// The deviation.
    pub deviation: Duration,
    /// Whether a packet may overtake one before it; otherwise it waits behind.
    pub reorders: bool,
}

/// Two states, lossy in both at will (E. Gilbert 1960, E. Elliott 1963). Moves once a packet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GilbertElliott {
    /// Probability of good → bad before a packet.
    pub good_to_bad: f64,
    /// Probability of bad → good before a packet; the mean stay in the bad state is 1 over this.
    pub bad_to_good: f64,
    /// Loss probability in the good state.
    pub loss_good: f64,
    /// Loss probability in the bad state.
    pub loss_bad: f64,
}

impl GilbertElliott {
    /// Losses in bursts of `burst` packets on average (≥ 1), `ratio` of all packets in the long run.
    #[must_use]
    pub fn bursts(ratio: f64, burst: f64) -> Self {
        let bad_to_good = 1.0 / burst;
        Self { good_to_bad: ratio * bad_to_good / (1.0 - ratio), bad_to_good, loss_good: 0.0, loss_bad: 1.0 }
    }

    /// The share of packets lost in the long run.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        let bad = self.good_to_bad / (self.good_to_bad + self.bad_to_good);
        bad * self.loss_bad + (1.0 - bad) * self.loss_good
    }
}

/// Which packets a link loses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// None.
    None,
    /// Each with this probability, independently.
    Random(f64),
    /// In bursts.
    GilbertElliott(GilbertElliott),
}

/// One direction of a link. [`Default`] is a perfect one.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// How fast it sends.
    pub rate: Rate,
    /// When its queue is full.
    pub queue: QueueLimit,
    /// What the queue does on its own.
    pub discipline: Discipline,
    /// Bytes added to each payload on the wire: 28 for IPv4 and UDP.
    pub overhead: u16,
    /// The largest UDP payload it carries; larger ones vanish.
    pub payload_max: usize,
    /// Propagation delay.
    pub delay: Duration,
    /// Variation of it.
    pub jitter: Option<Jitter>,
    /// Losses.
    pub loss: Loss,
    /// Probability that a packet arrives twice.
    pub duplicate: f64,
    /// Probability that a packet is held back by [`Self::reorder_delay`] while later ones pass.
    pub reorder: f64,
    /// How long a reordered packet is held back.
    pub reorder_delay: Duration,
    /// Probability that one to four bits of a packet flip.
    pub corrupt: f64,
    /// Probability that a packet loses its end.
    pub truncate: f64,
    /// While these last, what leaves the queue is lost.
    pub blackouts: Vec<Range<Time>>,
    /// ECN-capable packets that spent this long or longer in the queue are marked.
    pub mark_above: Option<Duration>,
    /// What is sent arrives in bursts, at whole multiples of this: a radio that aggregates.
    pub aggregate: Option<Duration>,
    /// Keep the queueing delay of every packet ([`LinkStats::sojourns_us`]).
    pub record_sojourns: bool,
    /// Keep a [`Passage`] for every packet sent ([`LinkStats::passages`]).
    pub record_passages: bool,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            rate: Rate::Unlimited,
            queue: QueueLimit::Unlimited,
            discipline: Discipline::Fifo,
            overhead: 28,
            payload_max: 65_507,
            delay: Duration::ZERO,
            jitter: None,
            loss: Loss::None,
            duplicate: 0.0,
            reorder: 0.0,
            reorder_delay: Duration::ZERO,
            corrupt: 0.0,
            truncate: 0.0,
            blackouts: Vec::new(),
            mark_above: None,
            aggregate: None,
            record_sojourns: false,
            record_passages: false,
        }
    }
}

/// What a link did with the packets it was offered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Packets offered.
    pub offered: u64,
    /// Packets handed on, copies included.
    pub delivered: u64,
    /// Payload bytes handed on.
    pub delivered_bytes: u64,
    /// Refused by the full queue.
    pub dropped_queue: u64,
    /// Dropped by the queue's discipline.
    pub dropped_early: u64,
    /// Too large.
    pub dropped_size: u64,
    /// Lost at random or in bursts.
    pub lost: u64,
    /// Lost in a blackout.
    pub lost_blackout: u64,
    /// Sent twice.
    pub duplicated: u64,
    /// Held back.
    pub reordered: u64,
    /// Damaged.
    pub corrupted: u64,
    /// Cut short.
    pub truncated: u64,
    /// Marked with congestion experienced.
    pub marked: u64,
    /// The longest time a packet spent in the queue, its own transmission included.
    pub sojourn_max: Duration,
    /// That time for every packet sent, in µs, if the link records it.
    pub sojourns_us: Vec<u32>,
    /// Every packet sent, if the link records it.
    pub passages: Vec<Passage>,
}

/// A packet that was sent over a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passage {
    /// When its last bit left.
    pub at: Time,
    /// Who sent it.
    pub from: NodeId,
    /// Its size on the wire.
    pub bytes: u32,
    /// How long it waited before its own transmission began, in µs.
    pub waited_us: u32,
}

/// One direction of a link, by its order of addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub usize);

/// What happens when the packet at the head of a queue has been sent.
pub(crate) struct Departure {
    pub(crate) arrivals: [Option<(Time, Packet)>; 2],
    pub(crate) next_done: Option<Time>,
}

/// The packet under transmission.
struct Sending {
    entered: Time,
    began: Time,
    packet: Packet,
}

pub(crate) struct Link {
    pub(crate) config: LinkConfig,
    pub(crate) stats: LinkStats,
    random: Random,
    queue: Queue,
    sending: Option<Sending>,
    queued_bytes: u64,
    last_arrival: Time,
    bad: bool,
}

impl Link {
    pub(crate) fn new(config: LinkConfig, random: Random) -> Self {
        Self {
            config,
            stats: LinkStats::default(),
            random,
            queue: Queue::default(),
            sending: None,
            queued_bytes: 0,
            last_arrival: Time::ZERO,
            bad: false,
        }
    }

    pub(crate) const fn queued_bytes(&self) -> u64 {
        self.queued_bytes
    }

    /// Takes a packet into the queue, or gives it back. `Some` when the link was idle: when it will be sent.
    pub(crate) fn offer(&mut self, now: Time, packet: Packet) -> Result<Option<Time>, Packet> {
        self.stats.offered += 1;
        if packet.bytes.len() > self.config.payload_max {
            self.stats.dropped_size += 1;
            return Err(packet);
        }
        let size = self.wire_size(&packet);
        if self.is_full(now, self.queued_bytes + size) {
            self.stats.dropped_queue += 1;
            return Err(packet);
        }
        self.queued_bytes += size;
        if self.sending.is_none() {
            self.sending = Some(Sending { entered: now, began: now, packet });
            return Ok(self.config.rate.finish(now, size * 8));
        }
        self.queue.push(now, packet, self.config.discipline);
        Ok(None)
    }

    /// The packet under transmission has been sent.
    pub(crate) fn depart(&mut self, now: Time, pool: &mut Pool) -> Departure {
        let Sending { entered, began, mut packet } =
            self.sending.take().expect("a transmission ends only after it began");
        self.queued_bytes -= self.wire_size(&packet);
        let next_done = self.begin(now, pool);
        self.count_sojourn(now - entered);
        self.count_passage(now, began - entered, &packet);
        if self.is_lost(now) {
            pool.give(packet.bytes);
            return Departure { arrivals: [None, None], next_done };
        }
        self.mark(now - entered, &mut packet);
        self.damage(&mut packet);
        let copy = self.random.chance(self.config.duplicate).then(|| {
            self.stats.duplicated += 1;
            let mut bytes = pool.take();
            bytes.extend_from_slice(&packet.bytes);
            Packet { bytes, ..packet }
        });
        let first = self.arrive(now, packet);
        let second = copy.map(|copy| self.arrive(now, copy));
        Departure { arrivals: [Some(first), second], next_done }
    }

    /// Starts to send what waits, if anything does; when it will be sent.
    fn begin(&mut self, now: Time, pool: &mut Pool) -> Option<Time> {
        let drop = recycle(pool, &mut self.queued_bytes, self.config.overhead);
        let (next, early) = self.queue.pop(now, self.config.discipline, &mut self.random, drop);
        self.stats.dropped_early += early.dropped;
        self.stats.marked += early.marked;
        let (entered, packet) = next?;
        let done = self.config.rate.finish(now, self.wire_size(&packet) * 8);
        self.sending = Some(Sending { entered, began: now, packet });
        done
    }

    fn arrive(&mut self, now: Time, packet: Packet) -> (Time, Packet) {
        self.stats.delivered += 1;
        self.stats.delivered_bytes += packet.bytes.len() as u64;
        let mut at = now + self.config.delay;
        if let Some(grain) = self.config.aggregate {
            at = at + grain.saturating_sub(Duration::from_nanos(now.as_nanos() % grain.as_nanos() as u64));
        }
        if let Some(jitter) = self.config.jitter {
            let deviation = self.random.gaussian();
            let shift = jitter.deviation.mul_f64(deviation.abs());
            // Never before it was sent, whatever the deviation.
            at = if deviation < 0.0 { now + self.config.delay.saturating_sub(shift) } else { at + shift };
            if !jitter.reorders {
                at = at.max(self.last_arrival);
            }
        }
        if self.random.chance(self.config.reorder) {
            self.stats.reordered += 1;
            return (at + self.config.reorder_delay, packet);
        }
        self.last_arrival = self.last_arrival.max(at);
        (at, packet)
    }

    fn is_full(&self, now: Time, bytes: u64) -> bool {
        match self.config.queue {
            QueueLimit::Unlimited => false,
            QueueLimit::Bytes(most) => bytes > most,
            QueueLimit::Time(most) => {
                let Some(current) = self.config.rate.at(now) else {
                    return false;
                };
                let bps = if current == 0 { self.config.rate.largest() } else { current };
                let nanos = u128::from(bytes) * 8 * u128::from(NANOS_PER_SEC);
                nanos > most.as_nanos() * u128::from(bps)
            }
        }
    }

    fn is_lost(&mut self, now: Time) -> bool {
        if self.config.blackouts.iter().any(|blackout| blackout.contains(&now)) {
            self.stats.lost_blackout += 1;
            return true;
        }
        let lost = match self.config.loss {
            Loss::None => false,
            Loss::Random(probability) => self.random.chance(probability),
            Loss::GilbertElliott(model) => {
                let leave = if self.bad { model.bad_to_good } else { model.good_to_bad };
                self.bad ^= self.random.chance(leave);
                self.random.chance(if self.bad { model.loss_bad } else { model.loss_good })
            }
        };
        self.stats.lost += u64::from(lost);
        lost
    }

    fn mark(&mut self, sojourn: Duration, packet: &mut Packet) {
        let capable = packet.ecn == Ecn::Ect0 || packet.ecn == Ecn::Ect1;
        if capable && self.config.mark_above.is_some_and(|most| sojourn >= most) {
            packet.ecn = Ecn::Ce;
            self.stats.marked += 1;
        }
    }

    fn damage(&mut self, packet: &mut Packet) {
        let bits = packet.bytes.len() as u64 * 8;
        if bits > 0 && self.random.chance(self.config.corrupt) {
            self.stats.corrupted += 1;
            // Neighbouring bits, so that no two flips undo each other.
            let first = self.random.below(bits);
            for bit in first..(first + 1 + self.random.below(4)).min(bits) {
                let byte = usize::try_from(bit / 8).expect("a packet's length fits usize");
                packet.bytes[byte] ^= 1 << (bit % 8);
            }
        }
        if bits > 0 && self.random.chance(self.config.truncate) {
            self.stats.truncated += 1;
            let kept = self.random.below(bits / 8);
            packet.bytes.truncate(usize::try_from(kept).expect("a packet's length fits usize"));
        }
    }

    fn count_sojourn(&mut self, sojourn: Duration) {
        self.stats.sojourn_max = self.stats.sojourn_max.max(sojourn);
        if self.config.record_sojourns {
            self.stats.sojourns_us.push(u32::try_from(sojourn.as_micros()).unwrap_or(u32::MAX));
        }
    }

    fn count_passage(&mut self, now: Time, waited: Duration, packet: &Packet) {
        if self.config.record_passages {
            self.stats.passages.push(Passage {
                at: now,
                from: packet.from,
                bytes: u32::try_from(self.wire_size(packet)).unwrap_or(u32::MAX),
                waited_us: u32::try_from(waited.as_micros()).unwrap_or(u32::MAX),
            });
        }
    }

    fn wire_size(&self, packet: &Packet) -> u64 {
        packet.bytes.len() as u64 + u64::from(self.config.overhead)
    }
}
