//! The viewer knows what the host's capture is doing: of every change once, whatever is lost (SPEC §7.3, §11.8).

use core::time::Duration;

use rift::{CaptureCondition, CaptureState, Event, Permissions, SignalDescription};
use rift_sim::peer::{Pair, PairConfig};
use rift_sim::{Jitter, LinkConfig, Loss, Random, Time};

const SEEDS: core::ops::Range<u64> = 1..9;

fn say(pair: &mut Pair, condition: CaptureCondition, signal: &str) {
    pair.network.act(pair.host, |peer, now| {
        let state = CaptureState { condition, since: now, signal: SignalDescription::new(signal) };
        peer.host_mut().session_mut(0).send_capture_state(now, state).expect("connected");
    });
}

fn heard(pair: &Pair) -> Vec<CaptureState> {
    let state =
        |(_, event): &(_, Event)| if let Event::CaptureState(state) = event { Some(*state) } else { None };
    pair.client().events.iter().filter_map(state).collect()
}

fn bad_link() -> LinkConfig {
    LinkConfig {
        delay: Duration::from_millis(25),
        loss: Loss::Random(0.3),
        duplicate: 0.1,
        jitter: Some(Jitter { deviation: Duration::from_millis(15), reorders: true }),
        ..LinkConfig::default()
    }
}

#[test]
fn each_lasting_change_is_heard_once_and_the_last_one_stays() {
    for seed in SEEDS {
        let mut pair = Pair::new(&PairConfig::new(seed, bad_link()));
        pair.network.run_until(Time::from_secs(3));
        let mut random = Random::new(seed);
        let mut said = Vec::new();
        for index in 0..40 {
            let code = u8::try_from(random.below(8)).expect("small");
            let condition = CaptureCondition::of(code).expect("one of eight");
            said.push((condition, format!("change {index}")));
            say(&mut pair, condition, &format!("change {index}"));
            // Half of the changes last, half are overtaken by the next.
            pair.network.run_for(Duration::from_millis([5, 2000][index % 2]));
        }
        let heard: Vec<_> =
            heard(&pair).iter().map(|state| (state.condition, state.signal.as_str().to_owned())).collect();
        let mut rest = said.iter();
        assert!(heard.iter().all(|one| rest.any(|other| one == other)), "seed {seed}: once, in order");
        for lasting in said.iter().skip(1).step_by(2) {
            assert!(heard.contains(lasting), "seed {seed}: {lasting:?}");
        }
    }
}

#[test]
fn since_when_is_told_within_the_delay_of_the_path() {
    let link = LinkConfig { delay: Duration::from_millis(40), ..LinkConfig::default() };
    let mut pair = Pair::new(&PairConfig::new(1, link));
    pair.network.run_until(Time::from_secs(3));
    let since = pair.network.now();
    pair.network.link_mut(pair.downward).loss = Loss::Random(1.0);
    say(&mut pair, CaptureCondition::NoSignal, "");
    pair.network.run_for(Duration::from_secs(2));
    pair.network.link_mut(pair.downward).loss = Loss::None;
    pair.network.run_for(Duration::from_secs(2));
    let state = pair.client().session().capture_state().expect("heard at last");
    let age = pair.network.local(pair.client) - state.since;
    let truth = pair.network.now() - since;
    // Ages travel in whole milliseconds.
    let late = truth.saturating_sub(age);
    assert!(age <= truth + Duration::from_millis(1), "{age:?} of {truth:?}");
    assert!(late < Duration::from_millis(42), "{age:?} of {truth:?}");
}

#[test]
fn who_may_not_view_hears_nothing_until_it_may() {
    let config =
        PairConfig { permissions: Permissions::KEYBOARD, ..PairConfig::new(1, LinkConfig::default()) };
    let mut pair = Pair::new(&config);
    pair.network.run_until(Time::from_secs(1));
    say(&mut pair, CaptureCondition::NoLock, "");
    pair.network.run_for(Duration::from_secs(1));
    assert_eq!(heard(&pair), []);
    pair.network.act(pair.host, |peer, now| {
        peer.host_mut().session_mut(0).admit(now, Permissions::view_only());
    });
    pair.network.run_for(Duration::from_secs(1));
    assert_eq!(heard(&pair).len(), 1);
}

#[test]
fn the_same_again_is_no_change_and_words_are_made_harmless() {
    let mut pair = Pair::new(&PairConfig::new(1, LinkConfig::default()));
    pair.network.run_until(Time::from_secs(1));
    let state = CaptureState {
        condition: CaptureCondition::Streaming,
        since: pair.network.local(pair.host),
        signal: SignalDescription::new("1920×1080\u{1b}[2J\u{202e}"),
    };
    for _ in 0..3 {
        pair.network.act(pair.host, |peer, now| {
            peer.host_mut().session_mut(0).send_capture_state(now, state).expect("connected");
        });
        pair.network.run_for(Duration::from_secs(1));
    }
    let heard = heard(&pair);
    assert_eq!(heard.len(), 1);
    assert_eq!(heard[0].signal.as_str(), "1920?1080?[2J?");
    let refused = pair
        .network
        .act(pair.client, |peer, now| peer.client_mut().session_mut().send_capture_state(now, state));
    assert!(refused.is_err(), "a client captures nothing");
}
