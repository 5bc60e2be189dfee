//! Two that were introduced find a way to each other, and nobody else is bothered for it (SPEC §18).

use core::net::SocketAddr;

use rift::crypto::Side;
use rift::paths::{Agent, CandidateKind, Candidates, MeetingSecret, Nominated, Punch, Step, Via};
use rift::wire::check::Check;
use rift::{Discard, Event, Instant, PathId};

const START: Instant = Instant::from_millis(1_000);
const SECRET: MeetingSecret = MeetingSecret::from_bytes([7; 32]);
const CALLER: &str = "198.51.100.1:1000";
const CALLEE: &str = "203.0.113.1:2000";

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn candidates(texts: &[(CandidateKind, &str)]) -> Candidates {
    let mut candidates = Candidates::new();
    for &(kind, text) in texts {
        candidates.push(kind, address(text)).expect("a candidate");
    }
    candidates
}

fn one(text: &str) -> Candidates {
    candidates(&[(CandidateKind::Reflexive, text)])
}

fn punch(side: Side, own: &Candidates, peer: &Candidates) -> Punch {
    Punch::new(START, side, &SECRET, own, peer)
}

/// What leaves a punch until `end`, alone in the world.
fn alone(punch: &mut Punch, end: Instant) -> Vec<(Instant, SocketAddr, Vec<u8>)> {
    let (mut now, mut sent) = (START, Vec::new());
    loop {
        let mut out = [0; 64];
        while let Some((len, to)) = punch.poll_transmit(now, &mut out) {
            sent.push((now, to, out[..len].to_vec()));
        }
        match punch.poll_timeout() {
            Some(at) if at <= end => now = at.max(now.plus_micros(1)),
            _ => return sent,
        }
    }
}

/// Runs both against each other: what leaves reaches the owner of its address after `delay_us(address)`, and comes from
/// `from(sender)`. Returns when both know, or at `end`.
fn meet(
    punches: &mut [Punch; 2],
    owner: impl Fn(SocketAddr) -> Option<usize>,
    delay_us: impl Fn(SocketAddr) -> u64,
    from: impl Fn(usize, SocketAddr) -> SocketAddr,
) -> [Option<Nominated>; 2] {
    let end = START.plus_micros(5_000_000);
    let (mut now, mut wire) = (START, Vec::<(Instant, usize, SocketAddr, Vec<u8>)>::new());
    while now <= end {
        for (at, punch) in punches.iter_mut().enumerate() {
            let mut out = [0; 64];
            while let Some((len, to)) = punch.poll_transmit(now, &mut out) {
                if let Some(owner) = owner(to) {
                    wire.push((now.plus_micros(delay_us(to)), owner, from(at, to), out[..len].to_vec()));
                }
            }
        }
        now = now.plus_micros(500);
        wire.sort_by_key(|(at, ..)| *at);
        while wire.first().is_some_and(|(at, ..)| *at <= now) {
            let (_, to, from, bytes) = wire.remove(0);
            let _ = punches[to].handle_datagram(now, from, &bytes);
        }
        if punches.iter().all(|punch| punch.nominated().is_some()) {
            break;
        }
    }
    [0, 1].map(|at| punches[at].nominated())
}

#[test]
fn open_way_is_found_by_both_in_a_round_trip() {
    let (own, peer) = (one(CALLER), one(CALLEE));
    let mut punches = [punch(Side::Initiator, &own, &peer), punch(Side::Responder, &peer, &own)];
    let owner = |to: SocketAddr| Some(usize::from(to == address(CALLEE)));
    let from = |sender, _| address([CALLER, CALLEE][sender]);
    let found = meet(&mut punches, owner, |_| 10_000, from).map(Option::unwrap);
    assert_eq!(found.map(|found| found.address), [address(CALLEE), address(CALLER)]);
    assert!(found.iter().all(|found| (20_000..22_000).contains(&found.round_trip_us)), "{found:?}");
    assert_eq!(punches[0].seen(), Some(address(CALLER)));
    assert!(punches.iter().all(|punch| punch.checks_sent() <= 2), "nothing more is checked");
}

#[test]
fn address_that_only_a_check_shows_is_checked_and_taken() {
    // A NAT gives the callee another port towards the caller than the one it told of.
    let (own, peer) = (one(CALLER), one(CALLEE));
    let mut punches = [punch(Side::Initiator, &own, &peer), punch(Side::Responder, &peer, &own)];
    let other = address("203.0.113.1:2999");
    let owner = |to: SocketAddr| {
        if to == address(CALLER) { Some(0) } else { (to == other).then_some(1) }
    };
    let from = |sender, _| if sender == 0 { address(CALLER) } else { other };
    let [found, _] = meet(&mut punches, owner, |_| 10_000, from).map(Option::unwrap);
    assert_eq!((found.address, found.kind), (other, CandidateKind::PeerReflexive));
}

