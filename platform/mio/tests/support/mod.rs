//! A client and a host on loopback, each on a thread of its own.

#![allow(dead_code, reason = "each test program uses a part")]
#![allow(clippy::print_stdout, reason = "a skipped test says why")]

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, Ordering};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use rift::{
    CloseReason, Codec, Config, Event, Identity, Instant, Noise, Opening, PathId, Permissions, PictureId,
    PictureInfo, Pictures, PublicKey, Rectangle, RectangleData, Session, SessionIndex, StreamParameters,
};
use rift_mio::{
    ClientDriver, Clock, Decision, DesktopStorage, HostApplication, HostDriver, SocketConfig, Waker,
    desktop_memory,
};

pub(crate) type Memory = Box<DesktopStorage>;
pub(crate) type Peer = Session<Memory, Noise>;
pub(crate) type Client = ClientDriver<Memory, Noise>;
pub(crate) type Driver = HostDriver<Memory, Noise>;
type Task = Box<dyn FnOnce(&mut Application, &mut Driver) + Send>;

/// No wait in a test is longer: it only ends one that would hang.
pub(crate) const HANG: core::time::Duration = core::time::Duration::from_secs(30);

pub(crate) fn host_identity() -> Identity {
    Identity::from_secret([2; 32])
}

pub(crate) fn client_identity(number: u8) -> Identity {
    Identity::from_secret([100 + number; 32])
}

/// Runs this test program's ignored test `inside` in a network namespace of its own, which `setup` makes ready (a line of
/// shell). Without the right to one it says what is wanted and skips.
///
/// # Panics
/// When the test inside fails.
pub(crate) fn in_namespace(setup: &str) {
    let namespace = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", "sh", "-c", script]);
        command
    };
    if !namespace(setup).output().is_ok_and(|output| output.status.success()) {
        println!(
            "skipped: no network namespace with {setup:?}, for want of unshare, ip, tc or the right to it"
        );
        return;
    }
    let program = std::env::current_exe().expect("a program knows itself");
    let output = namespace(&format!("{setup} && exec \"$PROGRAM\" --ignored --exact --nocapture inside"))
        .env("PROGRAM", program)
        .output()
        .expect("it worked a moment ago");
    let told = String::from_utf8_lossy(&output.stdout);
    println!("{told}");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("1 passed"), "{error}");
}

/// A host that lets everybody in but one key, and remembers what happened.
pub(crate) struct Application {
    pub(crate) pictures: Pictures<Vec<u8>, 4>,
    pub(crate) refused: Option<PublicKey>,
    pub(crate) config: Config,
    pub(crate) events: Sender<(SessionIndex, Event)>,
    pub(crate) closed: usize,
    drawn: u64,
    spare: Vec<Memory>,
}

impl HostApplication<Memory, Noise> for Application {
    type Pictures = Pictures<Vec<u8>, 4>;

    fn pictures(&self) -> &Self::Pictures {
        &self.pictures
    }

    fn responder(&mut self, opening: Opening) -> Noise {
        self.drawn += 1;
        let mut ephemeral = [7; 32];
        ephemeral[..8].copy_from_slice(&self.drawn.to_ne_bytes());
        Noise::responder(&host_identity(), ephemeral, opening)
    }

    fn established(&mut self, _: Instant, peer: PublicKey, _: SocketAddr) -> Decision<Memory> {
        if self.refused == Some(peer) {
            return Decision::Refuse(CloseReason::Refused);
        }
        let memory = self.spare.pop().unwrap_or_else(|| desktop_memory(false));
        Decision::Admit { config: self.config, memory, permissions: Permissions::default_control() }
    }

    fn event(&mut self, _: Instant, index: SessionIndex, _: SocketAddr, session: &mut Peer, event: Event) {
        if matches!(event, Event::Authenticated(_)) {
            session.set_stream(PictureId(1), parameters()).expect("established");
        }
        let _ = self.events.send((index, event));
    }

    fn closed(&mut self, _: SessionIndex, memory: Memory) {
        self.closed += 1;
        self.spare.push(memory);
    }
}

impl Application {
    pub(crate) fn push(
        &mut self,
        now: Instant,
        id: u32,
        reference: Option<u32>,
        bytes: &[u8],
    ) -> rift::PictureRef {
        let info = PictureInfo {
            id: PictureId(id),
            reference: reference.map(PictureId),
            captured_at: now,
            encoded_at: now,
        };
        let place = Rectangle::sized(640, 360);
        self.pictures
            .push(&info, &[RectangleData { place, codec: Codec::H264, parts: &[bytes] }])
            .expect("it fits")
    }
}

