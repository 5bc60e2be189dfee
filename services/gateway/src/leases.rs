//! Leases of relays for those who are introduced (SPEC §18.6): the gateway says how much and for how long, and signs it.

use core::net::SocketAddr;
use core::str::FromStr;
use std::collections::BTreeMap;

use rift::paths::relay::{Lease, LeaseTerms, relay_id};
use rift::wire::relay::LEASE_TAG_LEN;
use rift::{Identity, PublicKey};
use rift_paseto::Signer;
use zeroize::Zeroizing;

use crate::state::limits::SESSIONS_MAX;

/// How long a lease lasts, in seconds. Who is introduced again gets another.
const LEASE_S: u64 = 3_600;
/// Leases that are remembered to be lengthened: one for each device that may be there.
const LENT_MAX: usize = SESSIONS_MAX;
/// What each peer may send, in bits per second: a desktop at its best.
const BITRATE_BPS: u32 = 100_000_000;

/// Where a relay is and which key it has: `ID@ADDRESS:PORT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayPlace {
    /// Its static key; `wavry-relay id` prints its text.
    pub key: PublicKey,
    /// Its address, as peers reach it.
    pub address: SocketAddr,
}

impl FromStr for RelayPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, address) = text
            .split_once('@')
            .ok_or_else(|| "write ID@ADDRESS:PORT, with the ID that `wavry-relay id` prints".to_owned())?;
        Ok(Self {
            key: key.parse().map_err(|error| format!("{key}: {error}"))?,
            address: address.parse().map_err(|error| format!("{address}: {error}"))?,
        })
    }
}

/// Makes leases.
#[derive(Debug)]
pub struct Leases {
    signer: Signer,
    relays: Vec<RelayPlace>,
    /// Whose turn it is.
    next: usize,
    /// What pairs of devices, caller and callee, have of leases that last still.
    lent: BTreeMap<[PublicKey; 2], Lent>,
}

/// What a lease goes on with when its devices are introduced again: the way that they go under its tag stays open.
#[derive(Debug)]
struct Lent {
    relay: RelayPlace,
    tag: [u8; LEASE_TAG_LEN],
    secrets: Zeroizing<[[u8; 32]; 2]>,
    expires_s: u64,
}

impl Leases {
    /// Leases of these relays, signed by this key.
    #[must_use]
    pub const fn new(signer: Signer, relays: Vec<RelayPlace>) -> Self {
        Self { signer, relays, next: 0, lent: BTreeMap::new() }
    }

    /// Whether there is a relay.
    #[must_use]
    pub const fn has_relays(&self) -> bool {
        !self.relays.is_empty()
    }

