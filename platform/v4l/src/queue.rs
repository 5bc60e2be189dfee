//! The buffers that go round between the driver and us.
//!
//! A buffer is what holds one frame: one piece of memory, or one for each plane. Each buffer is the driver's or ours; at
//! most one is ours, the one that is shown. Invariant: while a slice of a buffer is lent, that buffer is ours, because
//! taking the next one needs `&mut`.

#![expect(unsafe_code, reason = "the kernel's structure of buffers holds a union")]

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::sync::Arc;

use v4l::v4l_sys as sys;
use v4l::v4l2::vidioc;

use crate::V4lError;
use crate::device::{Device, Interface, blank, ioctl, kernel_error};
use crate::format::{Memory, PLANES_MAX};
use crate::memory::Mapping;
use crate::setting::Setting;

/// A filled buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filled {
    index: u32,
    /// Where the bytes of each plane begin and end.
    spans: [(usize, usize); PLANES_MAX],
    /// The driver's number of it; numbers are left out for frames it had no buffer for.
    sequence: u32,
    /// When the driver had it, in µs of the kernel's monotonic clock; `None` if it used another clock.
    pub(crate) monotonic_us: Option<u64>,
    /// Which moment of the frame that was.
    pub(crate) moment: Moment,
}

impl Filled {
    fn is_shorter_than(&self, lens_min: [usize; PLANES_MAX]) -> bool {
        self.spans.iter().zip(lens_min).any(|(&(start, end), min)| end.saturating_sub(start) < min)
    }
}

/// Which moment of a frame a driver's timestamp tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Moment {
    /// Its first pixel was taken: latencies counted from here hold the time that the frame takes on its cable.
    Start,
    /// Its last pixel arrived.
    End,
}

/// What holds one frame.
#[derive(Debug)]
struct Buffer {
    planes: Vec<Mapping>,
    /// The same memory for other devices, once somebody asked.
    exported: Vec<OwnedFd>,
}

/// For each plane of a buffer, the memory that other devices are given, and where in it the plane begins.
pub(crate) type Shared<'a> = [Option<(BorrowedFd<'a>, usize)>; PLANES_MAX];

/// Streaming buffers of one device; streaming ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Queue {
    device: Arc<Device>,
    memory: Memory,
    /// How many planes have memory of their own.
    planes: usize,
    buffers: Vec<Buffer>,
    held: Option<Filled>,
    discarded: u64,
    lost: u64,
    sequence: Option<u32>,
    /// Whether the last buffer was not whole.
    has_gap: bool,
}

impl Queue {
    /// Makes the buffers, gives them to the driver and starts the stream. `memory`: see
    /// [`Options::memory`](crate::Options::memory).
    pub(crate) fn start(
        device: Arc<Device>,
        setting: &Setting,
        memory: Option<Memory>,
    ) -> Result<Self, V4lError> {
        let planes = setting.layout.buffers();
        let mut queue = Self {
            device,
            memory: memory.unwrap_or(Memory::Driver),
            planes,
            buffers: Vec::new(),
            held: None,
            discarded: 0,
            lost: 0,
            sequence: None,
            has_gap: false,
        };
        let count = match queue.request(BUFFERS) {
            // It has none to map, and says no more than that.
            Err(error) if memory.is_none() && error.is_invalid() => {
                queue.memory = Memory::Process;
                queue.request(BUFFERS).map_err(|_| error)?
            }
            outcome => outcome?,
        };
        for index in 0..count {
            let planes = match queue.memory {
                Memory::Driver => queue.map(index)?,
                Memory::Process => queue.allocate(setting)?,
            };
            queue.buffers.push(Buffer { planes, exported: Vec::new() });
            queue.give(index)?;
        }
        let mut kind = queue.device.interface().buffer_type().cast_signed();
        queue.call("start the stream", vidioc::VIDIOC_STREAMON, &mut kind)?;
        Ok(queue)
    }

