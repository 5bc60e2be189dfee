//! Fresh keys for a session: `Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s` inside it (Noise revision 34, §9; SPEC §5).
//!
//! ```text
//! NNpsk0:  -> psk, e     48 bytes: key, tag of an empty payload
//!          <- e, ee      48 bytes, the same
//! ```
//!
//! The pre-shared key is a hash of the keys in use: who knows neither them nor an ephemeral secret learns nothing, and
//! who has learnt them and only listens is shut out again. It knows of no packets, no clock and no entropy. Invariant:
//! a message that is refused has changed nothing. Every secret is zeroized when dropped.

use blake2::{Blake2s256, Digest};
use x25519_dalek::StaticSecret;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::symmetric::{Symmetric, TAG_LEN};
use super::{Aead, HandshakeError, PacketKey, PublicKey};

const NAME: &[u8] = b"Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s";
const KEY_LEN: usize = 32;

/// Bytes of either message.
pub const RENEWAL_LEN: usize = KEY_LEN + TAG_LEN;

/// What the pre-shared key is hashed with.
const LABEL: &[u8] = b"rift renewal";

/// The two keys that come out, one for each direction.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct RenewedKeys {
    /// Of what the initiator sends.
    pub of_initiator: [u8; 32],
    /// Of what the responder sends.
    pub of_responder: [u8; 32],
}

/// The asking side, between its message and the answer.
pub struct Renewal {
    symmetric: Symmetric,
    ephemeral: StaticSecret,
}

/// The pre-shared key: BLAKE2s(`rift renewal` ‖ the initiator's key in use ‖ the responder's).
#[must_use]
pub fn pre_shared<A: Aead>(of_initiator: &PacketKey<A>, of_responder: &PacketKey<A>) -> Zeroizing<[u8; 32]> {
    let hash = Blake2s256::new().chain_update(LABEL).chain_update(of_initiator.secret());
    Zeroizing::new(hash.chain_update(of_responder.secret()).finalize().into())
}

impl Renewal {
    /// Begins: `ephemeral` is 32 bytes of entropy never used before, `prologue` what both sides must agree on.
    #[must_use]
    pub fn ask(pre_shared: &[u8; 32], ephemeral: [u8; 32], prologue: &[u8]) -> (Self, [u8; RENEWAL_LEN]) {
        let ephemeral = StaticSecret::from(ephemeral);
        let mut symmetric = begin(pre_shared, prologue);
        let message =
            put(&mut symmetric, &ephemeral, None).expect("no exchange of keys, so none that can fail");
        (Self { symmetric, ephemeral }, message)
    }

    /// Answers a request.
    ///
    /// # Errors
    /// [`HandshakeError::Authentication`] when it is none, or its key has a small order.
    pub fn answer(
        pre_shared: &[u8; 32],
        ephemeral: [u8; 32],
        prologue: &[u8],
        request: &[u8; RENEWAL_LEN],
    ) -> Result<([u8; RENEWAL_LEN], RenewedKeys), HandshakeError> {
        let ephemeral = StaticSecret::from(ephemeral);
        let mut symmetric = begin(pre_shared, prologue);
        let peer = take(&mut symmetric, request, None)?;
        let message = put(&mut symmetric, &ephemeral, Some(&peer))?;
        Ok((message, split(&symmetric)))
    }

    /// Takes the answer.
    ///
    /// # Errors
    /// [`HandshakeError::Authentication`] when it is none; the right one is still taken.
    pub fn finish(&self, answer: &[u8; RENEWAL_LEN]) -> Result<RenewedKeys, HandshakeError> {
        let mut symmetric = self.symmetric.clone();
        take(&mut symmetric, answer, Some(&self.ephemeral))?;
        Ok(split(&symmetric))
    }
}

impl core::fmt::Debug for Renewal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Renewal").finish_non_exhaustive()
    }
}

impl core::fmt::Debug for RenewedKeys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("RenewedKeys").finish_non_exhaustive()
    }
}

fn begin(pre_shared: &[u8; 32], prologue: &[u8]) -> Symmetric {
    let mut symmetric = Symmetric::new(NAME, prologue);
    symmetric.mix_key_and_hash(pre_shared);
    symmetric
}

