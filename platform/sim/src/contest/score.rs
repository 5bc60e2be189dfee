//! Figures of a run.

use core::time::Duration;

use super::case::{Case, Cross, Shape};
use super::run::{FlowTrace, Trace};
use crate::link::Passage;
use crate::time::Time;

/// The beginning, which utilisation and queues leave out: the ramp has a figure of its own.
pub const WARM_UP: Time = Time::from_secs(4);
/// After somebody joined or left, or the path changed, shares are given this long to settle.
const SETTLE: Duration = Duration::from_secs(8);
/// A picture is late when it takes longer than the path and this many of its periods.
const LATE_PERIODS: u32 = 3;
/// A queue counts as recovered when it stays below this for half a second.
const RECOVERED_US: u32 = 30_000;
const RECOVERED_FOR: Duration = Duration::from_millis(500);
/// Nothing captured for so long is a pause.
const PAUSE: Duration = Duration::from_millis(500);
/// Window of the rate that the ramp and the variation are read from.
const RATE_WINDOW_MS: u64 = 200;

/// Figures of a run; `None` where the case has no such thing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// Share of the bottleneck used for pictures (for everything, where short streams share it; while a long stream is
    /// there, where one is), in percent.
    pub utilisation: f64,
    /// What packets of pictures waited at the bottleneck, in ms.
    pub queue_p50: f64,
    /// See there.
    pub queue_p95: f64,
    /// See there.
    pub queue_p99: f64,
    /// From the end of encoding to the last needed shard, less the propagation, in ms.
    pub picture_p50: f64,
    /// See there.
    pub picture_p95: f64,
    /// See there.
    pub picture_p99: f64,
    /// Pictures not there three periods after the path's own delay, skipped ones included, in percent.
    pub late: f64,
    /// Packets that did not arrive, in percent.
    pub loss: f64,
    /// Longest time from a narrowing of the path (or the end of a long stream) to a queue below 30 ms, in s.
    pub recovery: Option<f64>,
    /// From the start to 85 % of the path, in s.
    pub ramp: Option<f64>,
    /// Jain's index of the flows' rates, over the times that follow 8 s of unchanged company.
    pub jain: Option<f64>,
    /// Deviation of the rate over its mean where the path is constant, in percent.
    pub rate_cv: f64,
    /// Longest time without a complete picture after the warm-up, in ms.
    pub gap: f64,
}

/// Names of the figures, their units, and whether more is better.
pub const METRICS: [(&str, &str, bool); 14] = [
    ("utilisation", "%", true),
    ("queue_p50", "ms", false),
    ("queue_p95", "ms", false),
    ("queue_p99", "ms", false),
    ("picture_p50", "ms", false),
    ("picture_p95", "ms", false),
    ("picture_p99", "ms", false),
    ("late", "%", false),
    ("loss", "%", false),
    ("recovery", "s", false),
    ("ramp", "s", false),
    ("jain", "", true),
    ("rate_cv", "%", false),
    ("gap", "ms", false),
];

impl Score {
    /// The figure of that name.
    #[must_use]
    pub fn get(&self, metric: &str) -> Option<f64> {
        Some(match metric {
            "utilisation" => self.utilisation,
            "queue_p50" => self.queue_p50,
            "queue_p95" => self.queue_p95,
            "queue_p99" => self.queue_p99,
            "picture_p50" => self.picture_p50,
            "picture_p95" => self.picture_p95,
            "picture_p99" => self.picture_p99,
            "late" => self.late,
            "loss" => self.loss,
            "recovery" => return self.recovery,
            "ramp" => return self.ramp,
            "jain" => return self.jain,
            "rate_cv" => self.rate_cv,
            "gap" => self.gap,
            _ => return None,
        })
    }

    /// Whether this is better than `other` on some axis and worse on none: utilisation, queue p95 and p99, late
    /// pictures; ties within a point and a millisecond.
    #[must_use]
    pub fn dominates(&self, other: &Self) -> bool {
        let leads = [
            self.utilisation - other.utilisation,
            other.queue_p95 - self.queue_p95,
            other.queue_p99 - self.queue_p99,
            other.late - self.late,
        ];
        leads.iter().all(|lead| *lead >= -1.0) && leads.iter().any(|lead| *lead > 1.0)
    }
}

