//! `relay`: what forwarding a datagram costs in processor time, beside coturn and [`floor`], over a pair of virtual interfaces
//! between two namespaces.
//!
//! Five hundred pairs of peers talk in turns through one relay: one datagram each (`single`), or sixteen that their
//! kernel was given as one (`burst16`), with the interfaces' segmentation offloads off and on. A window of flows sends, then
//! everything is awaited, so nothing is lost to full buffers and nobody is measured at what he drops.
//!
//! The figure is what the way by the relay costs beside the direct one: the processor time of the relay's process and of
//! the peers' sends, over the datagrams that arrived, less what the peers' sends take without a relay ([`direct`]). The
//! kernel charges what a virtual interface does with a datagram to whom it interrupts, which is who sends; so a peer's send
//! has in it what comes before a relay's socket, all that a relay does inside the kernel, and in the direct case what comes
//! before the other peer's socket, which otherwise a relay's own send has in it. Ours has the kernel send on (`--ebpf`);
//! `sockets` is ours without that. The program that is attached for ours looks at everybody's packets on their way to the
//! relays, which is in the others' figures, too.

mod coturn;
mod direct;
pub(crate) mod floor;
mod many;
mod ours;
mod wires;

use core::time::Duration;
use std::collections::BTreeMap;

use rift::{Class, Ecn, Instant, PathId, Transmit};
use rift_mio::{Destination, Socket, SocketConfig};
use serde_json::json;

use crate::args::Options;
use crate::clock::spin_until;
use crate::core::measure::processor_nanos;
use crate::failure::Failure;
use crate::keeper::{Keeper, Running};
use crate::report::{Row, rounded};
use wires::Wires;

/// Pairs of peers; each has a flow each way.
const PAIRS: usize = 500;
/// Bytes of each datagram's payload, beside what the relays' own envelopes add.
const PAYLOAD: usize = 1200;
/// Flows that send before anything is awaited.
const WINDOW: usize = 4;
/// Blocks of each contender, in turns, and datagrams of each.
const BLOCKS: usize = 5;
const QUICK_BLOCKS: usize = 2;
const DATAGRAMS: usize = 40_000;
const QUICK_DATAGRAMS: usize = 4_000;
/// Ours, coturn, what sockets could do at best, ours by sockets, and no relay.
const CONTENDERS: usize = 5;
/// What does not come in this time was lost.
const PATIENCE: Duration = Duration::from_millis(200);
/// A contender that loses more than this share is not measured.
const LOST_MAX: f64 = 0.01;

/// One end of a pair: its socket, and how it reaches the other through the relay.
struct End {
    socket: Socket,
    to: Destination,
    /// What stands before each payload on the way to the relay.
    head: Vec<u8>,
}

/// A relay with its peers, ready to forward.
struct Contender {
    name: &'static str,
    /// Its process; the direct way has none.
    program: Option<Running>,
    /// Ends of pairs: two in a row belong together.
    ends: Vec<End>,
}

/// Forwarding, by offloads and burst.
pub(crate) fn run(options: &Options) -> Result<Vec<Row>, Failure> {
    let volume = if options.quick { (QUICK_BLOCKS, QUICK_DATAGRAMS) } else { (BLOCKS, DATAGRAMS) };
    let keeper = Keeper::start()?;
    let wires = Wires::lay()?;
    let mut ours = ours::start(&keeper, &wires, ours::By::Kernel)?;
    let mut sockets = ours::start(&keeper, &wires, ours::By::Sockets)?;
    let mut coturn = coturn::start(&keeper, &wires)?;
    let mut floor = floor::start(&keeper, &wires)?;
    let mut direct = direct::start(&wires)?;
    let mut rows = Vec::new();
    for (has_offloads, cases) in
        [(false, ["single", "burst16"]), (true, ["single_offload", "burst16_offload"])]
    {
        wires.set_offloads(has_offloads)?;
        for (case, burst) in cases.into_iter().zip([1, 16]) {
            let mut figures: [Vec<_>; CONTENDERS] = Default::default();
            for block in 0..=volume.0 {
                let contenders = [&mut ours, &mut coturn, &mut floor, &mut sockets, &mut direct];
                for (contender, figures) in contenders.into_iter().zip(&mut figures) {
                    let figure = contender.play(burst, volume.1);
                    // The first is for warming up.
                    if block > 0 {
                        figures.push(figure);
                    }
                }
            }
            rows.push(cost_row(case, burst, has_offloads, &figures, volume));
        }
    }
    rows.push(latency_row([&mut ours, &mut coturn, &mut floor], volume.1 / 10));
    rows.push(many::row(&wires, &mut direct)?);
    rows.extend(ours::state_rows());
    Ok(rows)
}

impl Contender {
    /// Lets every flow send in turn until so many datagrams have left; processor time of the relay and of the sends for
    /// each that arrived, in nanoseconds.
    fn play(&mut self, burst: usize, datagrams: usize) -> Option<f64> {
        let before = self.processor_time()?;
        let (mut sent, mut arrived, mut flow, mut sending) = (0, 0, 0, 0.0);
        while sent < datagrams {
            let window: Vec<usize> = (0..WINDOW).map(|step| (flow + step) % self.ends.len()).collect();
            for &end in &window {
                let start = processor_nanos();
                self.ends[end].send(burst);
                sending += processor_nanos() - start;
                sent += burst;
            }
            arrived += self.await_all(&window, burst);
            // Another pair each time, so that no flow follows itself.
            flow = (flow + WINDOW) % self.ends.len();
        }
        let time = self.processor_time()?.saturating_sub(before) as f64 + sending;
        let lost = 1.0 - arrived as f64 / sent as f64;
        (lost <= LOST_MAX).then(|| time / arrived as f64)
    }

