//! Waits for a socket, a deadline or a waker, to the microsecond.
//!
//! The timeout of `epoll` counts whole milliseconds; pacing needs better. So deadlines are met by a timer file that
//! is polled along with the socket. A machine that wakes threads late can have the last microseconds before a paced
//! departure polled without sleep: the timer is set that much earlier then.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rift::Instant;

use crate::anticipation::Window;
use crate::clock::Clock;
use crate::socket::Socket;
use crate::sys;

/// The longest time before a paced departure that may be polled without sleep, in µs: less than half of what is
/// mostly between two departures of a session, so that one does not make its thread spin.
pub const BUSY_POLL_US_MAX: u32 = 200;

const SOCKET: Token = Token(0);
const TIMER: Token = Token(1);
const WAKER: Token = Token(2);

/// Ends the wait of a driver's turn, from any thread. A wake between turns ends the next wait.
#[derive(Clone, Debug)]
pub struct Waker(Arc<mio::Waker>);

impl Waker {
    /// Ends the wait. Several wakes before the driver gets to look are one.
    pub fn wake(&self) {
        // It can only fail when the driver's poll is gone, and then there is nobody to wake.
        let _ = self.0.wake();
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Poller {
    poll: Poll,
    events: Events,
    waker: Waker,
    timer: OwnedFd,
    clock: Clock,
    /// The socket; whoever replaces it says so.
    socket: RawFd,
    armed: Option<Instant>,
    /// What is left of the time to a paced departure when it is no longer slept, in µs.
    busy_poll_us: u64,
    /// Whether room in the socket is waited for.
    is_writable_wanted: bool,
    /// The socket may hold datagrams: told by an edge, so remembered until it is found empty.
    pub(crate) is_readable: bool,
}

impl Poller {
    pub(crate) fn new(socket: &Socket) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker(Arc::new(mio::Waker::new(poll.registry(), WAKER)?));
        let timer = sys::timer_create()?;
        poll.registry().register(&mut SourceFd(&timer.as_raw_fd()), TIMER, Interest::READABLE)?;
        poll.registry().register(&mut SourceFd(&socket.as_raw_fd()), SOCKET, Interest::READABLE)?;
        Ok(Self {
            poll,
            events: Events::with_capacity(4),
            waker,
            timer,
            clock: Clock::new(),
            socket: socket.as_raw_fd(),
            armed: None,
            busy_poll_us: 0,
            is_writable_wanted: false,
            is_readable: true,
        })
    }

    pub(crate) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Waits on another socket from now on. The old one must still be open.
    pub(crate) fn replace(&mut self, old: &Socket, new: &Socket) -> io::Result<()> {
        let registry = self.poll.registry();
        registry.register(&mut SourceFd(&new.as_raw_fd()), SOCKET, Interest::READABLE)?;
        registry.deregister(&mut SourceFd(&old.as_raw_fd()))?;
        self.socket = new.as_raw_fd();
        (self.is_writable_wanted, self.is_readable) = (false, true);
        Ok(())
    }

    /// The last microseconds before a paced departure are polled without sleep from now on; 0 = none are.
    pub(crate) fn set_busy_poll(&mut self, micros: u32) {
        self.busy_poll_us = u64::from(micros.min(BUSY_POLL_US_MAX));
    }

    /// As [`Self::wait`], for the departure of what is paced.
    pub(crate) fn wait_to_depart(&mut self, due: Instant, is_blocked: bool) -> io::Result<()> {
        self.want_writable(is_blocked)?;
        self.wait_awake(due.minus_micros(self.busy_poll_us), due)
    }

    /// As [`Self::wait`], without sleep in the window.
    pub(crate) fn wait_for_picture(
        &mut self,
        window: Window,
        deadline: Option<Instant>,
        is_blocked: bool,
    ) -> io::Result<()> {
        self.want_writable(is_blocked)?;
        let sooner = |time: Instant| deadline.map_or(time, |deadline| deadline.min(time));
        self.wait_awake(sooner(window.from), sooner(window.until))
    }

    /// Waits until the socket is readable, or has room if `is_blocked`, the deadline has come, or somebody wakes.
    /// Returns at once, having looked, while datagrams are known to wait.
    pub(crate) fn wait(&mut self, deadline: Option<Instant>, is_blocked: bool) -> io::Result<()> {
        self.want_writable(is_blocked)?;
        self.wait_or_wake(deadline).map(|_| ())
    }

    /// Sleeps until `from`, and is awake from then until `until` or until there is anything to do.
    fn wait_awake(&mut self, from: Instant, until: Instant) -> io::Result<()> {
        let mut is_over = self.wait_or_wake(Some(from))?;
        while !is_over && self.clock.now() < until {
            is_over = self.look(Some(core::time::Duration::ZERO))?;
        }
        Ok(())
    }

    /// Whether there is anything to do but for the deadline.
    fn wait_or_wake(&mut self, deadline: Option<Instant>) -> io::Result<bool> {
        let is_due = deadline.is_some_and(|deadline| deadline <= self.clock.now());
        let timeout = if self.is_readable || is_due {
            Some(core::time::Duration::ZERO)
        } else {
            self.arm(deadline)?;
            None
        };
        self.look(timeout)
    }

    /// Polls everything for so long; whether anything but the timer ended it.
    fn look(&mut self, timeout: Option<core::time::Duration>) -> io::Result<bool> {
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => {}
            // A signal: the caller may want to look at why.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
            Err(error) => return Err(error),
        }
        let mut is_over = self.is_readable;
        for event in &self.events {
            match event.token() {
                // An error of the socket is told by reading it.
                SOCKET => {
                    self.is_readable |= event.is_readable() || event.is_error();
                    is_over = true;
                }
                TIMER => self.armed = None,
                _ => is_over = true,
            }
        }
        Ok(is_over)
    }

