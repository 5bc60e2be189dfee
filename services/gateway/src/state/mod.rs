//! A gateway as a value: sessions of devices on one socket, and who meets whom. No I/O, no clock, no storage.
//!
//! Run loop, after any `&mut` call: [`Gateway::poll_request`] until `None`, doing each and telling
//! [`Gateway::on_redeemed`]; [`Gateway::poll_transmit`] until `None`; then sleep until [`Gateway::poll_timeout`] or a datagram.
//!
//! Invariant: what strangers send costs no session's memory before they have proven a key, and is never answered with more
//! than was sent, but for STUN's few bytes at a bounded rate.

mod bucket;
pub mod limits;
mod operators;
mod registry;
mod relays;
mod slot;
mod tellings;

use core::net::SocketAddr;
use std::collections::{BTreeSet, VecDeque};

use rift::paths::relay::Lease;
use rift::wire::fleet::RelayPlace;
use rift::wire::signal::{DeviceName, EnrolmentToken};
use rift::wire::{Kind, stun};
use rift::{
    CloseReason, Config, Discard, Ecn, Endpoint, Established, Event, Identity, Instant, NoPictures, Noise,
    PathId, Permissions, PublicKey, Route, Session, SessionIndex,
};

pub use operators::{DeviceView, Order, Outcome, SessionView};
pub use registry::{DeviceRecord, Effect, GrantChange, Registry};
pub use relays::{KnownRelay, Relays};

use bucket::Bucket;
use limits::{REPLIES_MAX, ROUTES_MAX, SESSIONS_MAX, STUN_BURST, STUN_INTERVAL_US};
use slot::{Responder, Slot};

/// Bytes of the longest answer to somebody without a session.
const REPLY_LEN: usize = rift::limits::REPLY_MAX;

/// What storage is to do.
#[derive(Debug)]
pub enum Request {
    /// Look whether the token is good, spend it on this device, and tell [`Gateway::on_redeemed`].
    Redeem {
        /// Whose answer it is.
        session: SessionIndex,
        /// The device.
        key: PublicKey,
        /// How it is to be known.
        name: DeviceName,
        /// What it showed.
        token: EnrolmentToken,
    },
    /// Remember this.
    Store(GrantChange),
    /// Make shares of a lease at this relay for the devices of these sessions, caller and callee, and tell
    /// [`Gateway::on_lease`].
    Lend([(SessionIndex, PublicKey); 2], RelayPlace),
}

/// What a gateway counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Devices that have enrolled.
    pub devices: u64,
    /// Devices that are there.
    pub present: u64,
    /// Sessions, those of strangers too.
    pub sessions: u64,
    /// Introductions made so far.
    pub introductions: u64,
    /// Requests refused so far.
    pub refused: u64,
    /// STUN requests answered so far.
    pub stun_answered: u64,
    /// Datagrams discarded so far.
    pub discarded: u64,
}

/// See the module. `E` draws entropy: 32 bytes, never the same twice.
pub struct Gateway<E> {
    identity: Identity,
    config: Config,
    endpoint: Box<Endpoint<Responder, ROUTES_MAX, SESSIONS_MAX>>,
    slots: Vec<Option<Box<Slot>>>,
    free: BTreeSet<u16>,
    /// Sessions that may have something to send.
    busy: VecDeque<SessionIndex>,
    timers: BTreeSet<(Instant, SessionIndex)>,
    replies: VecDeque<(SocketAddr, Vec<u8>)>,
    stun: Bucket,
    registry: Registry,
    requests: VecDeque<Request>,
    entropy: E,
    counters: Counters,
}

impl<E: FnMut() -> [u8; 32]> Gateway<E> {
    /// A gateway of this identity with what it knows. `secret` is 32 bytes kept beside the key; `epoch_us` is the Unix time
    /// at [`Instant::ZERO`], in microseconds.
    pub fn new(identity: Identity, secret: [u8; 32], epoch_us: u64, registry: Registry, entropy: E) -> Self {
        let endpoint = Endpoint::with_room(&identity.public(), secret).with_epoch(epoch_us);
        Self {
            endpoint: Box::new(endpoint),
            identity,
            config: Config::default(),
            slots: Vec::new(),
            free: BTreeSet::new(),
            busy: VecDeque::new(),
            timers: BTreeSet::new(),
            replies: VecDeque::new(),
            stun: Bucket::new(STUN_BURST, STUN_INTERVAL_US),
            registry,
            requests: VecDeque::new(),
            entropy,
            counters: Counters::default(),
        }
    }

