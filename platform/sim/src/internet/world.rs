//! A client, a host, a gateway and a relay, with NATs between them.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;

use rift::{Config, Identity, Instant, Permissions};

use super::{Callee, Caller, Forwarder, Internet, InternetStats, Introducer, Member, NatConfig, NatId, Port};
use crate::clock::Clock;
use crate::link::LinkConfig;
use crate::network::Network;
use crate::packet::NodeId;
use crate::peer::{Camera, HostPeer, Typist};
use crate::random::Random;
use crate::time::Time;

const GATEWAY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 4747);
const RELAY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 2), 4748);
const CLIENT_OUTSIDE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const HOST_OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const CARRIER_OUTSIDE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 200);
/// Addresses that a carrier gives to its customers' NATs (RFC 6598).
const CARRIER_INSIDE: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 64, 0, 1), Ipv4Addr::new(100, 64, 0, 2)];
const CLIENT_CLOCK: Clock = Clock { offset_us: 300_000_000, drift_ppb: 40_000 };
const HOST_CLOCK: Clock = Clock { offset_us: 7_000_000, drift_ppb: -30_000 };
/// The client comes when the host has been there for a while.
const CLIENT_AT: Time = Time::from_millis(2_000);

/// How a [`World`] is made.
#[derive(Clone, Debug)]
pub struct WorldConfig {
    /// Decides everything left to chance, keys included.
    pub seed: u64,
    /// From each node to where all meet, one way: a quarter of the round trip between two of them.
    pub delay: Duration,
    /// The client's NAT, if it has one.
    pub client: Option<NatConfig>,
    /// The host's NAT, if it has one of its own.
    pub host: Option<NatConfig>,
    /// A carrier's NAT before both.
    pub carrier: Option<NatConfig>,
    /// Both stand behind the client's NAT.
    pub is_shared: bool,
    /// Whether there is a relay.
    pub has_relay: bool,
}

impl WorldConfig {
    /// NATs of these kinds, 10 ms to where all meet, and a relay.
    #[must_use]
    pub const fn new(seed: u64, client: Option<NatConfig>, host: Option<NatConfig>) -> Self {
        Self {
            seed,
            delay: Duration::from_millis(10),
            client,
            host,
            carrier: None,
            is_shared: false,
            has_relay: true,
        }
    }
}

/// One of each; see [`super`].
#[derive(Debug)]
pub struct World {
    /// The network with all of them on it.
    pub network: Network<Member>,
    /// Where the internet is.
    pub internet: NodeId,
    /// Where the client is.
    pub caller: NodeId,
    /// Where the host is.
    pub callee: NodeId,
    /// Where the gateway is.
    pub introducer: NodeId,
    /// Where the relay is.
    pub forwarder: NodeId,
    /// The client's NAT and the host's.
    pub nats: [Option<NatId>; 2],
    /// When the client began, by its own clock.
    pub began: Instant,
}

impl World {
    /// Puts all of them there, and lets the host run for two seconds before the client comes.
    #[must_use]
    pub fn new(config: &WorldConfig) -> Self {
        let mut network = Network::new(config.seed);
        let random = Random::new(config.seed).fork(0x1e7);
        let internet = network.add_host(Member::Internet(Box::default()), Clock::default());
        let mut draw = random.fork(1);
        let identities = [(); 2].map(|()| Identity::from_secret(draw.bytes32()));
        let nats = Self::add_nats(&mut network, internet, config, &random);

        let relay = config.has_relay.then_some(RELAY);
        let member = Introducer::new(Port::new(GATEWAY, internet), relay, random.fork(4));
        let introducer = network.add_host(Member::Introducer(Box::new(member)), Clock::default());
        let forwarder = Forwarder::new(Port::new(RELAY, internet));
        let forwarder = network.add_host(Member::Forwarder(Box::new(forwarder)), Clock::default());
        let places = Self::places(config, nats);
        let ports = places.map(|(ip, _)| Port::new(SocketAddrV4::new(ip, 4747), internet));
        let [client_port, host_port] = ports;

        let session = Config { bitrate_bps_max: 8_000_000, ..Config::default() };
        let host = Self::host(&session, &identities, &random);
        let start = HOST_CLOCK.local(Time::ZERO);
        let key = identities[1].public();
        let member = Callee::new(host_port, GATEWAY, key, host, start, random.fork(5));
        let callee = network.add_host(Member::Callee(Box::new(member)), HOST_CLOCK);
        for (node, (ip, behind)) in
            [(introducer, (*GATEWAY.ip(), None)), (forwarder, (*RELAY.ip(), None)), (callee, places[1])]
        {
            Self::join(&mut network, internet, config.delay, node, ip, behind);
        }
        network.run_until(CLIENT_AT);

        let began = CLIENT_CLOCK.local(CLIENT_AT);
        let [client, _] = identities;
        let member = Caller::new(client_port, GATEWAY, session, client, key, began, random.fork(6));
        let caller = network.add_host(Member::Caller(Box::new(member)), CLIENT_CLOCK);
        Self::join(&mut network, internet, config.delay, caller, places[0].0, places[0].1);
        Self { network, internet, caller, callee, introducer, forwarder, nats, began }
    }

