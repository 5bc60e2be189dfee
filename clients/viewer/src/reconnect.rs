//! When to try again after a session was lost, and when not to.

use core::time::Duration;

use rift::CloseReason;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(5);
/// A session this long was a good one: the next attempt is soon again.
const GOOD: Duration = Duration::from_secs(10);

/// How long to wait before the next attempt: a quarter of a second, then twice as long each time, at most 5 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    next: Duration,
}

impl Backoff {
    /// Nothing has failed yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { next: FIRST }
    }

    /// A session of this length was lost (zero: it was never there). Returns how long to wait.
    pub fn lost(&mut self, session: Duration) -> Duration {
        if session >= GOOD {
            self.next = FIRST;
        }
        let wait = self.next;
        self.next = (wait * 2).min(LONGEST);
        wait
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

/// What the end of a session means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was meant: nothing is wrong.
    Finished,
    /// It may go on: try again.
    Retry,
    /// Trying again is no use, or not wanted.
    Fatal,
}

/// What to do after a session ended so. `had_session`: this host was reached before, so its name, port and key are
/// right.
#[must_use]
pub const fn verdict(reason: CloseReason, had_session: bool) -> Verdict {
    match reason {
        CloseReason::Local | CloseReason::SourceGone => Verdict::Finished,
        CloseReason::Done | CloseReason::Idle | CloseReason::Reset | CloseReason::Exhausted => Verdict::Retry,
        // That it speaks other versions nobody has proven.
        CloseReason::Unanswered | CloseReason::Version | CloseReason::Busy => {
            if had_session {
                Verdict::Retry
            } else {
                Verdict::Fatal
            }
        }
        CloseReason::Refused | CloseReason::Revoked | CloseReason::WrongPeer | CloseReason::Other(_) | _ => {
            Verdict::Fatal
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit_and_start_again_after_a_good_session() {
        let mut backoff = Backoff::new();
        let waits: Vec<u128> = (0..7).map(|_| backoff.lost(Duration::ZERO).as_millis()).collect();
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 5000, 5000]);
        assert_eq!(backoff.lost(Duration::from_millis(9_999)).as_millis(), 5000, "too short to count");
        assert_eq!(backoff.lost(Duration::from_secs(10)).as_millis(), 250);
        assert_eq!(backoff.lost(Duration::ZERO).as_millis(), 500);
    }

    #[test]
    fn host_that_says_no_is_not_asked_again() {
        for reason in
            [CloseReason::Refused, CloseReason::Revoked, CloseReason::WrongPeer, CloseReason::Other(99)]
        {
            assert_eq!(verdict(reason, true), Verdict::Fatal, "{reason:?}");
            assert_eq!(verdict(reason, false), Verdict::Fatal, "{reason:?}");
        }
        assert_eq!(verdict(CloseReason::Idle, true), Verdict::Retry);
        assert_eq!(verdict(CloseReason::Reset, true), Verdict::Retry);
        assert_eq!(verdict(CloseReason::Unanswered, true), Verdict::Retry);
        assert_eq!(verdict(CloseReason::Unanswered, false), Verdict::Fatal);
        assert_eq!(verdict(CloseReason::Local, true), Verdict::Finished);
    }
}
