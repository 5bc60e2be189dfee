//! Sound at a rate that is a few millionths off another: what makes up for two cards whose crystals differ.
//!
//! A window of 24 frames slides over what came in; each frame that goes out is the weighted sum of those around its place,
//! by a sinc under a Kaiser window, tabulated at 256 places between two frames and interpolated between those. What comes
//! out is the same to 80 dB and more up to 16 kHz, 12 frames later.
//!
//! It is written here because it is small: a general resampler such as `rubato` works in blocks of its own size and
//! changes its ratio between them, which the player would have to keep account of.

use rift_hal::AUDIO_CHANNELS;

/// Frames that one frame is made of.
const TAPS: usize = 24;
/// Places between two frames for which weights are kept.
const PHASES: usize = 256;
/// Kaiser's parameter: side lobes 85 dB down.
const BETA: f64 = 8.5;
/// The sinc's zero crossings are this much farther apart than frames are, as a part: leaves the highest octave's end out.
const CUTOFF: f64 = 0.94;
/// Frames that may wait: six packets of 20 ms and a window.
const FRAMES_MAX: usize = 6 * 960 + TAPS;

/// See the module.
#[derive(Clone, Debug)]
pub struct Resampler {
    /// Weights of all places, one after another; one more place than phases, for the interpolation.
    weights: Vec<f32>,
    /// Frames that came in: first those the window still covers.
    frames: Vec<[f32; AUDIO_CHANNELS]>,
    /// Where the next frame that goes out lies, in frames from the first kept one to the window's first.
    at: f64,
}

impl Resampler {
    /// Nothing has come in yet.
    #[must_use]
    pub fn new() -> Self {
        let mut resampler = Self { weights: weights(), frames: Vec::with_capacity(FRAMES_MAX), at: 0.0 };
        resampler.clear();
        resampler
    }

    /// Forgets what came in: before what comes next there was silence.
    pub fn clear(&mut self) {
        self.frames.clear();
        self.frames.resize(TAPS / 2 - 1, [0.0; AUDIO_CHANNELS]);
        self.at = 0.0;
    }

    /// Takes frames; those it has no room for are left out. Returns how many it took.
    pub fn push(&mut self, samples: &[i16]) -> usize {
        // What the window has passed makes room.
        let passed = (self.at as usize).min(self.frames.len());
        self.frames.drain(..passed);
        self.at -= passed as f64;
        let count = (samples.len() / AUDIO_CHANNELS).min(FRAMES_MAX - self.frames.len());
        let frames = samples.chunks_exact(AUDIO_CHANNELS).take(count);
        self.frames.extend(frames.map(|frame| [f32::from(frame[0]), f32::from(frame[1])]));
        count
    }

    /// How many frames that came in have not gone out, with the part of one.
    #[must_use]
    pub fn waiting(&self) -> f64 {
        (self.frames.len() - (TAPS / 2 - 1)) as f64 - self.at
    }

    /// Makes frames at the front of `out` until it is full or nothing is left; returns how many. `step`: how many frames of
    /// what came in each of them stands for, about 1.
    pub fn pull(&mut self, step: f64, out: &mut [i16]) -> usize {
        let mut made = 0;
        for frame in out.chunks_exact_mut(AUDIO_CHANNELS) {
            let first = self.at as usize;
            let Some(window) = self.frames.get(first..first + TAPS) else { break };
            let phase = (self.at - first as f64) * PHASES as f64;
            let (row, part) = (phase as usize, (phase - phase.floor()) as f32);
            let weights = &self.weights[row * TAPS..(row + 2) * TAPS];
            let (these, next) = weights.split_at(TAPS);
            let mut sum = [0.0; AUDIO_CHANNELS];
            for ((this, next), frame) in these.iter().zip(next).zip(window) {
                let weight = this + (next - this) * part;
                sum[0] += weight * frame[0];
                sum[1] += weight * frame[1];
            }
            for (out, sum) in frame.iter_mut().zip(sum) {
                // A conversion from float saturates.
                *out = sum.round() as i16;
            }
            self.at += step;
            made += 1;
        }
        made
    }
}

impl Default for Resampler {
    fn default() -> Self {
        Self::new()
    }
}

/// The weights of a window that begins at a frame, for each place of what is asked for behind its middle.
fn weights() -> Vec<f32> {
    let mut weights = Vec::with_capacity((PHASES + 1) * TAPS);
    for phase in 0..=PHASES {
        let place = (TAPS / 2 - 1) as f64 + phase as f64 / PHASES as f64;
        let row: Vec<f64> = (0..TAPS).map(|tap| weight(tap as f64 - place)).collect();
        // Each row sums to one, so that silence with an offset stays what it is.
        let sum: f64 = row.iter().sum();
        weights.extend(row.iter().map(|weight| (weight / sum) as f32));
    }
    weights
}

