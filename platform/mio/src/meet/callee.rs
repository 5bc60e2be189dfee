//! A host that those reach whom a gateway introduces (SPEC §18): it says that it is there and where, tells the gateway who
//! may be introduced, answers checks, and binds itself at relays.
//!
//! Who gets in is none of its business: the host's own list decides that, whoever was introduced.

use core::net::SocketAddr;
use std::collections::{BTreeMap, BTreeSet};

use rift::crypto::Side;
use rift::limits::GRANTS_TOLD_MAX;
use rift::paths::{Candidates, Punch};
use rift::wire::bind::{BIND_LEN_MAX, LeaseSide};
use rift::wire::fleet::GrantPage;
use rift::wire::relay::{ENVELOPE_LEN, Envelope, LEASE_TAG_LEN};
use rift::wire::signal::Signal;
use rift::{Ecn, Instant, PublicKey};

use super::gateway::{Gateway, GatewayState};
use super::leg::Leg;
use super::nearest::Nearest;
use super::{Heard, way};

/// Introductions whose checks may be under way at once: with another one the oldest is forgotten.
const PUNCHES_MAX: usize = 8;
/// Bindings at relays: as many as viewers have paths, twice. With another one the one longest unused goes.
const BINDINGS_MAX: usize = 32;
/// A binding that nobody comes by for this long goes. A path that is kept ready is heard of more often.
const UNUSED_US: u64 = 90_000_000;
/// And one whose peer has another lease now goes after this long.
const LEFT_US: u64 = 45_000_000;
/// This machine's own addresses are looked at this often.
const LOOK_US: u64 = 15_000_000;
/// Leases of one introduction.
const LEASES: u8 = 2;
/// Introductions that are heeded at once, and one more each so many microseconds: who has the gateway shall not make this
/// host send to whom he likes more than that.
const INTRODUCTIONS_BURST: u64 = 16;
const INTRODUCTION_US: u64 = 500_000;
/// Two grants are at least so far apart: a gateway takes two requests a second from a device.
const GRANT_US: u64 = 600_000;
/// Keys that a gateway is told of; the others it does not introduce.
pub const GRANTS_MAX: usize = 128;

struct Bound {
    binding: Leg,
    /// For whom it was leased.
    peer: PublicKey,
    used_at: Instant,
}

/// See the module.
pub struct Callee {
    gateway: Gateway,
    /// What the socket is bound to.
    local: SocketAddr,
    candidates: Candidates,
    /// The gateway knows the candidates.
    is_present: bool,
    look_at: Option<Instant>,
    /// Where a router has opened the socket's port.
    mapped: Option<SocketAddr>,
    punches: Vec<Punch>,
    /// Who is introduced, and gets the lease that comes next.
    introduced: Option<PublicKey>,
    bindings: Vec<Bound>,
    /// Bindings have come or gone.
    is_changed: bool,
    wanted: BTreeSet<PublicKey>,
    /// What the gateway was told in this session.
    told: BTreeMap<PublicKey, bool>,
    grant_at: Option<Instant>,
    /// Which of them the list's next page begins with, as long as this session was not told the whole list.
    list_at: Option<usize>,
    /// It is known who may be introduced.
    is_listed: bool,
    /// How many leases that introduction may still bring.
    leases_left: u8,
    introductions: u64,
    nearest: Nearest,
    /// Every introduction fills it, and time drains it: when it will be empty.
    drained_at: Instant,
}

impl Callee {
    /// A host whose socket is bound to `local`, at this gateway.
    #[must_use]
    pub const fn new(gateway: Gateway, local: SocketAddr) -> Self {
        Self {
            gateway,
            local,
            candidates: Candidates::new(),
            is_present: false,
            look_at: None,
            mapped: None,
            punches: Vec::new(),
            introduced: None,
            bindings: Vec::new(),
            is_changed: false,
            wanted: BTreeSet::new(),
            told: BTreeMap::new(),
            grant_at: None,
            list_at: Some(0),
            is_listed: false,
            leases_left: 0,
            introductions: 0,
            nearest: Nearest::new(),
            drained_at: Instant::ZERO,
        }
    }

    /// How the gateway is.
    #[must_use]
    pub const fn state(&self) -> GatewayState {
        self.gateway.state()
    }

    /// Whether the gateway is reached by a stream: UDP does not pass.
    #[must_use]
    pub const fn is_streamed(&self) -> bool {
        self.gateway.is_streamed()
    }

    /// From now on the gateway and relays are reached by streams where UDP brings no answer.
    pub fn set_streams(&mut self, lend: super::LendStream) {
        self.gateway.set_streams(lend, self.local);
    }

    /// A router has opened the socket's port there, or nowhere any more.
    pub fn set_mapped(&mut self, mapped: Option<SocketAddr>) {
        if self.mapped != mapped {
            (self.mapped, self.look_at) = (mapped, None);
        }
    }

    /// Whether the way that has this address, of a session's client, goes by a stream to its relay.
    #[must_use]
    pub fn is_streamed_to(&self, peer: SocketAddr) -> bool {
        let tag = way::tag(peer);
        self.bindings.iter().any(|one| Some(one.binding.tag()) == tag && one.binding.is_streamed())
    }

