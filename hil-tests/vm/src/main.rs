//! Run by `cargo rig vm --test` inside a VM: does to a capture card what cards and cables do, and prints a table of
//! what the capture layer made of it.

use std::process::ExitCode;

use wavry_vm::{bench::Bench, faults, say, table};

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

/// Whether every fault was survived within its bounds.
fn run() -> anyhow::Result<bool> {
    let mut bench = Bench::set_up()?;
    let rates = [bench.measure("1080p60", faults::full_hd)?, bench.measure("720p60", faults::hd)?];
    say(&table::rates(&rates));
    let mut rows = Vec::new();
    for fault in &faults::ALL {
        rows.push(bench.inject(fault)?);
    }
    say(&table::text(&rows));
    Ok(rates.iter().all(table::Rate::is_good) && rows.iter().all(|row| row.misses().is_empty()))
}
