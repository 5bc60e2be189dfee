//! A device as a video source.

mod coded;
mod export;

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rift::{Instant, Rectangle};
use rift_hal::{Frame, Pollable, VideoSource};
use rustix::time::{ClockId, clock_gettime};

use crate::decoder::{Decoder, Taken};
use crate::device::{Device, Name, text};
use crate::edid::Edid;
use crate::events::Bell;
use crate::format::{Encoding, Layout, Options, PLANES_MAX};
use crate::queue::{Moment, Queue};
use crate::state::{CaptureMachine, CaptureState, Signal, Step, Timings};
use crate::{DeviceInfo, Input, V4lError};

pub use coded::CodedFrame;
pub use export::{Exported, ExportedPlane};

/// A capture card or camera.
///
/// Once open it does not fail: whatever happens to the device or its signal shows in [`Self::state`], polls give no
/// new frame meanwhile, and the frames come back by themselves. [`Pollable::poll_fd`] is one descriptor for the
/// source's whole life; it also becomes readable when the source wants to try something again.
#[derive(Debug)]
pub struct V4lSource {
    // Dropped before the device it belongs to is closed, because it holds that too.
    queue: Option<Queue>,
    device: Option<Arc<Device>>,
    bell: Bell,
    machine: CaptureMachine,
    /// Whether it was polled: before that there is no clock, and everything happens at its epoch.
    has_clock: bool,
    path: PathBuf,
    options: Options,
    name: Option<Name>,
    /// The input that was selected; a driver forgets it when its device is plugged in anew.
    input: Option<u32>,
    /// What the driver calls the input in use.
    input_name: Option<String>,
    layout: Layout,
    decoder: Option<Decoder>,
    /// What sources are to be told, whenever the device is opened.
    edid: Option<Edid>,
    captured_at: Option<Instant>,
    moment: Option<Moment>,
    still: Option<Still>,
    error: Option<V4lError>,
    discarded: u64,
    lost: u64,
}

/// The last picture of a stream that ended.
#[derive(Debug)]
enum Still {
    Pixels(Layout, [Vec<u8>; PLANES_MAX]),
    Decoded(Decoder),
}

impl V4lSource {
    /// Opens the device at `path`, sets what comes nearest to `options` and starts the stream if there is a signal.
    ///
    /// # Errors
    /// Any [`V4lError`]: the device is not there or refuses now. [`Self::wait_for`] bears with that too.
    pub fn open(path: &Path, options: &Options) -> Result<Self, V4lError> {
        let mut source = Self::wait_for(path, options)?;
        while let Some(step) = source.machine.poll_step(Instant::ZERO) {
            source.perform(step, Instant::ZERO);
            if let Some(error) = source.error.take() {
                return Err(error);
            }
        }
        Ok(source)
    }

    /// A source of the device at `path`, whether it is there yet or not.
    ///
    /// # Errors
    /// [`V4lError::Kernel`]: the process has no descriptors left.
    pub fn wait_for(path: &Path, options: &Options) -> Result<Self, V4lError> {
        let bell = Bell::new().map_err(|source| V4lError::Kernel {
            action: "watch for changes",
            path: path.to_owned(),
            source,
        })?;
        let (width, height) = options.size.unwrap_or(SIZE_UNTIL_KNOWN);
        let encoding = Encoding::ALL[0];
        bell.set(Instant::ZERO, Instant::ZERO);
        Ok(Self {
            queue: None,
            device: None,
            bell,
            machine: CaptureMachine::new(Instant::ZERO),
            has_clock: false,
            path: path.to_owned(),
            options: *options,
            name: None,
            input: None,
            input_name: None,
            layout: Layout::contiguous(encoding, (width, height), width as usize),
            decoder: None,
            edid: None,
            captured_at: None,
            moment: None,
            still: None,
            error: None,
            discarded: 0,
            lost: 0,
        })
    }

    /// What the driver made of the options; changes with the signal. Before the device was ever there: a guess.
    #[must_use]
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// What the device is.
    ///
    /// # Errors
    /// [`V4lError`] when it does not answer now.
    pub fn info(&self) -> Result<DeviceInfo, V4lError> {
        self.device.as_ref().ok_or_else(|| V4lError::Gone(self.path.clone()))?.info()
    }

    /// The inputs the device can be switched to; none while it is not there.
    #[must_use]
    pub fn inputs(&self) -> Vec<Input> {
        self.device.as_ref().map_or_else(Vec::new, |device| device.inputs())
    }

    /// What the driver calls the input in use, as of the last time it was opened; `None` if it has no such notion.
    #[must_use]
    pub fn input_name(&self) -> Option<&str> {
        self.input_name.as_deref()
    }

