//! Streams that a peer opens to gateways and relays: see [`Dialer`].

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::io;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use mio::net::{TcpStream, UdpSocket};
use mio::{Events, Interest, Poll, Token};
use rift::PublicKey;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use crate::framing::Queue;
use crate::line::{Line, scratch};
use crate::{PORT, clock, pinned};

/// Services that one dialer has tunnels to: a gateway and the relays of a few leases. With another one the one longest unused goes.
pub const TUNNELS_MAX: usize = 16;
/// How long a connection and its handshake may take.
const OPEN: Duration = Duration::from_secs(4);
/// After a failure the next try waits this long, then twice as long each time.
const PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(8);
/// A stream into which nothing was put for this long is closed; the next datagram opens another.
const IDLE: Duration = Duration::from_secs(60);
/// What waits for a stream for this long is of no use any more.
const STALE: Duration = Duration::from_secs(10);
/// How long the thread sleeps at most.
const LOOK: Duration = Duration::from_secs(5);

/// Opens streams for a driver, on a thread of its own, until it is dropped.
///
/// A stream is opened by the first datagram for it, to TCP port [`PORT`] of the service, or to the number of its UDP port where there is none or
/// somebody else is there; when it is lost, by the next one. So there is nothing to be told of its state: a datagram comes through, or
/// it is lost as on any path.
#[derive(Debug)]
pub struct Dialer {
    tunnels: Arc<Mutex<Vec<Tunnel>>>,
    stop: Arc<AtomicBool>,
    waker: Arc<mio::Waker>,
    thread: Option<JoinHandle<()>>,
}

impl Dialer {
    /// A dialer without tunnels.
    ///
    /// # Errors
    /// The system's, when it has no more files or threads.
    pub fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(mio::Waker::new(poll.registry(), WAKE)?);
        let (tunnels, stop) = (Arc::<Mutex<Vec<Tunnel>>>::default(), Arc::<AtomicBool>::default());
        let (shared, stopped) = (Arc::clone(&tunnels), Arc::clone(&stop));
        let thread = std::thread::Builder::new().name("tunnels".to_owned());
        let thread = thread.spawn(move || run(poll, &shared, &stopped))?;
        Ok(Self { tunnels, stop, waker, thread: Some(thread) })
    }

    /// An address of this machine that leads to the service at UDP address `service`, whose static key is `key`, for the driver
    /// whose socket is bound to `driver`: datagrams from elsewhere are not taken. The same for the same.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::InvalidInput`] when the key is none.
    pub fn lend(&self, driver: SocketAddr, service: SocketAddr, key: &PublicKey) -> io::Result<SocketAddr> {
        let service = SocketAddr::new(service.ip().to_canonical(), service.port());
        let mut tunnels = self.tunnels.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (driver, service, *key);
        if let Some(known) = tunnels.iter_mut().find(|tunnel| tunnel.name == name) {
            known.used_at = clock::now();
            return known.udp.local_addr();
        }
        let tunnel = Tunnel::new(name)?;
        let address = tunnel.udp.local_addr()?;
        if tunnels.len() == TUNNELS_MAX {
            let oldest = (0..tunnels.len()).min_by_key(|&at| tunnels[at].used_at);
            tunnels.swap_remove(oldest.unwrap_or_default());
        }
        tunnels.push(tunnel);
        drop(tunnels);
        self.waker.wake()?;
        Ok(address)
    }

    /// Whether a stream to that service is open now.
    #[must_use]
    pub fn is_open(&self, service: SocketAddr) -> bool {
        let tunnels = self.tunnels.lock().unwrap_or_else(PoisonError::into_inner);
        let mut there = tunnels.iter().filter(|tunnel| tunnel.name.1 == service);
        there.any(|tunnel| tunnel.line.as_ref().is_some_and(Line::is_open))
    }
}

/// Lends addresses as [`Dialer::lend`] does, by a dialer that comes to be when the first is asked for. `None` = the system has nothing
/// to make one of, or the key is none.
pub fn lender() -> impl FnMut(SocketAddr, SocketAddr, &PublicKey) -> Option<SocketAddr> + Send {
    let mut dialer = None;
    move |driver, service, key| {
        if dialer.is_none() {
            dialer = Dialer::new().ok();
        }
        dialer.as_ref()?.lend(driver, service, key).ok()
    }
}

impl Drop for Dialer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

const WAKE: Token = Token(0);
/// Of everything else: whoever it was, all few of them are looked at.
const ANY: Token = Token(1);