    /// Shares of a lease for these two, caller and callee: the one that they have, for longer, or a new one, of one relay
    /// after the other. `entropy` is three times 32 bytes never used before, `now_s` the Unix time in seconds. `None` without a
    /// relay, or when the system cannot sign.
    pub fn make(
        &mut self,
        devices: [PublicKey; 2],
        entropy: [[u8; 32]; 3],
        now_s: u64,
    ) -> Option<[Lease; 2]> {
        let expires_s = now_s + LEASE_S;
        self.lent.retain(|_, lent| lent.expires_s > now_s);
        let lent = match self.lent.get_mut(&devices) {
            Some(lent) => lent,
            None => {
                let relay = *self.relays.get(self.next)?;
                self.next = (self.next + 1) % self.relays.len();
                let [caller, callee, tag] = entropy;
                let (secrets, tag) = (Zeroizing::new([caller, callee]), *tag.first_chunk()?);
                if self.lent.len() == LENT_MAX {
                    // Its devices keep it; when they are introduced again they get another.
                    let oldest = self.lent.iter().min_by_key(|(_, lent)| lent.expires_s);
                    let oldest = oldest.map(|(&devices, _)| devices);
                    oldest.map(|devices| self.lent.remove(&devices));
                }
                self.lent.entry(devices).or_insert(Lent { relay, tag, secrets, expires_s })
            }
        };
        lent.expires_s = expires_s;
        let (relay, tag, secrets) = (lent.relay, lent.tag, *lent.secrets);
        let peers = secrets.map(|secret| Identity::from_secret(secret).public());
        let terms =
            LeaseTerms { relay: relay_id(&relay.key), tag, peers, bitrate_bps: BITRATE_BPS, expires_s };
        let signed = self.signer.sign(&terms);
        let token = signed.inspect_err(|error| tracing::error!(?error, "a lease was not signed")).ok()?;
        let token = heapless::Vec::from_slice(token.as_bytes()).ok()?;
        Some(secrets.map(|secret| Lease {
            relay: relay.address,
            relay_key: relay.key,
            tag,
            secret,
            expires_s,
            token: token.clone(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use rift_paseto::Verifier;

    use super::*;

    fn place(seed: u8, port: u16) -> RelayPlace {
        let key = Identity::from_secret([seed; 32]).public();
        RelayPlace { key, address: ([192, 0, 2, 1], port).into() }
    }

    #[test]
    fn both_get_shares_of_one_lease_that_their_relay_believes_and_no_other() {
        let signer = Signer::from_seed(&[7; 32]).unwrap();
        let (public, relays) = (signer.public(), vec![place(1, 1), place(2, 2)]);
        let mut leases = Leases::new(signer, relays.clone());
        let devices = |seed| [1, seed].map(|seed| Identity::from_secret([seed; 32]).public());
        let [caller, callee] = leases.make(devices(2), [[3; 32], [4; 32], [5; 32]], 1_000).unwrap();
        assert_eq!((caller.tag, &caller.token, caller.relay), (callee.tag, &callee.token, callee.relay));
        assert_ne!(caller.secret, callee.secret);
        let verifiers: Vec<_> =
            relays.iter().map(|relay| Verifier::new(relay_id(&relay.key), &[public]).unwrap()).collect();
        let terms = verifiers[0].verify(&caller.token, 1_000).unwrap();
        let peers = [caller.secret, callee.secret].map(|secret| Identity::from_secret(secret).public());
        assert_eq!((terms.peers, terms.tag, terms.expires_s), (peers, caller.tag, caller.expires_s));
        assert!(verifiers[1].verify(&caller.token, 1_000).is_err(), "another relay");
        assert!(verifiers[0].verify(&caller.token, 1_000 + LEASE_S).is_err(), "too late");
        let again = |leases: &mut Leases, seed, now_s| {
            leases.make(devices(seed), [[6; 32], [7; 32], [8; 32]], now_s).unwrap()[0].clone()
        };
        assert_eq!(again(&mut leases, 3, 1_000).relay, relays[1].address, "one after the other");
        let longer = again(&mut leases, 2, 2_000);
        assert_eq!((longer.tag, longer.secret, longer.relay), (caller.tag, caller.secret, caller.relay));
        assert_eq!(longer.expires_s, 2_000 + LEASE_S);
        let terms = verifiers[0].verify(&longer.token, 2_000 + LEASE_S - 1).unwrap();
        assert_eq!((terms.peers, terms.tag), (peers, caller.tag), "the same lease lasts longer");
        let another = again(&mut leases, 2, 2_000 + LEASE_S);
        assert_ne!((another.tag, another.secret), (caller.tag, caller.secret), "that one had run out");
    }

    #[test]
    fn relays_are_written_as_key_and_address() {
        let relay = place(1, 4749);
        assert_eq!(format!("{}@192.0.2.1:4749", relay.key).parse(), Ok(relay));
        for wrong in ["192.0.2.1:4749", "x@192.0.2.1:4749", &format!("{}@here", relay.key)] {
            assert!(wrong.parse::<RelayPlace>().is_err(), "{wrong}");
        }
    }
}
