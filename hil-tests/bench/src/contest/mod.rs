//! A contest: pairs take turns, block by block, and every case yields a row for each percentile.
//!
//! Turns rotate, so that no pair always comes first. A pair that fails in a block is tried again in the next; what it
//! lacks at the end fails the rows that need it.

mod judge;
mod rows;

use std::collections::BTreeMap;

pub(crate) use judge::Rule;
pub(crate) use rows::{Course, Held};

use crate::args::Volume;
use crate::cost::{self, Cost};
use crate::failure::Failure;
use crate::glass::Quality;
use crate::pairs::Kind;
use crate::statistics::Blocks;

/// All that was measured.
#[derive(Debug, Default)]
pub(crate) struct Contest {
    entries: BTreeMap<(&'static str, Kind), Entry>,
    troubles: BTreeMap<Kind, Vec<String>>,
    loads: Vec<f64>,
}

/// What one pair did in one case.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entry {
    /// Latencies, milliseconds. What never arrived counts as its limit.
    pub(crate) latency: Blocks,
    /// How many never arrived.
    pub(crate) lost: usize,
    /// What it cost.
    pub(crate) cost: Cost,
    /// How good it looked, at some moments.
    pub(crate) quality: Vec<Quality>,
}

/// What one pair did in one case of one block.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// Latencies, milliseconds.
    pub(crate) latency: Vec<f64>,
    /// How many of them are the limit, because nothing arrived.
    pub(crate) lost: usize,
    /// What it cost.
    pub(crate) cost: Cost,
    /// How good it looked.
    pub(crate) quality: Vec<Quality>,
}

/// Cases and what was measured in each, or why nothing was, of one pair's turn.
pub(crate) type Turn = Vec<(&'static str, Result<Measured, Failure>)>;

impl Contest {
    /// Lets every pair take a turn in every block.
    pub(crate) fn run(
        kinds: &[Kind],
        cases: &[&'static str],
        volume: Volume,
        mut turn: impl FnMut(Kind, usize) -> Result<Turn, Failure>,
    ) -> Self {
        let mut this = Self::default();
        for block in 0..volume.blocks {
            for position in 0..kinds.len() {
                let kind = kinds[(block + position) % kinds.len()];
                this.loads.extend(cost::load());
                // One block each, even if it stays empty: blocks are compared with those of the same number.
                for case in cases {
                    this.entries.entry((case, kind)).or_default().latency.0.push(Vec::new());
                }
                match turn(kind, block) {
                    Ok(cases) => this.take(kind, cases),
                    Err(failure) => this.note(kind, &failure),
                }
            }
        }
        this
    }

    /// What a pair did in a case.
    pub(crate) fn entry(&self, case: &'static str, kind: Kind) -> Option<&Entry> {
        self.entries.get(&(case, kind))
    }

    /// What a pair said when it last failed.
    pub(crate) fn trouble(&self, kind: Kind) -> Option<&str> {
        self.troubles.get(&kind)?.last().map(String::as_str)
    }

    /// The mean of the machine's load while this ran.
    pub(crate) fn load(&self) -> Option<f64> {
        let count = self.loads.len() as f64;
        (!self.loads.is_empty()).then(|| self.loads.iter().sum::<f64>() / count)
    }

    fn take(&mut self, kind: Kind, cases: Turn) {
        for (case, measured) in cases {
            let measured = match measured {
                Ok(measured) => measured,
                Err(failure) => {
                    self.note(kind, &format!("{case}: {failure}").into());
                    continue;
                }
            };
            let entry = self.entries.entry((case, kind)).or_default();
            if let Some(block) = entry.latency.0.last_mut() {
                *block = measured.latency;
            }
            entry.lost += measured.lost;
            entry.cost += measured.cost;
            entry.quality.extend(measured.quality);
        }
    }

    fn note(&mut self, kind: Kind, failure: &Failure) {
        eprintln!("bench: {} failed: {failure}", kind.name());
        self.troubles.entry(kind).or_default().push(failure.to_string());
    }
}
