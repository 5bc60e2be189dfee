//! Sessions that begin with a hybrid handshake, in fragments and over bad networks (SPEC §4.19, SPEC §4.20).

#![cfg(feature = "experimental")]

use core::net::SocketAddr;

use rift::crypto::{CookieKey, Mac1Key, mac2};
use rift::limits::{DATAGRAM_MIN, REPLY_MAX};
use rift::wire::Kind;
use rift::wire::handshake::{CookieReply, Fragment};
use rift::{
    Callee, Config, Discard, Ecn, Endpoint, Event, Handshake, HybridNoise, Identity, Instant, NoPictures,
    Noise, Opening, PathId, Permissions, Route, Session, SessionIndex, Storage, Suite,
};
use rift_sim::Random;

type Memory = Storage<Vec<u8>, 64, 64, 0, 64>;
type Peer<H> = Session<Box<Memory>, H>;

const START: Instant = Instant::from_micros(1_000_000);
const STEP_US: u64 = 1_000;
const WAY_US: u64 = 10_000;

fn host_identity() -> Identity {
    Identity::from_secret([2; 32])
}

fn client_identity() -> Identity {
    Identity::from_secret([1; 32])
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 4000))
}

fn entropy(number: u8) -> [u8; 96] {
    core::array::from_fn(|at| number.wrapping_mul(31).wrapping_add(at as u8))
}

fn config() -> Config {
    Config { handshake_us: 10_000_000, ..Config::default() }
}

fn client(opening: Opening) -> Peer<HybridNoise> {
    let opening = opening.with_suite(Suite::Hybrid);
    let handshake = HybridNoise::hybrid_initiator(&client_identity(), &entropy(1), opening);
    let (host, memory) = (host_identity().public(), Box::new(Memory::new()));
    if opening.pattern == Opening::IK.pattern {
        let callee = Callee { host, counter: 7, token: None };
        return Session::call(&config(), handshake, &callee, 77, memory, PathId(0), START);
    }
    Session::connect(&config(), handshake, host, 77, memory, PathId(0), START)
}

/// A host, and what it computed.
struct Host {
    endpoint: Endpoint<HybridNoise>,
    handshakes: u8,
    session: Option<Peer<HybridNoise>>,
    reply: [u8; REPLY_MAX],
}

impl Host {
    fn new() -> Self {
        let endpoint = Endpoint::new(&host_identity().public(), [9; 32]);
        Self { endpoint, handshakes: 0, session: None, reply: [0; REPLY_MAX] }
    }

