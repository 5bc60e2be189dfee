//! The programs themselves in a namespace: gateway and relay that serve, and the doctor who asks them.

use core::net::{SocketAddr, SocketAddrV4};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::mpsc;

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

/// What `wavry doctor network --json` finds with this gateway and this relay.
///
/// # Errors
/// There is no socket, or nobody listens.
pub fn doctor(gateway: &str, relay: &str) -> Result<(), String> {
    let args = NetworkArgs {
        gateway: vec![gateway.to_owned()],
        relay: vec![relay.to_owned()],
        ..NetworkArgs::default()
    };
    let examination = network::examine(&args).map_err(|error| error.to_string())?;
    let mut out = Vec::new();
    network::tell(&examination, true, &mut out).map_err(|error| error.to_string())?;
    std::io::stdout().write_all(&out).map_err(|error| error.to_string())
}
