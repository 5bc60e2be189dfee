//! The player between a sender and a sound card whose clocks differ, over a network that loses, in virtual time.

use core::convert::Infallible;

use rift::Instant;
use rift_hal::{AUDIO_CHANNELS, AudioDecoder};

use super::player::{PACKETS_MAX, Player};

/// Frames of a packet, 10 ms.
const FRAMES: usize = 480;
/// A period of the tone in frames: 1000 Hz.
const PERIOD: usize = 48;
/// What the card is kept filled with, 15 ms, and how often somebody looks, in true µs.
const FILL: u64 = 720;
const LOOK_US: u64 = 5_000;
/// The path's delay without jitter, in µs.
const PATH_US: u64 = 20_000;
/// What is missing is told so much after what follows it has come.
const PATIENCE_US: u64 = 5_000;

/// Packets that say where in the tone they begin; what is missing becomes a hole that can be found again.
struct ToneDecoder;

impl AudioDecoder for ToneDecoder {
    type Error = Infallible;

    fn frames(&self, packet: &[u8]) -> Option<usize> {
        (packet.len() == 8).then_some(FRAMES)
    }

    fn decode(&mut self, packet: &[u8], samples: &mut [i16]) -> Result<usize, Infallible> {
        let number = u64::from_be_bytes(packet.try_into().expect("eight bytes"));
        let is_silence = number == u64::MAX;
        let first = if is_silence { 0 } else { number as usize * FRAMES };
        for (frame, at) in samples.chunks_exact_mut(AUDIO_CHANNELS).zip(first..) {
            let angle = core::f64::consts::TAU * (at % PERIOD) as f64 / PERIOD as f64;
            frame.fill(if is_silence { 0 } else { (10_000.0 * angle.sin()).round() as i16 });
        }
        Ok(FRAMES)
    }

    fn conceal(&mut self, samples: &mut [i16]) -> Result<(), Infallible> {
        samples.fill(0);
        Ok(())
    }
}

/// A generator of chances (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// What happens on the way.
#[derive(Clone, Copy)]
struct World {
    seed: u64,
    /// What the sender's card and the player's are faster by than they should be, in millionths.
    sender_ppm: f64,
    card_ppm: f64,
    loss: f64,
    /// Packets that ride along with each.
    copies: usize,
    jitter_us: f64,
    seconds: u64,
    /// Nothing arrives between these times, in µs; then everything does at once.
    stall_us: (u64, u64),
    /// Nothing is sent between these.
    pause_us: (u64, u64),
}

const PLAIN: World = World {
    seed: 1,
    sender_ppm: 0.0,
    card_ppm: 0.0,
    loss: 0.0,
    copies: 0,
    jitter_us: 500.0,
    seconds: 20,
    stall_us: (0, 0),
    pause_us: (0, 0),
};

/// What the network's thread is told, and when.
#[derive(Clone, Copy)]
enum Told {
    Packet { number: u64, captured_us: u64, behind: u8 },
    Missing,
}

impl World {
    /// Everything that is told, in order.
    fn network(&self) -> Vec<(u64, Told)> {
        let mut chance = Chance(self.seed);
        let capture_us = |number: u64| (number as f64 * 10_000.0 / (1.0 + self.sender_ppm * 1e-6)) as u64;
        let count = self.seconds * 100;
        let is_paused = |at: u64| (self.pause_us.0..self.pause_us.1).contains(&at);
        let numbers: Vec<u64> = (0..count).filter(|&number| !is_paused(capture_us(number))).collect();
        let arrivals: Vec<Option<u64>> = numbers
            .iter()
            .map(|&number| {
                let jitter_us = (chance.next() * self.jitter_us) as u64;
                let at = capture_us(number) + 10_000 + PATH_US + jitter_us;
                let (from, to) = self.stall_us;
                let at = if (from..to).contains(&at) { to } else { at };
                (chance.next() >= self.loss).then_some(at)
            })
            .collect();
        let mut told = Vec::new();
        let mut last = 0;
        for (index, &number) in numbers.iter().enumerate() {
            let carriers = &arrivals[index..(index + self.copies + 1).min(arrivals.len())];
            let came = (0_u8..).zip(carriers).filter_map(|(behind, at)| Some((at.as_ref()?, behind))).min();
            let after = arrivals[index + 1..].iter().flatten().next();
            let (at, what) = match (came, after) {
                (Some((&at, behind)), _) => {
                    (at, Told::Packet { number, captured_us: capture_us(number), behind })
                }
                (None, Some(&after)) => (after + PATIENCE_US, Told::Missing),
                (None, None) => break,
            };
            last = at.max(last);
            told.push((last, what));
        }
        told
    }

