//! Memory shared with the X server (MIT-SHM 1.2, by descriptor).
//!
//! The server touches a segment only while it carries out a request that names it, so whoever owns a
//! [`Segment`] lends its bytes only when no such request is under way. Sealing is not needed: the descriptor
//! is known to nobody but the two of us, and the size never changes.

#![expect(unsafe_code, reason = "memory shared with another process is mapped by hand")]

use core::ptr::NonNull;
use core::slice;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use x11rb::connection::Connection;
use x11rb::protocol::shm;
use x11rb::rust_connection::RustConnection;

use crate::Error;

/// A piece of memory that we and the X server see alike.
pub(crate) struct Segment {
    id: shm::Seg,
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to this value alone within the process and is tied to no thread.
unsafe impl Send for Segment {}

impl Segment {
    /// `len` zeroed bytes, attached to the server; `len` is not 0.
    pub(crate) fn new(connection: &RustConnection, len: usize) -> Result<Self, Error> {
        let id = connection.generate_id()?;
        let file = memfd_create("rift-x11", MemfdFlags::CLOEXEC)?;
        ftruncate(&file, len as u64)?;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a fresh mapping at an address of the kernel's choice overlaps nothing.
        let start = unsafe { mmap(core::ptr::null_mut(), len, protection, MapFlags::SHARED, &file, 0) }?;
        let start = NonNull::new(start.cast()).expect("mmap succeeded, so it did not return null");
        let segment = Self { id, start, len };
        shm::attach_fd(connection, segment.id, file, false)?.check()?;
        Ok(segment)
    }

    /// The server's name for it.
    pub(crate) const fn id(&self) -> shm::Seg {
        self.id
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping holds `len` initialised bytes for as long as `self` lives; the owner sees to it
        // that the server does not write meanwhile.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// Its bytes, to be written.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; `&mut self` excludes every other borrow of ours.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }

    /// Takes it from the server. A closed connection does that by itself.
    pub(crate) fn detach(self, connection: &RustConnection) -> Result<(), Error> {
        shm::detach(connection, self.id)?.ignore_error();
        Ok(())
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: the range is the one mmap gave, and nobody borrows it any more.
        // A failure would leave it mapped, which harms nothing.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
    }
}
