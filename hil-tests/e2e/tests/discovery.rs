//! A host announces itself on a local network; who knows it finds it there, and who does not learns nothing of it.
//!
//! Loopback is no such network, so the test runs itself in a network namespace with an interface that can multicast.

#![expect(clippy::unwrap_used, reason = "a test fails at an error")]

use std::process::Command;

use wavry_e2e::programs::{Client, Host};

/// A local network of this machine alone.
const NETWORK: &str = "ip link set lo up && ip link add lan type veth peer name other && ip link set other up \
                       && ip link set lan up && ip address add 192.0.2.1/24 dev lan";
const ADDRESS: &str = "192.0.2.1";

#[test]
fn hosts_are_found_by_those_who_know_them() {
    let namespace = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", "sh", "-c", script]);
        command
    };
    if !namespace(NETWORK).output().is_ok_and(|output| output.status.success()) {
        println!("skipped: no network namespace, for want of unshare, ip or the right to it");
        return;
    }
    let program = std::env::current_exe().unwrap();
    let script = format!("{NETWORK} && exec \"$PROGRAM\" --ignored --exact --nocapture inside");
    let output = namespace(&script).env("PROGRAM", program).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    println!("{told}");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("1 passed"), "{words}");
}

/// The hosts in the answer of `list`.
fn list(client: &Client) -> Vec<serde_json::Value> {
    let text = client.command(&["list", "--json", "--seconds", "3"]);
    serde_json::from_str::<serde_json::Value>(&text).unwrap().as_array().unwrap().clone()
}

#[test]
#[ignore = "run by hosts_are_found_by_those_who_know_them in a namespace of its own"]
fn inside() {
    let listen = format!("{ADDRESS}:0");
    let named = Host::start_at(&listen, "test", &["--announce-name", "Studio"]);
    let quiet = Host::start_at(&listen, "test", &["--announce=false"]);
    let plain = Host::start_at(&listen, "test", &[]);
    let client = Client::allowed_by(&plain);

    let hosts = list(&client);
    println!("{hosts:#?}");
    assert_eq!(hosts.len(), 2, "the one that is quiet is not there");
    let at = |host: &Host| {
        let is_there = |found: &&serde_json::Value| found["addresses"][0] == host.address.as_str();
        hosts.iter().find(is_there).unwrap_or_else(|| panic!("{} is found", host.address))
    };
    assert_eq!(at(&named)["name"], "Studio");
    assert!(at(&plain)["name"].as_str().unwrap().starts_with("wavry-"), "the name tells nothing");
    assert!(hosts.iter().all(|found| found["id"].is_null()), "who knows nobody recognises nobody");
    assert!(!hosts.iter().any(|found| found.to_string().contains(&plain.id)));

    // Known by its ID alone, it is found and shows its pictures.
    let mut session = client.connect_anywhere(&plain.id, &["--frames", "5"]);
    assert!(session.wait().success(), "{}", session.words());

    // Who has paired recognises it.
    let pins = format!("[[host]]\naddress = \"studio:4747\"\nid = \"{}\"\n", named.id);
    std::fs::write(client.file("state").join("hosts.toml"), pins).unwrap();
    let known = list(&client);
    let names: Vec<_> = known.iter().filter_map(|found| found["known_as"].as_str()).collect();
    assert_eq!(names, ["studio:4747"]);

    // A host that is not there is said to be not there.
    let mut lost = client.connect_anywhere(&quiet.id, &["--frames", "1"]);
    assert!(!lost.wait().success());
    assert!(lost.words().contains("wavry-client list"), "{}", lost.words());
}
