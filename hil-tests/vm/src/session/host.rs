//! The host's program, run as people run it, and what it says of itself.

use core::time::Duration;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use rift::PublicKey;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::pause;

/// The program, beside this one.
const PROGRAM: &str = "./wavry-server";
/// How long a program may take to begin or to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where a host keeps its state, and who it is.
#[derive(Clone, Debug)]
pub struct Place {
    /// The state directory.
    pub state: PathBuf,
    /// The host's key.
    pub host_id: PublicKey,
}

impl Place {
    /// A host with a key of its own that lets this client in.
    ///
    /// # Errors
    /// The program fails.
    pub fn prepare(state: &Path, client: PublicKey) -> anyhow::Result<Self> {
        fs::create_dir_all(state)?;
        let id = run(&["id"], state)?;
        let host_id = id.trim().parse().ok().context("the host prints its ID")?;
        let place = Self { state: state.to_owned(), host_id };
        place.allow(&client.to_string())?;
        Ok(place)
    }

    /// Lets the client with this ID in.
    ///
    /// # Errors
    /// The program fails.
    pub fn allow(&self, id: &str) -> anyhow::Result<()> {
        run(&["allow", id], &self.state).map(drop)
    }
}

/// A running host.
#[derive(Debug)]
pub struct Host {
    child: Child,
    state: PathBuf,
    log: PathBuf,
    /// Descriptors it had when it was ready.
    descriptors: usize,
}

impl Host {
    /// Starts it, and waits until it listens.
    ///
    /// # Errors
    /// It ends or does not listen.
    pub fn start(place: &Place, arguments: &[String]) -> anyhow::Result<Self> {
        Self::start_by(Command::new(PROGRAM), place, arguments)
    }

    /// As [`Self::start`], by a command that ends with the program's name.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_by(mut command: Command, place: &Place, arguments: &[String]) -> anyhow::Result<Self> {
        let port_file = place.state.join("port");
        // It may not be there.
        let _ = fs::remove_file(&port_file);
        let log = place.state.join("log");
        command.args(arguments).arg("--state").arg(&place.state).arg("--port-file").arg(&port_file);
        command.env("HOME", "/tmp").stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(&log).context("making the host's log")?);
        let child = command.spawn().context("starting the host")?;
        let mut host = Self { child, state: place.state.clone(), log, descriptors: 0 };
        let mut left = PATIENCE;
        while !fs::read_to_string(&port_file).unwrap_or_default().ends_with('\n') {
            host.check()?;
            ensure!(!left.is_zero(), "the host does not listen: {}", host.last_words());
            pause(STEP);
            left = left.saturating_sub(STEP);
        }
        // Its threads have opened all they need by then.
        pause(STEP * 20);
        host.descriptors = host.count_descriptors()?;
        Ok(host)
    }

    /// Whether it still runs: the same process as ever.
    ///
    /// # Errors
    /// It has ended.
    pub fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("the host ended ({status}): {}", self.last_words()),
        }
    }

    /// How many descriptors it has more than when it was ready.
    ///
    /// # Errors
    /// It has ended.
    pub fn leaked(&self) -> anyhow::Result<usize> {
        Ok(self.count_descriptors()?.saturating_sub(self.descriptors))
    }

    /// Its memory, kB: the pages that are present.
    ///
    /// The kernel's own sum, `VmRSS`, is not exact (`proc(5)`): it learns of the buffers that a capture card's driver has
    /// mapped only when their thread faults 64 pages in or unmaps some, and is 1808 kB short until then. So the pages are
    /// counted too, and the larger figure holds.
    ///
    /// # Errors
    /// It has ended.
    pub fn memory_kb(&self) -> anyhow::Result<u64> {
        let summed = self.kilobytes("status", "VmRSS:")?;
        Ok(self.kilobytes("smaps_rollup", "Rss:")?.max(summed))
    }

    /// What the kernel says of its process in this line of this file.
    fn kilobytes(&self, file: &str, name: &str) -> anyhow::Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/{file}", self.child.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.and_then(|number| number.parse().ok()).context("the kernel tells the memory in use")
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// It does not answer.
    pub fn status(&self) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&run(&["status", "--json"], &self.state)?)?)
    }

    /// Has it switch its card to this input, as a person does.
    ///
    /// # Errors
    /// It cannot.
    pub fn switch_input(&self, index: u32) -> anyhow::Result<()> {
        run(&["switch-input", &index.to_string()], &self.state).map(drop)
    }

    /// The last lines of its log.
    #[must_use]
    pub fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }

    /// Ends it as a service manager does.
    ///
    /// # Errors
    /// It ends badly, or not.
    pub fn stop(mut self) -> anyhow::Result<()> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM)?;
        let mut left = PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "the host ended badly ({status}): {}", self.last_words());
                return Ok(());
            }
            ensure!(!left.is_zero(), "the host does not end: {}", self.last_words());
            pause(STEP);
            left = left.saturating_sub(STEP);
        }
    }

    /// Ends it at once, as a crash would.
    ///
    /// # Errors
    /// The system's.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn count_descriptors(&self) -> anyhow::Result<usize> {
        let directory = format!("/proc/{}/fd", self.child.id());
        Ok(fs::read_dir(directory).context("counting the host's descriptors")?.count())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(arguments: &[&str], state: &Path) -> anyhow::Result<String> {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).arg("--state").arg(state).env("HOME", "/tmp").stdin(Stdio::null());
    let output = command.output().context("running the host's program")?;
    ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

const STEP: Duration = Duration::from_millis(10);
