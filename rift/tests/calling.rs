//! Calls to pinned hosts over a network: one round trip, what a host does before it knows that somebody is there, and
//! what an attacker can make of a recorded call (SPEC §4.11–§4.15).

use core::time::Duration;

use rift::wire::{DataHeader, Kind};
use rift::{CloseReason, Discard, Event, Permissions};
use rift_sim::peer::{Pair, PairConfig, Peer};
use rift_sim::{Captured, Fate, Jitter, LinkConfig, Loss, NodeId, Random, Time};

const CALL_LEN: usize = 1200;
const COUNTER: u64 = 1_000;

fn link(delay_ms: u64) -> LinkConfig {
    LinkConfig { delay: Duration::from_millis(delay_ms), ..LinkConfig::default() }
}

fn calling(seed: u64, delay_ms: u64) -> PairConfig {
    PairConfig { call: Some(COUNTER), ..PairConfig::new(seed, link(delay_ms)) }
}

fn is_admitted(pair: &Pair, node: NodeId) -> bool {
    pair.network.host(node).client().session().permissions() == Some(Permissions::default_control())
}

fn kind(captured: &Captured) -> Option<Kind> {
    captured.bytes.first().and_then(|&first| Kind::of(first))
}

/// Bytes sent from one node to another so far.
fn bytes_between(pair: &Pair, from: NodeId, to: NodeId) -> usize {
    let of_pair = |sent: &&Captured| sent.from == from && sent.to == to;
    pair.network.captured().iter().filter(of_pair).map(|sent| sent.bytes.len()).sum()
}

#[test]
fn caller_is_admitted_after_one_round_trip_and_live_after_another_half() {
    let mut pair = Pair::new(&calling(1, 10));
    pair.network.run_until(Time::from_millis(19));
    assert!(!is_admitted(&pair, pair.client));
    let events =
        |pair: &Pair| pair.host().guests[0].events.iter().map(|&(_, event)| event).collect::<Vec<_>>();
    let client = pair.client_identity.public();
    assert_eq!(events(&pair), [Event::Authenticated(client), Event::RepairWanted { after: None }]);
    assert!(!pair.host().guests[0].session.is_live());
    pair.network.run_until(Time::from_millis(21));
    assert!(is_admitted(&pair, pair.client));
    assert_eq!(pair.client().session().peer(), Some(pair.host_identity.public()));
    pair.network.run_until(Time::from_millis(31));
    assert_eq!(events(&pair)[2], Event::Live);
    assert!(pair.host().guests[0].session.is_live());
    pair.network.run_until(Time::from_millis(100));
    assert!(pair.client().token.is_some(), "a token for the next call");
}

#[test]
fn known_client_sees_a_picture_in_one_round_trip_with_a_token_and_in_two_without() {
    for seed in 1..5 {
        let config = PairConfig { pictures_per_second: 60, ..calling(seed, 100) };
        let mut pair = Pair::new(&config);
        pair.network.run_until(Time::from_secs(2));
        let token = pair.client().token.expect("one was given");
        let mut shown_after_ms = |counter, token| {
            let called_at = pair.network.now();
            let node = pair.call_again(&config, counter, token);
            let now = pair.network.local(node);
            pair.network.run_until(called_at + Duration::from_secs(2));
            let shown = pair.network.host(node).client().shown.first().expect("pictures come");
            shown.at.micros_since(now) / 1000
        };
        // A picture is captured within 17 ms, and takes up to 100 on the way at 10 Mbit/s.
        let with_token = shown_after_ms(COUNTER + 1, Some(token));
        assert!((200..320).contains(&with_token), "seed {seed}: {with_token} ms");
        let without = shown_after_ms(COUNTER + 2, None);
        assert!((400..520).contains(&without), "seed {seed}: {without} ms");
        // The same token again is none.
        let spent = shown_after_ms(COUNTER + 3, Some(token));
        assert!((400..520).contains(&spent), "seed {seed}: {spent} ms");
    }
}

