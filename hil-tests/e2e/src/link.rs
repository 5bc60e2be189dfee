//! A narrow link between a client and a host on one machine.

use core::net::{Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::collections::VecDeque;
use std::net::UdpSocket;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::process::clock;

/// The longest datagram.
const LEN_MAX: usize = 65_536;
/// What would wait longer than this is dropped, in ms.
const QUEUE_MS: u64 = 200;
/// How often the threads look whether they are to end.
const LOOK: Duration = Duration::from_millis(50);

/// A link for one client; ends with its guard. The way to the client carries so much and no more, the way back everything.
#[derive(Debug)]
pub struct Link {
    /// Where the client finds the host.
    pub address: String,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    /// Towards the client, and where it was heard last: one that hears nothing for a moment tries another socket.
    front: UdpSocket,
    client: Mutex<Option<SocketAddr>>,
    /// Towards the host.
    back: UdpSocket,
    bits_per_second: AtomicU64,
    is_over: AtomicBool,
}

impl Link {
    /// A link to the host at this address of this machine.
    ///
    /// # Panics
    /// When loopback has no sockets.
    #[must_use]
    pub fn to(host: &str, bits_per_second: u64) -> Self {
        let open = || {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
            socket.set_read_timeout(Some(LOOK)).expect("a time that is not zero");
            socket
        };
        let (front, back) = (open(), open());
        back.connect(host).expect("an address of this machine");
        let address = front.local_addr().expect("it is bound").to_string();
        let shared = Arc::new(Shared {
            front,
            client: Mutex::new(None),
            back,
            bits_per_second: AtomicU64::new(bits_per_second),
            is_over: AtomicBool::new(false),
        });
        let [up, down] = [Arc::clone(&shared), Arc::clone(&shared)];
        let threads =
            vec![std::thread::spawn(move || up.carry_up()), std::thread::spawn(move || down.carry_down())];
        Self { address, shared, threads }
    }

    /// Carries so much from now on.
    pub fn set_rate(&self, bits_per_second: u64) {
        self.shared.bits_per_second.store(bits_per_second, Ordering::Relaxed);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // Whoever panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn carry_up(&self) {
        let mut bytes = vec![0; LEN_MAX];
        while !self.is_over() {
            let Ok((len, from)) = self.front.recv_from(&mut bytes) else { continue };
            *self.client.lock().unwrap_or_else(PoisonError::into_inner) = Some(from);
            // What the host does not take is lost, as on any link.
            let _ = self.back.send(&bytes[..len]);
        }
    }

    fn carry_down(&self) {
        let mut bytes = vec![0; LEN_MAX];
        let (mut queue, mut queued) = (VecDeque::<Vec<u8>>::new(), 0);
        let mut free_at = clock();
        while !self.is_over() {
            let bits_per_second = self.bits_per_second.load(Ordering::Relaxed).max(1);
            while let Some(first) = queue.front().filter(|_| free_at <= clock()) {
                if let Some(client) = *self.client.lock().unwrap_or_else(PoisonError::into_inner) {
                    let _ = self.front.send_to(first, client);
                }
                queued -= first.len() as u64;
                free_at += Duration::from_micros(first.len() as u64 * 8_000_000 / bits_per_second);
                queue.pop_front();
            }
            let wait = queue.front().map_or(LOOK, |_| free_at.saturating_duration_since(clock()).min(LOOK));
            self.back
                .set_read_timeout(Some(wait.max(Duration::from_micros(1))))
                .expect("a time that is not zero");
            let Ok(len) = self.back.recv(&mut bytes) else { continue };
            if queue.is_empty() {
                free_at = free_at.max(clock());
            }
            if queued * 8_000 / bits_per_second < QUEUE_MS {
                queued += len as u64;
                queue.push_back(bytes[..len].to_vec());
            }
        }
    }
}
