//! Client and host behind NATs of the kernel, in namespaces of their own. Without the right to make them, or without
//! nftables, the tests are skipped and say so.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::process::{Child, Command, Output, Stdio};

const GATEWAY: &str = "192.0.2.1:4748";
const RELAY: &str = "192.0.2.2:4749";
/// Seconds that a client has: to find its way, and to lose it if it were not the right one.
const SECONDS: &str = "4";

/// Keeps the port it has: looks port-restricted.
const KEEPS: &str = "oifname uplink masquerade";
/// Another port for everybody: symmetric.
const SYMMETRIC: &str = "oifname uplink masquerade random,fully-random";

/// Namespaces of one test, gone with it.
struct Net {
    name: String,
    children: Vec<Child>,
}

impl Drop for Net {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        for at in ["wan", "cn", "c", "hn", "h"] {
            let _ = self.ip(&["netns", "del", &self.of(at)]);
        }
    }
}

impl Net {
    /// `None` = this machine does not let us; the reason is printed.
    fn new(case: &str) -> Option<Self> {
        let net = Self { name: format!("wn{}{case}", std::process::id()), children: Vec::new() };
        let has_nft = Command::new("nft").arg("--version").output().is_ok();
        let is_there = has_nft && net.ip(&["netns", "add", &net.of("wan")]).status.success();
        if !is_there {
            eprintln!("skipped: no right to make network namespaces here, or no nftables");
            return None;
        }
        for at in ["cn", "c", "hn", "h"] {
            assert!(net.ip(&["netns", "add", &net.of(at)]).status.success());
        }
        net.join("c", "192.168.1.2/24", "cn", "inner", "192.168.1.1/24");
        net.join("h", "10.0.0.2/24", "hn", "inner", "10.0.0.1/24");
        net.join("cn", "198.51.100.1/24", "wan", "cn", "198.51.100.254/24");
        net.join("hn", "203.0.113.1/24", "wan", "hn", "203.0.113.254/24");
        net.inside("wan", "ip addr add 192.0.2.1/32 dev lo");
        net.inside("wan", "ip addr add 192.0.2.2/32 dev lo");
        for (at, gateway) in [("c", "192.168.1.1"), ("h", "10.0.0.1")] {
            net.inside(at, &format!("ip route add default via {gateway}"));
        }
        for (at, gateway) in [("cn", "198.51.100.254"), ("hn", "203.0.113.254")] {
            net.inside(at, &format!("ip route add default via {gateway}"));
        }
        for at in ["wan", "cn", "hn"] {
            net.inside(at, "sysctl -q -w net.ipv4.ip_forward=1");
        }
        Some(net)
    }

    fn of(&self, at: &str) -> String {
        format!("{}-{at}", self.name)
    }

    fn ip(&self, words: &[&str]) -> Output {
        Command::new("ip").args(words).output().unwrap()
    }

