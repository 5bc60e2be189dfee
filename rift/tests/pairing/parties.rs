//! A host and clients on the simulated network that do nothing but pair.

use core::net::SocketAddr;

use rift::{
    CloseReason, Config, Endpoint, Event, Identity, Instant, NoPictures, Noise, Opening, PairingWindow,
    PathId, Permissions, Pin, PublicKey, Route, Session, SessionIndex, Storage,
};
use rift_sim::{Clock, Host, LinkConfig, Network, NodeId, Packet, Random};

pub(crate) type Memory = Storage<Vec<u8>, 128, 128, 0, 256>;
pub(crate) type Peer = Session<Box<Memory>, Noise>;

pub(crate) const HOST: NodeId = NodeId(0);

pub(crate) fn pin(digits: &str) -> Pin {
    Pin::parse(digits).expect("digits")
}

/// One session and what it told.
pub(crate) struct Seat {
    pub(crate) session: Peer,
    pub(crate) node: NodeId,
    pub(crate) events: Vec<(Instant, Event)>,
}

impl Seat {
    pub(crate) fn closed(&self) -> Option<CloseReason> {
        let mut events = self.events.iter();
        events.find_map(|&(_, event)| if let Event::Closed(reason) = event { Some(reason) } else { None })
    }

    pub(crate) fn paired(&self) -> Option<PublicKey> {
        let mut events = self.events.iter();
        events.find_map(|&(_, event)| if let Event::Paired(peer) = event { Some(peer) } else { None })
    }
}

/// A program that pairs: a host with many sessions, or a client with one.
pub(crate) struct Party {
    pub(crate) identity: Identity,
    pub(crate) window: PairingWindow,
    pub(crate) seats: Vec<Seat>,
    /// Tries were asked for and no guess was left.
    pub(crate) refused: u32,
    endpoint: Option<Endpoint<Noise>>,
    random: Random,
    /// Answers of the endpoint.
    replies: Vec<(NodeId, Vec<u8>)>,
}

impl Party {
    pub(crate) fn host(seed: u64) -> Self {
        let mut random = Random::new(seed).fork(1);
        let identity = Identity::from_secret(random.bytes32());
        let endpoint = Some(Endpoint::new(&identity.public(), random.bytes32()));
        Self { endpoint, ..Self::new(identity, random) }
    }

    /// A client that begins to pair at once, with this PIN.
    pub(crate) fn client(seed: u64, digits: &str, now: Instant) -> Self {
        let mut random = Random::new(seed).fork(2);
        let identity = Identity::from_secret(random.bytes32());
        let mut party = Self::new(identity, random);
        party.window.open(now, pin(digits)).expect("nothing was wrong yet");
        let handshake = Noise::initiator(&party.identity, party.random.bytes32(), Opening::XX);
        let memory = Box::new(Memory::new());
        let session = Session::approach(&Config::default(), handshake, 7, memory, PathId(0), now);
        party.seats.push(Seat { session, node: HOST, events: Vec::new() });
        party
    }

    fn new(identity: Identity, random: Random) -> Self {
        Self {
            identity,
            window: PairingWindow::new(),
            seats: Vec::new(),
            refused: 0,
            endpoint: None,
            random,
            replies: Vec::new(),
        }
    }

    /// Local act at the host.
    pub(crate) fn open(&mut self, now: Instant, digits: &str) {
        self.window.open(now, pin(digits)).expect("it may be opened");
        self.keep_window(now);
    }

    pub(crate) fn paired(&self) -> Vec<PublicKey> {
        self.seats.iter().filter_map(Seat::paired).collect()
    }

    /// The endpoint hears strangers as long as there are guesses.
    fn keep_window(&mut self, now: Instant) {
        if let Some(endpoint) = &mut self.endpoint {
            endpoint.set_pairing_window(self.window.is_open(now));
        }
    }

