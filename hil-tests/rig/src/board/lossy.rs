//! A link between a board and a host that delays and loses datagrams, and lets an attacker in: a relay on loopback.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::collections::VecDeque;
use std::net::UdpSocket;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crate::Failure;
use crate::process::pause;

const PAUSE: Duration = Duration::from_micros(300);
/// Datagrams on their way each way: more are dropped, as a router's queue would.
const QUEUE: usize = 4096;

/// The relay; it ends when dropped.
#[derive(Debug)]
pub(super) struct Link {
    /// Where the board finds it.
    pub(super) port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    loss_permille: AtomicU64,
    delay_us: AtomicU64,
    /// Datagrams carried and lost.
    carried: AtomicU64,
    lost: AtomicU64,
    /// Hostile datagrams still to come, and how many in a second.
    hostile_left: AtomicU64,
    hostile_per_s: AtomicU64,
}

impl Link {
    /// Joins whoever sends to its port with `host`.
    ///
    /// # Errors
    /// No socket can be opened.
    pub(super) fn start(host: SocketAddr) -> Result<Self, Failure> {
        let open = || {
            UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
        };
        let failed = |error| Failure::failed(format!("cannot open a socket on loopback: {error}"));
        let (near, far) = (open().map_err(failed)?, open().map_err(failed)?);
        let port = near.local_addr().map_err(failed)?.port();
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = std::thread::spawn(move || carry(&near, &far, host, &theirs));
        Ok(Self { port, shared, thread: Some(thread) })
    }

    /// From now on loses so many of a thousand datagrams each way and keeps the others for so long.
    pub(super) fn set(&self, loss_permille: u64, delay: Duration) {
        self.shared.loss_permille.store(loss_permille, Ordering::Relaxed);
        self.shared.delay_us.store(u64::try_from(delay.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// From now on, until so many came, forged datagrams reach the board in the host's name, so many in a second.
    pub(super) fn besiege(&self, datagrams: u64, per_second: u64) {
        self.shared.hostile_per_s.store(per_second, Ordering::Relaxed);
        self.shared.hostile_left.store(datagrams, Ordering::Relaxed);
    }

    /// Hostile datagrams that are still to come.
    pub(super) fn hostile_left(&self) -> u64 {
        self.shared.hostile_left.load(Ordering::Relaxed)
    }

    /// Datagrams carried and lost so far.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.shared.carried.load(Ordering::Relaxed), self.shared.lost.load(Ordering::Relaxed))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Datagrams on their way to one side.
type Way = VecDeque<(Instant, Vec<u8>)>;

fn carry(near: &UdpSocket, far: &UdpSocket, host: SocketAddr, shared: &Shared) {
    let (mut board, mut to_host, mut to_board) = (None, Way::new(), Way::new());
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut attacker = Attacker::new();
    let mut bytes = vec![0; 65_536];
    while !shared.stop.load(Ordering::Relaxed) {
        let mut is_idle = true;
        while let Ok((len, from)) = near.recv_from(&mut bytes) {
            board = Some(from);
            take(&mut to_host, &bytes[..len], shared, &mut state);
            is_idle = false;
        }
        // A host that is gone shows as an error, once for each datagram: it may come back.
        while let Ok((len, _)) = far.recv_from(&mut bytes) {
            take(&mut to_board, &bytes[..len], shared, &mut state);
            is_idle = false;
        }
        give(&mut to_host, |datagram| {
            let _ = far.send_to(datagram, host);
        });
        give(&mut to_board, |datagram| {
            if let Some(board) = board {
                let _ = near.send_to(datagram, board);
                attacker.overhear(datagram);
            }
        });
        if let Some(board) = board {
            attacker.act(shared, &mut state, |datagram| {
                let _ = near.send_to(datagram, board);
            });
        }
        if is_idle {
            pause(PAUSE);
        }
    }
}

fn take(way: &mut Way, datagram: &[u8], shared: &Shared, state: &mut u64) {
    if random(state) % 1000 < shared.loss_permille.load(Ordering::Relaxed) || way.len() == QUEUE {
        shared.lost.fetch_add(1, Ordering::Relaxed);
        return;
    }
    shared.carried.fetch_add(1, Ordering::Relaxed);
    let delay = Duration::from_micros(shared.delay_us.load(Ordering::Relaxed));
    way.push_back((now() + delay, datagram.to_vec()));
}

/// xorshift64 (G. Marsaglia, "Xorshift RNGs", 2003): the same losses in every run.
const fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Somebody on the way who reads every datagram to the board and sends what he likes.
struct Attacker {
    heard: VecDeque<Vec<u8>>,
    acted_at: Instant,
    /// What is left of a datagram's share of time, in millionths.
    owed: u64,
}

/// Datagrams that he remembers.
const HEARD: usize = 64;
/// The longest he makes up.
const MADE_UP_MAX: u64 = 1472;

impl Attacker {
    fn new() -> Self {
        Self { heard: VecDeque::new(), acted_at: now(), owed: 0 }
    }

    fn overhear(&mut self, datagram: &[u8]) {
        // The first ones, the handshake's, are kept.
        if self.heard.len() == HEARD {
            let _ = self.heard.remove(HEARD / 4);
        }
        self.heard.push_back(datagram.to_vec());
    }

    fn act(&mut self, shared: &Shared, state: &mut u64, mut send: impl FnMut(&[u8])) {
        let time = now();
        let passed_us = u64::try_from((time - self.acted_at).as_micros()).unwrap_or(u64::MAX).min(50_000);
        self.acted_at = time;
        let left = shared.hostile_left.load(Ordering::Relaxed);
        if left == 0 || self.heard.is_empty() {
            self.owed = 0;
            return;
        }
        self.owed += passed_us * shared.hostile_per_s.load(Ordering::Relaxed);
        let count = (self.owed / 1_000_000).min(left);
        self.owed %= 1_000_000;
        for _ in 0..count {
            let datagram = self.forge(state);
            send(&datagram);
        }
        shared.hostile_left.fetch_sub(count, Ordering::Relaxed);
    }

    /// A datagram that the host never sent, or sent before.
    fn forge(&self, state: &mut u64) -> Vec<u8> {
        let index = random(state) as usize % self.heard.len();
        let mut datagram = self.heard[index].clone();
        let len = datagram.len().max(1) as u64;
        match random(state) % 5 {
            // As it was.
            0 => {}
            // One bit of it is another.
            1 => {
                let bit = random(state) % (len * 8);
                if let Some(byte) = datagram.get_mut((bit / 8) as usize) {
                    *byte ^= 1 << (bit % 8);
                }
            }
            // Its end is missing.
            2 => datagram.truncate((random(state) % len) as usize),
            // Its head, and anything behind it.
            3 => {
                datagram.truncate(16);
                let more = random(state) % (MADE_UP_MAX - 16);
                datagram.extend((0..more).map(|_| random(state).to_le_bytes()[0]));
            }
            // Anything.
            _ => {
                let made_up = random(state) % MADE_UP_MAX;
                datagram = (0..made_up).map(|_| random(state).to_le_bytes()[0]).collect();
            }
        }
        datagram
    }
}

fn give(way: &mut Way, mut send: impl FnMut(&[u8])) {
    let time = now();
    while let Some((_, datagram)) = way.pop_front_if(|(due, _)| *due <= time) {
        send(&datagram);
    }
}

#[expect(clippy::disallowed_methods, reason = "a link between real programs delays in real time")]
fn now() -> Instant {
    Instant::now()
}
