//! Datagrams as long as the path carries them, found without anybody noticing (SPEC §16.7, SPEC §16.8, SPEC §16.9, SPEC §16.10).

use core::time::Duration;

use rift::delta::Outcome;
use rift::flight::FlightEntry;
use rift::{Config, Instant, PathId};
use rift_sim::flight::replay;
use rift_sim::peer::{Pair, PairConfig, Peer, Repertoire, Typist};
use rift_sim::{Captured, LinkConfig, Loss, Network, Random, Time};

const SEEDS: core::ops::Range<u64> = 1..3;
/// Bytes of IPv4 and UDP headers.
const AROUND: usize = 28;
/// At this grant a jumbo datagram takes less than a millisecond.
const FAST_BPS: u32 = 60_000_000;

fn session(bitrate_bps: u32) -> Config {
    Config {
        bitrate_bps_start: bitrate_bps,
        bitrate_bps_max: bitrate_bps,
        datagram_len_max: 8952,
        datagram_len_taken: 8952,
        ..Config::default()
    }
}

fn config(seed: u64, mtu: usize, loss: f64) -> PairConfig {
    let link = LinkConfig {
        delay: Duration::from_millis(10),
        payload_max: mtu - AROUND,
        loss: if loss > 0.0 { Loss::Random(loss) } else { Loss::None },
        ..LinkConfig::default()
    };
    let bitrate_bps = if mtu > 1500 { FAST_BPS } else { 8_000_000 };
    PairConfig {
        session: session(bitrate_bps),
        // The simulated encoder's pictures have a longest length.
        pictures_per_second: if mtu > 1500 { 120 } else { 60 },
        call: Some(1),
        ..PairConfig::new(seed, link)
    }
}

/// What the host sends its pictures in.
fn found(pair: &Pair) -> usize {
    pair.host().guests[0].session.datagram_len().into()
}

/// The longest time without a new picture since `from` and until now.
fn gap_since(pair: &Pair, from: Instant) -> Duration {
    let now = pair.network.local(pair.client);
    let shown = pair.client().shown.iter().map(|shown| shown.at);
    let (mut before, mut longest) = (from, Duration::ZERO);
    for at in shown.filter(|&at| at > from).chain([now]) {
        longest = longest.max(at - before);
        before = at;
    }
    longest
}

fn widths(pair: &mut Pair, mtu: usize) {
    pair.network.link_mut(pair.upward).payload_max = mtu - AROUND;
    pair.network.link_mut(pair.downward).payload_max = mtu - AROUND;
}

#[test]
fn path_of_every_width_is_used_as_far_as_it_goes() {
    for (seed, mtu, loss) in [1228, 1280, 1400, 1500, 9000]
        .into_iter()
        .flat_map(|mtu| SEEDS.flat_map(move |seed| [(seed, mtu, 0.0), (seed, mtu, 0.1)]))
    {
        let mut pair = Pair::new(&config(seed, mtu, loss));
        pair.network.run_until(Time::from_secs(4));
        let (len, most) = (found(&pair), (mtu - AROUND).min(8952));
        let least = if mtu > 1500 { 8952 } else { most - 16 };
        assert!((least..=most).contains(&len), "seed {seed}: {len} of {most} at a loss of {loss}");
        let own = usize::from(pair.client().session().datagram_len());
        assert!(own <= most, "seed {seed}: the client sends {own}");
        if loss == 0.0 {
            // Probes that were too long are no losses, to nobody.
            let stats = pair.host().guests[0].session.stats(Instant::ZERO);
            assert_eq!((stats.packets_lost, stats.loss_permille), (0, 0), "seed {seed}, {mtu}");
            assert_eq!(pair.client().session().stats(Instant::ZERO).pictures_lost, 0, "seed {seed}");
        }
    }
}

#[test]
fn slow_path_is_sent_no_long_datagrams_though_it_carries_them() {
    let mut config = config(1, 9000, 0.0);
    config.session = session(8_000_000);
    let mut pair = Pair::new(&config);
    pair.network.run_until(Time::from_secs(6));
    assert!((1472..=1500).contains(&found(&pair)), "{}: input would wait", found(&pair));
}

