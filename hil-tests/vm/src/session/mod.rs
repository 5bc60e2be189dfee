//! Whole sessions inside the VM: the host's program on the card, the client with its window replaced, and, once, the
//! client's own program.

pub mod conformance;
pub mod host;
pub mod keys;
pub mod likeness;
pub mod netem;
pub mod program;
pub mod releases;
pub mod storm;
pub mod two;
pub mod viewer;

use std::path::Path;

use anyhow::{Context as _, ensure};
use rift::{CaptureCondition, Identity, Instant};
use rift_hal::{Pollable as _, VideoSource as _};
use rift_mio::Clock;
use rift_v4l::{FourCc, Options, V4lSource};
use serde_json::Value;

use crate::card::{self, Control, SignalMode, set};
use crate::{faults, pause, say};
use conformance::{PSNR_MIN_DB, settle};
use host::{Host, Place};
use keys::Keys;
use likeness::Reference;
use program::Program;
use viewer::Viewer;

/// The host's address in the VM.
const ADDRESS: (&str, u16) = ("127.0.0.1", 4747);
/// The pattern of the card.
const RAMP: i32 = 20;
/// The input of the card that is a camera; the other is HDMI.
const CAMERA: u32 = 1;
const HDMI: u32 = 0;
/// How long a rate is measured, µs.
const MEASURE_US: u64 = 3_000_000;
/// How long anything may take before it counts as never, µs.
const NEVER_US: u64 = 10_000_000;
/// Frames of the card before one is taken for what it shows: the first after a change may be old.
const FRAMES_BEFORE: u32 = 6;

/// Who watches, as a client whose key is this.
#[must_use]
pub fn client() -> Identity {
    Identity::from_secret([5; 32])
}

/// Everything a session in the VM must prove, or one part of it by name, printed as it comes. Returns whether all of it
/// holds.
///
/// # Errors
/// Something that is no finding about the host: a program does not start, the card is not there.
pub fn run(only: Option<&str>) -> anyhow::Result<bool> {
    // Flat colours would survive any encoder.
    card::show(RAMP);
    card::prepare()?;
    let references = references()?;
    let place = Place::prepare(Path::new("/tmp/host"), client().public())?;
    let parts: [(&str, Part); 7] = [
        ("camera", camera),
        ("hdmi", hdmi),
        ("late", late_signal),
        ("program", program),
        ("releases", releases::run),
        ("two", two::run),
        ("netem", netem::run),
    ];
    let mut is_good = true;
    for (name, part) in parts {
        if only.is_none_or(|only| only == name) {
            is_good &= part(&place, &references).with_context(|| format!("session {name}"))?;
        }
    }
    Ok(is_good)
}

type Part = fn(&Place, &[Reference]) -> anyhow::Result<bool>;

/// What the card shows in each of its modes, from itself.
fn references() -> anyhow::Result<Vec<Reference>> {
    let mut references = Vec::new();
    for select in [faults::vga, faults::hd, faults::full_hd] {
        select()?;
        references.push(reference(None)?);
    }
    references.push(reference(Some(CAMERA))?);
    Ok(references)
}

fn reference(input: Option<u32>) -> anyhow::Result<Reference> {
    let options = Options { format: Some(FourCc(*b"YU12")), ..Options::default() };
    let mut source = V4lSource::wait_for(&card::node(), &options)?;
    source.select_input(input.unwrap_or(0), Instant::ZERO);
    let clock = Clock::new();
    let end = clock.now().plus_micros(NEVER_US);
    let mut frames = 0;
    while clock.now() < end {
        let is_new = source.poll_frame(clock.now())?.is_some();
        frames += u32::from(is_new);
        if frames == FRAMES_BEFORE {
            let frame = source.current_frame(clock.now())?.context("a stream has a frame")?;
            return Reference::of(&frame).context("the card gives YU12");
        }
        let fd = source.poll_fd();
        let mut fds = [rustix::event::PollFd::from_borrowed_fd(fd, rustix::event::PollFlags::IN)];
        let _ = rustix::event::poll(&mut fds, Some(&rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 }));
    }
    anyhow::bail!("the card gives no frames: {:?}, {:?}", source.state(), source.error())
}

fn arguments(more: &[&str]) -> Vec<String> {
    let source = format!("v4l:{}", card::node().display());
    let all = ["--source", &source, "--listen", "127.0.0.1:4747", "--input", "uinput"];
    all.iter().chain(more).map(|word| (*word).to_owned()).collect()
}

