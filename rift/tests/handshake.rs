//! Handshakes over a network that loses, repeats, reorders and lies (SPEC §4).

use core::time::Duration;

use rift::crypto::Mac1Key;
use rift::wire::handshake::FirstFlight;
use rift::{CloseReason, Config, Event, Handshake, HandshakeError, Identity, Noise, Opening, Permissions};
use rift_sim::peer::{ClientPeer, Pair, PairConfig, Peer};
use rift_sim::{Clock, Fate, Jitter, LinkConfig, Loss, Random, Time};

const SEEDS: core::ops::Range<u64> = 1..9;

fn link(delay_ms: u64) -> LinkConfig {
    LinkConfig { delay: Duration::from_millis(delay_ms), ..LinkConfig::default() }
}

fn is_admitted(pair: &Pair) -> bool {
    pair.client().session().permissions() == Some(Permissions::default_control())
}

#[test]
fn client_is_admitted_after_two_round_trips() {
    let mut pair = Pair::new(&PairConfig::new(1, link(10)));
    pair.network.run_until(Time::from_millis(39));
    assert!(!is_admitted(&pair));
    pair.network.run_until(Time::from_millis(41));
    assert!(is_admitted(&pair));
    let client = pair.client_identity.public();
    let host = pair.host_identity.public();
    assert_eq!(pair.client().session().peer(), Some(host));
    assert_eq!(pair.host().guests[0].session.peer(), Some(client));
    let events: Vec<Event> = pair.client().events.iter().map(|&(_, event)| event).collect();
    assert_eq!(events, [Event::Authenticated(host), Event::Admitted(Permissions::default_control())]);
}

#[test]
fn lost_duplicated_and_reordered_messages_still_establish() {
    for seed in SEEDS {
        let faulty = LinkConfig {
            loss: Loss::Random(0.4),
            duplicate: 0.5,
            jitter: Some(Jitter { deviation: Duration::from_millis(8), reorders: true }),
            ..link(25)
        };
        let mut pair = Pair::new(&PairConfig::new(seed, faulty));
        let end = Time::from_secs(9);
        assert!(
            pair.network.run_while(end, Duration::from_millis(10), |network| {
                network.host(pair.client).client().session().permissions().is_some()
            }),
            "seed {seed}"
        );
        pair.network.run_for(Duration::from_secs(2));
        assert_eq!(pair.host().guests.len(), 1, "seed {seed}");
        assert!(pair.host().guests[0].session.is_established(), "seed {seed}");
        assert_eq!(pair.client().closed(), None, "seed {seed}");
    }
}

#[test]
fn each_single_lost_message_costs_only_time() {
    for victim in 0..6 {
        let mut pair = Pair::new(&PairConfig::new(1, link(10)));
        let mut count = 0;
        pair.network.set_tamper(move |_, _| {
            count += 1;
            if count == victim + 1 { Fate::Drop } else { Fate::Pass }
        });
        pair.network.run_until(Time::from_secs(1));
        assert!(is_admitted(&pair), "message {victim} was lost");
    }
}

/// What an attacker on the path can make of a handshake datagram: noise of the same kind.
fn forgeries(random: &mut Random, original: &[u8]) -> Vec<Vec<u8>> {
    let mut forged = Vec::new();
    for bit in (0..original.len() * 8).step_by(7) {
        let mut copy = original.to_vec();
        copy[bit / 8] ^= 1 << (bit % 8);
        forged.push(copy);
    }
    for len in [1, 4, 5, 6, original.len() / 2, original.len() - 1] {
        forged.push(original[..len].to_vec());
    }
    forged.push([original, &[0]].concat());
    let mut noise = original.to_vec();
    random.fill(&mut noise[5..]);
    forged.push(noise);
    forged
}

