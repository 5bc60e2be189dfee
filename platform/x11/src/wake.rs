//! One descriptor that says when to look: at the connection, or at events already read from it.
//!
//! Waiting for a reply reads whatever events come before it, so the socket alone would stay silent about
//! them. Whoever made a round trip raises the flag; whoever has looked and found nothing lowers it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, epoll, eventfd};
use x11rb::rust_connection::RustConnection;

use crate::Error;

/// Readable when the connection is or the flag is up.
pub(crate) struct Wake {
    either: OwnedFd,
    flag: OwnedFd,
    raised: bool,
}

impl Wake {
    /// Watches a connection; the flag is up, since opening it made round trips.
    pub(crate) fn new(connection: &RustConnection) -> Result<Self, Error> {
        let either = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let flag = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        for descriptor in [connection.stream().as_fd(), flag.as_fd()] {
            epoll::add(&either, descriptor, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
        }
        let mut wake = Self { either, flag, raised: false };
        wake.raise()?;
        Ok(wake)
    }

    /// There may be something to look at.
    pub(crate) fn raise(&mut self) -> Result<(), Error> {
        if !core::mem::replace(&mut self.raised, true) {
            rustix::io::write(&self.flag, &1u64.to_ne_bytes())?;
        }
        Ok(())
    }

    /// Somebody looks now.
    pub(crate) fn lower(&mut self) -> Result<(), Error> {
        if core::mem::take(&mut self.raised) {
            rustix::io::read(&self.flag, &mut [0; 8])?;
        }
        Ok(())
    }

    /// The descriptor to wait on.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.either.as_fd()
    }
}