fn watch(place: &Place, references: &[Reference]) -> anyhow::Result<Viewer> {
    Viewer::connect(place, ADDRESS, client(), references.to_vec())
}

/// The camera at 640 × 360, in a format that has to be converted.
fn camera(place: &Place, references: &[Reference]) -> anyhow::Result<bool> {
    let input = CAMERA.to_string();
    let more = ["--capture-input", &input, "--capture-format", "YUYV", "--fps", "30"];
    let host = Host::start(place, &arguments(&more))?;
    let mut viewer = watch(place, references)?;
    let is_good = measure(&mut viewer, "camera 640x360 YUYV", 15.0)?;
    say(&budget("YUYV", &host.status()?, &viewer));
    let copies = host.status()?["figures"]["copies"].as_u64();
    let is_switched = switch(&host, &mut viewer)?;
    drop(viewer);
    host.stop()?;
    Ok(is_good && is_switched && copies.is_some_and(|copies| copies > 0))
}

/// To HDMI and back to the camera, in one session.
fn switch(host: &Host, viewer: &mut Viewer) -> anyhow::Result<bool> {
    let before = viewer.stream_size();
    let mut is_good = true;
    for input in [HDMI, CAMERA] {
        host.switch_input(input)?;
        let asked = viewer.now();
        let end = asked.plus_micros(NEVER_US);
        // The last picture of the other input is a good one too.
        while (viewer.stream_size() == before) != (input == CAMERA) && viewer.now() < end {
            viewer.turn(end, false)?;
        }
        let picture = settle(viewer)?;
        let took_us = viewer.now().micros_since(asked);
        say(&format!(
            "switched to input {input}: a steady picture of {:?} after {:.1} ms",
            picture.size,
            took_us as f64 / 1e3
        ));
        is_good &= verdict(took_us <= 2_000_000, "the other input's picture came late");
    }
    Ok(is_good && verdict(viewer.reconnects() == 0, "the session was begun anew"))
}

/// HDMI at 1080p in a format that the encoder reads as it is; then every fault in a small mode.
fn hdmi(place: &Place, references: &[Reference]) -> anyhow::Result<bool> {
    faults::full_hd()?;
    let mut host = Host::start(place, &arguments(&["--capture-input", "0", "--fps", "25"]))?;
    let mut viewer = watch(place, references)?;
    let mut is_good = measure(&mut viewer, "HDMI 1920x1080 YU12", 6.0)?;
    let status = host.status()?;
    say(&budget("YU12", &status, &viewer));
    is_good &= verdict(status["figures"]["copies"] == 0, "a format that needs no copy was copied");
    let mut keys = Keys::open()?;
    keys.tap(&mut viewer)?;
    let memory_kb = host.memory_kb()?;
    let rows = conformance::all(&mut viewer, &mut keys, &mut host)?;
    say(&conformance::text(&rows));
    is_good &= rows.iter().all(|row| row.misses().is_empty());
    is_good &= verdict(viewer.reconnects() == 0, "the session was begun anew");
    say(&format!(
        "one host, one session, {} faults; memory {memory_kb} kB before and {} kB after; {} pictures lost, {} unusable\n",
        rows.len(),
        host.memory_kb()?,
        viewer.pictures_lost(),
        viewer.unusable
    ));
    drop(viewer);
    host.stop()?;
    Ok(is_good)
}

/// A host that starts without a signal, and one that starts without a card.
fn late_signal(place: &Place, references: &[Reference]) -> anyhow::Result<bool> {
    faults::vga()?;
    let mut is_good = true;
    let cases: [(&str, CaptureCondition, Action, Action); 2] = [
        (
            "no signal at the host's start",
            CaptureCondition::NoSignal,
            || set(Control::SignalMode, SignalMode::None as i32),
            || set(Control::SignalMode, SignalMode::Selected as i32),
        ),
        ("no card at the host's start", CaptureCondition::NoDevice, card::pull_out, || {
            card::plug_in()?;
            card::prepare()?;
            faults::vga()
        }),
    ];
    for (name, condition, begin, end) in cases {
        begin()?;
        let host = Host::start(place, &arguments(&["--fps", "25"]))?;
        let mut viewer = watch(place, references)?;
        let limit = viewer.now().plus_micros(NEVER_US);
        while viewer.capture().is_none_or(|state| state.condition != condition) {
            ensure!(viewer.now() < limit, "{name}: the client is told {:?}", viewer.capture());
            viewer.turn(limit, false)?;
        }
        end()?;
        let ended = viewer.now();
        settle(&mut viewer).context(name)?;
        let back_us = viewer.now().micros_since(ended);
        say(&format!("{name}: a steady picture {:.1} ms after its end", back_us as f64 / 1e3));
        is_good &= verdict(back_us <= 2_000_000, "the picture came late");
        drop(viewer);
        host.stop()?;
    }
    Ok(is_good)
}

