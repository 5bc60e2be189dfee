//! A board in QEMU and the host it belongs to.

use core::time::Duration;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::emulator::Emulator;
use super::found::Network;
use crate::display::Screen;
use crate::process::{Keeper, Running, wait_until};
use crate::{Failure, cargo, demo};

/// What waiting for a program to do its part may take.
pub(super) const LIMIT: Duration = Duration::from_secs(60);
/// Bytes of the board's flash memory.
const FLASH_LEN: usize = 64 << 20;

/// What boards and hosts are started with.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) keeper: &'a Keeper,
    pub(super) emulator: &'a Emulator,
    /// What makes the log readable.
    pub(super) printer: &'a Path,
    /// QEMU's name of the board.
    pub(super) machine: &'a str,
    /// It has a flash memory for its settings.
    pub(super) is_whole: bool,
    /// The board's program.
    pub(super) program: &'a Path,
    /// Bytes of its variables.
    pub(super) ram: u64,
}

/// A running board.
#[derive(Debug)]
pub(super) struct Board {
    emulator: Running,
    _printer: Running,
    log: PathBuf,
    monitor: UnixStream,
    scratch: PathBuf,
    shots: u32,
}

impl Board {
    /// Switches a board on that is told `words` on its command line, in a network.
    ///
    /// # Errors
    /// QEMU does not start, or does not let itself be steered.
    pub(super) fn start(
        parts: &Parts<'_>,
        network: Network<'_>,
        words: &[String],
        has_window: bool,
    ) -> Result<Self, Failure> {
        let scratch = parts.keeper.scratch().to_path_buf();
        let (flash, socket, log) =
            (scratch.join("flash"), scratch.join("monitor"), scratch.join("board-log.log"));
        let mut command = parts.emulator.command(network);
        let memory = if parts.is_whole { ",memory-backend=ram" } else { "" };
        command.arg("-M").arg(format!("{}{memory}", parts.machine)).arg("-kernel").arg(parts.program);
        command.args(["-display", if has_window { "gtk" } else { "none" }, "-serial", "stdio", "-monitor"]);
        command.arg(format!("unix:{},server,nowait", socket.display()));
        if parts.is_whole {
            erase(&flash)?;
            // Its RAM is a file, so that what it shows can be read without stopping it.
            let ram = scratch.join("ram");
            command
                .arg("-object")
                .arg(format!("memory-backend-file,id=ram,size=64M,share=on,mem-path={}", ram.display()));
            command.args(["-m", "64M", "-drive"]);
            command.arg(format!("if=pflash,format=raw,file={}", flash.display()));
        }
        let words: String = words.iter().map(|word| format!(",arg={word}")).collect();
        command.arg("-semihosting-config").arg(format!("enable=on,target=native,arg=board{words}"));
        command.args(["-nic", "user"]);
        let mut emulator = parts.keeper.spawn("board", &mut command, Some(Stdio::piped()))?;
        let frames = emulator.take_output().map_or_else(Stdio::null, Stdio::from);
        let printer = follow(parts, frames)?;
        let monitor = wait_until(LIMIT, || UnixStream::connect(&socket).ok()).ok_or_else(|| {
            Failure::failed(format!("QEMU does not open its monitor\n{}", emulator.last_words()))
        })?;
        let failed = |error| Failure::failed(format!("QEMU's monitor: {error}"));
        monitor.set_read_timeout(Some(Duration::from_secs(10))).map_err(failed)?;
        let mut board = Self { emulator, _printer: printer, log, monitor, scratch, shots: 0 };
        board.prompt()?;
        Ok(board)
    }

    /// Tells QEMU's monitor something and waits until it is done.
    ///
    /// # Errors
    /// The monitor is gone.
    pub(super) fn tell(&mut self, command: &str) -> Result<(), Failure> {
        self.monitor
            .write_all(format!("{command}\n").as_bytes())
            .map_err(|error| Failure::failed(format!("QEMU's monitor: {error}")))?;
        self.prompt()
    }

    fn prompt(&mut self) -> Result<(), Failure> {
        let mut said = Vec::new();
        let mut byte = [0];
        while !said.ends_with(b"(qemu) ") {
            match self.monitor.read(&mut byte) {
                Ok(1..) => said.push(byte[0]),
                Ok(0) | Err(_) => {
                    return Err(Failure::failed(format!(
                        "QEMU's monitor fell silent\n{}\n{}",
                        self.emulator.last_words(),
                        self.last_words()
                    )));
                }
            }
        }
        Ok(())
    }

    /// A picture of the board's screen, as PNG.
    ///
    /// # Errors
    /// The monitor is gone.
    pub(super) fn shot(&mut self) -> Result<PathBuf, Failure> {
        self.shots += 1;
        let path = self.scratch.join(format!("shot-{}.png", self.shots % 2));
        self.tell(&format!("screendump {} -f png", path.display()))?;
        Ok(path)
    }

    /// The file that is its RAM.
    pub(super) fn ram(&self) -> PathBuf {
        self.scratch.join("ram")
    }

    /// The log so far, readable.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for a line of the log with this text, after the first `from` bytes; what follows the text in that line.
    ///
    /// # Errors
    /// It does not come; with the last words.
    pub(super) fn expect(&mut self, text: &str, from: usize) -> Result<String, Failure> {
        let found = wait_until(LIMIT, || {
            let log = self.log();
            let lines = log.get(from..).unwrap_or_default().lines();
            let rest =
                lines.filter_map(|line| line.split_once(text)).map(|(_, rest)| rest.trim().to_owned()).next();
            rest.map(Some).or_else(|| self.emulator.ended().map(|_| None))
        });
        found.flatten().ok_or_else(|| {
            Failure::failed(format!(
                "the board does not say `{text}`\n{}\n{}",
                self.emulator.last_words(),
                self.last_words()
            ))
        })
    }

