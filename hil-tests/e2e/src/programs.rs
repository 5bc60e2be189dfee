//! The programs under test: a host and its clients, introduced to each other.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Guarded, Scratch, wait_for};

/// Where `cargo build --bins` puts the programs: beside the directory the test itself stands in.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows where it is");
    let directory = test.parent().and_then(Path::parent).expect("tests stand in target/PROFILE/deps");
    let path = directory.join(name);
    assert!(path.is_file(), "{} is missing: run `cargo build --workspace --bins` first", path.display());
    path
}

/// Runs a program to its end; what it printed.
///
/// # Panics
/// When it fails; with its words.
fn ask(name: &str, arguments: &[&str], state: &Path) -> String {
    let output =
        Command::new(program(name)).args(arguments).arg("--state").arg(state).output().expect("it runs");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {arguments:?} failed: {words}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A running host.
#[derive(Debug)]
pub struct Host {
    /// Its address.
    pub address: String,
    /// Its Wavry ID.
    pub id: String,
    /// The process.
    pub server: Guarded,
    scratch: Scratch,
}

impl Host {
    /// Starts a host that shares `source` and takes further arguments.
    ///
    /// # Panics
    /// When it does not say in time where it listens.
    #[must_use]
    pub fn start(source: &str, arguments: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", source, arguments)
    }

    /// The same at another address than loopback's.
    ///
    /// # Panics
    /// When it does not say in time where it listens.
    #[must_use]
    pub fn start_at(listen: &str, source: &str, arguments: &[&str]) -> Self {
        let scratch = Scratch::new();
        let port_file = scratch.path().join("port");
        let mut command = Command::new(program("wavry-server"));
        command
            .args(["--source", source, "--listen", listen])
            .arg("--state")
            .arg(scratch.path().join("state"));
        command.arg("--port-file").arg(&port_file).args(arguments).env_remove("DISPLAY");
        let mut server = Guarded::start(&mut command, &scratch.path().join("server"));
        let line = wait_for(|| {
            assert!(server.ended().is_none(), "the host ended: {}", server.words());
            std::fs::read_to_string(&port_file).ok().filter(|line| line.ends_with('\n'))
        });
        let line = line.unwrap_or_else(|| panic!("the host does not listen: {}", server.words()));
        let (address, id) = line.trim().split_once(' ').expect("an address and an id");
        Self { address: address.to_owned(), id: id.to_owned(), server, scratch }
    }

    /// Kills it and starts it again with its keys, its address and its clients.
    ///
    /// # Panics
    /// When it does not come back.
    #[must_use]
    pub fn restart(mut self) -> Self {
        self.server.kill();
        let port_file = self.scratch.path().join("port");
        let _ = std::fs::remove_file(&port_file);
        let mut command = Command::new(program("wavry-server"));
        command.args(["--source", "test", "--listen", &self.address]).arg("--state").arg(self.state());
        command.arg("--port-file").arg(&port_file).env_remove("DISPLAY");
        self.server = Guarded::start(&mut command, &self.scratch.path().join("server-again"));
        assert!(wait_for(|| port_file.exists().then_some(())).is_some(), "{}", self.server.words());
        self
    }

    /// Its state directory.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.scratch.path().join("state")
    }

    /// Begins to pair, with these further arguments.
    #[must_use]
    pub fn pair(&self, arguments: &[&str]) -> Guarded {
        let mut command = Command::new(program("wavry-server"));
        command.arg("pair").arg("--state").arg(self.state()).args(arguments);
        Guarded::start(&mut command, &self.scratch.path().join("pair"))
    }

    /// Runs one of its commands: `allow`, `revoke`, `list`.
    pub fn command(&self, arguments: &[&str]) -> String {
        ask("wavry-server", arguments, &self.state())
    }
}

/// A client: its keys and files.
#[derive(Debug)]
pub struct Client {
    /// Its Wavry ID.
    pub id: String,
    scratch: Scratch,
}

impl Client {
    /// A client with a key of its own that nobody knows yet.
    #[must_use]
    pub fn new() -> Self {
        let scratch = Scratch::new();
        let id = ask("wavry-client", &["id"], &scratch.path().join("state"));
        Self { id, scratch }
    }

