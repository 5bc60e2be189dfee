//! X25519 (RFC 7748) by the fastest engine this machine has, for handshakes.
//!
//! The core's own is portable Rust. graviola's is assembly of s2n-bignum, proven to be constant in time and to compute
//! what the RFC says, and costs half. It was taken because it builds with nothing but rustc and takes a secret that is
//! given; ring multiplies only secrets it drew itself, and aws-lc-rs, which has the same assembly, needs a C compiler.
//! It has no portable code, so a processor without the instructions it asks for is served by the core's.
//!
//! Invariant: stateless, and the bytes are those of the core; the tests hold it to them.

use rift::{Dalek, X25519};
use zeroize::Zeroizing;

/// X25519 by whatever is fastest here.
#[derive(Clone, Copy, Debug, Default)]
pub struct NativeX25519;

impl X25519 for NativeX25519 {
    fn public_key(secret: &[u8; 32]) -> [u8; 32] {
        assembly::public_key(secret).unwrap_or_else(|| Dalek::public_key(secret))
    }

    fn shared_secret(secret: &[u8; 32], peer: &[u8; 32]) -> Zeroizing<[u8; 32]> {
        assembly::shared_secret(secret, peer).unwrap_or_else(|| Dalek::shared_secret(secret, peer))
    }
}

/// `None` where the processor lacks instructions.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod assembly {
    use graviola::key_agreement::x25519::{PublicKey, StaticPrivateKey};
    use zeroize::Zeroizing;

    pub(super) fn public_key(secret: &[u8; 32]) -> Option<[u8; 32]> {
        is_supported().then(|| StaticPrivateKey::from_array(secret).public_key().as_bytes())
    }

    pub(super) fn shared_secret(secret: &[u8; 32], peer: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
        is_supported().then(|| {
            let shared = StaticPrivateKey::from_array(secret).diffie_hellman(&PublicKey::from_array(peer));
            // It refuses the secret that is all zeros, which is for the handshake to refuse.
            shared.map_or_else(|_| Zeroizing::default(), |shared| Zeroizing::new(shared.as_bytes()))
        })
    }

    /// Whether the processor has what graviola asserts before it computes anything.
    #[cfg(target_arch = "x86_64")]
    fn is_supported() -> bool {
        use std::is_x86_feature_detected as has;
        has!("adx")
            && has!("aes")
            && has!("avx")
            && has!("avx2")
            && has!("bmi1")
            && has!("bmi2")
            && has!("pclmulqdq")
    }

    /// See above.
    #[cfg(target_arch = "aarch64")]
    fn is_supported() -> bool {
        use std::arch::is_aarch64_feature_detected as has;
        has!("aes") && has!("neon") && has!("pmull") && has!("sha2")
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod assembly {
    use zeroize::Zeroizing;

    pub(super) const fn public_key(_: &[u8; 32]) -> Option<[u8; 32]> {
        None
    }

    pub(super) const fn shared_secret(_: &[u8; 32], _: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
        None
    }
}
