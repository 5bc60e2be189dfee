//! Somebody who speaks the protocol and lies: a gateway in the wrong hands, or who passes for a host.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::VecDeque;
use std::io::Read as _;
use std::net::UdpSocket;

use rift::crypto::Side;
use rift::paths::{CandidateKind, Candidates, MeetingSecret, Punch, SignalLine};
use rift::wire::signal::{Introduction, Signal};
use rift::wire::{Kind, stun};
use rift::{
    Channel, Config, Ecn, Endpoint, Established, Event, Guest, Identity, Instant, NoPictures, Noise, PathId,
    Permissions, PublicKey, Route, Session, SessionIndex, SignalStorage,
};
use wavry_e2e::process::clock;

/// The one address of the network that these tests make.
pub(crate) const ADDRESS: &str = "192.0.2.1";

/// 32 bytes of the system's entropy.
pub(crate) fn draw() -> [u8; 32] {
    let mut bytes = [0; 32];
    std::fs::File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
    bytes
}

pub(crate) fn bind() -> UdpSocket {
    let socket = UdpSocket::bind((ADDRESS, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    socket
}

/// Addresses as candidates.
pub(crate) fn candidates(addresses: impl IntoIterator<Item = SocketAddr>) -> Candidates {
    let mut candidates = Candidates::new();
    for address in addresses {
        candidates.push(CandidateKind::Host, address).unwrap();
    }
    candidates
}

/// Somebody who asked for nothing: what comes there is counted.
pub(crate) struct Bystander {
    socket: UdpSocket,
    pub(crate) address: SocketAddr,
    pub(crate) datagrams: usize,
    pub(crate) bytes: usize,
}

impl Bystander {
    pub(crate) fn new() -> Self {
        let socket = bind();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        Self { socket, address, datagrams: 0, bytes: 0 }
    }

    pub(crate) fn look(&mut self) {
        let mut datagram = [0; 2048];
        while let Ok(len) = self.socket.recv(&mut datagram) {
            (self.datagrams, self.bytes) = (self.datagrams + 1, self.bytes + len);
        }
    }
}

struct Device {
    guest: Guest<Box<SignalStorage>, Noise>,
    line: SignalLine,
    key: PublicKey,
    is_live: bool,
    waiting: VecDeque<Signal>,
}

/// See the module.
pub(crate) struct Rogue {
    pub(crate) address: SocketAddr,
    /// Whom it says to be.
    claims: PublicKey,
    /// Who it is.
    identity: Identity,
    socket: UdpSocket,
    endpoint: Box<Endpoint<Noise>>,
    devices: Vec<Option<Device>>,
    punches: Vec<Punch>,
    heard: VecDeque<(PublicKey, Signal)>,
    /// Sessions whose other end has shown that it takes this for what it claims to be.
    pub(crate) believed: usize,
    began: std::time::Instant,
}

impl Rogue {
    /// A gateway that has the key which its devices know.
    pub(crate) fn gateway() -> Self {
        let identity = Identity::from_secret(draw());
        Self::new(identity.public(), identity)
    }

    /// Who answers whoever calls `claims`, and has another key.
    pub(crate) fn new(claims: PublicKey, identity: Identity) -> Self {
        let socket = bind();
        let mut endpoint = Box::new(Endpoint::new(&claims, draw()));
        endpoint.set_pairing_window(true);
        Self {
            address: socket.local_addr().unwrap(),
            claims,
            identity,
            socket,
            endpoint,
            devices: Vec::new(),
            punches: Vec::new(),
            heard: VecDeque::new(),
            believed: 0,
            began: clock(),
        }
    }

    /// A link to this host, found by this gateway.
    pub(crate) fn link(&self, host: &str) -> String {
        format!("wavry://{host}@{}/{}", self.address, self.claims)
    }

    /// What `wavry-server` is to be told of this gateway.
    pub(crate) fn options(&self) -> Vec<String> {
        let (address, id) = (self.address.to_string(), self.claims.to_string());
        let words = ["--announce=false", "--map-port=false", "--gateway", &address, "--gateway-id", &id];
        words.map(str::to_owned).into()
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::from_millis(1_000) + self.began.elapsed()
    }

    /// Says something to a device that is there.
    pub(crate) fn say(&mut self, to: PublicKey, signal: Signal) {
        let devices = self.devices.iter_mut().flatten();
        let device = devices.filter(|device| device.is_live).find(|device| device.key == to);
        device.unwrap_or_else(|| panic!("{to} is not there")).waiting.push_back(signal);
    }

    /// Says what is no message.
    pub(crate) fn say_bytes(&mut self, to: PublicKey, bytes: &[u8]) {
        let now = self.now();
        let devices = self.devices.iter_mut().flatten();
        let device = devices.filter(|device| device.is_live).find(|device| device.key == to).unwrap();
        assert_eq!(device.guest.session.write(now, Channel::Control, bytes), Ok(bytes.len()));
    }

    /// Whether all that was to be said has been given to the sessions.
    pub(crate) fn is_said(&self) -> bool {
        self.devices.iter().flatten().all(|device| device.waiting.is_empty())
    }

    /// An introduction of this gateway's, to somebody who is to be found at these addresses.
    pub(crate) fn introduction(
        request: u16,
        peer: PublicKey,
        secret: [u8; 32],
        candidates: Candidates,
    ) -> Signal {
        let secret = MeetingSecret::from_bytes(secret);
        let calls = request > 0;
        Signal::Introduction(Introduction { request, calls, peer, secret, candidates, has_lease: false })
    }

    /// Answers the checks of this introduction, as who is called.
    pub(crate) fn expect(&mut self, secret: [u8; 32], peer: &Candidates) {
        let (secret, own) = (MeetingSecret::from_bytes(secret), candidates([self.address]));
        self.punches.push(Punch::new(self.now(), Side::Responder, &secret, &own, peer));
    }

    /// What a device said.
    pub(crate) fn hear(&mut self) -> Option<(PublicKey, Signal)> {
        self.heard.pop_front()
    }

    /// Takes what came, and sends what is due.
    pub(crate) fn turn(&mut self) {
        let mut datagram = [0; 2048];
        for _ in 0..64 {
            let Ok((len, from)) = self.socket.recv_from(&mut datagram) else { break };
            self.take(from, &mut datagram[..len]);
        }
        let now = self.now();
        let mut out = [0; 2048];
        for punch in &mut self.punches {
            punch.handle_timeout(now);
            while let Some((len, to)) = punch.poll_transmit(now, &mut out) {
                let _ = self.socket.send_to(&out[..len], to);
            }
        }
        for place in 0..self.devices.len() {
            self.serve(now, place);
        }
    }

    fn take(&mut self, from: SocketAddr, datagram: &mut [u8]) {
        let (now, mut reply) = (self.now(), [0; 2048]);
        match datagram.first().and_then(|&first| Kind::of(first)) {
            Some(Kind::Stun) => {
                if let Some(len) = stun::answer(datagram, from, &mut reply) {
                    let _ = self.socket.send_to(&reply[..len], from);
                }
                return;
            }
            Some(Kind::Probe) => {
                for punch in &mut self.punches {
                    // What is none of its checks changes nothing.
                    let _ = punch.handle_datagram(now, from, datagram);
                }
                return;
            }
            _ => {}
        }
        let identity = &self.identity;
        let responder = |opening| Noise::responder(identity, draw(), opening);
        match self.endpoint.handle_datagram(now, from, datagram, responder, &mut reply) {
            Ok(Route::Reply(len)) => drop(self.socket.send_to(&reply[..len], from)),
            Ok(Route::Established(established)) => self.open(now, from, established),
            Ok(Route::Session(index)) => {
                if let Some(Device { guest, .. }) = &mut self.devices[usize::from(index.0)] {
                    let path = guest.path_to(from);
                    let _ = guest.session.handle_datagram(now, path, now, Ecn::NotEct, datagram);
                }
            }
            Err(_) => {}
        }
    }

    fn open(&mut self, now: Instant, from: SocketAddr, established: Established) {
        let index = SessionIndex(u16::try_from(self.devices.len()).unwrap());
        if !self.endpoint.adopt(established.connection(), index) {
            return;
        }
        let key = established.peer();
        let memory = Box::new(SignalStorage::new());
        let mut session = Session::from_established(&Config::default(), established, memory, PathId(0), now);
        session.admit(now, Permissions::empty());
        let (guest, line) = (Guest::new(session, from), SignalLine::new());
        self.devices.push(Some(Device { guest, line, key, is_live: false, waiting: VecDeque::new() }));
    }

    fn serve(&mut self, now: Instant, place: usize) {
        let Some(device) = &mut self.devices[place] else { return };
        let Device { guest, line, key, is_live, waiting } = device;
        let (seen, session) = (guest.address(), &mut guest.session);
        session.handle_timeout(now);
        if session.wants_entropy() {
            session.add_entropy(now, draw());
        }
        while let Some(event) = session.poll_event() {
            if event == Event::Live {
                (*is_live, self.believed) = (true, self.believed + 1);
                waiting.push_back(Signal::Welcome { is_enrolled: true, seen });
            }
        }
        while let Some(signal) = line.hear(session) {
            self.heard.push_back((*key, signal));
        }
        while waiting.front().is_some_and(|signal| line.say(signal).is_ok()) {
            waiting.pop_front();
        }
        line.write(now, session);
        let mut out = [0; 2048];
        // Who is silent is told the same again and again.
        for _ in 0..32 {
            let Some(transmit) = guest.session.poll_transmit(now, &NoPictures, &mut out) else { break };
            let _ = self.socket.send_to(&out[..transmit.len], guest.place(transmit.path));
        }
        if guest.session.is_closed() {
            self.devices[place] = None;
            self.endpoint.release(SessionIndex(u16::try_from(place).unwrap()));
        }
    }
}
