//! A gateway and devices, joined without a network: what one sends the other has a millisecond later.

use core::net::SocketAddr;
use std::collections::BTreeSet;

use rift::paths::SignalLine;
use rift::paths::relay::Lease;
use rift::wire::signal::{EnrolmentToken, Signal};
use rift::{
    Callee, Config, Ecn, Event, Identity, Instant, NoPictures, Noise, Opening, PathId, PublicKey, Session,
    SignalStorage,
};
use wavry_gateway::state::{Gateway, Order, Outcome, Registry, Relays, Request};

pub(crate) const GATEWAY_AT: SocketAddr =
    SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 200)), 4748);

/// The token of this number; all are good once.
pub(crate) const TOKEN: fn(u8) -> EnrolmentToken = |number| EnrolmentToken([number; 16]);

struct Device {
    session: Session<Box<SignalStorage>, Noise>,
    line: SignalLine,
    at: SocketAddr,
    key: PublicKey,
    heard: Vec<Signal>,
    is_pulled: bool,
    /// Datagrams that were sent to it.
    told: usize,
}

/// All of them, and the clock.
pub(crate) struct House {
    pub(crate) gateway: Gateway<Box<dyn FnMut() -> [u8; 32]>>,
    host: PublicKey,
    devices: Vec<Device>,
    spent: BTreeSet<[u8; 16]>,
    now: Instant,
    drawn: u64,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::with_relays(&[])
    }

    /// With leases, which are signed by nobody here.
    pub(crate) fn with_relays(relays: &[(PublicKey, Option<SocketAddr>)]) -> Self {
        let identity = Identity::from_secret([77; 32]);
        let host = identity.public();
        let mut drawn = 0u64;
        let entropy: Box<dyn FnMut() -> [u8; 32]> = Box::new(move || {
            drawn += 1;
            let mut bytes = [3; 32];
            bytes[..8].copy_from_slice(&drawn.to_be_bytes());
            bytes
        });
        let registry = Registry::new(Vec::new(), BTreeSet::new(), Relays::new(relays));
        Self {
            gateway: Gateway::new(identity, [5; 32], 1_700_000_000_000_000, registry, entropy),
            host,
            devices: Vec::new(),
            spent: BTreeSet::new(),
            now: Instant::from_millis(1_000),
            drawn: 0,
        }
    }

    /// A device of this key comes, and has time to be there; its place.
    pub(crate) fn add(&mut self, seed: u8) -> usize {
        let place = self.call(seed);
        self.run(100);
        place
    }

    /// A device of this key calls; its place.
    pub(crate) fn call(&mut self, seed: u8) -> usize {
        self.drawn += 1;
        let identity = Identity::from_secret([seed; 32]);
        let place = self.devices.len();
        let mut entropy = [0x55; 32];
        entropy[..8].copy_from_slice(&self.drawn.to_be_bytes());
        let handshake = Noise::initiator(&identity, entropy, Opening::IK);
        let callee = Callee { host: self.host, counter: self.now.as_micros(), token: None };
        let memory = Box::new(SignalStorage::new());
        let connection = 0x1000 + u32::try_from(place).expect("few devices");
        let session =
            Session::call(&Config::default(), handshake, &callee, connection, memory, PathId(0), self.now);
        let last = u8::try_from(place + 1).expect("few devices");
        self.devices.push(Device {
            session,
            line: SignalLine::new(),
            at: ([198, 51, 100, last], 4000).into(),
            key: identity.public(),
            heard: Vec::new(),
            is_pulled: false,
            told: 0,
        });
        place
    }

    /// From now on a device says nothing, and hears nothing.
    pub(crate) fn mute(&mut self, at: usize) {
        self.devices[at].is_pulled = true;
    }

    /// How many datagrams were sent to a device.
    pub(crate) fn told(&self, at: usize) -> usize {
        self.devices[at].told
    }

    /// What an operator wants; everybody has time to hear of it.
    pub(crate) fn obey(&mut self, order: Order) -> Outcome {
        let outcome = self.gateway.obey(self.now, order);
        self.run(20);
        outcome
    }

    pub(crate) fn key(&self, at: usize) -> PublicKey {
        self.devices[at].key
    }

    pub(crate) fn is_closed(&self, at: usize) -> bool {
        self.devices[at].session.is_closed()
    }

    /// A device says something, and everybody has time to hear it.
    pub(crate) fn say(&mut self, at: usize, signal: &Signal) {
        self.devices[at].line.say(signal).expect("there is room");
        self.run(20);
    }

    /// What a device has heard since it was asked last.
    pub(crate) fn heard(&mut self, at: usize) -> Vec<Signal> {
        core::mem::take(&mut self.devices[at].heard)
    }

    /// A device is gone without a word; long enough for the gateway to notice.
    pub(crate) fn pull(&mut self, at: usize) {
        self.devices[at].is_pulled = true;
        self.run(6_000);
    }

    /// A datagram from somebody; what is sent to them at once.
    pub(crate) fn throw(&mut self, from: SocketAddr, datagram: &[u8]) -> Vec<(SocketAddr, Vec<u8>)> {
        self.gateway.handle_datagram(self.now, from, Ecn::NotEct, &mut datagram.to_vec());
        self.sent()
    }

    fn sent(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        let (mut sent, mut out) = (Vec::new(), [0; 2048]);
        while let Some((len, to)) = self.gateway.poll_transmit(self.now, &mut out) {
            sent.push((to, out[..len].to_vec()));
            assert!(sent.len() < 10_000, "no end at {:?}", self.now);
        }
        sent
    }

    /// Time passes.
    pub(crate) fn run(&mut self, millis: u64) {
        for _ in 0..millis {
            self.now = self.now.plus_micros(1_000);
            for at in 0..self.devices.len() {
                self.work(at);
            }
            self.gateway.handle_timeout(self.now);
            while let Some(request) = self.gateway.poll_request() {
                if let Request::Lend(peers, relay) = request {
                    let shares = [1, 2].map(|number| Lease {
                        relay: relay.address,
                        relay_key: relay.key,
                        tag: [9; 8],
                        secret: [number; 32],
                        expires_s: 1,
                        token: heapless::Vec::from_slice(&[b'x'; 600]).expect("it fits"),
                    });
                    self.gateway.on_lease(self.now, peers, shares);
                } else if let Request::Redeem { session, key, name, token } = request {
                    let is_good = self.spent.insert(token.0);
                    self.gateway.on_redeemed(self.now, session, key, is_good.then_some(name));
                }
            }
            for (to, mut bytes) in self.sent() {
                let Some(device) = self.devices.iter_mut().find(|device| device.at == to) else { continue };
                device.told += 1;
                if !device.is_pulled {
                    let session = &mut device.session;
                    let _ = session.handle_datagram(self.now, PathId(0), self.now, Ecn::NotEct, &mut bytes);
                }
            }
        }
    }

    fn work(&mut self, at: usize) {
        let (now, device) = (self.now, &mut self.devices[at]);
        if device.is_pulled {
            return;
        }
        let Device { session, line, heard, .. } = device;
        session.handle_timeout(now);
        if session.wants_entropy() {
            self.drawn += 1;
            let mut entropy = [0x66; 32];
            entropy[..8].copy_from_slice(&self.drawn.to_be_bytes());
            session.add_entropy(now, entropy);
        }
        while let Some(event) = session.poll_event() {
            assert_ne!(event, Event::Authenticated(PublicKey::from_bytes([0; 32])));
        }
        while let Some(signal) = line.hear(session) {
            heard.push(signal);
        }
        line.write(now, session);
        let mut out = [0; 2048];
        let mut sent = Vec::new();
        while let Some(transmit) = session.poll_transmit(now, &NoPictures, &mut out) {
            sent.push(out[..transmit.len].to_vec());
        }
        let from = device.at;
        for mut bytes in sent {
            self.gateway.handle_datagram(now, from, Ecn::NotEct, &mut bytes);
        }
    }
}
