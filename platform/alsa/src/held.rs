//! What a source and a sink have in common: a device that is open or not, is lost, and is tried again.

use core::time::Duration;

use libc::{EAGAIN, EINTR, EPIPE, ESTRPIPE};
use rift::Instant;
use rift_hal::AudioState;

use crate::AlsaError;
use crate::device::{Direction, Open, classify};
use crate::retry::Retry;

/// A device that says it runs and gives or takes nothing for so long is opened anew, in microseconds.
const STALLED_US: u64 = 2_000_000;

/// A device by its name, whether it is there or not.
#[derive(Debug)]
pub(crate) struct Held {
    name: String,
    direction: Direction,
    device: Option<Open>,
    retry: Retry,
    state: AudioState,
    /// When it gave or wanted something last, or was opened.
    moved_at: Instant,
    /// Times when frames were not there in time, or not taken.
    runs_over: u64,
}

impl Held {
    /// Nothing is opened yet.
    pub(crate) fn new(name: &str, direction: Direction) -> Self {
        Self {
            name: name.to_owned(),
            direction,
            device: None,
            retry: Retry::new(),
            state: AudioState::Stopped,
            moved_at: Instant::ZERO,
            runs_over: 0,
        }
    }

    pub(crate) const fn device(&self) -> Option<&Open> {
        self.device.as_ref()
    }

    pub(crate) const fn state(&self) -> AudioState {
        self.state
    }

    pub(crate) const fn runs_over(&self) -> u64 {
        self.runs_over
    }

    /// Something came or went.
    pub(crate) const fn moved(&mut self, now: Instant) {
        self.moved_at = now;
    }

    /// Opens it when it is due and makes it ready by `begin`. Returns whether it was opened: `false` also while it is open.
    pub(crate) fn open(
        &mut self,
        now: Instant,
        begin: impl FnOnce(&Open) -> alsa::Result<()>,
    ) -> Result<bool, AlsaError> {
        if self.device.is_some() || !self.retry.is_due(now) {
            return Ok(false);
        }
        let opened = Open::new(&self.name, self.direction).and_then(|device| {
            begin(&device).map_err(|error| classify(&self.name, error))?;
            Ok(device)
        });
        match opened {
            Ok(device) => {
                self.device = Some(device);
                self.retry.worked();
                (self.state, self.moved_at) = (AudioState::Running, now);
                Ok(true)
            }
            Err(error) => Err(self.lose(now, error)),
        }
    }

    /// Lets go of it: it may be opened at once.
    pub(crate) fn stop(&mut self) {
        self.device = None;
        self.retry = Retry::new();
        self.state = AudioState::Stopped;
    }

    /// That nothing came or went for too long.
    pub(crate) fn look(&mut self, now: Instant) -> Result<(), AlsaError> {
        if self.device.is_some() && now.micros_since(self.moved_at) > STALLED_US {
            let error = AlsaError::Stalled(self.name.clone());
            return Err(self.lose(now, error));
        }
        Ok(())
    }

    /// What can be gone on from is gone on from, `again` after frames were lost.
    pub(crate) fn recover(
        &mut self,
        now: Instant,
        error: alsa::Error,
        again: impl FnOnce(&Open) -> alsa::Result<()>,
    ) -> Result<(), AlsaError> {
        if matches!(error.errno(), EAGAIN | EINTR) {
            return Ok(());
        }
        if matches!(error.errno(), EPIPE | ESTRPIPE)
            && let Some(device) = &self.device
        {
            self.runs_over += 1;
            if device.pcm.prepare().and_then(|()| again(device)).is_ok() {
                return Ok(());
            }
        }
        let error = classify(&self.name, error);
        Err(self.lose(now, error))
    }

    /// Waits until it gives or wants something, or for so long.
    pub(crate) fn wait(&self, at_most: Duration) {
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

    fn lose(&mut self, now: Instant, error: AlsaError) -> AlsaError {
        self.device = None;
        self.retry.failed(now);
        self.state = AudioState::Lost;
        error
    }
}
