//! Starts a relay's threads and ends them.

use core::net::{Ipv4Addr, SocketAddr};
use core::num::NonZeroUsize;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

use rift::paths::relay::relay_id;
use rift::{Identity, PublicKey};
use rift_ebpf::{ForwardError, Forwarder};
use rift_keystore::KeystoreError;
use rift_mio::{Socket, SocketConfig};
use rift_tcp::{Listener, Outcome};
use tracing::{error, info, warn};

use crate::args::RunArgs;
use crate::beat;
use crate::health;
use crate::metrics::Metrics;
use crate::state::{Limits, Relay};
use crate::worker::{self, Shared, Trusted};

/// Parts that each thread's share of the leases is cut into, so that threads seldom want the same.
const SHARDS_PER_THREAD: usize = 4;
/// Tokens that one network may have verified in a second.
const TOKENS_PER_S: u32 = 1000;

/// Why a relay does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Its key cannot be read or made.
    #[error(transparent)]
    Key(#[from] KeystoreError),
    /// Nobody is trusted.
    #[error(
        "no gateway is trusted: give its key for leases with --trust KEY, which the gateway prints, or name it with --gateway"
    )]
    NoTrust,
    /// A key that is trusted is none.
    #[error("a key given with --trust is no Ed25519 key")]
    Trust,
    /// The socket cannot be opened.
    #[error("cannot listen at {listen}: {source}")]
    Listen {
        /// Where.
        listen: SocketAddr,
        /// The system's answer.
        source: io::Error,
    },
    /// Nothing is sent on inside the kernel.
    #[error("--ebpf: {0}")]
    Kernel(#[from] ForwardError),
    /// A file cannot be written, or a thread not be started.
    #[error("{what}: {source}")]
    System {
        /// What.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
}

/// The relay's public key, made with its secret half if there is none yet.
///
/// # Errors
/// [`ServeError::Key`].
pub fn public_key(state: &Path) -> Result<PublicKey, ServeError> {
    Ok(rift_keystore::load_or_create(&state.join(rift_keystore::FILE_NAME))?.public())
}

/// A relay that runs. It ends with [`Running::stop`].
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<io::Result<()>>>,
    address: SocketAddr,
    key: PublicKey,
    /// Ends with this.
    _streams: Option<Listener>,
}

/// Starts a relay; its threads run until [`Running::stop`].
///
/// # Errors
/// [`ServeError`].
pub fn serve(settings: &RunArgs) -> Result<Running, ServeError> {
    let path = settings.state.join(rift_keystore::FILE_NAME);
    let key = rift_keystore::load_or_create(&path)?.public();
    if settings.trust.is_empty() && settings.gateway.is_empty() {
        return Err(ServeError::NoTrust);
    }
    let tokens = Trusted::new(relay_id(&key), settings.trust.clone()).ok_or(ServeError::Trust)?;
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let count = settings.threads.map_or(cores, |threads| threads.get().into());
    let shards = SHARDS_PER_THREAD * count;
    let secret =
        *rift_keystore::load_or_create_secret(&settings.state.join(rift_keystore::SECRET_FILE_NAME))?;
    let limits = Limits {
        // Tags are random: shares are even, but for some.
        leases: settings.leases_max.div_ceil(shards) * 5 / 4 + 8,
        packets: settings.packets_max.div_ceil(shards).max(8),
        bitrate_bps_max: u32::from(settings.mbit_max) * 1_000_000,
        tokens_per_s: (TOKENS_PER_S / shards as u32).max(1),
    };
    let relay = |_| Ok(Mutex::new(Relay::new(rift_keystore::load(&path)?, secret, limits)));
    let (sockets, address) = open(settings.listen, count)?;
    let forwarder = forwarder(settings, address)?;
    let shared = Arc::new(Shared {
        shards: (0..shards).map(relay).collect::<Result<_, ServeError>>()?,
        keeps: (0..shards).map(|_| AtomicBool::new(false)).collect(),
        tokens,
        metrics: Metrics::default(),
        address,
        forwarder: forwarder.map(Mutex::new),
        turns: (0..count).map(|_| AtomicU64::new(0)).collect(),
        stop: AtomicBool::new(false),
        drains: AtomicBool::new(false),
        unix_s: AtomicU64::new(unix_s()),
    });
    let threads = start(&shared, sockets)?;
    let streams = take_streams(settings, &rift_keystore::load(&path)?, address)?;
    if let Some(listen) = settings.metrics {
        let at = health::start(listen, Arc::clone(&shared))
            .map_err(|source| ServeError::Listen { listen, source })?;
        info!(address = %at, "metrics are served");
    }
    if let Some(file) = &settings.port_file {
        std::fs::write(file, format!("{}\n", address.port())).map_err(|source| ServeError::System {
            what: format!("cannot write {}", file.display()),
            source,
        })?;
    }
    let mut threads = threads;
    for &gateway in &settings.gateway {
        let about = beat::About {
            leases_max: u32::try_from(settings.leases_max).unwrap_or(u32::MAX),
            bitrate_bps_max: u64::from(settings.line_mbit) * 1_000_000,
            address: settings.public.unwrap_or_else(|| (Ipv4Addr::UNSPECIFIED, address.port()).into()),
            region: settings.region.clone(),
        };
        let what = "cannot speak with a gateway";
        let thread = beat::start(&shared, rift_keystore::load(&path)?, gateway, about);
        threads.push(thread.map_err(|source| ServeError::System { what: what.to_owned(), source })?);
    }
    info!(%address, threads = count, "the relay listens");
    Ok(Running { shared, threads, address, key, _streams: streams })
}

