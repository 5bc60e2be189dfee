//! A UDP socket with what the kernel offers: batches both ways, arrival times, DSCP and ECN.
//!
//! It knows addresses and classes, nothing of sessions. No error of the network is an error of the socket: what could
//! not be sent is counted, as the protocol lives with loss anyway.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use quinn_udp::UdpSocketState;
use rift::wire::relay::LEASE_TAG_LEN;
use rift::{Class, Ecn, Instant, Transmit};
use socket2::{Domain, Protocol, SockAddr, SockRef, Type};

use crate::clock::Clock;
use crate::control::{self, Control, Notes};
use crate::meet::way;
use crate::outbox::{Blocked, Wire};
use crate::sys::{self, Letter};

/// Bytes of one receive buffer: what a batch of the kernel can have, and some more, since buffers a power of two apart would
/// share the few lines of a processor's cache.
pub(crate) const RECEIVE_LEN: usize = 65_536 + 33 * 64;
/// Batches taken by one system call.
const RECEIVE_BATCHES: usize = 8;

/// The DSCP that datagrams of a class carry: expedited forwarding (RFC 3246), assured forwarding 41 (RFC 2597),
/// class selector 1, lower than best effort (RFC 4594 §4.10).
#[must_use]
pub const fn dscp(class: Class) -> u8 {
    match class {
        Class::Realtime => 46,
        Class::Media => 34,
        Class::Bulk => 8,
    }
}

/// How a socket is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketConfig {
    /// Bytes of the kernel's receive buffer to ask for.
    pub receive_buffer: usize,
    /// Bytes of the kernel's send buffer to ask for.
    pub send_buffer: usize,
    /// Whether a socket bound to `[::]` takes IPv4 as well.
    pub dual_stack: bool,
    /// Whether a client whose host has fallen silent, or whose route has changed, goes on from another socket. Hosts that
    /// know one address of a client (`rift-smoltcp`, `rift-embassy`) lose it then.
    pub roams: bool,
    /// Whether several sockets may be bound to one address, among which the kernel spreads senders (`SO_REUSEPORT`).
    pub shares_port: bool,
}

impl Default for SocketConfig {
    /// 4 MiB each way: 300 ms at 100 Mbit/s; IPv4 as well; clients roam.
    fn default() -> Self {
        Self {
            receive_buffer: 4 << 20,
            send_buffer: 4 << 20,
            dual_stack: true,
            roams: true,
            shares_port: false,
        }
    }
}

/// Where datagrams go, and from which of this machine's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The peer.
    pub to: SocketAddr,
    /// The address the peer knows; `None` = the kernel chooses.
    pub source: Option<IpAddr>,
}

/// What has gone through a socket, and what has gone wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketStats {
    /// Datagrams given to the kernel.
    pub datagrams_sent: u64,
    /// System calls that took them.
    pub sends: u64,
    /// Datagrams received.
    pub datagrams_received: u64,
    /// Batches they came in.
    pub batches_received: u64,
    /// Times the kernel had no room and asked to wait.
    pub blocked: u64,
    /// `ECONNREFUSED`: nobody listens at the peer's port.
    pub refused: u64,
    /// `EMSGSIZE`: longer than the path takes.
    pub too_large: u64,
    /// `ENOBUFS`, `ENOMEM`: a queue was full.
    pub no_buffers: u64,
    /// Any other error of the network, such as no route.
    pub failed: u64,
}

/// Datagrams as they came, all from one peer.
#[derive(Debug)]
pub struct Received<'a> {
    /// The peer. IPv4 peers have IPv4 addresses, whatever the socket.
    pub from: SocketAddr,
    /// Which of this machine's addresses they were sent to, if the kernel said so.
    pub local: Option<IpAddr>,
    /// When the kernel had them; on a socket that does not tell, when they were taken.
    pub received_at: Instant,
    /// What the network wrote on them.
    pub ecn: Ecn,
    /// One datagram after the other.
    pub bytes: &'a mut [u8],
    /// Bytes of each; the last may be shorter.
    pub stride: usize,
}

