//! An interface, its addresses and one UDP socket.
//!
//! It knows frames, addresses and datagrams, nothing of sessions.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rift::Instant;
use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet, SocketStorage};
use smoltcp::phy::Device;
use smoltcp::socket::{dhcpv4, udp};
use smoltcp::wire::{EthernetAddress, IpCidr, IpEndpoint, Ipv4Cidr};

use crate::outbox::Outbox;

/// Bytes of the longest datagram taken: what an Ethernet without jumbo frames carries.
const DATAGRAM_LEN: usize = 1500;
/// Rounds of the interface in one service: an Ethernet flood cannot keep the program from its other work.
const SERVICES_MAX: usize = 64;

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
    /// IPv6, beside it.
    pub ipv6: Option<StaticIpv6>,
}

/// Counters of the socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetworkStats {
    /// Datagrams given to the stack.
    pub datagrams_sent: u64,
    /// Datagrams taken from it.
    pub datagrams_received: u64,
    /// Times the socket had no room and the batch had to wait.
    pub blocked: u64,
    /// Datagrams no address could be found for; they are dropped.
    pub unaddressable: u64,
}

/// The memory of a [`Network`]: `PACKETS` datagrams of `BYTES` bytes in all each way, waiting between the interface and
/// the session. 8 KiB each way hold the six datagrams that a 100 Mbit/s burst brings while a picture is drawn.
#[derive(Debug)]
pub struct NetworkStorage<const PACKETS: usize, const BYTES: usize> {
    sockets: [SocketStorage<'static>; 2],
    receive_heads: [udp::PacketMetadata; PACKETS],
    receive: [u8; BYTES],
    send_heads: [udp::PacketMetadata; PACKETS],
    send: [u8; BYTES],
}

impl<const PACKETS: usize, const BYTES: usize> NetworkStorage<PACKETS, BYTES> {
    /// Empty memory; may be a static.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(PACKETS > 0 && BYTES >= 2 * DATAGRAM_LEN, "a datagram in use and one that comes") };
        Self {
            sockets: [SocketStorage::EMPTY; 2],
            receive_heads: [udp::PacketMetadata::EMPTY; PACKETS],
            receive: [0; BYTES],
            send_heads: [udp::PacketMetadata::EMPTY; PACKETS],
            send: [0; BYTES],
        }
    }
}

impl<const PACKETS: usize, const BYTES: usize> Default for NetworkStorage<PACKETS, BYTES> {
    fn default() -> Self {
        Self::new()
    }
}

/// An Ethernet interface over `D` with one UDP socket; see the crate.
pub struct Network<D: Device> {
    device: D,
    interface: Interface,
    sockets: SocketSet<'static>,
    udp: SocketHandle,
    dhcp: Option<SocketHandle>,
    pub(crate) outbox: Outbox,
    scratch: [u8; DATAGRAM_LEN],
    stats: NetworkStats,
}

