//! Power of the machine behind a capture card: programs that the person who set the host up has named, and the packet
//! that wakes a sleeping network card.
//!
//! Asked for at the host (`wavry-server power`), or by a client that has the right *power*, with the keys of that right
//! (SPEC §8.10). Programs run as the host's user, by their arguments as they stand in the configuration: no shell reads
//! them, and nothing of a client's is among them. One action at a time, each with an end.

use core::net::{Ipv4Addr, SocketAddr};
use core::str::FromStr;
use core::time::Duration;
use std::io;
use std::net::UdpSocket;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use rift::{InputEvent, Scancode};
use rustix::process::{Pid, Signal, kill_process_group};
use tracing::{info, warn};

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);
/// How long after an action the next one may begin: a key that is hit twice is meant once.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest line of arguments.
pub const ARGUMENTS_MAX: usize = 32;
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

impl Action {
    /// Its name in the configuration and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Reset => "reset",
            Self::Wake => "wake",
        }
    }

    /// The key by which a client asks for it: one that needs the right *power*.
    #[must_use]
    pub const fn key(self) -> u16 {
        // `linux/input-event-codes.h`: KEY_POWER, KEY_POWER2, KEY_RESTART, KEY_WAKEUP.
        match self {
            Self::On => 116,
            Self::Off => 356,
            Self::Reset => 408,
            Self::Wake => 143,
        }
    }

    /// The action that a key asks for.
    #[must_use]
    pub fn of_key(key: Scancode) -> Option<Self> {
        [Self::On, Self::Off, Self::Reset, Self::Wake].into_iter().find(|action| action.key() == key.code())
    }
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PowerError {
    /// Nobody has said how.
    #[error("nothing is set for this: give `{0}` in the configuration's table [power]")]
    NotSet(&'static str),
    /// The program could not be run.
    #[error("cannot run the program for `{action}`: {source}")]
    Run {
        /// For what.
        action: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The program failed.
    #[error("the program for `{action}` failed: {status}")]
    Failed {
        /// For what.
        action: &'static str,
        /// How.
        status: ExitStatus,
    },
    /// The program did not end.
    #[error("the program for `{0}` did not end within 30 s and was stopped")]
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

/// What is set for each action: programs with their arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hooks {
    /// For [`Action::On`].
    pub on: Option<Vec<String>>,
    /// For [`Action::Off`].
    pub off: Option<Vec<String>>,
    /// For [`Action::Reset`].
    pub reset: Option<Vec<String>>,
    /// For [`Action::Wake`].
    pub wake: Option<Mac>,
}

impl Hooks {
    /// Whether something is set for it.
    #[must_use]
    pub const fn has(&self, action: Action) -> bool {
        match action {
            Action::On => self.on.is_some(),
            Action::Off => self.off.is_some(),
            Action::Reset => self.reset.is_some(),
            Action::Wake => self.wake.is_some(),
        }
    }

    /// What was said here, and what `other` says of the rest.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            on: self.on.or(other.on),
            off: self.off.or(other.off),
            reset: self.reset.or(other.reset),
            wake: self.wake.or(other.wake),
        }
    }

    /// Does it, and waits until it is done.
    ///
    /// # Errors
    /// [`PowerError`].
    pub fn perform(&self, action: Action) -> Result<(), PowerError> {
        let program = match action {
            Action::On => &self.on,
            Action::Off => &self.off,
            Action::Reset => &self.reset,
            Action::Wake => {
                let mac = self.wake.ok_or(PowerError::NotSet(action.name()))?;
                let to = SocketAddr::from((Ipv4Addr::BROADCAST, DISCARD_PORT));
                return wake(mac, to).map_err(PowerError::Send);
            }
        };
        run(action.name(), program.as_deref().ok_or(PowerError::NotSet(action.name()))?)
    }
}

/// A thread that does what clients ask for, one thing at a time. Dropping it waits for the last.
#[derive(Debug)]
pub struct Switch {
    hooks: Hooks,
    actions: Option<SyncSender<Action>>,
    thread: Option<JoinHandle<()>>,
}

impl Switch {
    /// With these hooks.
    ///
    /// # Errors
    /// The system gave no thread.
    pub fn start(hooks: Hooks) -> io::Result<Self> {
        // No room: an action is taken by a thread that waits for one, or not at all.
        let (actions, asked) = sync_channel::<Action>(0);
        let served = hooks.clone();
        let thread = thread::Builder::new().name("power".into()).spawn(move || {
            while let Ok(action) = asked.recv() {
                match served.perform(action) {
                    Ok(()) => info!(action = action.name(), "power: done"),
                    Err(error) => warn!(action = action.name(), %error, "power: not done"),
                }
                pause(PAUSE);
            }
        })?;
        Ok(Self { hooks, actions: Some(actions), thread: Some(thread) })
    }

