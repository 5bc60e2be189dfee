//! `coverage`: how much of the protocol's code the committed fuzz inputs run through.
//!
//! The replay of the corpora is built with the compiler's own counters (`-Cinstrument-coverage`) in a target directory
//! beside the usual one, and Debian's LLVM reads what they counted. Code of tests is not built into it and so not counted;
//! everything else is, hybrid handshakes among it, and so is what is only computed while compiling or printed for people.

use core::fmt::Write as _;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::args::Setup;
use crate::{Failure, cargo, say, setup};

/// Debian's names of the compiler's LLVM and where its tools are.
const TOOLS: &str = "/usr/lib/llvm-22/bin";
/// What is counted, and what of it is the wire's.
const SOURCES: &str = "rift/src";
const WIRE: &str = "rift/src/wire/";
/// Lines that must be run through, in thousandths.
const ALL_PERMILLE: u64 = 900;
const WIRE_PERMILLE: u64 = 980;

/// What became of the lines and functions of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Covered {
    /// How often each line with code was run, by its number.
    pub lines: BTreeMap<u64, u64>,
    /// How often each function was, by the line it begins on; of generic ones, all instances together.
    pub functions: BTreeMap<u64, u64>,
}

/// Lines that were run, and lines.
type Share = (u64, u64);

/// Builds, replays, and prints the share of each directory, the files that lack most, and functions that never ran.
///
/// # Errors
/// Setup's own failures; exit code 1 when the replay fails or a share is too small.
pub fn run(options: Setup) -> Result<(), Failure> {
    setup::run(options, &[&setup::COVERAGE])?;
    let work = cargo::target_dir().join("coverage");
    let raw = work.join("raw");
    // What an earlier run counted is not this one's.
    let _ = fs::remove_dir_all(&raw);
    let program = replay(&work, &raw)?;
    let merged = work.join("merged.profdata");
    let mut merge = Command::new(Path::new(TOOLS).join("llvm-profdata"));
    merge.args(["merge", "--sparse", "-o"]).arg(&merged).arg(&raw);
    output(&mut merge)?;
    let mut export = Command::new(Path::new(TOOLS).join("llvm-cov"));
    export.args(["export", "--format=lcov", "--instr-profile"]).arg(&merged).arg(&program);
    export.arg(cargo::root().join(SOURCES));
    let files = read(&output(&mut export)?, &cargo::root());
    let (text, is_enough) = judge(&files);
    say::result(text);
    if is_enough { Ok(()) } else { Err(Failure::failed("too little is covered; the shares are above")) }
}

/// Builds the replay of the corpora and runs it; gives its path.
fn replay(work: &Path, raw: &Path) -> Result<PathBuf, Failure> {
    say::progress("coverage: building the replay of fuzz/corpus with counters");
    let mut command = cargo::command();
    command.args(["test", "--locked", "--package=wavry-fuzz", "--test=corpus", "--", "--test-threads=1"]);
    command.env("CARGO_TARGET_DIR", work).env("LLVM_PROFILE_FILE", raw.join("%p-%m.profraw"));
    // What cargo's own configuration says is not read when this is set.
    command.env("RUSTFLAGS", "-Cinstrument-coverage --cfg poly1305_force_soft");
    let done = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output();
    let done = done.map_err(|error| Failure::failed(format!("cannot run cargo: {error}")))?;
    let words = String::from_utf8_lossy(&done.stderr);
    // Cargo says what it runs: `Running tests/corpus.rs (path)`.
    let path = words.lines().rev().find_map(|line| line.trim().strip_prefix("Running tests/corpus.rs ("));
    match path.map(|path| cargo::root().join(path.trim_end_matches(')'))) {
        Some(path) if done.status.success() => Ok(path),
        _ => Err(Failure::failed(format!("the replay failed:\n{words}"))),
    }
}

