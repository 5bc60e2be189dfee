//! The client's own program, without a window, run as people run it.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::host::Place;

/// The program, beside this one.
const PROGRAM: &str = "./wavry-client";

/// A client's program that runs.
#[derive(Debug)]
pub struct Program {
    child: Child,
    report: PathBuf,
}

impl Program {
    /// Starts one that the host at `place` lets in, connected to `address`, with these arguments more.
    ///
    /// # Errors
    /// A program cannot be run, or the host's list cannot be changed.
    pub fn start(place: &Place, address: &str, more: &[&str]) -> anyhow::Result<Self> {
        let state = place.state.join("client");
        fs::create_dir_all(&state)?;
        let report = state.join("report.json");
        // That of a client before it says nothing of this one.
        let _ = fs::remove_file(&report);
        let client = |arguments: &[&str]| {
            let mut command = Command::new(PROGRAM);
            command.args(arguments).arg("--state").arg(&state).env("HOME", "/tmp");
            command
        };
        let id = client(&["id"]).output().context("running the client's program")?;
        let id = String::from_utf8(id.stdout)?;
        place.allow(id.trim())?;
        let host_id = place.host_id.to_string();
        let mut command = client(&["connect", address, "--host-id", &host_id, "--headless"]);
        command.args(more).arg("--json").arg(&report).stderr(File::create(state.join("log"))?);
        let child = command.spawn().context("starting the client's program")?;
        Ok(Self { child, report })
    }

    /// Ends it as a person does; what it wrote.
    ///
    /// # Errors
    /// It fails.
    pub fn end(self) -> anyhow::Result<Value> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        self.wait()
    }

    /// Waits until it ends by itself; what it wrote.
    ///
    /// # Errors
    /// It fails.
    pub fn wait(mut self) -> anyhow::Result<Value> {
        ensure!(self.child.wait()?.success(), "the client's program fails");
        Ok(serde_json::from_slice(&fs::read(&self.report)?)?)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
