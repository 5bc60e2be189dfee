//! Whole sessions over links drawn at random, every kind of fault at once: no picture is ever damaged, no input lost
//! or stuck, no stream garbled, and the session outlives it.

use core::time::Duration;

use rift::{Channel, Config, Instant};
use rift_sim::peer::{Pair, PairConfig, Repertoire, Typist};
use rift_sim::{Fate, GilbertElliott, Jitter, LinkConfig, Loss, QueueLimit, Random, Rate, Time};

const SEEDS: core::ops::Range<u64> = 1..41;

/// The path calms down after this, so that everything can arrive in the end.
const CALM_AT: Time = Time::from_secs(10);

fn millis(random: &mut Random, least: u64, most: u64) -> Duration {
    Duration::from_millis(least + random.below(most - least + 1))
}

fn drawn_link(random: &mut Random, delay: Duration) -> LinkConfig {
    let rates = (0..5).map(|step| (Time::from_secs(step * 2), 800_000 + random.below(20_000_000))).collect();
    let loss = match random.below(3) {
        0 => Loss::None,
        1 => Loss::Random(random.unit() * 0.15),
        _ => Loss::GilbertElliott(GilbertElliott::bursts(
            random.unit() * 0.05 + 0.001,
            1.0 + random.unit() * 6.0,
        )),
    };
    let jitter = random.chance(0.5).then(|| Jitter {
        deviation: Duration::from_micros(random.below(6000)),
        reorders: random.chance(0.5),
    });
    let dark = Time::from_millis(2000 + random.below(6000));
    let blackouts =
        if random.chance(0.3) { vec![dark..dark + millis(random, 100, 2500)] } else { Vec::new() };
    LinkConfig {
        rate: Rate::Schedule(rates),
        queue: QueueLimit::Time(millis(random, 20, 400)),
        delay,
        jitter,
        loss,
        duplicate: random.unit() * 0.05,
        reorder: random.unit() * 0.05,
        reorder_delay: millis(random, 1, 30),
        corrupt: random.unit() * 0.02,
        truncate: random.unit() * 0.02,
        blackouts,
        mark_above: random.chance(0.3).then(|| millis(random, 1, 20)),
        ..LinkConfig::default()
    }
}

fn calm(link: &mut LinkConfig) {
    let delay = link.delay;
    *link = LinkConfig { rate: link.rate.clone(), delay, ..LinkConfig::default() };
}

#[test]
fn every_fault_at_once_damages_nothing_and_ends_nothing() {
    for seed in SEEDS {
        let mut random = Random::new(seed).fork(0xfa);
        let delay = millis(&mut random, 1, 120);
        let session = Config {
            bitrate_bps_min: 300_000,
            bitrate_bps_start: 1_000_000,
            bitrate_bps_max: 4_000_000,
            datagram_len: u16::try_from(1200 + random.below(2) * 252).expect("small"),
            ..Config::default()
        };
        let config = PairConfig {
            seed,
            upward: drawn_link(&mut random, delay),
            downward: drawn_link(&mut random, delay),
            session,
            pictures_per_second: [15, 30, 60][usize::try_from(random.below(3)).expect("small")],
            ..PairConfig::new(seed, LinkConfig::default())
        };
        let mut pair = Pair::new(&config);
        let typist = Typist::new(random.fork(1), Repertoire::Everything, 3000, 3000, Instant::ZERO);
        pair.network.act(pair.client, |peer, _| peer.client_mut().typist = Some(typist));
        let mut written = Vec::new();
        while pair.network.now() < CALM_AT {
            pair.network.run_for(Duration::from_millis(250));
            written.extend(write_some(&mut pair));
        }
        calm(pair.network.link_mut(pair.upward));
        calm(pair.network.link_mut(pair.downward));
        pair.network.run_for(Duration::from_secs(3));
        // Over a long path input is bounded by 64 events a round trip, so it may end later.
        let client = pair.client;
        pair.network.run_while(Time::from_secs(30), Duration::from_millis(100), |network| {
            let client = network.host(client).client();
            client.typist.as_ref().is_some_and(Typist::is_done) && client.session().input_backlog() == 0
        });
        assert_eq!(pair.client().closed(), None, "seed {seed}");
        assert_eq!(pair.client().refused, [], "seed {seed}: {:?}", config);
        assert_eq!(pair.client().control, written, "seed {seed}");
        assert_input(&pair, seed);
        let last = pair.client().shown.last().expect("pictures were shown").at;
        let age = pair.network.local(pair.client) - last;
        assert!(age < Duration::from_millis(500), "seed {seed}: the last picture is {age:?} old");
    }
}

