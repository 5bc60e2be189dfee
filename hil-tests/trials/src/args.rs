//! Words of the command line become a [`Command`] once, here.

use core::time::Duration;

use lexopt::prelude::*;

/// Seeds played when nobody says how many.
const SEEDS: u64 = 100;
/// Hostile datagrams sent when nobody says how many.
const DATAGRAMS: u64 = 100_000_000;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Random scenarios.
    Sim {
        /// The first seed.
        first: u64,
        /// How many; with a time, at least one.
        seeds: u64,
        /// For how long instead.
        time: Option<Duration>,
    },
    /// A flood of hostile datagrams.
    Hostile {
        /// How many.
        datagrams: u64,
        /// Decides which.
        seed: u64,
    },
}

/// Reads the words after the program's name.
///
/// # Errors
/// A sentence about what cannot be understood.
pub fn parse(mut parser: lexopt::Parser) -> Result<Command, lexopt::Error> {
    let name = match parser.next()? {
        Some(Value(name)) => name.string()?,
        _ => return Err("what is to be done? There are: sim, hostile".into()),
    };
    let mut command = match name.as_str() {
        "sim" => Command::Sim { first: 1, seeds: SEEDS, time: None },
        "hostile" => Command::Hostile { datagrams: DATAGRAMS, seed: 1 },
        other => return Err(format!("`{other}` is not known; there are: sim, hostile").into()),
    };
    while let Some(word) = parser.next()? {
        match (&mut command, word) {
            (Command::Sim { seeds, .. }, Long("seeds")) => *seeds = parser.value()?.parse()?,
            (Command::Sim { first, .. }, Long("seed-base")) => *first = parser.value()?.parse()?,
            (Command::Sim { time, .. }, Long("minutes")) => {
                let minutes: u64 = parser.value()?.parse()?;
                *time = Some(Duration::from_secs(60 * minutes));
            }
            (Command::Hostile { datagrams, .. }, Long("datagrams")) => {
                *datagrams = parser.value()?.parse()?
            }
            (Command::Hostile { seed, .. }, Long("seed")) => *seed = parser.value()?.parse()?,
            (_, other) => return Err(other.unexpected()),
        }
    }
    Ok(command)
}
