//! `wavry-relay`: see `wavry-relay --help`.

use core::time::Duration;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, Result};
use rift_mio::Clock;
use rift_systemd::Notifier;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;
use wavry_relay::args::{self, ArgsError, RunArgs};
use wavry_relay::{carry_out, serve};

/// How often the relay looks after itself.
const TURN: Duration = Duration::from_millis(250);

fn main() -> ExitCode {
    let cli = match args::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(ArgsError::Wrong(error)) => error.exit(),
        Err(error) => {
            eprintln!("wavry-relay: {error}");
            return ExitCode::from(2);
        }
    };
    let outcome = match cli.command {
        Some(command) => carry_out(&command, &cli.run, &mut std::io::stdout().lock()),
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
    let (clock, mut notifier, mut seen) = (Clock::new(), Notifier::from_environment(), Vec::new());
    notifier.ready();
    let mut left = None;
    loop {
        let has_ended = !running.tend();
        if running.has_turned(&mut seen) {
            notifier.beat(clock.now());
        }
        notifier.tell(clock.now(), || format!("{} leases", running.leases()));
        match signalled.recv_timeout(TURN) {
            Ok(_) if left.is_some() => break,
            Ok(_) => {
                info!(
                    leases = running.leases(),
                    seconds = settings.drain,
                    "draining; once more ends it at once"
                );
                notifier.stopping();
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
