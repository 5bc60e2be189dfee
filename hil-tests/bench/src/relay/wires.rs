//! Two namespaces of our own and a pair of virtual interfaces between them: the benchmark is in one, the relays in the other.

use core::net::Ipv4Addr;
use std::process::{Command, Stdio};

use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::failure::{Context as _, Failure};

/// Where the peers are.
pub(super) const NEAR: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
/// Where the relays are.
pub(super) const FAR: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);

/// The namespace of the relays; gone when dropped.
pub(super) struct Wires {
    far: String,
}

impl Wires {
    /// Leaves the namespace this process began in, and lays the wires.
    pub(super) fn lay() -> Result<Self, Failure> {
        leave().context("cannot make a network namespace (this benchmark needs root)")?;
        let wires = Self { far: format!("wavry-bench-{}", std::process::id()) };
        let far = wires.far.as_str();
        ip(&["netns", "add", far])?;
        ip(&["link", "set", "lo", "up"])?;
        ip(&["link", "add", "near", "type", "veth", "peer", "name", "far", "netns", far])?;
        ip(&["addr", "add", "10.99.0.1/24", "dev", "near"])?;
        ip(&["link", "set", "near", "up"])?;
        for words in [
            ["link", "set", "lo", "up"].as_slice(),
            &["addr", "add", "10.99.0.2/24", "dev", "far"],
            &["link", "set", "far", "up"],
        ] {
            ip(&[&["-n", far], words].concat())?;
        }
        Ok(wires)
    }

    /// A command that runs where the relays are.
    pub(super) fn far(&self, program: &std::path::Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.far]).arg(program);
        command
    }

    /// Switches batches on the wires on or off, at both ends.
    pub(super) fn set_offloads(&self, is_on: bool) -> Result<(), Failure> {
        let word = if is_on { "on" } else { "off" };
        let settings = ["gso", word, "gro", word, "tx-udp-segmentation", word];
        let mut near = Command::new("ethtool");
        run(near.args(["-K", "near"]).args(settings))?;
        let mut far = self.far(std::path::Path::new("ethtool"));
        run(far.args(["-K", "far"]).args(settings))
    }
}

impl Drop for Wires {
    fn drop(&mut self) {
        // It may be gone already; nothing can be done about it here.
        let _ = ip(&["netns", "del", &self.far]);
    }
}

#[expect(unsafe_code, reason = "a namespace is of a thread, and rustix leaves that to the caller")]
fn leave() -> rustix::io::Result<()> {
    // SAFETY: nothing here relies on the network namespace staying the same; no socket has been opened yet.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }
}

fn ip(words: &[&str]) -> Result<(), Failure> {
    run(Command::new("ip").args(words))
}

fn run(command: &mut Command) -> Result<(), Failure> {
    let output = command.stdin(Stdio::null()).output().context(format_args!("cannot run {command:?}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim()).into())
}
