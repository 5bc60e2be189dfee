//! Leases of relays for those who are introduced (SPEC §18.6): the gateway says how much and for how long, and signs it.
//!
//! The key that signs can change while everything goes on: relays are told the next one, it signs once they have had time to
//! hear of it, and the one before stays told until its last lease has ended. Each is a file, so that a restart goes on
//! where it was.

use core::net::SocketAddr;
use core::str::FromStr;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rift::paths::relay::{Lease, LeaseTerms, relay_id};
use rift::wire::fleet::{LeaseKeys, RelayPlace};
use rift::wire::relay::LEASE_TAG_LEN;
use rift::{Identity, PublicKey};
use rift_paseto::Signer;
use zeroize::Zeroizing;

use crate::GatewayError;
use crate::state::limits::SESSIONS_MAX;

/// How long a lease lasts, in seconds. Who is introduced again gets another.
pub const LEASE_S: u64 = 3_600;
/// How long the next key is told before it signs, in seconds: four beats of a relay.
pub const OVERLAP_S: u64 = 60;
/// Leases that are remembered to be lengthened: two for each device that may be there.
const LENT_MAX: usize = 2 * SESSIONS_MAX;
/// What each peer may send, in bits per second: a desktop at its best.
const BITRATE_BPS: u32 = 100_000_000;

/// A relay as the operator names it: `ID@ADDRESS:PORT`, or `ID` when the relay says itself where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayName {
    /// Its static key; `wavry-relay id` prints its text.
    pub key: PublicKey,
    /// Its address, as peers reach it.
    pub address: Option<SocketAddr>,
}

impl FromStr for RelayName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, address) = text.split_once('@').map_or((text, None), |(key, at)| (key, Some(at)));
        let address =
            address.map(|text| text.parse().map_err(|error| format!("{text}: {error}"))).transpose()?;
        let key = key.parse().map_err(|error| {
            format!("{key}: {error}; write ID or ID@ADDRESS:PORT, with the ID that `wavry-relay id` prints")
        })?;
        Ok(Self { key, address })
    }
}

/// Makes leases.
#[derive(Debug)]
pub struct Leases {
    /// The file of the key that signs; the others stand beside it.
    path: PathBuf,
    signer: Signer,
    /// The key that signs soon, and since when relays are told of it, as Unix time.
    next: Option<(Signer, u64)>,
    /// The key that signed before, and until when leases by it may last.
    before: Option<([u8; 32], u64)>,
    /// What pairs of devices, caller and callee, have of leases at a relay that last still.
    lent: BTreeMap<([PublicKey; 2], PublicKey), Lent>,
}

/// What a lease goes on with when its devices are introduced again: the way that they go under its tag stays open.
#[derive(Debug)]
struct Lent {
    tag: [u8; LEASE_TAG_LEN],
    secrets: Zeroizing<[[u8; 32]; 2]>,
    expires_s: u64,
}

impl Leases {
    /// Leases signed by the key in this file, made when there is none, at Unix time `now_s`.
    ///
    /// # Errors
    /// The keystore's.
    pub fn open(path: &Path, now_s: u64) -> Result<Self, GatewayError> {
        let is_there = |path: PathBuf| path.exists().then_some(path);
        let next = is_there(beside(path, NEXT)).map(|path| signer(&path)).transpose()?;
        let before = is_there(beside(path, BEFORE)).map(|path| signer(&path)).transpose()?;
        Ok(Self {
            path: path.to_owned(),
            signer: signer(path)?,
            next: next.map(|signer| (signer, now_s)),
            before: before.map(|signer| (signer.public(), now_s + LEASE_S)),
            lent: BTreeMap::new(),
        })
    }

    /// Every key that relays have to trust, the one that signs first.
    #[must_use]
    pub fn keys(&self) -> LeaseKeys {
        let next = self.next.as_ref().map(|(signer, _)| signer.public());
        let before = self.before.map(|(key, _)| key);
        [Some(self.signer.public()), next, before].into_iter().flatten().collect()
    }

