//! A relay and its gateway on this machine: it is known where it is and how it is, and believes whom the gateway signs with.

use core::net::SocketAddr;
use core::time::Duration;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread::JoinHandle;

use rift::paths::Binding;
use rift::paths::relay::{Lease, relay_id};
use rift::wire::bind::{BIND_LEN_MAX, LeaseSide};
use rift::wire::fleet::RelayPlace;
use rift::wire::signal::EnrolmentToken;
use rift::{Ecn, Identity, Instant, PublicKey};
use rift_mio::{Enrolment, Gateway as Device, GatewayPlace};
use tokio::sync::{oneshot, watch};
use wavry_gateway::args::Place as Options;
use wavry_gateway::leases::RelayName;
use wavry_gateway::operate::desk::{Ask, Question};
use wavry_gateway::shell::{Shell, entropy, unix_us};
use wavry_gateway::state::Order;
use wavry_gateway::storage::operator_digest;
use wavry_gateway::{StateDirectory, block_on, make_operator_token, make_token};
use wavry_relay::Running;

/// Nothing here takes this long: what does hangs.
const GUARD: Duration = Duration::from_secs(180);

/// A directory of this test's own, gone with it.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A gateway on a thread of its own.
struct Gateway {
    address: SocketAddr,
    ask: tokio::sync::mpsc::Sender<Question>,
    token: String,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

fn directory(state: &Path) -> StateDirectory {
    StateDirectory::of(&Options { state: Some(state.to_owned()), config: None }).expect("a place")
}

impl Gateway {
    fn start(state: &Path, relay: PublicKey) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (told, tells) = mpsc::channel();
        let state = state.to_owned();
        let thread = std::thread::spawn(move || {
            block_on(async {
                let directory = directory(&state);
                let relays = [RelayName { key: relay, address: None }];
                let listen = "127.0.0.1:0".parse().expect("an address");
                let shell = Shell::open(&directory, listen, &relays).await.expect("it starts");
                let token = make_operator_token(&directory).await.expect("a token");
                told.send((shell.local_addr().expect("bound"), shell.ask(), token)).expect("it waits");
                shell.run(stopped).await.expect("the database works");
            })
            .expect("a runtime");
        });
        let (address, ask, token) = tells.recv_timeout(GUARD).expect("it starts");
        Self { address, ask, token, stop, thread }
    }

    fn ask(&self, ask: Ask) -> serde_json::Value {
        let (answer, answered) = oneshot::channel();
        let question = Question { digest: operator_digest(&self.token), ask, answer };
        self.ask.blocking_send(question).expect("it runs");
        answered.blocking_recv().expect("it answers").expect("an operator asks")
    }

    /// Asks for the one relay until it is as wanted.
    fn relay(&self, is_so: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        let began = unix_us();
        loop {
            let relays = self.ask(Ask::Relays);
            if is_so(&relays[0]) {
                return relays[0].clone();
            }
            assert!(unix_us() < began + GUARD.as_micros() as u64, "never: {relays}");
            std::thread::yield_now();
        }
    }

    fn stop(self) {
        self.stop.send(true).expect("it runs");
        self.thread.join().expect("it ends");
    }
}

fn start_relay(state: &Path, gateway: &str) -> Running {
    let state = state.to_str().expect("a name");
    let words = ["wavry-relay", "--state", state, "--listen", "127.0.0.1:0", "--threads", "1"];
    let more = ["--gateway", gateway, "--region", "here", "--line-mbit", "1000"];
    let cli = wavry_relay::args::read(words.into_iter().chain(more).map(Into::into)).expect("good words");
    wavry_relay::serve(&cli.run).expect("it starts")
}

/// Binds at the relay; whether it did before `patience` was over.
fn binds(share: Lease, patience: Duration) -> bool {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a socket");
    let began = unix_us();
    let now = || Instant::from_micros(unix_us() - began);
    let relay = share.relay;
    let mut binding = Binding::new(share, LeaseSide::Caller, now()).expect("a key");
    let (mut out, mut reply) = ([0; BIND_LEN_MAX], [0; 2048]);
    while !binding.is_bound() && now().since(Instant::ZERO) < patience {
        if let Some(len) = binding.poll_transmit(now(), &mut out) {
            socket.send_to(&out[..len], relay).expect("loopback");
        }
        if let Ok((len, _)) = socket.recv_from(&mut reply) {
            binding.handle_datagram(now(), &reply[..len]);
        }
    }
    binding.is_bound()
}

