//! Devices of a gateway, all of one process, each with a socket of its own.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::collections::BTreeSet;
use std::net::UdpSocket;

use rift::paths::{CandidateKind, Candidates};
use rift::wire::Kind;
use rift::wire::fleet::GrantPage;
use rift::wire::signal::{EnrolmentToken, Signal};
use rift::{Ecn, Identity, Instant, PublicKey};
use rift_mio::{Clock, Enrolment, Gateway, GatewayPlace, GatewayState};
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::failure::{Context as _, Failure};

/// Files beside the devices' sockets.
const OTHER_FILES: u64 = 256;
/// How finely first calls are counted.
const BIN_US: u64 = 100_000;

struct Device {
    gateway: Gateway,
    socket: UdpSocket,
    key: PublicKey,
    candidates: Candidates,
    due: Option<Instant>,
    is_here: bool,
    /// The gateway knows where it is, and whom it grants.
    has_said: bool,
    /// When it was known again, and when it called first, since [`Crowd::forget`].
    here_at: Option<Instant>,
    called_at: Option<Instant>,
    /// The number of an introduction, and when it was asked for.
    asked: Option<(u16, Instant)>,
}

/// See the module.
pub(super) struct Crowd {
    clock: Clock,
    poll: std::os::fd::OwnedFd,
    devices: Vec<Device>,
    timers: BTreeSet<(Instant, usize)>,
    /// How long introductions took, in milliseconds.
    met: Vec<f64>,
    forgotten_at: Instant,
    /// When the gateway was there again.
    began: Instant,
}

fn entropy() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the system draws entropy");
    bytes
}

