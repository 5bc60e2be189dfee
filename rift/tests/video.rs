//! Pictures over links that lose and reorder (SPEC §11): never damaged, never long frozen, repaired without key
//! pictures. The decoder of the simulator checks every byte and every reference.

use core::time::Duration;

use rift::{Config, Event};
use rift_sim::peer::{Pair, PairConfig};
use rift_sim::{Fate, GilbertElliott, Jitter, LinkConfig, Loss, QueueLimit, Rate, Time};

const SEEDS: core::ops::Range<u64> = 1..6;
const PICTURES_PER_SECOND: u32 = 60;
const ONE_WAY: Duration = Duration::from_millis(25);
const RUN: Duration = Duration::from_secs(30);

fn config(seed: u64, loss: Loss) -> PairConfig {
    let link = LinkConfig {
        rate: Rate::Constant(8_000_000),
        queue: QueueLimit::Time(Duration::from_millis(200)),
        delay: ONE_WAY,
        loss,
        ..LinkConfig::default()
    };
    let session = Config {
        bitrate_bps_min: 500_000,
        bitrate_bps_start: 3_000_000,
        bitrate_bps_max: 4_000_000,
        ..Config::default()
    };
    PairConfig { session, pictures_per_second: PICTURES_PER_SECOND, ..PairConfig::new(seed, link) }
}

/// The longest time without a new picture, after the first one.
fn longest_freeze(pair: &Pair) -> Duration {
    let shown = &pair.client().shown;
    let gaps = shown.windows(2).map(|pair| pair[1].at - pair[0].at);
    let end = pair.network.local(pair.client) - shown.last().expect("pictures were shown").at;
    gaps.max().unwrap_or_default().max(end)
}

fn assert_undamaged(pair: &Pair, seed: u64) {
    assert_eq!(pair.client().refused, [], "seed {seed}: every delivered picture decodes");
    assert!(pair.client().shown.is_sorted_by(|one, other| one.id < other.id), "seed {seed}");
}

fn assert_flows(pair: &Pair, seed: u64, round_trips: u32) {
    assert_undamaged(pair, seed);
    let (shown, made) = (pair.client().shown.len(), pair.host().camera.as_ref().expect("it shares").stats());
    let keys = pair.client().keys_shown();
    let freeze = longest_freeze(pair);
    let report = format!(
        "seed {seed}: {shown} of {} shown, {keys} keys of {}, {} skipped, {} repaired, longest freeze {freeze:?}, {:?}",
        made.pictures,
        made.keys,
        pair.host().camera.as_ref().map_or(0, |camera| camera.skipped),
        made.repaired,
        pair.client().session().stats(pair.network.local(pair.client)),
    );
    assert!(freeze <= round_trips * 2 * ONE_WAY, "{report}");
    assert!(shown as u32 * 100 >= made.pictures * 90, "{report}");
    assert!(made.pictures >= 48 * RUN.as_secs() as u32, "{report}");
    assert!(made.keys <= 2, "a loss is answered by another reference, not by a key picture: {report}");
}

#[test]
fn five_percent_loss_never_freezes_longer_than_three_round_trips() {
    for seed in SEEDS {
        let mut pair = Pair::new(&config(seed, Loss::Random(0.05)));
        pair.network.run_for(RUN);
        assert_flows(&pair, seed, 3);
    }
}

#[test]
fn bursts_of_loss_freeze_for_two_repairs_at_most() {
    for seed in SEEDS {
        let mut config = config(seed, Loss::None);
        config.downward.loss = Loss::GilbertElliott(GilbertElliott::bursts(0.014, 4.0));
        let mut pair = Pair::new(&config);
        pair.network.run_for(RUN);
        // A second burst may take the repair of the first.
        assert_flows(&pair, seed, 6);
    }
}

#[test]
fn reordering_without_loss_costs_no_picture() {
    for seed in SEEDS {
        let mut config = config(seed, Loss::None);
        config.downward.jitter = Some(Jitter { deviation: Duration::from_millis(2), reorders: true });
        config.downward.reorder = 0.02;
        config.downward.reorder_delay = Duration::from_millis(6);
        let mut pair = Pair::new(&config);
        pair.network.run_for(RUN);
        assert_undamaged(&pair, seed);
        assert!(pair.network.link_stats(pair.downward).reordered > 50, "seed {seed}");
        assert_no_picture_missing(&pair, seed);
    }
}

/// All pictures but those still under way were shown, and none was asked for again.
fn assert_no_picture_missing(pair: &Pair, seed: u64) {
    let ids: Vec<u32> = pair.client().shown.iter().map(|shown| shown.id.0).collect();
    let made = pair.host().camera.as_ref().expect("it shares").stats();
    let expected: Vec<u32> = (1..=ids.len() as u32).collect();
    assert_eq!(ids, expected, "seed {seed}");
    assert!(made.pictures - ids.len() as u32 <= 6, "seed {seed}: {} of {}", ids.len(), made.pictures);
    assert_eq!(made.keys, 1, "seed {seed}");
    let asked =
        pair.host().guests[0].events.iter().filter(|(_, event)| matches!(event, Event::RepairWanted { .. }));
    assert_eq!(asked.count(), 1, "seed {seed}: only the admission asks for a picture");
}

