//! What a relay knows and decides, without sockets and clocks: leases, who is bound where, and what goes on at once, later
//! or not at all.
//!
//! Invariants. A datagram goes on only from an address that one peer of its lease has proven and bound to the address
//! that the other has, so nothing is ever sent to where nobody asked for it. A stranger's packet costs a look-up and
//! leaves nothing. All memory is taken at the start but the leases', of which there are at most so many.

mod bind;
mod bucket;
mod prefixes;
mod queue;

use core::net::{IpAddr, SocketAddr};
use std::collections::{HashMap, VecDeque};

use rift::crypto::{BindKey, Identity};
use rift::wire::bind::LeaseSide;
use rift::wire::relay::{ENVELOPE_LEN, LEASE_TAG_LEN};
use rift::{Ecn, Instant};

use self::bucket::Bucket;
use self::prefixes::Prefixes;
pub use self::queue::PACKET_LEN_MAX;
use self::queue::{Pool, Queue};

/// What a relay's memory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most leases at a time.
    pub leases: usize,
    /// Packets that may wait, of all leases together.
    pub packets: usize,
    /// Most that one peer may send whatever its lease says, in bits per second.
    pub bitrate_bps_max: u32,
    /// Tokens that may be verified in a second for those of one network.
    pub tokens_per_s: u32,
}

impl Default for Limits {
    /// 10 000 leases; 2048 packets, which is 4 MiB; 100 Mbit/s; 1000 tokens a second.
    fn default() -> Self {
        Self { leases: 10_000, packets: 2048, bitrate_bps_max: 100_000_000, tokens_per_s: 1000 }
    }
}

/// Whether a token may be believed, and what it says. The shell verifies signatures; tests need none.
pub trait Tokens {
    /// The terms of a token, at this second of Unix time.
    fn verify(&self, token: &[u8], unix_s: u64) -> Option<rift::paths::relay::LeaseTerms>;
}

/// Why a packet did not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Cause {
    /// No lease has that name.
    NoLease = 0,
    /// It did not come from where a peer of the lease is.
    Stranger = 1,
    /// The other peer is nowhere yet.
    Alone = 2,
    /// More than the lease allows, for too long.
    OverRate = 3,
    /// No packet of this kind is known, or it breaks its format.
    Malformed = 4,
    /// Somebody without a valid nonce, token or MAC wanted to bind.
    Unproven = 5,
    /// Too many tokens were shown from there lately.
    TooOften = 6,
}

impl Cause {
    /// All of them, with their names in metrics.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::NoLease, "no_lease"),
        (Self::Stranger, "stranger"),
        (Self::Alone, "alone"),
        (Self::OverRate, "over_rate"),
        (Self::Malformed, "malformed"),
        (Self::Unproven, "unproven"),
        (Self::TooOften, "too_often"),
    ];
}

/// A way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Onward {
    /// To whom.
    pub to: SocketAddr,
    /// From which of this machine's addresses: the one that this peer knows.
    pub source: Option<IpAddr>,
}

/// A lease whose peers are both bound, for who forwards without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The peers.
    pub peers: [Onward; 2],
    /// Bytes that each may send in a second.
    pub bytes_per_s: u32,
    /// Bytes by which each may be ahead of that.
    pub burst: u32,
    /// When the lease ends, in seconds of Unix time.
    pub expires_s: u64,
}

/// What is to be done with what came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send it on as it is, at once.
    Forward(Onward),
    /// Nothing: it was kept and goes on when its lease allows it.
    Kept,
    /// Nothing.
    Drop(Cause),
}

/// A kept packet that may go on now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    /// Where to.
    pub onward: Onward,
    /// Its bytes in the buffer given.
    pub len: usize,
    /// What the network wrote on it.
    pub ecn: Ecn,
}

/// One peer of a lease.
#[derive(Debug)]
struct Peer {
    key: BindKey,
    at: Option<Onward>,
    bucket: Bucket,
    /// What it has sent and may not go on yet.
    queue: Queue,
}

#[derive(Debug)]
struct Lease {
    tag: u64,
    peers: [Peer; 2],
    expires_s: u64,
}

/// Bytes that a lease takes in memory beside the shared packets: itself and its entry in the index, which is at most
/// half empty.
pub const LEASE_LEN: usize =
    size_of::<Option<Lease>>() + 2 * size_of::<(u64, u32)>() + size_of::<(u32, u8)>();
const _: () = assert!(LEASE_LEN <= 512, "a lease is small");

/// See the module.
#[derive(Debug)]
pub struct Relay {
    identity: Identity,
    nonces: bind::Nonces,
    limits: Limits,
    index: HashMap<u64, u32>,
    leases: Vec<Option<Lease>>,
    free: Vec<u32>,
    /// Peers whose packets wait: place of the lease, and which.
    waiting: VecDeque<(u32, u8)>,
    pool: Pool,
    prefixes: Prefixes,
    /// Where the search for leases that have ended goes on.
    sweep_at: usize,
    is_draining: bool,
}

/// Leases looked at for their end in one sweep.
const SWEEP: usize = 256;

impl Relay {
    /// A relay without leases. `secret` is 32 random bytes, the same for all parts of one relay.
    #[must_use]
    pub fn new(identity: Identity, secret: [u8; 32], limits: Limits) -> Self {
        Self {
            identity,
            nonces: bind::Nonces::new(&secret),
            limits,
            index: HashMap::new(),
            leases: Vec::new(),
            free: Vec::new(),
            waiting: VecDeque::new(),
            pool: Pool::new(limits.packets),
            prefixes: Prefixes::new(limits.tokens_per_s),
            sweep_at: 0,
            is_draining: false,
        }
    }