    fn command(&self, at: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.of(at)]);
        command
    }

    fn inside(&self, at: &str, words: &str) {
        let output = self.command(at).args(words.split(' ')).output().unwrap();
        assert!(output.status.success(), "{at}: {words}: {output:?}");
    }

    /// A cable from `below`, where it is `uplink`, to `above`.
    fn join(&self, below: &str, own: &str, above: &str, device: &str, other: &str) {
        let (lower, upper) = (self.of(below), self.of(above));
        let words = format!("link add name uplink netns {lower} type veth peer name {device} netns {upper}");
        let output = self.ip(&words.split(' ').collect::<Vec<_>>());
        assert!(output.status.success(), "{words}: {output:?}");
        for (at, device, address) in [(below, "uplink", own), (above, device, other)] {
            self.inside(at, &format!("ip addr add {address} dev {device}"));
            self.inside(at, &format!("ip link set {device} up"));
            self.inside(at, "ip link set lo up");
        }
    }

    /// What a home router does: one address outside, and nothing comes in that was not asked for.
    fn nat(&self, at: &str, rule: &str, forwards: &str) {
        let rules = format!(
            "table ip home {{
                chain inward {{
                    type nat hook prerouting priority -100;
                    {forwards}
                }}
                chain outward {{
                    type nat hook postrouting priority 100;
                    {rule}
                }}
                chain through {{
                    type filter hook forward priority 0; policy drop;
                    iifname inner accept
                    ct state established,related accept
                    ct status dnat accept
                }}
                chain to_itself {{
                    type filter hook input priority 0; policy drop;
                    iifname lo accept
                }}
            }}
            "
        );
        let mut command = self.command(at);
        let mut nft = command.args(["nft", "-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut nft.stdin.take().unwrap(), rules.as_bytes()).unwrap();
        assert!(nft.wait().unwrap().success(), "{rules}");
    }

    fn member(&mut self, at: &str, words: &[&str]) {
        let mut command = self.command(at);
        command.arg(env!("CARGO_BIN_EXE_wavry-net")).args(words);
        self.children.push(command.spawn().unwrap());
    }

    /// Which way a client went, the milliseconds to its first picture, and how many pictures it showed.
    fn meet(&mut self) -> (String, u64, u64) {
        self.member("wan", &["introducer", GATEWAY, RELAY, "1"]);
        self.member("wan", &["forwarder", RELAY]);
        self.member("h", &["callee", "10.0.0.2:4747", GATEWAY, "1"]);
        let mut command = self.command("c");
        command.arg(env!("CARGO_BIN_EXE_wavry-net"));
        // The host has a round trip and a repetition to be there; a client asks again after five seconds.
        command.args(["caller", "192.168.1.2:5555", GATEWAY, "1", SECONDS]);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let words: Vec<&str> = said.split_whitespace().collect();
        let [way, address, first, shown] = words[..] else { panic!("{output:?}") };
        eprintln!("{}: {way} {address}, first picture after {first} ms, {shown} pictures", self.name);
        (way.to_owned(), first.parse().unwrap(), shown.parse().unwrap())
    }
}

fn case(name: &str, client: &str, host: &str, forwards: &str, expected: &str) {
    let Some(mut net) = Net::new(name) else { return };
    net.nat("cn", client, "");
    net.nat("hn", host, forwards);
    let (way, _, shown) = net.meet();
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

/// What the doctor says of the network behind this NAT, and of a line that loses and delays.
fn diagnosis(name: &str, rule: &str) -> Option<serde_json::Value> {
    let mut net = Net::new(name)?;
    net.nat("cn", rule, "");
    net.inside("cn", "ip link set uplink mtu 1400");
    let state = std::env::temp_dir().join(format!("wavry-doctor-{name}-{}", std::process::id()));
    for (role, address) in [("gateway", GATEWAY), ("relay", RELAY)] {
        let place = state.join(role);
        std::fs::create_dir_all(&place).unwrap();
        net.member("wan", &[role, address, place.to_str().unwrap()]);
    }
    // Until both are there they answer nothing; how long that takes is the machine's affair.
    let mut said = serde_json::Value::Null;
    for _ in 0..60 {
        let mut command = net.command("c");
        command.arg(env!("CARGO_BIN_EXE_wavry-net")).args(["doctor", GATEWAY, RELAY]);
        said = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
        if said["servers"].as_array().unwrap().iter().all(|server| server["reached"] == true) {
            break;
        }
    }
    std::fs::remove_dir_all(state).unwrap();
    eprintln!("{said:#}");
    Some(said)
}

#[test]
fn doctor_tells_a_nat_that_can_be_punched_through() {
    let Some(said) = diagnosis("e", KEEPS) else { return };
    assert_eq!(said["nat"], "endpoint-independent");
    for server in said["servers"].as_array().unwrap() {
        assert!(server["seen_as"].as_str().unwrap().starts_with("198.51.100.1:"), "{server}");
        assert!(server["rtt_us"]["median"].as_u64().is_some(), "{server}");
        assert_eq!(server["path_mtu"], 1400, "{server}");
    }
    assert!(said["findings"].as_array().unwrap().iter().all(|finding| finding["grade"] != "bad"), "{said}");
}

#[test]
fn doctor_tells_a_nat_that_needs_a_relay_and_what_to_do() {
    let Some(said) = diagnosis("f", SYMMETRIC) else { return };
    assert_eq!(said["nat"], "symmetric");
    let findings = said["findings"].as_array().unwrap();
    let nat = findings.iter().find(|finding| finding["topic"] == "nat").unwrap();
    assert!(nat["grade"] == "limited" && nat["remedy"].as_str().unwrap().contains("4747"), "{nat}");
}
