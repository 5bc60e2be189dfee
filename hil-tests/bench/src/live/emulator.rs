//! A link between two network namespaces: each has one end as a TUN device, and this carries packets between them with
//! a rate, a queue and a delay. The kernel at hand need not know `netem`.

use core::time::Duration;
use std::collections::VecDeque;
use std::os::fd::AsRawFd as _;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::BorrowedFd;
use rustix::time::Timespec;
use smoltcp::phy::{Device, Medium, RxToken as _, TunTapInterface, TxToken as _};

use crate::clock::now;
use crate::failure::{Context as _, Failure};

/// The longest packet.
const MTU: usize = 1500;
/// How often the state of the queue is noted.
const SAMPLE: Duration = Duration::from_millis(5);
/// What the way back carries: nobody waits there.
const BACK_BPS: u64 = 200_000_000;
/// Longest sleep, so that samples are taken in time.
const SLEEP: Duration = Duration::from_millis(1);

/// From when on the way to the client carries so many bits per second.
pub(super) type Schedule = Vec<(Duration, u64)>;

/// What a link is.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) rates: Schedule,
    pub(super) delay: Duration,
    /// A packet that would wait longer is dropped.
    pub(super) queue: Duration,
}

/// The queue and what has passed, at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sample {
    /// Since the emulator's start, in s.
    pub(super) at: f64,
    pub(super) rate_bps: u64,
    /// How long a packet that comes now waits, in ms.
    pub(super) queue_ms: f64,
    /// Bytes of UDP and of TCP that left the queue so far.
    pub(super) datagrams: u64,
    pub(super) stream: u64,
}

/// One way through the link.
#[derive(Debug, Default)]
struct Way {
    queue: VecDeque<(Instant, Vec<u8>)>,
    queued: u64,
    free_at: Option<Instant>,
    on_the_way: VecDeque<(Instant, Vec<u8>)>,
    datagrams: u64,
    stream: u64,
}

impl Way {
    fn wait(&self, rate_bps: u64) -> Duration {
        Duration::from_nanos(self.queued * 8_000_000_000 / rate_bps)
    }

    fn take(&mut self, at: Instant, packet: Vec<u8>, rate_bps: u64, longest: Duration) {
        if self.wait(rate_bps) < longest {
            self.queued += packet.len() as u64;
            self.queue.push_back((at, packet));
        }
    }

    /// Moves what the link has carried by now on its way.
    fn advance(&mut self, time: Instant, rate_bps: u64, delay: Duration) {
        while let Some((came, packet)) = self.queue.front() {
            let ends = self.ends(*came, packet, rate_bps);
            if ends > time {
                return;
            }
            self.free_at = Some(ends);
            let Some((_, packet)) = self.queue.pop_front() else { return };
            self.queued -= packet.len() as u64;
            // The protocol stands in the tenth byte of an IPv4 header.
            match packet.get(9) {
                Some(17) => self.datagrams += packet.len() as u64,
                Some(6) => self.stream += packet.len() as u64,
                Some(_) | None => {}
            }
            self.on_the_way.push_back((ends + delay, packet));
        }
    }

    /// When the link has carried the first packet of the queue.
    fn ends(&self, came: Instant, packet: &[u8], rate_bps: u64) -> Instant {
        let starts = self.free_at.map_or(came, |free| free.max(came));
        starts + Duration::from_nanos(packet.len() as u64 * 8_000_000_000 / rate_bps)
    }

    /// When there is something to do.
    fn due(&self, rate_bps: u64) -> Option<Instant> {
        let carried = self.queue.front().map(|(came, packet)| self.ends(*came, packet, rate_bps));
        let there = self.on_the_way.front().map(|(due, _)| *due);
        carried.into_iter().chain(there).min()
    }

    fn give(&mut self, time: Instant, device: &mut TunTapInterface) {
        while self.on_the_way.front().is_some_and(|(due, _)| *due <= time) {
            let Some((_, packet)) = self.on_the_way.pop_front() else { return };
            if let Some(token) = device.transmit(smoltcp::time::Instant::ZERO) {
                token.consume(packet.len(), |bytes| bytes.copy_from_slice(&packet));
            }
        }
    }
}

/// The host's and the client's end.
pub(super) struct Emulator {
    ends: [TunTapInterface; 2],
}

impl Emulator {
    /// Takes hold of two TUN devices that were made before.
    pub(super) fn new(host: &str, client: &str) -> Result<Self, Failure> {
        let open = |name: &str| {
            TunTapInterface::new(name, Medium::Ip).context(format_args!("cannot open the TUN device {name}"))
        };
        Ok(Self { ends: [open(host)?, open(client)?] })
    }

    /// Carries packets for so long; gives the samples of the way from host to client.
    pub(super) fn carry(&mut self, link: &Link, start: Instant, time: Duration) -> Vec<Sample> {
        let [mut forth, mut back] = [Way::default(), Way::default()];
        let mut samples = Vec::new();
        let mut next_sample = start;
        loop {
            let at = now();
            let since = at.saturating_duration_since(start);
            if since >= time {
                return samples;
            }
            let rate_bps =
                link.rates.iter().rev().find(|(from, _)| *from <= since).map_or(BACK_BPS, |rate| rate.1);
            let [host, client] = &mut self.ends;
            for packet in received(host) {
                forth.take(at, packet, rate_bps, link.queue);
            }
            for packet in received(client) {
                back.take(at, packet, BACK_BPS, link.queue);
            }
            forth.advance(at, rate_bps, link.delay);
            back.advance(at, BACK_BPS, link.delay);
            forth.give(at, client);
            back.give(at, host);
            if at >= next_sample {
                next_sample = at + SAMPLE;
                samples.push(Sample {
                    at: since.as_secs_f64(),
                    rate_bps,
                    queue_ms: forth.wait(rate_bps).as_secs_f64() * 1e3,
                    datagrams: forth.datagrams,
                    stream: forth.stream,
                });
            }
            self.sleep(forth.due(rate_bps).into_iter().chain(back.due(BACK_BPS)).min());
        }
    }

    /// Until somebody has sent something, or something is due.
    #[expect(
        unsafe_code,
        reason = "smoltcp lends numbers of descriptors only, and its own wait counts whole milliseconds"
    )]
    fn sleep(&self, due: Option<Instant>) {
        let left = due.map_or(SLEEP, |due| due.saturating_duration_since(now()).min(SLEEP));
        let timeout = Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().into() };
        let [host, client] = self.ends.each_ref().map(|end| {
            // SAFETY: the device is open as long as `self` is, which is borrowed.
            unsafe { BorrowedFd::borrow_raw(end.as_raw_fd()) }
        });
        let mut fds = [PollFd::new(&host, PollFlags::IN), PollFd::new(&client, PollFlags::IN)];
        // A signal ends it early; nothing else can fail here.
        let _ = poll(&mut fds, Some(&timeout));
    }
}

fn received(device: &mut TunTapInterface) -> impl Iterator<Item = Vec<u8>> + '_ {
    core::iter::from_fn(|| {
        let (token, _) = device.receive(smoltcp::time::Instant::ZERO)?;
        Some(token.consume(|bytes| bytes[..bytes.len().min(MTU)].to_vec()))
    })
}
