//! Rows of a contest: percentiles beside what they cost and how it looked.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::judge::Figures;
use super::{Contest, Entry, Rule};
use crate::clock::millis;
use crate::cost;
use crate::glass::Quality;
use crate::pairs::Kind;
use crate::report::{Row, rounded};
use crate::statistics::interval;

/// A percentile needs this many samples before it is worth a row: twenty beyond p99.
const P99_SAMPLES: usize = 2000;

/// Who takes part, and in what.
#[derive(Debug, Clone)]
pub(crate) struct Course {
    /// The benchmark's name.
    pub(crate) bench: &'static str,
    /// The pair whose figure is ours.
    pub(crate) ours: Kind,
    /// Our other ways to show a picture, shown beside.
    pub(crate) displays: Vec<Kind>,
    /// Everybody else.
    pub(crate) rivals: Vec<Kind>,
}

/// What a case's percentiles are held to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    /// The case.
    pub(crate) case: &'static str,
    /// The rule for the median.
    pub(crate) p50: Rule,
    /// The rule for the 95th percentile.
    pub(crate) p95: Rule,
    /// Whether there is a row for the 99th, where there are samples enough.
    pub(crate) p99: bool,
}

impl Course {
    /// Everybody, ours first.
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        core::iter::once(self.ours)
            .chain(self.displays.iter().copied())
            .chain(self.rivals.iter().copied())
            .collect()
    }

    /// The rows of a case.
    pub(crate) fn rows(&self, contest: &Contest, held: Held) -> Vec<Row> {
        let n = contest.entry(held.case, self.ours).map_or(0, |entry| entry.latency.n());
        let percentiles = [("p50", 50.0, held.p50), ("p95", 95.0, held.p95), ("p99", 99.0, Rule::Shown)];
        percentiles
            .into_iter()
            .filter(|&(metric, ..)| metric != "p99" || (held.p99 && n >= P99_SAMPLES))
            .map(|(metric, percent, rule)| self.row(contest, held.case, (metric, percent), rule))
            .collect()
    }

    fn row(
        &self,
        contest: &Contest,
        case: &'static str,
        (metric, percent): (&'static str, f64),
        rule: Rule,
    ) -> Row {
        let figures = self.figures(contest, case, percent);
        let verdict = rule.judge(&figures);
        let mut extras = self.circumstances(contest, &verdict.why);
        extras.extend(rule.words().map(|words| ("rule", Value::from(words))));
        let pairs: Map<String, Value> = self
            .kinds()
            .into_iter()
            .filter_map(|kind| {
                let mut about = describe(contest.entry(case, kind)?, percent);
                if let Some(Some((low, high))) = figures.intervals.get(kind.name()) {
                    about.insert("difference".to_owned(), json!([rounded(*low), rounded(*high)]));
                }
                Some((kind.name().to_owned(), Value::Object(about)))
            })
            .collect();
        extras.insert("pairs", Value::Object(pairs));
        if !self.displays.is_empty() {
            let shown = |kind: &Kind| (kind.name().to_owned(), json!(pooled(contest, case, *kind, percent)));
            let all: Map<String, Value> =
                core::iter::once(&self.ours).chain(&self.displays).map(shown).collect();
            extras.insert("displays", Value::Object(all));
        }
        Row {
            bench: self.bench,
            case,
            metric,
            unit: "ms",
            ours: figures.ours,
            rivals: figures.rivals,
            goal: verdict.goal.map(rounded),
            met: verdict.why.is_empty(),
            n: contest.entry(case, self.ours).map_or(0, |entry| entry.latency.n()),
            extras,
        }
    }

    /// What every row says about the machine, about who failed, and about why it is missed.
    pub(crate) fn circumstances(&self, contest: &Contest, why: &[String]) -> BTreeMap<&'static str, Value> {
        let mut extras = BTreeMap::new();
        extras.insert("load", json!(contest.load().map(rounded)));
        extras.insert("autogroup", json!(cost::autogroup()));
        if !why.is_empty() {
            extras.insert("why", json!(why));
        }
        let troubles: Map<String, Value> = self
            .kinds()
            .into_iter()
            .filter_map(|kind| Some((kind.name().to_owned(), Value::from(contest.trouble(kind)?))))
            .collect();
        if !troubles.is_empty() {
            extras.insert("troubles", Value::Object(troubles));
        }
        extras
    }

    fn figures(&self, contest: &Contest, case: &'static str, percent: f64) -> Figures {
        let blocks =
            |kind| contest.entry(case, kind).map(|entry| entry.latency.each(percent)).unwrap_or_default();
        let ours = blocks(self.ours);
        Figures {
            ours: pooled(contest, case, self.ours, percent),
            rivals: self
                .rivals
                .iter()
                .map(|&one| (one.name(), pooled(contest, case, one, percent)))
                .collect(),
            intervals: self.rivals.iter().map(|&one| (one.name(), interval(&ours, &blocks(one)))).collect(),
        }
    }
}

fn pooled(contest: &Contest, case: &'static str, kind: Kind, percent: f64) -> Option<f64> {
    contest.entry(case, kind)?.latency.pooled(percent).map(rounded)
}

/// What there is to say about a pair beside its figure.
fn describe(entry: &Entry, percent: f64) -> Map<String, Value> {
    let n = entry.latency.n();
    let mut about = Map::new();
    about.insert("n".to_owned(), json!(n));
    about.insert("lost".to_owned(), json!(entry.lost));
    let blocks: Vec<Option<f64>> =
        entry.latency.each(percent).into_iter().map(|one| one.map(rounded)).collect();
    about.insert("blocks".to_owned(), json!(blocks));
    if n == 0 {
        return about;
    }
    let [host, viewer, host_x, viewer_x] = entry.cost.processor.map(|time| rounded(millis(time) / n as f64));
    about.insert(
        "cpu_ms_per_event".to_owned(),
        json!({"host": host, "viewer": viewer, "host_x": host_x, "viewer_x": viewer_x}),
    );
    let seconds = entry.cost.time.as_secs_f64().max(f64::MIN_POSITIVE);
    let [host, viewer, ..] = entry.cost.processor.map(|time| rounded(time.as_secs_f64() / seconds));
    about.insert("cpu_share".to_owned(), json!({"host": host, "viewer": viewer}));
    about
        .insert("loopback_bytes_per_event".to_owned(), json!(entry.cost.bytes.map(|bytes| bytes / n as u64)));
    if !entry.quality.is_empty() {
        about.insert("quality".to_owned(), Quality::describe(&entry.quality));
    }
    about
}
