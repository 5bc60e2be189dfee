//! A TAP device: frames to and from the operating system's own stack, in a network namespace of the test's own.

use std::process::{Command, Stdio};

use smoltcp::phy::{Device as _, Medium, RxToken as _, TunTapInterface, TxToken as _};

use crate::frames::Frames;

/// Set in the process that runs inside the namespace.
const INSIDE: &str = "WAVRY_INTEROP_INSIDE";

/// A TAP device that this process holds.
#[derive(Debug)]
pub struct Tap(TunTapInterface);

impl Tap {
    /// Makes the device `name`, with `address` (such as `10.0.0.1/24`) for the operating system's end.
    ///
    /// # Errors
    /// In words.
    pub fn new(name: &str, address: &str) -> Result<Self, String> {
        let device =
            TunTapInterface::new(name, Medium::Ethernet).map_err(|error| format!("TAP {name}: {error}"))?;
        ip(&["address", "add", address, "dev", name])?;
        ip(&["link", "set", name, "up"])?;
        Ok(Self(device))
    }
}

impl Frames for Tap {
    fn receive(&mut self) -> Option<Vec<u8>> {
        let (frame, _) = self.0.receive(smoltcp::time::Instant::ZERO)?;
        Some(frame.consume(<[u8]>::to_vec))
    }

    fn send(&mut self, frame: Vec<u8>) {
        if let Some(token) = self.0.transmit(smoltcp::time::Instant::ZERO) {
            token.consume(frame.len(), |place| place.copy_from_slice(&frame));
        }
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let status = Command::new("ip").args(arguments).status().map_err(|error| format!("ip: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`ip {}` failed", arguments.join(" "))) }
}

/// Runs the test `name` of this program again in a network namespace of its own; `true` in there. Outside, prints a skip
/// where the system allows no namespace or TAP device.
///
/// # Panics
/// When the test fails inside.
#[must_use]
pub fn is_inside_namespace(name: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let Some(unshare) = unshare() else {
        eprintln!(
            "skipped: no network namespace with a TAP device can be made here (`unshare`, `ip`, /dev/net/tun)"
        );
        return false;
    };
    let program = std::env::current_exe().expect("a test knows where it is");
    let mut command = Command::new("unshare");
    command.args(unshare).arg(program).args(["--exact", name, "--nocapture"]).env(INSIDE, "1");
    let status = command.stdin(Stdio::null()).status().expect("unshare ran a moment ago");
    assert!(status.success(), "`{name}` failed in its namespace");
    false
}

/// The arguments with which this user may have a namespace and a TAP device.
fn unshare() -> Option<&'static [&'static str]> {
    const WAYS: [&[&str]; 2] = [&["--net"], &["--user", "--map-root-user", "--net"]];
    let trial = "ip tuntap add probe0 mode tap && ip link set lo up";
    WAYS.into_iter().find(|way| {
        let mut command = Command::new("unshare");
        command.args(*way).args(["sh", "-c", trial]).stdin(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    })
}
