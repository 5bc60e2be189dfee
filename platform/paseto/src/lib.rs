//! Leases of relays as tokens (SPEC §18.6): PASETO v4.public, which is Ed25519 over a fixed suite without options to get
//! wrong. A gateway signs; a relay verifies with the public keys of those it trusts.
//!
//! `pasetors` was taken because it is maintained, follows the specification's test vectors, makes no choice for us
//! (`rusty_paseto` has a builder for claims we do not have), and needs no system library.
//!
//! ```text
//! message            {"relay":"hex","tag":"hex","caller":"hex","callee":"hex","bps":20000000,"end":1767225600}
//! footer             {"kid":"k4.pid.…"}: which key, so that the next one can be trusted before the last one goes
//! implicit assertion "wavry relay lease": a signature of the same key over anything else is none
//! ```
//!
//! Invariant: what does not verify is not parsed, but for the footer, which chooses the key.

use curve25519_dalek::edwards::EdwardsPoint;
use pasetors::keys::{AsymmetricKeyPair, AsymmetricPublicKey, AsymmetricSecretKey, Generate as _};
use pasetors::paserk::{FormatAsPaserk as _, Id};
use pasetors::token::UntrustedToken;
use pasetors::version4::{PublicToken, V4};
use pasetors::{Public, errors};
use rift::PublicKey;
use rift::limits::LEASE_TOKEN_MAX;
use rift::paths::relay::LeaseTerms;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

const ASSERTION: &[u8] = b"wavry relay lease";

/// Why a token is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It is no token of this kind, or too long.
    #[error("this is no lease token")]
    Malformed,
    /// It names a key that is not trusted, or the signature is not that key's.
    #[error("the token is signed by nobody this relay trusts")]
    Signature,
    /// It holds at another relay.
    #[error("the token is for another relay")]
    OtherRelay,
    /// Its end has come.
    #[error("the lease has ended")]
    Expired,
}

#[derive(Serialize, Deserialize)]
struct Footer {
    kid: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    relay: String,
    tag: String,
    caller: String,
    callee: String,
    bps: u32,
    end: u64,
}

/// Signs leases.
#[derive(Debug)]
pub struct Signer {
    secret: AsymmetricSecretKey<V4>,
    public: [u8; 32],
    footer: String,
}

impl Signer {
    /// A new key.
    ///
    /// # Errors
    /// When the system has no entropy.
    pub fn generate() -> Result<Self, errors::Error> {
        let pair = AsymmetricKeyPair::<V4>::generate()?;
        Self::from_secret(pair.secret.as_bytes())
    }

    /// The key with these bytes: 32 of the seed and 32 of the public key.
    ///
    /// # Errors
    /// When they are not that.
    pub fn from_secret(bytes: &[u8]) -> Result<Self, errors::Error> {
        let secret = AsymmetricSecretKey::<V4>::from(bytes)?;
        let public = AsymmetricPublicKey::try_from(&secret)?;
        let bytes = public.as_bytes().try_into().map_err(|_| errors::Error::Key)?;
        Ok(Self { secret, public: bytes, footer: footer(&public) })
    }

