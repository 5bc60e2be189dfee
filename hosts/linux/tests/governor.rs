//! The governor over whole sessions in virtual time: links whose rate moves around what a picture rate needs make neither
//! the picture rate nor the bit rate swing.

use core::time::Duration;

use rift::{Config, Instant};
use rift_sim::peer::{Pair, PairConfig};
use rift_sim::{Jitter, LinkConfig, Loss, QueueLimit, Random, Rate, Time};
use wavry_server::governor::{Grant, Load, is_another_rate};
use wavry_server::ladders::Changes;
use wavry_server::steps::Steps;

const SEEDS: core::ops::Range<u64> = 1..41;
const PERIOD_US: u64 = 16_667;
const SECONDS: u64 = 30;
/// How often the governor looks.
const TURN: Duration = Duration::from_millis(50);
const TEN_SECONDS_US: u64 = 10_000_000;
/// Reversals of direction in ten seconds at most: two make an oscillation.
const REVERSALS_MAX: usize = 8;

/// A link whose rate is drawn anew every second, around where the frame rate has to give way.
fn link(random: &mut Random) -> LinkConfig {
    let rates = (0..SECONDS).map(|second| (Time::from_secs(second), 500_000 + random.below(1_500_000)));
    LinkConfig {
        rate: Rate::Schedule(rates.collect()),
        queue: QueueLimit::Time(Duration::from_millis(200)),
        delay: Duration::from_millis(5 + random.below(40)),
        jitter: random
            .chance(0.5)
            .then(|| Jitter { deviation: Duration::from_micros(random.below(4000)), reorders: false }),
        loss: if random.chance(0.5) { Loss::Random(0.02 * random.unit()) } else { Loss::None },
        ..LinkConfig::default()
    }
}

/// When a value turned from rising to falling or back.
#[derive(Default)]
struct Turns {
    value: Option<u64>,
    is_rising: Option<bool>,
    at: Vec<Instant>,
}

impl Turns {
    fn note(&mut self, now: Instant, value: u64) {
        let Some(before) = self.value.replace(value).filter(|before| *before != value) else { return };
        let is_rising = value > before;
        if self.is_rising.replace(is_rising).is_some_and(|was| was != is_rising) {
            self.at.push(now);
        }
    }

    /// The most in any ten seconds.
    fn most(&self) -> usize {
        let inside = |from: usize| {
            self.at[from..].iter().take_while(|at| at.micros_since(self.at[from]) < TEN_SECONDS_US).count()
        };
        (0..self.at.len()).map(inside).max().unwrap_or(0)
    }
}

#[test]
fn picture_rate_never_swings_more_than_four_times_in_ten_seconds() {
    let (mut stepped, mut unstepped) = (0, 0);
    for seed in SEEDS {
        let mut random = Random::new(seed);
        let session = Config {
            bitrate_bps_min: 100_000,
            bitrate_bps_start: 500_000,
            bitrate_bps_max: 4_000_000,
            ..Config::default()
        };
        let config =
            PairConfig { session, pictures_per_second: 30, ..PairConfig::new(seed, link(&mut random)) };
        let mut pair = Pair::new(&config);
        let (mut steps, mut changes, mut rate_bps) = (Steps::new(), Changes::new(), 0);
        let (mut periods, mut fed) = (Turns::default(), Turns::default());
        for _ in 0..SECONDS * 20 {
            pair.network.run_for(TURN);
            let now = pair.network.local(pair.host);
            let Some(guest) = pair.host().guests.first() else { continue };
            let budget = guest.session.budget();
            let load = Load {
                bitrate_bps: budget.bitrate_bps,
                pacing_bps: budget.pacing_bps,
                rate_millihertz_max: budget.picture_rate_millihertz_max,
                backlog_bytes: guest.session.video_backlog_bytes(),
                round_trip_us: 0,
            };
            let grant = Grant::of(&[load], 0, PERIOD_US).expect("there is a viewer");
            let period_us = steps.settle(now, PERIOD_US, grant.period_us, &mut changes);
            assert!(period_us >= grant.period_us.min(PERIOD_US * 12), "seed {seed}: more than can be fed");
            periods.note(now, period_us);
            fed.note(now, grant.period_us);
            let stepped = Grant { period_us, ..grant };
            let bitrate_bps = stepped.encoder_bitrate_bps(PERIOD_US);
            if is_another_rate(rate_bps, bitrate_bps) {
                rate_bps = bitrate_bps;
            }
            // What the encoder is told lags behind the grant by no more than what is no other rate.
            assert!(!is_another_rate(rate_bps, bitrate_bps), "seed {seed}");
        }
        assert!(periods.most() <= REVERSALS_MAX, "seed {seed}: {} reversals in ten seconds", periods.most());
        (stepped, unstepped) = (stepped + periods.at.len(), unstepped + fed.at.len());
    }
    println!("{stepped} reversals by steps, {unstepped} of what could be fed");
    assert!(stepped * 4 < unstepped, "{stepped} reversals by steps, {unstepped} of what could be fed");
}
