//! A sound card as a source.

use core::time::Duration;

use rift::Instant;
use rift_hal::{AUDIO_CHANNELS, AUDIO_RATE, AudioSource, AudioState, Recorded};

use crate::AlsaError;
use crate::device::Direction;
use crate::held::Held;

/// Takes what a device hears. It is opened by the first [`AudioSource::read`].
#[derive(Debug)]
pub struct AlsaSource {
    held: Held,
    /// Something was lost since the last frames.
    has_gap: bool,
}

impl AlsaSource {
    /// A source that is `name`, a device or a card as the crate says. Nothing is opened yet.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { held: Held::new(name, Direction::Capture), has_gap: false }
    }

    /// Takes what is there; `None` when nothing is.
    fn take(&mut self, now: Instant, samples: &mut [i16]) -> alsa::Result<Option<Recorded>> {
        let Some(device) = self.held.device() else { return Ok(None) };
        let (there, delay) = device.pcm.avail_delay()?;
        let there = usize::try_from(there).unwrap_or(0);
        let frames = there.min(samples.len() / AUDIO_CHANNELS);
        if frames == 0 {
            return Ok(None);
        }
        let frames = device.io().readi(&mut samples[..frames * AUDIO_CHANNELS])?;
        if frames == 0 {
            return Ok(None);
        }
        // From when the oldest frame was heard until now: what lies in the buffer, and what the hardware holds.
        let age = u64::try_from(delay).unwrap_or(0).max(there as u64);
        self.held.moved(now);
        Ok(Some(Recorded {
            frames,
            captured_at: now.minus_micros(age * 1_000_000 / u64::from(AUDIO_RATE)),
            is_continuous: !core::mem::take(&mut self.has_gap),
        }))
    }
}

impl AudioSource for AlsaSource {
    type Error = AlsaError;

    fn wait(&mut self, at_most: Duration) {
        self.held.wait(at_most);
    }

    fn read(&mut self, now: Instant, samples: &mut [i16]) -> Result<Option<Recorded>, AlsaError> {
        let is_new = self.held.open(now, |device| {
            device.set_thresholds(1, device.period)?;
            device.pcm.start()
        })?;
        self.has_gap |= is_new;
        match self.take(now, samples) {
            Ok(None) => self.held.look(now).map(|()| None),
            Ok(recorded) => Ok(recorded),
            Err(error) => {
                let before = self.held.runs_over();
                let outcome = self.held.recover(now, error, |device| device.pcm.start());
                self.has_gap |= self.held.runs_over() != before;
                outcome.map(|()| None)
            }
        }
    }

    fn state(&self) -> AudioState {
        self.held.state()
    }

    fn overruns(&self) -> u64 {
        self.held.runs_over()
    }
}
