//! Every fault on the capture layer, once or many times: bounds, descriptors, memory.

use anyhow::Context as _;

use crate::bench::Bench;
use crate::session::storm;
use crate::{faults, say, table};

/// How often it is told how far it is.
const TELL_ROUNDS: u32 = 20;

/// Whether every fault was survived within its bounds by the capture layer, each injected so often.
///
/// # Errors
/// There is no card, or a fault cannot be made.
pub fn run(rounds: u32) -> anyhow::Result<bool> {
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
        let slope = storm::slope(&points[points.len() / 4..]) / faults::ALL.len() as f64;
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
