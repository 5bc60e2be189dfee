//! The tag by which those who know a host recognise what it announces on a network, and nobody else (SPEC §4.18).

use blake2::digest::consts::U16;
use blake2::{Blake2s256, Blake2sMac, Digest};
use hmac::Mac;
use subtle::ConstantTimeEq;

use super::PublicKey;

const NONCE_LEN: usize = 8;
const MAC_LEN: usize = 16;
/// What the key is hashed with, so that it is of use for nothing else.
const LABEL: &[u8] = b"wavry discovery";

/// A tag: a nonce and a MAC of it under a key that only those have who know the host's public key. With another nonce it
/// is another tag, and two tags of one host look like those of two hosts to everybody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiscoveryTag([u8; Self::LEN]);

impl DiscoveryTag {
    /// The service's type, and the keys of its TXT record: the version, in decimal, and the tag.
    pub const SERVICE: &str = "_wavry._udp.local.";
    /// See [`Self::SERVICE`].
    pub const VERSION_KEY: &str = "v";
    /// See [`Self::SERVICE`].
    pub const TAG_KEY: &str = "tag";
    /// Bytes of a tag.
    pub const LEN: usize = NONCE_LEN + MAC_LEN;
    /// Characters of its text.
    pub const TEXT_LEN: usize = 2 * Self::LEN;

    /// The tag of `host` with a nonce that is drawn anew for each.
    #[must_use]
    pub fn new(host: &PublicKey, nonce: [u8; NONCE_LEN]) -> Self {
        let mut bytes = [0; Self::LEN];
        bytes[..NONCE_LEN].copy_from_slice(&nonce);
        bytes[NONCE_LEN..].copy_from_slice(&mac(host, &nonce));
        Self(bytes)
    }

    /// Whether it is a tag of this host. Anybody who knows the host can make one: it is a hint whom to call, and the
    /// handshake alone proves who answers.
    #[must_use]
    pub fn is_of(&self, host: &PublicKey) -> bool {
        let Some((nonce, theirs)) = self.0.split_first_chunk::<NONCE_LEN>() else { return false };
        mac(host, nonce).ct_eq(theirs).into()
    }

    /// Lower-case hexadecimal digits.
    #[must_use]
    pub fn to_text(&self) -> heapless::String<{ Self::TEXT_LEN }> {
        let mut text = heapless::String::new();
        for byte in self.0 {
            for digit in [byte >> 4, byte & 15] {
                let digit = char::from_digit(digit.into(), 16).expect("half a byte is a digit");
                text.push(digit).expect("there is room for two digits a byte");
            }
        }
        text
    }

    /// Reads the text; `None` when it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != Self::TEXT_LEN {
            return None;
        }
        let mut bytes = [0; Self::LEN];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_chunks::<2>().0) {
            let [high, low] =
                pair.map(|digit| char::from(digit).to_digit(16).and_then(|half| u8::try_from(half).ok()));
            *byte = high? << 4 | low?;
        }
        Some(Self(bytes))
    }
}

fn mac(host: &PublicKey, nonce: &[u8; NONCE_LEN]) -> [u8; MAC_LEN] {
    let key = Blake2s256::new().chain_update(LABEL).chain_update(host.as_bytes()).finalize();
    let mut mac =
        <Blake2sMac<U16> as Mac>::new_from_slice(&key).expect("BLAKE2s takes keys of up to 32 bytes");
    mac.update(nonce);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Identity;

    fn host(seed: u8) -> PublicKey {
        Identity::from_secret([seed; 32]).public()
    }

    #[test]
    fn only_the_hosts_own_tags_are_recognised_and_no_two_look_alike() {
        let [one, other] = [[1; 8], [2; 8]].map(|nonce| DiscoveryTag::new(&host(1), nonce));
        assert!(one.is_of(&host(1)) && other.is_of(&host(1)));
        assert!(!one.is_of(&host(2)));
        assert!(one.0.iter().zip(other.0).filter(|(a, b)| **a == *b).count() < 6);
        for bit in 0..DiscoveryTag::LEN * 8 {
            let mut forged = one;
            forged.0[bit / 8] ^= 1 << (bit % 8);
            assert!(!forged.is_of(&host(1)), "bit {bit}");
        }
    }

    #[test]
    fn text_comes_back_and_other_texts_are_none() {
        let tag = DiscoveryTag::new(&host(1), [0xa5; 8]);
        let text = tag.to_text();
        assert_eq!(DiscoveryTag::parse(&text), Some(tag));
        assert!(text.starts_with("a5a5a5a5a5a5a5a5"));
        for other in ["", "a5", &text[1..], &text.replace('a', "g"), &"ä".repeat(24)] {
            assert_eq!(DiscoveryTag::parse(other), None, "{other}");
        }
    }

    #[test]
    fn mac_is_keyed_blake2s_128_of_the_hashed_key() {
        // Python: k = blake2s(b"wavry discovery" + bytes(range(32))).digest()
        //         blake2s(bytes(8), key=k, digest_size=16).hexdigest()
        let key = PublicKey::from_bytes(core::array::from_fn(|at| at as u8));
        assert_eq!(&DiscoveryTag::new(&key, [0; 8]).to_text()[16..], "aba6bb20ba47d542db4e343bb240497f");
    }
}
