//! What stands behind a host's end of the cable beside the host's own stack: a real gateway on another port, the host's
//! conversation with it, and a NAT that lets nothing in from where the host has sent nothing.

use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeSet;
use std::rc::Rc;

use rift::crypto::Side;
use rift::paths::{CandidateKind, Candidates, Punch, SignalLine};
use rift::wire::Kind;
use rift::wire::signal::{EnrolmentToken, Signal};
use rift::{
    Callee, Config, Ecn, Identity, Instant, NoPictures, Noise, Opening, PathId, PublicKey, Session,
    SignalStorage,
};
use rift_sim::Random;
use wavry_gateway::state::{DeviceRecord, Gateway, Registry, Relays, Request};
use wavry_interop::End;
use wavry_interop::board::PORT;
use wavry_interop::frames::Frames;
use wavry_interop::parties::host_identity;

use crate::thin_parts::{BOARD, HOST, Shared};

/// Where the gateway is: on the host's machine, which saves the test another one.
pub(crate) const GATEWAY_PORT: u16 = 4748;
/// With this a board enrols.
pub(crate) const TOKEN: EnrolmentToken = EnrolmentToken([7; 16]);

/// Who the gateway is.
pub(crate) fn gateway_identity() -> Identity {
    Identity::from_secret([77; 32])
}

/// See the module.
pub(crate) struct Town {
    now: Instant,
    pub(crate) gateway: Gateway<Box<dyn FnMut() -> [u8; 32]>>,
    /// Boards that have enrolled, one for each token that was good.
    pub(crate) enrolled: Vec<PublicKey>,
    random: Random,
    session: Session<Box<SignalStorage>, Noise>,
    line: SignalLine,
    /// The host lets this board be introduced.
    pub(crate) granted: Option<PublicKey>,
    is_granted: bool,
    is_enrolled: bool,
    candidates: Candidates,
    punches: Vec<Punch>,
    /// Where the host has sent something.
    pub(crate) opened: BTreeSet<SocketAddr>,
    /// Datagrams that the NAT kept out.
    pub(crate) kept_out: u32,
    end: End,
}

impl Town {
    pub(crate) fn new(end: End, seed: u64, now: Instant) -> Self {
        let mut draws = Random::new(seed ^ 0x6a);
        let entropy: Box<dyn FnMut() -> [u8; 32]> = Box::new(move || draws.bytes32());
        let name = "the host".to_owned();
        let records = vec![DeviceRecord { key: host_identity().public(), name, grants: Vec::new() }];
        let registry = Registry::new(records, BTreeSet::new(), Relays::new(&[]));
        let gateway = Gateway::new(gateway_identity(), [5; 32], 1_700_000_000_000_000, registry, entropy);
        let mut random = Random::new(seed ^ 0x6b);
        let handshake = Noise::initiator(&host_identity(), random.bytes32(), Opening::IK);
        let callee = Callee { host: gateway_identity().public(), counter: now.as_micros(), token: None };
        let (memory, config) = (Box::new(SignalStorage::new()), Config::default());
        let session = Session::call(&config, handshake, &callee, 0x1000, memory, PathId(0), now);
        let mut candidates = Candidates::new();
        let own = SocketAddr::from((HOST.address, PORT));
        candidates.push(CandidateKind::Host, own).expect("an address of its own");
        Self {
            now,
            gateway,
            enrolled: Vec::new(),
            random,
            session,
            line: SignalLine::new(),
            granted: None,
            is_granted: false,
            is_enrolled: false,
            candidates,
            punches: Vec::new(),
            opened: BTreeSet::new(),
            kept_out: 0,
            end,
        }
    }

    /// Does what is due.
    pub(crate) fn step(&mut self, now: Instant) {
        self.now = now;
        self.gateway.handle_timeout(now);
        while let Some(request) = self.gateway.poll_request() {
            if let Request::Redeem { session, key, name, token } = request {
                let is_good = token == TOKEN && self.enrolled.is_empty();
                self.enrolled.extend(is_good.then_some(key));
                self.gateway.on_redeemed(now, session, key, is_good.then_some(name));
            }
        }
        self.work();
        let mut out = [0; 2048];
        while let Some((len, to)) = self.gateway.poll_transmit(now, &mut out) {
            if to == SocketAddr::from((HOST.address, PORT)) {
                let _ = self.session.handle_datagram(now, PathId(0), now, Ecn::NotEct, &mut out[..len]);
            } else {
                self.end.send(frame(GATEWAY_PORT, to, &out[..len]));
            }
        }
        for punch in &mut self.punches {
            punch.handle_timeout(now);
            while let Some((len, to)) = punch.poll_transmit(now, &mut out) {
                // This machine has no IPv6.
                if to.is_ipv4() {
                    self.opened.insert(to);
                    self.end.send(frame(PORT, to, &out[..len]));
                }
            }
        }
    }

