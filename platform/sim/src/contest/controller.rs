//! What a congestion controller is asked in the contest, and DELTA's answers.

use rift::delta::{Config, Delta, PacketReport};
use rift::{Ecn, Instant};

/// What may be sent, as a controller sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Everything that leaves, in bit/s of UDP payload: what the pacer gets.
    pub total_bps: u64,
    /// What the encoder gets of it; `None` leaves the split to the host, which takes parity and 3 % out.
    pub media_bps: Option<u64>,
    /// Pace within a picture, in thousandths of the grant; 1500 unless a controller says otherwise.
    pub pace_permille: u16,
}

/// A congestion controller: history in, grant out.
pub trait Controller {
    /// A packet left.
    fn on_sent(&mut self, now: Instant, bytes: usize);
    /// The fate of packets, each told once in the order of sending; `rtt_us` is the smoothed round trip.
    fn on_feedback(&mut self, now: Instant, rtt_us: u32, reports: &[PacketReport]);
    /// A picture of `bytes` was queued behind one that has waited for `waiting_us`.
    fn on_picture(&mut self, _bytes: usize, _waiting_us: u64) {}
    /// When [`Self::handle_timeout`] is due.
    fn poll_timeout(&self) -> Option<Instant>;
    /// Time has come.
    fn handle_timeout(&mut self, now: Instant);
    /// What may be sent.
    fn grant(&self) -> Grant;
    /// Bytes that may leave before more feedback.
    fn sendable_bytes(&self, now: Instant) -> usize;
    /// Parity for a picture; `None` leaves it to the host's rule, which is DELTA's for everybody.
    fn parity_for(&self, _data_shards: usize) -> Option<usize> {
        None
    }
    /// The ECN field of what is sent.
    fn ecn(&self) -> Ecn;
    /// What is shown beside the rate when somebody looks closely.
    fn describe(&self) -> String {
        String::new()
    }
}

/// What every controller is told before the start.
#[derive(Clone, Copy, Debug)]
pub struct Brief {
    /// Least, first and largest rate.
    pub limits: Config,
    /// The largest rate the path will ever have, for those whose equations want it (NADA's RMAX).
    pub path_bps_max: u64,
    /// The share of the path a careful person would type into a sender of fixed rate, in bit/s.
    pub fixed_bps: u64,
    /// Pictures per 1000 s.
    pub picture_millihertz: u32,
    /// Whether the path marks (RFC 9331).
    pub l4s: bool,
}

/// DELTA, as sessions use it.
pub struct DeltaController(Delta, bool);

impl DeltaController {
    /// A fresh one.
    #[must_use]
    pub fn new(brief: &Brief) -> Self {
        let mut delta = Delta::new(&brief.limits);
        delta.set_picture_rate(brief.picture_millihertz);
        Self(delta, brief.l4s)
    }
}

impl Controller for DeltaController {
    fn on_sent(&mut self, now: Instant, bytes: usize) {
        self.0.on_sent(now, bytes);
    }

    fn on_feedback(&mut self, now: Instant, rtt_us: u32, reports: &[PacketReport]) {
        self.0.on_feedback(now, rtt_us, reports.iter().copied());
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.0.poll_timeout()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.0.handle_timeout(now);
    }

    fn grant(&self) -> Grant {
        let budget = self.0.budget();
        Grant {
            total_bps: u64::from(budget.pacing_bps),
            media_bps: Some(u64::from(budget.bitrate_bps)),
            pace_permille: budget.pace_permille,
        }
    }

    fn sendable_bytes(&self, now: Instant) -> usize {
        self.0.sendable_bytes(now)
    }

    fn parity_for(&self, data_shards: usize) -> Option<usize> {
        Some(self.0.parity_for(data_shards))
    }

    fn ecn(&self) -> Ecn {
        if self.1 { Ecn::Ect1 } else { Ecn::NotEct }
    }

    fn describe(&self) -> String {
        let stats = self.0.stats();
        format!(
            "{:?} q {} th {} t {} d {}",
            self.0.budget().state,
            stats.queue_us,
            stats.threshold_us,
            stats.trend,
            stats.delivered_bps
        )
    }
}
