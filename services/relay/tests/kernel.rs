//! A relay that has the kernel send on what its leases allow: a real kernel, two namespaces and a pair of virtual interfaces.
//!
//! The relay is in the namespace that the test runs itself in, its peers are in another, as behind a router.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use clap::Parser as _;
use rift::crypto::Identity;
use rift::paths::Binding;
use rift::paths::relay::{Lease, LeaseTerms, relay_id};
use rift::wire::bind::{BIND_LEN_MAX, LeaseSide};
use rift::wire::relay::Envelope;
use rift::{Class, Ecn, PathId, Transmit};
use rift_mio::{Clock, Destination, Socket, SocketConfig};
use rift_paseto::Signer;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use wavry_relay::args::Cli;
use wavry_relay::serve::{Running, ServeError, serve};
use wavry_relay::state::Cause;

/// Only against hanging for ever.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the relay is and where its peers are.
const NETWORK: &str = "mkdir -p /run/netns && mount -t tmpfs none /run/netns && ip netns add peers && ip link set lo up && \
    ip link add far type veth peer name near netns peers && ip addr add 10.98.0.2/24 dev far && \
    ip addr add fd98::2/64 dev far nodad && ip link set far up && ip -n peers addr add 10.98.0.1/24 dev near && \
    ip -n peers addr add fd98::1/64 dev near nodad && ip -n peers link set near up";
const NEAR: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(10, 98, 0, 1)), IpAddr::V6(Ipv6Addr::new(0xfd98, 0, 0, 0, 0, 0, 0, 1))];
const FAR: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(10, 98, 0, 2)), IpAddr::V6(Ipv6Addr::new(0xfd98, 0, 0, 0, 0, 0, 0, 2))];

#[test]
fn kernel_sends_on_what_leases_allow_and_nothing_else() {
    let namespace = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "sh", "-c", script]);
        command
    };
    if !namespace(NETWORK).output().is_ok_and(|output| output.status.success()) {
        println!("skipped: no network namespaces, for want of unshare, ip or the right to them");
        return;
    }
    let program = std::env::current_exe().expect("a program knows itself");
    let output = namespace(&format!("{NETWORK} && exec \"$PROGRAM\" --ignored --exact --nocapture inside"))
        .env("PROGRAM", program)
        .output()
        .expect("it worked a moment ago");
    let told = String::from_utf8_lossy(&output.stdout);
    println!("{told}");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("1 passed"), "{error}");
}

