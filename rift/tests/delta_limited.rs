//! DELTA while the application sends less than it may, on paths that jitter and lose: nothing its own trickle does is
//! evidence against the grant (DELTA.md, sections 4 and 5).

mod delta_model;

use delta_model::{Case, Model, Outcomes, USUAL};
use rift::delta::Config;

const SEEDS: core::ops::RangeInclusive<u64> = 1..=8;
const GRANTED: Config =
    Config { bitrate_bps_min: 300_000, bitrate_bps_start: 20_000_000, bitrate_bps_max: 100_000_000 };

/// 50 Mbit/s of which the application uses 1, and from the 15th second on all it may.
const SCREEN: Case =
    Case { seconds: 20, link: |_| 50_000_000, demand_bps: page_flip, config: GRANTED, ..USUAL };

fn page_flip(at_us: u64) -> u64 {
    if at_us >= 15_000_000 { 30_000_000 } else { 1_000_000 }
}

fn half_a_megabit(at_us: u64) -> u64 {
    page_flip(at_us) / 2
}

fn two_megabits(at_us: u64) -> u64 {
    page_flip(at_us).max(2_000_000)
}

fn line(outcomes: &Outcomes, seed: u64) -> String {
    let megabits = |bps: u64| bps as f64 / 1e6;
    format!(
        "| {:<34} | {seed} | {:>5.1} | {:>5.1} | {:>5.1} | {:>5.1} | {:>5.1} |",
        outcomes.name,
        megabits(outcomes.lowest_between(1.0, 15.0)),
        megabits(outcomes.mean_between(5.0, 15.0)),
        megabits(outcomes.grant_at(14.9)),
        megabits(outcomes.arrived_bps(15.1, 16.1)),
        megabits(outcomes.arrived_bps(17.0, 20.0)),
    )
}