    /// The host's conversation with the gateway.
    fn work(&mut self) {
        let now = self.now;
        self.session.handle_timeout(now);
        if self.session.wants_entropy() {
            self.session.add_entropy(now, self.random.bytes32());
        }
        while self.session.poll_event().is_some() {}
        while let Some(signal) = self.line.hear(&mut self.session) {
            if let Signal::Welcome { is_enrolled, .. } = signal {
                self.is_enrolled = is_enrolled;
                let candidates = self.candidates.clone();
                self.line.say(&Signal::Present { is_host: true, candidates }).expect("there is room");
            } else if let Signal::Introduction(met) = signal {
                let (own, peer) = (&self.candidates, &met.candidates);
                self.punches = vec![Punch::new(now, Side::Responder, &met.secret, own, peer)];
            }
        }
        if let Some(peer) = self.granted.filter(|_| self.is_enrolled && !self.is_granted) {
            self.line.say(&Signal::Grant { peer, may: true }).expect("there is room");
            self.is_granted = true;
        }
        self.line.write(now, &mut self.session);
        let (mut out, from) = ([0; 2048], SocketAddr::from((HOST.address, PORT)));
        while let Some(transmit) = self.session.poll_transmit(now, &NoPictures, &mut out) {
            self.gateway.handle_datagram(now, from, Ecn::NotEct, &mut out[..transmit.len]);
        }
    }

    /// Whether this frame is nothing for the host's own stack.
    fn takes(&mut self, frame: &mut [u8]) -> bool {
        const HEADS_LEN: usize = 14 + 20 + 8;
        if frame.len() < HEADS_LEN || frame[12..15] != [8, 0, 0x45] || frame[23] != 17 {
            return false;
        }
        let port = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
        let (from_port, to_port, len) = (port(34), port(36), usize::from(port(38)));
        let from = SocketAddr::from(([frame[26], frame[27], frame[28], frame[29]], from_port));
        let payload = &mut frame[HEADS_LEN..34 + len];
        if to_port == GATEWAY_PORT {
            self.gateway.handle_datagram(self.now, from, Ecn::NotEct, payload);
            return true;
        }
        if !self.opened.contains(&from) {
            self.kept_out += 1;
            return true;
        }
        let is_check = payload.first().and_then(|&first| Kind::of(first)) == Some(Kind::Probe);
        if is_check {
            for punch in &mut self.punches {
                // What is none of its checks changes nothing.
                let _ = punch.handle_datagram(self.now, from, payload);
            }
        }
        is_check
    }
}

/// What the host's stack sees of its cable.
pub(crate) struct Behind {
    pub(crate) end: End,
    pub(crate) town: Shared<Town>,
}

impl Behind {
    pub(crate) fn new(end: End, town: &Shared<Town>) -> Self {
        Self { end, town: Rc::clone(town) }
    }
}

impl Frames for Behind {
    fn receive(&mut self) -> Option<Vec<u8>> {
        loop {
            let mut frame = self.end.receive()?;
            if !self.town.borrow_mut().takes(&mut frame) {
                return Some(frame);
            }
        }
    }

    fn send(&mut self, frame: Vec<u8>) {
        self.end.send(frame);
    }
}

/// A datagram from the host's machine to the board (RFC 791, RFC 768), without a checksum of its own.
fn frame(from: u16, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let IpAddr::V4(ip) = to.ip() else { panic!("the board was heard by IPv4") };
    let len = |more: usize| u16::try_from(payload.len() + more).expect("it is short").to_be_bytes();
    let mut head = [0; 20];
    (head[0], head[8], head[9]) = (0x45, 64, 17);
    head[2..4].copy_from_slice(&len(28));
    head[12..16].copy_from_slice(&HOST.address.octets());
    head[16..].copy_from_slice(&ip.octets());
    let sum: u32 = head.as_chunks::<2>().0.iter().map(|&pair| u32::from(u16::from_be_bytes(pair))).sum();
    let folded = !(((sum & 0xffff) + (sum >> 16)) as u16);
    head[10..12].copy_from_slice(&folded.to_be_bytes());
    let ports = [from.to_be_bytes(), to.port().to_be_bytes()].concat();
    let [board, host] = [BOARD.hardware, HOST.hardware].map(|hardware| hardware.to_vec());
    [board, host, vec![8, 0], head.to_vec(), ports, len(8).to_vec(), vec![0, 0], payload.to_vec()].concat()
}
