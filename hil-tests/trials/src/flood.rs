//! Hostile datagrams by the million at one live session, none of which is worth an answer.
//!
//! [`unmoved`] plays the same session twice, once under the flood: whatever both ends send, show and take must be the
//! same to the last byte, so nothing but counters has changed. [`beside`] measures the work of a session at 50 Mbit/s
//! with and without a steady flood. Handshakes that somebody could have begun are left to [`crate::injector`]: those
//! cost places, which are bounded.

use core::time::Duration;
use std::collections::BTreeMap;

use rift::{Config, Discard, Ecn, Instant};
use rift_sim::peer::{Pair, PairConfig, Peer, Repertoire, Typist};
use rift_sim::{Captured, LinkConfig, NodeId, Random, Rate, Time};

/// How long the session under the flood is, and how often the flood comes over it.
const SESSION: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(5);
/// The attacker's address. Nothing that is sent there arrives anywhere.
const ATTACKER: NodeId = NodeId(9_999);
/// What is older than this has arrived.
const ARRIVED: Duration = Duration::from_millis(100);
/// Bits per second of the session beside which work is measured.
pub const BESIDE_BPS: u32 = 50_000_000;

/// What kinds of datagram there are.
const KINDS: [&str; 6] = ["random", "truncated", "replayed", "flipped", "foreign", "forged"];

/// What a flood came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flooded {
    /// Datagrams by kind.
    pub kinds: BTreeMap<&'static str, u64>,
    /// What became of them.
    pub discards: BTreeMap<String, u64>,
    /// Pictures shown meanwhile.
    pub pictures: usize,
    /// Input events taken meanwhile.
    pub inputs: usize,
}

/// What a session at [`BESIDE_BPS`] needs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Beside {
    /// Share of one core for both ends of the session and the network between them.
    pub quiet: f64,
    /// The same with the flood.
    pub flooded: f64,
    /// Megabits per second that the client received, without and with the flood.
    pub mbps: [f64; 2],
    /// Input events sent and taken under the flood, if they are the same.
    pub inputs: Option<usize>,
}

fn link() -> LinkConfig {
    LinkConfig {
        delay: Duration::from_millis(10),
        rate: Rate::Constant(200_000_000),
        ..LinkConfig::default()
    }
}

fn pair(seed: u64, bitrate_bps: u32, pictures_per_second: u32) -> Pair {
    let session =
        Config { bitrate_bps_start: bitrate_bps, bitrate_bps_max: bitrate_bps, ..Config::default() };
    let mut pair = Pair::new(&PairConfig { session, pictures_per_second, ..PairConfig::new(seed, link()) });
    let start = Pair::CLIENT_CLOCK.local(Time::from_millis(200));
    let typist = Typist::new(Random::new(seed), Repertoire::Presses, u64::MAX >> 1, 8_000, start);
    pair.network.act(pair.client, |peer: &mut Peer, _| peer.client_mut().typist = Some(typist));
    pair.network.record();
    pair.network.run_until(Time::from_millis(1_000));
    pair
}

/// Makes hostile datagrams out of what was heard.
#[derive(Debug)]
struct Attacker {
    random: Random,
    /// Datagrams of a session with other keys.
    foreign: Vec<Vec<u8>>,
    buffer: Vec<u8>,
}

impl Attacker {
    fn new(seed: u64) -> Self {
        let elsewhere = pair(seed ^ 0xf0, 4_000_000, 30);
        let foreign = elsewhere.network.captured().iter().map(|sent| sent.bytes.clone());
        Self { random: Random::new(seed).fork(7), foreign: foreign.collect(), buffer: Vec::new() }
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.random.below(end as u64)).unwrap_or(0)
    }

    /// The next datagram, in [`Self::buffer`], out of what was heard on this way. Returns its kind.
    fn make(&mut self, heard: &[&Captured]) -> usize {
        let kind = self.below(KINDS.len());
        let one = heard[self.below(heard.len())];
        self.buffer.clear();
        match kind {
            0 => {
                let len = self.below(128) * self.below(12);
                self.buffer.resize(len, 0);
                self.random.fill(&mut self.buffer);
                // Any kind but a first flight, which could only be made with the host's key anyway.
            }
            1 => {
                let len = self.below(one.bytes.len());
                self.buffer.extend_from_slice(&one.bytes[..len]);
            }
            2 => self.buffer.extend_from_slice(&one.bytes),
            3 => {
                self.buffer.extend_from_slice(&one.bytes);
                let bit = self.below(one.bytes.len() * 8);
                self.buffer[bit / 8] ^= 1 << (bit % 8);
            }
            4 => {
                let other = self.below(self.foreign.len());
                self.buffer.extend_from_slice(&self.foreign[other]);
                if self.random.chance(0.5) && self.buffer.len() > 5 {
                    self.buffer[..5].copy_from_slice(&one.bytes[..5]);
                }
            }
            _ => {
                let len = 25 + self.below(200);
                self.buffer.resize(len, 0);
                self.random.fill(&mut self.buffer);
                self.buffer[..5].copy_from_slice(&one.bytes[..5]);
            }
        }
        kind
    }
}

/// Packets, the newest of which have arrived; what begins a session is left out.
fn heard(captured: &[Captured], from: NodeId, now: Time) -> Vec<&Captured> {
    let is_packet = |sent: &&Captured| sent.bytes.first().is_some_and(|first| first & 0xc0 == 0x40);
    let old = captured.iter().filter(|sent| sent.at + ARRIVED < now && sent.from == from);
    old.filter(is_packet).collect()
}

