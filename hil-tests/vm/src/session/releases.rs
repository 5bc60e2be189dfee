//! No key stays down, whoever dies: the client that ends, the client that is killed, the host that is killed. The death of
//! the link between them is [`super::netem`]'s.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use rift_mio::Clock;

use super::conformance::settle;
use super::host::{Host, Place};
use super::keys::{self, Keys};
use super::likeness::Reference;
use super::{ADDRESS, NEVER_US, arguments, client, watch};
use crate::say;

/// What is held must be up so long after the other side has fallen silent, µs: SPEC §10.4, and the time a look takes.
pub const RELEASED_MAX_US: u64 = 1_050_000;

/// A program that is killed at the latest when the check ends.
struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Holds a key down by each of them and lets it die.
///
/// # Errors
/// A key stays down, or a program fails.
pub fn run(place: &Place, references: &[Reference]) -> anyhow::Result<bool> {
    let host = Host::start(place, &arguments(&["--fps", "10"]))?;
    let clock = Clock::new();
    let now = || clock.now();
    let mut viewer = watch(place, references)?;
    settle(&mut viewer)?;
    let mut keys = Keys::open()?;
    keys.hold(&mut viewer)?;
    let begun = clock.now();
    drop(viewer);
    let left_us = keys.until_released(begun, now, RELEASED_MAX_US).context("the client has gone")?;

    let holder = Command::new("./wavry-vm")
        .args(["hold", &place.host_id.to_string()])
        .arg(&place.state)
        .stdin(Stdio::null())
        .spawn();
    let mut holder = Holder(holder.context("starting a client to be killed")?);
    keys.until_down(now, NEVER_US)?;
    let begun = clock.now();
    holder.0.kill()?;
    let killed_us = keys.until_released(begun, now, RELEASED_MAX_US).context("the client was killed")?;
    drop(holder);

    let mut viewer = watch(place, references)?;
    settle(&mut viewer)?;
    keys.hold(&mut viewer)?;
    let begun = clock.now();
    host.kill()?;
    let host_us = keys.until_released(begun, now, RELEASED_MAX_US).context("the host was killed")?;
    let ms = |micros: u64| micros as f64 / 1e3;
    say(&format!(
        "a held key is up {:.1} ms after the client has gone, {:.1} ms after the client was killed, {:.1} ms after the \
         host was killed; at most {:.0} ms",
        ms(left_us),
        ms(killed_us),
        ms(host_us),
        ms(RELEASED_MAX_US),
    ));
    Ok(true)
}

/// A client that presses a key as soon as it has a picture, and goes on until it is killed.
///
/// # Errors
/// The session cannot be begun, or ends.
pub fn hold(host_id: &str, state: &Path) -> anyhow::Result<bool> {
    let host_id = host_id.parse().ok().context("the first argument is a host's ID")?;
    let place = Place { state: PathBuf::from(state), host_id };
    let mut viewer = super::viewer::Viewer::connect(&place, ADDRESS, client(), Vec::new())?;
    let mut is_pressed = false;
    loop {
        let until = viewer.now().plus_micros(NEVER_US);
        if viewer.turn(until, false)?.is_some() && !is_pressed {
            keys::press(&mut viewer)?;
            is_pressed = true;
        }
    }
}
