//! Namespaces of one test: a client and a host behind a NAT each, and all the rest.

use std::process::{Child, Command, Output, Stdio};

/// Namespaces of one test, gone with it.
pub(crate) struct Net {
    pub(crate) name: String,
    pub(crate) children: Vec<Child>,
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
    pub(crate) fn new(case: &str) -> Option<Self> {
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

    pub(crate) fn of(&self, at: &str) -> String {
        format!("{}-{at}", self.name)
    }

    pub(crate) fn ip(&self, words: &[&str]) -> Output {
        Command::new("ip").args(words).output().unwrap()
    }

    pub(crate) fn command(&self, at: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.of(at)]);
        command
    }

    pub(crate) fn inside(&self, at: &str, words: &str) {
        let output = self.command(at).args(words.split(' ')).output().unwrap();
        assert!(output.status.success(), "{at}: {words}: {output:?}");
    }

    /// A cable from `below`, where it is `uplink`, to `above`.
    pub(crate) fn join(&self, below: &str, own: &str, above: &str, device: &str, other: &str) {
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
    pub(crate) fn nat(&self, at: &str, rule: &str, forwards: &str) {
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
        self.rules(at, &rules);
    }

    /// Rules for nftables.
    pub(crate) fn rules(&self, at: &str, rules: &str) {
        let mut command = self.command(at);
        let mut nft = command.args(["nft", "-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut nft.stdin.take().unwrap(), rules.as_bytes()).unwrap();
        assert!(nft.wait().unwrap().success(), "{rules}");
    }

    /// What a router does besides, to what goes through it.
    pub(crate) fn hinder(&self, at: &str, rule: &str) {
        let chain = "{ type filter hook forward priority -10 ; }";
        for words in ["add table ip fault", &format!("add chain ip fault through {chain}")] {
            self.inside(at, &format!("nft {words}"));
        }
        if !rule.is_empty() {
            self.inside(at, &format!("nft add rule ip fault through {rule}"));
        }
    }

    /// Until a socket has this UDP port: how long a program takes to start is the machine's affair.
    pub(crate) fn await_socket(&self, at: &str, port: &str) {
        let is_there = |_| {
            let mut list = self.command(at);
            let listed = list.args(["ss", "-Huln", "sport", "=", &format!(":{port}")]).output().unwrap();
            !listed.stdout.is_empty()
        };
        assert!((0..2000).any(is_there), "nobody listens at {port}");
    }

    /// A member of the simulator, or a program, on a socket there.
    pub(crate) fn member(&mut self, at: &str, words: &[&str]) {
        let mut command = self.command(at);
        command.arg(env!("CARGO_BIN_EXE_wavry-net")).args(words);
        self.children.push(command.spawn().unwrap());
    }
}
