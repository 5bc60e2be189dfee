//! A host on the simulated network.

use core::cell::RefCell;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::collections::BTreeMap;
use std::rc::Rc;

use rift::flight::{FlightEntry, FlightSink, Recorded};
use rift::{
    Budget, Channel, CloseReason, Codec, Config, Discard, Ecn, Endpoint, Established, Event, Identity,
    InputEvent, Instant, Noise, PathId, Permissions, PictureId, PictureInfo, Pictures, PublicKey, Rectangle,
    RectangleData, Route, SendError, Session, SessionIndex, Storage, StreamParameters,
};

use super::outbox::Outbox;
use super::{Parcel, earlier};
use crate::network::Host;
use crate::packet::{NodeId, Packet};
use crate::picture::{Encoder, EncoderStats, Motion, Screen};
use crate::random::Random;

/// The longest coded picture.
const PICTURE_LEN_MAX: usize = 512 * 1024;
const PICTURES: usize = 8;
/// How long the pretended encoder takes.
const ENCODING_US: u64 = 3_000;

/// Memory of a guest's session, which is recorded if the host wants it.
pub type GuestMemory = Recorded<Box<HostMemory>, Log>;
type HostMemory = Storage<Vec<u8>, 1024, 1024, 0, 4096, 4096, 1275>;

/// Where a guest's session is recorded.
#[derive(Debug)]
pub struct Log {
    flight: Rc<RefCell<Vec<FlightEntry>>>,
    is_on: bool,
}

impl FlightSink for Log {
    fn record(&mut self, entry: &FlightEntry) {
        if self.is_on {
            self.flight.borrow_mut().push(*entry);
        }
    }
}

/// A client that was let in.
#[derive(Debug)]
pub struct Guest {
    /// Its session.
    pub session: Session<GuestMemory, Noise>,
    /// What its session recorded.
    pub flight: Rc<RefCell<Vec<FlightEntry>>>,
    /// Where it is.
    pub node: NodeId,
    /// Where each of its paths leads.
    places: Vec<NodeId>,
    /// What it did.
    pub input: Vec<(Instant, InputEvent)>,
    /// What else happened.
    pub events: Vec<(Instant, Event)>,
    /// Bytes of the control stream.
    pub control: Vec<u8>,
    /// Bytes of the clipboard and the file stream.
    pub bulk: [Vec<u8>; 2],
    /// What the host sends to it, if anything.
    pub parcel: Option<Parcel>,
}

impl Guest {
    /// The path that leads to `place`: one in use, or a name that nobody uses.
    fn path_of(&mut self, place: NodeId) -> PathId {
        let names = (0..).map(PathId).zip(&self.places);
        let known = names.clone().find(|&(id, &known)| known == place && self.session.uses_path(id));
        let free = names.clone().find(|&(id, _)| !self.session.uses_path(id)).map(|(id, _)| id);
        if let Some((id, _)) = known {
            return id;
        }
        let id = free.unwrap_or(PathId(u8::try_from(self.places.len()).expect("a session has few paths")));
        self.places.resize(self.places.len().max(usize::from(id.0) + 1), place);
        self.places[usize::from(id.0)] = place;
        id
    }
}

/// What a host shares.
#[derive(Debug)]
pub struct Camera {
    screen: Screen,
    encoder: Encoder,
    pictures_per_second: u32,
    /// Captured bytes of the picture that is being encoded.
    coded: Vec<u8>,
    /// Captures that were skipped because too much was waiting.
    pub skipped: u32,
    /// From this time on the screen stands still: a picture is made only when a viewer wants one.
    pub still_from: Option<Instant>,
    is_wanted: bool,
    /// Bytes of every picture pushed, if they are kept.
    pub kept: Option<Vec<u8>>,
}

impl Camera {
    /// A screen that moves without end.
    #[must_use]
    pub fn new(random: &Random, pictures_per_second: u32, start: Instant) -> Self {
        Self {
            screen: Screen::new(random.fork(1), Motion::Constant, pictures_per_second, start),
            encoder: Encoder::new(random.fork(2)),
            pictures_per_second,
            coded: Vec::new(),
            skipped: 0,
            still_from: None,
            is_wanted: false,
            kept: None,
        }
    }