    /// Which moment of a frame [`Frame::captured_at`] tells; `None` before the first frame, and while the driver gives
    /// no times: then it is when the frame was taken from the driver.
    #[must_use]
    pub const fn moment(&self) -> Option<Moment> {
        self.moment
    }

    /// Switches to this input, and again whenever the device comes back. The last picture stays until the new input
    /// has one. An input that the device does not have makes it [`CaptureState::Failed`] until another is selected.
    pub fn select_input(&mut self, index: u32, now: Instant) {
        self.input = Some(index);
        self.machine.reopen(now);
        self.bell.set(now, self.machine.poll_timeout());
    }

    /// Has the device tell the machine at its input that it is this display, now and whenever the device comes back.
    /// A device that cannot say so is used as it is.
    pub fn tell_edid(&mut self, edid: Edid, now: Instant) {
        self.edid = Some(edid);
        self.machine.reopen(now);
        self.bell.set(now, self.machine.poll_timeout());
    }

    /// What is known of the device and its signal, as of the last poll.
    #[must_use]
    pub const fn state(&self) -> CaptureState {
        self.machine.state()
    }

    /// Since when [`Self::state`] has been so, on the clock of the polls.
    #[must_use]
    pub const fn state_since(&self) -> Instant {
        self.machine.since()
    }

    /// What the card measured at its input; `None` without a signal, and for devices that do not measure.
    #[must_use]
    pub const fn timings(&self) -> Option<Timings> {
        match self.machine.signal() {
            Signal::Present(timings) => Some(timings),
            Signal::Unknown | Signal::Absent | Signal::NoLock | Signal::OutOfRange => None,
        }
    }

