//! How sessions live without work and how they end (SPEC §6).

use core::time::Duration;

use rift::{CloseReason, Config, Event};
use rift_sim::peer::{Pair, PairConfig, Peer};
use rift_sim::{Fate, LinkConfig, Loss, Network, NodeId, QueueLimit, Rate, Time};

const SEEDS: core::ops::Range<u64> = 1..9;

fn link(loss: f64) -> LinkConfig {
    LinkConfig { delay: Duration::from_millis(20), loss: Loss::Random(loss), ..LinkConfig::default() }
}

fn host_closed(pair: &Pair) -> Option<CloseReason> {
    let events = &pair.host().guests[0].events;
    events.iter().find_map(|&(_, event)| if let Event::Closed(reason) = event { Some(reason) } else { None })
}

#[test]
fn idle_session_lives_for_an_hour_on_a_few_packets_a_second() {
    let mut pair = Pair::new(&PairConfig::new(1, link(0.05)));
    pair.network.run_until(Time::from_secs(10));
    let before = [pair.client, pair.host].map(|node| pair.network.node_stats(node));
    pair.network.run_until(Time::from_secs(3610));
    assert_eq!((pair.client().closed(), host_closed(&pair)), (None, None));
    for (node, before) in [pair.client, pair.host].into_iter().zip(before) {
        let after = pair.network.node_stats(node);
        let (packets, bytes) = (after.sent - before.sent, after.sent_bytes - before.sent_bytes);
        assert!(packets <= 3600 * 5, "{node:?} sent {packets} packets in an hour");
        assert!(bytes <= 3600 * 400, "{node:?} sent {bytes} bytes in an hour");
    }
}

#[test]
fn silence_of_the_peer_ends_a_session_on_both_sides() {
    for seed in SEEDS {
        let mut pair = Pair::new(&PairConfig::new(seed, link(0.0)));
        pair.network.run_until(Time::from_secs(2));
        pair.network.set_tamper(|_, _| Fate::Drop);
        pair.network.run_until(Time::from_millis(5900));
        assert_eq!((pair.client().closed(), host_closed(&pair)), (None, None), "seed {seed}");
        pair.network.run_until(Time::from_millis(7200));
        assert_eq!(pair.client().closed(), Some(CloseReason::Idle), "seed {seed}");
        assert_eq!(host_closed(&pair), Some(CloseReason::Idle), "seed {seed}");
        let (client, host) = (pair.client, pair.host);
        let sent = |network: &Network<Peer>, node: NodeId| network.node_stats(node).sent;
        let before = sent(&pair.network, client) + sent(&pair.network, host);
        pair.network.run_until(Time::from_secs(60));
        assert_eq!(
            sent(&pair.network, client) + sent(&pair.network, host),
            before,
            "seed {seed}: all is quiet"
        );
    }
}

#[test]
fn revocation_reaches_the_client_within_a_round_trip_and_a_lossy_one_soon_after() {
    for (seed, loss) in SEEDS.map(|seed| (seed, if seed < 4 { 0.0 } else { 0.2 })) {
        let config = PairConfig { pictures_per_second: 30, ..PairConfig::new(seed, link(loss)) };
        let session =
            Config { bitrate_bps_start: 1_000_000, bitrate_bps_max: 2_000_000, ..Config::default() };
        let mut pair = Pair::new(&PairConfig { session, ..config });
        pair.network.run_until(Time::from_secs(2));
        let host = pair.host;
        let closed_at = pair.network.now();
        pair.network.act(host, |peer, now| peer.host_mut().session_mut(0).close(now, CloseReason::Revoked));
        assert_eq!(host_closed(&pair), Some(CloseReason::Local), "seed {seed}");
        let shown = pair.client().shown.len();
        pair.network.run_for(Duration::from_secs(1));
        assert_eq!(pair.client().closed(), Some(CloseReason::Revoked), "seed {seed}, {loss} lost");
        let at = pair.client().events.last().expect("it is over").0;
        let took = at - Pair::CLIENT_CLOCK.local(closed_at);
        assert!(took < Duration::from_secs(1), "seed {seed}: {took:?}");
        assert!(pair.client().shown.len() <= shown + 2, "seed {seed}: what was under way, and nothing more");
        let after_end = [pair.client, pair.host].map(|node| pair.network.node_stats(node).sent);
        pair.network.run_for(Duration::from_secs(10));
        assert_eq!([pair.client, pair.host].map(|node| pair.network.node_stats(node).sent), after_end);
        assert_eq!(
            pair.client().events.iter().filter(|(_, event)| matches!(event, Event::Closed(_))).count(),
            1
        );
    }
}

#[test]
fn pictures_leave_paced_and_in_time_at_fifty_megabits() {
    let downward = LinkConfig {
        rate: Rate::Constant(200_000_000),
        queue: QueueLimit::Time(Duration::from_millis(100)),
        delay: Duration::from_millis(1),
        ..LinkConfig::default()
    };
    let session = Config {
        bitrate_bps_min: 50_000_000,
        bitrate_bps_start: 50_000_000,
        bitrate_bps_max: 50_000_000,
        ..Config::default()
    };
    let upward = LinkConfig { delay: Duration::from_millis(1), ..LinkConfig::default() };
    let config = PairConfig { downward, session, pictures_per_second: 60, ..PairConfig::new(1, upward) };
    let mut pair = Pair::new(&config);
    pair.network.run_until(Time::from_secs(2));
    pair.network.record();
    pair.network.run_until(Time::from_secs(4));
    let media: Vec<_> = pair
        .network
        .captured()
        .iter()
        .filter(|sent| sent.from == pair.host && sent.bytes.len() > 1100)
        .map(|sent| (sent.at, sent.bytes.len()))
        .collect();
    // 35 shards in a row, wherever they begin: never faster than one and a half times the grant, with a batch of
    // 1 ms at once; and at the start of a picture in less than 8 ms.
    let spans: Vec<Duration> = media.windows(35).map(|run| run[34].0 - run[0].0).collect();
    let least = Duration::from_micros(35 * 1200 * 8 * 1_000_000 / 75_000_000) - Duration::from_millis(2);
    assert!(spans.iter().all(|&span| span >= least), "{:?} of {least:?}", spans.iter().min());
    assert!(spans.iter().filter(|&&span| span < Duration::from_millis(8)).count() > spans.len() / 2);
    assert!(
        pair.network.link_stats(pair.downward).sojourn_max < Duration::from_millis(3),
        "nothing piles up"
    );
    let shown = pair.client().shown.len();
    assert!(shown > 220, "{shown} pictures in four seconds");
    assert!(media.iter().all(|&(_, len)| len <= 1200), "no datagram is longer than agreed");
}