type Action = fn() -> anyhow::Result<()>;

/// The client's own program, headless: what it writes about a fault.
fn program(place: &Place, _: &[Reference]) -> anyhow::Result<bool> {
    faults::vga()?;
    let host = Host::start(place, &arguments(&["--fps", "25"]))?;
    let running = Program::start(place, "127.0.0.1", &["--seconds", "4"])?;
    pause(core::time::Duration::from_millis(1500));
    set(Control::SignalMode, SignalMode::None as i32)?;
    pause(core::time::Duration::from_millis(1000));
    set(Control::SignalMode, SignalMode::Selected as i32)?;
    let report = running.wait()?;
    let capture = &report["capture"];
    say(&format!("wavry-client --headless --json: capture {capture}, {} fps", report["fps"]));
    host.stop()?;
    let lasted_us = capture["states"]["no_signal"]["us"].as_u64().unwrap_or(0);
    let is_told = capture["state"] == "streaming" && (900_000..1_300_000).contains(&lasted_us);
    Ok(verdict(is_told && report["reconnects"] == 0, "the report does not tell of the fault"))
}

/// Counts pictures for a while and prints their rate, their likeness and where their time goes.
fn measure(viewer: &mut Viewer, name: &str, rate_min: f64) -> anyhow::Result<bool> {
    settle(viewer)?;
    let begun = viewer.now();
    let end = begun.plus_micros(MEASURE_US);
    let (mut count, mut psnr_min_db) = (0_u32, f64::INFINITY);
    viewer.stages = wavry_client::stages::Stages::new();
    let mut last = begun;
    while viewer.now() < end {
        if let Some(picture) = viewer.turn(end, true)? {
            count += 1;
            last = picture.decoded;
            psnr_min_db = psnr_min_db.min(picture.psnr_db);
        }
    }
    let rate = f64::from(count) * 1e6 / last.micros_since(begun).max(1) as f64;
    say(&format!(
        "{name}: {rate:.1} pictures a second, at least {psnr_min_db:.1} dB like the card's own frame"
    ));
    say(&stages(viewer));
    let is_fast = verdict(rate >= rate_min, "too few pictures");
    Ok(verdict(psnr_min_db >= PSNR_MIN_DB, "the picture is not the card's") && is_fast)
}

/// Where the time of pictures goes, as text.
#[must_use]
pub fn stages(viewer: &Viewer) -> String {
    let (stages, total) = viewer.stages.percentiles();
    let mut lines = format!("  {:<10}{:>9}{:>9}{:>9}  ms\n", "stage", "p50", "p95", "p99");
    let named = wavry_client::stages::NAMES.iter().zip(&stages);
    let ms = |micros: i64| micros as f64 / 1e3;
    for (name, of) in named.chain([(&"total", &total)]) {
        lines.push_str(&format!("  {name:<10}{:>9.2}{:>9.2}{:>9.2}\n", ms(of.p50), ms(of.p95), ms(of.p99)));
    }
    lines
}

/// The card's side of the latency, from the host's own figures, and how often pixels are copied.
fn budget(format: &str, status: &Value, viewer: &Viewer) -> String {
    let figures = &status["figures"];
    let mean =
        |what: &str| figures[what]["mean"].as_f64().map_or("-".to_owned(), |us| format!("{:.2}", us / 1e3));
    let sent = viewer.stages.percentiles().0[1].p50 as f64 / 1e3;
    let count = |what: &str| figures[what].as_f64().unwrap_or(0.0);
    let copies = count("copies") / count("pictures").max(1.0);
    format!(
        "  card, {format}: captured -> dequeued {} -> converted {} -> encoded {} -> sent {sent:.2} ms; {copies:.2} \
         copies a picture\n",
        mean("capture_us"),
        mean("convert_us"),
        mean("encode_us"),
    )
}

/// Prints what is wrong unless it holds.
fn verdict(holds: bool, otherwise: &str) -> bool {
    if !holds {
        say(&format!("FAILED: {otherwise}"));
    }
    holds
}
