//! Anything to what finds ways (SPEC §18): STUN from anybody, messages of a device or gateway, checks of a peer that was
//! introduced and means ill, and events in any order to the choice of paths.

mod seeds;

use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeMap;

use rift::crypto::Side;
use rift::limits::{CHECKS_MAX, SIGNAL_LEN_MAX};
use rift::paths::{
    Agent, CandidateKind, Candidates, MeetingSecret, Punch, RelayProbe, Step, StunClient, Via,
};
use rift::wire::bind::{BIND_ASK_LEN, BindBody, BindMessage};
use rift::wire::check::Check;
use rift::wire::fleet::{RelayPlace, RelayPlaces};
use rift::wire::signal::SignalReader;
use rift::wire::stun;
use rift::{Event, Identity, Instant, PathId};

use crate::bytes::Bytes;
pub use seeds::seeds;

const START: Instant = Instant::from_millis(1_000);
/// Steps that an agent may want at once: to close, open, use and ask.
const STEPS_MAX: usize = 8;

/// Does what the bytes say; see the module.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    match bytes.u8() % 5 {
        0 => stun(bytes.rest()),
        1 => probe(&mut bytes),
        2 => signals(&mut bytes),
        3 => introduced(&mut bytes),
        _ => choice(&mut bytes),
    }
}

fn stun(data: &[u8]) {
    let is_old = data.get(19).is_none_or(|last| last % 2 == 0);
    let ip =
        if is_old { IpAddr::from([192, 0, 2, 1]) } else { IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]) };
    let from = SocketAddr::new(ip, 9);
    let mut out = [0; 64];
    if let Some(len) = stun::answer(data, from, &mut out) {
        assert!(len <= stun::ANSWER_LEN_MAX && len <= data.len() + 24, "an answer is bounded");
        assert_eq!(data[..2], [0, 1], "only a request is answered");
        let id = data[8..20].try_into().expect("it has an id");
        let answer = stun::parse_answer(&out[..len], &id);
        assert!(answer == Some(Ok(from)) || answer == Some(Err(420)), "{answer:?}");
        assert_eq!(stun::answer(&out[..len], from, &mut [0; 64]), None, "an answer is not answered");
    }
    if let Some(id) = data.get(8..20).and_then(|id| id.try_into().ok()) {
        let _ = stun::parse_answer(data, &id);
        let len = stun::write_request(&id, &mut out).expect("it fits");
        let mut answer = [0; 64];
        let answer_len = stun::answer(&out[..len], from, &mut answer).expect("a request is answered");
        assert!(!stun::is_longer(&out[..len], answer_len), "who asks so is sent no more than they sent");
        assert_eq!(stun::parse_answer(&answer[..answer_len], &id), Some(Ok(from)), "an answer");
        // As long as the bytes say, where there is a request of that length.
        let mut long = [0; 1500];
        let len = usize::from(u16::from_be_bytes([data[2], data[3]])) % long.len();
        let request = &mut long[..len];
        if stun::write_padded_request(&id, request).is_some() {
            let answer_len = stun::answer(request, from, &mut answer).expect("its length is no matter");
            assert_eq!(stun::parse_answer(&answer[..answer_len], &id), Some(Ok(from)), "{len} bytes");
        }
        ask(id, data);
    }
}

/// A client asks, and what comes may be an answer.
fn ask(id: stun::TransactionId, data: &[u8]) {
    let (server, other) = (SocketAddr::from(([192, 0, 2, 1], 9)), SocketAddr::from(([192, 0, 2, 2], 9)));
    let (mut client, mut now, mut asked) = (StunClient::new(START, server, id), START, 0);
    let mut out = [0; 64];
    while !client.is_over(now) {
        while let Some((_, to)) = client.poll_transmit(now, &mut out) {
            asked += 1;
            assert!(to == server && asked <= 7, "a server is asked a few times");
        }
        assert!(!client.handle_datagram(other, data), "nobody else answers");
        let is_answer = client.handle_datagram(server, data);
        assert_eq!(is_answer, stun::parse_answer(data, &id).is_some(), "an answer is taken");
        assert_eq!(client.address(), stun::parse_answer(data, &id).and_then(Result::ok), "what it said");
        assert!(!client.handle_datagram(server, data) || !is_answer, "one answer is enough");
        now = client.poll_timeout().unwrap_or(now);
    }
    assert_eq!(client.poll_transmit(now, &mut out), None, "it is over");
}