    fn handle_events(&mut self, now: Instant) {
        for seat in &mut self.seats {
            while let Some(event) = seat.session.poll_event() {
                seat.events.push((now, event));
                let is_client = self.endpoint.is_none();
                if let Event::Paired(_) = event {
                    self.window.paired();
                    if is_client {
                        seat.session.close(now, CloseReason::Done);
                    }
                }
                let is_met = is_client && matches!(event, Event::Authenticated(_));
                let is_asked = is_met || event == Event::PairingRequested;
                if is_asked {
                    let own = self.identity.public();
                    match self.window.guess(now) {
                        Some(guess) => {
                            let outcome = seat.session.pair(now, &own, guess, self.random.bytes32());
                            outcome.expect("it is this side's turn");
                        }
                        None => {
                            self.refused += 1;
                            seat.session.close(now, CloseReason::PairingOver);
                        }
                    }
                }
            }
        }
        self.keep_window(now);
    }

    fn receive(&mut self, now: Instant, packet: &mut Packet) {
        self.keep_window(now);
        let Some(endpoint) = &mut self.endpoint else {
            let _ = self.seats[0].session.handle_datagram(now, PathId(0), now, packet.ecn, &mut packet.bytes);
            return;
        };
        let (identity, random) = (&self.identity, &mut self.random);
        let responder = |opening| Noise::responder(identity, random.bytes32(), opening);
        let (mut reply, node) = ([0; 256], packet.from);
        let port = u16::try_from(node.0).expect("few nodes") + 1;
        let from = SocketAddr::from(([10, 0, 0, 1], port));
        match endpoint.handle_datagram(now, from, &packet.bytes, responder, &mut reply) {
            Ok(Route::Session(index)) => {
                let session = &mut self.seats[usize::from(index.0)].session;
                let _ = session.handle_datagram(now, PathId(0), now, packet.ecn, &mut packet.bytes);
            }
            Ok(Route::Reply(len)) => self.replies.push((node, reply[..len].to_vec())),
            Ok(Route::Established(established)) => {
                assert!(established.is_stranger());
                let index = SessionIndex(u16::try_from(self.seats.len()).expect("few"));
                assert!(endpoint.adopt(established.connection(), index));
                let memory = Box::new(Memory::new());
                let mut session =
                    Session::from_established(&Config::default(), established, memory, PathId(0), now);
                session.admit(now, Permissions::all());
                assert_eq!(session.permissions(), None, "who came to pair is never let in");
                self.seats.push(Seat { session, node, events: Vec::new() });
            }
            Err(_) => {}
        }
    }
}

impl Host for Party {
    fn handle_packet(&mut self, now: Instant, packet: &mut Packet) {
        self.receive(now, packet);
        self.handle_events(now);
    }

    fn poll_packet(&mut self, now: Instant, packet: &mut Packet) -> bool {
        if let Some((node, bytes)) = self.replies.pop() {
            (packet.to, packet.bytes) = (node, bytes);
            return true;
        }
        let mut out = [0; 2000];
        for seat in &mut self.seats {
            if let Some(transmit) = seat.session.poll_transmit(now, &NoPictures, &mut out) {
                packet.bytes.extend_from_slice(&out[..transmit.len]);
                (packet.to, packet.ecn) = (seat.node, transmit.ecn);
                return true;
            }
        }
        self.handle_events(now);
        false
    }

    fn next_wake(&mut self) -> Option<Instant> {
        self.seats.iter().filter_map(|seat| seat.session.poll_timeout()).map(|(at, _)| at).min()
    }

    fn handle_wake(&mut self, now: Instant) {
        for seat in &mut self.seats {
            seat.session.handle_timeout(now);
        }
        self.handle_events(now);
    }
}

/// A network with a host on it whose window is open with this PIN, or closed.
pub(crate) fn network(seed: u64, digits: Option<&str>) -> Network<Party> {
    let mut network = Network::new(seed);
    let host = network.add_host(Party::host(seed), Clock::default());
    assert_eq!(host, HOST);
    if let Some(digits) = digits {
        network.act(HOST, |host, now| host.open(now, digits));
    }
    network
}

/// A client that begins to pair now.
pub(crate) fn join(network: &mut Network<Party>, seed: u64, digits: &str, link: &LinkConfig) -> NodeId {
    let clock = Clock { offset_us: 77_000_000, drift_ppb: 20_000 };
    let party = Party::client(seed, digits, clock.local(network.now()));
    let node = network.add_host(party, clock);
    network.connect(node, HOST, link.clone(), link.clone());
    node
}
