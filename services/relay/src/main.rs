//! `wavry-relay`: see `wavry-relay --help`.

use core::time::Duration;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, Result};
use rift::paths::relay::relay_id;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;
use wavry_relay::args::{self, Command, RunArgs, SettingsError};
use wavry_relay::serve;

/// How often the relay looks after itself.
const TURN: Duration = Duration::from_millis(250);

fn main() -> ExitCode {
    let cli = match args::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(SettingsError::Wrong(error)) => error.exit(),
        Err(error) => {
            eprintln!("wavry-relay: {error}");
            return ExitCode::from(2);
        }
    };
    let outcome = match cli.command {
        Some(Command::Id) => id(&cli.run),
        None => run(&cli.run),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wavry-relay: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn id(settings: &RunArgs) -> Result<()> {
    use std::io::Write as _;
    let key = serve::public_key(&settings.state)?;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut out = std::io::stdout().lock();
    writeln!(out, "id    {key}\nrelay {}\nkey   {}", hex(&relay_id(&key)), hex(key.as_bytes()))?;
    Ok(())
}

fn run(settings: &RunArgs) -> Result<()> {
    let filter = EnvFilter::try_new(&settings.log).with_context(|| format!("--log {}", settings.log))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let (send, signalled) = mpsc::channel();
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            if send.send(signal).is_err() {
                return;
            }
        }
    })?;
    let running = serve(settings)?;
    let mut left = None;
    loop {
        let has_ended = !running.tend();
        match signalled.recv_timeout(TURN) {
            Ok(_) if left.is_some() => break,
            Ok(_) => {
                info!(
                    leases = running.leases(),
                    seconds = settings.drain,
                    "draining; once more ends it at once"
                );
                running.drain();
                left = Some(Duration::from_secs(settings.drain.into()));
            }
            Err(_) => left = left.map(|left: Duration| left.saturating_sub(TURN)),
        }
        if has_ended {
            warn!("a thread has ended");
            running.stop();
            anyhow::bail!("the relay cannot go on");
        }
        if left.is_some_and(|left| left.is_zero() || running.leases() == 0) {
            break;
        }
    }
    running.stop();
    info!("the relay has ended");
    Ok(())
}
