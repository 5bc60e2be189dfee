//! Input over a lossy path: every event once and in order, and nothing stays pressed (SPEC §10).

use core::time::Duration;

use rift::wire::input::Held;
use rift::{
    Button, Contact, Event, Gamepad, GamepadAxis, GamepadButton, GamepadState, InputEvent, Instant,
    Permissions, Rumble, Scancode, SendError,
};
use rift_sim::peer::{Pair, PairConfig, Repertoire, Typist};
use rift_sim::{Jitter, LinkConfig, Loss, Random, Time};

const SEEDS: core::ops::Range<u64> = 1..4;

/// 50 ms there and back, a fifth lost each way, some twice, some out of order.
fn bad_link() -> LinkConfig {
    LinkConfig {
        delay: Duration::from_millis(25),
        loss: Loss::Random(0.2),
        duplicate: 0.05,
        jitter: Some(Jitter { deviation: Duration::from_millis(3), reorders: true }),
        ..LinkConfig::default()
    }
}

fn pair_with_typist(seed: u64, link: LinkConfig, repertoire: Repertoire, count: u64, period_us: u64) -> Pair {
    // Whoever types everything types Ctrl, Alt and a function key, too (SPEC §8.2).
    let permissions = Permissions::default_control() | Permissions::SYSTEM_KEYS;
    let mut pair = Pair::new(&PairConfig { permissions, ..PairConfig::new(seed, link) });
    let typist = Typist::new(Random::new(seed), repertoire, count, period_us, Instant::ZERO);
    pair.network.act(pair.client, |peer, _| peer.client_mut().typist = Some(typist));
    pair
}

/// Runs until everything typed has been acknowledged, and a while longer.
fn run_to_end(pair: &mut Pair, seed: u64) {
    let client = pair.client;
    let done = pair.network.run_while(Time::from_secs(10_000), Duration::from_millis(100), |network| {
        let client = network.host(client).client();
        client.typist.as_ref().is_some_and(Typist::is_done) && client.session().input_backlog() == 0
    });
    assert!(done, "seed {seed}: typed and acknowledged to the end");
    pair.network.run_for(Duration::from_secs(2));
}

fn sent(pair: &Pair) -> &[InputEvent] {
    pair.client().typist.as_ref().expect("somebody types").sent()
}

fn received(pair: &Pair) -> Vec<InputEvent> {
    pair.host().guests[0].input.iter().map(|&(_, event)| event).collect()
}

/// What is held after these events.
fn held(events: &[InputEvent]) -> (Vec<Scancode>, Vec<Button>) {
    let (mut keys, mut buttons) = (Vec::new(), Vec::new());
    for &event in events {
        if let InputEvent::Key { key, pressed } = event {
            keys.retain(|&held| held != key);
            keys.extend(pressed.then_some(key));
        } else if let InputEvent::Button { button, pressed } = event {
            buttons.retain(|&held| held != button);
            buttons.extend(pressed.then_some(button));
        }
    }
    (keys, buttons)
}

#[test]
fn hundred_thousand_events_arrive_once_and_in_order_at_twenty_percent_loss() {
    for seed in SEEDS {
        let mut pair = pair_with_typist(seed, bad_link(), Repertoire::Presses, 100_000, 2000);
        run_to_end(&mut pair, seed);
        let received = received(&pair);
        assert!(received.len() >= 100_000, "seed {seed}: {} received", received.len());
        let differs = sent(&pair).iter().zip(&received).position(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}: the first event that differs");
        assert_eq!(received.len(), sent(&pair).len(), "seed {seed}");
        assert_eq!(held(&received), (vec![], vec![]), "seed {seed}: nothing is stuck");
        let lost = pair.network.link_stats(pair.upward).lost;
        assert!(lost > 10_000, "seed {seed}: the network did its worst: {lost}");
    }
}

/// Where the pointer and the wheel had got to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Way {
    moved: (i64, i64),
    turned: i64,
    place: Option<(u16, u16)>,
}

/// Every press with the pointer's way up to it, and the way at the end: what merging must not change.
fn presses_and_ways(events: &[InputEvent]) -> (Vec<(InputEvent, Way)>, Way) {
    let (mut presses, mut way) = (Vec::new(), Way::default());
    for &event in events {
        if let InputEvent::PointerRelative { dx, dy } = event {
            way.moved = (way.moved.0 + i64::from(dx), way.moved.1 + i64::from(dy));
        } else if let InputEvent::Wheel { dy, .. } = event {
            way.turned += i64::from(dy);
        } else if let InputEvent::PointerAbsolute { x, y } = event {
            way.place = Some((x, y));
        } else {
            presses.push((event, way));
        }
    }
    (presses, way)
}

