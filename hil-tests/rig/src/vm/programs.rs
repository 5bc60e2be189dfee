//! What runs in the guest: a directory somebody names, or the tests that need real drivers.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::{Failure, cargo, say};

/// A file to be put into `/payload`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) path: PathBuf,
}

/// A program, and how it is run.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) file: File,
    /// With each of these it is run once; with none, others run it.
    runs: &'static [&'static str],
}

impl Program {
    /// The lines of shell that run it and remember in `code` whether it failed.
    pub(super) fn lines(&self, selection: &Selection<'_>) -> Vec<String> {
        let name = &self.file.name;
        let line =
            |arguments: &str| format!("echo \"[vm] {name} {arguments}\"\n./{name} {arguments} || code=1");
        match selection {
            Selection::All { rounds } => {
                // More than one round is of the capture layer alone.
                let runs = self.runs.iter().filter(|run| *rounds == 1 || run.contains(ROUNDS));
                runs.map(|run| line(&run.replace(ROUNDS, &rounds.to_string()))).collect()
            }
            Selection::Soak(arguments) if name == SOAKED => vec![line(arguments)],
            Selection::Soak(_) => Vec::new(),
        }
    }
}

/// What is to be run.
#[derive(Debug)]
pub(super) enum Selection<'a> {
    /// Every program, each fault of a card so often.
    All { rounds: u32 },
    /// The one that injects faults, with these arguments.
    Soak(&'a str),
}

/// The program that injects faults.
const SOAKED: &str = "wavry-vm";

/// Packages with something for the VM, the name of the target, and the arguments of its runs.
const PROGRAMS: [(&str, &str, &[&str]); 7] = [
    ("rift-uinput", "device", &[TESTS]),
    ("rift-uinput", "every", &[TESTS]),
    ("rift-hid", "gadget", &[TESTS]),
    ("rift-v4l", "device", &[TESTS]),
    ("wavry-server", "wavry-server", &[]),
    ("wavry-client", "wavry-client", &[]),
    ("wavry-vm", "wavry-vm", &["libinput", "card ROUNDS", "session", "sound"]),
];
/// Stands for how often each fault is injected.
const ROUNDS: &str = "ROUNDS";
/// One test after another, because they share the devices.
const TESTS: &str = "--test-threads=1 --show-output";

/// All files of a directory, those in directories below it too.
///
/// # Errors
/// Exit code 2 when it cannot be read.
pub(super) fn directory(path: &Path) -> Result<Vec<File>, Failure> {
    let mut files = Vec::new();
    let mut open = vec![path.to_owned()];
    while let Some(directory) = open.pop() {
        let entries = fs::read_dir(&directory)
            .map_err(|error| Failure::unusable(format!("cannot read {}: {error}", directory.display())))?;
        for entry in entries.flatten().map(|entry| entry.path()) {
            if entry.is_dir() {
                open.push(entry);
            } else if let Some(name) = entry.strip_prefix(path).ok().and_then(Path::to_str) {
                files.push(File { name: name.to_owned(), path: entry.clone() });
            }
        }
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}

/// Builds what the VM's tests are made of. They are ordinary programs of this machine; the libraries they load go
/// into the guest with them.
///
/// # Errors
/// Cargo failed, or did not name a program.
pub(super) fn build() -> Result<Vec<Program>, Failure> {
    let packages: BTreeSet<&str> = PROGRAMS.iter().map(|&(package, ..)| package).collect();
    let mut command = cargo::command();
    command.args([
        "build",
        "--locked",
        "--bins",
        "--test=device",
        "--test=every",
        "--test=gadget",
        "--message-format=json-render-diagnostics",
    ]);
    command.args(packages.iter().map(|package| format!("--package={package}")));
    say::progress(format_args!("vm: building {}", packages.into_iter().collect::<Vec<_>>().join(", ")));
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| Failure::failed(format!("cannot run cargo: {error}")))?;
    if !output.status.success() {
        return Err(Failure::failed("the VM's tests do not build; cargo's own words are above"));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let found = PROGRAMS.iter().map(|&(package, target, runs)| {
        let path = executable(&messages, package, target).ok_or_else(|| {
            Failure::failed(format!("cargo built {package} but named no program for its target `{target}`"))
        })?;
        let name = if package == target { package.to_owned() } else { format!("{package}-{target}") };
        Ok(Program { file: File { name, path: PathBuf::from(path) }, runs })
    });
    found.collect()
}

/// The program that cargo's messages, one JSON object a line, name for this target.
fn executable<'a>(messages: &'a str, package: &str, target: &str) -> Option<&'a str> {
    let mut lines = messages.lines().filter(|line| {
        let name = package.strip_prefix("rift-").map(|short| format!("/{short}#"));
        let of_package = line.contains(&format!("#{package}@"))
            || line.contains(&format!("/{package}#"))
            || name.is_some_and(|name| line.contains(&name));
        of_package && line.contains(&format!("\"name\":\"{target}\"")) && line.contains(KEY)
    });
    lines.next()?.split(KEY).nth(1)?.split('"').next()
}

const KEY: &str = "\"executable\":\"";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn program_is_found_in_cargos_messages() {
        let messages = concat!(
            "{\"package_id\":\"path+file:///x/v4l#rift-v4l@0.1.0\",\"target\":{\"name\":\"rift_v4l\"},\"executable\":null}\n",
            "{\"package_id\":\"path+file:///x/v4l#rift-v4l@0.1.0\",\"target\":{\"name\":\"device\"},\"executable\":\"/t/a\"}\n",
            "{\"package_id\":\"path+file:///x/uinput#rift-uinput@0.1.0\",\"target\":{\"name\":\"device\"},\"executable\":\"/t/b\"}\n",
        );
        assert_eq!(executable(messages, "rift-v4l", "device"), Some("/t/a"));
        assert_eq!(executable(messages, "rift-uinput", "device"), Some("/t/b"));
        assert_eq!(executable(messages, "rift-x11", "device"), None);
    }
}
