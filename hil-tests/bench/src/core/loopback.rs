//! A host and its viewers over real loopback sockets, driven as the programs drive them, without screens.

use core::net::{Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use core::time::Duration;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rift::{
    CloseReason, Codec, Config, Event, Identity, Instant, Noise, Opening, PathId, Permissions, PictureId,
    PictureInfo, Pictures, PublicKey, Rectangle, RectangleData, Session, SessionIndex, StreamParameters,
};
use rift_aead::Native;
use rift_mio::{
    ClientDriver, Clock, Decision, DesktopStorage, HostApplication, HostDriver, PICTURE_BUFFER_LEN,
    SocketConfig, Waker, desktop_memory,
};
use rift_simd::Simd;
use ring::rand::{SecureRandom, SystemRandom};

use super::peers::PICTURE_HEAD_LEN;
use super::{allocations, measure};
use crate::clock;

type Memory = Box<DesktopStorage<Simd>>;

/// High enough that a picture leaves at once, where sockets are measured and not pacing.
const GRANT_BPS: u32 = 2_000_000_000;
/// Nothing here takes longer; whoever waits gives up then.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// How sessions are set up where nothing is paced.
pub(super) fn config() -> Config {
    Pace::NONE.config()
}

/// How what is sent is paced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// The grant, which nothing changes.
    pub(super) grant_bps: u32,
    /// See [`HostDriver::set_busy_poll`].
    pub(super) busy_poll_us: u32,
}

impl Pace {
    const NONE: Self = Self { grant_bps: GRANT_BPS, busy_poll_us: 0 };

    fn config(self) -> Config {
        Config {
            bitrate_bps_min: self.grant_bps,
            bitrate_bps_start: self.grant_bps,
            bitrate_bps_max: self.grant_bps,
            ..Config::default()
        }
    }
}

/// What paced departures were like, and what the thread that made them used.
#[derive(Debug, Default)]
pub(super) struct Departures {
    /// How late each was, in µs.
    pub(super) late_us: Vec<f64>,
    /// Seconds of the processor and of the clock since the first.
    pub(super) used: f64,
    pub(super) passed: f64,
}

/// What the host's thread and others tell each other.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// The host ends.
    stop: AtomicBool,
    /// A picture is to be sent.
    wanted: AtomicBool,
    /// Datagrams of all sessions, as of the last turn.
    pub(super) sent: AtomicU64,
    pub(super) received: AtomicU64,
    /// What was paced; told when the host has ended.
    pub(super) departures: Mutex<Departures>,
    /// When sessions were told to send the last pictures, in µs of the drivers' clock, by the pictures' numbers.
    told_us: [AtomicU64; 16],
    /// Bytes the host's thread holds beyond the memory of sessions.
    pub(super) held: AtomicI64,
}

impl Shared {
    fn told_at(&self, picture: PictureId) -> &AtomicU64 {
        &self.told_us[picture.0 as usize % self.told_us.len()]
    }
}

/// A host on a thread of its own.
pub(super) struct Host {
    pub(super) address: SocketAddr,
    pub(super) identity: PublicKey,
    pub(super) shared: Arc<Shared>,
    waker: Waker,
    thread: JoinHandle<()>,
}

impl Host {
    /// Starts one that sends pictures of `picture_len` bytes.
    pub(super) fn start(picture_len: usize) -> io::Result<Self> {
        Self::start_paced(picture_len, Pace::NONE)
    }

    /// The same at another pace.
    pub(super) fn start_paced(picture_len: usize, pace: Pace) -> io::Result<Self> {
        let screen = Screen { pace, ..Screen::new(picture_len) };
        let (identity, shared) = (screen.identity.public(), Arc::clone(&screen.shared));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut driver = HostDriver::bind(address, &identity, entropy())?;
        driver.set_busy_poll(pace.busy_poll_us);
        let (address, waker) = (driver.local_addr(), driver.waker());
        let thread = thread::spawn(move || screen.serve(driver));
        Ok(Self { address, identity, shared, waker, thread })
    }

    /// Has a picture sent to every viewer. Pictures asked for at once are one.
    pub(super) fn send_picture(&self) {
        self.shared.wanted.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Ends it.
    pub(super) fn stop(self) {
        self.shared.stop.store(true, Ordering::Release);
        self.waker.wake();
        let _ = self.thread.join();
    }
}

/// What the host shows: pictures without content.
struct Screen {
    identity: Identity,
    pictures: Pictures<Vec<u8>, 4>,
    coded: Vec<u8>,
    next: u32,
    is_key_wanted: bool,
    pace: Pace,
    /// Bytes that sessions were given, as this thread's count saw them.
    given: i64,
    shared: Arc<Shared>,
}

impl Screen {
    fn new(picture_len: usize) -> Self {
        Self {
            identity: Identity::from_secret(entropy()),
            pictures: Pictures::new(core::array::from_fn(|_| vec![0; PICTURE_BUFFER_LEN])),
            coded: vec![0x5a; picture_len - PICTURE_HEAD_LEN],
            next: 1,
            is_key_wanted: false,
            pace: Pace::NONE,
            given: 0,
            shared: Arc::new(Shared::default()),
        }
    }