    /// Whether a stream was begun, of frames as [`Self::layout`] says, that has given none yet.
    #[must_use]
    pub fn is_starting(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.held().is_none())
    }

    /// The last error, for people to read; `None` since frames arrive again.
    #[must_use]
    pub const fn error(&self) -> Option<&V4lError> {
        self.error.as_ref()
    }

    /// How many frames came faulty, short or undecodable and were not shown.
    #[must_use]
    pub fn discarded(&self) -> u64 {
        self.discarded + self.queue.as_ref().map_or(0, Queue::discarded)
    }

    /// How many frames the driver says it has lost.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost + self.queue.as_ref().map_or(0, Queue::lost)
    }

    /// Does what is due and takes what is new; returns whether there is a new frame.
    fn advance(&mut self, now: Instant) -> bool {
        if !self.has_clock {
            self.has_clock = true;
            self.machine.start_clock(now);
        }
        if self.device.as_ref().is_some_and(|device| device.take_events()) {
            self.machine.handle_source_change(now);
        }
        if self.bell.take_arrivals() {
            self.machine.handle_arrival(now);
        }
        let known = self.machine.state();
        let mut is_news = false;
        for _ in 0..STEPS_MAX {
            let Some(step) = self.machine.poll_step(now) else {
                break;
            };
            self.perform(step, now);
            // Setting a device takes time: whoever watches is to know before that, and comes back at once.
            is_news = step == Step::Query && self.machine.state() != known && self.queue.is_some();
            if is_news {
                break;
            }
        }
        let is_new = !is_news && self.take_frame(now);
        self.bell.set(now, self.machine.poll_timeout());
        is_new
    }

    fn perform(&mut self, step: Step, now: Instant) {
        match step {
            Step::Open => {
                let outcome = self.open_device().map_err(|error| self.note(error));
                self.machine.handle_opened(now, outcome);
            }
            Step::Query => {
                let Some(device) = &self.device else { return };
                match device.signal() {
                    Ok(signal) => self.machine.handle_signal(now, signal),
                    Err(error) => self.on_error(error, now),
                }
            }
            Step::Start => {
                self.end_stream();
                match self.start() {
                    Ok(()) => self.machine.handle_started(now, Ok(())),
                    Err(error) => {
                        self.end_stream();
                        let fault = self.note(error);
                        self.machine.handle_started(now, Err(fault));
                    }
                }
            }
            Step::Stop => self.end_stream(),
            Step::Close => {
                self.end_stream();
                self.device = None;
            }
        }
    }

    /// Opens the device and returns whether it tells changes of its signal.
    fn open_device(&mut self) -> Result<bool, V4lError> {
        let device = Device::find(&self.path, self.name.as_ref())?;
        self.name.get_or_insert_with(|| device.name());
        self.input.map_or(Ok(()), |input| device.set_input(input))?;
        if let Some(edid) = &self.edid {
            let input = device.input().map_or(0, |input| input.index);
            // Not every input has display data, and the picture is worth more than its mode.
            if let Err(error) = device.tell_edid(input, edid) {
                self.error = Some(error);
            }
        }
        self.input_name = device.input().map(|input| text(&input.name));
        let has_events = device.subscribe();
        self.device = Some(Arc::new(device));
        Ok(has_events)
    }

    fn start(&mut self) -> Result<(), V4lError> {
        let Some(device) = &self.device else { return Err(V4lError::Gone(self.path.clone())) };
        device.follow_signal()?;
        let setting = device.set_up(&self.options)?;
        self.layout = setting.layout;
        self.decoder = Decoder::of(&self.layout);
        if self.layout.encoding == Encoding::H264 {
            device.prepare_encoder();
        }
        self.queue = Some(Queue::start(Arc::clone(device), &setting, self.options.memory)?);
        self.bell.heed(device).map_err(|source| V4lError::Kernel {
            action: "watch for frames",
            path: self.path.clone(),
            source,
        })
    }

    /// Ends the stream and keeps its last picture.
    fn end_stream(&mut self) {
        let Some(queue) = self.queue.take() else { return };
        if let Some(device) = &self.device {
            self.bell.ignore(device);
        }
        self.discarded += queue.discarded();
        self.lost += queue.lost();
        if let Some((_, bytes)) = queue.held() {
            let decoder = self.decoder.take().map(Still::Decoded);
            self.still =
                Some(decoder.unwrap_or_else(|| Still::Pixels(self.layout, bytes.map(<[u8]>::to_vec))));
        }
    }

    fn take_frame(&mut self, now: Instant) -> bool {
        if self.is_coded() {
            return false;
        }
        let Some(queue) = &mut self.queue else { return false };
        match queue.take_newest(self.layout.lens_min()) {
            Ok(false) => false,
            Ok(true) => {
                let is_shown = self.show(now);
                if is_shown {
                    self.error = None;
                    self.still = None;
                    self.machine.handle_frame(now);
                }
                is_shown
            }
            Err(error) => {
                self.end_stream();
                self.on_error(error, now);
                false
            }
        }
    }

    fn show(&mut self, now: Instant) -> bool {
        let Some((filled, [bytes, ..])) = self.queue.as_ref().and_then(Queue::held) else {
            return false;
        };
        if let Some(decoder) = &mut self.decoder {
            let taken = decoder.decode(bytes, self.options.shows_damaged);
            self.discarded += u64::from(taken != Taken::Whole);
            if taken == Taken::Nothing {
                return false;
            }
        }
        self.moment = filled.monotonic_us.map(|_| filled.moment);
        self.captured_at = Some(captured_at(filled.monotonic_us, monotonic_us(), now));
        true
    }

    fn on_error(&mut self, error: V4lError, now: Instant) {
        self.end_stream();
        let fault = self.note(error);
        self.machine.handle_fault(now, fault);
    }

    fn note(&mut self, error: V4lError) -> crate::Fault {
        let fault = error.fault();
        self.error = Some(error);
        fault
    }

    fn frame(&self) -> Option<Frame<'_>> {
        let captured_at = self.captured_at?;
        match (&self.still, &self.decoder) {
            (Some(Still::Pixels(layout, bytes)), _) => {
                layout.frame([&bytes[0], &bytes[1], &bytes[2]], captured_at).ok()
            }
            (Some(Still::Decoded(decoder)), _) | (None, Some(decoder)) => decoder.frame(captured_at),
            (None, None) => self.layout.frame(self.queue.as_ref()?.held()?.1, captured_at).ok(),
        }
    }
}

impl VideoSource for V4lSource {
    type Error = V4lError;

    fn size(&self) -> (u32, u32) {
        (self.layout.width, self.layout.height)
    }

    /// Never an error: see [`V4lSource::state`] and [`V4lSource::error`].
    fn poll_frame(&mut self, now: Instant) -> Result<Option<Frame<'_>>, V4lError> {
        let new = self.advance(now);
        Ok(self.frame().filter(|_| new))
    }

    fn damage(&self) -> Rectangle {
        let side = |pixels| u16::try_from(pixels).unwrap_or(u16::MAX);
        Rectangle::sized(side(self.layout.width), side(self.layout.height))
    }

    /// Without a signal: the last frame there was.
    fn current_frame(&mut self, now: Instant) -> Result<Option<Frame<'_>>, V4lError> {
        self.advance(now);
        Ok(self.frame())
    }
}

impl Pollable for V4lSource {
    fn poll_fd(&self) -> BorrowedFd<'_> {
        self.bell.fd()
    }
}

/// What a device's size is taken for before it was ever there.
const SIZE_UNTIL_KNOWN: (u32, u32) = (1920, 1080);

/// Open, query, start and what can go wrong between them; a machine that wants more has the next poll.
const STEPS_MAX: usize = 8;

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
