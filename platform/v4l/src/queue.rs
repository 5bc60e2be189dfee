//! The buffers that go round between the driver and us.
//!
//! Each buffer is the driver's or ours; at most one is ours, the one that is shown. Invariant: while a slice of a
//! buffer is lent, that buffer is ours, because taking the next one needs `&mut`.

#![expect(unsafe_code, reason = "buffers are memory mapped from the driver")]

use core::ptr::NonNull;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

use v4l::v4l_sys as sys;
use v4l::v4l2::{self, vidioc};

use crate::V4lError;
use crate::device::{Device, Interface, blank, ioctl, kernel_error};

/// A filled buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filled {
    index: u32,
    /// Where its bytes begin and end.
    start: usize,
    end: usize,
    /// The driver's number of it; numbers are left out for frames it had no buffer for.
    sequence: u32,
    /// When the driver had it, in µs of the kernel's monotonic clock; `None` if it used another clock.
    pub(crate) monotonic_us: Option<u64>,
    /// Which moment of the frame that was.
    pub(crate) moment: Moment,
}

/// Which moment of a frame a driver's timestamp tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Moment {
    /// Its first pixel was taken: latencies counted from here hold the time that the frame takes on its cable.
    Start,
    /// Its last pixel arrived.
    End,
}

/// Streaming buffers of one device; streaming ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Queue {
    device: Arc<Device>,
    buffers: Vec<Mapping>,
    held: Option<Filled>,
    discarded: u64,
    lost: u64,
    sequence: Option<u32>,
}

impl Queue {
    /// Maps the buffers, gives them to the driver and starts the stream.
    pub(crate) fn start(device: Arc<Device>) -> Result<Self, V4lError> {
        let mut queue =
            Self { device, buffers: Vec::new(), held: None, discarded: 0, lost: 0, sequence: None };
        let count = queue.request(BUFFERS)?;
        for index in 0..count {
            let mapping = queue.map(index)?;
            queue.buffers.push(mapping);
            queue.give(index)?;
        }
        let mut kind = queue.device.interface().buffer_type().cast_signed();
        queue.call("start the stream", vidioc::VIDIOC_STREAMON, &mut kind)?;
        Ok(queue)
    }

    /// Takes every filled buffer, keeps the last that is whole and gives the others back.
    /// Returns whether there was a new one. One that is shorter than `len_min` or marked faulty is discarded.
    pub(crate) fn take_newest(&mut self, len_min: usize) -> Result<bool, V4lError> {
        let mut found = false;
        // Twice round at most: a driver that fills faster than we empty must not keep us.
        for _ in 0..2 * self.buffers.len() {
            let Some((filled, whole)) = self.take()? else {
                break;
            };
            if let Some(last) = self.sequence.replace(filled.sequence) {
                let gap = filled.sequence.wrapping_sub(last).wrapping_sub(1);
                // A driver that numbers nothing, or starts anew, has lost none.
                self.lost += u64::from(if gap > GAP_MAX { 0 } else { gap });
            }
            if !whole || filled.end.saturating_sub(filled.start) < len_min {
                self.discarded += 1;
                self.give(filled.index)?;
                continue;
            }
            found = true;
            if let Some(older) = self.held.replace(filled) {
                self.give(older.index)?;
            }
        }
        Ok(found)
    }

    /// The buffer that was kept, and its bytes.
    pub(crate) fn held(&self) -> Option<(Filled, &[u8])> {
        let filled = self.held?;
        let mapping = self.buffers.get(usize::try_from(filled.index).ok()?)?;
        Some((filled, mapping.bytes().get(filled.start..filled.end)?))
    }

    /// How many frames were faulty or short.
    pub(crate) const fn discarded(&self) -> u64 {
        self.discarded
    }

    /// How many frames the driver had no buffer for.
    pub(crate) const fn lost(&self) -> u64 {
        self.lost
    }

    fn request(&self, count: u32) -> Result<u32, V4lError> {
        let mut request: sys::v4l2_requestbuffers = blank();
        request.count = count;
        request.type_ = self.device.interface().buffer_type();
        request.memory = MAPPED;
        self.call("ask for buffers", vidioc::VIDIOC_REQBUFS, &mut request)?;
        Ok(request.count)
    }

    fn map(&self, index: u32) -> Result<Mapping, V4lError> {
        let (buffer, plane) = self
            .exchange(vidioc::VIDIOC_QUERYBUF, index)
            .map_err(|source| kernel_error(self.device.path(), "ask for a buffer", source))?;
        let (len, offset) = match self.device.interface() {
            // SAFETY: the driver fills in this field for mapped memory, and any bits are a valid integer.
            Interface::Single => (buffer.length, unsafe { buffer.m.offset }),
            // SAFETY: as above.
            Interface::Multi => (plane.length, unsafe { plane.m.mem_offset }),
        };
        Mapping::new(&self.device, len as usize, offset)
            .map_err(|source| kernel_error(self.device.path(), "map a buffer", source))
    }

