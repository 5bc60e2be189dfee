//! The program as people and scripts use it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;

use rift::{Identity, PublicKey};
use rustix::process::{Pid, Signal, kill_process};

/// Nothing here takes this long: a program that does hangs.
const GUARD: Duration = Duration::from_secs(30);

/// A directory of this test's own, gone with it.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("wavry-server-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// The program, which sees nothing of this machine's own settings.
    fn program(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wavry-server"));
        command.env("HOME", &self.0).env_remove("XDG_CONFIG_HOME").env_remove("XDG_STATE_HOME");
        command.env_remove("WAVRY_LOG").env_remove("DISPLAY");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.program().args(arguments).output().unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn complaint(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What the child wrote by its end, and whether it ended well.
fn finish(mut child: Child) -> (bool, String) {
    let (done, finished) = mpsc::channel();
    let pid = Pid::from_child(&child);
    let waiter = std::thread::spawn(move || {
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        done.send((child.wait().unwrap().success(), said)).unwrap();
    });
    let outcome = finished.recv_timeout(GUARD);
    if outcome.is_err() {
        let _ = kill_process(pid, Signal::KILL);
    }
    waiter.join().unwrap();
    outcome.expect("the program ends when it is told to")
}

#[test]
fn list_of_clients_is_kept_by_commands() {
    let place = Place::new();
    let state = place.path("state");
    let id = Identity::from_secret([9; 32]).public().to_string();
    assert_eq!(out(&place.run(&["list", "--state", &state])), "");
    assert!(out(&place.run(&["allow", &id, "--name", "laptop", "--state", &state])).contains(&id));
    let twice = complaint(&place.run(&["allow", &id, "--state", &state]));
    assert!(twice.contains("laptop") && twice.contains(&format!("revoke {id}")), "{twice}");
    let list = out(&place.run(&["list", "--state", &state]));
    assert_eq!(list, format!("{id}  view,pointer,keyboard,audio  laptop\n"));
    assert!(place.run(&["revoke", &id, "--state", &state]).status.success());
    assert!(complaint(&place.run(&["revoke", &id, "--state", &state])).contains("not on the list"));
    assert!(place.run(&["allow", &id, "--view-only", "--state", &state]).status.success());
    assert!(out(&place.run(&["list", "--state", &state])).contains("  view,audio  "));
    let slip = complaint(&place.run(&["allow", &id[1..], "--state", &state]));
    assert!(slip.contains("<ID>"), "{slip}");
}

#[test]
fn identity_is_made_once_and_the_state_directory_may_stand_in_the_configuration() {
    let place = Place::new();
    let first = out(&place.run(&["id"]));
    assert!(first.trim().parse::<PublicKey>().is_ok(), "{first}");
    assert_eq!(out(&place.run(&["id"])), first);
    assert!(place.0.join(".local/state/wavry/identity").exists());
    let config = place.0.join(".config/wavry");
    std::fs::create_dir_all(&config).unwrap();
    std::fs::write(config.join("server.toml"), format!("state = {:?}\n", place.path("elsewhere"))).unwrap();
    assert_ne!(out(&place.run(&["id"])), first);
    std::fs::write(config.join("server.toml"), "stat = \"x\"\n").unwrap();
    assert!(complaint(&place.run(&["id"])).contains("did you mean `state`"));
    assert!(complaint(&place.run(&["run"])).contains("did you mean `state`"));
}

#[test]
fn host_says_where_it_is_and_ends_cleanly_when_told() {
    for signal in [Signal::TERM, Signal::INT] {
        let place = Place::new();
        let port_file = place.path("port");
        let mut command = place.program();
        command.args(["--source", "test", "--input", "none", "--listen", "0.0.0.0:0"]);
        command.args(["--port-file", &port_file]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let pid = Pid::from_child(&child);
        let said = loop {
            let text = std::fs::read_to_string(&port_file).unwrap_or_default();
            if text.ends_with('\n') {
                break text;
            }
            assert!(kill_process(pid, Signal::CONT).is_ok(), "the host runs");
            std::thread::yield_now();
        };
        let (address, id) = said.trim().split_once(' ').unwrap();
        assert!(address.starts_with("127.0.0.1:") && !address.ends_with(":0"), "{address}");
        assert_eq!(format!("{id}\n"), out(&place.run(&["id"])));
        kill_process(pid, signal).unwrap();
        let (success, log) = finish(child);
        assert!(success, "{log}");
    }
}

#[test]
fn host_starts_before_its_card_and_tells_how_it_is() {
    let place = Place::new();
    assert!(complaint(&place.run(&["status"])).contains("no host answers"));
    let port_file = place.path("port");
    let mut command = place.program();
    command.args(["--source", "v4l:/dev/video-none", "--input", "none", "--listen", "127.0.0.1:0"]);
    command.args(["--port-file", &port_file]).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let pid = Pid::from_child(&child);
    let status = loop {
        let said = place.run(&["status", "--json"]);
        if said.status.success() && out(&said).contains("no_device") {
            break out(&said);
        }
        assert!(kill_process(pid, Signal::CONT).is_ok(), "the host runs");
        std::thread::yield_now();
    };
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["source"], "v4l:/dev/video-none");
    assert_eq!(status["viewers"].as_array().map(Vec::len), Some(0));
    let metrics = out(&place.run(&["status", "--metrics"]));
    assert!(metrics.contains("wavry_capture_state{state=\"no_device\"} 1"), "{metrics}");
    assert!(out(&place.run(&["status"])).contains("no device, 0 watching"));
    kill_process(pid, Signal::TERM).unwrap();
    let (success, log) = finish(child);
    assert!(success && log.contains("capture: no_device") && log.contains("is the card plugged in"), "{log}");
    assert!(!place.0.join(".local/state/wavry/status.sock").exists());
}

#[test]
fn what_cannot_be_shared_is_refused_with_what_to_do() {
    let place = Place::new();
    for (source, hint) in [("x11::4747", "DISPLAY"), ("screen", "x11:DISPLAY")] {
        let said = complaint(&place.run(&["--source", source, "--listen", "127.0.0.1:0"]));
        assert!(said.contains(hint), "{source}: {said}");
    }
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = complaint(&place.run(&["--source", "test", "--input", "none", "--listen", &address]));
    assert!(said.contains("--listen"), "{said}");
}
