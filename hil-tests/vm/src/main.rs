//! Run by `cargo rig vm --test` inside a VM: does to a capture card what cards and cables do, and prints a table of
//! what the capture layer made of it (`wavry-vm card`), or what a client of a host saw (`wavry-vm session`).

use std::process::ExitCode;

use anyhow::Context as _;
use wavry_vm::{libinput, rounds, session, sound};

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("wavry-vm: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything asked for holds.
fn run() -> anyhow::Result<bool> {
    let mut words = std::env::args().skip(1);
    match words.next().as_deref() {
        Some("libinput") => libinput::run(),
        Some("session") => session::run(words.next().as_deref()),
        Some("hold") => {
            let mut word =
                |what| words.next().with_context(|| format!("wavry-vm hold ID STATE: {what} is missing"));
            let (id, state) = (word("ID")?, word("STATE")?);
            session::releases::hold(&id, std::path::Path::new(&state))
        }
        Some("sound") => sound::run(),
        Some("storm") => {
            let mut number = |what| {
                let word = words.next().and_then(|word| word.parse::<u64>().ok());
                word.with_context(|| format!("wavry-vm storm MINUTES SEED: {what} is missing"))
            };
            let (minutes, seed) = (number("MINUTES")?, number("SEED")?);
            session::storm::run(u32::try_from(minutes)?, seed)
        }
        Some("card") => {
            let rounds = words.next().map_or(Ok(1), |word| word.parse::<u32>());
            rounds::run(rounds.context("the argument is how often each fault is injected")?)
        }
        _ => anyhow::bail!(
            "wavry-vm card [ROUNDS], libinput, session [PART], sound, storm MINUTES SEED, or hold ID STATE"
        ),
    }
}
