//! Anything to what finds ways (SPEC §18): STUN from anybody, messages of a device or gateway, checks of a peer that was
//! introduced and means ill, and events in any order to the choice of paths.

use core::net::SocketAddr;

use rift::crypto::Side;
use rift::limits::{CHECKS_MAX, SIGNAL_LEN_MAX};
use rift::paths::{Agent, CandidateKind, Candidates, MeetingSecret, Punch, Step};
use rift::wire::check::Check;
use rift::wire::relay::Envelope;
use rift::wire::signal::{EnrolmentToken, Signal, SignalReader, SignalReason};
use rift::wire::stun;
use rift::{Event, Instant, PathId};

use crate::bytes::{Bytes, Script};
use crate::seeds::Seed;

const START: Instant = Instant::from_millis(1_000);
/// Steps that an agent may want at once: to close, open, use and ask.
const STEPS_MAX: usize = 8;

/// Does what the bytes say; see the module.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    match bytes.u8() % 5 {
        0 => stun(bytes.rest()),
        1 => datagram(bytes.rest()),
        2 => signals(&mut bytes),
        3 => introduced(&mut bytes),
        _ => choice(&mut bytes),
    }
}

fn stun(data: &[u8]) {
    let from = SocketAddr::from(([192, 0, 2, 1], 9));
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
    }
}

fn datagram(data: &[u8]) {
    if let Some(check) = Check::parse(data) {
        assert_eq!(check.to_bytes(|_| check.mac)[..], *data, "a check");
    }
    if let Some(envelope) = Envelope::parse(data) {
        let again = [&Envelope::head(envelope.tag), envelope.datagram].concat();
        assert_eq!(again, data, "an envelope");
    }
}

/// A stream in pieces; whatever is read is written and read as the same.
fn signals(bytes: &mut Bytes<'_>) {
    let mut reader = SignalReader::new();
    while !bytes.is_empty() {
        let piece = bytes.run(SIGNAL_LEN_MAX);
        let fits = piece.len() <= reader.room();
        reader.push(piece);
        assert!(fits || reader.is_broken(), "more than there is room for breaks it");
        while let Some(signal) = reader.take() {
            let mut out = [0; SIGNAL_LEN_MAX];
            let len = signal.emit(&mut out).expect("what was read fits");
            let mut again = SignalReader::new();
            again.push(&out[..len]);
            let mut other = [0; SIGNAL_LEN_MAX];
            let other_len = again.take().and_then(|signal| signal.emit(&mut other));
            assert_eq!(other_len.map(|len| &other[..len]), Some(&out[..len]), "{signal:?}");
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
    let mut agent = Agent::new();
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
    }
}

/// Inputs for a fuzzer to start from.
#[must_use]
pub fn seeds() -> Vec<Seed> {
    let mut out = [0; SIGNAL_LEN_MAX];
    let len = stun::write_request(&[3; 12], &mut out).expect("it fits");
    let request = out[..len].iter().fold(Script::default().u8(0), |script, &byte| script.u8(byte));
    let mut signals = Script::default().u8(2);
    let name = "laptop".try_into().expect("it is short");
    for signal in [
        Signal::Enrol { token: EnrolmentToken([1; 16]), name },
        Signal::Present { is_host: true, candidates: Candidates::new() },
        Signal::Welcome { is_enrolled: true, seen: SocketAddr::from(([192, 0, 2, 1], 9)) },
        Signal::Refused { request: 1, reason: SignalReason::NotFound },
    ] {
        let len = signal.emit(&mut out).expect("it fits");
        signals = signals.run(&out[..len]);
    }
    let mut punch = Script::default().u8(3).u8(1).u8(0).u8(2).u8(9).u8(1).u8(1).u8(2).u8(8);
    let mut choice = Script::default().u8(4).u8(1).u8(0).u8(2).u8(9).u8(1).u8(1).u8(2).u8(8);
    for round in 0..6 {
        punch = punch
            .u8(1)
            .u8(2)
            .u8(round)
            .u8(2)
            .u8(9)
            .u8(3)
            .u8(round)
            .u8(0)
            .u8(99)
            .u8(2)
            .u8(9)
            .u8(0)
            .u8(9)
            .u8(0);
        choice = choice.u8(0).u8(1).u8(1).u8(0).u8(7).u8(0).u8(0).u8(20).u8(0).u8(round).u8(2 + round % 5);
    }
    [("stun", request), ("signals", signals), ("punch", punch), ("choice", choice)]
        .map(|(name, script)| ("paths", name.into(), script.into_bytes()))
        .into()
}
