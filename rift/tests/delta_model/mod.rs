//! A sender under DELTA and one bottleneck, in virtual time.
//!
//! The model is small on purpose: one drop-tail queue, one sender of paced pictures, feedback every 15 ms.

#![allow(dead_code, unreachable_pub, reason = "each test that includes this uses a part of it")]

use std::collections::VecDeque;

use rift::Instant;
use rift::delta::{Budget, Config, Delta, Outcome, PacketReport, State, Stats};
use rift::pacing::Pacer;

const TICK_US: u64 = 100;
pub const SEEDS: [u64; 3] = [1, 2, 3];
const SHARD: usize = 1166;
const HEADER: usize = 34;
const PICTURE_US: u64 = 16_667;
const FEEDBACK_US: u64 = 15_000;

/// What is special about a run; the rest is a 20 Mbit/s link of 20 ms one way with a queue of 300 ms.
#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    pub seconds: u64,
    pub link: fn(u64) -> u64,
    pub one_way_us: u64,
    /// Added to the way from the tenth second on.
    pub reroute_us: u64,
    pub queue_us: u64,
    pub loss_permille: u64,
    pub jitter_us: u64,
    /// Deviation of a Gaussian jitter that reorders, truncated at three deviations.
    pub deviation_us: u64,
    pub clock_offset_us: u64,
    pub clock_ppm: i64,
    /// The application's share of what the encoder may use, by time in µs, in percent.
    pub demand_percent: fn(u64) -> u64,
    /// The most the application wants, by time in µs, in bit/s.
    pub demand_bps: fn(u64) -> u64,
    /// Whether feedback passes at this time.
    pub feedback: fn(u64) -> bool,
    /// Packets are marked when they wait longer than this.
    pub mark_us: u64,
    /// The limits of the sender.
    pub config: Config,
    pub seed: u64,
}

pub const USUAL: Case = Case {
    name: "",
    seconds: 20,
    link: |_| 20_000_000,
    one_way_us: 20_000,
    reroute_us: 0,
    queue_us: 300_000,
    loss_permille: 0,
    jitter_us: 0,
    deviation_us: 0,
    clock_offset_us: 7_000_000_000,
    clock_ppm: 0,
    demand_percent: |_| 100,
    demand_bps: |_| u64::MAX,
    feedback: |_| true,
    mark_us: u64::MAX,
    config: Config { bitrate_bps_min: 200_000, bitrate_bps_start: 1_500_000, bitrate_bps_max: 100_000_000 },
    seed: 1,
};

/// One sample each 10 ms.
pub struct Sample {
    pub at_us: u64,
    pub grant_bps: u64,
    pub budget: Budget,
    pub stats: Stats,
    pub state: State,
}

pub struct Outcomes {
    pub name: &'static str,
    pub samples: Vec<Sample>,
    /// Arrival and bytes of each packet, and what it waited.
    pub arrivals: Vec<(u64, u64, u64)>,
    pub link: fn(u64) -> u64,
}

pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

struct InFlight {
    sent_at: Instant,
    bytes: u16,
    /// Arrival in true time; `None` when lost.
    arrival: Option<(u64, bool)>,
}

pub struct Model {
    case: Case,
    delta: Delta,
    pacer: Pacer,
    random: Random,
    link_free_us: u64,
    last_arrival_us: u64,
    backlog: VecDeque<u16>,
    unreported: VecDeque<InFlight>,
    /// Feedback under way: when it comes, and its reports.
    returning: VecDeque<(u64, Vec<PacketReport>)>,
    result: Outcomes,
}

impl Model {
    pub fn run(case: Case) -> Outcomes {
        let mut model = Self {
            case,
            delta: Delta::new(&case.config),
            pacer: Pacer::new(Instant::ZERO),
            random: Random(case.seed),
            link_free_us: 0,
            last_arrival_us: 0,
            backlog: VecDeque::new(),
            unreported: VecDeque::new(),
            returning: VecDeque::new(),
            result: Outcomes { name: case.name, samples: Vec::new(), arrivals: Vec::new(), link: case.link },
        };
        for tick in 0..case.seconds * 1_000_000 / TICK_US {
            model.tick(tick * TICK_US);
        }
        model.result
    }

