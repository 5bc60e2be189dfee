//! A tone as a source, for trials: on the left 997 Hz, on the right 1499.

use core::convert::Infallible;
use core::f64::consts::TAU;
use core::time::Duration;

use rift::Instant;
use rift_hal::{AUDIO_CHANNELS, AUDIO_RATE, AudioSource, AudioState, Recorded};

/// What is heard left and right, in Hz: no divisors of the rate, so that no two periods are alike.
pub const HERTZ: [f64; AUDIO_CHANNELS] = [997.0, 1499.0];
/// 12 dB below the loudest.
const LOUDNESS: f64 = 8192.0;
/// It gives nothing less: 5 ms.
const PERIOD: u64 = 240;

/// See the module. It gives sound as fast as a card would, by the clock it is asked with.
#[derive(Clone, Debug, Default)]
pub struct Tone {
    began: Option<Instant>,
    given: u64,
}

impl Tone {
    /// Not heard yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { began: None, given: 0 }
    }
}

impl AudioSource for Tone {
    type Error = Infallible;

    fn wait(&mut self, at_most: Duration) {
        let period = Duration::from_micros(PERIOD * 1_000_000 / u64::from(AUDIO_RATE));
        std::thread::park_timeout(at_most.min(period));
    }

    fn read(&mut self, now: Instant, samples: &mut [i16]) -> Result<Option<Recorded>, Infallible> {
        let began = *self.began.get_or_insert(now);
        let there = now.micros_since(began) * u64::from(AUDIO_RATE) / 1_000_000 - self.given;
        if there < PERIOD {
            return Ok(None);
        }
        let frames = (samples.len() / AUDIO_CHANNELS).min(usize::try_from(there).unwrap_or(usize::MAX));
        for (frame, number) in samples.chunks_exact_mut(AUDIO_CHANNELS).take(frames).zip(self.given..) {
            for (sample, hertz) in frame.iter_mut().zip(HERTZ) {
                let turns = hertz * (number as f64 / f64::from(AUDIO_RATE));
                *sample = (LOUDNESS * (TAU * turns.fract()).sin()) as i16;
            }
        }
        self.given += frames as u64;
        let age_us = there * 1_000_000 / u64::from(AUDIO_RATE);
        Ok(Some(Recorded { frames, captured_at: now.minus_micros(age_us), is_continuous: true }))
    }

    fn state(&self) -> AudioState {
        if self.began.is_some() { AudioState::Running } else { AudioState::Stopped }
    }

    fn overruns(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tone_comes_as_fast_as_time_passes_and_says_when_it_was() {
        let mut tone = Tone::new();
        let mut samples = [0; 1000];
        let at = Instant::from_millis;
        assert_eq!(tone.read(at(1000), &mut samples), Ok(None));
        assert_eq!(tone.read(at(1004), &mut samples), Ok(None));
        let recorded = tone.read(at(1005), &mut samples).unwrap().unwrap();
        assert_eq!((recorded.frames, recorded.captured_at), (240, at(1000)));
        let recorded = tone.read(at(1105), &mut samples).unwrap().unwrap();
        assert_eq!((recorded.frames, recorded.captured_at), (500, at(1005)), "as much as there is room for");
        let turns = HERTZ[1] * 240.0 / f64::from(AUDIO_RATE);
        assert!((f64::from(samples[1]) - LOUDNESS * (TAU * turns).sin()).abs() < 2.0, "it goes on");
    }
}
