//! Proof that a host has lost a session (SPEC §6.6), made without any state but the host's persisted secret.
//!
//! A token belongs to a connection id and is told to the client inside the session. What a host sends after a restart
//! is no token but a MAC over the tag of the very packet it answers: nobody can collect such proofs in advance.

use blake2::Blake2sMac;
use blake2::digest::consts::U16;
use hmac::Mac;
use subtle::ConstantTimeEq;

/// Bytes of a token and of a proof.
pub const RESET_LEN: usize = 16;
/// Bytes at the end of a packet that a proof is made over.
pub const TRIGGER_LEN: usize = 8;

/// The token of a connection id: BLAKE2s-128 keyed with the secret, over `rift reset` ‖ id.
#[must_use]
pub fn token(secret: &[u8; 32], connection: u32) -> [u8; RESET_LEN] {
    mac(secret, &[b"rift reset", &connection.to_be_bytes()])
}

/// The answer to a packet that ends with `trigger`.
#[must_use]
pub fn proof(token: &[u8; RESET_LEN], trigger: &[u8; TRIGGER_LEN]) -> [u8; RESET_LEN] {
    mac(token, &[b"rift gone", trigger])
}

/// Whether `proof` answers that packet, in constant time.
#[must_use]
pub fn verify(token: &[u8; RESET_LEN], trigger: &[u8; TRIGGER_LEN], proof: &[u8; RESET_LEN]) -> bool {
    self::proof(token, trigger).ct_eq(proof).into()
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; RESET_LEN] {
    let mut mac =
        <Blake2sMac<U16> as Mac>::new_from_slice(key).expect("BLAKE2s takes keys of up to 32 bytes");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_and_proof_are_keyed_blake2s_128() {
        // From Python: t = blake2s(b"rift reset" + bytes([1, 2, 3, 4]), key=bytes(range(32)), digest_size=16).digest()
        // blake2s(b"rift gone" + b"trigger!", key=t, digest_size=16).hexdigest()
        let secret = core::array::from_fn(|at| u8::try_from(at).unwrap());
        let token = token(&secret, 0x0102_0304);
        assert_eq!(token, TOKEN);
        assert_eq!(proof(&token, b"trigger!"), PROOF);
        assert!(verify(&token, b"trigger!", &PROOF));
        assert!(!verify(&token, b"trigger?", &PROOF) && !verify(&PROOF, b"trigger!", &PROOF));
    }

    const TOKEN: [u8; RESET_LEN] =
        [0x14, 0xcd, 0x9e, 0x78, 0xbd, 0xbd, 0xc8, 0x8c, 0xf1, 0x07, 0x32, 0xbf, 0x23, 0x8c, 0xda, 0xc2];
    const PROOF: [u8; RESET_LEN] =
        [0x21, 0x29, 0x5e, 0x5d, 0x22, 0xc3, 0x1e, 0xe8, 0xac, 0x97, 0x25, 0x1f, 0x2b, 0x9b, 0xf6, 0xbe];
}
