//! Single rules of the specification that no other test is about.

use core::time::Duration;

use rift::wire::capture::CaptureStateMessage;
use rift::{Channel, InputEvent, Scancode, SendError};
use rift_sim::peer::{Pair, PairConfig};
use rift_sim::{LinkConfig, Time};

fn link() -> LinkConfig {
    LinkConfig { delay: Duration::from_millis(10), ..LinkConfig::default() }
}

/// SPEC §6.1/2.
#[test]
fn client_sends_nothing_on_any_channel_before_it_was_let_in() {
    let mut pair = Pair::new(&PairConfig::new(1, link()));
    pair.network.run_until(Time::from_millis(30));
    let client = pair.client;
    pair.network.act(client, |peer, now| {
        let session = peer.client_mut().session_mut();
        assert!(session.is_established() && session.permissions().is_none());
        let event = InputEvent::Key { key: Scancode::new(30).expect("a code"), pressed: true };
        assert_eq!(session.send_input(now, event), Err(SendError::NotPermitted));
        for channel in Channel::ALL {
            assert_eq!(session.write(now, channel, b"a word"), Err(SendError::NotPermitted), "{channel:?}");
        }
        assert_eq!(session.send_audio(now, b"sound"), Err(SendError::NotPermitted));
    });
    pair.network.run_until(Time::from_millis(60));
    assert!(pair.client().session().permissions().is_some());
}

/// SPEC §6.6/3.
#[test]
fn host_that_was_restarted_draws_other_connection_ids() {
    let config = PairConfig { call: Some(1), ..PairConfig::new(3, link()) };
    let mut pair = Pair::new(&config);
    let mut seen = std::collections::BTreeSet::new();
    for counter in 2..12 {
        pair.network.run_for(Duration::from_millis(500));
        let guest = pair.host().guests.last().expect("the client was let in");
        assert!(guest.session.is_live() && seen.insert(guest.session.connection()), "life {counter}");
        pair.network.act(pair.host, |peer, _| peer.host_mut().restart());
        pair.call_again(&config, counter, None);
    }
}

/// SPEC §11.8.
#[test]
fn description_of_a_signal_holds_printable_ascii_or_is_discarded() {
    let head = [5, 0, 1, 0, 0, 0, 9];
    let parse = |words: &[u8]| CaptureStateMessage::parse(&[&head[..], words].concat());
    assert!(parse(b"1920x1080p60").is_some() && parse(b"").is_some());
    for byte in 0..=u8::MAX {
        let is_printable = (0x20..0x7f).contains(&byte);
        assert_eq!(parse(&[b'a', byte, b'z']).is_some(), is_printable, "byte {byte:#x}");
    }
    assert!(parse(&[b'a'; 48]).is_some() && parse(&[b'a'; 49]).is_none());
}
