//! What honest people, and those who guess, see of pairing.

use core::time::Duration;

use rift::limits::PAIRING_WINDOW_US;
use rift::{CloseReason, Event};
use rift_sim::{Jitter, LinkConfig, Loss, Time};

use crate::parties::{HOST, join, network};

const PIN: &str = "402917";

fn link(delay_ms: u64) -> LinkConfig {
    LinkConfig { delay: Duration::from_millis(delay_ms), ..LinkConfig::default() }
}

#[test]
fn same_pin_pairs_both_in_four_round_trips() {
    let mut network = network(1, Some(PIN));
    let client = join(&mut network, 2, PIN, &link(10));
    network.run_until(Time::from_millis(81));
    let (host, guest) = (network.host(HOST), network.host(client));
    assert_eq!(host.paired(), [guest.identity.public()]);
    assert_eq!(guest.paired(), [host.identity.public()]);
    network.run_until(Time::from_secs(1));
    let (host, guest) = (network.host(HOST), network.host(client));
    assert_eq!(guest.seats[0].closed(), Some(CloseReason::Local));
    assert_eq!(host.seats[0].closed(), Some(CloseReason::Done), "the client said goodbye");
    let told: Vec<Event> = host.seats[0].events.iter().map(|&(_, event)| event).take(3).collect();
    let peer = guest.identity.public();
    assert_eq!(told, [Event::Authenticated(peer), Event::PairingRequested, Event::Paired(peer)]);
}

#[test]
fn same_pin_pairs_over_a_link_that_loses_repeats_and_reorders() {
    for seed in 1..13 {
        let faulty = LinkConfig {
            loss: Loss::Random(0.3),
            duplicate: 0.4,
            jitter: Some(Jitter { deviation: Duration::from_millis(10), reorders: true }),
            ..link(25)
        };
        let mut network = network(seed, Some(PIN));
        let client = join(&mut network, seed + 100, PIN, &faulty);
        network.run_while(Time::from_secs(20), Duration::from_millis(10), |network| {
            !network.host(client).paired().is_empty()
        });
        let (host, guest) = (network.host(HOST), network.host(client));
        assert_eq!(guest.paired(), [host.identity.public()], "seed {seed}");
        assert_eq!(host.paired(), [guest.identity.public()], "seed {seed}");
        assert!(host.refused == 0 && host.seats.len() == 1, "seed {seed}: one guess was enough");
    }
}

/// SPEC §4.10/1.
#[test]
fn host_without_a_window_is_silent() {
    let mut network = network(3, None);
    let client = join(&mut network, 4, PIN, &link(10));
    network.run_until(Time::from_secs(12));
    assert_eq!(network.node_stats(client).received, 0, "not one byte comes back");
    assert_eq!(network.host(client).seats[0].closed(), Some(CloseReason::Unanswered));
}

#[test]
fn wrong_pin_fails_on_both_sides_and_the_right_one_still_works() {
    let mut network = network(5, Some(PIN));
    let wrong = join(&mut network, 6, "402918", &link(10));
    network.run_until(Time::from_secs(1));
    assert_eq!(network.host(wrong).seats[0].closed(), Some(CloseReason::WrongPin));
    assert_eq!(network.host(HOST).seats[0].closed(), Some(CloseReason::WrongPin));
    let right = join(&mut network, 7, PIN, &link(10));
    network.run_until(Time::from_secs(2));
    let peer = network.host(right).identity.public();
    assert_eq!(network.host(HOST).paired(), [peer]);
    assert_eq!(network.host(right).paired().len(), 1);
}

#[test]
fn three_wrong_guesses_of_anybody_close_the_window_to_all() {
    let mut network = network(8, Some(PIN));
    for (seed, digits) in [(11, "111111"), (12, "222222"), (13, "333333")] {
        let stranger = join(&mut network, seed, digits, &link(5));
        network.run_for(Duration::from_secs(1));
        assert_eq!(network.host(stranger).seats[0].closed(), Some(CloseReason::WrongPin), "{digits}");
    }
    let late = join(&mut network, 14, PIN, &link(5));
    network.run_for(Duration::from_secs(12));
    assert_eq!(
        network.host(late).seats[0].closed(),
        Some(CloseReason::Unanswered),
        "it knew the PIN, too late"
    );
    assert_eq!(network.host(HOST).paired(), []);
    let refused = network.act(HOST, |host, now| host.window.open(now, crate::parties::pin(PIN)));
    assert!(refused.is_err(), "and the next window has to wait");
}

#[test]
fn guesses_at_the_same_time_are_counted_together() {
    let mut network = network(15, Some(PIN));
    let strangers: Vec<_> =
        (0..6).map(|at| join(&mut network, 20 + at, &format!("99999{at}"), &link(5))).collect();
    network.run_for(Duration::from_secs(16));
    let closed = |wanted| {
        let reasons = strangers.iter().map(|&node| network.host(node).seats[0].closed());
        reasons.filter(|&reason| reason == Some(wanted)).count()
    };
    assert_eq!(closed(CloseReason::WrongPin), 3, "as many as there were guesses");
    assert_eq!(closed(CloseReason::PairingOver) + closed(CloseReason::Unanswered), 3);
}

#[test]
fn window_that_has_run_out_answers_nobody() {
    let mut network = network(16, Some(PIN));
    network.run_until(Time::from_millis(PAIRING_WINDOW_US / 1000));
    let late = join(&mut network, 17, PIN, &link(10));
    network.run_for(Duration::from_secs(12));
    assert_eq!(network.node_stats(late).received, 0);
    assert_eq!(network.host(late).seats[0].closed(), Some(CloseReason::Unanswered));
}

#[test]
fn client_without_a_guess_left_does_not_try() {
    // A board shows its own PIN: it is the client, and the one who counts.
    let mut network = network(18, Some(PIN));
    let board = join(&mut network, 19, PIN, &link(10));
    network.act(board, |party, _| party.window.close());
    network.run_for(Duration::from_secs(1));
    assert_eq!(network.host(board).seats[0].closed(), Some(CloseReason::Local));
    assert_eq!(network.host(HOST).window.guesses(), 3, "nothing was tried");
}
