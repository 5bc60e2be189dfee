//! A host and a client on either side of the link, with the drivers that the programs have and pictures without content.
//!
//! Each is a process of its own, in a network namespace of its own. They print a line for each thing that is measured,
//! with times of the machine's monotonic clock.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::Write as _;

use rift::{
    Codec, Config, Event, Identity, Instant, Noise, Opening, PathId, Permissions, PictureId, PictureInfo,
    Pictures, PublicKey, Rectangle, RectangleData, SendError, Session, SessionIndex, StreamParameters,
};
use rift_mio::{
    ClientDriver, Clock, Decision, DesktopStorage, HostApplication, HostDriver, PICTURE_BUFFER_LEN,
    SocketConfig, desktop_memory,
};
use rift_simd::Simd;
use rustix::time::{ClockId, clock_gettime};

use crate::clock::{Chance, pause};
use crate::failure::{Context as _, Failure};

type Memory = Box<DesktopStorage<Simd>>;
type Peer = Session<Memory, Noise>;
type Driver = HostDriver<Memory, Noise>;

/// From one picture to the next.
const PERIOD: Duration = Duration::from_micros(16_667);
/// Bytes of a picture's head.
const HEAD_LEN: usize = 34;

/// Keys for a network that nobody else is in.
fn identity(number: u8) -> Identity {
    Identity::from_secret([number; 32])
}

fn config() -> Config {
    Config {
        bitrate_bps_min: 500_000,
        bitrate_bps_start: 10_000_000,
        bitrate_bps_max: 50_000_000,
        ..Config::default()
    }
}

/// Seconds on the clock that all processes share.
pub(super) fn seconds() -> f64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// A screen that changes all the time, coded as large as the grant lets it.
struct Screen {
    pictures: Pictures<Vec<u8>, 6>,
    content: Vec<u8>,
    next: u32,
    /// What the next picture refers to: the last one, or what the viewer has.
    reference: Option<PictureId>,
    chance: Chance,
    started: u64,
}

/// The host: runs until it is killed.
pub(super) fn host(address: SocketAddr) -> Result<(), Failure> {
    let mut driver =
        Driver::bind(address, &identity(2).public(), [9; 32]).context("cannot open the host's socket")?;
    let waker = driver.waker();
    std::thread::spawn(move || {
        loop {
            pause(PERIOD);
            waker.wake();
        }
    });
    let mut screen = Screen {
        pictures: Pictures::new(core::array::from_fn(|_| vec![0; PICTURE_BUFFER_LEN])),
        content: vec![0x5a; PICTURE_BUFFER_LEN],
        next: 1,
        reference: None,
        chance: Chance::new(7),
        started: 0,
    };
    let clock = driver.clock();
    let _ = rift_mio::run_promptly();
    let mut due = clock.now();
    loop {
        driver.turn(&mut screen).context("the host's driver ended")?;
        let now = clock.now();
        if let Some(departure) = driver.take_departure() {
            let _ = writeln!(std::io::stdout(), "late {}", departure.late_us());
        }
        if now >= due {
            due = due.plus_micros(PERIOD.as_micros() as u64).max(now.minus_micros(5_000));
            screen.send(now, &mut driver);
        }
    }
}

impl Screen {
    fn send(&mut self, now: Instant, driver: &mut Driver) {
        let period_us = PERIOD.as_micros() as u64;
        for (_, _, session) in driver.sessions_mut() {
            let budget = session.budget();
            // What a host's governor asks: half a period's worth may wait.
            let waiting_us =
                session.video_backlog_bytes() as u64 * 8_000_000 / (u64::from(budget.pacing_bps) + 1);
            if session.permissions().is_none() || waiting_us > period_us / 2 {
                continue;
            }
            // Encoders miss their aim by as much from picture to picture.
            let bytes = u64::from(budget.bitrate_bps) * period_us / 8_000_000;
            let bytes = bytes * (90 + self.chance.below(21)) / 100;
            let len = (bytes as usize).clamp(HEAD_LEN + 200, PICTURE_BUFFER_LEN / 2) - HEAD_LEN;
            let id = PictureId(self.next);
            let info = PictureInfo { id, reference: self.reference, captured_at: now, encoded_at: now };
            let parts = [&self.content[..len]];
            let data =
                RectangleData { place: Rectangle::sized(1920, 1080), codec: Codec::H264, parts: &parts };
            let Ok(picture) = self.pictures.push(&info, &[data]) else { continue };
            self.next += 1;
            match session.send_picture(now, picture) {
                Ok(()) => self.reference = Some(id),
                // The viewer was moved to another address, and what waited was dropped.
                Err(SendError::MissingReference) => self.reference = None,
                Err(_) => {}
            }
            let stats = session.stats(now);
            let _ = writeln!(
                std::io::stdout(),
                "grant {:.6} {} {} {}",
                seconds(),
                budget.pacing_bps,
                stats.queue_us,
                stats.parity_permille
            );
        }
    }
}

impl HostApplication<Memory, Noise> for Screen {
    type Pictures = Pictures<Vec<u8>, 6>;

    fn pictures(&self) -> &Self::Pictures {
        &self.pictures
    }

    fn responder(&mut self, opening: Opening) -> Noise {
        self.started += 1;
        let mut ephemeral = [7; 32];
        ephemeral[..8].copy_from_slice(&self.started.to_ne_bytes());
        Noise::responder(&identity(2), ephemeral, opening)
    }

    fn established(&mut self, _: Instant, _: PublicKey, _: SocketAddr) -> Decision<Memory> {
        let memory = desktop_memory(false);
        Decision::Admit { config: config(), memory, permissions: Permissions::default_control() }
    }

    fn event(&mut self, _: Instant, _: SessionIndex, _: SocketAddr, session: &mut Peer, event: Event) {
        if let Event::RepairWanted { after } = event {
            self.reference = after;
        }
        if matches!(event, Event::Authenticated(_)) {
            let parameters =
                StreamParameters { width: 1920, height: 1080, rate_millihertz: 60_000, codec: Codec::H264 };
            // It has just been established, so it is connected.
            let _ = session.set_stream(PictureId(self.next), parameters);
        }
    }

    fn closed(&mut self, _: SessionIndex, _: Memory) {}
}

/// The client: runs until it is killed.
pub(super) fn client(address: SocketAddr) -> Result<(), Failure> {
    let handshake = Noise::initiator(&identity(3), [4; 32], Opening::XX);
    let session = Session::connect(
        &config(),
        handshake,
        identity(2).public(),
        0x0102_0304,
        desktop_memory(true),
        PathId(0),
        Clock::new().now(),
    );
    let mut driver = ClientDriver::<Memory, Noise>::connect(&SocketConfig::default(), address, session)
        .context("cannot open the client's socket")?;
    let clock = driver.clock();
    while !driver.session().is_closed() {
        let mut reason = None;
        driver
            .turn(&mut |session, event| {
                if let Event::Closed(why) = event {
                    reason = Some(why);
                }
                let Event::Picture(id) = event else { return };
                let now = clock.now();
                let age_us = session.media(id).and_then(|media| {
                    let captured = session.peer_time(media.head.captured_us, now)?;
                    Some(now.micros_since(captured))
                });
                let _ = writeln!(std::io::stdout(), "picture {:.6} {}", seconds(), age_us.unwrap_or(0));
                session.release_media(id);
            })
            .context("the client's driver ended")?;
        if let Some(reason) = reason {
            return Err(format!("the session ended: {reason:?}").into());
        }
    }
    Ok(())
}
