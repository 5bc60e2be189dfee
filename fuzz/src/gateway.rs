//! Anything to a gateway (SPEC §18.3): what devices say in any order, whatever storage answers, and datagrams of strangers.
//!
//! What has to hold: two are introduced only if both have enrolled and the one that is called has said so; who has not
//! enrolled learns of nobody; strangers' sessions are bounded; strangers' datagrams are answered with no more than they
//! sent, but for STUN's few bytes, and open no session.

use core::net::SocketAddr;
use std::collections::{BTreeMap, BTreeSet};

use rift::paths::{CandidateKind, Candidates};
use rift::wire::signal::{EnrolmentToken, Signal, SignalReason};
use rift::{Ecn, Identity, Instant, PublicKey, SessionIndex};
use wavry_gateway::state::limits::{GRANTS_MAX, STRANGERS_MAX, STUN_BURST};
use wavry_gateway::state::{Effect, Gateway, Registry};

use crate::bytes::{Bytes, Script};
use crate::pair::START;
use crate::seeds::Seed;

/// Devices that there are; sessions are as many as may be strangers, and some.
const DEVICES: u8 = 8;
const SESSIONS: u8 = 96;
/// What one message of a device's may cause.
const EFFECTS_MAX: usize = 8;
/// What a STUN answer may be longer than its request.
const STUN_MORE: usize = 24;

/// Does what the bytes say; see the module.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    if bytes.flag() { strangers(&mut bytes) } else { Play::default().run(&mut bytes) }
}

fn key(number: u8) -> PublicKey {
    // No real key costs a multiplication here, and none of these has small order.
    PublicKey::from_bytes([number % DEVICES + 10; 32])
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, last], 4000))
}

/// What a gateway has to know, kept beside it in the plainest way.
#[derive(Default)]
struct Play {
    registry: Registry,
    now: Instant,
    /// Who is at each session.
    at: BTreeMap<SessionIndex, PublicKey>,
    enrolled: BTreeSet<PublicKey>,
    /// Host and client.
    grants: BTreeSet<(PublicKey, PublicKey)>,
    redeeming: Vec<(SessionIndex, PublicKey)>,
    /// Hosts that let everybody be introduced while they pair (SPEC §18.11), and whether the list that one is telling says so.
    pairing: BTreeSet<SessionIndex>,
    listing: BTreeMap<SessionIndex, bool>,
    drawn: u64,
}

impl Play {
    fn run(mut self, bytes: &mut Bytes<'_>) {
        self.now = START;
        while !bytes.is_empty() {
            let session = SessionIndex(u16::from(bytes.u8() % SESSIONS));
            match bytes.u8() % 8 {
                0 => {
                    let key = key(bytes.u8());
                    self.leave(session);
                    self.at.insert(session, key);
                    self.registry.connect(self.now, session, key, address(bytes.u8()));
                }
                1 => {
                    self.leave(session);
                    self.registry.disconnect(session);
                }
                2 => self.registry.moved(session, address(bytes.u8())),
                3 => {
                    self.now = self.now.plus_micros(u64::from(bytes.u16()) * 1_000);
                    self.registry.handle_timeout(self.now);
                }
                4 => self.redeem(bytes),
                _ => {
                    let said = self.say(session, bytes);
                    let refused = self.effects();
                    if let Some(said) = said {
                        self.pair(session, &said, refused);
                    }
                    self.check();
                    continue;
                }
            }
            self.effects();
            self.check();
        }
    }

    fn redeem(&mut self, bytes: &mut Bytes<'_>) {
        let Some((session, key)) = self.redeeming.pop() else { return };
        let outcome = bytes.flag().then(|| "a device".try_into().expect("it fits"));
        if outcome.is_some() {
            self.enrolled.insert(key);
        }
        self.registry.on_redeemed(session, key, outcome);
    }

    /// A session is over.
    fn leave(&mut self, session: SessionIndex) {
        self.at.remove(&session);
        self.pairing.remove(&session);
        self.listing.remove(&session);
    }

    /// A host that names itself pairs.
    fn pair(&mut self, session: SessionIndex, said: &Signal, refused: Option<SignalReason>) {
        let Some(&me) = self.at.get(&session).filter(|key| self.enrolled.contains(*key)) else { return };
        let pairs = match (said, refused) {
            (Signal::Grant { peer, may }, None) if *peer == me => *may,
            (Signal::Grants(page), None) => {
                if page.is_first {
                    self.listing.insert(session, false);
                }
                let Some(pairs) = self.listing.get_mut(&session) else { return };
                *pairs |= page.keys.contains(&me);
                if !page.is_last {
                    return;
                }
                self.listing.remove(&session).unwrap_or_default()
            }
            (Signal::Grants(_), Some(SignalReason::Full)) => {
                self.listing.remove(&session);
                return;
            }
            _ => return,
        };
        if pairs {
            self.pairing.insert(session);
        } else {
            self.pairing.remove(&session);
        }
    }

