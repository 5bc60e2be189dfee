//! Two cards, a host on each, and a viewer of both: what happens to the one is nothing to the other. The second card
//! speaks of planes.

use std::path::Path;

use rift::CaptureCondition;

use super::conformance::{PSNR_MIN_DB, settle};
use super::host::{Host, Place};
use super::likeness::Reference;
use super::viewer::Viewer;
use super::{CAMERA, arguments, client, verdict, watch};
use crate::card::{self, Control, SignalMode, set};
use crate::{faults, say};

const SECOND_PORT: u16 = 4748;
/// How long both are watched before the first card has lost its signal, while it has none, and after that, µs.
const WATCHED_US: u64 = 1_500_000;
/// Pictures of the second card may be so far apart at most, µs.
const GAP_MAX_US: u64 = 500_000;

/// Watches both while the first loses its signal, is taken away from under its host, and comes back. (Both are one device
/// to the kernel, so neither can be pulled out alone.)
///
/// # Errors
/// A program fails, a card is not there, or the first one's picture does not come back.
pub fn run(place: &Place, references: &[Reference]) -> anyhow::Result<bool> {
    card::show(super::RAMP);
    card::prepare()?;
    faults::vga()?;
    let second = card::second_node()?;
    card::prepare_at(&second)?;
    let one = Host::start(place, &arguments(&["--capture-input", "0", "--fps", "15"]))?;
    let second_place = Place::prepare(Path::new("/tmp/second-host"), client().public())?;
    let source = format!("v4l:{}", second.display());
    let listen = format!("127.0.0.1:{SECOND_PORT}");
    let camera = CAMERA.to_string();
    let words = ["--source", &source, "--listen", &listen, "--input", "none", "--fps", "15"];
    let words = words.into_iter().chain(["--capture-input", &camera]).map(str::to_owned);
    let other = Host::start(&second_place, &words.collect::<Vec<_>>())?;
    let mut viewer = watch(place, references)?;
    let mut second_viewer =
        Viewer::connect(&second_place, ("127.0.0.1", SECOND_PORT), client(), references.to_vec())?;
    settle(&mut viewer)?;
    settle(&mut second_viewer)?;
    let mut seen = Seen::default();
    seen.watch(&mut viewer, &mut second_viewer)?;
    set(Control::SignalMode, SignalMode::None as i32)?;
    seen.watch(&mut viewer, &mut second_viewer)?;
    let is_told = viewer.capture().is_some_and(|state| state.condition == CaptureCondition::NoSignal);
    set(Control::SignalMode, SignalMode::Selected as i32)?;
    set(Control::Disconnect, 1)?;
    seen.watch(&mut viewer, &mut second_viewer)?;
    settle(&mut viewer)?;
    let is_untouched =
        second_viewer.capture().is_some_and(|state| state.condition == CaptureCondition::Streaming);
    say(&format!(
        "two cards, two hosts: {} and {} pictures; those of the second at least {:.1} dB like the card's own frame and at \
         most {} ms apart while the first had no signal and was taken away",
        seen.first,
        seen.second,
        seen.worst_db,
        seen.gap_us / 1000
    ));
    drop((viewer, second_viewer));
    one.stop()?;
    other.stop()?;
    let is_steady = seen.gap_us <= GAP_MAX_US && seen.worst_db >= PSNR_MIN_DB;
    Ok(verdict(is_told && is_untouched && is_steady, "the second card noticed what happened to the first"))
}

#[derive(Debug)]
struct Seen {
    first: u32,
    second: u32,
    worst_db: f64,
    gap_us: u64,
}

impl Default for Seen {
    fn default() -> Self {
        Self { first: 0, second: 0, worst_db: f64::INFINITY, gap_us: 0 }
    }
}

impl Seen {
    fn watch(&mut self, one: &mut Viewer, other: &mut Viewer) -> anyhow::Result<()> {
        let end = one.now().plus_micros(WATCHED_US);
        let mut last = one.now();
        while one.now() < end {
            let soon = one.now().plus_micros(1000);
            self.first += u32::from(one.turn(soon, false)?.is_some());
            if let Some(picture) = other.turn(soon, false)? {
                self.second += 1;
                self.worst_db = self.worst_db.min(picture.psnr_db);
                last = one.now();
            }
            self.gap_us = self.gap_us.max(one.now().micros_since(last));
        }
        Ok(())
    }
}
