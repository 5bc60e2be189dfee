//! Addresses in plain types, made into what embassy-net wants.

use core::net::{Ipv4Addr, Ipv6Addr};

use embassy_net::{ConfigV4, DhcpConfig, Ipv4Cidr, StaticConfigV4};
#[cfg(feature = "ipv6")]
use embassy_net::{ConfigV6, Ipv6Cidr, StaticConfigV6};

/// Where IPv4 addresses come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ipv4Addressing {
    /// None: IPv6 alone.
    Off,
    /// From a DHCP server.
    Dhcp,
    /// From the caller.
    Static(StaticIpv4),
}

/// An IPv4 address given by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaticIpv4 {
    /// The address.
    pub address: Ipv4Addr,
    /// Bits of the network part, `0..=32`.
    pub prefix_len: u8,
    /// Who forwards to other networks, if anybody does.
    pub gateway: Option<Ipv4Addr>,
}

/// An IPv6 address given by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaticIpv6 {
    /// The address.
    pub address: Ipv6Addr,
    /// Bits of the network part, `0..=128`.
    pub prefix_len: u8,
    /// Who forwards to other networks, if anybody does.
    pub gateway: Option<Ipv6Addr>,
}

/// Which addresses an interface has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addressing {
    /// IPv4.
    pub ipv4: Ipv4Addressing,
    /// IPv6, beside it; there is none where this crate is built without `ipv6`.
    pub ipv6: Option<StaticIpv6>,
}

/// The configuration of an embassy-net stack with these addresses.
#[must_use]
pub fn configuration(addressing: &Addressing) -> embassy_net::Config {
    let mut configuration = embassy_net::Config::default();
    configuration.ipv4 = match addressing.ipv4 {
        Ipv4Addressing::Off => ConfigV4::None,
        Ipv4Addressing::Dhcp => ConfigV4::Dhcp(DhcpConfig::default()),
        Ipv4Addressing::Static(given) => ConfigV4::Static(StaticConfigV4 {
            address: Ipv4Cidr::new(given.address, given.prefix_len.min(32)),
            gateway: given.gateway,
            dns_servers: Default::default(),
        }),
    };
    #[cfg(feature = "ipv6")]
    if let Some(given) = addressing.ipv6 {
        configuration.ipv6 = ConfigV6::Static(StaticConfigV6 {
            address: Ipv6Cidr::new(given.address, given.prefix_len.min(128)),
            gateway: given.gateway,
            dns_servers: Default::default(),
        });
    }
    configuration
}
