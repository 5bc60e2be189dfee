//! Hostile datagrams: whatever an attacker sends is discarded with a counter and changes nothing else (SPEC §5, §8).

use core::time::Duration;

use rift::crypto::Mac1Key;
use rift::wire::DataHeader;
use rift::wire::handshake::FirstFlight;
use rift::{
    Channel, CloseReason, Config, Discard, Ecn, Event, Handshake, Identity, Instant, Noise, Opening,
    Permissions, Stats,
};
use rift_sim::peer::{ClientPeer, Pair, PairConfig, Peer, Repertoire, Typist};
use rift_sim::{Captured, Clock, Host, LinkConfig, Network, NodeId, Packet, Random, Time};

/// What is done to each datagram before it is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attack {
    None,
    /// Every bit is flipped, one at a time.
    EachBit,
    /// Cut at every length, and made longer.
    EachLength,
    /// Delivered again afterwards, together with those before it.
    Replay,
    /// Random bytes of every kind and many lengths.
    Garbage,
}

/// A peer under attack: the attacker's datagrams reach it first, and it must not notice.
struct Victim {
    peer: Peer,
    attack: Attack,
    random: Random,
    seen: Vec<(NodeId, Vec<u8>)>,
    attacks: u64,
}

impl Victim {
    fn receive(&mut self, now: Instant, from: NodeId, datagram: &mut [u8]) -> Result<(), Discard> {
        match &mut self.peer {
            Peer::Client(client) => client.receive(now, NodeId(1), Ecn::NotEct, datagram),
            Peer::Host(host) => host.receive(now, from, Ecn::NotEct, datagram),
        }
    }

    /// Everything an attack may not change.
    fn state(&mut self, now: Instant) -> String {
        match &mut self.peer {
            Peer::Client(client) => {
                let stats = without_discards(client.session().stats(now));
                let log = (client.events.len(), client.shown.len(), client.control.len(), client.timer());
                format!("{stats:?} {log:?}")
            }
            Peer::Host(host) => {
                let pending = host.pending();
                let guests = host.guests.iter_mut().map(|guest| {
                    let stats = without_discards(guest.session.stats(now));
                    (
                        stats,
                        guest.input.len(),
                        guest.events.len(),
                        guest.control.len(),
                        guest.session.poll_timeout(),
                    )
                });
                format!("{:?} {pending}", guests.collect::<Vec<_>>())
            }
        }
    }

    fn discarded(&mut self, now: Instant) -> u64 {
        let sum = |stats: Stats| {
            stats.discarded_authentication
                + stats.discarded_malformed
                + stats.discarded_no_room
                + stats.discarded_replay
        };
        match &mut self.peer {
            Peer::Client(client) => sum(client.session().stats(now)),
            Peer::Host(host) => host.guests.iter().map(|guest| sum(guest.session.stats(now))).sum(),
        }
    }

    /// Delivers what must be discarded.
    fn provoke(&mut self, now: Instant, from: NodeId, mut datagram: Vec<u8>, what: &str) {
        self.attacks += 1;
        let (before, counted) = (self.discarded(now), self.is_counted(&datagram));
        let original = datagram.clone();
        let result = self.receive(now, from, &mut datagram);
        // A packet for nobody may be answered by a reset (SPEC §6.6): that changes nothing either.
        let is_for_nobody = !counted && DataHeader::parse(&original).is_some();
        if result.is_ok() {
            let mut reply = Packet::default();
            assert!(self.peer.poll_packet(now, &mut reply), "{what} is taken at {now:?}");
            assert!(is_for_nobody && reply.bytes[0] == 0x20 && reply.bytes.len() < original.len(), "{what}");
        }
        assert_eq!(
            self.discarded(now) - before,
            u64::from(counted),
            "{what} is counted at {now:?}: {result:?}"
        );
    }

