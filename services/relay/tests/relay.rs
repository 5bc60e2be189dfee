//! A relay with real sockets: two peers meet through it, batches and ECN pass, strangers get nothing.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser as _;
use rift::crypto::Identity;
use rift::paths::Binding;
use rift::paths::relay::{Lease, LeaseTerms, relay_id};
use rift::wire::bind::{BIND_LEN_MAX, LeaseSide};
use rift::wire::relay::Envelope;
use rift::wire::stun;
use rift_mio::Clock;
use rift_paseto::Signer;
use rift_settings::Places;
use wavry_relay::args::Cli;
use wavry_relay::serve::{Running, serve};
use wavry_relay::state::Cause;

/// Only against hanging for ever.
const PATIENCE: Duration = Duration::from_secs(20);

struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("wavry-relay-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn start(place: &Place, signer: &Signer) -> Running {
    let trust: String = signer.public().iter().map(|byte| format!("{byte:02x}")).collect();
    let state = place.0.to_str().expect("a name");
    let words =
        ["wavry-relay", "--state", state, "--listen", "127.0.0.1:0", "--threads", "2", "--trust", &trust];
    serve(&Cli::parse_from(words).run).expect("it starts")
}

#[expect(clippy::disallowed_methods, reason = "leases end at a time of the calendar")]
fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

fn shares(running: &Running, signer: &Signer, number: u8) -> [Lease; 2] {
    let secrets = [[number; 32], [number + 100; 32]];
    let peers = secrets.map(|secret| Identity::from_secret(secret).public());
    let (tag, expires_s) = ([number; 8], unix_s() + 60);
    let terms =
        LeaseTerms { relay: relay_id(running.key()), tag, peers, bitrate_bps: 100_000_000, expires_s };
    let token = signer.sign(&terms).expect("entropy");
    secrets.map(|secret| Lease {
        relay: running.address(),
        relay_key: *running.key(),
        tag,
        secret,
        expires_s,
        token: token.bytes().collect(),
    })
}

/// Binds a socket of this machine at the relay.
fn bind(share: Lease, side: LeaseSide) -> UdpSocket {
    let clock = Clock::new();
    let socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let relay = share.relay;
    let mut binding = Binding::new(share, side, clock.now()).expect("a key");
    let (mut out, mut reply) = ([0; BIND_LEN_MAX], [0; 2048]);
    while !binding.is_bound() {
        let len = binding.poll_transmit(clock.now(), &mut out).expect("the relay answers at once");
        socket.send_to(&out[..len], relay).expect("loopback");
        let (len, from) = socket.recv_from(&mut reply).expect("an answer");
        assert_eq!(from, relay);
        binding.handle_datagram(clock.now(), &reply[..len]);
    }
    socket
}

fn packet(number: u8, len: usize, content: u8) -> Vec<u8> {
    let mut packet = Envelope::head([number; 8]).to_vec();
    packet.resize(len, content);
    packet
}

#[test]
fn datagrams_pass_both_ways_unchanged_and_strangers_get_nothing() {
    let place = Place::new("both-ways");
    let signer = Signer::generate().expect("entropy");
    let running = start(&place, &signer);
    let relay = running.address();
    let [caller, callee] = shares(&running, &signer, 1);
    let (caller, callee) = (bind(caller, LeaseSide::Caller), bind(callee, LeaseSide::Callee));
    let stranger = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a socket");
    let mut got = [0; 2048];
    for step in 0..200_u8 {
        let (from, at) = if step % 2 == 0 { (&caller, &callee) } else { (&callee, &caller) };
        stranger.send_to(&packet(1, 500, 0xee), relay).expect("loopback");
        let sent = packet(1, 9 + usize::from(step) * 7, step);
        from.send_to(&sent, relay).expect("loopback");
        let (len, source) = at.recv_from(&mut got).expect("it comes");
        assert_eq!(source, relay);
        assert_eq!(got[..len], sent, "step {step}");
    }
    assert!(running.tend(), "all threads are alive");
    assert_eq!(running.leases(), 1);
    // The last one is counted after it has left.
    assert!(running.metrics().packets() >= 199);
    assert!(running.metrics().drops(Cause::Stranger) > 0);
    let text = running.metrics().expose();
    assert!(text.contains("\nwavry_relay_leases 1\n"), "{text}");
    running.stop();
}