    fn tick(&mut self, now_us: u64) {
        let now = Instant::from_micros(now_us);
        let rtt_us = 2 * self.case.one_way_us as u32 + 8_000;
        while self.returning.front().is_some_and(|(at, _)| *at <= now_us) {
            if let Some((_, reports)) = self.returning.pop_front() {
                self.delta.on_feedback(now, rtt_us, reports.into_iter());
            }
        }
        if self.delta.poll_timeout().is_some_and(|at| at <= now) {
            self.delta.handle_timeout(now);
        }
        let budget = self.delta.budget();
        self.pacer.set_rate(u64::from(budget.pacing_bps));
        if now_us % PICTURE_US < TICK_US {
            self.picture(now_us, &budget);
        }
        while let Some(bytes) = self.backlog.front().map(|bytes| usize::from(*bytes))
            && self.delta.sendable_bytes(now) >= bytes
            && self.pacer.ready_at(now, bytes) <= now
        {
            self.backlog.pop_front();
            self.send(now, bytes);
        }
        if now_us % FEEDBACK_US < TICK_US {
            self.report(now_us);
        }
        if now_us.is_multiple_of(10_000) {
            self.result.samples.push(Sample {
                at_us: now_us,
                grant_bps: u64::from(budget.pacing_bps),
                budget,
                stats: self.delta.stats(),
                state: budget.state,
            });
        }
    }

    /// A picture of the granted size, give or take a fifth; skipped while much of the last still waits to leave.
    fn picture(&mut self, now_us: u64, budget: &Budget) {
        let demand = (self.case.demand_percent)(now_us);
        let bps = u64::from(budget.bitrate_bps).min((self.case.demand_bps)(now_us));
        let bits = bps * PICTURE_US / 1_000_000 * demand / 100;
        let bytes = (bits * (80 + self.random.below(41)) / 100 / 8) as usize;
        let shards = bytes.div_ceil(SHARD);
        if self.backlog.len() > shards / 3 {
            return;
        }
        for shard in 0..shards {
            self.backlog.push_back((HEADER + SHARD.min(bytes - shard * SHARD)) as u16);
        }
        for _ in 0..self.delta.parity_for(shards) {
            self.backlog.push_back((HEADER + SHARD) as u16);
        }
    }

    fn send(&mut self, now: Instant, bytes: usize) {
        self.delta.on_sent(now, bytes);
        self.pacer.on_sent(now, bytes);
        let now_us = now.as_micros();
        let waits = self.link_free_us.saturating_sub(now_us);
        let dropped = waits > self.case.queue_us;
        let mut arrival = None;
        if !dropped {
            let rate = (self.case.link)(now_us.max(self.link_free_us));
            self.link_free_us = now_us.max(self.link_free_us) + bytes as u64 * 8_000_000 / rate;
            let jitter = if self.case.jitter_us > 0 { self.random.below(self.case.jitter_us) } else { 0 };
            let reroute = if now_us >= 10_000_000 { self.case.reroute_us } else { 0 };
            let at = self.link_free_us + self.case.one_way_us + reroute + jitter;
            let at = if self.case.deviation_us > 0 {
                at.saturating_add_signed(self.gaussian_us()).max(self.link_free_us)
            } else {
                at.max(self.last_arrival_us)
            };
            self.last_arrival_us = self.last_arrival_us.max(at);
            if self.random.below(1000) >= self.case.loss_permille {
                arrival = Some((at, waits > self.case.mark_us));
                self.result.arrivals.push((at, bytes as u64, waits));
            }
        }
        self.unreported.push_back(InFlight { sent_at: now, bytes: bytes as u16, arrival });
    }

    fn gaussian_us(&mut self) -> i64 {
        let unit = 1_000_000;
        loop {
            let sum = (0..12).map(|_| self.random.below(unit)).sum::<u64>() as i64 - 6 * unit as i64;
            if sum.abs() <= 3 * unit as i64 {
                return sum * self.case.deviation_us as i64 / unit as i64;
            }
        }
    }