    /// The end of its log, for a message.
    pub(super) fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        format!("the last words of the board:\n  {}", lines[lines.len().saturating_sub(20)..].join("\n  "))
    }

    /// Waits until it ends by itself: somebody has closed its window.
    pub(super) fn wait(&mut self) -> Result<(), Failure> {
        self.emulator.wait(Duration::from_secs(86_400)).map(|_| ())
    }
}

/// Makes a flash memory with nothing in it.
fn erase(flash: &Path) -> Result<(), Failure> {
    fs::write(flash, vec![0xff; FLASH_LEN])
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", flash.display())))
}

/// Makes a board's log readable as it comes.
fn follow(parts: &Parts<'_>, frames: Stdio) -> Result<Running, Failure> {
    // A shell joins them: the keeper gives what it starts no input.
    let pipe = parts.keeper.scratch().join("frames");
    let _ = fs::remove_file(&pipe);
    let status = Command::new("mkfifo").arg(&pipe).status();
    if !status.is_ok_and(|status| status.success()) {
        return Err(Failure::failed(format!("cannot make the pipe {}", pipe.display())));
    }
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" -e \"$1\" < \"$2\""]).arg(parts.printer).arg(parts.program).arg(&pipe);
    let printer = parts.keeper.spawn("board-log", &mut command, None)?;
    let mut copier = Command::new("sh");
    copier
        .args(["-c", "exec cat > \"$0\""])
        .arg(&pipe)
        .stdin(frames)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // It ends with the emulator, whose output it copies.
    copier.spawn().map_err(|error| Failure::failed(format!("cannot run sh: {error}")))?;
    Ok(printer)
}

/// A host that shares a virtual screen.
#[derive(Debug)]
pub(super) struct Host {
    /// Where it listens.
    pub(super) address: String,
    /// Its Wavry ID.
    pub(super) id: String,
    state: PathBuf,
    server: Option<Running>,
}

impl Host {
    /// Starts a host of `screen` that listens at a free port of `address`, which is one of `network`.
    ///
    /// # Errors
    /// It does not say where it listens.
    pub(super) fn start(
        keeper: &Keeper,
        network: Network<'_>,
        address: &str,
        screen: &Screen,
    ) -> Result<Self, Failure> {
        let state = keeper.scratch().join(format!("host-at-{address}"));
        let mut host = Self { address: format!("{address}:0"), id: String::new(), state, server: None };
        host.begin(keeper, network, screen)?;
        Ok(host)
    }

    /// Kills it, if it lives, and starts it where it was.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub(super) fn begin(
        &mut self,
        keeper: &Keeper,
        network: Network<'_>,
        screen: &Screen,
    ) -> Result<(), Failure> {
        self.server = None;
        let port_file = keeper.scratch().join("address");
        let _ = fs::remove_file(&port_file);
        let mut command = network.command(&server());
        command.arg("--source").arg(format!("x11:{}", screen.display)).args(["--listen", &self.address]);
        command.arg("--state").arg(&self.state).arg("--port-file").arg(&port_file);
        screen.aim(&mut command);
        let mut server = keeper.spawn("wavry-server", &mut command, None)?;
        let said = wait_until(LIMIT, || {
            let contents = fs::read_to_string(&port_file).unwrap_or_default();
            if server.ended().is_some() { Some(None) } else { demo::parse_port_file(&contents).map(Some) }
        });
        let (address, id) = said.flatten().ok_or_else(|| {
            Failure::failed(format!("the host did not say where it listens\n{}", server.last_words()))
        })?;
        (self.address, self.id, self.server) = (address, id, Some(server));
        Ok(())
    }

    /// Kills it without a chance to say goodbye.
    pub(super) fn kill(&mut self) {
        if let Some(server) = &self.server {
            let script = format!("kill -KILL -{}", server.id());
            let _ = Command::new("sh").args(["-c", &script]).status();
        }
        self.server = None;
    }

    /// Lets a board in.
    ///
    /// # Errors
    /// The program fails.
    pub(super) fn allow(&self, id: &str) -> Result<(), Failure> {
        self.told(&["allow", id])
    }

    /// Pairs with the board that shows this PIN.
    ///
    /// # Errors
    /// They do not come together.
    pub(super) fn pair(&self, pin: &str) -> Result<(), Failure> {
        self.told(&["pair", "--pin", pin])
    }

    /// Makes the key that it will have next, or puts that in place: then it must not run.
    ///
    /// # Errors
    /// The program fails.
    pub(super) fn rotate_key(&self, does_switch: bool) -> Result<(), Failure> {
        self.told(if does_switch { &["rotate-key", "--switch"] } else { &["rotate-key"] })
    }

    /// Runs a command of the host's program to its end.
    fn told(&self, words: &[&str]) -> Result<(), Failure> {
        let output =
            Command::new(server()).args(words).arg("--state").arg(&self.state).stdin(Stdio::null()).output();
        let output = output.map_err(|error| Failure::failed(format!("cannot run wavry-server: {error}")))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(Failure::failed(format!("wavry-server {}: {}", words.join(" "), said.trim())))
    }
}

fn server() -> PathBuf {
    cargo::target_dir().join("release/wavry-server")
}