    /// Makes the next key, which signs after [`OVERLAP_S`]. Nothing if there is one already.
    ///
    /// # Errors
    /// The keystore's.
    pub fn rotate(&mut self, now_s: u64) -> Result<(), GatewayError> {
        if self.next.is_none() {
            self.next = Some((signer(&beside(&self.path, NEXT))?, now_s));
        }
        Ok(())
    }

    /// Goes on with the next key when its time has come, and forgets the one before when its last lease has ended. To be
    /// called now and then.
    ///
    /// # Errors
    /// The system's, when files cannot be renamed: the keys stay what they are.
    pub fn tend(&mut self, now_s: u64) -> Result<(), GatewayError> {
        let wrong = |source| GatewayError::Io { what: "cannot change the lease key", source };
        if let Some((next, _)) = self.next.take_if(|(_, since_s)| now_s >= *since_s + OVERLAP_S) {
            std::fs::rename(&self.path, beside(&self.path, BEFORE)).map_err(wrong)?;
            std::fs::rename(beside(&self.path, NEXT), &self.path).map_err(wrong)?;
            let before = core::mem::replace(&mut self.signer, next);
            self.before = Some((before.public(), now_s + LEASE_S));
        }
        if self.before.take_if(|(_, until_s)| now_s >= *until_s).is_some() {
            std::fs::remove_file(beside(&self.path, BEFORE)).map_err(wrong)?;
        }
        Ok(())
    }