/// The way to one service for one driver.
#[derive(Debug)]
struct Tunnel {
    /// The driver's address, the service's, and the service's key.
    name: (SocketAddr, SocketAddr, PublicKey),
    config: Arc<ClientConfig>,
    udp: UdpSocket,
    is_registered: bool,
    line: Option<Line>,
    /// What came for a stream that is not there yet, or not any more.
    waiting: Queue,
    /// Which port is next.
    tries: u32,
    not_before: Instant,
    pause: Duration,
    used_at: Instant,
}

impl Tunnel {
    fn new(name: (SocketAddr, SocketAddr, PublicKey)) -> io::Result<Self> {
        let (driver, _, key) = name;
        let config =
            pinned::client(&key).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        // A driver bound to all of IPv6 takes IPv4, too.
        let is_v6 = !driver.ip().is_unspecified() && !driver.ip().to_canonical().is_ipv4();
        let loopback: IpAddr = if is_v6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
        let udp = UdpSocket::bind((loopback, 0).into())?;
        let from = if driver.ip().is_unspecified() { loopback } else { driver.ip().to_canonical() };
        udp.connect((from, driver.port()).into())?;
        let now = clock::now();
        Ok(Self {
            name,
            config,
            udp,
            is_registered: false,
            line: None,
            waiting: Queue::default(),
            tries: 0,
            not_before: now,
            pause: PAUSE,
            used_at: now,
        })
    }

    /// Does what can be done; when something is due.
    fn work(&mut self, poll: &Poll, scratch: &mut [u8; 65_536]) -> Option<Instant> {
        if !self.is_registered {
            self.is_registered = poll.registry().register(&mut self.udp, ANY, Interest::READABLE).is_ok();
        }
        let now = clock::now();
        if let Some(line) = &mut self.line {
            let pumped = line.pump(&self.udp, scratch);
            if let Some(at) = line.fed_at {
                self.used_at = at;
            }
            let is_open = line.is_open();
            let until = if is_open { self.used_at.max(line.heard_at) + IDLE } else { line.began + OPEN };
            match pumped {
                Ok(true) => return Some(now),
                Ok(false) if until > now => {
                    if is_open {
                        (self.tries, self.pause) = (0, PAUSE);
                    }
                    return Some(until);
                }
                Ok(false) | Err(_) => {
                    let is_idle = is_open && until <= now;
                    self.waiting = self.line.take().map(Line::into_queue).unwrap_or_default();
                    if !is_idle {
                        self.on_failure(now);
                    }
                }
            }
        }
        while let Ok(len) = self.udp.recv(scratch) {
            self.used_at = now;
            self.waiting.push(&scratch[..len]);
        }
        if now.duration_since(self.used_at) >= STALE {
            self.waiting = Queue::default();
        }
        if self.waiting.is_empty() {
            return None;
        }
        if self.not_before > now {
            return Some(self.not_before);
        }
        if self.dial(poll).is_err() {
            self.on_failure(now);
        }
        Some(self.not_before.max(now))
    }

    /// The other port is tried at once; after both a pause is made.
    fn on_failure(&mut self, now: Instant) {
        self.tries += 1;
        if self.tries.is_multiple_of(2) {
            self.not_before = now + self.pause;
            self.pause = (2 * self.pause).min(PAUSE_MAX);
        }
    }

    fn dial(&mut self, poll: &Poll) -> io::Result<()> {
        let (_, service, _) = self.name;
        let port = if self.tries.is_multiple_of(2) { PORT } else { service.port() };
        let mut tcp = TcpStream::connect(SocketAddr::new(service.ip(), port))?;
        poll.registry().register(&mut tcp, ANY, Interest::READABLE | Interest::WRITABLE)?;
        let name = ServerName::IpAddress(service.ip().into());
        let tls = ClientConnection::new(Arc::clone(&self.config), name).map_err(io::Error::other)?;
        let waiting = core::mem::take(&mut self.waiting);
        self.line = Some(Line::new(tcp, tls.into(), waiting)?);
        Ok(())
    }
}

fn run(mut poll: Poll, tunnels: &Mutex<Vec<Tunnel>>, stop: &AtomicBool) {
    let mut events = Events::with_capacity(64);
    let mut scratch = scratch();
    let mut wait = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        match poll.poll(&mut events, Some(wait.min(LOOK))) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
        let mut tunnels = tunnels.lock().unwrap_or_else(PoisonError::into_inner);
        let dues = tunnels.iter_mut().filter_map(|tunnel| tunnel.work(&poll, &mut scratch));
        let now = clock::now();
        wait = dues.min().map_or(LOOK, |due| if due <= now { Duration::ZERO } else { clock::until(due) });
    }
}