/// SPEC §4.13/2.
#[test]
fn host_sends_three_times_the_call_at_most_before_somebody_is_there() {
    let config = PairConfig { pictures_per_second: 60, ..calling(2, 10) };
    let mut pair = Pair::new(&config);
    pair.network.record();
    // Nothing but the call ever reaches the host.
    let client = pair.client;
    let mut calls = 0;
    pair.network.set_tamper(move |_, packet| {
        let is_call = packet.bytes.first() == Some(&0x13);
        calls += u32::from(is_call);
        if packet.from == client && (!is_call || calls > 1) { Fate::Drop } else { Fate::Pass }
    });
    pair.network.run_until(Time::from_secs(4));
    let sent = bytes_between(&pair, pair.host, pair.client);
    assert!((CALL_LEN..=3 * CALL_LEN).contains(&sent), "{sent} bytes");
    let media =
        pair.network.captured().iter().filter(|sent| sent.from == pair.host && sent.bytes.len() > 1000);
    assert!(media.count() >= 2, "pictures are on their way before anybody is known to be there");
    assert!(!pair.host().guests[0].session.is_live());
    pair.network.run_until(Time::from_secs(6));
    assert_eq!(bytes_between(&pair, pair.host, pair.client), sent, "and nothing more");
    assert!(pair.host().guests[0].session.is_closed(), "a recording's session does not last");
}

/// SPEC §4.13/1.
#[test]
fn session_on_trial_carries_what_is_seen_only() {
    let config = PairConfig { pictures_per_second: 30, permissions: Permissions::all(), ..calling(3, 10) };
    let mut pair = Pair::new(&config);
    pair.network.run_until(Time::from_millis(11));
    let written = pair.network.act(pair.host, |peer, now| {
        peer.host_mut().session_mut(0).write(now, rift::Channel::Control, b"not before somebody is there")
    });
    assert_eq!(written, Ok(28));
    // Until here everything is from a host that has heard a call and nothing else.
    pair.network.run_until(Time::from_millis(39));
    assert_eq!(pair.client().control, b"");
    assert!(pair.client().session().permissions().is_some());
    pair.network.run_until(Time::from_millis(100));
    assert_eq!(pair.client().control, b"not before somebody is there");
}

#[test]
fn call_that_was_recorded_costs_no_place_and_starts_nothing() {
    for seed in 1..5 {
        let mut pair = Pair::new(&calling(seed, 10));
        pair.network.record();
        pair.network.run_until(Time::from_millis(100));
        let call = pair.network.captured()[0].clone();
        assert_eq!(kind(&call), Some(Kind::Call));
        let attacker = pair.add_viewer(&calling(seed, 10), 7);
        pair.network.run_until(Time::from_millis(300));
        let (guests, handshakes) = (pair.host().guests.len(), pair.host().handshakes);
        for (round, from) in [(1, pair.client), (2, attacker), (3, attacker)] {
            pair.network.inject(Duration::from_millis(round), from, pair.host, &call.bytes);
        }
        pair.network.run_until(Time::from_secs(2));
        assert_eq!(pair.host().guests.len(), guests, "seed {seed}");
        assert_eq!(pair.host().handshakes, handshakes, "seed {seed}: not one curve");
        assert!(pair.host().guests[0].session.is_established(), "seed {seed}");
        // When it is long forgotten what was answered to it, the counter tells.
        let begun = u64::try_from(rift::limits::CALLS_ANSWERED).expect("few") + 1;
        for counter in 1..=begun {
            pair.call_again(&calling(seed, 10), COUNTER + counter, None);
            pair.network.run_for(Duration::from_millis(50));
        }
        let (guests, handshakes) = (pair.host().guests.len(), pair.host().handshakes);
        pair.network.inject(Duration::from_millis(1), attacker, pair.host, &call.bytes);
        pair.network.run_for(Duration::from_secs(1));
        assert_eq!(pair.host().guests.len(), guests, "seed {seed}");
        assert_eq!(pair.host().handshakes, handshakes + 1, "seed {seed}");
        assert!(pair.host().discards.contains(&Discard::Replay), "seed {seed}");
    }
}

