//! Faults of a card while somebody watches and steers: what the client saw, and how long until all was well again.

use core::fmt::Write as _;

use anyhow::{Context as _, ensure};
use rift::{CaptureCondition, Instant};
use rift_v4l::CaptureState as Device;

use super::host::Host;
use super::keys::Keys;
use super::viewer::{Picture, Viewer};
use crate::faults::{self, Fault, Shows};

/// A fault that shows as a state must be known at the client within this time, µs.
const SHOWN_MAX_US: u64 = 1_000_000;
/// A good picture must be decoded so soon after a fault has ended, µs.
const BACK_MAX_US: u64 = 2_000_000;
/// Input must arrive so soon whatever the card does, µs.
const INPUT_MAX_US: u64 = 250_000;
/// How alike a picture must be to the card's own frame, dB.
pub const PSNR_MIN_DB: f64 = 30.0;
/// How long a fault lasts that somebody has to end, µs.
const FAULT_US: u64 = 900_000;
/// Longer than this is never, µs.
const NEVER_US: u64 = 8_000_000;
/// Good pictures in a row that make a steady stream.
const STEADY: u32 = 3;

/// What came of one fault.
#[derive(Clone, Debug)]
pub struct Row {
    fault: &'static str,
    /// How long after its begin the client knew; `None` = never. Faults that no state belongs to need not show.
    shown_us: Option<u64>,
    must_show: bool,
    /// What the client wrote over the picture, if it did.
    card: Option<String>,
    /// The states that the client was told.
    states: Vec<CaptureCondition>,
    /// How long after its end a good, new picture was decoded; `None` = never.
    back_us: Option<u64>,
    /// How alike that picture was.
    psnr_db: f64,
    size: (u32, u32),
    /// When that picture was captured, encoded, received and decoded, µs after the fault's end; 0 where it is not known.
    steps_us: [u64; 4],
    /// How long a key took to the host's keyboard during the fault.
    input_us: Option<u64>,
    descriptors: usize,
}

impl Row {
    /// The bounds that do not hold.
    #[must_use]
    pub fn misses(&self) -> Vec<&'static str> {
        let late = |time: Option<u64>, max| time.is_none_or(|time| time > max);
        let checks = [
            (self.must_show && late(self.shown_us, SHOWN_MAX_US), "shown late or never"),
            (late(self.back_us, BACK_MAX_US), "back late or never"),
            (self.back_us.is_some() && self.psnr_db < PSNR_MIN_DB, "the picture is not the card's"),
            (late(self.input_us, INPUT_MAX_US), "input late or lost"),
            (self.descriptors > 0, "descriptors leak at the host"),
        ];
        checks.into_iter().filter_map(|(misses, what)| misses.then_some(what)).collect()
    }
}

/// Waits for a steady stream of good pictures.
///
/// # Errors
/// There is none.
pub fn settle(viewer: &mut Viewer) -> anyhow::Result<Picture> {
    let end = viewer.now().plus_micros(NEVER_US);
    let mut good = 0;
    let mut last = None;
    while viewer.now() < end {
        let Some(picture) = viewer.turn(end, false)? else { continue };
        last = Some(picture);
        good = if picture.psnr_db >= PSNR_MIN_DB { good + 1 } else { 0 };
        let is_streaming = viewer.capture().is_some_and(is_streaming);
        if good >= STEADY && is_streaming && viewer.stream_size() == Some(picture.size) {
            return Ok(picture);
        }
    }
    anyhow::bail!("no steady picture: {last:?}, {:?}", viewer.capture())
}

fn is_streaming(state: rift::CaptureState) -> bool {
    state.condition == CaptureCondition::Streaming
}

/// Lets a fault happen and end while the client watches and steers.
///
/// # Errors
/// The fault cannot be made, the host has ended, or the session is over.
pub fn inject(fault: &Fault, viewer: &mut Viewer, keys: &mut Keys, host: &mut Host) -> anyhow::Result<Row> {
    let before = settle(viewer).with_context(|| format!("before the fault `{}`", fault.name))?;
    viewer.states.clear();
    let known = viewer.capture();
    let begun = viewer.now();
    (fault.begin)().with_context(|| fault.name)?;
    let must_show = matches!(fault.shows, Shows::State(_) | Shows::Size(..));
    // What only costs frames, or is over in a moment, is waited for no longer than it may take.
    let patience_us = if must_show { NEVER_US } else { SHOWN_MAX_US / 2 };
    let shown_us = watch(viewer, begun.plus_micros(patience_us), |viewer| match fault.shows {
        Shows::State(state) => viewer.capture().is_some_and(|now| now.condition == expected(state)),
        // Whether the new size comes is judged by its picture.
        Shows::Interruption | Shows::Size(..) => viewer.capture() != known,
        Shows::Lost | Shows::Discarded => false,
    })?;
    let input_us = keys.tap(viewer).with_context(|| format!("input during `{}`", fault.name))?;
    let mut ended = begun;
    let mut card = viewer.card();
    if let Some(end) = fault.end {
        watch(viewer, begun.plus_micros(FAULT_US), |_| false)?;
        card = viewer.card().or(card);
        ended = viewer.now();
        end().with_context(|| fault.name)?;
    }
    let (back_us, picture) = wait_for_picture(viewer, ended, fault, before.size)?;
    host.check()?;
    let mut states: Vec<CaptureCondition> = viewer.states.iter().map(|state| state.condition).collect();
    states.dedup();
    Ok(Row {
        fault: fault.name,
        shown_us: shown_us.map(|at| at.micros_since(begun)),
        must_show,
        card,
        states,
        back_us,
        psnr_db: picture.map_or(0.0, |picture| picture.psnr_db),
        size: picture.map_or((0, 0), |picture| picture.size),
        steps_us: picture.map_or([0; 4], |picture| {
            let times = [picture.captured, picture.encoded, Some(picture.received), Some(picture.decoded)];
            times.map(|time| time.map_or(0, |time| time.micros_since(ended)))
        }),
        input_us: Some(input_us),
        descriptors: host.leaked()?,
    })
}

