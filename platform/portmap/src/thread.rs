//! A thread that keeps a port open at the router of the default route: see [`PortMapping`].

use core::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use core::time::Duration;
use std::io;
use std::net::UdpSocket;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rift::Instant;

use crate::{MESSAGE_MAX, Mapper, PORT};

/// It is looked this often whether this machine has another router.
const LOOK: Duration = Duration::from_secs(30);
/// An answer is waited for at most this long before it is looked whether to stop.
const WAIT: Duration = Duration::from_millis(250);

/// A UDP port of this machine that is open at its router as long as this lives.
#[derive(Debug)]
pub struct PortMapping {
    found: Arc<Mutex<Option<SocketAddrV4>>>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl PortMapping {
    /// Begins to ask for `port`. `nonce` is 12 bytes that nobody can guess.
    ///
    /// # Errors
    /// The system gave no thread.
    pub fn start(port: u16, nonce: [u8; 12]) -> io::Result<Self> {
        let found = Arc::<Mutex<Option<SocketAddrV4>>>::default();
        let (stop, stopped) = channel();
        let tell = Arc::clone(&found);
        let thread = std::thread::Builder::new().name("router".to_owned());
        let thread = thread.spawn(move || {
            let clock = Clock::new();
            // Without a router, or with another one, it is looked again.
            while keep(&clock, port, nonce, &tell, &stopped).is_err() {
                *lock(&tell) = None;
                if stopped.recv_timeout(LOOK) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        })?;
        Ok(Self { found, stop: Some(stop), thread: Some(thread) })
    }

    /// Where the port is open now.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddrV4> {
        *lock(&self.found)
    }
}

impl Drop for PortMapping {
    fn drop(&mut self) {
        // The thread ends when nobody may tell it to any more.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock(found: &Mutex<Option<SocketAddrV4>>) -> std::sync::MutexGuard<'_, Option<SocketAddrV4>> {
    found.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Until it is to stop; an error when there is no router, or no more the same.
fn keep(
    clock: &Clock,
    port: u16,
    nonce: [u8; 12],
    found: &Mutex<Option<SocketAddrV4>>,
    stopped: &Receiver<()>,
) -> io::Result<()> {
    let router = router()?;
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect((router, PORT))?;
    let IpAddr::V4(client) = socket.local_addr()?.ip() else { return Err(io::ErrorKind::Unsupported.into()) };
    let mut mapper = Mapper::new(client, port, nonce, clock.now());
    let (mut message, mut datagram) = ([0; MESSAGE_MAX], [0; 1100]);
    loop {
        while let Some(len) = mapper.poll_transmit(clock.now(), &mut message) {
            // It is said again.
            let _ = socket.send(&message[..len]);
        }
        *lock(found) = mapper.address();
        let wait = mapper.poll_timeout().until(clock.now());
        let outcome = if mapper.is_asking() {
            socket.set_read_timeout(Some(wait.clamp(Duration::from_millis(1), WAIT)))?;
            // Somebody who says that nobody is there says so of one datagram.
            if let Ok(len) = socket.recv(&mut datagram) {
                mapper.handle_datagram(clock.now(), &datagram[..len]);
            }
            stopped.try_recv().map_or_else(
                |error| match error {
                    std::sync::mpsc::TryRecvError::Empty => Err(RecvTimeoutError::Timeout),
                    std::sync::mpsc::TryRecvError::Disconnected => Err(RecvTimeoutError::Disconnected),
                },
                Ok,
            )
        } else {
            stopped.recv_timeout(wait.min(LOOK))
        };
        if outcome != Err(RecvTimeoutError::Timeout) {
            mapper.close(clock.now());
            if let Some(len) = mapper.poll_transmit(clock.now(), &mut message) {
                let _ = socket.send(&message[..len]);
            }
            return Ok(());
        }
        if !mapper.is_asking() && self_is_elsewhere(router, client)? {
            return Err(io::ErrorKind::NetworkUnreachable.into());
        }
    }
}

/// Whether the router is another one, or this machine has another address towards it.
fn self_is_elsewhere(known: Ipv4Addr, client: Ipv4Addr) -> io::Result<bool> {
    let router = router()?;
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(SocketAddr::from((router, PORT)))?;
    Ok(router != known || socket.local_addr()?.ip() != IpAddr::V4(client))
}

/// The router of the default route.
fn router() -> io::Result<Ipv4Addr> {
    let table = std::fs::read_to_string("/proc/net/route")?;
    default_router(&table).ok_or_else(|| io::ErrorKind::NetworkUnreachable.into())
}

/// Of the kernel's table: device, destination, gateway, flags …, in the machine's byte order as hexadecimal digits.
fn default_router(table: &str) -> Option<Ipv4Addr> {
    const GATEWAY: u32 = 2;
    table.lines().skip(1).find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let mut number = || u32::from_str_radix(words.next()?, 16).ok();
        let (destination, gateway, flags) = (number()?, number()?, number()?);
        let is_default = destination == 0 && flags & GATEWAY != 0 && gateway != 0;
        is_default.then(|| Ipv4Addr::from(gateway.to_ne_bytes()))
    })
}

/// The clock of this thread.
struct Clock(std::time::Instant);

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "a thread on an operating system has its clock")]
    fn new() -> Self {
        Self(std::time::Instant::now())
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn router_is_read_from_the_kernels_table() {
        let table = "Iface\tDestination\tGateway \tFlags\n\
                     eth0\t0000A8C0\t00000000\t0001\t0\n\
                     eth0\t00000000\t0100A8C0\t0003\t0\n";
        assert_eq!(default_router(table), Some(Ipv4Addr::new(192, 168, 0, 1)));
        assert_eq!(default_router("Iface\nlo\t00000000\t00000000\t0001\n"), None);
    }
}