    /// What its encoder made.
    #[must_use]
    pub const fn stats(&self) -> EncoderStats {
        self.encoder.stats()
    }

    /// Does what a viewer wants of the encoder.
    fn answer(&mut self, event: &Event) {
        if let Event::RepairWanted { after } = event {
            self.is_wanted = true;
            match after {
                Some(id) => self.encoder.invalidate(id.0 + 1),
                None => self.encoder.request_key(),
            }
        }
    }

    const fn parameters(&self) -> StreamParameters {
        StreamParameters {
            width: 1280,
            height: 720,
            rate_millihertz: self.pictures_per_second * 1000,
            codec: Codec::H264,
        }
    }
}

/// A host that lets in whom it knows and refuses everybody else.
pub struct HostPeer {
    config: Config,
    identity: Identity,
    random: Random,
    endpoint: Endpoint<Noise>,
    /// What it keeps beside its key.
    secret: [u8; 32],
    restarts: u64,
    allowed: BTreeMap<PublicKey, Permissions>,
    pictures: Pictures<Vec<u8>, PICTURES>,
    outbox: Outbox,
    /// Whether the sessions of guests to come are recorded.
    pub records_flights: bool,
    /// What it shares, if anything.
    pub camera: Option<Camera>,
    /// Clients let in, in order; those whose session is over stay.
    pub guests: Vec<Guest>,
    /// Keys refused.
    pub turned_away: Vec<PublicKey>,
    /// Why datagrams were discarded.
    pub discards: Vec<Discard>,
    /// Handshakes it began to compute.
    pub handshakes: u32,
}

impl HostPeer {
    /// A host of this identity.
    #[must_use]
    pub fn new(config: &Config, identity: &Identity, mut random: Random) -> Self {
        let secret = random.bytes32();
        Self::with_secret(config, identity, secret, 0, random)
    }

    /// A host of this identity that keeps `secret` over restarts, and whose clock said `epoch_us` when it started.
    #[must_use]
    pub fn with_secret(
        config: &Config,
        identity: &Identity,
        secret: [u8; 32],
        epoch_us: u64,
        random: Random,
    ) -> Self {
        Self {
            config: *config,
            identity: identity.clone(),
            endpoint: Endpoint::new(&identity.public(), secret).with_epoch(epoch_us),
            secret,
            restarts: epoch_us,
            random,
            handshakes: 0,
            allowed: BTreeMap::new(),
            pictures: Pictures::new(core::array::from_fn(|_| vec![0; PICTURE_LEN_MAX])),
            outbox: Outbox::new(),
            records_flights: false,
            camera: None,
            guests: Vec::new(),
            turned_away: Vec::new(),
            discards: Vec::new(),
        }
    }

    /// Lets this key in from now on.
    pub fn allow(&mut self, peer: PublicKey, permissions: Permissions) {
        self.allowed.insert(peer, permissions);
    }

    /// Loses everything but its key and secret, as a program that is started again. The camera goes on; its encoder
    /// begins anew.
    pub fn restart(&mut self) {
        // Later than any start before: its connection ids must not come again.
        self.restarts += 1;
        self.endpoint = Endpoint::new(&self.identity.public(), self.secret).with_epoch(self.restarts);
        self.guests.clear();
        self.outbox = Outbox::new();
        if let Some(camera) = &mut self.camera {
            camera.encoder.request_key();
        }
    }

