//! Sound made a little shorter or longer without a change of its pitch: a stretch is left out or repeated, as long as what
//! it is most like (WSOLA: W. Verhelst and M. Roelands, "An overlap-add technique based on waveform similarity (WSOLA) for
//! high quality time-scale modification of speech", ICASSP 1993).
//!
//! Both are the same question: by how much to go back or ahead from a place in the sound so that it goes on there as it
//! would have here. The answer is a whole number of periods where the sound has any, so that neither its pitch nor its
//! phase moves, and one goes over into the other within 2.5 ms.

use rift_hal::AUDIO_CHANNELS;

/// Frames in which one goes over into the other.
const OVERLAP: usize = 120;
/// The least and the most that is left out or repeated at once, in frames: 2.5 and 15 ms. One period of 67 Hz.
const LAG_MIN: usize = OVERLAP;
const LAG_MAX: usize = 720;
/// Lags as good as this part of the best are taken when they are longer: it is over sooner.
const NEARLY: f64 = 0.98;
/// Whoever is less like than this has no period: any lag is as good as another.
const UNLIKE: f64 = 0.3;

/// So many frames are looked at to make them fewer: room for the longest stretch.
const HELD: usize = 960;

#[derive(Clone, Copy, Debug)]
enum Order {
    Longer,
    Shorter,
}

/// Between a decoder and who plays: sound goes through as it is, and is made longer or shorter once where that is asked for.
#[derive(Clone, Debug)]
pub struct Splicer {
    order: Option<(Order, usize)>,
    /// The last of what went out.
    recent: Vec<i16>,
    /// What came in and is looked at to be made shorter.
    held: Vec<i16>,
    out: Vec<i16>,
}

impl Splicer {
    /// Nothing has gone through. Its memory is taken here.
    #[must_use]
    pub fn new() -> Self {
        let room = || Vec::with_capacity(2 * HELD * AUDIO_CHANNELS);
        Self { order: None, recent: room(), held: room(), out: room() }
    }

    /// What comes next has nothing to do with what was.
    pub fn clear(&mut self) {
        self.order = None;
        self.recent.clear();
        self.held.clear();
    }

    /// What comes next is to be longer by at most so many frames.
    pub const fn lengthen(&mut self, most: usize) {
        if self.held.is_empty() {
            self.order = Some((Order::Longer, most));
        }
    }

    /// What comes next is to be shorter by at most so many frames.
    pub const fn shorten(&mut self, most: usize) {
        if self.held.is_empty() {
            self.order = Some((Order::Shorter, most));
        }
    }

    /// Takes what was decoded, 20 ms at most. Returns what is to be heard of all that came, and how many frames that is
    /// longer; nothing yet while it looks at more.
    pub fn put(&mut self, samples: &[i16]) -> (&[i16], i64) {
        self.out.clear();
        match self.order {
            None => {
                self.out.extend_from_slice(samples);
                (self.remember(), 0)
            }
            Some((Order::Longer, most)) => {
                let longer = self.repeat(samples, most);
                (self.remember(), longer)
            }
            Some((Order::Shorter, _)) => {
                self.held.extend_from_slice(samples);
                if self.held.len() < HELD * AUDIO_CHANNELS { (&[], 0) } else { self.flush() }
            }
        }
    }

    /// Whether sound is held that more is to come for.
    #[must_use]
    pub const fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// No more comes for what is held: as [`Splicer::put`].
    pub fn flush(&mut self) -> (&[i16], i64) {
        self.out.clear();
        let mut longer = 0;
        if let Some((Order::Shorter, most)) = self.order.take()
            && let Some(lag) = lag(&self.held, 0, false, most)
        {
            go_over(&self.held, 0, lag, &mut self.out);
            self.held.drain(..(lag + OVERLAP) * AUDIO_CHANNELS);
            longer = -(lag as i64);
        }
        self.out.append(&mut self.held);
        (self.remember(), longer)
    }

    /// A stretch before `samples` is heard once more.
    fn repeat(&mut self, samples: &[i16], most: usize) -> i64 {
        self.order = None;
        let at = self.recent.len() / AUDIO_CHANNELS;
        self.recent.extend_from_slice(samples);
        let mut longer = 0;
        let mut from = at;
        if let Some(lag) = lag(&self.recent, at, true, most) {
            go_over(&self.recent, at, at - lag, &mut self.out);
            from = at - lag + OVERLAP;
            longer = lag as i64;
        }
        self.out.extend_from_slice(&self.recent[from * AUDIO_CHANNELS..]);
        self.recent.truncate(at * AUDIO_CHANNELS);
        longer
    }

    fn remember(&mut self) -> &[i16] {
        let most = LAG_MAX * AUDIO_CHANNELS;
        let tail = &self.out[self.out.len().saturating_sub(most)..];
        let past = (self.recent.len() + tail.len()).saturating_sub(most);
        self.recent.drain(..past);
        self.recent.extend_from_slice(tail);
        &self.out
    }
}

impl Default for Splicer {
    fn default() -> Self {
        Self::new()
    }
}

