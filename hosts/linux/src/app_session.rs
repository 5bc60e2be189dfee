//! One program on a private X server of its own.
//!
//! The server lets in who has a random cookie, kept in a directory that only this user can read. The program has its
//! own process group; when it ends, so does the session, and when the session ends, everything it started is gone.
//!
//! Programs with threads cannot change their environment, and X clients find the cookie by it. So the host, before
//! anything else, replaces itself with another start of itself that has the cookie in its environment ([`enter`]).

use core::time::Duration;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rift_keystore::KeystoreError;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};
use rustix::time::Timespec;
use tracing::{debug, info};

/// Names the session's directory to the second start.
const DIRECTORY: &str = "WAVRY_APP_SESSION";
const COOKIE_FILE: &str = "Xauthority";
/// How long the X server may take to start.
const START_LIMIT: Duration = Duration::from_secs(15);
/// How long the program may take to end when it is asked to.
const END_LIMIT: Duration = Duration::from_secs(2);
/// `FamilyWild` of Xau: the cookie counts for whatever address.
const FAMILY_WILD: u16 = 0xffff;
const COOKIE_NAME: &[u8] = b"MIT-MAGIC-COOKIE-1";

/// Why there is no application session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppError {
    /// There is no random cookie.
    #[error("the operating system gave no random bytes: {0}")]
    Entropy(getrandom::Error),
    /// The directory or the cookie could not be made.
    #[error(transparent)]
    Keep(#[from] KeystoreError),
    /// The host could not be started again.
    #[error("cannot start the host for an application: {0}")]
    Again(io::Error),
    /// The X server could not be started.
    #[error("cannot start Xvfb: {0}; an app source needs it (Debian: apt install xvfb)")]
    Server(io::Error),
    /// The X server ended or said nothing.
    #[error("Xvfb did not start a screen of {width}x{height}")]
    Screen {
        /// Pixels across.
        width: u16,
        /// Pixels down.
        height: u16,
    },
    /// The program could not be started.
    #[error("cannot start {command:?}: {source}")]
    Program {
        /// The command.
        command: String,
        /// The system's answer.
        source: io::Error,
    },
}

/// The session's private directory, removed with what is in it when dropped.
#[derive(Debug)]
pub struct Private {
    path: PathBuf,
}

/// Gives this process the cookie of a session to come. Returns in the second start only.
///
/// # Errors
/// [`AppError::Entropy`], [`AppError::Keep`], [`AppError::Again`].
pub fn enter() -> Result<Private, AppError> {
    if let Some(path) = std::env::var_os(DIRECTORY).map(PathBuf::from) {
        let cookie = path.join(COOKIE_FILE);
        if std::env::var_os("XAUTHORITY").is_some_and(|named| Path::new(&named) == cookie) {
            return Ok(Private { path });
        }
    }
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(AppError::Entropy)?;
    let (cookie, salt) = random.split_at(16);
    let name = salt.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let base = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_dir());
    let path = base.unwrap_or_else(std::env::temp_dir).join(format!("wavry-app-{name}"));
    rift_keystore::directory(&path)?;
    let private = Private { path };
    let file = private.path.join(COOKIE_FILE);
    rift_keystore::replace(&file, &entry(cookie))?;
    let program = std::env::current_exe().map_err(AppError::Again)?;
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1)).env("XAUTHORITY", &file).env(DIRECTORY, &private.path);
    // On success this does not return, and the directory is the second start's to remove.
    Err(AppError::Again(command.exec()))
}

