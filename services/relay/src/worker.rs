//! One thread of a relay: its socket, and everybody's leases.

use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use rift::paths::relay::RELAY_ID_LEN;
use rift::wire::bind::{BIND_LEN_MAX, BindBody, BindMessage};
use rift::wire::fleet::LeaseKeys;
use rift::wire::relay::{ENVELOPE_FIRST, ENVELOPE_LEN};
use rift::wire::{Kind, stun};
use rift::{Class, Ecn, Instant, PathId, PublicKey, Transmit};
use rift_ebpf::{Bound, Forwarder, Terms};
use rift_mio::{Clock, DedicatedSocket, Destination, Received, Sender, Socket};
use rift_paseto::Verifier;

use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::state::{Cause, Onward, PACKET_LEN_MAX, Relay, Tokens, Verdict, tag_of};

/// How long a thread sleeps at most.
const IDLE: Duration = Duration::from_millis(100);
/// How long it does while packets wait that their leases do not allow yet.
const KEPT_MS: u16 = 1;
/// Of one turn in so many it is measured how long its packets were here: the kernel's note of each packet's arrival costs as
/// much as a tenth of taking it.
const MEASURED_EACH: u64 = 16;
/// Full turns after which what was kept has waited long enough.
const FULL_TURNS: usize = 2;

/// What all threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) shards: Box<[Mutex<Relay>]>,
    /// Which of them have packets that wait, or have dropped some: so that nobody has to ask each.
    pub(crate) keeps: Box<[AtomicBool]>,
    pub(crate) tokens: Trusted,
    pub(crate) metrics: Metrics,
    /// Where the sockets are; which of the machine's addresses a packet came to is only told where that is any.
    pub(crate) address: SocketAddr,
    /// Sends on inside the kernel what it is told of.
    pub(crate) forwarder: Option<Mutex<Forwarder>>,
    /// How often each thread has looked for packets: one that stands still is stuck.
    pub(crate) turns: Box<[AtomicU64]>,
    /// Told to end.
    pub(crate) stop: AtomicBool,
    /// Takes no new leases.
    pub(crate) drains: AtomicBool,
    /// Seconds of Unix time, kept by the thread that waits for signals.
    pub(crate) unix_s: AtomicU64,
}

impl Shared {
    pub(crate) fn is_ready(&self) -> bool {
        !self.drains.load(Ordering::Relaxed) && !self.stop.load(Ordering::Relaxed)
    }

    fn shard(&self, place: usize) -> MutexGuard<'_, Relay> {
        // A thread that panicked has left a relay that forwards as before.
        self.shards[place].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A peer is where it says, perhaps elsewhere than before.
    fn tell_forwarder(&self, tag: u64) {
        let Some(forwarder) = &self.forwarder else { return };
        // Held until it is told, so that a lease that ends meanwhile is removed after that.
        let shard = self.shard(self.place_of(tag));
        let Some(way) = shard.way(tag) else { return };
        let own = Some(self.address.ip()).filter(|ip| !ip.is_unspecified());
        let bound = |onward: Onward| Some(Bound { at: onward.to, local: onward.source.or(own)? });
        let [Some(caller), Some(callee)] = way.peers.map(bound) else { return };
        let left_s = way.expires_s.saturating_sub(self.unix_s());
        let terms = Terms { left_s, bytes_per_s: way.bytes_per_s, burst: way.burst };
        let mut forwarder = forwarder.lock().unwrap_or_else(PoisonError::into_inner);
        if !forwarder.put(tag.to_be_bytes(), [caller, callee], terms) {
            tracing::debug!("the kernel has no room for a lease, whose packets go by sockets");
        }
    }

    /// What is to be done several times a second: leases end, and their figures are taken. Returns those there are.
    pub(crate) fn tend(&self) -> usize {
        let mut leases = 0;
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.sweep(self.unix_s(), |tag| {
                if let Some(forwarder) = &self.forwarder {
                    forwarder.lock().unwrap_or_else(PoisonError::into_inner).remove(tag.to_be_bytes());
                }
            });
            leases += shard.len();
        }
        if let Some(forwarder) = &self.forwarder {
            let counters = forwarder.lock().unwrap_or_else(PoisonError::into_inner).counters();
            self.metrics.set_kernel(counters);
        }
        leases
    }

    /// The tags are random, so any of their bits will do.
    const fn place_of(&self, tag: u64) -> usize {
        (tag % self.shards.len() as u64) as usize
    }

    /// Packets that came at `since` have been sent on, if that was asked.
    pub(crate) fn resided(&self, packets: usize, since: Option<Instant>) {
        if let Some(since) = since {
            self.metrics.resided(packets, Clock::new().now().micros_since(since));
        }
    }

    fn unix_s(&self) -> u64 {
        self.unix_s.load(Ordering::Relaxed)
    }
}