#[test]
fn faster_way_is_taken_and_of_equal_ones_the_one_without_a_nat() {
    let direct = "[2001:db8::2]:2000";
    for (slower_us, expected) in [(0, direct), (2_000, direct), (20_000, CALLEE)] {
        let own =
            candidates(&[(CandidateKind::Host, "[2001:db8:1::1]:1000"), (CandidateKind::Reflexive, CALLER)]);
        let peer = candidates(&[(CandidateKind::Reflexive, CALLEE), (CandidateKind::Host, direct)]);
        let mut punches = [punch(Side::Initiator, &own, &peer), punch(Side::Responder, &peer, &own)];
        let is_of_callee = |to: SocketAddr| to == address(direct) || to == address(CALLEE);
        let delay_us = |to| 20_000 + if to == address(direct) { slower_us } else { 0 };
        let from = |sender, to: SocketAddr| match (sender, to.is_ipv6()) {
            (0, true) => address("[2001:db8:1::1]:1000"),
            (0, false) => address(CALLER),
            (_, true) => address(direct),
            (_, false) => address(CALLEE),
        };
        let [found, _] = meet(&mut punches, |to| Some(usize::from(is_of_callee(to))), delay_us, from);
        assert_eq!(found.map(|found| found.address), Some(address(expected)), "slower by {slower_us} µs");
    }
}

#[test]
fn third_parties_get_at_most_fifty_checks_and_then_nothing() {
    let mut victims = Candidates::new();
    for port in 1..=16 {
        victims.push(CandidateKind::Reflexive, SocketAddr::from(([192, 0, 2, 1], port))).unwrap();
    }
    let mut punch = punch(Side::Responder, &one(CALLEE), &victims);
    let sent = alone(&mut punch, Instant::from_millis(3_600_000));
    assert_eq!(sent.len(), 50);
    assert!(sent.iter().all(|(_, _, bytes)| bytes.len() == Check::LEN));
    let gap = |pair: &[(Instant, SocketAddr, Vec<u8>)]| pair[1].0.micros_since(pair[0].0);
    assert!(sent.windows(2).all(|pair| gap(pair) >= 4_000), "paced");
    let last = sent.last().unwrap().0;
    assert!(last.micros_since(START) < 2_000_000);
    punch.handle_timeout(last.plus_micros(1_000_000));
    assert!(punch.has_failed() && punch.poll_timeout().is_none());
}

#[test]
fn unanswered_candidate_is_left_alone_after_six_checks() {
    let mut punch = punch(Side::Initiator, &one(CALLER), &one(CALLEE));
    let sent = alone(&mut punch, Instant::from_millis(3_600_000));
    let times: Vec<_> = sent.iter().map(|(at, ..)| at.micros_since(START) / 1_000).collect();
    assert_eq!(times, [0, 60, 150, 350, 800, 1_600]);
}

#[test]
fn private_addresses_are_checked_in_one_network_only() {
    let host = candidates(&[(CandidateKind::Host, "192.168.7.2:1"), (CandidateKind::Reflexive, CALLEE)]);
    let far = candidates(&[(CandidateKind::Host, "192.168.1.2:1"), (CandidateKind::Reflexive, CALLER)]);
    let behind_the_same = candidates(&[(CandidateKind::Reflexive, "203.0.113.1:999")]);
    let targets = |own: &Candidates| {
        let mut sent: Vec<_> = alone(&mut punch(Side::Initiator, own, &host), START.plus_micros(50_000))
            .into_iter()
            .map(|(_, to, _)| to)
            .collect();
        sent.dedup();
        sent
    };
    assert_eq!(targets(&far), [address(CALLEE)]);
    assert_eq!(targets(&behind_the_same), [address("192.168.7.2:1"), address(CALLEE)]);
}