fn output(command: &mut Command) -> Result<String, Failure> {
    let done = command.stdin(Stdio::null()).output();
    let done = done.map_err(|error| Failure::unusable(format!("cannot run {command:?}: {error}")))?;
    if !done.status.success() {
        let words = String::from_utf8_lossy(&done.stderr).into_owned();
        return Err(Failure::failed(format!("{command:?} failed:\n{words}")));
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// Reads LCOV's text; files are named relative to `root`.
#[must_use]
pub fn read(lcov: &str, root: &Path) -> BTreeMap<String, Covered> {
    let mut files: BTreeMap<String, Covered> = BTreeMap::new();
    let (mut file, mut begins) = (String::new(), BTreeMap::new());
    for line in lcov.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let covered = files.entry(file.clone()).or_default();
        let number = |word: Option<&str>| word.and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
        let (first, rest) = value.split_once(',').unwrap_or((value, ""));
        match key {
            "SF" => {
                let path = Path::new(value);
                file = path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned();
                begins.clear();
            }
            "FN" => {
                begins.insert(rest.to_owned(), number(Some(first)));
            }
            "FNDA" => {
                let begin = begins.get(rest).copied().unwrap_or(0);
                *covered.functions.entry(begin).or_default() += number(Some(first));
            }
            "DA" => *covered.lines.entry(number(Some(first))).or_default() += number(rest.split(',').next()),
            _ => {}
        }
    }
    files.retain(|_, covered| !covered.lines.is_empty());
    files
}

fn share<'c>(files: impl Iterator<Item = &'c Covered>) -> Share {
    files.fold((0, 0), |(run, all), file| {
        let ran = file.lines.values().filter(|&&count| count > 0).count() as u64;
        (run + ran, all + file.lines.len() as u64)
    })
}

fn is_enough((run, all): Share, permille: u64) -> bool {
    all > 0 && run * 1000 >= all * permille
}

/// What people read, and whether it is enough.
#[must_use]
pub fn judge(files: &BTreeMap<String, Covered>) -> (String, bool) {
    let mut text = String::new();
    let mut directories: BTreeMap<&str, Vec<&Covered>> = BTreeMap::new();
    for (name, covered) in files {
        let directory = name.rsplit_once('/').map_or(name.as_str(), |(directory, _)| directory);
        directories.entry(directory).or_default().push(covered);
    }
    // Writing to a string cannot fail.
    let mut row = |name: &str, (run, all): Share| {
        let percent = run as f64 * 100.0 / all.max(1) as f64;
        let _ = writeln!(text, "{percent:6.2} % {run:>6} of {all:>6} lines  {name}");
    };
    for (directory, files) in &directories {
        row(directory, share(files.iter().copied()));
    }
    let mut lacking: Vec<(&String, Share)> =
        files.iter().map(|(name, covered)| (name, share([covered].into_iter()))).collect();
    lacking.sort_by_key(|(_, (run, all))| core::cmp::Reverse(all - run));
    for (name, share) in lacking.iter().filter(|(_, (run, all))| run < all).take(20) {
        row(name, *share);
    }
    let all = share(files.values());
    let wire = share(files.iter().filter(|(name, _)| name.starts_with(WIRE)).map(|(_, covered)| covered));
    row("all of rift/src", all);
    row("rift/src/wire", wire);
    for (name, covered) in files {
        let idle = covered.functions.iter().filter(|&(_, &count)| count == 0);
        for (line, _) in idle {
            let _ = writeln!(text, "never run: {name}:{line} {}", declaration(name, *line));
        }
    }
    (text, is_enough(all, ALL_PERMILLE) && is_enough(wire, WIRE_PERMILLE))
}

/// What stands on a line of a file of the tree.
fn declaration(name: &str, line: u64) -> String {
    let text = fs::read_to_string(cargo::root().join(name)).unwrap_or_default();
    let at = usize::try_from(line).unwrap_or(0).saturating_sub(1);
    text.lines().nth(at).unwrap_or_default().trim().to_owned()
}

pub(crate) const HELP: &str = "\
cargo rig coverage [--yes] [--no-setup]

Replays the committed fuzz inputs through the protocol with the compiler's counters in it and says how many lines they run
through: by directory, in the files that lack most, and which functions never ran. Fails below 90 % of rift/src or 98 % of
rift/src/wire. Code of tests is not counted. Needs Debian's LLVM of the compiler's version, which it installs.

  -y, --yes     install without asking
  --no-setup    take the machine as it is (systems without apt)";
