//! A small host: one scene, encoded for whoever is let in, and everything that viewers do.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;

use rift::{
    Channel, CloseReason, Codec, Config, CursorPosition, Event, Identity, InputEvent, Instant, Noise,
    Opening, Permissions, PictureId, PictureInfo, Pictures, PublicKey, Rectangle, RectangleData, Session,
    SessionIndex, ShapeHead, StreamParameters,
};
use rift_hal::{EncodeRequest, Encoder, EncoderSettings, Frame, PixelFormat, Plane};
use rift_mio::{Decision, DesktopStorage, HostApplication, HostDriver, Waker, desktop_memory};
use rift_x264::{Options, X264Encoder};

pub(crate) const WIDTH: u32 = 321;
pub(crate) const HEIGHT: u32 = 179;

type Memory = Box<DesktopStorage>;
type HostSession = Session<Memory, Noise>;

/// What a host does after some pictures, counted from its start.
#[derive(Clone, Copy)]
pub(crate) enum Script {
    /// Nothing but pictures.
    Forever,
    /// After so many, end all sessions so, once.
    CloseAfter(u32, CloseReason),
    /// After so many, show nothing new.
    RestAfter(u32),
}

pub(crate) struct Host {
    pub(crate) address: SocketAddr,
    pub(crate) id: PublicKey,
    pub(crate) closed: Receiver<CloseReason>,
    pub(crate) input: Receiver<InputEvent>,
    stop: Option<Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Host {
    /// Lets in whom `allowed` names, or everybody.
    pub(crate) fn start(allowed: Option<PublicKey>, script: Script) -> Self {
        let identity = Identity::from_secret([42; 32]);
        let id = identity.public();
        let address = "127.0.0.1:0".parse().unwrap();
        let driver = HostDriver::bind(address, &id, [7; 32]).unwrap();
        let (address, waker) = (driver.local_addr(), driver.waker());
        let ((closed, ended), (input, heard)) = (channel(), channel());
        let application = Application {
            identity,
            allowed,
            script,
            pictures: Pictures::new(core::array::from_fn(|_| vec![0; 400_000])),
            wants_key: true,
            closed,
            input,
            next: 1,
            entropy: 0,
        };
        let (stop, stopped) = channel();
        let due = Arc::new(Due::default());
        let ticking = std::thread::spawn({
            let due = Arc::clone(&due);
            move || tick(&stopped, &due, &waker)
        });
        let serving = std::thread::spawn(move || serve(driver, application, &due));
        Self { address, id, closed: ended, input: heard, stop: Some(stop), threads: vec![ticking, serving] }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[derive(Default)]
struct Due {
    tick: AtomicBool,
    stop: AtomicBool,
}

/// Makes 60 pictures a second due.
fn tick(stopped: &Receiver<()>, due: &Due, waker: &Waker) {
    while stopped.recv_timeout(Duration::from_millis(16)) == Err(RecvTimeoutError::Timeout) {
        due.tick.store(true, Ordering::SeqCst);
        waker.wake();
    }
    due.stop.store(true, Ordering::SeqCst);
    waker.wake();
}

fn serve(mut driver: HostDriver<Memory, Noise>, mut host: Application, due: &Due) {
    let settings =
        EncoderSettings { width: WIDTH, height: HEIGHT, rate_millihertz: 60_000, bitrate_bps: 20_000_000 };
    let mut encoder = X264Encoder::new(&settings, &Options { quantiser: 12, ..Options::default() }).unwrap();
    let scene = scene();
    while !due.stop.load(Ordering::SeqCst) {
        driver.turn(&mut host).unwrap();
        let now = driver.clock().now();
        if due.tick.swap(false, Ordering::SeqCst) && driver.session_count() > 0 {
            host.send(&mut driver, &mut encoder, &scene, now);
        }
    }
}

/// Soft shapes in all colours, so that 4:2:0 keeps them.
pub(crate) fn scene() -> Vec<u8> {
    let mut pixels = Vec::new();
    for y in 0..HEIGHT {
        for x in 0..WIDTH {
            let wave = |at: u32, length: f64| (127.0 + 100.0 * (f64::from(at) / length).sin()) as u8;
            pixels.extend_from_slice(&[wave(x, 40.0), wave(y, 30.0), wave(x + y, 50.0), 0]);
        }
    }
    pixels
}

struct Application {
    identity: Identity,
    allowed: Option<PublicKey>,
    script: Script,
    pictures: Pictures<Vec<u8>, 8>,
    wants_key: bool,
    closed: Sender<CloseReason>,
    input: Sender<InputEvent>,
    next: u32,
    entropy: u8,
}

impl Application {
    fn send(
        &mut self,
        driver: &mut HostDriver<Memory, Noise>,
        encoder: &mut X264Encoder,
        scene: &[u8],
        now: Instant,
    ) {
        match self.script {
            Script::CloseAfter(count, reason) if self.next > count => {
                self.script = Script::Forever;
                driver.sessions_mut().for_each(|(_, _, session)| session.close(now, reason));
                return;
            }
            Script::RestAfter(count) if self.next > count => return,
            Script::Forever | Script::CloseAfter(..) | Script::RestAfter(_) => {}
        }
        let planes = [Plane { data: scene, stride: WIDTH as usize * 4 }, Plane::EMPTY, Plane::EMPTY];
        let frame = Frame::new(PixelFormat::Bgrx, WIDTH, HEIGHT, planes, now).unwrap();
        let id = PictureId(self.next);
        let key = core::mem::take(&mut self.wants_key);
        let reference = if key { None } else { encoder.reference() };
        let mut bytes = Vec::new();
        let request = EncodeRequest { id, key, damage: None };
        encoder.encode(&frame, &request, &mut |part| bytes.extend_from_slice(part)).unwrap();
        self.next += 1;
        let info = PictureInfo { id, reference, captured_at: now, encoded_at: driver.clock().now() };
        let place = Rectangle::sized(WIDTH as u16, HEIGHT as u16);
        let rectangle = RectangleData { place, codec: Codec::H264, parts: &[&bytes] };
        let picture = self.pictures.push(&info, &[rectangle]).unwrap();
        for (_, _, session) in driver.sessions_mut() {
            if session.send_picture(now, picture).is_err() {
                self.wants_key = true;
            }
        }
    }
}

impl HostApplication<Memory, Noise> for Application {
    type Pictures = Pictures<Vec<u8>, 8>;

    fn pictures(&self) -> &Self::Pictures {
        &self.pictures
    }

    fn responder(&mut self, opening: Opening) -> Noise {
        self.entropy += 1;
        Noise::responder(&self.identity, [self.entropy; 32], opening)
    }

    fn established(&mut self, _now: Instant, peer: PublicKey, _from: SocketAddr) -> Decision<Memory> {
        if self.allowed.is_some_and(|allowed| allowed != peer) {
            return Decision::Refuse(CloseReason::Refused);
        }
        Decision::Admit {
            config: Config::default(),
            memory: desktop_memory(false),
            permissions: Permissions::default_control(),
        }
    }

    fn event(
        &mut self,
        now: Instant,
        _index: SessionIndex,
        _from: SocketAddr,
        session: &mut HostSession,
        event: Event,
    ) {
        match event {
            Event::Authenticated(_) => {
                let parameters = StreamParameters {
                    width: WIDTH as u16,
                    height: HEIGHT as u16,
                    rate_millihertz: 60_000,
                    codec: Codec::H264,
                };
                session.set_stream(PictureId(self.next), parameters).unwrap();
                self.wants_key = true;
                let head = ShapeHead { shape: 5, width: 2, height: 2, hot_x: 0, hot_y: 0 };
                let shape = [head.to_bytes().to_vec(), vec![255; head.pixels_len()]].concat();
                assert_eq!(session.write(now, Channel::Cursor, &shape), Ok(shape.len()));
                session.send_cursor(now, CursorPosition { x: 9, y: 9, visible: true, shape: 5 }).unwrap();
            }
            Event::RepairWanted { .. } => self.wants_key = true,
            Event::Closed(reason) => {
                let _ = self.closed.send(reason);
            }
            Event::Input(input) => {
                let _ = self.input.send(input);
            }
            Event::Admitted(_) | _ => {}
        }
    }

    fn closed(&mut self, _index: SessionIndex, _memory: Memory) {}
}

/// A directory of its own for one test, gone with it.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("wavry-client-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
