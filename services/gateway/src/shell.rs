//! The gateway on a UDP socket, with a clock and a database.

use core::net::{Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::io;
use std::sync::Arc;

use rift::{Ecn, Instant};
use rift_systemd::Notifier;
use rift_tcp::{Listener, Outcome};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};

use crate::args::RunArgs;
use crate::health::{self, Health};
use crate::leases::{Leases, RelayName};
use crate::operate::{
    self,
    desk::{Desk, Question, Reach},
};
use crate::state::{Gateway, Order, Registry, Relays, Request};
use crate::storage::{AuditLine, Operators, Sqlite, Storage, StorageError};
use crate::{GatewayError, StateDirectory, make_operator_token, make_token};

/// Where devices find it.
const LISTEN: SocketAddr = SocketAddr::new(core::net::IpAddr::V6(Ipv6Addr::UNSPECIFIED), 4748);
/// Where its health is told.
const HEALTH: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::LOCALHOST), 4748);
/// Where operators are served.
const OPERATORS: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::LOCALHOST), 4750);
/// How often the lease key is looked after, at least when nothing else happens.
const TEND: Duration = Duration::from_secs(5);
/// Datagrams taken before what they caused is sent.
const RECEIVES_PER_TURN: usize = 64;
/// The longest datagram that is taken whole: signalling has 1200 bytes.
const DATAGRAM_MAX: usize = 2048;
/// After the sessions were ended, their goodbyes have this long to leave.
const GOODBYE: Duration = Duration::from_millis(200);

/// A gateway that is about to run.
#[derive(Debug)]
pub struct Shell {
    gateway: Gateway<fn() -> [u8; 32]>,
    storage: Sqlite,
    leases: Leases,
    desk: Desk,
    ask: mpsc::Sender<Question>,
    questions: mpsc::Receiver<Question>,
    socket: UdpSocket,
    began: tokio::time::Instant,
    epoch_us: u64,
    tended_at: Instant,
    health: Arc<Health>,
    notifier: Notifier,
}

