//! `wavry-gateway`: see `wavry-gateway --help`.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use tracing_subscriber::EnvFilter;
use wavry_gateway::args::{Cli, Command, RunArgs};
use wavry_gateway::{block_on, carry_out, config, shell};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        None => run(cli.run),
        Some(Command::Run(run_args)) => run(run_args),
        Some(command) => carry_out(&command, &mut std::io::stdout().lock()).map_err(anyhow::Error::from),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wavry-gateway: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: RunArgs) -> Result<()> {
    let said = config::load(&flags.place)?;
    let settings = flags.or(said);
    let filter = settings.log.as_deref().unwrap_or("info");
    let filter = EnvFilter::try_new(filter).with_context(|| format!("--log {filter}"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    block_on(shell::run(&settings))??;
    Ok(())
}