/// Relays are asked how near they are; some answer, late or for others, and strangers say what they like. Each is asked
/// a few times, and what is told of it is what its own answers took (SPEC §18.9).
fn probe(bytes: &mut Bytes<'_>) {
    let mut places = RelayPlaces::new();
    for index in 0..bytes.below(9) {
        let key = Identity::from_secret([u8::try_from(index).expect("below 9") + 1; 32]).public();
        let _ = places.push(RelayPlace { key, address: address(bytes) });
    }
    let mut now = START;
    let mut probe = RelayProbe::new(now, [7; 8], &places);
    let mut asked: Vec<(Instant, SocketAddr, [u8; 8])> = Vec::new();
    let mut best: BTreeMap<SocketAddr, u64> = BTreeMap::new();
    let mut out = [0; BIND_ASK_LEN];
    loop {
        while let Some((len, to)) = probe.poll_transmit(now, &mut out) {
            let question = BindMessage::parse(&out[..len]).expect("it is a question");
            assert_eq!(question.body, BindBody::Ask, "nothing but a nonce is asked for");
            asked.push((now, to, question.tag));
        }
        assert!(asked.len() <= 3 * places.len(), "{} questions to {}", asked.len(), places.len());
        if bytes.is_empty() {
            break;
        }
        match bytes.u8() % 4 {
            0 => now = now.plus_micros(u64::from(bytes.u16()) * 8),
            1 => now = now.max(probe.poll_timeout()),
            2 if !asked.is_empty() => {
                let (_, to, tag) = asked[bytes.below(asked.len())];
                let len =
                    BindMessage { tag, body: BindBody::Nonce([9; 16]) }.emit(&mut out).expect("it fits");
                let from = if bytes.u8() < 200 { to } else { address(bytes) };
                if probe.handle_datagram(now, from, &out[..len]) {
                    let question = asked.iter().find(|(_, to, of)| *to == from && *of == tag);
                    let took = now.micros_since(question.expect("an answer to what was asked").0);
                    best.entry(from).and_modify(|best| *best = took.min(*best)).or_insert(took);
                }
            }
            _ => {
                let said = bytes.run(BIND_ASK_LEN);
                let from = address(bytes);
                let is_named = BindMessage::parse(said).is_some_and(|said| said.tag[1..] == [7; 7]);
                assert!(!probe.handle_datagram(now, from, said) || is_named, "an answer names its question");
            }
        }
    }
    let times = probe.times();
    assert_eq!(times.len(), places.len(), "every relay is told of");
    let is_alone = |place: &RelayPlace| places.iter().filter(|one| one.address == place.address).count() == 1;
    for (time, place) in times.iter().zip(&places).filter(|(_, place)| is_alone(place)) {
        let expected = best.get(&place.address).map(|took| took.div_ceil(100).min(65_534));
        assert_eq!(u64::from(time.rtt), expected.unwrap_or(65_535), "what its own answers took");
    }
    let end = now.max(probe.poll_timeout()).plus_micros(2_000_000);
    assert!(probe.is_over(end), "it ends");
}

/// A stream in pieces; whatever is read is written and read as the same.
fn signals(bytes: &mut Bytes<'_>) {
    let mut reader = SignalReader::default();
    while !bytes.is_empty() {
        let piece = bytes.run(SIGNAL_LEN_MAX);
        let fits = piece.len() <= reader.room();
        reader.push(piece);
        assert!(fits || reader.is_broken(), "more than there is room for breaks it");
        if reader.is_broken() {
            assert!(reader.take().is_none() && reader.room() == 0, "nothing more is read");
            reader = SignalReader::new();
        }
        while let Some(signal) = reader.take() {
            let mut out = [0; SIGNAL_LEN_MAX];
            let len = signal.emit(&mut out).expect("what was read fits");
            let mut again = SignalReader::new();
            again.push(&out[..len]);
            let mut other = [0; SIGNAL_LEN_MAX];
            let other_len = again.take().and_then(|signal| signal.emit(&mut other));
            assert_eq!(other_len.map(|len| &other[..len]), Some(&out[..len]), "{signal:?}");
            let shown = format!("{signal:?}");
            assert!(!shown.contains("secret: [") && !shown.contains("token: ["), "{shown} shows a secret");
            for short in 0..len.min(80) {
                assert_eq!(signal.emit(&mut other[..short]), None, "there is no room for it");
            }
        }
    }
}

fn address(bytes: &mut Bytes<'_>) -> SocketAddr {
    let (last, port) = (bytes.u8(), u16::from(bytes.u8()));
    if last & 1 == 0 {
        SocketAddr::from(([192, 0, 2, last], port))
    } else {
        SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, last.into()], port))
    }
}

fn candidates(bytes: &mut Bytes<'_>) -> Candidates {
    let mut candidates = Candidates::new();
    for _ in 0..bytes.below(20) {
        let kind = CandidateKind::of(bytes.u8() % 3).expect("there are three");
        let _ = candidates.push(kind, address(bytes));
    }
    candidates
}