#[test]
fn forged_messages_alter_nothing() {
    for seed in SEEDS {
        let mut undisturbed = Pair::new(&PairConfig::new(seed, link(10)));
        undisturbed.network.record();
        undisturbed.network.run_until(Time::from_millis(60));
        let mut pair = Pair::new(&PairConfig::new(seed, link(10)));
        pair.network.record();
        let mut random = Random::new(seed);
        // The recorded handshake is the one to come: each message is preceded by its forgeries.
        for message in undisturbed.network.captured().iter().take(3) {
            for forged in forgeries(&mut random, &message.bytes) {
                let before = message.at + Duration::from_millis(9) - pair.network.now();
                pair.network.inject(before, message.from, message.to, &forged);
            }
        }
        pair.network.run_until(Time::from_millis(60));
        assert!(is_admitted(&pair), "seed {seed}");
        assert_eq!(pair.network.captured(), undisturbed.network.captured(), "seed {seed}");
        assert_eq!(pair.host().guests.len(), 1, "seed {seed}");
        assert!(pair.host().discards.len() > 150 && pair.client().discards.len() > 50, "seed {seed}");
    }
}

/// SPEC §4.3.
#[test]
fn host_that_is_not_the_one_asked_for_stays_silent() {
    let config = PairConfig::new(3, link(10));
    let mut pair = Pair::new(&config);
    pair.network.run_until(Time::from_millis(100));
    let mut random = Random::new(33);
    let other = Identity::from_secret(random.bytes32()).public();
    let clock = Clock::default();
    let now = clock.local(pair.network.now());
    let mut stray =
        ClientPeer::new(&Config::default(), &pair.client_identity, other, pair.host, &mut random, now);
    stray.typist = None;
    let stray = pair.network.add_host(Peer::Client(Box::new(stray)), clock);
    pair.network.connect(stray, pair.host, link(10), link(10));
    pair.network.run_until(Time::from_secs(9));
    assert_eq!(pair.network.host(stray).client().closed(), None);
    pair.network.run_until(Time::from_secs(12));
    assert_eq!(pair.network.node_stats(stray).received, 0, "not one byte comes back");
    assert_eq!(pair.network.host(stray).client().closed(), Some(CloseReason::Unanswered));
    assert!(pair.network.node_stats(stray).sent >= 5, "it tried again and again");
    assert_eq!(pair.host().pending(), 0);
}

/// SPEC §4.7.
#[test]
fn response_of_a_foreign_host_ends_nothing() {
    // Who sees a first flight can answer it under a key of its own; only the key asked for counts.
    let mut pair = Pair::new(&PairConfig::new(4, link(10)));
    pair.network.record();
    pair.network.run_until(Time::from_millis(1));
    let initiation = pair.network.captured()[0].bytes.clone();
    let mut random = Random::new(44);
    let impostor = Identity::from_secret(random.bytes32());
    let mut endpoint = rift::Endpoint::new(&impostor.public(), random.bytes32());
    // The impostor knows the host's public key as well, but its endpoint checks for its own.
    let mut readdressed = initiation;
    let flight = FirstFlight::parse(&readdressed).expect("a first flight");
    let (end, mac) =
        (flight.authenticated.len(), Mac1Key::new(&impostor.public()).mac1(flight.authenticated));
    readdressed[end..end + mac.len()].copy_from_slice(&mac);
    let mut reply = [0; 256];
    let from = core::net::SocketAddr::from(([10, 0, 0, 1], 4433));
    let responder = |opening| Noise::responder(&impostor, [7; 32], opening);
    let route = endpoint.handle_datagram(rift::Instant::ZERO, from, &readdressed, responder, &mut reply);
    let Ok(rift::Route::Reply(len)) = route else { panic!("the impostor answers: {route:?}") };
    pair.network.inject(Duration::from_millis(1), pair.host, pair.client, &reply[..len]);
    pair.network.run_until(Time::from_millis(500));
    assert_eq!(pair.client().closed(), None);
    assert!(is_admitted(&pair));
}

