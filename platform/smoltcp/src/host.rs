//! One session at a time, as the side that answers: a camera or a display adapter without an operating system.

use core::net::SocketAddr;

use rift::{
    CloseReason, Config, Ecn, Endpoint, Established, Event, Guest, Handshake, Instant, Memory, Opening,
    PathId, Permissions, PictureStore, PublicKey, Route, Session, SessionIndex,
};
use smoltcp::phy::Device;

use crate::network::Network;
use crate::{RECEIVES_PER_TURN, ROUNDS_MAX, not_before};

/// The only session's number.
const ONLY: SessionIndex = SessionIndex(0);
/// Bytes of the longest answer to somebody who has no session.
const REPLY_LEN: usize = rift::limits::REPLY_MAX;

/// What becomes of a peer that has proven its key.
#[derive(Debug)]
pub enum Decision<M> {
    /// It gets the session.
    Admit {
        /// How the session is set up.
        config: Config,
        /// The session's memory; comes back with [`HostApplication::closed`].
        memory: M,
        /// What the peer may do.
        permissions: Permissions,
    },
    /// It is told why it gets none, and forgotten.
    Refuse(CloseReason),
}

/// What a host does with its session. Nothing here may block.
pub trait HostApplication<M: Memory, H: Handshake> {
    /// Where the pictures lie that the session is given.
    type Pictures: PictureStore;

    /// Where the pictures lie.
    fn pictures(&self) -> &Self::Pictures;

    /// The answering side of a new handshake, from the host's identity, fresh entropy and `opening`.
    fn responder(&mut self, opening: Opening) -> H;

    /// A peer has proven that `peer` is its key. Not called while there is a session: others are told that it is busy.
    fn established(&mut self, now: Instant, peer: PublicKey, from: SocketAddr) -> Decision<M>;

    /// Something happened in the session. [`Event::Closed`] is the last. Commands are acted on in the same turn. On
    /// [`Event::EntropyWanted`] the session must be given some.
    fn event(&mut self, now: Instant, session: &mut Session<M, H>, event: Event);

    /// The session is gone and its last datagrams have left.
    fn closed(&mut self, memory: M);
}

/// Counters of what concerned no session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostStats {
    /// Sessions that began.
    pub sessions_opened: u64,
    /// Peers with a proven key that were not let in, for want of room too.
    pub refused: u64,
    /// Datagrams that belong to no session and no handshake, or contradict their format.
    pub discarded: u64,
}

/// Drives a host's session; see the module.
pub struct HostDriver<D: Device, M: Memory, H: Handshake> {
    network: Network<D>,
    endpoint: Endpoint<H>,
    guest: Option<Guest<M, H>>,
    stats: HostStats,
}

impl<D: Device, M: Memory, H: Handshake> HostDriver<D, M, H> {
    /// A driver for the host whose key is `identity`, on the network's socket. `secret` is 32 bytes of entropy that make
    /// connection ids unpredictable.
    #[must_use]
    pub fn new(network: Network<D>, identity: &PublicKey, secret: [u8; 32]) -> Self {
        Self { network, endpoint: Endpoint::new(identity, secret), guest: None, stats: HostStats::default() }
    }

    /// The session, while there is one. What it is told to do is done in the next turn.
    pub fn session(&mut self) -> Option<&mut Session<M, H>> {
        self.guest.as_mut().map(|guest| &mut guest.session)
    }

    /// The interface.
    pub const fn network(&mut self) -> &mut Network<D> {
        &mut self.network
    }

    /// Counters of what concerned no session.
    #[must_use]
    pub const fn stats(&self) -> HostStats {
        self.stats
    }

