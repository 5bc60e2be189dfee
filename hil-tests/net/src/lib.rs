//! Members of a simulated internet on real sockets: what finds its way through NATs in the simulator is tried against those
//! of the kernel, as it is.
//!
//! A member is a [`rift_sim::Host`] that speaks through a [`Port`]; [`drive`] puts it on a UDP
//! socket. Gateway and relay are the simulator's models: what is tried here is what peers do.

pub mod real;

use core::net::{SocketAddr, SocketAddrV4};
use core::time::Duration;
use std::io;
use std::net::UdpSocket;

use rift::{Config, Identity, Instant, Permissions};
use rift_sim::internet::{Callee, Caller, Forwarder, HEAD_LEN, Introducer, Member, Port, addresses, head};
use rift_sim::peer::{Camera, HostPeer};
use rift_sim::{Host, NodeId, Packet, Random};

/// A wait is never longer, so that a member that has nothing to do notices when it may go.
const WAIT_MAX: Duration = Duration::from_millis(20);

/// The clock of this process.
#[derive(Clone, Copy, Debug)]
pub struct Clock(std::time::Instant);

impl Clock {
    /// Begins now.
    #[expect(clippy::disallowed_methods, reason = "real sockets have a real clock")]
    #[must_use]
    pub fn new() -> Self {
        Self(std::time::Instant::now())
    }

    /// What it shows.
    #[must_use]
    pub fn now(self) -> Instant {
        Instant::from_millis(1_000) + self.0.elapsed()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// Who somebody is, by role: whoever has the seed knows both.
#[must_use]
pub fn identities(seed: u64) -> [Identity; 2] {
    let mut random = Random::new(seed);
    [(); 2].map(|()| Identity::from_secret(random.bytes32()))
}

/// A client that looks for the host.
#[must_use]
pub fn caller(address: SocketAddrV4, gateway: SocketAddrV4, seed: u64, now: Instant) -> Member {
    let [identity, host] = identities(seed);
    let port = Port::new(address, NodeId(0));
    let random = Random::new(seed).fork(1);
    Member::Caller(Box::new(Caller::new(port, gateway, config(), identity, host.public(), now, random)))
}

/// A host that lets the client in and shows a moving screen.
#[must_use]
pub fn callee(address: SocketAddrV4, gateway: SocketAddrV4, seed: u64, now: Instant) -> Member {
    let [client, identity] = identities(seed);
    let random = Random::new(seed);
    let mut host = HostPeer::new(&config(), &identity, random.fork(2));
    host.allow(client.public(), Permissions::default_control());
    host.camera = Some(Camera::new(&random.fork(3), 60, now));
    let port = Port::new(address, NodeId(0));
    Member::Callee(Box::new(Callee::new(port, gateway, identity.public(), host, now, random.fork(4))))
}

/// A gateway that has leases of this relay.
#[must_use]
pub fn introducer(address: SocketAddrV4, relay: SocketAddrV4, seed: u64) -> Member {
    let port = Port::new(address, NodeId(0));
    Member::Introducer(Box::new(Introducer::new(port, Some(relay), Random::new(seed).fork(5))))
}

/// A relay.
#[must_use]
pub fn forwarder(address: SocketAddrV4) -> Member {
    Member::Forwarder(Box::new(Forwarder::new(Port::new(address, NodeId(0)))))
}

fn config() -> Config {
    Config { bitrate_bps_start: 4_000_000, bitrate_bps_max: 4_000_000, ..Config::default() }
}

/// Runs a member on a socket of its address until `is_done`.
///
/// # Errors
/// The system's, when there is no such address or no socket.
pub fn drive(
    address: SocketAddrV4,
    member: &mut Member,
    clock: Clock,
    mut is_done: impl FnMut(&Member) -> bool,
) -> io::Result<()> {
    let socket = UdpSocket::bind(address)?;
    let mut buffer = [0; 65_536];
    while !is_done(member) {
        let mut packet = Packet::default();
        while member.poll_packet(clock.now(), &mut packet) {
            if let Some((_, to)) = addresses(&packet.bytes) {
                // What the kernel refuses is lost, as on any network.
                let _ = socket.send_to(&packet.bytes[HEAD_LEN..], to);
            }
            packet = Packet::default();
        }
        let wait = member.next_wake().map_or(WAIT_MAX, |at| at.until(clock.now()));
        socket.set_read_timeout(Some(wait.clamp(Duration::from_micros(100), WAIT_MAX)))?;
        if let Ok((len, SocketAddr::V4(from))) = socket.recv_from(&mut buffer) {
            let bytes = [&head(from, address)[..], &buffer[..len]].concat();
            packet.bytes = bytes;
            member.handle_packet(clock.now(), &mut packet);
        }
        if member.next_wake().is_some_and(|at| at <= clock.now()) {
            member.handle_wake(clock.now());
        }
    }
    Ok(())
}
