//! Rows: one JSON object a line, and a table for people.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::failure::{Context as _, Failure};

/// One figure of ours beside its rivals'.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    /// The benchmark; stable.
    pub(crate) bench: &'static str,
    /// What was done; stable.
    pub(crate) case: &'static str,
    /// What was measured; stable.
    pub(crate) metric: &'static str,
    /// Its unit.
    pub(crate) unit: &'static str,
    /// Our figure; `None` = there is none.
    pub(crate) ours: Option<f64>,
    /// Each rival's figure; `None` = it gave none, which fails the row.
    pub(crate) rivals: BTreeMap<&'static str, Option<f64>>,
    /// What ours is held to, as a number in the same unit; `None` = only shown.
    pub(crate) goal: Option<f64>,
    /// Whether everybody gave a figure and the goal is reached.
    pub(crate) met: bool,
    /// Samples behind our figure.
    pub(crate) n: usize,
    /// Whatever else explains the figure.
    #[serde(flatten)]
    pub(crate) extras: BTreeMap<&'static str, Value>,
}

/// Writes the rows to a file, one object a line.
pub(crate) fn write(path: &Path, rows: &[Row]) -> Result<(), Failure> {
    let mut text = String::new();
    for row in rows {
        text.push_str(&serde_json::to_string(row)?);
        text.push('\n');
    }
    std::fs::write(path, text).context(format_args!("cannot write {}", path.display()))
}

/// Prints a table. A closed standard output is no reason to fail.
pub(crate) fn print(rows: &[Row]) {
    let _ = try_print(rows);
}

fn try_print(rows: &[Row]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let number = |figure: Option<f64>| figure.map_or_else(|| "–".to_owned(), |figure| format!("{figure:.2}"));
    for row in rows {
        write!(
            out,
            "{} {:<7} {:<11} {:>8} {:<3}",
            row.bench,
            row.case,
            row.metric,
            number(row.ours),
            row.unit
        )?;
        for (name, figure) in &row.rivals {
            write!(out, "  {name} {}", number(*figure))?;
        }
        write!(out, "  goal {}  {}  n {}", number(row.goal), if row.met { "met" } else { "MISSED" }, row.n)?;
        for key in ["displays", "why"] {
            if let Some(value) = row.extras.get(key) {
                write!(out, "  {key} {value}")?;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Three decimals are more than any clock here is good for.
pub(crate) fn rounded(figure: f64) -> f64 {
    (figure * 1000.0).round() / 1000.0
}
