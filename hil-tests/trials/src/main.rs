//! Run by `cargo rig sim` and `cargo rig soak hostile`: plays sessions against faults and floods, and adds up.

use core::ops::ControlFlow;
use core::time::Duration;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use wavry_trials::args::{self, Command};
use wavry_trials::{flood, sweep, work};

/// How long the session beside a steady flood is, in seconds, and how many datagrams a second the flood has.
const BESIDE_SECONDS: u64 = 10;
const BESIDE_PER_SECOND: u64 = 100_000;

fn main() -> ExitCode {
    let command = match args::parse(lexopt::Parser::from_env()) {
        Ok(command) => command,
        Err(error) => {
            eprintln!("wavry-trials: {error}");
            return ExitCode::from(2);
        }
    };
    let is_good = match command {
        Command::Sim { first, seeds, time } => sim(first, seeds, time),
        Command::Hostile { datagrams, seed } => hostile(datagrams, seed),
    };
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn sim(first: u64, seeds: u64, time: Option<Duration>) -> bool {
    let begun = now();
    let goes_on = |turn: u64| {
        let goes_on = time.map_or(turn < seeds, |time| begun.elapsed() < time);
        if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let (totals, failed) = sweep::run(first, threads, goes_on, |failed| {
        say(&format!("seed {} FAILED ({})", failed.seed, failed.scenario));
        failed.violations.iter().for_each(|violation| say(&format!("  {violation}")));
        say(&format!("  again: cargo rig sim --seeds 1 --seed-base {}", failed.seed));
    });
    say(&totals.to_string());
    let (took, memory) = (begun.elapsed().as_secs_f64(), work::memory_mb());
    say(&format!("{} seeds from {first} failed; {took:.1} s, {memory} MB at most", failed.len()));
    failed.is_empty()
}

fn hostile(datagrams: u64, seed: u64) -> bool {
    let begun = now();
    let is_unmoved = match flood::unmoved(seed, datagrams) {
        Ok(flooded) => {
            let took = begun.elapsed().as_secs_f64();
            let table = |counts: Vec<String>| counts.join(", ");
            let kinds = flooded.kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
            let discards = flooded.discards.iter().map(|(why, count)| format!("{why} {count}")).collect();
            say(&format!(
                "{datagrams} hostile datagrams in {took:.1} s, {:.0} a second: {}",
                datagrams as f64 / took,
                table(kinds)
            ));
            say(&format!("what became of them: {}", table(discards)));
            say(&format!(
                "the session did what it does without them, byte for byte: {} pictures, {} input events",
                flooded.pictures, flooded.inputs
            ));
            true
        }
        Err(difference) => {
            say(&format!("FAILED: the session is not what it is without them: {difference} (seed {seed})"));
            false
        }
    };
    let beside = flood::beside(seed, BESIDE_SECONDS, BESIDE_PER_SECOND, work::done);
    let [quiet, flooded] = beside.mbps;
    // One core that has more to do than there is time does that much less of everything.
    let kept = flooded / quiet / beside.flooded.max(1.0);
    say(&format!(
        "beside {BESIDE_PER_SECOND} a second: {:.1} % of a core for both ends and the network, {:.1} % without; \
         {flooded:.1} of {quiet:.1} Mbit/s, so one core keeps {:.0} %; input {}",
        beside.flooded * 100.0,
        beside.quiet * 100.0,
        kept * 100.0,
        beside.inputs.map_or("WRONG".to_owned(), |count| format!("exact, {count} events"))
    ));
    is_unmoved && kept >= 0.9 && beside.inputs.is_some()
}

/// A closed standard output is no reason to fail.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

#[expect(clippy::disallowed_methods, reason = "how long a run may take, and how long it took")]
fn now() -> Instant {
    Instant::now()
}
