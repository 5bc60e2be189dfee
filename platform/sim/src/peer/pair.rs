//! One host, one client it knows, and the link between them.

use rift::{AddressToken, Callee, Config, Identity, Permissions};

use super::{Camera, ClientPeer, HostPeer, Peer};
use crate::clock::Clock;
use crate::link::{LinkConfig, LinkId};
use crate::network::Network;
use crate::packet::NodeId;
use crate::random::Random;
use crate::time::Time;

/// How a [`Pair`] is made.
#[derive(Clone, Debug)]
pub struct PairConfig {
    /// Decides everything left to chance, keys included.
    pub seed: u64,
    /// From the client to the host.
    pub upward: LinkConfig,
    /// From the host to the client.
    pub downward: LinkConfig,
    /// Both sessions' limits.
    pub session: Config,
    /// What the host grants.
    pub permissions: Permissions,
    /// Pictures per second; 0 = the host shares nothing.
    pub pictures_per_second: u32,
    /// The client calls (IK) with this counter; without one it connects (XX).
    pub call: Option<u64>,
}

impl PairConfig {
    /// The same link both ways, everything permitted, no pictures.
    #[must_use]
    pub fn new(seed: u64, link: LinkConfig) -> Self {
        Self {
            seed,
            upward: link.clone(),
            downward: link,
            session: Config::default(),
            permissions: Permissions::default_control(),
            pictures_per_second: 0,
            call: None,
        }
    }

    /// Where the client expects the host: the first node of a network.
    pub const HOST: NodeId = NodeId(0);

    /// The client's identity and the host's.
    #[must_use]
    pub fn identities(&self) -> (Identity, Identity) {
        let mut random = Random::new(self.seed).fork(1);
        (Identity::from_secret(random.bytes32()), Identity::from_secret(random.bytes32()))
    }

    /// The client and the host, for a network of the caller's making with the clocks of [`Pair`].
    #[must_use]
    pub fn peers(&self) -> (Peer, Peer) {
        let (client_identity, host_identity) = self.identities();
        let mut random = Random::new(self.seed).fork(2);
        let mut host = HostPeer::new(&self.session, &host_identity, random.fork(1));
        host.allow(client_identity.public(), self.permissions);
        if self.pictures_per_second > 0 {
            let start = Pair::HOST_CLOCK.local(Time::ZERO);
            host.camera = Some(Camera::new(&random.fork(2), self.pictures_per_second, start));
        }
        let (key, now) = (host_identity.public(), Pair::CLIENT_CLOCK.local(Time::ZERO));
        let client = match self.call {
            Some(counter) => {
                let callee = Callee { host: key, counter, token: None };
                ClientPeer::calling(&self.session, &client_identity, &callee, Self::HOST, &mut random, now)
            }
            None => ClientPeer::new(&self.session, &client_identity, key, Self::HOST, &mut random, now),
        };
        (Peer::Client(Box::new(client)), Peer::Host(Box::new(host)))
    }
}

/// A client and a host, about to meet.
#[derive(Debug)]
pub struct Pair {
    /// The network with both on it.
    pub network: Network<Peer>,
    /// Where the client is.
    pub client: NodeId,
    /// Where the host is.
    pub host: NodeId,
    /// From the client to the host.
    pub upward: LinkId,
    /// From the host to the client.
    pub downward: LinkId,
    /// The client's identity.
    pub client_identity: Identity,
    /// The host's identity.
    pub host_identity: Identity,
}

impl Pair {
    /// The clock of the client: minutes from the host's, and it drifts.
    pub const CLIENT_CLOCK: Clock = Clock { offset_us: 300_000_000, drift_ppb: 40_000 };
    /// The clock of the host.
    pub const HOST_CLOCK: Clock = Clock { offset_us: 7_000_000, drift_ppb: -30_000 };

    /// Puts both on the network; the client calls at once.
    #[must_use]
    pub fn new(config: &PairConfig) -> Self {
        let (client_identity, host_identity) = config.identities();
        let (client, host) = config.peers();
        let mut network = Network::new(config.seed);
        let host = network.add_host(host, Self::HOST_CLOCK);
        let client = network.add_host(client, Self::CLIENT_CLOCK);
        let (upward, downward) =
            network.connect(client, host, config.upward.clone(), config.downward.clone());
        Self { network, client, host, upward, downward, client_identity, host_identity }
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> &ClientPeer {
        self.network.host(self.client).client()
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> &HostPeer {
        self.network.host(self.host).host()
    }

    /// The client calls again, from another node and with links like the first one's, as if it had been restarted.
    pub fn call_again(&mut self, config: &PairConfig, counter: u64, token: Option<AddressToken>) -> NodeId {
        let mut random = Random::new(config.seed).fork(0x0072_0000 + counter);
        let now = Self::CLIENT_CLOCK.local(self.network.now());
        let callee = Callee { host: self.host_identity.public(), counter, token };
        let client =
            ClientPeer::calling(&config.session, &self.client_identity, &callee, self.host, &mut random, now);
        let node = self.network.add_host(Peer::Client(Box::new(client)), Self::CLIENT_CLOCK);
        self.network.connect(node, self.host, config.upward.clone(), config.downward.clone());
        node
    }

    /// Another client joins now, over links like the first one's. `label` tells it from others; the host lets it in.
    pub fn add_viewer(&mut self, config: &PairConfig, label: u64) -> NodeId {
        let mut random = Random::new(config.seed).fork(0x0071_0000 + label);
        let identity = Identity::from_secret(random.bytes32());
        let now = Self::CLIENT_CLOCK.local(self.network.now());
        let key = self.host_identity.public();
        let client = ClientPeer::new(&config.session, &identity, key, self.host, &mut random, now);
        let node = self.network.add_host(Peer::Client(Box::new(client)), Self::CLIENT_CLOCK);
        self.network.connect(node, self.host, config.upward.clone(), config.downward.clone());
        let permissions = config.permissions;
        self.network.act(self.host, |peer, _| peer.host_mut().allow(identity.public(), permissions));
        node
    }
}