    /// Plays it. What was heard, frame by frame of the card, and what was in hand beyond what should be at each look.
    fn play(&self, player: &mut Player<ToneDecoder>) -> (Vec<i16>, Vec<i64>) {
        let mut chance = Chance(self.seed ^ 0xaaaa);
        let told = self.network();
        let mut told = told.iter().peekable();
        let (mut heard, mut course) = (Vec::new(), Vec::new());
        let mut out = [0; FILL as usize * AUDIO_CHANNELS];
        // Time begins late enough for everything to lie before something.
        let epoch = Instant::from_millis(10_000);
        let mut at_us = 0;
        while at_us < self.seconds * 1_000_000 {
            while let Some((told_at, what)) = told.next_if(|(told_at, _)| *told_at <= at_us) {
                match *what {
                    Told::Packet { number, captured_us, behind } => {
                        player.ride(behind, u8::try_from(self.copies).expect("few"));
                        let captured_at = Some(epoch.plus_micros(captured_us));
                        player.push(epoch.plus_micros(*told_at), captured_at, &number.to_be_bytes());
                    }
                    Told::Missing => player.miss(1),
                }
            }
            let played = (at_us as f64 * 0.048 * (1.0 + self.card_ppm * 1e-6)) as u64;
            let filled = (heard.len() as u64).saturating_sub(played);
            let room = FILL.saturating_sub(filled) as usize;
            let delay_us = u32::try_from(filled * 1_000_000 / 48_000).expect("small");
            let out = &mut out[..room * AUDIO_CHANNELS];
            player.pull(epoch.plus_micros(at_us), delay_us, out);
            heard.extend(out.chunks_exact(AUDIO_CHANNELS).map(|frame| frame[0]));
            let stats = player.stats();
            course.push(i64::from(stats.in_hand_us) - i64::from(stats.wanted_us));
            // Nobody is woken exactly when it is time.
            at_us += LOOK_US + (chance.next() * 800.0) as u64;
        }
        (heard, course)
    }
}

/// Holes in the tone: how many stretches longer than 1 ms are silent, from the first sound on.
fn holes(heard: &[i16]) -> usize {
    let first = heard.iter().position(|&sample| sample != 0).unwrap_or(heard.len());
    let (mut count, mut silent) = (0, 0);
    for &sample in &heard[first..] {
        silent = if sample.unsigned_abs() < 20 { silent + 1 } else { 0 };
        count += usize::from(silent == 48);
    }
    count
}

/// The pitch of each second but the first.
fn frequencies(heard: &[i16]) -> Vec<f64> {
    all_frequencies(&heard[48_000..])
}

/// Upward zero crossings of each second, as a frequency in Hz of the card's own seconds; those with holes are left out.
fn all_frequencies(heard: &[i16]) -> Vec<f64> {
    let seconds = heard.chunks_exact(48_000).filter(|second| holes(second) == 0);
    seconds
        .map(|second| {
            let crossings: Vec<f64> = second
                .windows(2)
                .enumerate()
                .filter(|(_, pair)| pair[0] < 0 && pair[1] >= 0)
                .map(|(at, pair)| at as f64 - f64::from(pair[0]) / f64::from(pair[1] - pair[0]))
                .collect();
            let span = crossings[crossings.len() - 1] - crossings[0];
            (crossings.len() - 1) as f64 * 48_000.0 / span
        })
        .collect()
}

fn player() -> Player<ToneDecoder> {
    Player::new(ToneDecoder)
}

