//! Many sessions over one socket.
//!
//! The driver routes, serves and removes sessions; who gets in, with what memory and rights, and what pictures there
//! are is the application's to say, by [`HostApplication`].

use core::net::SocketAddr;
use std::io;

use rift::limits::{DATAGRAM_MAX, SESSIONS_MAX};
use rift::{
    CloseReason, Config, Endpoint, Event, Handshake, Identity, Instant, Memory, Opening, Permissions,
    PictureStore, PublicKey, Session, SessionIndex, Suite, Timer,
};

use crate::clock::Clock;
use crate::meet::{Callee, Enrolment, Gateway, GatewayPlace, Meeting};
use crate::outbox::{BATCH_LEN, Outbox};
use crate::poller::{Poller, Waker, not_before};
use crate::reception::Reception;
use crate::slot::Slot;
use crate::socket::{Socket, SocketConfig};
use crate::sys;

/// Receive calls of one turn: what is left waits for the next, so that sending is never starved.
const RECEIVES_PER_TURN: usize = 4;
/// Rounds of sending and telling before a wait: an application that answers every event with another cannot keep
/// the driver from the network.
const ROUNDS_MAX: usize = 8;
/// Bytes of the first batch of a turn, the longest datagram or a few usual ones; each further one may be twice as long.
/// While the rest of a picture is sealed the viewer wakes, and opens what has come.
const FIRST_BATCH_LEN: usize = DATAGRAM_MAX;
/// What becomes of a peer that has proven its key.
#[derive(Debug)]
pub enum Decision<M> {
    /// It gets a session.
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

/// What a host does with its sessions. Called from [`HostDriver::turn`], on its thread; nothing here may block.
pub trait HostApplication<M: Memory, H: Handshake> {
    /// Where the pictures lie that sessions were given.
    type Pictures: PictureStore;

    /// Where the pictures lie.
    fn pictures(&self) -> &Self::Pictures;

    /// The answering side of a new handshake, from the host's identity, fresh entropy and `opening`.
    fn responder(&mut self, opening: Opening) -> H;

    /// A peer has proven that `peer` is its key. Not called while all session places are taken.
    fn established(&mut self, now: Instant, peer: PublicKey, from: SocketAddr) -> Decision<M>;

    /// Like [`Self::established`], for a host that also looks at what the handshake rests on.
    fn established_by(
        &mut self,
        now: Instant,
        _suite: Suite,
        peer: PublicKey,
        from: SocketAddr,
    ) -> Decision<M> {
        self.established(now, peer, from)
    }

    /// A peer came through the pairing window, see [`HostDriver::set_pairing_window`]: how its session is set up and the
    /// memory for it, or `None` to refuse it. Whoever it is, its session is for pairing and is never admitted.
    fn stranger(&mut self, _now: Instant, _peer: PublicKey, _from: SocketAddr) -> Option<(Config, M)> {
        None
    }

    /// Something happened in a session. [`Event::Authenticated`] is the first of a session, [`Event::Closed`] the
    /// last; until [`Event::Live`] the session may be a recording's. Commands given to the session are acted on in the same turn.
    fn event(
        &mut self,
        now: Instant,
        index: SessionIndex,
        from: SocketAddr,
        session: &mut Session<M, H>,
        event: Event,
    );

    /// A session is gone, its last datagrams have left, and its index may be used again.
    fn closed(&mut self, index: SessionIndex, memory: M);
}

/// Counters of what concerned no session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostStats {
    /// Sessions that began.
    pub sessions_opened: u64,
    /// Sessions that ended.
    pub sessions_closed: u64,
    /// Peers with a proven key that were not let in, for want of room too.
    pub refused: u64,
    /// Datagrams that belong to no session and no handshake, or contradict their format.
    pub discarded: u64,
    /// Datagrams for a session from where its peer is not.
    pub misdirected: u64,
    /// Answers to strangers that were dropped because the socket had no room.
    pub replies_dropped: u64,
}

/// When something paced left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    /// When it was to leave.
    pub due: Instant,
    /// When the kernel had it.
    pub left: Instant,
}

