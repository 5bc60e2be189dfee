//! The key with which a peer binds its address at a relay (SPEC §18.8): both have it from X25519 between the key made for
//! this peer and this lease, and the relay's.

use blake2::digest::consts::U16;
use blake2::{Blake2s256, Blake2sMac, Digest};
use hmac::Mac;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::x25519::is_contributory;
use super::{Identity, PublicKey};
use crate::wire::bind::{BIND_MAC_LEN, LeaseSide};
use crate::wire::relay::LEASE_TAG_LEN;

/// See the module. Zeroized when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct BindKey([u8; 32]);

impl BindKey {
    /// The key of one peer of a lease: from the secret of the one end and the public key of the other. `None` when the
    /// public key is one that makes every secret the same.
    #[must_use]
    pub fn new(
        own: &Identity,
        other: &PublicKey,
        tag: &[u8; LEASE_TAG_LEN],
        side: LeaseSide,
    ) -> Option<Self> {
        let shared = own.diffie_hellman(other);
        let hash = Blake2s256::new()
            .chain_update(b"rift relay bind")
            .chain_update(*shared)
            .chain_update(tag)
            .chain_update([side.code()]);
        is_contributory(&shared).then(|| Self(hash.finalize().into()))
    }

    /// Writes the MAC over all of `message` but its last bytes into those.
    pub fn sign(&self, message: &mut [u8]) {
        if let Some((before, place)) = message.split_last_chunk_mut::<BIND_MAC_LEN>() {
            *place = self.mac(before);
        }
    }

    /// Whether the MAC at the end of `message` is right for what stands before it, in constant time.
    #[must_use]
    pub fn verify(&self, message: &[u8]) -> bool {
        message
            .split_last_chunk::<BIND_MAC_LEN>()
            .is_some_and(|(before, mac)| self.mac(before).ct_eq(mac).into())
    }

    fn mac(&self, bytes: &[u8]) -> [u8; BIND_MAC_LEN] {
        let mut mac =
            <Blake2sMac<U16> as Mac>::new_from_slice(&self.0).expect("BLAKE2s takes keys of up to 32 bytes");
        mac.update(bytes);
        mac.finalize().into_bytes().into()
    }
}

impl core::fmt::Debug for BindKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("BindKey").finish_non_exhaustive()
    }
}
