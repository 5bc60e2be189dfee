//! How fast the standing queue grows.

/// Samples of the standing queue the trend is fitted to.
const TREND_SAMPLES: usize = 12;
/// Shortest time between two samples: twelve of them span at least 120 ms.
const TREND_STEP_US: u64 = 10_000;

/// Least-squares slope over the latest samples.
#[derive(Clone, Debug)]
pub(super) struct Trend {
    samples: [(u64, i64); TREND_SAMPLES],
    count: usize,
    next: usize,
    sampled_us: u64,
}

impl Trend {
    pub(super) const fn new() -> Self {
        Self { samples: [(0, 0); TREND_SAMPLES], count: 0, next: 0, sampled_us: 0 }
    }

    /// Takes a sample unless the last is too fresh; says whether it did.
    pub(super) fn sample(&mut self, at_us: u64, queue_us: i64) -> bool {
        if self.count > 0 && at_us < self.sampled_us.saturating_add(TREND_STEP_US) {
            return false;
        }

        self.samples[self.next] = (at_us, queue_us);
        self.next = (self.next + 1) % TREND_SAMPLES;
        self.count = (self.count + 1).min(TREND_SAMPLES);
        self.sampled_us = at_us;
        true
    }

    pub(super) fn slope(&self) -> i64 {
        if self.count < 4 {
            return 0;
        }
        let taken = &self.samples[..self.count];
        let count = self.count as i64;
        // Times relative to the newest sample, at most 2 s back: every product below stays within 64 bits.
        let relative = |at_us: u64| self.sampled_us.saturating_sub(at_us).min(2_000_000).cast_signed();
        let mean_time = taken.iter().map(|sample| -relative(sample.0)).sum::<i64>() / count;
        let mean_queue = taken.iter().map(|sample| sample.1.min(5_000_000)).sum::<i64>() / count;
        let (mut covariance, mut variance) = (0_i64, 0_i64);
        for (at_us, queue_us) in taken {
            let time = -relative(*at_us) - mean_time;
            covariance += time * (queue_us.min(&5_000_000) - mean_queue);
            variance += time * time;
        }
        covariance / (variance / 1000).max(1)
    }
}