    fn processor_time(&self) -> Option<u64> {
        self.program.as_ref().map_or(Some(0), |program| processor_time(program.id()))
    }

    fn await_all(&mut self, window: &[usize], burst: usize) -> usize {
        let mut arrived = 0;
        for &end in window {
            let start = arrived;
            let other = &mut self.ends[end ^ 1].socket;
            let _ = spin_until(PATIENCE, || {
                let _ = other.receive(|received| arrived += received.bytes.len().div_ceil(received.stride));
                (arrived - start >= burst).then_some(())
            });
        }
        arrived
    }

    /// How long single datagrams take there and nowhere else, in microseconds: to the other end.
    fn delays(&mut self, count: usize) -> Vec<f64> {
        let mut delays = Vec::new();
        for step in 0..count {
            let end = step % self.ends.len();
            let start = crate::clock::now();
            self.ends[end].send(1);
            if self.await_all(&[end], 1) == 1 {
                delays.push((crate::clock::now() - start).as_secs_f64() * 1e6);
            }
        }
        delays.sort_unstable_by(f64::total_cmp);
        delays
    }
}

impl End {
    /// Opens a socket in this namespace, bound and not connected.
    fn open(address: core::net::SocketAddr) -> Result<Socket, Failure> {
        let config =
            SocketConfig { receive_buffer: 1 << 18, send_buffer: 1 << 18, ..SocketConfig::default() };
        Ok(Socket::bind(&config, address)?)
    }

    fn send(&mut self, burst: usize) {
        let len = self.head.len() + PAYLOAD;
        let mut bytes = vec![0x5a; burst * len];
        for datagram in bytes.chunks_mut(len) {
            datagram[..self.head.len()].copy_from_slice(&self.head);
        }
        let segment = (burst > 1).then_some(len as u16);
        let transmit =
            Transmit { path: PathId(0), len: bytes.len(), segment, class: Class::Media, ecn: Ecn::NotEct };
        // What does not leave is missed where it should arrive.
        let _ = self.socket.send(self.to, &transmit, &bytes);
    }
}

/// Processor time of all threads of a process, in nanoseconds, from the scheduler's own account.
fn processor_time(process: u32) -> Option<u64> {
    let mut sum = 0;
    for task in std::fs::read_dir(format!("/proc/{process}/task")).ok()?.flatten() {
        let account = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        sum += account.split_whitespace().next()?.parse::<u64>().ok()?;
    }
    Some(sum)
}

fn median(figures: &[Option<f64>]) -> Option<f64> {
    let mut known: Vec<f64> = figures.iter().copied().flatten().collect();
    known.sort_unstable_by(f64::total_cmp);
    (known.len() == figures.len()).then(|| known[known.len() / 2])
}

fn cost_row(
    case: &'static str,
    burst: usize,
    has_offloads: bool,
    figures: &[Vec<Option<f64>>; CONTENDERS],
    (blocks, datagrams): (usize, usize),
) -> Row {
    let [ours, coturn, floor, sockets, direct] = figures.each_ref().map(|figures| median(figures));
    let beside = |figure: Option<f64>| figure.zip(direct).map(|(figure, direct)| figure - direct);
    let [ours, coturn, floor, sockets] = [ours, coturn, floor, sockets].map(beside);
    let times = |figure: Option<f64>| figure.zip(coturn).map(|(figure, coturn)| rounded(coturn / figure));
    // How many times cheaper than coturn it should be.
    let ahead = match (burst, has_offloads) {
        (1, _) => 1.0,
        (_, false) => 5.0,
        (_, true) => 10.0,
    };
    let goal = coturn.map(|coturn| coturn / ahead);
    let is_reached = ours.zip(goal).is_some_and(|(ours, goal)| ours <= goal);
    let note = "processor time of the relay's process and of the peers' sends for each datagram of 1200 bytes of payload \
                that arrived, less that of sends without a relay; 1000 flows in turns; two namespaces, virtual interfaces";
    Row {
        bench: "relay",
        case,
        metric: "cpu_ns",
        unit: "ns",
        ours: ours.map(rounded),
        rivals: BTreeMap::from([
            ("coturn", coturn.map(rounded)),
            ("floor", floor.map(rounded)),
            ("sockets", sockets.map(rounded)),
        ]),
        goal: goal.map(rounded),
        met: is_reached,
        n: blocks * datagrams,
        extras: BTreeMap::from([
            ("note", note.into()),
            ("times_cheaper", json!(times(ours))),
            ("floor_times_cheaper", json!(times(floor))),
            ("sockets_times_cheaper", json!(times(sockets))),
            ("direct_ns", json!(direct.map(rounded))),
            ("coturn_version", coturn::version().into()),
        ]),
    }
}

fn latency_row(contenders: [&mut Contender; 3], count: usize) -> Row {
    let [(own, _), theirs, floors] = contenders.map(|contender| (contender.delays(count), contender.name));
    let p99 = |delays: &[f64]| delays.get(delays.len() * 99 / 100).copied();
    let ours_p99 = p99(&own);
    let note = "from before the send of a datagram to its receipt at the other end, by way of the relay, one at a time: two \
                hops and both ends' system calls; an upper bound of what the relay adds";
    Row {
        bench: "relay",
        case: "latency",
        metric: "p99",
        unit: "us",
        ours: ours_p99.map(rounded),
        rivals: [theirs, floors].map(|(delays, name)| (name, p99(&delays).map(rounded))).into(),
        goal: Some(100.0),
        met: ours_p99.is_some_and(|p99| p99 <= 100.0),
        n: own.len(),
        extras: BTreeMap::from([("note", note.into())]),
    }
}

/// A time in the relay's own terms, for what is measured without sockets.
const START: Instant = Instant::from_millis(1000);