    /// Whether `client` may be introduced to `host`.
    fn lets(&self, host: PublicKey, client: PublicKey) -> bool {
        self.grants.contains(&(host, client))
            || self.pairing.iter().any(|session| self.at.get(session) == Some(&host))
    }

    /// What was said, if anything.
    fn say(&mut self, session: SessionIndex, bytes: &mut Bytes<'_>) -> Option<Signal> {
        let peer = key(bytes.u8());
        let mut candidates = Candidates::new();
        let _ = candidates.push(CandidateKind::Host, address(bytes.u8()));
        let signal = match bytes.u8() % 7 {
            0 => Signal::Enrol { token: EnrolmentToken([1; 16]), name: "x".try_into().expect("it fits") },
            1 => Signal::Present { is_host: bytes.flag(), candidates },
            2 => Signal::LookUp { peer },
            3 => Signal::Introduce { request: 1 + u16::from(bytes.u8()), peer, candidates },
            4 => Signal::Grant { peer, may: bytes.flag() },
            // Any message at all, also what only a gateway says.
            _ => {
                let kind = bytes.u8();
                Signal::parse(kind, bytes.run(400))?
            }
        };
        self.drawn += 1;
        let mut entropy = [0; 32];
        entropy[..8].copy_from_slice(&self.drawn.to_be_bytes());
        self.registry.hear(self.now, session, signal.clone(), entropy);
        Some(signal)
    }

    /// What the registry wants is what it may want. Says why it refused something, if it did.
    fn effects(&mut self) -> Option<SignalReason> {
        let (mut introduced, mut count, mut stored) = (Vec::new(), 0, 0);
        let mut refused = None;
        while let Some(effect) = self.registry.poll_effect() {
            // A list of grants changes each of those it names and each of those before.
            count += usize::from(!matches!(effect, Effect::Store(_)));
            // A minute may end every stranger at once.
            assert!(count <= EFFECTS_MAX + usize::from(SESSIONS), "it wants more and more");
            match effect {
                Effect::Say(session, signal) => {
                    if let Signal::Refused { reason, .. } = signal {
                        refused = Some(reason);
                    }
                    self.said(session, signal, &mut introduced);
                }
                Effect::Close(session) => {
                    self.leave(session);
                    self.registry.disconnect(session);
                }
                Effect::Redeem { session, key, .. } => {
                    assert_eq!(self.at.get(&session), Some(&key), "somebody else's token");
                    self.redeeming.push((session, key));
                }
                Effect::Store(change) => {
                    stored += 1;
                    assert!(stored <= 2 * GRANTS_MAX, "it stores more and more");
                    assert!(self.enrolled.contains(&change.host), "a stranger decides");
                    let pair = (change.host, change.client);
                    let is_news =
                        if change.may { self.grants.insert(pair) } else { self.grants.remove(&pair) };
                    assert!(is_news, "what is known is stored again");
                }
                Effect::Lend(_, relay) => panic!("nobody named {relay:?}"),
            }
        }
        assert!(introduced.len() == 2 || introduced.is_empty(), "an introduction has two sides");
        refused
    }

    fn said(&self, session: SessionIndex, signal: Signal, introduced: &mut Vec<PublicKey>) {
        let Some(me) = self.at.get(&session).copied() else { return };
        match signal {
            Signal::Introduction(introduction) => {
                let pair = if introduction.calls { (introduction.peer, me) } else { (me, introduction.peer) };
                assert!(self.lets(pair.0, pair.1), "introduced without a grant");
                assert!(self.enrolled.contains(&pair.0) && self.enrolled.contains(&pair.1), "a stranger");
                introduced.push(me);
            }
            Signal::Found { peer, is_present: true } => {
                assert!(self.enrolled.contains(&me) && self.lets(peer, me), "told of {peer}");
                assert!(self.at.values().any(|key| *key == peer), "told of one who is not there");
            }
            Signal::Welcome { is_enrolled, .. } => assert_eq!(is_enrolled, self.enrolled.contains(&me)),
            Signal::Refused { .. } | Signal::Found { .. } => {}
            other @ (Signal::Enrol { .. }
            | Signal::Present { .. }
            | Signal::LookUp { .. }
            | Signal::Introduce { .. }
            | Signal::Grant { .. }
            | Signal::Path { .. }
            | Signal::Measured(_)
            | Signal::Beat(_)
            | Signal::Grants(_)
            | Signal::Relays(_)
            | Signal::LeaseKeys(_)
            | Signal::Lease(_)) => panic!("a gateway does not say {other:?}"),
        }
    }