impl Drop for Private {
    fn drop(&mut self) {
        // Whoever removed it already did the same.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// An entry of an Xauthority file: family, address, display, name and cookie, each but the first with its length.
fn entry(cookie: &[u8]) -> Vec<u8> {
    let mut bytes = FAMILY_WILD.to_be_bytes().to_vec();
    for field in [&[][..], &[], COOKIE_NAME, cookie] {
        let len = u16::try_from(field.len()).expect("fields are short");
        bytes.extend(len.to_be_bytes());
        bytes.extend(field);
    }
    bytes
}

/// A running program with its X server. Dropping it ends both and all that they left.
#[derive(Debug)]
pub struct AppSession {
    program: Child,
    ended: OwnedFd,
    server: Child,
    screen: String,
    _private: Private,
}

impl AppSession {
    /// Starts an X server with a screen of `size` and on it `command`, by the shell.
    ///
    /// # Errors
    /// [`AppError::Server`], [`AppError::Screen`], [`AppError::Program`].
    pub fn start(private: Private, command: &str, size: (u16, u16)) -> Result<Self, AppError> {
        // What the program leaves behind becomes ours, so that it can be ended too.
        let own = rustix::process::getpid();
        rustix::process::set_child_subreaper(Some(own)).map_err(|error| AppError::Server(error.into()))?;
        let (mut server, screen) = start_server(&private.path.join(COOKIE_FILE), size)?;
        let mut shell = bound_to_us("/bin/sh");
        shell.args(["-c", command]).env("DISPLAY", &screen).env_remove(DIRECTORY);
        shell.env_remove("WAYLAND_DISPLAY").stdin(Stdio::null()).process_group(0);
        let started = shell.spawn().and_then(|program| {
            let ended = rustix::process::pidfd_open(pid(&program), PidfdFlags::empty())?;
            Ok((program, ended))
        });
        match started {
            Ok((program, ended)) => {
                info!(pid = program.id(), "application started on display {screen}");
                Ok(Self { program, ended, server, screen, _private: private })
            }
            Err(source) => {
                let _ = server.kill();
                let _ = server.wait();
                Err(AppError::Program { command: command.to_owned(), source })
            }
        }
    }

    /// The display that the program is on.
    #[must_use]
    pub fn display(&self) -> &str {
        &self.screen
    }

    /// Readable once the program has ended.
    #[must_use]
    pub fn ended(&self) -> BorrowedFd<'_> {
        self.ended.as_fd()
    }
}

impl Drop for AppSession {
    fn drop(&mut self) {
        let group = pid(&self.program);
        // All of this is done as far as it goes: what is gone already cannot be ended.
        let _ = rustix::process::kill_process_group(group, Signal::TERM);
        wait_readable(self.ended.as_fd(), END_LIMIT);
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
        let _ = self.program.wait();
        let _ = self.server.kill();
        let _ = self.server.wait();
        reap_orphans();
        debug!("application session ended");
    }
}

/// Ends what the program left behind. Only children of this process are touched; the host has no others.
fn reap_orphans() {
    loop {
        let own = std::process::id();
        let threads = std::fs::read_dir(format!("/proc/{own}/task")).into_iter().flatten().flatten();
        for thread in threads {
            let children = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            for child in children.split_whitespace().filter_map(|child| Pid::from_raw(child.parse().ok()?)) {
                let _ = rustix::process::kill_process(child, Signal::KILL);
            }
        }
        // An error says that there are no children left.
        if rustix::process::wait(WaitOptions::empty()).is_err() {
            return;
        }
    }
}

fn start_server(cookie: &Path, (width, height): (u16, u16)) -> Result<(Child, String), AppError> {
    let mut server = bound_to_us("Xvfb");
    server.args(["-displayfd", "1", "-screen", "0", &format!("{width}x{height}x24"), "-nolisten", "tcp"]);
    server.arg("-auth").arg(cookie).args(["-noreset", "-dpi", "96"]);
    // The group is its own, so that Ctrl-C in a terminal reaches the host first.
    server.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    let mut server = server.spawn().map_err(AppError::Server)?;
    let number = server.stdout.take().and_then(|said| {
        wait_readable(said.as_fd(), START_LIMIT).then_some(())?;
        let mut line = String::new();
        BufReader::new(said.take(16)).read_line(&mut line).ok()?;
        line.trim().parse::<u32>().ok()
    });
    match number {
        Some(number) => Ok((server, format!(":{number}"))),
        None => {
            let _ = server.kill();
            let _ = server.wait();
            Err(AppError::Screen { width, height })
        }
    }
}

/// A command that ends with this process, however that ends, where the system has the tool for it.
fn bound_to_us(program: &str) -> Command {
    let tool = Path::new("/usr/bin/setpriv");
    if !tool.exists() {
        return Command::new(program);
    }
    let mut command = Command::new(tool);
    command.args(["--pdeathsig", "KILL", "--", program]);
    command
}

/// Waits until there is something to read or the other end is closed; `false` when `limit` passes before.
fn wait_readable(fd: BorrowedFd<'_>, limit: Duration) -> bool {
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    let limit = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: limit.subsec_nanos().into() };
    poll(&mut fds, Some(&limit)).is_ok_and(|ready| ready > 0)
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookie_entry_is_laid_out_as_xau_reads_it() {
        let bytes = entry(&[7; 16]);
        assert_eq!(bytes[..6], [0xff, 0xff, 0, 0, 0, 0]);
        assert_eq!(bytes[6..8], [0, 18]);
        assert_eq!(&bytes[8..26], COOKIE_NAME);
        assert_eq!(bytes[26..28], [0, 16]);
        assert_eq!(bytes[28..], [7; 16]);
    }
}