#[test]
fn path_that_becomes_narrower_stops_pictures_for_a_bounded_time() {
    let mut worst = Duration::ZERO;
    for (seed, loss) in [(1, 0.0), (2, 0.02)] {
        for (before, after) in [(1500, 1400), (1500, 1280), (9000, 1500), (9000, 1228)] {
            let mut pair = Pair::new(&config(seed, before, loss));
            let start = Pair::CLIENT_CLOCK.local(Time::from_secs(1));
            let typist = Typist::new(Random::new(seed), Repertoire::Presses, 400, 8_000, start);
            pair.network.act(pair.client, |peer: &mut Peer, _| peer.client_mut().typist = Some(typist));
            pair.network.run_until(Time::from_millis(2_500 + seed * 7));
            assert!(found(&pair) > after - AROUND, "seed {seed}: {}", found(&pair));
            let from = pair.network.local(pair.client);
            widths(&mut pair, after);
            pair.network.run_for(Duration::from_millis(1_500));
            let gap = gap_since(&pair, from);
            worst = worst.max(gap);
            assert!(gap <= Duration::from_millis(300), "seed {seed}: {before} to {after}: {gap:?}");
            assert_eq!(pair.host().guests[0].session.stats(Instant::ZERO).paths_narrowed, 1, "seed {seed}");
            pair.network.run_for(Duration::from_secs(2));
            let most = after - AROUND;
            assert!((most - 16..=most).contains(&found(&pair)), "seed {seed}: {}", found(&pair));
            let sent = pair.client().typist.as_ref().expect("it was set").sent().to_vec();
            let got: Vec<_> = pair.host().guests[0].input.iter().map(|&(_, event)| event).collect();
            assert!(sent.len() >= 400 && sent == got, "seed {seed}: input does not notice");
        }
    }
    println!("the longest gap was {worst:?}");
}

#[test]
fn losses_alone_make_no_path_narrower() {
    for seed in SEEDS {
        let mut pair = Pair::new(&config(seed, 1500, 0.1));
        pair.network.run_until(Time::from_secs(20));
        let stats = pair.host().guests[0].session.stats(Instant::ZERO);
        assert_eq!((stats.paths_narrowed, stats.datagram_len), (0, 1472), "seed {seed}");
    }
}

#[test]
fn path_that_becomes_wider_is_used_within_ten_minutes() {
    let config = PairConfig { session: session(600_000), pictures_per_second: 5, ..config(1, 1280, 0.0) };
    let mut pair = Pair::new(&config);
    pair.network.run_until(Time::from_secs(10));
    assert!(found(&pair) <= 1252, "{}", found(&pair));
    widths(&mut pair, 1500);
    pair.network.run_until(Time::from_secs(620));
    assert_eq!(found(&pair), 1472);
}

#[test]
fn another_path_begins_where_nothing_is_known() {
    for seed in SEEDS {
        let mut pair = Pair::new(&config(seed, 1500, 0.0));
        pair.network.run_until(Time::from_secs(3));
        assert_eq!(found(&pair), 1472);
        let address = pair.network.add_address(pair.client);
        pair.network.act(pair.client, |peer, now| {
            peer.client_mut().open_path(now, PathId(1), address).expect("a path is open");
            peer.client_mut().session_mut().move_to(now, PathId(1)).expect("it was opened");
        });
        assert_eq!(pair.client().session().datagram_len(), 1200);
        pair.network.run_for(Duration::from_millis(22));
        assert_eq!(found(&pair), 1200, "seed {seed}");
        pair.network.run_for(Duration::from_secs(2));
        assert_eq!(found(&pair), 1472, "seed {seed}");
    }
}

#[test]
fn changed_address_begins_where_nothing_is_known() {
    for seed in SEEDS {
        let mut pair = Pair::new(&config(seed, 1500, 0.0));
        pair.network.run_until(Time::from_secs(3));
        assert_eq!(found(&pair), 1472);
        let from = pair.network.local(pair.client);
        pair.network.rebind(pair.client);
        let is_forgotten = (0..60).any(|_| {
            pair.network.run_for(Duration::from_millis(1));
            found(&pair) == 1200
        });
        assert!(is_forgotten, "seed {seed}");
        pair.network.run_for(Duration::from_secs(2));
        assert_eq!(found(&pair), 1472, "seed {seed}");
        let gap = gap_since(&pair, from);
        assert!(gap <= Duration::from_millis(20 + 50 + 80), "seed {seed}: {gap:?}");
    }
}

/// SPEC §16.7.
#[test]
fn peer_that_takes_no_more_is_sent_no_more() {
    for taken in [1200, 1300] {
        let config = config(1, 1500, 0.0);
        let small = Config { datagram_len_max: 1200, datagram_len_taken: taken, ..config.session };
        let (_, host) = config.peers();
        let (client, _) = PairConfig { session: small, ..config.clone() }.peers();
        let mut network = Network::new(config.seed);
        network.record();
        let host = network.add_host(host, Pair::HOST_CLOCK);
        let client = network.add_host(client, Pair::CLIENT_CLOCK);
        network.connect(client, host, config.upward.clone(), config.downward.clone());
        network.run_until(Time::from_secs(3));
        let longest =
            network.captured().iter().filter(|seen| seen.from == host).map(|seen| seen.bytes.len()).max();
        assert_eq!(longest, Some(taken.into()));
        assert!(network.host(client).client().shown.len() > 100);
    }
}

