//! The operating system's stack: mio, each side on a thread of its own.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::Arc;
use std::thread::JoinHandle;

use rift::fec::Portable;
use rift::{Event, Instant, Noise, Opening, PublicKey, Session, SessionIndex};
use rift_mio::{
    ClientDriver, Clock, Decision, DesktopStorage, HostApplication, HostDriver, SocketConfig, Waker,
    desktop_memory,
};

use crate::parties::{Sharer, Watcher, host_identity, session};

/// How often an application looks at its own affairs.
const TICK: Duration = Duration::from_millis(1);
/// No session is longer: it only ends one that would hang.
const HANG_US: u64 = 30_000_000;

type Memory = Box<DesktopStorage>;

/// A side that runs beside the test.
#[derive(Debug)]
pub struct Party(JoinHandle<Result<(), String>>);

impl Party {
    /// What is wrong with what it saw; waits for its end.
    ///
    /// # Errors
    /// In words.
    pub fn verdict(self) -> Result<(), String> {
        self.0.join().unwrap_or_else(|_| Err("it panicked".to_owned()))
    }
}

/// Wakes a driver every [`TICK`] until it is told to stop.
struct Ticker(Arc<AtomicBool>);

impl Ticker {
    fn start(waker: Waker) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&stop);
        std::thread::spawn(move || {
            while !theirs.load(Ordering::Acquire) {
                pause(TICK);
                waker.wake();
            }
        });
        Self(stop)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Lets real time pass: the operating system's stack lives in it.
#[expect(clippy::disallowed_methods, reason = "frames come from another stack in real time")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Starts a watcher that asks the host at `remote`.
#[must_use]
pub fn watch(remote: SocketAddr, seed: u64) -> Party {
    Party(std::thread::spawn(move || {
        let clock = Clock::new();
        let session = session(seed, desktop_memory::<Portable>(true), clock.now());
        let config = SocketConfig::default();
        let mut driver =
            ClientDriver::connect(&config, remote, session).map_err(|error| error.to_string())?;
        let _ticker = Ticker::start(driver.waker());
        let mut watcher = Watcher::new();
        let begun = clock.now();
        while !driver.session().is_closed() {
            watcher.work(clock.now(), driver.session());
            let turn = driver.turn(&mut |session, event| watcher.event(clock.now(), session, event));
            turn.map_err(|error| error.to_string())?;
            if clock.now().micros_since(begun) > HANG_US {
                break;
            }
        }
        watcher.verdict()
    }))
}

/// Starts a sharer that listens at `address`, until its first session is over.
///
/// # Panics
/// When the address is not of this machine.
#[must_use]
pub fn share(address: SocketAddr, seed: u64) -> Party {
    let driver = HostDriver::bind(address, &host_identity().public(), [9; 32]).expect("a free port");
    Party(std::thread::spawn(move || {
        let mut driver = driver;
        let _ticker = Ticker::start(driver.waker());
        let (clock, mut guests) = (Clock::new(), Guests { sharer: Sharer::new(seed), is_over: false });
        let begun = clock.now();
        while !guests.is_over && clock.now().micros_since(begun) < HANG_US {
            driver.turn(&mut guests).map_err(|error| error.to_string())?;
            if let Some(session) = driver.session_mut(SessionIndex(0)) {
                guests.sharer.work(clock.now(), session);
            }
        }
        guests.sharer.verdict()
    }))
}

struct Guests {
    sharer: Sharer,
    is_over: bool,
}

impl HostApplication<Memory, Noise> for Guests {
    type Pictures = rift::Pictures<Vec<u8>, 8>;

    fn pictures(&self) -> &Self::Pictures {
        &self.sharer.pictures
    }

    fn responder(&mut self, opening: Opening) -> Noise {
        self.sharer.responder(opening)
    }

    fn established(&mut self, _: Instant, peer: PublicKey, _: SocketAddr) -> Decision<Memory> {
        match Sharer::permissions(peer) {
            Some(permissions) => Decision::Admit {
                config: rift::Config::default(),
                memory: desktop_memory(false),
                permissions,
            },
            None => Decision::Refuse(rift::CloseReason::Refused),
        }
    }

    fn event(
        &mut self,
        now: Instant,
        _: SessionIndex,
        _: SocketAddr,
        session: &mut Session<Memory, Noise>,
        event: Event,
    ) {
        self.sharer.event(now, session, event);
    }

    fn closed(&mut self, _: SessionIndex, _: Memory) {
        self.is_over = true;
    }
}
