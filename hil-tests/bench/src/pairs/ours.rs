//! `wavry-server` and `wavry-client`, with keys made for the occasion.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Pair, START_LIMIT, Stage};
use crate::clock::wait_until;
use crate::failure::{Context as _, Failure};

/// The client's ways to show a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Display {
    /// A window of its own, by X11.
    X11,
    /// minifb's window, accelerated.
    Minifb,
    /// minifb's window and nothing else.
    MinifbPlain,
}

impl Display {
    /// The word for `--display`.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::X11 => "x11",
            Self::Minifb => "minifb",
            Self::MinifbPlain => "minifb-plain",
        }
    }
}

/// A host that admits exactly this client, and the client over the whole screen.
pub(super) fn start(stage: &Stage, display: Display) -> Result<Pair, Failure> {
    let programs = directory()?;
    let server = programs.join("wavry-server");
    let client = programs.join("wavry-client");
    let host_state = stage.keeper.scratch().join("host-state");
    let client_state = stage.keeper.scratch().join("client-state");
    // What an earlier pair left: each has keys of its own.
    for state in [&host_state, &client_state] {
        let _ = fs::remove_dir_all(state);
    }
    let id = ask(Command::new(&client).args(["id", "--state"]).arg(&client_state))?;
    ask(Command::new(&server).args(["allow", &id, "--state"]).arg(&host_state))?;

    let port_file = stage.keeper.scratch().join("address");
    let _ = fs::remove_file(&port_file);
    let mut command = Command::new(&server);
    command.arg("--source").arg(format!("x11:{}", stage.host.display)).args(["--listen", "127.0.0.1:0"]);
    command.arg("--state").arg(&host_state).arg("--port-file").arg(&port_file);
    let mut host = stage.keeper.spawn("wavry-server", &mut command, None)?;
    let place = wait_until(START_LIMIT, || {
        let contents = fs::read_to_string(&port_file).unwrap_or_default();
        if host.has_ended() { Some(None) } else { parse_port_file(&contents).map(Some) }
    });
    let (address, host_id) = place.flatten().ok_or_else(|| host.last_words())?;

    let mut command = Command::new(&client);
    command.args(["connect", &address, "--host-id", &host_id]).arg("--state").arg(&client_state);
    command.args(["--x-display", &stage.viewer.display, "--display", display.word(), "--fullscreen"]);
    // minifb knows no display but the environment's.
    command.env("DISPLAY", &stage.viewer.display);
    let client = stage.keeper.spawn("wavry-client", &mut command, None)?;
    Ok(Pair { client, host })
}

/// Where the programs are: a release of the main workspace.
fn directory() -> Result<PathBuf, Failure> {
    let directory = place();
    for program in ["wavry-server", "wavry-client"] {
        program_in(&directory, program)?;
    }
    Ok(directory)
}

/// One of our programs.
pub(crate) fn program(name: &str) -> Result<PathBuf, Failure> {
    program_in(&place(), name)
}

fn program_in(directory: &Path, name: &str) -> Result<PathBuf, Failure> {
    let path = directory.join(name);
    if path.is_file() {
        return Ok(path);
    }
    Err(format!("{name} is not in {}: build a release first", directory.display()).into())
}

fn place() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
    std::env::var_os("WAVRY_BIN").map_or_else(|| target.join("release"), PathBuf::from)
}

/// Runs a short command to its end; what it printed, trimmed.
fn ask(command: &mut Command) -> Result<String, Failure> {
    let program = command.get_program().to_owned();
    let output =
        command.stdin(Stdio::null()).output().context(format_args!("cannot run {}", program.display()))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{} failed: {}", program.display(), words.trim()).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The host's address and Wavry ID: two words, complete only with their newline.
fn parse_port_file(contents: &str) -> Option<(String, String)> {
    let (address, id) = contents.strip_suffix('\n')?.split_once(' ')?;
    Some((address.to_owned(), id.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_file_counts_when_it_is_complete() {
        assert_eq!(parse_port_file("127.0.0.1:4 id\n"), Some(("127.0.0.1:4".to_owned(), "id".to_owned())));
        assert_eq!(parse_port_file("127.0.0.1:4 i"), None);
        assert_eq!(parse_port_file(""), None);
    }
}
