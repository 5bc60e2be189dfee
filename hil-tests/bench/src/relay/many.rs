//! What the kernel's part costs with few leases and with many, all of them in use: no relay, but the leases it would tell of.

use core::net::SocketAddr;

use rift::wire::relay::Envelope;
use rift_ebpf::{Bound, Forwarder, Terms};
use rift_mio::Destination;

use super::ours::tag;
use super::wires::{FAR, NEAR, Wires};
use super::{Contender, End, median};
use crate::failure::Failure;
use crate::report::{Row, rounded};

/// Pairs of sockets; each has a tenth of the leases.
const PAIRS: usize = 10;
const FEW: usize = PAIRS;
const MANY: usize = 10_000;
/// Times that each case has its turn, and datagrams of each.
const BLOCKS: usize = 5;
const DATAGRAMS: usize = 2 * MANY;
/// Any port that no relay of this benchmark has: nobody listens there.
const PORT: u16 = 4750;
/// A tenth more is no more: for what the processor's cache no longer holds.
const SHARE_MAX: f64 = 1.1;

/// The one row.
pub(super) fn row(wires: &Wires, direct: &mut Contender) -> Result<Row, Failure> {
    let to = Destination { to: SocketAddr::from((FAR, PORT)), source: None };
    let mut ends = Vec::new();
    for _ in 0..2 * PAIRS {
        ends.push(End { socket: End::open(SocketAddr::from((NEAR, 0)))?, to, head: Vec::new() });
    }
    let forwarder = wires.inside(|| Ok(Forwarder::load(PORT, MANY as u32, &["far".to_owned()])))?;
    let mut forwarder = forwarder.map_err(|error| error.to_string())?;
    let mut kernel = Contender { name: "kernel", program: None, ends };
    let mut figures = [Vec::new(), Vec::new(), Vec::new()];
    for block in 0..=BLOCKS {
        let few = kernel.in_turns(&mut forwarder, FEW);
        let many = kernel.in_turns(&mut forwarder, MANY);
        let direct = direct.play(1, DATAGRAMS);
        // The first is for warming up.
        if block > 0 {
            figures.iter_mut().zip([few, many, direct]).for_each(|(figures, figure)| figures.push(figure));
        }
    }
    let [few, many, direct] = figures.each_ref().map(|figures| median(figures));
    let beside = |figure: Option<f64>| figure.zip(direct).map(|(figure, direct)| figure - direct);
    let (few, many) = (beside(few), beside(many));
    let goal = few.map(|few| few * SHARE_MAX);
    let note = "single datagrams sent on inside the kernel, under each of 10 000 leases in turn, and under each of 10 (`few`)";
    Ok(Row {
        bench: "relay",
        case: "leases10000_kernel",
        metric: "cpu_ns",
        unit: "ns",
        ours: many.map(rounded),
        rivals: [("few", few.map(rounded))].into(),
        goal: goal.map(rounded),
        met: many.zip(goal).is_some_and(|(many, goal)| many <= goal),
        n: BLOCKS * DATAGRAMS,
        extras: [("note", note.into())].into(),
    })
}

impl Contender {
    /// Sends both ways under each of so many leases in turn; the median of the turns, each of which has all sockets.
    fn in_turns(&mut self, forwarder: &mut Forwarder, leases: usize) -> Option<f64> {
        let address = |end: &End| Bound { at: end.socket.local_addr(), local: FAR.into() };
        let peers: Vec<[Bound; 2]> =
            self.ends.as_chunks::<2>().0.iter().map(|pair| pair.each_ref().map(address)).collect();
        let terms = Terms { left_s: 3600, bytes_per_s: u32::MAX, burst: u32::MAX };
        for lease in 0..MANY {
            forwarder.remove(tag(lease));
        }
        let is_put = (0..leases).all(|lease| forwarder.put(tag(lease), peers[lease % PAIRS], terms));
        let mut figures = Vec::new();
        // A lease's first datagram goes up, since nothing came from its other peer yet.
        let each = leases / PAIRS;
        self.send_under(each, |contender| {
            for end in &mut contender.ends {
                end.send(1);
            }
            for end in &mut contender.ends {
                let _ = end.socket.receive(|_| ());
            }
        });
        for _ in 0..DATAGRAMS / (2 * PAIRS) / each {
            self.send_under(each, |contender| figures.push(contender.play(1, 2 * PAIRS)));
        }
        is_put.then(|| median(&figures)).flatten()
    }

    /// Does something under each lease of every pair.
    fn send_under(&mut self, each: usize, mut what: impl FnMut(&mut Self)) {
        for turn in 0..each {
            for (place, end) in self.ends.iter_mut().enumerate() {
                end.head = Envelope::head(tag(turn * PAIRS + place / 2)).to_vec();
            }
            what(self);
        }
    }
}