impl<D: Device> Network<D> {
    /// An interface over an Ethernet `device` with this hardware address, and a socket on `port` (not 0). `seed` need not
    /// be secret; it should differ from boot to boot.
    ///
    /// # Panics
    /// When `device` is no Ethernet, `hardware_address` is no unicast address, or `port` is 0: wrong wiring of a board.
    #[must_use]
    pub fn new<const PACKETS: usize, const BYTES: usize>(
        mut device: D,
        storage: &'static mut NetworkStorage<PACKETS, BYTES>,
        hardware_address: [u8; 6],
        addressing: &Addressing,
        port: u16,
        seed: u64,
        now: Instant,
    ) -> Self {
        let mut config = Config::new(EthernetAddress(hardware_address).into());
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut device, time(now));
        let NetworkStorage { sockets, receive_heads, receive, send_heads, send } = storage;
        let mut sockets = SocketSet::new(&mut sockets[..]);
        let mut socket = udp::Socket::new(
            udp::PacketBuffer::new(&mut receive_heads[..], &mut receive[..]),
            udp::PacketBuffer::new(&mut send_heads[..], &mut send[..]),
        );
        socket.bind(port).expect("the socket is new and the port is not 0");
        let udp = sockets.add(socket);
        let dhcp = (addressing.ipv4 == Ipv4Addressing::Dhcp).then(|| sockets.add(dhcpv4::Socket::new()));
        set_static(&mut interface, addressing);
        Self {
            device,
            interface,
            sockets,
            udp,
            dhcp,
            outbox: Outbox::new(),
            scratch: [0; DATAGRAM_LEN],
            stats: NetworkStats::default(),
        }
    }

    /// The address that peers of IPv4 see, once there is one.
    #[must_use]
    pub fn ipv4_address(&self) -> Option<Ipv4Addr> {
        self.interface.ipv4_addr()
    }

    /// Whether there is an address of any kind.
    #[must_use]
    pub fn has_address(&self) -> bool {
        !self.interface.ip_addrs().is_empty()
    }

    /// The device.
    pub const fn device(&mut self) -> &mut D {
        &mut self.device
    }

    /// Counters.
    #[must_use]
    pub const fn stats(&self) -> NetworkStats {
        self.stats
    }

    /// Asks a DHCP server anew, as after the link was lost.
    pub fn renew_address(&mut self) {
        if let Some(dhcp) = self.dhcp {
            self.sockets.get_mut::<dhcpv4::Socket<'_>>(dhcp).reset();
        }
    }

    /// Takes addresses given by hand in place of those it has; sessions go on from them. Where IPv4 comes from DHCP it is
    /// left to that.
    pub fn set_addresses(&mut self, ipv4: Option<StaticIpv4>, ipv6: Option<StaticIpv6>) {
        let keeps_ipv4 = self.dhcp.is_some();
        self.interface.update_ip_addrs(|addresses| {
            addresses.retain(|old| keeps_ipv4 && matches!(old, IpCidr::Ipv4(_)));
        });
        let routes = self.interface.routes_mut();
        routes.remove_default_ipv6_route();
        if !keeps_ipv4 {
            routes.remove_default_ipv4_route();
        }
        let ipv4 = ipv4.filter(|_| !keeps_ipv4).map_or(Ipv4Addressing::Off, Ipv4Addressing::Static);
        set_static(&mut self.interface, &Addressing { ipv4, ipv6 });
    }

    /// Moves frames between the device and the sockets. Drivers do this in each turn; a program without a session calls
    /// it to come to an address. Returns when it wants to be called again at the latest.
    pub fn service(&mut self, now: Instant) -> Option<Instant> {
        for _ in 0..SERVICES_MAX {
            let changed = self.interface.poll(time(now), &mut self.device, &mut self.sockets);
            self.flush();
            if changed == PollResult::None {
                break;
            }
        }
        self.follow_dhcp();
        let due = self.interface.poll_at(time(now), &self.sockets)?;
        Some(Instant::from_micros(u64::try_from(due.total_micros()).unwrap_or(0)))
    }

    /// The next datagram that came: its length in [`Self::received`] and who sent it.
    pub(crate) fn receive(&mut self) -> Option<(SocketAddr, &mut [u8])> {
        let socket = self.sockets.get_mut::<udp::Socket<'_>>(self.udp);
        loop {
            match socket.recv_slice(&mut self.scratch) {
                Ok((len, from)) => {
                    self.stats.datagrams_received += 1;
                    let address = SocketAddr::new(address(from.endpoint), from.endpoint.port);
                    return Some((address, &mut self.scratch[..len]));
                }
                // No path carries such a datagram to us; it is no session's.
                Err(udp::RecvError::Truncated) => {}
                Err(udp::RecvError::Exhausted) => return None,
            }
        }
    }

    /// Gives the socket what waits in the outbox, as far as there is room. Whether nothing waits any more.
    pub(crate) fn flush(&mut self) -> bool {
        let socket = self.sockets.get_mut::<udp::Socket<'_>>(self.udp);
        while let Some((to, datagram)) = self.outbox.next() {
            let to = IpEndpoint { addr: to.ip().into(), port: to.port() };
            match socket.send_slice(datagram, to) {
                Ok(()) => self.stats.datagrams_sent += 1,
                Err(udp::SendError::Unaddressable) => self.stats.unaddressable += 1,
                Err(udp::SendError::BufferFull) => {
                    self.stats.blocked += 1;
                    return false;
                }
            }
            self.outbox.pop();
        }
        true
    }

    fn follow_dhcp(&mut self) {
        let Some(dhcp) = self.dhcp else { return };
        let (address, router) = match self.sockets.get_mut::<dhcpv4::Socket<'_>>(dhcp).poll() {
            None => return,
            Some(dhcpv4::Event::Configured(config)) => (Some(config.address), config.router),
            Some(dhcpv4::Event::Deconfigured) => (None, None),
        };
        self.interface.update_ip_addrs(|addresses| {
            addresses.retain(|old| !matches!(old, IpCidr::Ipv4(_)));
            if let Some(address) = address {
                let pushed = addresses.push(IpCidr::Ipv4(address));
                debug_assert!(pushed.is_ok(), "at most one IPv4 and one IPv6 address");
            }
        });
        let routes = self.interface.routes_mut();
        routes.remove_default_ipv4_route();
        if let Some(router) = router {
            let old = routes.add_default_ipv4_route(router);
            debug_assert!(old.is_ok(), "at most one route of each kind");
        }
    }
}

fn set_static(interface: &mut Interface, addressing: &Addressing) {
    if let Ipv4Addressing::Static(given) = addressing.ipv4 {
        add_address(interface, IpCidr::Ipv4(Ipv4Cidr::new(given.address, given.prefix_len.min(32))));
        if let Some(gateway) = given.gateway {
            let old = interface.routes_mut().add_default_ipv4_route(gateway);
            debug_assert!(old.is_ok(), "the interface has none");
        }
    }
    if let Some(given) = addressing.ipv6 {
        add_address(interface, IpCidr::new(IpAddr::V6(given.address).into(), given.prefix_len.min(128)));
        if let Some(gateway) = given.gateway {
            let old = interface.routes_mut().add_default_ipv6_route(gateway);
            debug_assert!(old.is_ok(), "the interface has none");
        }
    }
}

fn add_address(interface: &mut Interface, address: IpCidr) {
    interface.update_ip_addrs(|addresses| {
        let pushed = addresses.push(address);
        debug_assert!(pushed.is_ok(), "at most one IPv4 and one IPv6 address");
    });
}

fn address(endpoint: IpEndpoint) -> IpAddr {
    endpoint.addr.into()
}

fn time(now: Instant) -> smoltcp::time::Instant {
    smoltcp::time::Instant::from_micros(i64::try_from(now.as_micros()).unwrap_or(i64::MAX))
}

impl<D: Device> core::fmt::Debug for Network<D> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Network")
            .field("addresses", &self.interface.ip_addrs())
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}