pub(crate) fn parameters() -> StreamParameters {
    StreamParameters { width: 640, height: 360, rate_millihertz: 60_000, codec: Codec::H264 }
}

/// A host on its own thread.
pub(crate) struct Host {
    pub(crate) address: SocketAddr,
    pub(crate) events: Receiver<(SessionIndex, Event)>,
    waker: Waker,
    tasks: Arc<Mutex<Vec<Task>>>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Host {
    pub(crate) fn start(address: &str, refused: Option<PublicKey>) -> Self {
        let address = address.parse().expect("an address");
        let driver = Driver::bind(address, &host_identity().public(), [9; 32]).expect("a free port");
        Self::run(driver, refused)
    }

    pub(crate) fn run(mut driver: Driver, refused: Option<PublicKey>) -> Self {
        let (sender, events) = channel();
        let (tasks, stop) = (Arc::new(Mutex::new(Vec::<Task>::new())), Arc::new(AtomicBool::new(false)));
        let (address, waker) = (driver.local_addr(), driver.waker());
        let (their_tasks, their_stop) = (tasks.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let mut application = Application {
                pictures: Pictures::new([(); 4].map(|()| vec![0; 1 << 20])),
                refused,
                config: Config::default(),
                events: sender,
                closed: 0,
                drawn: 0,
                spare: Vec::new(),
            };
            while !their_stop.load(Ordering::Acquire) {
                driver.turn(&mut application).expect("polling works");
                for task in their_tasks.lock().expect("not poisoned").drain(..) {
                    task(&mut application, &mut driver);
                }
            }
        });
        Self { address, events, waker, tasks, stop, thread: Some(thread) }
    }

    /// Does something on the host's thread between two turns and returns its result.
    pub(crate) fn on_thread<R: Send + 'static>(
        &self,
        task: impl FnOnce(&mut Application, &mut Driver) -> R + Send + 'static,
    ) -> R {
        let (sender, receiver) = channel();
        let task: Task = Box::new(move |application, driver| {
            let _ = sender.send(task(application, driver));
        });
        self.tasks.lock().expect("not poisoned").push(task);
        self.waker.wake();
        receiver.recv_timeout(HANG).expect("the host's thread lives")
    }

    /// Waits for an event.
    pub(crate) fn expect(&self, wanted: impl Fn(&Event) -> bool) -> (SessionIndex, Event) {
        loop {
            let (index, event) = self.events.recv_timeout(HANG).expect("the event comes");
            if wanted(&event) {
                return (index, event);
            }
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.waker.wake();
        let result = self.thread.take().map(std::thread::JoinHandle::join);
        if !std::thread::panicking() {
            result.expect("joined once").expect("the host's thread did not panic");
        }
    }
}

pub(crate) fn session(number: u8, host: PublicKey, draw: u32, config: &Config) -> Peer {
    let mut ephemeral = [number; 32];
    ephemeral[..4].copy_from_slice(&draw.to_ne_bytes());
    let handshake = Noise::initiator(&client_identity(number), ephemeral, Opening::XX);
    let connection = u32::from(number) << 24 | draw;
    Session::connect(config, handshake, host, connection, desktop_memory(true), PathId(0), Clock::new().now())
}

pub(crate) fn client(number: u8, address: SocketAddr) -> Client {
    client_with(number, address, &Config::default())
}

pub(crate) fn client_with(number: u8, address: SocketAddr, config: &Config) -> Client {
    let session = session(number, host_identity().public(), 1, config);
    ClientDriver::connect(&SocketConfig::default(), address, session).expect("loopback is there")
}

/// Turns until `done` says so of an event.
pub(crate) fn turn_until(client: &mut Client, mut done: impl FnMut(&mut Peer, Event) -> bool) {
    let give_up = Clock::new().now() + HANG;
    let mut is_done = false;
    while !is_done {
        client.turn(&mut |session, event| is_done |= done(session, event)).expect("polling works");
        assert!(Clock::new().now() < give_up, "the event comes");
    }
}

pub(crate) fn admitted(client: &mut Client) {
    turn_until(client, |_, event| matches!(event, Event::Admitted(_)));
}
