//! The relay's conversation with a gateway (SPEC §18.9): it says how it is, and hears who signs leases.
//!
//! Each gateway has a thread of its own, which sleeps but for four times a minute. A gateway that is not there, or is not
//! who it should be, changes nothing: the keys that were heard last stay trusted.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use core::str::FromStr;
use core::sync::atomic::Ordering;
use core::time::Duration;
use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rift::wire::fleet::{Beat, RelayText};
use rift::wire::signal::Signal;
use rift::{Ecn, Identity, Instant, PublicKey};
use rift_mio::{Clock, Gateway, GatewayPlace, GatewayState};
use tracing::{info, warn};

use crate::worker::Shared;

/// Between two beats.
const BEAT_US: u64 = 15_000_000;
/// How long a thread sleeps at most, so that it notices the end.
const IDLE: Duration = Duration::from_millis(250);
/// The longest datagram that is taken whole: signalling has 1200 bytes.
const DATAGRAM_MAX: usize = 2048;

/// A gateway as the operator names it: `ID@ADDRESS:PORT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatewayName {
    /// Its static key; `wavry-gateway id` prints its text.
    pub key: PublicKey,
    /// Its address.
    pub address: SocketAddr,
}

impl FromStr for GatewayName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, address) = text
            .split_once('@')
            .ok_or_else(|| "write ID@ADDRESS:PORT, with the ID that `wavry-gateway id` prints".to_owned())?;
        Ok(Self {
            key: key.parse().map_err(|error| format!("{key}: {error}"))?,
            address: address.parse().map_err(|error| format!("{address}: {error}"))?,
        })
    }
}

/// What does not change while the relay runs.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) leases_max: u32,
    /// What it forwards at most, in bits per second, as its operator reckons.
    pub(crate) bitrate_bps_max: u64,
    /// Where peers reach it, as far as it knows.
    pub(crate) address: SocketAddr,
    pub(crate) region: RelayText,
}

/// Talks to this gateway until the relay ends.
///
/// # Errors
/// The system's, when there is no socket or thread.
pub(crate) fn start(
    shared: &Arc<Shared>,
    identity: Identity,
    name: GatewayName,
    about: About,
) -> io::Result<JoinHandle<io::Result<()>>> {
    let local: SocketAddr = if name.address.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(local)?;
    socket.connect(name.address)?;
    let shared = Arc::clone(shared);
    let talk = move || {
        let clock = Clock::new();
        let place = GatewayPlace { key: name.key, address: name.address };
        let gateway = Gateway::new(place, identity, None, clock.unix_epoch_us(), entropy, clock.now());
        let mut talk = Talk { gateway, socket, clock, about, beat_at: None, measured: (clock.now(), 0) };
        talk.run(&shared);
        Ok(())
    };
    thread::Builder::new().name("gateway".to_owned()).spawn(talk)
}

struct Talk {
    gateway: Gateway,
    socket: UdpSocket,
    clock: Clock,
    about: About,
    beat_at: Option<Instant>,
    /// When the load was looked at, and the bytes forwarded until then.
    measured: (Instant, u64),
}

impl Talk {
    fn run(&mut self, shared: &Shared) {
        let (mut state, mut drained) = (GatewayState::Calling, false);
        while !shared.stop.load(Ordering::Relaxed) {
            let now = self.clock.now();
            self.gateway.handle_timeout(now);
            while let Some(signal) = self.gateway.hear(now) {
                if let Signal::LeaseKeys(keys) = signal {
                    shared.tokens.learn(self.gateway.place().key, &keys);
                }
            }
            if core::mem::replace(&mut state, self.gateway.state()) != self.gateway.state() {
                match self.gateway.state() {
                    GatewayState::Here(_) => info!("the gateway knows this relay"),
                    GatewayState::Calling => {}
                    GatewayState::Trouble(trouble) => warn!(?trouble, "the gateway is of no use"),
                }
                self.beat_at = None;
            }
            let is_draining = !shared.is_ready();
            if core::mem::replace(&mut drained, is_draining) != is_draining {
                self.beat_at = None;
            }
            if self.gateway.seen().is_some() && self.beat_at.is_none_or(|at| at <= now) {
                self.beat_at = Some(now.plus_micros(BEAT_US));
                let beat = self.beat(now, shared, is_draining);
                // Who cannot be told now is told when it is there again.
                let _ = self.gateway.say(now, &Signal::Beat(beat));
            }
            self.transmit(now);
            self.receive(now);
        }
        let now = self.clock.now();
        self.gateway.close(now);
        self.transmit(now);
    }

    fn beat(&mut self, now: Instant, shared: &Shared, is_draining: bool) -> Beat {
        let bytes = shared.metrics.bytes();
        let (before, bytes_before) = core::mem::replace(&mut self.measured, (now, bytes));
        let elapsed_us = now.micros_since(before).max(1);
        let bps = u128::from(bytes - bytes_before) * 8_000_000 / u128::from(elapsed_us);
        let load = bps * 1_000 / u128::from(self.about.bitrate_bps_max.max(1));
        Beat {
            leases: u32::try_from(shared.metrics.leases()).unwrap_or(u32::MAX),
            leases_max: self.about.leases_max,
            load_permille: u16::try_from(load.min(1_000)).unwrap_or(1_000),
            is_draining,
            address: self.about.address,
            region: self.about.region.clone(),
            version: env!("CARGO_PKG_VERSION").try_into().unwrap_or_default(),
        }
    }

    fn transmit(&mut self, now: Instant) {
        let mut out = [0; DATAGRAM_MAX];
        while let Some((len, _)) = self.gateway.poll_transmit(now, &mut out) {
            // What is lost is said again by the session.
            let _ = self.socket.send(&out[..len]);
        }
    }

    /// Waits for a datagram or for what is due.
    fn receive(&mut self, now: Instant) {
        let due = self.gateway.poll_timeout().map_or(IDLE, |at| at.until(now));
        let wait = due.clamp(Duration::from_millis(1), IDLE);
        let mut bytes = [0; DATAGRAM_MAX];
        if self.socket.set_read_timeout(Some(wait)).is_ok()
            && let Ok(len) = self.socket.recv(&mut bytes)
        {
            self.gateway.handle_datagram(self.clock.now(), Ecn::NotEct, &mut bytes[..len]);
        }
    }
}

/// 32 bytes of the system's entropy.
fn entropy() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the system draws entropy");
    bytes
}
