//! Two namespaces of our own and a pair of virtual interfaces between them: the benchmark is in one, the relays in the other,
//! each on a processor of its own where there are two.
//!
//! The namespaces have no names: this process holds them, and they are gone with it, however it ends.

use core::net::Ipv4Addr;
use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::process::{Command, Stdio};

use rustix::thread::{
    CpuSet, LinkNameSpaceType, UnshareFlags, move_into_link_name_space, sched_getaffinity, sched_setaffinity,
    unshare_unsafe,
};

use crate::failure::{Context as _, Failure};

/// Where the peers are.
pub(super) const NEAR: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
/// Where the relays are.
pub(super) const FAR: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);

/// One end of the wires.
struct Place {
    namespace: File,
    processor: CpuSet,
}

/// Both ends; gone when dropped.
pub(super) struct Wires {
    near: Place,
    far: Place,
}

impl Wires {
    /// Leaves the namespace this process began in, and lays the wires.
    pub(super) fn lay() -> Result<Self, Failure> {
        let [first, second] = processors()?;
        let far = Place { namespace: leave()?, processor: second };
        let near = Place { namespace: leave()?, processor: first };
        let wires = Self { near, far };
        wires.near.enter()?;
        let far = format!("/proc/{}/fd/{}", std::process::id(), wires.far.namespace.as_raw_fd());
        ip(&["link", "set", "lo", "up"])?;
        ip(&["link", "add", "near", "type", "veth", "peer", "name", "far", "netns", &far])?;
        ip(&["addr", "add", "10.99.0.1/24", "dev", "near"])?;
        ip(&["link", "set", "near", "up"])?;
        wires.inside(|| {
            ip(&["link", "set", "lo", "up"])?;
            ip(&["addr", "add", "10.99.0.2/24", "dev", "far"])?;
            ip(&["link", "set", "far", "up"])
        })?;
        Ok(wires)
    }

    /// Does something where the relays are; what is started then stays there.
    pub(super) fn inside<T>(&self, what: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        self.far.enter()?;
        let done = what();
        self.near.enter()?;
        done
    }

    /// Switches batches on the wires on or off, at both ends.
    pub(super) fn set_offloads(&self, is_on: bool) -> Result<(), Failure> {
        let word = if is_on { "on" } else { "off" };
        let set = |device| {
            let settings = ["gso", word, "gro", word, "tx-udp-segmentation", word];
            run(Command::new("ethtool").args(["-K", device]).args(settings))
        };
        set("near")?;
        self.inside(|| set("far"))
    }
}

impl Place {
    /// This thread is there from now on.
    fn enter(&self) -> Result<(), Failure> {
        move_into_link_name_space(self.namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .context("cannot enter a network namespace")?;
        sched_setaffinity(None, &self.processor).context("cannot choose a processor")
    }
}

/// One processor for each end; what this process may use for both if that is but one.
fn processors() -> Result<[CpuSet; 2], Failure> {
    let all = sched_getaffinity(None).context("cannot ask for processors")?;
    let mut each = (0..CpuSet::MAX_CPU).filter(|&number| all.is_set(number)).map(|number| {
        let mut one = CpuSet::new();
        one.set(number);
        one
    });
    Ok(each.next().zip(each.next()).map_or([all, all], |(first, second)| [first, second]))
}

/// Leaves for a new namespace.
fn leave() -> Result<File, Failure> {
    unshare().context("cannot make a network namespace (this benchmark needs root)")?;
    File::open("/proc/thread-self/ns/net").context("cannot hold a network namespace")
}

#[expect(unsafe_code, reason = "a namespace is of a thread, and rustix leaves that to the caller")]
fn unshare() -> rustix::io::Result<()> {
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
