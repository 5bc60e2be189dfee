//! A gateway of a test's own, and devices for it.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread::JoinHandle;

use rift::paths::SignalLine;
use rift::wire::signal::Signal;
use rift::{
    Callee, Config, Ecn, Identity, Instant, NoPictures, Noise, Opening, PathId, PublicKey, Session,
    SignalStorage,
};
use tokio::sync::watch;
use wavry_gateway::args::Place as Options;
use wavry_gateway::shell::{Shell, entropy};
use wavry_gateway::{StateDirectory, block_on, health, make_operator_token, operate};

/// Nothing here takes this long: what does hangs.
pub(crate) const GUARD: Duration = Duration::from_secs(180);

/// A directory of this test's own, gone with it.
pub(crate) struct Place(pub(crate) PathBuf);

impl Place {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("wavry-gateway-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn directory(&self) -> StateDirectory {
        StateDirectory::of(&Options { state: Some(self.0.clone()), config: None }).unwrap()
    }

    /// The program, which sees nothing of this machine's own settings.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
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
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) health: SocketAddr,
    pub(crate) operators: SocketAddr,
    /// The operator's token.
    pub(crate) token: String,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Running {
    pub(crate) fn new(place: &Place) -> Self {
        Self::with_patience(place, operate::CONNECTION)
    }

    /// Whose operators' connections last so long at most.
    pub(crate) fn with_patience(place: &Place, connection: Duration) -> Self {
        let directory = place.directory();
        let (stop, stopped) = watch::channel(false);
        let (told, tells) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            block_on(async move {
                let shell = Shell::open(&directory, "127.0.0.1:0".parse().unwrap(), &[]).await.unwrap();
                let listener = health::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
                let operators = operate::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
                let token = make_operator_token(&directory).await.unwrap();
                let (at, health_at) = (shell.local_addr().unwrap(), listener.local_addr().unwrap());
                told.send((at, health_at, operators.local_addr().unwrap(), token)).unwrap();
                let ask = shell.ask();
                let health = shell.health();
                health.set_ready(true);
                tokio::select! {
                    outcome = shell.run(stopped) => outcome.unwrap(),
                    () = health::serve(listener, health) => {}
                    () = operate::serve(operators, ask, connection) => {}
                }
            })
            .unwrap();
        });
        let (address, health, operators, token) = tells.recv_timeout(GUARD).unwrap();
        Self { address, health, operators, token, stop, thread }
    }

    pub(crate) fn stop(self) {
        self.stop.send(true).unwrap();
        self.thread.join().unwrap();
    }

    pub(crate) fn get(&self, path: &str) -> String {
        http(self.health, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
    }

    /// Asks the operators' API with this token: the status, and the body as JSON.
    pub(crate) fn ask_as(&self, token: &str, method: &str, path: &str) -> (u16, serde_json::Value) {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\nConnection: \
             close\r\n\r\n"
        );
        let answer = http(self.operators, &request);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer}"));
        let status = head[9..12].parse().unwrap_or_else(|_| panic!("{head}"));
        (status, serde_json::from_str(body).unwrap_or_else(|_| panic!("{method} {path}: {answer}")))
    }

    /// The same with the operator's own token.
    pub(crate) fn ask(&self, method: &str, path: &str) -> (u16, serde_json::Value) {
        self.ask_as(&self.token, method, path)
    }
}

/// Sends a request and returns all that is answered.
pub(crate) fn http(to: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(GUARD)).unwrap();
    // Who is cut off in the middle has still been answered.
    let _ = stream.write_all(request.as_bytes());
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    while !is_whole(&answer)
        && let Ok(len @ 1..) = stream.read(&mut piece)
    {
        answer.extend_from_slice(&piece[..len]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// Whether all that the head promises is there: some servers leave the connection open.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let head = head.to_ascii_lowercase();
    let len =
        head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    len.is_some_and(|len| body.len() >= len)
}

/// A device with its session.
pub(crate) struct Device {
    pub(crate) socket: UdpSocket,
    pub(crate) session: Session<Box<SignalStorage>, Noise>,
    pub(crate) line: SignalLine,
    began: std::time::Instant,
}

#[expect(clippy::disallowed_methods, reason = "a live session lives by a real clock")]
pub(crate) fn clock() -> std::time::Instant {
    std::time::Instant::now()
}

impl Device {
    pub(crate) fn call(gateway: SocketAddr, key: PublicKey, identity: &Identity, counter: u64) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(gateway).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        let handshake = Noise::initiator(identity, entropy(), Opening::IK);
        let callee = Callee { host: key, counter, token: None };
        let memory = Box::new(SignalStorage::new());
        let session =
            Session::call(&Config::default(), handshake, &callee, 1, memory, PathId(0), Instant::ZERO);
        Self { socket, session, line: SignalLine::new(), began: clock() }
    }

    /// Goes on until something is heard that fits.
    pub(crate) fn until(&mut self, fits: impl Fn(&Signal) -> bool) -> Signal {
        self.work(fits).expect("the session goes on")
    }

    /// Goes on until the gateway has ended the session.
    pub(crate) fn until_closed(&mut self) {
        assert!(self.work(|_| false).is_none());
    }

    /// Goes on until something is heard that fits, or the session has ended.
    fn work(&mut self, fits: impl Fn(&Signal) -> bool) -> Option<Signal> {
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
                return Some(signal);
            }
            if session.is_closed() {
                return None;
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
    pub(crate) fn welcome(&mut self) -> (bool, SocketAddr) {
        let welcome = self.until(|signal| matches!(signal, Signal::Welcome { .. }));
        let Signal::Welcome { is_enrolled, seen } = welcome else { unreachable!() };
        (is_enrolled, seen)
    }
}

pub(crate) fn out(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
