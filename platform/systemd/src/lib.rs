//! What a service manager is told: that a program is ready, that it is alive, that it ends.
//!
//! The protocol of `sd_notify(3)`: datagrams of `NAME=value` lines to the socket that the environment names. Without
//! one there is nobody to be told, and nothing is done. What being alive means is decided by who says it.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use rift::Instant;
use tracing::debug;

/// The way to the service manager.
#[derive(Debug)]
pub struct Notifier {
    manager: Option<(UnixDatagram, SocketAddr)>,
    /// How often to say that we live, in microseconds; `None` = nobody waits for it.
    interval_us: Option<u64>,
    beat_at: Instant,
    told_at: Instant,
    status: String,
}

/// How often a line for people is made at most, in microseconds.
const STATUS_US: u64 = 1_000_000;

impl Notifier {
    /// As the environment says (`NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`).
    #[must_use]
    pub fn from_environment() -> Self {
        let is_ours = match std::env::var("WATCHDOG_PID") {
            Ok(pid) => pid.parse() == Ok(std::process::id()),
            Err(_) => true,
        };
        let watchdog = std::env::var("WATCHDOG_USEC").ok().filter(|_| is_ours);
        Self::new(std::env::var_os("NOTIFY_SOCKET"), watchdog.as_deref())
    }

    /// For a manager at this socket (a path, or `@` and an abstract name) that waits `watchdog` microseconds at most
    /// for a sign of life.
    #[must_use]
    pub fn new(socket: Option<OsString>, watchdog: Option<&str>) -> Self {
        let manager = socket.and_then(|socket| {
            open(&socket).inspect_err(|error| debug!(%error, "no way to the service manager")).ok()
        });
        // Twice in the time it waits, so that one that comes late is no death.
        let interval_us = watchdog.and_then(|text| text.parse::<u64>().ok()).map(|all| (all / 2).max(1));
        Self { manager, interval_us, beat_at: Instant::ZERO, told_at: Instant::ZERO, status: String::new() }
    }

    /// The program does what it is for.
    pub fn ready(&self) {
        self.send("READY=1");
    }

    /// It is alive. To be said at every turn; the manager hears it no more often than it wants.
    pub fn beat(&mut self, now: Instant) {
        let Some(interval_us) = self.interval_us else { return };
        if now >= self.beat_at {
            self.beat_at = now.plus_micros(interval_us);
            self.send("WATCHDOG=1");
        }
    }

    /// A line for people who ask the manager; asked for once a second at most, and sent when it is another.
    pub fn tell(&mut self, now: Instant, status: impl FnOnce() -> String) {
        if self.manager.is_none() || now < self.told_at {
            return;
        }
        self.told_at = now.plus_micros(STATUS_US);
        let status = status();
        if self.status != status {
            self.send(&format!("STATUS={status}"));
            self.status = status;
        }
    }

    /// It ends.
    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    fn send(&self, text: &str) {
        let Some((socket, manager)) = &self.manager else { return };
        if let Err(error) = socket.send_to_addr(text.as_bytes(), manager) {
            debug!(%error, "the service manager does not listen");
        }
    }
}

fn open(name: &OsString) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    // A manager that reads nothing must not hold up the network.
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manager_hears_of_readiness_life_and_end() {
        let name = format!("wavry-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let manager = UnixDatagram::bind_addr(&address).expect("a socket");
        manager.set_nonblocking(true).expect("a socket");
        let mut notifier = Notifier::new(Some(format!("@{name}").into()), Some("2000000"));
        notifier.ready();
        for millis in (0..3500).step_by(100) {
            notifier.beat(Instant::from_millis(millis));
        }
        for millis in [0, 100, 1000, 2500] {
            notifier.tell(Instant::from_millis(millis), || "streaming".to_owned());
        }
        notifier.stopping();
        let mut heard = Vec::new();
        let mut bytes = [0; 64];
        while let Ok(len) = manager.recv(&mut bytes) {
            heard.push(String::from_utf8_lossy(&bytes[..len]).into_owned());
        }
        let beats = ["WATCHDOG=1"; 4];
        let expected = ["READY=1"]
            .into_iter()
            .chain(beats)
            .chain(["STATUS=streaming", "STOPPING=1"])
            .collect::<Vec<_>>();
        assert_eq!(heard, expected);
    }

    #[test]
    fn nobody_is_told_where_there_is_no_manager() {
        let mut notifier = Notifier::new(None, None);
        notifier.ready();
        notifier.beat(Instant::ZERO);
        let mut gone = Notifier::new(Some("/nowhere/socket".into()), Some("x"));
        gone.beat(Instant::ZERO);
        gone.stopping();
    }
}
