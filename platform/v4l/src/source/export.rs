//! The driver's memory, lent to other devices.

use std::os::fd::BorrowedFd;

use rift_hal::PixelFormat;

use super::V4lSource;
use crate::V4lError;
use crate::format::{Encoding, PLANES_MAX};

/// A frame in memory that other devices can be given (DMA-BUF).
#[derive(Clone, Copy, Debug)]
pub struct Exported<'a> {
    /// How its pixels lie.
    pub format: PixelFormat,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Its planes; only the first `format.planes()` are there.
    pub planes: [Option<ExportedPlane<'a>>; PLANES_MAX],
}

/// A plane of such a frame.
#[derive(Clone, Copy, Debug)]
pub struct ExportedPlane<'a> {
    /// The memory it lies in; several planes may share one.
    pub fd: BorrowedFd<'a>,
    /// How many bytes from the memory's start it begins.
    pub offset: usize,
    /// Bytes from a row to the next.
    pub stride: usize,
}

impl V4lSource {
    /// The memory of the current frame for another device, such as a GPU or an encoder of its own, which then reads it
    /// where the driver put it. It holds this frame until the source is polled next. `None` where the driver's memory
    /// does not hold the frame: there is none yet, it was decoded or converted, its stream has ended, or the memory is
    /// this process's.
    ///
    /// # Errors
    /// [`V4lError::Kernel`]: the driver exports nothing, or the process has no descriptors left.
    pub fn export(&mut self) -> Result<Option<Exported<'_>>, V4lError> {
        let (Encoding::Pixels(format) | Encoding::Planes(format)) = self.layout.encoding else {
            return Ok(None);
        };
        let (layout, is_live) = (self.layout, self.still.is_none());
        let Some(queue) = self.queue.as_mut().filter(|_| is_live) else { return Ok(None) };
        let Some(buffers) = queue.export()? else { return Ok(None) };
        let planes = layout.places().map(|place| {
            let place = place?;
            let (fd, start) = buffers[place.buffer]?;
            Some(ExportedPlane { fd, offset: start + place.offset, stride: place.stride })
        });
        Ok(Some(Exported { format, width: layout.width, height: layout.height, planes }))
    }
}
