//! Who has enrolled, who is there, and who may be introduced to whom (SPEC §18.3).
//!
//! It refuses to know of datagrams, sessions and storage: it is told what devices say and what storage answered, and tells
//! what is to be said and stored. Invariant: about a key that a device may not be introduced to, the device learns
//! nothing, not even that it exists.

use core::net::SocketAddr;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rift::limits::DEVICE_NAME_MAX;
use rift::paths::relay::Lease;
use rift::paths::{Candidates, MeetingSecret};
use rift::wire::fleet::{GrantPage, LeaseKeys, RelayPlace, RelayTimes, Way};
use rift::wire::signal::{DeviceName, EnrolmentToken, Introduction, Signal, SignalReason};
use rift::{Instant, PublicKey, SessionIndex};

use super::bucket::Bucket;
use super::limits::{
    GRANTS_MAX, PATHS_TOLD_MAX, REQUESTS_BURST, REQUESTS_INTERVAL_US, STRANGER_US, STRANGERS_MAX,
    TOKENS_WRONG_MAX,
};
use super::relays::Relays;
use super::tellings::{RelaySet, Tellings};

/// What storage remembers of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRecord {
    /// Who it is.
    pub key: PublicKey,
    /// How people know it.
    pub name: String,
    /// Whom it lets be introduced to it.
    pub grants: Vec<PublicKey>,
}

/// Something to be remembered for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantChange {
    /// Who decided it.
    pub host: PublicKey,
    /// About whom.
    pub client: PublicKey,
    /// Whether it may be introduced.
    pub may: bool,
}

/// What is to be done because of what a device said.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a few at a time, done at once")]
pub enum Effect {
    /// Say this in a session.
    Say(SessionIndex, Signal),
    /// End a session.
    Close(SessionIndex),
    /// Look whether the token is good, spend it on this device, and tell [`Registry::on_redeemed`].
    Redeem {
        /// Whose answer it is.
        session: SessionIndex,
        /// The device.
        key: PublicKey,
        /// How it is to be known.
        name: DeviceName,
        /// What it showed.
        token: EnrolmentToken,
    },
    /// Remember this.
    Store(GrantChange),
    /// Make shares of a lease at this relay for the devices of these sessions, caller and callee, and tell
    /// [`Registry::on_lease`].
    Lend([(SessionIndex, PublicKey); 2], RelayPlace),
}

pub(super) struct Device {
    pub(super) name: String,
    pub(super) grants: BTreeSet<PublicKey>,
    requests: Bucket,
}

pub(super) struct Present {
    pub(super) key: PublicKey,
    pub(super) since: Instant,
    pub(super) seen: SocketAddr,
    /// What it said of itself, once it did.
    pub(super) offer: Option<(bool, Candidates)>,
    /// How far relays are for it.
    times: RelayTimes,
    /// With whom it says to be connected.
    pub(super) paths: BTreeMap<PublicKey, Way>,
    pub(super) told_relays: RelaySet,
    /// Whom it lets be introduced, of a list that is not whole yet.
    listed: Option<BTreeSet<PublicKey>>,
    /// It pairs just now: every device may be introduced to it.
    pairs: bool,
    wrong_tokens: u8,
    is_redeeming: bool,
}

/// Bytes that a device which is there takes in a registry, beside what it grants: what is kept of it, and an entry in each
/// of the four indices, whose nodes are at least half full.
pub(super) const DEVICE_LEN: usize = size_of::<(PublicKey, Device)>()
    + DEVICE_NAME_MAX
    + size_of::<(SessionIndex, Box<Present>)>()
    + size_of::<Present>()
    + size_of::<(PublicKey, SessionIndex)>();

/// See the module.
#[derive(Default)]
pub struct Registry {
    pub(super) devices: BTreeMap<PublicKey, Device>,
    pub(super) sessions: BTreeMap<SessionIndex, Box<Present>>,
    /// Sessions of devices, by key: one each.
    pub(super) by_key: BTreeMap<PublicKey, SessionIndex>,
    pub(super) banned: BTreeSet<PublicKey>,
    /// Sessions of keys that are neither an enrolled device's nor a relay's, the oldest first.
    strangers: BTreeSet<(Instant, SessionIndex)>,
    pub(super) effects: VecDeque<Effect>,
    pub(super) relays: Relays,
    pub(super) tellings: Tellings,
    pub(super) lease_keys: LeaseKeys,
    /// Nobody is introduced any more.
    pub(super) is_draining: bool,
    /// Introductions made.
    pub introductions: u64,
    /// Requests refused.
    pub refused: u64,
}