#[test]
fn forged_check_is_not_answered_and_changes_nothing() {
    let mut caller = punch(Side::Initiator, &one(CALLER), &one(CALLEE));
    let sent = alone(&mut caller, START);
    let honest = &sent[0].2;
    let stranger =
        Punch::new(START, Side::Initiator, &MeetingSecret::from_bytes([8; 32]), &one(CALLER), &one(CALLEE));
    let strange = alone(&mut stranger.clone(), START)[0].2.clone();
    let mut callee = punch(Side::Responder, &one(CALLEE), &Candidates::new());
    let before = format!("{callee:?}");
    let flips = (0..honest.len() * 8).map(|bit| {
        let mut forged = honest.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        forged
    });
    for forged in flips.chain([strange, vec![], honest[..51].to_vec(), [&honest[..], &[0]].concat()]) {
        assert_eq!(callee.handle_datagram(START, address(CALLER), &forged), Err(Discard::Authentication));
    }
    assert_eq!(caller.handle_datagram(START, address(CALLEE), honest), Err(Discard::Unexpected), "sent back");
    assert_eq!(format!("{callee:?}"), before);
    assert!(callee.poll_transmit(START, &mut [0; 64]).is_none());
    callee.handle_datagram(START, address(CALLER), honest).unwrap();
    let mut out = [0; 64];
    assert_eq!(
        callee.poll_transmit(START, &mut out),
        Some((Check::LEN, address(CALLER))),
        "the honest one is"
    );
}

#[test]
fn check_sent_again_and_again_gets_no_more_than_fifty_answers() {
    let sent = alone(&mut punch(Side::Initiator, &one(CALLER), &one(CALLEE)), START);
    let mut callee = punch(Side::Responder, &one(CALLEE), &Candidates::new());
    let mut answers = 0;
    for port in 1..=1_000 {
        let from = SocketAddr::from(([192, 0, 2, 1], port));
        let _ = callee.handle_datagram(START, from, &sent[0].2);
        let mut out = [0; 64];
        while let Some((len, to)) = callee.poll_transmit(START, &mut out) {
            assert_eq!(len, sent[0].2.len(), "an answer is no longer than what it answers");
            answers += usize::from(to == from && Check::parse(&out[..len]).unwrap().seen.is_some());
        }
    }
    assert_eq!(answers, 50);
}

#[test]
fn answer_from_elsewhere_proves_nothing() {
    let mut caller = punch(Side::Initiator, &one(CALLER), &one(CALLEE));
    let mut callee = punch(Side::Responder, &one(CALLEE), &Candidates::new());
    let check = alone(&mut caller, START)[0].2.clone();
    callee.handle_datagram(START, address(CALLER), &check).unwrap();
    let mut out = [0; 64];
    callee.poll_transmit(START, &mut out).unwrap();
    let answer = &out[..Check::LEN];
    let elsewhere = address("192.0.2.9:9");
    assert_eq!(caller.handle_datagram(START, elsewhere, answer), Err(Discard::Unexpected));
    let later = START.plus_micros(90_000);
    caller.handle_timeout(later);
    assert_eq!(caller.nominated(), None);
    caller.handle_datagram(START, address(CALLEE), answer).unwrap();
    caller.handle_timeout(later);
    assert_eq!(caller.nominated().map(|found| found.address), Some(address(CALLEE)));
}

/// An agent, a callee that answers from `CALLEE` at once when it may, and the clock between them.
struct Scene {
    agent: Agent,
    callee: Option<Punch>,
    now: Instant,
    meetings: u8,
}

impl Scene {
    fn new() -> Self {
        let mut scene = Self { agent: Agent::new(), callee: None, now: START, meetings: 0 };
        scene.meet(false);
        scene
    }

    fn meet(&mut self, is_reachable: bool) {
        self.meetings += 1;
        let secret = MeetingSecret::from_bytes([self.meetings; 32]);
        self.agent.meet(self.now, &secret, &one(CALLER), &one(CALLEE), true);
        let callee = Punch::new(self.now, Side::Responder, &secret, &one(CALLEE), &Candidates::new());
        self.callee = is_reachable.then_some(callee);
    }

    fn exchange(&mut self) {
        let mut out = [0; 64];
        while let Some((len, _)) = self.agent.poll_transmit(self.now, &mut out) {
            let Some(callee) = &mut self.callee else { continue };
            let taken = callee.handle_datagram(self.now, address(CALLER), &out[..len]);
            taken.expect("an honest check");
            while let Some((len, _)) = callee.poll_transmit(self.now, &mut out) {
                let _ = self.agent.handle_datagram(self.now, address(CALLEE), &out[..len]);
            }
        }
    }

    /// The next step and when it comes, within `most_ms`.
    fn step(&mut self, most_ms: u64) -> Option<(u64, Step)> {
        let (from, end) = (self.now, self.now.plus_micros(most_ms * 1_000));
        while self.now <= end {
            self.exchange();
            if let Some(step) = self.agent.poll_step(self.now) {
                return Some((self.now.micros_since(from) / 1_000, step));
            }
            self.now = self.now.plus_micros(1_000);
        }
        None
    }

    fn tell(&mut self, event: Event, used: u8) {
        self.agent.on_event(self.now, &event, PathId(used));
    }
}