/// Writes `e`, then `ee` if the peer's key is known, then an empty payload.
fn put(
    symmetric: &mut Symmetric,
    ephemeral: &StaticSecret,
    peer: Option<&PublicKey>,
) -> Result<[u8; RENEWAL_LEN], HandshakeError> {
    let mut message = [0; RENEWAL_LEN];
    let (key, tag) = message.split_at_mut(KEY_LEN);
    let public = x25519_dalek::PublicKey::from(ephemeral).to_bytes();
    key.copy_from_slice(&public);
    symmetric.mix_hash(&public);
    symmetric.mix_key(&public);
    if let Some(peer) = peer {
        mix_dh(symmetric, ephemeral, peer)?;
    }
    symmetric.seal(tag);
    Ok(message)
}

/// Reads `e`, then `ee` if `own` is the key the peer has, then an empty payload.
fn take(
    symmetric: &mut Symmetric,
    message: &[u8; RENEWAL_LEN],
    own: Option<&StaticSecret>,
) -> Result<PublicKey, HandshakeError> {
    let (key, tag) = message.split_first_chunk::<KEY_LEN>().ok_or(HandshakeError::Malformed)?;
    let peer = PublicKey::from_bytes(*key);
    if peer.has_small_order() {
        return Err(HandshakeError::Authentication);
    }
    symmetric.mix_hash(key);
    symmetric.mix_key(key);
    if let Some(own) = own {
        mix_dh(symmetric, own, &peer)?;
    }
    symmetric.open(tag, &mut [])?;
    Ok(peer)
}

fn mix_dh(symmetric: &mut Symmetric, own: &StaticSecret, peer: &PublicKey) -> Result<(), HandshakeError> {
    let shared = own.diffie_hellman(&x25519_dalek::PublicKey::from(*peer.as_bytes()));
    // An all-zero secret is one that everybody knows (RFC 7748 §6.1).
    if !shared.was_contributory() {
        return Err(HandshakeError::Authentication);
    }
    symmetric.mix_key(shared.as_bytes());
    Ok(())
}

fn split(symmetric: &Symmetric) -> RenewedKeys {
    let (of_initiator, of_responder) = symmetric.split();
    RenewedKeys { of_initiator: *of_initiator, of_responder: *of_responder }
}

// `StaticSecret` zeroizes itself only if x25519-dalek was built with its `zeroize` feature, and then has a destructor.
const _: () = assert!(core::mem::needs_drop::<StaticSecret>() && core::mem::needs_drop::<Symmetric>());

#[cfg(test)]
mod tests {
    use super::*;

    const PROLOGUE: &[u8] = b"generation 1";

    #[test]
    fn both_sides_get_the_same_keys_and_each_renewal_others() {
        let (renewal, request) = Renewal::ask(&[1; 32], [2; 32], PROLOGUE);
        let (reply, of_responder) = Renewal::answer(&[1; 32], [3; 32], PROLOGUE, &request).unwrap();
        let of_initiator = renewal.finish(&reply).unwrap();
        assert_eq!(of_initiator.of_initiator, of_responder.of_initiator);
        assert_eq!(of_initiator.of_responder, of_responder.of_responder);
        assert_ne!(of_initiator.of_initiator, of_initiator.of_responder);
        let (_, others) = Renewal::answer(&[1; 32], [4; 32], PROLOGUE, &request).unwrap();
        assert_ne!(others.of_initiator, of_responder.of_initiator);
    }

    #[test]
    fn another_key_prologue_or_any_flipped_bit_is_refused_and_the_true_answer_still_taken() {
        let (renewal, request) = Renewal::ask(&[1; 32], [2; 32], PROLOGUE);
        assert!(Renewal::answer(&[9; 32], [3; 32], PROLOGUE, &request).is_err());
        assert!(Renewal::answer(&[1; 32], [3; 32], b"generation 2", &request).is_err());
        assert!(Renewal::answer(&[1; 32], [3; 32], PROLOGUE, &[0; RENEWAL_LEN]).is_err());
        let (reply, _) = Renewal::answer(&[1; 32], [3; 32], PROLOGUE, &request).unwrap();
        for bit in 0..RENEWAL_LEN * 8 {
            let flip = |mut message: [u8; RENEWAL_LEN]| {
                message[bit / 8] ^= 1 << (bit % 8);
                message
            };
            // X25519 ignores the highest bit of a key; the transcript does not.
            assert!(Renewal::answer(&[1; 32], [3; 32], PROLOGUE, &flip(request)).is_err(), "bit {bit}");
            assert!(renewal.finish(&flip(reply)).is_err(), "bit {bit}");
        }
        assert!(renewal.finish(&reply).is_ok());
    }
}
