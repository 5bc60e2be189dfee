//! Client and host behind NATs of the kernel, in namespaces of their own. Without the right to make them, or without
//! nftables, the tests are skipped and say so.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod doctor;
mod net;
mod router;

use net::Net;

const GATEWAY: &str = "192.0.2.1:4748";
const RELAY: &str = "192.0.2.2:4749";
/// Seconds that a client has: to find its way, and to lose it if it were not the right one.
const SECONDS: &str = "4";

/// Keeps the port it has: looks port-restricted.
const KEEPS: &str = "oifname uplink masquerade";
/// Another port for everybody: symmetric.
const SYMMETRIC: &str = "oifname uplink masquerade random,fully-random";

/// Which way a client went, the milliseconds to its first picture, and how many pictures it showed.
fn meet(net: &mut Net) -> (String, u64, u64) {
    net.member("wan", &["introducer", GATEWAY, RELAY, "1"]);
    net.member("wan", &["forwarder", RELAY]);
    net.member("h", &["callee", "10.0.0.2:4747", GATEWAY, "1"]);
    for (at, port) in [("wan", "4748"), ("wan", "4749"), ("h", "4747")] {
        net.await_socket(at, port);
    }
    let mut command = net.command("c");
    command.arg(env!("CARGO_BIN_EXE_wavry-net"));
    // The host has a round trip and a repetition to be there; a client asks again after five seconds.
    command.args(["caller", "192.168.1.2:5555", GATEWAY, "1", SECONDS]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let words: Vec<&str> = said.split_whitespace().collect();
    let [way, address, first, shown] = words[..] else { panic!("{output:?}") };
    eprintln!("{}: {way} {address}, first picture after {first} ms, {shown} pictures", net.name);
    (way.to_owned(), first.parse().unwrap(), shown.parse().unwrap())
}

fn case(name: &str, client: &str, host: &str, forwards: &str, expected: &str) {
    let Some(mut net) = Net::new(name) else { return };
    net.nat("cn", client, "");
    net.nat("hn", host, forwards);
    let (way, _, shown) = meet(&mut net);
    assert_eq!(way, expected);
    assert!(shown > 30, "{shown} pictures");
}

#[test]
fn port_restricted_nats_are_punched_through() {
    case("a", KEEPS, KEEPS, "", "direct");
}

#[test]
fn symmetric_nats_leave_the_relay() {
    case("b", SYMMETRIC, SYMMETRIC, "", "relay");
}

#[test]
fn symmetric_client_of_a_port_restricted_host_takes_the_relay() {
    case("c", SYMMETRIC, KEEPS, "", "relay");
}

#[test]
fn port_that_is_forwarded_is_reached_from_behind_any_nat() {
    case("d", SYMMETRIC, KEEPS, "iifname uplink udp dport 4747 dnat to 10.0.0.2", "direct");
}
