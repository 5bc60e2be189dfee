//! A client that stands still, as a process that was stopped, while its host sends on (SPEC §12.2).

use core::time::Duration;

use rift::{Channel, Config, Permissions};
use rift_sim::peer::{Pair, PairConfig, Parcel};
use rift_sim::{LinkConfig, QueueLimit, Rate, Time};

const SEEDS: core::ops::Range<u64> = 1..4;

fn pair(seed: u64) -> Pair {
    let link = LinkConfig {
        delay: Duration::from_millis(10),
        rate: Rate::Constant(30_000_000),
        queue: QueueLimit::Time(Duration::from_millis(200)),
        ..LinkConfig::default()
    };
    let session = Config { bitrate_bps_min: 300_000, bitrate_bps_max: 12_000_000, ..Config::default() };
    let permissions = Permissions::default_control() | Permissions::FILE_RECEIVE;
    Pair::new(&PairConfig { session, permissions, pictures_per_second: 60, ..PairConfig::new(seed, link) })
}

/// SPEC §12.2.
#[test]
fn wait_of_a_client_that_stood_still_is_not_taken_for_a_queue() {
    for seed in SEEDS {
        for stopped_ms in [300, 1_000, 3_000] {
            let mut pair = pair(seed);
            pair.network.run_until(Time::from_secs(5));
            let grant = |pair: &Pair| pair.host().guests[0].session.budget().pacing_bps;
            let before_bps = grant(&pair);
            assert!(before_bps > 8_000_000, "seed {seed}: {before_bps} bit/s");
            let until = Pair::CLIENT_CLOCK.local(pair.network.now() + Duration::from_millis(stopped_ms));
            pair.network.act(pair.client, |peer, _| peer.client_mut().stop_until(until));
            pair.network.run_for(Duration::from_millis(stopped_ms));
            // What was read late is told now, and for a moment nothing else.
            for _ in 0..1_000 {
                pair.network.run_for(Duration::from_millis(1));
                let now = Pair::HOST_CLOCK.local(pair.network.now());
                let stats = pair.host().guests[0].session.stats(now);
                let what = format!("seed {seed}, {stopped_ms} ms: {stats:?}");
                assert!(stats.queue_us < 30_000 && stats.round_trip_us < 60_000, "{what}");
            }
            // A second after it goes on, and for the two that follow.
            for _ in 0..20 {
                let now_bps = grant(&pair);
                let what = format!("seed {seed}, {stopped_ms} ms: {before_bps} bit/s, then {now_bps}");
                assert!(now_bps >= before_bps / 4 * 3, "{what}");
                pair.network.run_for(Duration::from_millis(100));
            }
            assert_eq!(pair.client().closed(), None);
        }
    }
}

/// SPEC §12.2.
#[test]
fn file_goes_on_as_before_after_its_reader_stood_still() {
    for seed in SEEDS {
        let mut pair = pair(seed);
        pair.network.run_until(Time::from_secs(5));
        pair.network.act(pair.host, |peer, _| {
            let file = vec![seed as u8; 40_000_000];
            peer.host_mut().guests[0].parcel = Some(Parcel::new(Channel::File, file));
        });
        // What moves in a second, not long after the beginning or a stop.
        let moved = |pair: &mut Pair| {
            pair.network.run_for(Duration::from_secs(3));
            let before = pair.client().bulk[1].len();
            pair.network.run_for(Duration::from_secs(1));
            pair.client().bulk[1].len() - before
        };
        let before = moved(&mut pair);
        assert!(before > 10_000, "seed {seed}: {before} bytes in a second");
        for stop in 1..=4 {
            let until = Pair::CLIENT_CLOCK.local(pair.network.now() + Duration::from_millis(700));
            pair.network.act(pair.client, |peer, _| peer.client_mut().stop_until(until));
            pair.network.run_for(Duration::from_millis(700));
            let after = moved(&mut pair);
            let what = format!("seed {seed}: {before} bytes in a second, {after} after stop {stop}");
            println!("{what}");
            assert!(after >= before / 2, "{what}");
        }
    }
}
