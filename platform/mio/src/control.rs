//! Control messages of `sendmsg` and `recvmmsg`, byte by byte: no pointers, so nothing to get wrong about them.
//!
//! ```text
//! +------------+-----------+-----------+--------+---------+
//! | length     | level i32 | type i32  | data … | padding |  repeated; length = head and data, without padding
//! | usize      |           |           |        |         |
//! +------------+-----------+-----------+--------+---------+
//! ```

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use core::time::Duration;

use rift::Ecn;

const WORD: usize = size_of::<usize>();
const HEAD_LEN: usize = WORD + 4 + 4;
/// Room for a type of service (24 bytes), a segment length (24) and an IPv6 source address (40).
const CAPACITY: usize = 96;

/// The control messages of one `sendmsg`.
#[repr(align(8))]
pub(crate) struct Control {
    bytes: [u8; CAPACITY],
    len: usize,
}

const _: () = assert!(align_of::<Control>() >= align_of::<libc::cmsghdr>(), "the kernel reads aligned heads");
const _: () = assert!(HEAD_LEN == size_of::<libc::cmsghdr>(), "the head is laid out as the kernel has it");

impl Control {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; CAPACITY], len: 0 }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }

    /// The six bits of the class and the two of congestion notification, for a peer of this family.
    pub(crate) fn type_of_service(&mut self, is_v4: bool, value: u8) {
        let value = i32::from(value).to_ne_bytes();
        if is_v4 {
            self.push(libc::IPPROTO_IP, libc::IP_TOS, &value);
        } else {
            self.push(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &value);
        }
    }

    /// The kernel cuts the message into datagrams of this many bytes.
    pub(crate) fn segment(&mut self, len: u16) {
        self.push(libc::SOL_UDP, libc::UDP_SEGMENT, &len.to_ne_bytes());
    }

    /// The address the datagrams come from.
    pub(crate) fn source(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => {
                // struct in_pktinfo: interface (any), source, and a field only reception uses.
                let mut info = [0; 12];
                info[4..8].copy_from_slice(&address.octets());
                self.push(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
            }
            IpAddr::V6(address) => {
                // struct in6_pktinfo: source, interface (any).
                let mut info = [0; 20];
                info[..16].copy_from_slice(&address.octets());
                self.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
            }
        }
    }

    fn push(&mut self, level: i32, kind: i32, data: &[u8]) {
        let len = HEAD_LEN + data.len();
        let entry = &mut self.bytes[self.len..self.len + len.next_multiple_of(WORD)];
        entry[..WORD].copy_from_slice(&len.to_ne_bytes());
        entry[WORD..WORD + 4].copy_from_slice(&level.to_ne_bytes());
        entry[WORD + 4..HEAD_LEN].copy_from_slice(&kind.to_ne_bytes());
        entry[HEAD_LEN..len].copy_from_slice(data);
        self.len += entry.len();
    }
}

/// What the kernel says of a received batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notes {
    /// Bytes of each datagram, when there are several.
    pub(crate) segment: Option<usize>,
    pub(crate) ecn: Ecn,
    /// The address of this machine it was sent to.
    pub(crate) local: Option<IpAddr>,
    /// When it came, by the wall clock, since the Unix epoch.
    pub(crate) received_at: Option<Duration>,
}

impl Notes {
    /// Reads control messages; what is unknown or cut off is passed over.
    pub(crate) fn read(mut control: &[u8]) -> Self {
        let mut notes = Self::default();
        while let Some((level, kind, data, rest)) = split(control) {
            notes.note(level, kind, data);
            control = rest;
        }
        notes
    }

    fn note(&mut self, level: i32, kind: i32, data: &[u8]) {
        match (level, kind) {
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                // struct timespec.
                let (seconds, nanos) = (int(data), data.get(size_of::<libc::time_t>()..).and_then(int));
                self.received_at =
                    seconds.zip(nanos).map(|(seconds, nanos)| Duration::new(seconds, nanos as u32));
            }
            (libc::SOL_UDP, libc::UDP_GRO) => {
                self.segment = four(data).and_then(|bytes| usize::try_from(i32::from_ne_bytes(bytes)).ok());
            }
            // A byte for IPv4, an int for IPv6.
            (libc::IPPROTO_IP, libc::IP_TOS) => {
                self.ecn = data.first().map_or(Ecn::NotEct, |&byte| Ecn::from_bits(byte));
            }
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                self.ecn =
                    four(data).map_or(Ecn::NotEct, |bytes| Ecn::from_bits(i32::from_ne_bytes(bytes) as u8));
            }
            // struct in_pktinfo: the third field is where the datagram was sent to.
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                self.local = data.get(8..).and_then(four).map(|bytes| Ipv4Addr::from(bytes).into());
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                self.local = data.first_chunk::<16>().map(|bytes| Ipv6Addr::from(*bytes).to_canonical());
            }
            _ => {}
        }
    }
}

