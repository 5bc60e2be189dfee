//! `arm`: the erasure code's kernel for 64-bit ARM, compiled for it and tried in an emulator.
//!
//! The standard library is compiled along by Debian's compiler, whose sources stand beside it: the toolchain that builds
//! everything else has it for this machine alone. Programs run under QEMU's emulation of user programs.

use std::process::Stdio;

use crate::args::Setup;
use crate::board::{COMPILER, DOCUMENTER};
use crate::{Failure, cargo, say, setup};

const TARGET: &str = "aarch64-unknown-linux-gnu";
const LINKER: &str = "aarch64-linux-gnu-gcc";
/// What runs programs of the target, and where it finds their libraries.
const RUNNER: &str = "qemu-aarch64-static -L /usr/aarch64-linux-gnu";
/// The crates that have code of their own for ARM.
const PACKAGE: &str = "rift-simd";

/// Builds and runs the tests.
///
/// # Errors
/// Setup's own failures; exit code 1 when something does not build or a test fails, as was said.
pub fn run(options: Setup) -> Result<(), Failure> {
    setup::run(options, &[&setup::ARM])?;
    say::progress(format_args!(
        "arm: testing {PACKAGE} for {TARGET}; the first time builds the standard library"
    ));
    let mut command = cargo::command();
    command.args(["test", "--locked", "-Zbuild-std=std,panic_unwind,test", "--target", TARGET]);
    command.args(["--package", PACKAGE, "--lib", "--tests", "--", "--show-output"]);
    // The compiler is a stable one; its own sources are built with what it keeps from others.
    command.env("RUSTC_BOOTSTRAP", "1").env("RUSTC", COMPILER).env("RUSTDOC", DOCUMENTER);
    command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", LINKER);
    command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", RUNNER);
    command.env("CARGO_TARGET_DIR", cargo::target_dir().join("arm"));
    command.env_remove("RUSTUP_TOOLCHAIN").env_remove("RUSTFLAGS");
    let status = command.stdin(Stdio::null()).status();
    let status = status.map_err(|error| Failure::failed(format!("cannot run cargo: {error}")))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::failed("not everything is right on ARM, as said above"))
    }
}

pub(crate) const HELP: &str = "\
cargo rig arm [--yes] [--no-setup]

Compiles the erasure code's vector kernels for 64-bit ARM and runs their tests, which hold every kernel to plain arithmetic, in
QEMU. The first time takes minutes: the standard library is compiled too, into target/arm.

  -y, --yes        install without asking
      --no-setup   take the machine as it is (systems without apt)";
