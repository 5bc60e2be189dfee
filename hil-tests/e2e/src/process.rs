//! Children that end with their guard, and waiting with a bound.

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use crate::HANG_GUARD;

/// A directory that is removed with its guard.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// A fresh directory.
    ///
    /// # Panics
    /// When the machine's temporary directory cannot be written.
    #[must_use]
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("wavry-e2e-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the temporary directory can be written");
        Self(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A child process, ended with its guard; its words are kept for a failing test.
#[derive(Debug)]
pub struct Guarded {
    child: Child,
    log: PathBuf,
}

impl Guarded {
    /// Starts a program in a process group of its own, with its output in `log`.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(command: &mut Command, log: &Path) -> Self {
        Self::start_reading(command, Stdio::null(), log)
    }

    /// As [`Self::start`], with something to read.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_reading(command: &mut Command, input: Stdio, log: &Path) -> Self {
        let file = File::create(log).expect("the scratch directory can be written");
        let errors = file.try_clone().expect("a file can be duplicated");
        let child = command.stdin(input).stdout(file).stderr(errors).process_group(0).spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, log: log.to_path_buf() }
    }

    /// What it has said.
    #[must_use]
    pub fn words(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Kills it without a chance to say goodbye.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end (`SIGTERM`).
    pub fn terminate(&self) {
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it hangs; with its words.
    pub fn wait(&mut self) -> ExitStatus {
        match wait_for(|| self.child.try_wait().ok().flatten()) {
            Some(status) => status,
            None => panic!("still running:\n{}", self.words()),
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // Its whole group: shells and terminals have children of their own.
        let _ = Command::new("kill")
            .args(["-KILL", "--", &format!("-{}", self.child.id())])
            .stderr(Stdio::null())
            .status();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- {}\n{}", self.log.display(), self.words());
        }
    }
}

/// Asks until there is an answer; `None` after the hang guard.
pub fn wait_for<T>(mut answer: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = clock();
    loop {
        if let Some(value) = answer() {
            return Some(value);
        }
        if begun.elapsed() > HANG_GUARD {
            return None;
        }
        pause(Duration::from_millis(2));
    }
}

/// Lets real time pass: between two keystrokes of a person.
#[expect(clippy::disallowed_methods, reason = "other programs have no event a test could wait for")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Real time, for hang guards and for what must happen within a bound that a person would notice.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a live test's hang guard is real time")]
pub fn clock() -> Instant {
    Instant::now()
}
