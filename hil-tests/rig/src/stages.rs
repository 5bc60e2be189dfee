//! `test`: everything CI checks, as stages in one order.
//!
//! What fails fast comes first; every stage uses the same profile and target directory, so that later ones find what
//! earlier ones built. All stages run even if one fails: one run tells everything that is wrong.

use core::time::Duration;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::args::{Fuzz, Setup, Test};
use crate::cargo::{self, EXCLUDED};
use crate::totals::Totals;
use crate::{Failure, board, fuzz, say, setup, trials, vm};

/// One part of the test run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Downloads the dependencies of every workspace.
    Fetch,
    /// Formatting.
    Fmt,
    /// Lints, warnings denied.
    Clippy,
    /// Documentation, warnings denied.
    Doc,
    /// The programs that tests run.
    Build,
    /// All tests.
    Test,
    /// Random scenarios in the simulator.
    Sim,
    /// What only a real kernel can prove, in a VM.
    Vm,
    /// The program without an allocator.
    Noalloc,
    /// The benchmarks compile without warnings.
    BenchCheck,
    /// Attack surfaces under the fuzzer, for seconds each.
    Fuzz,
}

/// The same chance each time: what fails here was changed, not drawn. Longer runs of `fuzz` draw anew.
const FUZZ_SEED: u32 = 1;
/// How long each surface is fuzzed here: enough to notice what lies on the way.
const FUZZ_SECONDS: u32 = 5;
/// Scenarios that are played, from the first seed on.
const SIM_SEEDS: u32 = 300;

/// Real time the VM may take here, seconds: on a machine of its own it takes two minutes.
const VM_SECONDS: u32 = 1200;

impl Stage {
    /// In the order they run.
    pub const ALL: [Self; 11] = [
        Self::Fetch,
        Self::Fmt,
        Self::Clippy,
        Self::Doc,
        Self::Build,
        Self::Test,
        Self::Sim,
        Self::Vm,
        Self::Noalloc,
        Self::BenchCheck,
        Self::Fuzz,
    ];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Fmt => "fmt",
            Self::Clippy => "clippy",
            Self::Doc => "doc",
            Self::Build => "build",
            Self::Test => "test",
            Self::Sim => "sim",
            Self::Vm => "vm",
            Self::Noalloc => "noalloc",
            Self::BenchCheck => "bench-check",
            Self::Fuzz => "fuzz",
        }
    }

    /// The cargo commands it consists of; none where what it checks has not been written.
    #[must_use]
    pub fn commands(self, packages: &[String]) -> Vec<Vec<String>> {
        let workspaces =
            || EXCLUDED.into_iter().filter(|workspace| packages.is_empty() && cargo::exists(workspace));
        match self {
            Self::Fetch => {
                let main = words("fetch --locked --target x86_64-unknown-linux-gnu");
                let mut fetches = vec![main.clone()];
                fetches.extend(workspaces().map(|workspace| with_manifest(main.clone(), workspace)));
                fetches
            }
            Self::Fmt => {
                let main = selected("fmt --check", packages, "--all");
                let mut checks = vec![main.clone()];
                checks.extend(workspaces().map(|workspace| with_manifest(main.clone(), workspace)));
                checks
            }
            Self::Clippy => vec![
                [
                    selected("clippy --locked --all-targets", packages, "--workspace"),
                    words("-- --deny warnings"),
                ]
                .concat(),
            ],
            Self::Doc => vec![selected("doc --locked --no-deps", packages, "--workspace")],
            Self::Build => vec![selected("build --locked --bins", packages, "--workspace")],
            Self::Test => vec![
                [
                    selected("test --locked --no-fail-fast", packages, "--workspace"),
                    words("-- --show-output"),
                ]
                .concat(),
            ],
            Self::Sim if packages.is_empty() => {
                vec![trials::command(&words(&format!("sim --seeds {SIM_SEEDS}")))]
            }
            Self::Noalloc if cargo::exists("hil-tests/noalloc") => vec![
                [
                    with_manifest(words("clippy --locked --all-features"), "hil-tests/noalloc"),
                    words("-- --deny warnings"),
                ]
                .concat(),
                with_manifest(words("run --locked --release"), "hil-tests/noalloc"),
                with_manifest(words("run --locked --release --all-features"), "hil-tests/noalloc"),
            ],
            Self::BenchCheck if cargo::exists("hil-tests/bench") => vec![
                [
                    with_manifest(words("clippy --locked --all-targets"), "hil-tests/bench"),
                    words("-- --deny warnings"),
                ]
                .concat(),
            ],
            // These are no cargo commands of this toolchain: see `run_stage`.
            Self::Sim | Self::Vm | Self::Noalloc | Self::BenchCheck | Self::Fuzz => Vec::new(),
        }
    }

    fn environment(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Doc => &[("RUSTDOCFLAGS", "--deny warnings")],
            // The rules over the tree then take what cannot be read for an error, not for a skip.
            Self::Test => &[("WAVRY_TIDY", "strict")],
            Self::Fetch
            | Self::Fmt
            | Self::Clippy
            | Self::Build
            | Self::Sim
            | Self::Vm
            | Self::Noalloc
            | Self::BenchCheck
            | Self::Fuzz => &[],
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    Skipped,
    Absent,
}