/// The expected key decides, in the core's own Noise and in snow's; a refused answer changes nothing.
fn refuses_a_foreign_answer(mut initiator: impl Handshake) {
    let (host, impostor) = (Identity::from_secret([1; 32]), Identity::from_secret([2; 32]));
    initiator.expect_peer(host.public());
    let (mut first, mut foreign, mut own, mut payload) = ([0; 128], [0; 128], [0; 128], [0; 128]);
    let first_len = initiator.write_message(b"", &mut first).expect("its turn");
    let mut answer = |identity, out: &mut [u8]| {
        let mut responder = Noise::responder(identity, [3; 32], Opening::XX);
        responder.read_message(&first[..first_len], &mut payload).expect("a first message");
        responder.write_message(b"", out).expect("its turn")
    };
    let (foreign_len, own_len) = (answer(&impostor, &mut foreign), answer(&host, &mut own));
    let refused = initiator.read_message(&foreign[..foreign_len], &mut payload);
    assert_eq!(refused, Err(HandshakeError::Authentication));
    assert_eq!(initiator.read_message(&own[..own_len], &mut payload), Ok(0));
    assert_eq!(initiator.peer(), Some(host.public()));
}

#[test]
fn only_the_expected_host_is_taken() {
    let client = Identity::from_secret([4; 32]);
    refuses_a_foreign_answer(Noise::initiator(&client, [5; 32], Opening::XX));
    refuses_a_foreign_answer(rift_snow::Snow::initiator(&client, [5; 32], Opening::XX));
}

/// SPEC §4.5.
#[test]
fn handshake_that_cannot_go_back_to_its_beginning_says_so() {
    fn can<H: Handshake>(mut handshake: H) -> bool {
        handshake.write_message(&[], &mut [0; 200]).expect("its turn");
        handshake.reopen()
    }
    let client = Identity::from_secret([4; 32]);
    assert!(can(Noise::initiator(&client, [5; 32], Opening::XX)));
    assert!(!can(rift_snow::Snow::initiator(&client, [5; 32], Opening::XX)));
}

/// SPEC §4.4: the session would begin where the client is not, and the client, which says nothing sealed before it has
/// heard something sealed, could not take it back.
#[test]
fn confirmation_copied_to_another_address_starts_nothing_there() {
    for seed in SEEDS {
        let mut pair = Pair::new(&PairConfig::new(seed, link(20)));
        let thief = pair.network.add_address(pair.client);
        let (client, host) = (pair.client, pair.host);
        // Everything arrives from elsewhere first.
        pair.network.record();
        while pair.network.now() < Time::from_millis(120) {
            let before = pair.network.captured().len();
            pair.network.run_for(Duration::from_millis(1));
            let new = pair.network.captured()[before..].to_vec();
            for sent in new.iter().filter(|sent| sent.from == client) {
                pair.network.inject(Duration::ZERO, thief, host, &sent.bytes);
            }
        }
        pair.network.run_for(Duration::from_millis(200));
        assert!(is_admitted(&pair), "seed {seed}");
        assert_eq!(pair.host().guests.len(), 1, "seed {seed}");
    }
}

