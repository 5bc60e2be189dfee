//! Streams beside everything else: what is permitted arrives whole and in order, and bulk takes its share and no more
//! (SPEC §8.4, §9, §14).

use core::time::Duration;

use rift::{Channel, Config, Permissions, Priority, SendError};
use rift_sim::peer::{Pair, PairConfig, Parcel};
use rift_sim::{Jitter, LinkConfig, Loss, QueueLimit, Random, Rate, Time};

const SEEDS: core::ops::Range<u64> = 1..4;

fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut random = Random::new(seed);
    (0..len).map(|_| random.next_u64().to_le_bytes()[0]).collect()
}

fn everything() -> Permissions {
    Permissions::default_control()
        | Permissions::CLIPBOARD_READ
        | Permissions::CLIPBOARD_WRITE
        | Permissions::FILE_SEND
        | Permissions::FILE_RECEIVE
}

fn send_to_host(pair: &mut Pair, channel: Channel, bytes: Vec<u8>) {
    pair.network.act(pair.client, |peer, _| peer.client_mut().parcel = Some(Parcel::new(channel, bytes)));
}

fn send_to_client(pair: &mut Pair, channel: Channel, bytes: Vec<u8>) {
    pair.network.act(pair.host, |peer, _| {
        peer.host_mut().guests[0].parcel = Some(Parcel::new(channel, bytes));
    });
}

#[test]
fn files_arrive_whole_both_ways_over_a_bad_path() {
    for seed in SEEDS {
        let link = LinkConfig {
            delay: Duration::from_millis(25),
            loss: Loss::Random(0.05),
            duplicate: 0.05,
            jitter: Some(Jitter { deviation: Duration::from_millis(3), reorders: true }),
            ..LinkConfig::default()
        };
        let config = PairConfig { permissions: everything(), ..PairConfig::new(seed, link) };
        let mut pair = Pair::new(&config);
        pair.network.run_until(Time::from_secs(2));
        let (up, down) = (bytes(seed, 100_000), bytes(seed + 100, 100_000));
        send_to_host(&mut pair, Channel::File, up.clone());
        send_to_client(&mut pair, Channel::File, down.clone());
        pair.network.run_until(Time::from_secs(90));
        assert!(pair.host().guests[0].bulk[1] == up, "seed {seed}: {}", pair.host().guests[0].bulk[1].len());
        assert!(pair.client().bulk[1] == down, "seed {seed}: {}", pair.client().bulk[1].len());
    }
}

#[test]
fn bulk_moves_but_never_starves_media() {
    for seed in SEEDS {
        let measure = |with_file: bool| {
            let link = LinkConfig {
                rate: Rate::Constant(6_000_000),
                queue: QueueLimit::Time(Duration::from_millis(200)),
                delay: Duration::from_millis(15),
                ..LinkConfig::default()
            };
            let session =
                Config { bitrate_bps_start: 2_000_000, bitrate_bps_max: 20_000_000, ..Config::default() };
            let config = PairConfig {
                session,
                permissions: everything(),
                pictures_per_second: 60,
                ..PairConfig::new(seed, link)
            };
            let mut pair = Pair::new(&config);
            pair.network.run_until(Time::from_secs(10));
            if with_file {
                send_to_client(&mut pair, Channel::File, bytes(seed, 8_000_000));
            }
            let before = pair.network.link_stats(pair.downward).delivered_bytes;
            let shown = pair.client().shown.len();
            pair.network.run_until(Time::from_secs(40));
            let all = pair.network.link_stats(pair.downward).delivered_bytes - before;
            let mut gaps: Vec<_> = pair.client().shown[shown..]
                .windows(2)
                .map(|two| (two[1].at - two[0].at).as_millis())
                .collect();
            gaps.sort_unstable();
            let p99 = gaps[gaps.len() * 99 / 100];
            (pair.client().shown.len() - shown, p99, pair.client().bulk[1].len() as u64, all)
        };
        let (shown_alone, p99_alone, _, _) = measure(false);
        let (shown, p99, moved, all) = measure(true);
        println!(
            "seed {seed}: {shown_alone} pictures, p99 {p99_alone} ms; {shown}, {p99} ms, {moved} of {all} bytes"
        );
        assert!(shown * 100 >= shown_alone * 95, "seed {seed}: {shown} of {shown_alone} pictures");
        assert!(p99 <= p99_alone + 17, "seed {seed}: a picture every {p99} ms, {p99_alone} ms alone");
        assert!(moved > 300_000, "seed {seed}: the file moves: {moved}");
        assert!(moved * 7 <= all, "seed {seed}: {moved} of {all} bytes is more than its share");
    }
}