    /// Whether the datagram reaches a session, which counts it: a client's always does, a host's when routed there.
    fn is_counted(&mut self, datagram: &[u8]) -> bool {
        match &self.peer {
            Peer::Client(_) => true,
            Peer::Host(host) => {
                let header = DataHeader::parse(datagram);
                let ids = host.guests.iter().map(|guest| guest.session.connection());
                header.is_some_and(|header| ids.into_iter().any(|id| id == header.connection))
            }
        }
    }

    fn attack_before(&mut self, now: Instant, packet: &Packet) {
        let original = &packet.bytes;
        match self.attack {
            Attack::None | Attack::Replay => {}
            Attack::EachBit => {
                for bit in 0..original.len() * 8 {
                    let mut flipped = original.clone();
                    flipped[bit / 8] ^= 1 << (bit % 8);
                    self.provoke(
                        now,
                        packet.from,
                        flipped,
                        &format!("bit {bit} of {} bytes", original.len()),
                    );
                }
            }
            Attack::EachLength => {
                for len in 0..original.len() {
                    self.provoke(
                        now,
                        packet.from,
                        original[..len].to_vec(),
                        &format!("a cut to {len} bytes"),
                    );
                }
                let mut longer = original.clone();
                longer.extend([0; 17]);
                for len in original.len() + 1..longer.len() {
                    self.provoke(now, packet.from, longer[..len].to_vec(), "a longer one");
                }
            }
            Attack::Garbage => {
                for kind in 0..=255u8 {
                    let len = usize::try_from(self.random.below(1300)).expect("small") + 1;
                    let mut garbage = vec![0; len];
                    self.random.fill(&mut garbage);
                    garbage[0] = kind;
                    // Some of it is addressed to a session that is there.
                    let addressed = original.len().min(len).min(8);
                    if kind % 2 == 0 && addressed > 1 {
                        garbage[1..addressed].copy_from_slice(&original[1..addressed]);
                    }
                    self.provoke(now, packet.from, garbage, "garbage");
                }
            }
        }
    }

    fn attack_after(&mut self, now: Instant, from: NodeId, original: Vec<u8>) {
        if self.attack != Attack::Replay {
            return;
        }
        self.seen.push((from, original));
        for index in 0..self.seen.len() {
            let (from, replayed) = self.seen[index].clone();
            // A repeated first flight is answered again with the same bytes: the client may not have got them.
            if replayed[0] != 0x10 {
                self.provoke(now, from, replayed, "a replay");
            }
        }
    }
}

impl Host for Victim {
    fn handle_packet(&mut self, now: Instant, packet: &mut Packet) {
        let state = self.state(now);
        self.attack_before(now, packet);
        assert_eq!(self.state(now), state, "an attack changed something at {now:?}");
        let original = packet.bytes.clone();
        self.peer.handle_packet(now, packet);
        let state = self.state(now);
        self.attack_after(now, packet.from, original);
        assert_eq!(self.state(now), state, "a replay changed something at {now:?}");
    }

    fn poll_packet(&mut self, now: Instant, packet: &mut Packet) -> bool {
        self.peer.poll_packet(now, packet)
    }

    fn next_wake(&mut self) -> Option<Instant> {
        self.peer.next_wake()
    }

    fn handle_wake(&mut self, now: Instant) {
        self.peer.handle_wake(now);
    }
}

const fn without_discards(stats: Stats) -> Stats {
    Stats {
        discarded_malformed: 0,
        discarded_authentication: 0,
        discarded_replay: 0,
        discarded_no_room: 0,
        ..stats
    }
}

