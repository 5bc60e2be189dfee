//! `wavry-server`: see `wavry-server --help`.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use tracing_subscriber::EnvFilter;
use wavry_server::args::{Cli, Command, RunArgs};
use wavry_server::source::Spec;
use wavry_server::watch::Stop;
use wavry_server::{app_session, config};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        None => run(cli.run, cli.pair),
        Some(Command::Run(run_args)) => run(*run_args, false),
        Some(command) => {
            wavry_server::carry_out(&command, &mut std::io::stdout().lock()).map_err(anyhow::Error::from)
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wavry-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: RunArgs, pair: bool) -> Result<()> {
    let said = config::load(&flags.place)?;
    let settings = flags.or(said);
    let filter = settings.log.as_deref().unwrap_or("info");
    let filter = EnvFilter::try_new(filter).with_context(|| format!("--log {filter}"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let private = match &settings.source {
        Some(Spec::App(_)) => Some(app_session::enter()?),
        _ => None,
    };
    wavry_server::serve(&settings, pair, private, Stop::on_signals()?)?;
    Ok(())
}
