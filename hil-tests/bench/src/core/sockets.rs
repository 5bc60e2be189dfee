//! What needs real sockets: a picture's way, the first picture, allocations in the steady state.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::thread;

use rift::{Button, InputEvent};
use rift_mio::{CLIENT_BUSY_POLL_US, Waker};
use serde_json::json;

use super::loopback::{self, Host, Viewer};
use super::measure::End;
use super::rows::{Rivalry, row};
use super::{allocations, measure, picture, quic_sockets};
use crate::clock;
use crate::report::Row;

/// Pictures of a round, and rounds, in which contenders take turns; a p99 of fewer is none.
const PICTURES: usize = 550;
const ROUNDS: usize = 4;
/// The first are left out: caches, and the kernel's own memory.
const WARM_UP: usize = 100;
const BETWEEN_PICTURES: Duration = Duration::from_millis(3);
const FIRST_PICTURES: usize = 40;
/// Packets each way in the steady state.
const STEADY_PACKETS: u64 = 100_000;
const BEFORE_STEADY: u64 = 3_000;

/// Cases `picture35_loopback` and `_asleep`, `first_picture` and `steady_state`.
pub(super) fn run() -> Vec<Row> {
    let len = picture::picture_len(&loopback::config()).unwrap_or(picture::PACKETS as usize * 1000);
    let mut rows = picture_rows(len);
    rows.push(first_picture(len));
    rows.push(steady_state(len));
    rows
}

/// The cases, and what the viewer polls without sleep around the arrival of a picture, in µs.
const PICTURE_CASES: [(&str, u32); 2] =
    [("picture35_loopback", CLIENT_BUSY_POLL_US), ("picture35_loopback_asleep", 0)];

/// As programs do it, which has goals, and with a viewer that sleeps until it is woken.
fn picture_rows(len: usize) -> Vec<Row> {
    let note = "a 35-packet picture from its session's being told to send it to its event at the viewer: sealed, sent and \
                received by the kernel, opened, reassembled; two threads with a processor each, real loopback sockets, no \
                pacing. The viewer is awake when it expects a picture, as it comes; _asleep: never before it is woken. quinn: \
                35 datagrams of 1200 bytes by its own driver, a single-threaded tokio at each side, from the first handed \
                over to the last read; congestion window never full, nothing reassembled";
    let mut ours: [Vec<f64>; PICTURE_CASES.len()] = Default::default();
    let mut quinn = Vec::new();
    for _ in 0..ROUNDS {
        for ((_, busy_poll_us), latencies) in PICTURE_CASES.iter().zip(&mut ours) {
            latencies.extend(measure::apart(|| picture_latencies(len, *busy_poll_us)).unwrap_or_default());
        }
        let rival = measure::apart(|| quic_sockets::latencies(PICTURES, WARM_UP, BETWEEN_PICTURES));
        quinn.extend(rival.unwrap_or_default());
    }
    let mut rows = Vec::new();
    for ((case, busy_poll_us), latencies) in PICTURE_CASES.into_iter().zip(&ours) {
        for (metric, share, goal) in [("p50", 0.5, 100.0), ("p99", 0.99, 300.0)] {
            let figures = Rivalry {
                ours: measure::quantile(latencies, share),
                rivals: BTreeMap::from([("quinn", measure::quantile(&quinn, share))]),
            };
            let goal = (busy_poll_us > 0).then_some(goal);
            let mut row = row((case, metric, "us"), figures, goal, latencies.len(), note);
            row.extras.insert("busy_poll_us", json!(busy_poll_us));
            rows.push(row);
        }
    }
    rows
}