    /// One that `host` lets in.
    #[must_use]
    pub fn allowed_by(host: &Host) -> Self {
        let client = Self::new();
        host.command(&["allow", &client.id]);
        client
    }

    /// A file of its own.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// What it prints when it is given a command.
    ///
    /// # Panics
    /// When it fails; with its words.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> String {
        ask("wavry-client", arguments, &self.file("state"))
    }

    /// Connects to a host wherever it announces itself, without a window.
    #[must_use]
    pub fn connect_anywhere(&self, id: &str, arguments: &[&str]) -> Guarded {
        let mut command = Command::new(program("wavry-client"));
        command.args(["connect", "--host-id", id, "--headless"]).arg("--state").arg(self.file("state"));
        Guarded::start(command.args(arguments).env_remove("DISPLAY"), &self.file("client"))
    }

    /// Connects to the host that a link names, by the gateway that it names, without a window.
    #[must_use]
    pub fn connect_by(&self, link: &str, arguments: &[&str]) -> Guarded {
        let mut command = Command::new(program("wavry-client"));
        command.args(["connect", link, "--headless"]).arg("--state").arg(self.file("state"));
        Guarded::start(command.args(arguments).env_remove("DISPLAY"), &self.file("client"))
    }

    /// Pairs with whoever is at an address, typing these lines.
    ///
    /// # Panics
    /// When its file for them cannot be written.
    #[must_use]
    pub fn pair(&self, address: &str, typed: &str, arguments: &[&str]) -> Guarded {
        let lines = self.file("typed");
        std::fs::write(&lines, typed).expect("the scratch directory can be written");
        let input = std::fs::File::open(lines).expect("it was just written");
        let mut command = Command::new(program("wavry-client"));
        command.args(["pair", address]).arg("--state").arg(self.file("state")).args(arguments);
        Guarded::start_reading(&mut command, input.into(), &self.file("pairing"))
    }

    /// Connects to a host it has paired with, without a window.
    #[must_use]
    pub fn connect_known(&self, address: &str, arguments: &[&str]) -> Guarded {
        let mut command = Command::new(program("wavry-client"));
        command.args(["connect", address, "--headless"]).arg("--state").arg(self.file("state"));
        Guarded::start(command.args(arguments).env_remove("DISPLAY"), &self.file("client"))
    }

    /// Asks a host to switch the machine behind its capture card.
    #[must_use]
    pub fn power(&self, host: &Host, action: &str) -> Guarded {
        let mut command = Command::new(program("wavry-client"));
        command.args(["power", action, &host.address, "--host-id", &host.id]);
        command.arg("--state").arg(self.file("state")).env_remove("DISPLAY");
        Guarded::start(&mut command, &self.file(action))
    }

    /// Sends files to an address, taking the host there to be `id`.
    #[must_use]
    pub fn send(&self, address: &str, id: &str, files: &[PathBuf]) -> Guarded {
        let mut command = Command::new(program("wavry-client"));
        command.args(["send", address, "--host-id", id]).arg("--state").arg(self.file("state"));
        Guarded::start(command.args(files).env_remove("DISPLAY"), &self.file("sending"))
    }

    /// Connects; `display` is the screen for its window, if it has one.
    #[must_use]
    pub fn connect(&self, host: &Host, display: Option<&str>, arguments: &[&str]) -> Guarded {
        self.connect_to(&host.address, &host.id, display, arguments)
    }

    /// Connects to an address, taking the host there to be `id`.
    #[must_use]
    pub fn connect_to(&self, address: &str, id: &str, display: Option<&str>, arguments: &[&str]) -> Guarded {
        let mut command = Command::new(program("wavry-client"));
        command.args(["connect", address, "--host-id", id]).arg("--state").arg(self.file("state"));
        match display {
            Some(display) => command.env("DISPLAY", display),
            None => command.arg("--headless").env_remove("DISPLAY"),
        };
        Guarded::start(command.args(arguments), &self.file("client"))
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}
