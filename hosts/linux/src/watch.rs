//! What ends a host besides its user: signals, and the end of a shared program. Also its slow pulse.

use core::sync::atomic::{AtomicU8, Ordering};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rift_mio::Waker;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use signal_hook::consts::{SIGINT, SIGTERM};

/// The network is woken this often, in nanoseconds, to look whether the list of clients changed.
const PULSE_NS: i64 = 200_000_000;

/// Becomes readable when the host is to end.
#[derive(Debug)]
pub struct Stop(UnixStream);

impl Stop {
    /// Ends on SIGINT and SIGTERM.
    ///
    /// # Errors
    /// The system's.
    pub fn on_signals() -> io::Result<Self> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        for signal in [SIGINT, SIGTERM] {
            signal_hook::low_level::pipe::register(signal, writer.try_clone()?)?;
        }
        Ok(Self(reader))
    }

    /// Ends when the other half is written to or dropped.
    ///
    /// # Errors
    /// The system's.
    pub fn by_hand() -> io::Result<(Self, UnixStream)> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        Ok((Self(reader), writer))
    }
}

/// Why the host ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// It does not yet.
    None = 0,
    /// Somebody said so.
    Asked = 1,
    /// The shared program ended.
    ProgramEnded = 2,
}

/// A thread that waits for all this and wakes the network.
#[derive(Debug)]
pub struct Watch {
    reason: Arc<AtomicU8>,
    quit: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts it. `program` is readable when the shared program has ended.
    ///
    /// # Errors
    /// The system's.
    pub fn start(stop: Stop, program: Option<BorrowedFd<'_>>, waker: Waker) -> io::Result<Self> {
        let reason = Arc::new(AtomicU8::new(Reason::None as u8));
        let program = program.map(|program| program.try_clone_to_owned()).transpose()?;
        let (quit, quitting) = UnixStream::pair()?;
        let result = Arc::clone(&reason);
        let thread = thread::Builder::new().name("watch".into()).spawn(move || {
            let outcome = wait(stop.0, program.as_ref(), &quitting, &waker);
            result.store(outcome as u8, Ordering::Release);
            waker.wake();
        })?;
        Ok(Self { reason, quit: Some(quit), thread: Some(thread) })
    }

    /// Why the host is to end now, if it is.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self.reason.load(Ordering::Acquire) {
            1 => Reason::Asked,
            2 => Reason::ProgramEnded,
            _ => Reason::None,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.quit = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// Waits until there is a reason to end, or (with none) until `quit` is closed. Wakes the network now and then.
fn wait(mut stop: UnixStream, program: Option<&OwnedFd>, quit: &UnixStream, waker: &Waker) -> Reason {
    const PULSE: Timespec = Timespec { tv_sec: 0, tv_nsec: PULSE_NS };
    loop {
        let (stop_fd, quit_fd) = (stop.as_fd(), quit.as_fd());
        // Without a program its place is taken by another descriptor, whose answer is not looked at.
        let program_fd = program.map_or(quit_fd, AsFd::as_fd);
        let mut fds = [stop_fd, quit_fd, program_fd].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        if poll(&mut fds, Some(&PULSE)).is_ok_and(|ready| ready > 0) {
            let [is_stop, is_quit, is_program] = fds.map(|fd| !fd.revents().is_empty());
            if is_quit {
                return Reason::None;
            }
            if is_stop {
                // What was written is of no interest.
                let _ = stop.read(&mut [0; 64]);
                return Reason::Asked;
            }
            if is_program {
                return Reason::ProgramEnded;
            }
        }
        waker.wake();
    }
}
