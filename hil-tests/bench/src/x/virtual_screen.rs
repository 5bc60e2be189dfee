//! A virtual screen of its own for each end.

use core::time::Duration;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;

use x11rb::rust_connection::RustConnection;

use super::{HEIGHT, WIDTH};
use crate::failure::{Context as _, Failure};
use crate::keeper::{Keeper, Running};

const START_LIMIT: Duration = Duration::from_secs(20);

/// An Xvfb; ended with the value.
#[derive(Debug)]
pub(crate) struct VirtualScreen {
    /// Its name, such as `:7`.
    pub(crate) display: String,
    server: Running,
}

impl VirtualScreen {
    /// Starts one. The server picks a free number itself, so nothing collides.
    pub(crate) fn start(keeper: &Keeper, name: &str) -> Result<Self, Failure> {
        let mut command = Command::new("Xvfb");
        command.args(["-displayfd", "1", "-nolisten", "tcp", "-noreset", "-screen", "0"]);
        command.arg(format!("{WIDTH}x{HEIGHT}x24"));
        let mut server = keeper.spawn(name, &mut command, Some(Stdio::piped()))?;
        let output = server.take_output().ok_or("Xvfb has no standard output")?;
        let (sender, receiver) = mpsc::channel();
        // Ends with the server: its output closes then.
        std::thread::spawn(move || {
            let mut line = String::new();
            let _ = BufReader::new(output).read_line(&mut line);
            let _ = sender.send(line);
        });
        let number = receiver.recv_timeout(START_LIMIT).ok().and_then(|line| line.trim().parse::<u32>().ok());
        let number =
            number.ok_or_else(|| format!("Xvfb did not name its display; {}", server.last_words()))?;
        Ok(Self { display: format!(":{number}"), server })
    }

    /// A new connection to it.
    pub(crate) fn connect(&self) -> Result<RustConnection, Failure> {
        let (connection, _) = RustConnection::connect(Some(&self.display))
            .context(format_args!("cannot connect to display {}", self.display))?;
        Ok(connection)
    }

    /// The server's process group.
    pub(crate) fn group(&self) -> u32 {
        self.server.id()
    }
}
