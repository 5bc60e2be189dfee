//! What several messages of signalling have: flags, keys, addresses.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Reader, Writer};
use crate::crypto::PublicKey;

pub(super) fn parse_flag(reader: &mut Reader<'_>) -> Option<bool> {
    match reader.u8()? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// A key that an honest device could have.
pub(super) fn parse_key(reader: &mut Reader<'_>) -> Option<PublicKey> {
    let key = PublicKey::from_bytes(reader.bytes(32)?.try_into().ok()?);
    (!key.has_small_order()).then_some(key)
}

pub(super) fn parse_address(reader: &mut Reader<'_>) -> Option<SocketAddr> {
    let ip = match reader.u8()? {
        4 => IpAddr::V4(Ipv4Addr::from_bits(reader.u32()?)),
        6 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(reader.bytes(16)?).ok()?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, reader.u16()?))
}

pub(super) fn put_address(writer: &mut Writer<'_>, address: SocketAddr) -> Option<()> {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => {
            writer.u8(4)?;
            writer.u32(ip.to_bits())?;
        }
        IpAddr::V6(ip) => {
            writer.u8(6)?;
            writer.bytes(&ip.octets())?;
        }
    }
    writer.u16(address.port())
}
