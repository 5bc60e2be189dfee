//! DELTA against a bottleneck in virtual time: ramp, cuts, loss, clocks, silence, idleness.
//!
//! The model is small on purpose: one drop-tail queue, one sender of paced pictures, feedback every 15 ms.

use std::collections::VecDeque;

use rift::Instant;
use rift::delta::{Budget, Config, Delta, Outcome, PacketReport, State, Stats};
use rift::pacing::Pacer;

const TICK_US: u64 = 100;
const SEEDS: [u64; 3] = [1, 2, 3];
const SHARD: usize = 1166;
const HEADER: usize = 34;
const PICTURE_US: u64 = 16_667;
const FEEDBACK_US: u64 = 15_000;

/// What is special about a run; the rest is a 20 Mbit/s link of 20 ms one way with a queue of 300 ms.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    seconds: u64,
    link: fn(u64) -> u64,
    one_way_us: u64,
    /// Added to the way from the tenth second on.
    reroute_us: u64,
    queue_us: u64,
    loss_permille: u64,
    jitter_us: u64,
    clock_offset_us: u64,
    clock_ppm: i64,
    /// The application's share of what the encoder may use, by time in µs, in percent.
    demand_percent: fn(u64) -> u64,
    /// Whether feedback passes at this time.
    feedback: fn(u64) -> bool,
    /// Packets are marked when they wait longer than this.
    mark_us: u64,
    seed: u64,
}

const USUAL: Case = Case {
    name: "",
    seconds: 20,
    link: |_| 20_000_000,
    one_way_us: 20_000,
    reroute_us: 0,
    queue_us: 300_000,
    loss_permille: 0,
    jitter_us: 0,
    clock_offset_us: 7_000_000_000,
    clock_ppm: 0,
    demand_percent: |_| 100,
    feedback: |_| true,
    mark_us: u64::MAX,
    seed: 1,
};

/// One sample each 10 ms.
struct Sample {
    at_us: u64,
    grant_bps: u64,
    stats: Stats,
    state: State,
}