impl Registry {
    /// A registry of these devices and relays, without those who are let in no more.
    #[must_use]
    pub fn new(records: Vec<DeviceRecord>, banned: BTreeSet<PublicKey>, relays: Relays) -> Self {
        let mut registry = Self { relays, banned, ..Self::default() };
        for record in records {
            registry.add(record.key, record.name, record.grants.into_iter().collect());
        }
        registry
    }

    fn add(&mut self, key: PublicKey, name: String, grants: BTreeSet<PublicKey>) {
        let requests = Bucket::new(REQUESTS_BURST, REQUESTS_INTERVAL_US);
        self.devices.insert(key, Device { name, grants, requests });
    }

    /// Devices that have enrolled.
    #[must_use]
    pub fn devices(&self) -> usize {
        self.devices.len()
    }

    /// Devices that are there.
    #[must_use]
    pub fn present(&self) -> usize {
        let relays = self.relays.all().iter().filter(|relay| self.by_key.contains_key(&relay.key)).count();
        self.by_key.len().saturating_sub(self.strangers.len() + relays)
    }

    /// The name of a device that has enrolled.
    #[must_use]
    pub fn name(&self, key: &PublicKey) -> Option<&str> {
        self.devices.get(key).map(|device| device.name.as_str())
    }

    /// A device has proven its key in a session; an earlier session of its is over.
    pub fn connect(&mut self, now: Instant, session: SessionIndex, key: PublicKey, seen: SocketAddr) {
        // Whoever had this place before has left it.
        self.disconnect(session);
        if let Some(before) = self.by_key.get(&key).copied() {
            self.disconnect(before);
            self.effects.push_back(Effect::Close(before));
        }
        let is_enrolled = self.is_known(&key);
        if !is_enrolled {
            self.make_room_for_strangers();
        }
        let present = Present {
            key,
            since: now,
            seen,
            offer: None,
            times: RelayTimes::new(),
            paths: BTreeMap::new(),
            told_relays: 0,
            listed: None,
            pairs: false,
            wrong_tokens: 0,
            is_redeeming: false,
        };
        if !is_enrolled {
            self.strangers.insert((now, session));
        }
        self.sessions.insert(session, Box::new(present));
        self.by_key.insert(key, session);
        if self.banned.contains(&key) {
            return self.throw_out(&key);
        }
        self.effects.push_back(Effect::Say(session, Signal::Welcome { is_enrolled, seen }));
        self.tell_relays(now, session);
    }

    /// A device is seen elsewhere now.
    pub fn moved(&mut self, session: SessionIndex, seen: SocketAddr) {
        let Some(present) = self.sessions.get_mut(&session) else { return };
        if present.seen != seen {
            present.seen = seen;
            let is_enrolled = self.devices.contains_key(&present.key) || self.relays.knows(&present.key);
            self.effects.push_back(Effect::Say(session, Signal::Welcome { is_enrolled, seen }));
        }
    }

    /// A session is over.
    pub fn disconnect(&mut self, session: SessionIndex) {
        let Some(present) = self.sessions.remove(&session) else { return };
        self.strangers.remove(&(present.since, session));
        if self.by_key.get(&present.key) == Some(&session) {
            self.by_key.remove(&present.key);
        }
    }

