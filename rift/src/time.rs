//! Time as an argument: the core reads no clock.
//!
//! An [`Instant`] counts microseconds from an epoch its owner picks (process start, boot).
//! Two peers never compare instants directly; [`crate::Session`] aligns their clocks.

use core::ops::{Add, AddAssign, Sub};
use core::time::Duration;

/// Microseconds since an epoch the caller picks; monotonic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The caller's epoch itself.
    pub const ZERO: Self = Self(0);
    /// Later than every other instant.
    pub const FAR_FUTURE: Self = Self(u64::MAX);

    /// The instant `micros` µs after the epoch.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// The instant `millis` ms after the epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long it is from `now` to `self`; zero when `self` has passed.
    #[must_use]
    pub const fn until(self, now: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(now.0))
    }

    /// How long ago `earlier` was, seen from `self`; zero when it is still to come.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        earlier_to(earlier.0, self.0)
    }

    /// Microseconds from `earlier` to `self`; zero when `earlier` is still to come.
    #[must_use]
    pub const fn micros_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// `self` moved `micros` µs into the past, at most to the epoch.
    #[must_use]
    pub const fn minus_micros(self, micros: u64) -> Self {
        Self(self.0.saturating_sub(micros))
    }

    /// `self` moved `micros` µs into the future, at most to [`Self::FAR_FUTURE`].
    #[must_use]
    pub const fn plus_micros(self, micros: u64) -> Self {
        Self(self.0.saturating_add(micros))
    }
}

const fn earlier_to(earlier: u64, later: u64) -> Duration {
    Duration::from_micros(later.saturating_sub(earlier))
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates at [`Instant::FAR_FUTURE`].
    fn add(self, after: Duration) -> Self {
        let micros =
            after.as_secs().saturating_mul(1_000_000).saturating_add(u64::from(after.subsec_micros()));
        Self(self.0.saturating_add(micros))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, after: Duration) {
        *self = *self + after;
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// Zero when `earlier` is later than `self`.
    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}
