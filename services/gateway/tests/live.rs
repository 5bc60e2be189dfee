//! The gateway on a socket of this machine: enrolment over restarts, health, and STUN as others speak it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use core::net::SocketAddr;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread::JoinHandle;

use rift::paths::{SignalLine, StunClient};
use rift::wire::signal::{EnrolmentToken, Signal};
use rift::{
    Callee, Config, Ecn, Identity, Instant, NoPictures, Noise, Opening, PathId, PublicKey, Session, Storage,
};
use tokio::sync::watch;
use wavry_gateway::args::Place as Options;
use wavry_gateway::shell::{Shell, entropy};
use wavry_gateway::{StateDirectory, block_on, health};

/// Nothing here takes this long: what does hangs.
const GUARD: Duration = Duration::from_secs(30);

/// A directory of this test's own, gone with it.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("wavry-gateway-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn directory(&self) -> StateDirectory {
        StateDirectory::of(&Options { state: Some(self.0.clone()), config: None }).unwrap()
    }

    /// The program, which sees nothing of this machine's own settings.
    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wavry-gateway"));
        command.env("HOME", &self.0).env_remove("XDG_CONFIG_HOME").env_remove("XDG_STATE_HOME");
        command.args(arguments).output().unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A gateway on a thread of its own.
struct Running {
    address: SocketAddr,
    health: SocketAddr,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Running {
    fn new(place: &Place) -> Self {
        let directory = place.directory();
        let (stop, stopped) = watch::channel(false);
        let (told, tells) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            block_on(async move {
                let shell =
                    Shell::open(&directory, "127.0.0.1:0".parse().unwrap(), Vec::new()).await.unwrap();
                let listener = health::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
                told.send((shell.local_addr().unwrap(), listener.local_addr().unwrap())).unwrap();
                let health = shell.health();
                health.set_ready(true);
                tokio::select! {
                    outcome = shell.run(stopped) => outcome.unwrap(),
                    () = health::serve(listener, health) => {}
                }
            })
            .unwrap();
        });
        let (address, health) = tells.recv_timeout(GUARD).unwrap();
        Self { address, health, stop, thread }
    }

    fn stop(self) {
        self.stop.send(true).unwrap();
        self.thread.join().unwrap();
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.health).unwrap();
        stream.set_read_timeout(Some(GUARD)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

/// A device with its session.
struct Device {
    socket: UdpSocket,
    session: Session<Box<Storage<[u8; 0], 64, 64, 0, 1024, 64>>, Noise>,
    line: SignalLine,
    began: std::time::Instant,
}

#[expect(clippy::disallowed_methods, reason = "a live session lives by a real clock")]
fn clock() -> std::time::Instant {
    std::time::Instant::now()
}

impl Device {
    fn call(gateway: SocketAddr, key: PublicKey, identity: &Identity, counter: u64) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(gateway).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        let handshake = Noise::initiator(identity, entropy(), Opening::IK);
        let callee = Callee { host: key, counter, token: None };
        let memory = Box::new(Storage::new());
        let session =
            Session::call(&Config::default(), handshake, &callee, 1, memory, PathId(0), Instant::ZERO);
        Self { socket, session, line: SignalLine::new(), began: clock() }
    }

    /// Goes on until something is heard that fits.
    fn until(&mut self, fits: impl Fn(&Signal) -> bool) -> Signal {
        let mut bytes = [0; 2048];
        while self.began.elapsed() < GUARD {
            let now = Instant::ZERO + self.began.elapsed();
            let session = &mut self.session;
            session.handle_timeout(now);
            if session.wants_entropy() {
                session.add_entropy(now, entropy());
            }
            while session.poll_event().is_some() {}
            if let Some(signal) = self.line.hear(session)
                && fits(&signal)
            {
                return signal;
            }
            self.line.write(now, session);
            while let Some(transmit) = session.poll_transmit(now, &NoPictures, &mut bytes) {
                let _ = self.socket.send(&bytes[..transmit.len]);
            }
            if let Ok(len) = self.socket.recv(&mut bytes) {
                let now = Instant::ZERO + self.began.elapsed();
                let _ = session.handle_datagram(now, PathId(0), now, Ecn::NotEct, &mut bytes[..len]);
            }
        }
        panic!("nothing of the kind was said");
    }

    /// Whether the gateway knows the device, and where it sees it.
    fn welcome(&mut self) -> (bool, SocketAddr) {
        let welcome = self.until(|signal| matches!(signal, Signal::Welcome { .. }));
        let Signal::Welcome { is_enrolled, seen } = welcome else { unreachable!() };
        (is_enrolled, seen)
    }
}

