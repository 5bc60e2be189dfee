//! A host that has lost a session says so to whom it concerns, and to nobody else (SPEC §6.5, §6.6).

use core::net::SocketAddr;
use core::time::Duration;

use rift::wire::path::Reset;
use rift::wire::{DataHeader, Kind};
use rift::{
    Callee, Channel, CloseReason, Config, Discard, Endpoint, Event, Identity, Instant, Noise, Permissions,
    Route,
};
use rift_sim::peer::{ClientPeer, Pair, PairConfig, Parcel, Peer, Repertoire, Typist};
use rift_sim::{Fate, LinkConfig, Loss, Random, Time};

const SEEDS: core::ops::Range<u64> = 1..9;

fn link(delay_ms: u64, loss: f64) -> LinkConfig {
    let delay = Duration::from_millis(delay_ms);
    LinkConfig { delay, loss: Loss::Random(loss), ..LinkConfig::default() }
}

fn config(seed: u64, delay_ms: u64, loss: f64) -> PairConfig {
    let session = Config { bitrate_bps_start: 4_000_000, bitrate_bps_max: 6_000_000, ..Config::default() };
    PairConfig { session, pictures_per_second: 60, ..PairConfig::new(seed, link(delay_ms, loss)) }
}

fn closed(pair: &Pair, from: usize) -> Option<CloseReason> {
    let reason =
        |&(_, event): &(Instant, Event)| if let Event::Closed(reason) = event { Some(reason) } else { None };
    pair.client().events[from..].iter().find_map(reason)
}

/// The host is gone for a while and comes back without its sessions. Returns how long after that the client had its
/// next picture, if the first session ended by a reset.
fn restart(config: &PairConfig, down: Duration) -> Duration {
    let mut pair = Pair::new(config);
    pair.network.run_until(Time::from_millis(3_000 + config.seed * 7));
    assert!(pair.client().shown.len() > 10, "seed {}", config.seed);
    pair.network.set_tamper(|_, _| Fate::Drop);
    pair.network.act(pair.host, |peer, _| peer.host_mut().restart());
    pair.network.run_for(down);
    pair.network.clear_tamper();
    let back_at = pair.network.now();
    let before = pair.client().events.len();
    let step = Duration::from_millis(1);
    let client = pair.client;
    let is_reset = |peer: &Peer| peer.client().session().is_closed();
    assert!(
        pair.network
            .run_while(back_at + Duration::from_secs(4), step, |network| is_reset(network.host(client)))
    );
    assert_eq!(closed(&pair, before), Some(CloseReason::Reset), "seed {}", config.seed);
    let shown = pair.client().shown.len();
    let token = pair.client().token;
    assert!(token.is_some(), "the host gave a token");
    let callee = Callee { host: pair.host_identity.public(), counter: 1_000_000, token };
    let (identity, host) = (pair.client_identity.clone(), pair.host);
    pair.network.act(client, |peer, now| {
        let random = &mut Random::new(config.seed);
        let again = ClientPeer::calling(&config.session, &identity, &callee, host, random, now);
        peer.client_mut().go_on_as(again);
    });
    let is_back = |peer: &Peer| peer.client().shown.len() > shown;
    assert!(
        pair.network
            .run_while(back_at + Duration::from_secs(9), step, |network| is_back(network.host(client)))
    );
    pair.network.now() - back_at
}

/// SPEC §6.6/1.
#[test]
fn picture_is_back_three_round_trips_after_the_host_has_restarted() {
    for seed in SEEDS {
        for delay_ms in [20, 50, 100] {
            let took = restart(&config(seed, delay_ms, 0.0), Duration::from_millis(300));
            // The first picture waits for the camera's next moment, and five times as large as others it takes five
            // times as long to leave.
            let most = Duration::from_millis(6 * delay_ms + 17 + 60);
            assert!(took <= most, "seed {seed}: {took:?} at a round trip of {} ms", 2 * delay_ms);
        }
    }
}

#[test]
fn lost_resets_are_made_up_for() {
    for seed in SEEDS {
        let took = restart(&config(seed, 25, 0.2), Duration::from_millis(300));
        assert!(took < Duration::from_millis(1500), "seed {seed}: {took:?}");
    }
}

