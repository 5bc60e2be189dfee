//! `board`: the client for boards, built for a board and run on it, or in QEMU against a real host.
//!
//! The compiler is Debian's, beside whatever toolchain the project itself is built with; `core` is compiled once for each
//! target. The emulator is the system's, or unpacked like the VM's. Nothing that a machine has is replaced.

mod emulator;
mod lossy;
mod sections;
mod session;
mod sizes;
mod toolchain;
mod trial;

pub use sizes::{is_possible as can_measure_sizes, run as sizes};

use std::path::PathBuf;

use crate::args::{Board, BoardTask};
use crate::process::Keeper;
use crate::{Failure, cargo, say, setup};

/// Where boards are.
const DIRECTORY: &str = "clients/thin/boards";

/// A board the rig knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Model {
    /// Its directory's name.
    pub name: &'static str,
    /// What its program is compiled for.
    pub target: &'static str,
    /// Bytes of memory that a program keeps when it is off, and of RAM, as far as the linker may use them.
    pub flash: u64,
    /// The same of RAM.
    pub ram: u64,
    /// The machine of QEMU's that it is; `None` = there is only the real one.
    pub machine: Option<&'static str>,
    /// It has a screen, keyboard and mouse, and keeps its settings in a flash memory.
    pub is_whole: bool,
}

/// All boards.
pub const MODELS: [Model; 2] = [
    Model {
        name: "qemu-vexpress-a9",
        target: "armv7a-none-eabi",
        flash: 32 << 20,
        ram: 32 << 20,
        machine: Some("vexpress-a9"),
        is_whole: true,
    },
    Model {
        name: "qemu-mps2-an500",
        target: "thumbv7em-none-eabihf",
        flash: 256 << 10,
        ram: 192 << 10,
        machine: Some("mps2-an500"),
        is_whole: false,
    },
];

impl Model {
    /// Where its program is made.
    fn directory(self) -> PathBuf {
        cargo::root().join(DIRECTORY).join(self.name)
    }
}

/// Builds a board's program, says what it takes, and shows or tests it.
///
/// # Errors
/// Setup's own failures; exit code 1 when something does not build or do its part, with its last words.
pub fn run(options: &Board) -> Result<(), Failure> {
    setup::run(options.setup, &[&setup::BOARD])?;
    let model = options.model;
    let program = toolchain::firmware(model)?;
    let bytes = std::fs::read(&program)
        .map_err(|error| Failure::failed(format!("cannot read {}: {error}", program.display())))?;
    say::result(sections::report(model, &bytes)?);
    if options.task == BoardTask::Build {
        return Ok(());
    }
    let Some(machine) = model.machine else {
        return Err(Failure::unusable(format!("{} is no machine that QEMU has", model.name)));
    };
    let keeper = Keeper::start()?;
    let emulator = emulator::ready()?;
    let printer = toolchain::log_printer()?;
    let parts = session::Parts {
        keeper: &keeper,
        emulator: &emulator,
        printer: &printer,
        machine,
        is_whole: model.is_whole,
        program: &program,
    };
    match (options.task, model.is_whole) {
        (BoardTask::Show, true) => trial::show(&parts),
        (BoardTask::Show, false) => Err(Failure::unusable(format!("{} has nothing to show", model.name))),
        (BoardTask::Build | BoardTask::Test, true) => trial::run(&parts),
        (BoardTask::Build | BoardTask::Test, false) => trial::run_blind(&parts),
    }
}
