//! What sessions weigh, and whether sending to more viewers takes more memory.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::mpsc;
use std::thread::{self, Scope};

use rift::{Noise, Session, Storage};
use rift_mio::{PICTURE_BUFFER_LEN, desktop_memory};
use rift_simd::Simd;

use super::loopback::{Host, PATIENCE, Viewer};
use super::peers::Peer;
use super::rows::{Rivalry, row};
use super::{allocations, picture};
use crate::clock;
use crate::report::Row;

/// The memory of a thin client.
type ThinStorage = Storage<&'static mut [u8], 256, 512, 2, 4096>;
type ThinPeer = Session<&'static mut ThinStorage, Noise>;

const THIN_MAX: f64 = 96.0 * 1024.0;
const DESKTOP_MAX: f64 = 8.0 * 1024.0 * 1024.0;
const VIEWERS: usize = 8;
/// Time for what was sent to arrive, several times over.
const SETTLING: Duration = Duration::from_millis(30);

/// Cases `memory_thin`, `memory_desktop` and `memory_viewer`.
pub(super) fn run() -> Vec<Row> {
    let bytes = |bytes: usize| Rivalry::alone(Some(bytes as f64));
    let thin = size_of::<ThinPeer>() + size_of::<ThinStorage>();
    let with_pictures = usize::try_from(given(true)).unwrap_or(usize::MAX) + size_of::<Peer>();
    let host = usize::try_from(given(false)).unwrap_or(usize::MAX) + size_of::<Peer>();
    let per_viewer = growth(picture::PACKETS as usize * 1000);
    let pictures = format!("session, its memory and its picture buffers of {PICTURE_BUFFER_LEN} bytes each");
    let grown =
        "what the host's thread holds more for each viewer after the first, the session's own memory apart";
    vec![
        row(
            ("memory_thin", "bytes", "B"),
            bytes(thin),
            Some(THIN_MAX),
            1,
            "session and memory, picture buffers apart",
        ),
        row(("memory_thin", "session", "B"), bytes(size_of::<ThinPeer>()), None, 1, "the session alone"),
        row(("memory_desktop", "bytes", "B"), bytes(with_pictures), Some(DESKTOP_MAX), 1, &pictures),
        row(
            ("memory_desktop", "host", "B"),
            bytes(host),
            Some(DESKTOP_MAX),
            1,
            "a host's session for one viewer",
        ),
        row(("memory_viewer", "transmit", "B"), Rivalry::alone(per_viewer), Some(0.0), VIEWERS, grown),
    ]
}

/// Bytes that a desktop session's memory takes from the allocator.
fn given(viewer: bool) -> i64 {
    let before = allocations::live_here();
    let memory = desktop_memory::<Simd>(viewer);
    let given = allocations::live_here() - before;
    drop(memory);
    given
}

/// Bytes the host's thread holds more for each viewer after the first.
fn growth(len: usize) -> Option<f64> {
    let host = Host::start(len).ok()?;
    let is_done = AtomicBool::new(false);
    let held: Option<Vec<i64>> = thread::scope(|scope| {
        let held = (0..VIEWERS).map(|_| held_with_one_more(scope, &host, &is_done)).collect();
        is_done.store(true, Ordering::Release);
        host.send_picture();
        held
    });
    host.stop();
    let held = held?;
    Some((held.last()? - held.first()?) as f64 / (VIEWERS - 1) as f64)
}

/// Adds a viewer that stays until all is done, and waits until it has seen a picture.
fn held_with_one_more<'s>(scope: &'s Scope<'s, '_>, host: &'s Host, is_done: &'s AtomicBool) -> Option<i64> {
    let mut viewer = Viewer::new(host, 1).ok()?;
    let (tell, told) = mpsc::channel();
    scope.spawn(move || {
        let shown = viewer.until(|viewer| !viewer.latencies_us.is_empty());
        // Whoever asked may have given up.
        let _ = tell.send(shown);
        let _ = viewer.until(|_| is_done.load(Ordering::Acquire));
    });
    told.recv_timeout(PATIENCE).ok().flatten()?;
    for _ in 0..3 {
        host.send_picture();
        clock::pause(SETTLING);
    }
    Some(host.shared.held.load(Ordering::Acquire))
}