    /// The key of this seed (RFC 8032 §5.1.5): 32 bytes of entropy, kept as other secrets are.
    ///
    /// # Errors
    /// Never for what is written here; the library's words if it thinks otherwise.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, errors::Error> {
        let hash = Zeroizing::new(<[u8; 64]>::from(Sha512::digest(seed)));
        let scalar = Zeroizing::new(*hash.first_chunk::<32>().expect("half of it"));
        let public = EdwardsPoint::mul_base_clamped(*scalar).compress();
        let mut bytes = Zeroizing::new([0; 64]);
        bytes[..32].copy_from_slice(seed);
        bytes[32..].copy_from_slice(public.as_bytes());
        Self::from_secret(&*bytes)
    }

    /// The bytes to keep it by. Whoever reads them can sign leases.
    #[must_use]
    pub fn secret(&self) -> &[u8] {
        self.secret.as_bytes()
    }

    /// What relays verify with.
    #[must_use]
    pub const fn public(&self) -> [u8; 32] {
        self.public
    }

    /// Signs a lease.
    ///
    /// # Errors
    /// When the system has no entropy for the signature.
    pub fn sign(&self, terms: &LeaseTerms) -> Result<String, errors::Error> {
        let [caller, callee] = &terms.peers;
        let claims = Claims {
            relay: hex(&terms.relay),
            tag: hex(&terms.tag),
            caller: hex(caller.as_bytes()),
            callee: hex(callee.as_bytes()),
            bps: terms.bitrate_bps,
            end: terms.expires_s,
        };
        let message = serde_json::to_vec(&claims).map_err(|_| errors::Error::InvalidClaim)?;
        PublicToken::sign(&self.secret, &message, Some(self.footer.as_bytes()), Some(ASSERTION))
    }
}

/// Verifies leases for one relay.
#[derive(Debug)]
pub struct Verifier {
    relay: [u8; 16],
    /// By what the footer says of each.
    keys: Vec<(String, AsymmetricPublicKey<V4>)>,
}

impl Verifier {
    /// Trusts whoever has one of these keys.
    ///
    /// # Errors
    /// When one of them is no key.
    pub fn new(relay: [u8; 16], keys: &[[u8; 32]]) -> Result<Self, errors::Error> {
        let keyed = |bytes: &[u8; 32]| {
            let key = AsymmetricPublicKey::<V4>::from(bytes)?;
            Ok((footer(&key), key))
        };
        Ok(Self { relay, keys: keys.iter().map(keyed).collect::<Result<_, errors::Error>>()? })
    }

    /// What a token says, if it may be believed at `unix_s` (seconds of Unix time).
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn verify(&self, token: &[u8], unix_s: u64) -> Result<LeaseTerms, TokenError> {
        let text = core::str::from_utf8(token).ok().filter(|text| text.len() <= LEASE_TOKEN_MAX);
        let untrusted = text.and_then(|text| UntrustedToken::<Public, V4>::try_from(text).ok());
        let untrusted = untrusted.ok_or(TokenError::Malformed)?;
        let said = untrusted.untrusted_footer();
        let key = self.keys.iter().find(|(footer, _)| footer.as_bytes() == said).map(|(_, key)| key);
        let key = key.ok_or(TokenError::Signature)?;
        let trusted = PublicToken::verify(key, &untrusted, Some(said), Some(ASSERTION))
            .map_err(|_| TokenError::Signature)?;
        let claims: Claims = serde_json::from_str(trusted.payload()).map_err(|_| TokenError::Malformed)?;
        let terms = terms(&claims).ok_or(TokenError::Malformed)?;
        if terms.relay != self.relay {
            return Err(TokenError::OtherRelay);
        }
        if terms.expires_s <= unix_s {
            return Err(TokenError::Expired);
        }
        Ok(terms)
    }
}

fn terms(claims: &Claims) -> Option<LeaseTerms> {
    let key = |text: &str| bytes(text).map(PublicKey::from_bytes);
    Some(LeaseTerms {
        relay: bytes(&claims.relay)?,
        tag: bytes(&claims.tag)?,
        peers: [key(&claims.caller)?, key(&claims.callee)?],
        bitrate_bps: claims.bps,
        expires_s: claims.end,
    })
}

fn footer(key: &AsymmetricPublicKey<V4>) -> String {
    let mut kid = String::new();
    // Writing into a string does not fail.
    let _ = Id::from(key).fmt(&mut kid);
    serde_json::to_string(&Footer { kid }).unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    let mut bytes = [0; N];
    if digits.len() != 2 * N || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.as_chunks::<2>().0) {
        *byte = u8::from_str_radix(core::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}