/// Leases that a gateway has signed.
#[derive(Debug)]
pub(crate) struct Trusted {
    relay: [u8; RELAY_ID_LEN],
    /// The operator's choice.
    fixed: Vec<[u8; 32]>,
    /// What gateways have told, by their keys.
    told: Mutex<BTreeMap<PublicKey, LeaseKeys>>,
    verifier: RwLock<Verifier>,
}

impl Trusted {
    /// These keys; `None` if one of them is none.
    pub(crate) fn new(relay: [u8; RELAY_ID_LEN], fixed: Vec<[u8; 32]>) -> Option<Self> {
        let verifier = RwLock::new(Verifier::new(relay, &fixed).ok()?);
        Some(Self { relay, fixed, told: Mutex::default(), verifier })
    }

    /// A gateway has told its keys, which take the place of those it told before.
    pub(crate) fn learn(&self, gateway: PublicKey, keys: &LeaseKeys) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.get(&gateway) == Some(keys) {
            return;
        }
        told.insert(gateway, keys.clone());
        let all: Vec<_> = self.fixed.iter().chain(told.values().flatten()).copied().collect();
        match Verifier::new(self.relay, &all) {
            Ok(verifier) => *self.verifier.write().unwrap_or_else(PoisonError::into_inner) = verifier,
            Err(_) => tracing::warn!("a gateway told a key that is none; the keys stay what they were"),
        }
    }
}

impl Tokens for Trusted {
    fn verify(&self, token: &[u8], unix_s: u64) -> Option<rift::paths::relay::LeaseTerms> {
        let verifier = self.verifier.read().unwrap_or_else(PoisonError::into_inner);
        let verified = verifier.verify(token, unix_s);
        verified.inspect_err(|error| tracing::debug!(%error, "a token was refused")).ok()
    }
}

/// Serves a socket until it is told to stop, as this one of the threads.
pub(crate) fn work(shared: &Shared, socket: Socket, number: usize) -> io::Result<()> {
    let mut socket = DedicatedSocket::new(socket, IDLE)?;
    let clock = Clock::new();
    let mut outbox = Outbox::new();
    let (mut has_kept, mut full_turns, mut turn) = (false, 0, 0_u64);
    while !shared.stop.load(Ordering::Relaxed) {
        turn = turn.wrapping_add(1);
        let is_measured = turn % MEASURED_EACH == 0;
        socket.tell_arrivals(is_measured)?;
        let take = |sender: &mut Sender, received: Received<'_>| {
            let now = if is_measured { clock.now() } else { received.received_at };
            serve(shared, (now, is_measured), sender, &mut outbox, received);
        };
        let taken = if has_kept {
            socket.wait_shortly_and_answer(KEPT_MS, take)?
        } else {
            socket.wait_and_answer(take)?
        };
        shared.turns[number].fetch_add(1, Ordering::Relaxed);
        // What comes next may go along with what came last, and is there already.
        if taken == DedicatedSocket::BATCHES && full_turns < FULL_TURNS {
            full_turns += 1;
            continue;
        }
        full_turns = 0;
        outbox.flush(shared, socket.sender());
        has_kept = send_kept(shared, &clock, socket.sender());
    }
    Ok(())
}

/// Everything that came at once from one address.
fn serve(
    shared: &Shared,
    (now, is_measured): (Instant, bool),
    sender: &mut Sender,
    outbox: &mut Outbox,
    received: Received<'_>,
) {
    let Received { from, local, received_at, ecn, bytes, stride } = received;
    let since = is_measured.then_some(received_at);
    let mut rest = &*bytes;
    while let Some(&first) = rest.first() {
        let one = &rest[..stride.min(rest.len())];
        if first != ENVELOPE_FIRST {
            if BindMessage::is_kind(first) {
                bind(shared, now, sender, (from, local), one);
            } else if Kind::of(first) == Some(Kind::Stun) {
                stun(shared, sender, (from, local), one);
            } else {
                shared.metrics.dropped(Cause::Malformed, 1);
            }
            rest = &rest[one.len()..];
            continue;
        }
        let (run, after) = rest.split_at(run_len(rest, stride));
        rest = after;
        let packets = run.len().div_ceil(stride);
        let Some(tag) = tag_of(run) else {
            shared.metrics.dropped(Cause::Malformed, packets);
            continue;
        };
        let place = shared.place_of(tag);
        let verdict = shared.shard(place).forward(now, from, ecn, run, stride);
        if matches!(verdict, Verdict::Kept | Verdict::Drop(Cause::OverRate)) {
            shared.keeps[place].store(true, Ordering::Relaxed);
        }
        match verdict {
            Verdict::Forward(onward) if packets == 1 => {
                outbox.put(shared, sender, (onward, ecn), since, run);
            }
            Verdict::Forward(onward) => {
                outbox.flush(shared, sender);
                send(shared, sender, onward, ecn, run, stride);
                shared.metrics.forwarded(packets, run.len());
                shared.resided(packets, since);
            }
            Verdict::Kept => shared.metrics.kept(packets),
            Verdict::Drop(cause) => shared.metrics.dropped(cause, packets),
        }
    }
}