#[test]
fn packets_that_come_long_after_all_others_keep_nobody_awake() {
    // Reports have passed them by, so nothing can be told of them; the simulator panics when a host never sleeps.
    for late_ms in [40, 200, 400, 1700] {
        let link = LinkConfig { delay: Duration::from_millis(10), ..LinkConfig::default() };
        let mut pair = Pair::new(&PairConfig::new(1, link));
        pair.network.run_until(Time::from_millis(4050));
        let (client, mut count) = (pair.client, 0);
        pair.network.set_tamper(move |_, packet| {
            count += u64::from(packet.from == client);
            let is_late = packet.from == client && count <= 6;
            if is_late { Fate::Delay(Duration::from_millis(late_ms + 40 * count)) } else { Fate::Pass }
        });
        for _ in 0..10 {
            pair.network.act(client, |peer, now| {
                peer.client_mut().session_mut().write(now, Channel::Control, b"a word").expect("connected");
            });
            pair.network.run_for(Duration::from_millis(10));
        }
        pair.network.run_for(Duration::from_secs(4));
        assert_eq!(pair.host().guests[0].control, b"a word".repeat(10), "{late_ms} ms late");
    }
}

/// A host that hears all input and is heard by nobody sends more packets than it remembers.
#[test]
fn pictures_go_on_after_more_packets_were_sent_in_vain_than_are_remembered() {
    for seed in SEEDS.take(4) {
        let link = LinkConfig { delay: Duration::from_millis(15), ..LinkConfig::default() };
        let session =
            Config { bitrate_bps_max: 2_000_000, bitrate_bps_start: 1_000_000, ..Config::default() };
        let mut pair =
            Pair::new(&PairConfig { session, pictures_per_second: 30, ..PairConfig::new(seed, link) });
        let typist = Typist::new(Random::new(seed), Repertoire::Presses, 4000, 2_500, Instant::ZERO);
        pair.network.act(pair.client, |peer, _| peer.client_mut().typist = Some(typist));
        pair.network.run_until(Time::from_secs(2));
        let dark = pair.network.now()..pair.network.now() + Duration::from_millis(4_500);
        pair.network.link_mut(pair.downward).blackouts = vec![dark];
        pair.network.run_until(Time::from_secs(7));
        let shown = pair.client().shown.len();
        pair.network.run_for(Duration::from_secs(2));
        let since = pair.client().shown.len() - shown;
        assert!(since > 20, "seed {seed}: {since} pictures in two seconds");
        assert_eq!(pair.client().closed(), None, "seed {seed}");
    }
}

/// The host says something; returns what its session took.
fn write_some(pair: &mut Pair) -> Vec<u8> {
    let text = format!("The time is {:?} and all is well. ", pair.network.now()).repeat(9);
    let text = text.as_bytes();
    let host = pair.host;
    let taken = pair.network.act(host, |peer, now| match peer.host_mut().guests.first_mut() {
        Some(guest) => guest.session.write(now, Channel::Control, text).unwrap_or(0),
        None => 0,
    });
    text[..taken].to_vec()
}

/// Input ends as it should: nothing is left waiting, and nothing is held that the client does not hold.
fn assert_input(pair: &Pair, seed: u64) {
    let typist = pair.client().typist.as_ref().expect("somebody types");
    assert!(typist.is_done(), "seed {seed}: everything was typed");
    assert_eq!(pair.client().session().input_backlog(), 0, "seed {seed}");
    let mut down = std::collections::BTreeSet::new();
    for (_, event) in &pair.host().guests[0].input {
        if let rift::InputEvent::Key { key, pressed } = event {
            // Silence may have released a key before its release arrives: then it is released twice.
            if *pressed {
                down.insert(*key)
            } else {
                down.remove(key)
            };
        }
    }
    assert!(down.is_empty(), "seed {seed}: {down:?} is stuck");
}
