//! What the path carries beyond what is used, read from the paced pictures themselves.
//!
//! A picture leaves faster than the grant. Where it arrives more spread out than it left, the rate of its arrival is
//! what the bottleneck let through beside others; where it does not, the bottleneck carries at least the rate at which
//! it left (packet-train dispersion, Dovrolis et al., INFOCOM 2001).

/// Trains whose median tells of headroom.
const TRAINS: usize = 5;
/// Trains that are enough after a deep cut, when the path is to be seen soon.
const TRAINS_SOON: usize = 3;
/// Packets that make a train worth reading.
const TRAIN_PACKETS: u32 = 5;
/// Longest train: part of a picture is enough, and two that touch are not taken for one.
const TRAIN_US_MAX: u64 = 8_000;
/// Age beyond which trains say nothing any more.
const TRAIN_AGE_US: u64 = 500_000;
/// Pace from which on a train probes, in thousandths of the grant: slower ones are not spread even when they should be.
const PROBE_PERMILLE: u64 = 1_300;

/// The trains of the latest pictures.
#[derive(Clone, Debug)]
pub(super) struct Trains {
    current: Train,
    /// Arrival and departure rate of the latest trains, bit/s.
    rates: [(u64, u64); TRAINS],
    next: usize,
    count: usize,
    /// Trains there must be before they say anything.
    needed: usize,
    ended_us: u64,
}

#[derive(Clone, Copy, Debug)]
struct Train {
    packets: u32,
    first_sent_us: u64,
    last_sent_us: u64,
    /// Arrival of the last packet of the first batch: a batch leaves at once, so its own packets say nothing.
    first_at_us: u64,
    last_at_us: u64,
    bytes: u64,
}

impl Train {
    const fn new() -> Self {
        Self { packets: 0, first_sent_us: 0, last_sent_us: 0, first_at_us: 0, last_at_us: 0, bytes: 0 }
    }
}

/// What the latest trains agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Headroom {
    /// Too few trains to say.
    Unknown,
    /// Pictures pass undispersed at this rate (bit/s): the bottleneck carries at least that.
    AtLeast(u64),
    /// Pictures are dispersed to this rate (bit/s): the bottleneck's, as long as nobody else uses it.
    About(u64),
}

impl Trains {
    pub(super) const fn new() -> Self {
        Self {
            current: Train::new(),
            ended_us: 0,
            rates: [(0, 0); TRAINS],
            next: 0,
            count: 0,
            needed: TRAINS,
        }
    }

    /// Takes an arrived packet in the order of sending; `gap_us` is the longest pause between packets of one train,
    /// `rate_bps` the grant.
    pub(super) fn on_packet(&mut self, sent_us: u64, at_us: u64, bytes: u16, gap_us: u64, rate_bps: u64) {
        let paused = sent_us > self.current.last_sent_us.saturating_add(gap_us);
        let long = sent_us > self.current.first_sent_us.saturating_add(TRAIN_US_MAX);
        if self.current.packets > 0 && (paused || long) {
            self.end_train(rate_bps);
        }
        let train = &mut self.current;
        if train.packets == 0 {
            *train = Train {
                packets: 1,
                first_sent_us: sent_us,
                last_sent_us: sent_us,
                first_at_us: at_us,
                last_at_us: at_us,
                bytes: 0,
            };
            return;
        }
        train.packets += 1;
        if sent_us == train.first_sent_us {
            train.first_at_us = train.first_at_us.max(at_us);
        } else {
            train.bytes += u64::from(bytes);
        }
        train.last_sent_us = train.last_sent_us.max(sent_us);
        train.last_at_us = train.last_at_us.max(at_us);
    }

    /// Forgets a train under way: a lost packet would make it look dispersed.
    pub(super) fn on_loss(&mut self) {
        self.current = Train::new();
    }

    /// Forgets everything: the rate was cut, and what the path carries now is to be seen anew.
    pub(super) fn reset(&mut self) {
        (self.current, self.next, self.count, self.needed) = (Train::new(), 0, 0, TRAINS_SOON);
    }

    fn end_train(&mut self, rate_bps: u64) {
        let train = core::mem::replace(&mut self.current, Train::new());
        let sent_span = train.last_sent_us - train.first_sent_us;
        let span = train.last_at_us.saturating_sub(train.first_at_us);
        if train.packets < TRAIN_PACKETS || sent_span < 500 || span == 0 {
            return;
        }
        let sent_bps = train.bytes * 8_000_000 / sent_span;
        if sent_bps < rate_bps / 1000 * PROBE_PERMILLE {
            return;
        }
        if train.last_sent_us.saturating_sub(self.ended_us) > TRAIN_AGE_US {
            (self.next, self.count) = (0, 0);
        }
        self.ended_us = train.last_sent_us;
        self.rates[self.next] = (train.bytes * 8_000_000 / span, sent_bps);
        self.next = (self.next + 1) % TRAINS;
        self.count = (self.count + 1).min(TRAINS);
        if self.count == TRAINS {
            self.needed = TRAINS;
        }
    }

    /// What the bottleneck is known to carry, seen from a packet sent at `sent_us`.
    pub(super) fn headroom(&self, sent_us: u64) -> Headroom {
        if self.count < self.needed || sent_us.saturating_sub(self.ended_us) > TRAIN_AGE_US {
            return Headroom::Unknown;
        }
        let mut arrived = self.rates.map(|rate| rate.0);
        let mut sent = self.rates.map(|rate| rate.1);
        arrived[..self.count].sort_unstable();
        sent[..self.count].sort_unstable();
        // A gap between others' pictures lets one of ours pass now and then: nearly all must.
        let (slow, usual, sent) = (arrived[self.count / 4], arrived[self.count / 2], sent[self.count / 2]);
        if slow >= sent - sent / 16 { Headroom::AtLeast(sent) } else { Headroom::About(usual) }
    }
}