/// The peer's address from a `sockaddr_in` or `sockaddr_in6`. IPv4 peers of a socket for both have IPv4 addresses.
pub(crate) fn address(name: &[u8; 32]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes([name[2], name[3]]);
    match libc::c_int::from(u16::from_ne_bytes([name[0], name[1]])) {
        libc::AF_INET => Some(SocketAddr::from((Ipv4Addr::from(four(&name[4..])?), port))),
        libc::AF_INET6 => {
            let ip = Ipv6Addr::from(*name[8..].first_chunk::<16>()?);
            let scope = u32::from_ne_bytes(four(&name[24..])?);
            Some(match ip.to_ipv4_mapped() {
                Some(ip) => SocketAddr::from((ip, port)),
                None => SocketAddr::V6(SocketAddrV6::new(ip, port, 0, scope)),
            })
        }
        _ => None,
    }
}

/// The first message: level, kind, data, and what follows it.
fn split(control: &[u8]) -> Option<(i32, i32, &[u8], &[u8])> {
    let len = usize::from_ne_bytes(*control.first_chunk::<WORD>()?);
    let level = i32::from_ne_bytes(four(control.get(WORD..)?)?);
    let kind = i32::from_ne_bytes(four(control.get(WORD + 4..)?)?);
    let data = control.get(HEAD_LEN..len)?;
    Some((level, kind, data, control.get(len.next_multiple_of(WORD)..).unwrap_or_default()))
}

/// A number as wide as a `time_t`.
fn int(data: &[u8]) -> Option<u64> {
    let bytes = data.first_chunk::<{ size_of::<libc::time_t>() }>()?;
    u64::try_from(libc::time_t::from_ne_bytes(*bytes)).ok()
}

fn four(data: &[u8]) -> Option<[u8; 4]> {
    data.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_messages_are_read_back() {
        let mut control = Control::new();
        control.type_of_service(false, 46 << 2 | 1);
        control.push(libc::SOL_UDP, libc::UDP_GRO, &1200i32.to_ne_bytes());
        control.source(IpAddr::V6(Ipv6Addr::LOCALHOST));
        let notes = Notes::read(control.bytes_mut());
        let local = Some(IpAddr::V6(Ipv6Addr::LOCALHOST));
        assert_eq!(notes, Notes { segment: Some(1200), ecn: Ecn::Ect1, local, received_at: None });
    }

    #[test]
    fn cut_messages_are_passed_over() {
        let mut control = Control::new();
        control.push(libc::SOL_UDP, libc::UDP_GRO, &1200i32.to_ne_bytes());
        control.type_of_service(false, 3);
        let bytes = control.bytes_mut().to_vec();
        for len in 0..bytes.len() {
            let notes = Notes::read(&bytes[..len]);
            assert!(notes.segment.is_none() || notes.segment == Some(1200));
        }
        let mut lying = bytes;
        lying[..WORD].copy_from_slice(&usize::MAX.to_ne_bytes());
        assert_eq!(Notes::read(&lying), Notes::default());
        lying[..WORD].copy_from_slice(&0usize.to_ne_bytes());
        assert_eq!(Notes::read(&lying), Notes::default());
    }

    #[test]
    fn addresses_of_both_families_are_read() {
        let mut name = [0; 32];
        name[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
        name[2..8].copy_from_slice(&[0x12, 0x34, 10, 0, 0, 1]);
        assert_eq!(address(&name), Some(SocketAddr::from(([10, 0, 0, 1], 0x1234))));
        name[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
        name[8..24].copy_from_slice(&Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped().octets());
        assert_eq!(address(&name), Some(SocketAddr::from(([10, 0, 0, 1], 0x1234))));
        name[8..24].copy_from_slice(&Ipv6Addr::LOCALHOST.octets());
        assert_eq!(address(&name), Some(SocketAddr::from((Ipv6Addr::LOCALHOST, 0x1234))));
        assert_eq!(address(&[0; 32]), None);
    }
}