/// A short session with every channel in use, under attack; the datagrams sent and how often it was attacked.
fn attacked(seed: u64, attack: Attack) -> (Vec<Captured>, u64, usize) {
    let session = Config {
        bitrate_bps_min: 200_000,
        bitrate_bps_start: 300_000,
        bitrate_bps_max: 300_000,
        ..Config::default()
    };
    let link = LinkConfig { delay: Duration::from_millis(5), ..LinkConfig::default() };
    let config = PairConfig { session, pictures_per_second: 15, ..PairConfig::new(seed, link.clone()) };
    let random = Random::new(seed);
    let (client, host) = config.peers();
    let mut network = Network::new(seed);
    let victim = |peer| Victim {
        peer,
        attack,
        random: random.fork(random.clone().next_u64()),
        seen: Vec::new(),
        attacks: 0,
    };
    let host = network.add_host(victim(host), Pair::HOST_CLOCK);
    let client = network.add_host(victim(client), Pair::CLIENT_CLOCK);
    assert_eq!(host, PairConfig::HOST, "the client calls this node");
    network.connect(client, host, link.clone(), link);
    network.record();
    let typist = Typist::new(random.fork(7), Repertoire::Everything, 20, 10_000, Instant::ZERO);
    network.act(client, |victim, _| victim.peer.client_mut().typist = Some(typist));
    network.run_until(Time::from_millis(60));
    network.act(client, |victim, now| {
        victim
            .peer
            .client_mut()
            .session_mut()
            .write(now, Channel::Control, b"a word to the host")
            .expect("connected");
    });
    network.run_until(Time::from_millis(450));
    let attacks = network.host(client).attacks + network.host(host).attacks;
    let shown = network.host(client).peer.client().shown.len();
    assert_eq!(network.host(host).peer.host().guests[0].control, b"a word to the host");
    assert!(network.host(host).peer.host().guests[0].input.len() >= 20, "seed {seed}");
    (network.captured().to_vec(), attacks, shown)
}

fn assert_unaffected(seed: u64, attack: Attack, attacks_min: u64) {
    let (undisturbed, _, shown) = attacked(seed, Attack::None);
    assert!(shown >= 2, "seed {seed}: {shown} pictures");
    let (captured, attacks, shown_under_attack) = attacked(seed, attack);
    assert!(attacks >= attacks_min, "seed {seed}: {attacks}");
    assert!(captured == undisturbed, "seed {seed}: every datagram sent is the same, at the same time");
    assert_eq!(shown_under_attack, shown, "seed {seed}");
}

/// SPEC §5.2/1.
#[test]
fn every_flipped_bit_of_every_datagram_is_discarded_and_changes_nothing() {
    assert_unaffected(1, Attack::EachBit, 100_000);
}

#[test]
fn every_truncated_or_longer_datagram_is_discarded_and_changes_nothing() {
    for seed in 1..4 {
        assert_unaffected(seed, Attack::EachLength, 10_000);
    }
}

/// SPEC §5.2/2.
#[test]
fn every_replayed_datagram_is_discarded_and_changes_nothing() {
    for seed in 1..4 {
        assert_unaffected(seed, Attack::Replay, 1_000);
    }
}

/// SPEC §2.2.
#[test]
fn garbage_of_every_kind_is_discarded_and_changes_nothing() {
    for seed in 1..4 {
        assert_unaffected(seed, Attack::Garbage, 10_000);
    }
}

#[test]
fn replayed_first_flight_is_answered_with_the_same_bytes_and_starts_nothing() {
    let mut pair = Pair::new(&PairConfig::new(5, LinkConfig::default()));
    pair.network.record();
    pair.network.run_until(Time::from_secs(1));
    let initiation = pair.network.captured()[0].clone();
    let response = pair.network.captured()[1].bytes.clone();
    for copy in 0..100 {
        pair.network.inject(Duration::from_millis(copy), initiation.from, initiation.to, &initiation.bytes);
    }
    pair.network.run_until(Time::from_secs(2));
    assert_eq!(pair.host().guests.len(), 1);
    assert!(pair.host().pending() <= 1, "{} places among the pending", pair.host().pending());
    let answers = pair.network.captured().iter().skip(2).filter(|sent| sent.bytes[0] == 0x11);
    let longest = answers.map(|sent| sent.bytes.len()).max().expect("it is answered");
    assert_eq!(longest, response.len());
    assert!(longest < 3 * initiation.bytes.len(), "nobody is sent three times what they sent");
}

