//! Histories of a path to congestion control: paths of all kinds that change under it, and flight records of anybody
//! (SPEC §12.5, §12.6). What it grants lies within its limits, the same history gives the same grants, a record is the
//! same after a file, and nothing is waited for that was told.

use std::collections::VecDeque;

use rift::delta::{Config, Delta, Outcome, PacketReport};
use rift::flight::FlightEntry;
use rift::pacing::Pacer;
use rift::{Budget, Instant};

use crate::bytes::{Bytes, Noise, Script};
use crate::pair::START;
use crate::seeds::Seed;

const CONFIG: Config =
    Config { bitrate_bps_min: 300_000, bitrate_bps_start: 1_500_000, bitrate_bps_max: 12_000_000 };
/// Times of a record beyond this are none of a session's: 100 days.
const TIME_MAX: u64 = 1 << 43;
/// Entries of one record that are played.
const ENTRIES_MAX: usize = 2_000;
const PHASES_MAX: usize = 6;
const PHASE_US: u64 = 400_000;
const TICK_US: u64 = 1_000;
const FEEDBACK_TICKS: u64 = 15;
const PICTURE_TICKS: u64 = 17;
const SHARD: usize = 1_200;
/// The receiver's clock shows this more.
const OFFSET_US: u64 = 7_000_000_000;

/// Does what the bytes say; see the module.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    if bytes.flag() {
        record(bytes.rest());
    } else {
        let (one, other) = (Play::run(&mut bytes.clone()), Play::run(&mut bytes));
        assert!(one == other, "the same history gives the same grants");
    }
}

fn must_be_granted(delta: &Delta) {
    let budget = delta.budget();
    let limits = CONFIG.bitrate_bps_min..=CONFIG.bitrate_bps_max;
    assert!(limits.contains(&budget.pacing_bps), "{budget:?} beyond the limits");
    assert!((CONFIG.bitrate_bps_min..=budget.pacing_bps).contains(&budget.bitrate_bps), "{budget:?}");
    assert!(budget.parity_permille <= 500 && budget.pace_permille >= 1000, "{budget:?}");
    assert!(budget.picture_rate_millihertz_max.is_none_or(|rate| rate >= 10_000), "{budget:?}");
    let stats = delta.stats();
    assert!(stats.loss_permille <= 1000 && delta.parity_for(20) <= 20, "{stats:?}");
}

/// A record as a file has it, of whatever origin.
fn record(data: &[u8]) {
    let (chunks, _) = data.as_chunks::<{ FlightEntry::LEN }>();
    let mut delta = Delta::new(&CONFIG);
    let mut reports: Vec<PacketReport> = Vec::new();
    for entry in chunks.iter().filter_map(FlightEntry::parse).take(ENTRIES_MAX) {
        assert_eq!(FlightEntry::parse(&entry.to_bytes()), Some(entry), "an entry survives a file");
        match entry {
            FlightEntry::Sent { at, bytes, is_reported: true } if is_early(at) => {
                delta.on_sent(at, bytes.into())
            }
            FlightEntry::Report(report) if is_early(report.sent_at) => {
                let is_fine = match report.outcome {
                    Outcome::Arrived { at_us, .. } => at_us < TIME_MAX,
                    Outcome::Lost => true,
                };
                reports.extend(is_fine.then_some(report));
            }
            FlightEntry::Feedback { at, round_trip_us } if is_early(at) => {
                delta.on_feedback(at, round_trip_us, reports.drain(..));
            }
            FlightEntry::Silence { at } if is_early(at) => delta.handle_timeout(at),
            FlightEntry::Forgotten { bytes } => delta.on_forgotten(bytes.into()),
            FlightEntry::Window { pictures } => delta.set_window(pictures),
            FlightEntry::Restarted { .. } => delta = Delta::new(&CONFIG),
            FlightEntry::PictureRate { millihertz } => delta.set_picture_rate(millihertz),
            FlightEntry::Answered { is_answered } => {
                delta.set_answered(is_answered);
                assert_eq!(delta.is_answered(), is_answered);
            }
            FlightEntry::Grant { .. } => {
                let FlightEntry::Grant { bitrate_bps, .. } = FlightEntry::of_budget(&delta.budget()) else {
                    panic!("a budget is a grant");
                };
                assert_eq!(bitrate_bps, delta.budget().bitrate_bps);
            }
            FlightEntry::Sent { .. }
            | FlightEntry::Received { .. }
            | FlightEntry::Report(_)
            | FlightEntry::Feedback { .. }
            | FlightEntry::Silence { .. } => {}
        }
        must_be_granted(&delta);
    }
}

fn is_early(at: Instant) -> bool {
    at.as_micros() < TIME_MAX
}

/// What a path is like for a while.
#[derive(Clone, Copy, Debug)]
struct Link {
    bps: u64,
    delay_us: u64,
    /// What waits longer is lost.
    queue_us: u64,
    /// What waits longer is marked.
    mark_us: u64,
    loss_permille: u64,
    jitter_us: u64,
    /// Others keep this much waiting.
    others_us: u64,
    /// Whether reports come back.
    reports: bool,
    /// What the encoder makes of what it is granted, in percent.
    demand_percent: u64,
}

