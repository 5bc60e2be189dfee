//! How fast bytes arrive over a window.

/// Shortest time between two marks of the arrival curve.
const MARK_US: u64 = 5_000;
/// Marks kept: at least 320 ms.
const MARKS: usize = 64;
/// Packets whose spacing is the bottleneck's while a queue stands.
const RUN: usize = 8;

/// Marks on the curve of bytes arrived over the receiver's time.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    marks: [(u64, u64); MARKS],
    next: usize,
    count: usize,
    newest_us: u64,
    total_bytes: u64,
    /// Arrival and total of the latest packets.
    run: [(u64, u64); RUN],
    run_at: usize,
}

impl Delivery {
    pub(super) const fn new() -> Self {
        Self {
            marks: [(0, 0); MARKS],
            next: 0,
            count: 0,
            newest_us: 0,
            total_bytes: 0,
            run: [(0, 0); RUN],
            run_at: 0,
        }
    }

    pub(super) fn on_packet(&mut self, at_us: u64, bytes: u16) {
        self.newest_us = self.newest_us.max(at_us);
        self.total_bytes = self.total_bytes.saturating_add(u64::from(bytes));
        self.run[self.run_at] = (self.newest_us, self.total_bytes);
        self.run_at = (self.run_at + 1) % RUN;
        let newest_mark = self.marks[(self.next + MARKS - 1) % MARKS].0;
        if self.count == 0 || at_us >= newest_mark.saturating_add(MARK_US) {
            self.marks[self.next] = (at_us, self.total_bytes);
            self.next = (self.next + 1) % MARKS;
            self.count = (self.count + 1).min(MARKS);
        }
    }

    /// Bit/s at which the latest eight packets followed each other, without the longest pause between two of them: a
    /// path that was away for a moment carries no less when it is back.
    pub(super) fn run_bps(&self) -> u64 {
        let (mut span, mut bytes, mut longest) = (0, 0, (0, 0));
        for place in 1..RUN {
            let from = self.run[(self.run_at + place - 1) % RUN];
            let to = self.run[(self.run_at + place) % RUN];
            let step = (to.0.saturating_sub(from.0), to.1.saturating_sub(from.1));
            (span, bytes) = (span + step.0, bytes + step.1);
            longest = longest.max(step);
        }
        (bytes - longest.1).saturating_mul(8_000_000) / (span - longest.0).max(1)
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