/// Tells somebody where they come from, if that is no longer than the question (SPEC §18.2).
fn stun(shared: &Shared, sender: &mut Sender, (from, source): (SocketAddr, Option<IpAddr>), question: &[u8]) {
    let mut reply = [0; stun::ANSWER_LEN_MAX];
    let seen = SocketAddr::new(from.ip().to_canonical(), from.port());
    match stun::answer(question, seen, &mut reply).filter(|&len| !stun::is_longer(question, len)) {
        Some(len) => {
            shared.metrics.answered();
            send(shared, sender, Onward { to: from, source }, Ecn::NotEct, &reply[..len], len);
        }
        None => shared.metrics.dropped(Cause::Malformed, 1),
    }
}

/// Bytes of the envelopes at the beginning that are for the same lease.
fn run_len(bytes: &[u8], stride: usize) -> usize {
    let head = bytes.get(..ENVELOPE_LEN);
    let others = bytes.chunks(stride).skip(1);
    let same = others.take_while(|other| head.is_some() && other.get(..ENVELOPE_LEN) == head).count();
    ((same + 1) * stride).min(bytes.len())
}

fn bind(
    shared: &Shared,
    now: Instant,
    sender: &mut Sender,
    (from, local): (SocketAddr, Option<IpAddr>),
    message: &[u8],
) {
    let mut reply = [0; BIND_LEN_MAX];
    let tag = tag_of(message).unwrap_or(0);
    let unix_s = shared.unix_s();
    let answer = shared.shard(shared.place_of(tag)).handle_bind(
        now,
        unix_s,
        (from, local),
        message,
        &shared.tokens,
        &mut reply,
    );
    match answer {
        Ok(len) => {
            shared.metrics.answered();
            let is_bound = |message: BindMessage<'_>| matches!(message.body, BindBody::Bound { .. });
            if BindMessage::parse(&reply[..len]).is_some_and(is_bound) {
                shared.tell_forwarder(tag);
            }
            send(shared, sender, Onward { to: from, source: local }, Ecn::NotEct, &reply[..len], len);
        }
        Err(cause) => shared.metrics.dropped(cause, 1),
    }
}

/// Sends what was kept and may go on; returns whether anything still waits.
fn send_kept(shared: &Shared, clock: &Clock, sender: &mut Sender) -> bool {
    let mut waits = false;
    for (place, keeps) in shared.keeps.iter().enumerate() {
        if keeps.load(Ordering::Relaxed) {
            waits |= send_kept_of(shared, place, clock.now(), sender);
        }
    }
    waits
}

/// The same, of one part of the leases.
fn send_kept_of(shared: &Shared, place: usize, now: Instant, sender: &mut Sender) -> bool {
    let mut packet = [0; PACKET_LEN_MAX];
    // The lock is not held while the kernel works.
    while let Some(departure) = { shared.shard(place).poll_transmit(now, &mut packet) } {
        let bytes = &packet[..departure.len];
        send(shared, sender, departure.onward, departure.ecn, bytes, bytes.len());
        shared.metrics.forwarded(1, bytes.len());
    }
    let mut shard = shared.shard(place);
    shared.metrics.made_room(shard.take_dropped());
    let waits = shard.waiting() > 0;
    // Under the lock, so that nobody's word of a packet that came meanwhile is lost.
    shared.keeps[place].store(waits, Ordering::Relaxed);
    waits
}

pub(crate) fn send(
    shared: &Shared,
    sender: &mut Sender,
    onward: Onward,
    ecn: Ecn,
    bytes: &[u8],
    stride: usize,
) {
    let segment = (bytes.len() > stride).then(|| u16::try_from(stride).unwrap_or(u16::MAX));
    // The relay knows no classes: everything is treated as media.
    let transmit = Transmit { path: PathId(0), len: bytes.len(), segment, class: Class::Media, ecn };
    let destination = Destination { to: onward.to, source: onward.source };
    if sender.send(destination, &transmit, bytes).is_err() {
        shared.metrics.blocked();
    }
}
