//! Run by `cargo rig vm --test` inside a VM: does to a capture card what cards and cables do, and prints a table of
//! what the capture layer made of it (`wavry-vm card`), or what a client of a host saw (`wavry-vm session`).

use std::process::ExitCode;

use anyhow::Context as _;
use wavry_vm::{bench::Bench, faults, libinput, say, session, sound, table};

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
            card(rounds.context("the argument is how often each fault is injected")?)
        }
        _ => anyhow::bail!(
            "wavry-vm card [ROUNDS], libinput, session [PART], sound, storm MINUTES SEED, or hold ID STATE"
        ),
    }
}

/// How often it is told how far it is.
const TELL_ROUNDS: u32 = 20;

/// Whether every fault was survived within its bounds by the capture layer, each injected so often.
fn card(rounds: u32) -> anyhow::Result<bool> {
    let mut bench = Bench::set_up()?;
    let rates = [bench.measure("1080p60", faults::full_hd)?, bench.measure("720p60", faults::hd)?];
    say(&table::rates(&rates));
    let mut is_good = rates.iter().all(table::Rate::is_good);
    let mut memory_kb = Vec::new();
    for round in 0..rounds {
        let mut rows = Vec::new();
        for fault in &faults::ALL {
            rows.push(bench.inject(fault)?);
        }
        let is_survived = rows.iter().all(|row| row.misses().is_empty());
        if round == 0 || !is_survived {
            say(&table::text(&rows));
        }
        is_good &= is_survived;
        memory_kb.push(memory()?);
        if (round + 1) % TELL_ROUNDS == 0 {
            say(&format!("{} rounds, {} kB", round + 1, memory()?));
        }
        if rounds > 1 {
            bench.hurry()?;
        }
    }
    if rounds > 1 {
        let tenths: Vec<String> =
            (1..=10).map(|tenth| memory_kb[(memory_kb.len() * tenth).div_ceil(10) - 1].to_string()).collect();
        // The first quarter is left out: buffers of all sizes and modes are met for the first time there.
        let points: Vec<(f64, f64)> =
            memory_kb.iter().enumerate().map(|(at, &kb)| (at as f64, kb as f64)).collect();
        let slope = session::storm::slope(&points[points.len() / 4..]) / faults::ALL.len() as f64;
        say(&format!(
            "{rounds} rounds; memory after each tenth of them, kB: {}; {slope:.3} kB a fault",
            tenths.join(" ")
        ));
        is_good &= slope <= 1.0;
    }
    Ok(is_good)
}

/// What this process has in memory, kB.
fn memory() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("asking for the memory in use")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse().ok());
    number.context("the kernel does not tell the memory in use")
}
