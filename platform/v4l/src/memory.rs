//! Memory that a driver puts frames into: its own, mapped, or this process's.

#![expect(unsafe_code, reason = "memory is mapped, and read while nobody writes into it")]

use core::ptr::NonNull;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};

use v4l::v4l2;

use crate::device::Device;

/// Whole pages of our address space.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread, and nobody else has the pointer but the kernel.
unsafe impl Send for Mapping {}

impl Mapping {
    /// The driver's memory that it calls `offset`.
    pub(crate) fn of_driver(device: &Device, len: usize, offset: u32) -> io::Result<Self> {
        let fd = device.as_fd().as_raw_fd();
        Self::new(len, libc::PROT_READ, libc::MAP_SHARED, fd, offset.into())
    }

    /// Fresh memory of this process's, all zero.
    pub(crate) fn of_process(len: usize) -> io::Result<Self> {
        let (rights, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        Self::new(len, rights, kind, -1, 0)
    }

    fn new(len: usize, rights: i32, kind: i32, fd: i32, offset: i64) -> io::Result<Self> {
        let start = core::ptr::null_mut();
        // SAFETY: a new mapping anywhere replaces nothing; the kernel checks length and offset.
        let start = unsafe { v4l2::mmap(start, len, rights, kind, fd, offset) }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, len })
    }

    /// Its bytes. They may be anything while the driver has them to write into, so whoever calls this holds them.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: `len` bytes are mapped for reading until this is dropped. The driver writes only into buffers
        // that it was given, and the queue lends no slice of those.
        unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// Where it begins, as the kernel is told.
    pub(crate) fn address(&self) -> core::ffi::c_ulong {
        self.start.as_ptr().expose_provenance() as core::ffi::c_ulong
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this mapping was made in `new` with this length, and no slice of it is left.
        let _ = unsafe { v4l2::munmap(self.start.as_ptr().cast(), self.len) };
    }
}