impl Link {
    fn draw(bytes: &mut Bytes<'_>) -> Self {
        let flags = bytes.u8();
        let jitter_us = u64::from(bytes.u8()) * 100;
        Self {
            bps: 200_000 + u64::from(bytes.u8()) * 60_000,
            delay_us: 1_000 + u64::from(bytes.u8()) * 500,
            queue_us: 5_000 + u64::from(bytes.u8()) * 1_500,
            mark_us: if flags & 1 != 0 { 5_000 } else { u64::MAX },
            loss_permille: u64::from(bytes.u8()),
            jitter_us: if flags & 2 != 0 { jitter_us } else { 0 },
            others_us: if flags & 4 != 0 { u64::from(bytes.u8()) * 400 } else { 0 },
            reports: flags & 8 == 0,
            demand_percent: if flags & 16 != 0 { u64::from(bytes.u8()) } else { 100 },
        }
    }
}

struct OnWay {
    sent_at: Instant,
    bytes: u16,
    /// When it arrives, and whether marked; `None` = it does not.
    arrival: Option<(u64, bool)>,
}

struct Play {
    delta: Delta,
    pacer: Pacer,
    noise: Noise,
    link_free_us: u64,
    backlog: usize,
    on_way: VecDeque<OnWay>,
    reports: VecDeque<(u64, Vec<PacketReport>)>,
    sent: u64,
    grants: Vec<Budget>,
}

impl Play {
    /// The path as the bytes say; gives what was granted.
    fn run(bytes: &mut Bytes<'_>) -> Vec<Budget> {
        let mut play = Self {
            delta: Delta::new(&CONFIG),
            pacer: Pacer::new(START),
            noise: Noise::new(bytes.u8().into()),
            link_free_us: 0,
            backlog: 0,
            on_way: VecDeque::new(),
            reports: VecDeque::new(),
            sent: 0,
            grants: Vec::new(),
        };
        let mut tick = START.as_micros() / TICK_US;
        for _ in 0..PHASES_MAX {
            if bytes.is_empty() {
                break;
            }
            let times = u64::from(bytes.u8() % 8 + 1);
            let link = Link::draw(bytes);
            for _ in 0..times * PHASE_US / TICK_US {
                play.tick(tick * TICK_US, &link);
                tick += 1;
            }
            play.delta.set_answered(times % 2 == 0);
            play.must_be_consistent();
        }
        play.grants
    }

    fn tick(&mut self, now_us: u64, link: &Link) {
        let now = Instant::from_micros(now_us);
        while let Some((_, reports)) = self.reports.pop_front_if(|(at, _)| *at <= now_us) {
            let rtt_us = u32::try_from(2 * link.delay_us + 8_000).expect("below a second");
            let told: u64 = reports.iter().map(|report| u64::from(report.bytes)).sum();
            self.sent = self.sent.saturating_sub(told);
            self.delta.on_feedback(now, rtt_us, reports.into_iter());
        }
        if self.delta.poll_timeout().is_some_and(|at| at <= now) {
            self.delta.handle_timeout(now);
            assert!(self.delta.poll_timeout().is_none_or(|at| at > now), "silence is acted upon once");
        }
        let budget = self.delta.budget();
        self.pacer.follow(&budget);
        let tick = now_us / TICK_US;
        if tick.is_multiple_of(PICTURE_TICKS) {
            let bits = u64::from(budget.bitrate_bps) * PICTURE_TICKS / 1000 * link.demand_percent / 100;
            let shards = usize::try_from(bits / 8).expect("a picture is small").div_ceil(SHARD);
            if self.backlog <= shards / 3 {
                self.backlog += shards + self.delta.parity_for(shards);
            }
        }
        while self.backlog > 0
            && self.delta.sendable_bytes(now) >= SHARD
            && self.pacer.ready_at(now, SHARD) <= now
        {
            self.backlog -= 1;
            self.send(now, link);
        }
        if tick.is_multiple_of(FEEDBACK_TICKS) {
            self.report(now_us, link);
            self.grants.push(budget);
            must_be_granted(&self.delta);
        }
    }

    fn send(&mut self, now: Instant, link: &Link) {
        self.delta.on_sent(now, SHARD);
        self.pacer.on_sent(now, SHARD);
        self.sent += SHARD as u64;
        let now_us = now.as_micros();
        let free_us = self.link_free_us.max(now_us + link.others_us);
        let waits_us = free_us - now_us;
        let is_lost =
            waits_us > link.queue_us + link.others_us || self.noise.u64() % 1000 < link.loss_permille;
        if waits_us <= link.queue_us + link.others_us {
            self.link_free_us = free_us + SHARD as u64 * 8_000_000 / link.bps;
        }
        let jitter_us = if link.jitter_us > 0 { self.noise.u64() % link.jitter_us } else { 0 };
        let at = self.link_free_us.max(free_us) + link.delay_us + jitter_us;
        let arrival = (!is_lost).then_some((at, waits_us > link.mark_us));
        self.on_way.push_back(OnWay { sent_at: now, bytes: 1_200, arrival });
    }

