//! The messages of PCP (RFC 6887 §7, §11.1) and NAT-PMP (RFC 6886 §3.2, §3.3), of UDP over IPv4 only.
//!
//! ```text
//! PCP MAP     2 | 1 | 0 2 | lifetime 4 | client 16 || nonce 12 | 17 | 0 3 | port 2 | external port 2 | external address 16
//!   answer    2 | 81 | 0 | result 1 | lifetime 4 | epoch 4 | 0 12 || the same, with what was given
//! NAT-PMP     0 | 0                                            which address?
//!   answer    0 | 80 | result 2 | epoch 4 | address 4
//!             0 | 1 | 0 2 | port 2 | external port 2 | lifetime 4     map
//!   answer    0 | 81 | result 2 | epoch 4 | port 2 | external port 2 | lifetime 4
//! ```

use core::net::{Ipv4Addr, Ipv6Addr};

/// The router's port.
pub const PORT: u16 = 5351;
/// Bytes of the longest message.
pub const MESSAGE_MAX: usize = 60;
const UDP: u8 = 17;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Pcp { client: Ipv4Addr, nonce: [u8; 12], port: u16, wanted: u16, lifetime_s: u32 },
    PmpAddress,
    PmpMap { port: u16, wanted: u16, lifetime_s: u32 },
}

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Pcp {
        nonce: [u8; 12],
        port: u16,
        external: (Ipv4Addr, u16),
        lifetime_s: u32,
    },
    /// Why not, and how long that holds.
    PcpRefused {
        lifetime_s: u32,
    },
    /// Whoever it is knows only NAT-PMP.
    PmpOnly,
    PmpAddress(Ipv4Addr),
    PmpMap {
        port: u16,
        external_port: u16,
        lifetime_s: u32,
    },
    PmpRefused,
}

impl Request {
    /// Writes it; its length.
    pub(crate) fn emit(&self, out: &mut [u8; MESSAGE_MAX]) -> usize {
        let mut bytes = Vec::with_capacity(MESSAGE_MAX);
        match *self {
            Self::Pcp { client, nonce, port, wanted, lifetime_s } => {
                bytes.extend_from_slice(&[2, 1, 0, 0]);
                bytes.extend_from_slice(&lifetime_s.to_be_bytes());
                bytes.extend_from_slice(&client.to_ipv6_mapped().octets());
                bytes.extend_from_slice(&nonce);
                bytes.extend_from_slice(&[UDP, 0, 0, 0]);
                bytes.extend_from_slice(&port.to_be_bytes());
                bytes.extend_from_slice(&wanted.to_be_bytes());
                bytes.extend_from_slice(&Ipv4Addr::UNSPECIFIED.to_ipv6_mapped().octets());
            }
            Self::PmpAddress => bytes.extend_from_slice(&[0, 0]),
            Self::PmpMap { port, wanted, lifetime_s } => {
                bytes.extend_from_slice(&[0, 1, 0, 0]);
                bytes.extend_from_slice(&port.to_be_bytes());
                bytes.extend_from_slice(&wanted.to_be_bytes());
                bytes.extend_from_slice(&lifetime_s.to_be_bytes());
            }
        }
        out[..bytes.len()].copy_from_slice(&bytes);
        bytes.len()
    }
}

impl Answer {
    /// Reads one; `None` for anything else.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [2, 0x81, _, result, ..] => {
                let lifetime_s = u32_at(bytes, 4)?;
                if *result != 0 {
                    return Some(Self::PcpRefused { lifetime_s });
                }
                let nonce = *bytes.get(24..)?.first_chunk::<12>()?;
                let address = Ipv6Addr::from(*bytes.get(44..)?.first_chunk::<16>()?).to_ipv4_mapped()?;
                let is_udp = bytes.get(36) == Some(&UDP);
                let (port, external) = (u16_at(bytes, 40)?, (address, u16_at(bytes, 42)?));
                is_udp.then_some(Self::Pcp { nonce, port, external, lifetime_s })
            }
            // Of a version that is not known: RFC 6886 §3.5.
            [0, _, 0, 1, ..] => Some(Self::PmpOnly),
            [0, 0x80 | 0x81, first, second, ..] if (*first, *second) != (0, 0) => Some(Self::PmpRefused),
            [0, 0x80, ..] => {
                bytes.get(8..)?.first_chunk::<4>().map(|address| Self::PmpAddress(Ipv4Addr::from(*address)))
            }
            [0, 0x81, ..] => {
                let (port, external_port) = (u16_at(bytes, 8)?, u16_at(bytes, 10)?);
                Some(Self::PmpMap { port, external_port, lifetime_s: u32_at(bytes, 12)? })
            }
            _ => None,
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}