    /// What it counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            devices: self.registry.devices() as u64,
            present: self.registry.present() as u64,
            sessions: (self.slots.len() - self.free.len()) as u64,
            introductions: self.registry.introductions,
            refused: self.registry.refused,
            ..self.counters
        }
    }

    /// Takes a datagram, whose bytes may be changed.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, ecn: Ecn, datagram: &mut [u8]) {
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        let outcome = if datagram.first().and_then(|&first| Kind::of(first)) == Some(Kind::Stun) {
            self.on_stun(now, from, datagram)
        } else {
            self.on_rift(now, from, ecn, datagram)
        };
        self.counters.discarded += u64::from(outcome.is_err());
    }

    fn on_stun(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Result<(), Discard> {
        let mut answer = [0; stun::ANSWER_LEN_MAX];
        let len = stun::answer(datagram, from, &mut answer).ok_or(Discard::Malformed)?;
        if stun::is_longer(datagram, len) && !self.stun.take(now) {
            return Err(Discard::NoRoom);
        }
        self.counters.stun_answered += 1;
        self.reply(from, &answer[..len])
    }

    fn on_rift(
        &mut self,
        now: Instant,
        from: SocketAddr,
        ecn: Ecn,
        datagram: &mut [u8],
    ) -> Result<(), Discard> {
        let (identity, entropy) = (&self.identity, &mut self.entropy);
        let responder = |opening| Noise::responder(identity, entropy(), opening).multiplied_by();
        let mut reply = [0; REPLY_LEN];
        match self.endpoint.handle_datagram(now, from, datagram, responder, &mut reply)? {
            Route::Reply(len) => self.reply(from, &reply[..len]),
            Route::Established(established) => self.open(now, from, established),
            Route::Session(index) => {
                let slot = self.slots.get_mut(usize::from(index.0)).and_then(Option::as_mut);
                let slot = slot.ok_or(Discard::UnknownConnection)?;
                let path = slot.path_to(from);
                let outcome = slot.session.handle_datagram(now, path, now, ecn, datagram);
                self.serve(now, index);
                outcome
            }
        }
    }

    fn reply(&mut self, to: SocketAddr, bytes: &[u8]) -> Result<(), Discard> {
        if self.replies.len() == REPLIES_MAX {
            return Err(Discard::NoRoom);
        }
        self.replies.push_back((to, bytes.to_vec()));
        Ok(())
    }

    /// A device has proven its key.
    fn open(&mut self, now: Instant, from: SocketAddr, established: Established) -> Result<(), Discard> {
        let place = self.free.pop_first().or_else(|| {
            let place = u16::try_from(self.slots.len()).ok().filter(|&at| usize::from(at) < SESSIONS_MAX)?;
            self.slots.push(None);
            Some(place)
        });
        let index = place.map(SessionIndex);
        let is_adopted = index.is_some_and(|index| self.endpoint.adopt(established.connection(), index));
        let Some(index) = index.filter(|_| is_adopted && !established.is_stranger()) else {
            if let Some(place) = place {
                self.endpoint.release(SessionIndex(place));
                self.free.insert(place);
            }
            let mut farewell = [0; REPLY_LEN];
            let len = self.endpoint.refuse(established, CloseReason::Busy, &mut farewell);
            return self.reply(from, &farewell[..len]);
        };
        let memory = slot::memory();
        let mut session = Session::from_established(&self.config, established, memory, PathId(0), now);
        session.admit(now, Permissions::empty());
        self.slots[usize::from(index.0)] = Some(Box::new(Slot::new(session, from)));
        self.serve(now, index);
        Ok(())
    }

    /// The time has come that [`Self::poll_timeout`] told. May be called at any time.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(at, index)) = self.timers.first().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, index));
            if let Some(slot) = self.slots[usize::from(index.0)].as_mut() {
                slot.timer = None;
                slot.session.handle_timeout(now);
                self.serve(now, index);
            }
        }
        if self.registry.poll_timeout().is_some_and(|at| at <= now) {
            self.registry.handle_timeout(now);
            self.act(now);
        }
    }

    /// When something is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let session = self.timers.first().map(|&(at, _)| at);
        [session, self.registry.poll_timeout()].into_iter().flatten().min()
    }

    /// What storage is to do next.
    pub fn poll_request(&mut self) -> Option<Request> {
        self.requests.pop_front()
    }

    /// Storage has looked at a token: the device's name if it has enrolled by it.
    pub fn on_redeemed(
        &mut self,
        now: Instant,
        session: SessionIndex,
        key: PublicKey,
        outcome: Option<DeviceName>,
    ) {
        self.registry.on_redeemed(session, key, outcome);
        self.act(now);
    }

    /// Shares of a lease, for [`Request::Lend`].
    pub fn on_lease(&mut self, now: Instant, peers: [(SessionIndex, PublicKey); 2], shares: [Lease; 2]) {
        self.registry.on_lease(peers, shares);
        self.act(now);
    }

    /// Ends every session, as its devices come back when there is a gateway again.
    pub fn shut_down(&mut self, now: Instant) {
        for at in 0..self.slots.len() {
            if let Some(slot) = self.slots[at].as_mut() {
                slot.session.close(now, CloseReason::SourceGone);
                self.serve(now, SessionIndex(u16::try_from(at).expect("a session's index fits")));
            }
        }
    }

    /// Writes the next datagram to `out`, at least 1500 bytes, and tells its length and where it goes.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut [u8]) -> Option<(usize, SocketAddr)> {
        if let Some((to, bytes)) = self.replies.pop_front() {
            out.get_mut(..bytes.len())?.copy_from_slice(&bytes);
            return Some((bytes.len(), to));
        }
        while let Some(&index) = self.busy.front() {
            if let Some(slot) = self.slots[usize::from(index.0)].as_mut() {
                if let Some(transmit) = slot.session.poll_transmit(now, &NoPictures, out) {
                    debug_assert!(transmit.segment.is_none(), "signalling leaves one by one");
                    return Some((transmit.len, slot.place(transmit.path)));
                }
                slot.is_busy = false;
                self.settle(index);
            }
            self.busy.pop_front();
        }
        None
    }

    /// After a session was given something: its events, then its place among those with something to send.
    fn serve(&mut self, now: Instant, index: SessionIndex) {
        self.listen(now, index);
        self.act(now);
    }

    fn listen(&mut self, now: Instant, index: SessionIndex) {
        let Some(slot) = self.slots[usize::from(index.0)].as_mut() else { return };
        let registry = &mut self.registry;
        if slot.session.wants_connections() {
            self.endpoint.tend(index, &mut slot.session);
        }
        if slot.session.wants_entropy() {
            slot.session.add_entropy(now, (self.entropy)());
        }
        while let Some(event) = slot.session.poll_event() {
            if event == Event::Live
                && let Some(peer) = slot.session.peer()
            {
                // Only now it is sure that it is there, and where.
                let address = slot.address();
                slot.session.offer_token(self.endpoint.make_token(now, &peer, address));
                slot.is_live = true;
                registry.connect(now, index, peer, address);
            }
        }
        while let Some(signal) = slot.line.hear(&mut slot.session) {
            registry.hear(now, index, signal, (self.entropy)());
        }
        if slot.line.is_broken() {
            slot.session.close(now, CloseReason::Refused);
        }
        if slot.is_live {
            registry.moved(index, slot.address());
        }
        slot.line.write(now, &mut slot.session);
        self.mark(index);
    }

    /// Does what the registry wants.
    fn act(&mut self, now: Instant) {
        while let Some(effect) = self.registry.poll_effect() {
            match effect {
                Effect::Redeem { session, key, name, token } => {
                    self.requests.push_back(Request::Redeem { session, key, name, token });
                }
                Effect::Store(change) => self.requests.push_back(Request::Store(change)),
                Effect::Lend(peers, relay) => self.requests.push_back(Request::Lend(peers, relay)),
                Effect::Say(index, signal) => {
                    let Some(slot) = self.slots[usize::from(index.0)].as_mut() else { continue };
                    if slot.line.say(&signal).is_err() {
                        // Who does not listen learns everything anew when it comes back.
                        slot.session.close(now, CloseReason::Busy);
                    }
                    slot.line.write(now, &mut slot.session);
                    self.mark(index);
                }
                Effect::Close(index) => {
                    let Some(slot) = self.slots[usize::from(index.0)].as_mut() else { continue };
                    slot.session.close(now, CloseReason::Refused);
                    self.mark(index);
                }
            }
        }
    }

    fn mark(&mut self, index: SessionIndex) {
        let Some(slot) = self.slots[usize::from(index.0)].as_mut() else { return };
        if !core::mem::replace(&mut slot.is_busy, true) {
            self.busy.push_back(index);
        }
    }

    /// A session has nothing to send any more: its timer is set, or it goes if it is over.
    fn settle(&mut self, index: SessionIndex) {
        let place = &mut self.slots[usize::from(index.0)];
        let Some(slot) = place.as_mut() else { return };
        let due = slot.session.poll_timeout().map(|(due, _)| due);
        if let Some(before) = slot.timer.take() {
            self.timers.remove(&(before, index));
        }
        if slot.session.is_closed() && slot.session.poll_event().is_none() {
            *place = None;
            self.endpoint.release(index);
            self.registry.disconnect(index);
            self.free.insert(index.0);
        } else if let Some(due) = due {
            slot.timer = Some(due);
            self.timers.insert((due, index));
        }
    }
}

impl<E> core::fmt::Debug for Gateway<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Gateway").field("registry", &self.registry).finish_non_exhaustive()
    }
}

/// Bytes that a device takes while it is there, beside 32 for each that it lets be introduced: its session, the session's
/// memory, their conversation, what is known of it, its connection ids and its timer.
pub const DEVICE_BYTES: usize = size_of::<Slot>()
    + size_of::<slot::Memory>()
    + size_of::<Option<Box<Slot>>>()
    + registry::DEVICE_LEN
    + rift::limits::CONNECTIONS_MAX * size_of::<(u32, SessionIndex)>()
    + size_of::<(Instant, SessionIndex)>();

/// What the experimental handshake adds to a session in a build of the whole workspace, which has it in.
const EXPERIMENTAL: usize = if rift::limits::REPLY_MAX > 1000 { 5 << 9 } else { 0 };
const _: () = assert!(DEVICE_BYTES <= (16 << 10) + EXPERIMENTAL, "4096 devices fit 64 MiB");
