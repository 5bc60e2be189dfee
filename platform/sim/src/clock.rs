//! A host's own clock: where it starts and how fast it runs.

use rift::Instant;

use crate::time::Time;

const BILLION: i128 = 1_000_000_000;
/// Drift whose third power is nothing.
const DRIFT_SMALL_PPB: i64 = 1_000_000;

/// A monotonic clock that differs from the simulator's by an offset and a constant drift.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// What it shows when the simulation starts, in µs.
    pub offset_us: u64,
    /// How much faster than true time it runs, in parts per billion: ±200 ppm is `±200_000`.
    pub drift_ppb: i32,
}

impl Clock {
    /// What it shows at `time`, rounded down to whole microseconds.
    #[must_use]
    pub fn local(&self, time: Time) -> Instant {
        // Asked for at every event: 64 bits suffice for hours of usual drift, and dividing them is cheap.
        let nanos = time.as_nanos().cast_signed();
        if let Some(product) = nanos.checked_mul(i64::from(self.drift_ppb))
            && nanos >= 0
        {
            let elapsed = nanos + product / BILLION as i64;
            return Instant::from_micros(self.offset_us.saturating_add_signed(elapsed / 1000));
        }
        let nanos = i128::from(time.as_nanos());
        let elapsed = nanos + nanos * i128::from(self.drift_ppb) / BILLION;
        let micros = i128::from(self.offset_us) + elapsed / 1000;
        Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// The earliest time at which it shows `local` or more; [`Time::MAX`] when that is beyond it.
    #[must_use]
    pub fn global(&self, local: Instant) -> Time {
        if local <= self.local(Time::ZERO) {
            return Time::ZERO;
        }
        let Some(mut nanos) = self.guess(local) else {
            return Time::MAX;
        };
        // The divisions above round; the exact answer is a few nanoseconds away at most.
        while self.local(Time::from_nanos(nanos)) < local {
            nanos = nanos.saturating_add(1);
            if nanos == u64::MAX {
                return Time::MAX;
            }
        }
        while nanos > 0 && self.local(Time::from_nanos(nanos - 1)) >= local {
            nanos -= 1;
        }
        Time::from_nanos(nanos)
    }

    /// The true time in ns, give or take a few, at which it shows `local`; `None` when that is never.
    fn guess(&self, local: Instant) -> Option<u64> {
        let elapsed = local.as_micros().saturating_sub(self.offset_us).checked_mul(1000)?;
        let drift = i64::from(self.drift_ppb);
        // To the first order and the second: what is left is a third of some millionths.
        if let Ok(signed) = i64::try_from(elapsed)
            && let Some(product) = signed.checked_mul(drift)
            && drift.abs() <= DRIFT_SMALL_PPB
        {
            let first = product / BILLION as i64;
            let second = first.checked_mul(drift)? / BILLION as i64;
            return u64::try_from(signed - first + second).ok();
        }
        u64::try_from(i128::from(elapsed) * BILLION / (BILLION + i128::from(self.drift_ppb))).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wake_is_the_first_nanosecond_at_which_the_clock_shows_it() {
        for drift_ppb in [-200_000, -1, 0, 1, 200_000] {
            let clock = Clock { offset_us: 5_000_000, drift_ppb };
            for micros in [5_000_000u64, 5_000_001, 5_123_456, 65_000_000, 3_605_000_007] {
                let local = Instant::from_micros(micros);
                let at = clock.global(local);
                assert!(clock.local(at) >= local, "{drift_ppb} {micros}");
                if at > Time::ZERO {
                    assert!(clock.local(Time::from_nanos(at.as_nanos() - 1)) < local, "{drift_ppb} {micros}");
                }
            }
        }
    }

    #[test]
    fn fast_clock_gains_its_drift() {
        let clock = Clock { offset_us: 0, drift_ppb: 200_000 };
        assert_eq!(clock.local(Time::from_secs(10)).as_micros(), 10_002_000);
    }
}
