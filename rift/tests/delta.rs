//! DELTA against a bottleneck in virtual time: ramp, cuts, loss, clocks, silence, idleness.

mod delta_model;

use delta_model::{Case, Model, Random, SEEDS, USUAL};
use rift::Instant;
use rift::delta::{Config, Delta, Outcome, PacketReport, State};

/// Printed for whoever tunes; what it must hold is asserted below and in the cases it lists.
#[test]
fn the_table_of_cases_stays_within_its_bounds() {
    println!("| case                         | use % | p50 ms | p95 ms | p99 ms | ramp s |");
    let cases = [
        (Case { name: "20 Mbit/s", ..USUAL }, 930, 16_000),
        (Case { name: "20 Mbit/s, 100 ms one way", one_way_us: 100_000, ..USUAL }, 930, 20_000),
        (
            Case { name: "40 Mbit/s, 2 ms one way", link: |_| 40_000_000, one_way_us: 2_000, ..USUAL },
            930,
            16_000,
        ),
        (
            Case { name: "1 Mbit/s, 50 ms one way", link: |_| 1_000_000, one_way_us: 50_000, ..USUAL },
            900,
            60_000,
        ),
        (Case { name: "2 % loss", loss_permille: 20, ..USUAL }, 900, 16_000),
        (Case { name: "5 % loss", loss_permille: 50, ..USUAL }, 850, 16_000),
        (Case { name: "20 % loss", loss_permille: 200, ..USUAL }, 600, 25_000),
        (Case { name: "jitter of 15 ms", jitter_us: 15_000, ..USUAL }, 850, 25_000),
        (Case { name: "jitter of 30 ms", jitter_us: 30_000, ..USUAL }, 350, 30_000),
        (Case { name: "clock +200 ppm", clock_ppm: 200, ..USUAL }, 930, 16_000),
        (Case { name: "clock -200 ppm", clock_ppm: -200, ..USUAL }, 930, 16_000),
        (Case { name: "marks above 1 ms", mark_us: 1_000, ..USUAL }, 550, 4_000),
        (Case { name: "queue of 20 ms", queue_us: 20_000, ..USUAL }, 930, 16_000),
        (Case { name: "30, 6, 30 Mbit/s", one_way_us: 10_000, link: drop_and_back, ..USUAL }, 820, 20_000),
    ];
    let mut missed = Vec::new();
    for (case, used_permille, p95_us) in cases {
        for seed in SEEDS {
            let outcomes = Model::run(Case { seed, ..case });
            println!("{}", outcomes.row(4.0));
            let (used, p95) = (outcomes.utilisation(4.0, 20.0), outcomes.queue_us(950, 4.0));
            if used < used_permille || p95 > p95_us {
                missed.push(format!("{}, seed {seed}: {used} of 1000 used, queue of {p95} us", case.name));
            }
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

fn drop_and_back(at_us: u64) -> u64 {
    if (8_000_000..14_000_000).contains(&at_us) { 6_000_000 } else { 30_000_000 }
}

#[test]
fn the_rate_ramps_to_85_percent_of_20_mbit_within_2500_ms() {
    for seed in SEEDS {
        let reached = Model::run(Case { seed, seconds: 4, ..USUAL }).reached_s(17_000_000);
        assert!(reached <= 2.5, "seed {seed}: after {reached} s");
    }
}

#[test]
fn the_rate_follows_a_link_that_halves_and_is_restored() {
    fn halved(at_us: u64) -> u64 {
        if (6_000_000..12_000_000).contains(&at_us) { 10_000_000 } else { 20_000_000 }
    }
    for seed in SEEDS {
        let outcomes = Model::run(Case { seed, link: halved, ..USUAL });
        let after = outcomes.highest_between(7.0, 12.0);
        assert!(after <= 11_500_000, "seed {seed}: still {after} bit/s a second after the link halved");
        assert!(outcomes.lowest_between(7.0, 12.0) >= 6_000_000, "seed {seed}: fell too far");
        let back = outcomes.lowest_between(16.0, 20.0);
        assert!(back >= 17_000_000, "seed {seed}: only {back} bit/s four seconds after it was restored");
    }
}

#[test]
fn random_loss_of_two_percent_costs_little_rate() {
    for seed in SEEDS {
        let used = Model::run(Case { seed, loss_permille: 20, ..USUAL }).utilisation(4.0, 20.0);
        assert!(used >= 850, "seed {seed}: {used} of 1000 used");
    }
}

#[test]
fn a_longer_path_is_not_taken_for_a_queue_for_long() {
    for seed in SEEDS {
        let outcomes = Model::run(Case { seed, reroute_us: 30_000, ..USUAL });
        let lowest = outcomes.lowest_between(10.0, 20.0);
        assert!(lowest >= 2_000_000, "seed {seed}: fell to {lowest} bit/s");
        let used = outcomes.utilisation(13.0, 20.0);
        assert!(used >= 900, "seed {seed}: {used} of 1000 used three seconds later");
    }
}

#[test]
fn the_offset_of_the_clocks_makes_no_difference() {
    let grants = |offset| -> Vec<_> {
        let outcomes = Model::run(Case { clock_offset_us: offset, seconds: 8, ..USUAL });
        outcomes.samples.iter().map(|sample| sample.grant_bps).collect()
    };
    // Multiples of the estimator's windows, so that only the offset differs and every decision must be the same.
    let (small, large) = (grants(1_000_000), grants(900_000_000_000));
    assert_eq!(small, large);
}

#[test]
fn drifting_clocks_make_little_difference() {
    let used = |clock_ppm| Model::run(Case { clock_ppm, seconds: 30, ..USUAL }).utilisation(4.0, 30.0);
    let (straight, fast, slow) = (used(0), used(200), used(-200));
    assert!(fast + 30 >= straight && slow + 30 >= straight, "{straight} {fast} {slow}");
}

#[test]
fn silence_stops_growth_and_then_sending() {
    let outcomes = Model::run(Case { feedback: |at| !(5_000_000..8_000_000).contains(&at), ..USUAL });
    // What was under way when it fell silent still arrives.
    let before = outcomes.grant_at(5.05);
    assert!(outcomes.highest_between(5.05, 8.0) <= before, "the rate grew in silence");
    let sent = |at_s: f64| outcomes.samples[(at_s * 100.0) as usize].stats.in_flight_bytes;
    let window = before / 8 * 2 / 5;
    assert!(sent(7.9) <= window, "{} bytes in flight after three seconds of silence", sent(7.9));
    assert!(outcomes.grant_at(7.9) < before / 4, "the grant did not fall");
    assert!(outcomes.samples[790].state == State::Congested);
    assert!(outcomes.lowest_between(12.0, 20.0) >= 15_000_000, "the rate did not come back");
}

#[test]
fn an_idle_application_never_raises_the_rate() {
    fn idle(at_us: u64) -> u64 {
        if (5_000_000..15_000_000).contains(&at_us) { 20 } else { 100 }
    }
    let outcomes = Model::run(Case { link: |_| 50_000_000, demand_percent: idle, ..USUAL });
    let before = outcomes.grant_at(5.5);
    let during = outcomes.highest_between(5.5, 15.0);
    assert!(during <= before, "grew from {before} to {during} bit/s while a fifth was used");
}

#[test]
fn idleness_from_the_start_never_raises_the_rate() {
    let outcomes = Model::run(Case { demand_percent: |_| 30, ..USUAL });
    let grown = outcomes.highest_between(0.5, 20.0);
    assert!(grown <= 1_600_000, "grew to {grown} bit/s while a third of 1.5 Mbit/s was used");
}

#[test]
fn marks_keep_the_queue_shorter_than_delay_alone() {
    let marked = Model::run(Case { mark_us: 1_000, ..USUAL }).queue_us(950, 4.0);
    let unmarked = Model::run(USUAL).queue_us(950, 4.0);
    assert!(marked * 2 < unmarked, "{marked} against {unmarked} us");
}

#[test]
fn the_same_history_gives_the_same_decisions() {
    let grants = || -> Vec<_> {
        let outcomes = Model::run(Case { loss_permille: 30, jitter_us: 5_000, ..USUAL });
        outcomes.samples.iter().map(|sample| (sample.grant_bps, sample.stats)).collect()
    };
    assert_eq!(grants(), grants());
}

#[test]
fn hostile_reports_are_survived() {
    let config = Config { bitrate_bps_min: 0, bitrate_bps_start: u32::MAX, bitrate_bps_max: u32::MAX };
    let mut random = Random(0x5eed_0006);
    let mut delta = Delta::new(&config);
    for round in 0..20_000_u64 {
        let wild = |random: &mut Random| match random.below(4) {
            0 => 0,
            1 => u64::MAX,
            2 => random.below(1 << 31) << random.below(33),
            _ => round * 1000 + random.below(5000),
        };
        let now = Instant::from_micros(wild(&mut random));
        delta.on_sent(now, random.below(1 << 30) as usize);
        let reports = (0..random.below(8)).map(|_| PacketReport {
            sent_at: Instant::from_micros(wild(&mut random)),
            bytes: random.below(65_536) as u16,
            outcome: match random.below(3) {
                0 => Outcome::Lost,
                ce => Outcome::Arrived { at_us: wild(&mut random), ce: ce == 1 },
            },
        });
        let reports: Vec<_> = reports.collect();
        delta.on_feedback(now, random.below(1 << 32) as u32, reports.into_iter());
        if delta.poll_timeout().is_some() {
            delta.handle_timeout(now);
        }
        let (budget, stats) = (delta.budget(), delta.stats());
        assert!(budget.pacing_bps >= 1000 && budget.bitrate_bps <= budget.pacing_bps, "{budget:?} {stats:?}");
        let _ = (delta.sendable_bytes(now), delta.parity_for(usize::MAX));
    }
}
