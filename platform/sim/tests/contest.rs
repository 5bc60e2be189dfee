//! The judge of congestion control: it repeats itself, its rivals behave as published, and its tables are kept.

use core::fmt::Write as _;
use std::path::Path as FilePath;

use rift_sim::contest::{
    Algorithm, Case, Cross, Gcc, Make, Nada, OWN, Scream, Shape, Trace, cases, run, score, table,
};
use rift_sim::{Passage, Time};

fn case(name: &str) -> Case {
    cases().into_iter().find(|case| case.name == name).expect("the case exists")
}

/// 5.1 at twenty times the rate, but constant and shorter.
fn constant(bps: u64, seconds: u64) -> Case {
    let mut case = case("5.1x20");
    case.seconds = seconds;
    case.flows[0].spans = vec![(0, seconds * 1000)];
    case.forward.shape = Shape::Steps(vec![(0, bps)]);
    case
}

/// When a stream comes and goes.
const CROSS_MS: (u64, u64) = (8_000, 28_000);

/// A path on which a CUBIC stream comes and goes.
fn beside_a_stream(mbit: u64, seed: u64) -> Trace {
    let mut case = constant(mbit * 1_000_000, 34);
    (case.forward.one_way_us, case.backward.one_way_us) = (10_000, 10_000);
    case.cross = vec![Cross::Long(Algorithm::Cubic, CROSS_MS.0, CROSS_MS.1)];
    run(&case, seed, &OWN[0].1, false)
}

fn waits_ms(trace: &Trace, from_s: f64) -> f64 {
    let later = trace.passages.iter().filter(|passage| passage.at.as_secs_f64() >= from_s);
    let waits: Vec<f64> = later.map(|passage| f64::from(passage.waited_us) / 1000.0).collect();
    waits.iter().sum::<f64>() / waits.len() as f64
}

fn rate_mbps(trace: &Trace, from_s: f64, until_s: f64) -> f64 {
    let within =
        trace.passages.iter().filter(|passage| (from_s..until_s).contains(&passage.at.as_secs_f64()));
    within.map(|passage| f64::from(passage.bytes) * 8.0).sum::<f64>() / (until_s - from_s) / 1e6
}

#[test]
fn one_seed_gives_one_trace() {
    let case = constant(10_000_000, 8);
    for (name, make) in OWN {
        let traces = [run(&case, 3, &make, false), run(&case, 3, &make, false)];
        assert_eq!(traces[0].passages, traces[1].passages, "{name}");
        assert_ne!(traces[0].passages, run(&case, 4, &make, false).passages, "{name}");
    }
}

/// RFC 8698 §4.3: the rate settles where the queueing delay is `PRIO · XREF · RMAX / r_ref`, 15 ms here.
#[test]
fn nada_settles_at_its_reference_delay() {
    let case = constant(20_000_000, 60);
    let make: &dyn Fn(&_) -> _ = &|brief: &rift_sim::contest::Brief| {
        let brief = rift_sim::contest::Brief { path_bps_max: 30_000_000, ..*brief };
        Box::new(Nada::new(&brief)) as Box<dyn rift_sim::contest::Controller>
    };
    let trace = run(&case, 1, make, false);
    let (rate, queue) = (rate_mbps(&trace, 40.0, 60.0), waits_ms(&trace, 40.0));
    assert!((18.0..20.1).contains(&rate), "{rate} Mbit/s");
    assert!((10.0..30.0).contains(&queue), "{queue} ms");
}

/// The draft, §4.1.2.1: delay counts as congestion from half the target of 60 ms, and is complete at the target.
#[test]
fn scream_keeps_the_queue_below_its_target() {
    let case = constant(20_000_000, 60);
    let trace = run(&case, 1, &|brief| Box::new(Scream::new(brief)), false);
    let (rate, queue) = (rate_mbps(&trace, 30.0, 60.0), waits_ms(&trace, 30.0));
    assert!((15.0..20.1).contains(&rate), "{rate} Mbit/s");
    assert!((1.0..60.0).contains(&queue), "{queue} ms");
}