/// Scores a run.
#[must_use]
pub fn score(case: &Case, trace: &Trace) -> Score {
    let end = Time::from_secs(case.seconds);
    let ours = |passage: &Passage| trace.flows.iter().any(|flow| flow.node == passage.from);
    let shared = case.cross.iter().any(|cross| matches!(cross, Cross::Short(..)));
    let mut waits = Vec::new();
    let mut bits = 0;
    let (from, until) = contested(case).unwrap_or((WARM_UP, end));
    for passage in trace.passages.iter().filter(|passage| (WARM_UP..end).contains(&passage.at)) {
        let ours = ours(passage);
        if ours {
            waits.push(passage.waited_us);
        }
        let counts = (ours || shared) && (from..until).contains(&passage.at);
        bits += if counts { u64::from(passage.bytes) * 8 } else { 0 };
    }
    let mut delays = Vec::new();
    let (mut due, mut late) = (0_u64, 0_u64);
    for flow in &trace.flows {
        for picture in &flow.pictures {
            let whole = flow.one_way + LATE_PERIODS * period(case);
            if picture.captured < WARM_UP || picture.captured + whole > end {
                continue;
            }
            due += 1;
            let delay = picture.complete.map(|at| at - picture.captured);
            late += u64::from(delay.is_none_or(|delay| delay > whole));
            delays.extend(delay.map(|delay| micros(delay.saturating_sub(flow.one_way))));
        }
    }
    let packets =
        trace.flows.iter().fold((0, 0), |sum, flow| (sum.0 + flow.packets.0, sum.1 + flow.packets.1));
    Score {
        utilisation: bits as f64 * 100.0 / capacity(trace, from, until).max(1) as f64,
        queue_p50: quantile(&mut waits, 500),
        queue_p95: quantile(&mut waits, 950),
        queue_p99: quantile(&mut waits, 990),
        picture_p50: quantile(&mut delays, 500),
        picture_p95: quantile(&mut delays, 950),
        picture_p99: quantile(&mut delays, 990),
        late: late as f64 * 100.0 / due.max(1) as f64,
        loss: (packets.0 - packets.1.min(packets.0)) as f64 * 100.0 / packets.0.max(1) as f64,
        recovery: recovery(case, trace),
        ramp: ramp(case, trace),
        jain: jain(case, trace),
        rate_cv: rate_cv(case, trace),
        gap: gap(trace, end),
    }
}

/// While a long stream is there, less its first seconds: then the share is what counts.
fn contested(case: &Case) -> Option<(Time, Time)> {
    case.cross.iter().find_map(|cross| match cross {
        Cross::Long(_, from, until) => Some((Time::from_millis(from + 5_000), Time::from_millis(*until))),
        Cross::Short(..) => None,
    })
}

/// The period of pictures at their full rate.
fn period(case: &Case) -> Duration {
    Duration::from_micros(1_000_000_000 / u64::from(case.picture_millihertz))
}

fn micros(span: Duration) -> u32 {
    u32::try_from(span.as_micros()).unwrap_or(u32::MAX)
}

/// Nearest rank, in ms.
fn quantile(samples: &mut [u32], permille: usize) -> f64 {
    if samples.is_empty() {
        return 0.0;
    }
    let index = (samples.len() * permille).div_ceil(1000).max(1) - 1;
    f64::from(*samples.select_nth_unstable(index).1) / 1000.0
}

/// Bits the bottleneck could have sent.
fn capacity(trace: &Trace, from: Time, until: Time) -> u64 {
    let milliseconds = from.as_nanos() / 1_000_000..until.as_nanos() / 1_000_000;
    milliseconds.map(|ms| trace.rate.at(Time::from_millis(ms)).unwrap_or(0) / 1000).sum()
}

/// When the path narrows by a fifth or more, and when a long stream ends.
fn events(case: &Case) -> Vec<Time> {
    let mut events = Vec::new();
    if let Shape::Steps(steps) = &case.forward.shape {
        let narrower = steps.windows(2).filter(|pair| pair[1].1 * 5 <= pair[0].1 * 4);
        events.extend(narrower.map(|pair| Time::from_millis(pair[1].0)));
    }
    for cross in &case.cross {
        if let Cross::Long(_, _, until) = cross {
            events.push(Time::from_millis(*until));
        }
    }
    events
}

fn recovery(case: &Case, trace: &Trace) -> Option<f64> {
    let changes = changes(case);
    let end = Time::from_secs(case.seconds);
    let after = |event: Time| {
        let until = changes.iter().copied().find(|change| *change > event).unwrap_or(end);
        let mut recovered = event;
        let within = trace.passages.iter().filter(|passage| (event..until).contains(&passage.at));
        for passage in within.filter(|passage| trace.flows.iter().any(|flow| flow.node == passage.from)) {
            if passage.waited_us >= RECOVERED_US {
                if passage.at - recovered > RECOVERED_FOR && recovered > event {
                    break;
                }
                recovered = passage.at;
            }
        }
        (recovered - event).as_secs_f64()
    };
    events(case).into_iter().map(after).reduce(f64::max)
}

/// Bits of the flows' packets in each window of the run.
fn windows(case: &Case, trace: &Trace, flows: &[FlowTrace]) -> Vec<u64> {
    let count = case.seconds * 1000 / RATE_WINDOW_MS;
    let mut windows = vec![0; usize::try_from(count).unwrap_or(0)];
    for passage in trace.passages.iter().filter(|one| flows.iter().any(|flow| flow.node == one.from)) {
        let index = usize::try_from(passage.at.as_nanos() / 1_000_000 / RATE_WINDOW_MS).unwrap_or(usize::MAX);
        if let Some(window) = windows.get_mut(index) {
            *window += u64::from(passage.bytes) * 8;
        }
    }
    windows
}

