//! Address tokens (SPEC §4.14): a host gives one to a client whose address is proven; the client shows it when it comes
//! back, and need not prove its address again.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use blake2::Blake2sMac;
use blake2::digest::consts::U16;
use hmac::Mac;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{PublicKey, derive};
use crate::wire::handshake::TOKEN_LEN;

/// A token is taken for this long, in microseconds: seven days.
const LIFETIME_US: u64 = 7 * 24 * 3600 * 1_000_000;
/// Several made at once have serials that lie ahead of the clock, by microseconds; a clock that was set back is another
/// matter.
const AHEAD_US_MAX: u64 = 1_000_000;

/// A token as a client keeps it. It means something to the host that made it only, and is spent by one use.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AddressToken([u8; TOKEN_LEN]);

impl AddressToken {
    /// The token with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; TOKEN_LEN]) -> Self {
        Self(bytes)
    }

    /// Its bytes, to keep them. Whoever reads them can use the token from the same network under the same key only.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; TOKEN_LEN] {
        &self.0
    }
}

impl fmt::Debug for AddressToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddressToken").finish_non_exhaustive()
    }
}

/// What a host makes and checks its tokens with.
///
/// ```text
/// 0              8                            24
/// +--------------+-----------------------------+
/// | serial       | BLAKE2s-128 over serial,    |
/// |              | client key, address prefix  |
/// +--------------+-----------------------------+
/// serial: when it was made, in microseconds of Unix time; no two of a host are the same
/// ```
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct TokenKey([u8; 32]);

impl TokenKey {
    /// The tokens of a host with this secret.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(derive(secret, b"rift address token"))
    }

    /// A token for `client`, which has proven that it can be reached at `address`.
    #[must_use]
    pub fn make(&self, serial: u64, client: &PublicKey, address: SocketAddr) -> AddressToken {
        let mut bytes = [0; TOKEN_LEN];
        let (head, tag) = bytes.split_at_mut(8);
        head.copy_from_slice(&serial.to_be_bytes());
        tag.copy_from_slice(&self.tag(serial, client, address));
        AddressToken(bytes)
    }

    /// The serial of a token, if this host made it for `client` at an address like this one and it has not expired. Whether
    /// it was used before is the caller's to know.
    #[must_use]
    pub fn verify(
        &self,
        token: &[u8; TOKEN_LEN],
        unix_us: u64,
        client: &PublicKey,
        address: SocketAddr,
    ) -> Option<u64> {
        let (head, tag) = token.split_first_chunk::<8>()?;
        let serial = u64::from_be_bytes(*head);
        let is_made_here = bool::from(self.tag(serial, client, address)[..].ct_eq(tag));
        let is_of_age =
            unix_us.saturating_sub(serial) < LIFETIME_US && serial.saturating_sub(unix_us) <= AHEAD_US_MAX;
        (is_made_here && is_of_age).then_some(serial)
    }

    fn tag(&self, serial: u64, client: &PublicKey, address: SocketAddr) -> [u8; 16] {
        let mut mac =
            <Blake2sMac<U16> as Mac>::new_from_slice(&self.0).expect("BLAKE2s takes keys of 32 bytes");
        mac.update(&serial.to_be_bytes());
        mac.update(client.as_bytes());
        // Who sits behind the same router or in the same small network is as good a guess as the very address, which
        // many providers change every night.
        match address.ip().to_canonical() {
            IpAddr::V4(ip) => mac.update(&ip.octets()[..3]),
            IpAddr::V6(ip) => mac.update(&ip.octets()[..7]),
        }
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKey").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: PublicKey = PublicKey::from_bytes([3; 32]);
    const NOW: u64 = 1_700_000_000_000_000;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn token_is_taken_from_its_client_and_network_until_it_expires() {
        let key = TokenKey::new(&[1; 32]);
        for (home, same, other) in [
            ("192.0.2.7:1", "192.0.2.200:9", "192.0.3.7:1"),
            ("[2001:db8:0:100::1]:1", "[2001:db8:0:1ff::2]:9", "[2001:db8:0:200::1]:1"),
        ] {
            let (home, same, other) = (address(home), address(same), address(other));
            let token = *key.make(NOW, &CLIENT, home).as_bytes();
            assert_eq!(key.verify(&token, NOW, &CLIENT, home), Some(NOW));
            assert_eq!(key.verify(&token, NOW + LIFETIME_US - 1, &CLIENT, same), Some(NOW));
            assert_eq!(key.verify(&token, NOW + LIFETIME_US, &CLIENT, home), None, "expired");
            assert_eq!(key.verify(&token, NOW - AHEAD_US_MAX - 1, &CLIENT, home), None, "from the future");
            assert_eq!(key.verify(&token, NOW, &CLIENT, other), None, "another network");
            let stranger = PublicKey::from_bytes([4; 32]);
            assert_eq!(key.verify(&token, NOW, &stranger, home), None, "another client");
            assert_eq!(TokenKey::new(&[2; 32]).verify(&token, NOW, &CLIENT, home), None, "another host");
            for bit in 0..TOKEN_LEN * 8 {
                let mut forged = token;
                forged[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(key.verify(&forged, NOW, &CLIENT, home), None, "bit {bit}");
            }
        }
        assert_eq!(key.verify(&[0; TOKEN_LEN], NOW, &CLIENT, address("192.0.2.7:1")), None, "none at all");
    }

    #[test]
    fn token_keeps_its_bytes_to_itself() {
        extern crate std;
        assert_eq!(std::format!("{:?}", AddressToken::from_bytes([7; TOKEN_LEN])), "AddressToken { .. }");
        assert_eq!(std::format!("{:?}", TokenKey::new(&[7; 32])), "TokenKey { .. }");
    }
}
