//! Sound over a lossy path: each packet once and in order, or a gap where it is missing, soon (SPEC §14.6).

use core::time::Duration;

use proptest::prelude::*;
use rift::{Audio, Instant, Permissions, SendError};
use rift_sim::peer::{Pair, PairConfig};
use rift_sim::{GilbertElliott, Jitter, LinkConfig, Loss, Time};

const PERIOD: Duration = Duration::from_millis(10);

fn packet(number: u32) -> Vec<u8> {
    let mut packet = number.to_be_bytes().to_vec();
    packet.resize(60 + number as usize % 100, number as u8);
    packet
}

/// The host sends `count` packets, one each 10 ms; returns when, on the host's clock.
fn speak(pair: &mut Pair, count: u32) -> Vec<Instant> {
    (0..count)
        .map(|number| {
            pair.network.run_for(PERIOD);
            pair.network.act(pair.host, |peer, now| {
                peer.host_mut().session_mut(0).send_audio(now, &packet(number)).expect("permitted");
                now
            })
        })
        .collect()
}

/// Checks that every packet was given once, in order, or lies in a gap; returns how many lie in gaps.
fn check(pair: &Pair, count: u32) -> u32 {
    let (mut next, mut missing) = (0, 0);
    for (_, audio, bytes) in &pair.client().heard {
        match audio {
            Audio::Packet { .. } => {
                assert_eq!(*bytes, packet(next), "each once, in order, as it was sent");
                next += 1;
            }
            Audio::Gap { packets } => {
                missing += packets;
                next += packets;
            }
        }
    }
    assert!(next + 20 >= count && next <= count, "{next} of {count}");
    missing
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn packets_come_once_and_in_order_or_are_told_missing(
        seed: u64,
        loss in 0.0..0.4f64,
        burst in 1.0..5.0f64,
        duplicate in 0.0..0.2f64,
        jitter_us in 0..15_000u64,
        reorders: bool,
    ) {
        let link = LinkConfig {
            delay: Duration::from_millis(20),
            loss: Loss::GilbertElliott(GilbertElliott::bursts(loss / 4.0 + 0.001, burst)),
            duplicate,
            jitter: Some(Jitter { deviation: Duration::from_micros(jitter_us), reorders }),
            ..LinkConfig::default()
        };
        let mut pair = Pair::new(&PairConfig::new(seed, link));
        pair.network.run_until(Time::from_secs(4));
        prop_assume!(pair.client().session().permissions().is_some());
        speak(&mut pair, 400);
        pair.network.run_for(Duration::from_secs(1));
        // The very first packets may be lost before anything is known to be missing.
        if pair.client().heard.first().is_some_and(|(_, _, bytes)| *bytes == packet(0)) {
            check(&pair, 400);
        }
    }
}

#[test]
fn redundancy_follows_loss_and_leaves_few_gaps() {
    for (seed, loss, most) in [(1, 0.0, 0), (2, 0.01, 3), (3, 0.05, 12), (4, 0.2, 30)] {
        let link = LinkConfig {
            delay: Duration::from_millis(20),
            loss: Loss::Random(loss),
            ..LinkConfig::default()
        };
        let mut pair = Pair::new(&PairConfig::new(seed, link));
        pair.network.run_until(Time::from_secs(4));
        let sent_before = pair.network.link_stats(pair.downward).delivered_bytes;
        speak(&mut pair, 3000);
        pair.network.run_for(Duration::from_secs(1));
        let missing = check(&pair, 3000);
        let told = pair.client().heard.iter().filter_map(|(_, audio, _)| match *audio {
            Audio::Packet { behind, along, .. } => Some((behind, along)),
            Audio::Gap { .. } => None,
        });
        let told: Vec<(u8, u8)> = told.collect();
        let rescued = told.iter().filter(|(behind, _)| *behind > 0).count();
        let (_, along) = *told.last().expect("packets");
        println!("loss {loss}: {rescued} rode along, {along} do in the end");
        assert!(told.iter().all(|&(behind, _)| behind < 4), "no more can ride along");
        assert_eq!(rescued > 0, loss > 0.0, "what came by itself did not ride along");
        assert_eq!(along > 0, loss > 0.0, "what rides along is told");
        let bytes = pair.network.link_stats(pair.downward).delivered_bytes - sent_before;
        println!("loss {loss}: {missing} of 3000 missing, {} bytes a packet", bytes / 3000);
        assert!(missing <= most, "loss {loss}: {missing} of 3000 packets are missing");
        // 110 bytes of sound and 100 of datagram, feedback and the rest; copies only where they help.
        if loss == 0.0 {
            assert!(bytes / 3000 < 210, "{} bytes a packet", bytes / 3000);
        }
    }
}

