//! Every property of a link does what it says, measured from outside by a sender and a listener.

use core::time::Duration;

use rift::{Ecn, Instant};
use rift_sim::{
    Clock, Fate, GilbertElliott, Host, Jitter, LinkConfig, LinkId, Loss, Network, NodeId, Packet, QueueLimit,
    Rate, Time,
};

const SEEDS: [u64; 3] = [1, 2, 3];
const PAYLOAD: usize = 1222;

/// Sends `total` numbered packets, one each `period_us`, and notes what arrives.
#[derive(Default)]
struct Peer {
    to: NodeId,
    total: u64,
    sent: u64,
    period_us: u64,
    ecn: Ecn,
    due: Option<Instant>,
    arrived: Vec<(Instant, u64, Packet)>,
}

impl Peer {
    fn sender(total: u64, period_us: u64) -> Self {
        Self { to: NodeId(1), total, period_us, due: Some(Instant::ZERO), ..Self::default() }
    }

    fn numbers(&self) -> Vec<u64> {
        self.arrived.iter().map(|&(_, number, _)| number).collect()
    }
}

impl Host for Peer {
    fn handle_packet(&mut self, now: Instant, packet: &mut Packet) {
        let number = packet
            .bytes
            .get(..8)
            .map_or(u64::MAX, |first| u64::from_le_bytes(first.try_into().expect("eight bytes")));
        self.arrived.push((now, number, packet.clone()));
    }

    fn poll_packet(&mut self, now: Instant, packet: &mut Packet) -> bool {
        let Some(due) = self.due.filter(|&due| due <= now) else {
            return false;
        };
        assert!(packet.bytes.is_empty(), "a recycled buffer comes empty");
        packet.bytes.extend_from_slice(&self.sent.to_le_bytes());
        packet.bytes.resize(PAYLOAD, 0);
        packet.to = self.to;
        packet.ecn = self.ecn;
        self.sent += 1;
        self.due = (self.sent < self.total).then(|| due.plus_micros(self.period_us));
        true
    }

    fn next_wake(&mut self) -> Option<Instant> {
        self.due
    }

    fn handle_wake(&mut self, _now: Instant) {}
}

fn pair(seed: u64, sender: Peer, config: LinkConfig) -> (Network<Peer>, LinkId) {
    let mut network = Network::new(seed);
    let (a, b) =
        (network.add_host(sender, Clock::default()), network.add_host(Peer::default(), Clock::default()));
    let (link, _) = network.connect(a, b, config, LinkConfig::default());
    (network, link)
}

fn run(seed: u64, sender: Peer, config: LinkConfig) -> (Network<Peer>, LinkId) {
    let (mut network, link) = pair(seed, sender, config);
    network.run_until(Time::from_secs(1000));
    (network, link)
}

fn arrivals(network: &Network<Peer>) -> &Peer {
    network.host(NodeId(1))
}

#[test]
fn packet_takes_its_transmission_time_and_the_distance() {
    // 1250 bytes on the wire at 1 Mbit/s: 10 ms each.
    let delay = Duration::from_millis(30);
    let config = LinkConfig { rate: Rate::Constant(1_000_000), delay, ..LinkConfig::default() };
    let (network, link) = run(1, Peer::sender(3, 0), config);
    let times: Vec<u64> = arrivals(&network).arrived.iter().map(|&(at, ..)| at.as_micros()).collect();
    assert_eq!(times, [40_000, 50_000, 60_000]);
    assert_eq!(network.link_stats(link).sojourn_max, Duration::from_millis(30));
}

#[test]
fn rate_schedule_is_followed_within_a_packet_and_through_an_outage() {
    let steps = vec![(Time::ZERO, 1_000_000), (Time::from_millis(5), 0), (Time::from_millis(25), 2_000_000)];
    let config = LinkConfig { rate: Rate::Schedule(steps), ..LinkConfig::default() };
    let (network, _) = run(1, Peer::sender(2, 0), config);
    let times: Vec<u64> = arrivals(&network).arrived.iter().map(|&(at, ..)| at.as_micros()).collect();
    // Half of the first in 5 ms, the other half in 2.5 ms after the outage; the second in 5 ms.
    assert_eq!(times, [27_500, 32_500]);
}

#[test]
fn full_queue_drops_the_tail() {
    for queue in [QueueLimit::Bytes(5 * 1250), QueueLimit::Time(Duration::from_millis(50))] {
        let config = LinkConfig { rate: Rate::Constant(1_000_000), queue, ..LinkConfig::default() };
        let (network, link) = run(1, Peer::sender(20, 0), config);
        assert_eq!(arrivals(&network).numbers(), [0, 1, 2, 3, 4], "{queue:?}");
        assert_eq!(network.link_stats(link).dropped_queue, 15);
    }
}

