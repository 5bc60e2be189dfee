//! What waits for a link: who is sent next, who is marked, and who is dropped instead.
//!
//! Whether a packet may enter at all is the link's decision ([`crate::QueueLimit`]); here are the ways an active
//! queue shortens itself.

use core::time::Duration;
use std::collections::VecDeque;

use rift::Ecn;

use crate::packet::{Packet, Pool};
use crate::random::Random;
use crate::time::Time;

/// How a queue behaves once a packet is in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Discipline {
    /// First in, first out, never early.
    #[default]
    Fifo,
    /// Controlled delay (RFC 8289): drops at the head once the delay was above `target` for an `interval`.
    CoDel {
        /// Delay that may stand, 5 ms in the RFC.
        target: Duration,
        /// Time it may take, 100 ms in the RFC.
        interval: Duration,
    },
    /// Two coupled queues (RFC 9332, DualPI2): ECT(1) waits in its own, which is served first and marked on a ramp;
    /// everything else is held at `target` by dropping (or marking, when ECT(0)).
    DualQueue {
        /// Delay of the classic queue, 15 ms in the RFC.
        target: Duration,
        /// Delay in the low-latency queue at which marking starts.
        ramp_from: Duration,
        /// Delay at which every packet is marked.
        ramp_to: Duration,
    },
}

/// How much longer a classic packet must have waited to be served before a low-latency one (RFC 9332 appendix A).
const TIME_SHIFT: Duration = Duration::from_millis(50);
/// Time between two updates of the classic drop probability (RFC 9332 appendix A.1).
const UPDATE: Duration = Duration::from_millis(16);
/// Gains of that controller, per second of delay and update: `0.16 Hz · 16 ms` and `3.2 Hz · 16 ms`, over 16 ms.
const ALPHA: f64 = 0.16;
const BETA: f64 = 3.2;
/// Coupling factor (RFC 9332 §2.1).
const COUPLING: f64 = 2.0;

/// What a queue did on its own.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Early {
    pub(crate) dropped: u64,
    pub(crate) marked: u64,
}

/// Packets that wait, each with the time it entered.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    classic: VecDeque<(Time, Packet)>,
    swift: VecDeque<(Time, Packet)>,
    codel: CoDel,
    pi: Pi,
}

#[derive(Debug, Default)]
struct CoDel {
    first_above: Option<Time>,
    dropping: bool,
    next_drop: Time,
    count: u32,
    last_count: u32,
}

#[derive(Debug, Default)]
struct Pi {
    probability: f64,
    updated: Time,
    delay_before: Duration,
}

impl Queue {
    pub(crate) fn push(&mut self, now: Time, packet: Packet, discipline: Discipline) {
        let dual = matches!(discipline, Discipline::DualQueue { .. });
        if dual && (packet.ecn == Ecn::Ect1 || packet.ecn == Ecn::Ce) {
            self.swift.push_back((now, packet));
        } else {
            self.classic.push_back((now, packet));
        }
    }

    /// The packet to send next and when it entered; what is dropped on the way goes back to the pool, and its wire
    /// size, by `size`, out of `queued_bytes`.
    pub(crate) fn pop(
        &mut self,
        now: Time,
        discipline: Discipline,
        random: &mut Random,
        mut drop: impl FnMut(Packet),
    ) -> (Option<(Time, Packet)>, Early) {
        let mut early = Early::default();
        let next = match discipline {
            Discipline::Fifo => self.classic.pop_front(),
            Discipline::CoDel { target, interval } => {
                self.pop_codel(now, (target, interval), &mut early, &mut drop)
            }
            Discipline::DualQueue { target, ramp_from, ramp_to } => {
                self.update_pi(now, target);
                self.pop_dual(now, (ramp_from, ramp_to), random, &mut early, &mut drop)
            }
        };
        (next, early)
    }

