//! A port opened at a router of Debian's, miniupnpd, by each way that it knows. Without it the tests are skipped and say so.

use core::time::Duration;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use crate::net::Net;

/// Nothing here takes this long: what does hangs.
const GUARD: Duration = Duration::from_secs(60);
/// The router's address outside, which leads to it and to nobody else here. miniupnpd opens nothing where its address is one of those
/// that are kept for documentation, as all others here are; nothing leaves the namespaces.
const OUTSIDE: &str = "192.0.1.1";
const PORT: &str = "4747";
const PACKET: &str = "from outside";

/// A router that does what homes have, and opens ports upon request.
const RULES: &str = "table inet home {
    chain opened_inward { }
    chain opened_outward { }
    chain opened { }
    chain inward {
        type nat hook prerouting priority -100;
        jump opened_inward
    }
    chain outward {
        type nat hook postrouting priority 100;
        jump opened_outward
        oifname uplink masquerade
    }
    chain through {
        type filter hook forward priority 0; policy drop;
        iifname inner accept
        ct state established,related accept
        jump opened
    }
    chain to_itself {
        type filter hook input priority 0; policy drop;
        iifname { lo, inner } accept
    }
}
";

/// A host behind a router of its own, both gone with the test.
struct Home {
    net: Net,
    files: PathBuf,
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.files);
    }
}

impl Home {
    /// `None` = this machine does not let us, or there is no miniupnpd; the reason is printed.
    fn new(case: &str, settings: &str) -> Option<Self> {
        let is_there = Command::new("miniupnpd").arg("--version").output().is_ok();
        if !is_there {
            eprintln!("skipped: there is no miniupnpd (Debian's miniupnpd-nftables; `cargo rig setup`)");
            return None;
        }
        let mut net = Net::new(case)?;
        net.inside("hn", &format!("ip addr add {OUTSIDE}/32 dev lo"));
        net.inside("wan", &format!("ip route add {OUTSIDE} via 203.0.113.1"));
        net.rules("hn", RULES);
        let files = std::env::temp_dir().join(format!("wavry-router-{}-{case}", std::process::id()));
        std::fs::create_dir_all(&files).unwrap();
        let settings = format!(
            "ext_ifname=uplink\next_ip={OUTSIDE}\nlistening_ip=inner\nsecure_mode=yes\n\
             upnp_table_name=home\nupnp_nat_table_name=home\nupnp_forward_chain=opened\n\
             upnp_nat_chain=opened_inward\nupnp_nat_postrouting_chain=opened_outward\n\
             uuid=6d6f7265-0000-4000-8000-000000000001\n{settings}\n\
             allow 1024-65535 10.0.0.0/24 1024-65535\ndeny 0-65535 0.0.0.0/0 0-65535\n"
        );
        std::fs::write(files.join("settings"), settings).unwrap();
        let mut daemon = net.command("hn");
        daemon.args(["miniupnpd", "-d", "-f"]).arg(files.join("settings")).arg("-P").arg(files.join("pid"));
        let quiet = daemon.stdout(Stdio::null()).stderr(Stdio::null());
        net.children.push(quiet.spawn().unwrap());
        Some(Self { net, files })
    }

    /// Waits until the router serves this UDP port.
    fn wait_for(&self, port: u16) {
        let is_there = || {
            let output = self.net.command("hn").args(["cat", "/proc/net/udp"]).output().unwrap();
            String::from_utf8(output.stdout).unwrap().contains(&format!(":{port:04X} "))
        };
        assert!((0..2_000).any(|_| is_there()), "miniupnpd does not start");
    }

    /// A host that has its port opened.
    fn host(&self) -> Host {
        let mut command = self.net.command("h");
        command.arg(env!("CARGO_BIN_EXE_wavry-net")).args(["mapped", PORT]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (tell, said) = channel();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Host { child, said }
    }

    /// Whether the router's rules lead this port to the host.
    fn is_open(&self) -> bool {
        let output =
            self.net.command("hn").args(["nft", "list", "chain", "inet", "home", "opened_inward"]).output();
        let rules = String::from_utf8(output.unwrap().stdout).unwrap();
        assert!(rules.contains("chain opened_inward"), "{rules}");
        rules.contains("dnat ip to 10.0.0.2:4747")
    }

    /// Sends a packet from outside to this address.
    fn send(&self, to: &str) {
        let (ip, port) = to.split_once(':').unwrap();
        let script = format!("printf '{PACKET}' > /dev/udp/{ip}/{port}");
        let status = self.net.command("wan").args(["bash", "-c", &script]).status().unwrap();
        assert!(status.success());
    }
}

/// See [`Home::host`].
struct Host {
    child: Child,
    said: Receiver<String>,
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Host {
    /// What it says next of this.
    fn hear(&self, what: &str) -> String {
        loop {
            let line = self.said.recv_timeout(GUARD).expect("it says something");
            if let Some(rest) = line.strip_prefix(what) {
                return rest.trim().to_owned();
            }
        }
    }
}

/// The host's port is opened in this way, is reached from outside, and is given back.
fn case(name: &str, settings: &str, service: u16, way: &str) {
    let Some(home) = Home::new(name, settings) else { return };
    home.wait_for(service);
    let mut host = home.host();
    let opened = host.hear("open at");
    eprintln!("{name}: {opened}");
    let (address, by) = opened.split_once(" by ").unwrap();
    assert!(address.starts_with(&format!("{OUTSIDE}:")) && home.is_open(), "{opened}");
    assert_eq!(by, way);
    home.send(address);
    assert_eq!(host.hear("got"), PACKET);
    drop(host.child.stdin.take());
    assert!(host.child.wait().unwrap().success());
    assert!(!home.is_open(), "given back");
}

#[test]
fn router_that_knows_everything_is_asked_by_pcp() {
    case("p", "enable_upnp=yes\nenable_natpmp=yes", 5351, "Pcp");
}

#[test]
fn router_that_knows_upnp_alone_is_asked_by_it() {
    case("u", "enable_upnp=yes\nenable_natpmp=no", 1900, "Upnp");
}

#[test]
fn router_of_the_first_version_of_upnp_opens_the_port() {
    case("v", "enable_upnp=yes\nenable_natpmp=no\nforce_igd_desc_v1=yes", 1900, "Upnp");
}
