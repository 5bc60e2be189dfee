//! Streams that peers open to a service: see [`Listener`].

use core::hash::{BuildHasher as _, Hasher as _};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::hash::RandomState;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use mio::net::{TcpListener, TcpStream, UdpSocket};
use mio::{Events, Interest, Poll, Token};
use rift::Identity;
use rustls::{ServerConfig, ServerConnection};

use crate::framing::Queue;
use crate::line::{Line, scratch};
use crate::{clock, pinned};

/// How many streams there may be, and how long each may do nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// All together; each takes at most 150 KiB and two files.
    pub streams: usize,
    /// Of one network: 24 bits of an IPv4 address, 56 of an IPv6 one.
    pub per_network: u32,
    /// For the handshake of TLS, and then for the first datagram that the service sends back: it is silent to strangers.
    pub proof: Duration,
    /// Without a datagram from the peer.
    pub idle: Duration,
}

impl Default for Limits {
    /// 384 streams, which fit the 1024 files of a unit, 32 of one network; 5 s to prove something, 90 s without a word.
    fn default() -> Self {
        Self { streams: 384, per_network: 32, proof: Duration::from_secs(5), idle: Duration::from_secs(90) }
    }
}

/// What a listener has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Streams there are.
    pub open: u64,
    /// Streams there were, these too.
    pub accepted: u64,
    /// Streams that there was no room for.
    pub refused: u64,
    /// Streams that proved nothing in time.
    pub unproven: u64,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    open: AtomicU64,
    accepted: AtomicU64,
    refused: AtomicU64,
    unproven: AtomicU64,
}

/// Takes streams for a service on this machine, on a thread of its own, until it is dropped.
///
/// The service sees each stream as an address of `127.0.0.0/8`: streams of one network share 24 bits of it, so that the service's limits for
/// networks hold for streams as they do for datagrams. Which bits is not to be guessed.
#[derive(Debug)]
pub struct Listener {
    shared: Arc<Shared>,
    waker: Arc<mio::Waker>,
    thread: Option<JoinHandle<()>>,
    address: SocketAddr,
}

const ACCEPT: Token = Token(0);
const WAKE: Token = Token(1);
const FIRST: usize = 2;
/// Streams taken in one turn.
const ACCEPTS_PER_TURN: usize = 64;
/// How often it is looked whose time is over.
const LOOK: Duration = Duration::from_millis(250);

impl Listener {
    /// Listens at `listen` for those who know `identity`'s public key, on behalf of the service at `service`, an address that it
    /// is bound to (unspecified = this machine's loopback).
    ///
    /// # Errors
    /// The system's: the port is taken or not permitted. [`io::ErrorKind::InvalidInput`] when the identity cannot be shown by TLS.
    pub fn start(
        identity: &Identity,
        listen: SocketAddr,
        service: SocketAddr,
        limits: Limits,
    ) -> io::Result<Self> {
        let config =
            pinned::server(identity).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let mut listener = bind(listen)?;
        let address = listener.local_addr()?;
        let poll = Poll::new()?;
        let waker = Arc::new(mio::Waker::new(poll.registry(), WAKE)?);
        poll.registry().register(&mut listener, ACCEPT, Interest::READABLE)?;
        let shared = Arc::new(Shared::default());
        let streams = Streams {
            poll,
            config,
            limits,
            service: reachable(service),
            hash: RandomState::new(),
            lines: Vec::new(),
            free: Vec::new(),
            networks: BTreeMap::new(),
            again: Vec::new(),
            shared: Arc::clone(&shared),
        };
        let thread = std::thread::Builder::new().name("streams".to_owned());
        let thread = thread.spawn(move || streams.run(&listener))?;
        Ok(Self { shared, waker, thread: Some(thread), address })
    }

