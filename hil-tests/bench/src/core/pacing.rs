//! `pacing`: how close to its times a paced stream leaves, over real sockets, and what keeping them costs.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::{Arc, PoisonError};
use std::thread;

use serde_json::json;

use super::loopback::{Departures, Host, Pace, Viewer};
use super::measure::quantile;
use super::rows::{Rivalry, row};
use crate::clock;
use crate::report::Row;

/// Pictures come at 60 Hz.
const PERIOD: Duration = Duration::from_micros(16_667);
/// Blocks of each case, in turns, and how long each is.
const BLOCKS: usize = 3;
const BLOCK: Duration = Duration::from_millis(1_500);
/// What is polled without sleep before a departure where anything is, in µs.
const BUSY_POLL_US: u32 = 60;
/// The most a departure may be late, one in a hundred excepted, in µs.
const LATE_US_MAX: f64 = 200.0;
/// The most of a processor that the thread which keeps the times may use, in percent; spinning is 100.
const PROCESSOR_PERCENT_MAX: f64 = 50.0;
/// What pictures fill of the grant; parity and heads come on top.
const FILL_PERCENT: u64 = 88;

/// The names of a case, and its pace.
const CASES: [(&str, Pace); 4] = [
    ("pacing20", Pace { grant_bps: 20_000_000, busy_poll_us: 0 }),
    ("pacing20_busy", Pace { grant_bps: 20_000_000, busy_poll_us: BUSY_POLL_US }),
    ("pacing50", Pace { grant_bps: 50_000_000, busy_poll_us: 0 }),
    ("pacing50_busy", Pace { grant_bps: 50_000_000, busy_poll_us: BUSY_POLL_US }),
];

/// Cases `pacing20` and `pacing50`, in Mbit/s, as hosts come, and `_busy`, with busy polling.
pub(crate) fn run() -> Vec<Row> {
    let mut all: [Departures; CASES.len()] = Default::default();
    for block in 0..BLOCKS {
        for turn in 0..CASES.len() {
            let index = (turn + block) % CASES.len();
            let Some(departures) = play(CASES[index].1) else { continue };
            let sum = &mut all[index];
            sum.late_us.extend(departures.late_us);
            sum.used += departures.used;
            sum.passed += departures.passed;
        }
    }
    CASES.iter().zip(&all).flat_map(|(&(case, pace), departures)| rows(case, pace, departures)).collect()
}

/// One block.
fn play(pace: Pace) -> Option<Departures> {
    let bits = u64::from(pace.grant_bps) * PERIOD.as_micros() as u64 / 1_000_000;
    let host = Host::start_paced((bits / 8 * FILL_PERCENT / 100) as usize, pace).ok()?;
    let mut viewer = Viewer::new(&host, 0).ok()?;
    let is_done = AtomicBool::new(false);
    let result = thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Acquire) {
                clock::pause(PERIOD);
                host.send_picture();
            }
        });
        let end = clock::now() + BLOCK;
        let result = viewer.until(|_| clock::now() >= end);
        is_done.store(true, Ordering::Release);
        result
    });
    let shared = Arc::clone(&host.shared);
    viewer.leave();
    host.stop();
    result?;
    Some(core::mem::take(&mut *shared.departures.lock().unwrap_or_else(PoisonError::into_inner)))
}

fn rows(case: &'static str, pace: Pace, departures: &Departures) -> [Row; 4] {
    let note = "a stream at 60 pictures a second and this many Mbit/s over real loopback sockets: from when a batch was due \
                until the kernel had it, the system's wake-up and sealing included; processor of the thread that sends";
    let late = &departures.late_us;
    let quantile = |share| quantile(late, share);
    let share = (departures.passed > 0.0).then(|| departures.used / departures.passed * 100.0);
    [
        ("late_p50", "us", quantile(0.5), None),
        ("late_p99", "us", quantile(0.99), Some(LATE_US_MAX)),
        ("late_max", "us", quantile(1.0), None),
        ("processor", "%", share, Some(PROCESSOR_PERCENT_MAX)),
    ]
    .map(|(metric, unit, ours, goal)| {
        let mut row = row((case, metric, unit), Rivalry::alone(ours), goal, late.len(), note);
        row.bench = "pacing";
        row.extras.insert("busy_poll_us", json!(pace.busy_poll_us));
        row
    })
}
