//! Who a peer is: a static X25519 key, and its text form, the *Wavry ID* (SPEC §4.1).
//!
//! The text is 56 letters and digits in eight groups of seven (`-` between them): the 32 key bytes and 3 check
//! bytes in Crockford's base 32, upper case. Reading ignores case, takes O for 0 and I or L for 1, and skips `-`.

use core::fmt;
use core::str::FromStr;

use blake2::{Blake2s256, Digest};
use zeroize::Zeroizing;

use super::{Dalek, X25519 as _};

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CHECK_LEN: usize = 3;
const RAW_LEN: usize = 32 + CHECK_LEN;
const TEXT_DIGITS: usize = RAW_LEN * 8 / 5;
const GROUP: usize = 7;

/// Points of order 1, 2, 4 and 8 of the curve and its twist, in every encoding of 255 bits: 0, 1, the two of order
/// 8, and p - 1, p, p + 1 for p = 2²⁵⁵ - 19.
const SMALL_ORDER: [[u8; 32]; 7] = [
    ends(0x00, 0x00, 0x00),
    ends(0x01, 0x00, 0x00),
    [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda,
        0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
    ],
    [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04,
        0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
    ],
    ends(0xec, 0xff, 0x7f),
    ends(0xed, 0xff, 0x7f),
    ends(0xee, 0xff, 0x7f),
];

/// 32 bytes: the first, 30 alike, the last.
const fn ends(first: u8, between: u8, last: u8) -> [u8; 32] {
    let mut bytes = [between; 32];
    bytes[0] = first;
    bytes[31] = last;
    bytes
}

/// A static X25519 public key: who somebody is. Its `Display` and `FromStr` are the Wavry ID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Characters of the text form.
    pub const TEXT_LEN: usize = TEXT_DIGITS + TEXT_DIGITS / GROUP - 1;

    /// The key with these bytes (RFC 7748, little-endian u-coordinate).
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether the key is one of the few points with which every X25519 exchange gives all zeros, a secret that
    /// everybody knows (RFC 7748 §7). No honest peer has one.
    #[must_use]
    pub fn has_small_order(&self) -> bool {
        let mut bytes = self.0;
        // X25519 ignores the highest bit (RFC 7748 §5).
        bytes[31] &= 0x7f;
        SMALL_ORDER.contains(&bytes)
    }

    fn check(&self) -> [u8; CHECK_LEN] {
        let digest = Blake2s256::new().chain_update(b"wavry id").chain_update(self.0).finalize();
        let mut check = [0; CHECK_LEN];
        check.copy_from_slice(&digest[..CHECK_LEN]);
        check
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut raw = [0; RAW_LEN];
        raw[..32].copy_from_slice(&self.0);
        raw[32..].copy_from_slice(&self.check());
        let mut text = [b'-'; Self::TEXT_LEN];
        for digit in 0..TEXT_DIGITS {
            let bit = digit * 5;
            let pair = u16::from(raw[bit / 8]) << 8 | u16::from(*raw.get(bit / 8 + 1).unwrap_or(&0));
            let value = (pair >> (11 - bit % 8)) & 31;
            text[digit + digit / GROUP] = ALPHABET[usize::from(value)];
        }
        f.write_str(core::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a Wavry ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityError {
    /// It has not 56 letters and digits.
    Length,
    /// It has a character that no Wavry ID has.
    Character(char),
    /// Its check digits do not match: it was mistyped.
    Check,
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => f.write_str("a Wavry ID has 56 letters and digits in eight groups of seven"),
            Self::Character(found) => write!(f, "{found:?} does not occur in a Wavry ID"),
            Self::Check => f.write_str("this Wavry ID was mistyped: its check digits do not match"),
        }
    }
}

impl core::error::Error for IdentityError {}

