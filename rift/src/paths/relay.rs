//! What peers, gateway and relay agree upon (SPEC §18.6): the terms of a lease, and a peer's share of it.
//!
//! A relay forwards between the two peers of a *lease* and reads nothing of it. Who introduces them signs the lease's
//! [`LeaseTerms`] as a token (PASETO v4.public), which is no secret. Each peer gets the token and the secret half of a key
//! made for it and for this lease: a [`Lease`]. It binds its address at the relay by showing the token with a MAC under
//! the key of X25519(its secret, the relay's public key), over what the relay drew: a token without the secret binds
//! nothing. Everything bound travels in [`Envelope`](crate::wire::relay::Envelope)s.

use core::net::SocketAddr;

use blake2::{Blake2s256, Digest};
use zeroize::Zeroize;

use crate::crypto::PublicKey;
use crate::limits::LEASE_TOKEN_MAX;
use crate::wire::relay::LEASE_TAG_LEN;

/// Bytes of a relay's name, see [`relay_id`].
pub const RELAY_ID_LEN: usize = 16;

/// A relay's name: the first 16 bytes of BLAKE2s-256 of its public key.
#[must_use]
pub fn relay_id(key: &PublicKey) -> [u8; RELAY_ID_LEN] {
    let mut id = [0; RELAY_ID_LEN];
    id.copy_from_slice(&Blake2s256::digest(key.as_bytes())[..RELAY_ID_LEN]);
    id
}

/// What the token of a lease says: the claims that a relay verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTerms {
    /// At which relay it holds, and at no other.
    pub relay: [u8; RELAY_ID_LEN],
    /// Its name in envelopes; drawn at random.
    pub tag: [u8; LEASE_TAG_LEN],
    /// The public halves of the keys made for the two peers: caller, callee.
    pub peers: [PublicKey; 2],
    /// What each peer may send, in bits per second.
    pub bitrate_bps: u32,
    /// It ends at this Unix time, in seconds.
    pub expires_s: u64,
}

/// One peer's share of a lease. Dropping it overwrites its secret.
#[derive(Clone)]
pub struct Lease {
    /// Where the relay is.
    pub relay: SocketAddr,
    /// The relay's static X25519 key.
    pub relay_key: PublicKey,
    /// Its name in envelopes.
    pub tag: [u8; LEASE_TAG_LEN],
    /// The secret half of this peer's key: an X25519 scalar.
    pub secret: [u8; 32],
    /// It ends at this Unix time, in seconds.
    pub expires_s: u64,
    /// The signed terms, as the relay wants to see them.
    pub token: heapless::Vec<u8, LEASE_TOKEN_MAX>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl core::fmt::Debug for Lease {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Lease")
            .field("relay", &self.relay)
            .field("expires_s", &self.expires_s)
            .finish_non_exhaustive()
    }
}
