//! One row a case and metric: the worst seed of ours and of each rival.

use std::collections::BTreeMap;

use rift_sim::contest::{Case, Goal, METRICS};
use serde_json::json;

use super::{NOTE, Run};
use crate::report::{Row, rounded};

pub(super) fn rows(cases: &[Case], runs: &[Run]) -> Vec<Row> {
    let mut rows = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        let runs: Vec<&Run> = runs.iter().filter(|run| run.case == index).collect();
        for (metric, unit, more) in METRICS {
            rows.extend(row(case, &runs, (metric, unit, more)));
        }
    }
    rows
}

fn row(case: &Case, runs: &[&Run], (metric, unit, more): (&'static str, &'static str, bool)) -> Option<Row> {
    let mut worst: BTreeMap<&'static str, f64> = BTreeMap::new();
    let mut n = 0;
    for run in runs {
        let Some(figure) = run.score.get(metric) else { continue };
        n += usize::from(run.who == "delta");
        let one = worst.entry(run.who).or_insert(figure);
        *one = if more { one.min(figure) } else { one.max(figure) };
    }
    let ours = worst.remove("delta")?;
    let goal = case.goal.and_then(|goal| asked(&goal, metric));
    let met = goal.is_none_or(|goal| if more { ours >= goal } else { ours <= goal });
    let mut extras = BTreeMap::from([("about", json!(case.about)), ("note", json!(NOTE))]);
    if let Some(goal) = goal {
        extras.insert(
            "rule",
            json!(format!("at {} {goal} on every seed", if more { "least" } else { "most" })),
        );
    }
    if !met {
        extras.insert("why", json!(["the worst seed misses the goal"]));
    }
    Some(Row {
        bench: "delta",
        // Names of cases live as long as the program.
        case: case.name.clone().leak(),
        metric,
        unit,
        ours: Some(rounded(ours)),
        rivals: worst.into_iter().map(|(who, figure)| (who, Some(rounded(figure)))).collect(),
        goal,
        met,
        n,
        extras,
    })
}

/// What the goal says of a metric, if anything.
fn asked(goal: &Goal, metric: &str) -> Option<f64> {
    let figure = match metric {
        "utilisation" => goal.utilisation,
        "queue_p95" => goal.queue_p95,
        "queue_p99" => goal.queue_p99,
        "jain" => goal.jain,
        "recovery" => goal.recovery,
        "ramp" => goal.ramp,
        "picture_p95" => goal.picture_p95,
        _ => return None,
    };
    (figure.is_finite() && figure > 0.0).then_some(figure)
}
