//! Same seed, same bytes: the core reads no clock, draws no entropy and iterates nothing unordered.

use core::time::Duration;

use rift::{Channel, Config, CursorPosition, Instant};
use rift_sim::peer::{Pair, PairConfig, Repertoire, Typist};
use rift_sim::{GilbertElliott, Jitter, LinkConfig, Loss, QueueLimit, Random, Rate, Time};

/// Every channel at work over a link with every fault: the bytes on the wire, when, and what came of them.
fn trace(seed: u64) -> (u64, usize, String) {
    let link = LinkConfig {
        rate: Rate::Schedule(vec![(Time::ZERO, 4_000_000), (Time::from_secs(3), 1_500_000)]),
        queue: QueueLimit::Time(Duration::from_millis(150)),
        delay: Duration::from_millis(15),
        jitter: Some(Jitter { deviation: Duration::from_millis(2), reorders: true }),
        loss: Loss::GilbertElliott(GilbertElliott::bursts(0.02, 3.0)),
        duplicate: 0.01,
        reorder: 0.01,
        reorder_delay: Duration::from_millis(9),
        corrupt: 0.01,
        truncate: 0.01,
        mark_above: Some(Duration::from_millis(5)),
        ..LinkConfig::default()
    };
    let session = Config { bitrate_bps_start: 2_000_000, bitrate_bps_max: 3_000_000, ..Config::default() };
    let config = PairConfig { session, pictures_per_second: 30, ..PairConfig::new(seed, link) };
    let mut pair = Pair::new(&config);
    let typist = Typist::new(Random::new(seed), Repertoire::Everything, 2000, 2000, Instant::ZERO);
    pair.network.act(pair.client, |peer, _| peer.client_mut().typist = Some(typist));
    for step in 0..60u16 {
        pair.network.run_for(Duration::from_millis(100));
        if pair.client().session().permissions().is_none() {
            continue;
        }
        pair.network.act(pair.client, |peer, now| {
            let text = format!("message {step} of the client");
            peer.client_mut().session_mut().write(now, Channel::Control, text.as_bytes()).expect("connected");
        });
        pair.network.act(pair.host, |peer, now| {
            let session = peer.host_mut().session_mut(0);
            let cursor = CursorPosition { x: step * 7, y: step * 3, visible: step % 5 != 0, shape: 1 };
            session.send_cursor(now, cursor).expect("connected");
        });
    }
    let outcome = format!(
        "{:?} {:?} {:?}",
        pair.client().shown,
        pair.client().session().stats(pair.network.local(pair.client)),
        pair.host().guests[0].input,
    );
    (pair.network.trace_hash(), pair.client().shown.len(), outcome)
}

#[test]
fn same_seed_gives_identical_bytes_on_the_wire() {
    for seed in 1..5 {
        let (first, second) = (trace(seed), trace(seed));
        assert!(first.1 > 20, "seed {seed}: pictures were shown: {}", first.1);
        assert_eq!(first.0, second.0, "seed {seed}: bytes and times");
        assert!(first.2 == second.2, "seed {seed}: what the applications saw");
        assert_ne!(first.0, trace(seed + 100).0, "seed {seed}: another seed is another session");
    }
}
