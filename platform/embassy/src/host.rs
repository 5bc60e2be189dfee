//! One session at a time, as the side that answers: a camera or a display adapter without an operating system.

use core::net::SocketAddr;

use embassy_net::udp::UdpSocket;
use rift::{
    CloseReason, Config, Ecn, Endpoint, Established, Event, Guest, Handshake, Instant, Memory, Opening,
    PathId, Permissions, PictureStore, PublicKey, Route, Session, SessionIndex,
};

use crate::link::{Link, Scratch, Woken, not_before, now};
use crate::{RECEIVES_PER_ROUND, ROUNDS_MAX};

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

    /// Something happened in the session. [`Event::Closed`] is the last. Commands are acted on at once. On
    /// [`Event::EntropyWanted`] the session must be given some.
    fn event(&mut self, now: Instant, session: &mut Session<M, H>, event: Event);

    /// The session is gone and its last datagrams have been given to the stack.
    fn closed(&mut self, memory: M);

    /// Ends when [`Self::command`] is to be called: a picture is there, a time has come. It is dropped and called anew many
    /// times, so what it waits for must not be lost by that: wait until a time, not for a while.
    fn wanted(&mut self) -> impl Future<Output = ()>;

    /// Tells the session what there is to tell; `None` while there is no session.
    fn command(&mut self, now: Instant, session: Option<&mut Session<M, H>>);
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

/// A host's session and what comes before it. Kept by the caller, as it is too large for a stack of a board.
pub struct HostDriver<M: Memory, H: Handshake> {
    endpoint: Endpoint<H>,
    guest: Option<Guest<M, H>>,
    stats: HostStats,
}

impl<M: Memory, H: Handshake> HostDriver<M, H> {
    /// A driver for the host whose key is `identity`. `secret` is 32 bytes of entropy that make connection ids
    /// unpredictable.
    #[must_use]
    pub fn new(identity: &PublicKey, secret: [u8; 32]) -> Self {
        Self { endpoint: Endpoint::new(identity, secret), guest: None, stats: HostStats::default() }
    }

    /// Counters of what concerned no session.
    #[must_use]
    pub const fn stats(&self) -> HostStats {
        self.stats
    }
}

impl<M: Memory, H: Handshake> core::fmt::Debug for HostDriver<M, H> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("HostDriver")
            .field("endpoint", &self.endpoint)
            .field("has_session", &self.guest.is_some())
            .finish_non_exhaustive()
    }
}

/// Serves one guest after the other on `socket`, which is bound. Never ends; dropping it silences the host, and running it
/// again with the same driver goes on.
pub async fn run_host<M: Memory, H: Handshake>(
    socket: &UdpSocket<'_>,
    driver: &mut HostDriver<M, H>,
    scratch: &mut Scratch,
    application: &mut impl HostApplication<M, H>,
) -> ! {
    let mut host = Host { link: Link::new(socket, scratch), driver, application };
    let mut woken = Woken::Driver;
    loop {
        let time = now();
        let session = host.driver.guest.as_mut().map(|guest| &mut guest.session);
        if woken == Woken::Application {
            host.application.command(time, session);
        }
        host.receive(time).await;
        if let Some(guest) = &mut host.driver.guest {
            guest.session.handle_timeout(time);
        }
        host.tell(time);
        for _ in 0..ROUNDS_MAX {
            host.transmit(time).await;
            if !host.tell(time) {
                break;
            }
        }
        host.bid_farewell();
        let session = host.driver.guest.as_ref().and_then(|guest| guest.session.poll_timeout());
        let due = not_before(session.map(|(due, _)| due), time);
        woken = host.link.wait(due, host.application.wanted()).await;
    }
}

struct Host<'a, 's, M: Memory, H: Handshake, A> {
    link: Link<'a, 's>,
    driver: &'a mut HostDriver<M, H>,
    application: &'a mut A,
}

impl<M: Memory, H: Handshake, A: HostApplication<M, H>> Host<'_, '_, M, H, A> {
    async fn receive(&mut self, time: Instant) {
        for _ in 0..RECEIVES_PER_ROUND {
            let Some((from, datagram)) = self.link.receive().await else { return };
            let mut reply = [0; REPLY_LEN];
            let responder = |opening| self.application.responder(opening);
            match self.driver.endpoint.handle_datagram(time, from, datagram, responder, &mut reply) {
                Ok(Route::Session(_)) => {
                    if let Some(guest) = &mut self.driver.guest {
                        let path = guest.path_to(from);
                        // Discards are counted by the session.
                        let _ = guest.session.handle_datagram(time, path, time, Ecn::NotEct, datagram);
                        self.tell(time);
                    }
                }
                Ok(Route::Reply(len)) => self.link.put(from, &reply[..len]),
                Ok(Route::Established(established)) => self.welcome(time, from, established),
                Err(_) => self.driver.stats.discarded += 1,
            }
        }
    }

    fn welcome(&mut self, time: Instant, from: SocketAddr, established: Established) {
        let decision = if self.driver.guest.is_some() {
            Decision::Refuse(CloseReason::Busy)
        } else {
            self.application.established(time, established.peer(), from)
        };
        match decision {
            Decision::Refuse(reason) => {
                let mut farewell = [0; REPLY_LEN];
                let len = self.driver.endpoint.refuse(established, reason, &mut farewell);
                self.driver.stats.refused += 1;
                self.link.put(from, &farewell[..len]);
            }
            Decision::Admit { config, memory, permissions } => {
                let is_adopted = self.driver.endpoint.adopt(established.connection(), ONLY);
                debug_assert!(is_adopted, "an endpoint has room for one session");
                let mut session = Session::from_established(&config, established, memory, PathId(0), time);
                session.admit(time, permissions & session.wanted());
                self.driver.guest = Some(Guest::new(session, from));
                self.driver.stats.sessions_opened += 1;
            }
        }
    }

    /// Whether anything happened.
    fn tell(&mut self, time: Instant) -> bool {
        let Some(guest) = &mut self.driver.guest else { return false };
        let mut any = false;
        if guest.session.wants_connections() {
            self.driver.endpoint.tend(ONLY, &mut guest.session);
            any = true;
        }
        while let Some(event) = guest.session.poll_event() {
            guest.is_told |= matches!(event, Event::Closed(_));
            if event == Event::Live
                && let Some(peer) = guest.session.peer()
            {
                let token = self.driver.endpoint.make_token(time, &peer, guest.address());
                guest.session.offer_token(token);
            }
            self.application.event(time, &mut guest.session, event);
            any = true;
        }
        any
    }

    async fn transmit(&mut self, time: Instant) {
        while self.link.flush().await
            && let Some(guest) = &mut self.driver.guest
            && let Some(room) = self.link.room()
            && let Some(transmit) = guest.session.poll_transmit(time, self.application.pictures(), room)
        {
            self.link.fill(guest.place(transmit.path), &transmit);
        }
    }

    fn bid_farewell(&mut self) {
        let is_over = |guest: &mut Guest<M, H>| guest.is_told && guest.session.is_closed();
        if let Some(guest) = self.driver.guest.take_if(is_over) {
            self.driver.endpoint.release(ONLY);
            self.application.closed(guest.session.into_memory());
        }
    }
}
