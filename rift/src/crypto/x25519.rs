//! X25519 (RFC 7748): what handshakes multiply with.

use subtle::ConstantTimeEq as _;
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

/// X25519 by some implementation. All of them make the same bytes, in constant time; keys are those of RFC 7748 §5, which
/// clears and sets bits of secrets and passes over the top bit of public keys.
pub trait X25519: Clone {
    /// The public key of `secret`.
    fn public_key(secret: &[u8; 32]) -> [u8; 32];

    /// What the holder of `secret` shares with the holder of `peer`'s; all zeros if `peer` is a point of small order.
    fn shared_secret(secret: &[u8; 32], peer: &[u8; 32]) -> Zeroizing<[u8; 32]>;
}

/// The core's own, for every target: the `x25519-dalek` crate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dalek;

impl X25519 for Dalek {
    fn public_key(secret: &[u8; 32]) -> [u8; 32] {
        x25519_dalek::PublicKey::from(&StaticSecret::from(*secret)).to_bytes()
    }

    fn shared_secret(secret: &[u8; 32], peer: &[u8; 32]) -> Zeroizing<[u8; 32]> {
        let shared = StaticSecret::from(*secret).diffie_hellman(&x25519_dalek::PublicKey::from(*peer));
        Zeroizing::new(shared.to_bytes())
    }
}

/// Whether both sides had a part in a shared secret: an all-zero one is what everybody knows (RFC 7748 §6.1).
pub(super) fn is_contributory(shared: &[u8; 32]) -> bool {
    !bool::from(shared.ct_eq(&[0; 32]))
}

// `StaticSecret` zeroizes itself only if x25519-dalek was built with its `zeroize` feature, and then it has a destructor.
const _: () = assert!(core::mem::needs_drop::<StaticSecret>());
