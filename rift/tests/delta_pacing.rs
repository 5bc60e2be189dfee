//! Pacing: how fast a picture leaves, and how little more than the grant over time.

use rift::Instant;
use rift::pacing::Pacer;

const PICTURE_US: u64 = 16_667;

/// When each of `packets` leaves a pacer that rested until `start`.
fn departures(pacer: &mut Pacer, start: Instant, packets: usize, bytes: usize) -> Vec<Instant> {
    let mut now = start;
    (0..packets)
        .map(|_| {
            now = pacer.ready_at(now, bytes);
            assert!(pacer.budget_bytes(now) >= bytes, "ready, yet only {} bytes", pacer.budget_bytes(now));
            pacer.on_sent(now, bytes);
            now
        })
        .collect()
}

#[test]
fn a_picture_of_35_packets_leaves_in_8_ms_at_50_mbit() {
    let start = Instant::from_millis(5);
    let mut pacer = Pacer::new(start);
    pacer.set_rate(50_000_000);
    let last = departures(&mut pacer, start, 35, 1200)[34].micros_since(start);
    println!("35 packets of 1200 bytes at 50 Mbit/s: {last} us");
    assert!((3_000..8_000).contains(&last), "{last} us");
}

#[test]
fn a_picture_of_the_granted_size_takes_two_thirds_of_its_period() {
    let start = Instant::ZERO;
    let mut pacer = Pacer::new(start);
    pacer.set_rate(20_000_000);
    let packets = (20_000_000 / 60 / 8 / 1200) as usize;
    let last = departures(&mut pacer, start, packets, 1200)[packets - 1].micros_since(start);
    assert!((9_000..=PICTURE_US * 2 / 3).contains(&last), "{last} us");
}

#[test]
fn whatever_is_offered_no_more_than_the_grant_and_two_thirds_of_a_picture_leaves() {
    for grant in [500_000, 6_000_000, 20_000_000, 100_000_000, 1_000_000_000] {
        let mut pacer = Pacer::new(Instant::ZERO);
        pacer.set_rate(grant);
        let left = departures(&mut pacer, Instant::ZERO, 2_000, 1200);
        let batch = pacer.batch_bytes(1500) as u64;
        for (first, from) in left.iter().enumerate().step_by(7) {
            for (count, to) in left[first..].iter().enumerate() {
                let allowed =
                    grant * (to.micros_since(*from) + PICTURE_US * 2 / 3) / 8_000_000 + batch + 1200;
                assert!(
                    (count as u64 + 1) * 1200 <= allowed,
                    "{grant}: {count} packets from {from:?} to {to:?}"
                );
            }
        }
        let took = left[1999].micros_since(Instant::ZERO).max(1);
        let rate = (2_000 * 1200 - batch) * 8_000_000 / took;
        assert!(rate <= grant * 3 / 2 + grant / 50, "{grant}: {rate}");
        assert!(rate >= grant * 97 / 100, "{grant}: {rate}");
    }
}

#[test]
fn a_batch_is_a_millisecond_in_whole_datagrams_and_at_least_two() {
    let mut pacer = Pacer::new(Instant::ZERO);
    pacer.set_rate(1_000_000);
    assert_eq!(pacer.batch_bytes(1200), 2400);
    pacer.set_rate(100_000_000);
    assert_eq!(pacer.batch_bytes(1200), 15 * 1200);
    assert_eq!(pacer.batch_bytes(0), 0);
}

#[test]
fn nothing_leaves_without_a_rate_and_something_does_with_one() {
    let now = Instant::from_millis(1);
    let mut pacer = Pacer::new(now);
    assert_eq!(pacer.ready_at(now, 1), Instant::FAR_FUTURE);
    pacer.set_rate(1_000_000);
    assert_eq!(pacer.ready_at(now, 1200), now);
    pacer.set_rate(0);
    assert_eq!(pacer.ready_at(now, 1200), Instant::FAR_FUTURE);
}

#[test]
fn more_than_a_batch_waits_for_full_buckets_only() {
    let now = Instant::from_millis(1);
    let mut pacer = Pacer::new(now);
    pacer.set_rate(1_000_000);
    assert_eq!(pacer.ready_at(now, 60_000), now);
    pacer.on_sent(now, 60_000);
    let next = pacer.ready_at(now, 1200).micros_since(now);
    assert!((400_000..=480_000).contains(&next), "60 000 bytes at 1 Mbit/s are paid back in {next} us");
}

#[test]
fn time_that_runs_backwards_or_leaps_is_survived() {
    let mut pacer = Pacer::new(Instant::from_millis(100));
    pacer.set_rate(u64::MAX);
    pacer.set_picture_period(u64::MAX);
    pacer.on_sent(Instant::FAR_FUTURE, usize::MAX);
    pacer.on_sent(Instant::ZERO, usize::MAX);
    assert!(pacer.ready_at(Instant::ZERO, usize::MAX) > Instant::ZERO);
    assert_eq!(pacer.budget_bytes(Instant::ZERO), 0);
}