    /// A device said something. `entropy` is 32 bytes never used before, for a meeting.
    pub fn hear(&mut self, now: Instant, session: SessionIndex, signal: Signal, entropy: [u8; 32]) {
        let Some(present) = self.sessions.get_mut(&session) else { return };
        let key = present.key;
        if let Signal::Enrol { token, name } = signal {
            return self.on_enrol(session, token, name);
        }
        if let Signal::Beat(beat) = signal {
            if !self.relays.knows(&key) {
                return self.refuse(session, 0, SignalReason::NotEnrolled);
            }
            let seen = present.seen;
            self.change_relays(now, |registry| registry.relays.on_beat(now, &key, seen, beat));
            return self.effects.push_back(Effect::Say(session, Signal::LeaseKeys(self.lease_keys.clone())));
        }
        let Some(device) = self.devices.get_mut(&key) else {
            return self.refuse(session, request_of(&signal), SignalReason::NotEnrolled);
        };
        match signal {
            Signal::Present { is_host, candidates } => {
                present.offer = Some((is_host, candidates));
                self.tell_relays(now, session);
            }
            Signal::Measured(times) => present.times = times,
            Signal::Path { peer, way: Way::None } => drop(present.paths.remove(&peer)),
            Signal::Path { peer, way } => {
                if present.paths.len() < PATHS_TOLD_MAX || present.paths.contains_key(&peer) {
                    present.paths.insert(peer, way);
                }
            }
            _ if !device.requests.take(now) => {
                self.refuse(session, request_of(&signal), SignalReason::TooOften);
            }
            Signal::LookUp { peer } => {
                let is_present = self.host_for(&key, &peer).is_some();
                self.effects.push_back(Effect::Say(session, Signal::Found { peer, is_present }));
            }
            Signal::Introduce { request, peer, candidates } => {
                self.on_introduce(now, (session, key), request, (peer, candidates), entropy);
            }
            Signal::Grant { peer, may } => self.on_grant(session, key, peer, may),
            Signal::Grants(page) => self.on_grants(session, key, page),
            // What only a gateway says.
            Signal::Enrol { .. }
            | Signal::Welcome { .. }
            | Signal::Found { .. }
            | Signal::Introduction(_)
            | Signal::Lease(_)
            | Signal::Refused { .. }
            | Signal::Beat(_)
            | Signal::Relays(_)
            | Signal::LeaseKeys(_) => self.effects.push_back(Effect::Close(session)),
        }
    }

    /// Storage has looked at the token of [`Effect::Redeem`]: the device's name if it has enrolled.
    pub fn on_redeemed(&mut self, session: SessionIndex, key: PublicKey, outcome: Option<DeviceName>) {
        if let Some(present) = self.sessions.get_mut(&session).filter(|present| present.key == key) {
            present.is_redeeming = false;
        }
        if let Some(name) = outcome {
            // It may have enrolled in another session meanwhile: whom it lets be introduced stays.
            let grants = self.devices.remove(&key).map(|device| device.grants).unwrap_or_default();
            self.add(key, name.as_str().to_owned(), grants);
            // Or it may have called again, and is no stranger where it is now.
            let Some(&at) = self.by_key.get(&key) else { return };
            let Some(present) = self.sessions.get(&at) else { return };
            self.strangers.remove(&(present.since, at));
            let welcome = Signal::Welcome { is_enrolled: true, seen: present.seen };
            return self.effects.push_back(Effect::Say(at, welcome));
        }
        let Some(present) = self.sessions.get_mut(&session).filter(|present| present.key == key) else {
            return;
        };
        present.wrong_tokens += 1;
        let is_over = present.wrong_tokens == TOKENS_WRONG_MAX;
        self.refuse(session, 0, SignalReason::Token);
        if is_over {
            self.effects.push_back(Effect::Close(session));
        }
    }

