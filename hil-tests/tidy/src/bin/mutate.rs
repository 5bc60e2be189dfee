//! Run by `cargo rig mutate`: breaks rules in a copy of the tree, one at a time, and tells which no test noticed.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use wavry_tidy::mutants::{self, Mutant};
use wavry_tidy::tree::{self, File};
use wavry_tidy::{manifests, rules};

/// A test that is not done after so long never will be: it noticed.
const SECONDS: &str = "300";
/// Of many tests of one program so many are asked.
const TESTS_MAX: usize = 12;
/// A core that is broken anew each time is built more often than it runs: quickly, and with all that its tests are about.
const BUILD: [&str; 2] = ["--config=profile.dev.package.rift.opt-level=1", "--locked"];

/// What became of a mutant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Noticed,
    Survived,
    /// It does not compile, so nobody could have written it.
    Refused,
}

fn main() -> ExitCode {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let [count, seed] = numbers[..] else {
        eprintln!("how many, and which? Try `cargo rig mutate --sample 50`");
        return ExitCode::from(2);
    };
    match run(usize::try_from(count).unwrap_or(usize::MAX), seed) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cannot try mutants: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(count: usize, seed: u64) -> io::Result<bool> {
    let files = tree::files();
    let spec = files.iter().find(|file| file.path == "rift/SPEC.md").and_then(File::text);
    let all = mutants::all(spec.unwrap_or_default(), &files);
    let proofs = rules::proofs(&files);
    let copy = copy(&files)?;
    say(&format!("{} places to break; {count} of them, seed {seed}", all.len()));
    let (mut tried, mut survivors, mut refused) = (0, Vec::new(), 0);
    // What does not compile makes room for another.
    for mutant in mutants::sample(&all, all.len(), seed) {
        if tried == count {
            break;
        }
        let tests = mutants::tests(&proofs, &mutant.rule);
        match attempt(&copy, &mutant, &tests)? {
            Fate::Refused => refused += 1,
            fate @ (Fate::Noticed | Fate::Survived) => {
                tried += 1;
                let word = if fate == Fate::Noticed { "noticed" } else { "SURVIVED" };
                say(&format!("{tried}: {word} §{} {}:{}", mutant.rule, mutant.path, mutant.line));
                if fate == Fate::Survived {
                    say(&format!("    {}\n    {}", mutant.before.trim(), mutant.after.trim()));
                    survivors.push(mutant);
                }
            }
        }
    }
    say(&format!("{tried} mutants, {} survived; {refused} did not compile", survivors.len()));
    Ok(survivors.is_empty())
}

/// A copy of the tree, beside what is built.
fn copy(files: &[File]) -> io::Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| tree::root().join("target"), |directory| tree::root().join(directory));
    let copy = target.join("mutants");
    for file in files {
        let path = copy.join(&file.path);
        // What is the same keeps its time, so that nothing is built again for it.
        if fs::read(&path).is_ok_and(|bytes| bytes == file.bytes) {
            continue;
        }
        fs::create_dir_all(path.parent().unwrap_or(&copy))?;
        fs::write(path, &file.bytes)?;
    }
    Ok(copy)
}

fn attempt(copy: &Path, mutant: &Mutant, tests: &[String]) -> io::Result<Fate> {
    let path = copy.join(&mutant.path);
    let text = fs::read_to_string(&path)?;
    let mut lines: Vec<&str> = text.lines().collect();
    lines[mutant.line - 1] = &mutant.after;
    fs::write(&path, lines.join("\n") + "\n")?;
    let fate = judged(copy, tests);
    fs::write(&path, text)?;
    fate
}

/// Whether any of these tests fails. Each program is built just before it is asked, and those after the one that noticed
/// are not.
fn judged(copy: &Path, tests: &[String]) -> io::Result<Fate> {
    for (target, names) in programs(copy, tests) {
        let mut build = Command::new("cargo");
        build.args(["test", "--quiet", "--offline", "--no-run"]).args(BUILD).args(&target);
        if !is_well(build.current_dir(copy))? {
            return Ok(Fate::Refused);
        }
        let mut run = Command::new("timeout");
        run.args([SECONDS, "cargo", "test", "--quiet", "--offline"]).args(BUILD).args(target).arg("--");
        if !is_well(run.args(names.iter().take(TESTS_MAX)).current_dir(copy))? {
            return Ok(Fate::Noticed);
        }
    }
    Ok(Fate::Survived)
}

fn is_well(command: &mut Command) -> io::Result<bool> {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    Ok(status.success())
}

/// The programs these tests are in, as cargo is told of them, those of `rift` itself first.
fn programs(copy: &Path, tests: &[String]) -> Vec<(Vec<String>, Vec<String>)> {
    let mut programs: BTreeMap<(bool, Vec<String>), Vec<String>> = BTreeMap::new();
    for (path, name) in tests.iter().filter_map(|test| test.split_once(' ')) {
        let directories = Path::new(path).ancestors().skip(1);
        let package = directories.filter_map(|directory| {
            let manifest = fs::read_to_string(copy.join(directory).join("Cargo.toml")).ok()?;
            Some((directory.to_path_buf(), manifests::name(&manifest)?))
        });
        let Some((directory, package)) = package.into_iter().next() else { continue };
        let inside = Path::new(path).strip_prefix(&directory).unwrap_or(Path::new(path));
        let mut parts = inside.iter().filter_map(|part| part.to_str());
        let target = match (parts.next(), parts.next()) {
            (Some("tests"), Some(file)) => format!("--test={}", file.trim_end_matches(".rs")),
            _ => "--lib".to_owned(),
        };
        let mut words = vec![format!("--package={package}"), target];
        if package == "rift" {
            words.push("--all-features".to_owned());
        }
        let key = (package != "rift", words);
        programs.entry(key).or_default().push(name.to_owned());
    }
    programs.into_iter().map(|((_, target), names)| (target, names)).collect()
}

/// A closed standard output is no reason to fail.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}
