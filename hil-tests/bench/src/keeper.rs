//! Background processes that cannot outlive a benchmark.
//!
//! Every process leads a group of its own, which a [`Running`] guard ends and reaps. Ends that no guard sees (Ctrl-C, a
//! kill) are seen by a small shell at the other end of a pipe: when the pipe closes, it ends the groups that are left.

use core::time::Duration;
use std::fs::{DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::clock::wait_until;
use crate::failure::{Context as _, Failure};

/// How long a group may take to end after being asked to, before it is killed.
const GRACE: Duration = Duration::from_secs(2);
const LAST_WORDS: usize = 5;

/// Reads `+GROUP` and `-GROUP`; at the end of its input it ends the groups that are left and removes the directory $0.
const WATCH: &str = r#"
trap '' INT HUP TERM
groups=' '
while read -r line; do
  group=${line#?}
  case $line in
    +*) groups="$groups$group " ;;
    -*) groups="${groups%% $group *} ${groups#* $group }" ;;
  esac
done
for group in $groups; do kill -TERM -"$group" 2>/dev/null; done
[ "$groups" = ' ' ] || sleep 1
for group in $groups; do kill -KILL -"$group" 2>/dev/null; done
rm -rf -- "$0"
"#;

type Orders = Arc<Mutex<Option<ChildStdin>>>;

/// Starts background processes and answers for their end.
#[derive(Debug)]
pub(crate) struct Keeper {
    orders: Orders,
    watch: Child,
    scratch: PathBuf,
}

impl Keeper {
    /// Makes a scratch directory that only this user can read, and starts the shell that watches.
    pub(crate) fn start() -> Result<Self, Failure> {
        let scratch = private_directory()?;
        let mut watch = Command::new("sh")
            .args(["-c", WATCH])
            .arg(&scratch)
            .process_group(0)
            .stdin(Stdio::piped())
            .spawn()
            .context("cannot run sh")?;
        Ok(Self { orders: Arc::new(Mutex::new(watch.stdin.take())), watch, scratch })
    }

    /// A directory for this run's files; removed at its end.
    pub(crate) fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// Starts a command in a group of its own; its standard error goes to a log, and so does its output unless the
    /// caller takes that. The home directory is the scratch, so that nobody's settings change a measurement.
    pub(crate) fn spawn(
        &self,
        name: &str,
        command: &mut Command,
        output: Option<Stdio>,
    ) -> Result<Running, Failure> {
        let log_path = self.scratch.join(format!("{name}.log"));
        let log = File::create(&log_path).context(format_args!("cannot write {}", log_path.display()))?;
        command.process_group(0).stdin(Stdio::null()).stderr(log.try_clone()?);
        command.stdout(output.unwrap_or_else(|| log.into()));
        command.env("HOME", &self.scratch).env_remove("WAYLAND_DISPLAY").env_remove("XAUTHORITY");
        let program = command.get_program().to_owned();
        let child = command.spawn().context(format_args!("cannot start {}", program.display()))?;
        order(&self.orders, '+', child.id());
        Ok(Running { name: name.to_owned(), child, ended: false, log_path, orders: Arc::clone(&self.orders) })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.orders.lock().unwrap_or_else(PoisonError::into_inner).take());
        let _ = self.watch.wait();
    }
}

/// A process in the background and its group; ended and reaped when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    name: String,
    child: Child,
    ended: bool,
    log_path: PathBuf,
    orders: Orders,
}

impl Running {
    /// Its process id, which is also its group's.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it as a machine that fails would: it says nothing to anybody.
    pub(crate) fn kill(&mut self) -> Result<(), Failure> {
        self.child.kill().context(format_args!("cannot kill {}", self.name))?;
        self.child.wait().context(format_args!("cannot await the end of {}", self.name))?;
        self.ended = true;
        Ok(())
    }

    /// The child's standard output, where it was started with a pipe; once.
    pub(crate) const fn take_output(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.ended = self.ended || !matches!(self.child.try_wait(), Ok(None));
        self.ended
    }

    /// The end of its log, for a message.
    pub(crate) fn last_words(&self) -> String {
        let log = std::fs::read(&self.log_path).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
        let tail = lines[lines.len().saturating_sub(LAST_WORDS)..].join(" | ");
        format!("{} said last: {tail}", self.name)
    }
}

impl Drop for Running {
    /// Ends the group: asked first, killed after a grace; what the process itself left behind is killed too.
    fn drop(&mut self) {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let signal = |signal| group.map(|group| kill_process_group(group, signal));
        if !self.has_ended() {
            signal(Signal::TERM);
            if wait_until(GRACE, || self.has_ended().then_some(())).is_none() {
                signal(Signal::KILL);
                let _ = self.child.wait();
            }
        }
        signal(Signal::KILL);
        order(&self.orders, '-', self.child.id());
    }
}

fn order(orders: &Orders, verb: char, group: u32) {
    if let Some(pipe) = orders.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        let _ = writeln!(pipe, "{verb}{group}");
    }
}

fn private_directory() -> Result<PathBuf, Failure> {
    let parent = std::env::temp_dir();
    for attempt in 0..1000_u32 {
        let path = parent.join(format!("wavry-bench-{}-{attempt}", std::process::id()));
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => return Ok(path),
            // One whose process had the same number and was cut short.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).context(format_args!("cannot make {}", path.display())),
        }
    }
    Err(format!("{} is full of scratch directories", parent.display()).into())
}