#[test]
fn key_stays_and_another_gateways_lease_is_refused() {
    let place = Place::new("key");
    let (signer, stranger) = (Signer::generate().expect("entropy"), Signer::generate().expect("entropy"));
    let running = start(&place, &signer);
    let key = *running.key();
    let [share, _] = shares(&running, &stranger, 1);
    let clock = Clock::new();
    let socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let mut binding = Binding::new(share, LeaseSide::Caller, clock.now()).expect("a key");
    let (mut out, mut reply) = ([0; BIND_LEN_MAX], [0; 2048]);
    let refused = loop {
        let len = binding.poll_transmit(clock.now(), &mut out).expect("the relay answers at once");
        socket.send_to(&out[..len], running.address()).expect("loopback");
        let (len, _) = socket.recv_from(&mut reply).expect("an answer");
        if let Some(event) = binding.handle_datagram(clock.now(), &reply[..len]) {
            break event;
        }
    };
    assert_eq!(refused, rift::paths::BindingEvent::Refused(rift::wire::bind::BindReason::Token));
    assert_eq!(running.leases(), 0);
    running.stop();
    let again = start(&place, &signer);
    assert_eq!(*again.key(), key);
    again.stop();
}

/// SPEC §18.2.
#[test]
fn question_of_stun_is_answered_unless_the_answer_is_longer() {
    let place = Place::new("stun");
    let running = start(&place, &Signer::generate().expect("entropy"));
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let (mut request, mut reply) = ([0; stun::REQUEST_LEN], [0; 100]);
    // Without an attribute the answer would be the longer one; what is heard first is the answer to the second question.
    let short = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[1; 12]].concat();
    socket.send_to(&short, running.address()).expect("loopback");
    let len = stun::write_request(&[2; 12], &mut request).expect("room");
    socket.send_to(&request[..len], running.address()).expect("loopback");
    let (len, from) = socket.recv_from(&mut reply).expect("an answer");
    assert_eq!(from, running.address());
    let seen = stun::parse_answer(&reply[..len], &[2; 12]).expect("to the second");
    assert_eq!(seen, Ok(socket.local_addr().expect("bound")));
    assert!(len <= request.len());
    running.stop();
}

#[test]
fn settings_come_from_file_and_line_and_the_line_wins() {
    let words = |line: &[&str]| -> Vec<std::ffi::OsString> {
        core::iter::once("wavry-relay").chain(line.iter().copied()).map(Into::into).collect()
    };
    let place = Place::new("settings");
    let places = Places::of("relay", &place.0, None, None);
    std::fs::create_dir_all(place.0.join("etc/wavry")).expect("a directory");
    let read = |text: &str, line: &[&str]| {
        std::fs::write(&places.machine, text).expect("a file");
        wavry_relay::args::read_at(&places, [("WAVRY_RELAY_LINE_MBIT".into(), "11".into())], words(line))
    };
    let key = "ab".repeat(32);
    let text =
        format!("listen = \"127.0.0.1:9\"\nmbit-max = 7\nline-mbit = 5\ntrust = [\"{key}\", \"{key}\"]\n");
    let said = read(&text, &["--mbit-max", "9"]).expect("good settings").run;
    assert_eq!((said.listen.port(), said.mbit_max, said.trust.len()), (9, 9, 2));
    assert_eq!(said.line_mbit, 11, "the environment wins over the file");
    assert_eq!(read(&text, &["--trust", &key]).expect("good settings").run.trust.len(), 1);
    let wrong = read("lisen = \"x\"\n", &[]).expect_err("no such key");
    assert!(wrong.to_string().contains("`listen`"), "{wrong}");
    let wrong = read("listen = \n", &[]).expect_err("no TOML");
    assert!(wrong.to_string().contains("relay.toml:1"), "{wrong}");
    read(include_str!("../dist/relay.toml"), &[]).expect("what is shipped is right");
}