    /// A client that was heard by this way is silent: this machine, or its network, may have changed.
    pub(crate) fn on_silent(&mut self, now: Instant, peer: SocketAddr) {
        let tag = way::tag(peer);
        for bound in &mut self.bindings {
            if tag.is_none_or(|tag| tag == bound.binding.tag()) {
                bound.binding.rebind(now);
            }
        }
    }

    /// Introductions so far.
    #[must_use]
    pub const fn introductions(&self) -> u64 {
        self.introductions
    }

    /// Where this host may be reached, as the gateway was told.
    #[must_use]
    pub const fn candidates(&self) -> &Candidates {
        &self.candidates
    }

    /// Who may be introduced from now on; of more than [`GRANTS_MAX`] the first.
    pub fn grant(&mut self, now: Instant, peers: impl IntoIterator<Item = PublicKey>) {
        let wanted = peers.into_iter().take(GRANTS_MAX).collect();
        if self.wanted != wanted || !core::mem::replace(&mut self.is_listed, true) {
            self.wanted = wanted;
            // A list that changes while it is told begins again.
            self.list_at = self.list_at.map(|_| 0);
            self.grant_at.get_or_insert(now);
        }
    }

    /// Whether datagrams from there are for [`Self::handle_datagram`], whatever they are.
    pub(crate) fn is_beside(&self, from: SocketAddr) -> bool {
        self.gateway.is_from(from)
            || self.bindings.iter().any(|one| one.binding.is_from(from))
            || self.nearest.is_beside(from)
    }