/// Of a frame this far from the place asked for.
fn weight(distance: f64) -> f64 {
    let half = TAPS as f64 / 2.0;
    let edge = 1.0 - (distance / half) * (distance / half);
    if edge <= 0.0 {
        return 0.0;
    }
    let angle = core::f64::consts::PI * distance * CUTOFF;
    let sinc = if angle.abs() < 1e-9 { 1.0 } else { angle.sin() / angle };
    sinc * bessel(BETA * edge.sqrt()) / bessel(BETA)
}

/// The modified Bessel function of the first kind and order zero, by its series.
fn bessel(x: f64) -> f64 {
    let quarter = x * x / 4.0;
    let mut term = 1.0;
    let mut sum = 1.0;
    for k in 1..40 {
        term *= quarter / f64::from(k * k);
        sum += term;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: f64 = 48_000.0;

    fn tone(frame: f64, hertz: f64) -> f64 {
        20_000.0 * (core::f64::consts::TAU * hertz * frame / RATE).sin()
    }

    /// How far what comes out is from the tone at another rate, in dB below the tone.
    fn error_db(hertz: f64, step: f64) -> f64 {
        let mut resampler = Resampler::new();
        let (mut input, mut output) = (0, Vec::new());
        while output.len() < 48_000 * AUDIO_CHANNELS {
            let samples: Vec<i16> = (input..input + 480)
                .flat_map(|frame| [tone(f64::from(frame), hertz).round() as i16; AUDIO_CHANNELS])
                .collect();
            input += 480;
            assert_eq!(resampler.push(&samples), 480);
            let mut out = [0; 1000];
            let made = resampler.pull(step, &mut out);
            output.extend_from_slice(&out[..made * AUDIO_CHANNELS]);
        }
        // The first window looks back on silence.
        let frames = output.chunks_exact(AUDIO_CHANNELS).enumerate().skip(100);
        let (mut error, mut signal) = (0.0, 0.0);
        for (at, frame) in frames {
            let wanted = tone(at as f64 * step, hertz);
            error += (f64::from(frame[0]) - wanted).powi(2);
            signal += wanted * wanted;
            assert_eq!(frame[0], frame[1]);
        }
        10.0 * (error / signal).log10()
    }

    #[test]
    fn tones_come_out_as_they_are_at_another_rate() {
        for (hertz, least) in [(100.0, -80.0), (1000.0, -80.0), (8000.0, -80.0), (14_000.0, -70.0)] {
            for step in [1.0, 1.0 + 200e-6, 1.0 - 700e-6] {
                let error = error_db(hertz, step);
                println!("{hertz} Hz, step {step}: {error:.1} dB");
                assert!(error < least, "{hertz} Hz, step {step}: {error:.1} dB");
            }
        }
    }

    #[test]
    fn what_waits_is_what_came_in_and_did_not_go_out() {
        let mut resampler = Resampler::new();
        assert_eq!(resampler.pull(1.0, &mut [0; 20]), 0);
        assert_eq!(resampler.push(&[100; 960]), 480);
        assert!((resampler.waiting() - 480.0).abs() < 1e-9);
        let mut out = [0; 200];
        assert_eq!(resampler.pull(1.001, &mut out), 100);
        assert!((resampler.waiting() - (480.0 - 100.1)).abs() < 1e-6);
        assert!(out[40..].iter().all(|&sample| sample == 100), "an offset stays what it is");
        resampler.clear();
        assert!(resampler.waiting().abs() < 1e-9);
    }

    #[test]
    fn what_there_is_no_room_for_is_left_out() {
        let mut resampler = Resampler::new();
        let all: usize = (0..100).map(|_| resampler.push(&[0; 960])).sum();
        assert!(all < FRAMES_MAX && all > FRAMES_MAX - 2 * TAPS, "{all}");
        // Loud sound beyond the range is cut, not turned round.
        resampler.clear();
        let square: Vec<i16> =
            (0..480).flat_map(|at| [if at % 40 < 20 { i16::MAX } else { i16::MIN }; 2]).collect();
        resampler.push(&square);
        let mut out = [0; 800];
        resampler.pull(1.0003, &mut out);
        let wrong = out.chunks_exact(2).enumerate().skip(30).filter(|(at, frame)| {
            let phase = at % 40;
            (4..16).contains(&phase) && frame[0] < 20_000 || (24..36).contains(&phase) && frame[0] > -20_000
        });
        assert_eq!(wrong.count(), 0);
    }
}
