//! Rows of this benchmark.

use std::collections::BTreeMap;

use super::measure::Figure;
use crate::report::{Row, rounded};

/// Our figure and the rivals'.
#[derive(Clone, Debug)]
pub(super) struct Rivalry {
    pub(super) ours: Option<f64>,
    pub(super) rivals: BTreeMap<&'static str, Option<f64>>,
}

impl Rivalry {
    /// The first figure is ours.
    pub(super) fn of(figures: &[Figure]) -> Self {
        Self {
            ours: figures.first().and_then(|figure| figure.median),
            rivals: figures.iter().skip(1).map(|figure| (figure.name, figure.median)).collect(),
        }
    }

    /// Ours alone.
    pub(super) const fn alone(ours: Option<f64>) -> Self {
        Self { ours, rivals: BTreeMap::new() }
    }

    /// Every figure in another unit.
    pub(super) fn map(mut self, convert: impl Fn(f64) -> f64) -> Self {
        self.ours = self.ours.map(&convert);
        for value in self.rivals.values_mut() {
            *value = value.map(&convert);
        }
        self
    }

    /// What this rival reached.
    pub(super) fn rival(&self, name: &str) -> Option<f64> {
        self.rivals.get(name).copied().flatten()
    }
}

/// A row of `core`: `what` is its case, metric and unit. Ours must not exceed the goal.
pub(super) fn row(
    what: (&'static str, &'static str, &'static str),
    figures: Rivalry,
    goal: Option<f64>,
    n: usize,
    note: &str,
) -> Row {
    let (case, metric, unit) = what;
    let is_whole = figures.rivals.values().all(Option::is_some);
    let is_reached = figures.ours.is_some_and(|ours| goal.is_none_or(|goal| ours <= goal));
    Row {
        bench: "core",
        case,
        metric,
        unit,
        ours: figures.ours.map(rounded),
        rivals: figures.rivals.into_iter().map(|(name, value)| (name, value.map(rounded))).collect(),
        goal: goal.map(rounded),
        met: is_whole && is_reached,
        n,
        extras: BTreeMap::from([("note", note.into())]),
    }
}
