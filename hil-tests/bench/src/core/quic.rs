//! quinn-proto as a rival: two endpoints in one thread, unreliable datagrams (RFC 9221), ChaCha20-Poly1305.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use quinn_proto::congestion::CubicConfig;
use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Endpoint, EndpointConfig, MtuDiscoveryConfig,
    ServerConfig, TransportConfig,
};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::cipher_suite;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::quic::Suite;

use crate::clock;

/// Datagrams quinn puts into one batch: what the crate `quinn` asks for.
const BATCH: usize = 10;
const MTU: u16 = 1452;
/// Virtual time of one step.
const STEP: Duration = Duration::from_millis(1);

/// One endpoint with its connection.
struct Side {
    endpoint: Endpoint,
    connection: Option<(ConnectionHandle, Connection)>,
    address: SocketAddr,
}

/// Two connected sides.
pub(super) struct Pair {
    client: Side,
    host: Side,
    now: Instant,
    out: Vec<u8>,
    /// Payloads that came out at the client.
    pub(super) received: u64,
    /// Bytes of the longest datagram the host has sent since this was last set to 0.
    pub(super) longest: usize,
}

impl Pair {
    /// Connected; `None` when that fails.
    pub(super) fn connected() -> Option<Self> {
        let (client_config, server_config) = configs()?;
        let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let shared = Arc::new(EndpointConfig::default());
        let now = clock::now();
        let host = Endpoint::new(Arc::clone(&shared), Some(Arc::new(server_config)), false, None);
        let mut endpoint = Endpoint::new(shared, None, false, None);
        let connection = endpoint.connect(now, client_config, address(2), "localhost").ok()?;
        let client = Side { endpoint, connection: Some(connection), address: address(1) };
        let host = Side { endpoint: host, connection: None, address: address(2) };
        let mut pair = Self { client, host, now, out: Vec::with_capacity(65_536), received: 0, longest: 0 };
        for _ in 0..50 {
            pair.step();
        }
        let is_ready = |side: &Side| side.connection.as_ref().is_some_and(|(_, one)| !one.is_handshaking());
        (is_ready(&pair.client) && is_ready(&pair.host)).then_some(pair)
    }

    /// Queues a payload at the host; `None` when quinn does not take it.
    pub(super) fn send(&mut self, payload: &Bytes) -> Option<()> {
        self.host.connection.as_mut()?.1.datagrams().send(payload.clone(), false).ok()
    }

    /// A millisecond of virtual time: timers, then datagrams to and fro until nobody has any.
    pub(super) fn step(&mut self) {
        self.now += STEP;
        for side in [&mut self.client, &mut self.host] {
            if let Some((_, connection)) = &mut side.connection
                && connection.poll_timeout().is_some_and(|due| due <= self.now)
            {
                connection.handle_timeout(self.now);
            }
        }
        loop {
            let sent = self.host.pass(self.now, &mut self.client, &mut self.out, &mut self.longest);
            if let Some((_, connection)) = &mut self.client.connection {
                while connection.datagrams().recv().is_some() {
                    self.received += 1;
                }
            }
            let mut ignored = 0;
            if self.client.pass(self.now, &mut self.host, &mut self.out, &mut ignored) + sent == 0 {
                return;
            }
        }
    }
}

impl Side {
    /// Hands all this side wants to send to the other. Returns the number of batches.
    fn pass(&mut self, now: Instant, to: &mut Self, out: &mut Vec<u8>, longest: &mut usize) -> usize {
        let mut batches = 0;
        loop {
            out.clear();
            let Some((_, connection)) = &mut self.connection else { return batches };
            let Some(transmit) = connection.poll_transmit(now, BATCH, out) else { break };
            batches += 1;
            let stride = transmit.segment_size.unwrap_or(transmit.size);
            *longest = stride.max(*longest);
            for datagram in out[..transmit.size].chunks(stride) {
                to.take(now, self.address, datagram);
            }
        }
        self.settle();
        batches
    }

    fn take(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        let mut reply = Vec::new();
        let event = self.endpoint.handle(now, from, None, None, BytesMut::from(datagram), &mut reply);
        match event {
            Some(DatagramEvent::ConnectionEvent(_, event)) => {
                if let Some((_, connection)) = &mut self.connection {
                    connection.handle_event(event);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                self.connection = self.endpoint.accept(incoming, now, &mut reply, None).ok();
            }
            Some(DatagramEvent::Response(_)) | None => {}
        }
        self.settle();
    }

    /// What connection and endpoint have to tell each other and the application.
    fn settle(&mut self) {
        let Some((handle, connection)) = &mut self.connection else { return };
        while let Some(event) = connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(*handle, event) {
                connection.handle_event(event);
            }
        }
        while connection.poll().is_some() {}
    }
}

/// A client and a server that trust each other, with ChaCha20-Poly1305 alone.
pub(super) fn configs() -> Option<(ClientConfig, ServerConfig)> {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).ok()?;
    let certificate = certified.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
    let provider = Arc::new(CryptoProvider {
        cipher_suites: vec![cipher_suite::TLS13_CHACHA20_POLY1305_SHA256],
        ..rustls::crypto::ring::default_provider()
    });
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone()).ok()?;
    let client = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .ok()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .ok()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .ok()?;
    let client = QuicClientConfig::with_initial(Arc::new(client), initial_suite()?).ok()?;
    let server = QuicServerConfig::with_initial(Arc::new(server), initial_suite()?).ok()?;
    let mut client = ClientConfig::new(Arc::new(client));
    let mut server = ServerConfig::with_crypto(Arc::new(server));
    let transport = Arc::new(transport());
    client.transport_config(Arc::clone(&transport));
    server.transport_config(transport);
    Some((client, server))
}

/// What QUIC's first packets are sealed with, whatever is agreed on later (RFC 9001 §5.2).
fn initial_suite() -> Option<Suite> {
    cipher_suite::TLS13_AES_128_GCM_SHA256.tls13()?.quic_suite()
}

/// Large windows, so that the core is measured and not its patience.
fn transport() -> TransportConfig {
    let mut congestion = CubicConfig::default();
    congestion.initial_window(16 << 20);
    let mut transport = TransportConfig::default();
    transport
        .initial_mtu(MTU)
        .mtu_discovery_config(None::<MtuDiscoveryConfig>)
        .datagram_receive_buffer_size(Some(16 << 20))
        .datagram_send_buffer_size(16 << 20)
        .congestion_controller_factory(Arc::new(congestion));
    transport
}
