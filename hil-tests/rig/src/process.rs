//! Background processes that cannot outlive the rig.
//!
//! Every process gets a group of its own and a [`Running`] guard that ends and reaps the group. For the ends no guard
//! sees (Ctrl-C, a kill) there is a keeper: a small shell that holds the read end of a pipe whose write end only the
//! rig has. When the rig is gone, however it went, the pipe closes and the keeper ends what is left.

use core::time::Duration;
use std::fs::{DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::Failure;

/// How long a group may take to end after being asked to, before it is killed.
const GRACE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(10);

/// Reads `add GROUP`, `drop GROUP`, `scratch DIRECTORY` and `netns NAME`; at the end of its input it ends the groups that
/// are left and removes the directory and the network namespaces. It ignores the signals that a terminal sends to everybody.
const KEEPER: &str = r#"
trap '' INT HUP TERM
groups= scratch= spaces=
while read -r verb value; do
  case $verb in
    add) groups="$groups $value" ;;
    drop) kept=; for g in $groups; do [ "$g" = "$value" ] || kept="$kept $g"; done; groups=$kept ;;
    scratch) scratch=$value ;;
    netns) spaces="$spaces $value" ;;
  esac
done
if [ -n "$groups" ]; then
  for g in $groups; do kill -TERM -"$g" 2>/dev/null; done
  sleep 1
  for g in $groups; do kill -KILL -"$g" 2>/dev/null; done
fi
for n in $spaces; do ip netns del "$n" 2>/dev/null; done
[ -z "$scratch" ] || rm -rf -- "$scratch"
"#;

/// Starts background processes and answers for their end.
#[derive(Debug)]
pub struct Keeper {
    orders: Arc<Mutex<Option<ChildStdin>>>,
    shell: Child,
    scratch: PathBuf,
}

impl Keeper {
    /// Starts the keeper and makes a scratch directory that only this user can read and that goes away with it.
    ///
    /// # Errors
    /// No shell, or no directory for temporary files that can be written.
    pub fn start() -> Result<Self, Failure> {
        let scratch = private_directory()?;
        let mut shell =
            Command::new("sh").args(["-c", KEEPER]).process_group(0).stdin(Stdio::piped()).spawn().map_err(
                |error| Failure::failed(format!("cannot run sh, which keeps watch over processes: {error}")),
            )?;
        let keeper = Self { orders: Arc::new(Mutex::new(shell.stdin.take())), shell, scratch };
        order(&keeper.orders, format_args!("scratch {}", keeper.scratch.display()));
        Ok(keeper)
    }

    /// A directory for this run's files; removed at its end.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// A network namespace of this run; it goes away with the keeper.
    pub fn keep_namespace(&self, name: &str) {
        order(&self.orders, format_args!("netns {name}"));
    }

    /// Starts a command in a process group of its own; `name` is for messages and for its log in the scratch directory.
    ///
    /// Standard error goes to the log; so does standard output, unless the command has been told otherwise by `output`.
    ///
    /// # Errors
    /// The program cannot be started or its log not be written.
    pub fn spawn(
        &self,
        name: &str,
        command: &mut Command,
        output: Option<Stdio>,
    ) -> Result<Running, Failure> {
        let log_path = self.scratch.join(format!("{name}.log"));
        let log = File::create(&log_path).map_err(|error| {
            Failure::failed(format!("cannot write the log {}: {error}", log_path.display()))
        })?;
        let same_log =
            log.try_clone().map_err(|error| Failure::failed(format!("cannot share a log: {error}")))?;
        command.process_group(0).stdin(Stdio::null()).stderr(log);
        command.stdout(output.unwrap_or_else(|| same_log.into()));
        let child = command.spawn().map_err(|error| {
            Failure::failed(format!("cannot start {name} ({}): {error}", command.get_program().display()))
        })?;
        order(&self.orders, format_args!("add {}", child.id()));
        Ok(Running { name: name.to_owned(), child, log_path, orders: Arc::clone(&self.orders), reaped: None })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.orders.lock().unwrap_or_else(PoisonError::into_inner).take());
        let _ = self.shell.wait();
    }
}

/// A process in the background and its group; ended and reaped when dropped.
#[derive(Debug)]
pub struct Running {
    name: String,
    child: Child,
    log_path: PathBuf,
    orders: Arc<Mutex<Option<ChildStdin>>>,
    reaped: Option<ExitStatus>,
}

impl Running {
    /// Its process id, which is also its group's.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The child's standard output, where it was started with a pipe; once.
    pub const fn take_output(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Its exit status, if it has ended by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.reaped.is_none() {
            self.reaped = self.child.try_wait().ok().flatten();
        }
        self.reaped
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// It has not within `limit`; it is still running then.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus, Failure> {
        wait_until(limit, || self.ended()).ok_or_else(|| {
            Failure::failed(format!(
                "{} did not end within {} s\n{}",
                self.name,
                limit.as_secs(),
                self.last_words()
            ))
        })
    }

    /// The end of its log, for a message.
    #[must_use]
    pub fn last_words(&self) -> String {
        let log = std::fs::read(&self.log_path).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(20)..].join("\n  ");
        format!("the last words of {}:\n  {tail}", self.name)
    }

    /// Ends the group: asked first, killed after a grace. What the process itself left behind is killed too.
    pub fn end(&mut self) {
        if self.ended().is_none() {
            signal("TERM", self.child.id());
            if wait_until(GRACE, || self.ended()).is_none() {
                signal("KILL", self.child.id());
                self.reaped = self.child.wait().ok();
            }
        }
        signal("KILL", self.child.id());
        order(&self.orders, format_args!("drop {}", self.child.id()));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// Asks again and again until there is an answer or the limit is over. For what offers nothing to wait on: another
/// program's file, a child's exit.
pub fn wait_until<T>(limit: Duration, mut answer: impl FnMut() -> Option<T>) -> Option<T> {
    let end = now() + limit;
    loop {
        if let Some(value) = answer() {
            return Some(value);
        }
        if now() >= end {
            return None;
        }
        pause(POLL);
    }
}

/// Lets time pass: a session has a length that somebody asked for.
#[expect(
    clippy::disallowed_methods,
    reason = "the rig lets real programs run for a stated time, and polls with a bound"
)]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

#[expect(clippy::disallowed_methods, reason = "bounds how long the rig waits for real programs")]
fn now() -> Instant {
    Instant::now()
}

fn order(orders: &Mutex<Option<ChildStdin>>, line: core::fmt::Arguments<'_>) {
    if let Some(pipe) = orders.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        let _ = writeln!(pipe, "{line}");
    }
}

/// The shell's own `kill`: the standard library cannot signal, and /bin/kill need not be installed.
fn signal(name: &str, group: u32) {
    let script = format!("kill -{name} -{group}");
    let _ = Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).status();
}

fn private_directory() -> Result<PathBuf, Failure> {
    let parent = std::env::temp_dir();
    let mut attempt = 0_u32;
    loop {
        let path = parent.join(format!("wavry-rig-{}-{attempt}", std::process::id()));
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => return Ok(path),
            // Another keeper of this process has it, or one whose process had the same number and was cut short.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < 1000 => attempt += 1,
            Err(error) => {
                return Err(Failure::failed(format!(
                    "cannot make the directory {}: {error}",
                    path.display()
                )));
            }
        }
    }
}
