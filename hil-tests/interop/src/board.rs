//! The stacks of boards as nodes that are stepped through time.

use core::cell::RefCell;
use core::future::Future;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use core::pin::Pin;
use core::task::{Context, Waker};
use std::rc::Rc;

use embassy_futures::join::join;
use embassy_net::StackResources;
use embassy_net::udp::{PacketMetadata, UdpSocket};
use rift::{Config, Event, Instant, Noise, Opening, PublicKey, Session};
use rift_smoltcp::{Network, NetworkStorage};

use crate::frames::{Card, Frames};
use crate::parties::{HostStorage, Sharer, ThinStorage, Watcher, host_identity, session, thin_memory};

/// The port hosts listen at.
pub const PORT: u16 = 4747;
/// Bytes of a stack's UDP buffer each way, as on a board.
const UDP_LEN: usize = 16_384;
const UDP_PACKETS: usize = 16;
/// How often an application on embassy-net looks at its own affairs.
const TICK_US: u64 = 1_000;

type Peer<S> = Session<Box<S>, Noise>;

/// Something that does what is due when it is told the time.
pub trait Node {
    /// Does what is due.
    fn step(&mut self, now: Instant);
    /// Whether its session is over.
    fn is_done(&self) -> bool;
    /// What is wrong with what it saw.
    ///
    /// # Errors
    /// In words.
    fn verdict(&self) -> Result<(), String>;
    /// Goes on from other addresses, if it is a client.
    fn move_to(&mut self, _: Place) {}
}

/// An address of a board.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// In the network `/24` of that name.
    pub address: Ipv4Addr,
    /// In the network `/64` of that name.
    pub address_v6: Ipv6Addr,
    /// Of its network card.
    pub hardware: [u8; 6],
}

impl Place {
    /// Number `host` of networks 10.93.`net`.0/24 and fd93:`net`::/64.
    #[must_use]
    pub const fn new(net: u8, host: u8) -> Self {
        let address_v6 = Ipv6Addr::new(0xfd93, net as u16, 0, 0, 0, 0, 0, host as u16);
        Self { address: Ipv4Addr::new(10, 93, net, host), address_v6, hardware: [2, 0, 0, 0, net, host] }
    }
}

const fn smoltcp_addresses(place: Place) -> (rift_smoltcp::StaticIpv4, rift_smoltcp::StaticIpv6) {
    (
        rift_smoltcp::StaticIpv4 { address: place.address, prefix_len: 24, gateway: None },
        rift_smoltcp::StaticIpv6 { address: place.address_v6, prefix_len: 64, gateway: None },
    )
}

/// A board's network on bare smoltcp, with a socket on `port`.
pub fn network<F: Frames>(frames: F, place: Place, port: u16, seed: u64, now: Instant) -> Network<Card<F>> {
    let (ipv4, ipv6) = smoltcp_addresses(place);
    let ipv4 = rift_smoltcp::Ipv4Addressing::Static(ipv4);
    let addressing = rift_smoltcp::Addressing { ipv4, ipv6: Some(ipv6) };
    let storage = Box::leak(Box::new(NetworkStorage::<UDP_PACKETS, UDP_LEN>::new()));
    Network::new(Card::new(frames, place.hardware), storage, place.hardware, &addressing, port, seed, now)
}

/// A watcher on bare smoltcp.
#[derive(Debug)]
pub struct SmoltcpClient<F: Frames> {
    driver: rift_smoltcp::ClientDriver<Card<F>, Box<ThinStorage>, Noise>,
    watcher: Watcher,
    /// When the driver wants its next turn.
    due: Option<Instant>,
}

impl<F: Frames> SmoltcpClient<F> {
    /// One that asks the host at `remote`.
    pub fn new(frames: F, place: Place, remote: SocketAddr, seed: u64, now: Instant) -> Self {
        let network = network(frames, place, 40_000, seed, now);
        let session = session(seed, thin_memory(), now);
        let driver = rift_smoltcp::ClientDriver::connect(network, remote, session);
        Self { driver, watcher: Watcher::new(), due: None }
    }
}

impl<F: Frames> Node for SmoltcpClient<F> {
    fn step(&mut self, now: Instant) {
        self.watcher.work(now, self.driver.session());
        let watcher = &mut self.watcher;
        self.due = self.driver.turn(now, &mut |session, event| watcher.event(now, session, event));
        assert!(self.due.is_none_or(|due| due > now), "a driver that wants no time to pass would spin");
    }

    fn is_done(&self) -> bool {
        self.watcher.closed.is_some()
    }

    fn verdict(&self) -> Result<(), String> {
        self.watcher.verdict()
    }

    fn move_to(&mut self, place: Place) {
        let (ipv4, ipv6) = smoltcp_addresses(place);
        self.driver.network().set_addresses(Some(ipv4), Some(ipv6));
    }
}

