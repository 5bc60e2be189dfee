//! A sound card as a source.

use core::time::Duration;

use libc::{EAGAIN, EINTR, EPIPE, ESTRPIPE};
use rift::Instant;
use rift_hal::{AUDIO_CHANNELS, AUDIO_RATE, AudioSource, AudioState, Recorded};

use crate::AlsaError;
use crate::device::{Direction, Open, classify};
use crate::retry::Retry;

/// A device that says it runs and gives nothing for so long is opened anew, in microseconds.
const STALLED_US: u64 = 2_000_000;

/// Takes what a device hears. It is opened by the first [`AudioSource::read`].
#[derive(Debug)]
pub struct AlsaSource {
    name: String,
    device: Option<Open>,
    retry: Retry,
    state: AudioState,
    /// When it gave something last, or was opened.
    gave_at: Instant,
    /// Something was lost since the last frames.
    has_gap: bool,
    overruns: u64,
}

impl AlsaSource {
    /// A source that is `name`, a device or a card as the crate says. Nothing is opened yet.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            device: None,
            retry: Retry::new(),
            state: AudioState::Stopped,
            gave_at: Instant::ZERO,
            has_gap: false,
            overruns: 0,
        }
    }

    fn open(&mut self, now: Instant) -> Result<(), AlsaError> {
        let started = Open::new(&self.name, Direction::Capture).and_then(|device| {
            let start = device.set_thresholds(1, device.period).and_then(|()| device.pcm.start());
            start.map_err(|error| classify(&self.name, error))?;
            Ok(device)
        });
        match started {
            Ok(device) => {
                self.device = Some(device);
                self.retry.worked();
                self.state = AudioState::Running;
                (self.gave_at, self.has_gap) = (now, true);
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
            self.overruns += 1;
            self.has_gap = true;
            if device.pcm.prepare().and_then(|()| device.pcm.start()).is_ok() {
                return Ok(());
            }
        }
        let error = classify(&self.name, error);
        Err(self.lose(now, error))
    }

    /// Takes what is there; `None` when nothing is.
    fn take(&mut self, now: Instant, samples: &mut [i16]) -> alsa::Result<Option<Recorded>> {
        let Some(device) = &self.device else { return Ok(None) };
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
        self.gave_at = now;
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
        match &self.device {
            Some(device) => {
                let millis = u32::try_from(at_most.as_millis()).unwrap_or(u32::MAX).max(1);
                // What is wrong comes out when it is read.
                if device.pcm.wait(Some(millis)).is_err() {
                    std::thread::yield_now();
                }
            }
            None => std::thread::park_timeout(at_most),
        }
    }

    fn read(&mut self, now: Instant, samples: &mut [i16]) -> Result<Option<Recorded>, AlsaError> {
        if self.device.is_none() {
            if !self.retry.is_due(now) {
                return Ok(None);
            }
            self.open(now)?;
        }
        match self.take(now, samples) {
            Ok(None) if now.micros_since(self.gave_at) > STALLED_US => {
                let error = AlsaError::Stalled(self.name.clone());
                Err(self.lose(now, error))
            }
            Ok(recorded) => Ok(recorded),
            Err(error) => self.recover(now, error).map(|()| None),
        }
    }

    fn state(&self) -> AudioState {
        self.state
    }

    fn overruns(&self) -> u64 {
        self.overruns
    }
}