impl Departure {
    /// How late it was, in microseconds.
    #[must_use]
    pub const fn late_us(&self) -> u64 {
        self.left.micros_since(self.due)
    }
}

/// Drives a host's sessions; see the module.
pub struct HostDriver<M: Memory, H: Handshake> {
    network: Network<H>,
    /// Session `i` stands at place `i`.
    slots: Vec<Option<Slot<M, H>>>,
    /// Whose turn it is to send pictures.
    next: usize,
    poller: Poller,
    /// The paced departure that was waited for last, until it has been.
    awaited: Option<Instant>,
    /// The latest of those nobody has asked for yet.
    departure: Option<Departure>,
    clock: Clock,
    stats: HostStats,
}

/// What is shared by all sessions.
struct Network<H> {
    socket: Socket,
    endpoint: Endpoint<H>,
    outbox: Outbox,
    /// How those find the host whom a gateway introduces.
    meeting: Option<Box<Meeting>>,
}

impl<M: Memory, H: Handshake> HostDriver<M, H> {
    /// A driver that listens at `address`, for the host whose key is `identity`. `secret` is 32 bytes of entropy that
    /// make connection ids unpredictable; a host that keeps them over restarts recognises the address tokens of its
    /// earlier life.
    ///
    /// # Errors
    /// The system's, when the address is in use or not of this machine.
    pub fn bind(address: SocketAddr, identity: &PublicKey, secret: [u8; 32]) -> io::Result<Self> {
        Self::bind_with(&SocketConfig::default(), address, identity, secret)
    }

    /// Like [`Self::bind`], with other buffers, or for IPv6 only.
    ///
    /// # Errors
    /// As [`Self::bind`].
    pub fn bind_with(
        config: &SocketConfig,
        address: SocketAddr,
        identity: &PublicKey,
        secret: [u8; 32],
    ) -> io::Result<Self> {
        let socket = Socket::bind(config, address)?;
        let poller = Poller::new(&socket)?;
        let clock = Clock::new();
        let endpoint = Endpoint::new(identity, secret).with_epoch(clock.unix_epoch_us());
        Ok(Self {
            network: Network { socket, endpoint, outbox: Outbox::new(), meeting: None },
            slots: (0..SESSIONS_MAX).map(|_| None).collect(),
            next: 0,
            poller,
            awaited: None,
            departure: None,
            clock,
            stats: HostStats::default(),
        })
    }