/// A sharer on bare smoltcp.
#[derive(Debug)]
pub struct SmoltcpHost<F: Frames> {
    driver: rift_smoltcp::HostDriver<Card<F>, Box<HostStorage>, Noise>,
    sharer: Sharer,
}

impl<F: Frames> SmoltcpHost<F> {
    /// One that listens at [`PORT`].
    pub fn new(frames: F, place: Place, seed: u64, now: Instant) -> Self {
        let network = network(frames, place, PORT, seed, now);
        let driver = rift_smoltcp::HostDriver::new(network, &host_identity().public(), [9; 32]);
        Self { driver, sharer: Sharer::new(seed) }
    }
}

impl rift_smoltcp::HostApplication<Box<HostStorage>, Noise> for Sharer {
    type Pictures = rift::Pictures<Vec<u8>, 8>;

    fn pictures(&self) -> &Self::Pictures {
        &self.pictures
    }

    fn responder(&mut self, opening: Opening) -> Noise {
        Self::responder(self, opening)
    }

    fn established(
        &mut self,
        _: Instant,
        peer: PublicKey,
        _: SocketAddr,
    ) -> rift_smoltcp::Decision<Box<HostStorage>> {
        match Self::permissions(peer) {
            Some(permissions) => rift_smoltcp::Decision::Admit {
                config: Config::default(),
                memory: Box::new(HostStorage::new()),
                permissions,
            },
            None => rift_smoltcp::Decision::Refuse(rift::CloseReason::Refused),
        }
    }

    fn event(&mut self, now: Instant, session: &mut Peer<HostStorage>, event: Event) {
        Self::event(self, now, session, event);
    }

    fn closed(&mut self, _: Box<HostStorage>) {}
}

impl<F: Frames> Node for SmoltcpHost<F> {
    fn step(&mut self, now: Instant) {
        if let Some(session) = self.driver.session() {
            self.sharer.work(now, session);
        }
        let _ = self.driver.turn(now, &mut self.sharer);
    }

    fn is_done(&self) -> bool {
        self.sharer.closed.is_some()
    }

    fn verdict(&self) -> Result<(), String> {
        self.sharer.verdict()
    }
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

fn embassy_configuration(place: Place) -> embassy_net::Config {
    let ipv4 = rift_embassy::StaticIpv4 { address: place.address, prefix_len: 24, gateway: None };
    rift_embassy::configuration(&rift_embassy::Addressing {
        ipv4: rift_embassy::Ipv4Addressing::Static(ipv4),
        ipv6: Some(rift_embassy::StaticIpv6 { address: place.address_v6, prefix_len: 64, gateway: None }),
    })
}

/// A board's network on embassy-net.
pub fn stack<F: Frames + 'static>(
    frames: F,
    place: Place,
    seed: u64,
) -> (embassy_net::Stack<'static>, embassy_net::Runner<'static, Card<F>>) {
    let resources = Box::leak(Box::new(StackResources::<3>::new()));
    let configuration = embassy_configuration(place);
    embassy_net::new(Card::new(frames, place.hardware), configuration, resources, seed)
}

