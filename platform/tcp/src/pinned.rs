//! TLS under the pinned identity.
//!
//! A gateway and a relay are known by a static X25519 key. That key has a twin for signatures: the point of the Edwards curve with the
//! same place on it and the sign bit 0 (RFC 7748 §4.1, XEdDSA: Perrin, *The XEdDSA and VXEdDSA Signature Schemes*, §2.3). Whoever
//! knows the pinned key computes the twin; only who has the secret half signs for it. So TLS needs nothing beside the pin: the
//! service shows the twin as a raw public key (RFC 7250), and the peer compares it before it verifies the signature.

use std::sync::Arc;

use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::montgomery::MontgomeryPoint;
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use ed25519_dalek::VerifyingKey;
use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
use rift::{Identity, PublicKey};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, Resumption};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage, ServerConfig};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::version::TLS13;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureAlgorithm, SignatureScheme};
use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

/// SubjectPublicKeyInfo of an Ed25519 key up to the key itself (RFC 8410 §4).
const SPKI_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const NONCES: &[u8] = b"rift tls nonces";

/// The Ed25519 key by which who has the static key `identity` signs in TLS; `None` when that is no point of the curve.
#[must_use]
pub fn pinned_key(identity: &PublicKey) -> Option<[u8; 32]> {
    let point = MontgomeryPoint(*identity.as_bytes()).to_edwards(0)?;
    (!point.is_small_order()).then(|| point.compress().to_bytes())
}

fn spki(key: [u8; 32]) -> Vec<u8> {
    [&SPKI_HEAD[..], &key].concat()
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// How a service with this identity takes streams.
pub(crate) fn server(identity: &Identity) -> Result<Arc<ServerConfig>, Error> {
    let twin = Arc::new(Twin::new(identity)?);
    let shown = CertificateDer::from(spki(twin.verifying.to_bytes()));
    let key = Arc::new(CertifiedKey::new(vec![shown], twin));
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(key)));
    // Nothing is remembered of who was there.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// How a peer calls who has this identity, and nobody else.
pub(crate) fn client(identity: &PublicKey) -> Result<Arc<ClientConfig>, Error> {
    let key = pinned_key(identity).ok_or_else(|| Error::General("the pinned key is none".to_owned()))?;
    let provider = provider();
    let pinned = Pinned { spki: spki(key), provider: Arc::clone(&provider) };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pinned))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    // A name would tell who is on the way with whom.
    config.enable_sni = false;
    Ok(Arc::new(config))
}

/// The secret half of an identity's twin.
struct Twin {
    secret: ExpandedSecretKey,
    verifying: VerifyingKey,
}

impl Twin {
    fn new(identity: &Identity) -> Result<Self, Error> {
        let bytes = Zeroizing::new(clamp_integer(*identity.secret_bytes()));
        let positive = Zeroizing::new(Scalar::from_bytes_mod_order(*bytes));
        let point = EdwardsPoint::mul_base(&positive).compress();
        // Of the two keys with that place, the one whose sign bit is 0.
        let scalar = if point.as_bytes()[31] >> 7 == 1 { -*positive } else { *positive };
        let verifying = VerifyingKey::from(EdwardsPoint::mul_base(&scalar));
        let nonces = Zeroizing::new(<[u8; 64]>::from(
            Sha512::new().chain_update(NONCES).chain_update(identity.secret_bytes()).finalize(),
        ));
        let mut hash_prefix = [0; 32];
        hash_prefix.copy_from_slice(&nonces[..32]);
        if pinned_key(&identity.public()) != Some(verifying.to_bytes()) {
            return Err(Error::General("this identity cannot sign".to_owned()));
        }
        Ok(Self { secret: ExpandedSecretKey { scalar, hash_prefix }, verifying })
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        raw_sign::<Sha512>(&self.secret, message, &self.verifying).to_bytes()
    }
}

impl core::fmt::Debug for Twin {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Twin").finish_non_exhaustive()
    }
}

impl SigningKey for Twin {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let copy = ExpandedSecretKey { scalar: self.secret.scalar, hash_prefix: self.secret.hash_prefix };
        let is_known = offered.contains(&SignatureScheme::ED25519);
        is_known.then(|| {
            Box::new(TwinSigner(Self { secret: copy, verifying: self.verifying })) as Box<dyn Signer>
        })
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(spki(self.verifying.to_bytes()).into())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

#[derive(Debug)]
struct TwinSigner(Twin);

impl Signer for TwinSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.0.sign(message).to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

/// Believes one key.
#[derive(Debug)]
struct Pinned {
    spki: Vec<u8>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if end_entity.as_ref() == self.spki && intermediates.is_empty() {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(cert.as_ref());
        verify_tls13_signature_with_raw_key(
            message,
            &key,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half of all keys have to be turned round; `verify_strict` is another implementation of what TLS does.
    #[test]
    fn every_identity_signs_for_the_key_that_follows_from_its_pin() {
        for seed in 0..64_u8 {
            let identity = Identity::from_secret([seed; 32]);
            let twin = Twin::new(&identity).unwrap();
            let key = VerifyingKey::from_bytes(&pinned_key(&identity.public()).unwrap()).unwrap();
            let signature = ed25519_dalek::Signature::from_bytes(&twin.sign(b"hello"));
            assert!(key.verify_strict(b"hello", &signature).is_ok(), "seed {seed}");
            assert!(key.verify_strict(b"hellu", &signature).is_err(), "seed {seed}");
        }
    }

    #[test]
    fn what_is_no_key_has_no_twin() {
        for bytes in [[0; 32], {
            let mut one = [0; 32];
            one[0] = 1;
            one
        }] {
            assert_eq!(pinned_key(&PublicKey::from_bytes(bytes)), None, "small order");
        }
        let two = {
            let mut two = [0; 32];
            two[0] = 2;
            two
        };
        assert_eq!(pinned_key(&PublicKey::from_bytes(two)), None, "on the twist");
        assert!(client(&PublicKey::from_bytes(two)).is_err());
    }
}