    /// Who has not enrolled in time has to go, and who has is told of new relays.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(since, session)) = self.strangers.first()
            && now.micros_since(since) >= STRANGER_US
        {
            self.disconnect(session);
            self.effects.push_back(Effect::Close(session));
        }
        self.tell_next(now);
    }

    /// When [`Self::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let stranger = self.strangers.first().map(|(since, _)| since.plus_micros(STRANGER_US));
        stranger.into_iter().chain(self.next_telling()).min()
    }

    /// What is to be done next.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    fn on_enrol(&mut self, session: SessionIndex, token: EnrolmentToken, name: DeviceName) {
        let Some(present) = self.sessions.get_mut(&session) else { return };
        if self.devices.contains_key(&present.key) {
            // Said again: nothing is spent on it.
            let welcome = Signal::Welcome { is_enrolled: true, seen: present.seen };
            self.effects.push_back(Effect::Say(session, welcome));
        } else if !core::mem::replace(&mut present.is_redeeming, true) {
            self.effects.push_back(Effect::Redeem { session, key: present.key, name, token });
        }
    }

    fn on_introduce(
        &mut self,
        now: Instant,
        (session, caller): (SessionIndex, PublicKey),
        request: u16,
        (callee, candidates): (PublicKey, Candidates),
        entropy: [u8; 32],
    ) {
        let Some((to, theirs)) = self.host_for(&caller, &callee) else {
            return self.refuse(session, request, SignalReason::NotFound);
        };
        if self.is_draining {
            return self.refuse(session, request, SignalReason::Full);
        }
        let none = RelayTimes::new();
        let times =
            [session, to].map(|session| self.sessions.get(&session).map_or(&none, |there| &there.times));
        let relays = self.relays.choose(now, times);
        let has_lease = !relays.is_empty();
        let introduction = |request, calls, peer, candidates| {
            let secret = MeetingSecret::from_bytes(entropy);
            Signal::Introduction(Introduction { request, calls, peer, secret, candidates, has_lease })
        };
        let to_caller = introduction(request, true, callee, theirs);
        let to_callee = introduction(0, false, caller, candidates);
        self.introductions += 1;
        self.effects.push_back(Effect::Say(to, to_callee));
        self.effects.push_back(Effect::Say(session, to_caller));
        for relay in relays {
            self.effects.push_back(Effect::Lend([(session, caller), (to, callee)], relay));
        }
    }

    /// Shares of the lease of [`Effect::Lend`], if there are any. A session that is another's by now gets none.
    pub fn on_lease(&mut self, peers: [(SessionIndex, PublicKey); 2], shares: [Lease; 2]) {
        for ((session, key), share) in peers.into_iter().zip(shares) {
            if self.by_key.get(&key) == Some(&session) {
                self.effects.push_back(Effect::Say(session, Signal::Lease(share)));
            }
        }
    }

    fn on_grant(&mut self, session: SessionIndex, host: PublicKey, client: PublicKey, may: bool) {
        if client == host {
            // For the moment, so that it is remembered no longer than the session (SPEC §18.11).
            self.sessions.entry(session).and_modify(|present| present.pairs = may);
            return;
        }
        let Some(device) = self.devices.get_mut(&host) else { return };
        let is_full = device.grants.len() >= GRANTS_MAX && !device.grants.contains(&client);
        if may && is_full {
            return self.refuse(session, 0, SignalReason::Full);
        }
        let is_news = if may { device.grants.insert(client) } else { device.grants.remove(&client) };
        if is_news {
            self.effects.push_back(Effect::Store(GrantChange { host, client, may }));
        }
    }

    /// A page of a device's whole list. With the last one what it does not name counts no more.
    fn on_grants(&mut self, session: SessionIndex, host: PublicKey, page: GrantPage) {
        let Some(present) = self.sessions.get_mut(&session) else { return };
        if page.is_first {
            present.listed = Some(BTreeSet::new());
        }
        let Some(listed) = &mut present.listed else { return };
        listed.extend(page.keys);
        if listed.len() > GRANTS_MAX {
            present.listed = None;
            return self.refuse(session, 0, SignalReason::Full);
        }
        let Some(mut listed) = present.listed.take_if(|_| page.is_last) else { return };
        // For the moment, so that it is remembered no longer than the session (SPEC §18.11).
        present.pairs = listed.remove(&host);
        let Some(device) = self.devices.get_mut(&host) else { return };
        let changes = [(device.grants.difference(&listed), false), (listed.difference(&device.grants), true)];
        for (clients, may) in changes {
            let change = |&client: &PublicKey| Effect::Store(GrantChange { host, client, may });
            self.effects.extend(clients.map(change));
        }
        device.grants = listed;
    }

    /// The session and candidates of `host`, if it is there, may be called, and lets `client` be introduced.
    fn host_for(&self, client: &PublicKey, host: &PublicKey) -> Option<(SessionIndex, Candidates)> {
        let device = self.devices.get(host)?;
        let &session = self.by_key.get(host)?;
        let present = self.sessions.get(&session)?;
        if !present.pairs && !device.grants.contains(client) {
            return None;
        }
        let (is_host, candidates) = present.offer.as_ref()?;
        is_host.then(|| (session, candidates.clone()))
    }

    /// It has enrolled, or is a relay that the operator has named.
    fn is_known(&self, key: &PublicKey) -> bool {
        self.devices.contains_key(key) || self.relays.knows(key)
    }

    /// The one that has been there for longest goes.
    fn make_room_for_strangers(&mut self) {
        if self.strangers.len() < STRANGERS_MAX {
            return;
        }
        if let Some(&(_, oldest)) = self.strangers.first() {
            self.disconnect(oldest);
            self.effects.push_back(Effect::Close(oldest));
        }
    }

    fn refuse(&mut self, session: SessionIndex, request: u16, reason: SignalReason) {
        self.refused += 1;
        self.effects.push_back(Effect::Say(session, Signal::Refused { request, reason }));
    }
}

const fn request_of(signal: &Signal) -> u16 {
    if let Signal::Introduce { request, .. } = signal { *request } else { 0 }
}

impl core::fmt::Debug for Registry {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Registry")
            .field("devices", &self.devices.len())
            .field("sessions", &self.sessions.len())
            .finish_non_exhaustive()
    }
}