#[test]
fn flood_of_motion_merges_but_loses_no_press_and_no_distance() {
    for seed in SEEDS {
        let mut pair = pair_with_typist(seed, bad_link(), Repertoire::Everything, 20_000, 250);
        run_to_end(&mut pair, seed);
        let received = received(&pair);
        assert!(received.len() < sent(&pair).len(), "seed {seed}: some motion was merged");
        let (expected, found) = (presses_and_ways(sent(&pair)), presses_and_ways(&received));
        assert!(expected == found, "seed {seed}: presses and the pointer's way are the same");
        assert_eq!(held(&received), (vec![], vec![]), "seed {seed}");
    }
}

/// SPEC §10.4.
#[test]
fn silence_releases_what_is_held_within_a_second_and_return_makes_it_right() {
    for (seed, delay_ms) in [(1, 5), (2, 25), (3, 100), (4, 250)] {
        let link = LinkConfig { delay: Duration::from_millis(delay_ms), ..LinkConfig::default() };
        let mut pair = Pair::new(&PairConfig::new(seed, link));
        pair.network.run_until(Time::from_secs(3));
        let (key, button) = (Scancode::new(30).expect("KEY_A"), Button::LEFT);
        let press = [InputEvent::Key { key, pressed: true }, InputEvent::Button { button, pressed: true }];
        pair.network.act(pair.client, |peer, now| {
            for event in press {
                peer.client_mut().session_mut().send_input(now, event).expect("the host permits it");
            }
        });
        pair.network.record();
        pair.network.run_for(Duration::from_secs(4));
        assert_eq!(received(&pair), press, "seed {seed}: held for seconds while the client speaks");
        let spoken = pair.network.captured().iter().filter(|sent| sent.from == pair.client);
        let at: Vec<Time> = spoken.map(|sent| sent.at).collect();
        let most = at.windows(2).map(|two| two[1] - two[0]).max().expect("it speaks");
        assert!(most <= Duration::from_millis(101), "seed {seed}: silent for {most:?}");

        pair.network.link_mut(pair.upward).loss = Loss::Random(1.0);
        pair.network.run_for(Duration::from_millis(delay_ms));
        let silent_from = pair.network.local(pair.host);
        pair.network.run_for(Duration::from_millis(1100));
        let released = pair.host().guests[0].input[2..].to_vec();
        assert_eq!(held(&received(&pair)), (vec![], vec![]), "seed {seed}");
        let last = released.last().expect("releases were delivered").0;
        // Round trips are measured, and take a little longer than the way is.
        let most = (3 * Duration::from_millis(2 * delay_ms + 10)).max(Duration::from_millis(400));
        let took = last - silent_from;
        assert!(took <= most.min(Duration::from_secs(1)), "seed {seed}: {took:?} of {most:?}");

        pair.network.link_mut(pair.upward).loss = Loss::None;
        pair.network.run_for(Duration::from_secs(1));
        assert_eq!(
            held(&received(&pair)),
            (vec![key], vec![button]),
            "seed {seed}: they are still down at the client"
        );
        pair.network
            .act(pair.client, |peer, now| peer.client_mut().session_mut().release_input(now))
            .expect("room");
        pair.network.run_for(Duration::from_secs(1));
        assert_eq!(held(&received(&pair)), (vec![], vec![]), "seed {seed}");
    }
}

#[test]
fn client_that_is_gone_leaves_nothing_pressed() {
    for seed in SEEDS {
        let mut pair = pair_with_typist(seed, bad_link(), Repertoire::Presses, 1_000_000, 5000);
        pair.network.run_until(Time::from_secs(5));
        assert_ne!(held(&received(&pair)), (vec![], vec![]), "seed {seed}: somebody is typing");
        pair.network.set_tamper(|_, _| rift_sim::Fate::Drop);
        pair.network.run_for(Duration::from_millis(1100));
        assert_eq!(held(&received(&pair)), (vec![], vec![]), "seed {seed}");
    }
}

#[test]
fn revoked_rights_release_and_stop_input() {
    let mut pair = pair_with_typist(7, bad_link(), Repertoire::Presses, 1_000_000, 5000);
    pair.network.run_until(Time::from_secs(5));
    pair.network.act(pair.host, |peer, now| {
        peer.host_mut().session_mut(0).admit(now, Permissions::view_only());
    });
    assert_eq!(held(&received(&pair)), (vec![], vec![]), "released at once");
    let count = received(&pair).len();
    pair.network.run_for(Duration::from_secs(3));
    assert_eq!(received(&pair).len(), count, "and nothing comes after");
}