    /// What arrived by now is reported; what did not and was sent before the latest arrival is lost.
    fn report(&mut self, now_us: u64) {
        if !(self.case.feedback)(now_us) {
            return;
        }
        let there = |packet: &InFlight| packet.arrival.is_some_and(|(at, _)| at <= now_us);
        let Some(mut last) = self.unreported.iter().rposition(there) else { return };
        if self.case.deviation_us > 0 {
            // A packet that may yet be overtaken by its elders is not reported before them.
            let under_way = |packet: &InFlight| packet.arrival.is_some_and(|(at, _)| at > now_us);
            match self.unreported.iter().position(under_way) {
                Some(0) => return,
                Some(first) => last = last.min(first - 1),
                None => {}
            }
        }
        let clock = |at: u64| {
            let drift = at as i64 * self.case.clock_ppm / 1_000_000;
            (at + self.case.clock_offset_us).wrapping_add_signed(drift)
        };
        let reports = self.unreported.drain(..=last).map(|packet| PacketReport {
            sent_at: packet.sent_at,
            bytes: packet.bytes,
            outcome: packet
                .arrival
                .map_or(Outcome::Lost, |(at, ce)| Outcome::Arrived { at_us: clock(at), ce }),
        });
        self.returning.push_back((now_us + self.case.one_way_us, reports.collect()));
    }
}

impl Outcomes {
    /// Delivered share of the link from `from` to `to`, in thousandths.
    pub fn utilisation(&self, from_s: f64, to_s: f64) -> u64 {
        let (from, to) = ((from_s * 1e6) as u64, (to_s * 1e6) as u64);
        let bits: u64 = self.arrivals.iter().filter(|a| (from..to).contains(&a.0)).map(|a| a.1 * 8).sum();
        let capacity: u64 = (from..to).step_by(1000).map(|at| (self.link)(at) / 1000).sum();
        bits * 1000 / capacity
    }

    /// Quantile of what packets waited at the bottleneck, in µs.
    pub fn queue_us(&self, permille: usize, from_s: f64) -> u64 {
        let from = (from_s * 1e6) as u64;
        let mut waits: Vec<_> = self.arrivals.iter().filter(|a| a.0 >= from).map(|a| a.2).collect();
        waits.sort_unstable();
        waits[(waits.len() - 1) * permille / 1000]
    }

    pub fn grant_at(&self, at_s: f64) -> u64 {
        self.samples[(at_s * 100.0) as usize].grant_bps
    }

    pub fn lowest_between(&self, from_s: f64, to_s: f64) -> u64 {
        self.grants(from_s, to_s).fold(u64::MAX, u64::min)
    }

    pub fn highest_between(&self, from_s: f64, to_s: f64) -> u64 {
        self.grants(from_s, to_s).fold(0, u64::max)
    }

    pub fn grants(&self, from_s: f64, to_s: f64) -> impl Iterator<Item = u64> {
        self.samples[(from_s * 100.0) as usize..(to_s * 100.0) as usize].iter().map(|sample| sample.grant_bps)
    }

    pub fn mean_between(&self, from_s: f64, to_s: f64) -> u64 {
        self.grants(from_s, to_s).sum::<u64>() / self.grants(from_s, to_s).count() as u64
    }

    /// What arrived in this time, in bit/s.
    pub fn arrived_bps(&self, from_s: f64, to_s: f64) -> u64 {
        let (from, to) = ((from_s * 1e6) as u64, (to_s * 1e6) as u64);
        let bits: u64 = self.arrivals.iter().filter(|a| (from..to).contains(&a.0)).map(|a| a.1 * 8).sum();
        bits * 1_000_000 / (to - from)
    }

    /// How long after `from_s` a packet last waited longer than this within the next three seconds.
    pub fn drained_after_s(&self, from_s: f64, waits_us: u64) -> f64 {
        let (from, to) = ((from_s * 1e6) as u64, (from_s * 1e6) as u64 + 3_000_000);
        let long = self.arrivals.iter().filter(|a| (from..to).contains(&a.0) && a.2 > waits_us);
        long.map(|a| a.0).max().map_or(0.0, |at| (at - from) as f64 / 1e6)
    }

    /// When the grant first reached this.
    pub fn reached_s(&self, bps: u64) -> f64 {
        self.samples.iter().find(|s| s.grant_bps >= bps).map_or(f64::INFINITY, |s| s.at_us as f64 / 1e6)
    }

    pub fn row(&self, from_s: f64) -> String {
        let to_s = self.samples.len() as f64 / 100.0;
        let queue_ms = |permille| self.queue_us(permille, from_s) as f64 / 1000.0;
        format!(
            "| {:<28} | {:>5.1} | {:>6.1} | {:>6.1} | {:>6.1} | {:>6.2} |",
            self.name,
            self.utilisation(from_s, to_s) as f64 / 10.0,
            queue_ms(500),
            queue_ms(950),
            queue_ms(990),
            self.reached_s((self.link)(0) * 85 / 100),
        )
    }
}