const DIRECT: fn() -> Via = || Via::Direct(address(CALLEE));

#[test]
fn relay_is_called_after_a_quarter_of_a_second_and_direct_is_opened_when_found() {
    let mut scene = Scene::new();
    assert_eq!(scene.step(1_000), Some((250, Step::Begin(Via::Relay))));
    scene.agent.on_established(scene.now);
    assert_eq!(scene.agent.in_use(), Some(Via::Relay));
    // Nothing was found: direct is tried again after 5 s, then ever less often.
    let mut waits = Vec::new();
    for _ in 0..4 {
        let (after_ms, step) = scene.step(100_000).unwrap();
        assert_eq!(step, Step::Introduce);
        scene.meet(false);
        waits.push(after_ms / 1_000);
    }
    assert_eq!(waits, [7, 12, 22, 42]);
    scene.meet(true);
    assert!(matches!(scene.step(100), Some((_, Step::Open { path: PathId(1), via })) if via == DIRECT()));
    scene.tell(Event::PathProven(PathId(1)), 0);
    assert_eq!(scene.step(0), Some((0, Step::Use(PathId(1)))));
    assert_eq!(scene.agent.in_use(), Some(DIRECT()));
    assert_eq!(scene.step(200_000), None, "nothing is left to be wished for");
}

#[test]
fn direct_way_that_is_found_first_is_called_and_the_relay_kept_ready() {
    let mut scene = Scene::new();
    scene.meet(true);
    assert!(matches!(scene.step(100), Some((0..10, Step::Begin(via))) if via == DIRECT()));
    scene.agent.on_established(scene.now);
    assert_eq!(scene.step(2_000), Some((1_000, Step::Open { path: PathId(1), via: Via::Relay })));
    scene.tell(Event::PathProven(PathId(1)), 0);
    // It falls silent: the session has gone over to the relay, and direct is looked for every 5 s and what a search takes.
    scene.tell(Event::PathSilent(PathId(0)), 1);
    assert_eq!(scene.agent.in_use(), Some(Via::Relay));
    assert_eq!(scene.step(0), Some((0, Step::Introduce)));
    scene.meet(false);
    scene.tell(Event::PathFailed(PathId(0)), 1);
    for _ in 0..5 {
        let (after_ms, step) = scene.step(20_000).unwrap();
        assert_eq!(step, Step::Introduce);
        assert!(after_ms <= 8_000, "{after_ms} ms");
        scene.meet(false);
    }
    scene.meet(true);
    assert!(matches!(scene.step(100), Some((_, Step::Open { path: PathId(2), .. }))));
    scene.tell(Event::PathProven(PathId(2)), 1);
    assert_eq!(scene.step(0), Some((0, Step::Use(PathId(2)))));
}

#[test]
fn direct_way_wins_over_a_relay_that_has_not_answered_yet() {
    let mut scene = Scene::new();
    assert!(matches!(scene.step(1_000), Some((250, Step::Begin(Via::Relay)))));
    scene.meet(true);
    assert!(matches!(scene.step(100), Some((_, Step::Begin(via))) if via == DIRECT()));
    // And if nobody answers there after all, the relay is called again.
    assert_eq!(scene.step(3_000), Some((1_000, Step::Begin(Via::Relay))));
    scene.agent.on_established(scene.now);
    assert_eq!(scene.agent.in_use(), Some(Via::Relay));
    assert!(scene.step(6_000).is_some_and(|(_, step)| step == Step::Introduce));
}

#[test]
fn path_that_the_session_has_no_room_for_yet_is_opened_again() {
    let mut scene = Scene::new();
    assert!(matches!(scene.step(1_000), Some((250, Step::Begin(Via::Relay)))));
    scene.agent.on_established(scene.now);
    scene.meet(true);
    let Some((_, Step::Open { path, .. })) = scene.step(100) else { panic!("it is found") };
    scene.agent.on_not_opened(scene.now, path);
    let again = scene.step(1_000);
    assert!(matches!(again, Some((50, Step::Open { via, .. })) if via == DIRECT()), "{again:?}");
}

#[test]
fn direct_way_that_comes_back_by_itself_is_used_again() {
    let mut scene = Scene::new();
    scene.meet(true);
    scene.step(100);
    scene.agent.on_established(scene.now);
    scene.step(2_000);
    scene.tell(Event::PathProven(PathId(1)), 0);
    scene.tell(Event::PathSilent(PathId(0)), 1);
    assert_eq!(scene.step(0), Some((0, Step::Introduce)));
    scene.tell(Event::PathProven(PathId(0)), 1);
    assert_eq!(scene.step(0), Some((0, Step::Use(PathId(0)))));
}
