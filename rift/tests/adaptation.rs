//! The grant follows the path (SPEC §12.4): down within a second, up again when there is room.

use core::time::Duration;

use rift::Config;
use rift_sim::peer::{Pair, PairConfig};
use rift_sim::{LinkConfig, LinkStats, QueueLimit, Rate, Time};

const SEEDS: core::ops::Range<u64> = 1..6;
/// Of what is judged by one instant, more are played.
const INSTANTS: core::ops::Range<u64> = 1..21;
const FULL_BPS: u32 = 6_000_000;
const HALF_BPS: u32 = 3_000_000;

/// A link that halves after 10 s and is whole again after 20 s.
fn pair(seed: u64) -> Pair {
    let steps = vec![
        (Time::ZERO, FULL_BPS.into()),
        (Time::from_secs(10), HALF_BPS.into()),
        (Time::from_secs(20), FULL_BPS.into()),
    ];
    let upward = LinkConfig { delay: Duration::from_millis(20), ..LinkConfig::default() };
    let downward = LinkConfig {
        rate: Rate::Schedule(steps),
        queue: QueueLimit::Time(Duration::from_millis(300)),
        record_sojourns: true,
        ..upward.clone()
    };
    let session = Config {
        bitrate_bps_min: 300_000,
        bitrate_bps_start: 2_000_000,
        bitrate_bps_max: 20_000_000,
        ..Config::default()
    };
    Pair::new(&PairConfig { downward, session, pictures_per_second: 60, ..PairConfig::new(seed, upward) })
}

fn grant(pair: &Pair) -> u32 {
    pair.host().guests[0].session.budget().bitrate_bps
}

/// The grants of this span, looked at each 10 ms.
fn grants(pair: &mut Pair, span: Duration) -> Vec<u32> {
    let end = pair.network.now() + span;
    let mut grants = Vec::new();
    while pair.network.now() < end {
        pair.network.run_for(Duration::from_millis(10));
        grants.push(grant(pair));
    }
    grants
}

fn mean(grants: &[u32]) -> u32 {
    let sum: u64 = grants.iter().map(|&grant| u64::from(grant)).sum();
    u32::try_from(sum / grants.len() as u64).expect("a mean is no larger than the largest")
}

#[test]
fn grant_falls_within_a_second_when_the_link_halves_and_recovers_when_it_is_restored() {
    for seed in INSTANTS {
        let mut pair = pair(seed);
        pair.network.run_until(Time::from_secs(7));
        let before = mean(&grants(&mut pair, Duration::from_secs(3)));
        assert!(before > FULL_BPS / 10 * 7, "seed {seed}: {before} of {FULL_BPS} before");
        let falling = grants(&mut pair, Duration::from_secs(1));
        let after_a_second = *falling.last().expect("grants were looked at");
        assert!(after_a_second < HALF_BPS, "seed {seed}: {after_a_second} after a second of {HALF_BPS}");
        let halved = mean(&grants(&mut pair, Duration::from_secs(9)));
        assert!((HALF_BPS / 10 * 6..HALF_BPS).contains(&halved), "seed {seed}: {halved} of {HALF_BPS}");
        pair.network.run_for(Duration::from_secs(7));
        let restored = mean(&grants(&mut pair, Duration::from_secs(3)));
        assert!(restored > before / 10 * 9, "seed {seed}: {restored} after {before}");
        assert_eq!(pair.client().refused, [], "seed {seed}");
    }
}

/// The share `permille` of the packets that waited at most the returned µs.
fn quantile(stats: &LinkStats, from: usize, permille: usize) -> u32 {
    let mut sojourns = stats.sojourns_us[from..].to_vec();
    sojourns.sort_unstable();
    sojourns[(sojourns.len() - 1) * permille / 1000]
}

#[test]
fn queue_stays_short_on_a_steady_link() {
    for seed in SEEDS {
        let mut pair = pair(seed);
        pair.network.run_until(Time::from_secs(4));
        let from = pair.network.link_stats(pair.downward).sojourns_us.len();
        pair.network.run_until(Time::from_secs(10));
        let p95 = quantile(pair.network.link_stats(pair.downward), from, 950);
        assert!(p95 < 60_000, "seed {seed}: p95 {p95} µs in the queue");
        assert_eq!(pair.network.link_stats(pair.downward).dropped_queue, 0, "seed {seed}");
    }
}