#[test]
fn bulk_alone_uses_the_path_without_filling_its_queue() {
    for seed in SEEDS {
        let link = LinkConfig {
            rate: Rate::Constant(4_000_000),
            queue: QueueLimit::Time(Duration::from_millis(500)),
            delay: Duration::from_millis(10),
            ..LinkConfig::default()
        };
        let config = PairConfig { permissions: everything(), ..PairConfig::new(seed, link) };
        let mut pair = Pair::new(&config);
        pair.network.run_until(Time::from_secs(2));
        send_to_host(&mut pair, Channel::File, bytes(seed, 4_000_000));
        pair.network.run_until(Time::from_secs(22));
        let moved = pair.host().guests[0].bulk[1].len();
        // The window of a small session is 4 KiB: it, not the path, is the limit.
        println!("seed {seed}: {moved} bytes in 20 s");
        assert!(moved > 1_000_000, "seed {seed}: {moved} bytes in 20 s");
        let stats = pair.client().session().stats(pair.network.local(pair.client));
        assert!(stats.round_trip_us < 60_000, "seed {seed}: {} µs", stats.round_trip_us);
    }
}

/// SPEC §8.4.
#[test]
fn streams_without_the_right_are_refused_and_go_on_when_it_comes_back() {
    let config = PairConfig::new(1, LinkConfig { delay: Duration::from_millis(5), ..LinkConfig::default() });
    let mut pair = Pair::new(&config);
    pair.network.run_until(Time::from_secs(1));
    for channel in [Channel::Clipboard, Channel::File] {
        let client = pair
            .network
            .act(pair.client, |peer, now| peer.client_mut().session_mut().write(now, channel, b"x"));
        let host =
            pair.network.act(pair.host, |peer, now| peer.host_mut().session_mut(0).write(now, channel, b"x"));
        assert_eq!(
            (client, host),
            (Err(SendError::NotPermitted), Err(SendError::NotPermitted)),
            "{channel:?}"
        );
    }
    let admit = |pair: &mut Pair, permissions| {
        pair.network.act(pair.host, |peer, now| peer.host_mut().session_mut(0).admit(now, permissions));
    };
    // The two streams of the protocol itself need no right.
    admit(&mut pair, Permissions::VIEW);
    for channel in [Channel::Control, Channel::Cursor] {
        let host =
            pair.network.act(pair.host, |peer, now| peer.host_mut().session_mut(0).write(now, channel, b"x"));
        assert_eq!(host, Ok(1), "{channel:?}");
    }
    pair.network.run_for(Duration::from_secs(1));
    assert_eq!((&pair.client().control[..], &pair.client().cursors[..]), (&b"x"[..], &b"x"[..]));
    admit(&mut pair, everything());
    pair.network.run_for(Duration::from_secs(1));
    let copied = bytes(1, 40_000);
    send_to_host(&mut pair, Channel::Clipboard, copied.clone());
    pair.network.run_for(Duration::from_millis(60));
    admit(&mut pair, Permissions::VIEW | Permissions::CLIPBOARD_READ);
    let had = pair.host().guests[0].bulk[0].len();
    pair.network.run_for(Duration::from_secs(2));
    assert_eq!(pair.host().guests[0].bulk[0].len(), had, "nothing more came");
    assert!(had > 0 && had < copied.len(), "{had} bytes came");
    admit(&mut pair, everything());
    pair.network.run_for(Duration::from_secs(4));
    assert!(pair.host().guests[0].bulk[0] == copied, "{} bytes", pair.host().guests[0].bulk[0].len());
}

#[test]
fn priorities_in_code_are_those_of_the_specification() {
    let specification = include_str!("../SPEC.md");
    let rows: Vec<&str> = specification.lines().filter(|line| line.starts_with("| ")).collect();
    for (index, priority) in Priority::TABLE.into_iter().enumerate() {
        let words = match priority {
            Priority::InputAndControl => "input and control | real-time",
            Priority::Audio => "audio | real-time",
            Priority::Cursor => "cursor | real-time",
            Priority::Video => "video | media",
            Priority::Bulk => "bulk | bulk",
        };
        let row = format!("| {} | {words} |", index + 1);
        assert!(rows.iter().any(|line| line.starts_with(&row)), "SPEC §9.1 has {row}");
        let class = format!("{:?}", priority.class()).to_lowercase();
        assert!(words.replace('-', "").ends_with(&class), "{priority:?} is {class}");
    }
    assert!(Priority::TABLE.is_sorted(), "and the order of the names is that of the table");
}
