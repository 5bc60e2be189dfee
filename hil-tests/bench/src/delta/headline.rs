//! Who dominates whom: no worse on any axis, better on one.

use std::collections::BTreeMap;

use rift_sim::contest::Case;
use serde_json::json;

use super::Run;
use crate::report::{Row, rounded};

/// Least share of pairs of case and seed in which every rival is dominated, in percent.
const DOMINATES_MIN: f64 = 80.0;

/// Rows `dominates` (percent of pairs, per rival; ours is the least) and `dominated` (pairs, per rival; ours is the sum).
pub(super) fn rows(cases: &[Case], runs: &[Run]) -> Vec<Row> {
    let counted = |run: &&Run| cases[run.case].undecided.is_none();
    let mut shares = BTreeMap::new();
    let mut losses = BTreeMap::new();
    let mut lost = Vec::new();
    let mut pairs = 0;
    for run in runs.iter().filter(counted).filter(|run| run.who != "delta") {
        let Some(ours) =
            runs.iter().find(|one| (one.case, one.seed, one.who) == (run.case, run.seed, "delta"))
        else {
            continue;
        };
        pairs += 1;
        let (won, all): &mut (f64, f64) = shares.entry(run.who).or_default();
        *won += f64::from(u8::from(ours.score.dominates(&run.score)));
        *all += 1.0;
        let dominated = run.score.dominates(&ours.score);
        *losses.entry(run.who).or_insert(0.0) += f64::from(u8::from(dominated));
        if dominated {
            lost.push(format!("{} seed {} by {}", cases[run.case].name, run.seed, run.who));
        }
    }
    let shares: BTreeMap<_, _> =
        shares.into_iter().map(|(who, (won, all))| (who, rounded(won * 100.0 / all))).collect();
    let least = shares.values().copied().reduce(f64::min);
    let sum: f64 = losses.values().sum();
    let undecided: Vec<String> =
        cases.iter().filter_map(|case| case.undecided.map(|why| format!("{}: {why}", case.name))).collect();
    let row = |metric, unit, ours: Option<f64>, rivals: BTreeMap<_, f64>, goal, met, what: &str| Row {
        bench: "delta",
        case: "headline",
        metric,
        unit,
        ours,
        rivals: rivals.into_iter().map(|(who, figure)| (who, Some(figure))).collect(),
        goal: Some(goal),
        met,
        n: pairs,
        extras: BTreeMap::from([
            ("what", json!(what)),
            ("axes", json!("utilisation, queue p95, queue p99, late pictures; ties within 1 point and 1 ms")),
            ("left_out", json!(undecided)),
            ("dominated_in", json!(lost)),
        ]),
    };
    let met = least.is_some_and(|least| least >= DOMINATES_MIN);
    vec![
        row(
            "dominates",
            "%",
            least,
            shares,
            DOMINATES_MIN,
            met,
            "share of pairs of case and seed in which delta dominates the rival; ours is the least share",
        ),
        row(
            "dominated",
            "",
            Some(sum),
            losses,
            0.0,
            sum == 0.0,
            "pairs in which the rival dominates delta; ours is their sum",
        ),
    ]
}
