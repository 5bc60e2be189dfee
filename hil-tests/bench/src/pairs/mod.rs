//! The programs that are measured, in pairs: one end on the host's screen, one on the viewer's.
//!
//! Every pair is started as a person who wants low latency would start it on a local network; what that means is written
//! beside each. A pair ends with its value.

mod gstreamer;
mod ours;
mod vnc;

use core::time::Duration;
use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;

pub(crate) use ours::{Display, program};

use crate::clock::wait_until;
use crate::failure::{Context as _, Failure};
use crate::keeper::{Keeper, Running};
use crate::x::VirtualScreen;

/// How long a program may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(15);

/// Both screens.
#[derive(Debug)]
pub(crate) struct Stage {
    /// Keeps the processes.
    pub(crate) keeper: Keeper,
    /// The screen that is shared.
    pub(crate) host: VirtualScreen,
    /// The screen the viewer is on.
    pub(crate) viewer: VirtualScreen,
}

impl Stage {
    /// Starts two virtual screens.
    pub(crate) fn set() -> Result<Self, Failure> {
        let keeper = Keeper::start()?;
        let host = VirtualScreen::start(&keeper, "host-screen")?;
        let viewer = VirtualScreen::start(&keeper, "viewer-screen")?;
        Ok(Self { keeper, host, viewer })
    }
}

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// `wavry-server` and `wavry-client` with this display.
    Ours(Display),
    /// x11vnc and TigerVNC's viewer.
    X11vnc,
    /// TigerVNC's scraping server and its viewer.
    X0tigervnc,
    /// GStreamer, H.264 over RTP.
    Gstreamer,
}

impl Kind {
    /// Its stable name in rows.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ours(Display::X11) => "wavry",
            Self::Ours(Display::Minifb) => "wavry-minifb",
            Self::Ours(Display::MinifbPlain) => "wavry-minifb-plain",
            Self::X11vnc => "x11vnc",
            Self::X0tigervnc => "x0tigervnc",
            Self::Gstreamer => "gstreamer",
        }
    }

    /// Starts both ends. That they show anything is for the caller to see.
    pub(crate) fn start(self, stage: &Stage) -> Result<Pair, Failure> {
        match self {
            Self::Ours(display) => ours::start(stage, display),
            Self::X11vnc => vnc::start_x11vnc(stage),
            Self::X0tigervnc => vnc::start_x0tigervnc(stage),
            Self::Gstreamer => gstreamer::start(stage),
        }
    }
}

/// Both ends of a pair. The viewer's end is ended first, so that no host sees a viewer it cannot reach.
#[derive(Debug)]
pub(crate) struct Pair {
    client: Running,
    host: Running,
}

impl Pair {
    /// The process groups of the host's end and the viewer's.
    pub(crate) fn groups(&self) -> [u32; 2] {
        [self.host.id(), self.client.id()]
    }

    /// Why a pair shows nothing: what its ends said last.
    pub(crate) fn last_words(&self) -> String {
        format!("{}; {}", self.host.last_words(), self.client.last_words())
    }
}

/// A TCP or UDP port that was free a moment ago, on the loopback device.
fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind("127.0.0.1:0").context("no free port")?.local_addr()?.port())
}

/// A table of sockets, and the state in it of one that receives.
#[derive(Debug, Clone, Copy)]
struct Socket {
    table: &'static str,
    state: &'static str,
}

const TCP: Socket = Socket { table: "/proc/net/tcp", state: "0A" };
const UDP: Socket = Socket { table: "/proc/net/udp", state: "07" };

/// Waits until somebody receives at this port. It asks the kernel: a connection would count as a viewer.
fn wait_for_socket(socket: Socket, port: u16, server: &mut Running) -> Result<(), Failure> {
    let listening = wait_until(START_LIMIT, || {
        if server.has_ended() {
            return Some(false);
        }
        let sockets = fs::read_to_string(socket.table).unwrap_or_default();
        ports(&sockets, socket.state).contains(&port).then_some(true)
    });
    if listening == Some(true) { Ok(()) } else { Err(server.last_words().into()) }
}

/// Ports in a state, from a table of the kernel's (proc(5)): `N: ADDRESS:PORT ADDRESS:PORT STATE …`.
fn ports(table: &str, state: &str) -> BTreeSet<u16> {
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<&str>>());
    rows.filter(|fields| fields.get(3) == Some(&state))
        .filter_map(|fields| u16::from_str_radix(fields.get(1)?.rsplit_once(':')?.1, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listening_ports_count() {
        let table = "  sl  local_address rem_address   st tx_queue\n\
                     0: 0100007F:1F90 00000000:0000 0A 00000000:00000000\n\
                     1: 0100007F:1F91 0100007F:0016 01 00000000:00000000\n";
        assert_eq!(ports(table, TCP.state), BTreeSet::from([8080]));
    }
}
