//! Inputs that the surface begins with.

use core::net::SocketAddr;

use rift::limits::SIGNAL_LEN_MAX;
use rift::paths::relay::Lease;
use rift::paths::{CandidateKind, Candidates, MeetingSecret};
use rift::wire::fleet::{Beat, LeaseKeys, RelayPlace, RelayPlaces, RelayTime, RelayTimes, Way};
use rift::wire::signal::{EnrolmentToken, Introduction, Signal, SignalReason};
use rift::wire::stun;
use rift::{Identity, PublicKey};

use crate::bytes::Script;
use crate::seeds::Seed;

/// Inputs for a fuzzer to start from.
#[must_use]
pub fn seeds() -> Vec<Seed> {
    let mut seeds: Vec<(String, Script)> = Vec::new();
    seeds.extend(stun().into_iter().map(|(name, script)| (format!("stun-{name}"), script)));
    let signals = signals();
    for (index, signals) in signals.chunks(8).enumerate() {
        let mut script = Script::default().u8(2);
        for signal in signals {
            let mut out = [0; SIGNAL_LEN_MAX];
            let len = signal.emit(&mut out).expect("it fits");
            // It comes in two pieces, and something of a later version behind it.
            let (first, rest) = out[..len].split_at(len / 3);
            script = script.run(first).run(rest).run(&[0x70, 0, 2, 9, 9]);
        }
        seeds.push((format!("signals-{index}"), script));
    }
    seeds.push(("signals-broken".into(), broken()));
    seeds.push((
        "signals-long".into(),
        Script::default().u8(2).run(&[0x01, 0xff, 0xff]).run(&[7; 900]).run(&[7; 900]),
    ));
    seeds.push(("punch".into(), punch()));
    seeds.extend(choices().into_iter().map(|(name, script)| (format!("choice-{name}"), script)));
    seeds.push(("probe".into(), probe()));
    seeds.into_iter().map(|(name, script)| ("paths", name, script.into_bytes())).collect()
}

/// Requests and answers, of this kind and of others'.
fn stun() -> Vec<(&'static str, Script)> {
    let bytes = |bytes: &[u8]| bytes.iter().fold(Script::default().u8(0), |script, &byte| script.u8(byte));
    let head = |kind: u16, attributes: &[u8]| {
        let len = u16::try_from(attributes.len()).expect("they are short");
        [&kind.to_be_bytes()[..], &len.to_be_bytes(), &[0x21, 0x12, 0xa4, 0x42], &[3; 12], attributes]
            .concat()
    };
    let mut out = [0; SIGNAL_LEN_MAX];
    let len = stun::write_request(&[3; 12], &mut out).expect("it fits");
    let request = out[..len].to_vec();
    let mut answers = Vec::new();
    for from in
        [SocketAddr::from(([192, 0, 2, 9], 7)), SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 9], 7))]
    {
        let mut answer = [0; 64];
        let len = stun::answer(&request, from, &mut answer).expect("it is answered");
        answers.push(answer[..len].to_vec());
    }
    vec![
        ("request", bytes(&request)),
        ("answer-4", bytes(&answers[0])),
        ("answer-6", bytes(&answers[1])),
        ("bare", bytes(&head(1, &[]))),
        ("padded", bytes(&head(1, &[&[0xff, 0xd7, 0x02, 0x54][..], &[0; 0x254]].concat()))),
        // Attributes that nobody knows, three of them, and one that may be passed over.
        (
            "unknown",
            bytes(&head(1, &[0, 0x7e, 0, 1, 9, 0, 0, 0, 0, 0x7d, 0, 0, 0, 0x7c, 0, 0, 0x80, 1, 0, 0])),
        ),
        ("error", bytes(&head(0x0111, &[0, 9, 0, 4, 0, 0, 4, 20]))),
        ("mapped", bytes(&head(0x0101, &[0, 1, 0, 8, 0, 1, 0, 7, 192, 0, 2, 9]))),
        ("family", bytes(&head(0x0101, &[0, 1, 0, 8, 0, 3, 0, 7, 192, 0, 2, 9]))),
        ("false-fingerprint", bytes(&head(1, &[0x80, 0x28, 0, 4, 1, 2, 3, 4]))),
        (
            "others",
            bytes(&{
                let mut other = answers[0].clone();
                other.extend_from_slice(&[0x80, 0x22, 0, 0]);
                other[3] += 4;
                other
            }),
        ),
        ("half", bytes(&head(1, &[0x80, 0x22, 0, 9, 1, 2, 3, 4]))),
    ]
}