    /// Handshakes half done.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.endpoint.pending()
    }

    /// The session of guest `index`.
    pub fn session_mut(&mut self, index: usize) -> &mut Session<GuestMemory, Noise> {
        &mut self.guests[index].session
    }

    /// Takes a datagram and what follows from it.
    ///
    /// # Errors
    /// Why the endpoint or the session discarded it.
    pub fn receive(
        &mut self,
        now: Instant,
        from: NodeId,
        ecn: Ecn,
        datagram: &mut [u8],
    ) -> Result<(), Discard> {
        let (identity, random, handshakes) = (&self.identity, &mut self.random, &mut self.handshakes);
        let responder = |opening| {
            *handshakes += 1;
            Noise::responder(identity, random.bytes32(), opening)
        };
        let address = address_of(from);
        match self.endpoint.handle_datagram(now, address, datagram, responder, self.outbox.buffer())? {
            Route::Session(index) => {
                let guest = &mut self.guests[usize::from(index.0)];
                let was_live = guest.session.is_live();
                let path = guest.path_of(from);
                let result = guest.session.handle_datagram(now, path, now, ecn, datagram);
                if !was_live && guest.session.is_live() {
                    // Whoever copied the call to this host, here is who made it.
                    guest.node = from;
                }
                self.handle_events(now);
                result
            }
            Route::Reply(len) => {
                self.outbox.fill_reply(len, from);
                Ok(())
            }
            Route::Established(established) => {
                self.welcome(now, established, from);
                Ok(())
            }
        }
    }

    fn welcome(&mut self, now: Instant, established: Established, node: NodeId) {
        let peer = established.peer();
        let Some(&permissions) = self.allowed.get(&peer) else {
            self.turned_away.push(peer);
            let len = self.endpoint.refuse(established, CloseReason::Refused, self.outbox.buffer());
            self.outbox.fill_reply(len, node);
            return;
        };
        let index = SessionIndex(u16::try_from(self.guests.len()).expect("a test has few guests"));
        assert!(
            self.endpoint.adopt(established.connection(), index),
            "the endpoint has room for a test's guests"
        );
        let flight = Rc::new(RefCell::new(Vec::new()));
        let log = Log { flight: flight.clone(), is_on: self.records_flights };
        let memory = Recorded { memory: Box::new(HostMemory::new()), sink: log };
        let mut session = Session::from_established(&self.config, established, memory, PathId(0), now);
        session.admit(now, permissions);
        if let Some(camera) = &self.camera {
            let first = PictureId(camera.stats().pictures + 1);
            session.set_stream(first, camera.parameters()).expect("the session was just established");
        }
        self.guests.push(Guest {
            session,
            flight,
            node,
            places: vec![node],
            input: Vec::new(),
            events: Vec::new(),
            control: Vec::new(),
            bulk: [Vec::new(), Vec::new()],
            parcel: None,
        });
        self.handle_events(now);
    }

    fn handle_events(&mut self, now: Instant) {
        for (index, guest) in (0..).map(SessionIndex).zip(&mut self.guests) {
            if guest.session.wants_connections() {
                self.endpoint.tend(index, &mut guest.session);
            }
            if guest.session.wants_entropy() {
                guest.session.add_entropy(now, self.random.bytes32());
            }
            while let Some(event) = guest.session.poll_event() {
                if let Event::Input(event) = event {
                    guest.input.push((now, event));
                } else if event == Event::Readable(Channel::Control) {
                    let mut bytes = [0; 4096];
                    let count = guest.session.read(Channel::Control, &mut bytes);
                    guest.control.extend_from_slice(&bytes[..count]);
                } else if let Event::Readable(channel @ (Channel::Clipboard | Channel::File)) = event {
                    let mut bytes = [0; 4096];
                    let count = guest.session.read(channel, &mut bytes);
                    guest.bulk[usize::from(channel == Channel::File)].extend_from_slice(&bytes[..count]);
                } else {
                    if let (Event::Live, Some(peer)) = (event, guest.session.peer()) {
                        let token = self.endpoint.make_token(now, &peer, address_of(guest.node));
                        guest.session.offer_token(token);
                    }
                    guest.events.push((now, event));
                    if let Some(camera) = &mut self.camera {
                        camera.answer(&event);
                    }
                }
            }
            guest.session.input_injected(now);
            if guest.session.is_closed() {
                self.endpoint.release(index);
            }
        }
    }

    /// Captures and encodes a picture if one is due, and queues it to everybody.
    fn capture(&mut self, now: Instant) {
        let Some(camera) = &mut self.camera else { return };
        let Some(activity) = camera.screen.poll(now) else { return };
        if camera.still_from.is_some_and(|from| from <= now) && !camera.is_wanted {
            return;
        }
        let viewers = self.guests.iter().filter(|guest| guest.session.is_established());
        let budgets = viewers.clone().map(|guest| guest.session.budget());
        let Some(bitrate) = budgets.clone().map(|budget| budget.bitrate_bps).min() else { return };
        let period_bytes =
            |bps: u32| usize::try_from(bps / 8 / camera.pictures_per_second).expect("a picture fits");
        // What would wait longer than a picture lasts is not encoded: a newer picture will replace it.
        let is_behind = |(guest, budget): (&Guest, Budget)| {
            guest.session.video_backlog_bytes() > period_bytes(budget.pacing_bps)
                && is_waited_for(&self.guests, guest)
        };
        if viewers.zip(budgets).any(is_behind) {
            camera.skipped += 1;
            return;
        }
        let usual = period_bytes(bitrate);
        camera.is_wanted = false;
        let made = camera.encoder.encode(usual, activity, &mut camera.coded);
        if let Some(kept) = &mut camera.kept {
            kept.extend_from_slice(&camera.coded);
        }
        let info = PictureInfo {
            id: PictureId(made.number),
            reference: made.reference.map(PictureId),
            captured_at: now.minus_micros(ENCODING_US),
            encoded_at: now,
        };
        let rectangle =
            RectangleData { place: Rectangle::sized(1280, 720), codec: Codec::H264, parts: &[&camera.coded] };
        let picture = self.pictures.push(&info, &[rectangle]).expect("the ring takes the encoder's pictures");
        for guest in self.guests.iter_mut().filter(|guest| guest.session.is_established()) {
            match guest.session.send_picture(now, picture) {
                Ok(()) | Err(SendError::NotPermitted | SendError::NotConnected) => {}
                Err(SendError::MissingReference | SendError::Full | SendError::TooLarge | _) => {
                    camera.encoder.request_key();
                }
            }
        }
    }
}

