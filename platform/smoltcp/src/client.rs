//! One session, as the side that asks.

use core::net::SocketAddr;

use rift::{Ecn, Event, Handshake, Instant, Memory, NoPictures, PathId, Session};
use smoltcp::phy::Device;

use crate::network::Network;
use crate::{RECEIVES_PER_TURN, ROUNDS_MAX, not_before};

/// Drives a client's session.
///
/// ```text
/// let mut driver = ClientDriver::connect(network, host, session);
/// while !driver.session().is_closed() {
///     let due = driver.turn(clock(), &mut |session, event| …);
///     // commands: driver.session().send_input(…)
///     sleep_until_or_interrupt(due);
/// }
/// ```
pub struct ClientDriver<D: Device, M: Memory, H: Handshake> {
    network: Network<D>,
    session: Session<M, H>,
    remote: SocketAddr,
}

impl<D: Device, M: Memory, H: Handshake> ClientDriver<D, M, H> {
    /// A driver for `session`, made with [`Session::connect`] on `PathId(0)`, whose host is at `remote`. Nothing is sent
    /// before the first [`Self::turn`].
    #[must_use]
    pub const fn connect(network: Network<D>, remote: SocketAddr, session: Session<M, H>) -> Self {
        Self { network, session, remote }
    }

    /// The session. What it is told to do is done in the next turn.
    pub const fn session(&mut self) -> &mut Session<M, H> {
        &mut self.session
    }

    /// The interface.
    pub const fn network(&mut self) -> &mut Network<D> {
        &mut self.network
    }

    /// Gives both back. What had not left yet is forgotten.
    #[must_use]
    pub fn into_parts(mut self) -> (Network<D>, Session<M, H>) {
        self.network.outbox.clear();
        (self.network, self.session)
    }

    /// Takes what came, tells what happened, sends what is due. Returns when to be called again at the latest; a frame or
    /// a command to the session is a reason to call earlier.
    pub fn turn(
        &mut self,
        now: Instant,
        on_event: &mut dyn FnMut(&mut Session<M, H>, Event),
    ) -> Option<Instant> {
        self.network.service(now);
        for _ in 0..RECEIVES_PER_TURN {
            let Some((from, datagram)) = self.network.receive() else { break };
            if from == self.remote {
                // Discards are counted by the session.
                let _ = self.session.handle_datagram(now, PathId(0), now, Ecn::NotEct, datagram);
                tell(&mut self.session, on_event);
            }
        }
        self.session.handle_timeout(now);
        tell(&mut self.session, on_event);
        for _ in 0..ROUNDS_MAX {
            self.transmit(now);
            if !tell(&mut self.session, on_event) {
                break;
            }
        }
        let network_due = self.network.service(now);
        let session_due = not_before(self.session.poll_timeout().map(|(due, _)| due), now);
        [network_due, session_due].into_iter().flatten().min()
    }

    fn transmit(&mut self, now: Instant) {
        while self.network.flush()
            && let Some(room) = self.network.outbox.room()
            && let Some(transmit) = self.session.poll_transmit(now, &NoPictures, room)
        {
            self.network.outbox.fill(self.remote, &transmit);
        }
    }
}

/// Whether anything happened.
fn tell<M: Memory, H: Handshake>(
    session: &mut Session<M, H>,
    on_event: &mut dyn FnMut(&mut Session<M, H>, Event),
) -> bool {
    let mut any = false;
    while let Some(event) = session.poll_event() {
        on_event(session, event);
        any = true;
    }
    any
}

impl<D: Device, M: Memory, H: Handshake> core::fmt::Debug for ClientDriver<D, M, H> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ClientDriver")
            .field("session", &self.session)
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}
