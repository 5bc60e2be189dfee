//! What operators see of a gateway and may change in it.

use core::net::SocketAddr;

use rift::paths::relay::RELAY_ID_LEN;
use rift::wire::fleet::{LeaseKeys, Way};
use rift::wire::signal::Signal;
use rift::{Instant, PublicKey};

use super::limits::{BANS_MAX, GRANTS_MAX};
use super::registry::{Effect, GrantChange, Registry};
use super::{Gateway, KnownRelay};

/// A device as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceView {
    /// Who it is.
    pub key: PublicKey,
    /// How people know it.
    pub name: String,
    /// Whom it lets be introduced to it.
    pub grants: Vec<PublicKey>,
    /// Its session, while it is there.
    pub session: Option<SessionView>,
}

/// A session as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// Whose it is.
    pub key: PublicKey,
    /// From where.
    pub seen: SocketAddr,
    /// Since when.
    pub since: Instant,
    /// It has not enrolled.
    pub is_stranger: bool,
    /// It may be called.
    pub is_host: bool,
    /// With whom it says to be connected, and how.
    pub paths: Vec<(PublicKey, Way)>,
}

/// What an operator wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Forget a device and everything that it or others have granted about it.
    Revoke(PublicKey),
    /// Let a device in no more, whether it has enrolled or not; or let it in again.
    Ban(PublicKey, bool),
    /// Decide in a host's place.
    Grant(GrantChange),
    /// Lend nothing at a relay any more; or again.
    DrainRelay([u8; RELAY_ID_LEN], bool),
    /// Introduce nobody any more; or again.
    Drain(bool),
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is so now.
    Done,
    /// It was so before.
    Unchanged,
    /// There is no such device or relay.
    Unknown,
    /// There is no room for more.
    Full,
}

impl Registry {
    /// Devices that have enrolled, in the order of their keys.
    pub fn device_views(&self) -> impl Iterator<Item = DeviceView> {
        self.devices.iter().map(|(&key, device)| DeviceView {
            key,
            name: device.name.clone(),
            grants: device.grants.iter().copied().collect(),
            session: self.by_key.get(&key).and_then(|session| self.view(*session)),
        })
    }

    /// Sessions there are, those of strangers too.
    pub fn session_views(&self) -> impl Iterator<Item = SessionView> {
        self.sessions.keys().filter_map(|session| self.view(*session))
    }

    fn view(&self, session: rift::SessionIndex) -> Option<SessionView> {
        let present = self.sessions.get(&session)?;
        Some(SessionView {
            key: present.key,
            seen: present.seen,
            since: present.since,
            is_stranger: !self.devices.contains_key(&present.key),
            is_host: present.offer.as_ref().is_some_and(|(is_host, _)| *is_host),
            paths: present.paths.iter().map(|(&key, &way)| (key, way)).collect(),
        })
    }

    /// Whether nobody is introduced any more.
    #[must_use]
    pub const fn is_draining(&self) -> bool {
        self.is_draining
    }

    /// Those who are let in no more.
    pub fn bans(&self) -> impl Iterator<Item = &PublicKey> {
        self.banned.iter()
    }

    /// Does what an operator wants; what is to be stored comes as effects.
    pub fn obey(&mut self, order: Order) -> Outcome {
        match order {
            Order::Revoke(key) => self.revoke(key),
            Order::Ban(key, true) => {
                if self.banned.len() >= BANS_MAX && !self.banned.contains(&key) {
                    return Outcome::Full;
                }
                self.throw_out(&key);
                changed(self.banned.insert(key))
            }
            Order::Ban(key, false) => changed(self.banned.remove(&key)),
            Order::Grant(change) => self.grant(change),
            Order::DrainRelay(id, is_drained) => {
                let is_known = self.relays.set_drained(&id, is_drained);
                if is_known { Outcome::Done } else { Outcome::Unknown }
            }
            Order::Drain(is_draining) => {
                changed(core::mem::replace(&mut self.is_draining, is_draining) != is_draining)
            }
        }
    }

    fn revoke(&mut self, key: PublicKey) -> Outcome {
        if self.devices.remove(&key).is_none() {
            return Outcome::Unknown;
        }
        for device in self.devices.values_mut() {
            device.grants.remove(&key);
        }
        self.throw_out(&key);
        Outcome::Done
    }

    fn grant(&mut self, change: GrantChange) -> Outcome {
        let Some(device) = self.devices.get_mut(&change.host) else { return Outcome::Unknown };
        if change.may && device.grants.len() >= GRANTS_MAX && !device.grants.contains(&change.client) {
            return Outcome::Full;
        }
        changed(if change.may {
            device.grants.insert(change.client)
        } else {
            device.grants.remove(&change.client)
        })
    }

    /// Ends the session of this key, if there is one.
    pub(super) fn throw_out(&mut self, key: &PublicKey) {
        if let Some(session) = self.by_key.get(key).copied() {
            self.disconnect(session);
            self.effects.push_back(Effect::Close(session));
        }
    }

    /// Relays are told at once who signs leases.
    pub fn set_lease_keys(&mut self, keys: LeaseKeys) {
        if keys == self.lease_keys {
            return;
        }
        let relays: Vec<_> =
            self.relays.all().iter().filter_map(|relay| self.by_key.get(&relay.key).copied()).collect();
        for session in relays {
            self.effects.push_back(Effect::Say(session, Signal::LeaseKeys(keys.clone())));
        }
        self.lease_keys = keys;
    }
}

const fn changed(is_news: bool) -> Outcome {
    if is_news { Outcome::Done } else { Outcome::Unchanged }
}

impl<E: FnMut() -> [u8; 32]> Gateway<E> {
    /// Does what an operator wants.
    pub fn obey(&mut self, now: Instant, order: Order) -> Outcome {
        let outcome = self.registry.change_relays(now, |registry| registry.obey(order));
        self.act(now);
        outcome
    }

    /// What operators may see.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The relays that it knows.
    #[must_use]
    pub fn relays(&self) -> &[KnownRelay] {
        self.registry.relays.all()
    }

    /// From now on leases are signed by one of these.
    pub fn set_lease_keys(&mut self, now: Instant, keys: LeaseKeys) {
        self.registry.set_lease_keys(keys);
        self.act(now);
    }
}