#[test]
#[ignore = "run by kernel_sends_on_what_leases_allow_and_nothing_else in namespaces of its own"]
fn inside() {
    let world = match World::start() {
        Ok(world) => world,
        Err(ServeError::Kernel(error)) => {
            println!("skipped: {error}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    for family in [0, 1] {
        world.both_ways_unchanged(family);
        world.bursts_whole_and_cut_where_leases_differ(family);
    }
    world.strangers_get_nothing();
    world.rate_is_kept();
    world.peer_is_followed();
    world.lease_ends();
    world.running.stop();
    std::fs::remove_dir_all(&world.state).expect("it was made here");
}

struct World {
    running: Running,
    signer: Signer,
    state: PathBuf,
    here: File,
    peers: File,
}

/// A peer that is bound.
struct Peer {
    socket: Socket,
    relay: SocketAddr,
    tag: u8,
}

impl World {
    fn start() -> Result<Self, ServeError> {
        let state = std::env::temp_dir().join(format!("wavry-relay-kernel-{}", std::process::id()));
        std::fs::create_dir_all(&state).expect("a directory");
        let signer = Signer::generate().expect("entropy");
        let trust: String = signer.public().iter().map(|byte| format!("{byte:02x}")).collect();
        let start = |interface| {
            let path = state.to_str().expect("a name");
            let words = [
                "wavry-relay",
                "--state",
                path,
                "--listen",
                "[::]:0",
                "--trust",
                &trust,
                "--ebpf",
                interface,
            ];
            serve(&Cli::parse_from(words).run)
        };
        for (interface, why) in
            [("lo", "not Ethernet"), ("nowhere", "No such device"), ("a-name-that-is-too-long", "bytes")]
        {
            let error = start(interface).map(Running::stop).expect_err("there is nothing to forward at");
            assert!(error.to_string().contains(why), "{interface}: {error}");
        }
        let running = start("far")?;
        let open = |path| File::open(path).expect("a namespace");
        Ok(Self {
            running,
            signer,
            state,
            here: open("/proc/thread-self/ns/net"),
            peers: open("/run/netns/peers"),
        })
    }

    fn socket(&self, family: usize) -> Socket {
        let go = |namespace: &File| {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("a namespace");
        };
        go(&self.peers);
        let socket =
            Socket::bind(&SocketConfig::default(), SocketAddr::from((NEAR[family], 0))).expect("a socket");
        go(&self.here);
        socket
    }

    fn relay(&self, family: usize) -> SocketAddr {
        SocketAddr::from((FAR[family], self.running.address().port()))
    }

    fn lease(&self, tag: u8, bitrate_bps: u32, left_s: u64) -> [Lease; 2] {
        let secrets = [[tag; 32], [tag + 100; 32]];
        let peers = secrets.map(|secret| Identity::from_secret(secret).public());
        let (relay_key, expires_s) = (*self.running.key(), unix_s() + left_s);
        let terms = LeaseTerms { relay: relay_id(&relay_key), tag: [tag; 8], peers, bitrate_bps, expires_s };
        let token: Vec<u8> = self.signer.sign(&terms).expect("entropy").bytes().collect();
        secrets.map(|secret| Lease {
            relay: self.relay(0),
            relay_key,
            tag: [tag; 8],
            secret,
            expires_s,
            token: token.iter().copied().collect(),
        })
    }

    fn bind(&self, socket: &mut Socket, lease: Lease, side: LeaseSide, family: usize) {
        let clock = Clock::new();
        let mut binding = Binding::new(lease, side, clock.now()).expect("a key");
        let mut out = [0; BIND_LEN_MAX];
        until(|| {
            if let Some(len) = binding.poll_transmit(clock.now(), &mut out) {
                send(socket, self.relay(family), &out[..len], len);
            }
            let _ = socket.receive(|received| {
                let _ = binding.handle_datagram(clock.now(), received.bytes);
            });
            binding.is_bound()
        });
    }

    fn pair(&self, tag: u8, bitrate_bps: u32, family: usize) -> [Peer; 2] {
        let sides = [LeaseSide::Caller, LeaseSide::Callee];
        let mut sides = self.lease(tag, bitrate_bps, 60).into_iter().zip(sides);
        [(); 2].map(|()| {
            let (lease, side) = sides.next().expect("two of them");
            let mut socket = self.socket(family);
            self.bind(&mut socket, lease, side, family);
            Peer { socket, relay: self.relay(family), tag }
        })
    }

    /// What the kernel has sent on so far.
    fn in_kernel(&self) -> u64 {
        assert!(self.running.tend(), "all threads are alive");
        self.running.metrics().kernel_packets()
    }

    fn both_ways_unchanged(&self, family: usize) {
        let [mut caller, mut callee] = self.pair(1 + family as u8, 100_000_000, family);
        let before = self.in_kernel();
        for step in 0..200_usize {
            let (from, at) =
                if step % 2 == 0 { (&mut caller, &mut callee) } else { (&mut callee, &mut caller) };
            let sent = from.packet(9 + step * 7, step as u8);
            from.send(&sent, sent.len());
            assert_eq!(at.receive(1), [sent], "step {step}");
        }
        // The first went up: nobody knew yet where the callee's packets come in.
        assert_eq!(self.in_kernel() - before, 199, "family {family}");
    }

    fn bursts_whole_and_cut_where_leases_differ(&self, family: usize) {
        let tag = 3 + 2 * family as u8;
        let [mut caller, mut first] = self.pair(tag, 100_000_000, family);
        // The same socket has another lease.
        let [mine, theirs] = self.lease(tag + 1, 100_000_000, 60);
        let mut second = Peer { socket: self.socket(family), relay: caller.relay, tag: tag + 1 };
        self.bind(&mut caller.socket, mine, LeaseSide::Caller, family);
        self.bind(&mut second.socket, theirs, LeaseSide::Callee, family);
        for peer in [&mut first, &mut second] {
            let sent = peer.packet(100, 1);
            peer.send(&sent, sent.len());
        }
        caller.receive(2);
        let before = self.in_kernel();
        let burst: Vec<Vec<u8>> = (0..16).map(|step| caller.packet(1000, step)).collect();
        caller.send(&burst.concat(), 1000);
        assert_eq!(first.receive(16), burst);
        assert_eq!(self.in_kernel() - before, 16, "family {family}");
        let mixed: Vec<Vec<u8>> = (0..16)
            .map(|step| if step % 3 == 0 { second.packet(1000, step) } else { caller.packet(1000, step) })
            .collect();
        caller.send(&mixed.concat(), 1000);
        let of = |tag: u8| mixed.iter().filter(|packet| packet[1] == tag).cloned().collect::<Vec<_>>();
        assert_eq!(first.receive(10), of(tag));
        assert_eq!(second.receive(6), of(tag + 1));
    }

    fn strangers_get_nothing(&self) {
        let [mut caller, mut callee] = self.pair(10, 100_000_000, 0);
        let mut stranger = Peer { socket: self.socket(0), relay: caller.relay, tag: 10 };
        let sent = callee.packet(50, 1);
        callee.send(&sent, 50);
        caller.receive(1);
        let (before, strange) = (self.in_kernel(), self.running.metrics().drops(Cause::Stranger));
        let foreign = stranger.packet(500, 0xee);
        stranger.send(&foreign, 500);
        until(|| self.running.metrics().drops(Cause::Stranger) > strange);
        // What comes first is what was sent last.
        let own = caller.packet(60, 2);
        caller.send(&own, 60);
        assert_eq!(callee.receive(1), [own]);
        assert_eq!(self.in_kernel() - before, 1);
    }

    fn rate_is_kept(&self) {
        // A datagram in eighty seconds, beside the 96 000 bytes that may pass at once.
        let [mut caller, mut callee] = self.pair(11, 100, 0);
        let sent = callee.packet(50, 1);
        callee.send(&sent, 50);
        caller.receive(1);
        let dropped = self.running.metrics().drops(Cause::OverRate);
        for step in 0..200 {
            let packet = caller.packet(1000, step);
            caller.send(&packet, 1000);
        }
        // Small ones may be twice as far ahead.
        let last = caller.packet(200, 0xff);
        caller.send(&last, 200);
        let got = callee.receive(97);
        assert_eq!(got[..96], (0..96).map(|step| caller.packet(1000, step)).collect::<Vec<_>>());
        assert_eq!(got[96], last);
        self.in_kernel();
        assert_eq!(self.running.metrics().drops(Cause::OverRate) - dropped, 104);
    }

    fn peer_is_followed(&self) {
        let [mut caller, mut callee] = self.pair(12, 100_000_000, 0);
        let sent = callee.packet(50, 1);
        callee.send(&sent, 50);
        caller.receive(1);
        let [_, lease] = self.lease(12, 100_000_000, 60);
        let mut moved = Peer { socket: self.socket(0), ..callee };
        self.bind(&mut moved.socket, lease, LeaseSide::Callee, 0);
        let sent = moved.packet(50, 2);
        moved.send(&sent, 50);
        assert_eq!(caller.receive(1), [sent]);
        let before = self.in_kernel();
        let sent = caller.packet(70, 3);
        caller.send(&sent, 70);
        assert_eq!(moved.receive(1), [sent]);
        assert_eq!(self.in_kernel() - before, 1);
    }

    fn lease_ends(&self) {
        let [first, second] = self.lease(13, 100_000_000, 2);
        let (mut caller, mut callee) = (self.socket(0), self.socket(0));
        self.bind(&mut caller, first, LeaseSide::Caller, 0);
        self.bind(&mut callee, second, LeaseSide::Callee, 0);
        let unknown = self.running.metrics().drops(Cause::NoLease);
        let mut peers = [caller, callee].map(|socket| Peer { socket, relay: self.relay(0), tag: 13 });
        until(|| {
            for peer in &mut peers {
                let packet = peer.packet(50, 1);
                peer.send(&packet, 50);
                let _ = peer.socket.receive(|_| ());
            }
            self.in_kernel();
            self.running.metrics().drops(Cause::NoLease) > unknown
        });
    }
}

impl Peer {
    fn packet(&self, len: usize, content: u8) -> Vec<u8> {
        let mut packet = Envelope::head([self.tag; 8]).to_vec();
        packet.resize(len, content);
        packet
    }

    fn send(&mut self, bytes: &[u8], stride: usize) {
        send(&mut self.socket, self.relay, bytes, stride);
    }

    /// Waits for so many datagrams, which all come from the relay.
    fn receive(&mut self, count: usize) -> Vec<Vec<u8>> {
        let mut got = Vec::new();
        until(|| {
            let _ = self.socket.receive(|received| {
                assert_eq!(received.from, self.relay);
                got.extend(received.bytes.chunks(received.stride).map(<[u8]>::to_vec));
            });
            got.len() >= count
        });
        assert_eq!(got.len(), count);
        got
    }
}

fn send(socket: &mut Socket, to: SocketAddr, bytes: &[u8], stride: usize) {
    let segment = (bytes.len() > stride).then(|| u16::try_from(stride).expect("a datagram"));
    let transmit =
        Transmit { path: PathId(0), len: bytes.len(), segment, class: Class::Media, ecn: Ecn::NotEct };
    socket.send(Destination { to, source: None }, &transmit, bytes).expect("room in the kernel");
}

#[expect(clippy::disallowed_methods, reason = "a guard against hanging")]
fn until(mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "it does not come");
        std::thread::yield_now();
    }
}

#[expect(clippy::disallowed_methods, reason = "leases end at a time of the calendar")]
fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}
