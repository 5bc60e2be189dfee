//! A sound card as a sink.
//!
//! It is kept as full as it needs to be and no fuller: what lies in its buffer is heard late. Each time it runs empty, or comes
//! nearer to that than a period, because this machine was busy elsewhere or its counter moves in leaps, it is kept fuller
//! from then on, up to a bound.

use core::time::Duration;

use alsa::pcm::State;
use rift::Instant;
use rift_hal::{AUDIO_CHANNELS, AUDIO_RATE, AudioSink, AudioState, Room};

use crate::AlsaError;
use crate::device::{Direction, Open};
use crate::held::Held;

/// Frames that are kept in the device at first: three periods of 5 ms.
const FILL_FIRST: usize = 720;
/// And at most: 60 ms.
const FILL_MAX: usize = 2880;

/// Lets a device be heard. It is opened by the first [`AudioSink::room`].
#[derive(Debug)]
pub struct AlsaSink {
    held: Held,
    /// Frames that are kept in the device.
    fill: usize,
}

impl AlsaSink {
    /// A sink that is `name`, a device or a card as the crate says. Nothing is opened yet.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { held: Held::new(name, Direction::Playback), fill: FILL_FIRST }
    }

    /// What can be gone on from is gone on from, fuller where it ran empty.
    fn recover(&mut self, now: Instant, error: alsa::Error) -> Result<(), AlsaError> {
        let fill = &mut self.fill;
        self.held.recover(now, error, |device| {
            *fill = fuller(device, *fill);
            set_thresholds(device, *fill)
        })
    }

    fn wanted(&mut self) -> alsa::Result<Room> {
        let Some(device) = self.held.device() else { return Ok(Room::default()) };
        let (free, delay) = device.pcm.avail_delay()?;
        let filled = device.buffer.saturating_sub(usize::try_from(free).unwrap_or(0));
        if filled < device.period && device.pcm.state_raw() == State::Running as i32 {
            self.fill = fuller(device, self.fill);
            set_thresholds(device, self.fill)?;
        }
        let delay = u64::try_from(delay).unwrap_or(0).max(filled as u64);
        let delay_us = delay * 1_000_000 / u64::from(AUDIO_RATE);
        Ok(Room {
            frames: self.fill.saturating_sub(filled),
            delay_us: u32::try_from(delay_us).unwrap_or(u32::MAX),
        })
    }

    fn put(&self, samples: &[i16]) -> alsa::Result<()> {
        let Some(device) = self.held.device() else { return Ok(()) };
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

/// What a device is kept filled with that ran empty, or nearly.
fn fuller(device: &Open, fill: usize) -> usize {
    (fill + device.period).min(FILL_MAX).min(device.buffer).max(fill)
}

/// It never begins by itself, and wakes whoever waits when a period of its filling has been heard.
fn set_thresholds(device: &Open, fill: usize) -> alsa::Result<()> {
    let wake = device.buffer - fill + device.period.min(fill);
    device.set_thresholds(device.buffer, wake)
}

impl AudioSink for AlsaSink {
    type Error = AlsaError;

    fn wait(&mut self, at_most: Duration) {
        self.held.wait(at_most);
    }

    fn room(&mut self, now: Instant) -> Result<Room, AlsaError> {
        let fill = &mut self.fill;
        self.held.open(now, |device| {
            *fill = (*fill).max(2 * device.period).min(device.buffer);
            set_thresholds(device, *fill)
        })?;
        match self.wanted() {
            Ok(room) if room.frames > 0 => {
                self.held.moved(now);
                Ok(room)
            }
            Ok(room) => self.held.look(now).map(|()| room),
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
        self.held.stop();
    }

    fn state(&self) -> AudioState {
        self.held.state()
    }

    fn underruns(&self) -> u64 {
        self.held.runs_over()
    }
}