/// Sends `count` datagrams to one end; tells `told` what became of each.
fn flood(
    pair: &mut Pair,
    attacker: &mut Attacker,
    to_host: bool,
    count: u64,
    mut told: impl FnMut(usize, Option<Discard>),
) {
    let from = if to_host { pair.client } else { pair.host };
    let heard: Vec<Captured> = heard(pair.network.captured(), from, pair.network.now())
        .into_iter()
        .rev()
        .take(512)
        .cloned()
        .collect();
    let heard: Vec<&Captured> = heard.iter().collect();
    let node = if to_host { pair.host } else { pair.client };
    pair.network.act(node, |peer, now: Instant| {
        for _ in 0..count {
            let kind = attacker.make(&heard);
            let result = match peer {
                Peer::Host(host) => host.receive(now, ATTACKER, Ecn::NotEct, &mut attacker.buffer),
                Peer::Client(client) => client.receive(now, node, Ecn::NotEct, &mut attacker.buffer),
            };
            told(kind, result.err());
        }
    });
}

/// Plays a session twice, once under `datagrams` hostile ones.
///
/// # Errors
/// What was different.
pub fn unmoved(seed: u64, datagrams: u64) -> Result<Flooded, String> {
    let (mut quiet, mut flooded) = (pair(seed, 4_000_000, 30), pair(seed, 4_000_000, 30));
    let mut attacker = Attacker::new(seed);
    let mut result = Flooded::default();
    let mut kinds = [0; KINDS.len()];
    let mut discards: Vec<(Option<Discard>, u64)> = Vec::new();
    let steps = SESSION.as_micros() / STEP.as_micros();
    let steps = u64::try_from(steps).unwrap_or(1);
    for step in 0..steps {
        let count = datagrams * (step + 1) / steps - datagrams * step / steps;
        let to_client = count / 4;
        for (to_host, count) in [(true, count - to_client), (false, to_client)] {
            flood(&mut flooded, &mut attacker, to_host, count, |kind, discard| {
                kinds[kind] += 1;
                match discards.iter_mut().find(|(known, _)| *known == discard) {
                    Some((_, count)) => *count += 1,
                    None => discards.push((discard, 1)),
                }
            });
        }
        quiet.network.run_for(STEP);
        flooded.network.run_for(STEP);
    }
    result.kinds = KINDS.into_iter().zip(kinds).collect();
    let word = |discard: Option<Discard>| discard.map_or("answered".to_owned(), |why| format!("{why:?}"));
    result.discards = discards.into_iter().map(|(discard, count)| (word(discard), count)).collect();
    result.pictures = flooded.client().shown.len();
    result.inputs = flooded.host().guests[0].input.len();
    same(&quiet, &flooded)?;
    Ok(result)
}

/// Both sessions did the same.
fn same(quiet: &Pair, flooded: &Pair) -> Result<(), String> {
    let honest = |pair: &Pair| -> Vec<Captured> {
        pair.network.captured().iter().filter(|sent| sent.to != ATTACKER).cloned().collect()
    };
    let (one, other) = (honest(quiet), honest(flooded));
    if let Some(at) = (0..one.len().max(other.len())).find(|&at| one.get(at) != other.get(at)) {
        let at_ms = one.get(at).map(|sent| sent.at.as_secs_f64() * 1e3);
        return Err(format!("datagram {at} of {} differs, sent at {at_ms:?} ms", one.len()));
    }
    let same = quiet.client().shown == flooded.client().shown
        && quiet.client().events == flooded.client().events
        && quiet.client().control == flooded.client().control
        && quiet.host().guests.len() == flooded.host().guests.len()
        && quiet.host().guests[0].input == flooded.host().guests[0].input
        && quiet.host().guests[0].events == flooded.host().guests[0].events;
    if same { Ok(()) } else { Err("the ends sent the same and did something else".to_owned()) }
}

/// Measures a session of `seconds` with and without `per_second` hostile datagrams, three quarters of them at the
/// host. `work` tells how long this thread has worked so far.
#[must_use]
pub fn beside(seed: u64, seconds: u64, per_second: u64, work: impl Fn() -> Duration) -> Beside {
    const STEPS_PER_SECOND: u64 = 500;
    let mut result = Beside::default();
    for (index, per_second) in [0, per_second].into_iter().enumerate() {
        let mut pair = pair(seed, BESIDE_BPS, 120);
        let mut attacker = Attacker::new(seed);
        let now = |pair: &Pair| pair.network.local(pair.client);
        let before = pair.client().session().stats(now(&pair)).bytes_received;
        let begun = work();
        for _ in 0..seconds * STEPS_PER_SECOND {
            let count = per_second / STEPS_PER_SECOND;
            if count > 0 {
                flood(&mut pair, &mut attacker, true, count - count / 4, |_, _| {});
                flood(&mut pair, &mut attacker, false, count / 4, |_, _| {});
            }
            pair.network.run_for(Duration::from_micros(1_000_000 / STEPS_PER_SECOND));
        }
        let share = (work() - begun).as_secs_f64() / seconds as f64;
        let received = pair.client().session().stats(now(&pair)).bytes_received - before;
        result.mbps[index] = received as f64 * 8.0 / 1e6 / seconds as f64;
        if index == 0 {
            result.quiet = share
        } else {
            result.flooded = share
        }
        result.inputs = exact(&mut pair);
    }
    result
}

/// How many events were taken, if they are exactly those that were sent.
fn exact(pair: &mut Pair) -> Option<usize> {
    let client = pair.client;
    let sent = pair.client().typist.as_ref()?.sent().to_vec();
    pair.network.act(client, |peer, _| peer.client_mut().typist = None);
    pair.network.run_for(Duration::from_millis(300));
    let got: Vec<_> = pair.host().guests[0].input.iter().map(|&(_, event)| event).collect();
    // What was held when the typing stopped may have been released for silence.
    (got.len() >= sent.len() && got[..sent.len()] == sent[..]).then_some(sent.len())
}
