//! A thread that keeps a port open at the router of the default route: see [`PortMapping`].

use core::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use core::time::Duration;
use std::io;
use std::net::UdpSocket;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rift::Instant;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::exchange::exchange;
use crate::{FOUND_MAX, MESSAGE_MAX, Opener, PORT, SEARCH_ADDRESS, Transmit, Way};

/// It is looked this often whether this machine has another router.
const LOOK: Duration = Duration::from_secs(30);
/// An answer is waited for at most this long before it is looked whether to stop.
const WAIT: Duration = Duration::from_millis(250);

type Opened = (SocketAddrV4, Way);

/// A UDP port of this machine that is open at its router as long as this lives. It is given back when this goes, which takes at most four
/// seconds where the router is slow to answer.
#[derive(Debug)]
pub struct PortMapping {
    found: Arc<Mutex<Option<Opened>>>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl PortMapping {
    /// Begins to ask for `port`. `nonce` is 12 bytes that nobody can guess.
    ///
    /// # Errors
    /// The system gave no thread.
    pub fn start(port: u16, nonce: [u8; 12]) -> io::Result<Self> {
        let found = Arc::<Mutex<Option<Opened>>>::default();
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

    /// Where the port is open now, and how it was opened.
    #[must_use]
    pub fn opened(&self) -> Option<Opened> {
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

fn lock(found: &Mutex<Option<Opened>>) -> std::sync::MutexGuard<'_, Option<Opened>> {
    found.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Until it is to stop; an error when there is no router, or no more the same.
fn keep(
    clock: &Clock,
    port: u16,
    nonce: [u8; 12],
    found: &Mutex<Option<Opened>>,
    stopped: &Receiver<()>,
) -> io::Result<()> {
    let mut line = Line::new(clock, port, nonce, stopped)?;
    loop {
        line.send();
        *lock(found) = line.opener.opened();
        let outcome = if line.opener.is_asking() {
            line.receive()?;
            if line.is_stopped() {
                Err(RecvTimeoutError::Disconnected)
            } else {
                Err(RecvTimeoutError::Timeout)
            }
        } else {
            stopped.recv_timeout(line.opener.poll_timeout().until(clock.now()).min(LOOK))
        };
        if outcome != Err(RecvTimeoutError::Timeout) {
            line.opener.close(clock.now());
            line.send();
            return Ok(());
        }
        if !line.opener.is_asking() && line.is_elsewhere()? {
            return Err(io::ErrorKind::NetworkUnreachable.into());
        }
    }
}

/// The sockets towards one router.
struct Line<'a> {
    clock: &'a Clock,
    stopped: &'a Receiver<()>,
    router: Ipv4Addr,
    client: Ipv4Addr,
    opener: Opener,
    /// Towards the router's port.
    socket: UdpSocket,
    /// What searches leave by, while answers to them are awaited.
    search: Option<UdpSocket>,
}

impl<'a> Line<'a> {
    fn new(clock: &'a Clock, port: u16, nonce: [u8; 12], stopped: &'a Receiver<()>) -> io::Result<Self> {
        let router = router()?;
        let (socket, client) = towards(router)?;
        socket.set_nonblocking(true)?;
        let opener = Opener::new(router, client, port, nonce, clock.now());
        Ok(Self { clock, stopped, router, client, opener, socket, search: None })
    }

    /// Whether nobody needs the port any more.
    fn is_stopped(&self) -> bool {
        is_over(self.stopped)
    }

    /// Sends what is due, and hears what is answered to calls.
    fn send(&mut self) {
        let mut message = [0; MESSAGE_MAX];
        while let Some(transmit) = self.opener.poll_transmit(self.clock.now(), &mut message) {
            match transmit {
                // What is lost is said again.
                Transmit::Router(len) => drop(self.socket.send(&message[..len])),
                Transmit::Search(datagram) => {
                    if self.search.is_none() {
                        self.search = search_socket(self.client).ok();
                    }
                    if let Some(socket) = &self.search {
                        let _ = socket.send_to(&datagram, SEARCH_ADDRESS);
                    }
                }
                Transmit::Call(call) => {
                    let answer = exchange(self.clock, &call, || is_over(self.stopped));
                    match answer {
                        Some(bytes) => self.opener.handle_response(self.clock.now(), &bytes),
                        None => self.opener.handle_failure(self.clock.now()),
                    }
                }
            }
        }
        if !self.opener.is_searching() {
            // Nobody can answer any more.
            self.search = None;
        }
    }

    /// Waits for datagrams until something else is due.
    fn receive(&mut self) -> io::Result<()> {
        let now = self.clock.now();
        let wait = self.opener.poll_timeout().until(now).clamp(Duration::from_millis(1), WAIT);
        let wait = Timespec { tv_sec: 0, tv_nsec: wait.subsec_nanos().into() };
        let mut ready = vec![PollFd::new(&self.socket, PollFlags::IN)];
        ready.extend(self.search.as_ref().map(|socket| PollFd::new(socket, PollFlags::IN)));
        match poll(&mut ready, Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let (now, mut datagram) = (self.clock.now(), [0; FOUND_MAX]);
        // One each: whoever sends many is not heard for ever. Somebody who says that nobody is there says so of one datagram.
        if let Ok(len) = self.socket.recv(&mut datagram) {
            self.opener.handle_datagram(now, &datagram[..len]);
        }
        if let Some(Ok((len, SocketAddr::V4(from)))) =
            self.search.as_ref().map(|socket| socket.recv_from(&mut datagram))
        {
            self.opener.handle_found(now, from, &datagram[..len]);
        }
        Ok(())
    }

    /// Whether the router is another one, or this machine has another address towards it.
    fn is_elsewhere(&self) -> io::Result<bool> {
        let router = router()?;
        Ok(router != self.router || towards(router)?.1 != self.client)
    }
}

/// A socket towards the router's port, and the address that it has.
fn towards(router: Ipv4Addr) -> io::Result<(UdpSocket, Ipv4Addr)> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect((router, PORT))?;
    match socket.local_addr()?.ip() {
        IpAddr::V4(client) => Ok((socket, client)),
        IpAddr::V6(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// A socket of this address: what it sends to a multicast address leaves where the address is (ip(7)), and goes no further than the
/// link, which is where the router is.
fn search_socket(client: Ipv4Addr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((client, 0))?;
    socket.set_multicast_ttl_v4(1)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn is_over(stopped: &Receiver<()>) -> bool {
    !matches!(stopped.try_recv(), Err(TryRecvError::Empty))
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
pub(crate) struct Clock(std::time::Instant);

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "a thread on an operating system has its clock")]
    fn new() -> Self {
        Self(std::time::Instant::now())
    }

    pub(crate) fn now(&self) -> Instant {
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