    fn give(&self, index: u32) -> Result<(), V4lError> {
        self.exchange(vidioc::VIDIOC_QBUF, index)
            .map(drop)
            .map_err(|source| kernel_error(self.device.path(), "give a buffer back", source))
    }

    /// The oldest filled buffer and whether the driver holds it for whole.
    fn take(&self) -> Result<Option<(Filled, bool)>, V4lError> {
        let (buffer, plane) = match self.exchange(vidioc::VIDIOC_DQBUF, 0) {
            Ok(both) => both,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(kernel_error(self.device.path(), "take a frame", error)),
        };
        let (start, end) = match self.device.interface() {
            Interface::Single => (0, buffer.bytesused),
            // What is used counts from the buffer's start, too.
            Interface::Multi => (plane.data_offset, plane.bytesused),
        };
        let monotonic =
            buffer.flags & sys::V4L2_BUF_FLAG_TIMESTAMP_MASK == sys::V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
        let source = buffer.flags & sys::V4L2_BUF_FLAG_TSTAMP_SRC_MASK;
        let moment = if source == sys::V4L2_BUF_FLAG_TSTAMP_SRC_SOE { Moment::Start } else { Moment::End };
        let seconds = u64::try_from(buffer.timestamp.tv_sec).ok();
        let micros = u64::try_from(buffer.timestamp.tv_usec).ok();
        let stamp = seconds.zip(micros).map(|(seconds, micros)| seconds.saturating_mul(1_000_000) + micros);
        let filled = Filled {
            index: buffer.index,
            start: start as usize,
            end: end as usize,
            sequence: buffer.sequence,
            monotonic_us: stamp.filter(|_| monotonic),
            moment,
        };
        Ok(Some((filled, buffer.flags & sys::V4L2_BUF_FLAG_ERROR == 0)))
    }

    /// One request about a buffer; what the driver made of the buffer, and of its only plane if it speaks of planes.
    fn exchange(
        &self,
        request: vidioc::_IOC_TYPE,
        index: u32,
    ) -> io::Result<(sys::v4l2_buffer, sys::v4l2_plane)> {
        let mut plane: sys::v4l2_plane = blank();
        let mut buffer: sys::v4l2_buffer = blank();
        buffer.index = index;
        buffer.type_ = self.device.interface().buffer_type();
        buffer.memory = MAPPED;
        if self.device.interface() == Interface::Multi {
            // The kernel follows it while the request lasts, for as many planes as the length says.
            buffer.m.planes = &raw mut plane;
            buffer.length = 1;
        }
        ioctl(self.device.as_fd(), request, &mut buffer)?;
        Ok((buffer, plane))
    }

    fn call<T: crate::device::Plain>(
        &self,
        action: &'static str,
        request: vidioc::_IOC_TYPE,
        argument: &mut T,
    ) -> Result<(), V4lError> {
        ioctl(self.device.as_fd(), request, argument)
            .map_err(|source| kernel_error(self.device.path(), action, source))
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // Both may fail on a device that is gone, and then there is nothing left to undo.
        let mut kind = self.device.interface().buffer_type().cast_signed();
        let _ = self.call("stop the stream", vidioc::VIDIOC_STREAMOFF, &mut kind);
        self.buffers.clear();
        let _ = self.request(0);
    }
}

/// One buffer in our address space.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread, and nobody else has the pointer.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(device: &Device, len: usize, offset: u32) -> io::Result<Self> {
        let fd = device.as_fd().as_raw_fd();
        let start = core::ptr::null_mut();
        // SAFETY: a new mapping anywhere replaces nothing; the kernel checks length and offset.
        let start = unsafe { v4l2::mmap(start, len, libc::PROT_READ, libc::MAP_SHARED, fd, offset.into()) }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, len })
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: `len` bytes are mapped for reading until this is dropped. The driver writes only into buffers
        // that it was given, and the queue lends no slice of those.
        unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this mapping was made in `new` with this length, and no slice of it is left.
        let _ = unsafe { v4l2::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

const MAPPED: sys::v4l2_memory = sys::v4l2_memory_V4L2_MEMORY_MMAP;

/// Ten minutes of frames: a longer gap in the numbers is a new start.
const GAP_MAX: u32 = 36_000;

/// One is shown, one is being filled, one waits to be filled; the fourth covers a late reader.
const BUFFERS: u32 = 4;
