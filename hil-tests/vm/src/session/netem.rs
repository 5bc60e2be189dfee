//! A session between two network namespaces over a link that the kernel makes bad: delay, jitter, loss, a narrow rate.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use rift_mio::Clock;

use super::host::{Host, Place};
use super::keys::Keys;
use super::releases::RELEASED_MAX_US;
use super::viewer::Viewer;
use super::{conformance, likeness::Reference, stages};
use crate::{card, faults, say};

/// Where the host is.
const HOST: &str = "10.77.0.1";
const CLIENT: &str = "10.77.0.2/24";
/// What each direction does to a datagram; the round trip has it twice.
const LINK: &str = "delay 20ms 5ms loss 2% rate 8mbit limit 200";
/// How long the session is watched, µs.
const WATCHED_US: u64 = 8_000_000;

/// Makes the link, and runs a host of its own at the far end.
///
/// # Errors
/// The link cannot be made, a program fails, the session ends.
pub fn run(_: &Place, references: &[Reference]) -> anyhow::Result<bool> {
    prepare()?;
    faults::vga()?;
    let place = Place::prepare(Path::new("/tmp/far-host"), super::client().public())?;
    let mut inside = Command::new("/usr/sbin/ip");
    inside.args(["netns", "exec", "host", "./wavry-server"]);
    let source = format!("v4l:{}", card::node().display());
    let arguments = ["--source", &source, "--listen", "10.77.0.1:4747", "--input", "uinput", "--fps", "15"];
    let mut host = Host::start_by(inside, &place, &arguments.map(str::to_owned))?;
    let mut viewer = Viewer::connect(&place, (HOST, 4747), super::client(), references.to_vec())?;
    conformance::settle(&mut viewer)?;
    let mut keys = Keys::open()?;
    let mut taps_us = Vec::new();
    let end = viewer.now().plus_micros(WATCHED_US);
    let (mut pictures, mut worst_db) = (0_u32, f64::INFINITY);
    let mut tap_at = viewer.now();
    while viewer.now() < end {
        if let Some(picture) = viewer.turn(end.min(tap_at), false)? {
            pictures += 1;
            worst_db = worst_db.min(picture.psnr_db);
        }
        if viewer.now() >= tap_at {
            tap_at = viewer.now().plus_micros(250_000);
            taps_us.push(keys.tap(&mut viewer)?);
        }
    }
    taps_us.sort_unstable();
    let (loss, round_trip_us) = viewer.path();
    let tap = |part: usize| taps_us[(taps_us.len() * part / 100).min(taps_us.len() - 1)] as f64 / 1e3;
    say(&format!(
        "netem {LINK}, both ways: {pictures} pictures in 8 s, at least {worst_db:.1} dB, {} lost; packets lost \
         {loss:.0} of 1000, round trip {:.1} ms; key press and release p50 {:.1}, p95 {:.1} ms",
        viewer.pictures_lost(),
        f64::from(round_trip_us) / 1e3,
        tap(50),
        tap(95),
    ));
    say(&stages(&viewer));
    host.check()?;
    // The link dies: what is held is let go.
    keys.hold(&mut viewer)?;
    let clock = Clock::new();
    link("loss 100%")?;
    let begun = clock.now();
    let released_us = keys.until_released(begun, || clock.now(), RELEASED_MAX_US)?;
    say(&format!("a held key is up {:.1} ms after the link has died", released_us as f64 / 1e3));
    drop(viewer);
    host.stop()?;
    let is_good = pictures >= 40 && worst_db >= 25.0 && viewer_is_quick(tap(95));
    if !is_good {
        say("FAILED: the session over a bad link falls short of 40 pictures, 25 dB, or input within 250 ms");
    }
    Ok(is_good)
}

fn viewer_is_quick(p95_ms: f64) -> bool {
    p95_ms <= 250.0
}

/// Makes both namespaces and the link between them. The harness itself stays outside: it reaches the host over the
/// link's other end, which it keeps.
///
/// # Errors
/// The tools of iproute2 are missing or refuse.
fn prepare() -> anyhow::Result<()> {
    for line in [
        "netns add host",
        "link add near type veth peer name far",
        "link set far netns host",
        &format!("addr add {CLIENT} dev near"),
        "link set near up",
        &format!("-n host addr add {HOST}/24 dev far"),
        "-n host link set far up",
        "-n host link set lo up",
    ] {
        tool("/usr/sbin/ip", line)?;
    }
    tool("/usr/sbin/tc", &format!("qdisc add dev near root netem {LINK}"))?;
    tool("/usr/sbin/tc", &format!("-n host qdisc add dev far root netem {LINK}"))
}

fn link(what: &str) -> anyhow::Result<()> {
    tool("/usr/sbin/tc", &format!("qdisc change dev near root netem {what}"))?;
    tool("/usr/sbin/tc", &format!("-n host qdisc change dev far root netem {what}"))
}

/// Runs a tool of iproute2 with these words.
///
/// # Errors
/// It is missing or refuses.
pub fn tool(program: &str, line: &str) -> anyhow::Result<()> {
    let output = Command::new(program).args(line.split_whitespace()).output();
    let output = output.with_context(|| format!("running {program}"))?;
    ensure!(output.status.success(), "{program} {line}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
