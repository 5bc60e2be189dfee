//! What a session measures is true (SPEC §12): the simulator knows the clocks, delays and losses it made.

use core::time::Duration;

use rift::{Config, Event, Instant, PictureTrace};
use rift_sim::peer::{Pair, PairConfig, Repertoire, Typist};
use rift_sim::{Jitter, LinkConfig, Loss, QueueLimit, Random, Rate, Time};

fn jittery(delay_ms: u64, jitter_us: u64) -> LinkConfig {
    LinkConfig {
        rate: Rate::Constant(8_000_000),
        queue: QueueLimit::Time(Duration::from_millis(300)),
        delay: Duration::from_millis(delay_ms),
        jitter: Some(Jitter { deviation: Duration::from_micros(jitter_us), reorders: false }),
        loss: Loss::Random(0.01),
        ..LinkConfig::default()
    }
}

fn config(seed: u64, up_ms: u64, down_ms: u64) -> PairConfig {
    let session = Config { bitrate_bps_start: 2_000_000, bitrate_bps_max: 4_000_000, ..Config::default() };
    let upward = jittery(up_ms, 1500);
    let downward = jittery(down_ms, 1500);
    PairConfig {
        upward,
        downward,
        session,
        pictures_per_second: 30,
        ..PairConfig::new(seed, LinkConfig::default())
    }
}

/// The host's microseconds less the client's, in truth.
fn true_offset(pair: &Pair) -> i64 {
    let (host, client) = (pair.network.local(pair.host), pair.network.local(pair.client));
    i64::try_from(host.as_micros()).expect("small") - i64::try_from(client.as_micros()).expect("small")
}

#[test]
fn clock_relation_holds_the_truth_within_its_error() {
    for (seed, up_ms, down_ms) in [(1, 10, 10), (2, 5, 45), (3, 60, 20), (4, 1, 1)] {
        let mut pair = Pair::new(&config(seed, up_ms, down_ms));
        pair.network.run_until(Time::from_secs(1));
        while pair.network.now() < Time::from_secs(60) {
            pair.network.run_for(Duration::from_millis(777));
            let now = pair.network.local(pair.client);
            let relation = pair.client().session().clock_relation(now).expect("clocks were compared");
            let wrong_by = (relation.offset_us - true_offset(&pair)).unsigned_abs();
            let bound = u64::from(relation.error_us);
            assert!(wrong_by <= bound, "seed {seed} at {now:?}: wrong by {wrong_by} of {bound} µs");
            assert!(bound < (up_ms + down_ms) * 1000 / 2 + 5000, "seed {seed}: {bound} µs");
        }
    }
}

#[test]
fn round_trip_is_that_of_the_path() {
    for (seed, up_ms, down_ms) in [(1, 10, 10), (2, 5, 45), (3, 60, 20)] {
        let mut pair = Pair::new(&config(seed, up_ms, down_ms));
        pair.network.run_until(Time::from_secs(5));
        let least = (up_ms + down_ms) * 1000 - 9000;
        let most = (up_ms + down_ms) * 1000 + 15_000;
        let client = pair.client().session().stats(pair.network.local(pair.client)).round_trip_us;
        let host = pair.host().guests[0].session.stats(pair.network.local(pair.host)).round_trip_us;
        for found in [client, host] {
            assert!((least..most).contains(&u64::from(found)), "seed {seed}: {found} µs of {least}..{most}");
        }
    }
}

#[test]
fn losses_are_counted_as_they_were_and_reordering_is_not_loss() {
    for seed in 1..5 {
        let mut config = config(seed, 20, 20);
        config.downward.loss = Loss::None;
        config.downward.reorder = 0.02;
        config.downward.reorder_delay = Duration::from_millis(3);
        let mut pair = Pair::new(&config);
        pair.network.run_until(Time::from_secs(10));
        let stats = |pair: &Pair| pair.host().guests[0].session.stats(pair.network.local(pair.host));
        assert!(pair.network.link_stats(pair.downward).reordered > 20, "seed {seed}");
        assert_eq!(stats(&pair).packets_lost, 0, "seed {seed}: nothing was lost");
        pair.network.link_mut(pair.downward).loss = Loss::Random(0.05);
        pair.network.run_for(Duration::from_secs(20));
        pair.network.link_mut(pair.downward).loss = Loss::None;
        pair.network.run_for(Duration::from_secs(2));
        let (lost, told) = (pair.network.link_stats(pair.downward).lost, stats(&pair).packets_lost);
        assert!(told.abs_diff(lost) <= lost / 10 + 2, "seed {seed}: {told} told, {lost} lost");
    }
}

#[test]
fn first_round_trips_are_measured_before_the_first_picture_is_old() {
    let mut pair = Pair::new(&config(1, 15, 15));
    pair.network.run_until(Time::from_millis(400));
    let client = pair.client();
    let admitted =
        client.events.iter().find(|(_, event)| matches!(event, Event::Admitted(_))).expect("let in").0;
    let first = client.shown.first().expect("a picture").at;
    assert!(first - admitted < Duration::from_millis(120), "{:?}", first - admitted);
    let now: Instant = pair.network.local(pair.client);
    assert!(client.session().clock_relation(now).is_some());
}