fn ramp(case: &Case, trace: &Trace) -> Option<f64> {
    if case.flows.len() > 1 || !case.cross.is_empty() || !matches!(case.forward.shape, Shape::Steps(_)) {
        return None;
    }
    let windows = windows(case, trace, &trace.flows);
    let reached = windows.iter().zip(0..).position(|(bits, index): (&u64, u64)| {
        let from = Time::from_millis(index * RATE_WINDOW_MS);
        *bits * 100 >= 85 * capacity(trace, from, from + Duration::from_millis(RATE_WINDOW_MS))
    });
    let at = reached.map_or(case.seconds as f64, |index| (index + 1) as f64 * RATE_WINDOW_MS as f64 / 1000.0);
    Some(at)
}

/// When anything about the case changes.
fn changes(case: &Case) -> Vec<Time> {
    let mut changes: Vec<u64> =
        case.flows.iter().flat_map(|flow| &flow.spans).flat_map(|span| [span.0, span.1]).collect();
    if let Shape::Steps(steps) = &case.forward.shape {
        changes.extend(steps.iter().map(|step| step.0));
    }
    for cross in &case.cross {
        if let Cross::Long(_, from, until) = cross {
            changes.extend([*from, *until]);
        }
    }
    changes.push(case.seconds * 1000);
    changes.sort_unstable();
    changes.dedup();
    changes.into_iter().map(Time::from_millis).collect()
}

/// Times of unchanged company, without what they take to settle.
fn settled(case: &Case) -> Vec<(Time, Time)> {
    let changes = changes(case);
    let spans = changes.windows(2).map(|pair| (pair[0] + SETTLE, pair[1]));
    spans.filter(|(from, until)| *until > *from + Duration::from_millis(900)).collect()
}

fn jain(case: &Case, trace: &Trace) -> Option<f64> {
    let (mut weighted, mut weight) = (0.0, 0.0);
    let forward: Vec<_> = case.flows.iter().filter(|flow| !flow.backward).collect();
    for (from, until) in settled(case) {
        let active = forward.iter().zip(&trace.flows).filter(|(flow, _)| {
            flow.spans
                .iter()
                .any(|&(start, stop)| Time::from_millis(start) < from && until <= Time::from_millis(stop))
        });
        let rates: Vec<f64> = active
            .map(|(_, flow)| {
                let within = |one: &&Passage| one.from == flow.node && (from..until).contains(&one.at);
                trace.passages.iter().filter(within).map(|one| f64::from(one.bytes)).sum()
            })
            .collect();
        if rates.len() < 2 {
            continue;
        }
        let (sum, squares) =
            rates.iter().fold((0.0, 0.0), |(sum, squares), rate| (sum + rate, squares + rate * rate));
        let span = (until - from).as_secs_f64();
        weighted += span * sum * sum / (rates.len() as f64 * squares).max(1.0);
        weight += span;
    }
    (weight > 0.0).then(|| weighted / weight)
}

fn rate_cv(case: &Case, trace: &Trace) -> f64 {
    let windows = windows(case, trace, &trace.flows);
    let (mut sum, mut count) = (0.0, 0.0);
    let mut spans = settled(case);
    if spans.is_empty() {
        spans.push((WARM_UP, Time::from_secs(case.seconds)));
    }
    for (from, until) in spans {
        let index = |at: Time| usize::try_from(at.as_nanos() / 1_000_000 / RATE_WINDOW_MS).unwrap_or(0);
        let taken = &windows[index(from).min(windows.len())..index(until).min(windows.len())];
        let mean = taken.iter().sum::<u64>() as f64 / taken.len().max(1) as f64;
        let variance = taken.iter().map(|one| (*one as f64 - mean) * (*one as f64 - mean)).sum::<f64>();
        let deviation = (variance / taken.len().max(1) as f64).sqrt();
        sum += deviation / mean.max(1.0) * 100.0 * taken.len() as f64;
        count += taken.len() as f64;
    }
    if count > 0.0 { sum / count } else { 0.0 }
}

fn gap(trace: &Trace, end: Time) -> f64 {
    let of_flow = |flow: &FlowTrace| {
        let mut complete: Vec<Time> = flow.pictures.iter().filter_map(|picture| picture.complete).collect();
        complete.sort_unstable();
        let later = complete.windows(2).filter(|pair| pair[0] >= WARM_UP && pair[1] <= end);
        // A pause is the application's: what counts is the time since the next picture was captured.
        later
            .map(|pair| {
                let index = flow.pictures.partition_point(|picture| picture.captured <= pair[0]);
                let next = flow.pictures.get(index).map(|picture| picture.captured);
                let paused = next.is_some_and(|next| next - pair[0] > PAUSE);
                let since = if paused { next.unwrap_or(pair[0]) } else { pair[0] };
                (pair[1] - since).as_secs_f64() * 1000.0
            })
            .fold(0.0, f64::max)
    };
    trace.flows.iter().map(of_flow).fold(0.0, f64::max)
}