fn with_devices(seed: u64, link: LinkConfig, count: u64, period_us: u64) -> Pair {
    let permissions = Permissions::GAMEPAD | Permissions::TOUCH | Permissions::VIEW;
    let mut pair = Pair::new(&PairConfig { permissions, ..PairConfig::new(seed, link) });
    let typist = Typist::new(Random::new(seed), Repertoire::Devices, count, period_us, Instant::ZERO);
    pair.network.act(pair.client, |peer, _| peer.client_mut().typist = Some(typist));
    pair
}

fn held_after(events: &[InputEvent]) -> Held {
    let mut held = Held::NOTHING;
    events.iter().for_each(|event| held.apply(event));
    held
}

#[test]
fn gamepads_and_contacts_arrive_once_and_in_order() {
    for seed in SEEDS {
        let mut pair = with_devices(seed, bad_link(), 10_000, 4000);
        run_to_end(&mut pair, seed);
        let (sent, received) = (sent(&pair), received(&pair));
        // Motion may have been merged; nothing else.
        let others = |events: &[InputEvent]| -> Vec<InputEvent> {
            events.iter().filter(|event| !event.is_motion()).copied().collect()
        };
        assert_eq!(others(sent), others(&received), "seed {seed}");
        assert!(others(sent).len() > 3000, "seed {seed}");
        assert_eq!(held_after(sent), held_after(&received), "seed {seed}");
    }
}

#[test]
fn flood_of_sticks_and_fingers_merges_but_ends_where_it_should() {
    for seed in SEEDS {
        let mut pair = with_devices(seed, bad_link(), 20_000, 250);
        run_to_end(&mut pair, seed);
        let (sent, received) = (sent(&pair), received(&pair));
        assert!(received.len() < sent.len(), "seed {seed}: some motion was merged");
        // At every press and release the rest stands where the client had it.
        let states = |events: &[InputEvent]| {
            let mut held = Held::NOTHING;
            let mut states = Vec::new();
            for event in events {
                held.apply(event);
                if !event.is_motion() {
                    states.push((*event, held.clone()));
                }
            }
            states
        };
        assert!(states(sent) == states(&received), "seed {seed}");
    }
}

#[test]
fn silence_lets_gamepads_rest_and_fingers_go_and_return_makes_it_right() {
    let mut pair = with_devices(1, LinkConfig::default(), 0, 1000);
    pair.network.run_until(Time::from_secs(2));
    let (gamepad, contact) = (Gamepad::new(2).expect("below 4"), Contact::new(9).expect("below 10"));
    let press = [
        InputEvent::GamepadConnected(gamepad),
        InputEvent::GamepadButton { gamepad, button: GamepadButton::SOUTH, pressed: true },
        InputEvent::GamepadAxis { gamepad, axis: GamepadAxis::Y, value: -32_768 },
        InputEvent::TouchDown { contact, x: 1, y: 2 },
        InputEvent::TouchMove { contact, x: 3, y: 4 },
    ];
    pair.network.act(pair.client, |peer, now| {
        for event in press {
            peer.client_mut().session_mut().send_input(now, event).expect("the host permits it");
        }
        let stray = InputEvent::TouchMove { contact: Contact::new(0).expect("below 10"), x: 0, y: 0 };
        assert_eq!(peer.client_mut().session_mut().send_input(now, stray), Err(SendError::Full));
    });
    pair.network.run_for(Duration::from_secs(1));
    assert_eq!(received(&pair), press);
    pair.network.link_mut(pair.upward).loss = Loss::Random(1.0);
    pair.network.run_for(Duration::from_secs(1));
    let held = held_after(&received(&pair));
    assert!(held.is_empty() && held.gamepad(gamepad) == Some(GamepadState::AT_REST), "{held:?}");
    pair.network.link_mut(pair.upward).loss = Loss::None;
    pair.network.run_for(Duration::from_secs(1));
    assert_eq!(held_after(&received(&pair)), held_after(&press), "still held at the client");
    pair.network
        .act(pair.client, |peer, now| peer.client_mut().session_mut().release_input(now))
        .expect("room");
    pair.network.run_for(Duration::from_secs(1));
    assert!(held_after(&received(&pair)).is_empty());
}

