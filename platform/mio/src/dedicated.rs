//! A socket that a thread waits at for nothing else: one system call for each turn.
//!
//! It refuses to know of `epoll`: reception itself waits. Each control message costs as much as a part of the datagram it
//! comes with, so the kernel is asked for those alone that somebody reads.

use core::time::Duration;
use std::io;

use crate::Received;
use crate::socket::{RECEIVE_LEN, Sender, Socket};
use crate::sys::{self, Letter};

/// Batches taken by one system call: as many datagrams as leave by one (`UDP_MAX_SEGMENTS`).
const BATCHES: usize = 64;

/// A [`Socket`] with a thread of its own; see the module.
#[derive(Debug)]
pub struct DedicatedSocket {
    socket: Socket,
}

impl DedicatedSocket {
    /// Most batches that one turn takes; after as many, more may be there already.
    pub const BATCHES: usize = BATCHES;

    /// Waits at `socket` from now on, each time up to `wait`, which the kernel rounds up to its ticks. Arrival times are
    /// not told before [`Self::tell_arrivals`], and addresses of arrival only where the socket is bound to no address:
    /// otherwise there is but one.
    ///
    /// # Errors
    /// The system's.
    pub fn new(mut socket: Socket, wait: Duration) -> io::Result<Self> {
        let file = &socket.sender.socket;
        file.set_nonblocking(false)?;
        file.set_read_timeout(Some(wait))?;
        let local = socket.sender.local;
        if !local.ip().is_unspecified() {
            let (level, option) = if local.is_ipv4() {
                (libc::IPPROTO_IP, libc::IP_PKTINFO)
            } else {
                (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)
            };
            sys::set(file, level, option, 0)?;
        }
        socket.buffers.resize(RECEIVE_LEN * BATCHES, 0);
        socket.letters.resize(BATCHES, Letter::new());
        let mut socket = Self { socket };
        socket.tell_arrivals(false)?;
        Ok(socket)
    }

    /// Whether [`Received::received_at`] is the kernel's from now on, or when the turn began.
    ///
    /// # Errors
    /// The system's.
    pub fn tell_arrivals(&mut self, tells: bool) -> io::Result<()> {
        if tells != self.socket.tells_arrivals {
            let file = &self.socket.sender.socket;
            // The kernel goes on noting times, and is only asked not to tell: what has come already has one, too.
            sys::set(file, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, tells.into())?;
            self.socket.tells_arrivals = tells;
        }
        Ok(())
    }

    /// Waits for a batch, takes those that are there then and hands each to `take`. Returns how many there were; 0 = none
    /// came in time.
    ///
    /// # Errors
    /// Only what means that the socket itself is unusable.
    pub fn wait_and_answer(&mut self, take: impl FnMut(&mut Sender, Received<'_>)) -> io::Result<usize> {
        self.socket.take_batches::<BATCHES>(true, take)
    }

    /// The same, waiting up to `wait_ms` milliseconds, at the price of one more system call.
    ///
    /// # Errors
    /// Only what means that the socket itself is unusable.
    pub fn wait_shortly_and_answer(
        &mut self,
        wait_ms: u16,
        take: impl FnMut(&mut Sender, Received<'_>),
    ) -> io::Result<usize> {
        match sys::await_readable(&self.socket.sender.socket, wait_ms) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(0),
            result => result?,
        }
        self.socket.take_batches::<BATCHES>(false, take)
    }

    /// The half that sends. It does not wait.
    pub const fn sender(&mut self) -> &mut Sender {
        self.socket.sender()
    }
}
