//! `gateway`: two thousand devices at a real gateway, which is killed and started again, and introductions among them.
//!
//! Each device has a socket of its own and the product's own conversation with a gateway ([`rift_mio::Gateway`]), pauses
//! and their chance included; all of them are in this process. Half are hosts, half clients that their host lets be
//! introduced. Everything is on loopback: all devices are behind one address, as behind one NAT.

mod crowd;
mod program;

use core::time::Duration;
use std::collections::BTreeMap;

use rift_mio::Clock;
use serde_json::json;

use crate::args::Options;
use crate::clock::pause;
use crate::failure::Failure;
use crate::keeper::Keeper;
use crate::report::{Row, rounded};
use crate::statistics::percentile;
use crowd::Crowd;
use program::Program;

const DEVICES: usize = 2000;
const QUICK_DEVICES: usize = 200;
/// Introductions in a second, and for how long.
const RATE: usize = 200;
const SECONDS: usize = 10;
const QUICK_SECONDS: usize = 1;
/// How long the gateway is away when it is killed for longer than devices wait at first.
const AWAY: Duration = Duration::from_secs(20);
/// A program that starts is looked at so often.
const MOMENT: Duration = Duration::from_millis(20);
/// What takes longer is broken.
const PATIENCE: Duration = Duration::from_secs(120);

/// A restart at once, one after a while, and introductions.
pub(crate) fn run(options: &Options) -> Result<Vec<Row>, Failure> {
    let (count, seconds) = if options.quick { (QUICK_DEVICES, QUICK_SECONDS) } else { (DEVICES, SECONDS) };
    let keeper = Keeper::start()?;
    let clock = Clock::new();
    let program = Program::prepare(&keeper)?;
    let mut running = program.start(&keeper)?;
    program.await_ready(&mut running, || pause(MOMENT))?;
    let idle = program::resident_bytes(running.id());
    let tokens = program.tokens(count)?;
    let mut crowd = Crowd::gather(clock, program.place(), &tokens)?;
    if !crowd.play_until(PATIENCE, Crowd::is_ready) {
        return Err(format!("{} of {count} devices came in: {}", crowd.here(), running.last_words()).into());
    }
    let full = program::resident_bytes(running.id());
    let mut rows = Vec::new();
    rows.push(introduce_row(&mut crowd, RATE * seconds)?);
    for (case, away) in [("restart", Duration::ZERO), ("outage", AWAY)] {
        running.kill()?;
        crowd.forget();
        crowd.play(away);
        running = program.start(&keeper)?;
        program.await_ready(&mut running, || crowd.play(MOMENT))?;
        rows.extend(restart_rows(case, &mut crowd, count));
    }
    let each = idle.zip(full).map(|(idle, full)| full.saturating_sub(idle) as f64 / count as f64);
    rows.push(memory_row(each, count));
    Ok(rows)
}

fn introduce_row(crowd: &mut Crowd, count: usize) -> Result<Row, Failure> {
    let times = crowd.introduce(count, Duration::from_secs(1) / RATE as u32);
    let missing = count - times.len();
    if missing > count / 100 {
        return Err(format!("{missing} of {count} introductions were not made").into());
    }
    let of = |percent| percentile(times.iter().copied(), percent).map(rounded);
    let note = "from a client's asking to its hearing of its host, 200 a second, each with two leases; the clients' own \
                process, which serves all devices, is in it";
    let extras = BTreeMap::from([
        ("note", note.into()),
        ("p50", json!(of(50.0))),
        ("max", json!(of(100.0))),
        ("missing", json!(missing)),
    ]);
    Ok(row("introduce", "p99", "ms", of(99.0), Some(20.0), times.len(), extras))
}

fn restart_rows(case: &'static str, crowd: &mut Crowd, count: usize) -> Vec<Row> {
    let is_back = crowd.play_until(PATIENCE, Crowd::is_ready);
    let back_s = crowd.back_s();
    let last = back_s.iter().copied().reduce(f64::max).filter(|_| is_back);
    let of = |percent| percentile(back_s.iter().copied(), percent).map(rounded);
    let note = if case == "restart" {
        "from the new gateway's being ready until the last device is known to it again; killed and started at once"
    } else {
        "the same after 20 s without a gateway"
    };
    let extras = BTreeMap::from([
        ("note", note.into()),
        ("p50", json!(of(50.0))),
        ("p99", json!(of(99.0))),
        ("missing", json!(count - back_s.len())),
    ]);
    let back = row(case, "back_all", "s", last.map(rounded), Some(30.0), back_s.len(), extras);
    let calls = crowd.calls();
    let total: usize = calls.iter().sum();
    let most = calls.iter().copied().max().unwrap_or(0);
    let share = (total > 0).then(|| rounded(100.0 * most as f64 / total as f64));
    let note = "of all first calls after the kill, how many were within the busiest tenth of a second";
    let herd = row(case, "herd", "%", share, Some(15.0), total, BTreeMap::from([("note", note.into())]));
    vec![back, herd]
}

fn memory_row(each: Option<f64>, count: usize) -> Row {
    let note = "what the gateway's process grew by while they came in, for each device: sessions, storage and allocator";
    let extras =
        BTreeMap::from([("note", note.into()), ("reckoned", json!(wavry_gateway::state::DEVICE_BYTES))]);
    row("device", "memory", "B", each.map(rounded), Some(16384.0), count, extras)
}

fn row(
    case: &'static str,
    metric: &'static str,
    unit: &'static str,
    ours: Option<f64>,
    goal: Option<f64>,
    n: usize,
    extras: BTreeMap<&'static str, serde_json::Value>,
) -> Row {
    let met = ours.is_some_and(|ours| goal.is_none_or(|goal| ours <= goal));
    Row { bench: "gateway", case, metric, unit, ours, rivals: BTreeMap::new(), goal, met, n, extras }
}