/// By how many frames, `LAG_MIN..=most`, `sound` is to be moved to be like what it is at frame `at`, for [`OVERLAP`] frames:
/// backwards when `is_back`. `None` where there is not that much of it.
fn lag(sound: &[i16], at: usize, is_back: bool, most: usize) -> Option<usize> {
    let frames = sound.len() / AUDIO_CHANNELS;
    let room = if is_back { at } else { frames.checked_sub(at + OVERLAP)? };
    let most = most.min(room).min(LAG_MAX);
    if most < LAG_MIN || at + OVERLAP > frames {
        return None;
    }
    let place = |lag: usize| if is_back { at - lag } else { at + lag };
    let likeness: Vec<f64> = (LAG_MIN..=most).map(|lag| likeness(sound, at, place(lag))).collect();
    let best = likeness.iter().copied().fold(f64::MIN, f64::max);
    let least = if best < UNLIKE { best } else { best * NEARLY };
    // Of the longest stretch that is as good, its best place.
    let last = likeness.iter().rposition(|&like| like >= least)?;
    let rising = likeness[..=last].windows(2).rev().take_while(|pair| pair[0] > pair[1]).count();
    Some(LAG_MIN + last - rising)
}

/// Normalised correlation of what begins at two frames.
fn likeness(sound: &[i16], one: usize, other: usize) -> f64 {
    let part = |at: usize| &sound[at * AUDIO_CHANNELS..(at + OVERLAP) * AUDIO_CHANNELS];
    let (mut product, mut powers) = (0.0, [1.0; 2]);
    for (one, other) in part(one).iter().zip(part(other)) {
        let (one, other) = (f64::from(*one), f64::from(*other));
        product += one * other;
        powers[0] += one * one;
        powers[1] += other * other;
    }
    product / (powers[0] * powers[1]).sqrt()
}

/// Goes over from what begins at frame `from` to what begins at frame `to`, in [`OVERLAP`] frames, put behind `out`.
fn go_over(sound: &[i16], from: usize, to: usize, out: &mut Vec<i16>) {
    let part = |at: usize| &sound[at * AUDIO_CHANNELS..(at + OVERLAP) * AUDIO_CHANNELS];
    let len = (OVERLAP * AUDIO_CHANNELS) as f32;
    out.extend(part(from).iter().zip(part(to)).enumerate().map(|(at, (&one, &other))| {
        let weight = at as f32 / len;
        (f32::from(one) * (1.0 - weight) + f32::from(other) * weight) as i16
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hertz: f64, frames: usize) -> Vec<i16> {
        (0..frames)
            .flat_map(|at| {
                let angle = core::f64::consts::TAU * hertz * at as f64 / 48_000.0;
                [(10_000.0 * angle.sin()) as i16; AUDIO_CHANNELS]
            })
            .collect()
    }

    #[test]
    fn lag_is_a_whole_number_of_periods_and_the_most_there_are() {
        for hertz in [75.0, 440.0, 997.0, 5000.0] {
            let sound = tone(hertz, 2000);
            for is_back in [false, true] {
                let lag = lag(&sound, 900, is_back, LAG_MAX).expect("there is enough");
                let periods = lag as f64 * hertz / 48_000.0;
                assert!(
                    (periods - periods.round()).abs() < 0.07,
                    "{hertz} Hz: {lag} frames, {periods} periods"
                );
                assert!(lag > LAG_MAX / 2, "{hertz} Hz: {lag} frames");
            }
        }
    }

    #[test]
    fn what_is_made_longer_and_shorter_goes_on_as_it_was() {
        for frames in [240, 480, 960] {
            let sound = tone(997.0, 48_000);
            let (mut splicer, mut out, mut longer, mut count) = (Splicer::new(), Vec::new(), 0, 0);
            for (number, packet) in sound.chunks_exact(frames * AUDIO_CHANNELS).enumerate() {
                match number % 25 {
                    7 => splicer.lengthen(500),
                    17 => splicer.shorten(500),
                    _ => {}
                }
                let (samples, by) = splicer.put(packet);
                out.extend_from_slice(samples);
                longer += by;
                count += u32::from(by != 0);
            }
            assert!(!splicer.is_holding() && count >= 4, "{count}");
            assert_eq!(out.len(), sound.len() + usize::try_from(longer).expect("the last is long") * 2);
            // No sample is farther from the one before than a tone of this pitch goes.
            let most = 10_000.0 * core::f64::consts::TAU * 997.0 / 48_000.0;
            let left: Vec<i16> = out.iter().step_by(2).copied().collect();
            assert!(left.windows(2).all(|pair| f64::from(pair[1] - pair[0]).abs() < most * 1.05));
        }
    }

    #[test]
    fn what_is_held_comes_out_whole_when_no_more_comes() {
        let sound = tone(440.0, 480);
        let mut splicer = Splicer::new();
        splicer.shorten(100);
        assert_eq!(splicer.put(&sound), (&[][..], 0));
        assert!(splicer.is_holding());
        // Less than is left out at least: all of it.
        assert_eq!(splicer.flush(), (&sound[..], 0));
        assert_eq!(splicer.put(&sound), (&sound[..], 0));
    }

    #[test]
    fn where_there_is_too_little_sound_nothing_is_found_and_noise_has_some_lag() {
        let sound = tone(440.0, 500);
        assert_eq!(lag(&sound, 400, false, LAG_MAX), None);
        assert_eq!(lag(&sound, 100, true, LAG_MAX), None);
        assert_eq!(lag(&sound, 200, true, 100), None, "less than the least");
        let mut state = 1_u32;
        let noise: Vec<i16> = (0..4000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 16) as u16 as i16
            })
            .collect();
        assert!(lag(&noise, 800, false, LAG_MAX).is_some());
        assert!(lag(&[0; 4000], 800, false, LAG_MAX).is_some(), "silence is like silence");
    }
}
