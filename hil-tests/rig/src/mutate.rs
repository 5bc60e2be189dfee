//! `mutate`: rules of the protocol broken on purpose. Parsed here, done by a program of its own.

use std::process::Stdio;

use lexopt::prelude::*;

use crate::Failure;
use crate::args::{Command, Topic, complaint, number};
use crate::cargo;

const SAMPLE: u32 = 50;
const SEED: u32 = 1;

/// Reads the words after `mutate`.
///
/// # Errors
/// An unknown option, a missing or malformed value: exit code 2.
pub(crate) fn parse(mut parser: lexopt::Parser) -> Result<Command, Failure> {
    let (mut sample, mut seed) = (SAMPLE, SEED);
    while let Some(word) = parser.next().map_err(complaint)? {
        match word {
            Long("sample") => sample = number("--sample", &mut parser, 1..=100_000)?,
            Long("seed") => seed = number("--seed", &mut parser, 0..=u32::MAX)?,
            Long("help") | Short('h') => return Ok(Command::Help(Topic::Mutate)),
            other @ (Short(_) | Long(_) | Value(_)) => return Err(complaint(other.unexpected())),
        }
    }
    Ok(Command::Mutate(vec![sample.to_string(), seed.to_string()]))
}

/// Builds the program and lets it work.
///
/// # Errors
/// Exit code 1 when a broken rule was not noticed, as was said.
pub fn run(words: &[String]) -> Result<(), Failure> {
    let mut command = cargo::command();
    command
        .args(["run", "--locked", "--quiet", "--package=wavry-tidy", "--bin=wavry-mutate", "--"])
        .args(words);
    let status = command.stdin(Stdio::null()).status();
    let status = status.map_err(|error| Failure::failed(format!("cannot run cargo: {error}")))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::failed("a broken rule went unnoticed; it is told above"))
    }
}

pub(crate) const HELP: &str = "\
cargo rig mutate [--sample N] [--seed S]

Breaks rules of rift/SPEC.md in a copy of the tree, one at a time: where code of rift cites a rule with a MUST, a condition
is negated, a comparison or a constant is off by one, a truth becomes a lie. The tests that cite the same rule must fail.
Tells each change and whether it was noticed; as many rules are tried as there are before any comes twice.

  --sample N   how many changes, 1 to 100000 (50)
  --seed S     which (1)";