/// SPEC §18.9.
#[test]
fn relay_is_known_to_its_gateway_and_believes_what_that_signs() {
    let scratch = Scratch(std::env::temp_dir().join(format!("wavry-net-relays-{}", std::process::id())));
    let (at_gateway, at_relay) = (scratch.0.join("gateway"), scratch.0.join("relay"));
    for place in [&at_gateway, &at_relay] {
        std::fs::create_dir_all(place).expect("a directory");
    }
    let key = wavry_relay::serve::public_key(&at_relay).expect("a key");
    let gateway_key = directory(&at_gateway).identity().expect("a key").public();
    let gateway = Gateway::start(&at_gateway, key);
    assert_eq!(gateway.ask(Ask::Relays)[0]["is_usable"], false, "nobody knows where it is");
    let relay = start_relay(&at_relay, &format!("{gateway_key}@{}", gateway.address));
    let view = gateway.relay(|relay| relay["is_there"] == true);
    assert_eq!(view["address"].as_str(), Some(&*relay.address().to_string()));
    assert_eq!((&view["is_usable"], &view["beat"]["region"]), (&true.into(), &"here".into()));

    let place = RelayPlace { key, address: relay.address() };
    let now_s = unix_us() / 1_000_000;
    let share = |state: &Path| {
        let mut leases = directory(state).leases().expect("a key");
        let entropy = [entropy(), entropy(), entropy()];
        let [caller, _] = leases.make(place, [key, gateway_key], entropy, now_s).expect("it signs");
        caller
    };
    assert!(binds(share(&at_gateway), GUARD), "its own gateway's lease");
    let stranger = scratch.0.join("stranger");
    std::fs::create_dir_all(&stranger).expect("a directory");
    assert!(!binds(share(&stranger), Duration::from_secs(1)), "somebody else's");

    let id = relay_id(&key);
    gateway.ask(Ask::Order(Order::DrainRelay(id, true)));
    assert_eq!(gateway.ask(Ask::Relays)[0]["is_usable"], false);
    gateway.ask(Ask::Order(Order::DrainRelay(id, false)));
    relay.drain();
    gateway.relay(|relay| relay["beat"]["is_draining"] == true && relay["is_usable"] == false);
    relay.stop();
    gateway.stop();
}

/// Enrols this identity at a gateway, and goes.
fn enrol(place: GatewayPlace, identity: Identity, token: EnrolmentToken) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(Duration::from_millis(5))).expect("a socket");
    let began = unix_us();
    let now = || Instant::from_micros(unix_us() - began);
    let enrolment = Some(Enrolment::new(token, "doctor"));
    let mut device = Device::new(place, identity, enrolment, began, entropy, now());
    let (mut out, mut reply) = ([0; 2048], [0; 2048]);
    while device.seen().is_none() {
        assert!(now().since(Instant::ZERO) < GUARD, "{:?}", device.state());
        device.handle_timeout(now());
        while let Some((len, to)) = device.poll_transmit(now(), &mut out) {
            socket.send_to(&out[..len], to).expect("loopback");
        }
        if let Ok((len, _)) = socket.recv_from(&mut reply) {
            device.handle_datagram(now(), Ecn::NotEct, &mut reply[..len]);
        }
        while device.hear(now()).is_some() {}
    }
    device.close(now());
    while let Some((len, to)) = device.poll_transmit(now(), &mut out) {
        socket.send_to(&out[..len], to).expect("loopback");
    }
}

#[test]
fn doctor_looks_at_the_relays_that_a_gateway_tells_of() {
    let scratch = Scratch(std::env::temp_dir().join(format!("wavry-net-told-{}", std::process::id())));
    let [at_gateway, at_relay, home] = ["gateway", "relay", "home"].map(|name| scratch.0.join(name));
    for place in [&at_gateway, &at_relay, &home] {
        std::fs::create_dir_all(place).expect("a directory");
    }
    let key = wavry_relay::serve::public_key(&at_relay).expect("a key");
    let gateway_key = directory(&at_gateway).identity().expect("a key").public();
    let gateway = Gateway::start(&at_gateway, key);
    let relay = start_relay(&at_relay, &format!("{gateway_key}@{}", gateway.address));
    gateway.relay(|relay| relay["is_usable"] == true);
    let doctor = || -> serde_json::Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wavry-net"));
        command.args(["doctor", &format!("{}/{gateway_key}", gateway.address)]).env("XDG_STATE_HOME", &home);
        serde_json::from_slice(&command.output().expect("it runs").stdout).expect("JSON")
    };
    let identity = rift_keystore::load_or_create(&home.join("wavry").join(rift_keystore::FILE_NAME));
    let identity = identity.expect("a place for it");
    let stranger = doctor();
    let untold = stranger["relays_untold"][0]["why"].as_str().expect("a reason");
    assert!(untold.contains("wavry-gateway token"), "{stranger:#}");

    let token = block_on(make_token(&directory(&at_gateway))).expect("a runtime").expect("a token");
    enrol(GatewayPlace { key: gateway_key, address: gateway.address }, identity, token);
    let known = doctor();
    assert_eq!(known["relays_untold"].as_array().map(Vec::len), Some(0), "{known:#}");
    let servers = known["servers"].as_array().expect("an array");
    let told = servers.iter().find(|server| server["role"] == "relay").expect("it was told");
    assert_eq!(told["address"], relay.address().to_string(), "{told:#}");
    assert_eq!((&told["id"], &told["answered"]), (&key.to_string().into(), &told["asked"]), "{told:#}");
    relay.stop();
    gateway.stop();
}
