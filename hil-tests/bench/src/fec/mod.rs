//! `fec` and `arq`: pictures lost on lossy lines, by code and by what is asked for, and what the codes cost.
//!
//! Losses are played packet by packet in virtual time ([`play`]); a picture that is whole later than a period and a
//! round trip after its capture counts as lost. Our own scheme is what sessions do: Reed–Solomon parity of each picture,
//! little where the client can ask for more in time, and a request for what is lacking (SPEC §11.12); where there is no
//! time for that, parity over the pictures of a window (SPEC §11.13).

mod line;
mod play;
mod scheme;
mod solver;

use core::sync::atomic::{AtomicUsize, Ordering};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Mutex;

use serde_json::json;

use crate::args::Options;
use crate::core::fec as speed;
use crate::report::{Row, rounded};
use line::{CASES, Case};
use play::{Outcome, play};
use scheme::{Ask, Code, Path, Scheme};
use solver::{Gf256, Wide};

/// Seeds, and pictures of each.
const SEEDS: u64 = 20;
const PICTURES: u64 = 200_000;
const QUICK_PICTURES: u64 = 2_000;

/// What our client asks for: twice what is lacking, and eight (`incoming/asking.rs`).
const OURS: Ask = Ask::Parity { more: 1.0, plus: 8 };

const fn reed_solomon(name: &'static str, parity: f64, ask: Ask) -> Scheme {
    Scheme { name, code: Code::Window { back: 0 }, parity, ask }
}

const NONE: Scheme = Scheme { name: "none", code: Code::None, parity: 0.0, ask: Ask::No };
const XOR: Scheme = Scheme { name: "xor-19+1", code: Code::Xor(19), parity: 2.0, ask: Ask::No };
const RS_20: Scheme = reed_solomon("rs-20", 7.0, Ask::No);
const RS_12: Scheme = reed_solomon("rs-12", 4.2, Ask::No);
const RS_11: Scheme = reed_solomon("rs-11", 3.85, Ask::No);
const NACK: Scheme = Scheme { name: "nack-only", code: Code::None, parity: 0.0, ask: Ask::Again };

/// The best code there could be over windows of so many pictures and their own, without asking.
const fn ideal(parity: f64, back: u64) -> Scheme {
    Scheme { name: "ideal-window", code: Code::Window { back }, parity, ask: Ask::No }
}

/// Where the path carries pictures three times as fast as they are made, and where it is the limit and pictures leave
/// at one and a half times its grant.
const WIDE: u64 = 333;
const TIGHT: u64 = 667;

/// A row to be: who plays on which line.
struct Table {
    bench: &'static str,
    case: &'static str,
    line: Case,
    path: Path,
    ours: Scheme,
    rivals: Vec<Scheme>,
    ideal: Scheme,
    /// Pictures lost at most and overhead at most, in percent.
    goal: Option<(f64, f64)>,
}

/// The code beside others: what it loses, then what it costs.
pub(crate) fn run(options: &Options) -> Vec<Row> {
    let mut tables = Vec::new();
    for line in CASES {
        // Sessions send as much parity as losses are to be expected, and a third of their deviation.
        let parity = if line.name == "iid5" { 2.0 } else { 1.0 };
        let goal = match line.name {
            "ge-mild" => Some((0.01, 11.0)),
            "ge-bursty" => Some((0.05, 11.0)),
            _ => None,
        };
        for (case, spread_permille) in [(line.name, WIDE), (tight(line.name), TIGHT)] {
            tables.push(Table {
                bench: "fec",
                case,
                line,
                path: Path { rtt_us: 20_000, spread_permille },
                ours: reed_solomon("rift", parity, OURS),
                rivals: vec![NONE, XOR, RS_11, RS_20],
                ideal: ideal(3.85, 2),
                goal: goal.filter(|_| spread_permille == WIDE),
            });
        }
    }
    let mut rows = judge(options, &tables);
    rows.extend(speed::run().into_iter().map(|row| Row { bench: "fec", ..row }));
    rows
}

/// What is lost or late by round trip, in bursts.
pub(crate) fn run_arq(options: &Options) -> Vec<Row> {
    let table = |case, (rtt_us, spread_permille), ours, goal| Table {
        bench: "arq",
        case,
        line: CASES[1],
        path: Path { rtt_us, spread_permille },
        ours,
        rivals: vec![NONE, XOR, RS_12, RS_20, NACK],
        // A picture of this round trip is in time with the parity of three more, and none is with a fourth's.
        ideal: ideal(4.2, 3),
        goal,
    };
    let asking = reed_solomon("rift", 1.0, OURS);
    // Too far to ask: parity goes over the pictures that follow in time (SPEC §11.13).
    let alone = Scheme { name: "rift", code: Code::Window { back: 3 }, parity: 4.2, ask: OURS };
    let tables = [
        table("rtt20", (20_000, WIDE), asking, Some((0.1, 8.0))),
        table("rtt20-tight", (20_000, TIGHT), asking, None),
        table("rtt80", (80_000, WIDE), alone, Some((1.0, 12.0))),
        table("rtt80-tight", (80_000, TIGHT), alone, None),
    ];
    judge(options, &tables)
}