    /// Takes a datagram of the gateway's or a relay's.
    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        ecn: Ecn,
        datagram: &mut [u8],
    ) -> Heard {
        if self.gateway.is_from(from) {
            self.gateway.handle_datagram(now, ecn, datagram);
            self.work(now);
        } else if let Some(envelope) = Envelope::parse(datagram) {
            let is_it = |one: &&mut Bound| one.binding.tag() == envelope.tag && one.binding.is_from(from);
            if let Some(bound) = self.bindings.iter_mut().find(is_it) {
                bound.used_at = now;
                return Heard::Enclosed(ENVELOPE_LEN, way::of(envelope.tag));
            }
        } else if self.nearest.handle_datagram(now, from, datagram) {
            self.work(now);
        } else {
            for bound in self.bindings.iter_mut().filter(|one| one.binding.is_from(from)) {
                bound.binding.handle_datagram(now, from, datagram);
            }
        }
        Heard::Done
    }

    /// Takes a check. Whether it was one of an introduction under way.
    pub(crate) fn handle_check(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> bool {
        self.punches.iter_mut().any(|punch| punch.handle_datagram(now, from, datagram).is_ok())
    }

    /// The time has come that [`Self::poll_timeout`] told. May be called at any time.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.gateway.handle_timeout(now);
        for punch in &mut self.punches {
            punch.handle_timeout(now);
        }
        let before = self.bindings.len();
        self.bindings.retain(|one| now.micros_since(one.used_at) < UNUSED_US);
        self.is_changed |= self.bindings.len() != before;
        for bound in &mut self.bindings {
            bound.binding.handle_timeout(now, &mut self.gateway);
            self.is_changed |= bound.binding.take_changed();
        }
        self.work(now);
    }

    /// When something is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let punch = self.punches.iter().filter_map(Punch::poll_timeout).min();
        let binding = self.bindings.iter().map(|one| one.binding.poll_timeout(&self.gateway)).min();
        let own = [self.look_at, self.grant_at].into_iter().flatten().min();
        let own = own.filter(|_| self.gateway.seen().is_some());
        [self.gateway.poll_timeout(), punch, binding, own, self.nearest.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Writes what is due to `out` and tells its length and where it goes.
    pub(crate) fn poll_transmit(&mut self, now: Instant, out: &mut [u8]) -> Option<(usize, SocketAddr)> {
        if let Some(sent) = self.gateway.poll_transmit(now, out) {
            return Some(sent);
        }
        for punch in &mut self.punches {
            if let Some(sent) = punch.poll_transmit(now, out) {
                return Some(sent);
            }
        }
        if let Some(asked) = self.nearest.poll_transmit(now, out) {
            return Some(asked);
        }
        let room = out.first_chunk_mut::<BIND_LEN_MAX>()?;
        for Bound { binding, .. } in &mut self.bindings {
            if let Some(sent) = binding.poll_transmit(now, room) {
                return Some(sent);
            }
        }
        None
    }

    /// The ways through relays, if they have changed since they were asked for: tags, and where the relays are.
    pub(crate) fn take_ways(&mut self) -> Option<Vec<([u8; LEASE_TAG_LEN], SocketAddr)>> {
        let is_changed = core::mem::take(&mut self.is_changed);
        let ways = self.bindings.iter().map(|one| (one.binding.tag(), one.binding.place()));
        is_changed.then(|| ways.collect())
    }

    /// Says goodbye to the gateway.
    pub fn close(&mut self, now: Instant) {
        self.gateway.close(now);
    }

    fn work(&mut self, now: Instant) {
        while let Some(signal) = self.gateway.hear(now) {
            if let Signal::Introduction(met) = signal {
                self.introduced = None;
                let drained_at = self.drained_at.max(now).plus_micros(INTRODUCTION_US);
                if drained_at.micros_since(now) > INTRODUCTIONS_BURST * INTRODUCTION_US {
                    continue;
                }
                self.drained_at = drained_at;
                self.introductions += 1;
                (self.introduced, self.leases_left) = (Some(met.peer), LEASES);
                if self.punches.len() == PUNCHES_MAX {
                    self.punches.remove(0);
                }
                let own = &self.candidates;
                self.punches.push(Punch::new(now, Side::Responder, &met.secret, own, &met.candidates));
            } else if let Signal::Lease(lease) = signal {
                self.on_lease(now, lease);
            } else if let Signal::Relays(places) = signal {
                self.nearest.begin(now, &self.gateway, places);
            }
        }
        if self.gateway.seen().is_none() {
            // Another session of the gateway's knows nothing of this one.
            (self.is_present, self.look_at) = (false, None);
            self.told.clear();
            self.list_at = Some(0);
            self.nearest.forget();
            self.grant_at = Some(now);
            return;
        }
        let seen = self.gateway.reflexive();
        if self.look_at.is_none_or(|at| at <= now) || seen.is_some_and(|seen| !self.knows(seen)) {
            self.look_at = Some(now.plus_micros(LOOK_US));
            let candidates = super::candidates(self.local, seen, self.mapped);
            self.is_present &= candidates == self.candidates;
            self.candidates = candidates;
        }
        if !self.is_present {
            let present = Signal::Present { is_host: true, candidates: self.candidates.clone() };
            self.is_present = self.gateway.say(now, &present).is_ok();
        }
        self.nearest.tell(now, &mut self.gateway);
        self.tell_grants(now);
    }

    fn knows(&self, seen: SocketAddr) -> bool {
        self.candidates.iter().any(|candidate| candidate.address == seen)
    }

    /// Tells one grant after the other, and who may be introduced no more.
    fn tell_grants(&mut self, now: Instant) {
        if !self.is_listed || self.grant_at.is_none_or(|at| at > now) {
            return;
        }
        if let Some(start) = self.list_at {
            return self.tell_list(now, start);
        }
        let is_new = |peer: &&PublicKey| self.told.get(peer) != Some(&true);
        let new = self.wanted.iter().find(is_new).map(|&peer| (peer, true));
        let gone = |(peer, may): (&PublicKey, &bool)| (*may && !self.wanted.contains(peer)).then_some(*peer);
        let next = new.or_else(|| self.told.iter().find_map(gone).map(|peer| (peer, false)));
        self.grant_at = None;
        let Some((peer, may)) = next else { return };
        if self.gateway.say(now, &Signal::Grant { peer, may }).is_ok() {
            self.told.insert(peer, may);
        }
        self.grant_at = Some(now.plus_micros(GRANT_US));
    }

    /// The next page of the whole list, from the key of this number on: what the gateway remembers of earlier sessions and is
    /// not in it counts no more.
    fn tell_list(&mut self, now: Instant, start: usize) {
        let next = self.wanted.len().min(start + GRANTS_TOLD_MAX);
        let is_last = next == self.wanted.len();
        let keys = self.wanted.iter().take(next).skip(start).copied().collect();
        let page = Signal::Grants(GrantPage { is_first: start == 0, is_last, keys });
        self.grant_at = Some(now.plus_micros(GRANT_US));
        if self.gateway.say(now, &page).is_err() {
            return;
        }
        self.list_at = (!is_last).then_some(next);
        if is_last {
            self.told = self.wanted.iter().map(|&peer| (peer, true)).collect();
        }
    }

    /// Leases are for whom was just introduced, of two relays (SPEC §18.9); another one is nobody's.
    fn on_lease(&mut self, now: Instant, lease: rift::paths::relay::Lease) {
        let Some(peer) = self.introduced.filter(|_| self.leases_left > 0) else { return };
        self.leases_left -= 1;
        if let Some(known) = self.bindings.iter_mut().find(|one| one.binding.tag() == lease.tag) {
            known.used_at = now;
            return known.binding.renew(now, lease);
        }
        let Some(binding) = Leg::new(lease, LeaseSide::Callee, now, &mut self.gateway) else { return };
        // A peer that comes back has another lease; of the earlier ones it keeps what it still uses.
        self.bindings.retain(|one| one.peer != peer || now.micros_since(one.used_at) < LEFT_US);
        if self.bindings.len() == BINDINGS_MAX {
            let oldest = (0..self.bindings.len()).min_by_key(|&at| self.bindings[at].used_at);
            self.bindings.swap_remove(oldest.unwrap_or_default());
        }
        self.bindings.push(Bound { binding, peer, used_at: now });
        self.is_changed = true;
    }
}

impl core::fmt::Debug for Callee {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Callee").field("gateway", &self.gateway).finish_non_exhaustive()
    }
}
