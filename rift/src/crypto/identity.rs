//! Who a peer is: a static X25519 key, and its text form, the *Wavry ID* (SPEC §4.1).
//!
//! The text is 56 letters and digits in eight groups of seven (`-` between them): the 32 key bytes and 3 check
//! bytes in Crockford's base 32, upper case. Reading ignores case, takes O for 0 and I or L for 1, and skips `-`.

use core::fmt;
use core::str::FromStr;

use blake2::{Blake2s256, Digest};
use x25519_dalek::StaticSecret;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CHECK_LEN: usize = 3;
const RAW_LEN: usize = 32 + CHECK_LEN;
const TEXT_DIGITS: usize = RAW_LEN * 8 / 5;
const GROUP: usize = 7;

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
    secret: StaticSecret,
    public: PublicKey,
}

impl Identity {
    /// The pair of this secret: 32 bytes of entropy, clamped as RFC 7748 §5 says.
    #[must_use]
    pub fn from_secret(secret: [u8; 32]) -> Self {
        let secret = StaticSecret::from(secret);
        let public = PublicKey(x25519_dalek::PublicKey::from(&secret).to_bytes());
        Self { secret, public }
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// The secret, for a handshake implementation or to keep it in a file. Handle with care.
    #[must_use]
    pub fn secret_bytes(&self) -> &[u8; 32] {
        self.secret.as_bytes()
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
    fn mistyped_wavry_id_is_refused_with_the_reason() {
        let text = Identity::from_secret([7; 32]).public().to_string();
        let first = if text.starts_with('2') { "3" } else { "2" };
        assert_eq!([first, &text[1..]].concat().parse::<PublicKey>(), Err(IdentityError::Check));
        assert_eq!(text[1..].parse::<PublicKey>(), Err(IdentityError::Length));
        assert_eq!(["U", &text[1..]].concat().parse::<PublicKey>(), Err(IdentityError::Character('U')));
    }
}