impl Host for HostPeer {
    fn handle_packet(&mut self, now: Instant, packet: &mut Packet) {
        if let Err(discard) = self.receive(now, packet.from, packet.ecn, &mut packet.bytes) {
            self.discards.push(discard);
        }
    }

    fn poll_packet(&mut self, now: Instant, packet: &mut Packet) -> bool {
        if self.outbox.take(packet) {
            return true;
        }
        self.capture(now);
        for guest in &mut self.guests {
            if let Some(parcel) = &mut guest.parcel {
                parcel.work(now, &mut guest.session);
            }
            if let Some(transmit) = guest.session.poll_transmit(now, &self.pictures, self.outbox.buffer()) {
                let to = guest.places[usize::from(transmit.path.0)];
                self.outbox.fill(&transmit, to);
                return self.outbox.take(packet);
            }
        }
        self.handle_events(now);
        false
    }

    fn next_wake(&mut self) -> Option<Instant> {
        let screen = self.camera.as_ref().map(|camera| camera.screen.next_at());
        let sessions =
            self.guests.iter_mut().filter_map(|guest| guest.session.poll_timeout()).map(|(at, _)| at);
        earlier(sessions.min(), screen)
    }

    fn handle_wake(&mut self, now: Instant) {
        for guest in &mut self.guests {
            guest.session.handle_timeout(now);
        }
        self.handle_events(now);
    }
}

impl fmt::Debug for HostPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostPeer").field("guests", &self.guests).finish_non_exhaustive()
    }
}

/// Whether the encoder waits for this guest: not where the same client is live in a session that came after, or in any
/// while this one may be a recording's.
fn is_waited_for(guests: &[Guest], one: &Guest) -> bool {
    let mut is_after = false;
    !guests.iter().any(|guest| {
        let is_same = core::ptr::eq(guest, one);
        let is_here = guest.session.is_established() && guest.session.is_live() && !is_same;
        let is_followed = guest.session.peer() == one.session.peer() && is_here;
        is_after |= is_same;
        is_followed && (is_after || !one.session.is_live())
    })
}

/// The address that stands for a node: 10.0.0.0/8 has one for each that is not an address itself.
fn address_of(node: NodeId) -> SocketAddr {
    if let Some(address) = node.address() {
        return address.into();
    }
    let [_, b, c, d] = u32::try_from(node.0).expect("a test has few nodes").to_be_bytes();
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, b, c, d)), 4433)
}
