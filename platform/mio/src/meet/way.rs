//! Addresses of ways through relays. Sessions and endpoints know where a peer is by an address; a way through a relay
//! has one of `100::/64`, whose lower half is the lease's tag: that prefix is for discarding (RFC 6666), so that nobody is
//! there. A datagram that claims to come from it is forged, and dropped.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use rift::wire::relay::LEASE_TAG_LEN;

const PREFIX: u64 = 0x0100_0000_0000_0000;
const PORT: u16 = 1;

/// The address of the way under the lease of this tag.
pub(crate) fn of(tag: [u8; LEASE_TAG_LEN]) -> SocketAddr {
    let bits = u128::from(PREFIX) << 64 | u128::from(u64::from_be_bytes(tag));
    SocketAddr::new(Ipv6Addr::from_bits(bits).into(), PORT)
}

/// The tag of the way that has this address; `None` for everybody's addresses.
pub(crate) fn tag(address: SocketAddr) -> Option<[u8; LEASE_TAG_LEN]> {
    match address.ip() {
        IpAddr::V4(_) => None,
        IpAddr::V6(ip) => {
            let (prefix, [a, b, c, d, e, f, g, h]) = (ip.to_bits() >> 64, low(ip));
            (prefix == u128::from(PREFIX)).then_some([a, b, c, d, e, f, g, h])
        }
    }
}

fn low(ip: Ipv6Addr) -> [u8; LEASE_TAG_LEN] {
    let [.., a, b, c, d, e, f, g, h] = ip.octets();
    [a, b, c, d, e, f, g, h]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn way_is_known_by_its_address_and_nobody_else_has_one() {
        for tag in [[0; 8], [255; 8], [1, 2, 3, 4, 5, 6, 7, 8]] {
            assert_eq!(super::tag(of(tag)), Some(tag));
        }
        for text in ["192.0.2.1:1", "[2001:db8::1]:1", "[::ffff:192.0.2.1]:1", "[100:0:0:1::1]:1"] {
            assert_eq!(tag(text.parse().expect("an address")), None, "{text}");
        }
    }
}