    /// Leases there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Packets that wait.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.pool.used()
    }

    /// Takes no new leases any more; those there are go on until they end.
    pub const fn drain(&mut self) {
        self.is_draining = true;
    }

    /// Envelopes of one lease, `stride` bytes each (the last perhaps shorter), as they came from `from`.
    pub fn forward(
        &mut self,
        now: Instant,
        from: SocketAddr,
        ecn: Ecn,
        envelopes: &[u8],
        stride: usize,
    ) -> Verdict {
        let Some(tag) = tag_of(envelopes) else { return Verdict::Drop(Cause::Malformed) };
        let Some(&place) = self.index.get(&tag) else { return Verdict::Drop(Cause::NoLease) };
        let Some(Some(lease)) = self.leases.get_mut(place as usize) else {
            return Verdict::Drop(Cause::NoLease);
        };
        let is_at = |peer: &Peer| peer.at.is_some_and(|at| at.to == from);
        let Some(side) = lease.peers.iter().position(is_at) else { return Verdict::Drop(Cause::Stranger) };
        let Some(onward) = lease.peers[1 - side].at else { return Verdict::Drop(Cause::Alone) };
        let peer = &mut lease.peers[side];
        if peer.queue.is_empty() && peer.bucket.take(now, envelopes.len()) {
            return Verdict::Forward(onward);
        }
        let was_empty = peer.queue.is_empty();
        let mut is_kept = false;
        for envelope in envelopes.chunks(stride.max(1)) {
            is_kept |= self.pool.push(&mut peer.queue, envelope, ecn);
        }
        if was_empty && !peer.queue.is_empty() {
            self.waiting.push_back((place, u8::from(side == 1)));
        }
        if is_kept { Verdict::Kept } else { Verdict::Drop(Cause::OverRate) }
    }

    /// Packets that had to make room, since the last time this was asked.
    pub const fn take_dropped(&mut self) -> u64 {
        self.pool.take_dropped()
    }

    /// A kept packet whose time has come, written into `out`; the leases take turns.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut [u8; PACKET_LEN_MAX]) -> Option<Departure> {
        for _ in 0..self.waiting.len() {
            let (place, side) = self.waiting.pop_front()?;
            let (place, side) = (place as usize, usize::from(side));
            let Some(Some(lease)) = self.leases.get_mut(place) else { continue };
            let onward = lease.peers[1 - side].at;
            let peer = &mut lease.peers[side];
            let Some(next_len) = self.pool.first_len(&peer.queue) else { continue };
            let departure = (peer.bucket.take(now, next_len)).then(|| self.pool.pop(&mut peer.queue, out));
            if !peer.queue.is_empty() {
                self.waiting.push_back((place as u32, side as u8));
            }
            if let Some((Some((len, ecn)), onward)) = departure.zip(onward) {
                return Some(Departure { onward, len, ecn });
            }
        }
        None
    }

    /// When a kept packet may go on next: the first of the peers' turn stands for all, who are asked at least each
    /// millisecond.
    #[must_use]
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        const TURN_US: u64 = 1_000;
        (!self.waiting.is_empty()).then(|| now.plus_micros(TURN_US))
    }

    /// The way between a lease's peers, if both are bound.
    #[must_use]
    pub fn way(&self, tag: u64) -> Option<Way> {
        let lease = self.leases.get(*self.index.get(&tag)? as usize)?.as_ref()?;
        let [caller, callee] = &lease.peers;
        let bucket = &caller.bucket;
        let peers = [caller.at?, callee.at?];
        Some(Way { peers, bytes_per_s: bucket.rate(), burst: bucket.most(), expires_s: lease.expires_s })
    }

    /// Ends leases whose time is over, and tells their tags. To be called several times a second; each call looks at a
    /// few.
    pub fn sweep(&mut self, unix_s: u64, mut ended: impl FnMut(u64)) {
        for _ in 0..SWEEP.min(self.leases.len()) {
            self.sweep_at = (self.sweep_at + 1) % self.leases.len();
            let place = self.sweep_at;
            let is_over = self.leases[place].as_ref().is_some_and(|lease| lease.expires_s <= unix_s);
            if is_over && let Some(mut lease) = self.leases[place].take() {
                for peer in &mut lease.peers {
                    self.pool.clear(&mut peer.queue);
                }
                self.index.remove(&lease.tag);
                ended(lease.tag);
                self.free.push(place as u32);
            }
        }
    }

    fn lease(&mut self, tag: u64) -> Option<&mut Lease> {
        let place = *self.index.get(&tag)?;
        self.leases.get_mut(place as usize)?.as_mut()
    }

    /// A lease that was not known; the tag is not taken.
    fn admit(&mut self, lease: Lease) -> bool {
        if self.index.len() >= self.limits.leases || self.is_draining {
            return false;
        }
        let place = self.free.pop().unwrap_or_else(|| {
            self.leases.push(None);
            self.leases.len() as u32 - 1
        });
        self.index.insert(lease.tag, place);
        self.leases[place as usize] = Some(lease);
        true
    }
}

/// Which lease a packet is for, whether it is an envelope or a message about a binding.
#[must_use]
pub fn tag_of(packet: &[u8]) -> Option<u64> {
    packet.get(1..ENVELOPE_LEN)?.first_chunk::<LEASE_TAG_LEN>().map(|tag| u64::from_be_bytes(*tag))
}

fn side_index(side: LeaseSide) -> usize {
    side.code().into()
}
