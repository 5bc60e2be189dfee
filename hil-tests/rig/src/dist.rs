//! `dist`: packages for Debian of what is released here. What is in them is decided by a program of its own, `hil-tests/dist`,
//! which knows the programs' command lines.

use std::process::Stdio;

use crate::args::Setup;
use crate::{Failure, cargo, say, setup};

/// Builds the programs as they are released, their manual pages and completions, and the packages.
///
/// # Errors
/// Setup's own failures; exit code 1 when something does not build, as was said.
pub fn run(options: Setup) -> Result<(), Failure> {
    setup::run(options, &[&setup::BUILD])?;
    let programs = ["wavry-server", "wavry-client", "wavry-gateway", "wavry-relay", "wavry"];
    cargo::build_release(&[&programs[..], &["wavry-dist"]].concat())?;
    let (release, out) = (cargo::target_dir().join("release"), cargo::target_dir().join("dist"));
    std::fs::create_dir_all(&out).map_err(|error| Failure::failed(format!("{}: {error}", out.display())))?;
    let mut command = std::process::Command::new(release.join("wavry-dist"));
    let status = command.args([&release, &out]).stdin(Stdio::null()).status();
    let status = status.map_err(|error| Failure::failed(format!("cannot run wavry-dist: {error}")))?;
    if !status.success() {
        return Err(Failure::failed("the packages were not made; why is told above"));
    }
    say::result("`dpkg -i` installs them; nothing is started by that");
    Ok(())
}

pub(crate) const HELP: &str = "\
cargo rig dist [--yes] [--no-setup]

Builds a release, and of it packages for this Debian, in the directory `dist` of the target directory: wavry-server,
wavry-client (with `wavry`), wavry-gateway and wavry-relay, with units, rules, configurations, manual pages and completions for
bash, zsh and fish. Pages and completions also stay in `dist/manual`, as they stand in a system.

  -y, --yes        install without asking
      --no-setup   take the machine as it is (systems without apt)";