    /// Room is asked for only while it is missing: each sent datagram would wake the driver otherwise.
    fn want_writable(&mut self, wanted: bool) -> io::Result<()> {
        if self.is_writable_wanted == wanted {
            return Ok(());
        }
        self.is_writable_wanted = wanted;
        let interest = if wanted { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        self.poll.registry().reregister(&mut SourceFd(&self.socket), SOCKET, interest)
    }

    /// Sets the timer. It is never read: setting it again takes back that it has fired.
    fn arm(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        if self.armed == deadline {
            return Ok(());
        }
        self.armed = deadline;
        sys::timer_set(&self.timer, deadline.map(|deadline| self.clock.monotonic_ns(deadline)))
    }
}

/// When to act again on a deadline that was already due when everything was last polled: a session that asks for
/// the past, or one that cannot be served while the socket has no room, must not make the driver spin.
pub(crate) const fn not_before(deadline: Instant, polled_at: Instant) -> Instant {
    const PAUSE_US: u64 = 500;
    if deadline.as_micros() <= polled_at.as_micros() { polled_at.plus_micros(PAUSE_US) } else { deadline }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::SocketConfig;

    #[test]
    fn wait_ends_at_the_deadline_and_not_before() {
        let socket = Socket::bind(&SocketConfig::default(), "127.0.0.1:0".parse().expect("an address"))
            .expect("a free port");
        let mut poller = Poller::new(&socket).expect("files are to be had");
        poller.is_readable = false;
        let clock = Clock::new();
        let mut late_us: Vec<u64> = (0..200)
            .map(|turn| {
                let deadline = clock.now().plus_micros(100 + turn * 10);
                poller.wait(Some(deadline), false).expect("polling works");
                let now = clock.now();
                assert!(now >= deadline, "woke {} µs early", deadline.micros_since(now));
                now.micros_since(deadline)
            })
            .collect();
        late_us.sort_unstable();
        println!("late by {} µs at the median, {} µs at p99", late_us[100], late_us[198]);
    }

    #[test]
    fn departure_is_polled_for_without_sleep_and_ends_with_what_else_comes() {
        let socket = Socket::bind(&SocketConfig::default(), "127.0.0.1:0".parse().expect("an address"))
            .expect("a free port");
        let mut poller = Poller::new(&socket).expect("files are to be had");
        poller.is_readable = false;
        poller.set_busy_poll(u32::MAX);
        assert_eq!(poller.busy_poll_us, u64::from(BUSY_POLL_US_MAX), "nobody spins longer than is said");
        let clock = Clock::new();
        for wait_us in [0, 50, 300, 2000] {
            let due = clock.now().plus_micros(wait_us);
            poller.wait_to_depart(due, false).expect("polling works");
            assert!(clock.now() >= due, "woke early");
        }
        poller.waker().wake();
        let due = clock.now().plus_micros(3_600_000_000);
        poller.wait_to_depart(due, false).expect("polling works");
        assert!(clock.now() < due, "a wake ends the wait");
        // What wakes while it is polled for without sleep ends that, too.
        poller.waker().wake();
        poller
            .wait_to_depart(clock.now().plus_micros(u64::from(BUSY_POLL_US_MAX) / 2), false)
            .expect("polling works");
        assert!(!poller.look(Some(core::time::Duration::ZERO)).expect("polling works"), "the wake was taken");
    }

    #[test]
    fn deadline_that_was_due_already_waits_a_moment() {
        let now = Instant::from_millis(5);
        assert!(not_before(Instant::ZERO, now) > now);
        assert!(not_before(now, now) > now);
        let later = now.plus_micros(1);
        assert_eq!(not_before(later, now), later);
    }
}
