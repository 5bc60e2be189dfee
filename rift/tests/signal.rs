//! What devices and gateways say to each other (SPEC §18.3).

use rift::limits::SIGNAL_LEN_MAX;
use rift::paths::relay::Lease;
use rift::paths::{CandidateKind, Candidates, MeetingSecret};
use rift::wire::fleet::{Beat, GrantPage, RelayPlace, RelayTime, Way};
use rift::wire::signal::{EnrolmentToken, Introduction, Signal, SignalReader, SignalReason};
use rift::{Identity, PublicKey};

fn key(seed: u8) -> PublicKey {
    Identity::from_secret([seed; 32]).public()
}

fn full() -> Candidates {
    let mut candidates = Candidates::new();
    for port in 1..=16 {
        let text = format!("[2001:db8::1]:{port}");
        let address = text.parse().expect("an address");
        candidates.push(CandidateKind::Host, address).expect("there is room");
    }
    candidates
}

/// One of each kind, as long as it can be.
fn all() -> Vec<Signal> {
    let lease = Lease {
        relay: "[2001:db8::9]:4748".parse().expect("an address"),
        relay_key: key(3),
        tag: *b"a lease!",
        secret: [9; 32],
        expires_s: 1 << 40,
        token: heapless::Vec::from_slice(&[b'x'; 768]).expect("it fits"),
    };
    let introduction = |calls| Introduction {
        request: 7,
        calls,
        peer: key(2),
        secret: MeetingSecret::from_bytes([5; 32]),
        candidates: full(),
        has_lease: !calls,
    };
    let place = RelayPlace { key: key(3), address: "[2001:db8::9]:4749".parse().expect("an address") };
    vec![
        Signal::Enrol {
            token: EnrolmentToken([5; 16]),
            name: "the laptop at the window, with the blue sticker.".try_into().expect("it fits"),
        },
        Signal::Present { is_host: true, candidates: full() },
        Signal::LookUp { peer: key(1) },
        Signal::Introduce { request: 65_535, peer: key(1), candidates: full() },
        Signal::Grant { peer: key(1), may: true },
        Signal::Welcome { is_enrolled: false, seen: "192.0.2.1:65535".parse().expect("an address") },
        Signal::Found { peer: key(1), is_present: true },
        Signal::Introduction(introduction(true)),
        Signal::Introduction(introduction(false)),
        Signal::Lease(lease),
        Signal::Refused { request: 3, reason: SignalReason::NotFound },
        Signal::Path { peer: key(1), way: Way::Stream },
        Signal::Measured([RelayTime { relay: [4; 16], rtt: 250 }; 8].into_iter().collect()),
        Signal::Beat(Beat {
            leases: 9_999,
            leases_max: u32::MAX,
            load_permille: 1_000,
            is_draining: true,
            address: "[2001:db8::9]:4749".parse().expect("an address"),
            region: "Frankfurt, am Main (DE).".try_into().expect("it fits"),
            version: "0.1.0-with-a-long-suffix".try_into().expect("it fits"),
        }),
        Signal::Grants(GrantPage {
            is_first: true,
            is_last: false,
            keys: [key(1); 31].into_iter().collect(),
        }),
        Signal::Relays([place; 8].into_iter().collect()),
        Signal::LeaseKeys([[7; 32]; 3].into_iter().collect()),
    ]
}

fn bytes(signal: &Signal) -> Vec<u8> {
    let mut out = [0; SIGNAL_LEN_MAX];
    let len = signal.emit(&mut out).expect("every message fits");
    out[..len].to_vec()
}

fn read(stream: &[u8], step: usize) -> (Vec<Vec<u8>>, bool) {
    let (mut reader, mut read, mut rest) = (SignalReader::new(), Vec::new(), stream);
    loop {
        while let Some(signal) = reader.take() {
            read.push(bytes(&signal));
        }
        let (now, later) = rest.split_at(step.min(reader.room()).min(rest.len()));
        if now.is_empty() {
            return (read, reader.is_broken());
        }
        reader.push(now);
        rest = later;
    }
}

#[test]
fn messages_come_out_as_they_went_in_however_the_stream_is_cut() {
    let messages: Vec<_> = all().iter().map(bytes).collect();
    let stream = messages.concat();
    for step in [1, 7, 100, 1024] {
        assert_eq!(read(&stream, step), (messages.clone(), false), "{step} bytes at a time");
    }
}

#[test]
fn unknown_kinds_are_passed_over_and_broken_messages_end_it() {
    let known = bytes(&Signal::LookUp { peer: key(1) });
    let unknown = [&[0x7f, 0, 2, 1, 2][..], &known].concat();
    assert_eq!(read(&unknown, 64), (vec![known.clone()], false));
    for message in all() {
        let mut long = bytes(&message);
        long.push(0);
        let len = u16::try_from(long.len() - 3).unwrap();
        long[1..3].copy_from_slice(&len.to_be_bytes());
        assert_eq!(read(&[&long[..], &known].concat(), 64), (vec![], true), "{message:?}");
    }
    assert_eq!(read(&[0x7f, 4, 0], 64), (vec![], true), "longer than there may be");
}

#[test]
fn what_no_honest_device_says_is_no_message() {
    let small_order = [&[0x03, 0, 32][..], &[0; 32]].concat();
    let named = |name: &str| {
        let len = name.len() as u8;
        [&[0x01, 0, 17 + len][..], &[0; 16], &[len], name.as_bytes()].concat()
    };
    let (control, reversed) = (named("\n"), named("desk\u{202e}top"));
    let request_zero = {
        let mut message =
            bytes(&Signal::Introduce { request: 1, peer: key(1), candidates: Candidates::new() });
        message[4] = 0;
        message
    };
    let many = [&[0x02, 0, 2][..], &[0, 17]].concat();
    assert_eq!(read(&named("Küche"), 64), (vec![named("Küche")], false));
    for message in [small_order, control, reversed, request_zero, many] {
        assert_eq!(read(&message, 64), (vec![], true), "{message:?}");
    }
}

#[test]
fn candidates_that_cannot_be_any_are_left_out() {
    let body = [0, 3, 0, 4, 127, 0, 0, 1, 0, 9, 9, 4, 192, 0, 2, 1, 0, 9, 1, 4, 192, 0, 2, 1, 0, 9];
    let Some(Signal::Present { candidates, .. }) = Signal::parse(0x02, &body) else { panic!("a message") };
    let addresses: Vec<_> = candidates.iter().map(|candidate| candidate.address.to_string()).collect();
    assert_eq!(addresses, ["192.0.2.1:9"]);
}

#[test]
fn secrets_do_not_show() {
    let shown = format!("{:?}", all());
    assert!(!shown.contains("5, 5") && !shown.contains("9, 9") && !shown.contains("0x0505"), "{shown}");
}

#[test]
fn token_survives_its_text_and_other_texts_are_none() {
    let token = EnrolmentToken(core::array::from_fn(|at| at as u8 * 17));
    let text = token.to_text();
    assert_eq!(text, "00112233445566778899aabbccddeeff");
    assert_eq!(EnrolmentToken::parse(&text.to_uppercase()), Some(token));
    for other in ["", "00", &text[1..], &text.replace('a', "g"), &"\u{e4}".repeat(16)] {
        assert_eq!(EnrolmentToken::parse(other), None, "{other}");
    }
}