/// Sets up, runs the stages, prints the table and the totals.
///
/// # Errors
/// Exit code 1 when any stage failed; setup's own failures.
pub fn run(options: &Test) -> Result<(), Failure> {
    setup::run(options.setup, &[&setup::BUILD])?;
    let begun = now();
    let mut totals = Totals::default();
    let mut table = Vec::new();
    for stage in Stage::ALL {
        if !options.stages.is_empty() && !options.stages.contains(&stage) {
            continue;
        }
        let start = now();
        let outcome = run_stage(stage, &options.packages, &mut totals)?;
        table.push((stage.name(), start.elapsed(), outcome));
    }
    print_table(&table, begun.elapsed());
    say::result(totals);
    let failed: Vec<&str> = table
        .iter()
        .filter(|(_, _, outcome)| *outcome == Outcome::Failed)
        .map(|&(name, _, _)| name)
        .collect();
    if failed.is_empty() { Ok(()) } else { Err(Failure::failed(format!("failed: {}", failed.join(", ")))) }
}

fn run_stage(stage: Stage, packages: &[String], totals: &mut Totals) -> Result<Outcome, Failure> {
    if stage == Stage::Fuzz && packages.is_empty() {
        return Ok(fuzz_stage(totals));
    }
    if stage == Stage::Vm && packages.is_empty() {
        return Ok(vm_stage(totals));
    }
    let commands = stage.commands(packages);
    if commands.is_empty() {
        say::progress(format_args!("{}: nothing there yet", stage.name()));
        return Ok(Outcome::Absent);
    }
    let mut outcome = Outcome::Passed;
    for arguments in commands {
        say::progress(format_args!("{}: cargo {}", stage.name(), arguments.join(" ")));
        let mut command = cargo::command();
        command.args(&arguments).envs(stage.environment().iter().copied()).stdin(Stdio::null());
        if !stream(command, totals)? {
            outcome = Outcome::Failed;
        }
    }
    if stage == Stage::Noalloc && !has_linked_for_boards(totals) {
        outcome = Outcome::Failed;
    }
    if stage == Stage::Fetch
        && packages.is_empty()
        && let Err(why) = vm::fetch()
    {
        say::progress(format_args!("fetch: no VM: {why}"));
    }
    Ok(outcome)
}

/// Links the program without an allocator for boards, where their compiler is there; without it that is skipped.
fn has_linked_for_boards(totals: &mut Totals) -> bool {
    if !board::can_measure_sizes() {
        say::progress(
            "noalloc: skipped for boards: their compiler (rustc-web, rust-web-src, lld-22) is not there",
        );
        totals.skipped += 1;
        return true;
    }
    let as_it_is = Setup { skip: true, ..Setup::default() };
    board::sizes(as_it_is).inspect_err(|failure| say::failure(failure)).is_ok()
}

fn vm_stage(totals: &mut Totals) -> Outcome {
    if let Err(why) = vm::fetch() {
        say::result(format_args!("skipped: no VM can be had here: {why}"));
        totals.skipped += 1;
        return Outcome::Skipped;
    }
    match vm::test_all(VM_SECONDS, totals) {
        Ok(()) => Outcome::Passed,
        Err(failure) => {
            say::failure(failure);
            Outcome::Failed
        }
    }
}

fn fuzz_stage(totals: &mut Totals) -> Outcome {
    match fuzz::run(&Fuzz { seconds: FUZZ_SECONDS, seed: Some(FUZZ_SEED), surfaces: Vec::new() }) {
        Ok(fuzz::Outcome::Clean) => Outcome::Passed,
        Ok(fuzz::Outcome::Skipped) => {
            totals.skipped += 1;
            Outcome::Skipped
        }
        Err(failure) => {
            say::failure(failure);
            Outcome::Failed
        }
    }
}

/// Runs a command, shows its output as it comes and counts test results in it; `true` = it succeeded.
fn stream(mut command: Command, totals: &mut Totals) -> Result<bool, Failure> {
    let cannot = |error| Failure::failed(format!("cannot run cargo: {error}"));
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(cannot)?;
    if let Some(output) = child.stdout.take() {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches('\n');
            if totals.read(text) {
                say::result(text);
            }
            line.clear();
        }
    }
    child.wait().map(|status| status.success()).map_err(cannot)
}

fn print_table(table: &[(&str, Duration, Outcome)], total: Duration) {
    say::result(format_args!("\n{:<14}{:>10}", "stage", "seconds"));
    for &(name, took, outcome) in table {
        let remark = match outcome {
            Outcome::Passed => "",
            Outcome::Failed => "  FAILED",
            Outcome::Skipped => "  skipped",
            Outcome::Absent => "  nothing there yet",
        };
        say::result(format_args!("{name:<14}{:>10.1}{remark}", took.as_secs_f64()));
    }
    say::result(format_args!("{:<14}{:>10.1}\n", "total", total.as_secs_f64()));
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

fn selected(line: &str, packages: &[String], everything: &str) -> Vec<String> {
    let mut arguments = words(line);
    if packages.is_empty() {
        arguments.push(everything.to_owned());
    }
    arguments.extend(packages.iter().map(|package| format!("--package={package}")));
    arguments
}

fn with_manifest(mut arguments: Vec<String>, workspace: &str) -> Vec<String> {
    arguments.push(format!("--manifest-path={workspace}/Cargo.toml"));
    arguments
}

#[expect(clippy::disallowed_methods, reason = "wall time of a stage is what people read here")]
fn now() -> Instant {
    Instant::now()
}