impl Shell {
    /// Opens the database, binds the socket, and tells a token if nobody has enrolled yet. Introductions come with leases of
    /// `relays`.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub async fn open(
        directory: &StateDirectory,
        listen: SocketAddr,
        relays: &[RelayName],
    ) -> Result<Self, GatewayError> {
        let identity = directory.identity()?;
        let leases = directory.leases()?;
        let mut storage = Sqlite::open(&directory.database()).await?;
        let records = storage.devices().await?;
        if records.is_empty() {
            let token = make_token(directory).await?;
            // It is for the person at the terminal, not for whoever collects logs.
            eprintln!("nobody has enrolled yet; the first device may with the token {}", &*token.to_text());
        }
        if !storage.has_operator().await? {
            let token = make_operator_token(directory).await?;
            eprintln!("the operator's token, told this once, is {token}");
        }
        let decisions = storage.decisions().await?;
        let (began, epoch_us) = (tokio::time::Instant::now(), unix_us());
        let bind = |source| GatewayError::Bind { what: "devices", address: listen, source };
        let socket = UdpSocket::bind(listen).await.map_err(bind)?;
        tracing::info!(id = %identity.public(), at = %socket.local_addr().map_err(bind)?, devices = records.len(), "the gateway is there");
        let named: Vec<_> = relays.iter().map(|relay| (relay.key, relay.address)).collect();
        let mut registry = Registry::new(records, decisions.banned, Relays::new(&named));
        for id in decisions.drained {
            // A relay that is named no more may come back drained.
            let _ = registry.obey(Order::DrainRelay(id, true));
        }
        let mut gateway =
            Gateway::new(identity, directory.secret()?, epoch_us, registry, entropy as fn() -> _);
        gateway.set_lease_keys(Instant::ZERO, leases.keys());
        let (ask, questions) = operate::line();
        let (desk, health) = (Desk::default(), Arc::default());
        Ok(Self {
            gateway,
            storage,
            leases,
            desk,
            ask,
            questions,
            socket,
            began,
            epoch_us,
            tended_at: Instant::ZERO,
            health,
            notifier: Notifier::new(None, None),
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// How operators ask.
    #[must_use]
    pub fn ask(&self) -> mpsc::Sender<Question> {
        self.ask.clone()
    }

    /// What it tells of its health.
    #[must_use]
    pub fn health(&self) -> Arc<Health> {
        Arc::clone(&self.health)
    }

    /// Whom it tells that it turns, from now on: at least every five seconds.
    pub fn set_notifier(&mut self, notifier: Notifier) {
        self.notifier = notifier;
    }

    /// Serves devices until `stop` says `true`.
    ///
    /// # Errors
    /// The database's: a gateway that forgets does not go on.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), StorageError> {
        while !*stop.borrow() {
            self.turn().await?;
            let due = self.gateway.poll_timeout().map(|at| self.began + at.until(Instant::ZERO));
            let sleep = async {
                match due {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => core::future::pending().await,
                }
            };
            tokio::select! {
                _ = self.socket.readable() => {}
                () = sleep => {}
                () = tokio::time::sleep(TEND) => {}
                // It has a sender of its own.
                Some(question) = self.questions.recv() => self.answer(question).await?,
                _ = stop.changed() => {}
            }
        }
        self.health.set_ready(false);
        self.notifier.stopping();
        self.gateway.shut_down(self.now());
        self.transmit();
        tokio::time::sleep(GOODBYE).await;
        self.turn().await
    }

    /// Takes what came, does what is due and sends what follows.
    async fn turn(&mut self) -> Result<(), StorageError> {
        self.receive();
        let now = self.now();
        self.gateway.handle_timeout(now);
        if now.since(self.tended_at) >= TEND {
            self.tended_at = now;
            self.tend();
        }
        while let Some(request) = self.gateway.poll_request() {
            self.store(request).await?;
        }
        self.transmit();
        self.health.update(self.gateway.counters());
        self.notifier.beat(now);
        Ok(())
    }

    async fn answer(&mut self, question: Question) -> Result<(), StorageError> {
        let (now, epoch_us) = (self.now(), self.epoch_us);
        let Self { gateway, storage, leases, .. } = self;
        let reach = Reach { gateway, storage, leases, now, epoch_us };
        self.desk.answer(reach, question).await
    }

    /// The next lease key signs when its time has come.
    fn tend(&mut self) {
        if let Err(error) = self.leases.tend(unix_us() / 1_000_000) {
            tracing::error!(%error, "the lease key stays what it is");
        }
        self.gateway.set_lease_keys(self.now(), self.leases.keys());
    }

    fn receive(&mut self) {
        let mut datagram = [0; DATAGRAM_MAX];
        for _ in 0..RECEIVES_PER_TURN {
            match self.socket.try_recv_from(&mut datagram) {
                // An error of one datagram's, such as a port that is closed, is nobody else's.
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {}
                Err(_) => return,
                Ok((len, from)) => {
                    let now = self.now();
                    self.gateway.handle_datagram(now, from, Ecn::NotEct, &mut datagram[..len]);
                }
            }
        }
    }

    /// What does not fit the socket is lost, and said again by who needs it.
    fn transmit(&mut self) {
        let (now, mut out) = (self.now(), [0; DATAGRAM_MAX]);
        let is_v6 = self.socket.local_addr().is_ok_and(|local| local.is_ipv6());
        while let Some((len, to)) = self.gateway.poll_transmit(now, &mut out) {
            let to = match to {
                SocketAddr::V4(v4) if is_v6 => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
                SocketAddr::V4(_) | SocketAddr::V6(_) => to,
            };
            if let Err(error) = self.socket.try_send_to(&out[..len], to) {
                tracing::debug!(%error, "a datagram was not sent");
            }
        }
    }

    async fn store(&mut self, request: Request) -> Result<(), StorageError> {
        match request {
            Request::Store(change) => self.storage.grant(&change).await,
            Request::Lend(peers, relay) => {
                let entropy = [entropy(), entropy(), entropy()];
                let devices = peers.map(|(_, key)| key);
                if let Some(shares) = self.leases.make(relay, devices, entropy, unix_us() / 1_000_000) {
                    self.desk.on_lease(devices, &shares[0]);
                    self.gateway.on_lease(self.now(), peers, shares);
                }
                Ok(())
            }
            Request::Redeem { session, key, name, token } => {
                let at_s = unix_us() / 1_000_000;
                let is_good = self.storage.redeem(&token, &key, &name, at_s).await?;
                if is_good {
                    let (actor, action, subject) =
                        (key.to_string(), "enrol".to_owned(), name.as_str().to_owned());
                    self.storage.note(&AuditLine { at_s, actor, action, subject }).await?;
                }
                tracing::info!(device = %key, is_good, "a device shows a token");
                self.gateway.on_redeemed(self.now(), session, key, is_good.then_some(name));
                Ok(())
            }
        }
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.began.elapsed()
    }
}

/// Runs a gateway until SIGINT or SIGTERM.
///
/// # Errors
/// [`GatewayError`].
pub async fn run(settings: &RunArgs) -> Result<(), GatewayError> {
    let directory = StateDirectory::of(&settings.place)?;
    let mut shell = Shell::open(&directory, settings.listen.unwrap_or(LISTEN), &settings.relay).await?;
    let listener = health::bind(settings.health.unwrap_or(HEALTH)).await?;
    let operators = operate::bind(settings.operators.unwrap_or(OPERATORS)).await?;
    // After the others: where its port is taken it does without.
    let _streams = streams(&directory, settings, &shell)?;
    let ask = shell.ask();
    let (stop, stopped) = watch::channel(false);
    let signals = |source| GatewayError::Io { what: "cannot listen to signals", source };
    let mut terminate =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).map_err(signals)?;
    let health = shell.health();
    health.set_ready(true);
    let notifier = Notifier::from_environment();
    notifier.ready();
    shell.set_notifier(notifier);
    tokio::select! {
        outcome = shell.run(stopped) => Ok(outcome?),
        () = health::serve(listener, health) => Ok(()),
        () = operate::serve(operators, ask, operate::CONNECTION) => Ok(()),
        () = async {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            let _ = stop.send(true);
            // The gateway says goodbye and ends the other branch.
            core::future::pending::<()>().await;
        } => Ok(()),
    }
}