fn tight(name: &str) -> &'static str {
    match name {
        "ge-mild" => "ge-mild-tight",
        "ge-bursty" => "ge-bursty-tight",
        "iid1" => "iid1-tight",
        _ => "iid5-tight",
    }
}

/// One run: a table, one of its schemes, a seed.
#[derive(Clone, Copy)]
struct Job<'a> {
    table: &'a Table,
    at: usize,
    scheme: Scheme,
    is_ideal: bool,
    seed: u64,
}

fn judge(options: &Options, tables: &[Table]) -> Vec<Row> {
    let pictures = if options.quick { QUICK_PICTURES } else { PICTURES };
    let seeds = options.n.map_or(SEEDS, |seeds| seeds as u64);
    let mut jobs = Vec::new();
    for (at, table) in tables.iter().enumerate() {
        let fair = core::iter::once(&table.ours).chain(&table.rivals).map(|scheme| (*scheme, false));
        for (scheme, is_ideal) in fair.chain([(table.ideal, true)]) {
            jobs.extend((1..=seeds).map(|seed| Job { table, at, scheme, is_ideal, seed }));
        }
    }
    let outcomes = play_all(&jobs, pictures);
    let _ = print(tables, &outcomes);
    tables.iter().enumerate().map(|(at, table)| row(table, at, &outcomes)).collect()
}

type Outcomes = BTreeMap<(usize, &'static str), Outcome>;

fn play_all(jobs: &[Job<'_>], pictures: u64) -> Outcomes {
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Outcomes::new());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let play = if job.is_ideal { play::<Wide> } else { play::<Gf256> };
                    let outcome = play(&job.table.line, job.table.path, &job.scheme, job.seed, pictures);
                    if let Ok(mut outcomes) = outcomes.lock() {
                        outcomes.entry((job.at, job.scheme.name)).or_default().add(&outcome);
                    }
                }
            });
        }
    });
    outcomes.into_inner().unwrap_or_default()
}

/// The whole table. A closed standard output is no reason to fail.
fn print(tables: &[Table], outcomes: &Outcomes) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{:<16} {:<13} {:>9} {:>9} {:>9} {:>9}",
        "case", "who", "lost %", "at most", "over %", "p99 ms"
    )?;
    for (at, table) in tables.iter().enumerate() {
        let all = core::iter::once(&table.ours).chain(&table.rivals).chain([&table.ideal]);
        for (scheme, outcome) in all.filter_map(|scheme| Some((scheme, outcomes.get(&(at, scheme.name))?))) {
            writeln!(
                out,
                "{:<16} {:<13} {:>9.4} {:>9.4} {:>9.2} {:>9.1}",
                table.case,
                scheme.name,
                outcome.residual(),
                outcome.residual_most(),
                outcome.overhead(),
                outcome.delay_ms(0.99)
            )?;
        }
    }
    Ok(())
}

fn row(table: &Table, at: usize, outcomes: &Outcomes) -> Row {
    let figure = |scheme: &Scheme| outcomes.get(&(at, scheme.name));
    let describe = |scheme: &Scheme| {
        figure(scheme).map(|outcome| {
            json!({
                "lost": rounded(outcome.residual()),
                "lost_at_most": rounded(outcome.residual_most()),
                "overhead": rounded(outcome.overhead()),
                "delay_p99_ms": outcome.delay_ms(0.99),
            })
        })
    };
    let ours = figure(&table.ours);
    let mut why = Vec::new();
    if let (Some((lost, overhead)), Some(ours)) = (table.goal, ours) {
        if ours.residual() > lost {
            why.push(format!("{:.3} % are lost", ours.residual()));
        }
        if ours.overhead() > overhead {
            why.push(format!("{:.2} % are sent beside the pictures", ours.overhead()));
        }
    }
    let about: serde_json::Map<_, _> = core::iter::once(&table.ours)
        .chain(&table.rivals)
        .chain([&table.ideal])
        .filter_map(|scheme| Some((scheme.name.to_owned(), describe(scheme)?)))
        .collect();
    let mut extras = BTreeMap::from([
        ("schemes", serde_json::Value::Object(about)),
        (
            "note",
            json!(format!(
                "35 packets a picture, 60 pictures a second, {:.1} % lost in bursts of {:.1}; round trip {} ms; \
                 pictures leave in {} thousandths of a period; late is lost: capture + period + round trip",
                table.line.loss * 100.0,
                table.line.burst,
                table.path.rtt_us / 1000,
                table.path.spread_permille
            )),
        ),
    ]);
    let met = ours.is_some() && why.is_empty();
    if !why.is_empty() {
        extras.insert("why", json!(why));
    }
    Row {
        bench: table.bench,
        case: table.case,
        metric: if table.bench == "fec" { "residual_loss" } else { "late_or_lost" },
        unit: "%",
        ours: ours.map(|outcome| rounded(outcome.residual())),
        rivals: table
            .rivals
            .iter()
            .map(|scheme| (scheme.name, figure(scheme).map(|outcome| rounded(outcome.residual()))))
            .collect(),
        goal: table.goal.map(|(lost, _)| lost),
        met,
        n: ours.map_or(0, |outcome| outcome.pictures as usize),
        extras,
    }
}
