//! A board on bare smoltcp comes to its address by DHCP, over a lossy cable, and to another when it asks anew.

use core::net::Ipv4Addr;

use rift::Instant;
use rift_smoltcp::{Addressing, Ipv4Addressing, Network, NetworkStorage};
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::socket::udp;
use smoltcp::wire::{
    DHCP_CLIENT_PORT, DHCP_SERVER_PORT, DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress, IpAddress,
    IpCidr, IpEndpoint, Ipv4Address,
};
use wavry_interop::frames::Card;
use wavry_interop::{End, Wire};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 93, 9, 1);
const BOARD: [u8; 6] = [2, 0, 0, 0, 9, 2];
const STEP_US: u64 = 1_000;
const HANG_US: u64 = 120_000_000;

/// A server that gives one address to whoever asks (RFC 2131).
struct Server {
    card: Card<End>,
    interface: Interface,
    sockets: SocketSet<'static>,
    gives: Ipv4Addr,
}

impl Server {
    fn new(end: End) -> Self {
        let hardware = [2, 0, 0, 0, 9, 1];
        let mut card = Card::new(end, hardware);
        let config = Config::new(EthernetAddress(hardware).into());
        let mut interface = Interface::new(config, &mut card, smoltcp::time::Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(IpAddress::Ipv4(SERVER), 24)).expect("the first");
        });
        let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 8], vec![0; 4096]);
        let mut socket = udp::Socket::new(buffer(), buffer());
        socket.bind(DHCP_SERVER_PORT).expect("the first");
        let mut sockets = SocketSet::new(vec![]);
        sockets.add(socket);
        Self { card, interface, sockets, gives: Ipv4Addr::new(10, 93, 9, 50) }
    }

    fn step(&mut self, now: Instant) {
        let time = smoltcp::time::Instant::from_micros(now.as_micros().cast_signed());
        self.interface.poll(time, &mut self.card, &mut self.sockets);
        let Some((_, smoltcp::socket::Socket::Udp(socket))) = self.sockets.iter_mut().next() else {
            panic!("there is one socket");
        };
        while let Ok((bytes, _)) = socket.recv() {
            let packet = DhcpPacket::new_checked(bytes).expect("it is DHCP");
            let asked = DhcpRepr::parse(&packet).expect("it is DHCP");
            let is_discover = asked.message_type == DhcpMessageType::Discover;
            assert!(is_discover || asked.message_type == DhcpMessageType::Request, "{asked:?}");
            let message_type = if is_discover { DhcpMessageType::Offer } else { DhcpMessageType::Ack };
            let answer = DhcpRepr {
                message_type,
                your_ip: self.gives,
                server_ip: SERVER,
                server_identifier: Some(SERVER),
                subnet_mask: Some(Ipv4Address::new(255, 255, 255, 0)),
                router: Some(SERVER),
                lease_duration: Some(3600),
                requested_ip: None,
                client_identifier: None,
                parameter_request_list: None,
                max_size: None,
                ..asked
            };
            let mut reply = vec![0; answer.buffer_len()];
            answer.emit(&mut DhcpPacket::new_unchecked(&mut reply)).expect("it fits");
            let everybody = IpEndpoint::new(IpAddress::Ipv4(Ipv4Address::BROADCAST), DHCP_CLIENT_PORT);
            socket.send_slice(&reply, everybody).expect("there is room");
        }
        self.interface.poll(time, &mut self.card, &mut self.sockets);
    }
}

#[test]
fn board_comes_to_its_address_and_to_another_when_it_asks_anew() {
    for (seed, loss) in [(1, 0.0), (2, 0.3), (3, 0.3), (4, 0.3), (5, 0.3)] {
        let mut now = Instant::from_millis(1);
        let (wire, [one, other]) = Wire::new(seed, loss, 2_000);
        wire.borrow_mut().advance(now);
        let storage = Box::leak(Box::new(NetworkStorage::<8, 8192>::new()));
        let addressing = Addressing { ipv4: Ipv4Addressing::Dhcp, ipv6: None };
        let mut board = Network::new(Card::new(one, BOARD), storage, BOARD, &addressing, 4747, seed, now);
        let mut server = Server::new(other);
        assert!(!board.has_address());
        for host in [50, 51] {
            let wanted = Ipv4Addr::new(10, 93, 9, host);
            server.gives = wanted;
            board.renew_address();
            let begun = now;
            while board.ipv4_address() != Some(wanted) {
                now = now.plus_micros(STEP_US);
                wire.borrow_mut().advance(now);
                board.service(now);
                server.step(now);
                assert!(now.micros_since(begun) < HANG_US, "seed {seed}: {:?}", board.ipv4_address());
            }
            eprintln!("seed {seed}, loss {loss}: {wanted} after {} ms", now.micros_since(begun) / 1000);
        }
    }
}