    /// Where it listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// What it has counted.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let Shared { open, accepted, refused, unproven, .. } = &*self.shared;
        let [open, accepted, refused, unproven] =
            [open, accepted, refused, unproven].map(|count| count.load(Ordering::Relaxed));
        Counts { open, accepted, refused, unproven }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let _ = self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// IPv4 as well, where it listens at all of IPv6.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // A service that starts again does not wait for the streams of its earlier life.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(256)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Where a service that is bound to this is reached on its own machine. One bound to all of IPv6 takes IPv4, too.
fn reachable(service: SocketAddr) -> SocketAddr {
    if service.ip().is_unspecified() {
        SocketAddr::new(Ipv4Addr::LOCALHOST.into(), service.port())
    } else {
        SocketAddr::new(service.ip().to_canonical(), service.port())
    }
}

/// One stream and its socket towards the service.
#[derive(Debug)]
struct Entry {
    line: Line,
    udp: UdpSocket,
    network: [u8; 8],
}

#[derive(Debug)]
struct Streams {
    poll: Poll,
    config: Arc<ServerConfig>,
    limits: Limits,
    service: SocketAddr,
    hash: RandomState,
    lines: Vec<Option<Entry>>,
    free: Vec<usize>,
    networks: BTreeMap<[u8; 8], u32>,
    /// Lines that have more to do at once.
    again: Vec<usize>,
    shared: Arc<Shared>,
}

impl Streams {
    fn run(mut self, listener: &TcpListener) {
        let mut events = Events::with_capacity(256);
        let mut scratch = scratch();
        let (mut looked_at, mut accepts) = (clock::now(), true);
        while !self.shared.stop.load(Ordering::Relaxed) {
            let wait = if self.again.is_empty() && !accepts { LOOK } else { Duration::ZERO };
            match self.poll.poll(&mut events, Some(wait)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
            let mut due = core::mem::take(&mut self.again);
            for event in &events {
                match event.token() {
                    ACCEPT => accepts = true,
                    WAKE => {}
                    Token(token) => due.push((token - FIRST) / 2),
                }
            }
            due.sort_unstable();
            due.dedup();
            for place in due {
                self.pump(place, &mut scratch);
            }
            accepts = accepts && self.accept(listener, &mut scratch);
            if clock::now().duration_since(looked_at) >= LOOK {
                looked_at = clock::now();
                self.look();
                // One that there was no file for is asked for again.
                accepts = true;
            }
        }
    }

    /// Takes those who wait; whether there may be more of them.
    fn accept(&mut self, listener: &TcpListener, scratch: &mut [u8; 65_536]) -> bool {
        for _ in 0..ACCEPTS_PER_TURN {
            match listener.accept() {
                Ok((tcp, from)) => {
                    if let Some(place) = self.begin(tcp, from) {
                        self.shared.accepted.fetch_add(1, Ordering::Relaxed);
                        self.pump(place, scratch);
                    } else {
                        self.shared.refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
                // It may have gone again; or there are no files, and they come back.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(_) => return false,
            }
        }
        true
    }

    fn begin(&mut self, mut tcp: TcpStream, from: SocketAddr) -> Option<usize> {
        let network = network(from.ip());
        let there = self.networks.get(&network).copied().unwrap_or(0);
        let used = self.lines.len() - self.free.len();
        if there >= self.limits.per_network || used >= self.limits.streams {
            return None;
        }
        let mut udp = self.socket_for(network).ok()?;
        let tls = ServerConnection::new(Arc::clone(&self.config)).ok()?;
        let place = self.free.pop().unwrap_or_else(|| {
            self.lines.push(None);
            self.lines.len() - 1
        });
        let registry = self.poll.registry();
        let [stream, socket] = [0, 1].map(|which| Token(FIRST + 2 * place + which));
        let is_registered =
            registry.register(&mut tcp, stream, Interest::READABLE | Interest::WRITABLE).is_ok()
                && registry.register(&mut udp, socket, Interest::READABLE).is_ok();
        let line = Line::new(tcp, tls.into(), Queue::default()).ok().filter(|_| is_registered);
        let Some(line) = line else {
            self.free.push(place);
            return None;
        };
        self.networks.insert(network, there + 1);
        self.lines[place] = Some(Entry { line, udp, network });
        self.shared.open.fetch_add(1, Ordering::Relaxed);
        Some(place)
    }

    /// From an address of this machine that stands for this network.
    fn socket_for(&self, network: [u8; 8]) -> io::Result<UdpSocket> {
        let ip: IpAddr = if self.service.is_ipv4() {
            let mut hasher = self.hash.build_hasher();
            hasher.write(&network);
            let [a, b, ..] = hasher.finish().to_be_bytes();
            // Not 127.0.0, where others of this machine are.
            Ipv4Addr::new(127, a.max(1), b, 1).into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        let socket = UdpSocket::bind((ip, 0).into())?;
        socket.connect(self.service)?;
        Ok(socket)
    }

    fn pump(&mut self, place: usize, scratch: &mut [u8; 65_536]) {
        let Some(Some(entry)) = self.lines.get_mut(place) else { return };
        match entry.line.pump(&entry.udp, scratch) {
            Ok(true) => self.again.push(place),
            Ok(false) => {}
            Err(_) => self.end(place),
        }
    }

    fn end(&mut self, place: usize) {
        let Some(entry) = self.lines.get_mut(place).and_then(Option::take) else { return };
        self.free.push(place);
        if let Some(there) = self.networks.get_mut(&entry.network) {
            *there -= 1;
            if *there == 0 {
                self.networks.remove(&entry.network);
            }
        }
        self.shared.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Ends those whose time is over.
    fn look(&mut self) {
        let now = clock::now();
        for place in 0..self.lines.len() {
            let Some(entry) = &self.lines[place] else { continue };
            let line = &entry.line;
            let is_proven = line.is_open() && line.fed_at.is_some();
            let is_late = !is_proven && now.duration_since(line.began) >= self.limits.proof;
            if is_late {
                self.shared.unproven.fetch_add(1, Ordering::Relaxed);
            }
            if is_late || now.duration_since(line.heard_at) >= self.limits.idle {
                self.end(place);
            }
        }
    }
}

/// 24 bits of an IPv4 address, 56 of an IPv6 one, and which of both it is.
fn network(ip: IpAddr) -> [u8; 8] {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            [4, a, b, c, 0, 0, 0, 0]
        }
        IpAddr::V6(ip) => {
            let [a, b, c, d, e, f, g, ..] = ip.octets();
            [6, a, b, c, d, e, f, g]
        }
    }
}