impl Crowd {
    /// One for each token; they begin to call at once.
    pub(super) fn gather(
        clock: Clock,
        place: GatewayPlace,
        tokens: &[EnrolmentToken],
    ) -> Result<Self, Failure> {
        let files = getrlimit(Resource::Nofile);
        let wanted = tokens.len() as u64 + OTHER_FILES;
        if files.current.is_some_and(|current| current < wanted) {
            setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..files })
                .context(format_args!("a process may not open {wanted} files"))?;
        }
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let (epoch_us, now) = (clock.unix_epoch_us(), clock.now());
        let mut devices = Vec::new();
        for (index, token) in tokens.iter().enumerate() {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.connect(place.address)?;
            socket.set_nonblocking(true)?;
            epoll::add(&poll, &socket, epoll::EventData::new_u64(index as u64), epoll::EventFlags::IN)?;
            let identity = Identity::from_secret(entropy());
            let key = identity.public();
            let enrolment = Enrolment::new(*token, &format!("device {index}"));
            let mut candidates = Candidates::new();
            let _ = candidates.push(CandidateKind::Host, (Ipv4Addr::new(192, 0, 2, 1), 4747).into());
            devices.push(Device {
                gateway: Gateway::new(place, identity, Some(enrolment), epoch_us, entropy, now),
                socket,
                key,
                candidates,
                due: None,
                is_here: false,
                has_said: false,
                here_at: None,
                called_at: None,
                asked: None,
            });
        }
        let timers = BTreeSet::new();
        let mut crowd = Self { clock, poll, devices, timers, met: Vec::new(), forgotten_at: now, began: now };
        // As people's machines are switched on: not all within a moment.
        for index in 0..crowd.devices.len() {
            crowd.set_due(index, Some(now.plus_micros(index as u64 * 4_000)));
        }
        Ok(crowd)
    }

    /// Whether all are there and have said what they have to.
    pub(super) fn is_ready(&self) -> bool {
        self.devices.iter().all(|device| device.is_here && device.has_said)
    }

    pub(super) fn here(&self) -> usize {
        self.devices.iter().filter(|device| device.is_here).count()
    }

    /// The gateway was killed: what is counted from now on is about its return.
    pub(super) fn forget(&mut self) {
        self.forgotten_at = self.clock.now();
        for device in &mut self.devices {
            (device.here_at, device.called_at, device.is_here) = (None, None, false);
        }
    }

    /// When each was back, in seconds since the gateway was.
    pub(super) fn back_s(&self) -> Vec<f64> {
        let back = self.devices.iter().filter_map(|device| device.here_at);
        back.map(|at| at.micros_since(self.began) as f64 / 1e6).collect()
    }

    /// First calls since the gateway was killed, in each tenth of a second.
    pub(super) fn calls(&self) -> Vec<usize> {
        let mut bins = Vec::new();
        for at in self.devices.iter().filter_map(|device| device.called_at) {
            let bin = usize::try_from(at.micros_since(self.forgotten_at) / BIN_US).unwrap_or(usize::MAX);
            if bins.len() <= bin {
                bins.resize(bin + 1, 0);
            }
            bins[bin] += 1;
        }
        bins
    }

    /// Lets them do what they do for a while.
    pub(super) fn play(&mut self, time: Duration) {
        let end = self.clock.now() + time;
        while self.clock.now() < end {
            self.turn(end);
        }
    }

    /// The same until something is so, or the time is over; whether it is so.
    pub(super) fn play_until(&mut self, most: Duration, is_so: impl Fn(&Self) -> bool) -> bool {
        self.began = self.clock.now();
        let end = self.began + most;
        while !is_so(self) {
            let now = self.clock.now();
            if now >= end {
                return false;
            }
            self.turn(end.min(now.plus_micros(10_000)));
        }
        true
    }

    /// Clients ask to be introduced to their hosts, one each `pause`; how long each took that was, in milliseconds.
    pub(super) fn introduce(&mut self, count: usize, pause: Duration) -> Vec<f64> {
        self.met.clear();
        let start = self.clock.now();
        let (clients, mut due) = (self.devices.len() / 2, start);
        for number in 0..count {
            while self.clock.now() < due {
                self.turn(due);
            }
            due += pause;
            let index = 2 * (number % clients) + 1;
            let (now, peer) = (self.clock.now(), self.devices[index - 1].key);
            let device = &mut self.devices[index];
            let request = u16::try_from(number % 60_000 + 1).unwrap_or(1);
            let candidates = device.candidates.clone();
            if device.gateway.say(now, &Signal::Introduce { request, peer, candidates }).is_ok() {
                device.asked = Some((request, now));
            }
            self.serve(index, now);
        }
        self.play(Duration::from_secs(2));
        core::mem::take(&mut self.met)
    }

    /// Takes what came and does what is due, until something has been or `end`.
    fn turn(&mut self, end: Instant) {
        let now = self.clock.now();
        let next = self.timers.first().map_or(end, |&(at, _)| at.min(end));
        let wait = next.micros_since(now);
        let timeout = rustix::event::Timespec {
            tv_sec: i64::try_from(wait / 1_000_000).unwrap_or(0),
            tv_nsec: i64::try_from(wait % 1_000_000 * 1000).unwrap_or(0),
        };
        let mut events = Vec::with_capacity(256);
        // A signal is no reason to stop.
        let _ = epoll::wait(&self.poll, spare_capacity(&mut events), Some(&timeout));
        for event in &events {
            let index = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
            let mut datagram = [0; 2048];
            // What a dead gateway's port says in its place is no datagram.
            while let Ok(len) = self.devices[index].socket.recv(&mut datagram) {
                let now = self.clock.now();
                self.devices[index].gateway.handle_datagram(now, Ecn::NotEct, &mut datagram[..len]);
            }
            self.serve(index, self.clock.now());
        }
        let now = self.clock.now();
        while let Some(&(at, index)) = self.timers.first()
            && at <= now
        {
            self.devices[index].gateway.handle_timeout(now);
            self.serve(index, now);
        }
    }

    fn serve(&mut self, index: usize, now: Instant) {
        let partner = self.devices[index ^ 1].key;
        let device = &mut self.devices[index];
        while let Some(signal) = device.gateway.hear(now) {
            if let Signal::Introduction(met) = signal
                && let Some((_, asked_at)) = device.asked.take_if(|(request, _)| *request == met.request)
            {
                self.met.push(now.micros_since(asked_at) as f64 / 1000.0);
            }
        }
        // Who has not noticed yet that the gateway was gone is not back.
        let is_here = device.called_at.is_some() && matches!(device.gateway.state(), GatewayState::Here(_));
        device.has_said &= is_here;
        if is_here && !device.is_here {
            device.here_at.get_or_insert(now);
        }
        device.is_here = is_here;
        if is_here && !device.has_said {
            let is_host = index.is_multiple_of(2);
            let present = Signal::Present { is_host, candidates: device.candidates.clone() };
            let keys = [partner].into_iter().collect();
            let grant = Signal::Grants(GrantPage { is_first: true, is_last: true, keys });
            device.has_said = device.gateway.say(now, &present).is_ok()
                && (!is_host || device.gateway.say(now, &grant).is_ok());
        }
        let mut out = [0; 2048];
        while let Some((len, _)) = device.gateway.poll_transmit(now, &mut out) {
            let kind = out.first().and_then(|&first| Kind::of(first));
            if matches!(kind, Some(Kind::Call | Kind::Initiation)) {
                device.called_at.get_or_insert(now);
            }
            // What does not leave is lost.
            let _ = device.socket.send(&out[..len]);
        }
        let due = device.gateway.poll_timeout();
        self.set_due(index, due);
    }

    fn set_due(&mut self, index: usize, due: Option<Instant>) {
        if let Some(before) = core::mem::replace(&mut self.devices[index].due, due) {
            self.timers.remove(&(before, index));
        }
        if let Some(due) = due {
            self.timers.insert((due, index));
        }
    }
}
