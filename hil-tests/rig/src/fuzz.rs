//! `fuzz`: every attack surface under a coverage-guided fuzzer for a while.
//!
//! The surfaces are functions in `fuzz/`, replayed everywhere by `cargo test`; this is for finding what is not in the
//! corpus yet. It needs the nightly toolchain, because only that one instruments; without it nothing fails.

use core::hash::{BuildHasher, Hasher};
use std::ffi::OsString;
use std::fs;
use std::hash::RandomState;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::args::Fuzz;
use crate::{Failure, cargo, say};

const WORKSPACE: &str = "fuzz/targets";
const PROGRAMS: &str = "fuzz/targets/fuzz_targets";
const CORPUS: &str = "fuzz/corpus";
/// An input that takes longer hangs: the slowest takes a thousandth of this.
const TIMEOUT_SECONDS: u32 = 10;
/// What a surface may hold, the sanitizer's own memory and a grown corpus included.
const MEMORY_MIB: u32 = 512;
/// What it may allocate at once: no input is answered with more.
const ALLOCATION_MIB: u32 = 8;
/// Longer inputs tell longer stories, not other ones.
const INPUT_BYTES_MAX: u32 = 4096;
/// Lines of the fuzzer's own words that are shown when it has found something.
const LAST_WORDS: usize = 40;

/// How a run ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every surface kept its promises.
    Clean,
    /// This machine has nothing to fuzz with, as was said.
    Skipped,
}

/// Runs the fuzzer on the surfaces asked for, one after the other.
///
/// # Errors
/// Exit code 1 when any crashed, hung or took too much memory; 2 when there is no such surface.
pub fn run(options: &Fuzz) -> Result<Outcome, Failure> {
    let known = surfaces()?;
    if let Some(stranger) = options.surfaces.iter().find(|name| !known.contains(name)) {
        let known = known.join(", ");
        return Err(Failure::unusable(format!("no surface is called `{stranger}`; there are: {known}")));
    }
    if !succeeds(nightly().args(["rustc", "--version"])) {
        say::result(
            "skipped: no nightly toolchain here (rustup toolchain install nightly --profile minimal)",
        );
        return Ok(Outcome::Skipped);
    }
    if !succeeds(nightly().args(["cargo", "fuzz", "--version"])) && !install() {
        say::result(
            "skipped: cargo-fuzz is not here and cannot be installed (cargo install cargo-fuzz --locked)",
        );
        return Ok(Outcome::Skipped);
    }
    let chosen = if options.surfaces.is_empty() { &known } else { &options.surfaces };
    let seed = options.seed.unwrap_or_else(draw);
    let mut found = Vec::new();
    for surface in chosen {
        if !fuzz(surface, options.seconds, seed)? {
            found.push(surface.as_str());
        }
    }
    if found.is_empty() {
        return Ok(Outcome::Clean);
    }
    Err(Failure::failed(format!("a promise was broken in: {}", found.join(", "))))
}

/// The surfaces, by their programs.
fn surfaces() -> Result<Vec<String>, Failure> {
    let entries = fs::read_dir(cargo::root().join(PROGRAMS)).map_err(|error| {
        Failure::unusable(format!("cannot list {PROGRAMS}: {error}; is this the whole tree?"))
    })?;
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    let mut names: Vec<String> =
        paths.filter_map(|path| path.file_stem().map(|name| name.to_string_lossy().into_owned())).collect();
    names.sort();
    Ok(names)
}

/// Runs one surface; `false` = it broke a promise.
fn fuzz(surface: &str, seconds: u32, seed: u32) -> Result<bool, Failure> {
    say::progress(format_args!("fuzz: {surface}, {seconds} s after building it, seed {seed}"));
    let work = target_dir();
    let (grown, logs, artifacts) = (work.join("grown").join(surface), work.join("logs"), work.join("found"));
    for directory in [&grown, &logs, &artifacts] {
        fs::create_dir_all(directory)
            .map_err(|error| Failure::unusable(format!("cannot make {}: {error}", directory.display())))?;
    }
    let log = logs.join(surface);
    let file = fs::File::create(&log)
        .map_err(|error| Failure::unusable(format!("cannot write {}: {error}", log.display())))?;
    let mut command = nightly();
    command.args(["cargo", "fuzz", "run", "--fuzz-dir", WORKSPACE, surface]);
    command.arg(&grown).arg(format!("{CORPUS}/{surface}")).arg("--");
    command.args([
        format!("-max_total_time={seconds}"),
        format!("-seed={seed}"),
        format!("-timeout={TIMEOUT_SECONDS}"),
        format!("-rss_limit_mb={MEMORY_MIB}"),
        format!("-malloc_limit_mb={ALLOCATION_MIB}"),
        format!("-max_len={INPUT_BYTES_MAX}"),
        format!("-artifact_prefix={}/{surface}-", artifacts.display()),
        "-print_final_stats=1".to_owned(),
    ]);
    // Freed memory is kept from use for long by default, and would count.
    command.env("ASAN_OPTIONS", "quarantine_size_mb=16");
    let status = command
        .stdout(Stdio::null())
        .stderr(file)
        .status()
        .map_err(|error| Failure::unusable(format!("cannot run rustup: {error}")))?;
    let text = fs::read(&log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    if status.success() {
        let (runs, pace) =
            (statistic(&text, "number_of_executed_units"), statistic(&text, "average_exec_per_sec"));
        say::result(format_args!("fuzz {surface}: {runs} inputs, {pace} a second, nothing found"));
        return Ok(true);
    }
    let lines: Vec<&str> = text.lines().collect();
    for line in &lines[lines.len().saturating_sub(LAST_WORDS)..] {
        say::result(line);
    }
    say::result(format_args!(
        "fuzz {surface}: FAILED; what it found is in {}, its words in {}",
        artifacts.display(),
        log.display()
    ));
    Ok(false)
}

/// A seed that was most likely never used: the standard library's own chance, from 1 up.
fn draw() -> u32 {
    let drawn = RandomState::new().build_hasher().finish();
    u32::try_from(drawn >> 32).unwrap_or(u32::MAX).max(1)
}

/// A figure of libFuzzer's own, `?` when it told none.
fn statistic<'a>(text: &'a str, name: &str) -> &'a str {
    let line = text.lines().rev().find(|line| line.starts_with("stat::") && line.contains(name));
    line.and_then(|line| line.split_whitespace().last()).unwrap_or("?")
}

/// Brings cargo-fuzz into the target directory, where it is in nobody's way.
fn install() -> bool {
    say::progress("fuzz: installing cargo-fuzz into the target directory");
    let mut command = cargo::command();
    command.args(["install", "cargo-fuzz", "--locked", "--quiet", "--root"]).arg(tools());
    command.stdin(Stdio::null());
    succeeds(&mut command) && succeeds(nightly().args(["cargo", "fuzz", "--version"]))
}

/// A command of the nightly toolchain: what this process inherited from another one is left behind.
fn nightly() -> Command {
    let mut command = Command::new("rustup");
    let own = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::env::split_paths(&own).chain([tools().join("bin")]);
    let path: OsString = std::env::join_paths(paths).unwrap_or(own.clone());
    command.args(["run", "nightly"]).current_dir(cargo::root()).env("PATH", path);
    command.env("CARGO_TARGET_DIR", target_dir()).stdin(Stdio::null());
    for variable in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN", "RUSTFLAGS"] {
        command.env_remove(variable);
    }
    command
}

fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn tools() -> PathBuf {
    target_dir().join("tools")
}

fn target_dir() -> PathBuf {
    cargo::target_dir().join("fuzz")
}