#[test]
fn every_stage_from_the_hand_to_the_picture_is_told() {
    for (seed, up_ms, down_ms) in [(1, 10, 10), (2, 5, 45), (3, 60, 20)] {
        let mut pair = Pair::new(&config(seed, up_ms, down_ms));
        let typist = Typist::new(Random::new(seed), Repertoire::Presses, 600, 50_000, Instant::ZERO);
        pair.network.act(pair.client, |peer, _| peer.client_mut().typist = Some(typist));
        pair.network.run_until(Time::from_secs(30));
        let client = pair.client();
        let traces: Vec<_> = client
            .events
            .iter()
            .filter_map(|(_, event)| if let Event::InputShown(trace) = event { Some(*trace) } else { None })
            .collect();
        assert!(traces.len() > 300, "seed {seed}: {} traces", traces.len());
        let error = u64::from(client.session().stats(pair.network.local(pair.client)).clock_error_us) + 2000;
        for trace in &traces {
            // 10 ms of repetition for each loss, and jitter of a few milliseconds.
            let uplink = trace.received_at.plus_micros(error).micros_since(trace.created_at);
            assert!(uplink + 7000 >= up_ms * 1000, "seed {seed}: {trace:?}");
            assert!(uplink <= up_ms * 1000 + 2 * error + 60_000, "seed {seed}: {trace:?}");
            assert!(trace.injected_at >= trace.received_at, "seed {seed}: {trace:?}");
            let shown = client.shown.iter().find(|shown| shown.id == trace.picture);
            let Some(shown) = shown else { continue };
            assert!(shown.at > trace.injected_at.minus_micros(error), "seed {seed}: {trace:?}");
        }
        assert!(traces.windows(2).all(|two| two[0].event < two[1].event), "seed {seed}: each once, in order");
    }
}

#[test]
fn stages_sum_to_the_total_whatever_the_clocks_say() {
    let at = Instant::from_micros;
    let picture = PictureTrace {
        captured_at: at(1000),
        encoded_at: at(5000),
        sent_at: at(5100),
        // The host's clock is ahead: it seems that the shard came before it left.
        first_at: at(4800),
        whole_at: at(6000),
        error_us: 400,
    };
    let (stages, total) = picture.stages(at(7500), at(9000));
    assert_eq!((stages, total), ([4000, 100, -300, 1200, 1500, 1500], 8000));
    let input = rift::InputTrace {
        picture: rift::PictureId(1),
        event: 0,
        created_at: at(100),
        received_at: at(600),
        injected_at: at(700),
    };
    let (stages, total) = input.stages(&picture, at(7500), at(9000));
    assert_eq!((stages.iter().sum::<i64>(), total), (8900, 8900));
    assert_eq!(stages[..3], [500, 100, 300]);
}

#[test]
fn drift_of_the_clocks_is_found_and_bounded() {
    let truth = i64::from(Pair::HOST_CLOCK.drift_ppb - Pair::CLIENT_CLOCK.drift_ppb);
    for (seed, up_ms, down_ms, most) in [(1, 10, 10, 40_000), (2, 5, 45, 90_000), (3, 1, 1, 15_000)] {
        let config = PairConfig { pictures_per_second: 0, ..config(seed, up_ms, down_ms) };
        let mut pair = Pair::new(&config);
        let mut bounds = Vec::new();
        for second in [4, 60, 300, 1100] {
            pair.network.run_until(Time::from_secs(second));
            let now = pair.network.local(pair.client);
            let relation = pair.client().session().clock_relation(now).expect("clocks were compared");
            let wrong = (i64::from(relation.drift_ppb) - truth).unsigned_abs();
            assert!(wrong <= u64::from(relation.drift_error_ppb), "seed {seed}: {relation:?} of {truth} ppb");
            bounds.push(relation.drift_error_ppb);
        }
        println!("seed {seed}: the drift is known to {bounds:?} ppb after 4, 60, 300 and 1100 s");
        assert!(bounds[3] < most, "seed {seed}: {bounds:?}");
    }
}

/// SPEC §12.2.
#[test]
fn feedback_on_much_leaves_every_ten_milliseconds() {
    let link = LinkConfig { rate: Rate::Constant(40_000_000), ..LinkConfig::default() };
    let session = Config { bitrate_bps_start: 20_000_000, bitrate_bps_max: 20_000_000, ..Config::default() };
    let config = PairConfig { session, pictures_per_second: 60, ..PairConfig::new(5, link) };
    let mut pair = Pair::new(&config);
    pair.network.record();
    pair.network.run_until(Time::from_secs(6));
    let late = |at: Time| (Time::from_secs(4)..Time::from_secs(6)).contains(&at);
    let sent = pair.network.captured().iter().filter(|sent| late(sent.at));
    let (up, down): (Vec<_>, Vec<_>) = sent.partition(|sent| sent.from == pair.client);
    let bytes: usize = down.iter().map(|sent| sent.bytes.len()).sum();
    println!("{} datagrams back for {} of {bytes} bytes in two seconds", up.len(), down.len());
    // 4000 bytes come in less than two milliseconds here: it is the interval that decides, while pictures flow.
    assert!((120..=220).contains(&up.len()), "{} datagrams back for {}", up.len(), down.len());
}