/// The first picture that was taken after the fault's end and is good: how long that took, and the picture.
fn wait_for_picture(
    viewer: &mut Viewer,
    ended: Instant,
    fault: &Fault,
    before: (u32, u32),
) -> anyhow::Result<(Option<u64>, Option<Picture>)> {
    let end = ended.plus_micros(NEVER_US);
    let mut last = None;
    while viewer.now() < end {
        let Some(picture) = viewer.turn(end, true)? else { continue };
        let is_new = picture.captured.is_some_and(|captured| captured >= ended);
        let is_right_size = match (fault.shows, fault.end) {
            (Shows::Size(width, height), None) => picture.size == (width, height),
            (Shows::Size(width, height), Some(_)) => picture.size != (width, height),
            _ => true,
        };
        if !is_new || !is_right_size || !viewer.capture().is_some_and(is_streaming) {
            continue;
        }
        last = Some(picture);
        if picture.psnr_db >= PSNR_MIN_DB {
            return Ok((Some(picture.decoded.micros_since(ended)), last));
        }
    }
    crate::say(&format!("{}: pictures were {before:?}, the last one is {last:?}", fault.name));
    Ok((None, last))
}

/// Watches until `is_done` or the time is over; when it was done.
fn watch(
    viewer: &mut Viewer,
    until: Instant,
    is_done: impl Fn(&Viewer) -> bool,
) -> anyhow::Result<Option<Instant>> {
    loop {
        if is_done(viewer) {
            return Ok(Some(viewer.now()));
        }
        if viewer.now() >= until {
            return Ok(None);
        }
        viewer.turn(until, false)?;
    }
}

/// The protocol's word for a state of the device.
fn expected(state: Device) -> CaptureCondition {
    match state {
        Device::NoDevice => CaptureCondition::NoDevice,
        Device::NoSignal => CaptureCondition::NoSignal,
        Device::NoLock => CaptureCondition::NoLock,
        Device::OutOfRange => CaptureCondition::OutOfRange,
        Device::Negotiating => CaptureCondition::Negotiating,
        Device::Streaming => CaptureCondition::Streaming,
        Device::Stalled => CaptureCondition::Stalled,
        Device::Failed | _ => CaptureCondition::Failed,
    }
}

/// Has the card take a small mode, because pictures are encoded by an emulated processor.
///
/// # Errors
/// The card refuses, or the client does not hear of it before the fault called `next`.
pub fn make_small(viewer: &mut Viewer, next: &str) -> anyhow::Result<()> {
    faults::vga()?;
    let is_small = |viewer: &Viewer| viewer.stream_size() == Some((640, 480));
    let small_by = viewer.now().plus_micros(NEVER_US);
    ensure!(watch(viewer, small_by, is_small)?.is_some(), "the mode before `{next}`");
    Ok(())
}

/// Every fault that a running host can meet, one after another.
///
/// # Errors
/// As [`inject`].
pub fn all(viewer: &mut Viewer, keys: &mut Keys, host: &mut Host) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for fault in faults::ALL.iter().filter(|fault| !fault.starts) {
        make_small(viewer, fault.name)?;
        rows.push(inject(fault, viewer, keys, host)?);
    }
    Ok(rows)
}

/// The table, and below it what failed.
#[must_use]
pub fn text(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<36}{:>9}{:>9}{:>7}{:>10}{:>10}  {}\n",
        "fault", "shown ms", "back ms", "dB", "size", "input ms", "what the client saw"
    );
    let milliseconds =
        |time: Option<u64>| time.map_or("-".to_owned(), |time| format!("{:.1}", time as f64 / 1e3));
    for row in rows {
        let states: Vec<String> = row.states.iter().map(|state| format!("{state:?}")).collect();
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{:<36}{:>9}{:>9}{:>7.1}{:>10}{:>10}  {}",
            row.fault,
            milliseconds(row.shown_us),
            milliseconds(row.back_us),
            row.psnr_db,
            format!("{}x{}", row.size.0, row.size.1),
            milliseconds(row.input_us),
            states.join(" > "),
        );
        if row.fault.starts_with("new timings") {
            let [captured, encoded, received, decoded] = row.steps_us.map(|us| us as f64 / 1e3);
            let _ = writeln!(
                text,
                "{:<36}captured {captured:.1}, encoded {encoded:.1}, received {received:.1}, decoded {decoded:.1} ms \
                 after the change",
                ""
            );
        }
        if let Some(card) = &row.card {
            let _ = writeln!(text, "{:<36}\"{card}\"", "");
        }
    }
    for row in rows {
        for miss in row.misses() {
            let _ = writeln!(text, "FAILED: {}: {miss}", row.fault);
        }
    }
    text
}