/// Carlucci et al., §6: alone on a path it uses most of it with a short queue, and its adaptive threshold keeps a
/// stream that heeds only loss from starving it.
#[test]
fn gcc_fills_a_path_and_keeps_a_share_beside_a_stream() {
    let make: Make = |brief| Box::new(Gcc::new(brief));
    let trace = run(&constant(20_000_000, 60), 1, &make, false);
    let (rate, queue) = (rate_mbps(&trace, 10.0, 60.0), waits_ms(&trace, 10.0));
    assert!((15.0..20.1).contains(&rate), "{rate} Mbit/s");
    assert!((0.2..40.0).contains(&queue), "{queue} ms");
    let case = case("5.6");
    let used = score(&case, &run(&case, 1, &make, false)).utilisation;
    assert!((8.0..60.0).contains(&used), "{used} % beside the stream");
}

#[test]
fn streams_fill_a_path() {
    for algorithm in [Algorithm::NewReno, Algorithm::Cubic, Algorithm::Bbr] {
        let mut case = constant(20_000_000, 30);
        case.flows[0].spans = vec![(29_000, 30_000)];
        case.cross = vec![Cross::Long(algorithm, 0, 30_000)];
        let fixed: Make = OWN[4].1;
        let trace = run(&case, 1, &fixed, false);
        let rate = rate_mbps(&trace, 10.0, 29.0);
        assert!((17.5..20.1).contains(&rate), "{algorithm:?}: {rate} Mbit/s");
        let queue = waits_ms(&trace, 10.0);
        let queues = if algorithm == Algorithm::Bbr { 0.0..120.0 } else { 60.0..300.0 };
        assert!(queues.contains(&queue), "{algorithm:?}: {queue} ms");
    }
}

/// A stream that comes does not starve us: from a second after it came on, a quarter of the path is ours.
#[test]
fn a_stream_leaves_us_a_quarter() {
    for (mbit, seed) in [20_u64, 30, 50].into_iter().flat_map(|mbit| (1..=12).map(move |seed| (mbit, seed))) {
        let trace = beside_a_stream(mbit, seed);
        let own = trace.flows[0].node;
        let (from, until) = (CROSS_MS.0 + 1_000, CROSS_MS.1);
        let is_within = |passage: &&Passage| {
            passage.from == own && (Time::from_millis(from)..Time::from_millis(until)).contains(&passage.at)
        };
        let bytes: u64 =
            trace.passages.iter().filter(is_within).map(|passage| u64::from(passage.bytes)).sum();
        let share = bytes as f64 * 8e3 / (until - from) as f64 / (mbit * 1_000_000) as f64;
        assert!(share > 0.25, "{share} of {mbit} Mbit/s, seed {seed}");
    }
}

/// The queue of a stream that came is not taken for a longer path: what it leaves is used again within a second.
#[test]
fn what_a_stream_leaves_is_used_again() {
    for (mbit, seed) in [20_u64, 30, 50].into_iter().flat_map(|mbit| (1..=4).map(move |seed| (mbit, seed))) {
        let used = rate_mbps(&beside_a_stream(mbit, seed), 29.0, 34.0) / mbit as f64;
        assert!(used > 0.8, "{used} of {mbit} Mbit/s, seed {seed}");
    }
}

#[test]
fn a_dual_queue_keeps_marked_packets_short() {
    let mut case = case("l4s-5.1x20");
    case.seconds = 20;
    let trace = run(&case, 1, &OWN[0].1, false);
    let score = score(&case, &trace);
    assert!(score.queue_p95 < 6.0 && score.utilisation > 50.0, "{score:?}");
}

/// The tables of five cases are kept beside this test. `UPDATE_GOLDEN=1` writes them anew.
#[test]
fn tables_are_as_they_were() {
    let directory = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut changed = String::new();
    for name in ["5.1", "drop", "loss2", "lan", "l4s-5.1x20"] {
        let mut case = case(name);
        case.seconds = case.seconds.min(40);
        let text = table(&case, &[1]);
        let path = directory.join(format!("{name}.txt"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &text).expect("the directory is writable");
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        if kept != text {
            let _ = writeln!(changed, "--- {}\n{kept}+++ now\n{text}", path.display());
        }
    }
    assert!(changed.is_empty(), "figures changed; look at them, then run with UPDATE_GOLDEN=1\n{changed}");
}