#[test]
fn session_goes_where_its_client_is_whoever_called_in_its_name_first() {
    for seed in 1..5 {
        let mut config = PairConfig { pictures_per_second: 30, ..calling(seed, 20) };
        config.session.bitrate_bps_max = 20_000_000;
        // What the client will send is known: everything here is made from the seed.
        let mut rehearsal = Pair::new(&config);
        rehearsal.network.record();
        rehearsal.network.run_until(Time::from_millis(1));
        let call = rehearsal.network.captured()[0].bytes.clone();
        let mut pair = Pair::new(&config);
        pair.network.record();
        let thief = pair.add_viewer(&calling(seed, 5), 7);
        pair.network.inject(Duration::from_millis(1), thief, pair.host, &call);
        pair.network.run_until(Time::from_secs(2));
        assert!(is_admitted(&pair, pair.client), "seed {seed}");
        assert!(pair.client().shown.len() > 30, "seed {seed}: {}", pair.client().shown.len());
        // What went to the thief is within the bounds of what came from there.
        let own = pair.network.host(thief).client().session().connection();
        let sealed = |sent: &&Captured| {
            let header = DataHeader::parse(&sent.bytes);
            sent.to == thief && header.is_some_and(|header| header.connection != own)
        };
        let stolen: usize = pair.network.captured().iter().filter(sealed).map(|sent| sent.bytes.len()).sum();
        assert!((1..=3 * CALL_LEN).contains(&stolen), "seed {seed}: {stolen}");
    }
}

#[test]
fn caller_who_is_refused_hears_so_in_one_round_trip() {
    let mut config = calling(4, 10);
    config.permissions = Permissions::empty();
    let mut pair = Pair::new(&config);
    // Another identity than the one the host knows: nobody has let it in.
    pair.network.run_until(Time::from_millis(1));
    let mut other = calling(99, 10);
    other.seed = 99;
    let (identity, _) = other.identities();
    let callee = rift::Callee { host: pair.host_identity.public(), counter: 5, token: None };
    let now = Pair::CLIENT_CLOCK.local(pair.network.now());
    let mut random = Random::new(99);
    let stray =
        rift_sim::peer::ClientPeer::calling(&other.session, &identity, &callee, pair.host, &mut random, now);
    let stray = pair.network.add_host(Peer::Client(Box::new(stray)), Pair::CLIENT_CLOCK);
    pair.network.connect(stray, pair.host, link(10), link(10));
    let began = pair.network.now();
    pair.network.run_until(began + Duration::from_millis(21));
    assert_eq!(pair.network.host(stray).client().closed(), Some(CloseReason::Refused));
    assert_eq!(pair.host().turned_away, [identity.public()]);
}

#[test]
fn lost_duplicated_and_reordered_flights_still_establish_one_session() {
    for seed in 1..9 {
        let faulty = LinkConfig {
            loss: Loss::Random(0.4),
            duplicate: 0.5,
            jitter: Some(Jitter { deviation: Duration::from_millis(8), reorders: true }),
            ..link(25)
        };
        let config = PairConfig { call: Some(COUNTER), ..PairConfig::new(seed, faulty) };
        let mut pair = Pair::new(&config);
        assert!(
            pair.network.run_while(Time::from_secs(9), Duration::from_millis(10), |network| {
                network.host(pair.client).client().session().permissions().is_some()
            }),
            "seed {seed}"
        );
        pair.network.run_for(Duration::from_secs(2));
        assert_eq!(pair.host().guests.len(), 1, "seed {seed}");
        assert!(pair.host().guests[0].session.is_live(), "seed {seed}");
        assert_eq!(pair.client().closed(), None, "seed {seed}");
    }
}