/// One of each kind.
fn signals() -> Vec<Signal> {
    let key = |seed: u8| -> PublicKey { Identity::from_secret([seed; 32]).public() };
    let addresses =
        [SocketAddr::from(([192, 0, 2, 1], 9)), SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 9))];
    let mut candidates = Candidates::new();
    for (kind, address) in [CandidateKind::Host, CandidateKind::Reflexive].into_iter().zip(addresses) {
        candidates.push(kind, address).expect("somebody can be there");
    }
    candidates.push(CandidateKind::Mapped, SocketAddr::from(([198, 51, 100, 1], 9))).expect("there is room");
    let seen = addresses[1];
    let mut signals = vec![
        Signal::Enrol { token: EnrolmentToken([1; 16]), name: "laptop".try_into().expect("it is short") },
        Signal::Present { is_host: true, candidates: candidates.clone() },
        Signal::LookUp { peer: key(1) },
        Signal::Introduce { request: 7, peer: key(1), candidates: candidates.clone() },
        Signal::Grant { peer: key(1), may: true },
        Signal::Measured(RelayTimes::from_slice(&[RelayTime { relay: [1; 16], rtt: 9 }; 3]).expect("room")),
        Signal::Beat(Beat {
            leases: 1,
            leases_max: 9,
            load_permille: 500,
            is_draining: true,
            address: addresses[0],
            region: "here".try_into().expect("it is short"),
            version: "1".try_into().expect("it is short"),
        }),
        Signal::Welcome { is_enrolled: true, seen },
        Signal::Found { peer: key(2), is_present: false },
        Signal::Introduction(Introduction {
            request: 7,
            calls: true,
            peer: key(2),
            secret: MeetingSecret::from_bytes([5; 32]),
            candidates,
            has_lease: true,
        }),
        Signal::Lease(Lease {
            relay: addresses[0],
            relay_key: key(3),
            tag: [4; 8],
            secret: [6; 32],
            expires_s: 1_900_000_000,
            token: [0x55; 200].iter().copied().collect(),
        }),
        Signal::Relays(
            addresses.iter().map(|&address| RelayPlace { key: key(4), address }).collect::<RelayPlaces>(),
        ),
        Signal::LeaseKeys(LeaseKeys::from_slice(&[[1; 32], [2; 32]]).expect("there is room")),
    ];
    let ways = [Way::None, Way::Direct, Way::Relay, Way::Stream];
    signals.extend(ways.map(|way| Signal::Path { peer: key(1), way }));
    let reasons = [
        SignalReason::NotEnrolled,
        SignalReason::Token,
        SignalReason::NotFound,
        SignalReason::TooOften,
        SignalReason::Full,
        SignalReason::Other(9),
    ];
    signals.extend(reasons.map(|reason| Signal::Refused { request: 1, reason }));
    signals
}

/// Messages that are none: each breaks what it comes in.
fn broken() -> Script {
    let message =
        |kind: u8, body: &[u8]| [&[kind, 0, u8::try_from(body.len()).expect("short")], body].concat();
    let key = [9; 32];
    let messages = [
        // A way, a flag, a name, a key, an address, a text, candidates that are none.
        message(0x06, &[&key[..], &[9]].concat()),
        message(0x05, &[&key[..], &[2]].concat()),
        message(0x01, &[&[1; 16][..], &[2, b'a', 7]].concat()),
        message(0x03, &[0; 32]),
        message(0x81, &[1, 5, 1, 2, 3, 4, 0, 9]),
        message(0x08, &[&[0; 10][..], &[0, 4, 1, 2, 3, 4, 0, 9, 2, b'a', 7, 0]].concat()),
        message(0x02, &[1, 99]),
        message(0x04, &[&[0, 0][..], &key, &[0]].concat()),
        message(0x83, &[&[0, 1, 9][..], &key, &key, &[0]].concat()),
        message(0x86, &[99, 4]),
        message(0x87, &[9, 1]),
    ];
    messages.iter().fold(Script::default().u8(2), |script, message| script.run(message))
}

/// Two addresses of each side.
fn introduced(kind: u8) -> Script {
    Script::default()
        .u8(kind)
        .u8(2)
        .u8(0)
        .u8(2)
        .u8(9)
        .u8(1)
        .u8(1)
        .u8(9)
        .u8(2)
        .u8(1)
        .u8(2)
        .u8(8)
        .u8(2)
        .u8(3)
        .u8(8)
}

/// Checks that come, come twice, come from elsewhere and are changed.
fn punch() -> Script {
    (0..6).fold(introduced(3), |script, round| {
        let script = script.u8(1).u8(2).u8(round).u8(2).u8(9).u8(3).u8(round).u8(0).u8(99).u8(2).u8(9);
        script.u8(0).u8(9).u8(0)
    })
}

/// What the choice among paths may be told, as stories.
fn choices() -> Vec<(&'static str, Script)> {
    let wait =
        |script: Script, times: u8| (0..times).fold(script, |script, _| script.u8(0).u8(0).u8(0x80).u8(0));
    let meet = |script: Script, has_relay: u8| script.u8(0).u8(1).u8(has_relay);
    let punch = |script: Script| (0..4).fold(script, |script, _| script.u8(0).u8(7).u8(0).u8(0).u8(0).u8(90));
    let event = |script: Script, what: u8, path: u8| script.u8(path).u8(what);
    let begun = |has_relay| punch(meet(introduced(4), has_relay));
    vec![
        // Direct at once, then the relay beside it; direct falls silent, is introduced anew and found again.
        ("direct", {
            let open = event(wait(event(begun(1), 2, 0), 2), 4, 1);
            let silent = event(event(wait(open, 1), 6, 0), 4, 1);
            let again = event(punch(meet(wait(silent, 3), 1)), 4, 2);
            wait(event(again, 5, 1), 6)
        }),
        // Nobody answers: over the relay, and direct is tried again and again.
        ("relay", {
            let relayed = event(wait(meet(introduced(4), 1), 1), 2, 0);
            let late = punch(meet(wait(relayed, 9), 1));
            wait(event(event(wait(late, 1), 4, 1), 6, 1), 9)
        }),
        // A session that began directly and is not answered begins again over the relay.
        ("unanswered", wait(event(wait(begun(1), 3), 2, 0), 4)),
        ("alone", wait(event(event(wait(begun(0), 2), 2, 0), 5, 0), 8)),
        // The session has no room for a path.
        ("refused", wait(event(event(wait(event(begun(1), 2, 0), 2), 3, 1), 3, 2), 3)),
    ]
}

fn probe() -> Script {
    let mut script = Script::default().u8(1).u8(3);
    for place in 0..3 {
        script = script.u8(2 + place).u8(9);
    }
    for round in 0..9 {
        script = script.u8(0).u8(3).u8(round).u8(2).u8(round).u8(0).u8(1);
    }
    script = script.u8(2).u8(1).u8(255).u8(9).u8(9).u8(3).run(&[0x31; 25]).u8(2).u8(9);
    script
}
