//! The program `wavry`.

use std::io;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;

use wavry_cli::args::Args;

fn main() -> anyhow::Result<ExitCode> {
    let well = wavry_cli::run(&Args::parse(), &mut io::stdout().lock()).context("wavry")?;
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
