//! Enrolment over restarts, health, and STUN as others speak it.

use core::time::Duration;
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};

use rift::paths::StunClient;
use rift::wire::signal::{EnrolmentToken, Signal};
use rift::{Identity, Instant, PublicKey};
use wavry_gateway::shell::entropy;

use crate::support::{Device, GUARD, Place, Running, clock, out};

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
    assert!(!refused.status.success() && said.contains("did you mean `listen`"), "{said}");
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
