//! A small internet on one machine: network namespaces for a client and a host, each behind a NAT of its own, and for a
//! gateway and a relay that both reach.
//!
//! ```text
//!  client 192.168.1.2 ── NAT 198.51.100.1 ──┐            ┌── gateway 192.0.2.1
//!                                           ├── middle ──┤
//!  host      10.0.0.2 ── NAT 203.0.113.1 ───┘            └── relay   192.0.2.5
//! ```
//!
//! The kernel's own NATs stand there (nftables). Nothing of the machine's own network is touched; the keeper takes the
//! namespaces away, however the rig ends.

use core::sync::atomic::{AtomicU32, Ordering};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Failure;
use crate::args::Via;
use crate::process::Keeper;

/// Where the gateway is.
pub const GATEWAY: &str = "192.0.2.1:4748";
/// Where the relay is.
pub const RELAY: &str = "192.0.2.5:4749";

/// A machine of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The client's.
    Client,
    /// The host's.
    Host,
    /// The gateway's.
    Gateway,
    /// The relay's.
    Relay,
}

impl Place {
    const fn name(self) -> &'static str {
        match self {
            Self::Client => "c",
            Self::Host => "h",
            Self::Gateway => "g",
            Self::Relay => "r",
        }
    }
}

/// The namespaces; see the module.
#[derive(Debug)]
pub struct Internet {
    prefix: String,
}

impl Internet {
    /// Sets it up. For [`Via::Gateway`] the NATs keep the ports they have, which can be punched through; for [`Via::Relay`]
    /// they take another one for everybody, which cannot.
    ///
    /// # Errors
    /// Exit code 2 without the right to make namespaces, or without `ip` and `nft`.
    pub fn set(keeper: &Keeper, via: Via) -> Result<Self, Failure> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let net = Self { prefix: format!("wavry{}x{number}", std::process::id()) };
        for at in ["m", "cn", "hn", "c", "h", "g", "r"] {
            let name = net.of(at);
            run(Command::new("ip").args(["netns", "add", &name]), "").map_err(|failure| {
                Failure::unusable(format!(
                    "network namespaces cannot be made here: {}\nThey need root, and the packages iproute2 and nftables \
                     (`cargo rig setup`).",
                    failure.message
                ))
            })?;
            keeper.keep_namespace(&name);
            net.inside(at, "ip link set lo up")?;
        }
        net.join("c", "192.168.1.2/24", "cn", "inner", "192.168.1.1/24")?;
        net.join("h", "10.0.0.2/24", "hn", "inner", "10.0.0.1/24")?;
        net.join("cn", "198.51.100.1/24", "m", "cn", "198.51.100.254/24")?;
        net.join("hn", "203.0.113.1/24", "m", "hn", "203.0.113.254/24")?;
        net.join("g", "192.0.2.1/30", "m", "g", "192.0.2.2/30")?;
        net.join("r", "192.0.2.5/30", "m", "r", "192.0.2.6/30")?;
        for at in ["m", "cn", "hn"] {
            net.inside(at, "sysctl -q -w net.ipv4.ip_forward=1")?;
        }
        let ports = match via {
            Via::Gateway => "",
            Via::Relay => " random,fully-random",
        };
        for at in ["cn", "hn"] {
            net.rules(at, &home(ports))?;
        }
        Ok(net)
    }

    /// A program that is to run there.
    #[must_use]
    pub fn command(&self, at: Place, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.of(at.name())]).arg(program);
        command
    }

    /// Nothing passes between the two NATs any more; gateway and relay are reached as before.
    ///
    /// # Errors
    /// The rules were not taken.
    pub fn cut(&self) -> Result<(), Failure> {
        self.rules(
            "m",
            "table ip cut {
                chain through {
                    type filter hook forward priority 0;
                    ip saddr 198.51.100.1 ip daddr 203.0.113.1 drop
                    ip saddr 203.0.113.1 ip daddr 198.51.100.1 drop
                }
            }
            ",
        )
    }

    /// No UDP passes any more, for anybody.
    ///
    /// # Errors
    /// The rules were not taken.
    pub fn cut_udp(&self) -> Result<(), Failure> {
        self.rules(
            "m",
            "table ip cut {
                chain through {
                    type filter hook forward priority 0;
                    meta l4proto udp drop
                }
            }
            ",
        )
    }

    /// Everything passes again.
    ///
    /// # Errors
    /// It had not been cut.
    pub fn mend(&self) -> Result<(), Failure> {
        self.inside("m", "nft delete table ip cut")
    }

    fn of(&self, at: &str) -> String {
        format!("{}-{at}", self.prefix)
    }

    fn inside(&self, at: &str, words: &str) -> Result<(), Failure> {
        run(Command::new("ip").args(["netns", "exec", &self.of(at)]).args(words.split(' ')), "")
    }

    fn rules(&self, at: &str, rules: &str) -> Result<(), Failure> {
        run(Command::new("ip").args(["netns", "exec", &self.of(at), "nft", "-f", "-"]), rules)
    }

    /// A cable from `below`, where it is `uplink` and the way to everybody else, to `above`.
    fn join(&self, below: &str, own: &str, above: &str, device: &str, other: &str) -> Result<(), Failure> {
        let (lower, upper) = (self.of(below), self.of(above));
        let words = format!("link add name uplink netns {lower} type veth peer name {device} netns {upper}");
        run(Command::new("ip").args(words.split(' ')), "")?;
        for (at, device, address) in [(below, "uplink", own), (above, device, other)] {
            self.inside(at, &format!("ip addr add {address} dev {device}"))?;
            self.inside(at, &format!("ip link set {device} up"))?;
        }
        let gateway = other.split('/').next().unwrap_or(other);
        self.inside(below, &format!("ip route add default via {gateway}"))
    }
}

/// What a home router does: one address outside, and nothing comes in that was not asked for.
fn home(ports: &str) -> String {
    format!(
        "table ip home {{
            chain outward {{
                type nat hook postrouting priority 100;
                oifname uplink masquerade{ports}
            }}
            chain through {{
                type filter hook forward priority 0; policy drop;
                iifname inner accept
                ct state established,related accept
            }}
            chain to_itself {{
                type filter hook input priority 0; policy drop;
                iifname lo accept
            }}
        }}
        "
    )
}

fn run(command: &mut Command, input: &str) -> Result<(), Failure> {
    let line = || {
        let words = command.get_args().map(|word| word.to_string_lossy().into_owned());
        format!("{} {}", command.get_program().display(), words.collect::<Vec<_>>().join(" "))
    };
    let line = line();
    let cannot = |error| Failure::failed(format!("cannot run `{line}`: {error}"));
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(cannot)?;
    if let Some(mut pipe) = child.stdin.take() {
        // A program that does not read says why by its status.
        let _ = pipe.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(cannot)?;
    if output.status.success() {
        return Ok(());
    }
    Err(Failure::failed(format!("`{line}` failed: {}", String::from_utf8_lossy(&output.stderr).trim())))
}