/// A UDP socket; see the module.
#[derive(Debug)]
pub struct Socket {
    pub(crate) sender: Sender,
    clock: Clock,
    receive_buffer: usize,
    send_buffer: usize,
    pub(crate) buffers: Vec<u8>,
    /// As many as there are buffers: [`RECEIVE_BATCHES`], or more on a socket with a thread of its own.
    pub(crate) letters: Vec<Letter>,
    /// Whether the kernel notes when datagrams came.
    pub(crate) tells_arrivals: bool,
}

/// The half that sends: used while what was received is still looked at.
#[derive(Debug)]
pub struct Sender {
    pub(crate) socket: socket2::Socket,
    pub(crate) local: SocketAddr,
    /// The one peer of a connected socket.
    peer: Option<SocketAddr>,
    /// Whether the kernel still cuts batches for us.
    is_segmenting: bool,
    /// The newest datagram that was too long for the interface: for whom, and how long.
    pub(crate) too_long: Option<(SocketAddr, u16)>,
    /// Ways through relays: the tags of their leases, and where the relays are.
    pub(crate) ways: Vec<([u8; LEASE_TAG_LEN], SocketAddr)>,
    /// Where datagrams are put into envelopes.
    pub(crate) envelopes: Vec<u8>,
    stats: SocketStats,
}