#[test]
fn cards_that_drift_and_a_network_that_loses_leave_pitch_and_level_alone() {
    for (seed, sender_ppm, card_ppm) in [(1, 200.0, 0.0), (2, -100.0, 100.0), (3, 0.0, 0.0), (4, 50.0, 20.0)]
    {
        let world = World {
            seed,
            sender_ppm,
            card_ppm,
            loss: 0.02,
            copies: 2,
            jitter_us: 3_000.0,
            seconds: 120,
            ..PLAIN
        };
        let mut player = player();
        let (heard, course) = world.play(&mut player);
        let stats = *player.stats();
        // In true time the tone has the pitch that the sender's card heard.
        let wanted = 1000.0 * (1.0 + sender_ppm * 1e-6) / (1.0 + card_ppm * 1e-6);
        let pitches = frequencies(&heard);
        let worst = pitches.iter().fold(0.0, |worst: f64, pitch| worst.max((pitch / wanted - 1.0).abs()));
        let last = &pitches[pitches.len() - 30..];
        let mean = last.iter().sum::<f64>() / last.len() as f64 / wanted - 1.0;
        let late = &course[course.len() / 2..];
        let (least, most) = (late.iter().min().expect("looks"), late.iter().max().expect("looks"));
        println!(
            "seed {seed}, {sender_ppm} and {card_ppm} ppm: {} gaps, pitch off by {:.4} % at most and {:.1} ppm in the \
             end, {least}..{most} µs beyond what should be in hand, {stats:?}",
            stats.gaps,
            worst * 100.0,
            mean * 1e6
        );
        assert!(worst < 1e-3 && mean.abs() < 100e-6, "the pitch is off");
        assert!(stats.gaps <= 2 && holes(&heard) as u64 <= stats.gaps, "more than a gap a minute");
        assert!(*least > -8_000 && *most < 15_000, "the level drifts");
        assert!(
            (f64::from(stats.drift_ppm) - (sender_ppm - card_ppm)).abs() < 40.0,
            "the drift is told wrong"
        );
        assert!(heard.len() as u64 > 119 * 48_000 && stats.dropped == 0);
    }
}

/// What sound over a bad link is to be, whatever falls: cards within what crystals are, a fiftieth lost, 10 ms of jitter, from
/// the first second on.
#[test]
fn every_second_of_every_minute_has_its_pitch_and_there_is_a_gap_at_most() {
    for seed in 100..116_u64 {
        let sender_ppm = [0.0, 100.0, -100.0, 200.0, -200.0][seed as usize % 5];
        let jitter_us = 10_000.0;
        let world = World { seed, sender_ppm, loss: 0.02, copies: 2, jitter_us, seconds: 64, ..PLAIN };
        let mut player = player();
        let (heard, _) = world.play(&mut player);
        let stats = *player.stats();
        let first = heard.iter().position(|&sample| sample.unsigned_abs() > 4_000).expect("it is heard");
        let heard = &heard[first..];
        // In no second is there anything but the tone, holes left out.
        let pitches = all_frequencies(heard);
        let worst = pitches.iter().fold(0.0, |worst: f64, pitch| worst.max((pitch / 1000.0 - 1.0).abs()));
        println!(
            "seed {seed}, {sender_ppm} ppm: {} holes, {} whole seconds, pitch off by {:.4} % at most, {stats:?}",
            holes(heard),
            pitches.len(),
            worst * 100.0
        );
        assert!(holes(heard) <= 1 && pitches.len() >= 61, "seed {seed}: more than a gap a minute");
        assert!(worst < 1e-3, "seed {seed}: the pitch is off");
    }
}

#[test]
fn on_a_good_network_sound_is_soon_heard_and_whole() {
    let mut player = player();
    let (heard, _) = World { seconds: 60, ..PLAIN }.play(&mut player);
    let stats = *player.stats();
    println!("{stats:?}");
    assert_eq!((stats.gaps, stats.concealed, holes(&heard)), (0, 0, 0));
    let first = heard.iter().position(|&sample| sample.unsigned_abs() > 1000).expect("it is heard");
    assert!(first < 48 * 100, "first heard after {} ms", first / 48);
    // The packet's own 10 ms, the path's 20, the card's 15, and little more in the end.
    assert!((45_000..54_000).contains(&stats.latency_us), "{} µs", stats.latency_us);
    assert!(stats.drift_ppm.abs() < 90, "both clocks are the same");
}

#[test]
fn stall_is_made_up_for_at_once_and_single_ones_do_not_delay_for_long() {
    let mut player = player();
    let world = World { stall_us: (10_000_000, 10_300_000), seconds: 20, ..PLAIN };
    let (heard, course) = world.play(&mut player);
    let stats = *player.stats();
    println!("{stats:?}");
    assert!(holes(&heard) <= 2 && stats.gaps <= 2, "{stats:?}");
    // A second later no more is in hand than is believed to be needed, and that is not all of the stall.
    let after = course.len() * 11 / 20;
    assert!(course[after..].iter().all(|&excess| excess < 20_000), "{:?}", course[after..].iter().max());
    assert!(stats.wanted_us < 100_000);
}

