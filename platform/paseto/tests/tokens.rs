//! Leases signed and verified, and everything that must not verify.

use rift::PublicKey;
use rift::paths::relay::LeaseTerms;
use rift_paseto::{Signer, TokenError, Verifier};

fn terms() -> LeaseTerms {
    LeaseTerms {
        relay: [7; 16],
        tag: [1, 2, 3, 4, 5, 6, 7, 0xf8],
        peers: [PublicKey::from_bytes([0xa5; 32]), PublicKey::from_bytes([0x5a; 32])],
        bitrate_bps: 20_000_000,
        expires_s: 2_000_000_000,
    }
}

const NOW: u64 = 1_900_000_000;

#[test]
fn lease_signed_is_the_lease_verified() {
    let signer = Signer::generate().expect("entropy");
    let verifier = Verifier::new([7; 16], &[signer.public()]).expect("a key");
    let token = signer.sign(&terms()).expect("entropy");
    assert!(token.starts_with("v4.public."));
    assert!(token.len() <= rift::limits::LEASE_TOKEN_MAX, "{} bytes", token.len());
    assert_eq!(verifier.verify(token.as_bytes(), NOW), Ok(terms()));
    let kept = Signer::from_secret(signer.secret()).expect("what was kept");
    assert_eq!(verifier.verify(kept.sign(&terms()).expect("entropy").as_bytes(), NOW), Ok(terms()));
}

#[test]
fn next_key_is_trusted_beside_the_last_one() {
    let signers = [Signer::generate().expect("entropy"), Signer::generate().expect("entropy")];
    let both = Verifier::new([7; 16], &[signers[0].public(), signers[1].public()]).expect("keys");
    let last = Verifier::new([7; 16], &[signers[1].public()]).expect("a key");
    let [old, new] = signers.map(|signer| signer.sign(&terms()).expect("entropy"));
    assert!(both.verify(old.as_bytes(), NOW).is_ok() && both.verify(new.as_bytes(), NOW).is_ok());
    assert_eq!(last.verify(old.as_bytes(), NOW), Err(TokenError::Signature));
    assert!(last.verify(new.as_bytes(), NOW).is_ok());
}

#[test]
fn other_relay_past_end_and_other_keys_are_told_apart() {
    let signer = Signer::generate().expect("entropy");
    let token = signer.sign(&terms()).expect("entropy");
    let other = Verifier::new([8; 16], &[signer.public()]).expect("a key");
    assert_eq!(other.verify(token.as_bytes(), NOW), Err(TokenError::OtherRelay));
    let verifier = Verifier::new([7; 16], &[signer.public()]).expect("a key");
    assert_eq!(verifier.verify(token.as_bytes(), 2_000_000_000), Err(TokenError::Expired));
    let stranger = Signer::generate().expect("entropy").sign(&terms()).expect("entropy");
    assert_eq!(verifier.verify(stranger.as_bytes(), NOW), Err(TokenError::Signature));
    for wrong in [&b""[..], b"v4.public.", b"v4.local.AAAA", &[0xff; 40], &[b'A'; 2000]] {
        assert_eq!(verifier.verify(wrong, NOW), Err(TokenError::Malformed));
    }
}

/// Each byte changed to another of base64's.
#[test]
fn every_changed_letter_is_refused() {
    let signer = Signer::generate().expect("entropy");
    let verifier = Verifier::new([7; 16], &[signer.public()]).expect("a key");
    let token = signer.sign(&terms()).expect("entropy").into_bytes();
    for at in 0..token.len() {
        let mut changed = token.clone();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        assert!(verifier.verify(&changed, NOW).is_err(), "letter {at}");
    }
}

#[test]
fn key_of_a_seed_is_that_of_rfc_8032() {
    // RFC 8032 §7.1, test 1.
    let seed = [
        0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44,
        0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
    ];
    let signer = Signer::from_seed(&seed).expect("a seed");
    assert_eq!(signer.public()[..8], [0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7]);
    assert_eq!(signer.public()[28..], [0xf7, 0x07, 0x51, 0x1a]);
    let verifier = Verifier::new([7; 16], &[signer.public()]).expect("a key");
    let token = signer.sign(&terms()).expect("entropy");
    assert_eq!(verifier.verify(token.as_bytes(), NOW), Ok(terms()));
}

/// PyPI's `pyseto` is another implementation: it believes the token, and only under the assertion that leases have.
#[test]
fn another_implementation_verifies_the_token() {
    const PROGRAM: &str = "
import sys
try:
    import pyseto
except ImportError:
    sys.exit(77)
key = pyseto.Key.from_asymmetric_key_params(4, x=bytes.fromhex(sys.argv[1]))
said = pyseto.decode(key, sys.argv[2], implicit_assertion=sys.argv[3].encode())
sys.stdout.write(said.payload.decode())
";
    let signer = Signer::generate().expect("entropy");
    let token = signer.sign(&terms()).expect("entropy");
    let key: String = signer.public().iter().map(|byte| format!("{byte:02x}")).collect();
    let ask = |assertion: &str| {
        std::process::Command::new("python3").args(["-c", PROGRAM, &key, &token, assertion]).output()
    };
    let Some(output) = ask("wavry relay lease").ok().filter(|output| output.status.code() != Some(77)) else {
        eprintln!("skipped: python3 with pyseto is not installed (pip install pyseto)");
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("\"bps\"") && said.contains("\"end\""), "{said}");
    assert!(!ask("something else").expect("python3 is there").status.success(), "another assertion");
}