/// What an introduced peer can make leave is bounded, whatever it says and names.
fn introduced(bytes: &mut Bytes<'_>) {
    let secret = MeetingSecret::from_bytes([7; 32]);
    let (own, peer) = (candidates(bytes), candidates(bytes));
    let mut punch = Punch::new(START, Side::Responder, &secret, &own, &peer);
    // The peer makes honest checks, which come from anywhere and any number of times.
    let mut other = Punch::new(START, Side::Initiator, &secret, &peer, &own);
    let (mut checks, mut answers, mut now) = (0, 0, START);
    let mut said: Vec<Vec<u8>> = vec![Vec::new()];
    let mut out = [0; 64];
    while !bytes.is_empty() {
        match bytes.u8() % 4 {
            0 => now = now.plus_micros(u64::from(bytes.u16()) * 16),
            1 => {
                if let Some((len, _)) = other.poll_transmit(now, &mut out) {
                    said.push(out[..len].to_vec());
                }
            }
            2 => {
                let datagram = said[bytes.below(said.len())].clone();
                let _ = punch.handle_datagram(now, address(bytes), &datagram);
            }
            _ => {
                let mut datagram = said[bytes.below(said.len())].clone();
                let bit = usize::from(bytes.u16());
                if let Some(byte) = datagram.get_mut(bit / 8) {
                    *byte ^= 1 << (bit % 8);
                    let before = format!("{punch:?}");
                    assert!(punch.handle_datagram(now, address(bytes), &datagram).is_err(), "a forged check");
                    assert_eq!(format!("{punch:?}"), before, "a forged check changes nothing");
                }
            }
        }
        assert!(punch.checks_sent() <= CHECKS_MAX, "checks are bounded");
        let is_seen = punch.nominated().is_none() || punch.seen().is_some();
        assert!(is_seen, "who answered has said where this side is");
        while let Some((len, to)) = punch.poll_transmit(now, &mut out) {
            let check = Check::parse(&out[..len]).expect("it is a check");
            *(if check.seen.is_some() { &mut answers } else { &mut checks }) += 1;
            let _ = other.handle_datagram(now, to, &out[..len]);
        }
        assert!(checks <= CHECKS_MAX && answers <= CHECKS_MAX, "{checks} checks, {answers} answers");
    }
}

/// Events and times in any order: the agent never wants the same for ever, and names no path twice at once.
fn choice(bytes: &mut Bytes<'_>) {
    let secret = MeetingSecret::from_bytes([7; 32]);
    let (own, peer) = (candidates(bytes), candidates(bytes));
    let mut agent = Agent::default();
    let mut callee = Punch::new(START, Side::Responder, &secret, &peer, &own);
    let (mut now, mut used, mut open) = (START, PathId(0), Vec::<PathId>::new());
    while !bytes.is_empty() {
        let path = PathId(bytes.u8() % 4);
        match bytes.u8() % 8 {
            0 => now = now.plus_micros(u64::from(bytes.u16()) * 64),
            1 => agent.meet(now, &secret, &own, &peer, bytes.flag()),
            2 => agent.on_established(now),
            3 => agent.on_not_opened(now, path),
            4 => agent.on_event(now, &Event::PathProven(path), used),
            5 => agent.on_event(now, &Event::PathFailed(path), used),
            6 => agent.on_event(now, &Event::PathSilent(path), used),
            _ => {
                let mut out = [0; 64];
                while let Some((len, to)) = agent.poll_transmit(now, &mut out) {
                    let _ = callee.handle_datagram(now, to, &out[..len]);
                    while let Some((len, _)) = callee.poll_transmit(now, &mut out) {
                        let _ = agent.handle_datagram(now, to, &out[..len]);
                    }
                }
            }
        }
        for at in 0.. {
            let Some(step) = agent.poll_step(now) else { break };
            assert!(at < STEPS_MAX, "it wants {step:?} for ever");
            match step {
                Step::Begin(_) => (used, open) = (PathId(0), vec![PathId(0)]),
                Step::Open { path, .. } => {
                    assert!(agent.via(path).is_some(), "an opened path leads somewhere");
                    open.push(path);
                }
                Step::Use(path) => used = path,
                Step::Close(path) => open.retain(|known| *known != path),
                Step::Introduce => {}
            }
        }
        if let Some(at) = agent.poll_timeout() {
            assert!(at >= START || at == Instant::ZERO, "it waits for something to come");
        }
        if let Some(Via::Direct(address)) = agent.in_use() {
            assert!(agent.punch().is_some() || address.port() != 0, "a direct path leads to somewhere");
        }
    }
}