/// SPEC §6.1/1.
#[test]
fn stranger_with_a_valid_handshake_gets_no_channel() {
    let link = LinkConfig { delay: Duration::from_millis(10), ..LinkConfig::default() };
    for seed in 1..6 {
        let mut config = PairConfig::new(seed, link.clone());
        config.pictures_per_second = 30;
        config.session.bitrate_bps_start = 1_000_000;
        config.session.bitrate_bps_max = 2_000_000;
        let mut pair = Pair::new(&config);
        pair.network.run_until(Time::from_secs(1));
        let mut random = Random::new(seed).fork(0xbad);
        let stranger = Identity::from_secret(random.bytes32());
        let now = Clock::default().local(pair.network.now());
        let host_key = pair.host_identity.public();
        let client = ClientPeer::new(&Config::default(), &stranger, host_key, pair.host, &mut random, now);
        let node = pair.network.add_host(Peer::Client(Box::new(client)), Clock::default());
        pair.network.connect(node, pair.host, link.clone(), link.clone());
        let typist = Typist::new(random.fork(1), Repertoire::Everything, 1000, 1000, now);
        pair.network.act(node, |peer, _| peer.client_mut().typist = Some(typist));
        pair.network.run_until(Time::from_secs(3));
        let client = pair.network.host(node).client();
        let events: Vec<Event> = client.events.iter().map(|&(_, event)| event).collect();
        let expected = [Event::Authenticated(host_key), Event::Closed(CloseReason::Refused)];
        assert_eq!(events, expected, "seed {seed}");
        assert!(
            client.shown.is_empty() && client.control.is_empty() && client.cursors.is_empty(),
            "seed {seed}"
        );
        assert!(client.typist.as_ref().is_some_and(|typist| typist.sent().is_empty()), "seed {seed}");
        assert_eq!(pair.host().turned_away, [stranger.public()], "seed {seed}");
        assert_eq!(pair.host().guests.len(), 1, "seed {seed}: no session was made");
        assert!(pair.network.node_stats(node).received <= 2, "seed {seed}: a response and a refusal");
        assert!(pair.client().shown.len() > 50, "seed {seed}: the guest notices nothing");
    }
}

#[test]
fn flood_of_first_flights_does_not_keep_a_client_out() {
    for seed in 1..4 {
        let link = LinkConfig { delay: Duration::from_millis(10), ..LinkConfig::default() };
        let mut pair = Pair::new(&PairConfig::new(seed, link));
        let mut random = Random::new(seed).fork(0xf100d);
        let key = Mac1Key::new(&pair.host_identity.public());
        // The worst attacker: one who knows the host's key and uses a new ephemeral key each time.
        for count in 0..2000 {
            let stranger = Identity::from_secret(random.bytes32());
            let mut handshake = Noise::initiator(&stranger, random.bytes32(), Opening::XX);
            let (mut noise, mut datagram) = ([0; 256], [0; 256]);
            let len = handshake.write_message(&[0; 4], &mut noise).expect("its turn");
            let len = FirstFlight::emit(&mut datagram, Opening::XX, &noise[..len], |bytes| key.mac1(bytes))
                .expect("room");
            pair.network.inject(
                Duration::from_micros(count * 1000),
                pair.client,
                pair.host,
                &datagram[..len],
            );
        }
        pair.network.run_until(Time::from_millis(1500));
        assert!(pair.host().pending() <= rift::limits::PENDING_HANDSHAKES, "seed {seed}");
        assert_eq!(
            pair.client().session().permissions(),
            Some(Permissions::default_control()),
            "seed {seed}"
        );
        assert_eq!(pair.host().guests.len(), 1, "seed {seed}");
        // What the host answers is never three times what it was sent.
        let (sent, received) = (pair.network.node_stats(pair.host).sent_bytes, 1500 * 128);
        assert!(sent < 3 * received, "seed {seed}: {sent} bytes");
    }
}
