//! Figures as text: a behaviour change is a difference a human reads.

use core::fmt::Write as _;

use super::case::Case;
use super::controller::{Brief, Controller, DeltaController};
use super::fixed::Fixed;
use super::gcc::Gcc;
use super::nada::Nada;
use super::run::run;
use super::score::{METRICS, Score, score};
use super::scream::Scream;

/// Makes a controller.
pub type Make = fn(&Brief) -> Box<dyn Controller>;

/// Who is written here, by name.
pub const OWN: [(&str, Make); 5] = [
    ("delta", |brief| Box::new(DeltaController::new(brief))),
    ("nada", |brief| Box::new(Nada::new(brief))),
    ("scream", |brief| Box::new(Scream::new(brief))),
    ("gcc", |brief| Box::new(Gcc::new(brief))),
    ("fixed", |brief| Box::new(Fixed::new(brief))),
];

/// Plays a case with every controller written here and every seed; one line each.
#[must_use]
pub fn table(case: &Case, seeds: &[u64]) -> String {
    let mut text = heading();
    for (name, make) in OWN {
        for &seed in seeds {
            let score = score(case, &run(case, seed, &make, false));
            let _ = writeln!(text, "{}", line(&case.name, name, seed, &score));
        }
    }
    text
}

/// The names of the columns.
fn heading() -> String {
    let mut text = format!("{:<10} {:<7} {:>4}", "case", "who", "seed");
    for (metric, ..) in METRICS {
        let _ = write!(text, " {metric:>11}");
    }
    text.push('\n');
    text
}

/// One run.
fn line(case: &str, name: &str, seed: u64, score: &Score) -> String {
    let mut text = format!("{case:<10} {name:<7} {seed:>4}");
    for (metric, ..) in METRICS {
        match score.get(metric) {
            Some(figure) if metric == "jain" => drop(write!(text, " {figure:>11.3}")),
            Some(figure) => drop(write!(text, " {figure:>11.2}")),
            None => drop(write!(text, " {:>11}", "-")),
        }
    }
    text
}