fn socket(stack: embassy_net::Stack<'static>, port: u16) -> UdpSocket<'static> {
    let heads = || Box::leak(Box::new([PacketMetadata::EMPTY; UDP_PACKETS]));
    let buffer = || Box::leak(Box::new([0; UDP_LEN]));
    let mut socket = UdpSocket::new(stack, heads(), buffer(), heads(), buffer());
    socket.bind(port).expect("the socket is new");
    socket
}

/// Brings embassy's clock to `now`, and lets a task do what is due.
fn poll(task: &mut Task, now: Instant) -> bool {
    set_clock(now);
    task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

/// Brings embassy's clock to `now`.
pub fn set_clock(now: Instant) {
    let behind = now.micros_since(rift_embassy::now());
    embassy_time::MockDriver::get().advance(embassy_time::Duration::from_micros(behind));
}

/// What a task says when its session is over.
type Report = Rc<RefCell<Option<Result<(), String>>>>;

impl rift_embassy::Application<Box<ThinStorage>, Noise> for Watcher {
    fn event(&mut self, now: Instant, session: &mut Peer<ThinStorage>, event: Event) {
        Self::event(self, now, session, event);
    }

    async fn wanted(&mut self) {
        embassy_time::Timer::after_micros(TICK_US).await;
    }

    fn command(&mut self, now: Instant, session: &mut Peer<ThinStorage>) {
        self.work(now, session);
    }
}

/// A watcher on embassy-net.
pub struct EmbassyClient {
    task: Task,
    stack: embassy_net::Stack<'static>,
    report: Report,
}

impl EmbassyClient {
    /// One that asks the host at `remote`.
    pub fn new<F: Frames + 'static>(
        frames: F,
        place: Place,
        remote: SocketAddr,
        seed: u64,
        now: Instant,
    ) -> Self {
        set_clock(now);
        let (stack, mut runner) = stack(frames, place, seed);
        let report = Report::default();
        let told = Rc::clone(&report);
        let session_task = async move {
            let socket = socket(stack, 40_000);
            let mut session = session(seed, thin_memory(), rift_embassy::now());
            let mut watcher = Watcher::new();
            let mut scratch = rift_embassy::Scratch::new();
            let reason =
                rift_embassy::run_client(&socket, remote, &mut session, &mut scratch, &mut watcher).await;
            let agreed =
                if watcher.closed == Some(reason) { watcher.verdict() } else { Err(format!("{reason:?}")) };
            *told.borrow_mut() = Some(agreed);
        };
        let task = Box::pin(async move {
            join(session_task, runner.run()).await;
        });
        Self { task, stack, report }
    }
}

impl Node for EmbassyClient {
    fn step(&mut self, now: Instant) {
        poll(&mut self.task, now);
    }

    fn is_done(&self) -> bool {
        self.report.borrow().is_some()
    }

    fn verdict(&self) -> Result<(), String> {
        self.report.borrow().clone().unwrap_or_else(|| Err("still running".to_owned()))
    }

    fn move_to(&mut self, place: Place) {
        let configuration = embassy_configuration(place);
        self.stack.set_config_v4(configuration.ipv4);
        self.stack.set_config_v6(configuration.ipv6);
    }
}

/// A sharer that reports its session's end.
struct Reporting {
    sharer: Sharer,
    report: Report,
}

impl rift_embassy::HostApplication<Box<HostStorage>, Noise> for Reporting {
    type Pictures = rift::Pictures<Vec<u8>, 8>;

    fn pictures(&self) -> &Self::Pictures {
        &self.sharer.pictures
    }

    fn responder(&mut self, opening: Opening) -> Noise {
        self.sharer.responder(opening)
    }

    fn established(
        &mut self,
        _: Instant,
        peer: PublicKey,
        _: SocketAddr,
    ) -> rift_embassy::Decision<Box<HostStorage>> {
        match Sharer::permissions(peer) {
            Some(permissions) => rift_embassy::Decision::Admit {
                config: Config::default(),
                memory: Box::new(HostStorage::new()),
                permissions,
            },
            None => rift_embassy::Decision::Refuse(rift::CloseReason::Refused),
        }
    }

    fn event(&mut self, now: Instant, session: &mut Peer<HostStorage>, event: Event) {
        self.sharer.event(now, session, event);
        if self.sharer.closed.is_some() {
            *self.report.borrow_mut() = Some(self.sharer.verdict());
        }
    }

    fn closed(&mut self, _: Box<HostStorage>) {}

    async fn wanted(&mut self) {
        embassy_time::Timer::after_micros(TICK_US).await;
    }

    fn command(&mut self, now: Instant, session: Option<&mut Peer<HostStorage>>) {
        if let Some(session) = session {
            self.sharer.work(now, session);
        }
    }
}

/// A sharer on embassy-net.
pub struct EmbassyHost {
    task: Task,
    report: Report,
}

impl EmbassyHost {
    /// One that listens at [`PORT`].
    pub fn new<F: Frames + 'static>(frames: F, place: Place, seed: u64, now: Instant) -> Self {
        set_clock(now);
        let (stack, mut runner) = stack(frames, place, seed);
        let report = Report::default();
        let mut application = Reporting { sharer: Sharer::new(seed), report: Rc::clone(&report) };
        let session_task = async move {
            let socket = socket(stack, PORT);
            let mut driver = rift_embassy::HostDriver::new(&host_identity().public(), [9; 32]);
            let mut scratch = rift_embassy::Scratch::new();
            rift_embassy::run_host(&socket, &mut driver, &mut scratch, &mut application).await
        };
        let task = Box::pin(async move {
            join(session_task, runner.run()).await;
        });
        Self { task, report }
    }
}

impl Node for EmbassyHost {
    fn step(&mut self, now: Instant) {
        poll(&mut self.task, now);
    }

    fn is_done(&self) -> bool {
        self.report.borrow().is_some()
    }

    fn verdict(&self) -> Result<(), String> {
        self.report.borrow().clone().unwrap_or_else(|| Err("still running".to_owned()))
    }
}

impl core::fmt::Debug for EmbassyClient {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("EmbassyClient").field("report", &self.report).finish_non_exhaustive()
    }
}

impl core::fmt::Debug for EmbassyHost {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("EmbassyHost").field("report", &self.report).finish_non_exhaustive()
    }
}
