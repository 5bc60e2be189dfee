//! Screens: the one a person sits at, or a virtual one.

use core::time::Duration;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;

use crate::Failure;
use crate::process::{Keeper, Running};

const START_LIMIT: Duration = Duration::from_secs(20);

/// An X display and, where it is ours, its server.
#[derive(Debug)]
pub struct Screen {
    /// Its name, such as `:0`.
    pub display: String,
    server: Option<Running>,
}

impl Screen {
    /// The screen somebody sits at: `DISPLAY`, where an X server answers there.
    #[must_use]
    pub fn current() -> Option<Self> {
        let display = std::env::var("DISPLAY").ok().filter(|name| !name.is_empty())?;
        let answer = Command::new("xdpyinfo")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        answer.is_ok_and(|status| status.success()).then_some(Self { display, server: None })
    }

    /// A virtual screen of this size, 24 bits deep. The server picks a free number itself, so nothing collides.
    ///
    /// # Errors
    /// Xvfb does not start or does not name its display in time.
    pub fn virtual_screen(keeper: &Keeper, name: &str, width: u32, height: u32) -> Result<Self, Failure> {
        let mut command = Command::new("Xvfb");
        command.args(["-displayfd", "1", "-nolisten", "tcp", "-noreset", "-screen", "0"]);
        command.arg(format!("{width}x{height}x24"));
        let mut server = keeper.spawn(name, &mut command, Some(Stdio::piped()))?;
        let (sender, receiver) = mpsc::channel();
        if let Some(output) = server.take_output() {
            // Ends with the server: its output closes then.
            std::thread::spawn(move || {
                let mut line = String::new();
                let _ = BufReader::new(output).read_line(&mut line);
                let _ = sender.send(line);
            });
        }
        let number = receiver.recv_timeout(START_LIMIT).ok().and_then(|line| line.trim().parse::<u32>().ok());
        let number = number.ok_or_else(|| {
            Failure::failed(format!("Xvfb did not name its display\n{}", server.last_words()))
        })?;
        Ok(Self { display: format!(":{number}"), server: Some(server) })
    }

    /// Whether it is a virtual one that the rig started.
    #[must_use]
    pub const fn is_virtual(&self) -> bool {
        self.server.is_some()
    }

    /// Makes a command show itself on this screen.
    pub fn aim(&self, command: &mut Command) {
        command.env("DISPLAY", &self.display);
    }
}
