//! The clock of all drivers of a process: microseconds since one epoch, by `CLOCK_MONOTONIC`.

use core::time::Duration;
use std::io;
use std::sync::OnceLock;

use rift::Instant;

use crate::sys;

const NANOS_PER_SECOND: u64 = 1_000_000_000;
/// The epoch lies this long before the first look, so that no time is near zero.
const EPOCH_BEFORE_NS: u64 = NANOS_PER_SECOND;
/// No datagram waits longer in a socket; a kernel time older than this means that the wall clock was set.
const RECEIVED_AGE_MAX: Duration = Duration::from_secs(1);

/// Two looks at the clock with one at the other between them take this long at most, unless something intervened.
const LOOK_US_MAX: u64 = 20;
const LOOKS_MAX: usize = 3;

/// The shortest slice that Linux takes, in ns.
const SLICE_NS: u64 = 100_000;
/// The niceness of threads with a schedule to keep, where they may choose it: as sound servers have.
const NICE: i32 = -11;

static EPOCH_NS: OnceLock<u64> = OnceLock::new();

/// Asks the kernel to let the calling thread run as soon as its time has come, also beside threads that compute: in short
/// slices (EEVDF; Linux 6.12 and newer), and with a niceness of -11 where the process may (`RLIMIT_NICE`, `CAP_SYS_NICE`).
/// Threads that it starts from then on have neither.
///
/// Otherwise a thread that computes runs to the end of its slice of 3 ms before one whose timer has expired.
///
/// # Errors
/// The system's. Older systems do nothing about slices.
pub fn run_promptly() -> io::Result<()> {
    sys::set_schedule(SLICE_NS, NICE)
}

/// Reads the time. All clocks of a process have one epoch, so their instants can be compared and handed on.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch_ns: u64,
}

impl Clock {
    /// The process's clock.
    #[must_use]
    pub fn new() -> Self {
        let epoch_ns = *EPOCH_NS.get_or_init(|| sys::monotonic_ns().saturating_sub(EPOCH_BEFORE_NS));
        Self { epoch_ns }
    }

    /// Now. Never goes back.
    #[must_use]
    pub fn now(self) -> Instant {
        Instant::from_micros(sys::monotonic_ns().saturating_sub(self.epoch_ns) / 1000)
    }

    /// Unix time at [`Instant::ZERO`], in microseconds, by the wall clock as it is now; 0 when that stands before 1970.
    #[must_use]
    pub fn unix_epoch_us(self) -> u64 {
        #[expect(
            clippy::disallowed_methods,
            reason = "tokens and counters outlive the process, and so need this clock"
        )]
        let wall = std::time::SystemTime::now();
        let since = wall.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX).saturating_sub(self.now().as_micros())
    }

    /// Looks at the wall clock and this one at once, to map kernel times of the last moments.
    #[must_use]
    pub fn realtime_mapping(self) -> RealtimeMapping {
        // A thread that loses the processor between two looks sees clocks far apart: then it looks again.
        let mut best = self.look();
        for _ in 1..LOOKS_MAX {
            if best.0 <= LOOK_US_MAX {
                break;
            }
            let again = self.look();
            if again.0 < best.0 {
                best = again;
            }
        }
        best.1
    }

    /// How long the look took, in microseconds, and what it saw.
    fn look(self) -> (u64, RealtimeMapping) {
        let before = self.now();
        let realtime = Duration::from_nanos(sys::realtime_ns());
        (self.now().micros_since(before), RealtimeMapping { realtime, now: before })
    }

    /// When the wall clock (`CLOCK_REALTIME`, since the Unix epoch) showed `realtime`; see [`RealtimeMapping::map`].
    #[must_use]
    pub fn from_realtime(self, realtime: Duration) -> Instant {
        self.realtime_mapping().map(realtime)
    }

    /// `instant` in nanoseconds of `CLOCK_MONOTONIC`, for timers.
    pub(crate) const fn monotonic_ns(self, instant: Instant) -> u64 {
        self.epoch_ns.saturating_add(instant.as_micros().saturating_mul(1000))
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// Two clocks looked at in the same moment.
#[derive(Clone, Copy, Debug)]
pub struct RealtimeMapping {
    realtime: Duration,
    now: Instant,
}

impl RealtimeMapping {
    /// The instant at which the wall clock showed `realtime`. What would lie in the future, or more than a second
    /// back because the wall clock was set meanwhile, is taken for now.
    #[must_use]
    pub fn map(self, realtime: Duration) -> Instant {
        match self.realtime.checked_sub(realtime) {
            Some(age) if age <= RECEIVED_AGE_MAX => {
                self.now.minus_micros(u64::try_from(age.as_micros()).unwrap_or(u64::MAX))
            }
            Some(_) | None => self.now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_times_map_to_the_same_moment_and_never_to_the_future() {
        let mapping = RealtimeMapping {
            realtime: Duration::from_micros(5_000_000),
            now: Instant::from_micros(2_000_000),
        };
        assert_eq!(mapping.map(Duration::from_micros(4_999_700)), Instant::from_micros(1_999_700));
        assert_eq!(mapping.map(Duration::from_micros(5_000_001)), Instant::from_micros(2_000_000));
    }

    #[test]
    fn kernel_time_from_before_the_wall_clock_was_set_is_taken_for_now() {
        let mapping =
            RealtimeMapping { realtime: Duration::from_secs(5_000), now: Instant::from_micros(2_000_000) };
        assert_eq!(mapping.map(Duration::from_secs(1)), Instant::from_micros(2_000_000));
    }

    #[test]
    fn clocks_of_a_process_share_their_epoch() {
        let first = Clock::new().now();
        let second = Clock::new().now();
        assert!(second >= first && second.micros_since(first) < 1_000_000);
    }
}