    /// The address it listens at.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.network.socket.local_addr()
    }

    /// The socket, for its counters and sizes.
    #[must_use]
    pub const fn socket(&self) -> &Socket {
        &self.network.socket
    }

    /// Counters of what concerned no session.
    #[must_use]
    pub const fn stats(&self) -> HostStats {
        self.stats
    }

    /// The clock whose time the sessions are given.
    #[must_use]
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// Ends the wait of [`Self::turn`] from another thread.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.poller.waker()
    }

    /// From now on this host, of this identity, is to be met at this gateway too, and enrols there if it has to.
    pub fn meet(&mut self, place: GatewayPlace, identity: &Identity, enrolment: Option<Enrolment>) {
        let (now, epoch_us) = (self.clock.now(), self.clock.unix_epoch_us());
        let gateway = Gateway::new(place, identity.clone(), enrolment, epoch_us, sys::entropy, now);
        let callee = Callee::new(gateway, self.local_addr());
        self.network.meeting = Some(Box::new(Meeting::new(callee)));
    }

    /// Its part in being met at a gateway, if it is.
    pub fn callee(&mut self) -> Option<&mut Callee> {
        self.network.meeting.as_deref_mut().map(Meeting::callee)
    }

    /// Opens or closes the window in which those are answered who do not know the host's key; see
    /// [`Endpoint::set_pairing_window`].
    pub fn set_pairing_window(&mut self, is_open: bool) {
        self.network.endpoint.set_pairing_window(is_open);
    }

    /// Polls the last `micros` before each paced departure without sleep, at most [`BUSY_POLL_US_MAX`](crate::BUSY_POLL_US_MAX), for machines that
    /// wake threads late: departures come closer to their times, for that much of a processor. 0, as at first: it sleeps.
    pub fn set_busy_poll(&mut self, micros: u32) {
        self.poller.set_busy_poll(micros);
    }

    /// Of the paced departures since it was asked last the latest one, of all sessions; `None` where nothing had to wait for
    /// its time.
    pub const fn take_departure(&mut self) -> Option<Departure> {
        self.departure.take()
    }

    /// A session, to give it commands; they are acted on when the next turn begins. `None` once it is gone.
    pub fn session_mut(&mut self, index: SessionIndex) -> Option<&mut Session<M, H>> {
        self.slots.get_mut(usize::from(index.0))?.as_mut().map(|slot| &mut slot.session)
    }

    /// All sessions, with their peers' addresses.
    pub fn sessions_mut(&mut self) -> impl Iterator<Item = (SessionIndex, SocketAddr, &mut Session<M, H>)> {
        occupied(&mut self.slots).map(|(index, slot)| (index, slot.destination().to, &mut slot.session))
    }

    /// How many sessions there are.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    /// One turn: sends what is due, tells what happened, waits for the network, a deadline or a waker, takes what
    /// came, tells and sends again. Returns after each wait.
    ///
    /// # Errors
    /// Only when polling itself fails; what the network refuses is counted in [`Socket::stats`].
    pub fn turn<A: HostApplication<M, H>>(&mut self, host: &mut A) -> io::Result<()> {
        self.be_met();
        let mut polled_at = self.transmit(host.pictures());
        for _ in 0..ROUNDS_MAX {
            if !self.tell(host) {
                break;
            }
            polled_at = self.transmit(host.pictures());
        }
        self.remove_closed(host);
        self.wait(polled_at)?;
        self.receive(host)?;
        let now = self.clock.now();
        for (_, slot) in occupied(&mut self.slots) {
            slot.session.handle_timeout(now);
        }
        self.tell(host);
        self.be_met();
        self.transmit(host.pictures());
        self.remove_closed(host);
        Ok(())
    }

    /// Waits for what is due next, to the microsecond where that is a paced departure.
    fn wait(&mut self, polled_at: Instant) -> io::Result<()> {
        let is_blocked = self.network.outbox.is_blocked();
        let dues = self.slots.iter().flatten().filter_map(|slot| slot.session.poll_timeout());
        let first = dues.min_by_key(|&(due, timer)| (due, timer != Timer::Pacing));
        let meeting = self.network.meeting.as_ref().and_then(|meeting| meeting.due());
        match first {
            // What has no room leaves when there is some.
            Some((due, Timer::Pacing)) if !is_blocked && meeting.is_none_or(|meeting| due <= meeting) => {
                self.awaited = Some(due);
                self.poller.wait_to_depart(not_before(due, polled_at), is_blocked)
            }
            first => {
                self.awaited = None;
                let due = first.map(|(due, _)| due).into_iter().chain(meeting).min();
                self.poller.wait(due.map(|due| not_before(due, polled_at)), is_blocked)
            }
        }
    }

    /// Does what is due for those whom a gateway introduces.
    fn be_met(&mut self) {
        let Network { socket, meeting, .. } = &mut self.network;
        if let Some(meeting) = meeting {
            meeting.work(self.clock.now(), socket.sender());
        }
    }

    /// Sends what is due: everybody's small datagrams, then everybody's pictures in turn. Returns the time the
    /// sessions were given.
    fn transmit(&mut self, pictures: &impl PictureStore) -> Instant {
        let now = self.clock.now();
        let Network { socket, outbox, .. } = &mut self.network;
        let sender = socket.sender();
        outbox.flush(sender);
        for (_, slot) in occupied(&mut self.slots) {
            while let Some(room) = outbox.urgent_room() {
                let Some(transmit) = slot.session.poll_realtime(now, room) else { break };
                outbox.send_urgent(sender, slot.place(transmit.path), transmit);
            }
        }
        let mut quiet = 0;
        let mut most = FIRST_BATCH_LEN;
        while quiet < self.slots.len()
            && let Some(room) = outbox.batch_room()
        {
            let place = self.next;
            self.next = (place + 1) % self.slots.len();
            quiet += 1;
            if let Some(slot) = &mut self.slots[place]
                && let Some(transmit) = slot.session.poll_transmit(now, pictures, &mut room[..most])
            {
                outbox.send_batch(sender, slot.place(transmit.path), transmit);
                (quiet, most) = (0, BATCH_LEN.min(2 * most));
                if let Some(due) = self.awaited.take_if(|due| *due <= now) {
                    let departure = Departure { due, left: self.clock.now() };
                    let is_later = |before: Departure| before.late_us() < departure.late_us();
                    self.departure = self.departure.filter(|before| !is_later(*before)).or(Some(departure));
                }
            }
        }
        if let Some((to, len)) = sender.take_too_long() {
            for (_, slot) in occupied(&mut self.slots) {
                slot.refuse_length(now, to, len);
            }
        }
        now
    }

    /// Whether anything happened.
    fn tell(&mut self, host: &mut impl HostApplication<M, H>) -> bool {
        let now = self.clock.now();
        let mut any = false;
        for (index, slot) in occupied(&mut self.slots) {
            if slot.session.wants_connections() {
                self.network.endpoint.tend(index, &mut slot.session);
                any = true;
            }
            if slot.session.wants_entropy() {
                slot.session.add_entropy(now, sys::entropy());
                any = true;
            }
            while let Some(event) = slot.session.poll_event() {
                if let (Event::PathSilent(path), Some(meeting)) = (event, &mut self.network.meeting) {
                    meeting.on_silent(now, slot.place(path).to);
                }
                slot.is_told |= matches!(event, Event::Closed(_));
                if event == Event::Live
                    && let Some(peer) = slot.session.peer()
                {
                    // Its address is proven now; the next call from there needs no proof.
                    let token = self.network.endpoint.make_token(now, &peer, slot.destination().to);
                    slot.session.offer_token(token);
                }
                host.event(now, index, slot.destination().to, &mut slot.session, event);
                any = true;
            }
        }
        any
    }

    fn remove_closed(&mut self, host: &mut impl HostApplication<M, H>) {
        for (index, place) in (0..).map(SessionIndex).zip(&mut self.slots) {
            let is_gone = |slot: &mut Slot<M, H>| slot.is_told && slot.session.is_closed();
            if let Some(slot) = place.take_if(is_gone) {
                self.network.endpoint.release(index);
                self.stats.sessions_closed += 1;
                host.closed(index, slot.session.into_memory());
            }
        }
    }

    fn receive(&mut self, host: &mut impl HostApplication<M, H>) -> io::Result<()> {
        for _ in 0..RECEIVES_PER_TURN {
            if !self.poller.is_readable {
                break;
            }
            let clock = self.clock;
            let Network { socket, endpoint, outbox, meeting } = &mut self.network;
            let (slots, stats, is_blocked) = (&mut self.slots, &mut self.stats, outbox.is_blocked());
            let count = socket.receive_and_answer(|sender, received| {
                let now = clock.now();
                let meeting = meeting.as_deref_mut();
                let mut reception = Reception { now, endpoint, slots, stats, sender, is_blocked, meeting };
                reception.take(host, received);
            })?;
            self.poller.is_readable = count > 0;
            // Input is acted on before more is taken.
            if count > 0 {
                self.tell(host);
            }
        }
        Ok(())
    }
}

fn occupied<M: Memory, H: Handshake>(
    slots: &mut [Option<Slot<M, H>>],
) -> impl Iterator<Item = (SessionIndex, &mut Slot<M, H>)> {
    (0..).map(SessionIndex).zip(slots).filter_map(|(index, slot)| slot.as_mut().map(|slot| (index, slot)))
}

impl<M: Memory, H: Handshake> core::fmt::Debug for HostDriver<M, H> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("HostDriver")
            .field("local", &self.local_addr())
            .field("sessions", &self.session_count())
            .finish_non_exhaustive()
    }
}