/// Takes packets over TLS from who is in a network that lets no UDP pass.
fn take_streams(
    settings: &RunArgs,
    identity: &Identity,
    address: SocketAddr,
) -> Result<Option<Listener>, ServeError> {
    let listen = settings.listen;
    match settings.listen_tls.carry_out(identity, address, listen) {
        Ok(Outcome::Listening(listener)) => {
            info!(at = %listener.local_addr(), "peers reach the relay over TLS, too");
            Ok(Some(listener))
        }
        Ok(Outcome::Off) => Ok(None),
        Ok(Outcome::Unavailable(error)) => {
            let port = rift_tcp::PORT;
            warn!(%error, port, "peers in networks without UDP do not reach the relay: give it the port (CAP_NET_BIND_SERVICE), say another with --listen-tls, or --listen-tls off");
            Ok(None)
        }
        Err(source) => {
            let what = format!("cannot take streams at {:?} (--listen-tls)", settings.listen_tls);
            Err(ServeError::System { what, source })
        }
    }
}

/// A socket for each thread, all at one address.
fn open(listen: SocketAddr, count: usize) -> Result<(Vec<Socket>, SocketAddr), ServeError> {
    let config = SocketConfig { shares_port: true, ..SocketConfig::default() };
    let bind =
        |address| Socket::bind(&config, address).map_err(|source| ServeError::Listen { listen, source });
    let first = bind(listen)?;
    let address = SocketAddr::new(listen.ip(), first.local_addr().port());
    let mut sockets = vec![first];
    while sockets.len() < count {
        sockets.push(bind(address)?);
    }
    Ok((sockets, address))
}

/// What sends on inside the kernel, where that is wanted.
fn forwarder(settings: &RunArgs, address: SocketAddr) -> Result<Option<Forwarder>, ServeError> {
    if settings.ebpf.is_empty() {
        return Ok(None);
    }
    let capacity = u32::try_from(settings.leases_max).unwrap_or(u32::MAX);
    let forwarder = Forwarder::load(address.port(), capacity, &settings.ebpf)?;
    info!(interfaces = settings.ebpf.join(","), "packets are sent on inside the kernel");
    Ok(Some(forwarder))
}

type Threads = Vec<JoinHandle<io::Result<()>>>;

fn start(shared: &Arc<Shared>, sockets: Vec<Socket>) -> Result<Threads, ServeError> {
    let mut threads = Vec::new();
    for (number, socket) in sockets.into_iter().enumerate() {
        let shared = Arc::clone(shared);
        let name = format!("relay-{number}");
        let thread = thread::Builder::new().name(name).spawn(move || worker::work(&shared, socket, number));
        let what = "cannot start a thread";
        threads.push(thread.map_err(|source| ServeError::System { what: what.to_owned(), source })?);
    }
    Ok(threads)
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its public key.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Its figures.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// What is to be done several times a second: the clock of leases, their ends, the figures. Returns whether all
    /// threads are alive.
    pub fn tend(&self) -> bool {
        let now = unix_s();
        self.shared.unix_s.store(now, Ordering::Relaxed);
        self.shared.metrics.set_leases(self.shared.tend());
        !self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Whether every thread that forwards has looked for packets since `seen` was taken, which then is taken anew. They do
    /// ten times a second at least, so one that has not is stuck.
    pub fn has_turned(&self, seen: &mut Vec<u64>) -> bool {
        let turns: Vec<u64> = self.shared.turns.iter().map(|turns| turns.load(Ordering::Relaxed)).collect();
        let is_new = |(place, turns): (usize, &u64)| seen.get(place) != Some(turns);
        let all = turns.iter().enumerate().all(is_new);
        if all {
            *seen = turns;
        }
        all
    }

    /// Leases there are.
    #[must_use]
    pub fn leases(&self) -> usize {
        self.shared
            .shards
            .iter()
            .map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len())
            .sum()
    }

    /// Takes no new leases from now on.
    pub fn drain(&self) {
        self.shared.drains.store(true, Ordering::Relaxed);
        for shard in &self.shared.shards {
            shard.lock().unwrap_or_else(PoisonError::into_inner).drain();
        }
    }

    /// Ends all threads.
    pub fn stop(self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            match thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => error!(%error, "a thread's socket failed"),
                Err(_) => warn!("a thread panicked"),
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "leases end at a time of the calendar")]
fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
