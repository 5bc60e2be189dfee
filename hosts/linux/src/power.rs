//! Power of the machine behind a capture card: commands that the person who set the host up has named, and the packet
//! that wakes a sleeping network card.
//!
//! Local only: nothing on the wire reaches this. Commands run as the host's user, by the shell, with nothing of a
//! client's in them.

use core::net::{Ipv4Addr, SocketAddr};
use core::str::FromStr;
use core::time::Duration;
use std::io;
use std::net::UdpSocket;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);
/// The port that magic packets are sent to; network cards look at none.
const DISCARD_PORT: u16 = 9;

/// What can be done to the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Action {
    /// As a short press of its power button.
    On,
    /// As a long press.
    Off,
    /// As its reset button.
    Reset,
    /// By a magic packet on the network.
    Wake,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PowerError {
    /// Nobody has said how.
    #[error("nothing is set for this: give `{0}` in the configuration")]
    NotSet(&'static str),
    /// The command could not be run.
    #[error("cannot run the command for `{action}`: {source}")]
    Run {
        /// For what.
        action: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The command failed.
    #[error("the command for `{action}` failed: {status}")]
    Failed {
        /// For what.
        action: &'static str,
        /// How.
        status: ExitStatus,
    },
    /// The command did not end.
    #[error("the command for `{0}` did not end within 30 s and was stopped")]
    Endless(&'static str),
    /// The packet could not be sent.
    #[error("cannot send the packet that wakes: {0}")]
    Send(io::Error),
}

/// The address of a network card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mac([u8; 6]);

impl FromStr for Mac {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Option<Vec<u8>> = text
            .split([':', '-'])
            .map(|part| if part.len() == 2 { u8::from_str_radix(part, 16).ok() } else { None })
            .collect();
        let bytes = parts.and_then(|parts| <[u8; 6]>::try_from(parts).ok());
        bytes
            .map(Self)
            .ok_or_else(|| "the address of a network card is six bytes, as 52:54:00:12:34:56".to_owned())
    }
}

impl Mac {
    /// The packet that wakes this card: six bytes of ones, then its address sixteen times.
    #[must_use]
    pub fn magic_packet(&self) -> [u8; 102] {
        let mut packet = [0xff; 102];
        for copy in packet[6..].chunks_exact_mut(6) {
            copy.copy_from_slice(&self.0);
        }
        packet
    }
}

/// What is set for each action.
#[derive(Clone, Debug, Default)]
pub struct Hooks {
    /// For [`Action::On`].
    pub on: Option<String>,
    /// For [`Action::Off`].
    pub off: Option<String>,
    /// For [`Action::Reset`].
    pub reset: Option<String>,
    /// For [`Action::Wake`].
    pub wake: Option<Mac>,
}

impl Hooks {
    /// Does it, and waits until it is done.
    ///
    /// # Errors
    /// [`PowerError`].
    pub fn perform(&self, action: Action) -> Result<(), PowerError> {
        let (key, command) = match action {
            Action::On => ("power-on", &self.on),
            Action::Off => ("power-off", &self.off),
            Action::Reset => ("power-reset", &self.reset),
            Action::Wake => {
                let mac = self.wake.ok_or(PowerError::NotSet("wake"))?;
                let to = SocketAddr::from((Ipv4Addr::BROADCAST, DISCARD_PORT));
                return wake(mac, to).map_err(PowerError::Send);
            }
        };
        run(key, command.as_deref().ok_or(PowerError::NotSet(key))?)
    }
}

fn wake(mac: Mac, to: SocketAddr) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_broadcast(true)?;
    socket.send_to(&mac.magic_packet(), to).map(drop)
}

fn run(action: &'static str, command: &str) -> Result<(), PowerError> {
    let failed = |source| PowerError::Run { action, source };
    let mut shell = Command::new("/bin/sh");
    let mut child = shell.args(["-c", command]).stdin(Stdio::null()).spawn().map_err(failed)?;
    match wait(&mut child).map_err(failed)? {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(PowerError::Failed { action, status }),
        None => {
            // It may end at this very moment.
            let _ = child.kill();
            let _ = child.wait();
            Err(PowerError::Endless(action))
        }
    }
}

/// How it ended; `None` if it did not.
fn wait(child: &mut Child) -> io::Result<Option<ExitStatus>> {
    let mut left = PATIENCE;
    while !left.is_zero() {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        pause();
        left = left.saturating_sub(LOOK);
    }
    child.try_wait()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a command of somebody else's is waited for, by a program that does nothing else"
)]
fn pause() {
    thread::sleep(LOOK);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magic_packet_names_the_card_sixteen_times() {
        let mac: Mac = "52:54:00:12:34:5f".parse().unwrap();
        assert_eq!("52-54-00-12-34-5F".parse(), Ok(mac));
        let packet = mac.magic_packet();
        assert_eq!(packet[..6], [0xff; 6]);
        assert!(packet[6..].chunks(6).all(|copy| copy == [0x52, 0x54, 0, 0x12, 0x34, 0x5f]));
        for text in ["", "52:54:00:12:34", "52:54:00:12:34:5g", "5:5:5:5:5:5", "52:54:00:12:34:5f:00"] {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
        let listener = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        wake(mac, listener.local_addr().unwrap()).unwrap();
        let mut heard = [0; 200];
        assert_eq!(listener.recv(&mut heard).unwrap(), 102);
        assert_eq!(heard[..102], packet);
    }

    #[test]
    fn commands_are_run_and_their_failure_is_told() {
        let hooks = Hooks { on: Some("true".into()), off: Some("exit 3".into()), ..Hooks::default() };
        assert!(hooks.perform(Action::On).is_ok());
        let failure = hooks.perform(Action::Off).unwrap_err().to_string();
        assert!(failure.contains("power-off") && failure.contains('3'), "{failure}");
        let not_set = hooks.perform(Action::Reset).unwrap_err().to_string();
        assert!(not_set.contains("`power-reset`"), "{not_set}");
        assert!(hooks.perform(Action::Wake).unwrap_err().to_string().contains("`wake`"));
    }
}
