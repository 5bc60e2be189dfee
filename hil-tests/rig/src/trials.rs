//! `sim` and `soak hostile`: whole sessions against random faults and floods, in virtual time. Parsed here, played by a
//! program of its own.

use std::process::Stdio;

use lexopt::prelude::*;

use crate::Failure;
use crate::args::{Command, Topic, complaint, number};
use crate::cargo;

/// What is handed to the program that plays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trials {
    /// Its arguments.
    pub words: Vec<String>,
}

/// Reads the words after `sim`.
///
/// # Errors
/// An unknown option, a missing or malformed value: exit code 2.
pub(crate) fn parse(mut parser: lexopt::Parser) -> Result<Command, Failure> {
    let mut words = vec!["sim".to_owned()];
    while let Some(word) = parser.next().map_err(complaint)? {
        let (option, range) = match word {
            Long("seeds") => ("--seeds", 1..=u32::MAX),
            Long("seed-base") => ("--seed-base", 0..=u32::MAX),
            Long("minutes") => ("--minutes", 1..=1440),
            Long("help") | Short('h') => return Ok(Command::Help(Topic::Sim)),
            other @ (Short(_) | Long(_) | Value(_)) => return Err(complaint(other.unexpected())),
        };
        words.extend([option.to_owned(), number(option, &mut parser, range)?.to_string()]);
    }
    Ok(Command::Trials(Trials { words }))
}

/// The cargo command that plays, built with the profile that tests have: checks stay on, what is hot is optimised.
#[must_use]
pub fn command(words: &[String]) -> Vec<String> {
    let cargo = ["run", "--locked", "--quiet", "--package=wavry-trials", "--"];
    cargo.into_iter().map(str::to_owned).chain(words.iter().cloned()).collect()
}

/// Builds the program and plays.
///
/// # Errors
/// Exit code 1 when something did not hold, as was said.
pub fn run(options: &Trials) -> Result<(), Failure> {
    let status = cargo::command().args(command(&options.words)).stdin(Stdio::null()).status();
    let status = status.map_err(|error| Failure::failed(format!("cannot run cargo: {error}")))?;
    if status.success() { Ok(()) } else { Err(Failure::failed("something did not hold; it is told above")) }
}

pub(crate) const HELP: &str = "\
cargo rig sim [--seeds N] [--seed-base S] [--minutes M]

Plays sessions of a client and a host, both real, over a simulated network for 30 virtual seconds each, with three to nine
kinds of fault drawn from a seed: loss, reordering, duplication, damage, narrow links, changing MTU, addresses and clocks,
programs that stand still or start again, and an attacker who sends everything he has heard, as it was or changed. Input
must come once and in order, nothing may be stuck, grow, get in or be read that should not, no picture be damaged, and a
session must live again two seconds after the network does. Ends with totals; what fails tells the command that plays it
again.

  --seeds N       how many scenarios (100)
  --seed-base S   the first seed (1)
  --minutes M     as many scenarios as fit into this time instead, 1 to 1440";
