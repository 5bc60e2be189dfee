//! No packet costs an allocation. Alone in its program: its allocator counts every thread's.

#![expect(unsafe_code, reason = "a global allocator that counts is unsafe to write")]

use core::alloc::{GlobalAlloc, Layout};
use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::alloc::System;
use std::sync::Arc;

use rift::{
    Channel, Codec, Config, Event, Identity, InputEvent, Instant, Noise, Opening, PathId, Permissions,
    PictureId, PictureInfo, Pictures, PublicKey, Rectangle, RectangleData, Scancode, SendError, Session,
    SessionIndex, StreamParameters,
};
use rift_mio::{
    ClientDriver, Clock, Decision, DesktopStorage, HostApplication, HostDriver, SocketConfig, desktop_memory,
};

struct Counting;

static IS_COUNTING: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

fn count() {
    if IS_COUNTING.load(Ordering::Relaxed) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: everything is passed to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_len: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.realloc(pointer, layout, new_len) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const WARM_UP: u64 = 5_000;
const PACKETS: u64 = 100_000;
const PICTURE_LEN: usize = 60_000;

type Memory = Box<DesktopStorage>;
type Peer = Session<Memory, Noise>;

fn config() -> Config {
    Config { bitrate_bps_start: 300_000_000, bitrate_bps_max: 600_000_000, ..Config::default() }
}

struct Application {
    pictures: Pictures<Vec<u8>, 4>,
    picture: Vec<u8>,
    identity: Identity,
    next: u32,
    /// The newest picture of the sequence the viewer can follow.
    reference: Option<PictureId>,
    inputs: u64,
}

impl HostApplication<Memory, Noise> for Application {
    type Pictures = Pictures<Vec<u8>, 4>;

    fn pictures(&self) -> &Self::Pictures {
        &self.pictures
    }

    fn responder(&mut self, opening: Opening) -> Noise {
        Noise::responder(&self.identity, [4; 32], opening)
    }

    fn established(&mut self, _: Instant, _: PublicKey, _: SocketAddr) -> Decision<Memory> {
        Decision::Admit {
            config: config(),
            memory: desktop_memory(false),
            permissions: Permissions::default_control(),
        }
    }

    fn event(&mut self, _: Instant, _: SessionIndex, _: SocketAddr, session: &mut Peer, event: Event) {
        if matches!(event, Event::Authenticated(_)) {
            let parameters =
                StreamParameters { width: 64, height: 64, rate_millihertz: 240_000, codec: Codec::H264 };
            session.set_stream(PictureId(1), parameters).expect("established");
        }
        if matches!(event, Event::RepairWanted { .. }) {
            self.reference = None;
        }
        if let Event::Readable(channel) = event {
            let mut bytes = [0; 1024];
            while session.read(channel, &mut bytes) > 0 {}
        }
        self.inputs += u64::from(matches!(event, Event::Input(_)));
    }

    fn closed(&mut self, _: SessionIndex, _: Memory) {}
}

impl Application {
    /// Another picture as soon as the last one has left.
    fn feed(&mut self, driver: &mut HostDriver<Memory, Noise>) {
        let now = driver.clock().now();
        for (_, _, session) in driver.sessions_mut() {
            if session.video_backlog_bytes() > 0 {
                continue;
            }
            let info = PictureInfo {
                id: PictureId(self.next),
                reference: self.reference,
                captured_at: now,
                encoded_at: now,
            };
            let place = Rectangle::sized(64, 64);
            let rectangle = RectangleData { place, codec: Codec::H264, parts: &[&self.picture] };
            let picture = self.pictures.push(&info, &[rectangle]).expect("it fits");
            match session.send_picture(now, picture) {
                Ok(()) => (self.reference, self.next) = (Some(info.id), self.next + 1),
                Err(SendError::MissingReference) => self.reference = None,
                Err(_) => {}
            }
        }
    }
}

fn run_host(mut driver: HostDriver<Memory, Noise>, stop: &AtomicBool) -> Application {
    let mut application = Application {
        pictures: Pictures::new([(); 4].map(|()| vec![0; 1 << 20])),
        picture: (0..PICTURE_LEN).map(|at| at as u8).collect(),
        identity: Identity::from_secret([2; 32]),
        next: 1,
        reference: None,
        inputs: 0,
    };
    while !stop.load(Ordering::Acquire) {
        driver.turn(&mut application).expect("polling works");
        application.feed(&mut driver);
    }
    application
}

/// Turns without rest until `packets` have gone each way; sends a byte each turn.
fn run_client(client: &mut ClientDriver<Memory, Noise>, packets: u64) -> u64 {
    let key = Scancode::new(30).expect("A");
    let (waker, started) = (client.waker(), client.clock().now());
    let begin = client.session().stats(started);
    let (mut pressed, mut pictures) = (false, 0);
    loop {
        let now = client.clock().now();
        let stats = client.session().stats(now);
        let (out, into) =
            (stats.packets_sent - begin.packets_sent, stats.packets_received - begin.packets_received);
        if out >= packets && into >= packets {
            return pictures;
        }
        assert!(
            now.micros_since(started) < 120_000_000,
            "stuck after {out} packets out, {into} in: {stats:?}"
        );
        // A byte is a packet; few enough keys not to wait for each other.
        let _ = client.session().write(now, Channel::Control, b"x");
        if client.session().input_backlog() < 8
            && client.session().send_input(now, InputEvent::Key { key, pressed: !pressed }).is_ok()
        {
            pressed = !pressed;
        }
        waker.wake();
        let turn = client.turn(&mut |session, event| {
            if let Event::Picture(id) = event {
                pictures += 1;
                session.release_media(id);
            }
            assert!(!matches!(event, Event::Closed(_)), "{event:?}");
        });
        turn.expect("polling works");
    }
}

#[test]
fn hundred_thousand_packets_each_way_allocate_nothing() {
    let identity = Identity::from_secret([2; 32]).public();
    let driver =
        HostDriver::bind("127.0.0.1:0".parse().expect("an address"), &identity, [9; 32]).expect("free");
    let (address, waker) = (driver.local_addr(), driver.waker());
    let stop = Arc::new(AtomicBool::new(false));
    let their_stop = stop.clone();
    let thread = std::thread::spawn(move || run_host(driver, &their_stop));
    let handshake = Noise::initiator(&Identity::from_secret([1; 32]), [3; 32], Opening::XX);
    let now = Clock::new().now();
    let session = Session::connect(&config(), handshake, identity, 1, desktop_memory(true), PathId(0), now);
    let mut client = ClientDriver::connect(&SocketConfig::default(), address, session).expect("loopback");
    run_client(&mut client, WARM_UP);
    let pictures = loop {
        let (begin, socket) = (client.clock().now(), client.socket().local_addr());
        let before = ALLOCATIONS.load(Ordering::SeqCst);
        IS_COUNTING.store(true, Ordering::SeqCst);
        let pictures = run_client(&mut client, PACKETS);
        IS_COUNTING.store(false, Ordering::SeqCst);
        let allocations = ALLOCATIONS.load(Ordering::SeqCst) - before;
        let now = client.clock().now();
        println!(
            "{PACKETS} packets each way in {} ms, {allocations} allocations, {pictures} pictures, {:?}, {:?}",
            now.micros_since(begin) / 1000,
            client.session().stats(now),
            client.socket().stats()
        );
        // Where a busy machine keeps the host silent, the client tries another socket, which is no packet's.
        if client.socket().local_addr() == socket {
            assert_eq!(allocations, 0, "allocations while {PACKETS} packets went each way");
            break pictures;
        }
    };
    stop.store(true, Ordering::Release);
    waker.wake();
    let application = thread.join().expect("the host's thread did not panic");
    assert!(pictures > 0 && application.inputs > 0);
}