/// SPEC §6.6/1. Dozens of packets are under way to a host that answers each.
#[test]
fn client_that_sends_a_lot_over_a_long_path_believes_its_host() {
    let mut most = 0;
    for seed in SEEDS {
        let config = PairConfig { permissions: Permissions::all(), ..config(seed, 100, 0.0) };
        let mut pair = Pair::new(&config);
        pair.network.act(pair.client, |peer, now| {
            peer.client_mut().parcel = Some(Parcel::new(Channel::File, vec![7; 4_000_000]));
            let random = Random::new(seed);
            peer.client_mut().typist = Some(Typist::new(random, Repertoire::Everything, 10_000, 1_000, now));
        });
        pair.network.run_until(Time::from_millis(3_000 + seed * 7));
        let sent = |pair: &Pair| {
            pair.client().session().stats(Pair::CLIENT_CLOCK.local(pair.network.now())).packets_sent
        };
        let before = sent(&pair);
        pair.network.run_for(Duration::from_millis(200));
        most = most.max(sent(&pair) - before);
        pair.network.act(pair.host, |peer, _| peer.host_mut().restart());
        pair.network.run_for(Duration::from_millis(500));
        assert_eq!(pair.client().closed(), Some(CloseReason::Reset), "seed {seed}");
    }
    assert!(most > 32, "{most} packets in a round trip");
}

#[test]
fn client_that_saw_a_still_screen_notices_within_a_second() {
    let mut pair = Pair::new(&PairConfig::new(1, link(25, 0.0)));
    pair.network.run_until(Time::from_secs(5));
    pair.network.act(pair.host, |peer, _| peer.host_mut().restart());
    pair.network.run_for(Duration::from_millis(1_100));
    assert_eq!(pair.client().closed(), Some(CloseReason::Reset));
}

/// SPEC §6.6/2.
#[test]
fn forged_and_old_resets_change_nothing() {
    let mut pair = Pair::new(&config(1, 20, 0.0));
    pair.network.record();
    pair.network.run_until(Time::from_secs(2));
    // What the true host would answer to packets of long ago, and what others would answer to the newest.
    let mut known = Endpoint::<Noise>::new(&pair.host_identity.public(), [7; 32]);
    let from = SocketAddr::from(([10, 0, 0, 1], 4433));
    let mut count = 0;
    let sent: Vec<Vec<u8>> = pair
        .network
        .captured()
        .iter()
        .filter(|sent| {
            sent.from == pair.client
                && sent.bytes.first().and_then(|&first| Kind::of(first)) == Some(Kind::Data)
        })
        .map(|sent| sent.bytes.clone())
        .collect();
    for bytes in sent.iter().rev().take(60) {
        let responder = |_| unreachable!("no handshake");
        let mut reply = [0; 64];
        let route = known.handle_datagram(Instant::from_millis(1), from, bytes, responder, &mut reply);
        let Ok(Route::Reply(len)) = route else { panic!("{route:?}") };
        assert!(len == Reset::LEN && len < bytes.len(), "the answer is shorter than its trigger");
        let mut reset = reply[..len].to_vec();
        let (client, host) = (pair.client, pair.host);
        for bit in [None, Some(9), Some(60), Some(100), Some(191)] {
            if let Some(bit) = bit {
                reset[bit / 8] ^= 1 << (bit % 8);
            }
            pair.network.inject(Duration::ZERO, host, client, &reset);
            count += 1;
        }
    }
    let before = pair.client().discards.len();
    pair.network.run_for(Duration::from_millis(1));
    let discards = &pair.client().discards[before..];
    assert_eq!(discards.len(), count);
    assert!(discards.iter().all(|&why| why == Discard::Authentication), "{discards:?}");
    assert!(pair.client().session().is_established());
}

/// SPEC §6.6.
#[test]
fn strangers_packets_are_answered_seldom_and_with_less_than_they_sent() {
    let host = Identity::from_secret([2; 32]).public();
    let mut endpoint = Endpoint::<Noise>::new(&host, [5; 32]);
    let from = SocketAddr::from(([10, 0, 0, 9], 4433));
    let mut random = Random::new(1);
    let (mut answered, mut reply) = (0, [0; 256]);
    for step in 0..100_000 {
        let now = Instant::from_micros(1_000_000 + step * 10);
        let connection = u32::try_from(random.next_u64() >> 32).expect("32 bits");
        let header = DataHeader { phase: false, connection, packet_number: 1 };
        let len = 8 + usize::try_from(random.below(60)).expect("small");
        let mut datagram = header.to_bytes().to_vec();
        datagram.resize(len, 0x5a);
        let responder = |_| unreachable!("no handshake");
        match endpoint.handle_datagram(now, from, &datagram, responder, &mut reply) {
            Ok(Route::Reply(short)) => {
                assert!(short < len, "{short} for {len}");
                answered += 1;
            }
            Err(Discard::UnknownConnection) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!((200..=300).contains(&answered), "{answered} answers in a second");
}
