//! More parity, asked for in time (SPEC §11.12): bursts that no parity sent beforehand would answer cost no picture
//! where there is time for a round trip, and nothing is asked for where nothing is lost.

use core::time::Duration;

use rift::Config;
use rift_sim::peer::{Pair, PairConfig};
use rift_sim::{GilbertElliott, Jitter, LinkConfig, Loss, QueueLimit, Rate};

const SEEDS: core::ops::Range<u64> = 1..4;
const RUN: Duration = Duration::from_secs(20);

fn config(seed: u64, loss: Loss, one_way: Duration) -> PairConfig {
    let link = LinkConfig {
        rate: Rate::Constant(60_000_000),
        queue: QueueLimit::Time(Duration::from_millis(100)),
        delay: one_way,
        ..LinkConfig::default()
    };
    let session = Config {
        bitrate_bps_min: 2_000_000,
        bitrate_bps_start: 12_000_000,
        bitrate_bps_max: 12_000_000,
        ..Config::default()
    };
    let mut config = PairConfig { session, pictures_per_second: 60, ..PairConfig::new(seed, link) };
    config.downward.loss = loss;
    config
}

fn pair(seed: u64, loss: Loss, one_way: Duration) -> Pair {
    Pair::new(&config(seed, loss, one_way))
}

/// Pictures made, pictures that were not shown, and requests for more parity.
fn run(pair: &mut Pair) -> (u32, u32, u64) {
    pair.network.run_for(RUN);
    let made = pair.host().camera.as_ref().expect("it shares").stats().pictures;
    let shown = pair.client().shown.len() as u32;
    let stats = pair.client().session().stats(pair.network.local(pair.client));
    assert_eq!(pair.client().refused, [], "every delivered picture decodes");
    (made, made - shown, stats.parity_requests)
}

#[test]
fn bursts_cost_few_pictures_where_there_is_time_to_ask() {
    let bursts = || Loss::GilbertElliott(GilbertElliott::bursts(0.014, 7.0));
    let (mut lost_near, mut lost_far) = (0, 0);
    for seed in SEEDS {
        let mut near = pair(seed, bursts(), Duration::from_millis(10));
        let (made, lost, requests) = run(&mut near);
        let sent = near.host().guests[0].session.stats(near.network.local(near.host));
        assert!(
            sent.parity_permille < 150,
            "seed {seed}: {} is sent though it need not be",
            sent.parity_permille
        );
        assert!(requests > 0 && lost * 50 <= made, "seed {seed}: {lost} of {made}, {requests} requests");
        lost_near += lost;
        let (_, lost, requests) = run(&mut pair(seed, bursts(), Duration::from_millis(60)));
        assert_eq!(requests, 0, "seed {seed}: an answer would come too late");
        lost_far += lost;
    }
    assert!(
        lost_near * 3 <= lost_far,
        "{lost_near} lost where there is time, {lost_far} where there is none"
    );
}

#[test]
fn nothing_is_asked_for_where_nothing_is_lost() {
    for seed in SEEDS {
        let mut pair = pair(seed, Loss::None, Duration::from_millis(10));
        assert_eq!(run(&mut pair).2, 0, "seed {seed}");
    }
}

#[test]
fn parity_that_is_only_late_is_seldom_asked_for() {
    for seed in SEEDS {
        let mut config = config(seed, Loss::None, Duration::from_millis(10));
        config.downward.jitter = Some(Jitter { deviation: Duration::from_millis(1), reorders: true });
        let (made, lost, requests) = run(&mut Pair::new(&config));
        assert!(
            lost <= 3 && requests * 20 <= u64::from(made),
            "seed {seed}: {requests} requests for {made}, {lost} lost"
        );
    }
}