#[test]
fn random_loss_has_its_ratio() {
    for seed in SEEDS {
        let config = LinkConfig { loss: Loss::Random(0.05), ..LinkConfig::default() };
        let (network, link) = run(seed, Peer::sender(50_000, 10), config);
        let lost = network.link_stats(link).lost;
        assert!((2250..2750).contains(&lost), "seed {seed}: {lost}");
        assert_eq!(arrivals(&network).arrived.len() as u64, 50_000 - lost, "seed {seed}");
    }
}

#[test]
fn gilbert_elliott_loses_in_bursts_of_its_length() {
    for seed in SEEDS {
        let model = GilbertElliott::bursts(0.02, 4.0);
        assert!((model.ratio() - 0.02).abs() < 1e-12);
        let config = LinkConfig { loss: Loss::GilbertElliott(model), ..LinkConfig::default() };
        let (network, link) = run(seed, Peer::sender(200_000, 10), config);
        let numbers = arrivals(&network).numbers();
        let bursts = numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
        let lost = network.link_stats(link).lost as f64;
        assert!((lost / 200_000.0 - 0.02).abs() < 0.003, "seed {seed}: {lost} lost");
        let length = lost / bursts as f64;
        assert!((length - 4.0).abs() < 0.4, "seed {seed}: {length} a burst");
    }
}

#[test]
fn jitter_spreads_delays_and_reorders_only_where_asked() {
    for seed in SEEDS {
        for reorders in [false, true] {
            let jitter = Jitter { deviation: Duration::from_millis(5), reorders };
            let delay = Duration::from_millis(50);
            let config = LinkConfig { delay, jitter: Some(jitter), ..LinkConfig::default() };
            let (network, _) = run(seed, Peer::sender(10_000, 1000), config);
            let numbers = arrivals(&network).numbers();
            assert_eq!(numbers.len(), 10_000);
            assert_eq!(numbers.is_sorted(), !reorders, "seed {seed}");
            let delays = arrivals(&network)
                .arrived
                .iter()
                .map(|(at, _, packet)| Duration::from_micros(at.as_micros()) - (packet.sent_at - Time::ZERO));
            let (least, most) = delays.fold((Duration::MAX, Duration::ZERO), |(least, most), delay| {
                (least.min(delay), most.max(delay))
            });
            assert!(least >= Duration::from_millis(35) && most <= Duration::from_millis(65), "seed {seed}");
            assert!(most - least > Duration::from_millis(20), "seed {seed}");
        }
    }
}

#[test]
fn reordered_packet_is_overtaken_and_duplicate_arrives_twice() {
    for seed in SEEDS {
        let reorder_delay = Duration::from_millis(3);
        let config = LinkConfig { reorder: 0.01, reorder_delay, duplicate: 0.02, ..LinkConfig::default() };
        let (network, link) = run(seed, Peer::sender(10_000, 1000), config);
        let stats = network.link_stats(link);
        assert!((60..150).contains(&stats.reordered), "seed {seed}: {}", stats.reordered);
        assert!((140..260).contains(&stats.duplicated), "seed {seed}: {}", stats.duplicated);
        let mut numbers = arrivals(&network).numbers();
        assert!(!numbers.is_sorted(), "seed {seed}");
        assert_eq!(numbers.len() as u64, 10_000 + stats.duplicated);
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers, (0..10_000).collect::<Vec<_>>(), "seed {seed}");
    }
}

#[test]
fn corruption_and_truncation_change_bytes_and_are_counted() {
    for seed in SEEDS {
        let config = LinkConfig { corrupt: 0.1, truncate: 0.1, ..LinkConfig::default() };
        let (network, link) = run(seed, Peer::sender(5000, 100), config);
        let stats = network.link_stats(link);
        let short = arrivals(&network).arrived.iter().filter(|(_, _, packet)| packet.bytes.len() < PAYLOAD);
        assert_eq!(short.count() as u64, stats.truncated, "seed {seed}");
        let clean = |packet: &Packet| packet.bytes[8..].iter().all(|&byte| byte == 0);
        let damaged = arrivals(&network).arrived.iter();
        let damaged =
            damaged.filter(|(_, _, packet)| packet.bytes.len() == PAYLOAD && !clean(packet)).count() as u64;
        assert!((350..550).contains(&stats.corrupted), "seed {seed}: {}", stats.corrupted);
        assert!(damaged <= stats.corrupted && damaged > stats.corrupted * 8 / 10, "seed {seed}: {damaged}");
    }
}

#[test]
fn blackout_loses_all_and_only_what_falls_into_it() {
    let blackouts = vec![Time::from_millis(100)..Time::from_millis(200)];
    let (network, link) = run(1, Peer::sender(300, 1000), LinkConfig { blackouts, ..LinkConfig::default() });
    assert_eq!(network.link_stats(link).lost_blackout, 100);
    let expected: Vec<u64> = (0..100).chain(200..300).collect();
    assert_eq!(arrivals(&network).numbers(), expected);
}

