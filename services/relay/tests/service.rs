//! The program as a service manager starts it: it says when it is ready, that it lives, and that it ends.

use core::time::Duration;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::{Child, Command, Stdio};

/// Only against hanging for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// The point of edwards25519 that others are made from (RFC 8032 §5.1): a key.
const KEY: &str = "5866666666666666666666666666666666666666666666666666666666666666";

/// Gone with the test, however it ends.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn manager_hears_of_readiness_life_and_end_and_settings_are_shown() {
    let name = format!("wavry-relay-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let manager = UnixDatagram::bind_addr(&address).expect("a socket");
    manager.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let state = std::env::temp_dir().join(&name);
    let mut command = Command::new(env!("CARGO_BIN_EXE_wavry-relay"));
    command
        .env("NOTIFY_SOCKET", format!("@{name}"))
        .env("WATCHDOG_USEC", "100000")
        .env_remove("WATCHDOG_PID");
    command.env("WAVRY_RELAY_STATE", &state).env("XDG_CONFIG_HOME", "/nowhere").args([
        "--listen",
        "127.0.0.1:0",
        "--threads",
        "2",
        "--trust",
        KEY,
    ]);
    let mut program =
        Program(command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().expect("it starts"));
    let hear = || {
        let mut bytes = [0; 64];
        let len = manager.recv(&mut bytes).expect("it says something");
        String::from_utf8_lossy(&bytes[..len]).into_owned()
    };
    let until = |wanted: &str| while hear() != wanted {};
    assert_eq!(hear(), "READY=1");
    until("WATCHDOG=1");
    until("WATCHDOG=1");
    let pid = program.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill").success());
    until("STOPPING=1");
    assert!(program.0.wait().expect("it ends").success());
    let shown = Command::new(env!("CARGO_BIN_EXE_wavry-relay"))
        .args(["settings"])
        .env("WAVRY_RELAY_STATE", &state)
        .env("WAVRY_LOG", "warn")
        .output()
        .expect("it runs");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("log = \"warn\"  # the variable WAVRY_LOG"), "{shown}");
    assert!(shown.contains("# the variable WAVRY_RELAY_STATE"), "{shown}");
    let _ = std::fs::remove_dir_all(&state);
}
