//! A session with a host, by the program that has them.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::args::NetworkArgs;

/// What a session with a host was like.
#[derive(Clone, Debug, PartialEq)]
pub struct HostFigures {
    /// `direct` or `relay`.
    pub path: Option<String>,
    /// A round trip, in microseconds.
    pub round_trip_us: Option<u64>,
    /// Packets lost, of a thousand.
    pub loss_permille: Option<f64>,
    /// What came, in bits per second: what the screen needed, at most what the way takes.
    pub bitrate_bps: Option<f64>,
}

/// Watches a host for some seconds; else why not, in the words of `wavry-client`.
pub(super) fn watch(host: &str, args: &NetworkArgs) -> Result<HostFigures, String> {
    let program = beside().unwrap_or_else(|| PathBuf::from("wavry-client"));
    let file = std::env::temp_dir().join(format!("wavry-doctor-{}.json", std::process::id()));
    let mut command = Command::new(&program);
    command.args(["connect", host, "--headless", "--view-only", "--no-audio", "--log", "error"]);
    command.args(["--seconds", &args.seconds.to_string()]).arg("--json").arg(&file);
    if let Some(id) = &args.host_id {
        command.args(["--host-id", id]);
    }
    let output = command.stdin(Stdio::null()).output();
    let text = std::fs::read_to_string(&file);
    let _ = std::fs::remove_file(&file);
    let output = output.map_err(|error| format!("cannot start {}: {error}", program.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
        return Err(last.trim_start_matches("wavry-client: ").to_owned());
    }
    let text = text.map_err(|error| format!("the client measured nothing: {error}"))?;
    let said: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    Ok(read(&said))
}

fn read(said: &Value) -> HostFigures {
    HostFigures {
        path: said["path"].as_str().map(str::to_owned),
        round_trip_us: said["round_trip_us"].as_u64(),
        loss_permille: said["loss_permille"].as_f64(),
        bitrate_bps: said["bitrate_bps"].as_f64(),
    }
}

/// The client that was installed with this program.
fn beside() -> Option<PathBuf> {
    let path = std::env::current_exe().ok()?.parent()?.join("wavry-client");
    path.exists().then_some(path)
}
