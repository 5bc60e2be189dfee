//! How fast bytes arrive: over a window, and within one picture.

/// Shortest time between two marks of the arrival curve.
const MARK_US: u64 = 5_000;
/// Marks kept: at least 320 ms.
const MARKS: usize = 64;
/// Trains whose median is the capacity.
const TRAINS: usize = 5;
/// Packets that make a train worth reading.
const TRAIN_PACKETS: u32 = 5;

/// Longest train: part of a picture is enough, and two that touch are not taken for one.
const TRAIN_US_MAX: u64 = 8_000;
/// Age beyond which trains say nothing any more.
const TRAIN_AGE_US: u64 = 500_000;

/// Marks on the curve of bytes arrived over the receiver's time.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    marks: [(u64, u64); MARKS],
    next: usize,
    count: usize,
    newest_us: u64,
    total_bytes: u64,
}

impl Delivery {
    pub(super) const fn new() -> Self {
        Self { marks: [(0, 0); MARKS], next: 0, count: 0, newest_us: 0, total_bytes: 0 }
    }

    pub(super) fn on_packet(&mut self, at_us: u64, bytes: u16) {
        self.newest_us = self.newest_us.max(at_us);
        self.total_bytes = self.total_bytes.saturating_add(u64::from(bytes));
        let newest_mark = self.marks[(self.next + MARKS - 1) % MARKS].0;
        if self.count == 0 || at_us >= newest_mark.saturating_add(MARK_US) {
            self.marks[self.next] = (at_us, self.total_bytes);
            self.next = (self.next + 1) % MARKS;
            self.count = (self.count + 1).min(MARKS);
        }
    }

    /// Bit/s that arrived over the latest `window_us` or a little more; 0 while less was seen than half of it.
    pub(super) fn rate_bps(&self, window_us: u64) -> u64 {
        let mut from = None;
        for back in 1..=self.count {
            let mark = self.marks[(self.next + MARKS - back) % MARKS];
            from = Some(mark);
            if self.newest_us.saturating_sub(mark.0) >= window_us {
                break;
            }
        }
        let Some((from_us, from_bytes)) = from else {
            return 0;
        };
        let span = self.newest_us.saturating_sub(from_us);
        if span < window_us / 2 || span == 0 {
            return 0;
        }
        (self.total_bytes - from_bytes).saturating_mul(8_000_000) / span
    }
}

/// What a paced picture says of the bottleneck.
///
/// A picture leaves at 1.5 × the grant. Where it arrives more spread out than it left, the rate of its arrival is
/// the bottleneck's; where it does not, the bottleneck carries at least the rate at which it left.
#[derive(Clone, Debug)]
pub(super) struct Trains {
    current: Train,
    /// Arrival and departure rate of the latest trains, bit/s.
    rates: [(u64, u64); TRAINS],
    next: usize,
    count: usize,
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
        Self { current: Train::new(), ended_us: 0, rates: [(0, 0); TRAINS], next: 0, count: 0 }
    }

    /// Takes an arrived packet in the order of sending; `gap_us` is the longest pause between packets of one train.
    pub(super) fn on_packet(&mut self, sent_us: u64, at_us: u64, bytes: u16, gap_us: u64) {
        let paused = sent_us > self.current.last_sent_us.saturating_add(gap_us);
        let long = sent_us > self.current.first_sent_us.saturating_add(TRAIN_US_MAX);
        if self.current.packets > 0 && (paused || long) {
            self.end_train();
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

    fn end_train(&mut self) {
        let train = core::mem::replace(&mut self.current, Train::new());
        let sent_span = train.last_sent_us - train.first_sent_us;
        let span = train.last_at_us.saturating_sub(train.first_at_us);
        if train.packets < TRAIN_PACKETS || sent_span < 500 || span == 0 {
            return;
        }
        if train.last_sent_us.saturating_sub(self.ended_us) > TRAIN_AGE_US {
            self.count = 0;
        }
        self.ended_us = train.last_sent_us;
        self.rates[self.next] = (train.bytes * 8_000_000 / span, train.bytes * 8_000_000 / sent_span);
        self.next = (self.next + 1) % TRAINS;
        self.count = (self.count + 1).min(TRAINS);
    }

    /// What the bottleneck is known to carry, seen from a packet sent at `sent_us`.
    pub(super) fn headroom(&self, sent_us: u64) -> Headroom {
        if self.count < TRAINS || sent_us.saturating_sub(self.ended_us) > TRAIN_AGE_US {
            return Headroom::Unknown;
        }
        let mut arrived = self.rates.map(|rate| rate.0);
        let mut sent = self.rates.map(|rate| rate.1);
        arrived.sort_unstable();
        sent.sort_unstable();
        let (arrived, sent) = (arrived[TRAINS / 2], sent[TRAINS / 2]);
        if arrived >= sent - sent / 16 { Headroom::AtLeast(sent) } else { Headroom::About(arrived) }
    }
}