    fn pop_codel(
        &mut self,
        now: Time,
        (target, interval): (Duration, Duration),
        early: &mut Early,
        drop: &mut impl FnMut(Packet),
    ) -> Option<(Time, Packet)> {
        let mut head = self.classic.pop_front();
        let mut above = self.codel.stands(now, head.as_ref(), target, interval, self.classic.len());
        let codel = &mut self.codel;
        if codel.dropping && !above {
            codel.dropping = false;
        } else if codel.dropping {
            while self.codel.dropping && now >= self.codel.next_drop {
                let Some((_, packet)) = head.take() else { break };
                drop(packet);
                early.dropped += 1;
                self.codel.count += 1;
                head = self.classic.pop_front();
                above = self.codel.stands(now, head.as_ref(), target, interval, self.classic.len());
                self.codel.dropping = above;
                self.codel.next_drop = self.codel.next_drop + self.codel.spacing(interval);
            }
        } else if above {
            if let Some((_, packet)) = head.take() {
                drop(packet);
                early.dropped += 1;
            }
            head = self.classic.pop_front();
            let codel = &mut self.codel;
            codel.dropping = true;
            let recent = now - codel.next_drop < 16 * interval;
            let delta = codel.count.saturating_sub(codel.last_count);
            codel.count = if recent && delta > 1 { delta } else { 1 };
            codel.last_count = codel.count;
            codel.next_drop = now + codel.spacing(interval);
        }
        head
    }

    fn pop_dual(
        &mut self,
        now: Time,
        (ramp_from, ramp_to): (Duration, Duration),
        random: &mut Random,
        early: &mut Early,
        drop: &mut impl FnMut(Packet),
    ) -> Option<(Time, Packet)> {
        loop {
            let swift = self.swift.front().map(|&(at, _)| now - at + TIME_SHIFT);
            let classic = self.classic.front().map(|&(at, _)| now - at);
            if swift.is_some() && swift >= classic {
                let (at, mut packet) = self.swift.pop_front()?;
                let waited = (now - at).as_secs_f64();
                let (from, to) = (ramp_from.as_secs_f64(), ramp_to.as_secs_f64());
                let ramp = if waited >= to { 1.0 } else { ((waited - from) / (to - from)).max(0.0) };
                if packet.ecn == Ecn::Ect1 && random.chance(ramp.max(COUPLING * self.pi.probability)) {
                    packet.ecn = Ecn::Ce;
                    early.marked += 1;
                }
                return Some((at, packet));
            }
            let (at, mut packet) = self.classic.pop_front()?;
            // One packet may always stand: an empty queue is no use to a slow link.
            let squared = self.pi.probability * self.pi.probability;
            if !self.classic.is_empty() && random.chance(squared) {
                if packet.ecn != Ecn::Ect0 {
                    drop(packet);
                    early.dropped += 1;
                    continue;
                }
                packet.ecn = Ecn::Ce;
                early.marked += 1;
            }
            return Some((at, packet));
        }
    }

    fn update_pi(&mut self, now: Time, target: Duration) {
        while now - self.pi.updated >= UPDATE {
            self.pi.updated = self.pi.updated + UPDATE;
            let delay = self.classic.front().map_or(Duration::ZERO, |&(at, _)| now - at);
            let (delay_s, target_s) = (delay.as_secs_f64(), target.as_secs_f64());
            let change = ALPHA * (delay_s - target_s) + BETA * (delay_s - self.pi.delay_before.as_secs_f64());
            self.pi.probability = (self.pi.probability + change).clamp(0.0, 1.0);
            self.pi.delay_before = delay;
        }
    }
}

impl CoDel {
    /// Whether the delay was above the target for an interval, seen at this head of the queue.
    fn stands(
        &mut self,
        now: Time,
        head: Option<&(Time, Packet)>,
        target: Duration,
        interval: Duration,
        behind: usize,
    ) -> bool {
        match head {
            Some(&(at, _)) if now - at >= target && behind > 0 => match self.first_above {
                Some(since) => now >= since,
                None => {
                    self.first_above = Some(now + interval);
                    false
                }
            },
            Some(_) | None => {
                self.first_above = None;
                false
            }
        }
    }

    fn spacing(&self, interval: Duration) -> Duration {
        interval.div_f64(f64::from(self.count.max(1)).sqrt())
    }
}

/// A drop gives the buffer back.
pub(crate) fn recycle<'a>(
    pool: &'a mut Pool,
    queued_bytes: &'a mut u64,
    overhead: u16,
) -> impl FnMut(Packet) + 'a {
    move |packet| {
        *queued_bytes -= packet.bytes.len() as u64 + u64::from(overhead);
        pool.give(packet.bytes);
    }
}
