//! The programs themselves in a namespace: gateway and relay that serve, the doctor who asks them, and what has a host's port opened.

use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use core::time::Duration;
use std::io::{Read as _, Write as _};
use std::net::UdpSocket;
use std::path::PathBuf;
use std::sync::mpsc::{self, TryRecvError};

use rift_portmap::PortMapping;
use wavry_cli::args::NetworkArgs;
use wavry_cli::network;
use wavry_gateway::args::{Place, RunArgs};

/// Runs `wavry-gateway` until it fails.
///
/// # Errors
/// What it says.
pub fn gateway(listen: SocketAddrV4, state: PathBuf) -> Result<(), String> {
    let any = || Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    let settings = RunArgs {
        place: Place { state: Some(state), config: None },
        listen: Some(listen.into()),
        health: any(),
        operators: any(),
        ..RunArgs::default()
    };
    let served = wavry_gateway::block_on(wavry_gateway::shell::run(&settings));
    served.and_then(|outcome| outcome).map_err(|error| error.to_string())
}

/// Runs `wavry-relay` for ever.
///
/// # Errors
/// What it says.
pub fn relay(listen: SocketAddrV4, state: PathBuf) -> Result<(), String> {
    let (listen, state) = (listen.to_string(), state.to_string_lossy().into_owned());
    // It trusts a key that nobody has: whoever asks it where they come from needs none.
    let words = ["wavry-relay", "--state", &state, "--listen", &listen, "--threads", "1", "--trust", KEY];
    let cli = wavry_relay::args::read(words.map(Into::into)).map_err(|error| error.to_string())?;
    let running = wavry_relay::serve(&cli.run).map_err(|error| error.to_string())?;
    let (_kept, ended) = mpsc::channel::<()>();
    let _ = ended.recv();
    running.stop();
    Ok(())
}

/// The generator of edwards25519 (RFC 8032 §5.1), which is a key.
const KEY: &str = "5866666666666666666666666666666666666666666666666666666666666666";

/// What `wavry doctor network --json` finds with this gateway, and this relay if there is one; each with its ID behind a `/`, if it is to be
/// known.
///
/// # Errors
/// There is no socket, or nobody listens.
pub fn doctor(gateway: &str, relay: Option<&str>) -> Result<(), String> {
    let args = NetworkArgs {
        gateway: vec![gateway.to_owned()],
        relay: relay.map(str::to_owned).into_iter().collect(),
        ..NetworkArgs::default()
    };
    let examination = network::examine(&args).map_err(|error| error.to_string())?;
    let mut out = Vec::new();
    network::tell(&examination, true, &mut out).map_err(|error| error.to_string())?;
    std::io::stdout().write_all(&out).map_err(|error| error.to_string())
}

/// Has this port opened by the router until its input ends, and says so and what comes.
///
/// # Errors
/// The system's.
pub fn mapped(port: u64) -> Result<(), String> {
    let port = u16::try_from(port).map_err(|error| error.to_string())?;
    serve_mapped(port).map_err(|error| error.to_string())
}

fn serve_mapped(port: u16) -> std::io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?;
    socket.set_read_timeout(Some(Duration::from_millis(20)))?;
    let mapping = PortMapping::start(port, [7; 12])?;
    let (over, is_over) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        drop(over);
    });
    let (mut told, mut buffer, mut out) = (None, [0; 1500], std::io::stdout());
    while is_over.try_recv() == Err(TryRecvError::Empty) {
        let opened = mapping.opened();
        if let Some((address, way)) = opened.filter(|_| opened != told) {
            writeln!(out, "open at {address} by {way:?}")?;
        }
        told = opened;
        if let Ok(len) = socket.recv(&mut buffer) {
            writeln!(out, "got {}", String::from_utf8_lossy(&buffer[..len]))?;
        }
    }
    Ok(())
}