#[test]
fn capable_packets_are_marked_once_the_queue_is_long() {
    let mark_above = Some(Duration::from_millis(25));
    for (ecn, expected) in [(Ecn::Ect1, 8), (Ecn::NotEct, 0)] {
        let config = LinkConfig { rate: Rate::Constant(1_000_000), mark_above, ..LinkConfig::default() };
        let (network, link) = run(1, Peer { ecn, ..Peer::sender(10, 0) }, config);
        assert_eq!(network.link_stats(link).marked, expected);
        let marked = arrivals(&network).arrived.iter().filter(|(_, _, packet)| packet.ecn == Ecn::Ce);
        assert_eq!(marked.count() as u64, expected);
    }
}

#[test]
fn oversized_payload_vanishes() {
    let config = LinkConfig { payload_max: PAYLOAD - 1, ..LinkConfig::default() };
    let (network, link) = run(1, Peer::sender(3, 0), config);
    assert_eq!(network.link_stats(link).dropped_size, 3);
    assert!(arrivals(&network).arrived.is_empty());
}

#[test]
fn two_senders_share_a_bottleneck() {
    let mut network = Network::new(1);
    let a = network.add_host(Peer { to: NodeId(2), ..Peer::sender(100, 10_000) }, Clock::default());
    let b = network.add_host(Peer { to: NodeId(2), ..Peer::sender(100, 10_000) }, Clock::default());
    let c = network.add_host(Peer::default(), Clock::default());
    let access = LinkConfig { delay: Duration::from_millis(5), ..LinkConfig::default() };
    let (left, right) = (network.add_link(access.clone()), network.add_link(access));
    let bottleneck =
        network.add_link(LinkConfig { rate: Rate::Constant(1_000_000), ..LinkConfig::default() });
    network.route(a, c, &[left, bottleneck]);
    network.route(b, c, &[right, bottleneck]);
    network.run_until(Time::from_secs(10));
    // 200 packets of 10 ms each, the first of which starts after 5 ms.
    let last = network.host(c).arrived.last().map(|&(at, ..)| at.as_micros());
    assert_eq!(last, Some(2_005_000));
}

#[test]
fn hosts_see_their_own_clocks() {
    let mut network = Network::new(1);
    let late = Clock { offset_us: 7_000_000, drift_ppb: 100_000 };
    let sender = Peer { due: Some(Instant::from_micros(8_000_000)), ..Peer::sender(2, 1_000_000) };
    let a = network.add_host(sender, late);
    let b = network.add_host(Peer::default(), Clock::default());
    network.connect(a, b, LinkConfig::default(), LinkConfig::default());
    network.run_until(Time::from_secs(5));
    let times: Vec<u64> = network.host(b).arrived.iter().map(|&(at, ..)| at.as_micros()).collect();
    assert_eq!(times, [999_900, 1_999_800]);
}

#[test]
fn tap_sees_all_and_tamperer_decides() {
    let (mut network, _) = pair(1, Peer::sender(5, 1000), LinkConfig::default());
    network.record();
    network.set_tamper(|_, packet| match packet.bytes[0] {
        1 => Fate::Drop,
        2 => Fate::Delay(Duration::from_micros(1500)),
        3 => Fate::Duplicate(Duration::from_millis(10)),
        _ => Fate::Pass,
    });
    network.inject(Duration::from_millis(20), NodeId(0), NodeId(1), &[9; 8]);
    network.run_until(Time::from_secs(1));
    assert_eq!(network.captured().len(), 5);
    assert_eq!(arrivals(&network).numbers(), [0, 3, 2, 4, 3, 0x0909_0909_0909_0909]);
}

#[test]
fn same_seed_gives_the_same_trace_and_another_does_not() {
    let trace = |seed| {
        let config = LinkConfig {
            rate: Rate::Constant(20_000_000),
            queue: QueueLimit::Time(Duration::from_millis(20)),
            delay: Duration::from_millis(10),
            jitter: Some(Jitter { deviation: Duration::from_millis(2), reorders: true }),
            loss: Loss::GilbertElliott(GilbertElliott::bursts(0.01, 3.0)),
            duplicate: 0.01,
            reorder: 0.01,
            reorder_delay: Duration::from_millis(4),
            corrupt: 0.01,
            truncate: 0.01,
            ..LinkConfig::default()
        };
        run(seed, Peer::sender(20_000, 450), config).0.trace_hash()
    };
    for seed in SEEDS {
        assert_eq!(trace(seed), trace(seed), "seed {seed}");
        assert_ne!(trace(seed), trace(seed + 100), "seed {seed}");
    }
}
