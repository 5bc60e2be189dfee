//! `board`: the client for boards, built for a board and run on it, or in QEMU against a real host.
//!
//! The compiler is Debian's, beside whatever toolchain the project itself is built with; `core` is compiled once for each
//! target. The emulator is the system's, or unpacked like the VM's. Nothing that a machine has is replaced.

pub(crate) mod arguments;
mod budget;
mod emulator;
mod found;
mod latency;
mod lossy;
mod sections;
mod session;
mod siege;
mod sizes;
mod toolchain;
mod trial;

pub use sizes::{is_possible as can_measure_sizes, run as sizes};
pub(crate) use toolchain::{COMPILER, DOCUMENTER};

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::args::{Board, BoardTask, Flash};
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
    /// What probe-rs calls its chip; `None` = there is no real one.
    pub chip: Option<&'static str>,
    /// Ways to build it beside the usual one: what it is then, and cargo's arguments.
    pub variants: &'static [(&'static str, &'static [&'static str])],
}

/// All boards.
pub const MODELS: [Model; 4] = [
    Model {
        name: "qemu-vexpress-a9",
        target: "armv7a-none-eabi",
        flash: 32 << 20,
        ram: 32 << 20,
        machine: Some("vexpress-a9"),
        is_whole: true,
        chip: None,
        variants: &[],
    },
    Model {
        name: "qemu-mps2-an500",
        target: "thumbv7em-none-eabihf",
        flash: 256 << 10,
        ram: 192 << 10,
        machine: Some("mps2-an500"),
        is_whole: false,
        chip: None,
        variants: &[],
    },
    Model {
        name: "stm32h735g-dk",
        target: "thumbv7em-none-eabihf",
        // The last two sectors of 128 KiB hold the settings.
        flash: 768 << 10,
        // DTCM, AXI SRAM, SRAM1 and SRAM2; the stack has the 64 KiB of ITCM for itself.
        ram: (128 + 320 + 32) << 10,
        machine: None,
        is_whole: true,
        chip: Some("STM32H735IGKx"),
        variants: &[("without a log", &["--no-default-features"])],
    },
    // No board, but what a program for one is made from.
    Model {
        name: "template",
        target: "thumbv7em-none-eabihf",
        flash: 512 << 10,
        ram: 512 << 10,
        machine: None,
        is_whole: true,
        chip: None,
        variants: &[("without looking for hosts", &["--no-default-features"])],
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
    let (program, taken) = build(model)?;
    for &(what, arguments) in model.variants {
        let other = toolchain::firmware(model, arguments)?;
        say::result(format_args!("{what}:\n{}", sections::report(model, &contents(&other)?)?.table));
    }
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
        ram: taken.ram,
    };
    match (options.task, model.is_whole) {
        (BoardTask::Show, true) => trial::show(&parts),
        (BoardTask::Show | BoardTask::Latency { .. }, false) => {
            Err(Failure::unusable(format!("{} has nothing to show", model.name)))
        }
        (BoardTask::Latency { samples }, true) => latency::run(&parts, samples),
        (BoardTask::Soak { minutes, datagrams }, _) => siege::run(&parts, minutes, datagrams),
        (BoardTask::Build | BoardTask::Test, true) => trial::run(&parts),
        (BoardTask::Build | BoardTask::Test, false) => trial::run_blind(&parts),
    }
}

/// Builds a real board's program and writes it to the one that is connected.
///
/// # Errors
/// As [`run`]; exit code 2 when the board is an emulator's, or probe-rs is not there.
pub fn flash(options: &Flash) -> Result<(), Failure> {
    let model = options.model;
    let Some(chip) = model.chip else {
        return Err(Failure::unusable(match model.machine {
            Some(_) => format!(
                "{} is QEMU's: there is nothing to write to. `cargo rig board {} --show` runs it",
                model.name, model.name
            ),
            None => format!("{} is no board, but what a program for one is made from", model.name),
        }));
    };
    let is_there = Command::new(WRITER).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !is_there.is_ok_and(|status| status.success()) {
        return Err(Failure::unusable(format!(
            "{WRITER} is needed to write to a board and is not installed. Either\n  \
             cargo install probe-rs-tools --locked\nor a ready one: \
             https://probe.rs/docs/getting-started/installation/. Linux also needs its udev rules: \
             https://probe.rs/docs/getting-started/probe-setup/"
        )));
    }
    setup::run(options.setup, &[&setup::BOARD])?;
    let (program, _) = build(model)?;
    for step in [&["download", "--verify"][..], &["reset"]] {
        let mut command = Command::new(WRITER);
        command.args(step).args(["--chip", chip]);
        if step.len() > 1 {
            command.arg(&program);
        }
        let status = command.stdin(Stdio::null()).status();
        if !status.is_ok_and(|status| status.success()) {
            return Err(Failure::failed(format!(
                "{WRITER} {} did not succeed; is the board connected, and nobody else talking to it?",
                step[0]
            )));
        }
    }
    say::result(format_args!(
        "{} is written and started. Its log: {WRITER} attach --chip {chip} {}",
        model.name,
        program.display()
    ));
    Ok(())
}

/// What writes to a board.
const WRITER: &str = "probe-rs";

/// Builds a board's program and says what it takes.
fn build(model: Model) -> Result<(PathBuf, sections::Taken), Failure> {
    let program = toolchain::firmware(model, &[])?;
    let taken = sections::report(model, &contents(&program)?)?;
    say::result(&taken.table);
    Ok((program, taken))
}

fn contents(program: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(program)
        .map_err(|error| Failure::failed(format!("cannot read {}: {error}", program.display())))
}
