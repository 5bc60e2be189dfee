//! How much parity DELTA asks for, and what it is worth.

use rift::Instant;
use rift::delta::{Config, Delta, Outcome, PacketReport};

const CONFIG: Config =
    Config { bitrate_bps_min: 500_000, bitrate_bps_start: 20_000_000, bitrate_bps_max: 50_000_000 };

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

/// A channel that loses packets one by one, or in bursts (Gilbert–Elliott, everything lost in the bad state).
struct Channel {
    random: Random,
    to_bad_ppm: u64,
    to_good_ppm: u64,
    bad: bool,
}

impl Channel {
    fn loses(&mut self) -> bool {
        let leave = if self.bad { self.to_good_ppm } else { self.to_bad_ppm };
        self.bad ^= self.random.below(1_000_000) < leave;
        self.bad
    }

    /// Loss of `permille` in bursts of `burst` packets on average; a burst of 1 is nearly independent loss.
    fn new(seed: u64, permille: u64, burst: u64) -> Self {
        let to_good_ppm = 1_000_000 / burst;
        Self {
            random: Random(seed),
            to_bad_ppm: to_good_ppm * permille / (1000 - permille),
            to_good_ppm,
            bad: false,
        }
    }
}

/// Pictures of `shards` at 60 Hz: how many were lost of 1000, and the parity share in thousandths.
fn residual(permille: u64, burst: u64, shards: usize) -> (u64, u64) {
    let mut channel = Channel::new(0x5eed_0007, permille, burst);
    let mut delta = Delta::new(&CONFIG);
    let (mut pictures, mut lost_pictures, mut data, mut all) = (0_u64, 0, 0, 0);
    for picture in 0..12_000_u64 {
        let now = Instant::from_micros(1_000_000 + picture * 16_667);
        let parity = delta.parity_for(shards);
        let mut missing = 0;
        let mut reports = Vec::new();
        for _ in 0..shards + parity {
            delta.on_sent(now, 1200);
            let lost = channel.loses();
            missing += usize::from(lost);
            let outcome = if lost {
                Outcome::Lost
            } else {
                Outcome::Arrived { at_us: now.as_micros() + 20_000, ce: false }
            };
            reports.push(PacketReport { sent_at: now, bytes: 1200, outcome });
        }
        delta.on_feedback(now.plus_micros(40_000), 40_000, reports.into_iter());
        // The first seconds teach; after them the loss is known.
        if picture >= 600 {
            pictures += 1;
            lost_pictures += u64::from(missing > parity);
            (data, all) = (data + shards as u64, all + (shards + parity) as u64);
        }
    }
    (lost_pictures * 10_000 / pictures, (all - data) * 1000 / all)
}

#[test]
fn parity_leaves_few_pictures_lost() {
    println!("| loss, burst, shards | lost pictures in 10 000 | parity in 1000 |");
    for (permille, burst, shards, most_lost, most_parity) in [
        (0, 1, 35, 0, 30),
        (10, 1, 35, 30, 130),
        (20, 1, 35, 30, 160),
        (50, 1, 35, 30, 250),
        (50, 1, 5, 100, 500),
        (50, 1, 120, 30, 170),
        (200, 1, 35, 100, 480),
        // Long bursts are cheaper to repair by retransmission than by parity within one picture.
        (8, 4, 35, 200, 200),
        (14, 8, 35, 300, 330),
    ] {
        let (lost, parity) = residual(permille, burst, shards);
        println!("| {permille:>4} {burst:>4} {shards:>6} | {lost:>6} | {parity:>6} |");
        assert!(lost <= most_lost, "{permille} {burst} {shards}: {lost} of 10 000 pictures lost");
        assert!(parity <= most_parity, "{permille} {burst} {shards}: {parity} of 1000 shards are parity");
    }
}

#[test]
fn a_fresh_session_expects_a_little_loss() {
    let delta = Delta::new(&CONFIG);
    assert!((2..=4).contains(&delta.parity_for(35)));
    assert!(delta.budget().parity_permille > 0);
    assert!(delta.budget().bitrate_bps < 19_000_000);
}

#[test]
fn parity_falls_to_its_floor_when_nothing_is_lost() {
    let (_, parity) = residual(0, 1, 35);
    assert_eq!(parity, 1000 / 36);
    let mut delta = Delta::new(&CONFIG);
    feed(&mut delta, 2_000, |_| 0);
    assert_eq!([1, 15, 16, 35, 200].map(|shards| delta.parity_for(shards)), [0, 0, 1, 1, 1]);
}

#[test]
fn jitter_alone_asks_for_no_parity() {
    let mut random = Random(0x5eed_0008);
    let mut delta = Delta::new(&CONFIG);
    feed(&mut delta, 4_000, |_| random.below(30_000));
    assert_eq!(delta.parity_for(35), 1);
}

#[test]
fn a_grant_too_small_for_the_frame_rate_lowers_it() {
    let config = Config { bitrate_bps_min: 100_000, bitrate_bps_start: 600_000, bitrate_bps_max: 50_000_000 };
    let mut delta = Delta::new(&config);
    let limited = delta.budget().picture_rate_millihertz_max;
    assert!(limited.is_some_and(|rate| (10_000..60_000).contains(&rate)), "{limited:?}");
    delta.set_picture_rate(12_000);
    assert_eq!(delta.budget().picture_rate_millihertz_max, None);
    assert_eq!(Delta::new(&CONFIG).budget().picture_rate_millihertz_max, None);
}

fn feed(delta: &mut Delta, packets: u64, mut jitter_us: impl FnMut(u64) -> u64) {
    for packet in 0..packets {
        let now = Instant::from_micros(1_000_000 + packet * 600);
        delta.on_sent(now, 1200);
        let at_us = now.as_micros() + 20_000 + jitter_us(packet);
        let outcome = Outcome::Arrived { at_us, ce: false };
        delta.on_feedback(now, 40_000, [PacketReport { sent_at: now, bytes: 1200, outcome }].into_iter());
    }
}