#[test]
fn one_reordered_packet_costs_no_picture_whichever_it_is() {
    for victim in 0..40 {
        let mut pair = Pair::new(&config(1, Loss::None));
        let (host, mut count) = (pair.host, 0);
        pair.network.set_tamper(move |_, packet| {
            if packet.from != host || packet.bytes.len() < 600 {
                return Fate::Pass;
            }
            count += 1;
            // Three packets and more pass it.
            if count == 20 + victim { Fate::Delay(Duration::from_millis(8)) } else { Fate::Pass }
        });
        pair.network.run_for(Duration::from_secs(2));
        assert_undamaged(&pair, victim);
        assert_no_picture_missing(&pair, victim);
    }
}

#[test]
fn one_lost_packet_costs_at_most_the_pictures_of_a_round_trip() {
    for victim in 0..40 {
        let mut pair = Pair::new(&config(1, Loss::None));
        let (host, mut count) = (pair.host, 0);
        pair.network.set_tamper(move |_, packet| {
            count += u64::from(packet.from == host && packet.bytes.len() >= 600);
            if count == 20 + victim {
                count += 1;
                return Fate::Drop;
            }
            Fate::Pass
        });
        pair.network.run_for(Duration::from_secs(2));
        assert_undamaged(&pair, victim);
        let made = pair.host().camera.as_ref().expect("it shares").stats();
        let missing = made.pictures - pair.client().shown.len() as u32;
        assert!(missing <= 6 + 6, "packet {victim}: {missing} missing");
        assert_eq!(made.keys, 1, "packet {victim}");
    }
}

#[test]
fn picture_the_decoder_cannot_use_is_replaced_by_one_that_needs_none() {
    for seed in SEEDS {
        let mut pair = Pair::new(&config(seed, Loss::Random(0.02)));
        pair.network.run_until(Time::from_secs(3));
        let before = pair.client().keys_shown();
        let client = pair.client;
        pair.network.act(client, |peer, now| peer.client_mut().session_mut().want_repair(now));
        let asked = pair.network.local(client);
        pair.network.run_until(Time::from_secs(6));
        assert_undamaged(&pair, seed);
        assert!(pair.client().keys_shown() > before, "seed {seed}");
        let next = pair.client().shown.iter().find(|shown| shown.at > asked).expect("pictures come back");
        assert!(next.at - asked < 8 * ONE_WAY, "seed {seed}: {:?}", next.at - asked);
    }
}

#[test]
fn last_picture_before_stillness_arrives_although_nothing_follows_it() {
    for seed in 1..31 {
        let mut pair = Pair::new(&config(seed, Loss::Random(0.15)));
        let host = pair.host;
        pair.network.run_until(Time::from_secs(2));
        pair.network.act(host, |peer, now| {
            peer.host_mut().camera.as_mut().expect("it shares").still_from = Some(now);
        });
        pair.network.run_for(Duration::from_secs(3));
        assert_undamaged(&pair, seed);
        let made = pair.host().camera.as_ref().expect("it shares").stats();
        let shown = pair.client().shown.last().expect("pictures were shown").id.0;
        assert_eq!(shown, made.pictures, "seed {seed}: the last one is shown");
        let made_when_still = made.pictures;
        pair.network.run_for(Duration::from_secs(5));
        let made = pair.host().camera.as_ref().expect("it shares").stats();
        assert_eq!(made.pictures, made_when_still, "seed {seed}: and then all is quiet");
    }
}

#[test]
fn each_of_several_viewers_gets_every_picture_it_can_use() {
    for seed in SEEDS {
        let config = config(seed, Loss::Random(0.01));
        let mut pair = Pair::new(&config);
        let mut viewers = vec![pair.client];
        for late in 1..4 {
            pair.network.run_until(Time::from_secs(late * 2));
            viewers.push(pair.add_viewer(&config, late));
        }
        pair.network.run_until(Time::from_secs(12));
        for &viewer in &viewers {
            let client = pair.network.host(viewer).client();
            assert_eq!(client.refused, [], "seed {seed}: {viewer:?}");
            assert_eq!(client.closed(), None, "seed {seed}: {viewer:?}");
            let lately = pair.network.local(viewer).minus_micros(2_000_000);
            let shown = client.shown.iter().filter(|shown| shown.at > lately).count();
            assert!(shown > 60, "seed {seed}: {viewer:?} was shown {shown} pictures in two seconds");
        }
        let keys = pair.host().camera.as_ref().expect("it shares").stats().keys;
        assert!(keys <= 4 + 4, "seed {seed}: a key picture for each who joins, {keys} in all");
    }
}

#[test]
fn blackout_ends_with_a_picture_soon_after() {
    for seed in SEEDS {
        let mut config = config(seed, Loss::None);
        let blackout = Time::from_secs(5)..Time::from_millis(6500);
        config.downward.blackouts = vec![blackout.clone()];
        config.upward.blackouts = vec![blackout];
        let mut pair = Pair::new(&config);
        pair.network.run_for(Duration::from_secs(12));
        assert_undamaged(&pair, seed);
        let end = Pair::CLIENT_CLOCK.local(Time::from_millis(6500));
        let first = pair.client().shown.iter().find(|shown| shown.at > end).expect("pictures come back");
        assert!(first.at - end < Duration::from_millis(500), "seed {seed}: {:?}", first.at - end);
        assert_eq!(pair.client().closed(), None, "seed {seed}");
    }
}