#[test]
fn longer_return_path_is_not_taken_for_congestion() {
    for seed in SEEDS {
        let mut undisturbed = pair(seed);
        undisturbed.network.run_until(Time::from_secs(5));
        let expected = mean(&grants(&mut undisturbed, Duration::from_secs(5)));
        let mut pair = pair(seed);
        pair.network.run_until(Time::from_secs(5));
        pair.network.link_mut(pair.upward).delay = Duration::from_millis(60);
        let found = mean(&grants(&mut pair, Duration::from_secs(5)));
        assert!(found > expected / 10 * 8, "seed {seed}: {found} of {expected}");
    }
}

#[test]
fn grant_is_back_soon_after_an_outage_of_either_direction() {
    for seed in SEEDS {
        for upward in [true, false] {
            let mut pair = pair(seed);
            pair.network.run_until(Time::from_secs(5));
            let before = mean(&grants(&mut pair, Duration::from_secs(2)));
            let link = if upward { pair.upward } else { pair.downward };
            pair.network.link_mut(link).loss = rift_sim::Loss::Random(1.0);
            pair.network.run_for(Duration::from_millis(700));
            pair.network.link_mut(link).loss = rift_sim::Loss::None;
            // What was lost in the outage is neither congestion nor a reason for parity.
            let soon = *grants(&mut pair, Duration::from_millis(400)).last().expect("grants were looked at");
            assert!(soon > before / 10 * 7, "seed {seed}, upward {upward}: {soon} of {before}");
            let later = *grants(&mut pair, Duration::from_millis(900)).last().expect("grants were looked at");
            assert!(later > before / 10 * 8, "seed {seed}, upward {upward}: {later} of {before}");
        }
    }
}

/// A tenth of all packets is lost from the first on, at random and without a queue: parity answers it, not the rate.
#[test]
fn loss_from_the_start_does_not_hold_the_ramp() {
    println!(
        "| loss of 1000 | seed | half of 10 Mbit/s granted after s | grant after 3 s, Mbit/s | least for the encoder |"
    );
    for loss_permille in [80, 100, 150, 200] {
        for seed in SEEDS {
            let mut pair = lossy(seed, loss_permille);
            let (mut half_s, mut least_bps) = (f64::INFINITY, u32::MAX);
            for step in 0..300 {
                pair.network.run_for(Duration::from_millis(10));
                let Some(guest) = pair.host().guests.first() else { continue };
                let budget = guest.session.budget();
                least_bps = least_bps.min(budget.bitrate_bps);
                if budget.pacing_bps >= 5_000_000 {
                    half_s = half_s.min(f64::from(step) / 100.0);
                }
            }
            let granted_bps = pair.host().guests[0].session.budget().pacing_bps;
            println!(
                "| {loss_permille} | {seed} | {half_s:.2} | {:.1} | {least_bps} |",
                f64::from(granted_bps) / 1e6
            );
            assert!(least_bps >= 300_000, "seed {seed}: {least_bps} for the encoder");
            assert!(
                loss_permille > 100 || granted_bps >= 5_000_000,
                "{loss_permille}, seed {seed}: {granted_bps} after 3 s"
            );
        }
    }
}

fn lossy(seed: u64, loss_permille: u32) -> Pair {
    let upward = LinkConfig { delay: Duration::from_millis(20), ..LinkConfig::default() };
    let downward = LinkConfig {
        rate: Rate::Constant(10_000_000),
        queue: QueueLimit::Time(Duration::from_millis(300)),
        loss: rift_sim::Loss::Random(f64::from(loss_permille) / 1000.0),
        ..upward.clone()
    };
    let session = Config {
        bitrate_bps_min: 300_000,
        bitrate_bps_start: 1_500_000,
        bitrate_bps_max: 20_000_000,
        ..Config::default()
    };
    Pair::new(&PairConfig { downward, session, pictures_per_second: 60, ..PairConfig::new(seed, upward) })
}
