//! Keys are replaced while a session runs, and nobody notices but who had stolen them (SPEC §5.4–§5.6).

use core::cell::RefCell;
use core::net::SocketAddr;
use core::time::Duration;
use std::rc::Rc;

use rift::crypto::{PacketKey, packet_number};
use rift::wire::DataHeader;
use rift::{
    ChaChaPoly, CloseReason, Config, Discard, Ecn, Endpoint, Event, Handshake, HandshakeError, Identity,
    Instant, NoPictures, Noise, Opening, PathId, PublicKey, Route, Secrets, Session, Storage,
};
use rift_sim::peer::{Pair, PairConfig, Peer, Repertoire, Typist};
use rift_sim::{LinkConfig, Loss, Random, Time};

const SEEDS: core::ops::Range<u64> = 1..5;

fn config(seed: u64, key_us: u32, link: LinkConfig) -> PairConfig {
    let session =
        Config { bitrate_bps_start: 2_000_000, bitrate_bps_max: 3_000_000, key_us, ..Config::default() };
    PairConfig { session, pictures_per_second: 30, ..PairConfig::new(seed, link) }
}

fn generations(pair: &Pair) -> [u32; 2] {
    let now = pair.network.local(pair.client);
    let client = pair.client().session().stats(now).key_generation;
    [client, pair.host().guests[0].session.stats(pair.network.local(pair.host)).key_generation]
}

#[test]
fn renewals_cost_no_picture_and_no_packet_on_a_clean_path() {
    let link = LinkConfig { delay: Duration::from_millis(15), ..LinkConfig::default() };
    let gap_with = |key_us: u32| {
        let mut pair = Pair::new(&config(1, key_us, link.clone()));
        pair.network.run_until(Time::from_secs(20));
        let [client, host] = generations(&pair);
        assert!(client.abs_diff(host) <= 1, "{client} and {host} renewals");
        assert!(pair.client().discards.is_empty() && pair.host().discards.is_empty(), "every packet opens");
        let shown = &pair.client().shown;
        assert!(shown.windows(2).all(|pair| pair[1].id.0 == pair[0].id.0 + 1), "none is missing");
        let gap = shown.windows(2).map(|pair| pair[1].at - pair[0].at).max().expect("pictures");
        (client, gap)
    };
    let (none, usual) = gap_with(300_000_000);
    let (many, gap) = gap_with(150_000);
    assert!(none == 0 && many > 50, "{many} renewals");
    assert!(gap < usual + Duration::from_millis(1), "a gap of {gap:?}, and of {usual:?} without renewals");
}

#[test]
fn loss_and_reordering_stop_neither_renewals_nor_input() {
    for seed in SEEDS {
        let link = LinkConfig {
            delay: Duration::from_millis(20),
            loss: Loss::Random(0.2),
            reorder: 0.1,
            reorder_delay: Duration::from_millis(30),
            duplicate: 0.05,
            ..LinkConfig::default()
        };
        let mut pair = Pair::new(&config(seed, 200_000, link));
        let start = Pair::CLIENT_CLOCK.local(Time::from_secs(1));
        let typist = Typist::new(Random::new(seed), Repertoire::Presses, 2000, 8_000, start);
        pair.network.act(pair.client, |peer: &mut Peer, _| peer.client_mut().typist = Some(typist));
        pair.network.run_until(Time::from_secs(25));
        let [client, host] = generations(&pair);
        assert!(client > 25 && client.abs_diff(host) <= 1, "seed {seed}: {client} and {host} renewals");
        let sent = pair.client().typist.as_ref().expect("it was set").sent().to_vec();
        let got: Vec<_> = pair.host().guests[0].input.iter().map(|&(_, event)| event).collect();
        assert!(sent == got && sent.len() >= 2000, "seed {seed}: {} of {}", got.len(), sent.len());
        let late = |peer: &[Discard]| peer.iter().filter(|&&why| why == Discard::Authentication).count();
        let (client, host) = (late(&pair.client().discards), late(&pair.host().discards));
        // Only what comes more than three round trips late finds its key gone.
        assert_eq!((client, host), (0, 0), "seed {seed}");
    }
}

/// SPEC §5.4.
#[test]
fn keys_live_five_minutes_in_an_hour_and_a_session_without_entropy_ends_before_they_are_too_old() {
    let link =
        LinkConfig { delay: Duration::from_millis(20), loss: Loss::Random(0.05), ..LinkConfig::default() };
    let mut pair = Pair::new(&PairConfig::new(1, link));
    pair.network.run_until(Time::from_secs(3600));
    assert_eq!(pair.client().closed(), None);
    assert_eq!(generations(&pair), [11, 11]);

    let mut wire = Wire::connect(&Config::default());
    wire.run(Instant::from_millis(599_000), false);
    assert!(wire.client.is_established() && wire.host.is_established());
    wire.run(Instant::from_millis(601_000), false);
    let events = core::iter::from_fn(|| wire.client.poll_event());
    assert_eq!(events.last(), Some(Event::Closed(CloseReason::Exhausted)));
    let events = core::iter::from_fn(|| wire.host.poll_event());
    assert_eq!(events.last(), Some(Event::Closed(CloseReason::Exhausted)));
}