    fn host(session: &Config, identities: &[Identity; 2], random: &Random) -> HostPeer {
        let [client, host] = identities;
        let mut peer = HostPeer::new(session, host, random.fork(2));
        peer.allow(client.public(), Permissions::default_control());
        peer.camera = Some(Camera::new(&random.fork(3), 60, HOST_CLOCK.local(Time::ZERO)));
        peer
    }

    fn add_nats(
        network: &mut Network<Member>,
        internet: NodeId,
        config: &WorldConfig,
        random: &Random,
    ) -> [Option<NatId>; 2] {
        let Member::Internet(member) = network.host_mut(internet) else { panic!("it was just added") };
        let carrier = config
            .carrier
            .clone()
            .map(|carrier| member.add_nat(carrier, CARRIER_OUTSIDE, None, random.fork(7)));
        let outside = match carrier {
            Some(_) => CARRIER_INSIDE,
            None => [CLIENT_OUTSIDE, HOST_OUTSIDE],
        };
        let mut add = |nat: &Option<NatConfig>, at: usize| {
            let random = random.fork(8 + u64::try_from(at).expect("there are two"));
            nat.clone().map(|nat| member.add_nat(nat, outside[at], carrier, random)).or(carrier)
        };
        let client = add(&config.client, 0);
        [client, if config.is_shared { client } else { add(&config.host, 1) }]
    }

    /// Addresses of client and host, and behind which NAT each is.
    fn places(config: &WorldConfig, [client, host]: [Option<NatId>; 2]) -> [(Ipv4Addr, Option<NatId>); 2] {
        let inside = [Ipv4Addr::new(192, 168, 1, 2), Ipv4Addr::new(10, 0, 0, 2)];
        let beside = Ipv4Addr::new(192, 168, 1, 3);
        [
            (if client.is_some() { inside[0] } else { CLIENT_OUTSIDE }, client),
            (
                match host {
                    Some(_) if config.is_shared => beside,
                    Some(_) => inside[1],
                    None => HOST_OUTSIDE,
                },
                host,
            ),
        ]
    }

    fn join(
        network: &mut Network<Member>,
        internet: NodeId,
        delay: Duration,
        node: NodeId,
        ip: Ipv4Addr,
        behind: Option<NatId>,
    ) {
        let link = LinkConfig { delay, ..LinkConfig::default() };
        network.connect(node, internet, link.clone(), link);
        let Member::Internet(member) = network.host_mut(internet) else { panic!("it is node 0") };
        member.place(node, ip, behind);
    }

    /// The client.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        let Member::Caller(caller) = self.network.host(self.caller) else { panic!("it is the client") };
        caller
    }

    /// The host.
    #[must_use]
    pub fn callee(&self) -> &HostPeer {
        let Member::Callee(callee) = self.network.host(self.callee) else { panic!("it is the host") };
        callee.host()
    }

    /// What became of packets.
    #[must_use]
    pub fn stats(&self) -> InternetStats {
        let Member::Internet(internet) = self.network.host(self.internet) else { panic!("it is node 0") };
        internet.stats
    }

    /// Changes the internet now.
    pub fn change(&mut self, change: impl FnOnce(&mut Internet)) {
        self.network.act(self.internet, |member, _| {
            let Member::Internet(internet) = member else { panic!("it is node 0") };
            change(internet);
        });
    }

    /// Nothing passes directly between client and host any more.
    pub fn cut_direct(&mut self) {
        let (caller, callee) = (self.caller, self.callee);
        self.change(|internet| internet.cut(caller, callee));
    }

    /// Somebody types at the client from now on.
    pub fn set_typist(&mut self, typist: Typist) {
        self.network.act(self.caller, |member, _| {
            let Member::Caller(caller) = member else { panic!("it is the client") };
            caller.set_typist(typist);
        });
    }

    /// How long after the client began it showed its first picture.
    #[must_use]
    pub fn first_picture(&self) -> Option<Duration> {
        let shown = &self.caller().client()?.shown;
        shown.first().map(|shown| shown.at.since(self.began))
    }
}