#[test]
fn gamepads_and_touch_need_their_own_rights() {
    let mut pair = Pair::new(&PairConfig::new(1, LinkConfig::default()));
    pair.network.run_until(Time::from_secs(1));
    let gamepad = Gamepad::new(0).expect("below 4");
    let contact = Contact::new(0).expect("below 10");
    for event in [InputEvent::GamepadConnected(gamepad), InputEvent::TouchDown { contact, x: 0, y: 0 }] {
        let refused =
            pair.network.act(pair.client, |peer, now| peer.client_mut().session_mut().send_input(now, event));
        assert_eq!(refused, Err(SendError::NotPermitted));
    }
    let rumble = Rumble { gamepad, strong: 1, weak: 2, millis: 3 };
    let refused =
        pair.network.act(pair.host, |peer, now| peer.host_mut().session_mut(0).send_rumble(now, rumble));
    assert_eq!(refused, Err(SendError::NotPermitted));
}

#[test]
fn rumble_arrives_once_for_each_gamepad_whatever_is_lost() {
    for seed in SEEDS {
        let mut pair = with_devices(seed, bad_link(), 0, 1000);
        pair.network.run_until(Time::from_secs(3));
        let wish = |index, strong| {
            let gamepad = Gamepad::new(index).expect("below 4");
            Rumble { gamepad, strong, weak: 7, millis: 60_000 }
        };
        let mut expected = Vec::new();
        for round in 0..20 {
            for rumble in [wish(0, round), wish(3, round + 100)] {
                pair.network.act(pair.host, |peer, now| {
                    peer.host_mut().session_mut(0).send_rumble(now, rumble).expect("permitted");
                });
                expected.push(Rumble { millis: Rumble::MILLIS_MAX, ..rumble });
            }
            pair.network.run_for(Duration::from_secs(1));
        }
        let events = pair.client().events.iter();
        let heard: Vec<_> = events
            .filter_map(|(_, event)| if let Event::Rumble(rumble) = event { Some(*rumble) } else { None })
            .collect();
        assert_eq!(heard, expected, "seed {seed}");
    }
}

/// A round trip of 100 ms that loses a fifth each way.
fn far_link() -> LinkConfig {
    LinkConfig { delay: Duration::from_millis(50), loss: Loss::Random(0.2), ..LinkConfig::default() }
}

/// `count` presses at `period_us`, all of them once and in order; returns how long each was on its way, in µs, sorted.
fn ways_of_presses(seed: u64, count: u64, period_us: u64) -> Vec<u64> {
    let mut pair = pair_with_typist(seed, far_link(), Repertoire::Presses, count, period_us);
    run_to_end(&mut pair, seed);
    let typist = pair.client().typist.as_ref().expect("somebody types");
    let received = &pair.host().guests[0].input;
    assert_eq!(typist.sent().len(), received.len(), "seed {seed}");
    let mut ways = Vec::with_capacity(received.len());
    for ((sent, &sent_at), &(at, event)) in typist.sent().iter().zip(typist.sent_at()).zip(received) {
        assert_eq!(*sent, event, "seed {seed}: event {}", ways.len());
        let (sent_at, at) = (Pair::CLIENT_CLOCK.global(sent_at), Pair::HOST_CLOCK.global(at));
        ways.push((at.as_nanos() - sent_at.as_nanos()) / 1000);
    }
    assert_eq!(held(&received.iter().map(|&(_, event)| event).collect::<Vec<_>>()), (vec![], vec![]));
    ways.sort_unstable();
    ways
}

#[test]
fn at_twenty_percent_loss_input_is_late_by_three_intervals_at_most() {
    // Half the round trip, three intervals of 8 ms, and the 25 ms that feedback may take.
    let bound = 50_000 + 3 * 8_000 + 25_000;
    for seed in SEEDS {
        let ways = ways_of_presses(seed, 10_000, 8_000);
        let (p50, p99, most) = (ways[ways.len() / 2], ways[ways.len() * 99 / 100], ways[ways.len() - 1]);
        println!("seed {seed}: {} events, p50 {p50} µs, p99 {p99} µs, at most {most} µs", ways.len());
        assert!(p99 <= bound, "seed {seed}: p99 is {p99} µs, allowed are {bound}");
    }
}

#[test]
fn million_events_arrive_once_and_in_order_at_twenty_percent_loss() {
    let ways = ways_of_presses(1, 1_000_000, 8_000);
    let (p50, p99, most) = (ways[ways.len() / 2], ways[ways.len() * 99 / 100], ways[ways.len() - 1]);
    println!("{} events, p50 {p50} µs, p99 {p99} µs, at most {most} µs", ways.len());
    assert!(p99 <= 50_000 + 3 * 8_000 + 25_000, "p99 is {p99} µs");
}