#[test]
fn nothing_long_is_sent_to_who_may_be_a_recording() {
    let mut pair = Pair::new(&config(1, 1500, 0.0));
    pair.network.record();
    pair.network.run_until(Time::from_secs(1));
    let seen = pair.network.captured();
    let long = seen.iter().position(|seen| seen.from == pair.host && seen.bytes.len() > 1200);
    let long = long.expect("it was tried");
    let packets = seen[..long].iter().filter(|seen| seen.from == pair.client && seen.bytes[0] >= 0x40);
    assert!(packets.count() > 0, "the client has shown that it is there");
}

#[test]
fn length_that_the_system_refuses_is_left_at_once() {
    let mut pair = Pair::new(&config(1, 1500, 0.0));
    pair.network.run_until(Time::from_secs(3));
    assert_eq!(found(&pair), 1472);
    pair.network.act(pair.host, |peer, now| {
        let session = &mut peer.host_mut().guests[0].session;
        let path = session.path();
        session.handle_too_long(now, path, 1400);
        assert_eq!(session.datagram_len(), 1200);
    });
    pair.network.run_for(Duration::from_secs(3));
    assert!((1380..1400).contains(&found(&pair)), "{}", found(&pair));
}

/// SPEC §16.9: what was too long is no congestion.
#[test]
fn narrower_path_keeps_its_rate() {
    for seed in 1..6 {
        let mut config = config(seed, 1500, 0.0);
        config.session.bitrate_bps_min = 300_000;
        config.session.bitrate_bps_max = 2_500_000;
        config.session.bitrate_bps_start = 1_000_000;
        let mut pair = Pair::new(&config);
        pair.network.act(pair.host, |peer, _| peer.host_mut().records_flights = true);
        pair.network.run_until(Time::from_millis(5_000 + seed * 7));
        let grant = |pair: &Pair| pair.host().guests[0].session.budget().pacing_bps;
        let before = grant(&pair);
        widths(&mut pair, 1400);
        let narrowed = |pair: &Pair| pair.host().guests[0].session.stats(Instant::ZERO).paths_narrowed;
        while narrowed(&pair) == 0 {
            pair.network.run_for(Duration::from_millis(1));
        }
        let mut least = grant(&pair);
        for _ in 0..300 {
            pair.network.run_for(Duration::from_millis(3));
            least = least.min(grant(&pair));
        }
        assert!(least * 10 >= before * 9, "seed {seed}: {least} of {before} bit/s");
        let record = pair.host().guests[0].flight.borrow().clone();
        assert_eq!(replay(&config.session, &record).diverged_at, None, "seed {seed}: it is in the record");
    }
}

/// SPEC §16.9: what the path is known to carry and does not is told.
#[test]
fn loss_of_the_longest_datagrams_that_fit_is_loss() {
    let mut pair = Pair::new(&config(4, 1500, 0.02));
    pair.network.act(pair.host, |peer, _| peer.host_mut().records_flights = true);
    pair.network.run_until(Time::from_secs(6));
    let longest = found(&pair);
    assert_eq!(longest, 1500 - AROUND);
    let record = pair.host().guests[0].flight.borrow().clone();
    let is_lost = |entry: &&FlightEntry| {
        matches!(entry, FlightEntry::Report(told)
            if told.outcome == Outcome::Lost && usize::from(told.bytes) == longest)
    };
    let lost = record.iter().filter(is_lost).count();
    assert!(lost > 20, "{lost} of {longest} bytes");
}

/// SPEC §16.8: a host's flight record holds all that congestion control is told.
#[test]
fn congestion_control_is_told_of_no_probe() {
    let mut config = config(3, 1300, 0.0);
    config.session.bitrate_bps_min = 300_000;
    let mut pair = Pair::new(&config);
    pair.network.record();
    pair.network.act(pair.host, |peer, _| peer.host_mut().records_flights = true);
    pair.network.run_until(Time::from_secs(3));
    let host = pair.host;
    let is_lost = |sent: &&Captured| sent.from == host && sent.bytes.len() > 1300 - AROUND;
    let probes = pair.network.captured().iter().filter(is_lost).count();
    assert!(probes >= 6 && found(&pair) > 1200, "{probes} probes were lost, others arrived");
    let record = pair.host().guests[0].flight.borrow().clone();
    let told = |entry: &FlightEntry| match *entry {
        FlightEntry::Report(report) => report.outcome == Outcome::Lost,
        FlightEntry::Sent { bytes, is_reported, .. } => is_reported && usize::from(bytes) > 1300 - AROUND,
        FlightEntry::Received { .. }
        | FlightEntry::Feedback { .. }
        | FlightEntry::Silence { .. }
        | FlightEntry::Forgotten { .. }
        | FlightEntry::Restarted { .. }
        | FlightEntry::Window { .. }
        | FlightEntry::PictureRate { .. }
        | FlightEntry::Answered { .. }
        | FlightEntry::Grant { .. } => false,
    };
    assert!(record.len() > 1000 && !record.iter().any(told), "a probe was told");
}