impl Socket {
    /// Opens a socket on `address`. Buffers may turn out smaller than asked for: see [`Self::receive_buffer`].
    ///
    /// # Errors
    /// The system's, when the address is in use or not of this machine.
    pub fn bind(config: &SocketConfig, address: SocketAddr) -> io::Result<Self> {
        let socket = socket2::Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(!config.dual_stack)?;
        }
        if config.shares_port {
            socket.set_reuse_port(true)?;
        }
        grow(&socket, config);
        socket.bind(&address.into())?;
        // Sets the socket to non-blocking, reception of ECN, arrival times, addresses and batches, and no fragmenting.
        // Reception itself is ours: quinn-udp 0.6 has 96 bytes for control messages, and with an arrival time, an
        // address and a batch in them the ECN no longer fits.
        let options = UdpSocketState::new((&socket).into())?;
        let local = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self {
            receive_buffer: socket.recv_buffer_size()?,
            send_buffer: socket.send_buffer_size()?,
            sender: Sender {
                socket,
                local,
                peer: None,
                is_segmenting: options.max_gso_segments() > 1,
                too_long: None,
                ways: Vec::new(),
                envelopes: Vec::new(),
                stats: SocketStats::default(),
            },
            clock: Clock::new(),
            buffers: vec![0; RECEIVE_LEN * RECEIVE_BATCHES],
            letters: vec![Letter::new(); RECEIVE_BATCHES],
            tells_arrivals: true,
        })
    }

    /// Opens a socket that exchanges datagrams with `peer` only, on a port of the system's choice.
    ///
    /// # Errors
    /// The system's, when there is no route to the peer.
    pub fn connect(config: &SocketConfig, peer: SocketAddr) -> io::Result<Self> {
        let any = match peer {
            SocketAddr::V4(_) => SocketAddr::from(([0; 4], 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let mut connected = Self::bind(config, any)?;
        let sender = &mut connected.sender;
        sender.socket.connect(&peer.into())?;
        sender.local = sender.socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        sender.peer = Some(peer);
        Ok(connected)
    }

    /// The address it is bound to.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.sender.local
    }

    /// Bytes of the kernel's receive buffer; the kernel counts its own overhead in it.
    #[must_use]
    pub const fn receive_buffer(&self) -> usize {
        self.receive_buffer
    }

    /// Bytes of the kernel's send buffer.
    #[must_use]
    pub const fn send_buffer(&self) -> usize {
        self.send_buffer
    }

    /// Whether batches leave as one.
    #[must_use]
    pub const fn is_segmenting(&self) -> bool {
        self.sender.is_segmenting
    }

    /// Counters.
    #[must_use]
    pub const fn stats(&self) -> SocketStats {
        self.sender.stats
    }

    /// Sends `bytes`, one datagram or several (see [`Transmit::segment`]), all with the class's DSCP and the ECN of
    /// `transmit`; its `path` and `len` are not looked at. A datagram the network refuses is counted and gone.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when the kernel has no room; part of a batch may have left. The drivers keep the
    /// rest until there is room; other callers may drop it.
    pub fn send(&mut self, destination: Destination, transmit: &Transmit, bytes: &[u8]) -> io::Result<()> {
        self.sender.send(destination, transmit, bytes)
    }

    /// Takes what has come, at most eight batches, and hands each to `take`. Returns how many there were; 0 = nothing
    /// waits any more.
    ///
    /// # Errors
    /// Only what means that the socket itself is unusable.
    pub fn receive(&mut self, mut take: impl FnMut(Received<'_>)) -> io::Result<usize> {
        self.receive_and_answer(|_, received| take(received))
    }

    /// Like [`Self::receive`], for who answers or sends on while what came is still looked at.
    ///
    /// # Errors
    /// Only what means that the socket itself is unusable.
    pub fn receive_and_answer(&mut self, take: impl FnMut(&mut Sender, Received<'_>)) -> io::Result<usize> {
        self.take_batches::<RECEIVE_BATCHES>(false, take)
    }

    /// At most `N` batches, which are as many as there are letters or fewer; with `waits` the first may be still to come.
    pub(crate) fn take_batches<const N: usize>(
        &mut self,
        waits: bool,
        mut take: impl FnMut(&mut Sender, Received<'_>),
    ) -> io::Result<usize> {
        let count = loop {
            let (socket, buffers) = (&self.sender.socket, &mut self.buffers);
            match sys::receive::<N>(socket, buffers, RECEIVE_LEN, &mut self.letters, waits) {
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
                Err(error) if is_fatal(&error) => return Err(error),
                // An answer of the network to something sent before. It is told once, then reception goes on.
                Err(error) => self.sender.stats.count(&error),
            }
        };
        let mapping = self.tells_arrivals.then(|| self.clock.realtime_mapping());
        let taken_at = self.clock.now();
        let parts = self.buffers.chunks_exact_mut(RECEIVE_LEN);
        for (letter, part) in self.letters.iter().zip(parts).take(count) {
            let Some(bytes) = part.get_mut(..letter.len).filter(|bytes| !bytes.is_empty()) else { continue };
            let Some(from) = control::address(&letter.name) else { continue };
            let notes = Notes::read(letter.control());
            let stride = notes.segment.unwrap_or(bytes.len()).clamp(1, bytes.len());
            self.sender.stats.batches_received += 1;
            self.sender.stats.datagrams_received += bytes.len().div_ceil(stride) as u64;
            let received = Received {
                from,
                local: notes.local,
                received_at: mapping
                    .zip(notes.received_at)
                    .map_or(taken_at, |(mapping, time)| mapping.map(time)),
                ecn: notes.ecn,
                bytes,
                stride,
            };
            take(&mut self.sender, received);
        }
        Ok(count)
    }

    /// The half that sends.
    pub const fn sender(&mut self) -> &mut Sender {
        &mut self.sender
    }
}

impl Sender {
    /// As [`Socket::send`].
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when the kernel has no room; part of a batch may have left.
    pub fn send(&mut self, destination: Destination, transmit: &Transmit, bytes: &[u8]) -> io::Result<()> {
        self.put(destination, transmit, bytes).map_err(|_| io::ErrorKind::WouldBlock.into())
    }

    /// The newest datagram that was too long for the interface, told once: for whom, and how long.
    pub(crate) const fn take_too_long(&mut self) -> Option<(SocketAddr, u16)> {
        self.too_long.take()
    }

    /// One system call.
    fn put_once(
        &mut self,
        destination: Destination,
        transmit: &Transmit,
        bytes: &[u8],
        segment: Option<u16>,
    ) -> io::Result<()> {
        let mut control = Control::new();
        let is_v4 = destination.to.ip().to_canonical().is_ipv4();
        control.type_of_service(is_v4, dscp(transmit.class) << 2 | transmit.ecn.bits());
        if let Some(segment) = segment {
            control.segment(segment);
        }
        let to = if self.peer.is_some() {
            None
        } else {
            if let Some(source) = destination.source {
                control.source(source);
            }
            Some(self.socket_address(destination.to))
        };
        loop {
            match sys::send(&self.socket, to.as_ref(), &mut control, bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result.map(drop),
            }
        }
    }

    /// An address in the family of the socket.
    fn socket_address(&self, address: SocketAddr) -> SockAddr {
        match address {
            SocketAddr::V4(v4) if self.local.is_ipv6() => {
                SockAddr::from(SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()))
            }
            SocketAddr::V4(_) | SocketAddr::V6(_) => SockAddr::from(address),
        }
    }

    /// Sends datagrams one by one; on `Err`, how many bytes had left.
    fn put_each(
        &mut self,
        destination: Destination,
        transmit: &Transmit,
        bytes: &[u8],
        segment: usize,
    ) -> Result<(), Blocked> {
        let mut left = 0;
        for datagram in bytes.chunks(segment.max(1)) {
            // An error of the network left behind by an earlier datagram is told by the next send, which then has not
            // happened: once more. What is told twice concerns this one.
            let mut told = None;
            for is_again in [false, true] {
                match self.put_once(destination, transmit, datagram, None) {
                    Ok(()) => {
                        self.stats.sends += 1;
                        self.stats.datagrams_sent += 1;
                        break;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.stats.blocked += 1;
                        return Err(Blocked { sent: left });
                    }
                    Err(error) => {
                        let code = error.raw_os_error();
                        // Told twice it is one refusal.
                        if told != Some(code) {
                            self.stats.count(&error);
                        }
                        told = Some(code);
                        if code == Some(libc::EMSGSIZE) && is_again {
                            let len = u16::try_from(datagram.len()).unwrap_or(u16::MAX);
                            self.too_long = Some((destination.to, len));
                        }
                        if !matches!(code, Some(libc::ECONNREFUSED | libc::EMSGSIZE)) {
                            break;
                        }
                    }
                }
            }
            left += datagram.len();
        }
        Ok(())
    }
}

impl Wire for Sender {
    fn put(&mut self, destination: Destination, transmit: &Transmit, bytes: &[u8]) -> Result<(), Blocked> {
        if let Some(tag) = way::tag(destination.to) {
            return self.put_relayed(tag, destination, transmit, bytes);
        }
        let batch = transmit.segment.filter(|&segment| usize::from(segment) < bytes.len());
        let Some(segment) = batch else {
            return self.put_each(destination, transmit, bytes, bytes.len());
        };
        if !self.is_segmenting {
            return self.put_each(destination, transmit, bytes, segment.into());
        }
        match self.put_once(destination, transmit, bytes, Some(segment)) {
            Ok(()) => {
                self.stats.sends += 1;
                self.stats.datagrams_sent += bytes.len().div_ceil(usize::from(segment)) as u64;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.stats.blocked += 1;
                Err(Blocked { sent: 0 })
            }
            Err(error) => {
                // The interface may not be able to, or the kernel; either way each datagram can go by itself. Only if
                // that succeeds was it the batch that was refused.
                let is_batch =
                    matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL | libc::EOPNOTSUPP));
                let sent_before = self.stats.datagrams_sent;
                if !is_batch {
                    self.stats.count(&error);
                }
                let result = self.put_each(destination, transmit, bytes, segment.into());
                self.is_segmenting &= !is_batch || self.stats.datagrams_sent == sent_before;
                result
            }
        }
    }
}

impl SocketStats {
    fn count(&mut self, error: &io::Error) {
        let counter = match error.raw_os_error() {
            Some(libc::ECONNREFUSED) => &mut self.refused,
            Some(libc::EMSGSIZE) => &mut self.too_large,
            Some(libc::ENOBUFS | libc::ENOMEM) => &mut self.no_buffers,
            Some(_) | None => &mut self.failed,
        };
        *counter += 1;
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.sender.socket.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.sender.socket.as_raw_fd()
    }
}

/// Asks for large buffers, by force where that is allowed.
fn grow(socket: &socket2::Socket, config: &SocketConfig) {
    // Less than asked for is no failure: a session works with any size, and what was got can be asked.
    if sys::force_buffer(socket, libc::SO_RCVBUFFORCE, config.receive_buffer).is_err() {
        let _ = SockRef::from(socket).set_recv_buffer_size(config.receive_buffer);
    }
    if sys::force_buffer(socket, libc::SO_SNDBUFFORCE, config.send_buffer).is_err() {
        let _ = SockRef::from(socket).set_send_buffer_size(config.send_buffer);
    }
}

/// Whether the socket itself is broken, which only a mistake here can bring about.
fn is_fatal(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EBADF | libc::ENOTSOCK | libc::EFAULT | libc::EINVAL) | None)
}