impl FromStr for PublicKey {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let mut raw = [0u8; RAW_LEN];
        let mut digits = 0;
        for found in text.trim().chars().filter(|&c| c != '-') {
            let value = digit_value(found).ok_or(IdentityError::Character(found))?;
            if digits == TEXT_DIGITS {
                return Err(IdentityError::Length);
            }
            for (place, weight) in (0..5).rev().enumerate() {
                let bit = digits * 5 + place;
                raw[bit / 8] |= (value >> weight & 1) << (7 - bit % 8);
            }
            digits += 1;
        }
        if digits != TEXT_DIGITS {
            return Err(IdentityError::Length);
        }
        let mut key = [0; 32];
        key.copy_from_slice(&raw[..32]);
        let key = Self(key);
        if key.check() == raw[32..] { Ok(key) } else { Err(IdentityError::Check) }
    }
}

fn digit_value(digit: char) -> Option<u8> {
    let upper = match digit.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    let index = ALPHABET.iter().position(|&letter| char::from(letter) == upper)?;
    u8::try_from(index).ok()
}

/// A static key pair. Its secret is zeroized when dropped and never printed.
#[derive(Clone)]
pub struct Identity {
    secret: Zeroizing<[u8; 32]>,
    public: PublicKey,
}

impl Identity {
    /// The pair of this secret: 32 bytes of entropy, clamped as RFC 7748 §5 says.
    #[must_use]
    pub fn from_secret(secret: [u8; 32]) -> Self {
        let secret = Zeroizing::new(secret);
        let public = PublicKey(Dalek::public_key(&secret));
        Self { secret, public }
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// The shared secret with `peer`. It is all zeros for a peer that [`PublicKey::has_small_order`].
    pub(super) fn diffie_hellman(&self, peer: &PublicKey) -> Zeroizing<[u8; 32]> {
        Dalek::shared_secret(&self.secret, &peer.0)
    }

    /// The secret, for a handshake implementation or to keep it in a file. Handle with care.
    #[must_use]
    pub fn secret_bytes(&self) -> &[u8; 32] {
        &self.secret
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("public", &self.public).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;

    use super::*;

    #[test]
    fn wavry_id_survives_text_and_slips_of_the_pen() {
        for seed in 0..64u8 {
            let key = Identity::from_secret([seed; 32]).public();
            let text = key.to_string();
            assert_eq!(text.len(), PublicKey::TEXT_LEN);
            assert_eq!(text.parse(), Ok(key));
            assert_eq!(text.to_lowercase().replace('0', "o").replace('-', "").parse(), Ok(key));
        }
    }

    #[test]
    fn points_of_small_order_are_those_with_which_every_secret_is_zero() {
        for secret in [[3; 32], [0x77; 32], [0xfe; 32]] {
            let identity = Identity::from_secret(secret);
            for point in SMALL_ORDER {
                for top in [0, 0x80] {
                    let mut bytes = point;
                    bytes[31] |= top;
                    let key = PublicKey::from_bytes(bytes);
                    assert!(key.has_small_order());
                    assert_eq!(*identity.diffie_hellman(&key), [0; 32], "{bytes:x?}");
                }
            }
            assert!(!identity.public().has_small_order());
            for small in 2..=255 {
                let key = PublicKey::from_bytes(ends(small, 0, 0));
                assert!(!key.has_small_order());
                assert_ne!(*identity.diffie_hellman(&key), [0; 32], "{small}");
            }
        }
    }

    #[test]
    fn mistyped_wavry_id_is_refused_with_the_reason() {
        let text = Identity::from_secret([7; 32]).public().to_string();
        let first = if text.starts_with('2') { "3" } else { "2" };
        assert_eq!([first, &text[1..]].concat().parse::<PublicKey>(), Err(IdentityError::Check));
        assert_eq!(text[1..].parse::<PublicKey>(), Err(IdentityError::Length));
        assert_eq!(["U", &text[1..]].concat().parse::<PublicKey>(), Err(IdentityError::Character('U')));
    }
}