    /// Takes what came, tells what happened, sends what is due. Returns when to be called again at the latest; a frame or
    /// a command to the session is a reason to call earlier.
    pub fn turn<A: HostApplication<M, H>>(&mut self, now: Instant, host: &mut A) -> Option<Instant> {
        self.network.service(now);
        for _ in 0..RECEIVES_PER_TURN {
            if !self.receive(now, host) {
                break;
            }
        }
        if let Some(guest) = &mut self.guest {
            guest.session.handle_timeout(now);
        }
        self.tell(now, host);
        for _ in 0..ROUNDS_MAX {
            self.transmit(now, host);
            if !self.tell(now, host) {
                break;
            }
        }
        if let Some(guest) = self.guest.take_if(|guest| guest.is_told && guest.session.is_closed()) {
            self.endpoint.release(ONLY);
            host.closed(guest.session.into_memory());
        }
        let network_due = self.network.service(now);
        let session = self.guest.as_ref().and_then(|guest| guest.session.poll_timeout());
        let session_due = not_before(session.map(|(due, _)| due), now);
        [network_due, session_due].into_iter().flatten().min()
    }

    fn receive<A: HostApplication<M, H>>(&mut self, now: Instant, host: &mut A) -> bool {
        let Some((from, datagram)) = self.network.receive() else { return false };
        let mut reply = [0; REPLY_LEN];
        match self.endpoint.handle_datagram(
            now,
            from,
            datagram,
            |opening| host.responder(opening),
            &mut reply,
        ) {
            Ok(Route::Session(_)) => {
                if let Some(guest) = &mut self.guest {
                    let path = guest.path_to(from);
                    // Discards are counted by the session.
                    let _ = guest.session.handle_datagram(now, path, now, Ecn::NotEct, datagram);
                    self.tell(now, host);
                }
            }
            // Somebody without a session waits for nobody: who hears no answer asks again.
            Ok(Route::Reply(len)) => {
                self.network.outbox.put(from, &reply[..len]);
            }
            Ok(Route::Established(established)) => self.welcome(now, host, from, established),
            Err(_) => self.stats.discarded += 1,
        }
        true
    }

    fn welcome<A: HostApplication<M, H>>(
        &mut self,
        now: Instant,
        host: &mut A,
        from: SocketAddr,
        established: Established,
    ) {
        let decision = if self.guest.is_some() {
            Decision::Refuse(CloseReason::Busy)
        } else {
            host.established(now, established.peer(), from)
        };
        match decision {
            Decision::Refuse(reason) => {
                let mut farewell = [0; REPLY_LEN];
                let len = self.endpoint.refuse(established, reason, &mut farewell);
                self.stats.refused += 1;
                self.network.outbox.put(from, &farewell[..len]);
            }
            Decision::Admit { config, memory, permissions } => {
                let is_adopted = self.endpoint.adopt(established.connection(), ONLY);
                debug_assert!(is_adopted, "an endpoint has room for one session");
                let mut session = Session::from_established(&config, established, memory, PathId(0), now);
                session.admit(now, permissions & session.wanted());
                self.guest = Some(Guest::new(session, from));
                self.stats.sessions_opened += 1;
            }
        }
    }

    /// Whether anything happened.
    fn tell<A: HostApplication<M, H>>(&mut self, now: Instant, host: &mut A) -> bool {
        let Some(guest) = &mut self.guest else { return false };
        let mut any = false;
        if guest.session.wants_connections() {
            self.endpoint.tend(ONLY, &mut guest.session);
            any = true;
        }
        while let Some(event) = guest.session.poll_event() {
            guest.is_told |= matches!(event, Event::Closed(_));
            if event == Event::Live
                && let Some(peer) = guest.session.peer()
            {
                let token = self.endpoint.make_token(now, &peer, guest.address());
                guest.session.offer_token(token);
            }
            host.event(now, &mut guest.session, event);
            any = true;
        }
        any
    }

    fn transmit<A: HostApplication<M, H>>(&mut self, now: Instant, host: &A) {
        while self.network.flush()
            && let Some(guest) = &mut self.guest
            && let Some(room) = self.network.outbox.room()
            && let Some(transmit) = guest.session.poll_transmit(now, host.pictures(), room)
        {
            self.network.outbox.fill(guest.place(transmit.path), &transmit);
        }
    }
}

impl<D: Device, M: Memory, H: Handshake> core::fmt::Debug for HostDriver<D, M, H> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("HostDriver")
            .field("network", &self.network)
            .field("has_session", &self.guest.is_some())
            .finish_non_exhaustive()
    }
}