    /// What has arrived is reported, and what was sent before it and has not is lost.
    fn report(&mut self, now_us: u64, link: &Link) {
        let is_there = |one: &OnWay| one.arrival.is_some_and(|(at, _)| at <= now_us);
        let Some(last) = self.on_way.iter().rposition(is_there).filter(|_| link.reports) else { return };
        let reports = self.on_way.drain(..=last).map(|one| PacketReport {
            sent_at: one.sent_at,
            bytes: one.bytes,
            outcome: match one.arrival {
                Some((at, ce)) if at <= now_us => Outcome::Arrived { at_us: at + OFFSET_US, ce },
                _ => Outcome::Lost,
            },
        });
        self.reports.push_back((now_us + link.delay_us, reports.collect()));
    }

    fn must_be_consistent(&self) {
        let stats = self.delta.stats();
        assert_eq!(stats.in_flight_bytes, self.sent, "what was not told of is in flight");
        assert!(self.sent == 0 || self.delta.poll_timeout().is_some(), "its silence is noticed");
    }
}

/// Inputs for a fuzzer to start from: paths of some kinds, and a record of every kind of entry.
#[must_use]
pub fn seeds() -> Vec<Seed> {
    // Flags, jitter, rate, delay, queue, loss; then what the flags ask for.
    let path = |phases: &[&[u8]]| {
        phases.iter().fold(Script::default().u8(0).u8(9), |script, phase| {
            phase.iter().fold(script, |script, &byte| script.u8(byte))
        })
    };
    let mut entries = vec![1];
    let at = |micros: u64| Instant::from_micros(1_000_000 + micros);
    let report =
        |sent: u64, outcome| FlightEntry::Report(PacketReport { sent_at: at(sent), bytes: 1200, outcome });
    let mut record =
        vec![FlightEntry::PictureRate { millihertz: 60_000 }, FlightEntry::Answered { is_answered: true }];
    for sent in 0..12 {
        record.push(FlightEntry::Sent { at: at(sent * 1000), bytes: 1200, is_reported: sent != 3 });
        record.push(FlightEntry::Received { at: at(sent * 1000), bytes: 40 });
    }
    record.extend([report(0, Outcome::Lost), report(1000, Outcome::Arrived { at_us: 9_000, ce: true })]);
    record.extend(
        (2..9).map(|sent| report(sent * 1000, Outcome::Arrived { at_us: 8_000 + sent * 1000, ce: false })),
    );
    record.push(FlightEntry::Feedback { at: at(20_000), round_trip_us: 9_000 });
    record.push(FlightEntry::Grant { bitrate_bps: 1, pacing_bps: 2, parity_permille: 3 });
    record.extend([FlightEntry::Forgotten { bytes: 1200 }, FlightEntry::Silence { at: at(900_000) }]);
    record.push(FlightEntry::Restarted { bitrate_bps: 1_000_000 });
    entries.extend(record.iter().flat_map(FlightEntry::to_bytes));
    let scripts = [
        ("wide", path(&[&[7, 0, 0, 255, 20, 100, 0], &[7, 0, 0, 255, 20, 100, 0]])),
        (
            "narrow",
            path(&[&[3, 0, 0, 200, 20, 200, 0], &[7, 0, 0, 20, 20, 200, 0], &[7, 0, 0, 200, 20, 200, 0]]),
        ),
        ("lossy", path(&[&[7, 0, 0, 100, 40, 100, 40], &[7, 0, 0, 100, 40, 100, 200]])),
        ("jitter", path(&[&[7, 2, 100, 100, 40, 200, 2], &[7, 2, 250, 60, 40, 200, 2]])),
        ("marked", path(&[&[7, 1, 0, 60, 20, 200, 0], &[7, 1, 0, 20, 20, 200, 0]])),
        (
            "others",
            path(&[
                &[3, 0, 0, 60, 20, 200, 0],
                &[7, 4, 0, 40, 20, 60, 20, 200],
                &[7, 4, 0, 40, 20, 60, 9, 250],
                &[7, 4, 0, 40, 20, 60, 9, 250],
                &[7, 0, 0, 80, 20, 60, 0],
            ]),
        ),
        (
            "silence",
            path(&[&[3, 0, 0, 60, 20, 200, 0], &[4, 8, 0, 60, 20, 200, 0], &[7, 0, 0, 60, 20, 200, 0]]),
        ),
        (
            "idle",
            path(&[
                &[3, 0, 0, 90, 20, 200, 0],
                &[7, 16, 0, 90, 20, 200, 0, 5],
                &[7, 16, 0, 90, 20, 200, 0, 130],
            ]),
        ),
        (
            "rerouted",
            path(&[&[5, 0, 0, 90, 10, 200, 0], &[7, 0, 0, 90, 120, 200, 0], &[7, 0, 0, 90, 5, 200, 0]]),
        ),
    ];
    let mut seeds: Vec<Seed> =
        scripts.into_iter().map(|(name, script)| ("control", name.into(), script.into_bytes())).collect();
    seeds.push(("control", "record".into(), entries));
    seeds
}
