//! A sound card as a sink.
//!
//! It is kept as full as it needs to be and no fuller: what lies in its buffer is heard late. Each time it runs empty, because
//! this machine was busy elsewhere, it is kept fuller from then on, up to a bound.

use core::time::Duration;

use alsa::pcm::State;
use libc::{EAGAIN, EINTR, EPIPE, ESTRPIPE};
use rift::Instant;
use rift_hal::{AUDIO_CHANNELS, AUDIO_RATE, AudioSink, AudioState, Room};

use crate::AlsaError;
use crate::device::{Direction, Open, classify};
use crate::retry::Retry;

/// Frames that are kept in the device at first: three periods of 5 ms.
const FILL_FIRST: usize = 720;
/// And at most: 60 ms.
const FILL_MAX: usize = 2880;
/// A device that says it runs and takes nothing for so long is opened anew, in microseconds.
const STALLED_US: u64 = 2_000_000;

/// Lets a device be heard. It is opened by the first [`AudioSink::room`].
#[derive(Debug)]
pub struct AlsaSink {
    name: String,
    device: Option<Open>,
    retry: Retry,
    state: AudioState,
    /// Frames that are kept in the device.
    fill: usize,
    /// When it wanted something last, or was opened.
    wanted_at: Instant,
    underruns: u64,
}

impl AlsaSink {
    /// A sink that is `name`, a device or a card as the crate says. Nothing is opened yet.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            device: None,
            retry: Retry::new(),
            state: AudioState::Stopped,
            fill: FILL_FIRST,
            wanted_at: Instant::ZERO,
            underruns: 0,
        }
    }

    fn open(&mut self, now: Instant) -> Result<(), AlsaError> {
        let opened = Open::new(&self.name, Direction::Playback);
        match opened {
            Ok(device) => {
                self.fill = self.fill.max(2 * device.period).min(device.buffer);
                let set = set_thresholds(&device, self.fill);
                self.device = Some(device);
                set.map_err(|error| {
                    let error = classify(&self.name, error);
                    self.lose(now, error)
                })?;
                self.retry.worked();
                self.state = AudioState::Running;
                self.wanted_at = now;
                Ok(())
            }
            Err(error) => Err(self.lose(now, error)),
        }
    }

    fn lose(&mut self, now: Instant, error: AlsaError) -> AlsaError {
        self.device = None;
        self.retry.failed(now);
        self.state = AudioState::Lost;
        error
    }

    /// What can be gone on from is gone on from.
    fn recover(&mut self, now: Instant, error: alsa::Error) -> Result<(), AlsaError> {
        if matches!(error.errno(), EAGAIN | EINTR) {
            return Ok(());
        }
        if matches!(error.errno(), EPIPE | ESTRPIPE)
            && let Some(device) = &self.device
        {
            self.underruns += 1;
            self.fill = (self.fill + device.period).min(FILL_MAX).min(device.buffer);
            let again = device.pcm.prepare().and_then(|()| set_thresholds(device, self.fill));
            if again.is_ok() {
                return Ok(());
            }
        }
        let error = classify(&self.name, error);
        Err(self.lose(now, error))
    }

    fn wanted(&self) -> alsa::Result<Room> {
        let Some(device) = &self.device else { return Ok(Room::default()) };
        let (free, delay) = device.pcm.avail_delay()?;
        let filled = device.buffer.saturating_sub(usize::try_from(free).unwrap_or(0));
        let delay = u64::try_from(delay).unwrap_or(0).max(filled as u64);
        let delay_us = delay * 1_000_000 / u64::from(AUDIO_RATE);
        Ok(Room {
            frames: self.fill.saturating_sub(filled),
            delay_us: u32::try_from(delay_us).unwrap_or(u32::MAX),
        })
    }

    fn put(&self, samples: &[i16]) -> alsa::Result<()> {
        let Some(device) = &self.device else { return Ok(()) };
        let mut rest = samples;
        while !rest.is_empty() {
            let frames = device.io().writei(rest)?;
            if frames == 0 {
                break;
            }
            rest = rest.get(frames * AUDIO_CHANNELS..).unwrap_or_default();
        }
        if device.pcm.state_raw() == State::Prepared as i32 {
            device.pcm.start()?;
        }
        Ok(())
    }
}

/// It never begins by itself, and wakes whoever waits when a period of its filling has been heard.
fn set_thresholds(device: &Open, fill: usize) -> alsa::Result<()> {
    let wake = device.buffer - fill + device.period.min(fill);
    device.set_thresholds(device.buffer, wake)
}

impl AudioSink for AlsaSink {
    type Error = AlsaError;

    fn wait(&mut self, at_most: Duration) {
        match &self.device {
            Some(device) => {
                let millis = u32::try_from(at_most.as_millis()).unwrap_or(u32::MAX).max(1);
                // What is wrong comes out when it is asked.
                if device.pcm.wait(Some(millis)).is_err() {
                    std::thread::yield_now();
                }
            }
            None => std::thread::park_timeout(at_most),
        }
    }

    fn room(&mut self, now: Instant) -> Result<Room, AlsaError> {
        if self.device.is_none() {
            if !self.retry.is_due(now) {
                return Ok(Room::default());
            }
            self.open(now)?;
        }
        match self.wanted() {
            Ok(room) if room.frames > 0 => {
                self.wanted_at = now;
                Ok(room)
            }
            Ok(_) if now.micros_since(self.wanted_at) > STALLED_US => {
                let error = AlsaError::Stalled(self.name.clone());
                Err(self.lose(now, error))
            }
            Ok(room) => Ok(room),
            Err(error) => {
                self.recover(now, error)?;
                // Asked again at once: what ran empty is to be filled without another wait.
                Ok(self.wanted().unwrap_or_default())
            }
        }
    }

    fn write(&mut self, now: Instant, samples: &[i16]) -> Result<(), AlsaError> {
        match self.put(samples) {
            Ok(()) => Ok(()),
            Err(error) => self.recover(now, error),
        }
    }

    fn stop(&mut self) {
        self.device = None;
        self.retry = Retry::new();
        self.state = AudioState::Stopped;
    }

    fn state(&self) -> AudioState {
        self.state
    }

    fn underruns(&self) -> u64 {
        self.underruns
    }
}