#[test]
fn sound_is_heard_within_the_path_and_two_packets_and_its_time_is_true() {
    let link =
        LinkConfig { delay: Duration::from_millis(30), loss: Loss::Random(0.05), ..LinkConfig::default() };
    let mut pair = Pair::new(&PairConfig::new(5, link));
    pair.network.run_until(Time::from_secs(6));
    let sent_at = speak(&mut pair, 1000);
    pair.network.run_for(Duration::from_secs(1));
    let (host_now, client_now) = (pair.network.local(pair.host), pair.network.local(pair.client));
    let error = pair.client().session().clock_relation(client_now).expect("compared").error_us;
    let mut late = Vec::new();
    for (at, audio, bytes) in &pair.client().heard {
        let Audio::Packet { captured_at, .. } = audio else { continue };
        let number = u32::from_be_bytes(bytes[..4].try_into().expect("a number"));
        // On the client's clock, to some µs of drift.
        let truth = client_now.minus_micros(host_now.micros_since(sent_at[number as usize]));
        let told = captured_at.expect("clocks were compared");
        let wrong = told.as_micros().abs_diff(truth.as_micros());
        assert!(wrong <= u64::from(error) + 2000, "packet {number} is told {wrong} µs wrong of {error}");
        late.push(at.micros_since(truth));
    }
    late.sort_unstable();
    let (median, p99) = (late[late.len() / 2], late[late.len() * 99 / 100]);
    assert!(median < 32_000, "the median is the path: {median} µs");
    assert!(p99 < 60_000, "one in a hundred waits for what rides along: {p99} µs");
}

#[test]
fn full_buffers_make_room_and_rights_are_asked_for() {
    let config = PairConfig {
        permissions: Permissions::default_control() - Permissions::AUDIO,
        ..PairConfig::new(1, LinkConfig::default())
    };
    let mut pair = Pair::new(&config);
    pair.network.run_until(Time::from_secs(1));
    let send = |pair: &mut Pair, bytes: &[u8]| {
        pair.network.act(pair.host, |peer, now| peer.host_mut().session_mut(0).send_audio(now, bytes))
    };
    assert_eq!(send(&mut pair, &packet(0)), Err(SendError::NotPermitted));
    let back = pair
        .network
        .act(pair.client, |peer, now| peer.client_mut().session_mut().send_audio(now, &packet(0)));
    assert_eq!(back, Err(SendError::NotPermitted), "a client needs the microphone's right");
    pair.network.act(pair.host, |peer, now| {
        peer.host_mut().session_mut(0).admit(now, Permissions::default_control());
    });
    pair.network.run_for(Duration::from_millis(100));
    assert_eq!(send(&mut pair, &[]), Err(SendError::TooLarge));
    assert_eq!(send(&mut pair, &[0; 1170]), Err(SendError::TooLarge));
    assert_eq!(send(&mut pair, &packet(0)), Ok(()));
    pair.network.run_for(Duration::from_millis(100));
    // Six before any can leave: the oldest two make room, and are told as a gap.
    pair.network.act(pair.host, |peer, now| {
        for number in 1..7 {
            peer.host_mut().session_mut(0).send_audio(now, &packet(number)).expect("room is made");
        }
    });
    pair.network.run_for(Duration::from_millis(200));
    assert_eq!(check(&pair, 7), 2);
}
