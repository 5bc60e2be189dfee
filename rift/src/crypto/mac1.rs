//! The proof that a stranger knows whom it calls (SPEC §4): a MAC over a first flight, keyed by the host's public
//! key, after WireGuard's `mac1`. It authenticates nobody; it lets a host stay silent to those who merely scan.

use blake2::digest::consts::U16;
use blake2::{Blake2s256, Blake2sMac, Digest};
use hmac::Mac;
use subtle::ConstantTimeEq;

use super::PublicKey;

/// Bytes of the MAC.
pub const MAC1_LEN: usize = 16;

/// What the key is hashed with, so that it is of use for nothing else.
const LABEL: &[u8] = b"rift mac1";

/// The key of one host's first flights: BLAKE2s-256(`rift mac1` ‖ public key). A host derives it once.
#[derive(Clone, Debug)]
pub struct Mac1Key([u8; 32]);

impl Mac1Key {
    /// The key for what is sent to `host`.
    #[must_use]
    pub fn new(host: &PublicKey) -> Self {
        Self(Blake2s256::new().chain_update(LABEL).chain_update(host.as_bytes()).finalize().into())
    }

    /// The key for what is sent to a host of unknown key, in the hope that its pairing window is open (SPEC §4.10): that
    /// of 32 zeros, which are no host's.
    #[must_use]
    pub fn stranger() -> Self {
        Self::new(&PublicKey::from_bytes([0; 32]))
    }

    /// Keyed BLAKE2s-128 (RFC 7693 §2.9) over `datagram_before_mac`: all bytes that stand before the MAC.
    #[must_use]
    pub fn mac1(&self, datagram_before_mac: &[u8]) -> [u8; MAC1_LEN] {
        let mut mac =
            <Blake2sMac<U16> as Mac>::new_from_slice(&self.0).expect("BLAKE2s takes keys of up to 32 bytes");
        mac.update(datagram_before_mac);
        mac.finalize().into_bytes().into()
    }

    /// Whether `mac` is that of `datagram_before_mac`, in time that does not depend on where they differ.
    #[must_use]
    pub fn verify(&self, datagram_before_mac: &[u8], mac: &[u8; MAC1_LEN]) -> bool {
        self.mac1(datagram_before_mac).ct_eq(mac).into()
    }
}

/// The MAC of a first flight to `host`. Who sends or checks many keeps a [`Mac1Key`].
#[must_use]
pub fn mac1(host: &PublicKey, datagram_before_mac: &[u8]) -> [u8; MAC1_LEN] {
    Mac1Key::new(host).mac1(datagram_before_mac)
}

/// Whether a first flight to `host` has the right MAC, in constant time.
#[must_use]
pub fn verify_mac1(host: &PublicKey, datagram_before_mac: &[u8], mac: &[u8; MAC1_LEN]) -> bool {
    Mac1Key::new(host).verify(datagram_before_mac, mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mac_is_keyed_blake2s_128_of_the_hashed_key() {
        // From Python: k = blake2s(b"rift mac1" + bytes(range(32))).digest()
        // blake2s(b"first flight", key=k, digest_size=16).hexdigest()
        let host = PublicKey::from_bytes(core::array::from_fn(|at| u8::try_from(at).unwrap()));
        let expected =
            [0xdb, 0xdd, 0xeb, 0x21, 0x6a, 0xf2, 0x52, 0x8f, 0x53, 0xca, 0x88, 0x3a, 0x03, 0x2f, 0x1f, 0x59];
        assert_eq!(mac1(&host, b"first flight"), expected);
    }

    #[test]
    fn every_flipped_bit_of_the_mac_and_of_the_datagram_is_refused() {
        let host = PublicKey::from_bytes([9; 32]);
        let key = Mac1Key::new(&host);
        let mut datagram = [0x5a; 48];
        let mut mac = key.mac1(&datagram);
        assert!(verify_mac1(&host, &datagram, &mac));
        for bit in 0..datagram.len() * 8 {
            datagram[bit / 8] ^= 1 << (bit % 8);
            assert!(!key.verify(&datagram, &mac));
            datagram[bit / 8] ^= 1 << (bit % 8);
        }
        for bit in 0..mac.len() * 8 {
            mac[bit / 8] ^= 1 << (bit % 8);
            assert!(!key.verify(&datagram, &mac));
            mac[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(key.verify(&datagram, &mac));
        assert!(!verify_mac1(&PublicKey::from_bytes([8; 32]), &datagram, &mac), "the MAC of another host");
    }
}