struct Outcomes {
    name: &'static str,
    samples: Vec<Sample>,
    /// Arrival and bytes of each packet, and what it waited.
    arrivals: Vec<(u64, u64, u64)>,
    link: fn(u64) -> u64,
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
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

struct Model {
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
    fn run(case: Case) -> Outcomes {
        let config =
            Config { bitrate_bps_min: 200_000, bitrate_bps_start: 1_500_000, bitrate_bps_max: 100_000_000 };
        let mut model = Self {
            case,
            delta: Delta::new(&config),
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
                stats: self.delta.stats(),
                state: budget.state,
            });
        }
    }

    /// A picture of the granted size, give or take a fifth; skipped while much of the last still waits to leave.
    fn picture(&mut self, now_us: u64, budget: &Budget) {
        let demand = (self.case.demand_percent)(now_us);
        let bits = u64::from(budget.bitrate_bps) * PICTURE_US / 1_000_000 * demand / 100;
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
            let at = (self.link_free_us + self.case.one_way_us + reroute + jitter).max(self.last_arrival_us);
            self.last_arrival_us = at;
            if self.random.below(1000) >= self.case.loss_permille {
                arrival = Some((at, waits > self.case.mark_us));
                self.result.arrivals.push((at, bytes as u64, waits));
            }
        }
        self.unreported.push_back(InFlight { sent_at: now, bytes: bytes as u16, arrival });
    }

    /// What arrived by now is reported; what did not and was sent before the latest arrival is lost.
    fn report(&mut self, now_us: u64) {
        if !(self.case.feedback)(now_us) {
            return;
        }
        let there = |packet: &InFlight| packet.arrival.is_some_and(|(at, _)| at <= now_us);
        let Some(last) = self.unreported.iter().rposition(there) else { return };
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
    fn utilisation(&self, from_s: f64, to_s: f64) -> u64 {
        let (from, to) = ((from_s * 1e6) as u64, (to_s * 1e6) as u64);
        let bits: u64 = self.arrivals.iter().filter(|a| (from..to).contains(&a.0)).map(|a| a.1 * 8).sum();
        let capacity: u64 = (from..to).step_by(1000).map(|at| (self.link)(at) / 1000).sum();
        bits * 1000 / capacity
    }

    /// Quantile of what packets waited at the bottleneck, in µs.
    fn queue_us(&self, permille: usize, from_s: f64) -> u64 {
        let from = (from_s * 1e6) as u64;
        let mut waits: Vec<_> = self.arrivals.iter().filter(|a| a.0 >= from).map(|a| a.2).collect();
        waits.sort_unstable();
        waits[(waits.len() - 1) * permille / 1000]
    }

    fn grant_at(&self, at_s: f64) -> u64 {
        self.samples[(at_s * 100.0) as usize].grant_bps
    }

    fn lowest_between(&self, from_s: f64, to_s: f64) -> u64 {
        self.grants(from_s, to_s).fold(u64::MAX, u64::min)
    }

    fn highest_between(&self, from_s: f64, to_s: f64) -> u64 {
        self.grants(from_s, to_s).fold(0, u64::max)
    }

    fn grants(&self, from_s: f64, to_s: f64) -> impl Iterator<Item = u64> {
        self.samples[(from_s * 100.0) as usize..(to_s * 100.0) as usize].iter().map(|sample| sample.grant_bps)
    }

    /// When the grant first reached this.
    fn reached_s(&self, bps: u64) -> f64 {
        self.samples.iter().find(|s| s.grant_bps >= bps).map_or(f64::INFINITY, |s| s.at_us as f64 / 1e6)
    }

    fn row(&self, from_s: f64) -> String {
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

/// Printed for whoever tunes; what it must hold is asserted below and in the cases it lists.
#[test]
fn the_table_of_cases_stays_within_its_bounds() {
    println!("| case                         | use % | p50 ms | p95 ms | p99 ms | ramp s |");
    let cases = [
        (Case { name: "20 Mbit/s", ..USUAL }, 930, 16_000),
        (Case { name: "20 Mbit/s, 100 ms one way", one_way_us: 100_000, ..USUAL }, 930, 20_000),
        (
            Case { name: "40 Mbit/s, 2 ms one way", link: |_| 40_000_000, one_way_us: 2_000, ..USUAL },
            930,
            16_000,
        ),
        (
            Case { name: "1 Mbit/s, 50 ms one way", link: |_| 1_000_000, one_way_us: 50_000, ..USUAL },
            900,
            60_000,
        ),
        (Case { name: "2 % loss", loss_permille: 20, ..USUAL }, 900, 16_000),
        (Case { name: "5 % loss", loss_permille: 50, ..USUAL }, 850, 16_000),
        (Case { name: "20 % loss", loss_permille: 200, ..USUAL }, 600, 25_000),
        (Case { name: "jitter of 15 ms", jitter_us: 15_000, ..USUAL }, 850, 25_000),
        (Case { name: "jitter of 30 ms", jitter_us: 30_000, ..USUAL }, 350, 30_000),
        (Case { name: "clock +200 ppm", clock_ppm: 200, ..USUAL }, 930, 16_000),
        (Case { name: "clock -200 ppm", clock_ppm: -200, ..USUAL }, 930, 16_000),
        (Case { name: "marks above 1 ms", mark_us: 1_000, ..USUAL }, 550, 4_000),
        (Case { name: "queue of 20 ms", queue_us: 20_000, ..USUAL }, 930, 16_000),
        (Case { name: "30, 6, 30 Mbit/s", one_way_us: 10_000, link: drop_and_back, ..USUAL }, 820, 20_000),
    ];
    let mut missed = Vec::new();
    for (case, used_permille, p95_us) in cases {
        for seed in SEEDS {
            let outcomes = Model::run(Case { seed, ..case });
            println!("{}", outcomes.row(4.0));
            let (used, p95) = (outcomes.utilisation(4.0, 20.0), outcomes.queue_us(950, 4.0));
            if used < used_permille || p95 > p95_us {
                missed.push(format!("{}, seed {seed}: {used} of 1000 used, queue of {p95} us", case.name));
            }
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

fn drop_and_back(at_us: u64) -> u64 {
    if (8_000_000..14_000_000).contains(&at_us) { 6_000_000 } else { 30_000_000 }
}

#[test]
fn the_rate_ramps_to_85_percent_of_20_mbit_within_2500_ms() {
    for seed in SEEDS {
        let reached = Model::run(Case { seed, seconds: 4, ..USUAL }).reached_s(17_000_000);
        assert!(reached <= 2.5, "seed {seed}: after {reached} s");
    }
}

#[test]
fn the_rate_follows_a_link_that_halves_and_is_restored() {
    fn halved(at_us: u64) -> u64 {
        if (6_000_000..12_000_000).contains(&at_us) { 10_000_000 } else { 20_000_000 }
    }
    for seed in SEEDS {
        let outcomes = Model::run(Case { seed, link: halved, ..USUAL });
        let after = outcomes.highest_between(7.0, 12.0);
        assert!(after <= 11_500_000, "seed {seed}: still {after} bit/s a second after the link halved");
        assert!(outcomes.lowest_between(7.0, 12.0) >= 6_000_000, "seed {seed}: fell too far");
        let back = outcomes.lowest_between(16.0, 20.0);
        assert!(back >= 17_000_000, "seed {seed}: only {back} bit/s four seconds after it was restored");
    }
}

#[test]
fn random_loss_of_two_percent_costs_little_rate() {
    for seed in SEEDS {
        let used = Model::run(Case { seed, loss_permille: 20, ..USUAL }).utilisation(4.0, 20.0);
        assert!(used >= 850, "seed {seed}: {used} of 1000 used");
    }
}

#[test]
fn a_longer_path_is_not_taken_for_a_queue_for_long() {
    for seed in SEEDS {
        let outcomes = Model::run(Case { seed, reroute_us: 30_000, ..USUAL });
        let lowest = outcomes.lowest_between(10.0, 20.0);
        assert!(lowest >= 2_000_000, "seed {seed}: fell to {lowest} bit/s");
        let used = outcomes.utilisation(13.0, 20.0);
        assert!(used >= 900, "seed {seed}: {used} of 1000 used three seconds later");
    }
}

#[test]
fn the_offset_of_the_clocks_makes_no_difference() {
    let grants = |offset| -> Vec<_> {
        let outcomes = Model::run(Case { clock_offset_us: offset, seconds: 8, ..USUAL });
        outcomes.samples.iter().map(|sample| sample.grant_bps).collect()
    };
    // Multiples of the estimator's windows, so that only the offset differs and every decision must be the same.
    let (small, large) = (grants(1_000_000), grants(900_000_000_000));
    assert_eq!(small, large);
}

#[test]
fn drifting_clocks_make_little_difference() {
    let used = |clock_ppm| Model::run(Case { clock_ppm, seconds: 30, ..USUAL }).utilisation(4.0, 30.0);
    let (straight, fast, slow) = (used(0), used(200), used(-200));
    assert!(fast + 30 >= straight && slow + 30 >= straight, "{straight} {fast} {slow}");
}

#[test]
fn silence_stops_growth_and_then_sending() {
    let outcomes = Model::run(Case { feedback: |at| !(5_000_000..8_000_000).contains(&at), ..USUAL });
    // What was under way when it fell silent still arrives.
    let before = outcomes.grant_at(5.05);
    assert!(outcomes.highest_between(5.05, 8.0) <= before, "the rate grew in silence");
    let sent = |at_s: f64| outcomes.samples[(at_s * 100.0) as usize].stats.in_flight_bytes;
    let window = before / 8 * 2 / 5;
    assert!(sent(7.9) <= window, "{} bytes in flight after three seconds of silence", sent(7.9));
    assert!(outcomes.grant_at(7.9) < before / 4, "the grant did not fall");
    assert!(outcomes.samples[790].state == State::Congested);
    assert!(outcomes.lowest_between(12.0, 20.0) >= 15_000_000, "the rate did not come back");
}

#[test]
fn an_idle_application_never_raises_the_rate() {
    fn idle(at_us: u64) -> u64 {
        if (5_000_000..15_000_000).contains(&at_us) { 20 } else { 100 }
    }
    let outcomes = Model::run(Case { link: |_| 50_000_000, demand_percent: idle, ..USUAL });
    let before = outcomes.grant_at(5.5);
    let during = outcomes.highest_between(5.5, 15.0);
    assert!(during <= before, "grew from {before} to {during} bit/s while a fifth was used");
}

#[test]
fn idleness_from_the_start_never_raises_the_rate() {
    let outcomes = Model::run(Case { demand_percent: |_| 30, ..USUAL });
    let grown = outcomes.highest_between(0.5, 20.0);
    assert!(grown <= 1_600_000, "grew to {grown} bit/s while a third of 1.5 Mbit/s was used");
}

#[test]
fn marks_keep_the_queue_shorter_than_delay_alone() {
    let marked = Model::run(Case { mark_us: 1_000, ..USUAL }).queue_us(950, 4.0);
    let unmarked = Model::run(USUAL).queue_us(950, 4.0);
    assert!(marked * 2 < unmarked, "{marked} against {unmarked} us");
}

#[test]
fn the_same_history_gives_the_same_decisions() {
    let grants = || -> Vec<_> {
        let outcomes = Model::run(Case { loss_permille: 30, jitter_us: 5_000, ..USUAL });
        outcomes.samples.iter().map(|sample| (sample.grant_bps, sample.stats)).collect()
    };
    assert_eq!(grants(), grants());
}

#[test]
fn hostile_reports_are_survived() {
    let config = Config { bitrate_bps_min: 0, bitrate_bps_start: u32::MAX, bitrate_bps_max: u32::MAX };
    let mut random = Random(0x5eed_0006);
    let mut delta = Delta::new(&config);
    for round in 0..20_000_u64 {
        let wild = |random: &mut Random| match random.below(4) {
            0 => 0,
            1 => u64::MAX,
            2 => random.below(1 << 31) << random.below(33),
            _ => round * 1000 + random.below(5000),
        };
        let now = Instant::from_micros(wild(&mut random));
        delta.on_sent(now, random.below(1 << 30) as usize);
        let reports = (0..random.below(8)).map(|_| PacketReport {
            sent_at: Instant::from_micros(wild(&mut random)),
            bytes: random.below(65_536) as u16,
            outcome: match random.below(3) {
                0 => Outcome::Lost,
                ce => Outcome::Arrived { at_us: wild(&mut random), ce: ce == 1 },
            },
        });
        let reports: Vec<_> = reports.collect();
        delta.on_feedback(now, random.below(1 << 32) as u32, reports.into_iter());
        if delta.poll_timeout().is_some() {
            delta.handle_timeout(now);
        }
        let (budget, stats) = (delta.budget(), delta.stats());
        assert!(budget.pacing_bps >= 1000 && budget.bitrate_bps <= budget.pacing_bps, "{budget:?} {stats:?}");
        let _ = (delta.sendable_bytes(now), delta.parity_for(usize::MAX));
    }
}