    fn check(&self) {
        assert_eq!(self.registry.devices(), self.enrolled.len(), "devices");
        let strangers: BTreeSet<_> = self.at.values().filter(|key| !self.enrolled.contains(key)).collect();
        assert!(strangers.len() <= STRANGERS_MAX, "{} strangers", strangers.len());
        let keys: Vec<_> = self.at.values().filter(|key| self.enrolled.contains(key)).collect();
        assert_eq!(self.registry.present(), keys.iter().collect::<BTreeSet<_>>().len(), "who is there");
    }
}

/// Datagrams of nobody's, from a few addresses.
fn strangers(bytes: &mut Bytes<'_>) {
    let mut drawn = 0u64;
    let entropy = move || {
        drawn += 1;
        let mut entropy = [3; 32];
        entropy[..8].copy_from_slice(&drawn.to_be_bytes());
        entropy
    };
    let identity = Identity::from_secret([77; 32]);
    let mut gateway = Gateway::new(identity, [5; 32], 1_700_000_000_000_000, Registry::default(), entropy);
    let (mut now, mut received, mut sent) = (START, [0usize; 8], [0usize; 8]);
    let mut out = [0; 2048];
    while !bytes.is_empty() {
        now = now.plus_micros(u64::from(bytes.u8()) * 100);
        let from = bytes.below(8);
        let mut datagram = bytes.run(1_400).to_vec();
        received[from] += datagram.len();
        gateway.handle_datagram(now, address(from as u8), Ecn::NotEct, &mut datagram);
        gateway.handle_timeout(now);
        while let Some((len, to)) = gateway.poll_transmit(now, &mut out) {
            let at = (0..8).find(|&at| address(at as u8) == to).expect("it answers who asked");
            sent[at] += len;
        }
        assert!(gateway.poll_request().is_none(), "storage works for strangers");
        assert_eq!(gateway.counters().sessions, 0, "a session for nobody");
    }
    let elapsed_us = now.micros_since(START) as usize;
    let stun = STUN_MORE * (STUN_BURST as usize + elapsed_us / 5_000 + 1);
    let (received, sent): (usize, usize) = (received.iter().sum(), sent.iter().sum());
    assert!(sent <= received + stun, "{sent} bytes answer {received}");
}

/// Inputs for a fuzzer to start from.
#[must_use]
pub fn seeds() -> Vec<Seed> {
    let enrol = |script: Script, session: u8| {
        script.u8(session).u8(0).u8(session).u8(session).u8(session).u8(5).u8(0).u8(0).u8(0).u8(0).u8(4).u8(1)
    };
    let home = enrol(enrol(Script::default().u8(0), 1), 2);
    let home = home.u8(1).u8(5).u8(0).u8(9).u8(1).u8(1).u8(1).u8(5).u8(2).u8(9).u8(4).u8(1);
    let met = home.clone().u8(2).u8(5).u8(1).u8(9).u8(2).u8(2).u8(5).u8(1).u8(9).u8(3).u8(7);
    let gone = met.clone().u8(1).u8(1).u8(2).u8(5).u8(1).u8(9).u8(3).u8(8).u8(2).u8(5).u8(1).u8(9).u8(2);
    let crowd = (0..90).fold(Script::default().u8(0), |script, at| script.u8(at).u8(0).u8(at).u8(at));
    let crowd = crowd.u8(0).u8(3).u8(200).u8(0);
    let mut request = [0; 128];
    let len = rift::wire::stun::write_request(&[3; 12], &mut request).expect("it fits");
    let mut call = vec![0x10; 1_200];
    call[1..5].copy_from_slice(&[0, 0, 0, 9]);
    let strange = Script::default().u8(1).u8(9).u8(1).run(&request[..len]).u8(9).u8(2).run(&call);
    [("home", home), ("met", met), ("gone", gone), ("crowd", crowd), ("strange", strange)]
        .map(|(name, script)| ("gateway", name.into(), script.into_bytes()))
        .into()
}
