//! Control messages of `sendmsg`, written byte by byte: no pointers, so nothing to get wrong about them.
//!
//! ```text
//! +------------+-----------+-----------+--------+---------+
//! | length     | level i32 | type i32  | data … | padding |  repeated; length = head and data, without padding
//! | usize      |           |           |        |         |
//! +------------+-----------+-----------+--------+---------+
//! ```

use core::net::IpAddr;

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