    /// Takes every filled buffer, keeps the last that is whole and gives the others back.
    /// Returns whether there was a new one. One with a plane shorter than `lens_min` or marked faulty is discarded.
    pub(crate) fn take_newest(&mut self, lens_min: [usize; PLANES_MAX]) -> Result<bool, V4lError> {
        let mut found = false;
        // Twice round at most: a driver that fills faster than we empty must not keep us.
        for _ in 0..2 * self.buffers.len() {
            let Some((filled, whole)) = self.take()? else {
                break;
            };
            self.count(filled.sequence);
            if !whole || filled.is_shorter_than(lens_min) {
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

    /// Takes the oldest whole buffer and gives the one that was kept back. Returns whether it is the one right after that,
    /// as far as the driver's numbers and flags tell. For streams in which each picture needs the one before it.
    pub(crate) fn take_next(&mut self, lens_min: [usize; PLANES_MAX]) -> Result<Option<bool>, V4lError> {
        for _ in 0..2 * self.buffers.len() {
            let Some((filled, whole)) = self.take()? else { break };
            let lost = self.lost;
            let is_first = self.sequence.is_none();
            self.count(filled.sequence);
            let follows = !is_first && self.lost == lost && !self.has_gap;
            self.has_gap = !whole || filled.is_shorter_than(lens_min);
            if self.has_gap {
                self.discarded += 1;
                self.give(filled.index)?;
                continue;
            }
            if let Some(older) = self.held.replace(filled) {
                self.give(older.index)?;
            }
            return Ok(Some(follows));
        }
        Ok(None)
    }

    /// Takes note of a buffer's number; numbers that were left out are frames that the driver has lost.
    fn count(&mut self, sequence: u32) {
        if let Some(last) = self.sequence.replace(sequence) {
            let gap = sequence.wrapping_sub(last).wrapping_sub(1);
            // A driver that numbers nothing, or starts anew, has lost none.
            self.lost += u64::from(if gap > GAP_MAX { 0 } else { gap });
        }
    }

    /// The buffer that was kept, and the bytes of each of its planes.
    pub(crate) fn held(&self) -> Option<(Filled, [&[u8]; PLANES_MAX])> {
        let filled = self.held?;
        let buffer = self.buffers.get(usize::try_from(filled.index).ok()?)?;
        let mut bytes: [&[u8]; PLANES_MAX] = [&[]; PLANES_MAX];
        for ((bytes, plane), (start, end)) in bytes.iter_mut().zip(&buffer.planes).zip(filled.spans) {
            *bytes = plane.bytes().get(start..end)?;
        }
        Some((filled, bytes))
    }

    /// The memory of the buffer that was kept as other devices take it: a descriptor for each plane, and where in it the
    /// plane begins. `None` without such a buffer, and for memory that is not the driver's.
    pub(crate) fn export(&mut self) -> Result<Option<Shared<'_>>, V4lError> {
        let Some(filled) = self.held.filter(|_| self.memory == Memory::Driver) else { return Ok(None) };
        let index = usize::try_from(filled.index).unwrap_or(usize::MAX);
        let Some(known) = self.buffers.get(index).map(|buffer| buffer.exported.len()) else {
            return Ok(None);
        };
        for plane in known..self.planes {
            let exported = self.export_plane(filled.index, plane)?;
            self.buffers[index].exported.push(exported);
        }
        let mut all = [None; PLANES_MAX];
        for ((place, fd), (start, _)) in all.iter_mut().zip(&self.buffers[index].exported).zip(filled.spans) {
            *place = Some((fd.as_fd(), start));
        }
        Ok(Some(all))
    }

    fn export_plane(&self, index: u32, plane: usize) -> Result<OwnedFd, V4lError> {
        let mut wanted: sys::v4l2_exportbuffer = blank();
        wanted.type_ = self.device.interface().buffer_type();
        wanted.index = index;
        wanted.plane = u32::try_from(plane).unwrap_or(u32::MAX);
        wanted.flags = (libc::O_CLOEXEC | libc::O_RDONLY).cast_unsigned();
        self.call("export a buffer", vidioc::VIDIOC_EXPBUF, &mut wanted)?;
        // SAFETY: the kernel has just made this descriptor for us, and nobody else knows of it.
        Ok(unsafe { OwnedFd::from_raw_fd(wanted.fd) })
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
        request.memory = self.kind();
        self.call("ask for buffers", vidioc::VIDIOC_REQBUFS, &mut request)?;
        Ok(request.count)
    }

    /// The kernel's name of the memory.
    const fn kind(&self) -> sys::v4l2_memory {
        match self.memory {
            Memory::Driver => sys::v4l2_memory_V4L2_MEMORY_MMAP,
            Memory::Process => sys::v4l2_memory_V4L2_MEMORY_USERPTR,
        }
    }

    fn map(&self, index: u32) -> Result<Vec<Mapping>, V4lError> {
        let (buffer, planes) = self
            .exchange(vidioc::VIDIOC_QUERYBUF, index)
            .map_err(|source| kernel_error(self.device.path(), "ask for a buffer", source))?;
        let place = |plane: usize| match self.device.interface() {
            // SAFETY: the driver fills in this field for mapped memory, and any bits are a valid integer.
            Interface::Single => (buffer.length, unsafe { buffer.m.offset }),
            // SAFETY: as above.
            Interface::Multi => (planes[plane].length, unsafe { planes[plane].m.mem_offset }),
        };
        let map = |plane| {
            let (len, offset) = place(plane);
            Mapping::of_driver(&self.device, len as usize, offset)
        };
        let mapped: io::Result<Vec<Mapping>> = (0..self.planes).map(map).collect();
        mapped.map_err(|source| kernel_error(self.device.path(), "map a buffer", source))
    }

    fn allocate(&self, setting: &Setting) -> Result<Vec<Mapping>, V4lError> {
        let made: io::Result<Vec<Mapping>> =
            setting.lens[..self.planes].iter().map(|&len| Mapping::of_process(len)).collect();
        made.map_err(|source| kernel_error(self.device.path(), "allocate a buffer", source))
    }

    fn give(&self, index: u32) -> Result<(), V4lError> {
        self.exchange(vidioc::VIDIOC_QBUF, index)
            .map(drop)
            .map_err(|source| kernel_error(self.device.path(), "give a buffer back", source))
    }

    /// The oldest filled buffer and whether the driver holds it for whole.
    fn take(&self) -> Result<Option<(Filled, bool)>, V4lError> {
        let (buffer, planes) = match self.exchange(vidioc::VIDIOC_DQBUF, 0) {
            Ok(both) => both,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(kernel_error(self.device.path(), "take a frame", error)),
        };
        let mut spans = [(0, 0); PLANES_MAX];
        match self.device.interface() {
            Interface::Single => spans[0] = (0, buffer.bytesused as usize),
            Interface::Multi => {
                for (span, plane) in spans.iter_mut().zip(&planes).take(self.planes) {
                    // What is used counts from the buffer's start, too.
                    *span = (plane.data_offset as usize, plane.bytesused as usize);
                }
            }
        }
        let monotonic =
            buffer.flags & sys::V4L2_BUF_FLAG_TIMESTAMP_MASK == sys::V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
        let source = buffer.flags & sys::V4L2_BUF_FLAG_TSTAMP_SRC_MASK;
        let moment = if source == sys::V4L2_BUF_FLAG_TSTAMP_SRC_SOE { Moment::Start } else { Moment::End };
        let seconds = u64::try_from(buffer.timestamp.tv_sec).ok();
        let micros = u64::try_from(buffer.timestamp.tv_usec).ok();
        let stamp = seconds.zip(micros).map(|(seconds, micros)| seconds.saturating_mul(1_000_000) + micros);
        let filled = Filled {
            index: buffer.index,
            spans,
            sequence: buffer.sequence,
            monotonic_us: stamp.filter(|_| monotonic),
            moment,
        };
        Ok(Some((filled, buffer.flags & sys::V4L2_BUF_FLAG_ERROR == 0)))
    }

    /// One request about a buffer; what the driver made of the buffer, and of its planes if it speaks of planes.
    fn exchange(
        &self,
        request: vidioc::_IOC_TYPE,
        index: u32,
    ) -> io::Result<(sys::v4l2_buffer, [sys::v4l2_plane; PLANES_MAX])> {
        let mut planes: [sys::v4l2_plane; PLANES_MAX] = [blank(), blank(), blank()];
        let mut buffer: sys::v4l2_buffer = blank();
        buffer.index = index;
        buffer.type_ = self.device.interface().buffer_type();
        buffer.memory = self.kind();
        let ours = usize::try_from(index).ok().and_then(|index| self.buffers.get(index));
        // A buffer of ours is told where it lies each time that it is given.
        if let Some(ours) = ours.filter(|_| self.memory == Memory::Process && request == vidioc::VIDIOC_QBUF)
        {
            for (plane, memory) in planes.iter_mut().zip(&ours.planes) {
                plane.m.userptr = memory.address();
                plane.length = u32::try_from(memory.len()).unwrap_or(u32::MAX);
            }
            if self.device.interface() == Interface::Single {
                buffer.m.userptr = ours.planes[0].address();
                buffer.length = planes[0].length;
            }
        }
        if self.device.interface() == Interface::Multi {
            // The kernel follows it while the request lasts, for as many planes as the length says.
            buffer.m.planes = planes.as_mut_ptr();
            buffer.length = u32::try_from(self.planes).unwrap_or(1);
        }
        ioctl(self.device.as_fd(), request, &mut buffer)?;
        Ok((buffer, planes))
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

/// Ten minutes of frames: a longer gap in the numbers is a new start.
const GAP_MAX: u32 = 36_000;

/// One is shown, one is being filled, one waits to be filled; the fourth covers a late reader.
const BUFFERS: u32 = 4;
