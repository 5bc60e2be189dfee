//! `wavry-client`: shows and steers a Wavry host.

use std::io::{IsTerminal as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;
use tracing_subscriber::EnvFilter;
use wavry_client::args::{Arguments, Command};
use wavry_client::error::ClientError;

fn main() -> ExitCode {
    let words = match wavry_client::command_line(std::env::args_os().collect()) {
        Ok(words) => words,
        Err(error) => return fail(&error),
    };
    let arguments = match Arguments::try_parse_from(words) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nothing is left to be done if even this cannot be printed.
            let _ = error.print();
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return ExitCode::from(if asked { 0 } else { 2 });
        }
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn run(arguments: &Arguments) -> Result<(), ClientError> {
    start_log(&arguments.common().log)?;
    match &arguments.command {
        Command::Id(id) => {
            let identity = wavry_client::identity(&id.common)?;
            // A reader that went away has read enough.
            let _ = writeln!(std::io::stdout(), "{}", identity.public());
        }
        Command::Settings(_) => {
            let typed: Vec<_> = std::env::args_os().skip(1).collect();
            wavry_client::config::show(&typed, &mut std::io::stdout().lock())?;
        }
        Command::Pair(pair) => {
            wavry_client::pair::pair(pair, &mut std::io::stdin().lock(), &mut std::io::stdout())?;
        }
        Command::List(list) => {
            // A reader that went away has read enough.
            let _ = std::io::stdout().write_all(&wavry_client::list(list)?);
        }
        Command::Power(power) => wavry_client::power::power(power)?,
        Command::Send(send) => {
            let mut out = std::io::stdout();
            let is_terminal = out.is_terminal();
            wavry_client::send::send(send, &mut out, is_terminal)?;
        }
        Command::Connect(connect) => {
            if let Some(display) = wavry_client::other_display(connect, std::env::var_os("DISPLAY")) {
                return Err(start_again(display));
            }
            wavry_client::connect(connect)?;
        }
    }
    Ok(())
}

/// Starts this program again with another `DISPLAY`. Returns only if that fails.
fn start_again(display: &str) -> ClientError {
    let error = match std::env::current_exe() {
        Ok(program) => std::process::Command::new(program)
            .args(std::env::args_os().skip(1))
            .env("DISPLAY", display)
            .exec(),
        Err(error) => error,
    };
    ClientError::System("start again for another X display", error)
}

fn start_log(filter: &str) -> Result<(), ClientError> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| ClientError::Usage(format!("--log does not take {filter:?}: {error}")))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    Ok(())
}

fn fail(error: &ClientError) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "wavry-client: {error}");
    ExitCode::from(error.exit_code())
}
