//! The clock of streams: their time limits are hang guards, in milliseconds.

use core::time::Duration;
use std::time::Instant;

#[expect(clippy::disallowed_methods, reason = "streams of an operating system have its clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// How long until `at`, rounded up to what a poll can wait.
pub(crate) fn until(at: Instant) -> Duration {
    at.saturating_duration_since(now()) + Duration::from_millis(1)
}
