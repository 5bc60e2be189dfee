//! State messages over links that lose and reorder (SPEC §7.3): the newest value wins, and it arrives.

use core::time::Duration;

use rift::{CursorPosition, Event, InputEvent, Permissions, Scancode, SendError};
use rift_sim::peer::{Pair, PairConfig};
use rift_sim::{Jitter, LinkConfig, Loss, Time};

const SEEDS: core::ops::Range<u64> = 1..31;

fn bad_link() -> LinkConfig {
    LinkConfig {
        delay: Duration::from_millis(20),
        loss: Loss::Random(0.1),
        duplicate: 0.1,
        jitter: Some(Jitter { deviation: Duration::from_millis(12), reorders: true }),
        ..LinkConfig::default()
    }
}

fn connected(seed: u64) -> Pair {
    let mut pair = Pair::new(&PairConfig::new(seed, bad_link()));
    pair.network.run_until(Time::from_secs(3));
    assert!(pair.client().session().permissions().is_some(), "seed {seed}");
    pair
}

#[test]
fn cursor_ends_where_the_host_left_it() {
    for seed in SEEDS {
        let mut pair = connected(seed);
        let mut last = CursorPosition::default();
        for step in 1..200u16 {
            last = CursorPosition { x: step, y: step * 2, visible: step % 7 != 0, shape: step.into() };
            pair.network.act(pair.host, |peer, now| {
                peer.host_mut().session_mut(0).send_cursor(now, last).expect("connected");
            });
            pair.network.run_for(Duration::from_millis(3));
        }
        pair.network.run_for(Duration::from_secs(1));
        let cursors: Vec<CursorPosition> = pair
            .client()
            .events
            .iter()
            .filter_map(|&(_, event)| if let Event::Cursor(cursor) = event { Some(cursor) } else { None })
            .collect();
        assert_eq!(cursors.last(), Some(&last), "seed {seed}");
        assert!(cursors.is_sorted_by_key(|cursor| cursor.x), "seed {seed}: it never goes back");
        assert!(cursors.len() > 30, "seed {seed}: {} places", cursors.len());
    }
}

#[test]
fn client_ends_with_the_rights_it_was_given_last() {
    for seed in SEEDS {
        let mut pair = connected(seed);
        let mut last = Permissions::empty();
        for step in 0..50u32 {
            last = Permissions::from_bits_truncate(1 << (step % 15) | 1 << (step % 4));
            pair.network.act(pair.host, |peer, now| peer.host_mut().session_mut(0).admit(now, last));
            pair.network.run_for(Duration::from_millis(4));
        }
        pair.network.run_for(Duration::from_secs(1));
        assert_eq!(pair.client().session().permissions(), Some(last), "seed {seed}");
        pair.network.act(pair.host, |peer, now| {
            peer.host_mut().session_mut(0).admit(now, Permissions::view_only());
        });
        pair.network.run_for(Duration::from_secs(1));
        let key = Scancode::new(30).expect("KEY_A");
        let refused = pair.network.act(pair.client, |peer, now| {
            peer.client_mut().session_mut().send_input(now, InputEvent::Key { key, pressed: true })
        });
        assert_eq!(refused, Err(SendError::NotPermitted), "seed {seed}");
    }
}

#[test]
fn successor_is_told_once_for_each_key_and_to_nobody_before_admission() {
    for seed in SEEDS {
        let mut pair = connected(seed);
        let keys = [7, 8].map(|seed| rift::Identity::from_secret([seed; 32]).public());
        for key in [keys[0], keys[0], keys[1]] {
            pair.network.act(pair.host, |peer, _| {
                peer.host_mut().session_mut(0).announce_successor(key).expect("it was let in");
            });
            pair.network.run_for(Duration::from_secs(1));
        }
        // It is the host's word: a client has none.
        let refused = pair
            .network
            .act(pair.client, |peer, _| peer.client_mut().session_mut().announce_successor(keys[0]));
        assert_eq!(refused, Err(SendError::NotConnected));
        let events = pair.client().events.iter();
        let told: Vec<_> = events
            .filter_map(|&(_, event)| if let Event::Successor(key) = event { Some(key) } else { None })
            .collect();
        assert_eq!(told, keys, "seed {seed}");
    }
}