    /// Shares of a lease at this relay for these two, caller and callee: the one that they have there, for longer, or a new
    /// one. `entropy` is three times 32 bytes never used before, `now_s` the Unix time in seconds. `None` when the system
    /// cannot sign.
    #[must_use]
    pub fn make(
        &mut self,
        relay: RelayPlace,
        devices: [PublicKey; 2],
        entropy: [[u8; 32]; 3],
        now_s: u64,
    ) -> Option<[Lease; 2]> {
        let [caller, callee, tag] = entropy;
        let expires_s = now_s + LEASE_S;
        self.lent.retain(|_, lent| lent.expires_s > now_s);
        let place = (devices, relay.key);
        if self.lent.len() == LENT_MAX && !self.lent.contains_key(&place) {
            // Its devices keep it; when they are introduced again they get another.
            let oldest = self.lent.iter().min_by_key(|(_, lent)| lent.expires_s).map(|(&place, _)| place);
            oldest.map(|place| self.lent.remove(&place));
        }
        let new = Lent { tag: *tag.first_chunk()?, secrets: Zeroizing::new([caller, callee]), expires_s };
        let lent = self.lent.entry(place).or_insert(new);
        lent.expires_s = expires_s;
        let (tag, secrets) = (lent.tag, *lent.secrets);
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

const NEXT: &str = "next";
const BEFORE: &str = "before";

fn beside(path: &Path, which: &str) -> PathBuf {
    path.with_extension(which)
}

fn signer(path: &Path) -> Result<Signer, GatewayError> {
    let seed = rift_keystore::load_or_create_secret(path)?;
    Signer::from_seed(&seed).map_err(|_| GatewayError::LeaseKey)
}

#[cfg(test)]
mod tests {
    use rift_paseto::Verifier;

    use super::*;

    /// A directory of this test's own, gone with it.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("wavry-leases-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn leases(&self, now_s: u64) -> Leases {
            Leases::open(&self.0.join("lease-key"), now_s).unwrap()
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn place(seed: u8) -> RelayPlace {
        let key = Identity::from_secret([seed; 32]).public();
        RelayPlace { key, address: ([192, 0, 2, seed], 4749).into() }
    }

    fn devices(seed: u8) -> [PublicKey; 2] {
        [1, seed].map(|seed| Identity::from_secret([seed; 32]).public())
    }

    const ENTROPY: [[u8; 32]; 3] = [[3; 32], [4; 32], [5; 32]];

    #[test]
    fn both_get_shares_of_one_lease_that_their_relay_believes_and_no_other() {
        let directory = Place::new("shares");
        let mut leases = directory.leases(1_000);
        let [caller, callee] = leases.make(place(1), devices(2), ENTROPY, 1_000).unwrap();
        assert_eq!((caller.tag, &caller.token, caller.relay), (callee.tag, &callee.token, callee.relay));
        assert_ne!(caller.secret, callee.secret);
        let keys = leases.keys();
        let verifier = |seed| Verifier::new(relay_id(&place(seed).key), &keys).unwrap();
        let terms = verifier(1).verify(&caller.token, 1_000).unwrap();
        let peers = [caller.secret, callee.secret].map(|secret| Identity::from_secret(secret).public());
        assert_eq!((terms.peers, terms.tag, terms.expires_s), (peers, caller.tag, caller.expires_s));
        assert!(verifier(2).verify(&caller.token, 1_000).is_err(), "another relay");
        assert!(verifier(1).verify(&caller.token, 1_000 + LEASE_S).is_err(), "too late");
        let again = |leases: &mut Leases, seed, now_s| {
            let entropy = [[6; 32], [7; 32], [8; 32]];
            leases.make(place(1), devices(seed), entropy, now_s).unwrap()[0].clone()
        };
        assert_ne!(again(&mut leases, 3, 1_000).tag, caller.tag, "others have another");
        let longer = again(&mut leases, 2, 2_000);
        assert_eq!((longer.tag, longer.secret, longer.relay), (caller.tag, caller.secret, caller.relay));
        assert_eq!(longer.expires_s, 2_000 + LEASE_S);
        let terms = verifier(1).verify(&longer.token, 2_000 + LEASE_S - 1).unwrap();
        assert_eq!((terms.peers, terms.tag), (peers, caller.tag), "the same lease lasts longer");
        let another = again(&mut leases, 2, 2_000 + LEASE_S);
        assert_ne!((another.tag, another.secret), (caller.tag, caller.secret), "that one had run out");
    }

    /// SPEC §18.9: whoever heard the keys at any time within the overlap believes every lease that has not ended.
    #[test]
    fn keys_change_without_a_lease_that_is_not_believed() {
        let directory = Place::new("rotation");
        let mut leases = directory.leases(0);
        let first = leases.keys();
        leases.rotate(1_000).unwrap();
        leases.rotate(1_001).unwrap();
        assert_eq!(leases.keys().len(), 2, "one next key at a time");
        let mut made: Vec<(u64, Lease)> = Vec::new();
        let mut heard = leases.keys();
        for now_s in (1_000..1_000 + 2 * LEASE_S).step_by(20) {
            leases.tend(now_s).unwrap();
            let [share, _] = leases.make(place(1), devices(2), ENTROPY, now_s).unwrap();
            made.push((now_s, share));
            // The relay is as late as a relay may be that still gets leases.
            let verifier = Verifier::new(relay_id(&place(1).key), &heard).unwrap();
            made.retain(|(_, share)| share.expires_s > now_s);
            for (at, share) in [made.first(), made.last()].into_iter().flatten() {
                assert!(verifier.verify(&share.token, now_s).is_ok(), "made at {at}, shown at {now_s}");
            }
            if now_s % 40 == 0 {
                heard = leases.keys();
            }
            if now_s == 1_040 {
                // A restart tells the next key for as long again.
                leases = directory.leases(now_s);
            }
        }
        assert!(leases.keys().len() == 1 && leases.keys() != first, "the first key is forgotten");
        assert_eq!(directory.leases(9_999).keys(), leases.keys());
    }

    #[test]
    fn relays_are_written_as_key_and_address() {
        let key = place(1).key;
        let address = Some(place(1).address);
        assert_eq!(format!("{key}@192.0.2.1:4749").parse(), Ok(RelayName { key, address }));
        assert_eq!(key.to_string().parse(), Ok(RelayName { key, address: None }));
        for wrong in ["192.0.2.1:4749", "x@192.0.2.1:4749", &format!("{key}@here")] {
            assert!(wrong.parse::<RelayName>().is_err(), "{wrong}");
        }
    }
}