#[test]
fn keys_stolen_from_the_handshake_open_nothing_after_the_first_renewal() {
    let mut wire = Wire::connect(&Config { key_us: 1_000_000, ..Config::default() });
    wire.run(Instant::from_millis(900), true);
    let before = wire.opened_by_thief();
    assert_eq!(before, (wire.sent.len(), 0), "the thief's tools work");
    wire.run(Instant::from_millis(2000), true);
    wire.sent.clear();
    wire.run(Instant::from_millis(60_000), true);
    let (opened, closed) = wire.opened_by_thief();
    assert!(opened == 0 && closed > 200, "{opened} of {closed}");
    assert!(wire.client.stats(wire.now).key_generation > 50);
}

/// A handshake that gives a copy of its outcome away.
struct Leaky(Noise, Rc<RefCell<Option<Secrets>>>);

impl Handshake for Leaky {
    type Aead = ChaChaPoly;

    fn pattern(&self) -> rift::Pattern {
        self.0.pattern()
    }

    fn write_message(&mut self, payload: &[u8], out: &mut [u8]) -> Result<usize, HandshakeError> {
        self.0.write_message(payload, out)
    }

    fn read_message(&mut self, message: &[u8], payload: &mut [u8]) -> Result<usize, HandshakeError> {
        self.0.read_message(message, payload)
    }

    fn expect_peer(&mut self, peer: PublicKey) {
        self.0.expect_peer(peer);
    }

    fn peer(&self) -> Option<PublicKey> {
        self.0.peer()
    }

    fn finish(&mut self) -> Option<Secrets> {
        let secrets = self.0.finish();
        self.1.replace(secrets.clone());
        secrets
    }
}

type Memory = Box<Storage<Vec<u8>, 64, 64, 0, 64>>;

/// A client and a host without a network between them, and everything that passed.
struct Wire {
    client: Session<Memory, Leaky>,
    host: Session<Memory, Noise>,
    stolen: Secrets,
    sent: Vec<(bool, Vec<u8>)>,
    now: Instant,
    random: Random,
}

impl Wire {
    fn connect(config: &Config) -> Self {
        let (client, host) = (Identity::from_secret([1; 32]), Identity::from_secret([2; 32]));
        let (path, now) = (PathId(0), Instant::ZERO);
        let outcome = Rc::default();
        let leaky = Leaky(Noise::initiator(&client, [3; 32], Opening::XX), Rc::clone(&outcome));
        let mut client = Session::connect(config, leaky, host.public(), 77, Memory::default(), path, now);
        let mut endpoint = Endpoint::new(&host.public(), [5; 32]);
        let from = SocketAddr::from(([10, 0, 0, 9], 4433));
        let (mut out, mut reply) = ([0; 1200], [0; 1200]);
        let established = loop {
            let sent = client.poll_transmit(now, &NoPictures, &mut out).expect("the handshake goes on");
            let responder = |opening| Noise::responder(&host, [4; 32], opening);
            match endpoint.handle_datagram(now, from, &out[..sent.len], responder, &mut reply) {
                Ok(Route::Established(established)) => break established,
                Ok(Route::Reply(len)) => client
                    .handle_datagram(now, path, now, Ecn::NotEct, &mut reply[..len])
                    .expect("the host's answer"),
                other => panic!("{other:?}"),
            }
        };
        let host = Session::from_established(config, established, Memory::default(), path, now);
        let stolen = outcome.borrow_mut().take().expect("the handshake is over");
        Self { client, host, stolen, sent: Vec::new(), now, random: Random::new(1) }
    }

    /// Lets both talk until `end`; entropy comes only if they are given any.
    fn run(&mut self, end: Instant, with_entropy: bool) {
        let mut out = [0; 1200];
        while self.now < end {
            self.now = self.now.plus_micros(5_000);
            let now = self.now;
            self.client.handle_timeout(now);
            self.host.handle_timeout(now);
            if with_entropy && self.client.wants_entropy() {
                self.client.add_entropy(now, self.random.bytes32());
            }
            if with_entropy && self.host.wants_entropy() {
                self.host.add_entropy(now, self.random.bytes32());
            }
            while let Some(sent) = self.client.poll_transmit(now, &NoPictures, &mut out) {
                self.sent.push((true, out[..sent.len].to_vec()));
                let taken = self.host.handle_datagram(now, PathId(0), now, Ecn::NotEct, &mut out[..sent.len]);
                assert!(taken.is_ok() || !self.client.is_established(), "{taken:?}");
            }
            while let Some(sent) = self.host.poll_transmit(now, &NoPictures, &mut out) {
                self.sent.push((false, out[..sent.len].to_vec()));
                let taken =
                    self.client.handle_datagram(now, PathId(0), now, Ecn::NotEct, &mut out[..sent.len]);
                assert!(taken.is_ok() || !self.host.is_established(), "{taken:?}");
            }
        }
    }

    /// How many of the recorded packets open with the handshake's keys, and how many do not.
    fn opened_by_thief(&self) -> (usize, usize) {
        let opens = |&(by_client, ref bytes): &(bool, Vec<u8>)| {
            let mut bytes = bytes.clone();
            let header = DataHeader::parse(&bytes).expect("sealed data");
            let (head, sealed) = bytes.split_at_mut(DataHeader::LEN);
            let (text, tag) = sealed.split_at_mut(sealed.len() - 16);
            let tag: [u8; 16] = (&*tag).try_into().expect("16 bytes");
            let secret = if by_client { self.stolen.send } else { self.stolen.receive };
            let number = packet_number::expand(header.packet_number, 0);
            PacketKey::<ChaChaPoly>::new(secret).open(0, number, head, text, &tag)
        };
        let opened = self.sent.iter().filter(|&sent| opens(sent)).count();
        (opened, self.sent.len() - opened)
    }
}