fn picture_latencies(len: usize, busy_poll_us: u32) -> Option<Vec<f64>> {
    End::Sender.take_place();
    let host = Host::start(len).ok()?;
    // A driver that may use one processor alone does not poll.
    measure::leave_place();
    let mut viewer = Viewer::new(&host, PICTURES + WARM_UP).ok()?;
    viewer.driver.set_busy_poll(busy_poll_us);
    End::Receiver.take_place();
    let is_done = AtomicBool::new(false);
    let result = thread::scope(|scope| {
        scope.spawn(|| {
            End::Sender.take_place();
            while !is_done.load(Ordering::Acquire) {
                clock::pause(BETWEEN_PICTURES);
                host.send_picture();
            }
        });
        let result = viewer.until(|viewer| viewer.latencies_us.len() == PICTURES + WARM_UP);
        is_done.store(true, Ordering::Release);
        result
    });
    let samples = viewer.latencies_us.split_off(WARM_UP.min(viewer.latencies_us.len()));
    viewer.leave();
    host.stop();
    result.map(|()| samples)
}

fn first_picture(len: usize) -> Row {
    let samples = Host::start(len).ok().and_then(|host| {
        let samples: Option<Vec<f64>> = (0..FIRST_PICTURES)
            .map(|_| {
                let start = clock::now();
                let mut viewer = Viewer::new(&host, 1).ok()?;
                viewer.until(|viewer| !viewer.latencies_us.is_empty())?;
                let millis = clock::millis(clock::now() - start);
                viewer.leave();
                Some(millis)
            })
            .collect();
        host.stop();
        samples
    });
    let samples = samples.unwrap_or_default();
    let note =
        "the longest of all: memory, socket, handshake, admission, first picture of 35 packets delivered";
    let figure = Rivalry::alone(measure::quantile(&samples, 1.0));
    row(("first_picture", "max", "ms"), figure, Some(100.0), samples.len(), note)
}

fn steady_state(len: usize) -> Row {
    let counted = Host::start(len).ok().and_then(|host| {
        let counted = allocations_in_steady_state(&host);
        host.stop();
        counted
    });
    let (allocations, packets) = counted.unzip();
    let per_packet = allocations.zip(packets).map(|(count, packets)| count as f64 / packets as f64);
    let note = "allocations of all threads by packets of both ways, over at least 100000 packets each way: pictures \
                to the viewer, buttons to the host, feedback both ways";
    let n = packets.map_or(0, |packets| usize::try_from(packets).unwrap_or(usize::MAX));
    row(("steady_state", "allocations_per_packet", "count"), Rivalry::alone(per_packet), Some(0.0), n, note)
}

/// Allocations and packets.
fn allocations_in_steady_state(host: &Host) -> Option<(u64, u64)> {
    let mut viewer = Viewer::new(host, 1).ok()?;
    let (is_done, waker) = (AtomicBool::new(false), viewer.driver.waker());
    thread::scope(|scope| {
        scope.spawn(|| urge(host, &waker, &is_done));
        let shared = &host.shared;
        let ways = || (shared.sent.load(Ordering::Relaxed), shared.received.load(Ordering::Relaxed));
        let mut begun = None;
        let mut is_pressed = false;
        let result = viewer.until(|viewer| {
            let event = InputEvent::Button { button: Button::LEFT, pressed: !is_pressed };
            let now = viewer.driver.clock().now();
            is_pressed ^= viewer.driver.session().send_input(now, event).is_ok();
            let (sent, received) = ways();
            match begun {
                None if sent.min(received) > BEFORE_STEADY => {
                    begun = Some((sent, received, allocations::total()));
                    false
                }
                None => false,
                Some((sent_before, received_before, _)) => {
                    (sent - sent_before).min(received - received_before) >= STEADY_PACKETS
                }
            }
        });
        let allocations = allocations::total();
        let (sent, received) = ways();
        is_done.store(true, Ordering::Release);
        result?;
        let (sent_before, received_before, allocations_before) = begun?;
        if allocations_before == 0 {
            // Setting up allocates: a counter that saw nothing of it proves nothing.
            return None;
        }
        Some((allocations - allocations_before, sent - sent_before + received - received_before))
    })
}

/// Keeps both ends busy.
fn urge(host: &Host, viewer: &Waker, is_done: &AtomicBool) {
    let mut round = 0;
    while !is_done.load(Ordering::Acquire) {
        clock::pause(Duration::from_micros(20));
        viewer.wake();
        round += 1;
        if round % 25 == 0 {
            host.send_picture();
        }
    }
}