    /// Takes an event that is a key with an action set for it; `false`: it is not one, and goes to the machine as it is.
    /// Whoever calls this has checked that its sender has the right.
    pub fn takes(&self, event: &InputEvent) -> bool {
        let InputEvent::Key { key, pressed } = event else { return false };
        let Some(action) = Action::of_key(*key).filter(|&action| self.hooks.has(action)) else {
            return false;
        };
        if *pressed {
            let is_taken = self.actions.as_ref().is_some_and(|actions| actions.try_send(action).is_ok());
            if is_taken {
                info!(action = action.name(), "power: a client asks for it");
            } else {
                warn!(
                    action = action.name(),
                    "power: asked for while the last is being done; nothing more is done"
                );
            }
        }
        true
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.actions = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

fn wake(mac: Mac, to: SocketAddr) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_broadcast(true)?;
    socket.send_to(&mac.magic_packet(), to).map(drop)
}

fn run(action: &'static str, words: &[String]) -> Result<(), PowerError> {
    let failed = |source| PowerError::Run { action, source };
    let [program, arguments @ ..] = words else { return Err(PowerError::NotSet(action)) };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    // In a group of its own, so that what it starts ends with it.
    let mut child = command.process_group(0).spawn().map_err(failed)?;
    match wait(&mut child).map_err(failed)? {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(PowerError::Failed { action, status }),
        None => {
            // It may end at this very moment.
            let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
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
        pause(LOOK);
        left = left.saturating_sub(LOOK);
    }
    child.try_wait()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a program of somebody else's is waited for, by a thread that does nothing else"
)]
fn pause(time: Duration) {
    thread::sleep(time);
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

    fn words(words: &[&str]) -> Option<Vec<String>> {
        Some(words.iter().map(|&word| word.to_owned()).collect())
    }

    #[test]
    fn programs_are_run_and_their_failure_is_told() {
        let hooks = Hooks { on: words(&["true"]), off: words(&["false"]), ..Hooks::default() };
        assert!(hooks.perform(Action::On).is_ok());
        let failure = hooks.perform(Action::Off).unwrap_err().to_string();
        assert!(failure.contains("`off`") && failure.contains('1'), "{failure}");
        let not_set = hooks.perform(Action::Reset).unwrap_err().to_string();
        assert!(not_set.contains("`reset`"), "{not_set}");
        assert!(hooks.perform(Action::Wake).unwrap_err().to_string().contains("`wake`"));
        let hooks = Hooks { on: words(&["/no/such/program"]), ..Hooks::default() };
        assert!(hooks.perform(Action::On).unwrap_err().to_string().contains("cannot run"));
    }

    #[test]
    fn no_shell_reads_the_arguments() {
        let place = std::env::temp_dir().join(format!("wavry-power-{}", std::process::id()));
        let file = place.join("a; touch b $(touch c)");
        std::fs::create_dir_all(&place).unwrap();
        let hooks = Hooks { on: words(&["touch", file.to_str().unwrap()]), ..Hooks::default() };
        hooks.perform(Action::On).unwrap();
        let names: Vec<_> =
            std::fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        std::fs::remove_dir_all(&place).unwrap();
        assert_eq!(names, [file.file_name().unwrap()]);
    }

    #[test]
    fn keys_with_an_action_are_taken_and_others_go_on_to_the_machine() {
        let place = std::env::temp_dir().join(format!("wavry-switch-{}", std::process::id()));
        let hooks = Hooks { reset: words(&["mkdir", place.to_str().unwrap()]), ..Hooks::default() };
        let switch = Switch::start(hooks).unwrap();
        let key =
            |action: Action, pressed| InputEvent::Key { key: Scancode::new(action.key()).unwrap(), pressed };
        assert!(!switch.takes(&key(Action::On, true)), "nothing is set for it");
        assert!(!switch.takes(&InputEvent::Text('a')));
        // A thread that has not begun to wait takes nothing; a second press may find it busy.
        while !place.exists() {
            assert!(switch.takes(&key(Action::Reset, true)));
            assert!(switch.takes(&key(Action::Reset, false)), "the release is not for the machine either");
            thread::yield_now();
        }
        drop(switch);
        std::fs::remove_dir(&place).unwrap();
    }

    #[test]
    fn every_action_needs_the_right() {
        use rift::Permissions;
        for action in [Action::On, Action::Off, Action::Reset, Action::Wake] {
            let event = InputEvent::Key { key: Scancode::new(action.key()).unwrap(), pressed: true };
            let without = Permissions::all() - Permissions::POWER;
            assert!(!without.allow_while(&event, |_| false), "{action:?}");
            assert!(Permissions::all().allow_while(&event, |_| false), "{action:?}");
        }
    }
}
