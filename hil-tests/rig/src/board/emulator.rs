//! QEMU for ARM boards: the system's, or Debian's unpacked below the target directory.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::found::Network;
use super::toolchain::cache;
use crate::Failure;
use crate::vm::packages;

const PROGRAM: &str = "usr/bin/qemu-system-arm";
const PACKAGE: &str = "qemu-system-arm";

/// An emulator that is there.
#[derive(Debug)]
pub(super) struct Emulator {
    program: PathBuf,
    /// Where its packages were unpacked; `None` = it is installed.
    root: Option<PathBuf>,
}

/// The emulator, fetched if the system has none.
///
/// # Errors
/// Exit code 2 when there is no such package; 1 when it could not be fetched.
pub(super) fn ready() -> Result<Emulator, Failure> {
    let installed = Path::new("/").join(PROGRAM);
    if installed.is_file() {
        return Ok(Emulator { program: installed, root: None });
    }
    let root = packages::unpacked(&cache().join("qemu"), PACKAGE)?;
    let program = root.join(PROGRAM);
    if !program.is_file() {
        return Err(Failure::failed(format!("{} is not in {PACKAGE}", program.display())));
    }
    Ok(Emulator { program, root: Some(root) })
}

impl Emulator {
    /// The emulator, ready for its arguments, in this network.
    pub(super) fn command(&self, network: Network<'_>) -> Command {
        let mut command = network.command(&self.program);
        if let Some(root) = &self.root {
            command.arg("-L").arg(root.join("usr/share/qemu"));
            command.env("LD_LIBRARY_PATH", packages::libraries(root));
        }
        command.env("QEMU_AUDIO_DRV", "none");
        command
    }
}
