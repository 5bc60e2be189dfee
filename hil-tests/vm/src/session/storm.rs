//! Faults at random for a long time, and what memory makes of it.

use core::fmt::Write as _;

use rift_mio::Clock;

use super::conformance::{self, Row};
use super::host::{Host, Place};
use super::keys::Keys;
use super::viewer::Viewer;
use super::{arguments, client, likeness::Reference, references};
use crate::{card, faults, say};

/// Memory is looked at so often at most, µs.
const LOOK_US: u64 = 30_000_000;
/// What a flat line may rise, kB for each fault.
const SLOPE_MAX_KB: f64 = 1.0;
/// Between two faults nothing happens for up to so long, µs,
const QUIET_MAX_US: usize = 30_000_000;
/// and pictures must then not be further apart than this, µs.
const GAP_MAX_US: u64 = 1_000_000;
/// How often it is told how far it is, µs.
const TELL_US: u64 = 180_000_000;

/// Injects faults chosen by `seed` for so many minutes of one session. Returns whether it was alive at the end, every
/// fault was survived within its bounds, and memory stayed flat.
///
/// # Errors
/// A program does not start, or the session ends.
pub fn run(minutes: u32, seed: u64) -> anyhow::Result<bool> {
    say(&format!("faults at random for {minutes} minutes; seed {seed}"));
    card::show(super::RAMP);
    card::prepare()?;
    let references: Vec<Reference> = references()?;
    let place = Place::prepare(std::path::Path::new("/tmp/storm"), client().public())?;
    faults::vga()?;
    // The references were taken of the camera last.
    let mut host = Host::start(&place, &arguments(&["--capture-input", "0", "--fps", "10"]))?;
    let mut viewer = Viewer::connect(&place, super::ADDRESS, client(), references)?;
    conformance::settle(&mut viewer)?;
    let mut keys = Keys::open()?;
    let mut random = Random(seed | 1);
    let clock = Clock::new();
    let end = clock.now().plus_micros(u64::from(minutes) * 60_000_000);
    let mut look_at = clock.now();
    let mut tell_at = clock.now().plus_micros(TELL_US);
    let (mut count, mut bad, mut memory) = (0_u32, Vec::<Row>::new(), Vec::new());
    let (mut pictures, mut gap_us) = (0_u64, 0);
    let running: Vec<_> = faults::ALL.iter().filter(|fault| !fault.starts).collect();
    while clock.now() < end {
        let fault = running[random.below(running.len())];
        conformance::make_small(&mut viewer, fault.name)?;
        if clock.now() >= look_at {
            // Always in the same mode: encoders of others are larger.
            conformance::settle(&mut viewer)?;
            look_at = clock.now().plus_micros(LOOK_US);
            memory.push((f64::from(count), host.memory_kb()? as f64));
        }
        let row = conformance::inject(fault, &mut viewer, &mut keys, &mut host)?;
        count += 1;
        if !row.misses().is_empty() {
            bad.push(row);
        }
        let quiet_us = random.below(QUIET_MAX_US) as u64;
        gap_us = gap_us.max(watch_quietly(&mut viewer, quiet_us, &mut pictures)?);
        if clock.now() >= tell_at {
            tell_at = clock.now().plus_micros(TELL_US);
            say(&format!("{count} faults, {} beyond their bounds, host {} kB", bad.len(), host.memory_kb()?));
        }
    }
    let slope = slope(&memory[memory.len() / 4..]);
    let mut line = String::new();
    for (_, kilobytes) in memory.iter().step_by((memory.len() / 10).max(1)) {
        // Writing to a string does not fail.
        let _ = write!(line, " {kilobytes}");
    }
    say(&format!(
        "{count} faults, {} beyond their bounds; {} sessions begun anew; {pictures} pictures between them, {} ms apart at \
         most; memory in kB:{line}; {slope:.2} kB a fault",
        bad.len(),
        viewer.reconnects(),
        gap_us / 1000,
    ));
    if !bad.is_empty() {
        say(&conformance::text(&bad));
    }
    let is_flat = slope <= SLOPE_MAX_KB;
    let is_good = bad.is_empty() && viewer.reconnects() == 0 && is_flat && gap_us <= GAP_MAX_US;
    drop(viewer);
    host.stop()?;
    Ok(is_good)
}

/// Watches while nothing happens; how far apart pictures were at most, µs.
fn watch_quietly(viewer: &mut Viewer, quiet_us: u64, pictures: &mut u64) -> anyhow::Result<u64> {
    let end = viewer.now().plus_micros(quiet_us);
    let (mut last, mut gap_us) = (viewer.now(), 0);
    while viewer.now() < end {
        if viewer.turn(end, false)?.is_some() {
            *pictures += 1;
            last = viewer.now();
        }
        gap_us = gap_us.max(viewer.now().micros_since(last));
    }
    Ok(gap_us)
}

/// The slope of the straight line nearest to these points, by least squares; 0 for fewer than two.
#[must_use]
pub fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |part: fn(&(f64, f64)) -> f64| points.iter().map(part).sum::<f64>() / count.max(1.0);
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let across: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let square: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    if square == 0.0 { 0.0 } else { across / square }
}

/// Xorshift (Marsaglia 2003); the seed decides everything.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        for (left, by) in [(true, 13), (false, 7), (true, 17)] {
            self.0 ^= if left { self.0 << by } else { self.0 >> by };
        }
        usize::try_from(self.0 % limit as u64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slope_is_that_of_the_nearest_line() {
        assert!((slope(&[(0.0, 5.0), (1.0, 7.0), (2.0, 9.0)]) - 2.0).abs() < 1e-9);
        assert!(slope(&[(3.0, 1.0)]).abs() < 1e-9 && slope(&[]).abs() < 1e-9);
    }
}
