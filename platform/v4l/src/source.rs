//! A device as a video source.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;

use rift::{Instant, Rectangle};
use rift_hal::{Frame, Pollable, VideoSource};
use rustix::time::{ClockId, clock_gettime};

use crate::device::Device;
use crate::format::{Encoding, Layout, Options};
use crate::mjpeg::MjpegDecoder;
use crate::queue::Queue;
use crate::{DeviceInfo, V4lError};

/// A capture card or camera that streams.
///
/// After an error the next poll starts the stream afresh. A device that was unplugged stays
/// [`V4lError::Gone`]: open another source when its node is back.
#[derive(Debug)]
pub struct V4lSource {
    // Dropped before the device it belongs to is closed, because it holds that too.
    queue: Option<Queue>,
    device: Arc<Device>,
    layout: Layout,
    decoder: Option<MjpegDecoder>,
    captured_at: Option<Instant>,
    discarded: u64,
}

impl V4lSource {
    /// Opens the device at `path`, sets what comes nearest to `options` and starts the stream.
    ///
    /// # Errors
    /// Any [`V4lError`].
    pub fn open(path: &Path, options: &Options) -> Result<Self, V4lError> {
        let device = Arc::new(Device::open(path)?);
        let layout = device.set_up(options)?;
        let decoder = match layout.encoding {
            Encoding::Pixels(_) => None,
            Encoding::Jpeg => Some(MjpegDecoder::new(layout.width, layout.height)),
        };
        let queue = Some(Queue::start(Arc::clone(&device))?);
        Ok(Self { queue, device, layout, decoder, captured_at: None, discarded: 0 })
    }

    /// What the driver made of the options.
    #[must_use]
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// What the device is.
    ///
    /// # Errors
    /// [`V4lError`] when it no longer answers.
    pub fn info(&self) -> Result<DeviceInfo, V4lError> {
        self.device.info()
    }

    /// How many frames came faulty, short or undecodable and were not shown.
    #[must_use]
    pub fn discarded(&self) -> u64 {
        self.discarded + self.queue.as_ref().map_or(0, Queue::discarded)
    }

    /// Takes what is new; returns whether there was anything.
    fn advance(&mut self, now: Instant) -> Result<bool, V4lError> {
        let mut queue = match self.queue.take() {
            Some(queue) => queue,
            None => {
                self.captured_at = None;
                Queue::start(Arc::clone(&self.device))?
            }
        };
        match queue.take_newest(self.layout.len_min()) {
            Ok(false) => {
                self.queue = Some(queue);
                Ok(false)
            }
            Ok(true) => {
                let shown = self.show(&queue, now);
                self.queue = Some(queue);
                Ok(shown)
            }
            Err(error) => {
                self.discarded += queue.discarded();
                Err(error)
            }
        }
    }

    fn show(&mut self, queue: &Queue, now: Instant) -> bool {
        let Some((filled, bytes)) = queue.held() else {
            return false;
        };
        if let Some(decoder) = &mut self.decoder
            && decoder.decode(bytes).is_err()
        {
            self.discarded += 1;
            return false;
        }
        self.captured_at = Some(captured_at(filled.monotonic_us, monotonic_us(), now));
        true
    }

    fn frame(&self) -> Option<Frame<'_>> {
        let captured_at = self.captured_at?;
        match &self.decoder {
            Some(decoder) => decoder.frame(captured_at),
            None => self.layout.frame(self.queue.as_ref()?.held()?.1, captured_at).ok(),
        }
    }
}

impl VideoSource for V4lSource {
    type Error = V4lError;

    fn size(&self) -> (u32, u32) {
        (self.layout.width, self.layout.height)
    }

    fn poll_frame(&mut self, now: Instant) -> Result<Option<Frame<'_>>, V4lError> {
        let new = self.advance(now)?;
        Ok(self.frame().filter(|_| new))
    }

    fn damage(&self) -> Rectangle {
        let side = |pixels| u16::try_from(pixels).unwrap_or(u16::MAX);
        Rectangle::sized(side(self.layout.width), side(self.layout.height))
    }

    fn current_frame(&mut self, now: Instant) -> Result<Option<Frame<'_>>, V4lError> {
        self.advance(now)?;
        Ok(self.frame())
    }
}

impl Pollable for V4lSource {
    fn poll_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

/// When a frame was taken, on the caller's clock: as long before `now` as its stamp is before the kernel's
/// present. A stamp from the future, from long ago or from another clock says nothing; then it is `now`.
fn captured_at(stamp_us: Option<u64>, present_us: u64, now: Instant) -> Instant {
    let age = stamp_us.and_then(|stamp| present_us.checked_sub(stamp)).filter(|&age| age <= AGE_MAX_US);
    now.minus_micros(age.unwrap_or(0))
}

fn monotonic_us() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let (seconds, nanos) =
        (u64::try_from(time.tv_sec).unwrap_or(0), u64::try_from(time.tv_nsec).unwrap_or(0));
    seconds.saturating_mul(1_000_000) + nanos / 1000
}

/// Buffers that waited longer were left by a reader that slept; a stamp older than that is another clock's.
const AGE_MAX_US: u64 = 10_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamp_is_mapped_to_the_callers_clock() {
        let now = Instant::from_millis(50_000);
        let at = |stamp| captured_at(stamp, 20_000_000, now);
        assert_eq!(at(Some(19_990_000)), now.minus_micros(10_000));
        assert_eq!(at(Some(20_000_001)), now, "a stamp from the future");
        assert_eq!(at(Some(1_000_000)), now, "a stamp of another clock");
        assert_eq!(at(None), now);
    }
}