#[test]
fn jitter_and_loss_leave_the_grant_of_a_quiet_screen() {
    println!("| case (Mbit/s)                      | s | least | mean  | 14.9s | +1 s  | +2–5s |");
    let mut missed = Vec::new();
    for (name, deviation_us, loss_permille, demand_bps) in [
        ("1 Mbit/s, clean", 1, 0, page_flip as fn(u64) -> u64),
        ("1 Mbit/s, jitter 5 ms, loss 2 %", 5_000, 20, page_flip),
        ("1 Mbit/s, jitter 10 ms, loss 2 %", 10_000, 20, page_flip),
        ("1 Mbit/s, jitter 10 ms, loss 5 %", 10_000, 50, page_flip),
        ("0.5 Mbit/s, jitter 5 ms, loss 5 %", 5_000, 50, half_a_megabit),
        ("0.5 Mbit/s, jitter 10 ms, loss 5 %", 10_000, 50, half_a_megabit),
        ("2 Mbit/s, jitter 5 ms, loss 5 %", 5_000, 50, two_megabits),
        ("2 Mbit/s, jitter 10 ms, loss 5 %", 10_000, 50, two_megabits),
    ] {
        for seed in SEEDS {
            let case = Case { name, seed, deviation_us, loss_permille, demand_bps, ..SCREEN };
            let outcomes = Model::run(case);
            println!("{}", line(&outcomes, seed));
            let least = outcomes.lowest_between(1.0, 15.0);
            let after_flip = outcomes.arrived_bps(15.1, 16.1);
            if least < 10_000_000 || after_flip < 8_000_000 {
                missed.push(format!("{name}, seed {seed}: least {least}, after the flip {after_flip} bit/s"));
            }
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

/// The trickle fits what is left of the link, so nothing tells of the fall until the application fills it.
#[test]
fn a_link_that_fell_unseen_is_drained_when_it_is_filled() {
    fn fallen(at_us: u64) -> u64 {
        if at_us >= 5_000_000 { 3_000_000 } else { 30_000_000 }
    }
    fn filled(at_us: u64) -> u64 {
        if at_us >= 8_000_000 { u64::MAX } else { 1_000_000 }
    }
    println!("| fallen 30 → 3 Mbit/s | seed | drained after s | p95 ms from 9.5 s | used % from 9.5 s |");
    for (name, deviation_us) in [("no jitter", 1), ("jitter 5 ms", 5_000)] {
        for seed in SEEDS {
            let case = Case { name, seed, deviation_us, link: fallen, demand_bps: filled, ..SCREEN };
            let outcomes = Model::run(case);
            let drained_s = outcomes.drained_after_s(8.0, 60_000);
            let p95_us = outcomes.queue_us(950, 9.5);
            let used = outcomes.utilisation(9.5, 20.0);
            println!("| {name} | {seed} | {drained_s:.2} | {} | {} |", p95_us / 1000, used / 10);
            assert!(drained_s <= 0.8, "{name}, seed {seed}: {drained_s} s");
            assert!(p95_us <= 80_000, "{name}, seed {seed}: p95 of {p95_us} us");
            assert!(used >= 600, "{name}, seed {seed}: {used} of 1000 used");
        }
    }
}

/// A link too slow even for the trickle shows in what is delivered, however little was asked of it.
#[test]
fn a_link_slower_than_the_trickle_is_not_flooded() {
    fn fallen(at_us: u64) -> u64 {
        if at_us >= 5_000_000 { 1_000_000 } else { 30_000_000 }
    }
    println!(
        "| fallen 30 → 1 Mbit/s, 2 wanted | seed | drained after s | p95 ms from 8 s | used % from 8 s |"
    );
    for (name, deviation_us) in [("no jitter", 1), ("jitter 5 ms", 5_000)] {
        for seed in SEEDS {
            let demand_bps = |_| 2_000_000;
            let case = Case { name, seed, deviation_us, link: fallen, demand_bps, ..SCREEN };
            let outcomes = Model::run(case);
            let drained_s = outcomes.drained_after_s(5.0, 60_000);
            let (p95_us, used) = (outcomes.queue_us(950, 8.0), outcomes.utilisation(8.0, 20.0));
            println!("| {name} | {seed} | {drained_s:.2} | {} | {} |", p95_us / 1000, used / 10);
            assert!(drained_s <= 1.0, "{name}, seed {seed}: {drained_s} s");
            assert!(p95_us <= 80_000, "{name}, seed {seed}: p95 of {p95_us} us");
            assert!(used >= 500, "{name}, seed {seed}: {used} of 1000 used");
        }
    }
}

/// The way becomes longer by 30 ms while little is sent: no queue of anybody's making, and soon no reason to hold.
#[test]
fn a_longer_path_leaves_the_grant_of_a_quiet_screen() {
    for seed in SEEDS {
        let demand_bps = |_| 1_000_000;
        let outcomes = Model::run(Case { seed, reroute_us: 30_000, demand_bps, ..SCREEN });
        let (least, later) = (outcomes.lowest_between(10.0, 20.0), outcomes.lowest_between(12.0, 20.0));
        println!("| 30 ms longer | seed {seed} | least {least} bit/s | two seconds later {later} bit/s |");
        assert!(least >= 8_000_000 && later >= 19_000_000, "seed {seed}: {least}, then {later} bit/s");
    }
}

#[test]
fn loss_at_the_start_does_not_hold_the_ramp() {
    println!("| 10 Mbit/s, loss | seed | half used after s | used % from 2 to 3 s | grant at 3 s |");
    let mut missed = Vec::new();
    for loss_permille in [80, 100, 150, 200] {
        for seed in SEEDS {
            let link = |_| 10_000_000;
            let case = Case { seed, loss_permille, link, seconds: 6, ..USUAL };
            let outcomes = Model::run(case);
            let (half_s, grant) = (outcomes.reached_s(5_000_000), outcomes.grant_at(3.0));
            let used = outcomes.utilisation(2.0, 3.0);
            println!("| {loss_permille} | {seed} | {half_s:.2} | {} | {grant} |", used / 10);
            if loss_permille <= 100 && grant < 5_000_000 {
                missed.push(format!("{loss_permille} of 1000, seed {seed}: {half_s} s, {grant} bit/s"));
            }
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn the_budget_is_never_below_the_least_rate_nor_above_the_grant() {
    for loss_permille in [0, 50, 200, 400] {
        for seed in SEEDS {
            let config = Config { bitrate_bps_start: 300_000, bitrate_bps_max: 1_000_000, ..GRANTED };
            let case = Case { seed, loss_permille, config, seconds: 6, ..USUAL };
            for sample in Model::run(case).samples {
                let budget = sample.budget;
                assert!(budget.bitrate_bps >= 300_000, "{loss_permille}, seed {seed}: {budget:?}");
                assert!(budget.bitrate_bps <= budget.pacing_bps, "{loss_permille}, seed {seed}: {budget:?}");
                assert!(budget.parity_permille <= 500, "{loss_permille}, seed {seed}: {budget:?}");
            }
        }
    }
}
