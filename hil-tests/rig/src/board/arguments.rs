//! The words after `board` and `flash`.

use lexopt::prelude::*;

use super::{MODELS, Model};
use crate::Failure;
use crate::args::{Command, Setup, Topic, complaint, number, unknown};

/// Minutes that a siege lasts.
const MINUTES: u32 = 10;
/// Hostile datagrams of a siege.
const DATAGRAMS: u32 = 1_000_000;

/// What `board` is to do with a board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BoardTask {
    /// Build its program and say what it takes.
    Build,
    /// Open its window beside a host.
    Show,
    /// Try everything it must be able to do.
    Test,
    /// One session for so many minutes, while so many hostile datagrams come.
    Soak {
        /// How long.
        minutes: u32,
        /// How many datagrams.
        datagrams: u32,
    },
    /// Time pixels on their way from the host's screen to the board's, so many.
    Latency {
        /// How many.
        samples: u32,
    },
}

/// What `board` is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Board {
    /// How the machine is prepared.
    pub setup: Setup,
    /// Which board.
    pub model: Model,
    /// What with it.
    pub task: BoardTask,
}

/// What `flash` is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flash {
    /// How the machine is prepared.
    pub setup: Setup,
    /// Which board.
    pub model: Model,
}

/// Reads the words after `board`.
///
/// # Errors
/// An unknown board or option, a malformed number: exit code 2.
pub(crate) fn board(mut parser: lexopt::Parser) -> Result<Command, Failure> {
    let (mut setup, mut model, mut task) = (Setup::default(), None, BoardTask::Build);
    let (mut minutes, mut datagrams) = (MINUTES, DATAGRAMS);
    while let Some(word) = parser.next().map_err(complaint)? {
        match word {
            Long("yes") | Short('y') => setup.yes = true,
            Long("no-setup") => setup.skip = true,
            Long("show") => task = BoardTask::Show,
            Long("test") => task = BoardTask::Test,
            Long("soak") => task = BoardTask::Soak { minutes, datagrams },
            Long("latency") => task = BoardTask::Latency { samples: 200 },
            Long("minutes") => minutes = number("--minutes", &mut parser, 1..=1440)?,
            Long("datagrams") => datagrams = number("--datagrams", &mut parser, 0..=100_000_000)?,
            Long("help") | Short('h') => return Ok(Command::Help(Topic::Board)),
            Value(word) if model.is_none() => model = Some(named(&word.to_string_lossy())?),
            other @ (Short(_) | Long(_) | Value(_)) => return Err(complaint(other.unexpected())),
        }
    }
    if matches!(task, BoardTask::Soak { .. }) {
        task = BoardTask::Soak { minutes, datagrams };
    }
    Ok(Command::Board(Board { setup, model: model.ok_or_else(which)?, task }))
}

/// Reads the words after `flash`.
///
/// # Errors
/// An unknown board or option: exit code 2.
pub(crate) fn flash(mut parser: lexopt::Parser) -> Result<Command, Failure> {
    let (mut setup, mut model) = (Setup::default(), None);
    while let Some(word) = parser.next().map_err(complaint)? {
        match word {
            Long("yes") | Short('y') => setup.yes = true,
            Long("no-setup") => setup.skip = true,
            Long("help") | Short('h') => return Ok(Command::Help(Topic::Flash)),
            Value(word) if model.is_none() => model = Some(named(&word.to_string_lossy())?),
            other @ (Short(_) | Long(_) | Value(_)) => return Err(complaint(other.unexpected())),
        }
    }
    Ok(Command::Flash(Flash { setup, model: model.ok_or_else(which)? }))
}

fn names() -> impl Iterator<Item = &'static str> + Clone {
    MODELS.iter().map(|model| model.name)
}

fn named(name: &str) -> Result<Model, Failure> {
    let found = MODELS.into_iter().find(|model| model.name == name);
    found.ok_or_else(|| unknown("board", name, names()))
}

fn which() -> Failure {
    Failure::unusable(format!("which board? There are: {}", names().collect::<Vec<_>>().join(", ")))
}

pub(crate) const BOARD_HELP: &str = "\
cargo rig board NAME [--show | --test | --soak | --latency] [--yes] [--no-setup]

Builds the client for a board with Debian's compiler (rustc-web, beside any other toolchain) and prints what it takes of
flash and RAM. Boards: qemu-vexpress-a9 (screen, keyboard, mouse), qemu-mps2-an500 (a microcontroller without a screen),
stm32h735g-dk (a real board with a touch screen: built here, never run here), template (no board: what a new one begins with).

      --show       opens the board's window in QEMU, beside a host with a terminal on a virtual screen
      --test       runs it in QEMU against a host: pictures pixel for pixel, keys and mouse exactly, over a link that loses
                   and delays, with the cable pulled and the host killed
      --soak       one session while hostile datagrams come in the host's name; none may change anything
      --minutes N  how long that lasts, 1 to 1440 (10)
      --datagrams N  how many come in that time (1000000)
      --latency    times characters from the host's screen to the board's
  -y, --yes        install without asking
      --no-setup   take the machine as it is (systems without apt)";

pub(crate) const FLASH_HELP: &str = "\
cargo rig flash NAME [--yes] [--no-setup]

Builds the client for a real board and writes it to the one that is connected, with probe-rs
(https://probe.rs/docs/getting-started/installation/). What is on the board is overwritten; its settings are kept.

  -y, --yes        install without asking
      --no-setup   take the machine as it is (systems without apt)";