#[test]
fn sender_that_has_nothing_to_say_is_no_gap() {
    let mut player = player();
    // Before the pause there is silence that was sent.
    let epoch = Instant::from_millis(1_000);
    let mut out = [0; FRAMES * AUDIO_CHANNELS];
    for number in 0..100_u64 {
        let at = epoch.plus_micros(number * 10_000);
        player.push(at, None, &u64::MAX.to_be_bytes());
        player.pull(at.plus_micros(5_000), 0, &mut out);
    }
    for number in 100..400_u64 {
        player.pull(epoch.plus_micros(number * 10_000), 0, &mut out);
    }
    assert!(player.is_idle());
    let mut heard_after = None;
    for number in 0..100_u64 {
        let at = epoch.plus_micros(4_000_000 + number * 10_000);
        player.push(at, None, &number.to_be_bytes());
        player.pull(at.plus_micros(5_000), 0, &mut out);
        if heard_after.is_none() && out.iter().any(|&sample| sample != 0) {
            heard_after = Some(number);
        }
    }
    let stats = player.stats();
    assert_eq!((stats.gaps, stats.concealed, stats.dropped), (0, 0, 0), "{stats:?}");
    assert!(heard_after.is_some_and(|packets| packets <= 4), "{heard_after:?}");
}

#[test]
fn what_is_missing_for_certain_is_invented_in_its_place_and_no_delay_is_gained() {
    for (seconds, lost) in [(30, 100..220), (70, 250..450)] {
        let mut player = player();
        let world = World { seed: 5, loss: 0.05, copies: 0, seconds, ..PLAIN };
        let (heard, course) = world.play(&mut player);
        let stats = *player.stats();
        println!("{stats:?}");
        assert!(lost.contains(&stats.lost), "{stats:?}");
        assert!(stats.concealed >= stats.lost * FRAMES as u64 * 9 / 10, "{stats:?}");
        assert!(holes(&heard) > 80);
        let mean = |part: &[i64]| part.iter().sum::<i64>() / part.len() as i64;
        let mean = (mean(&course[course.len() / 2..]), mean(&course[course.len() * 9 / 10..]));
        println!("{mean:?} µs more than should be in hand");
        assert!(mean.0.abs() < 8_000 && mean.1.abs() < 5_000, "{mean:?} µs more than should be in hand");
    }
}

#[test]
fn cards_that_were_gone_at_both_ends_are_heard_again_whole() {
    let mut player = player();
    World { seconds: 2, ..PLAIN }.play(&mut player);
    let before = *player.stats();
    // Neither was anything sent nor anything played meanwhile.
    let mut out = [0; FRAMES * AUDIO_CHANNELS];
    for number in 200..400_u64 {
        let at = Instant::from_micros(11_500_000 + number * 10_000);
        player.push(at, None, &number.to_be_bytes());
        player.pull(at.plus_micros(2_000), 0, &mut out);
    }
    let stats = *player.stats();
    println!("{stats:?}");
    assert!(stats.gaps <= before.gaps + 1 && stats.is_playing, "{stats:?}");
    assert!(stats.in_hand_us < stats.wanted_us + 15_000, "{stats:?}");
}

#[test]
fn session_that_ends_is_silent_at_once() {
    let mut player = player();
    World { seconds: 2, ..PLAIN }.play(&mut player);
    assert!(!player.is_idle());
    player.clear();
    let mut out = [1; 960];
    player.pull(Instant::from_millis(13_000), 0, &mut out);
    assert!(player.is_idle() && out.iter().all(|&sample| sample == 0));
    assert!(!player.stats().is_playing);
}

#[test]
fn nobody_who_plays_costs_no_memory_and_what_is_old_is_left_out() {
    let mut player = player();
    let at = |number: u64| Instant::from_micros(1_000_000 + number * 10_000);
    for number in 0..1_000_u64 {
        player.push(at(number), None, &number.to_be_bytes());
        if number % 10 == 0 {
            player.miss(1);
        }
    }
    assert!(player.stats().dropped >= 1_000 - PACKETS_MAX as u64);
    // A card that comes then hears what is new.
    let mut out = [0; 1440];
    for number in 1_000..1_100_u64 {
        player.push(at(number), None, &number.to_be_bytes());
        player.pull(at(number), 0, &mut out[..960]);
    }
    let stats = player.stats();
    assert!(stats.is_playing && stats.in_hand_us < stats.wanted_us + 100_000, "{stats:?}");
    // What is no packet is counted, and concealed like one that is missing.
    player.push(at(1_100), None, &[1, 2, 3]);
    assert_eq!(player.stats().broken, 1);
}