    fn serve(mut self, mut driver: HostDriver<Memory, Native<Noise>>) {
        let shared = Arc::clone(&self.shared);
        // As the programs do.
        let _ = rift_mio::run_promptly();
        let (mut departures, mut begun) = (Departures::default(), None);
        while !shared.stop.load(Ordering::Acquire) && driver.turn(&mut self).is_ok() {
            if shared.wanted.swap(false, Ordering::AcqRel) || self.is_key_wanted {
                self.send(&mut driver);
            }
            let now = driver.clock().now();
            if let Some(departure) = driver.take_departure() {
                begun.get_or_insert_with(|| (measure::processor_nanos(), now));
                departures.late_us.push(departure.late_us() as f64);
            }
            let (mut sent, mut received) = (0, 0);
            for (_, _, session) in driver.sessions_mut() {
                let stats = session.stats(now);
                sent += stats.packets_sent;
                received += stats.packets_received;
            }
            shared.sent.store(sent, Ordering::Relaxed);
            shared.received.store(received, Ordering::Relaxed);
            shared.held.store(allocations::live_here() - self.given, Ordering::Release);
        }
        if let Some((used, at)) = begun {
            departures.used = (measure::processor_nanos() - used) / 1e9;
            departures.passed = driver.clock().now().micros_since(at) as f64 / 1e6;
        }
        *shared.departures.lock().unwrap_or_else(PoisonError::into_inner) = departures;
    }

    fn send(&mut self, driver: &mut HostDriver<Memory, Native<Noise>>) {
        let now = driver.clock().now();
        let is_key = core::mem::take(&mut self.is_key_wanted) || self.next == 1;
        let reference = (!is_key).then(|| PictureId(self.next - 1));
        let info = PictureInfo { id: PictureId(self.next), reference, captured_at: now, encoded_at: now };
        let parts = [self.coded.as_slice()];
        let rectangle =
            RectangleData { place: Rectangle::sized(1920, 1080), codec: Codec::H264, parts: &parts };
        let Ok(picture) = self.pictures.push(&info, &[rectangle]) else { return };
        self.shared.told_at(PictureId(self.next)).store(driver.clock().now().as_micros(), Ordering::Release);
        self.next += 1;
        for (_, _, session) in driver.sessions_mut() {
            // A viewer that lacks the reference asks for a repair; one that is full skips this picture.
            let _ = session.send_picture(now, picture);
        }
    }
}

impl HostApplication<Memory, Native<Noise>> for Screen {
    type Pictures = Pictures<Vec<u8>, 4>;

    fn pictures(&self) -> &Self::Pictures {
        &self.pictures
    }

    fn responder(&mut self, opening: Opening) -> Native<Noise> {
        Native(Noise::responder(&self.identity, entropy(), opening))
    }

    fn established(&mut self, _: Instant, _: PublicKey, _: SocketAddr) -> Decision<Memory> {
        let before = allocations::live_here();
        let memory = desktop_memory(false);
        self.given += allocations::live_here() - before;
        Decision::Admit { config: self.pace.config(), memory, permissions: Permissions::default_control() }
    }

    fn event(
        &mut self,
        _: Instant,
        _: SessionIndex,
        _: SocketAddr,
        session: &mut Session<Memory, Native<Noise>>,
        event: Event,
    ) {
        if matches!(event, Event::Authenticated(_)) {
            let parameters =
                StreamParameters { width: 1920, height: 1080, rate_millihertz: 60_000, codec: Codec::H264 };
            // It has just been established, so it is connected.
            let _ = session.set_stream(PictureId(self.next), parameters);
        }
        self.is_key_wanted |= matches!(event, Event::RepairWanted { .. });
    }

    fn closed(&mut self, _: SessionIndex, memory: Memory) {
        let before = allocations::live_here();
        drop(memory);
        self.given += allocations::live_here() - before;
    }
}

/// A viewer, driven on the caller's thread.
pub(super) struct Viewer {
    pub(super) driver: ClientDriver<Memory, Native<Noise>>,
    clock: Clock,
    host: Arc<Shared>,
    /// From the host's telling a session to send a picture to its delivery here, in µs.
    pub(super) latencies_us: Vec<f64>,
}

impl Viewer {
    /// One that will connect to `host`; room for `pictures` latencies.
    pub(super) fn new(host: &Host, pictures: usize) -> io::Result<Self> {
        let identity = Identity::from_secret(entropy());
        let handshake = Native(Noise::initiator(&identity, entropy(), Opening::XX));
        let connection = u32::from_be_bytes(entropy());
        let memory = desktop_memory(true);
        let now = Clock::new().now();
        let session =
            Session::connect(&config(), handshake, host.identity, connection, memory, PathId(0), now);
        let driver = ClientDriver::connect(&SocketConfig::default(), host.address, session)?;
        let clock = driver.clock();
        let host = Arc::clone(&host.shared);
        Ok(Self { driver, clock, host, latencies_us: Vec::with_capacity(pictures) })
    }

    /// One turn of its driver.
    pub(super) fn turn(&mut self) -> io::Result<()> {
        let (clock, host, latencies) = (self.clock, &self.host, &mut self.latencies_us);
        self.driver.turn(&mut |session, event| {
            if let Event::Picture(id) = event {
                // Both ends of this process share the clock and its epoch.
                let now_us = clock.now().as_micros();
                let told_us = host.told_at(id).load(Ordering::Acquire);
                if latencies.len() < latencies.capacity() {
                    latencies.push(now_us.saturating_sub(told_us) as f64);
                }
                session.release_media(id);
            }
        })
    }

    /// Turns until `done`; `None` when that fails or takes too long.
    pub(super) fn until(&mut self, mut done: impl FnMut(&mut Self) -> bool) -> Option<()> {
        let end = clock::now() + PATIENCE;
        while !done(self) {
            let is_over = self.driver.session().is_closed() || clock::now() > end;
            if is_over || self.turn().is_err() {
                return None;
            }
        }
        Some(())
    }

    /// Says goodbye and stays until it is said.
    pub(super) fn leave(mut self) {
        let now = self.clock.now();
        self.driver.session().close(now, CloseReason::Done);
        let _ = self.until(|viewer| viewer.driver.session().is_closed());
    }
}

/// Bytes nobody can guess.
pub(super) fn entropy<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the system has entropy");
    bytes
}
