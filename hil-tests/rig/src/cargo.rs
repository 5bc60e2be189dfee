//! Running cargo: which one, where the workspace is, where its output goes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Failure;

/// Workspaces beside the main one, each with its own lock file; they exist from their first working code on.
pub const EXCLUDED: [&str; 7] = [
    "hil-tests/bench",
    "hil-tests/noalloc",
    "fuzz/targets",
    "clients/thin/boards/qemu-vexpress-a9",
    "clients/thin/boards/qemu-mps2-an500",
    "clients/thin/boards/stm32h735g-dk",
    "clients/thin/boards/template",
];

/// The repository's root.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// Where cargo puts what it builds. The excluded workspaces share it, so that what they have in common is built once.
#[must_use]
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// The cargo that runs the rig, started at the root, with the shared target directory.
#[must_use]
pub fn command() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).env("CARGO_TARGET_DIR", target_dir());
    command
}

/// Whether cargo knows this; nothing is printed.
#[must_use]
pub fn answers(arguments: &[&str]) -> bool {
    let status =
        command().args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Builds packages of the main workspace as they are released.
///
/// # Errors
/// Exit code 1 when they do not build; cargo has said why.
pub fn build_release(packages: &[&str]) -> Result<(), Failure> {
    let mut command = command();
    command.args(["build", "--release", "--locked"]);
    for package in packages {
        command.args(["-p", package]);
    }
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|error| Failure::failed(format!("cannot run cargo: {error}")))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::failed("the release did not build; cargo's own words are above"))
}

/// Whether this excluded workspace has been written.
#[must_use]
pub fn exists(workspace: &str) -> bool {
    manifest(workspace).is_file()
}

/// The manifest of a workspace, by its directory relative to the root.
#[must_use]
pub fn manifest(workspace: &str) -> PathBuf {
    root().join(workspace).join("Cargo.toml")
}
