//! A board that is told nothing: it finds its host on the local network, and finds it again when it is elsewhere.
//!
//! The network is a namespace with one interface that can multicast; the host announces itself there, and QEMU's own network
//! carries the board's question to it and the answer back. Nothing leaves the machine.

use std::path::Path;
use std::process::{Command, Stdio};

use super::session::{Board, Host, Parts};
use super::trial::{HEIGHT, WIDTH, sees, terminal};
use crate::display::Screen;
use crate::process::Keeper;
use crate::{Failure, say};

/// Where the host is.
const ADDRESS: &str = "192.0.2.1";
/// What is done in the namespace: the other end of the cable makes it one that carries something.
const SETUP: [&str; 6] = [
    "link set lo up",
    "link add lan type veth peer name other",
    "link set other up",
    "link set lan up",
    "address add 192.0.2.1/24 dev lan",
    "route add default dev lan",
];

/// The network that a program is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Network<'a> {
    /// The machine's.
    Own,
    /// A namespace.
    Space(&'a str),
}

impl<'a> Network<'a> {
    /// A program that is to run in it.
    pub(super) fn command(self, program: &Path) -> Command {
        match self {
            Self::Own => Command::new(program),
            Self::Space(name) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", name]).arg(program);
                command
            }
        }
    }

    /// A namespace of this run; `None` without the right to make one.
    fn space(keeper: &Keeper, name: &'a str) -> Option<Self> {
        let ip = |words: &[&str]| {
            let mut command = Command::new("ip");
            command.args(words).stdin(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        if !ip(&["netns", "add", name]) {
            return None;
        }
        keeper.keep_namespace(name);
        let inside = |words: &str| {
            let words: Vec<&str> = ["-netns", name].into_iter().chain(words.split(' ')).collect();
            ip(&words)
        };
        SETUP.into_iter().all(inside).then_some(Self::Space(name))
    }
}

/// Finds, pairs, shows; and once more when the host is at another port.
///
/// # Errors
/// Exit code 1 with what it could not.
pub(super) fn run(parts: &Parts<'_>) -> Result<(), Failure> {
    let name = format!("wavry{}lan", std::process::id());
    let Some(network) = Network::space(parts.keeper, &name) else {
        say::result(
            "skipped: finding a host needs a network namespace, which is root's to make (`ip netns`)",
        );
        return Ok(());
    };
    let screen = Screen::virtual_screen(parts.keeper, "screen-to-be-found", WIDTH, HEIGHT)?;
    let typed = parts.keeper.scratch().join("typed-there");
    let _terminal = terminal(parts, &screen, &typed, "green on black")?;
    let mut host = Host::start(parts.keeper, network, ADDRESS, &screen)?;
    let mut board = Board::start(parts, network, &[], false)?;
    let pin = board.expect("pin ", 0)?;
    board.expect("stage Pairing", 0)?;
    host.pair(&pin)?;
    let paired = board.expect("paired ", 0)?;
    if paired != host.id {
        return Err(Failure::failed(format!("the board paired with {paired}, not with {}", host.id)));
    }
    sees(&mut board, &screen, "told nothing, it finds its host")?;
    let (before, from) = (host.address.clone(), board.log().len());
    host.kill();
    host.address = format!("{ADDRESS}:0");
    host.begin(parts.keeper, network, &screen)?;
    if host.address == before {
        return Err(Failure::failed(format!("the host is at {before} again: it was to move")));
    }
    board.expect("stage Searching", from)?;
    board.expect("stage Watching", from)?;
    sees(&mut board, &screen, "the host is at another port, and is found there")
}
