//! The pictures everybody sends: an encoder's sizes without the encoder.

use crate::random::Random;

/// Pictures smaller than this are not worth sending: the source lowers its own rate of pictures instead.
const BYTES_MIN: u64 = 2_500;
/// Longest period of such a source, in µs: 10 pictures a second.
const PERIOD_US_MAX: u64 = 100_000;
/// Every so many pictures stand alone and are five times as large.
const INTRA_EVERY: u32 = 600;
const INTRA_FACTOR: u64 = 5;
/// What an encoder takes from later pictures to pay for a large one, in thousandths of their size.
const REPAY_PERMILLE: u64 = 200;
/// A new rate counts for the picture after the next one.
const LAG: usize = 2;

/// An encoder that follows a rate: with a lag, with a slow error of ±5 % and with a spread from picture to picture.
#[derive(Clone, Debug)]
pub(super) struct Source {
    random: Random,
    period_us: u64,
    rates: [u64; LAG],
    count: u32,
    wander_permille: u64,
    wander_until_us: u64,
    debt: u64,
}

impl Source {
    /// Pictures at this rate, in millihertz.
    #[must_use]
    pub(super) fn new(millihertz: u32, start_bps: u64, random: Random) -> Self {
        Self {
            random,
            period_us: 1_000_000_000 / u64::from(millihertz.max(1)),
            rates: [start_bps; LAG],
            count: 0,
            wander_permille: 1000,
            wander_until_us: 0,
            debt: 0,
        }
    }

    /// The time from picture to picture at full rate, in µs.
    #[must_use]
    pub(super) const fn period_us(&self) -> u64 {
        self.period_us
    }

    /// Encodes the next picture for an encoder rate of `bps`: its size in bytes, and the time until the one after it.
    pub(super) fn next(&mut self, at_us: u64, bps: u64) -> (usize, u64) {
        if at_us >= self.wander_until_us {
            self.wander_until_us = at_us + 1_000_000;
            self.wander_permille = 950 + self.random.below(101);
        }
        let rate = self.rates[0];
        self.rates.rotate_left(1);
        self.rates[LAG - 1] = bps;
        let period = (BYTES_MIN * 8_000_000 / rate.max(1)).clamp(self.period_us, PERIOD_US_MAX);
        let usual = rate * period / 8_000_000;
        // A spread of a tenth, truncated at three deviations.
        let spread = (1000.0 + 100.0 * self.random.gaussian()) as u64;
        let mut bytes = usual * self.wander_permille / 1000 * spread / 1000;
        if self.count.is_multiple_of(INTRA_EVERY) {
            bytes *= INTRA_FACTOR;
            self.debt += bytes - usual.min(bytes);
        } else if self.debt > 0 {
            let repaid = (bytes * REPAY_PERMILLE / 1000).min(self.debt);
            self.debt -= repaid;
            bytes -= repaid;
        }
        self.count += 1;
        (usize::try_from(bytes.max(100)).unwrap_or(usize::MAX), period)
    }

    /// The next picture stands alone again: the stream was interrupted.
    pub(super) fn restart(&mut self) {
        self.count = 0;
    }
}
