//! Cookies (SPEC §4.15), after WireGuard's: a host under load has strangers come back with proof that they hear what is
//! sent to their address, and keeps nothing of them until then.

use core::net::SocketAddr;

use blake2::digest::consts::U16;
use blake2::{Blake2s256, Blake2sMac, Digest};
use hmac::Mac;
use subtle::ConstantTimeEq;
use zeroize::ZeroizeOnDrop;

use super::{Aead, ChaChaPoly, MAC1_LEN, PublicKey, derive};

/// Bytes of a cookie and of mac2.
pub const COOKIE_LEN: usize = 16;
/// Bytes of a cookie on its way.
pub const SEALED_COOKIE_LEN: usize = COOKIE_LEN + 16;

/// A cookie is given out for this long and taken for twice as long, in microseconds: two minutes, as WireGuard's.
const PERIOD_US: u64 = 120_000_000;

/// Seals cookies on their way to who knows a host: BLAKE2s-256(`rift cookie` ‖ the host's public key). It keeps them
/// from those who only guess, and binds each to the flight it answers.
#[derive(Clone, Debug)]
pub struct CookieKey([u8; 32]);

impl CookieKey {
    /// The key for cookies of `host`.
    #[must_use]
    pub fn new(host: &PublicKey) -> Self {
        Self(Blake2s256::new().chain_update(b"rift cookie").chain_update(host.as_bytes()).finalize().into())
    }

    /// Seals `cookie` for the flight with this mac1. A flight that is repeated gets the same bytes again for as long as
    /// the cookie is the same, so the flight's own MAC is nonce enough.
    #[must_use]
    pub fn seal(&self, mac1: &[u8; MAC1_LEN], cookie: &[u8; COOKIE_LEN]) -> [u8; SEALED_COOKIE_LEN] {
        let mut sealed = [0; SEALED_COOKIE_LEN];
        let (text, place) = sealed.split_at_mut(COOKIE_LEN);
        text.copy_from_slice(cookie);
        let tag = ChaChaPoly::seal(&self.0, &nonce(mac1), mac1, text);
        place.copy_from_slice(&tag);
        sealed
    }

    /// Opens a cookie that answers the flight with this mac1; `None` when it does not.
    #[must_use]
    pub fn open(&self, mac1: &[u8; MAC1_LEN], sealed: &[u8; SEALED_COOKIE_LEN]) -> Option<[u8; COOKIE_LEN]> {
        let (text, tag) = sealed.split_last_chunk()?;
        let mut cookie: [u8; COOKIE_LEN] = text.try_into().ok()?;
        ChaChaPoly::open(&self.0, &nonce(mac1), mac1, &mut cookie, tag).then_some(cookie)
    }
}

/// What a host makes its cookies with. Nothing of them is kept: a cookie is a MAC of the address it was sent to.
#[derive(Clone, ZeroizeOnDrop)]
pub struct CookieJar([u8; 32]);

impl CookieJar {
    /// The cookies of a host with this secret.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(derive(secret, b"rift cookie"))
    }

    /// The cookie of `from` at this time, in microseconds of Unix time (or from wherever the host counts).
    #[must_use]
    pub fn cookie(&self, unix_us: u64, from: SocketAddr) -> [u8; COOKIE_LEN] {
        self.of_period(unix_us / PERIOD_US, from)
    }

    /// Whether `mac2` over `with_mac1` was made with a cookie that `from` was given lately.
    #[must_use]
    pub fn verify(&self, unix_us: u64, from: SocketAddr, with_mac1: &[u8], mac2: &[u8; COOKIE_LEN]) -> bool {
        let period = unix_us / PERIOD_US;
        let is_of = |period| {
            let cookie = self.of_period(period, from);
            bool::from(self::mac2(&cookie, with_mac1).ct_eq(mac2))
        };
        *mac2 != [0; COOKIE_LEN] && (is_of(period) || is_of(period.wrapping_sub(1)))
    }

    fn of_period(&self, period: u64, from: SocketAddr) -> [u8; COOKIE_LEN] {
        let mut mac = keyed(&self.0);
        mac.update(&period.to_be_bytes());
        match from.ip().to_canonical() {
            core::net::IpAddr::V4(ip) => mac.update(&ip.octets()),
            core::net::IpAddr::V6(ip) => mac.update(&ip.octets()),
        }
        mac.update(&from.port().to_be_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl core::fmt::Debug for CookieJar {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("CookieJar").finish_non_exhaustive()
    }
}

/// What a first flight carries when its sender has a cookie: BLAKE2s-128 keyed by it, over all bytes up to and with mac1.
#[must_use]
pub fn mac2(cookie: &[u8; COOKIE_LEN], with_mac1: &[u8]) -> [u8; COOKIE_LEN] {
    let mut mac = keyed(cookie);
    mac.update(with_mac1);
    mac.finalize().into_bytes().into()
}

fn keyed(key: &[u8]) -> Blake2sMac<U16> {
    <Blake2sMac<U16> as Mac>::new_from_slice(key).expect("BLAKE2s takes keys of up to 32 bytes")
}

fn nonce(mac1: &[u8; MAC1_LEN]) -> [u8; 12] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = *mac1;
    [a, b, c, d, e, f, g, h, i, j, k, l]
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: PublicKey = PublicKey::from_bytes([3; 32]);
    const MINUTE: u64 = 60_000_000;

    fn address(last: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], port))
    }

    #[test]
    fn cookie_is_taken_from_its_address_for_its_time_only() {
        let jar = CookieJar::new(&[1; 32]);
        let (start, from) = (1000 * PERIOD_US, address(1, 1000));
        let cookie = jar.cookie(start, from);
        let mac = mac2(&cookie, b"flight");
        for after in [0, 1, 2, 3] {
            assert!(jar.verify(start + after * MINUTE, from, b"flight", &mac), "{after} minutes");
        }
        assert!(!jar.verify(start + 4 * MINUTE, from, b"flight", &mac), "too old");
        assert!(!jar.verify(start, address(2, 1000), b"flight", &mac), "another address");
        assert!(!jar.verify(start, address(1, 1001), b"flight", &mac), "another port");
        assert!(!jar.verify(start, from, b"fright", &mac), "another flight");
        assert!(!jar.verify(start, from, b"flight", &[0; 16]), "none at all");
        assert!(!CookieJar::new(&[2; 32]).verify(start, from, b"flight", &mac), "another host");
        // An IPv4 address is the same one when a socket of both families reports it.
        let mapped = SocketAddr::from((core::net::Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped(), 1000));
        assert!(jar.verify(start, mapped, b"flight", &mac));
    }

    #[test]
    fn sealed_cookie_opens_for_its_flight_only() {
        let key = CookieKey::new(&HOST);
        let sealed = key.seal(&[7; 16], &[9; 16]);
        assert_eq!(key.open(&[7; 16], &sealed), Some([9; 16]));
        assert_eq!(key.open(&[8; 16], &sealed), None);
        assert_eq!(CookieKey::new(&PublicKey::from_bytes([4; 32])).open(&[7; 16], &sealed), None);
        for bit in 0..sealed.len() * 8 {
            let mut forged = sealed;
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key.open(&[7; 16], &forged), None, "bit {bit}");
        }
    }
}
