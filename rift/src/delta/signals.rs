//! What the measuring parts tell the controller, and what it asks of them.

use super::probe::Headroom;

/// What is known at one feedback.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signals {
    pub(super) rtt_us: u64,
    pub(super) queue_us: u64,
    /// The least of the last 15 ms and of the last 160 ms.
    pub(super) latest_us: u64,
    pub(super) floor_us: u64,
    /// What of it may not be one, in µs.
    pub(super) margin_us: u64,
    /// Queue above which the link counts as overused, in µs.
    pub(super) threshold_us: u64,
    /// µs per ms.
    pub(super) trend: i64,
    /// Of the last eight packets and over the last 50 ms: the bottleneck's own rate while it is busy.
    pub(super) delivered_latest_bps: u64,
    pub(super) delivered_now_bps: u64,
    /// Over the last 200 ms: what the application got through.
    pub(super) delivered_bps: u64,
    /// Sent and not reported, in bits.
    pub(super) in_flight_bits: u64,
    /// For how long the queue was never seen empty, in µs.
    pub(super) standing_for_us: u64,
    /// Whether delays jump about.
    pub(super) jumps: bool,
    pub(super) headroom: Headroom,
    /// Whether pictures of this grant are long enough to probe.
    pub(super) probes: bool,
    /// Whether less was sent than granted.
    pub(super) limited: bool,
    /// Whether so little was sent that a queue is not of the sender's making.
    pub(super) trickles: bool,
    /// Loss of the last second, in thousandths.
    pub(super) loss_permille: u64,
    /// How many runs of losses that was.
    pub(super) loss_bursts: u64,
    /// Packets of this feedback that arrived, and those of them that were marked.
    pub(super) arrived: u64,
    pub(super) marked: u64,
    /// Packets of it that were lost.
    pub(super) lost: u64,
}

/// What the owner has to do besides using the rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Continue,
    /// The queue left after several cuts is the path's own delay: take it as the base.
    Rebase,
}
