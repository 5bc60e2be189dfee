//! A client's session that two threads act on: the driver's, and one whose commands must not wait for another thread
//! to be woken.
//!
//! The session is locked for the length of a turn, and free while the driver waits. Nobody waits for the lock: whoever
//! finds it taken knows that the driver is awake, and leaves the command to it.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use rift::{Event, Handshake, Instant, Memory, Session};

use crate::client::{ClientDriver, Core, Wait};
use crate::clock::Clock;
use crate::finder::{Asked, UsedWay};
use crate::poller::{Poller, Waker};
use crate::socket::SocketStats;

/// The core, and what its driver waits for while it waits.
struct Shared<M: Memory, H: Handshake> {
    core: Core<M, H>,
    wait: Option<Wait>,
}

/// Drives a client's session as [`ClientDriver`] does, and lets a [`Shortcut`] act on it meanwhile.
pub struct SharedClient<M: Memory, H: Handshake> {
    shared: Arc<Mutex<Shared<M, H>>>,
    poller: Poller,
    clock: Clock,
}

/// Another thread's way to the session. It outlives the driver harmlessly: a session nobody drives sends what it is
/// told to, and hears nothing.
pub struct Shortcut<M: Memory, H: Handshake> {
    shared: Arc<Mutex<Shared<M, H>>>,
    waker: Waker,
}

impl<M: Memory, H: Handshake> SharedClient<M, H> {
    /// Takes the driver over; its wakers stay valid.
    #[must_use]
    pub fn new(driver: ClientDriver<M, H>) -> Self {
        let ClientDriver { core, poller } = driver;
        let clock = core.clock;
        Self { shared: Arc::new(Mutex::new(Shared { core, wait: None })), poller, clock }
    }

    /// A way to the session for another thread.
    #[must_use]
    pub fn shortcut(&self) -> Shortcut<M, H> {
        Shortcut { shared: self.shared.clone(), waker: self.poller.waker() }
    }

    /// The clock whose time the session is given.
    #[must_use]
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// As [`ClientDriver::set_busy_poll`].
    pub fn set_busy_poll(&mut self, micros: u32) {
        lock(&self.shared).core.anticipation.set_busy_poll(micros);
    }

    /// Looks at the session, or gives it commands: they are done when the next turn begins.
    pub fn with_session<R>(&mut self, act: impl FnOnce(&mut Session<M, H>, Instant) -> R) -> R {
        act(&mut lock(&self.shared).core.session, self.clock.now())
    }

    /// Whether another session is to begin, and to take the place of the one there is, because a better way to call the
    /// host was found before it has answered: see [`Self::begin_again`].
    #[must_use]
    pub fn wants_session(&self) -> bool {
        lock(&self.shared).core.met.as_ref().is_some_and(|met| met.begin.is_some())
    }

    /// Begins again with another session on the same socket. Returns the old one.
    pub fn begin_again(&mut self, session: Session<M, H>) -> Session<M, H> {
        lock(&self.shared).core.begin_again(session)
    }

    /// How things stand with the gateway, of a client that one introduces.
    #[must_use]
    pub fn asked(&self) -> Option<Asked> {
        lock(&self.shared).core.met.as_ref().map(|met| met.asked())
    }

    /// Which way the session goes, of a client that was introduced.
    #[must_use]
    pub fn way(&self) -> Option<UsedWay> {
        lock(&self.shared).core.met.as_ref().and_then(|met| met.in_use())
    }

    /// The socket's counters.
    #[must_use]
    pub fn socket_stats(&self) -> SocketStats {
        lock(&self.shared).core.socket.stats()
    }

    /// One turn, as [`ClientDriver::turn`]. `on_event` is called with the session locked.
    ///
    /// # Errors
    /// Only when polling itself fails.
    pub fn turn(&mut self, on_event: &mut dyn FnMut(&mut Session<M, H>, Event)) -> io::Result<()> {
        let mut shared = lock(&self.shared);
        shared.core.roam(&mut self.poller);
        let Some(wait) = shared.core.begin_turn(on_event) else { return Ok(()) };
        shared.wait = Some(wait);
        drop(shared);
        let waited = wait.pass(&mut self.poller);
        let mut shared = lock(&self.shared);
        shared.wait = None;
        waited?;
        shared.core.end_turn(&mut self.poller.is_readable, on_event)
    }
}

impl<M: Memory, H: Handshake> Shortcut<M, H> {
    /// Gives the session commands and sends at once what they caused. `None`, and nothing done: the driver is in the
    /// middle of a turn; who has told it what to do by other means wakes it with [`Self::wake`].
    pub fn try_command<R>(&self, act: impl FnOnce(&mut Session<M, H>, Instant) -> R) -> Option<R> {
        let mut shared = match self.shared.try_lock() {
            Ok(shared) => shared,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let Shared { core, wait } = &mut *shared;
        let result = act(&mut core.session, core.clock.now());
        let sent_at = core.transmit();
        let (before, after) = (*wait, core.wait(sent_at));
        let is_over = core.session.is_closed();
        drop(shared);
        if before.is_some_and(|before| is_over || is_sooner(after, before)) {
            self.waker.wake();
        }
        Some(result)
    }

    /// Ends the driver's wait.
    pub fn wake(&self) {
        self.waker.wake();
    }
}

/// Whether a driver that waits for `before` would come too late for `after`.
fn is_sooner(after: Wait, before: Wait) -> bool {
    let is_due_sooner = after.deadline.is_some_and(|due| before.deadline.is_none_or(|known| due < known));
    is_due_sooner || (after.is_blocked && !before.is_blocked)
}

/// A panic in `on_event` leaves a session that is whole: events are told between its steps.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<M: Memory, H: Handshake> core::fmt::Debug for SharedClient<M, H> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SharedClient").finish_non_exhaustive()
    }
}

impl<M: Memory, H: Handshake> core::fmt::Debug for Shortcut<M, H> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Shortcut").finish_non_exhaustive()
    }
}

impl<M: Memory, H: Handshake> Clone for Shortcut<M, H> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), waker: self.waker.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn driver_is_woken_for_what_is_due_before_it_would_look() {
        let at = |micros: Option<u64>, is_blocked| Wait {
            deadline: micros.map(Instant::from_micros),
            window: None,
            is_blocked,
        };
        assert!(is_sooner(at(Some(5), false), at(Some(6), false)));
        assert!(is_sooner(at(Some(5), false), at(None, false)));
        assert!(is_sooner(at(None, true), at(None, false)));
        assert!(!is_sooner(at(Some(6), false), at(Some(6), false)));
        assert!(!is_sooner(at(None, false), at(Some(6), false)));
        assert!(!is_sooner(at(Some(7), true), at(Some(6), true)));
    }
}