/// Takes streams from who is in a network that lets no UDP pass.
fn streams(
    directory: &StateDirectory,
    settings: &RunArgs,
    shell: &Shell,
) -> Result<Option<Listener>, GatewayError> {
    let asked = settings.listen.unwrap_or(LISTEN);
    let bind = |source| GatewayError::Bind { what: "devices over TLS", address: asked, source };
    let service = shell.local_addr().map_err(bind)?;
    let choice = settings.listen_tls.unwrap_or_default();
    match choice.carry_out(&directory.identity()?, service, asked).map_err(bind)? {
        Outcome::Listening(listener) => {
            tracing::info!(at = %listener.local_addr(), "devices find the gateway over TLS, too");
            Ok(Some(listener))
        }
        Outcome::Off => Ok(None),
        Outcome::Unavailable(error) => {
            let port = rift_tcp::PORT;
            tracing::warn!(%error, port, "devices in networks without UDP do not find the gateway: give it the port (CAP_NET_BIND_SERVICE), say another with --listen-tls, or --listen-tls off");
            Ok(None)
        }
    }
}

/// 32 bytes of the system's entropy.
///
/// # Panics
/// When the system has none, which Linux never says after it has started.
#[must_use]
pub fn entropy() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the system draws entropy");
    bytes
}

/// The Unix time, in microseconds.
#[expect(clippy::disallowed_methods, reason = "tokens run out by the wall clock")]
#[must_use]
pub fn unix_us() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
