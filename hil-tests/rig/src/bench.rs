//! `bench`: hands over to the program that measures, which lives in a workspace of its own beside its rivals.

use std::process::Stdio;

use crate::args::Bench;
use crate::{Failure, cargo, say, setup};

const WORKSPACE: &str = "hil-tests/bench";

/// Sets up, rivals included, and runs one benchmark built as a release.
///
/// # Errors
/// Exit code 2 when there are no benchmarks in this tree; otherwise the benchmark's own exit code.
pub fn run(options: &Bench) -> Result<(), Failure> {
    if !cargo::exists(WORKSPACE) {
        return Err(Failure::unusable(format!(
            "{WORKSPACE} is not in this tree: there is nothing to measure with"
        )));
    }
    setup::run(options.setup, &[&setup::BUILD, &setup::BENCH])?;
    // The path is the caller's, but the program starts at the root.
    let json = std::path::absolute(&options.json).map_err(|error| {
        Failure::unusable(format!("cannot make a full path of {}: {error}", options.json.display()))
    })?;
    say::progress(format_args!("bench {}: building a release, then measuring", options.name));
    // The benchmarks find these in the target directory that they share.
    cargo::build_release(&["wavry-server", "wavry-client", "wavry-relay", "wavry-gateway"])?;
    let mut command = cargo::command();
    command.args(["run", "--release", "--manifest-path"]).arg(cargo::manifest(WORKSPACE));
    command.arg("--").arg(&options.name).arg("--json").arg(&json);
    if options.strict {
        command.arg("--strict");
    }
    if let Some(plots) = &options.plots {
        let plots = std::path::absolute(plots).map_err(|error| {
            Failure::unusable(format!("cannot make a full path of {}: {error}", plots.display()))
        })?;
        command.arg("--plots").arg(plots);
    }
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|error| Failure::failed(format!("cannot run cargo: {error}")))?;
    if status.success() {
        return Ok(());
    }
    let exit = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(crate::failure::FAILED);
    Err(Failure { message: format!("bench {} ended with {status}", options.name), exit })
}
