//! A few scenarios and a small flood; and that what is looked for would be found.

use rift::{Ecn, InputEvent, Scancode};
use rift_sim::{Captured, NodeId, Time};
use wavry_trials::check::{self, exactly_once};
use wavry_trials::client::Life;
use wavry_trials::host::Visit;
use wavry_trials::scenario::{CALM_AT, Fault, RETURN, Scenario};
use wavry_trials::{flood, sweep};

/// Beyond those that CI plays.
const SEEDS: core::ops::Range<u64> = 1_000_001..1_000_007;

#[test]
fn random_faults_break_no_promise() {
    for seed in SEEDS {
        if let Err(failed) = sweep::play(seed) {
            panic!("seed {seed}: {}\n{}", failed.scenario, failed.violations.join("\n"));
        }
    }
}

/// Seeds with which something was found that has been mended.
#[test]
fn what_was_found_before_holds() {
    let later = [700_180, 700_283, 700_974, 701_234, 2_000_238, 2_000_918, 2_002_098];
    for seed in [1, 28, 166, 183, 256, 402, 474, 848].into_iter().chain(later) {
        if let Err(failed) = sweep::play(seed) {
            panic!("seed {seed}: {}\n{}", failed.scenario, failed.violations.join("\n"));
        }
    }
}

/// Sessions look for the longest datagrams that pass; a narrower link takes those from them.
#[test]
fn narrower_links_lose_what_was_found_to_pass() {
    let narrows = |seed: &u64| Scenario::draw(*seed).faults.contains(&Fault::Mtu);
    let seed = (1..).find(narrows).expect("every third has it");
    let lost = sweep::play(seed).expect("it holds").faults[&Fault::Mtu];
    assert!(lost > 0, "seed {seed}: nothing was too long");
}

#[test]
fn same_seed_plays_the_same_scenario() {
    let (one, again) = (sweep::play(7).expect("it holds"), sweep::play(7).expect("it holds"));
    assert_eq!(one, again);
    assert_ne!(one.trace, sweep::play(8).expect("it holds").trace);
}

#[test]
fn every_scenario_has_three_kinds_of_fault_and_time_to_recover_from_each_break() {
    for seed in 0..5000 {
        let scenario = Scenario::draw(seed);
        let mut kinds: Vec<_> = scenario.weather.iter().map(|weather| weather.fault).collect();
        kinds.extend(scenario.breaks.iter().map(|one| one.fault));
        kinds.sort_unstable();
        kinds.dedup();
        assert!(kinds.len() >= 3 && kinds == scenario.faults, "seed {seed}: {kinds:?}");
        assert!(scenario.breaks.iter().all(|one| one.during.end + RETURN <= CALM_AT), "seed {seed}");
        let apart =
            |pair: &[wavry_trials::scenario::Break]| pair[0].during.end + RETURN <= pair[1].during.start;
        assert!(scenario.breaks.windows(2).all(apart), "seed {seed}");
    }
}

#[test]
fn flood_moves_nothing() {
    let flooded = flood::unmoved(3, 200_000).unwrap_or_else(|difference| panic!("{difference}"));
    assert_eq!(flooded.kinds.values().sum::<u64>(), 200_000);
    assert!(flooded.kinds.values().all(|&count| count > 10_000), "{flooded:?}");
    assert!(flooded.pictures > 300 && flooded.inputs > 1000, "{flooded:?}");
}

fn key(code: u16, pressed: bool) -> InputEvent {
    InputEvent::Key { key: Scancode::new(code).expect("a code"), pressed }
}

#[test]
fn lost_repeated_or_swapped_input_is_noticed() {
    let sent = [key(1, true), InputEvent::Text('a'), InputEvent::Text('b'), key(1, false)];
    let is_exact = |got: &[InputEvent]| exactly_once(&sent, got).is_some();
    assert!(is_exact(&sent) && is_exact(&sent[..2]));
    // Silence releases the key, and its return presses it again.
    assert!(is_exact(&[sent[0], sent[1], key(1, false), key(1, true), sent[2], sent[3]]));
    for wrong in [
        vec![sent[0], sent[2]],
        vec![sent[0], sent[1], sent[1]],
        vec![sent[0], sent[2], sent[1]],
        vec![sent[0], key(2, true)],
        vec![sent[1]],
    ] {
        assert!(!is_exact(&wrong), "{wrong:?}");
    }
    let life = |sent: &[InputEvent]| Life { sent: sent.to_vec(), ..Life::default() };
    let visit = |got: &[InputEvent]| Visit {
        input: got.iter().map(|&event| (rift::Instant::ZERO, event)).collect(),
        ..Visit::default()
    };
    assert_eq!(check::input(&[life(&sent)], &[visit(&sent)]), [""; 0]);
    assert_eq!(check::input(&[life(&sent)], &[visit(&sent[..3])]).len(), 1, "the last event is missing");
    assert_eq!(check::input(&[life(&sent)], &[visit(&sent), visit(&sent)]).len(), 1, "twice");
}

#[test]
fn plaintext_is_found_wherever_it_stands() {
    let sent = |bytes: &[u8]| Captured {
        at: Time::ZERO,
        from: NodeId(0),
        to: NodeId(1),
        ecn: Ecn::NotEct,
        bytes: bytes.to_vec(),
    };
    let secrets = [b"a secret".to_vec(), b"another".to_vec()];
    assert_eq!(check::find_any(&secrets, &[sent(b"nothing"), sent(b"a"), sent(b"")]), None);
    assert_eq!(check::find_any(&secrets, &[sent(b"nothing"), sent(b"xx a secret")]), Some(1));
    assert_eq!(check::find_any(&secrets, &[sent(b"another one")]), Some(0));
}