    fn route(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Result<Route, Discard> {
        let handshakes = &mut self.handshakes;
        let responder = |opening| {
            *handshakes += 1;
            HybridNoise::hybrid_responder(&host_identity(), &entropy(100 + *handshakes), opening)
        };
        self.endpoint.handle_datagram(now, from, datagram, responder, &mut self.reply)
    }

    /// What it answers at once, if anything.
    fn take(&mut self, now: Instant, from: SocketAddr, datagram: &mut [u8]) -> Vec<u8> {
        match self.route(now, from, datagram) {
            Ok(Route::Reply(len)) => return self.reply[..len].to_vec(),
            Ok(Route::Session(_)) => {
                let session = self.session.as_mut().expect("it was adopted");
                let _ = session.handle_datagram(now, PathId(0), now, Ecn::NotEct, datagram);
            }
            Ok(Route::Established(established)) => {
                assert_eq!(established.suite(), Suite::Hybrid);
                assert_eq!(established.peer(), client_identity().public());
                assert!(self.endpoint.adopt(established.connection(), SessionIndex(0)));
                let memory = Box::new(Memory::new());
                let mut session = Session::from_established(&config(), established, memory, PathId(0), now);
                session.admit(now, Permissions::default_control());
                self.session = Some(session);
            }
            Err(_) => {}
        }
        Vec::new()
    }
}

/// Everything a side wants to send.
fn sent(session: &mut Peer<HybridNoise>, now: Instant) -> Vec<Vec<u8>> {
    let mut out = [0; DATAGRAM_MIN];
    core::iter::from_fn(|| {
        session.poll_transmit(now, &NoPictures, &mut out).map(|sent| out[..sent.len].to_vec())
    })
    .collect()
}

/// When the client is admitted over a network that loses `loss` of 100 datagrams and reorders some; what the host
/// computed for that.
fn admitted(opening: Opening, seed: u64, loss: u64) -> Option<(u64, u8)> {
    let (mut host, mut client, mut random) = (Host::new(), client(opening), Random::new(seed));
    let mut way: Vec<(u64, bool, Vec<u8>)> = Vec::new();
    for step in 0..20_000 {
        let at_us = step * STEP_US;
        let now = START.plus_micros(at_us);
        client.handle_timeout(now);
        let mut departing: Vec<_> = sent(&mut client, now).into_iter().map(|bytes| (true, bytes)).collect();
        if let Some(session) = &mut host.session {
            session.handle_timeout(now);
            departing.extend(sent(session, now).into_iter().map(|bytes| (false, bytes)));
            if session.is_closed() {
                host.endpoint.release(SessionIndex(0));
            }
        }
        let arrived: Vec<_> = way.extract_if(.., |(due, ..)| *due <= at_us).collect();
        for (_, is_up, mut bytes) in arrived {
            if is_up {
                let reply = host.take(now, address(1), &mut bytes);
                departing.extend((!reply.is_empty()).then_some((false, reply)));
            } else {
                let _ = client.handle_datagram(now, PathId(0), now, Ecn::NotEct, &mut bytes);
            }
        }
        for (is_up, bytes) in departing {
            if random.below(100) >= loss {
                let jitter_us = if loss > 0 { random.below(3) * STEP_US } else { 0 };
                way.push((at_us + WAY_US + jitter_us, is_up, bytes));
            }
        }
        while let Some(event) = client.poll_event() {
            if let Event::Admitted(_) = event {
                return Some((at_us, host.handshakes));
            }
            if let Event::Closed(_) = event {
                return None;
            }
        }
    }
    panic!("seed {seed}: neither admitted nor given up");
}

/// SPEC §4.19.
#[test]
fn hybrid_handshake_costs_one_round_trip_more() {
    // Cookie, flight, and what a classical one takes: half a millisecond of rounding for each way.
    for (opening, ways) in [(Opening::IK, 4), (Opening::XX, 6)] {
        let (at_us, handshakes) = admitted(opening, 1, 0).expect("nothing is lost");
        assert!(at_us <= ways * (WAY_US + 4 * STEP_US), "{opening:?}: {at_us} µs");
        assert_eq!(handshakes, 1);
    }
}

/// SPEC §4.20.
#[test]
fn fragments_get_through_where_half_of_all_datagrams_are_lost() {
    for opening in [Opening::IK, Opening::XX] {
        for (loss, least) in [(10, 40), (30, 39), (50, 36)] {
            let admitted: Vec<_> = (0..40).filter_map(|seed| admitted(opening, seed, loss)).collect();
            println!("{opening:?}: {} of 40 at a loss of {loss} %", admitted.len());
            assert!(admitted.len() >= least, "{opening:?}: {} of 40 at {loss} %", admitted.len());
            // What is repeated is recognised: a flight costs one handshake, however often it comes.
            assert!(admitted.iter().all(|&(_, handshakes)| handshakes <= 2), "{opening:?}, {loss} %");
        }
    }
}

/// SPEC §4.20.
#[test]
fn nothing_is_kept_of_fragments_without_a_cookie() {
    let mut host = Host::new();
    let fragments = sent(&mut client(Opening::XX), START);
    assert_eq!(fragments.len(), 2);
    for from in 0..200 {
        for fragment in &fragments {
            let reply = host.take(START, address(from), &mut fragment.clone());
            assert_eq!(Kind::of(reply[0]), Some(Kind::Cookie));
            assert!(reply.len() * 3 < fragment.len());
        }
    }
    assert_eq!((host.handshakes, host.endpoint.pending()), (0, 0));
    // A cookie is good for its address only.
    let mut elsewhere = client(Opening::XX);
    let first = sent(&mut elsewhere, START);
    let mut cookie = host.take(START, address(1), &mut first[0].clone());
    elsewhere.handle_datagram(START, PathId(0), START, Ecn::NotEct, &mut cookie).expect("a cookie");
    let mut with_cookie = sent(&mut elsewhere, START);
    for fragment in &mut with_cookie {
        assert!(matches!(host.route(START, address(2), fragment), Err(Discard::Authentication)));
    }
    assert_eq!(host.handshakes, 0);
    for fragment in &mut with_cookie {
        host.take(START, address(1), fragment);
    }
    assert_eq!((host.handshakes, host.endpoint.pending()), (1, 1));
}

#[test]
fn damaged_fragment_costs_nothing_and_the_true_one_is_still_taken() {
    let (mut host, mut client) = (Host::new(), client(Opening::IK));
    let first = sent(&mut client, START);
    let mut cookie = host.take(START, address(1), &mut first[0].clone());
    client.handle_datagram(START, PathId(0), START, Ecn::NotEct, &mut cookie).expect("a cookie");
    let fragments = sent(&mut client, START);
    for fragment in &fragments {
        for bit in (0..fragment.len() * 8).step_by(53) {
            let mut forged = fragment.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(host.route(START, address(1), &forged).is_err(), "bit {bit}");
        }
        for len in (0..fragment.len()).step_by(101) {
            assert!(host.route(START, address(1), &fragment[..len]).is_err(), "{len} bytes");
        }
    }
    assert_eq!(host.handshakes, 0);
    for fragment in &fragments {
        host.take(START, address(1), &mut fragment.clone());
    }
    assert!(host.session.is_some());
}

/// Both fragments of a flight to the host once `change` has been at work, each with MACs that are right.
fn sealed_again(mut fragments: Vec<Vec<u8>>, cookie: [u8; 16], change: impl Fn(&mut [u8])) -> Vec<Vec<u8>> {
    let key = Mac1Key::new(&host_identity().public());
    for fragment in &mut fragments {
        change(fragment);
        let (with_mac1, last) = fragment.split_last_chunk_mut::<16>().expect("a whole fragment");
        let (text, place) = with_mac1.split_last_chunk_mut::<16>().expect("a whole fragment");
        *place = key.mac1(text);
        *last = mac2(&cookie, with_mac1);
    }
    fragments
}

/// SPEC §4.20: who has a cookie and knows the host's key can seal any fragment; what they make up must agree with itself.
#[test]
fn fragments_that_belie_their_flight_are_refused() {
    const HEAD: usize = 12;
    type Change = fn(&mut [u8]);
    let changes: [(&str, Change); 4] = [
        ("its own mac1, after the half that names it", |fragment| {
            if fragment[3] == 1 {
                let end = fragment[HEAD..HEAD + Fragment::PIECE_LEN].iter().rposition(|&byte| byte != 0);
                fragment[HEAD + end.expect("it ends with a MAC")] ^= 1;
            }
        }),
        ("the newest version", |fragment| fragment[2] += 1),
        ("the newest version inside", |fragment| {
            if fragment[3] == 0 {
                fragment[HEAD + 2] += 1;
            }
        }),
        ("the name", |fragment| fragment[4] ^= 1),
    ];
    for opening in [Opening::IK, Opening::XX] {
        let (mut host, mut client) = (Host::new(), client(opening));
        let first = sent(&mut client, START);
        let mut reply = host.take(START, address(1), &mut first[0].clone());
        let sealed = CookieReply::parse(&reply).expect("a cookie").sealed;
        let mac1 = Fragment::parse(&first[0]).expect("a fragment").mac1;
        let key = CookieKey::new(&host_identity().public());
        let cookie = key.open(&mac1, &sealed).expect("sealed for this fragment");
        client.handle_datagram(START, PathId(0), START, Ecn::NotEct, &mut reply).expect("a cookie");
        let fragments = sent(&mut client, START);
        assert_eq!(sealed_again(fragments.clone(), cookie, |_| {}), fragments);
        for (what, change) in changes {
            let changed = sealed_again(fragments.clone(), cookie, change);
            let first = host.route(START, address(1), &changed[0]);
            assert!(matches!(first, Err(Discard::Unexpected)), "{opening:?}, {what}: {first:?}");
            let whole = host.route(START, address(1), &changed[1]);
            assert!(matches!(whole, Err(Discard::Authentication)), "{opening:?}, {what}: {whole:?}");
            assert_eq!((host.handshakes, host.endpoint.pending()), (0, 0), "{opening:?}, {what}");
        }
        for fragment in &fragments {
            host.take(START, address(1), &mut fragment.clone());
        }
        assert_eq!(host.handshakes, 1);
    }
}

/// SPEC §4.20.
#[test]
fn flight_of_a_stranger_is_dealt_with_while_the_pairing_window_is_open() {
    for is_open in [true, false] {
        let mut host = Host::new();
        host.endpoint.set_pairing_window(is_open);
        let handshake = HybridNoise::hybrid_initiator(&client_identity(), &entropy(1), Opening::XX);
        let memory = Box::new(Memory::new());
        let mut stranger = Session::approach(&config(), handshake, 77, memory, PathId(0), START);
        let first = sent(&mut stranger, START);
        if !is_open {
            assert!(matches!(host.route(START, address(1), &first[0]), Err(Discard::Authentication)));
            continue;
        }
        let mut cookie = host.take(START, address(1), &mut first[0].clone());
        stranger.handle_datagram(START, PathId(0), START, Ecn::NotEct, &mut cookie).expect("a cookie");
        for fragment in &mut sent(&mut stranger, START) {
            host.take(START, address(1), fragment);
        }
        assert_eq!((host.handshakes, host.endpoint.pending()), (1, 1));
    }
}

#[test]
fn flights_half_arrived_are_few_and_the_newest_is_among_them() {
    let mut host = Host::new();
    let mut late = None;
    for from in 0..60 {
        let mut client = client(Opening::XX);
        let first = sent(&mut client, START);
        let mut cookie = host.take(START, address(from), &mut first[0].clone());
        client.handle_datagram(START, PathId(0), START, Ecn::NotEct, &mut cookie).expect("a cookie");
        let fragments = sent(&mut client, START);
        host.take(START, address(from), &mut fragments[0].clone());
        late = Some((from, fragments));
    }
    assert_eq!((host.handshakes, host.endpoint.pending()), (0, 0));
    let (from, fragments) = late.expect("the last one");
    host.take(START, address(from), &mut fragments[1].clone());
    assert_eq!((host.handshakes, host.endpoint.pending()), (1, 1));
    // Whose first fragment has made room begins again.
    assert!(size_of::<Endpoint<Noise>>() < size_of::<Endpoint<HybridNoise>>());
}

/// SPEC §4.19/2.
#[test]
fn host_of_the_other_suite_is_not_talked_to_and_nobody_is_talked_down() {
    // A host that was told to be hybrid takes no classical flight.
    let mut host = Host::new();
    let handshake = Noise::initiator(&client_identity(), [3; 32], Opening::XX);
    let memory = Box::new(Memory::new());
    let mut classical =
        Session::connect(&config(), handshake, host_identity().public(), 77, memory, PathId(0), START);
    let mut out = [0; DATAGRAM_MIN];
    let flight = classical.poll_transmit(START, &NoPictures, &mut out).expect("a flight");
    assert!(matches!(host.route(START, address(1), &out[..flight.len]), Err(Discard::Unexpected)));
    // A classical host has no session for a hybrid client, and the client takes no classical response.
    let mut host = Endpoint::<Noise>::new(&host_identity().public(), [9; 32]);
    let mut client = client(Opening::XX);
    let mut reply = [0; REPLY_MAX];
    for _ in 0..2 {
        for fragment in sent(&mut client, START) {
            let responder = |opening| Noise::responder(&host_identity(), [4; 32], opening);
            match host.handle_datagram(START, address(1), &fragment, responder, &mut reply) {
                Ok(Route::Reply(len)) => {
                    let reply = &mut reply[..len];
                    client.handle_datagram(START, PathId(0), START, Ecn::NotEct, reply).expect("a cookie");
                }
                other => assert!(matches!(other, Err(Discard::Unexpected)), "{other:?}"),
            }
        }
    }
    assert_eq!(host.pending(), 0);
}

#[test]
fn memory_of_hybrid_handshakes_is_bounded() {
    let (hybrid, classical) = (size_of::<HybridNoise>(), size_of::<Noise>());
    let (endpoint, session) = (size_of::<Endpoint<HybridNoise>>(), size_of::<Peer<HybridNoise>>());
    println!("a state {hybrid} bytes (classical {classical}), an endpoint {endpoint}, a session {session}");
    assert!(hybrid <= 1_800 && classical <= 400);
    // SPEC §4.20: 64 half done, 4 half arrived, 32 answers.
    assert!(endpoint <= 272 * 1024);
    assert_eq!(
        HybridNoise::hybrid_initiator(&host_identity(), &entropy(1), Opening::XX).suite(),
        Suite::Hybrid
    );
}
