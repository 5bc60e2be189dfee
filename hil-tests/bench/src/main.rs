//! `wavry-bench`: measures Wavry beside its rivals, interleaved, in one run and with one clock.
//!
//! Each benchmark is a module that returns rows; this file only reads the command line, and `report` writes the rows.

mod args;
mod clock;
mod contest;
mod core;
mod cost;
mod delta;
mod failure;
mod fec;
mod gateway;
mod glass;
mod input;
mod keeper;
mod live;
mod pairs;
mod relay;
mod report;
mod statistics;
mod tiles;
mod x;

use std::process::ExitCode;

use args::{Bench, Options};
use failure::Failure;
use relay::floor;
use report::Row;

/// Exit code of wrong arguments, or of a machine that lacks what a benchmark itself needs.
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (word, rest) = words.split_first().map_or(("", &[][..]), |(word, rest)| (word.as_str(), rest));
    let role = match word {
        live::ROLE => Some(live::role(rest)),
        floor::ROLE => Some(floor::role(rest)),
        _ => None,
    };
    if let Some(outcome) = role {
        return match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                eprintln!("bench {word}: {failure}");
                ExitCode::FAILURE
            }
        };
    }
    let options = match args::parse(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(failure) => {
            eprintln!("bench: {failure}\n{}", args::HELP);
            return ExitCode::from(UNUSABLE);
        }
    };
    match run(&options) {
        Ok(rows) if options.strict && rows.iter().any(|row| !row.met) => {
            eprintln!("bench {}: goals are missed", options.bench.name());
            ExitCode::FAILURE
        }
        Ok(_) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bench {}: error: {failure}", options.bench.name());
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<Vec<Row>, Failure> {
    let rows = match options.bench {
        Bench::Core => core::run(options),
        Bench::Delta => delta::run(options)?,
        Bench::Arq => fec::run_arq(options),
        Bench::Fec => fec::run(options),
        Bench::Gateway => gateway::run(options)?,
        Bench::Glass => glass::run(options)?,
        Bench::Input => input::run(options)?,
        Bench::Pacing => core::pacing::run(),
        Bench::Relay => relay::run(options)?,
        Bench::Live => live::run(options)?,
        Bench::Tiles => tiles::run(options)?,
    };
    report::write(&options.json, &rows)?;
    report::print(&rows);
    Ok(rows)
}
