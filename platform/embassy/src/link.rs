//! A UDP socket as a session needs it: datagrams in, batches out, and one wait for everything.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::ops::Range;

use embassy_futures::select::{Either, Either4, select, select4};
use embassy_net::udp::{SendError, UdpMetadata, UdpSocket};
use embassy_time::Timer;
use rift::{Instant, Transmit};

/// Bytes of each buffer: a batch of two datagrams of an Ethernet without jumbo frames.
const SCRATCH_LEN: usize = 3000;

/// Where datagrams lie on their way between the stack and a session. May be a static.
#[derive(Debug)]
pub struct Scratch {
    incoming: [u8; SCRATCH_LEN / 2],
    outgoing: [u8; SCRATCH_LEN],
}

impl Scratch {
    /// Empty buffers.
    #[must_use]
    pub const fn new() -> Self {
        Self { incoming: [0; SCRATCH_LEN / 2], outgoing: [0; SCRATCH_LEN] }
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

/// The time that sessions are given: since the epoch of embassy-time.
#[must_use]
pub fn now() -> Instant {
    Instant::from_micros(embassy_time::Instant::now().as_micros())
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// The socket, or time.
    Driver,
    /// What the caller had waited for as well.
    Application,
}

/// See the module.
pub(crate) struct Link<'a, 's> {
    socket: &'a UdpSocket<'s>,
    incoming: &'a mut [u8],
    outgoing: &'a mut [u8],
    /// What is left of the batch in `outgoing`.
    left: Range<usize>,
    segment: usize,
    to: SocketAddr,
}

impl<'a, 's> Link<'a, 's> {
    pub(crate) fn new(socket: &'a UdpSocket<'s>, scratch: &'a mut Scratch) -> Self {
        let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        let Scratch { incoming, outgoing } = scratch;
        Self { socket, incoming, outgoing, left: 0..0, segment: 1, to: nowhere }
    }

    /// The next datagram that came, and who sent it; `None` when there is none now.
    pub(crate) async fn receive(&mut self) -> Option<(SocketAddr, &mut [u8])> {
        while self.socket.may_recv() {
            // Something is there, so this does not wait. What is too long for the buffer is no session's.
            if let Ok((len, UdpMetadata { endpoint, .. })) = self.socket.recv_from(self.incoming).await {
                return Some((
                    SocketAddr::new(endpoint.addr.into(), endpoint.port),
                    &mut self.incoming[..len],
                ));
            }
        }
        None
    }

    /// Where the next batch is written; `None` while one waits.
    pub(crate) fn room(&mut self) -> Option<&mut [u8]> {
        self.left.is_empty().then_some(&mut *self.outgoing)
    }

    /// What was written into [`Self::room`] is a batch for `to`.
    pub(crate) fn fill(&mut self, to: SocketAddr, transmit: &Transmit) {
        self.left = 0..transmit.len.min(self.outgoing.len());
        self.segment = transmit.segment.map_or(transmit.len, usize::from).max(1);
        self.to = to;
    }

    /// One datagram for `to`, when nothing waits: who hears no answer asks again.
    pub(crate) fn put(&mut self, to: SocketAddr, datagram: &[u8]) {
        if let Some(place) = self.room().and_then(|room| room.get_mut(..datagram.len())) {
            place.copy_from_slice(datagram);
            (self.left, self.segment, self.to) = (0..datagram.len(), datagram.len().max(1), to);
        }
    }

    /// Gives the socket what waits, as far as there is room. Whether nothing waits any more.
    pub(crate) async fn flush(&mut self) -> bool {
        while !self.left.is_empty() {
            let next = self.next();
            let sending = send(self.socket, &self.outgoing[next.clone()], self.to);
            // The first future is looked at first: what can be sent is sent, and the second never waits.
            match select(sending, core::future::ready(())).await {
                Either::First(
                    Ok(()) | Err(SendError::NoRoute | SendError::SocketNotBound | SendError::PacketTooLarge),
                ) => {}
                Either::Second(()) => return false,
            }
            self.left.start = next.end;
        }
        true
    }

    /// Sleeps until a datagram is there, `due`, room for what waits, or `other` ends.
    pub(crate) async fn wait(&mut self, due: Option<Instant>, other: impl Future<Output = ()>) -> Woken {
        let deadline = async {
            match due {
                Some(due) => Timer::at(embassy_time::Instant::from_micros(due.as_micros())).await,
                None => core::future::pending().await,
            }
        };
        let next = self.next();
        // Sent here and not only waited for: a socket calls itself ready when it has room for any datagram, and this one may
        // need more.
        let sending = async {
            if next.is_empty() {
                core::future::pending::<()>().await;
            }
            let _ = send(self.socket, &self.outgoing[next.clone()], self.to).await;
        };
        // The first that is ready counts. A socket or a session may be ready each time, and is served whatever ended the wait;
        // the caller is heard only here.
        match select4(other, self.socket.wait_recv_ready(), deadline, sending).await {
            Either4::First(()) => Woken::Application,
            Either4::Second(()) | Either4::Third(()) => Woken::Driver,
            Either4::Fourth(()) => {
                self.left.start = next.end;
                Woken::Driver
            }
        }
    }

    /// Where the next datagram of the batch lies.
    fn next(&self) -> Range<usize> {
        self.left.start..(self.left.start + self.segment).min(self.left.end)
    }
}

/// When to act again on a deadline that was due already when everything was last polled: a session that asks for the past
/// must not make the loop spin.
pub(crate) fn not_before(due: Option<Instant>, polled_at: Instant) -> Option<Instant> {
    const PAUSE_US: u64 = 500;
    due.map(|due| if due <= polled_at { polled_at.plus_micros(PAUSE_US) } else { due })
}

/// Sends one datagram as soon as the socket has room for it. An address that this stack has no words for has no route.
async fn send(socket: &UdpSocket<'_>, datagram: &[u8], to: SocketAddr) -> Result<(), SendError> {
    #[cfg(feature = "ipv6")]
    return socket.send_to(datagram, (to.ip(), to.port())).await;
    #[cfg(not(feature = "ipv6"))]
    match to {
        SocketAddr::V4(to) => socket.send_to(datagram, (*to.ip(), to.port())).await,
        SocketAddr::V6(_) => Err(SendError::NoRoute),
    }
}