fn out(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn device_that_enrolled_once_is_known_after_a_restart_and_in_a_backup() {
    let place = Place::new();
    let state = place.0.to_str().unwrap();
    let key: PublicKey = out(&place.run(&["id", "--state", state])).parse().unwrap();
    let identity = Identity::from_secret(entropy());

    let gateway = Running::new(&place);
    // Made by the program while the gateway runs.
    let token = EnrolmentToken::parse(&out(&place.run(&["token", "--state", state]))).unwrap();
    let mut device = Device::call(gateway.address, key, &identity, 1);
    let (is_enrolled, seen) = device.welcome();
    assert!(!is_enrolled);
    assert_eq!(seen, device.socket.local_addr().unwrap());
    device.line.say(&Signal::Enrol { token, name: "laptop".try_into().unwrap() }).unwrap();
    assert!(device.welcome().0);

    let mut thief = Device::call(gateway.address, key, &Identity::from_secret(entropy()), 1);
    assert!(!thief.welcome().0);
    thief.line.say(&Signal::Enrol { token, name: "thief".try_into().unwrap() }).unwrap();
    thief.until(|signal| matches!(signal, Signal::Refused { .. }));

    let metrics = gateway.get("/metrics");
    assert!(metrics.contains("\nwavry_gateway_devices 1\n"), "{metrics}");
    assert!(gateway.get("/readyz").starts_with("HTTP/1.1 200"));
    assert!(gateway.get("/healthz").ends_with("ok\n"));
    assert!(gateway.get("/").starts_with("HTTP/1.1 404"));
    let backup = place.0.join("backup.db");
    out(&place.run(&["backup", "--state", state, backup.to_str().unwrap()]));
    gateway.stop();

    let again = Running::new(&place);
    assert!(Device::call(again.address, key, &identity, 2).welcome().0, "after a restart");
    again.stop();

    for name in ["gateway.db", "gateway.db-wal", "gateway.db-shm"] {
        let _ = std::fs::remove_file(place.0.join(name));
    }
    let forgetful = Running::new(&place);
    assert!(!Device::call(forgetful.address, key, &identity, 3).welcome().0, "a new database knows nobody");
    forgetful.stop();
    for name in ["gateway.db-wal", "gateway.db-shm"] {
        let _ = std::fs::remove_file(place.0.join(name));
    }
    std::fs::rename(&backup, place.0.join("gateway.db")).unwrap();
    let restored = Running::new(&place);
    assert!(Device::call(restored.address, key, &identity, 4).welcome().0, "from the backup");
    restored.stop();
}

#[test]
fn program_explains_itself_and_refuses_what_it_does_not_know() {
    let place = Place::new();
    let help = out(&place.run(&["--help"]));
    for word in ["token", "backup", "--listen", "--health", "gateway.toml"] {
        assert!(help.contains(word), "{help}");
    }
    assert!(!place.run(&["--lisen", "x"]).status.success());
    let state = place.0.to_str().unwrap();
    std::fs::create_dir_all(place.0.join(".config/wavry")).unwrap();
    std::fs::write(place.0.join(".config/wavry/gateway.toml"), "lisen = \"x\"").unwrap();
    let refused = place.run(&["--state", state]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("\"listen\""), "{said}");
    std::fs::write(place.0.join("gateway.db"), "no database at all, but long enough to look like one")
        .unwrap();
    let broken = place.run(&["token", "--state", state]);
    let said = String::from_utf8_lossy(&broken.stderr).into_owned();
    assert!(!broken.status.success() && said.contains("gateway.db"), "{said}");
}

/// A program of coturn's, if it is there; else the reason is printed.
fn coturn(name: &str) -> Option<Command> {
    let is_there = Command::new(name).arg("-h").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !is_there {
        eprintln!("skipped: {name} of Debian's coturn is not installed");
    }
    is_there.then(|| Command::new(name))
}

#[test]
fn stun_client_of_coturn_learns_its_address() {
    let Some(mut client) = coturn("turnutils_stunclient") else { return };
    let place = Place::new();
    let gateway = Running::new(&place);
    let output = client.args(["-p", &gateway.address.port().to_string(), "127.0.0.1"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("reflexive addr: 127.0.0.1:"), "{said} {output:?}");
    assert!(gateway.get("/metrics").contains("\nwavry_gateway_stun_answers_total"), "{said}");
    gateway.stop();
}

/// A server that is gone with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn stun_client_learns_its_address_from_coturn() {
    let Some(mut server) = coturn("turnserver") else { return };
    let place = Place::new();
    // A port that was free a moment ago.
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let pid = place.0.join("pid");
    server.args(["-n", "-S", "-L", "127.0.0.1", "--no-tls", "--no-dtls", "--no-cli", "-l", "stdout"]);
    server.args(["-p", &port.to_string(), "--pidfile", pid.to_str().unwrap()]);
    let _server = Server(server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let began = clock();
    // The server needs a moment to be there, and a client gives up after a while.
    while began.elapsed() < GUARD {
        let mut id = [0; 12];
        id.copy_from_slice(&entropy()[..12]);
        let (from, mut bytes) = (clock(), [0; 600]);
        let mut client = StunClient::new(Instant::ZERO, ([127, 0, 0, 1], port).into(), id);
        while !client.is_over(Instant::ZERO + from.elapsed()) && from.elapsed() < Duration::from_secs(2) {
            if let Some((len, to)) = client.poll_transmit(Instant::ZERO + from.elapsed(), &mut bytes) {
                let _ = socket.send_to(&bytes[..len], to);
            }
            if let Ok((len, from)) = socket.recv_from(&mut bytes) {
                client.handle_datagram(from, &bytes[..len]);
            }
        }
        if let Some(address) = client.address() {
            assert_eq!(address, socket.local_addr().unwrap());
            return;
        }
    }
    panic!("coturn never answered");
}