/// The confirmation is for a host that has forgotten the handshake: the client asks again, without being told to. No
/// packet number comes twice, though the keys are others. SPEC §4.5.
#[test]
fn host_that_restarts_before_the_confirmation_is_asked_again() {
    for (delay_ms, restarts) in [(10, 1), (88, 1), (88, 3)] {
        let mut pair = Pair::new(&PairConfig::new(7, link(delay_ms)));
        pair.network.record();
        // The response has left, the confirmation has not come.
        pair.network.run_until(Time::from_millis(2 * delay_ms + 1));
        for _ in 0..restarts {
            assert!(pair.client().session().is_established() && !is_admitted(&pair));
            pair.network.act(pair.host, |peer, _| peer.host_mut().restart());
            // The fourth confirmation is due after 475 ms, and an initiation with it.
            pair.network.run_for(Duration::from_millis(475 + 2 * delay_ms));
        }
        pair.network.run_for(Duration::from_millis(2 * delay_ms + 2));
        assert!(is_admitted(&pair), "{restarts} restarts {delay_ms} ms away");
        let authenticated = |(_, event): &&(_, Event)| matches!(event, Event::Authenticated(_));
        assert_eq!(pair.client().events.iter().filter(authenticated).count(), 1);
        assert_eq!(pair.host().guests.len(), 1);
        pair.network.run_for(Duration::from_secs(1));
        let of_client =
            pair.network.captured().iter().filter(|sent| sent.from == pair.client && sent.bytes[0] >= 0x40);
        let numbers: Vec<&[u8]> = of_client.map(|sent| &sent.bytes[5..8]).collect();
        assert!(numbers.len() > 20 && numbers.is_sorted_by(|one, next| one < next), "{restarts} restarts");
    }
}

/// A host that has not forgotten says to the repeated initiation what it said before, and nothing comes of that.
#[test]
fn confirmations_that_are_lost_lead_to_no_other_session() {
    let mut pair = Pair::new(&PairConfig::new(8, link(10)));
    pair.network.record();
    let client = pair.client;
    pair.network.set_tamper(|_, packet| if packet.bytes[0] == 0x12 { Fate::Drop } else { Fate::Pass });
    pair.network.run_until(Time::from_millis(1_000));
    assert!(!is_admitted(&pair));
    pair.network.clear_tamper();
    pair.network.run_until(Time::from_secs(2));
    assert!(is_admitted(&pair));
    let first = |kind: u8| pair.network.captured().iter().filter(move |sent| sent.bytes[0] == kind);
    assert!(first(0x10).count() >= 3 && first(0x10).all(|sent| sent.from == client));
    let responses: Vec<&[u8]> = first(0x11).map(|sent| &sent.bytes[..]).collect();
    assert!(responses.len() >= 3 && responses.iter().all(|response| *response == responses[0]));
    assert!(pair.client().discards.len() >= 2 && pair.host().guests.len() == 1);
}

/// What a handshake goes back to is what it was: another answer gives other keys, the same one the same.
#[test]
fn reopened_handshake_reads_another_answer() {
    let (client, host) = (Identity::from_secret([4; 32]), Identity::from_secret([1; 32]));
    let mut initiator = Noise::initiator(&client, [5; 32], Opening::XX);
    initiator.expect_peer(host.public());
    assert!(!initiator.reopen(), "nothing is out yet");
    let (mut first, mut text, mut payload) = ([0; 128], [0; 160], [0; 160]);
    let first_len = initiator.write_message(b"hello", &mut first).expect("its turn");
    let mut keys = Vec::new();
    for ephemeral in [3, 6, 3] {
        let mut responder = Noise::responder(&host, [ephemeral; 32], Opening::XX);
        responder.read_message(&first[..first_len], &mut payload).expect("a first message");
        let len = responder.write_message(b"", &mut text).expect("its turn");
        initiator.read_message(&text[..len], &mut payload).expect("a response");
        let len = initiator.write_message(b"", &mut text).expect("its turn");
        responder.read_message(&text[..len], &mut payload).expect("a confirmation");
        let [ours, theirs] = [&mut initiator, &mut responder].map(|side| side.finish().expect("it is done"));
        assert_eq!(
            (ours.send, ours.receive, ours.transcript),
            (theirs.receive, theirs.send, theirs.transcript)
        );
        keys.push(ours.send);
        assert!(initiator.reopen());
    }
    assert!(keys[0] == keys[2] && keys[0] != keys[1]);
    let mut responder = Noise::responder(&host, [3; 32], Opening::XX);
    assert!(!responder.reopen(), "it has nothing to go back to");
}
