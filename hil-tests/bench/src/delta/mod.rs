//! `delta`: congestion control judged beside its rivals, in virtual time.
//!
//! Cases, hosts and figures are [`rift_sim::contest`]'s; here are the machine's cores, the tables, who dominates whom,
//! and the pictures of it.

mod headline;
mod plot;
mod rows;

use core::sync::atomic::{AtomicUsize, Ordering};
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;

use rift_sim::contest::{Case, METRICS, Make, OWN, Score, cases, run as play, score};

use crate::args::Options;
use crate::failure::{Context as _, Failure};
use crate::report::Row;

/// Seeds nobody tuned for come with `--n`: so many, from 1 on.
const SEEDS: usize = 5;

/// One run's figures.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) case: usize,
    pub(super) who: &'static str,
    pub(super) seed: u64,
    pub(super) score: Score,
}

/// What is disclosed with every table.
const NOTE: &str = "same pictures, packets, pacer, parity rule and feedback for all; NADA is told the largest rate \
    of the path; SCReAM v2, NADA and GCC are written from their texts, GCC with libWebRTC's trendline and with pictures as \
    its first probes; fixed is 3/4 of the path's first rate with 20 % RS; \
    at twenty times the rates of RFC 8867 its times are kept, but 5.5 and 5.7 are shorter";

/// All cases with every controller and seed.
pub(crate) fn run(options: &Options) -> Result<Vec<Row>, Failure> {
    let contenders: Vec<(&'static str, Make)> =
        OWN.into_iter().filter(|(name, _)| *name == "delta" || options.wants(name)).collect();
    let cases = cases();
    let seeds = options.n.unwrap_or(if options.quick { 1 } else { SEEDS }) as u64;
    let mut jobs = Vec::new();
    for case in 0..cases.len() {
        for &(who, make) in &contenders {
            jobs.extend((1..=seeds).map(|seed| (case, who, make, seed)));
        }
    }
    // The longest first, so that no core is left with one at the end.
    jobs.sort_by_key(|job| core::cmp::Reverse(cases[job.0].seconds * cases[job.0].flows.len() as u64));
    let runs = play_all(&cases, &jobs);
    let _ = print(&cases, &runs);
    if let Some(directory) = &options.plots {
        draw(directory, &cases, &contenders)?;
    }
    let mut all = rows::rows(&cases, &runs);
    all.extend(headline::rows(&cases, &runs));
    Ok(all)
}

fn play_all(cases: &[Case], jobs: &[(usize, &'static str, Make, u64)]) -> Vec<Run> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(&(case, who, make, seed)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let trace = play(&cases[case], seed, &make, false);
                    let score = score(&cases[case], &trace);
                    if let Ok(mut done) = done.lock() {
                        done.push(Run { case, who, seed, score });
                    }
                }
            });
        }
    });
    let mut runs = done.into_inner().unwrap_or_default();
    let place = |who| OWN.iter().position(|(name, _)| *name == who);
    runs.sort_by_key(|run| (run.case, place(run.who), run.seed));
    runs
}

/// The whole table, one line a run. A closed standard output is no reason to fail.
fn print(cases: &[Case], runs: &[Run]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{NOTE}")?;
    for case in cases {
        writeln!(out, "{:<11} {}", case.name, case.about)?;
    }
    write!(out, "{:<11} {:<7} {:>4}", "case", "who", "seed")?;
    for (metric, ..) in METRICS {
        write!(out, " {metric:>11}")?;
    }
    writeln!(out)?;
    for run in runs {
        write!(out, "{:<11} {:<7} {:>4}", cases[run.case].name, run.who, run.seed)?;
        for (metric, ..) in METRICS {
            match run.score.get(metric) {
                Some(figure) if metric == "jain" => write!(out, " {figure:>11.3}")?,
                Some(figure) => write!(out, " {figure:>11.2}")?,
                None => write!(out, " {:>11}", "-")?,
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

fn draw(directory: &Path, cases: &[Case], contenders: &[(&'static str, Make)]) -> Result<(), Failure> {
    std::fs::create_dir_all(directory).context(format_args!("cannot make {}", directory.display()))?;
    for case in cases {
        let traces: Vec<_> =
            contenders.iter().map(|&(who, make)| (who, play(case, 1, &make, false))).collect();
        let path = directory.join(format!("{}.svg", case.name));
        std::fs::write(&path, plot::svg(case, &traces))
            .context(format_args!("cannot write {}", path.display()))?;
    }
    Ok(())
}
