//! A file instead of a loudspeaker: what would be heard, with the gaps, as 16-bit WAVE.
//!
//! It takes sound as fast as a card would, by the clock it is asked with, so that whoever plays behaves as with a card.

use core::time::Duration;
use std::fs::File;
use std::io::{self, BufWriter, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use rift::Instant;
use rift_hal::{AUDIO_CHANNELS, AUDIO_RATE, AudioSink, AudioState, Room};

/// Frames it wants to have beyond what has been heard: 15 ms, as a card; a period more after each time it had nothing.
const FILL_FIRST: u64 = 720;
/// And at most: 60 ms.
const FILL_MAX: u64 = 2880;
/// It wants nothing less than this much: 5 ms.
const PERIOD: u64 = 240;
const HEAD_LEN: u32 = 44;
const FRAME_LEN: u32 = 4;

/// See the module.
#[derive(Debug)]
pub struct WaveSink {
    file: BufWriter<File>,
    began: Option<Instant>,
    /// Frames written since then, and before.
    written: u64,
    before: u64,
    fill: u64,
    underruns: u64,
}

impl WaveSink {
    /// A file at `path`, which is made or emptied.
    ///
    /// # Errors
    /// The system's.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut file = BufWriter::new(File::create(path)?);
        file.write_all(&head(0))?;
        Ok(Self { file, began: None, written: 0, before: 0, fill: FILL_FIRST, underruns: 0 })
    }

    /// Frames that have been heard since it began.
    fn heard(&self, now: Instant) -> u64 {
        self.began.map_or(0, |began| now.micros_since(began) * u64::from(AUDIO_RATE) / 1_000_000)
    }

    fn put(&mut self, frames: u64, bytes: &[u8]) -> io::Result<()> {
        self.written += frames;
        self.file.write_all(bytes)
    }

    fn finish(&mut self) -> io::Result<()> {
        let frames = u32::try_from(self.before + self.written).unwrap_or(u32::MAX / FRAME_LEN);
        self.file.flush()?;
        let file = self.file.get_mut();
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&head(frames))?;
        file.seek(SeekFrom::End(0)).map(drop)
    }
}

/// The head of a file of so many frames: RIFF, `fmt `, `data`.
fn head(frames: u32) -> Vec<u8> {
    let data = frames.saturating_mul(FRAME_LEN);
    let mut bytes = Vec::with_capacity(HEAD_LEN as usize);
    bytes.extend(b"RIFF");
    bytes.extend((HEAD_LEN - 8).saturating_add(data).to_le_bytes());
    bytes.extend(b"WAVEfmt ");
    bytes.extend(16_u32.to_le_bytes());
    // Plain samples, two channels.
    bytes.extend([1_u16, 2].into_iter().flat_map(u16::to_le_bytes));
    bytes.extend([AUDIO_RATE, AUDIO_RATE * FRAME_LEN].into_iter().flat_map(u32::to_le_bytes));
    bytes.extend([4_u16, 16].into_iter().flat_map(u16::to_le_bytes));
    bytes.extend(b"data");
    bytes.extend(data.to_le_bytes());
    bytes
}

impl AudioSink for WaveSink {
    type Error = io::Error;

    fn wait(&mut self, at_most: Duration) {
        let period = Duration::from_micros(PERIOD * 1_000_000 / u64::from(AUDIO_RATE));
        std::thread::park_timeout(at_most.min(period));
    }

    fn room(&mut self, now: Instant) -> io::Result<Room> {
        self.began.get_or_insert(now);
        let heard = self.heard(now);
        if heard > self.written {
            // A card would have been silent.
            if self.written > 0 {
                self.underruns += 1;
                self.fill = (self.fill + PERIOD).min(FILL_MAX);
            }
            let missing = heard - self.written;
            for _ in 0..missing {
                self.put(1, &[0; FRAME_LEN as usize])?;
            }
        }
        let filled = self.written - heard;
        let frames = self.fill.saturating_sub(filled);
        let frames = if frames < PERIOD { 0 } else { frames };
        Ok(Room {
            frames: usize::try_from(frames).unwrap_or(0),
            delay_us: u32::try_from(filled * 1_000_000 / u64::from(AUDIO_RATE)).unwrap_or(u32::MAX),
        })
    }

    fn write(&mut self, _now: Instant, samples: &[i16]) -> io::Result<()> {
        for frame in samples.chunks_exact(AUDIO_CHANNELS) {
            let [left, right] = [frame[0].to_le_bytes(), frame[1].to_le_bytes()];
            self.put(1, &[left[0], left[1], right[0], right[1]])?;
        }
        Ok(())
    }

    fn stop(&mut self) {
        self.began = None;
        self.before += core::mem::take(&mut self.written);
        // What could not be written is told by the next write.
        let _ = self.finish();
    }

    fn state(&self) -> AudioState {
        if self.began.is_some() { AudioState::Running } else { AudioState::Stopped }
    }

    fn underruns(&self) -> u64 {
        self.underruns
    }
}

impl Drop for WaveSink {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_is_as_long_as_the_time_it_was_played_in() {
        let path = std::env::temp_dir().join(format!("wavry-wave-{}.wav", std::process::id()));
        let mut sink = WaveSink::create(&path).expect("a file");
        let at = Instant::from_millis;
        assert_eq!(sink.room(at(1000)).expect("room"), Room { frames: 720, delay_us: 0 });
        sink.write(at(1000), &[5; 1440]).expect("written");
        assert_eq!(sink.room(at(1004)).expect("room").frames, 0, "less than a period");
        assert_eq!(sink.room(at(1005)).expect("room"), Room { frames: 240, delay_us: 10_000 });
        // Nothing comes in time: 15 ms were given, 25 have passed.
        assert_eq!(sink.room(at(1025)).expect("room"), Room { frames: 960, delay_us: 0 });
        assert_eq!((sink.underruns(), sink.state()), (1, AudioState::Running));
        drop(sink);
        let bytes = std::fs::read(&path).expect("it is there");
        assert_eq!(bytes.len(), 44 + 1200 * 4);
        assert_eq!(bytes[40..44], (1200_u32 * 4).to_le_bytes());
        assert_eq!(bytes[4..8], (36 + 1200_u32 * 4).to_le_bytes());
        assert!(bytes[44..44 + 2880].chunks(2).all(|sample| sample == [5, 0]));
        let _ = std::fs::remove_file(&path);
    }
}
